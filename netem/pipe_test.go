package netem_test

import (
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
)

const ms = time.Millisecond

// A fate is a verdict that the test can keep: its copy, if it has one, is in fields.
type fate struct {
	netem.Verdict
	Dup, DupCorrupt bool
	DupAt           time.Duration
}

func fateOf(v netem.Verdict) fate {
	f := fate{Verdict: v}
	f.Copies, f.Noise = nil, 0
	if len(v.Copies) > 0 {
		f.Dup, f.DupCorrupt, f.DupAt = true, v.Copies[0].Corrupt, v.Copies[0].At
	}
	return f
}

func TestZeroConfigIsPerfect(t *testing.T) {
	p, r := newPipe(t, netem.Config{}), netem.NewStream(1)
	require.Equal(t, netem.Verdict{Departure: 5, At: 5}, p.Send(netem.Packet{Size: 1500}, 5, &r))
	require.Equal(t, uint64(1), r.Count())
}

func TestPassIsForPipesThatOnlyDelay(t *testing.T) {
	for _, row := range []struct {
		cfg    netem.Config
		want   bool
		reason string
	}{
		{netem.Config{Delay: 5 * ms}, true, "a fixed delay is the same for all"},
		{netem.Config{MTU: 1500}, true, "the default, spelt out"},
		{netem.Config{MTU: 1400}, false, "packets of 1500 bytes do not pass"},
		{netem.Config{Delay: 5 * ms, Jitter: 1}, false, "jitter"},
		{netem.Config{KeepOrder: true}, false, "order must be known when Delay changes"},
		{netem.Config{Loss: netem.Bernoulli(0)}, false, "a loss model, even of probability 0"},
		{netem.Config{Duplicate: 1e-9}, false, "duplication"},
		{netem.Config{Delay: 1, Reorder: 1e-9}, false, "reordering"},
		{netem.Config{Corrupt: 1e-9}, false, "corruption"},
		{netem.Config{Rate: 1}, false, "a rate"},
	} {
		p, r := newPipe(t, row.cfg), netem.NewStream(1)
		at, ok := p.Pass(3, 1500, 7*ms, &r)
		require.Equal(t, row.want, ok, row.reason)
		if ok {
			require.Equal(t, 7*ms+row.cfg.Delay, at)
			require.Equal(t, uint64(3), r.Count())
		} else {
			require.Zero(t, r.Count(), "nothing has happened")
		}
	}
}

func TestDelayIsCountedFromTheLastBit(t *testing.T) {
	p, r := newPipe(t, netem.Config{Delay: 40 * ms, Rate: 10 * netem.Mbit}), netem.NewStream(1)
	require.Equal(t, netem.Verdict{Departure: 2 * ms, At: 42 * ms}, p.Send(netem.Packet{Size: 1250}, 1*ms, &r))
	require.Equal(t, netem.Verdict{Departure: 3 * ms, At: 43 * ms}, p.Send(netem.Packet{Size: 1250}, 1*ms, &r), "behind the first")
	require.Equal(t, netem.Verdict{Departure: 10 * ms, At: 50 * ms}, p.Send(netem.Packet{Size: 1250}, 9*ms, &r), "idle again")
}

func TestMTU(t *testing.T) {
	for _, row := range []struct{ mtu, limit int }{{0, 1500}, {68, 68}, {65535, 65535}} {
		p, r := newPipe(t, netem.Config{MTU: row.mtu, Rate: netem.Mbit}), netem.NewStream(1)
		require.Equal(t, netem.Verdict{Reason: netem.DropMTU}, p.Send(netem.Packet{Size: row.limit + 1}, 0, &r))
		packets, _ := p.Backlog(0)
		require.Zero(t, packets, "a refused packet takes no room")
		require.Equal(t, netem.Delivered, p.Send(netem.Packet{Size: row.limit}, 0, &r).Reason)
	}
}

