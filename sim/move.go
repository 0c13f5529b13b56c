package sim

import (
	"cmp"
	"slices"

	"github.com/squall-sim/squall/netem"
)

// move makes all packets that wait in the queue of a pipe arrive at other times, since its configuration has
// changed.
func (n *Network) move(now int64, p *pipe, moves []netem.Move) {
	if len(moves) == 0 || n.closed {
		return
	}
	// Packets with the same times are in the same order in both.
	all := n.queue.takeWaiting(now, p)
	slices.SortStableFunc(all, func(a, b waiting) int {
		return cmp.Or(cmp.Compare(a.pkt.leaves.at, b.pkt.leaves.at), cmp.Compare(a.when, b.when), cmp.Compare(a.ord, b.ord))
	})
	byTimes := make([]int, len(moves))
	for i := range byTimes {
		byTimes[i] = i
	}
	slices.SortStableFunc(byTimes, func(i, j int) int {
		a, b := moves[i], moves[j]
		return cmp.Or(cmp.Compare(a.Departure, b.Departure), cmp.Compare(a.At, b.At))
	})
	pkts := make([]*packet, len(moves))
	for k, i := range byTimes {
		pkts[i] = all[k].pkt
	}
	for i, m := range moves {
		pkts[i].leaves.at = int64(m.NewDeparture)
		n.arriveAt(pkts[i], p, int64(m.NewAt))
	}
	n.wakeAt(atOnce)
}
