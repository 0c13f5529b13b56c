package sim

import (
	"fmt"
	"os"
	"path/filepath"
)

// Dir returns the path of a folder that serves as the disk of h. What programs keep in it survives
// [Host.Crash], [Host.PowerOff] and [Host.Restart], as far as it was written, synced or not. The folder is
// made at first use, in os.TempDir, and removed when the network has ended. [Host.Wipe] empties it. Dir
// panics if the operating system cannot make it.
//
// A crash does not close the program's files, since its goroutines run on until they notice. A program that
// holds a lock on a file must release it when the context of [Host.Run] ends. What it writes after that still
// reaches the disk, which no real crash allows. So a program that is going to crash must close its files
// first, before any cleanup. Deferred calls run last to first: defer the call that closes the file last. (A
// program that stops in good order does the opposite.)
func (h *Host) Dir() string {
	h.must("Dir")
	if dir := text(h.n, func() string { return h.disk }); dir != "" {
		return dir
	}
	dir, err := os.MkdirTemp("", "squall-"+h.name+"-")
	if err != nil {
		panic(fmt.Sprintf("sim: host %s: Dir: %v", h.name, err))
	}
	first := get(h.n, func() bool {
		first := h.disk == ""
		if first {
			h.disk = dir
		}
		return first
	})
	if !first {
		os.Remove(dir)
		return h.Dir()
	}
	return dir
}

// Wipe removes everything in [Host.Dir], as when a host comes back on another machine or with a new disk.
// Call it while the host is down. It panics if the operating system cannot remove the files.
func (h *Host) Wipe() {
	h.must("Wipe")
	h.n.do(func() { h.n.note(&h.node, nil, "disk wiped") })
	dir := text(h.n, func() string { return h.disk })
	if dir == "" {
		return
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if err == nil {
			err = os.RemoveAll(filepath.Join(dir, e.Name()))
		}
	}
	if err != nil {
		panic(fmt.Sprintf("sim: host %s: Wipe: %v", h.name, err))
	}
}

// removeDisks removes the folders of all hosts. The lock is not held.
func (n *Network) removeDisks() {
	for _, dir := range texts(n, func() (all []string) {
		for _, h := range n.names.inOrder {
			if h.disk != "" {
				all = append(all, h.disk)
			}
		}
		return all
	}) {
		os.RemoveAll(dir)
	}
}
