package netem_test

import (
	"fmt"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
)

func TestBitRateString(t *testing.T) {
	for rate, want := range map[netem.BitRate]string{
		0:                       "0bit/s",
		999:                     "999bit/s",
		netem.Kbit:              "1Kbit/s",
		14_400:                  "14.4Kbit/s",
		10 * netem.Mbit:         "10Mbit/s",
		1_638_400:               "1.6384Mbit/s",
		1_000_001:               "1.000001Mbit/s",
		40*netem.Gbit + 5:       "40.000000005Gbit/s",
		-1500:                   "-1.5Kbit/s",
		-1:                      "-1bit/s",
		netem.BitRate(-1 << 63): "-9223372036.854775808Gbit/s",
	} {
		require.Equal(t, want, rate.String())
	}
}

func TestSerialisationTime(t *testing.T) {
	for _, row := range []struct {
		rate   netem.BitRate
		size   int
		want   time.Duration
		reason string
	}{
		{10 * netem.Mbit, 1500, 1200 * time.Microsecond, "12,000 bit at 10 Mbit/s"},
		{netem.Gbit, 1500, 12 * time.Microsecond, "12,000 bit at 1 Gbit/s"},
		{100 * netem.Gbit, 40, 4, "3.2 ns, rounded up"},
		{3, 1, 2_666_666_667, "8/3 s, rounded up"},
		{1, 65535, 524_280 * time.Second, "the longest packet at the lowest rate"},
		{1<<63 - 1, 65535, 1, "the highest rate still takes time"},
	} {
		p, r := newPipe(t, netem.Config{Rate: row.rate, MTU: 65535}), netem.NewStream(1)
		v := p.Send(netem.Packet{Size: row.size}, time.Second, &r)
		require.Equal(t, time.Second+row.want, v.Departure, row.reason)
		require.Equal(t, v.Departure, v.At, "no delay")
	}
}

// Packet k of a back-to-back sequence departs after exactly the bits of k packets, rounded up once
// and not once for each packet.
func TestBackToBackHasNoDrift(t *testing.T) {
	for _, rate := range []netem.BitRate{3, 7 * netem.Mbit, 999_999_937, 100 * netem.Gbit, 1<<40 + 1} {
		p, r := newPipe(t, netem.Config{Rate: rate}), netem.NewStream(1)
		for k := int64(1); k <= 20_000; k++ {
			got := p.Send(netem.Packet{Size: 1499}, 0, &r).Departure
			bits := big.NewInt(k * 1499 * 8)
			want, rem := bits.DivMod(bits.Mul(bits, big.NewInt(1e9)), big.NewInt(int64(rate)), new(big.Int))
			if rem.Sign() > 0 {
				want.Add(want, big.NewInt(1))
			}
			require.Equal(t, want.Int64(), int64(got), "packet %d at %v", k, rate)
		}
	}
}

// 8 bits at 3 Gbit/s take 2.67 ns: at 2 ns the line is still busy for a fraction of a nanosecond,
// and that fraction is not lost.
func TestFractionOfNanosecondIsKept(t *testing.T) {
	p, r := newPipe(t, netem.Config{Rate: 3 * netem.Gbit}), netem.NewStream(1)
	require.Equal(t, time.Duration(3), p.Send(netem.Packet{Size: 1}, 0, &r).Departure)
	require.Equal(t, time.Duration(6), p.Send(netem.Packet{Size: 1}, 2, &r).Departure, "5.33 ns")
	require.Equal(t, time.Duration(8), p.Send(netem.Packet{Size: 1}, 3, &r).Departure, "8 ns")
	require.Equal(t, time.Duration(11), p.Send(netem.Packet{Size: 1}, 8, &r).Departure, "idle at 8 ns: 10.67 ns")
}

func TestOverloadForAgesDoesNotOverflow(t *testing.T) {
	p, r := newPipe(t, netem.Config{Delay: 24 * time.Hour, Rate: 1, MTU: 65535}), netem.NewStream(1)
	last := time.Duration(0)
	for range 20_000 { // 330 years; a Duration holds 292
		at := p.Send(netem.Packet{Size: 65535}, 0, &r).At
		require.GreaterOrEqual(t, at, last)
		last = at
	}
}

// model is the pipe's line and queue again, written to be obvious: with exact fractions, and a list
// instead of a ring.
type model struct {
	free *big.Rat // in ns
	all  []modelPacket
}

type modelPacket struct {
	gone *big.Rat
	size int
}

func (m *model) backlog(now time.Duration) (packets, bytes int) {
	for _, p := range m.all {
		if p.gone.Cmp(big.NewRat(int64(now), 1)) > 0 {
			packets++
			bytes += p.size
		}
	}
	return packets, bytes
}

func (m *model) send(cfg netem.Config, size int, now time.Duration) (dropped bool, departure time.Duration) {
	m.all = slices.DeleteFunc(m.all, func(p modelPacket) bool { return p.gone.Cmp(big.NewRat(int64(now), 1)) <= 0 })
	packets, bytes := m.backlog(now)
	if q, ok := cfg.Queue.(netem.DropTail); ok {
		if q.Packets > 0 && packets >= q.Packets || q.Bytes > 0 && bytes+size > q.Bytes {
			return true, 0
		}
	}
	start := big.NewRat(int64(now), 1)
	if m.free.Cmp(start) > 0 {
		start = m.free
	}
	m.free = start
	if cfg.Rate > 0 {
		m.free = new(big.Rat).Add(start, big.NewRat(int64(size)*8e9, int64(cfg.Rate)))
	}
	m.all = append(m.all, modelPacket{m.free, size})
	return false, ceil(m.free)
}

