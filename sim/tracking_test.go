package sim_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// After a middlebox has forgotten a connection, each end learns of it in its own way: from nothing, from silence or
// from an RST.
func TestWhatABoxDoesWithStrays(t *testing.T) {
	const idle = 350 * time.Second
	const giveUp = 924600 * ms // Retries2
	for _, row := range []struct {
		stray      sim.Stray
		fromClient bool
		err        error
		after      time.Duration // the write; of silence, less what the measured round trip adds
	}{
		{sim.StrayAdopted, true, nil, 40 * ms},
		{sim.StrayAdopted, false, syscall.ETIMEDOUT, giveUp},
		{sim.StrayDropped, true, syscall.ETIMEDOUT, giveUp},
		{sim.StrayDropped, false, syscall.ETIMEDOUT, giveUp},
		{sim.StrayReset, true, syscall.ECONNRESET, 20 * ms},
		{sim.StrayReset, false, syscall.ECONNRESET, 20 * ms},
	} {
		for _, kind := range []string{"nat", "firewall"} {
			t.Run(fmt.Sprintf("%s, %v, from the client %v", kind, row.stray, row.fromClient), func(t *testing.T) {
				sim.Test(t, func(t *testing.T, n *sim.Network) {
					client, server, r := n.Host("client"), n.Host("server"), n.Router("box")
					n.Link(client, r, netem.Config{Delay: 10 * ms})
					n.Link(r, server, netem.Config{Delay: 10 * ms})
					silent(client, server)
					cfg := sim.Tracking{Established: idle, Stray: row.stray}
					stats := func() sim.TrackingStats { return sim.TrackingStats{} }
					if kind == "nat" {
						stats = r.NAT(sim.NATConfig{Tracking: cfg}, client).Stats
					} else {
						stats = r.Firewall(cfg, client).Stats
					}
					c, s := pair(t, client, server)
					here, there := net.Conn(c), net.Conn(s)
					if !row.fromClient {
						here, there = there, here
					}
					go echo(there)
					roundTrip(t, here) // the last packet passes the box 10 ms later
					time.Sleep(idle + 10*ms - 1)
					require.Equal(t, sim.TrackingStats{Open: 1, Opened: 1}, stats(), "a nanosecond before its time")
					time.Sleep(2) // at one instant the program comes before timers
					require.Equal(t, 1, stats().Expired)

					start := n.Elapsed()
					here.Write([]byte("x"))
					_, err := here.Read(make([]byte, 1))
					took := n.Elapsed() - start
					if row.err == nil {
						require.NoError(t, err)
						require.Zero(t, stats().Strays)
					} else {
						require.ErrorIs(t, err, row.err)
						require.NotZero(t, stats().Strays)
					}
					if row.after == giveUp {
						require.Greater(t, took, 14*time.Minute)
						return
					}
					require.Equal(t, row.after, took)
				})
			})
		}
	}
}

// pair is a connection from client to server.
func pair(t *testing.T, client, server *sim.Host) (c, s *sim.TCPConn) {
	t.Helper()
	l := listen(t, server, ":7")
	c = dial(t, client, "server:7").(*sim.TCPConn)
	peer, err := l.Accept()
	require.NoError(t, err)
	return c, peer.(*sim.TCPConn)
}

func TestAFirewallLetsOnlyThoseOpenWhoMay(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server, r := n.Host("client"), n.Host("server"), n.Router("firewall")
		n.Link(client, r, netem.Config{Delay: 10 * ms})
		n.Link(r, server, netem.Config{Delay: 10 * ms})
		w := r.Firewall(sim.Tracking{Stray: sim.StrayReset}, client)
		accept(listen(t, server, ":7"), echo)
		listen(t, client, ":8")
		roundTrip(t, dial(t, client, "server:7"))
		start := n.Elapsed()
		_, err := server.Dial("tcp", "client:8")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		require.Equal(t, 20*ms, n.Elapsed()-start, "RST from the firewall")
		require.Equal(t, 1, w.Stats().Strays)
		_, err = client.Dial("tcp", "server:9")
		require.ErrorIs(t, err, syscall.ECONNREFUSED, "the server's RST comes back")
		u, err := client.Dial("udp", "server:9")
		require.NoError(t, err)
		u.Write([]byte("nobody"))
		_, err = u.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNREFUSED, "what ICMP says of a known connection passes")
		_, err = client.Dial("tcp", r.Addr().String()+":80")
		require.ErrorIs(t, err, syscall.ECONNREFUSED, "the firewall itself serves nothing")
	})
}

