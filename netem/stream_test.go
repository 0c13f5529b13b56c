package netem

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// A seed in a bug report must mean the same in every release and on every platform, so these
// numbers never change. A second implementation, in Python, computed them.
func TestStreamGolden(t *testing.T) {
	first := func(s Stream) [3]uint64 { return [3]uint64{s.Uint64(), s.Uint64(), s.Uint64()} }

	require.Equal(t, [3]uint64{0x4181b152fb77616f, 0x657e0be0e89a4916, 0x25487d6da4a7dec3}, first(Stream{}), "zero value")
	require.Equal(t, [3]uint64{0x934bdd9ae793f0, 0x921438c49c1efc51, 0xece96767ecb10350}, first(NewStream(1)), "seed only")
	require.Equal(t, [3]uint64{0xc289126fc030b92d, 0x13cf647b35675b4a, 0xcc4758c97c26d1c6}, first(NewStream(1, "link", "phone", "server")), "names")
	require.Equal(t, [3]uint64{0xbfa892fc7d6d084b, 0xd1dfa27478aa95db, 0x2fb0f97546d54367}, first(NewStream(1, "link").Derive(7, 1)), "names and numbers")
}

func TestStreamIsAddressedByPosition(t *testing.T) {
	s := NewStream(1, "a")
	for range 10 {
		s.Uint64()
	}
	require.Equal(t, uint64(10), s.Count())

	copied := s
	require.Equal(t, s.Uint64(), copied.Uint64(), "a copy goes on where the original stood")

	fresh := NewStream(1, "a")
	require.Equal(t, fresh.Derive(3), s.Derive(3), "Derive depends on the key, not on the count")
	require.Zero(t, s.Derive(3).Count())
	require.LessOrEqual(t, unsafe.Sizeof(s), uintptr(16))

	_ = rand.New(&s) // a Source
}

func TestStreamPathsDiffer(t *testing.T) {
	first := map[uint64]string{}
	for name, s := range map[string]Stream{
		"zero":        {},
		"seed 0":      NewStream(0),
		"seed 1":      NewStream(1),
		"empty name":  NewStream(1, ""),
		"two empty":   NewStream(1, "", ""),
		"ab":          NewStream(1, "ab"),
		"a b":         NewStream(1, "a", "b"),
		"b a":         NewStream(1, "b", "a"),
		"id 0":        NewStream(1).Derive(0),
		"id 0 0":      NewStream(1).Derive(0, 0),
		"id 1":        NewStream(1).Derive(1),
		"id 1 0":      NewStream(1).Derive(1, 0),
		"id 0 1":      NewStream(1).Derive(0, 1),
		"a, id 1":     NewStream(1, "a").Derive(1),
		"hash of a":   NewStream(1).Derive(0xaf63dc4c8601ec8c), // FNV-1a of "a"
		"name a":      NewStream(1, "a"),
		"other seed":  NewStream(2, "a"),
		"top bit":     NewStream(1 << 63),
		"top bit, id": NewStream(1).Derive(1 << 63),
	} {
		u := s.Uint64()
		require.Empty(t, first[u], "%s gives the same numbers", name)
		first[u] = name
	}
}

