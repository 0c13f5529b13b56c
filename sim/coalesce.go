package sim

import (
	"fmt"
	"time"

	"github.com/squall-sim/squall/sim/internal/tcp"
)

// Coalesce makes h handle arriving packets together: the first one waits for delay, and h handles it and
// those that arrive meanwhile at one instant. TCP merges consecutive segments into one, of up to 64 KB, and
// acknowledges it once. Network cards and kernels of servers do the same: interrupt moderation (ethtool's
// rx-usecs) and generic receive offload (GRO, tcp_gro_receive). Linux's igb driver interrupts 20,000 times a
// second, or 4,000 under load, so 50 or 250 µs apart; the profiles of mlx5 are from 1 to 256 µs.
//
// By default, and with 0, h handles each packet when its last bit arrives. With a delay, a round trip takes
// up to delay longer at each end that coalesces. A fast link takes less real time to simulate, since the
// program wakes once for many packets. The trace shows packets as delivered when h handles them. Packets on
// h's own loopback interface do not wait.
//
// It takes effect for packets that arrive from then on. It panics if delay is negative or longer than 100 ms.
func (h *Host) Coalesce(delay time.Duration) {
	h.must("Coalesce")
	h.n.mustSimulate("Coalesce")
	if delay < 0 || delay > mostCoalesced {
		panic(fmt.Sprintf("sim: host %s: Coalesce: delay = %v: must be from 0 to %v", h.name, delay, mostCoalesced))
	}
	h.n.do(func() {
		if h.card == nil {
			h.card = new(card)
			h.card.timer = h.n.newTimer(h.card.interrupt)
		}
		h.card.delay = int64(delay)
		h.n.invalidate()
	})
}

// mostCoalesced is far beyond what network cards allow, and below every timeout of TCP.
const mostCoalesced = 100 * time.Millisecond

// A card is the network card of a host that coalesces.
type card struct {
	*timer // of the interrupt
	delay  int64
	trains []*packet // that wait for it, in the order in which their first packets arrived
	before []*packet // spare room for the trains of the next interrupt
}

// cardAt returns the card at which a packet arrives next, or nil if the packet waits for no other one there.
func (pkt *packet) cardAt() *card {
	if pkt.hop+1 != len(pkt.pipes) || pkt.way.from == pkt.way.to {
		return nil
	}
	h := pkt.way.to.host
	if h == nil || h.card == nil || h.card.delay == 0 && len(h.card.trains) == 0 {
		return nil
	}
	return h.card
}

// gather keeps a train until the interrupt. It joins the train to one of the same flow, if that is one of the
// last few (MAX_GRO_SKBS).
func (c *card) gather(now int64, head *packet) {
	const fewFlows = 8
	if len(c.trains) == 0 {
		c.at = after(now, c.delay)
		c.n.queue.schedule(c, classTimer, c.id)
	}
	for _, t := range c.trains[max(0, len(c.trains)-fewFlows):] {
		if head.proto == protoTCP && t.sameWay(head) {
			t.couple(head)
			return
		}
	}
	c.trains = append(c.trains, head)
}

// interrupt makes the host handle the packets that wait.
func (c *card) interrupt(now int64) {
	trains := c.trains
	c.trains, c.before = c.before[:0], trains
	for i, head := range trains {
		trains[i] = nil
		c.n.deliver(now, head, new(tcp.Joined))
	}
}

// wait returns how long a packet that arrives at an instant waits, if none arrives before it. Its arrival can
// matter at the interrupt even if nobody waits for it, since the host handles later packets together with it.
func (c *card) wait(at int64) int64 {
	if at <= c.at && c.at != never {
		return c.at - at
	}
	return c.delay
}

// observable implements timed.
func (c *card) observable() int64 {
	first := never
	if c.at != never {
		for _, head := range c.trains {
			first = min(first, after(c.at, head.heardLookahead(c.at)))
		}
	}
	return first
}

// joins reports whether generic receive offload joins the segment of next, which arrives with pkt at c, to
// that of pkt. j is what has been joined so far.
func (n *Network) joins(j *tcp.Joined, pkt, next *packet, c *TCPConn) bool {
	j.Add(pkt.seg, pkt.size)
	if next == nil || next.leaves.then != nil {
		return false
	}
	next.hop = pkt.hop
	return n.receiver(next) == c && j.Joins(next.seg)
}