func TestLostPacketsTakeNoRate(t *testing.T) {
	p, r := newPipe(t, netem.Config{
		Rate: 10 * netem.Mbit, Queue: netem.DropTail{Packets: 2}, Loss: netem.DropList{1, 3},
	}), netem.NewStream(1)
	require.Equal(t, netem.Verdict{Reason: netem.DropLoss}, p.Send(netem.Packet{Size: 1250}, 0, &r))
	require.Equal(t, netem.Verdict{Departure: 1 * ms, At: 1 * ms}, p.Send(netem.Packet{Size: 1250}, 0, &r), "the line is still free")
	require.Equal(t, netem.Verdict{Reason: netem.DropLoss}, p.Send(netem.Packet{Size: 1250}, 0, &r))
	require.Equal(t, netem.Verdict{Departure: 2 * ms, At: 2 * ms}, p.Send(netem.Packet{Size: 1250}, 0, &r), "and there is room")
}

// Two packets spaced d apart whose delays are uniform within +-s change places with probability
// (1-d/2s)^2/2 for d <= 2s.
func TestJitterSwapProbability(t *testing.T) {
	const n = 500_000
	const s = 10 * ms
	for _, d := range []time.Duration{0, 1 * ms, 5 * ms, 15 * ms, 20 * ms} {
		p, r := newPipe(t, netem.Config{Delay: 50 * ms, Jitter: s}), netem.NewStream(1, "swap")
		swapped := 0
		for i := range n {
			now := time.Duration(i) * time.Second
			if first := p.Send(netem.Packet{Size: 100}, now, &r).At; first > p.Send(netem.Packet{Size: 100}, now+d, &r).At {
				swapped++
			}
		}
		x := 1 - float64(d)/float64(2*s)
		want := x * x / 2
		require.InDelta(t, want, float64(swapped)/n, 5*math.Sqrt(want*(1-want)/n), "spacing %v", d)
	}
}

func TestJitterStaysInItsRange(t *testing.T) {
	for _, row := range []struct {
		shape       netem.Distribution
		least, most time.Duration
		reason      string
	}{
		{nil, 0, 20 * ms, "uniform: Delay-Jitter to Delay+Jitter"},
		{netem.Normal, 0, 10*ms + 36*ms, "4 Jitter below Delay is cut off at no delay"},
		{netem.Pareto, 3_330_000, 50 * ms, "from -0.667 to 4 Jitter"},
	} {
		p, r := newPipe(t, netem.Config{Delay: 10 * ms, Jitter: 10 * ms, Distribution: row.shape}), netem.NewStream(1)
		least, most := time.Hour, time.Duration(0)
		for range 100_000 {
			at := p.Send(netem.Packet{Size: 100}, 0, &r).At
			least, most = min(least, at), max(most, at)
		}
		require.GreaterOrEqual(t, least, row.least, row.reason)
		require.LessOrEqual(t, most, row.most, row.reason)
		require.InDelta(t, row.least, least, float64(ms)/5, "%s: reached", row.reason)
		require.InDelta(t, row.most, most, float64(ms), "%s: reached", row.reason)
	}
}

type fixedOffset time.Duration

func (f fixedOffset) Offset(uint64, time.Duration) time.Duration { return time.Duration(f) }

func TestOwnDistribution(t *testing.T) {
	for offset, want := range map[time.Duration]time.Duration{7 * ms: 17 * ms, -3 * ms: 7 * ms, -30 * ms: 0} {
		p, r := newPipe(t, netem.Config{Delay: 10 * ms, Jitter: 1, Distribution: fixedOffset(offset)}), netem.NewStream(1)
		require.Equal(t, want, p.Send(netem.Packet{Size: 100}, 0, &r).At)
	}
}

