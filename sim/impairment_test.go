package sim_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// datagrams sends packets of 100 bytes from a to b, a millisecond apart, and waits for them.
func datagrams(t *testing.T, a, b *sim.Host, packets int) {
	t.Helper()
	pc, err := b.ListenPacket("udp", ":9")
	require.NoError(t, err)
	c, err := a.Dial("udp", b.Name()+":9")
	require.NoError(t, err)
	for range packets {
		_, err := c.Write(make([]byte, 100-28))
		require.NoError(t, err)
		time.Sleep(ms)
	}
	time.Sleep(time.Second)
	c.Close()
	pc.Close()
}

// The report names each field of a configuration that had no effect. It does not name fields that
// had one, or that only bound the link.
func TestImpairmentsThatMetNothing(t *testing.T) {
	never, second, large := netem.DropList{1000}, netem.DropList{2}, netem.DropTail{Packets: 1000}
	for _, row := range []struct {
		name string
		cfg  netem.Config
		want []string
	}{
		{"nothing set", netem.Config{}, nil},
		{"what each packet meets", netem.Config{Delay: 40 * ms, Jitter: ms, Rate: netem.Mbit}, nil},
		{"what none met", netem.Config{Delay: ms, Loss: never, Duplicate: 1e-9, Reorder: 1e-9, Corrupt: 1e-9, Rate: netem.Mbit, Queue: large, MTU: 1000}, []string{
			"Loss on a > b: none of 5 packets was affected",
			"Duplicate on a > b: none of 5 packets was affected",
			"Reorder on a > b: none of 5 packets was affected",
			"Corrupt on a > b: none of 5 packets was affected",
		}},
		{"Loss", netem.Config{Loss: second}, nil},
		{"Duplicate", netem.Config{Duplicate: 1}, nil},
		{"Reorder", netem.Config{Delay: ms, Reorder: 1}, nil},
		{"Corrupt", netem.Config{Corrupt: 1}, nil},
		{"bounds that nothing came to", netem.Config{Rate: netem.Mbit, Queue: large, Limit: 1000, MTU: 1000}, nil},
		{"bounds that packets came to", netem.Config{Rate: 800, Queue: netem.DropTail{Packets: 1}, Limit: 1, MTU: 68}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				a, b := n.Host("a"), n.Host("b")
				n.LinkAsym(a, b, row.cfg, netem.Config{})
				datagrams(t, a, b, 5)
				want := ""
				if row.want != nil {
					want = "Faults that never fired:\n  " + strings.Join(row.want, "\n  ")
				}
				require.Equal(t, want, n.IdleFaults())
			})
		})
	}
}

// A bit error of a copy counts as one, too.
func TestCorruptThatMetACopy(t *testing.T) {
	found := 0
	for seed := range uint64(16) {
		require.NoError(t, sim.Try(t, func(n *sim.Network) error {
			a, b := n.Host("a"), n.Host("b")
			n.LinkAsym(a, b, netem.Config{Duplicate: 1, Corrupt: 0.5}, netem.Config{})
			datagrams(t, a, b, 1)
			corrupted := n.Stats().Links[0].Corrupted
			require.Equal(t, corrupted == 0, n.IdleFaults() != "")
			found += int(corrupted)
			return nil
		}, sim.Seed(seed)))
	}
	require.Greater(t, found, 0)
	require.Less(t, found, 32)
}

// tc-netem's default bound of 1000 packets is no fault. A link without traffic that has only bounds
// is none either.
func TestImpliedBoundsAreNoFaults(t *testing.T) {
	cfg, err := netem.Parse("delay 10ms")
	require.NoError(t, err)
	require.Equal(t, 1000, cfg.Limit)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		n.Link(a, b, cfg)
		n.Link(n.Host("c"), b, netem.Config{MTU: 9000, Limit: 5})
		datagrams(t, a, b, 3)
	}, sim.Strict())
}

