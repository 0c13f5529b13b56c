// Package workload runs programs repeatedly in exact mode with the same seed, and compares what they did.
package workload

import (
	"fmt"
	"hash/fnv"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
)

// A Workload is a program whose goroutines meet at the same instant, again and again. It records the order in which they arrived.
type Workload struct {
	Name string
	Run  func(n *sim.Network, came *Arrivals) error
	// Fills names what the first run of a process fills and later runs find filled, so that the first run may behave differently. "":
	// nothing.
	Fills string
	// Carries names what a library draws in one run for later ones, so that packets are the same except for their content. "": nothing.
	Carries string
}

// Arrivals records what arrived, in order.
type Arrivals struct {
	mu   sync.Mutex
	text strings.Builder
}

// Note appends a line.
func (a *Arrivals) Note(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	fmt.Fprintf(&a.text, format+"\n", args...)
}

// AtOnce calls f on the given number of goroutines and returns their first error.
func AtOnce(goroutines int, f func(i int) error) error {
	var all sync.WaitGroup
	errs := make([]error, goroutines)
	for i := range goroutines {
		all.Go(func() { errs[i] = f(i) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Repeat runs each workload in a subtest of its name: three times, or 5,000 times with SQUALL_WORKLOADS=5000. Runs with the same seed must do the same,
// whatever else the machine does: the same packets and the same decisions of the scheduler. The log is the same in every process and every build,
// including with -race.
func Repeat(t *testing.T, workloads []Workload) {
	t.Helper()
	sim.NeedExact(t)
	runs := 3
	if text := os.Getenv("SQUALL_WORKLOADS"); text != "" {
		var err error
		runs, err = strconv.Atoi(text)
		require.NoError(t, err, "SQUALL_WORKLOADS is the number of runs")
	}
	for _, w := range workloads {
		t.Run(w.Name, func(t *testing.T) {
			first, came := once(t, w)
			if w.Fills != "" {
				t.Logf("first run: %s, %s", w.Name, first)
				first, came = once(t, w)
			}
			for i := range runs - 1 {
				again, cameAgain := once(t, w)
				require.Equal(t, first+"\n"+came, again+"\n"+cameAgain, "run %d", i+2)
			}
			t.Logf("%d runs: %s, %s", runs, w.Name, first)
		})
	}
}

func once(t *testing.T, w Workload) (outcome, came string) {
	t.Helper()
	var order Arrivals
	require.NoError(t, sim.Try(t, func(n *sim.Network) error {
		err := w.Run(n, &order)
		hash := n.Trace().Hash
		if w.Carries != "" {
			hash = func() uint64 { return Packets(n.Trace()) }
		}
		outcome = fmt.Sprintf("%s, trace %016x", n.Interleaving(), hash())
		return err
	}))
	return outcome, order.text.String()
}

// Packets returns a hash of a trace that ignores the content of packets.
func Packets(tr *sim.Trace) uint64 {
	h := fnv.New64a()
	for e := range tr.Events() {
		e.Content = 0
		fmt.Fprintln(h, e)
	}
	return h.Sum64()
}