func TestKeepOrderNeverReorders(t *testing.T) {
	cfg := netem.Config{Delay: 50 * ms, Jitter: 50 * ms, Distribution: netem.ParetoNormal, Duplicate: 0.2, Rate: 20 * netem.Mbit}
	arrivals := func(keep bool) (at []time.Duration, copies []time.Duration) {
		cfg := cfg
		cfg.KeepOrder = keep
		p, r := newPipe(t, cfg), netem.NewStream(1, "order")
		for i := range 50_000 {
			v := fateOf(p.Send(netem.Packet{Size: 1000}, time.Duration(i)*ms, &r))
			at, copies = append(at, v.At), append(copies, v.DupAt)
		}
		return at, copies
	}

	free, freeCopies := arrivals(false)
	kept, keptCopies := arrivals(true)
	var latest time.Duration
	waits := 0
	for i := range kept {
		// The packet waits for the latest one before it and for nothing else.
		require.Equal(t, max(free[i], latest), kept[i], "packet %d", i)
		if kept[i] > free[i] {
			waits++
		}
		latest = kept[i]
		if keptCopies[i] > 0 {
			require.Equal(t, max(freeCopies[i], latest), keptCopies[i], "copy of packet %d", i)
			latest = keptCopies[i]
		}
	}
	require.Greater(t, waits, 10_000, "the jitter is large enough to matter")
}

func TestRatesOfTheOtherImpairments(t *testing.T) {
	const n = 500_000
	for _, p := range []float64{0.0005, 0.05, 0.5, 1} {
		pipe, r := newPipe(t, netem.Config{Delay: 50 * ms, Duplicate: p, Reorder: p, Corrupt: p}), netem.NewStream(1, "rates")
		var copies, reordered, corrupt, corruptCopies, wrongTimes int
		for range n {
			v := fateOf(pipe.Send(netem.Packet{Size: 1000}, 1*ms, &r))
			want := fate{ // all times follow from what was drawn
				Verdict: netem.Verdict{Departure: 1 * ms, At: 51 * ms, Reordered: v.Reordered, Corrupt: v.Corrupt},
				Dup:     v.Dup, DupCorrupt: v.DupCorrupt,
			}
			if v.Reordered {
				reordered++
				want.At = 1 * ms // sent ahead without the delay
			}
			if v.Dup {
				copies++
				want.DupAt = 51 * ms // a copy is not reordered
			}
			if v.Corrupt {
				corrupt++
			}
			if v.DupCorrupt {
				corruptCopies++
			}
			if !reflect.DeepEqual(v, want) {
				wrongTimes++
			}
		}
		require.Zero(t, wrongTimes)
		sigma := math.Sqrt(p * (1 - p) / n)
		require.InDelta(t, p, float64(copies)/n, 5*sigma, "duplicates")
		require.InDelta(t, p, float64(reordered)/n, 5*sigma, "reordered")
		require.InDelta(t, p, float64(corrupt)/n, 5*sigma, "corrupt")
		require.InDelta(t, p*p, float64(corruptCopies)/n, 5*math.Sqrt(p*p*(1-p*p)/n), "corrupt copies")
	}
}

func TestReorderedPacketStillWaitsForTheLine(t *testing.T) {
	p, r := newPipe(t, netem.Config{Delay: 50 * ms, Reorder: 1, Rate: 10 * netem.Mbit}), netem.NewStream(1)
	require.Equal(t, 1*ms, p.Send(netem.Packet{Size: 1250}, 0, &r).At)
	require.Equal(t, 2*ms, p.Send(netem.Packet{Size: 1250}, 0, &r).At)
}

func TestCopyTakesRateAndRoom(t *testing.T) {
	p, r := newPipe(t, netem.Config{Rate: 10 * netem.Mbit, Queue: netem.DropTail{Packets: 3}, Duplicate: 1}), netem.NewStream(1)
	require.Equal(t, fate{Verdict: netem.Verdict{Departure: 1 * ms, At: 1 * ms}, Dup: true, DupAt: 2 * ms}, fateOf(p.Send(netem.Packet{Size: 1250}, 0, &r)))
	require.Equal(t, netem.Verdict{Departure: 3 * ms, At: 3 * ms}, p.Send(netem.Packet{Size: 1250}, 0, &r), "no room for the copy")
	require.Equal(t, netem.Verdict{Reason: netem.DropQueue}, p.Send(netem.Packet{Size: 1250}, 0, &r))
}

