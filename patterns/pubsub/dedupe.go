package pubsub

import "time"

// dedupe remembers the IDs of messages for a while, and a number of them at most.
type dedupe struct {
	window time.Duration
	max    int
	byID   map[string]uint64 // offsets
	order  []seen            // oldest first
}

type seen struct {
	id string
	at time.Time
}

// find returns the offset under which a message of that ID is stored.
func (d *dedupe) find(id string, now time.Time) (offset uint64, found bool) {
	d.trim(now)
	offset, found = d.byID[id]
	return offset, found
}

func (d *dedupe) add(id string, offset uint64, at, now time.Time) {
	if d.byID == nil {
		d.byID = make(map[string]uint64)
	}
	if _, known := d.byID[id]; !known {
		d.order = append(d.order, seen{id, at})
	}
	d.byID[id] = offset
	d.trim(now)
}

func (d *dedupe) trim(now time.Time) {
	n := 0
	for n < len(d.order) && (len(d.order)-n > d.max || now.Sub(d.order[n].at) >= d.window) {
		delete(d.byID, d.order[n].id)
		n++
	}
	clear(d.order[:n])
	d.order = d.order[n:]
}
