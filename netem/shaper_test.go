package netem_test

import (
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
)

// departures sends packets of the given sizes at the given times.
func departures(t *testing.T, cfg netem.Config, sizes []int, times []time.Duration) (all []time.Duration) {
	p, r := newPipe(t, cfg), netem.NewStream(1)
	for i, size := range sizes {
		v := p.Send(netem.Packet{Size: size}, times[i], &r)
		require.False(t, v.Dropped())
		require.Equal(t, v.Departure+cfg.Delay, v.At)
		all = append(all, v.Departure)
	}
	return all
}

func TestFraming(t *testing.T) {
	for _, row := range []struct {
		framing netem.Framing
		size    int
		wire    int
	}{
		{netem.Framing{}, 100, 100},
		{netem.Framing{Overhead: 38}, 100, 138},                          // Ethernet with preamble and gap
		{netem.Framing{Cell: 48, CellOverhead: 5}, 40, 53},               // a TCP ACK in one ATM cell
		{netem.Framing{Cell: 48, CellOverhead: 5}, 48, 53},               //
		{netem.Framing{Cell: 48, CellOverhead: 5}, 49, 106},              //
		{netem.Framing{Overhead: 8, Cell: 48, CellOverhead: 5}, 41, 106}, // AAL5's trailer makes it two
		{netem.Framing{Overhead: 8, Cell: 48}, 41, 96},
	} {
		want := time.Duration(row.wire) * 8 * time.Microsecond
		for _, cfg := range []netem.Config{
			{Rate: netem.Mbit, Framing: row.framing},
			{Shaper: netem.Profile{{Lasts: time.Hour, From: netem.Mbit, To: netem.Mbit}}, Framing: row.framing},
		} {
			require.Equal(t, []time.Duration{want, 2 * want}, departures(t, cfg, []int{row.size, row.size}, []time.Duration{0, 0}), "%+v", row)
		}
	}
}

func TestTokenBucket(t *testing.T) {
	us := time.Microsecond
	bucket := netem.TokenBucket{Rate: 8 * netem.Mbit, Burst: 3000} // a byte is a microsecond
	for _, row := range []struct {
		reason string
		bucket netem.TokenBucket
		sizes  []int
		times  []time.Duration
		want   []time.Duration
	}{
		{"a burst at once, then at the rate", bucket, []int{1500, 1500, 1500, 500}, []time.Duration{0, 0, 0, 0}, []time.Duration{0, 0, 1500 * us, 2000 * us}},
		{"what waits for tokens waits for all that are missing", bucket, []int{1500, 1000, 1500}, []time.Duration{0, 0, 0}, []time.Duration{0, 0, 1000 * us}},
		{"a pause fills the bucket, but not above its brim", bucket,
			[]int{1500, 1500, 1500, 1500, 1500}, []time.Duration{0, 0, ms * 9, ms * 9, ms * 9}, []time.Duration{0, 0, ms * 9, ms * 9, 10500 * us}},
		{"half a pause fills half", bucket, []int{1500, 1500, 1500, 1500}, []time.Duration{0, 0, 1500 * us, 1500 * us}, []time.Duration{0, 0, 1500 * us, 3000 * us}},
		{"a burst at the peak rate", netem.TokenBucket{Rate: 8 * netem.Mbit, Burst: 3000, Peak: 80 * netem.Mbit},
			[]int{1500, 1500, 1500}, []time.Duration{0, 0, 0}, []time.Duration{150 * us, 300 * us, 1650 * us}},
	} {
		require.Equal(t, row.want, departures(t, netem.Config{Delay: ms, Shaper: row.bucket}, row.sizes, row.times), row.reason)
	}

	p, r := newPipe(t, netem.Config{Shaper: bucket, Queue: netem.DropTail{Packets: 1}}), netem.NewStream(1)
	for _, want := range []netem.DropReason{netem.Delivered, netem.Delivered, netem.Delivered, netem.DropQueue} {
		require.Equal(t, want, p.Send(netem.Packet{Size: 1500}, 0, &r).Reason)
	}
}

