package sim_test

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// A sender to a port on which nobody listens gets six ICMP messages, and then one a second, or one
// in 100 ms over IPv6. Between sockets of one host it always gets them. A call that fails sends
// nothing. Linux 6.18 did the same between two namespaces, as exactly as a program can keep such
// times.
func TestAHostDoesNotTellMuch(t *testing.T) {
	odd := func(to int) (all []int) {
		for i := 1; i < to; i += 2 {
			all = append(all, i)
		}
		return all
	}
	for _, row := range []struct {
		name    string
		network string
		to      string
		writes  int
		gap     time.Duration
		refused []int // which of them fail
	}{
		{"a burst", "udp4", "b:9", 30, 5 * ms, odd(12)},
		// Of 6 s of credit, 1 s is left after the sixth message at 1 s, and 0.2 s after the seventh
		// at 1.2 s. There is enough for another at 2 s and at 3 s.
		{"ten a second", "udp4", "b:9", 40, 100 * ms, append(odd(14), 21, 31)},
		{"one a second", "udp4", "b:9", 12, time.Second, odd(12)},
		// Of 600 ms there are none left at 50 ms but the 50 that have come, and so there is one again at 100 ms.
		{"a burst over IPv6", "udp6", "b:9", 30, 5 * ms, append(odd(12), 21)},
		{"ten a second over IPv6", "udp6", "b:9", 40, 100 * ms, odd(40)},
		{"on the host itself", "udp4", "127.0.0.1:9", 30, 5 * ms, odd(30)},
	} {
		t.Run(row.name, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				a, b := n.Host("a"), n.Host("b")
				n.Link(a, b, netem.Config{Delay: ms})
				c, err := a.Dial(row.network, row.to)
				require.NoError(t, err)
				var refused []int
				for i := range row.writes {
					if _, err := c.Write([]byte("x")); err != nil {
						require.ErrorIs(t, err, syscall.ECONNREFUSED)
						refused = append(refused, i)
					}
					time.Sleep(row.gap)
				}
				require.Equal(t, row.refused, refused)
			}, sim.IPv6())
		})
	}
}

// Each address has a limit of its own, and a host that has lost its memory begins anew.
func TestEachIsToldByItself(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b, other := n.Host("a"), n.Host("b"), n.Host("other")
		told := func(from *sim.Host) (count int) {
			for range 10 {
				c, err := from.Dial("udp", "b:9")
				require.NoError(t, err)
				c.Write([]byte("x"))
				c.SetReadDeadline(in(10 * ms))
				if _, err := c.Read(make([]byte, 1)); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
					count++
				}
				c.Close()
			}
			return count
		}
		require.Equal(t, 6, told(a))
		require.Zero(t, told(a))
		require.Equal(t, 6, told(other))
		b.PowerOff()
		b.Restart()
		require.Equal(t, 6, told(a))
	})
}

// So does a box that has been off.
func TestABoxThatWasOffTellsAnew(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server, r := n.Host("client"), n.Host("server"), n.Router("r")
		n.Link(client, r, netem.Config{Delay: ms})
		n.Link(r, server, netem.Config{Delay: ms})
		r.Firewall(sim.Tracking{PerClient: 1})
		l := listen(t, server, ":7")
		for range 2 {
			told := 0
			for i := range 10 {
				d := client.Dialer()
				d.Timeout = 10 * ms
				if _, err := d.Dial("tcp", "server:7"); i == 0 {
					require.NoError(t, err)
					check1(l.Accept())
				} else if errors.Is(err, syscall.ECONNREFUSED) {
					told++
				}
			}
			require.Equal(t, 6, told)
			n.Inject(0, ms, sim.Reboot(r))
			time.Sleep(2 * ms)
		}
	})
}
