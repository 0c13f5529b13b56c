// Package ramdisk keeps the temporary files of tests in memory. The stores of the patterns sync each event to the disk. In memory this
// takes half as long.
package ramdisk

import "os"

// Use makes os.TempDir, and so t.TempDir, use a file system in memory, if there is one and TMPDIR is not set. TestMain calls it.
func Use() {
	const memory = "/dev/shm"
	if dir, err := os.MkdirTemp(memory, "squall"); err == nil {
		os.Remove(dir)
		if os.Getenv("TMPDIR") == "" {
			os.Setenv("TMPDIR", memory)
		}
	}
}
