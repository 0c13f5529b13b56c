package sim

import (
	"cmp"
	"slices"

	"github.com/squall-sim/squall/netem"
)

// A waiting packet is one whose last bit is not sent yet by the pipe that it is on.
type waiting struct {
	pkt  *packet
	when int64 // it arrives
	ord  uint64
}

// move lets packets that wait in the queue of a pipe, all of them, arrive at other times,
// since its configuration has changed.
func (n *Network) move(now int64, p *pipe, moves []netem.Move) {
	if len(moves) == 0 || n.closed {
		return
	}
	// Packets with the same times are in their order in both.
	all := n.takeWaiting(now, p)
	slices.SortStableFunc(all, func(a, b waiting) int {
		return cmp.Or(cmp.Compare(a.pkt.departs, b.pkt.departs), cmp.Compare(a.when, b.when), cmp.Compare(a.ord, b.ord))
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
		pkts[i].departs = int64(m.NewDeparture)
		n.deliverAt(pkts[i], int64(m.NewAt))
	}
	n.request()
}

// takeWaiting takes the packets that wait at a pipe out of the events.
func (n *Network) takeWaiting(now int64, p *pipe) (all []waiting) {
	n.lastTrain = nil
	before := n.events
	n.events = before[:0]
	for _, e := range before {
		if head, ok := e.what.(*packet); ok && head.pipes[head.hop] == p {
			var stays *packet
			for pkt := head; pkt != nil; {
				next := pkt.train.next
				pkt.uncouple()
				switch {
				case pkt.departs > now:
					all = append(all, waiting{pkt, e.when, e.ord})
				case stays == nil:
					stays = pkt
				default:
					stays.couple(pkt)
				}
				pkt = next
			}
			if stays == nil {
				continue
			}
			e.what = stays
		}
		n.events.push(e)
	}
	clear(before[len(n.events):])
	return all
}