// A full table drops packets that would open a connection. Open connections continue.
func TestATableThatIsFull(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server, nat := behindNAT(n, sim.NATConfig{Tracking: sim.Tracking{Max: 2, Closing: time.Second}})
		accept(listen(t, server, ":7"), echo)
		a, b := dial(t, client, "server:7"), dial(t, client, "server:7")
		n.After(3*time.Second+1, func() { a.Close() })
		start := n.Elapsed()
		c := dial(t, client, "server:7")
		// SYNs at 0, 1, 2, 3, 4, 5 s and later; a is closed at 3 s, forgotten a second after its last packet, which passes
		// 50 ms later: the SYN at 5 s is the first to find room.
		require.Equal(t, 5*time.Second+40*ms, n.Elapsed()-start)
		roundTrip(t, b)
		roundTrip(t, c)
		require.Equal(t, sim.TrackingStats{Open: 2, Opened: 3, Expired: 1, Full: 5}, nat.Stats())
	})
}

// A NAT's ports are counted for one remote address and port. Another remote address has as many.
func TestPortsOfANATAreFew(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server, nat := behindNAT(n, sim.NATConfig{Ports: 3})
		client.SetTCP(sim.TCPConfig{SynRetries: -1, SynLinearTimeouts: -1})
		seen := map[string]bool{}
		for _, port := range []string{":7", ":8"} {
			accept(listen(t, server, port), func(c net.Conn) { io.WriteString(c, c.RemoteAddr().String()) })
			for range 3 {
				c := dial(t, client, "server"+port)
				from := make([]byte, len("198.18.0.1:1024"))
				_, err := io.ReadFull(c, from)
				require.NoError(t, err)
				seen[string(from)] = true
			}
			_, err := client.Dial("tcp", "server"+port)
			require.ErrorIs(t, err, syscall.ETIMEDOUT)
		}
		require.Equal(t, map[string]bool{"198.18.0.1:1024": true, "198.18.0.1:1025": true, "198.18.0.1:1026": true}, seen)
		require.Equal(t, 2, nat.Stats().Full)
	})
}

// Two hosts that use the same port get two different ones.
func TestTwoHostsBehindANATWithOnePort(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server, _ := behindNAT(n, sim.NATConfig{})
		other, r := n.Host("other"), n.Router("home")
		n.Link(other, r, netem.Config{})
		n.Link(r, n.Router("nat"), netem.Config{})
		r.NAT(sim.NATConfig{}, other) // one behind another is not among its hosts: it passes as it comes
		froms := make(chan string, 2)
		accept(listen(t, server, ":7"), func(c net.Conn) { froms <- c.RemoteAddr().String(); echo(c) })
		for _, h := range []*sim.Host{client, other} {
			c, err := dialerOf(h, &net.TCPAddr{Port: 5000}).Dial("tcp", "server:7")
			require.NoError(t, err)
			roundTrip(t, c)
		}
		require.Equal(t, "198.18.0.1:5000", <-froms)
		require.Equal(t, "198.18.0.2:5000", <-froms)
	})
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server, r := n.Host("server"), n.Router("nat")
		n.Link(r, server, netem.Config{})
		var hosts []sim.Node
		for _, name := range []string{"a", "b"} {
			n.Link(n.Host(name), r, netem.Config{})
			hosts = append(hosts, n.Host(name))
		}
		r.NAT(sim.NATConfig{}, hosts...)
		froms := make(chan string, 2)
		accept(listen(t, server, ":7"), func(c net.Conn) { froms <- c.RemoteAddr().String(); echo(c) })
		for _, h := range hosts {
			c, err := dialerOf(h.(*sim.Host), &net.TCPAddr{Port: 5000}).Dial("tcp", "server:7")
			require.NoError(t, err)
			roundTrip(t, c)
		}
		require.Equal(t, "198.18.0.1:5000", <-froms)
		require.NotEqual(t, "198.18.0.1:5000", <-froms)

		u, err := server.Dial("udp", "a:9")
		require.NoError(t, err)
		u.Write([]byte("x"))
		_, err = server.Dial("tcp", "198.18.0.1:80")
		require.ErrorIs(t, err, syscall.ETIMEDOUT, "from outside nothing answers")
		require.Contains(t, n.Trace().String(), "a private address")
		_, err = hosts[0].(*sim.Host).Dial("tcp", "198.18.0.1:80")
		require.ErrorIs(t, err, syscall.ECONNREFUSED, "from inside the router itself does")
	})
}