// sent = dropped + delivered - copies, and the queue ends empty.
func TestConservation(t *testing.T) {
	p, r := newPipe(t, netem.Config{
		Delay: 10 * ms, Jitter: 5 * ms, Loss: netem.Correlated(0.1, 0.5), Duplicate: 0.1, Reorder: 0.1, Corrupt: 0.1,
		Rate: 8 * netem.Mbit, Queue: netem.DropTail{Bytes: 9000}, MTU: 1400,
	}), netem.NewStream(1, "conservation")
	sizes := netem.NewStream(1, "sizes")

	const sent = 100_000
	var now time.Duration
	dropped := map[netem.DropReason]int{}
	arrivals, copies := 0, 0
	var room int64 // bits accepted
	for range sent {
		size := 40 + int(sizes.Uint64()%1461)
		v := fateOf(p.Send(netem.Packet{Size: size}, now, &r))
		now += 700 * time.Microsecond
		if v.Dropped() {
			dropped[v.Reason]++
			require.Equal(t, fate{Verdict: netem.Verdict{Reason: v.Reason}}, v)
			continue
		}
		arrivals++
		room += int64(size) * 8
		require.GreaterOrEqual(t, v.At, v.Departure, "no arrival before the last bit is sent")
		if v.Dup {
			arrivals++
			copies++
			room += int64(size) * 8
		}
	}
	require.Equal(t, sent, dropped[netem.DropMTU]+dropped[netem.DropLoss]+dropped[netem.DropQueue]+arrivals-copies)
	for _, reason := range []netem.DropReason{netem.DropMTU, netem.DropLoss, netem.DropQueue} {
		require.NotZero(t, dropped[reason], "%v", reason)
	}
	require.LessOrEqual(t, room, int64(8e6*now.Seconds())+9000*8, "never more than the rate and one full queue")
	packets, bytes := p.Backlog(now + time.Second)
	require.Zero(t, packets)
	require.Zero(t, bytes)
}

// A change of one impairment does not change the draws of the others.
func TestDrawsAreIndependent(t *testing.T) {
	base := netem.Config{
		Delay: 50 * ms, Jitter: 20 * ms, Loss: netem.GilbertElliott{P: 0.05, R: 0.3, LossBad: 0.8},
		Duplicate: 0.2, Reorder: 0.2, Corrupt: 0.2, MTU: 1400, Rate: 50 * netem.Mbit, Queue: netem.DropTail{Packets: 5},
	}
	run := func(cfg netem.Config) []fate {
		p, r := newPipe(t, cfg), netem.NewStream(1, "independent")
		sizes := netem.NewStream(1, "sizes")
		verdicts := make([]fate, 5000)
		for i := range verdicts {
			verdicts[i] = fateOf(p.Send(netem.Packet{Size: 40 + int(sizes.Uint64()%1461)}, time.Duration(i)*130*time.Microsecond, &r))
		}
		require.Equal(t, uint64(len(verdicts)), r.Count(), "one step for each packet")
		return verdicts
	}
	want := run(base)

	for _, row := range []struct {
		change  func(*netem.Config)
		changes string // what may differ
	}{
		{func(c *netem.Config) { c.Jitter = 0 }, "delay"},
		{func(c *netem.Config) { c.Distribution = netem.Normal }, "delay"},
		{func(c *netem.Config) { c.Delay *= 2 }, "delay"},
		{func(c *netem.Config) { c.KeepOrder, c.Reorder = true, 0 }, "delay reorder"},
		{func(c *netem.Config) { c.Loss = nil }, "loss"},
		{func(c *netem.Config) { c.Loss = netem.Bernoulli(0.3) }, "loss"},
		{func(c *netem.Config) { c.Duplicate = 0 }, "dup"},
		{func(c *netem.Config) { c.Reorder = 0 }, "reorder"},
		{func(c *netem.Config) { c.Reorder = 0.9 }, "reorder"},
		{func(c *netem.Config) { c.Corrupt = 0 }, "corrupt"},
		{func(c *netem.Config) { c.MTU = 0 }, "mtu"},
		{func(c *netem.Config) { c.Rate, c.Queue = 0, nil }, "rate"},
		{func(c *netem.Config) { c.Queue = nil }, "queue"},
	} {
		cfg := base
		row.change(&cfg)
		got := run(cfg)
		compared, copies := 0, 0
		for i, w := range want {
			g := got[i]
			if row.changes != "loss" && g.Reason != netem.DropMTU && w.Reason != netem.DropMTU {
				require.Equal(t, w.Reason == netem.DropLoss, g.Reason == netem.DropLoss, "%s: loss of packet %d", row.changes, i)
			}
			if w.Dropped() || g.Dropped() {
				continue
			}
			compared++
			if row.changes != "corrupt" {
				require.Equal(t, w.Corrupt, g.Corrupt, "%s: corruption of packet %d", row.changes, i)
			}
			if row.changes != "reorder" && row.changes != "delay reorder" {
				require.Equal(t, w.Reordered, g.Reordered, "%s: reordering of packet %d", row.changes, i)
			}
			if row.changes != "delay" && row.changes != "delay reorder" && !w.Reordered && !g.Reordered {
				require.Equal(t, w.At-w.Departure, g.At-g.Departure, "%s: jitter of packet %d", row.changes, i)
			}
			if w.Dup && g.Dup {
				copies++
				if row.changes != "corrupt" {
					require.Equal(t, w.DupCorrupt, g.DupCorrupt, "%s: corruption of the copy of packet %d", row.changes, i)
				}
			}
			if row.changes == "delay" || row.changes == "reorder" || row.changes == "corrupt" {
				require.Equal(t, w.Dup, g.Dup, "%s: duplication of packet %d", row.changes, i)
			}
		}
		require.Greater(t, compared, 500, row.changes)
		if row.changes != "dup" {
			require.Greater(t, copies, 50, row.changes)
		}
	}
}

