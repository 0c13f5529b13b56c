package netem_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
)

// Against a sender that does not slow down, PIE settles where the line can send what is left of its
// packets, and they wait for about Target. So half of a load of twice the rate is dropped, and a
// fifth of a load of 1.25 times the rate.
func TestPIEHoldsTheWaitAtItsTarget(t *testing.T) {
	for _, row := range []struct {
		load   float64 // as a multiple of the rate
		target time.Duration
	}{{2, 0}, {1.25, 0}, {1.25, 40 * ms}, {1.6, 15 * ms}} {
		q := netem.PIE{Target: row.target}
		p := newPipe(t, netem.Config{Rate: 10 * netem.Mbit, Queue: q}) // 1250 bytes take 1 ms
		draws, traffic := netem.NewStream(1), netem.NewStream(2)
		gap := float64(ms) / row.load
		var now, waits time.Duration
		sent, dropped := 0, 0
		for now < 220*time.Second {
			// Poisson arrivals: the gap is exponential.
			u := (float64(traffic.Uint64()>>11) + 0.5) / (1 << 53)
			now += time.Duration(-math.Log(u) * gap)
			v := p.Send(netem.Packet{Size: 1250}, now, &draws)
			if now < 20*time.Second { // until it has settled
				continue
			}
			if sent++; v.Dropped() {
				dropped++
			} else {
				waits += v.Departure - ms - now
			}
		}
		target := row.target
		if target == 0 {
			target = 15 * ms
		}
		require.InDelta(t, 1-1/row.load, float64(dropped)/float64(sent), 0.01, "load %v", row.load)
		require.InEpsilon(t, float64(target), float64(waits)/float64(sent-dropped), 0.15, "load %v, target %v", row.load, row.target)
	}
}

// A burst passes: for 150 ms after an idle time nothing is dropped except for lack of room. Later
// packets are dropped. A load below the rate is never dropped.
func TestPIEAllowsBursts(t *testing.T) {
	p := newPipe(t, netem.Config{Rate: 10 * netem.Mbit, Queue: netem.PIE{}})
	draws := netem.NewStream(1)
	for round := range 3 {
		start := time.Duration(round) * time.Hour
		first := time.Duration(-1)
		for i := range 2000 { // ten times what the line takes
			now := start + time.Duration(i)*ms/10
			if v := p.Send(netem.Packet{Size: 1250}, now, &draws); v.Dropped() && first < 0 {
				first = now - start
			}
		}
		require.GreaterOrEqual(t, first, 100*ms, "round %d", round) // 100 ms: 1000 packets wait
		require.Less(t, first, 200*ms)
	}
	for i := range 20_000 {
		v := p.Send(netem.Packet{Size: 1250}, 5*time.Hour+time.Duration(i)*2*ms, &draws)
		require.False(t, v.Dropped())
	}
}

// Packets of a sender that understands ECN are marked until that does not help: then the
// probability rises above 0.1, and PIE drops.
func TestPIEMarks(t *testing.T) {
	for _, ect := range []bool{true, false} {
		p := newPipe(t, netem.Config{Rate: 10 * netem.Mbit, Queue: netem.PIE{ECN: true, Packets: 10_000}})
		draws := netem.NewStream(1)
		marked, late, dropped := 0, 0, 0
		for now := time.Duration(0); now < 40*time.Second; now += 960 * time.Microsecond { // 1.04 times what the line takes
			v := p.Send(netem.Packet{Size: 1250, ECT: ect}, now, &draws)
			switch {
			case v.Dropped():
				dropped++
			case v.Marked && dropped == 0:
				marked++
			case v.Marked:
				late++
			}
		}
		require.Equal(t, ect, marked > 10, "%d marked before any was dropped", marked)
		require.InDelta(t, 0.04*40/0.00096, dropped, 300, "what the line cannot take") // 1667
		if !ect {
			require.Zero(t, marked+late)
		}
	}
}

// The victim is equally likely to be any of the waiting packets. So of a burst into a queue that is
// too short, the remaining packets are spread over the burst.
func TestDropRandom(t *testing.T) {
	const burst, room, rounds = 60, 20, 4000
	left := make([]int, burst)
	draws := netem.NewStream(1)
	for range rounds {
		w := newWorld(t, netem.Config{Rate: 10 * netem.Mbit, Queue: netem.DropRandom{Packets: room}})
		w.draws = draws
		w.send(netem.Packet{Size: 1250}, 0) // is being sent
		for i := range burst {
			w.send(netem.Packet{Size: 1250}, time.Duration(i+1))
		}
		draws = w.draws
		w.run(time.Second)
		require.Len(t, w.order, room+1)
		require.IsIncreasing(t, w.order, "first in, first out")
		for _, ticket := range w.order[1:] {
			left[ticket-2]++
		}
	}
	// The i-th packet, from 0, faces a draw of one in 21 with each packet that arrives at a full
	// queue, itself included.
	for i, count := range left {
		draws := burst - max(room, i)
		want := rounds * math.Pow(room/(room+1.0), float64(draws))
		require.InDelta(t, want, count, 5*math.Sqrt(want*(1-want/rounds))+1, "packet %d", i)
	}

	w := newWorld(t, netem.Config{Rate: 10 * netem.Mbit, Queue: netem.DropRandom{Bytes: 3000}})
	for i := range 10 {
		w.send(netem.Packet{Size: 1500 - 100*i}, time.Duration(i))
		_, bytes := w.Backlog(time.Duration(i))
		require.LessOrEqual(t, bytes, 3000+1500)
	}
}
