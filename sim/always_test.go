package sim_test

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// counting runs a server that counts the bytes it receives and a client that sends it one byte a second, 20 in all, over a link with a delay of 10 ms.
func counting(n *sim.Network, loss netem.LossModel, count *atomic.Int64) error {
	client, server := n.Host("client"), n.Host("server")
	n.Link(client, server, netem.Config{Delay: 10 * time.Millisecond, Loss: loss})
	l, err := server.Listen("tcp", ":1")
	if err != nil {
		return err
	}
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		for buf := make([]byte, 1); ; {
			if _, err := io.ReadFull(c, buf); err != nil {
				return
			}
			count.Add(1)
		}
	}()
	c, err := client.Dial("tcp", "server:1")
	if err != nil {
		return err
	}
	for range 20 {
		time.Sleep(time.Second)
		if _, err := c.Write([]byte{1}); err != nil {
			return err
		}
	}
	return nil
}

// Conditions that must always hold are checked as soon as the program has processed what arrived, at the same instant.
func TestAlwaysLooksAtOnce(t *testing.T) {
	var count atomic.Int64
	var looked atomic.Int64 // last
	err := sim.Try(t, func(n *sim.Network) error {
		calls := 0 // they come one after the other
		n.Always("less than five", func() error {
			calls++
			looked.Store(int64(n.Elapsed()))
			if k := count.Load(); k >= 5 {
				return fmt.Errorf("there are %d", k)
			}
			return nil
		})
		return counting(n, nil, &count)
	})
	// The handshake takes 20 ms. Then the client sends a byte each second, and each takes 10 ms: the fifth arrives at 20 ms + 5 s + 10 ms.
	require.ErrorContains(t, err, `at 5.03s of virtual time the rule "less than five" was broken: there are 5`)
	require.ErrorContains(t, err, "sim: at 5.03s of virtual time, seed 1, ")
	require.EqualValues(t, 5030*time.Millisecond, looked.Load())
	require.EqualValues(t, 5, count.Load())
}

// Rules do not change what the network does.
func TestAlwaysChangesNothing(t *testing.T) {
	traces := map[uint64]bool{}
	for _, opts := range [][]sim.Option{nil, {sim.ManyTimers()}} {
		for _, rules := range []int{0, 2} {
			var looks atomic.Int64
			require.NoError(t, sim.Try(t, func(n *sim.Network) error {
				for i := range rules {
					n.Always(fmt.Sprint("rule ", i), func() error { looks.Add(1); return nil })
				}
				err := counting(n, netem.Bernoulli(0.02), new(atomic.Int64))
				traces[n.Trace().Hash()] = true
				return err
			}, opts...))
			require.Equal(t, rules > 0, looks.Load() > 2*20, "of %d rules", rules)
		}
	}
	require.Len(t, traces, 1)
}

// All rules are checked once more at the end of the test.
func TestAlwaysLooksAtTheEnd(t *testing.T) {
	err := sim.Try(t, func(n *sim.Network) error {
		n.Always("not yet a minute", func() error {
			if n.Elapsed() >= time.Minute {
				return errors.New("it is one")
			}
			return nil
		})
		time.Sleep(time.Minute)
		return nil
	})
	require.ErrorContains(t, err, `at 1m0s of virtual time the rule "not yet a minute" was broken: it is one`)
}

func TestMisuseOfAlways(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		require.PanicsWithValue(t, "sim: Always: the name is empty", func() { n.Always("", func() error { return nil }) })
		require.PanicsWithValue(t, `sim: Always("x"): check must not be nil`, func() { n.Always("x", nil) })
	})
	n := sim.New()
	defer n.Close()
	require.PanicsWithValue(t, `sim: Always("x"): the network is on the wall clock; it must be that of a test`, func() { n.Always("x", func() error { return nil }) })
}

// Hosts, Links, Ends and Config list the parts of a network and their settings.
func TestHostsAndLinks(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		require.Empty(t, n.Hosts())
		require.Empty(t, n.Links())
		a, b, r := n.Host("a"), n.Host("b"), n.Router("r")
		there, back := netem.Config{Delay: time.Second}, netem.Config{Delay: 2 * time.Second}
		l, m := n.LinkAsym(r, b, there, back), n.Link(a, r, there)
		require.Equal(t, []*sim.Host{a, b}, n.Hosts())
		require.Equal(t, []*sim.Link{l, m}, n.Links())
		x, y := l.Ends()
		require.Equal(t, []sim.Node{r, b}, []sim.Node{x, y})
		n.Inject(0, 0, sim.Impair(l, netem.Config{Delay: time.Minute}))
		aToB, bToA := l.Config()
		require.Equal(t, []netem.Config{there, back}, []netem.Config{aToB, bToA}, "a fault is no setting")
		l.Set(back)
		aToB, _ = l.Config()
		require.Equal(t, back, aToB)
	})
}
