package netem

import (
	"fmt"
	"time"
)

// Queue bounds the packets that wait for the line, and decides which one to drop when there is no room or
// when packets wait too long: [DropTail], [DropHead], [DropRandom], [RED], [PIE], [CoDel] or [FQCoDel]. The
// interface is sealed because a queue acts on the pipe's own state.
type Queue interface {
	// invalid returns what is allowed with the rest of a configuration, or "".
	invalid(c *Config) string
}

// DropTail is a first-in-first-out queue that drops an arriving packet when it is full. The packet being sent
// counts as queued until its last bit is out. Exactly one of the limits must be set.
type DropTail struct {
	Packets int // limit in packets, at least 1
	Bytes   int // limit in bytes, IP headers included, at least the MTU
}

func (q DropTail) admits(size, packets, bytes int) bool {
	if q.Packets > 0 {
		return packets < q.Packets
	}
	return bytes+size <= q.Bytes
}

func (q DropTail) invalid(c *Config) string {
	switch {
	case q.Packets < 0 || q.Bytes < 0:
		return "limits must not be negative"
	case (q.Packets > 0) == (q.Bytes > 0):
		return "exactly one of Packets and Bytes must be set"
	case q.Bytes > 0 && q.Bytes < c.mtu():
		return fmt.Sprintf("Bytes must be at least the MTU, %d", c.mtu())
	}
	return ""
}

// String returns the queue as Go writes it.
func (q DropTail) String() string {
	switch {
	case q.Packets != 0 && q.Bytes == 0:
		return fmt.Sprintf("DropTail{Packets: %d}", q.Packets)
	case q.Packets == 0 && q.Bytes != 0:
		return fmt.Sprintf("DropTail{Bytes: %d}", q.Bytes)
	default:
		return fmt.Sprintf("DropTail{Packets: %d, Bytes: %d}", q.Packets, q.Bytes)
	}
}

// backlog holds the accepted packets whose last bit is not yet sent, oldest first, in a ring that doubles
// when full.
type backlog struct {
	ring  []queued // its length is a power of two, or zero
	head  int
	len   int
	bytes int
}

type queued struct {
	departure, at time.Duration
	before        time.Duration // the latest arrival of the packets before it
	frac          uint64        // the last bit is sent at departure or, if this is not 0, frac/rate ns after the nanosecond before
	draws         draws
	jitter        uint64 // the number for its jitter; 0 for the one in draws
	size          int
	kind          queuedKind
}

type queuedKind uint8

const (
	ordinary queuedKind = iota
	reordered
	copied
)

func (b *backlog) push(p queued) {
	if b.len == len(b.ring) {
		ring := make([]queued, max(16, 2*len(b.ring)))
		n := copy(ring, b.ring[b.head:])
		copy(ring[n:], b.ring[:b.head])
		b.ring, b.head = ring, 0
	}
	b.ring[(b.head+b.len)&(len(b.ring)-1)] = p
	b.len++
	b.bytes += p.size
}

// nth returns the packet with i others before it.
func (b *backlog) nth(i int) *queued { return &b.ring[(b.head+i)&(len(b.ring)-1)] }

// drain removes the packets that are gone by now.
func (b *backlog) drain(now time.Duration) {
	for b.len > 0 && b.ring[b.head].departure <= now {
		b.bytes -= b.ring[b.head].size
		b.head = (b.head + 1) & (len(b.ring) - 1)
		b.len--
	}
}

// at returns what drain would leave.
func (b *backlog) at(now time.Duration) (packets, bytes int) {
	seen := *b // the ring is shared, and drain does not write to it
	seen.drain(now)
	return seen.len, seen.bytes
}
