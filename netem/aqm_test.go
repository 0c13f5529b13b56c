package netem_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
)

// A world is the packets sent to a pipe whose queue decides late, and their fates.
type world struct {
	*netem.Pipe
	draws  netem.Stream
	fates  map[uint64]netem.Verdict
	order  []uint64 // of the tickets of those that were sent
	latest time.Duration
}

func newWorld(t *testing.T, cfg netem.Config) *world {
	return &world{Pipe: newPipe(t, cfg), draws: netem.NewStream(1), fates: map[uint64]netem.Verdict{}}
}

// send first takes the packets that are due before, and returns the new packet's ticket.
func (w *world) send(pkt netem.Packet, now time.Duration) uint64 {
	w.run(now)
	v := w.Send(pkt, now, &w.draws)
	w.take(now)
	return v.Ticket
}

// run lets time pass.
func (w *world) run(now time.Duration) {
	for {
		at, ok := w.Due()
		if !ok || at > now {
			return
		}
		w.take(at)
	}
}

func (w *world) take(now time.Duration) {
	for {
		f, ok := w.Take(now)
		if !ok {
			return
		}
		w.fates[f.Ticket] = f.Verdict
		if !f.Dropped() {
			w.order = append(w.order, f.Ticket)
		}
	}
}

func TestDropHead(t *testing.T) {
	for _, q := range []netem.DropHead{{Packets: 2}, {Bytes: 2500}} {
		w := newWorld(t, netem.Config{Delay: 20 * ms, Rate: 10 * netem.Mbit, Queue: q}) // 1250 bytes take 1 ms
		for i := range 5 {
			w.send(netem.Packet{Size: 1250}, time.Duration(i))
		}
		// The first packet is being sent. The next two were dropped when the last two arrived.
		packets, bytes := w.Backlog(10)
		require.Equal(t, []int{3, 3 * 1250}, []int{packets, bytes}, "%v", q)
		w.run(time.Second)
		require.Equal(t, []uint64{1, 4, 5}, w.order, "%v", q)
		require.Equal(t, netem.Verdict{Departure: 3 * ms, At: 23 * ms}, w.fates[5], "%v", q)
		require.Equal(t, netem.Verdict{Reason: netem.DropQueue}, w.fates[2], "%v", q)
		require.Equal(t, netem.Verdict{Reason: netem.DropQueue}, w.fates[3], "%v", q)
		_, ok := w.Due()
		require.False(t, ok)
	}
}

// As long as nothing is dropped, a queue that decides late behaves like one that decides at once.
func TestRoomsServeAsTheLineDoes(t *testing.T) {
	cfg := netem.Config{
		Delay: 30 * ms, Jitter: 10 * ms, Loss: netem.Bernoulli(0.1), Duplicate: 0.1, Reorder: 0.1, Corrupt: 0.1, Rate: 7 * netem.Mbit,
		Copies: netem.Copies{Number: 2, Delay: ms},
	}
	for _, shaper := range []netem.Shaper{nil, netem.TokenBucket{Rate: 7 * netem.Mbit, Burst: 5000}, netem.Sine(5*netem.Mbit, 9*netem.Mbit, time.Second)} {
		if cfg.Shaper = shaper; shaper != nil {
			cfg.Rate = 0
		}
		for _, q := range []netem.Queue{
			netem.DropHead{Packets: 1e6}, netem.DropRandom{Packets: 1e6}, netem.CoDel{Target: time.Second, Interval: time.Minute}, netem.FQCoDel{CoDel: netem.CoDel{Target: time.Second, Interval: time.Minute}},
		} {
			at, late := newPipe(t, cfg), cfg
			late.Queue = q
			w := newWorld(t, late)
			draws, traffic := netem.NewStream(1), netem.NewStream(2)
			var want []netem.Verdict
			var tickets []uint64
			var now time.Duration
			for range 2000 {
				now += time.Duration(traffic.Uint64() % uint64(3*ms))
				pkt := netem.Packet{Size: 40 + int(traffic.Uint64()%1400)}
				v := at.Send(pkt, now, &draws)
				for _, c := range v.Copies {
					want = append(want, netem.Verdict{Departure: c.Departure, At: c.At, Noise: c.Noise, Corrupt: c.Corrupt})
				}
				if v.Copies = nil; !v.Dropped() {
					want = append(want, v)
				}
				w.run(now)
				v = w.Send(pkt, now, &w.draws)
				for _, c := range v.Copies {
					tickets = append(tickets, c.Ticket)
				}
				if !v.Dropped() {
					tickets = append(tickets, v.Ticket)
				}
				w.take(now)
			}
			w.run(time.Hour)
			require.Equal(t, len(want), len(tickets))
			for i, ticket := range tickets {
				require.Equal(t, want[i], w.fates[ticket], "%v: packet %d", q, i)
			}
		}
	}
}

