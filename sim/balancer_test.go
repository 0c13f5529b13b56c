package sim_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// balanced links a client to a load balancer with three backends; each link takes 10 ms. A backend greets with its name and then echoes.
func balanced(t *testing.T, n *sim.Network, cfg sim.BalancerConfig) (client *sim.Host, lb *sim.Balancer) {
	t.Helper()
	client = n.Host("client")
	r := n.Router("lb")
	n.Link(client, r, netem.Config{Delay: 10 * ms})
	silent(client)
	var backends []*sim.Host
	for _, name := range []string{"a", "b", "c"} {
		h := n.Host(name)
		n.Link(r, h, netem.Config{Delay: 10 * ms})
		silent(h)
		accept(listen(t, h, ":7"), func(c net.Conn) {
			io.WriteString(c, h.Name())
			echo(c)
		})
		backends = append(backends, h)
	}
	cfg.Port = 7
	return client, r.Balancer(cfg, backends...)
}

// greeted connects to the balancer and returns the connection and the name of the backend that answers.
func greeted(t *testing.T, client *sim.Host) (net.Conn, string) {
	t.Helper()
	c := dial(t, client, "lb:7")
	p := make([]byte, 1)
	_, err := io.ReadFull(c, p)
	require.NoError(t, err)
	return c, string(p)
}

func TestABalancerTakesTurns(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, lb := balanced(t, n, sim.BalancerConfig{})
		who := ""
		for range 7 {
			c, name := greeted(t, client)
			roundTrip(t, c)
			who += name
		}
		require.Equal(t, "abcabca", who)
		require.Equal(t, sim.TrackingStats{Open: 7, Opened: 7}, lb.Stats())
		_, err := client.Dial("tcp", "lb:8")
		require.ErrorIs(t, err, syscall.ETIMEDOUT, "another port is no connection of its own: dropped")
		require.Equal(t, []string{"198.18.0.1"}, addrsOf(t, client, "lb"))
	})
}

func addrsOf(t *testing.T, h *sim.Host, name string) []string {
	t.Helper()
	addrs, err := h.Resolver().LookupHost(t.Context(), name)
	require.NoError(t, err)
	return addrs
}

// With a hash, the clients of a backend that disappears are spread over the others, and no other client moves.
func TestABalancerThatHashes(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, lb := balanced(t, n, sim.BalancerConfig{Hash: true, Tracking: sim.Tracking{Closing: time.Second}})
		choices := func() (who string) {
			for port := range 30 {
				c, err := dialerOf(client, &net.TCPAddr{Port: 5000 + port}).Dial("tcp", "lb:7")
				require.NoError(t, err)
				p := make([]byte, 1)
				io.ReadFull(c, p)
				who += string(p)
				c.(*sim.TCPConn).SetLinger(0)
				c.Close()
			}
			time.Sleep(10 * time.Second)
			return who
		}
		before := choices()
		require.Equal(t, before, choices(), "the same client, the same backend")
		lb.Drain(n.Host("b"), 0)
		after, moved := choices(), 0
		for i := range before {
			if before[i] == 'b' {
				moved++
				require.NotEqual(t, byte('b'), after[i])
			} else {
				require.Equal(t, before[i], after[i])
			}
		}
		require.Greater(t, moved, 3, before)
		require.Less(t, moved, 20, before)
		lb.Undrain(n.Host("b"))
		require.Equal(t, before, choices())
	})
}

// A dead backend keeps its share of the connections until the configured number of checks have failed.
func TestABalancerChecksItsBackends(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, lb := balanced(t, n, sim.BalancerConfig{Check: sim.HealthCheck{Every: 10 * time.Second, Timeout: 2 * time.Second, Down: 2, Up: 3}})
		conns := map[string]net.Conn{}
		for range 3 {
			c, name := greeted(t, client)
			conns[name] = c
		}
		n.After(12*time.Second-n.Elapsed(), n.Host("b").PowerOff)
		// Checks begin at 10, 20 and 30 s. The one at 20 s has failed at 22 s, the one at 30 s at 32 s.
		time.Sleep(32*time.Second - n.Elapsed())
		require.Equal(t, []string{"a", "b", "c"}, lb.Serving())
		time.Sleep(2)
		require.Equal(t, []string{"a", "c"}, lb.Serving())
		require.Equal(t, 1, lb.Stats().Forgotten, "its connection")
		roundTrip(t, conns["a"])
		roundTrip(t, conns["c"])

		b := n.Host("b")
		b.Restart()
		time.Sleep(time.Second)
		accept(listen(t, b, ":7"), func(c net.Conn) { io.WriteString(c, "b") })
		time.Sleep(60*time.Second - n.Elapsed()) // those at 40, 50 and 60 s succeed, the last one 20 ms later
		require.Equal(t, []string{"a", "c"}, lb.Serving())
		time.Sleep(20*ms + 2)
		require.Equal(t, []string{"a", "b", "c"}, lb.Serving())

		b.Crash() // RST: the checks at 70 and 80 s fail at once
		time.Sleep(80*time.Second + 20*ms + 2 - n.Elapsed())
		require.Equal(t, []string{"a", "c"}, lb.Serving())
		n.Host("a").Crash()
		n.Host("c").Crash()
		time.Sleep(time.Minute)
		require.Empty(t, lb.Serving())
		start, strays := n.Elapsed(), lb.Stats().Strays
		_, err := client.Dial("tcp", "lb:7")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		require.Equal(t, 20*ms, n.Elapsed()-start)
		require.Equal(t, strays+1, lb.Stats().Strays)
	})
}