// No two impairments use the same random number: with every probability at one half, all
// combinations of fates are equally frequent.
func TestImpairmentsAreUnrelated(t *testing.T) {
	const n = 400_000
	p, r := newPipe(t, netem.Config{
		Delay: 50 * ms, Jitter: 20 * ms, Loss: netem.GilbertElliott{P: 0.5, R: 0.5, LossBad: 0.5, LossGood: 0.5},
		Duplicate: 0.5, Reorder: 0.5, Corrupt: 0.5,
	}), netem.NewStream(1, "unrelated")
	single := map[[3]bool]int{} // packets without copy: reordered, corrupt, late
	double := map[[5]bool]int{} // packets with one: also whether the copy is corrupt, late
	for range n {
		v := fateOf(p.Send(netem.Packet{Size: 1000}, 0, &r))
		switch late := v.At > 50*ms; {
		case v.Dropped():
		case v.Dup && !v.Reordered:
			double[[5]bool{v.Corrupt, late, v.DupCorrupt, v.DupAt > 50*ms}]++
		case v.Dup:
			double[[5]bool{v.Corrupt, v.DupCorrupt, v.DupAt > 50*ms, false, true}]++
		case v.Reordered:
			single[[3]bool{v.Corrupt, false, true}]++
		default:
			single[[3]bool{v.Corrupt, late, false}]++
		}
	}
	check := func(k int, share float64, fate any) {
		require.InDelta(t, n*share, k, 5*math.Sqrt(n*share*(1-share)), "%v", fate)
	}
	require.Len(t, single, 2+4)
	for fate, k := range single {
		share := 1. / 8 // half is delivered, a quarter without copy; reordered packets have no jitter
		if reordered := fate[2]; reordered {
			share /= 2
		} else {
			share /= 4
		}
		check(k, share, fate)
	}
	require.Len(t, double, 8+16)
	for fate, k := range double {
		share := 1. / 8
		if reordered := fate[4]; reordered {
			share /= 8
		} else {
			share /= 16
		}
		check(k, share, fate)
	}
}

func TestSetRefusesAndChangesNothing(t *testing.T) {
	cfg := netem.Config{Delay: 5 * ms, Loss: netem.DropList{2}}
	p, r := newPipe(t, cfg), netem.NewStream(1)
	require.Error(t, p.Set(netem.Config{Rate: -1}))
	require.Equal(t, cfg, p.Config())
	require.Equal(t, 5*ms, p.Send(netem.Packet{Size: 100}, 0, &r).At)
	require.Equal(t, netem.DropLoss, p.Send(netem.Packet{Size: 100}, 0, &r).Reason, "the count goes on")
}

