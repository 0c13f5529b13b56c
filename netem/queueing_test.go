package netem_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
)

// exponential returns a variate of mean 1.
func exponential(s *netem.Stream) float64 {
	return -math.Log(float64(s.Uint64()>>11+1) / (1 << 53))
}

// A pipe fed by a Poisson process is the queue of the textbooks. With packets of one size it is
// M/D/1, whose mean wait is rho/(2 mu (1-rho)).
func TestPoissonTrafficWaitsAsInMD1(t *testing.T) {
	const n = 1_000_000
	const service = 1.2e6 // ns: 1500 bytes at 10 Mbit/s
	for _, rho := range []float64{0.3, 0.5, 0.7} {
		p, r := newPipe(t, netem.Config{Rate: 10 * netem.Mbit}), netem.NewStream(1, "pipe")
		arrivals := netem.NewStream(1, "arrivals")
		var clock, wait float64
		for range n {
			clock += exponential(&arrivals) * service / rho
			now := time.Duration(clock)
			wait += float64(p.Send(netem.Packet{Size: 1500}, now, &r).Departure-now) - service
		}
		want := rho * service / (2 * (1 - rho))
		require.InEpsilon(t, want, wait/n, 0.02, "load %v", rho)
	}
}

// With exponential sizes and room for K packets, including the one in service, it is M/M/1/K, which
// loses (1-rho) rho^K / (1-rho^(K+1)).
func TestPoissonTrafficIsLostAsInMM1K(t *testing.T) {
	const n = 1_000_000
	const meanSize = 1000.0
	const service = 8e5 // ns: the mean size at 10 Mbit/s
	for _, row := range []struct {
		rho float64
		k   int
	}{{0.5, 1}, {0.8, 2}, {1.5, 4}, {2, 20}} {
		p, r := newPipe(t, netem.Config{
			Rate: 10 * netem.Mbit, Queue: netem.DropTail{Packets: row.k}, MTU: 65535,
		}), netem.NewStream(1, "pipe")
		traffic := netem.NewStream(1, "traffic")
		var clock float64
		lost := 0
		for range n {
			clock += exponential(&traffic) * service / row.rho
			size := max(1, int(math.Round(exponential(&traffic)*meanSize)))
			if p.Send(netem.Packet{Size: size}, time.Duration(clock), &r).Reason == netem.DropQueue {
				lost++
			}
		}
		k := float64(row.k)
		want := (1 - row.rho) * math.Pow(row.rho, k) / (1 - math.Pow(row.rho, k+1))
		require.InEpsilon(t, want, float64(lost)/n, 0.02, "load %v, room for %d", row.rho, row.k)
	}
}
