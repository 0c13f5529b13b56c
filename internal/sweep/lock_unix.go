//go:build unix

package sweep

import (
	"os"
	"syscall"
)

// lock keeps other sweeps from a file, as long as the process lives.
func lock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }
