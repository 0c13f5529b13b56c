package netem

import (
	"fmt"
	"time"
)

// DropHead is a first-in-first-out queue. When it is full, it drops the packet that has waited longest and
// takes the new one, so that senders learn of it sooner (Linux's pfifo_head_drop). The packet being sent does
// not count. Exactly one of the limits must be set.
type DropHead struct {
	Packets int // limit in packets, at least 1
	Bytes   int // limit in bytes, IP headers included, at least the MTU
}

func (q DropHead) invalid(c *Config) string { return DropTail(q).invalid(c) }

func (q DropHead) discipline(*Config) discipline { return &dropHead{q: q} }

// String returns the queue as Go writes it.
func (q DropHead) String() string {
	return fmt.Sprintf("DropHead{Packets: %d, Bytes: %d}", q.Packets, q.Bytes)
}

type dropHead struct {
	q    DropHead
	wait lineup
}

func (d *dropHead) enter(w waiter, _ time.Duration, r *room) {
	for d.wait.len() > 0 && !DropTail(d.q).admits(w.size, d.wait.len(), d.wait.bytes) {
		first, _ := d.wait.pop()
		r.drop(first)
	}
	d.wait.push(w)
}

func (d *dropHead) leave(time.Duration, *room) (waiter, bool) { return d.wait.pop() }
func (d *dropHead) backlog() (packets, bytes int)             { return d.wait.len(), d.wait.bytes }
func (d *dropHead) empty() []waiter                           { return d.wait.empty() }
