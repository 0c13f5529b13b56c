package netem_test

import (
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
)

// A shaper does what Change must do in another way: it is a line that works through the bits of its
// packets, in exact fractions.
type shaper struct {
	now  *big.Rat // in ns
	rate netem.BitRate
	left []*big.Rat // bits of each packet, first to last
}

// until lets time pass.
func (s *shaper) until(now time.Duration) {
	can := new(big.Rat).Sub(big.NewRat(int64(now), 1), s.now)
	can.Mul(can, big.NewRat(int64(s.rate), 1e9))
	s.now = big.NewRat(int64(now), 1)
	for len(s.left) > 0 && (s.rate == 0 || can.Sign() > 0) {
		if s.rate > 0 && can.Cmp(s.left[0]) < 0 {
			s.left[0] = new(big.Rat).Sub(s.left[0], can)
			return
		}
		can.Sub(can, s.left[0])
		s.left = s.left[1:]
	}
}

// departures returns when the packets will leave.
func (s *shaper) departures() (all []time.Duration) {
	at := new(big.Rat).Set(s.now)
	for _, bits := range s.left {
		if s.rate > 0 {
			at.Add(at, new(big.Rat).Quo(new(big.Rat).Mul(bits, big.NewRat(1e9, 1)), big.NewRat(int64(s.rate), 1)))
		}
		all = append(all, ceil(at))
	}
	return all
}

// A queue drains at the rate that the line has, to the nanosecond, whatever the rate was when the
// packets arrived. Each packet gets the delay that the link has when the packet leaves.
func TestChangeDrainsTheQueueAtTheNewRate(t *testing.T) {
	for seed := range uint64(20) {
		r, draws := netem.NewStream(seed, "pipe"), netem.NewStream(seed, "traffic")
		below := func(n uint64) uint64 { return draws.Uint64() % n }
		p, s := newPipe(t, netem.Config{}), shaper{now: new(big.Rat)}
		var now, delay time.Duration
		var known []time.Duration // departures of what waits, as they were told
		moved := 0
		for i := range 600 {
			now += time.Duration(below(400_000))
			s.until(now)
			known = known[len(known)-len(s.left):]
			if below(20) == 0 {
				s.rate = netem.BitRate(below(2) * (1 + below(40_000_000)))
				delay = time.Duration(below(1e6))
				moves, err := p.Change(netem.Config{Rate: s.rate, Delay: delay}, now)
				require.NoError(t, err)
				require.Len(t, moves, len(known), "seed %d, packet %d", seed, i)
				want := s.departures()
				for k, m := range moves {
					require.Equal(t, known[k], m.Departure)
					require.Equal(t, fmt.Sprint(want[k], want[k]+delay), fmt.Sprint(m.NewDeparture, m.NewAt), "seed %d, packet %d, move %d", seed, i, k)
					known[k] = m.NewDeparture
					moved++
				}
				s.until(now)
				known = known[len(known)-len(s.left):]
			}
			size := 1 + below(1500)
			v := p.Send(netem.Packet{Size: int(size)}, now, &r)
			s.left = append(s.left, big.NewRat(int64(size)*8, 1))
			want := s.departures()
			require.Equal(t, want[len(want)-1], v.Departure, "seed %d, packet %d", seed, i)
			require.Equal(t, v.Departure+delay, v.At)
			known = append(known, v.Departure)
			s.until(now)
			known = known[len(known)-len(s.left):]
			packets, _ := p.Backlog(now)
			require.Equal(t, len(s.left), packets)
		}
		require.Greater(t, moved, 20, "seed %d", seed)
	}
}

// What was decided when a packet arrived stays: whether it is copied, corrupted or sent ahead of
// the others, and the draw for its jitter.
func TestChangeKeepsFates(t *testing.T) {
	slow := netem.Config{Delay: 50 * ms, Jitter: 20 * ms, Duplicate: 0.3, Reorder: 0.3, Corrupt: 0.3, Rate: 100 * netem.Kbit}
	fast := slow
	fast.Rate = 10 * netem.Mbit
	send := func(cfg netem.Config) (p *netem.Pipe, all []fate) {
		p, r := newPipe(t, cfg), netem.NewStream(1, "fates")
		for range 200 {
			all = append(all, fateOf(p.Send(netem.Packet{Size: 1250}, 0, &r)))
		}
		return p, all
	}
	p, before := send(slow)
	_, want := send(fast)
	moves, err := p.Change(fast, 0)
	require.NoError(t, err)
	for i, v := range before {
		require.Equal(t, netem.Move{Departure: v.Departure, At: v.At, NewDeparture: want[i].Departure, NewAt: want[i].At}, moves[0], "packet %d", i)
		moves = moves[1:]
		if v.Dup {
			require.Equal(t, v.DupAt, moves[0].At)
			require.Equal(t, want[i].DupAt, moves[0].NewAt, "the copy of packet %d", i)
			moves = moves[1:]
		}
	}
	require.Empty(t, moves)
}

func TestChangeOfDelayIsForWhatWaits(t *testing.T) {
	for _, keep := range []bool{false, true} {
		p, r := newPipe(t, netem.Config{Delay: 100 * ms, Rate: 10 * netem.Mbit, KeepOrder: keep}), netem.NewStream(1)
		for i := range 4 {
			require.Equal(t, time.Duration(101+i)*ms, p.Send(netem.Packet{Size: 1250}, 0, &r).At)
		}
		moves, err := p.Change(netem.Config{Delay: 10 * ms, Rate: 10 * netem.Mbit, KeepOrder: keep, Queue: netem.DropTail{Packets: 1}}, 2*ms)
		require.NoError(t, err)
		at := []time.Duration{13 * ms, 14 * ms} // two have left
		if keep {
			at = []time.Duration{102 * ms, 102 * ms} // and are not overtaken
		}
		require.Equal(t, []netem.Move{
			{Departure: 3 * ms, At: 103 * ms, NewDeparture: 3 * ms, NewAt: at[0]},
			{Departure: 4 * ms, At: 104 * ms, NewDeparture: 4 * ms, NewAt: at[1]},
		}, moves)
		require.Equal(t, netem.DropQueue, p.Send(netem.Packet{Size: 1250}, 2*ms, &r).Reason, "they stay, and a new one finds no room")
		require.Equal(t, netem.DropQueue, p.Send(netem.Packet{Size: 1250}, 3*ms, &r).Reason)
		require.Equal(t, 5*ms, p.Send(netem.Packet{Size: 1250}, 4*ms, &r).Departure)
	}
}

func TestChangeRefusesAndMovesNothing(t *testing.T) {
	p, r := newPipe(t, netem.Config{Rate: netem.Mbit}), netem.NewStream(1)
	p.Send(netem.Packet{Size: 1250}, 0, &r)
	moves, err := p.Change(netem.Config{Rate: -1}, ms)
	require.Error(t, err)
	require.Empty(t, moves)
	require.Equal(t, 20*ms, p.Send(netem.Packet{Size: 1250}, ms, &r).At)
	require.Panics(t, func() { p.Change(netem.Config{}, 0) }, "time runs backwards")
}