// In any time t at most Burst + Rate*t passes, and no token is wasted while packets wait. The
// reference uses exact arithmetic.
func TestTokenBucketMatchesExactArithmetic(t *testing.T) {
	for seed := range uint64(20) {
		draws := netem.NewStream(seed, "bucket")
		below := func(n uint64) int64 { return int64(draws.Uint64() % n) }
		bucket := netem.TokenBucket{Rate: netem.BitRate(1 + below(1e7)), Burst: int(1500 + below(20_000))}
		p, r := newPipe(t, netem.Config{Shaper: bucket}), netem.NewStream(1)
		tokens, at := big.NewRat(int64(bucket.Burst)*8, 1), big.NewRat(0, 1) // bits, at the instant of the last departure, in s
		second, rate := big.NewRat(1e9, 1), big.NewRat(int64(bucket.Rate), 1)
		var now time.Duration
		for range 300 {
			now += time.Duration(below(20e6))
			size := 1 + below(1500)
			got := p.Send(netem.Packet{Size: int(size)}, now, &r).Departure

			from := new(big.Rat).Quo(big.NewRat(int64(now), 1), second)
			if from.Cmp(at) > 0 {
				tokens.Add(tokens, new(big.Rat).Mul(rate, new(big.Rat).Sub(from, at)))
				if full := big.NewRat(int64(bucket.Burst)*8, 1); tokens.Cmp(full) > 0 {
					tokens = full
				}
				at = from
			}
			tokens.Sub(tokens, big.NewRat(size*8, 1))
			want := new(big.Rat).Set(at)
			if tokens.Sign() < 0 {
				want.Sub(at, new(big.Rat).Quo(tokens, rate))
			}
			want.Mul(want, second)
			require.Equal(t, ceil(want), got, "seed %d", seed)
			// The next one cannot leave before it, at a whole nanosecond.
			left := new(big.Rat).Quo(big.NewRat(int64(got), 1), second)
			tokens.Add(tokens, new(big.Rat).Mul(rate, new(big.Rat).Sub(left, at)))
			at = left
		}
	}
}

func TestProfile(t *testing.T) {
	us := time.Microsecond
	step := netem.Profile{{Lasts: 10 * ms, From: 8 * netem.Mbit, To: 8 * netem.Mbit}, {Lasts: 10 * ms}} // half of the time nothing
	for _, row := range []struct {
		reason  string
		profile netem.Profile
		sizes   []int
		times   []time.Duration
		want    []time.Duration
	}{
		{"constant", step, []int{1500, 500}, []time.Duration{0, 0}, []time.Duration{1500 * us, 2000 * us}},
		{"a packet that is cut by the pause", step, []int{1500}, []time.Duration{9 * ms}, []time.Duration{20500 * us}},
		{"one that ends with the phase", step, []int{1000, 1000}, []time.Duration{9 * ms, 9 * ms}, []time.Duration{10 * ms, 21 * ms}},
		{"one that comes in the pause", step, []int{1000}, []time.Duration{15 * ms}, []time.Duration{21 * ms}},
		{"the profile repeats", step, []int{1000}, []time.Duration{time.Hour}, []time.Duration{time.Hour + ms}},
		{"a packet of many rounds", netem.Profile{{Lasts: ms, From: 8 * netem.Kbit, To: 8 * netem.Kbit}, {Lasts: ms}},
			[]int{1500}, []time.Duration{0}, []time.Duration{2999 * ms}},
		// 256 steps of 100 ms. The first k send 0.8 k^2 bits, so 122 of them send 11,907.2, and the
		// next step sends 1,960 a second.
		{"a slope", netem.Profile{{Lasts: 25600 * ms, From: 0, To: 512 * 8}}, []int{1500}, []time.Duration{0}, []time.Duration{12_247_346_939}},
	} {
		require.Equal(t, row.want, departures(t, netem.Config{Delay: ms, Shaper: row.profile}, row.sizes, row.times), row.reason)
	}
}

// A profile of a constant rate behaves like a line of that rate, however it is divided.
func TestProfileOfOneRateIsThatRate(t *testing.T) {
	for seed := range uint64(20) {
		draws := netem.NewStream(seed, "profile")
		below := func(n uint64) uint64 { return draws.Uint64() % n }
		rate := netem.BitRate(1 + below(100_000))
		var profile netem.Profile
		for range 1 + below(5) {
			profile = append(profile, netem.Phase{Lasts: time.Duration(1+below(50)) * ms, From: rate, To: rate})
		}
		var sizes []int
		var times []time.Duration
		now := time.Duration(0)
		for range 300 {
			now += time.Duration(below(uint64(time.Second)))
			sizes, times = append(sizes, 1+int(below(1500))), append(times, now)
		}
		require.Equal(t, departures(t, netem.Config{Rate: rate}, sizes, times), departures(t, netem.Config{Shaper: profile}, sizes, times), "seed %d", seed)
	}
}