// CoDel under a load of twice the rate: nothing happens for an Interval after the wait has passed
// Target. Then a packet is dropped, and the next ones an Interval divided by the square root of
// their number apart.
func TestCoDelDropsByTheSquareRoot(t *testing.T) {
	w := newWorld(t, netem.Config{Rate: 12 * netem.Mbit, Queue: netem.CoDel{}}) // 1500 bytes take 1 ms
	var drops []time.Duration
	sent := map[uint64]time.Duration{}
	known := 0
	for i := range 4000 {
		now := time.Duration(i) * ms / 2
		sent[w.send(netem.Packet{Size: 1500}, now)] = now
		dropped := 0
		for _, v := range w.fates {
			if v.Dropped() {
				dropped++
			}
		}
		for ; known < dropped; known++ {
			drops = append(drops, now)
		}
		if len(drops) == 20 {
			break
		}
	}
	// At 2 packets a millisecond, the packet that leaves at 10 ms has waited for 5 ms. The first
	// drop comes more than 100 ms later.
	require.InDelta(t, float64(111*ms), float64(drops[0]), float64(2*ms))
	// The kernel computes the root by one step of Newton's method from the last one, so the first
	// ones are 1, 0.5 and 0.5625 instead of 1, 0.7071 and 0.5774.
	due, root := drops[0], 1.
	for k := 1; k < len(drops); k++ {
		if k > 1 {
			root *= (3 - float64(k)*root*root) / 2
		}
		if k > 5 {
			require.InEpsilon(t, 1/math.Sqrt(float64(k)), root, 0.02)
		}
		due += time.Duration(float64(100*ms) * root)
		require.InDelta(t, float64(due), float64(drops[k]), float64(3*ms), "drop %d", k)
	}

	// Once the queue is short nothing is dropped, however long that lasts.
	w.run(time.Hour)
	dropped := len(w.fates) - len(w.order)
	for i := range 1000 {
		w.send(netem.Packet{Size: 1500}, 2*time.Hour+time.Duration(i)*ms)
	}
	w.run(3 * time.Hour)
	require.Equal(t, dropped, len(w.fates)-len(w.order))
}

// Against a sender that does not slow down, CoDel drops until only as much arrives as the line can
// send. Marks change nothing for a sender that ignores them.
func TestCoDelMarksInsteadOfDropping(t *testing.T) {
	for _, row := range []struct{ queue, ect bool }{{true, true}, {true, false}, {false, true}} {
		for _, q := range []netem.Queue{netem.CoDel{ECN: row.queue}, netem.FQCoDel{CoDel: netem.CoDel{ECN: row.queue}}} {
			w := newWorld(t, netem.Config{Rate: 12 * netem.Mbit, Queue: q})
			for i := range 1000 {
				w.send(netem.Packet{Size: 1500, ECT: row.ect}, time.Duration(i)*ms/2)
			}
			w.run(time.Hour)
			marked, dropped := 0, 0
			for _, v := range w.fates {
				if v.Marked {
					marked++
				}
				if v.Dropped() {
					dropped++
				}
			}
			require.Equal(t, row.queue && row.ect, marked > 0 && dropped == 0, "%v, ECT %v", q, row.ect)
			require.Equal(t, !row.queue || !row.ect, marked == 0 && dropped > 5, "%v, ECT %v", q, row.ect)
		}
	}
}

// A flow of few packets does not wait behind a flow of many, and each flow of many gets its share.
func TestFQCoDelServesFlowsInTurn(t *testing.T) {
	w := newWorld(t, netem.Config{Rate: 12 * netem.Mbit, Queue: netem.FQCoDel{}})
	flowOf, sparse := map[uint64]uint64{}, map[uint64]time.Duration{}
	for i := range 4000 {
		now := time.Duration(i) * ms / 4
		flowOf[w.send(netem.Packet{Size: 1500, Flow: 1}, now)] = 1
		if i%2 == 0 {
			flowOf[w.send(netem.Packet{Size: 750, Flow: 2}, now)] = 2
		}
		if i%100 == 0 {
			sparse[w.send(netem.Packet{Size: 100, Flow: 3}, now)] = now
		}
	}
	bytes := map[uint64]int{}
	for _, ticket := range w.order {
		bytes[flowOf[ticket]] += map[uint64]int{1: 1500, 2: 750, 0: 0}[flowOf[ticket]]
	}
	require.InEpsilon(t, bytes[1], bytes[2], 0.02, "each has its share of bytes, whatever its packets")
	for ticket, came := range sparse {
		if came > 0 { // then all flows were new
			require.LessOrEqual(t, w.fates[ticket].Departure-came, 1100*time.Microsecond, "behind the packet on the line, no more")
		}
	}
}

