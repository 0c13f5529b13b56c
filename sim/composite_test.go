package sim_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// changesOf lists the beginnings and ends of faults in the trace, with their times.
func changesOf(n *sim.Network) (all []string) {
	for e := range n.Trace().Events() {
		if e.Kind == sim.Noted {
			all = append(all, fmt.Sprint(e.At, " ", e.Note))
		}
	}
	return all
}

// A flapping fault is on and off in turn until its end. Then it is off, and it can begin anew.
func TestFlap(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		link := n.Link(n.Host("a"), n.Host("b"), netem.Config{})
		f := sim.Flap(sim.Down(link), 2*time.Second, 3*time.Second)
		n.Inject(time.Second, 6*time.Second, f)
		n.Inject(20*time.Second, time.Second, f)
		time.Sleep(2 * time.Second)
		require.Len(t, n.Schedule(), 3, "one end, a beginning and its end: not the turns")
		time.Sleep(time.Minute)
		require.Equal(t, []string{
			"1s flapping: a - b: link down", "1s link down", "3s link down, over", "6s link down",
			"7s flapping: a - b: link down, over", "7s link down, over",
			"20s flapping: a - b: link down", "20s link down", "21s flapping: a - b: link down, over", "21s link down, over",
		}, changesOf(n))
		require.Empty(t, n.Schedule())
		require.Contains(t, n.IdleFaults(), "a - b: link down at 20s: it met no packet: none came at all")
		require.NotContains(t, n.IdleFaults(), "flapping")
	})
}

// A part that was injected separately lasts for its own time, whatever the composite fault does.
func TestPartsThatWereInjectedByThemselves(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		down := sim.Down(n.Link(n.Host("a"), n.Host("b"), netem.Config{}))
		n.Inject(time.Second, 10*time.Second, down)
		n.Inject(2*time.Second, 20*time.Second, sim.Flap(down, 3*time.Second, 3*time.Second))
		other := sim.Down(n.Link(n.Host("c"), n.Host("d"), netem.Config{}))
		n.Inject(30*time.Second, 0, other)
		n.Inject(40*time.Second, 5*time.Second, sim.Flap(other, time.Second, time.Second))
		time.Sleep(time.Minute)
		var all []string
		for _, what := range changesOf(n) {
			if !strings.Contains(what, "flapping") {
				all = append(all, what)
			}
		}
		// The flapping has its part on from 2 to 5, 8 to 11, 14 to 17 and 20 to 22 s. The part itself was injected from 1 to 11 s.
		require.Equal(t, []string{"1s link down", "11s link down, over", "14s link down", "17s link down, over", "20s link down", "22s link down, over", "30s link down"}, all)
	})
}

// Each of a swizzle's faults begins in the first half and ends in the second. The seed decides the orders.
func TestSwizzle(t *testing.T) {
	orders := map[string]bool{}
	for seed := range uint64(6) {
		var runs []string
		for range 2 {
			require.NoError(t, sim.Try(t, func(n *sim.Network) error {
				var faults []*sim.Fault
				for _, name := range "abcde" {
					faults = append(faults, sim.PartitionBy(n, sim.Isolate(n.Host(string(name))), sim.PartitionConfig{Holds: true}))
				}
				n.Inject(time.Second, 0, sim.Swizzle(10*time.Second, faults...))
				time.Sleep(time.Minute)
				runs = append(runs, strings.Join(changesOf(n), "\n"))
				return nil
			}, sim.Seed(seed+1)))
		}
		require.Equal(t, runs[0], runs[1])
		lines := strings.Split(runs[0], "\n") // the first one is the swizzle's
		require.Len(t, lines, 11)
		var begins, ends []string
		for _, line := range lines[1:] {
			at, what, _ := strings.Cut(line, " ")
			when, err := time.ParseDuration(at)
			require.NoError(t, err)
			if strings.HasSuffix(what, ", over") {
				ends = append(ends, strings.TrimSuffix(what, ", over"))
				require.True(t, when >= 6*time.Second && when < 11*time.Second, line)
			} else {
				begins = append(begins, what)
				require.True(t, when >= time.Second && when < 6*time.Second, line)
			}
		}
		require.ElementsMatch(t, begins, ends)
		require.False(t, slices.Equal(begins, ends), "another order")
		orders[strings.Join(slices.Concat(begins, ends), "\n")] = true
	}
	require.Len(t, orders, 6)
}

// A swizzle that begins again draws new orders and keeps the faults that it was given. Its Fired sums theirs.
func TestSwizzleAgain(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		var faults []*sim.Fault
		for _, name := range []string{"b", "c"} {
			faults = append(faults, sim.Drop(n.Link(n.Host("a"), n.Host(name), netem.Config{}), sim.Packets{}))
		}
		parts := slices.Clone(faults)
		f := sim.Swizzle(10*time.Second, faults...)
		clear(faults)
		n.Inject(0, 10*time.Second, f)
		n.Inject(20*time.Second, 10*time.Second, f)
		time.Sleep(11 * time.Second)
		first := changesOf(n)
		time.Sleep(20 * time.Second)
		var again []string
		for _, change := range changesOf(n)[len(first):] {
			at, what, _ := strings.Cut(change, " ")
			when, err := time.ParseDuration(at)
			require.NoError(t, err)
			again = append(again, fmt.Sprint(when-20*time.Second, " ", what))
		}
		require.Len(t, again, len(first))
		require.NotEqual(t, first, again)

		for _, which := range []int{1, 0, 0} {
			parts[which].Begin()
			u, err := n.Host("a").Dial("udp", []string{"b:9", "c:9"}[which])
			require.NoError(t, err)
			u.Write(make([]byte, 100))
			time.Sleep(time.Second)
		}
		sum := f.Fired()
		b, c := parts[0].Fired(), parts[1].Fired()
		require.Equal(t, []int{2, 1}, []int{b.Count, c.Count})
		require.Equal(t, sim.Fired{Count: 3, Packets: 3, Bytes: b.Bytes + c.Bytes, First: c.First, Last: b.Last}, sum)
		require.Less(t, c.First, b.First)
	})
}

// A swizzle that ends early ends all its faults at once, and none of them begins later.
func TestSwizzleEnds(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		var faults []*sim.Fault
		for _, name := range "abcde" {
			faults = append(faults, sim.PartitionBy(n, sim.Isolate(n.Host(string(name))), sim.PartitionConfig{}))
		}
		sound := reach(t, n, "abcde") // takes 1 s
		n.Inject(0, 8*time.Second, sim.Swizzle(20*time.Second, faults...).MustFire())
		time.Sleep(7 * time.Second)
		require.Less(t, len(reach(t, n, "abcde")), len(sound))
		time.Sleep(time.Second)
		require.Equal(t, sound, reach(t, n, "abcde"))
		time.Sleep(time.Minute)
		for _, change := range changesOf(n) {
			at, _, _ := strings.Cut(change, " ")
			when, err := time.ParseDuration(at)
			require.NoError(t, err)
			require.LessOrEqual(t, when, 9*time.Second+ms, change)
		}
	})
}