// IPv6 packets pass a NAT unchanged.
func TestANATLeavesIPv6Alone(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server, nat := behindNAT(n, sim.NATConfig{})
		froms := make(chan string, 2)
		accept(listen(t, server, ":7"), func(c net.Conn) { froms <- c.RemoteAddr().String(); echo(c) })
		six, err := client.Dial("tcp6", "server:7")
		require.NoError(t, err)
		roundTrip(t, six)
		require.Equal(t, six.LocalAddr().String(), <-froms)
		require.Zero(t, nat.Stats().Opened)
		four, err := client.Dial("tcp4", "server:7")
		require.NoError(t, err)
		roundTrip(t, four)
		require.NotEqual(t, four.LocalAddr().String(), <-froms)
	}, sim.IPv6())
}

// After the NAT changes its address, TCP gets an RST from the server, while UDP continues.
func TestRebinding(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server, nat := behindNAT(n, sim.NATConfig{})
		accept(listen(t, server, ":7"), echo)
		pc, err := server.ListenPacket("udp", ":9")
		require.NoError(t, err)
		u, err := client.Dial("udp", "server:9")
		require.NoError(t, err)
		c := dial(t, client, "server:7")
		roundTrip(t, c)
		u.Write([]byte("x"))
		_, before, err := pc.ReadFrom(make([]byte, 1))
		require.NoError(t, err)

		nat.Rebind()
		u.Write([]byte("x"))
		_, now, err := pc.ReadFrom(make([]byte, 1))
		require.NoError(t, err)
		require.Equal(t, "198.18.0.2", now.(*net.UDPAddr).IP.String())
		require.NotEqual(t, before.(*net.UDPAddr).Port, now.(*net.UDPAddr).Port)
		pc.WriteTo([]byte("lost"), before)
		pc.WriteTo([]byte("pong"), now)
		p := make([]byte, 10)
		k, err := u.Read(p)
		require.NoError(t, err)
		require.Equal(t, "pong", string(p[:k]))

		start := n.Elapsed()
		c.Write([]byte("x"))
		_, err = c.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		require.Equal(t, 40*ms, n.Elapsed()-start, "from the server, which does not know the new address")
		require.Contains(t, n.Trace().String(), "nobody has the address any more")
		require.Equal(t, 2, nat.Stats().Forgotten)
	})
}

// With Tell both ends learn at once that their connection is forgotten.
func TestABoxThatTells(t *testing.T) {
	for _, kind := range []string{"nat", "firewall"} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			client, server, r := n.Host("client"), n.Host("server"), n.Router("box")
			n.Link(client, r, netem.Config{Delay: 10 * ms})
			n.Link(r, server, netem.Config{Delay: 10 * ms})
			silent(client, server)
			cfg := sim.AzureLB
			cfg.Tell = true
			if kind == "nat" {
				r.NAT(sim.NATConfig{Tracking: cfg}, client)
			} else {
				r.Firewall(cfg)
			}
			c, s := pair(t, client, server)
			go func() { s.Write(make([]byte, 3000)) }()
			io.ReadFull(c, make([]byte, 3000))
			roundTrip2 := n.Elapsed() // the last acknowledgement passes the box 10 ms later
			for _, end := range []net.Conn{c, s} {
				_, err := end.Read(make([]byte, 1))
				require.ErrorIs(t, err, syscall.ECONNRESET)
				require.Equal(t, roundTrip2+10*ms+4*time.Minute+10*ms, n.Elapsed())
			}
		})
	}
}

// A box that forgets while no connection is open counts as a fault that never fired.
func TestForgettingIsProven(t *testing.T) {
	err := sim.Try(t, func(n *sim.Network) error {
		_, _, nat := behindNAT(n, sim.NATConfig{})
		nat.Forget()
		return nil
	}, sim.Strict())
	require.ErrorContains(t, err, "nat: forgets its connections")
	require.NoError(t, sim.Try(t, func(n *sim.Network) error {
		client, server, nat := behindNAT(n, sim.NATConfig{})
		pair(t, client, server)
		nat.Forget()
		return nil
	}, sim.Strict()))
}