// A flow that sends again soon after it was served does not count as new each time: it waits for
// its turn.
func TestFQCoDelDoesNotStarveOldFlows(t *testing.T) {
	w := newWorld(t, netem.Config{Rate: 12 * netem.Mbit, Queue: netem.FQCoDel{CoDel: netem.CoDel{Target: time.Second, Interval: time.Minute}}})
	for i := range 200 {
		w.send(netem.Packet{Size: 1500, Flow: uint64(i % 5)}, 0)
	}
	soon := map[uint64]bool{}
	last := w.send(netem.Packet{Size: 1500, Flow: 9}, 0)
	for now := ms / 2; now < 60*ms; now += ms { // packets leave at whole milliseconds
		w.run(now)
		if _, served := w.fates[last]; served && w.fates[last].Departure < now {
			last = w.send(netem.Packet{Size: 1500, Flow: 9}, now)
			soon[last] = true
		}
	}
	w.run(time.Second)
	served := 0
	for _, ticket := range w.order[:60] {
		if soon[ticket] {
			served++
		}
	}
	require.InDelta(t, 10, served, 3, "a sixth of 60 packets")
}

// One packet that waits is no queue, however long the line takes for it: nothing is dropped.
func TestCoDelDropsNothingOfOnePacket(t *testing.T) {
	w := newWorld(t, netem.Config{Rate: netem.Mbit, Queue: netem.CoDel{}}) // 1500 bytes take 12 ms
	for i := range 1000 {
		w.send(netem.Packet{Size: 1500}, time.Duration(i)*12*ms)
		if i == 0 {
			w.send(netem.Packet{Size: 1500}, 0)
		}
	}
	w.run(time.Hour)
	require.Len(t, w.order, 1001)
	require.Equal(t, w.order, w.order[:len(w.fates)])
}

// After a short pause CoDel drops as often as before, and does not start again with an Interval.
func TestCoDelRemembersItsRate(t *testing.T) {
	w := newWorld(t, netem.Config{Rate: 12 * netem.Mbit, Queue: netem.CoDel{}})
	dropped := func() int { return len(w.fates) - len(w.order) }
	now := time.Duration(0)
	for dropped() < 30 {
		now += ms / 2
		w.send(netem.Packet{Size: 1500}, now)
	}
	for packets := 1; packets > 0; packets, _ = w.Backlog(now) {
		now += ms
		w.run(now)
	}
	var drops []time.Duration
	for before := dropped(); len(drops) < 4; {
		now += ms / 2
		w.send(netem.Packet{Size: 1500}, now)
		for ; before < dropped(); before++ {
			drops = append(drops, now)
		}
	}
	require.Less(t, drops[1]-drops[0], 50*ms, "%v", drops)
}

func TestFQCoDelDropsFromTheFattest(t *testing.T) {
	w := newWorld(t, netem.Config{Rate: 12 * netem.Mbit, Queue: netem.FQCoDel{CoDel: netem.CoDel{Packets: 20}}})
	var thin []uint64
	for i := range 100 {
		w.send(netem.Packet{Size: 1500, Flow: 1}, 0)
		if i%25 == 0 {
			thin = append(thin, w.send(netem.Packet{Size: 1500, Flow: 2}, 0))
		}
	}
	packets, _ := w.Backlog(0)
	require.LessOrEqual(t, packets, 21)
	w.run(time.Hour)
	for _, ticket := range thin {
		require.False(t, w.fates[ticket].Dropped())
	}
	require.Len(t, w.fates, 104)
}

