package pubsub

import (
	"sync"
	"time"
)

// dedupe remembers the IDs of messages for a while, and a number of them at most.
type dedupe struct {
	window time.Duration
	max    int

	mu    sync.Mutex        // never held over the log
	byID  map[string]uint64 // numbers
	order []seen            // oldest first
	first uint64            // number of the first in order
}

type seen struct {
	id     string
	at     time.Time
	offset uint64        // 0: it is on its way into the log, or did not come there
	wait   chan struct{} // closed when it is known; nil: no other call waits
}

// begin notes that a message is on its way. If one of its ID is stored already it returns
// its offset; if it is on its way, what is closed when it is known what became of it.
// The caller has d.mu.
func (d *dedupe) begin(p *publication, now time.Time) (offset uint64, wait chan struct{}) {
	d.trim(now, d.max)
	if number, known := d.byID[p.id]; known {
		s := &d.order[number-d.first]
		if s.offset == 0 && s.wait == nil {
			s.wait = make(chan struct{})
		}
		return s.offset, s.wait
	}
	p.claim = d.add(p.id, 0, now, now)
	return 0, nil
}

// end notes what became of a message. The caller has d.mu.
func (d *dedupe) end(p *publication) {
	if p.claim < d.first {
		return // the window is over, or too small
	}
	s := &d.order[p.claim-d.first]
	s.offset = p.receipt.Cursor.Offset
	if p.err != nil {
		delete(d.byID, p.id)
	}
	if s.wait != nil {
		close(s.wait)
		s.wait = nil
	}
}

// add remembers an ID, and returns its number. The caller has d.mu.
func (d *dedupe) add(id string, offset uint64, at, now time.Time) uint64 {
	d.trim(now, d.max-1)
	if d.byID == nil {
		d.byID = make(map[string]uint64)
	}
	number := d.first + uint64(len(d.order))
	d.order = append(d.order, seen{id: id, at: at, offset: offset})
	d.byID[id] = number
	return number
}

// trim forgets what is too old, or more than most.
func (d *dedupe) trim(now time.Time, most int) {
	n := 0
	for n < len(d.order) && (len(d.order)-n > most || now.Sub(d.order[n].at) >= d.window) {
		s := &d.order[n]
		if d.byID[s.id] == d.first+uint64(n) {
			delete(d.byID, s.id)
		}
		if s.wait != nil {
			close(s.wait)
		}
		n++
	}
	clear(d.order[:n])
	d.order, d.first = d.order[n:], d.first+uint64(n)
}
