package sim_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// reach sends a datagram from each host to every other one and returns the pairs "ab" for which it arrived.
func reach(t *testing.T, n *sim.Network, names string) string {
	t.Helper()
	arrived := map[string]bool{}
	var socks []net.PacketConn
	for _, name := range names {
		pc, err := n.Host(string(name)).ListenPacket("udp", ":9")
		require.NoError(t, err)
		socks = append(socks, pc)
	}
	for i, from := range names {
		for _, to := range names {
			if from != to {
				_, err := socks[i].WriteTo([]byte(string(from)), udpAddr(n.Host(string(to)).Addr().String()+":9"))
				require.NoError(t, err)
			}
		}
	}
	time.Sleep(time.Second)
	p := make([]byte, 1)
	for i, to := range names {
		for {
			socks[i].SetReadDeadline(in(time.Microsecond))
			_, _, err := socks[i].ReadFrom(p)
			if err != nil {
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				break
			}
			arrived[string(p)+string(to)] = true
		}
		socks[i].Close()
	}
	var pairs []string
	for _, from := range names {
		for _, to := range names {
			if p := string(from) + string(to); arrived[p] {
				pairs = append(pairs, p)
			}
		}
	}
	return strings.Join(pairs, " ")
}

func TestPartitions(t *testing.T) {
	group := func(n *sim.Network, names string) (hs []*sim.Host) {
		for _, name := range names {
			hs = append(hs, n.Host(string(name)))
		}
		return hs
	}
	for _, c := range []struct {
		reason string
		do     func(n *sim.Network)
		want   string
	}{
		{"no partition", func(n *sim.Network) {}, "ab ac ad ba bc bd ca cb cd da db dc"},
		{"two halves", func(n *sim.Network) { n.Partition(group(n, "ab"), group(n, "cd")) }, "ab ba cd dc"},
		{"three groups", func(n *sim.Network) { n.Partition(group(n, "a"), group(n, "b"), group(n, "cd")) }, "cd dc"},
		{"a host in no group reaches all: a partial partition", func(n *sim.Network) {
			n.Partition(group(n, "a"), group(n, "bc"))
		}, "ad bc bd cb cd da db dc"},
		{"a group alone cuts nothing", func(n *sim.Network) { n.Partition(group(n, "ab")) }, "ab ac ad ba bc bd ca cb cd da db dc"},
		{"several add up", func(n *sim.Network) {
			n.Partition(group(n, "a"), group(n, "b"))
			n.Partition(group(n, "c"), group(n, "d"))
		}, "ac ad bc bd ca cb da db"},
		{"one way", func(n *sim.Network) { n.PartitionOneWay(group(n, "ab"), group(n, "c")) }, "ab ad ba bd ca cb cd da db dc"},
		{"one way into a group with the sender in it", func(n *sim.Network) {
			n.PartitionOneWay(group(n, "a"), group(n, "abcd"))
		}, "ba bc bd ca cb cd da db dc"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				all := reach(t, n, "abcd")
				c.do(n)
				require.Equal(t, c.want, reach(t, n, "abcd"))
				if c.want != all {
					require.Empty(t, n.IdleFaults())
				}
				n.Heal()
				require.Equal(t, all, reach(t, n, "abcd"), "after Heal")
			})
		})
	}
}

// A partition covers hosts that have never communicated, and costs nothing for each pair of hosts.
func TestPartitionIsLookedUp(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		var sides [2][]*sim.Host
		for i := range 2000 {
			sides[i%2] = append(sides[i%2], n.Host(fmt.Sprint("h", i)))
		}
		n.Partition(sides[:]...)
		n.PartitionOneWay(sides[0], sides[1])
		require.Zero(t, n.Paths())
		pc, err := n.Host("h1").ListenPacket("udp", ":9")
		require.NoError(t, err)
		hears := func(from string) bool {
			c, err := n.Host(from).Dial("udp", "h1:9")
			require.NoError(t, err)
			c.Write([]byte{1})
			pc.SetReadDeadline(in(time.Second))
			_, _, err = pc.ReadFrom(make([]byte, 1))
			return err == nil
		}
		require.False(t, hears("h0"))
		require.True(t, hears("h3"))
		require.True(t, hears("another")) // made since
		require.LessOrEqual(t, n.Paths(), 4)
		n.Heal()
		require.True(t, hears("h0"))
	})
}

// A partition covers whole paths, including those over a router, whoever else uses the router.
func TestPartitionCoversRoutes(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		hub := n.Router("hub")
		for _, name := range "abc" {
			n.Link(n.Host(string(name)), hub, netem.Config{Delay: ms})
		}
		n.Partition([]*sim.Host{n.Host("a")}, []*sim.Host{n.Host("b")})
		require.Equal(t, "ac bc ca cb", reach(t, n, "abc"))
	})
}

// A partition affects new and established connections alike, and both continue after it.
func TestPartitionStopsConnections(t *testing.T) {
	onRig(t, func(r *rig) {
		r.n.Partition([]*sim.Host{r.a}, []*sim.Host{r.b})
		require.Zero(t, r.echoes(time.Second))
		require.ErrorIs(t, r.connects(1500*ms), context.DeadlineExceeded)
		r.requireFired()

		start := r.n.Elapsed()
		r.n.After(500*ms, r.n.Heal)
		require.NoError(t, r.connects(5*time.Second))
		require.Equal(t, start+time.Second+20*ms, r.n.Elapsed(), "the SYN goes again after 1 s")
		r.conn.SetReadDeadline(time.Time{})
		_, err := io.ReadFull(r.conn, make([]byte, 1))
		require.NoError(t, err)
	})
}

