package netem_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
)

// Packets that are handed over together leave and arrive as they would one by one, and leave the
// pipe in the same state. Otherwise nothing has happened.
func TestPassSpacedIsSend(t *testing.T) {
	taken := 0
	for seed := range uint64(300) {
		draw := rand.New(rand.NewPCG(seed, 1))
		config := func() netem.Config {
			cfg := netem.Config{
				Delay: time.Duration(draw.IntN(20)) * ms, Rate: netem.BitRate(1+draw.IntN(1000)) * []netem.BitRate{netem.Kbit, netem.Mbit, netem.Gbit}[draw.IntN(3)],
			}
			switch draw.IntN(4) {
			case 0:
				cfg.Queue = netem.DropTail{Packets: 1 + draw.IntN(60)}
			case 1:
				cfg.Queue = netem.DropTail{Bytes: 1500 * (1 + draw.IntN(60))}
			}
			return cfg
		}
		cfg := config()
		spaced, single := newPipe(t, cfg), newPipe(t, cfg)
		rs, r1 := netem.NewStream(seed), netem.NewStream(seed)
		now := time.Duration(0)
		for range 40 {
			now += time.Duration(draw.IntN(3_000_000))
			count, size := 2+draw.IntN(40), 100+draw.IntN(1401)
			sizes := make([]int, count)
			for i := range sizes {
				sizes[i] = size
			}
			sizes[count-1] = 60 + draw.IntN(size-59)
			s, until, ok := spaced.PassSpaced(count, size, sizes[count-1], now, &rs)
			for i, size := range sizes {
				want := single.Send(netem.Packet{Size: size}, now, &r1)
				got := netem.Verdict{}
				if ok {
					got.Departure, got.At = s.Next(size)
					if i == count-1 {
						require.Equal(t, until, got.At)
					}
				} else {
					got = spaced.Send(netem.Packet{Size: size}, now, &rs)
				}
				require.Equal(t, want, got, "seed %d", seed)
			}
			if ok {
				taken++
			}
			if draw.IntN(10) == 0 {
				cfg = config()
				want, err := single.Change(cfg, now)
				require.NoError(t, err)
				got, err := spaced.Change(cfg, now)
				require.NoError(t, err)
				require.Equal(t, want, got)
			}
			require.Equal(t, r1.Count(), rs.Count())
			wantPackets, wantBytes := single.Backlog(now)
			packets, bytes := spaced.Backlog(now)
			require.Equal(t, [2]int{wantPackets, wantBytes}, [2]int{packets, bytes})
		}
		require.NoError(t, single.Set(netem.Config{Delay: ms, Reorder: 1, ReorderGap: 100_000}))
		require.NoError(t, spaced.Set(netem.Config{Delay: ms, Reorder: 1, ReorderGap: 100_000}))
		require.Equal(t, single, spaced, "what both remember")
	}
	require.Greater(t, taken, 3000)
}

// Packets are not taken together if anything but waiting for the line happens to them.
func TestPassSpacedRefusesWhatMayDiffer(t *testing.T) {
	for _, row := range []struct {
		cfg  netem.Config
		want bool
		why  string
	}{
		{netem.Config{Rate: netem.Gbit}, true, "a rate"},
		{netem.Config{Rate: netem.Gbit, Delay: 5 * ms, Queue: netem.DropTail{Packets: 3}}, true, "a queue with room for all"},
		{netem.Config{Rate: netem.Gbit, Queue: netem.DropTail{Packets: 2}}, false, "and one without"},
		{netem.Config{Rate: netem.Gbit, Queue: netem.DropTail{Bytes: 4000}}, true, "the same in bytes"},
		{netem.Config{Rate: netem.Gbit, Queue: netem.DropTail{Bytes: 3999}}, false, "the last one finds no room"},
		{netem.Config{}, false, "no rate: they arrive at one instant"},
		{netem.Config{Rate: 20_000 * netem.Gbit}, false, "so fast that they may, too"},
		{netem.Config{Rate: netem.Gbit, MTU: 1400}, false, "packets of 1500 bytes do not pass"},
		{netem.Config{Rate: netem.Gbit, Delay: ms, Jitter: 1}, false, "jitter"},
		{netem.Config{Rate: netem.Gbit, Loss: netem.Bernoulli(0)}, false, "a loss model"},
		{netem.Config{Rate: netem.Gbit, Duplicate: 1e-9}, false, "duplication"},
		{netem.Config{Rate: netem.Gbit, Corrupt: 1e-9}, false, "corruption"},
		{netem.Config{Rate: netem.Gbit, Limit: 1000}, false, "a limit"},
		{netem.Config{Rate: netem.Gbit, KeepOrder: true}, false, "order must be known when Delay changes"},
		{netem.Config{Rate: netem.Gbit, Framing: netem.Framing{Overhead: 4}}, false, "framing"},
		{netem.Config{Rate: netem.Gbit, Queue: netem.CoDel{}}, false, "a queue that decides late"},
		{netem.Config{Rate: netem.Gbit, Queue: netem.RED{Min: 10_000, Max: 30_000, Limit: 90_000, Probability: 0.1}}, false, "a queue that draws"},
	} {
		p, r := newPipe(t, row.cfg), netem.NewStream(1)
		_, _, ok := p.PassSpaced(3, 1500, 1000, 7*ms, &r)
		require.Equal(t, row.want, ok, row.why)
		if !ok {
			require.Zero(t, r.Count(), "nothing has happened")
			require.NotPanics(t, func() { p.Send(netem.Packet{Size: 100}, 6*ms, &r) }, "nor has time passed")
		}
	}
}