func TestSine(t *testing.T) {
	profile := netem.Sine(2*netem.Mbit, 10*netem.Mbit, time.Second)
	require.NoError(t, netem.Config{Shaper: profile}.Validate())
	var lasts time.Duration
	var least, most, sum netem.BitRate = 1 << 60, 0, 0
	for _, f := range profile {
		lasts += f.Lasts
		least, most, sum = min(least, f.From), max(most, f.From), sum+f.From
		require.Equal(t, f.From, f.To)
	}
	require.Equal(t, time.Second, lasts)
	require.InDelta(t, 2e6, int64(least), 1e4)
	require.InDelta(t, 10e6, int64(most), 1e4)
	require.Equal(t, 6*netem.Mbit, sum/64)
	require.Greater(t, profile[0].From, 6*netem.Mbit, "begins upwards")

	// A second of bits takes a second.
	p, r := newPipe(t, netem.Config{Shaper: profile}), netem.NewStream(1)
	var last time.Duration
	for range 7500 {
		last = p.Send(netem.Packet{Size: 1000}, 0, &r).Departure
	}
	require.InDelta(t, float64(10*time.Second), float64(last), float64(time.Microsecond))
}

// mahimahi's algorithm as written (src/frontend/link_queue.cc): opportunities are taken one after
// another, by what is in the queue at that time.
func mahimahi(trace []time.Duration, sizes []int, times []time.Duration) []time.Duration {
	out := make([]time.Duration, len(sizes))
	var base time.Duration
	next, queued, arrived, inTransit := 0, 0, 0, 0
	for queued < len(sizes) {
		at := trace[next] + base
		for arrived < len(sizes) && times[arrived] < at {
			arrived++
		}
		if next++; next == len(trace) {
			next, base = 0, base+trace[len(trace)-1]
		}
		for left := 1504; left > 0 && queued < len(sizes); {
			if inTransit == 0 {
				if queued == arrived {
					break
				}
				inTransit = sizes[queued] + 4
			}
			sent := min(left, inTransit)
			left, inTransit = left-sent, inTransit-sent
			if inTransit == 0 {
				out[queued] = at
				queued++
			}
		}
	}
	return out
}

func TestOpportunitiesAreMahimahis(t *testing.T) {
	for seed := range uint64(50) {
		draws := netem.NewStream(seed, "mahimahi")
		below := func(n uint64) uint64 { return draws.Uint64() % n }
		var trace netem.Opportunities
		at := time.Duration(0)
		for range 1 + below(40) {
			at += time.Duration(below(4)) * ms
			trace = append(trace, at)
		}
		trace = append(trace, at+ms)
		var sizes []int
		var times []time.Duration
		now := time.Duration(0)
		for range 300 {
			now += time.Duration(below(1+seed%5)) * 500 * time.Microsecond
			sizes, times = append(sizes, 1+int(below(1500))), append(times, now)
		}
		got := departures(t, netem.Config{Shaper: trace}, sizes, times)
		require.Equal(t, mahimahi(trace, sizes, times), got, "seed %d", seed)
	}
}

func TestReadOpportunities(t *testing.T) {
	trace, err := netem.ReadOpportunities(strings.NewReader("0\n5\n5\n12\n"))
	require.NoError(t, err)
	require.Equal(t, netem.Opportunities{0, 5 * ms, 5 * ms, 12 * ms}, trace)
	require.Equal(t, []time.Duration{5 * ms, 5 * ms, 12 * ms, 12 * ms, 17 * ms, 17 * ms, 24 * ms},
		departures(t, netem.Config{Shaper: trace}, []int{1500, 1500, 1500, 1500, 1500, 1500, 100}, make([]time.Duration, 7)))

	for text, want := range map[string]string{
		"":           "netem: ReadOpportunities: must have at least one instant",
		"0\n":        "netem: ReadOpportunities: the last instant must be in (0s,24h]",
		"5\n4\n":     "netem: ReadOpportunities: instants must not be negative, and in ascending order",
		"1\n\n2\n":   `netem: ReadOpportunities: line 2: "": must be a number of milliseconds, up to 24 h`,
		"1\n2.5\n":   `netem: ReadOpportunities: line 2: "2.5": must be a number of milliseconds, up to 24 h`,
		"90000000\n": `netem: ReadOpportunities: line 1: "90000000": must be a number of milliseconds, up to 24 h`,
		"-1\n":       `netem: ReadOpportunities: line 1: "-1": must be a number of milliseconds, up to 24 h`,
	} {
		_, err := netem.ReadOpportunities(strings.NewReader(text))
		require.EqualError(t, err, want)
	}
}

