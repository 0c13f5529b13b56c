package squall_test

import (
	"os"
	"testing"
)

// The stores of the patterns write each event through to the disk. Where there is a file
// system in memory the tests keep them there, which takes half as long.
func TestMain(m *testing.M) {
	const memory = "/dev/shm"
	if dir, err := os.MkdirTemp(memory, "squall"); err == nil {
		os.Remove(dir)
		if os.Getenv("TMPDIR") == "" {
			os.Setenv("TMPDIR", memory)
		}
	}
	m.Run()
}