func TestSetKeepsTheBacklogFirst(t *testing.T) {
	p, r := newPipe(t, netem.Config{Delay: 10 * ms, Rate: 10 * netem.Mbit}), netem.NewStream(1)
	for i := range 4 {
		require.Equal(t, time.Duration(i+11)*ms, p.Send(netem.Packet{Size: 1250}, 0, &r).At)
	}

	require.NoError(t, p.Set(netem.Config{Delay: 10 * ms, Rate: 20 * netem.Mbit, Queue: netem.DropTail{Packets: 3}}))
	require.Equal(t, netem.DropQueue, p.Send(netem.Packet{Size: 1250}, 1*ms, &r).Reason, "three still wait")
	require.Equal(t, netem.Verdict{Departure: 4500 * time.Microsecond, At: 14500 * time.Microsecond},
		p.Send(netem.Packet{Size: 1250}, 2*ms, &r), "behind the old ones, at the new rate")

	require.NoError(t, p.Set(netem.Config{Delay: 10 * ms}))
	_, ok := p.Pass(1, 1250, 2500*time.Microsecond, &r)
	require.False(t, ok, "packets still wait")
	require.Equal(t, 14500*time.Microsecond, p.Send(netem.Packet{Size: 1250}, 3*ms, &r).At, "no rate, but not ahead of the line")
	require.Equal(t, 15*ms, p.Send(netem.Packet{Size: 1250}, 5*ms, &r).At, "the line is free")
	_, ok = p.Pass(1, 1250, 6*ms, &r)
	require.True(t, ok)
}

func TestShorterDelayOvertakesUnlessOrderIsKept(t *testing.T) {
	for _, keep := range []bool{false, true} {
		p, r := newPipe(t, netem.Config{Delay: 100 * ms, KeepOrder: keep}), netem.NewStream(1)
		require.Equal(t, 100*ms, p.Send(netem.Packet{Size: 100}, 0, &r).At)
		require.NoError(t, p.Set(netem.Config{Delay: 10 * ms, KeepOrder: keep}))
		want := 11 * ms
		if keep {
			want = 100 * ms
		}
		require.Equal(t, want, p.Send(netem.Packet{Size: 100}, 1*ms, &r).At)
	}
}

// With P = 1 and a tiny R the chain is bad from the second packet on, practically forever.
func TestSetCarriesTheBurst(t *testing.T) {
	stuck := netem.GilbertElliott{P: 1, R: 1e-15}
	for _, row := range []struct {
		next   netem.Config
		lost   bool
		reason string
	}{
		{netem.Config{Delay: ms, Loss: stuck}, true, "the same model"},
		{netem.Config{Loss: netem.GilbertElliott{P: 1e-15, R: 1e-15}}, true, "other numbers, same kind"},
		{netem.Config{Loss: netem.Bernoulli(0)}, false, "another kind"},
		{netem.Config{Loss: netem.Correlated(1e-15, 0.9)}, false, "another chain"},
	} {
		p, r := newPipe(t, netem.Config{Loss: stuck}), netem.NewStream(1)
		require.False(t, p.Send(netem.Packet{Size: 100}, 0, &r).Dropped(), "starts good")
		require.True(t, p.Send(netem.Packet{Size: 100}, 0, &r).Dropped(), "turned bad")
		require.NoError(t, p.Set(row.next))
		require.Equal(t, row.lost, p.Send(netem.Packet{Size: 100}, 0, &r).Dropped(), row.reason)
		require.NoError(t, p.Set(netem.Config{}))
		require.NoError(t, p.Set(netem.Config{Loss: stuck}))
		require.False(t, p.Send(netem.Packet{Size: 100}, 0, &r).Dropped(), "a model that was taken away starts afresh")
	}

	// A loss whose successor is lost almost surely.
	p, r := newPipe(t, netem.Config{Loss: netem.Correlated(1, 0)}), netem.NewStream(1)
	require.True(t, p.Send(netem.Packet{Size: 100}, 0, &r).Dropped())
	require.NoError(t, p.Set(netem.Config{Loss: netem.Correlated(1e-15, 1-1e-15)}))
	require.True(t, p.Send(netem.Packet{Size: 100}, 0, &r).Dropped())
}