func ceil(x *big.Rat) time.Duration {
	q, rem := new(big.Int).QuoRem(x.Num(), x.Denom(), new(big.Int))
	if rem.Sign() > 0 {
		q.Add(q, big.NewInt(1))
	}
	return time.Duration(q.Int64())
}

// For random traffic, departures and occupancy equal those of exact arithmetic, to the nanosecond
// and the byte, also across changes of rate and queue.
func TestLineAndQueueMatchExactArithmetic(t *testing.T) {
	for seed := range uint64(20) {
		r, draws := netem.NewStream(seed, "pipe"), netem.NewStream(seed, "traffic")
		below := func(n uint64) uint64 { return draws.Uint64() % n }

		m := model{free: new(big.Rat)}
		p := newPipe(t, netem.Config{})
		var now time.Duration
		for i := range 600 {
			if i%100 == 0 {
				cfg := netem.Config{Rate: netem.BitRate(1 + below(30_000_000))}
				switch below(4) {
				case 0:
					cfg.Queue = netem.DropTail{Packets: int(1 + below(12))}
				case 1:
					cfg.Queue = netem.DropTail{Bytes: int(1500 + below(9000))}
				case 2:
					if below(2) == 0 {
						cfg.Rate = 0
					}
				}
				require.NoError(t, p.Set(cfg))
				// A pipe rounds the fraction of a nanosecond up when the rate changes.
				m.free = big.NewRat(int64(ceil(m.free)), 1)
			}
			cfg := p.Config()
			size := int(1 + below(1500))
			mean := uint64(10_000)
			if cfg.Rate > 0 {
				mean += 6e12 / uint64(cfg.Rate) // 750 bytes: a load near 1
			}
			now += time.Duration(below(2 * mean))

			wantDrop, wantDeparture := m.send(cfg, size, now)
			v := p.Send(netem.Packet{Size: size}, now, &r)
			require.Equal(t, wantDrop, v.Reason == netem.DropQueue, "seed %d, packet %d at %v", seed, i, now)
			require.Equal(t, wantDeparture, v.Departure, "seed %d, packet %d at %v", seed, i, now)

			at := now + time.Duration(below(mean))
			packets, bytes := p.Backlog(at)
			wantPackets, wantBytes := m.backlog(at)
			require.Equal(t, fmt.Sprint(wantPackets, wantBytes), fmt.Sprint(packets, bytes), "seed %d, packet %d", seed, i)
		}
	}
}

func TestDropTailCountsThePacketInService(t *testing.T) {
	// 1250 bytes at 10 Mbit/s: 1 ms each.
	const ms = time.Millisecond
	for _, row := range []struct {
		queue  netem.DropTail
		burst  int
		accept int
		reason string
	}{
		{netem.DropTail{Packets: 1}, 3, 1, "only the one being sent"},
		{netem.DropTail{Packets: 4}, 6, 4, "the one being sent and three that wait"},
		{netem.DropTail{Bytes: 5000}, 6, 4, "just fits"},
		{netem.DropTail{Bytes: 4999}, 6, 3, "one byte short"},
	} {
		p, r := newPipe(t, netem.Config{Rate: 10 * netem.Mbit, Queue: row.queue}), netem.NewStream(1)
		for i := range row.burst {
			v := p.Send(netem.Packet{Size: 1250}, 0, &r)
			if i < row.accept {
				require.Equal(t, netem.Verdict{Departure: time.Duration(i+1) * ms, At: time.Duration(i+1) * ms}, v, row.reason)
			} else {
				require.Equal(t, netem.Verdict{Reason: netem.DropQueue}, v, row.reason)
			}
		}
		require.Equal(t, netem.DropQueue, p.Send(netem.Packet{Size: 1250}, ms-1, &r).Reason, "%v: the first packet's last bit is not out", row.queue)
		require.Equal(t, netem.Delivered, p.Send(netem.Packet{Size: 1250}, ms, &r).Reason, "%v: now it is", row.queue)
		require.Equal(t, netem.DropQueue, p.Send(netem.Packet{Size: 1250}, ms, &r).Reason, "%v: full again", row.queue)
	}
}

func TestSmallPacketFitsWhereALargeOneDoesNot(t *testing.T) {
	p, r := newPipe(t, netem.Config{Rate: netem.Mbit, Queue: netem.DropTail{Bytes: 1540}}), netem.NewStream(1)
	require.False(t, p.Send(netem.Packet{Size: 1500}, 0, &r).Dropped())
	require.True(t, p.Send(netem.Packet{Size: 41}, 0, &r).Dropped())
	require.False(t, p.Send(netem.Packet{Size: 40}, 0, &r).Dropped())
	packets, bytes := p.Backlog(0)
	require.Equal(t, []int{2, 1540}, []int{packets, bytes})
}