// A backend gets no new connections once its drain begins. Its old connections end when the drain's time is over.
func TestABalancerDrains(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, lb := balanced(t, n, sim.BalancerConfig{Tracking: sim.AWSNetworkLB})
		c, who := greeted(t, client)
		require.Equal(t, "a", who)
		start := n.Elapsed()
		lb.Drain(n.Host("a"), 300*time.Second)
		for range 4 {
			_, who = greeted(t, client)
			require.NotEqual(t, "a", who)
		}
		time.Sleep(start + 299*time.Second - n.Elapsed())
		roundTrip(t, c)
		time.Sleep(time.Second)
		c.Write([]byte("x"))
		_, err := c.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		require.Equal(t, 1, lb.Stats().Forgotten)
	})
}

// Ending a drain early leaves open connections alone.
func TestADrainThatEndsEarly(t *testing.T) {
	for name, drain := range map[string]func(n *sim.Network, lb *sim.Balancer){
		"the fault": func(n *sim.Network, lb *sim.Balancer) {
			n.Inject(0, 10*time.Second, sim.DrainBackend(n.Router("lb"), n.Host("a"), time.Minute))
		},
		"Undrain": func(n *sim.Network, lb *sim.Balancer) {
			lb.Drain(n.Host("a"), time.Minute)
			n.After(10*time.Second, func() { lb.Undrain(n.Host("a")) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				client, lb := balanced(t, n, sim.BalancerConfig{})
				c, who := greeted(t, client)
				require.Equal(t, "a", who)
				drain(n, lb)
				time.Sleep(5 * time.Second)
				require.Equal(t, []string{"b", "c"}, lb.Serving())
				time.Sleep(2 * time.Minute)
				roundTrip(t, c)
				require.Equal(t, sim.TrackingStats{Open: 1, Opened: 1}, lb.Stats())
			})
		})
	}
}

// Two clients use the same port to the same backend. When they end their connections, a later drain of the backend finds none left.
func TestABalancerKeepsConnectionsApart(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, lb := balanced(t, n, sim.BalancerConfig{Tracking: sim.Tracking{Closing: time.Second}})
		other := n.Host("other")
		n.Link(other, n.Router("lb"), netem.Config{Delay: 10 * ms})
		lb.Drain(n.Host("b"), 0)
		lb.Drain(n.Host("c"), 0)
		var conns []net.Conn
		for _, h := range []*sim.Host{client, other} {
			c, err := dialerOf(h, &net.TCPAddr{Port: 5000}).Dial("tcp", "lb:7")
			require.NoError(t, err)
			_, err = io.ReadFull(c, make([]byte, 1))
			require.NoError(t, err)
			conns = append(conns, c)
		}
		for _, c := range conns {
			roundTrip(t, c)
		}
		require.Equal(t, sim.TrackingStats{Open: 2, Opened: 2}, lb.Stats())
		for _, c := range conns {
			c.(*sim.TCPConn).SetLinger(0)
			c.Close()
		}
		time.Sleep(2 * time.Second)
		lb.Drain(n.Host("a"), 0)
		require.Equal(t, sim.TrackingStats{Opened: 2, Expired: 2}, lb.Stats())
	})
}

