package eventlog_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/squall-sim/squall/internal/ramdisk"
)

// The logs of the tests are in memory where there is a file system for that: what a disk
// adds, which is that a write is still there after a loss of power, no test here can see.
// With TMPDIR set they, and the benchmarks, are on the disk that it names.
func TestMain(m *testing.M) {
	ramdisk.Use()
	goleak.VerifyTestMain(m)
}
