package eventlog

import "github.com/squall-sim/squall/patterns/internal/group"

// appending is one Append. Those that wait for the disk at one time share a transaction.
type appending struct {
	entries []Entry
	head    Cursor // when it is done
	err     error
}

// maxGroupBytes bounds what one transaction takes in, but for a single Append. Its pages
// are in memory until they are written.
const maxGroupBytes = 4 << 20

// takeGroup returns those whose turn has come.
func (d *Disk) takeGroup() []*group.Call[*appending] {
	bytes := 0
	return d.group.Take(func(a *appending) bool {
		for i := range a.entries {
			bytes += a.entries[i].size()
		}
		return bytes <= maxGroupBytes
	})
}