func TestSlots(t *testing.T) {
	at := func(n int) (all []time.Duration) {
		for i := range n {
			all = append(all, time.Duration(i)*ms)
		}
		return all
	}
	sizes := []int{100, 100, 100, 100, 100, 100}
	for _, row := range []struct {
		reason string
		slots  netem.Slots
		want   []time.Duration
	}{
		{"all that is ready by then", netem.Slots{Min: 3 * ms, Max: 3 * ms}, []time.Duration{3 * ms, 3 * ms, 3 * ms, 3 * ms, 7 * ms, 7 * ms}},
		{"two packets a slot", netem.Slots{Min: 3 * ms, Max: 3 * ms, Packets: 2}, []time.Duration{3 * ms, 3 * ms, 6 * ms, 6 * ms, 9 * ms, 9 * ms}},
		{"the packet that reaches the limit goes too", netem.Slots{Min: 3 * ms, Max: 3 * ms, Bytes: 150}, []time.Duration{3 * ms, 3 * ms, 6 * ms, 6 * ms, 9 * ms, 9 * ms}},
	} {
		require.Equal(t, row.want, departures(t, netem.Config{Delay: ms, Slots: row.slots}, sizes, at(6)), row.reason)
	}

	// The time from slot to slot is drawn.
	for _, row := range []struct {
		slots           netem.Slots
		mean, deviation float64 // ms
	}{
		{netem.Slots{Min: 2 * ms, Max: 8 * ms, Packets: 1}, 5, 6 / 3.4641},
		{netem.Slots{Min: 2 * ms, Max: 8 * ms, Packets: 1, Distribution: netem.Pareto}, 5 - 3*0.0335, 3 * 0.8197},
	} {
		const n = 20_000
		all := departures(t, netem.Config{Slots: row.slots}, slicesOf(n, 100), make([]time.Duration, n))
		gaps := make([]float64, 0, n)
		for i := 1; i < n; i++ {
			gaps = append(gaps, float64(all[i]-all[i-1])/float64(ms))
		}
		mean, deviation := moments(gaps)
		require.InDelta(t, row.mean, mean, 0.1, "%v", row.slots)
		require.InEpsilon(t, row.deviation, deviation, 0.04, "%v", row.slots)
		require.InDelta(t, 0, autocorrelation(gaps), 0.04, "%v", row.slots)
	}
}

func slicesOf(n, v int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = v
	}
	return all
}

// The link holds no more packets than the limit, waiting or in flight, and one that has arrived
// makes room.
func TestLimitBoundsWhatTheDelayHolds(t *testing.T) {
	p, r := newPipe(t, netem.Config{Delay: 10 * ms, Limit: 2, Duplicate: 1}), netem.NewStream(1)
	require.Len(t, p.Send(netem.Packet{Size: 100}, 0, &r).Copies, 1, "the copy takes room too")
	require.Equal(t, netem.Verdict{Reason: netem.DropLimit}, p.Send(netem.Packet{Size: 100}, 10*ms-1, &r))
	require.False(t, p.Send(netem.Packet{Size: 100}, 10*ms, &r).Dropped())

	// A packet that is moved is held until it arrives, and no longer.
	slow := netem.Config{Delay: ms, Limit: 3, Rate: netem.Mbit}
	fast := slow
	fast.Rate = 10 * netem.Mbit
	p = newPipe(t, slow)
	for _, want := range []netem.DropReason{netem.Delivered, netem.Delivered, netem.Delivered, netem.DropLimit} {
		require.Equal(t, want, p.Send(netem.Packet{Size: 1250}, 0, &r).Reason)
	}
	moves, err := p.Change(fast, 5*ms) // half of the first is sent
	require.NoError(t, err)
	require.Len(t, moves, 3)
	require.Equal(t, 5500*time.Microsecond+ms, moves[0].NewAt)
	require.Equal(t, netem.DropLimit, p.Send(netem.Packet{Size: 1250}, 6*ms, &r).Reason)
	require.Equal(t, netem.Delivered, p.Send(netem.Packet{Size: 1250}, 6500*time.Microsecond, &r).Reason)
}

