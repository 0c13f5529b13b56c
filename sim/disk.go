package sim

import (
	"fmt"
	"os"
	"path/filepath"
)

// Dir returns the path of a folder, which is the disk of h: what programs keep in it survives [Host.Crash],
// [Host.PowerOff] and [Host.Restart], as far as it was written, synced or not. It is made at first use, in
// os.TempDir, and removed when the network has ended. [Host.Wipe] empties it. It panics if the operating system cannot make
// it.
//
// A program that crashes does not lose its open files, since its goroutines go on until they notice: one that holds
// a lock on a file must let go of it when the context of [Host.Run] ends. For the same reason what it writes after that
// still reaches the disk, as after no real crash. A program that is to crash closes its files first, and only then what would tidy
// up: of deferred calls the last comes first, so that which closes the file comes last. (One that stops in good order does it the other way round.)
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

// Wipe removes all that [Host.Dir] has in it, as when a host comes back on another machine, or its disk was
// replaced. Call it while the host is down. It panics if the operating system cannot do it.
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
