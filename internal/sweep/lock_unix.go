//go:build unix

package sweep

import (
	"os"
	"syscall"
	"time"
)

// lockedAfterwards is how long a file may remain locked after the process that locked it was killed. A child process that the killed
// process was starting also has the file open until it has become another program. It is a variable for its test.
var lockedAfterwards = 2 * time.Second

// lock keeps other sweeps away from a file as long as the process lives.
func lock(f *os.File) error {
	for end := time.Now().Add(lockedAfterwards); ; time.Sleep(10 * time.Millisecond) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err != syscall.EWOULDBLOCK && err != syscall.EINTR || time.Now().After(end) {
			return err
		}
	}
}
