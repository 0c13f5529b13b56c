// Package ramdisk keeps the temporary files of tests in memory. The stores of the patterns
// write each event through to the disk, which in memory takes half as long.
package ramdisk

import "os"

// Use has os.TempDir, and so t.TempDir, be in a file system in memory, where there is one
// and TMPDIR does not say otherwise. It is called by TestMain.
func Use() {
	const memory = "/dev/shm"
	if dir, err := os.MkdirTemp(memory, "squall"); err == nil {
		os.Remove(dir)
		if os.Getenv("TMPDIR") == "" {
			os.Setenv("TMPDIR", memory)
		}
	}
}