// Only consecutive results of checks, with no opposite result between them, take a backend out of service or put it back. Checks are a minute apart.
func TestChecksCountInARow(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		lb, a := n.Router("lb"), n.Host("a")
		n.Link(lb, a, netem.Config{Delay: 10 * ms})
		box := lb.Balancer(sim.BalancerConfig{Port: 7, Check: sim.HealthCheck{Every: time.Minute}}, a)
		var l net.Listener
		serves := ""
		for i, alive := range "-+-+--+-++-+" {
			if l != nil {
				l.Close()
				l = nil
			}
			if alive == '+' {
				l = listen(t, a, ":7")
			}
			time.Sleep(time.Duration(i+1)*time.Minute + time.Second - n.Elapsed())
			if len(box.Serving()) > 0 {
				serves += "+"
			} else {
				serves += "-"
			}
		}
		require.Equal(t, "+++++----+++", serves)
	})
}

// The balancer ignores an answer that arrives after its check has failed, and a packet from another host to the port of a check.
func TestChecksThatAreLate(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, lb, a := n.Host("client"), n.Router("lb"), n.Host("a")
		n.Link(client, lb, netem.Config{})
		n.Link(lb, a, netem.Config{Delay: 1500 * ms})
		client.SetTCP(sim.TCPConfig{SynRetries: -1, SynLinearTimeouts: -1})
		listen(t, a, ":7")
		box := lb.Balancer(sim.BalancerConfig{Port: 7, Check: sim.HealthCheck{Every: 10 * time.Second, Timeout: 2 * time.Second}}, a)
		time.Sleep(11 * time.Second)
		_, err := client.Dial("tcp", "lb:512") // whence the check comes that is under way
		require.ErrorIs(t, err, syscall.ETIMEDOUT, "as to any other port")
		time.Sleep(22*time.Second - n.Elapsed())
		require.Equal(t, []string{"a"}, box.Serving())
		time.Sleep(2)
		require.Empty(t, box.Serving(), "the answers came at 13 and 23 s, a second late")
	})
}

// A client that speaks again after a load balancer's idle timeout gets the error that this cloud's balancer causes.
func TestIdleTimeoutsOfClouds(t *testing.T) {
	for _, row := range []struct {
		name string
		cfg  sim.Tracking
		idle time.Duration
		err  error
	}{
		{"AWS NLB", sim.AWSNetworkLB, 350 * time.Second, syscall.ECONNRESET},
		{"Azure LB", sim.AzureLB, 4 * time.Minute, syscall.ETIMEDOUT},
	} {
		t.Run(row.name, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				client, _ := balanced(t, n, sim.BalancerConfig{Tracking: row.cfg})
				c, _ := greeted(t, client)
				time.Sleep(row.idle - time.Second)
				roundTrip(t, c)
				time.Sleep(row.idle + time.Second)
				c.Write([]byte("x"))
				_, err := c.Read(make([]byte, 1))
				require.ErrorIs(t, err, row.err)
			})
		})
	}
}

// A cap applies to each client separately: a client's seventh attempt is refused while another client's attempt succeeds.
func TestACapForEachClient(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, lb := balanced(t, n, sim.BalancerConfig{Tracking: sim.Tracking{PerClient: 6, Closing: time.Second}})
		other := n.Host("other")
		n.Link(other, n.Router("lb"), netem.Config{})
		var first net.Conn
		for i := range 6 {
			c, _ := greeted(t, client)
			if i == 0 {
				first = c
			}
		}
		_, err := client.Dial("tcp", "lb:7")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		greeted(t, other)
		first.(*sim.TCPConn).SetLinger(0)
		first.Close()
		time.Sleep(2 * time.Second)
		greeted(t, client)
		require.Equal(t, 1, lb.Stats().Full)
	})
}

func TestMisuseOfBalancers(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		r, h := n.Router("r"), n.Host("h")
		check := func(c sim.HealthCheck) func() {
			return func() { r.Balancer(sim.BalancerConfig{Port: 7, Check: c}, h) }
		}
		for want, f := range map[string]func(){
			"sim: router r: Balancer: Port is 0: it must be from 1 to 65535":                         func() { r.Balancer(sim.BalancerConfig{}, h) },
			"sim: router r: Balancer: name its backends":                                             func() { r.Balancer(sim.BalancerConfig{Port: 7}) },
			`sim: router r: Balancer: host "h" is named twice`:                                       func() { r.Balancer(sim.BalancerConfig{Port: 7}, h, h) },
			"sim: router r: Balancer: Check.Every is -1s: it must not be negative":                   check(sim.HealthCheck{Every: -time.Second, Timeout: -time.Second}),
			"sim: router r: Balancer: Check.Timeout is 2s: it must be from 0 to Every, 1s":           check(sim.HealthCheck{Every: time.Second, Timeout: 2 * time.Second}),
			"sim: router r: Balancer: Check.Down is -1 and Check.Up is 2: they must not be negative": check(sim.HealthCheck{Every: time.Second, Down: -1}),
			"sim: router r: Balancer: Tracking.PerClient is -1: it must not be negative":             func() { r.Balancer(sim.BalancerConfig{Port: 7, Tracking: sim.Tracking{PerClient: -1}}, h) },
		} {
			require.PanicsWithValue(t, want, f)
		}
		lb := r.Balancer(sim.BalancerConfig{Port: 7}, h)
		require.PanicsWithValue(t, "sim: router r: Drain: the host is not one of the balancer's backends", func() { lb.Drain(n.Host("x"), 0) })
		require.PanicsWithValue(t, fmt.Sprintf("sim: router r: Drain(%v): it must not be negative", -time.Second), func() { lb.Drain(h, -time.Second) })
	})
}

