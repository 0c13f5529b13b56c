//go:build unix

package sweep

import (
	"os"
	"syscall"
	"time"
)

// lockedAfterwards is for how long a file may still be locked after the process that locked it was killed: one that it was about to
// start has the file open, too, until it has become another program. A variable for its test.
var lockedAfterwards = 2 * time.Second

// lock keeps other sweeps from a file, as long as the process lives.
func lock(f *os.File) error {
	for end := time.Now().Add(lockedAfterwards); ; time.Sleep(10 * time.Millisecond) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err != syscall.EWOULDBLOCK && err != syscall.EINTR || time.Now().After(end) {
			return err
		}
	}
}