func TestSetCountsOnOnlyIfUnchanged(t *testing.T) {
	for _, row := range []struct {
		old, new netem.LossModel
		lost     bool
		reason   string
	}{
		{netem.DropList{3}, netem.DropList{3}, true, "an equal list counts on: this is packet 3"},
		{netem.DropList{3}, netem.DropList{1}, true, "a new list starts at 1"},
		{netem.DropList{3}, netem.DropList{3, 4}, false, "a longer list is a new one"},
		{netem.EveryNth(3), netem.EveryNth(3), true, "an equal number counts on"},
		{netem.EveryNth(4), netem.EveryNth(3), false, "another number starts anew"},
		{netem.DropList{9}, netem.EveryNth(1), true, "another model"},
		{netem.EveryNth(9), netem.DropList{1}, true, "another model"},
		{netem.DropList{3}, nil, false, "no model"},
	} {
		p, r := newPipe(t, netem.Config{Loss: row.old}), netem.NewStream(1)
		p.Send(netem.Packet{Size: 100}, 0, &r)
		p.Send(netem.Packet{Size: 100}, 0, &r)
		require.NoError(t, p.Set(netem.Config{Delay: ms, Loss: row.new}))
		require.Equal(t, row.lost, p.Send(netem.Packet{Size: 100}, 0, &r).Dropped(), "%v to %v: %s", row.old, row.new, row.reason)
	}
}

func TestMisusePanics(t *testing.T) {
	p, r := newPipe(t, netem.Config{}), netem.NewStream(1)
	p.Send(netem.Packet{Size: 100}, 6*ms, &r)
	require.PanicsWithValue(t, "netem: Send: size 0 is not positive", func() { p.Send(netem.Packet{Size: 0}, 6*ms, &r) })
	require.PanicsWithValue(t, "netem: Send: size -1 is not positive", func() { p.Send(netem.Packet{Size: -1}, 6*ms, &r) })
	require.PanicsWithValue(t, "netem: Send: time runs backwards, from 6ms to 5ms", func() { p.Send(netem.Packet{Size: 100}, 5*ms, &r) })
}

func TestDropReasonStrings(t *testing.T) {
	for reason, want := range map[netem.DropReason]string{
		netem.Delivered: "delivered", netem.DropMTU: "mtu", netem.DropLoss: "loss", netem.DropQueue: "queue", 99: "unknown",
	} {
		require.Equal(t, want, reason.String())
	}
}

func TestNoPacketIsFasterThanTheFloor(t *testing.T) {
	for _, cfg := range []netem.Config{
		{},
		{Delay: 50 * ms},
		{Delay: 50 * ms, Rate: netem.Mbit},
		{Delay: 50 * ms, Jitter: 30 * ms},
		{Delay: 50 * ms, Jitter: 30 * ms, Distribution: netem.Normal},
		{Delay: 50 * ms, Jitter: 30 * ms, Distribution: netem.Pareto, KeepOrder: true},
		{Delay: 50 * ms, Reorder: 0.5},
		{Delay: 50 * ms, Duplicate: 0.5, Jitter: 50 * ms},
	} {
		p, err := netem.NewPipe(cfg)
		require.NoError(t, err)
		r := netem.NewStream(1)
		least := time.Hour
		for i := range 10_000 {
			now := time.Duration(i) * ms
			v := fateOf(p.Send(netem.Packet{Size: 100}, now, &r))
			least = min(least, v.At-now)
			if v.Dup {
				least = min(least, v.DupAt-now)
			}
		}
		require.GreaterOrEqual(t, least, p.Floor(), "%+v", cfg)
		if cfg.Distribution == nil {
			require.InDelta(t, p.Floor(), least, float64(ms), "%+v: the floor is not needlessly low", cfg)
		}
	}
}