// A late copy arrives late, delays no other packet, and each copy has draws of its own.
func TestCopies(t *testing.T) {
	p, r := newPipe(t, netem.Config{
		Delay: 100 * ms, Jitter: 50 * ms, KeepOrder: true, Duplicate: 1, Corrupt: 0.5, Copies: netem.Copies{Number: 3, Delay: time.Hour},
	}), netem.NewStream(1)
	same, corrupt := 0, [3]int{}
	for i := range 1000 {
		now := time.Duration(i) * time.Second
		v := p.Send(netem.Packet{Size: 100}, now, &r)
		require.Len(t, v.Copies, 3)
		require.LessOrEqual(t, v.At, now+150*ms)
		for k, c := range v.Copies {
			require.InDelta(t, now+time.Hour+100*ms, c.At, float64(50*ms))
			if c.Corrupt {
				corrupt[k]++
				require.NotZero(t, c.Noise)
			}
			if c.At-time.Hour == v.At || k > 0 && c.At == v.Copies[k-1].At {
				same++
			}
		}
	}
	require.Zero(t, same)
	for _, k := range corrupt {
		require.InDelta(t, 500, k, 80)
	}
}

// A shaper and slots that are set again unchanged continue. With others, the waiting packets begin
// anew.
func TestChangeOfShapers(t *testing.T) {
	bucket := netem.TokenBucket{Rate: 8 * netem.Mbit, Burst: 1500}
	us := time.Microsecond
	for _, row := range []struct {
		reason   string
		old, new netem.Config
		want     []time.Duration // departures of three packets of 1500 bytes, from the second on, as changed after 1 ms
	}{
		{"the delay of a bucket", netem.Config{Shaper: bucket}, netem.Config{Shaper: bucket, Delay: ms}, []time.Duration{1500 * us, 3000 * us}},
		{"another bucket is full", netem.Config{Shaper: bucket}, netem.Config{Shaper: netem.TokenBucket{Rate: 80 * netem.Mbit, Burst: 1500}}, []time.Duration{ms, 1150 * us}},
		{"a rate instead", netem.Config{Shaper: bucket}, netem.Config{Rate: 12 * netem.Mbit}, []time.Duration{2 * ms, 3 * ms}},
		{"a bucket instead of a rate", netem.Config{Rate: 12 * netem.Mbit, Delay: 0}, netem.Config{Shaper: bucket}, []time.Duration{ms, 2500 * us}},
		{"slots", netem.Config{Slots: netem.Slots{Min: 10 * ms, Max: 10 * ms, Packets: 1}}, netem.Config{Slots: netem.Slots{Min: 20 * ms, Max: 20 * ms, Packets: 2}},
			[]time.Duration{21 * ms, 21 * ms, 41 * ms}},
		{"no slots any more", netem.Config{Slots: netem.Slots{Min: 10 * ms, Max: 10 * ms, Packets: 1}}, netem.Config{}, []time.Duration{ms, ms, ms}},
		{"framing", netem.Config{Rate: 12 * netem.Mbit}, netem.Config{Rate: 12 * netem.Mbit, Framing: netem.Framing{Overhead: 1500}}, []time.Duration{3 * ms, 5 * ms}},
	} {
		p, r := newPipe(t, row.old), netem.NewStream(1)
		for range 3 {
			p.Send(netem.Packet{Size: 1500}, 0, &r)
		}
		moves, err := p.Change(row.new, ms)
		require.NoError(t, err)
		var got []time.Duration
		for _, m := range moves {
			got = append(got, m.NewDeparture)
			require.Equal(t, m.NewDeparture+row.new.Delay, m.NewAt)
		}
		require.Equal(t, row.want, got, row.reason)
		next := p.Send(netem.Packet{Size: 1500}, ms, &r).Departure
		require.GreaterOrEqual(t, next, got[len(got)-1], "%s: who comes later waits", row.reason)
	}
}