// A partition separates hosts, whatever addresses a middlebox gives the packets between them.
func TestAPartitionWithABoxBetween(t *testing.T) {
	for _, row := range []struct {
		name    string
		begin   func(n *sim.Network, client, server *sim.Host) *sim.Fault
		arrived int // of ten datagrams of the server's
	}{
		{"both ways", func(n *sim.Network, client, server *sim.Host) *sim.Fault {
			return sim.Partition(n, []*sim.Host{client}, []*sim.Host{server})
		}, 0},
		{"to the client", func(n *sim.Network, client, server *sim.Host) *sim.Fault {
			return sim.PartitionOneWay(n, []*sim.Host{server}, []*sim.Host{client})
		}, 0},
		{"to the server", func(n *sim.Network, client, server *sim.Host) *sim.Fault {
			return sim.PartitionOneWay(n, []*sim.Host{client}, []*sim.Host{server})
		}, 10},
		{"of others", func(n *sim.Network, client, server *sim.Host) *sim.Fault {
			return sim.Partition(n, []*sim.Host{client}, []*sim.Host{n.Host("other")})
		}, 10},
	} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			client, server, _ := behindNAT(n, sim.NATConfig{})
			pc, c, public := heardOf(t, client, server)
			f := row.begin(n, client, server)
			f.Begin()
			for range 10 {
				pc.WriteTo([]byte("x"), public)
			}
			time.Sleep(time.Second)
			require.Equal(t, 10-row.arrived, f.Fired().Packets, row.name)
			c.SetReadDeadline(time.Now().Add(ms))
			for i := range row.arrived {
				_, err := c.Read(make([]byte, 1))
				require.NoError(t, err, "%s: %d", row.name, i)
			}
			_, err := c.Read(make([]byte, 1))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded, row.name)
		})
	}
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, _ := balanced(t, n, sim.BalancerConfig{})
		n.Partition([]*sim.Host{client}, []*sim.Host{n.Host("a")})
		client.SetTCP(sim.TCPConfig{SynRetries: -1, SynLinearTimeouts: -1})
		_, err := client.Dial("tcp", "lb:7")
		require.ErrorIs(t, err, syscall.ETIMEDOUT, "it was the turn of a")
		_, name := greeted(t, client)
		require.Equal(t, "b", name)
	})
}

// heardOf sends a datagram from the client to the server. It returns both sockets and the address from which the server received it.
func heardOf(t *testing.T, client, server *sim.Host) (pc net.PacketConn, c net.Conn, public net.Addr) {
	pc, err := server.ListenPacket("udp", ":9")
	require.NoError(t, err)
	c, err = client.Dial("udp", "server:9")
	require.NoError(t, err)
	c.Write([]byte("x"))
	_, public, err = pc.ReadFrom(make([]byte, 1))
	require.NoError(t, err)
	return pc, c, public
}

// A packet that a partition holds at a middlebox survives when its sender loses power.
func TestWhatABoxHoldsOutlivesItsSender(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server, _ := behindNAT(n, sim.NATConfig{})
		pc, c, public := heardOf(t, client, server)
		f := sim.PartitionBy(n, sim.Groups([]*sim.Host{client}, []*sim.Host{server}), sim.PartitionConfig{Holds: true})
		f.Begin()
		pc.WriteTo([]byte("y"), public)
		time.Sleep(10*ms + 1) // it is at the NAT, which knows for whom it is
		server.PowerOff()
		time.Sleep(time.Second)
		f.End()
		c.SetReadDeadline(time.Now().Add(time.Second))
		_, err := c.Read(make([]byte, 1))
		require.NoError(t, err)
		// 20 ms from client to server, 10 ms back to the NAT, a second of partition, 10 ms to the client.
		require.Equal(t, 1040*ms, n.Elapsed().Truncate(ms))
	})
}