// If only the way back is cut, a server receives packets but cannot answer, not even that nobody listens.
func TestPartitionOneWayTakesAnswers(t *testing.T) {
	onRig(t, func(r *rig) {
		r.n.PartitionOneWay([]*sim.Host{r.b}, []*sim.Host{r.a})
		require.ErrorIs(t, r.connects(time.Second), context.DeadlineExceeded)
		require.Contains(t, r.b.Netstat(), "SYN_RECV", "the SYN arrived")

		c, err := r.a.Dial("udp", "b:5999")
		require.NoError(t, err)
		c.Write([]byte{1})
		c.SetReadDeadline(in(time.Second))
		_, err = c.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, "the news that nobody listens is lost too")

		r.n.Heal()
		c.Write([]byte{1})
		c.SetReadDeadline(in(time.Second))
		_, err = c.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		r.requireFired()
	})
}

// A host always reaches itself.
func TestPartitionSparesLoopback(t *testing.T) {
	onRig(t, func(r *rig) {
		r.n.Partition([]*sim.Host{r.a, r.b}, nil)
		r.n.PartitionOneWay([]*sim.Host{r.a, r.b}, []*sim.Host{r.a, r.b})
		accept(listen(t, r.a, ":8"), echo)
		for _, addr := range []string{"a:8", "localhost:8", "127.0.0.1:8", ":8"} {
			dial(t, r.a, addr).Close()
		}
		require.ErrorIs(t, r.connects(time.Second), context.DeadlineExceeded)
	})
}

// A partition that drops packets on a link does not make the link count as unused, however it was made and whatever
// the partition does.
func TestLinksThatAPartitionCutsAreUsed(t *testing.T) {
	cfg := netem.Config{Delay: 10 * ms, Jitter: ms}
	type hosts struct{ a, b *sim.Host }
	link := func(n *sim.Network) hosts {
		a, b := n.Host("a"), n.Host("b")
		n.Link(a, b, cfg)
		return hosts{a, b}
	}
	routed := func(n *sim.Network) hosts {
		a, b, r := n.Host("a"), n.Host("b"), n.Router("r")
		n.Link(a, r, cfg)
		n.Link(r, b, cfg)
		return hosts{a, b}
	}
	for _, row := range []struct {
		name string
		make func(n *sim.Network) hosts
		conf sim.PartitionConfig
		at   time.Duration // of the partition
		opts []sim.Option
	}{
		{"a link", link, sim.PartitionConfig{}, 0, nil},
		{"no link", func(n *sim.Network) hosts { return hosts{n.Host("a"), n.Host("b")} }, sim.PartitionConfig{}, 0, []sim.Option{sim.DefaultLink(cfg)}},
		{"zones", func(n *sim.Network) hosts {
			h := hosts{n.Host("a"), n.Host("b")}
			n.LinkZones(n.Zone("east", h.a), n.Zone("west", h.b), cfg)
			return h
		}, sim.PartitionConfig{}, 0, nil},
		{"a router", routed, sim.PartitionConfig{}, 0, nil},
		{"a NAT", func(n *sim.Network) hosts {
			h := routed(n)
			n.Router("r").NAT(sim.NATConfig{}, h.a)
			return h
		}, sim.PartitionConfig{}, 0, nil},
		{"it rejects at the sender", routed, sim.PartitionConfig{Rejects: true}, 0, nil},
		{"it rejects by a message", routed, sim.PartitionConfig{Rejects: true, Code: sim.ICMPPortUnreachable}, 0, nil},
		{"it holds", routed, sim.PartitionConfig{Holds: true}, 0, nil},
		{"it loses what is in flight", routed, sim.PartitionConfig{InFlight: true}, ms, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			require.NoError(t, sim.Try(t, func(n *sim.Network) error {
				h := row.make(n)
				cut := n.Inject(row.at, 0, sim.PartitionBy(n, sim.Isolate(h.b), row.conf)).MustFire()
				c, err := h.a.Dial("udp", "b:9")
				if err == nil {
					defer c.Close()
					_, err = c.Write([]byte("x"))
				}
				if row.name == "it rejects at the sender" {
					require.ErrorIs(t, err, syscall.ENETUNREACH)
				} else {
					require.NoError(t, err)
				}
				time.Sleep(time.Second)
				require.Positive(t, cut.Fired().Count)
				return nil
			}, append(row.opts, sim.Strict())...))
		})
	}
}

// A connection that is opened during a partition for open connections is spared. When the partition begins again, it
// counts as open.
func TestAPartitionForOpenConnectionsBeginsAgain(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		accept(listen(t, b, ":7"), echo)
		f := sim.PartitionBy(n, sim.Groups([]*sim.Host{a}, []*sim.Host{b}), sim.PartitionConfig{Only: sim.OpenConnections})
		f.Begin()
		c := dial(t, a, "b:7")
		roundTrip(t, c)
		f.End()
		f.Begin()
		c.Write([]byte("x"))
		c.SetReadDeadline(in(time.Second))
		_, err := c.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	})
}