// When a connection has ended, the same addresses begin a new one.
func TestAPortThatIsUsedAgain(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server, nat := behindNAT(n, sim.NATConfig{Tracking: sim.Tracking{Stray: sim.StrayReset}})
		accept(listen(t, server, ":7"), echo)
		for range 2 {
			c, err := dialerOf(client, &net.TCPAddr{Port: 5000}).Dial("tcp", "server:7")
			require.NoError(t, err)
			roundTrip(t, c)
			c.(*sim.TCPConn).SetLinger(0)
			c.Close()
			time.Sleep(time.Second)
		}
		c, err := dialerOf(client, &net.TCPAddr{Port: 5000}).Dial("tcp", "server:7")
		require.NoError(t, err)
		time.Sleep(time.Minute)
		roundTrip(t, c)
		require.Equal(t, sim.TrackingStats{Open: 1, Opened: 1}, nat.Stats(), "longer than the 10 s after a RST")
	})
}

// Neither an RST nor an answer to a SYN that nobody sent begins a connection.
func TestWhatBeginsNoConnection(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server, nat := behindNAT(n, sim.NATConfig{})
		c, _ := pair(t, client, server)
		time.Sleep(time.Second)
		nat.Forget()
		c.SetLinger(0)
		c.Close()
		time.Sleep(time.Second)
		require.Equal(t, sim.TrackingStats{Opened: 1, Forgotten: 1, Strays: 1}, nat.Stats())
	})
}

// A refused attempt leaves nothing behind, whereas an open connection that is reset is remembered for 10 s.
func TestAnAttemptThatIsRefusedIsForgotten(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server, nat := behindNAT(n, sim.NATConfig{})
		_, err := client.Dial("tcp", "server:8")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		require.Equal(t, sim.TrackingStats{Opened: 1, Expired: 1}, nat.Stats())
		c, s := pair(t, client, server)
		require.NoError(t, s.SetLinger(0))
		s.Close()
		time.Sleep(10*time.Second + 9*ms)
		require.Equal(t, sim.TrackingStats{Open: 1, Opened: 2, Expired: 1}, nat.Stats())
		time.Sleep(2 * ms)
		require.Equal(t, sim.TrackingStats{Opened: 2, Expired: 2}, nat.Stats())
		c.Close()
	})
}

// A box tells one client six times in a row that it has too many connections, and then at most once a second, as
// Linux's REJECT did. A box that may not send ICMP refuses silently, and the fault still counts as fired.
func TestABoxThatRefusesInSilence(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server, r := n.Host("client"), n.Host("server"), n.Router("r")
		n.Link(client, r, netem.Config{Delay: 10 * ms})
		n.Link(r, server, netem.Config{Delay: 10 * ms})
		r.Firewall(sim.Tracking{PerClient: 1})
		pair(t, client, server)
		for i := range 8 {
			d := client.Dialer()
			d.Timeout = 100 * ms
			_, err := d.Dial("tcp", "server:7")
			require.Equal(t, i < 6, errors.Is(err, syscall.ECONNREFUSED), "%d: %v", i, err)
		}
		time.Sleep(time.Second)
		_, err := client.Dial("tcp", "server:7")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		f := sim.BlockICMP(r)
		n.Inject(0, 0, f)
		d := client.Dialer()
		d.Timeout = time.Second
		_, err = d.Dial("tcp", "server:7")
		require.ErrorContains(t, err, "i/o timeout")
		require.Equal(t, 1, f.Fired().Count)
	}, sim.Strict())
}

func TestMisuseOfBoxes(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		r, h := n.Router("r"), n.Host("h")
		for want, f := range map[string]func(){
			"sim: router r: NAT: Tracking.UDP is -1s: it must not be negative":                                                      func() { r.NAT(sim.NATConfig{Tracking: sim.Tracking{UDP: -time.Second}}, h) },
			"sim: router r: NAT: Ports is 70000: it must be from 1 to 64512, or 0 for all":                                          func() { r.NAT(sim.NATConfig{Ports: 70000}, h) },
			"sim: router r: NAT: name the hosts behind it":                                                                          func() { r.NAT(sim.NATConfig{}) },
			"sim: router r: NAT: it cannot be one of its own hosts":                                                                 func() { r.NAT(sim.NATConfig{}, r) },
			"sim: router r: Firewall: Tracking.Max is -1: it must not be negative":                                                  func() { r.Firewall(sim.Tracking{Max: -1}) },
			"sim: router r: Firewall: Tracking.Stray is Stray(9): it must be StrayAdopted, StrayDropped, StrayReset or StrayPassed": func() { r.Firewall(sim.Tracking{Stray: 9}) },
			"sim: Router.NAT: the router is nil, or was not made by Network.Router":                                                 func() { (*sim.Router)(nil).NAT(sim.NATConfig{}, h) },
		} {
			require.PanicsWithValue(t, want, f)
		}
	})
}
