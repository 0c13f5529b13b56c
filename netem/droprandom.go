package netem

import (
	"fmt"
	"time"
)

// DropRandom is a first-in-first-out queue. When it is full, it takes the new packet and drops one at random
// from all packets then waiting, the new one included. So no flow escapes because its packets arrive when
// others leave. The packet being sent does not count. Exactly one of the limits must be set.
type DropRandom struct {
	Packets int // limit in packets, at least 1
	Bytes   int // limit in bytes, IP headers included, at least the MTU
}

func (q DropRandom) invalid(c *Config) string { return DropTail(q).invalid(c) }

func (q DropRandom) discipline(*Config) discipline { return &dropRandom{q: q} }

// String returns the queue as Go writes it.
func (q DropRandom) String() string {
	return fmt.Sprintf("DropRandom{Packets: %d, Bytes: %d}", q.Packets, q.Bytes)
}

type dropRandom struct {
	q    DropRandom
	wait lineup
}

func (d *dropRandom) enter(w waiter, _ time.Duration, r *room) {
	d.wait.push(w)
	victims := draws(w.draws.lane(laneVictim) ^ w.jitter)
	for k := uint64(0); d.full(); k++ {
		r.drop(d.wait.take(int(below(victims.lane(k), uint64(d.wait.len())))))
	}
}

// full reports whether more waits than is allowed.
func (d *dropRandom) full() bool {
	if d.q.Packets > 0 {
		return d.wait.len() > d.q.Packets
	}
	return d.wait.bytes > d.q.Bytes
}

func (d *dropRandom) leave(time.Duration, *room) (waiter, bool) { return d.wait.pop() }
func (d *dropRandom) backlog() (packets, bytes int)             { return d.wait.len(), d.wait.bytes }
func (d *dropRandom) empty() []waiter                           { return d.wait.empty() }
