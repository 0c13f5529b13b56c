package netem_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
)

var everything = netem.Config{
	Delay: 30 * time.Millisecond, Jitter: 5 * time.Millisecond, Distribution: netem.Normal,
	Loss: netem.GilbertElliott{P: 0.01, R: 0.3}, Duplicate: 0.01, Reorder: 0.01, Corrupt: 0.01,
	Rate: 100 * netem.Mbit, Queue: netem.DropTail{Packets: 100},
}

// The reference is the least that any link with loss does: one draw from a generator of the
// standard library, one comparison, one addition.
func BenchmarkSend(b *testing.B) {
	b.Run("reference=PCG", func(b *testing.B) {
		pcg := rand.NewPCG(1, 2)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			v := netem.Verdict{At: time.Duration(i) + 30*time.Millisecond}
			if pcg.Uint64() < 1<<58 {
				v = netem.Verdict{Reason: netem.DropLoss}
			}
			sink = v
		}
	})
	for _, row := range []struct {
		name string
		cfg  netem.Config
	}{
		{"delay", netem.Config{Delay: 30 * time.Millisecond}},
		{"loss", netem.Config{Delay: 30 * time.Millisecond, Loss: netem.Bernoulli(0.01)}},
		{"rate", netem.Config{Delay: 30 * time.Millisecond, Rate: 100 * netem.Mbit, Queue: netem.DropTail{Packets: 100}}},
		{"everything", everything},
	} {
		b.Run("config="+row.name, func(b *testing.B) {
			p, r := newPipe(b, row.cfg), netem.NewStream(1)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				sink = p.Send(netem.Packet{Size: 1500}, time.Duration(i)*100*time.Microsecond, &r)
			}
		})
	}
}

var sink netem.Verdict

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	p, r := newPipe(t, everything), netem.NewStream(1)
	var now time.Duration
	require.Zero(t, testing.AllocsPerRun(10_000, func() {
		now += 100 * time.Microsecond
		sink = p.Send(netem.Packet{Size: 1500}, now, &r)
	}))
	require.Zero(t, testing.AllocsPerRun(100, func() {
		s := netem.NewStream(1, "link", "phone", "server").Derive(7, 1)
		sink.At += time.Duration(s.Uint64() & 1)
	}), "streams are values")
}