// Each value counts by itself, however often a link is changed, and a value that was set several
// times counts once.
func TestImpairmentsOfALinkThatChanges(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		calm, lossy, storm := netem.Config{Delay: ms}, netem.Config{Delay: ms, Loss: netem.DropList{1}}, netem.Config{Delay: ms, Loss: netem.DropList{1000}}
		link := n.LinkAsym(a, b, netem.Config{Corrupt: 1}, netem.Config{})
		link.SetAsym(calm, netem.Config{}) // at once: nobody expects the first to meet anything
		datagrams(t, a, b, 1)
		link.SetAsym(storm, netem.Config{})
		datagrams(t, a, b, 3)
		link.SetAsym(lossy, netem.Config{})
		datagrams(t, a, b, 1)
		link.SetAsym(storm, netem.Config{})
		datagrams(t, a, b, 4)
		link.SetAsym(calm, netem.Config{})
		require.Equal(t, "Faults that never fired:\n  Loss on a > b, set at 1.001s: none of 7 packets was affected", n.IdleFaults())
		link.SetAsym(lossy, netem.Config{})
		time.Sleep(time.Minute)
		link.SetAsym(netem.Config{Delay: 3 * ms, Corrupt: 0.5}, netem.Config{}) // no packet comes any more
		time.Sleep(time.Minute)
		require.Equal(t, "Faults that never fired:\n"+
			"  Loss on a > b, set at 1.001s: none of 7 packets was affected\n"+
			"  Delay on a > b, set at 1m4.009s: it met no packet\n"+
			"  Corrupt on a > b, set at 1m4.009s: it met no packet", n.IdleFaults())
	})
}

// The report names links without traffic in one line, and likewise the unused direction of a link
// that is used only for its faults. The delay with which a link was made is no fault; one that is
// set later is.
func TestLinksThatNobodyUsed(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		n.LinkAsym(a, b, netem.Config{Delay: ms, Corrupt: 1}, netem.Config{Delay: ms, Corrupt: 1, Loss: netem.DropList{1}})
		for _, other := range []string{"c", "d"} {
			n.Link(n.Host(other), b, netem.Config{Delay: ms, Jitter: ms})
		}
		n.Link(n.Host("g"), b, netem.Config{Delay: ms})
		slow := n.Link(n.Host("h"), b, netem.Config{Delay: ms})
		time.Sleep(ms)
		slow.Set(netem.Config{Delay: 2 * ms})
		n.Link(n.Host("e"), b, netem.Config{})                  // it has nothing that could meet packets
		held := n.Link(n.Host("f"), b, netem.Config{Delay: ms}) // packets came
		held.Hold()
		c, err := n.Host("f").Dial("udp", "b:1")
		require.NoError(t, err)
		c.Write([]byte("x"))
		datagrams(t, a, b, 2)
		require.Equal(t, "Faults that never fired:\n"+
			"  Loss on b > a: it met no packet\n"+
			"  No packet was sent over these links: b - c, b - d, b - h", n.IdleFaults())
	})
}

// The two directions of a link count separately as soon as both are used.
func TestImpairmentOfOneWay(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		n.Link(a, b, netem.Config{Loss: netem.DropList{3}})
		datagrams(t, a, b, 3)
		require.Empty(t, n.IdleFaults())
		datagrams(t, b, a, 1)
		require.Equal(t, "Faults that never fired:\n  Loss on b > a: none of 1 packet was affected", n.IdleFaults())
	})
}

// With Strict a test fails for a fault that met nothing, and not for one that met something.
func TestStrict(t *testing.T) {
	run := func(loss netem.LossModel, opts ...sim.Option) error {
		return sim.Try(t, func(n *sim.Network) error {
			a, b := n.Host("a"), n.Host("b")
			n.LinkAsym(a, b, netem.Config{Loss: loss}, netem.Config{})
			datagrams(t, a, b, 5)
			return nil
		}, opts...)
	}
	require.NoError(t, run(netem.DropList{1000}))
	require.NoError(t, run(netem.DropList{5}, sim.Strict()))
	err := run(netem.DropList{1000}, sim.Strict())
	require.Error(t, err)
	requireInOrder(t, err.Error(), "sim: sim.Strict fails the test for this:\nFaults that never fired:\n  Loss on a > b: none of 5 packets was affected",
		"sim: at 1.005s of virtual time", "To repeat it:")
	require.Equal(t, 1, strings.Count(err.Error(), "none of 5 packets"))
	err = sim.Try(t, func(n *sim.Network) error {
		n.Host("a").PowerOff()
		n.After(time.Hour, func() {})
		return nil
	}, sim.Strict())
	require.ErrorContains(t, err, "a: power off at 0s: it met no packet")
	require.ErrorContains(t, err, "After at 1h0m0s: the test ended first")
}
