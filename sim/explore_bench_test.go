package sim_test

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/squall-sim/squall/sim"
)

// TestVictimTwelve is a request-response of 12 packets, whose every single breakage BenchmarkExplore tries; TestVictimTwelvePlain is only run.
func TestVictimTwelve(t *testing.T) {
	victim(t)
	sim.Explore(t, sim.Exploration{}, func(t *testing.T, n *sim.Network) { answers(t, n, true) })
}

func TestVictimTwelvePlain(t *testing.T) {
	victim(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) { answers(t, n, true) })
}

// BenchmarkExplore measures all 132 single breakages of 12 packets, from the start of the test's process to its end; the reference is the same program
// with as many seeds in one process, in which nothing breaks.
func BenchmarkExplore(b *testing.B) {
	const breakages = 132
	for _, row := range []struct{ name, test, env string }{
		{"explored", "TestVictimTwelve", "SQUALL_SEEDS="},
		{"seeds", "TestVictimTwelvePlain", fmt.Sprintf("SQUALL_SEEDS=%d", breakages)},
	} {
		b.Run(row.name, func(b *testing.B) {
			for b.Loop() {
				cmd := exec.Command(os.Args[0], "-test.run=^"+row.test+"$")
				cmd.Env = append(os.Environ(), "SQUALL_VICTIM=1", "SQUALL_SEED=", "SQUALL_CHECK=", row.env)
				if out, err := cmd.CombinedOutput(); err != nil {
					b.Fatalf("%v\n%s", err, out)
				}
			}
			b.ReportMetric(float64(b.N*breakages)/b.Elapsed().Seconds(), "runs/s")
		})
	}
}
