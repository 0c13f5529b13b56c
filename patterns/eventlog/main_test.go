package eventlog_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// The logs of the tests are in memory where there is a file system for that: what a disk
// adds, which is that a write is still there after a loss of power, no test here can see.
// With TMPDIR set they, and the benchmarks, are on the disk that it names.
func TestMain(m *testing.M) {
	const memory = "/dev/shm"
	if dir, err := os.MkdirTemp(memory, "squall"); err == nil {
		os.Remove(dir)
		if os.Getenv("TMPDIR") == "" {
			os.Setenv("TMPDIR", memory)
		}
	}
	goleak.VerifyTestMain(m)
}
