package sim

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// Trains come in the order of their instants, then of their entry, whether they stand in line or overtake others, and also when some
// are taken out.
func TestTrainsInLineKeepTheirOrder(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var q eventQueue
		pipes := []*pipe{{}, {}, {}}
		flows := []*flow{{}, {}}
		in, now := 0, int64(0)
		popped := func() {
			q.front()
			before := q.events[0]
			e := q.pop()
			require.Equal(t, before, e)
			require.GreaterOrEqual(t, e.when, now)
			for _, other := range q.events {
				require.True(t, e.before(&other), "seed %d: an earlier one was left behind", seed)
			}
			now = e.when
			in -= e.what.(*packet).train.packets
			if q.lastTrain == e.what.(*packet) {
				q.lastTrain = nil
			}
		}
		for range 400 {
			switch k := r.IntN(20); {
			case k < 12:
				p := pipes[r.IntN(len(pipes))]
				pkt := &packet{flow: flows[r.IntN(2)], proto: protoUDP, pipes: []*pipe{p}, size: 100}
				when := now + int64(r.IntN(30))
				if p.last != nil && r.IntN(4) > 0 {
					when = max(when, p.last.line.when+int64(r.IntN(3)))
				}
				q.addPacket(pkt, when)
				in++
			case k < 19:
				if len(q.events) > 0 {
					popped()
				}
			default:
				p := pipes[r.IntN(len(pipes))]
				in -= len(q.take(func(pkt *packet) bool { return pkt.on(p) && r.IntN(2) == 0 }))
			}
		}
		for len(q.events) > 0 {
			popped()
		}
		for _, p := range pipes {
			require.Nil(t, p.last)
		}
		require.Zero(t, in, "seed %d: packets that were neither taken nor came", seed)
	}
}