// Two unrelated sequences agree in half of the bits, at each of the 64 places.
func TestStreamsAndLanesAreUnrelated(t *testing.T) {
	const n = 100_000
	parent := NewStream(3, "unrelated")
	at := func(s Stream, i int, lane uint64) uint64 {
		s.n = uint64(i)
		return s.next().lane(lane)
	}
	for _, pair := range []struct {
		reason string
		a, b   func(i int) uint64
	}{
		{"a number and the next one",
			func(i int) uint64 { return at(parent, i, laneLoss) },
			func(i int) uint64 { return at(parent, i+1, laneLoss) }},
		{"two lanes of a packet",
			func(i int) uint64 { return at(parent, i, laneLoss) },
			func(i int) uint64 { return at(parent, i, laneLossState) }},
		{"a lane and the next packet's lane before it",
			func(i int) uint64 { return at(parent, i, laneLossState) },
			func(i int) uint64 { return at(parent, i+1, laneLoss) }},
		{"two flows of a link",
			func(i int) uint64 { return at(parent.Derive(1), i, laneLoss) },
			func(i int) uint64 { return at(parent.Derive(2), i, laneLoss) }},
		{"the first packets of neighbouring flows",
			func(i int) uint64 { return at(parent.Derive(uint64(i)), 0, laneLoss) },
			func(i int) uint64 { return at(parent.Derive(uint64(i+1)), 0, laneLoss) }},
		{"the first packets of neighbouring seeds",
			func(i int) uint64 { return at(NewStream(uint64(i), "a"), 0, laneLoss) },
			func(i int) uint64 { return at(NewStream(uint64(i+1), "a"), 0, laneLoss) }},
	} {
		var agree [64]int
		for i := range n {
			same := ^(pair.a(i) ^ pair.b(i))
			for bit := range agree {
				agree[bit] += int(same >> bit & 1)
			}
		}
		for bit, k := range agree {
			require.InDelta(t, n/2, k, 5*math.Sqrt(n)/2, "%s, bit %d", pair.reason, bit)
		}
	}
}

func TestThresholdIsExact(t *testing.T) {
	for _, row := range []struct {
		p      float64
		want   threshold
		reason string
	}{
		{0, 0, "never"},
		{1, 1 << 63, "every 63-bit number is below"},
		{0.5, 1 << 62, "half"},
		{math.Nextafter(1, 0), 1<<63 - 1<<10, "the largest float64 below 1"},
		{0x1p-63, 1, "one unit"},
		{0x1p-64, 0, "below one unit"},
	} {
		require.Equal(t, row.want, thresholdOf(row.p), row.reason)
	}
	require.Equal(t, threshold(1<<61), thresholdOf(0.5).times(thresholdOf(0.5)))
	require.Equal(t, thresholdOf(0.3), always.times(thresholdOf(0.3)))

	require.Less(t, uint64(math.MaxUint64)>>1, uint64(always), "the largest number a lane can give")

	// An event happens for exactly as many of the 2^63 numbers as its threshold.
	d := draws(1)
	u := threshold(d.lane(laneLoss) >> 1)
	require.False(t, d.happens(laneLoss, u))
	require.True(t, d.happens(laneLoss, u+1))
}

// The verdicts of a long run with everything switched on are the same on every platform.
func TestSendGolden(t *testing.T) {
	h := sha256.New()
	for _, shape := range []Distribution{nil, Normal, Pareto, ParetoNormal} {
		for _, loss := range []LossModel{
			Bernoulli(0.01), Correlated(0.2, 0.75), GilbertElliott{P: 0.01, R: 0.3, LossGood: 0.001, LossBad: 0.7},
			EveryNth(9), DropList{1, 5, 9},
		} {
			p, err := NewPipe(Config{
				Delay: 30 * time.Millisecond, Jitter: 10 * time.Millisecond, Distribution: shape, Loss: loss,
				Duplicate: 0.05, Reorder: 0.1, Corrupt: 0.03, Rate: 7 * Mbit, Queue: DropTail{Packets: 20}, MTU: 1400,
			})
			require.NoError(t, err)
			r := NewStream(1, "golden")
			var now time.Duration
			for range 1000 {
				v := p.Send(Packet{Size: 40 + int(r.Uint64()%1400)}, now, &r)
				now += time.Duration(r.Uint64() % uint64(1600*time.Microsecond))
				var c Copy
				if len(v.Copies) > 0 {
					c = v.Copies[0]
				}
				for _, field := range []any{v.Reason, v.Departure, v.At, v.Reordered, v.Corrupt, len(v.Copies) > 0, c.At, c.Corrupt} {
					require.NoError(t, binary.Write(h, binary.LittleEndian, field))
				}
			}
		}
	}
	require.Equal(t, "486619588a6c0e9e51d89c65fb826f4b63050b78422a69965dcf935e190e29cb", hex.EncodeToString(h.Sum(nil)))
}