// Waiting packets go on waiting when the configuration changes. If the new queue decides at once,
// it decides for them.
func TestChangeOfQueuesThatDecideLate(t *testing.T) {
	codel := netem.Config{Rate: 12 * netem.Mbit, Queue: netem.CoDel{}}
	for _, row := range []struct {
		reason string
		next   netem.Config
		want   []time.Duration // departures of four packets, of which the first is sent half
	}{
		{"a new rate", netem.Config{Rate: 24 * netem.Mbit, Queue: netem.CoDel{}}, []time.Duration{750 * time.Microsecond, 1250 * time.Microsecond, 1750 * time.Microsecond, 2250 * time.Microsecond}},
		{"another queue", netem.Config{Rate: 12 * netem.Mbit, Queue: netem.FQCoDel{}}, []time.Duration{ms, 2 * ms, 3 * ms, 4 * ms}},
		{"one that decides at once", netem.Config{Rate: 12 * netem.Mbit, Queue: netem.DropTail{Packets: 1}}, []time.Duration{ms, 2 * ms, 3 * ms, 4 * ms}},
		{"no rate", netem.Config{}, []time.Duration{ms / 2, ms / 2, ms / 2, ms / 2}},
		{"drop-head", netem.Config{Rate: 12 * netem.Mbit, Queue: netem.DropHead{Packets: 2}}, []time.Duration{ms, 0, 2 * ms, 3 * ms}},
	} {
		w := newWorld(t, codel)
		for range 4 {
			w.send(netem.Packet{Size: 1500}, 0)
		}
		w.run(ms / 2)
		moves, err := w.Change(row.next, ms/2)
		require.NoError(t, err)
		require.Len(t, moves, 1, "%s: only what is on the line has a verdict to change", row.reason)
		got := []time.Duration{moves[0].NewDeparture}
		w.run(time.Hour)
		for ticket := uint64(2); ticket <= 4; ticket++ {
			got = append(got, w.fates[ticket].Departure)
		}
		require.Equal(t, row.want, got, row.reason)
		w.Send(netem.Packet{Size: 100}, time.Hour, &w.draws)
	}
}

func TestREDDropsByTheAverage(t *testing.T) {
	// A line with a slight overload: the average settles between the thresholds, where the excess
	// is dropped.
	q := netem.RED{Min: 15_000, Max: 45_000, Limit: 200_000, Probability: 0.5, Weight: 7}
	for _, load := range []float64{0.5, 1.1, 1.2} {
		p, r := newPipe(t, netem.Config{Rate: 12 * netem.Mbit, Queue: q}), netem.NewStream(1)
		var clock float64
		lost, sum, n := 0, 0, 60_000
		for i := range n {
			clock += float64(ms) / load
			now := time.Duration(clock)
			_, bytes := p.Backlog(now)
			if i >= n/6 {
				sum += bytes
				if p.Send(netem.Packet{Size: 1500}, now, &r).Reason == netem.DropQueue {
					lost++
				}
			} else {
				p.Send(netem.Packet{Size: 1500}, now, &r)
			}
		}
		rest := float64(n - n/6)
		mean := float64(sum) / rest
		if load < 1 {
			require.Zero(t, lost, "nothing is dropped below Min")
			continue
		}
		require.InEpsilon(t, (load-1)/load, float64(lost)/rest, 0.08, "load %v", load)
		require.Greater(t, mean, 15_000., "load %v", load)
		require.Less(t, mean, 45_000., "load %v", load)
	}
}

func TestREDMarks(t *testing.T) {
	q := netem.RED{Min: 3000, Max: 9000, Limit: 100_000, Weight: 1, ECN: true}
	p, r := newPipe(t, netem.Config{Rate: netem.Mbit, Queue: q}), netem.NewStream(1)
	marked, dropped := 0, 0
	for i := range 40 {
		v := p.Send(netem.Packet{Size: 1500, ECT: i%2 == 0}, 0, &r)
		if v.Marked {
			marked++
		}
		if v.Dropped() {
			dropped++
		}
	}
	require.Greater(t, marked, 10)
	require.Greater(t, dropped, 10)
	for range 100 {
		p.Send(netem.Packet{Size: 1500, ECT: true}, 0, &r)
	}
	require.Equal(t, netem.DropQueue, p.Send(netem.Packet{Size: 1500, ECT: true}, 0, &r).Reason, "the limit is for all")
	_, bytes := p.Backlog(0)
	require.LessOrEqual(t, bytes, 100_000)

	// After a long pause nothing is left of the average.
	v := p.Send(netem.Packet{Size: 1500}, time.Hour, &r)
	require.Equal(t, fmt.Sprint(netem.Delivered, false), fmt.Sprint(v.Reason, v.Marked))
}
