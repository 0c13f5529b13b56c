package sim_test

import (
	"context"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// Up to backlog + 1 connections wait to be accepted. Later SYNs get no answer and are
// sent again until there is room.
func TestFullAcceptQueueDropsInSilence(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server, client := n.Host("server"), n.Host("client")
		l := listen(t, server, ":7")
		for range 4096 + 1 {
			dial(t, client, "server:7")
		}
		require.Contains(t, strings.Join(strings.Fields(server.Netstat()), " "), "tcp 4097 4096 0.0.0.0:7 * LISTEN")

		time.Sleep(time.Second - n.Elapsed())
		ctx, cancel := context.WithTimeout(t.Context(), 900*ms)
		defer cancel()
		_, err := client.DialContext(ctx, "tcp", "server:7")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 1900*ms, n.Elapsed())

		n.After(1500*ms, func() {
			_, err := l.Accept()
			require.NoError(t, err)
		})
		dial(t, client, "server:7")
		require.Equal(t, 3900*ms, n.Elapsed(), "by its third SYN")
		var dropped []string
		for e := range n.Trace().Events() {
			if e.Kind == sim.Dropped {
				dropped = append(dropped, e.Flags+" "+e.Note)
			}
		}
		require.Equal(t, []string{"S accept queue full", "S accept queue full", "S accept queue full"}, dropped)
	})
}

// The last acknowledgement of a handshake finds the accept queue full, although the SYN found room. The client
// believes that the connection is established, and the SYN-ACK is sent again.
func TestAcceptQueueThatFillsDuringTheHandshake(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server, client, far := n.Host("server"), n.Host("client"), n.Host("far")
		n.Link(far, server, netem.Config{Delay: 100 * ms})
		l := listen(t, server, ":7")
		for range 4096 {
			dial(t, client, "server:7")
		}
		// Two SYNs pass together, and the first acknowledgement takes the last place.
		first, second := make(chan net.Conn, 1), make(chan net.Conn, 1)
		go func() { first <- dial(t, far, "server:7") }()
		go func() { second <- dial(t, far, "server:7") }()
		a, b := <-first, <-second
		require.Less(t, n.Elapsed(), 201*ms)
		time.Sleep(500*ms - n.Elapsed())
		require.Equal(t, 1, dropped(n, "accept queue full"))
		time.Sleep(time.Second - n.Elapsed())
		_, err := l.Accept()
		require.NoError(t, err)
		time.Sleep(10 * time.Second)
		for range 4096 {
			_, err := l.Accept()
			require.NoError(t, err)
		}
		c, err := l.Accept()
		require.NoError(t, err, "the one that was kept out has come in")
		c.Write([]byte("hello"))
		for _, conn := range []net.Conn{a, b} {
			if conn.LocalAddr().String() == c.RemoteAddr().String() {
				_, err = io.ReadFull(conn, make([]byte, 5))
				require.NoError(t, err)
				return
			}
		}
		t.Fatal("it is neither of the two")
	})
}

func portOf(a net.Addr) int {
	_, port, err := net.SplitHostPort(a.String())
	if err != nil {
		panic(err)
	}
	p, _ := strconv.Atoi(port)
	return p
}

// Local ports come from Linux's range. Every port can be used for one destination, then a dial fails, and a port that
// becomes free is used again.
func TestEphemeralPorts(t *testing.T) {
	if testing.Short() || sim.RaceEnabled {
		t.Skip("opens 28232 connections, which takes long")
	}
	t.Parallel()
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server := n.Host("client"), n.Host("server")
		l := listen(t, server, ":7")
		accepted := make(chan net.Conn, 1)
		const ports = 60999 - 32768 + 1
		seen := map[int]bool{}
		var conns []net.Conn
		for i := range ports {
			c := dial(t, client, "server:7")
			conns = append(conns, c)
			peer, err := l.Accept()
			require.NoError(t, err)
			if i == 7 {
				accepted <- peer
			}
			p := portOf(c.LocalAddr())
			require.False(t, seen[p] || p < 32768 || p > 60999, "port %d", p)
			seen[p] = true
		}
		_, err := client.Dial("tcp", "server:7")
		require.ErrorIs(t, err, syscall.EADDRNOTAVAIL)
		accept(listen(t, server, ":8"), echo)
		dial(t, client, "server:8") // another destination has its own
		_, err = dialerOf(client, tcpAddr(client.Addr().String()+":0")).Dial("tcp", "server:8")
		require.ErrorIs(t, err, syscall.EADDRINUSE, "a port that was bound is no destination's")

		conns[5].(*sim.TCPConn).SetLinger(0)
		freed := portOf(conns[5].LocalAddr())
		conns[5].Close()
		require.Equal(t, freed, portOf(dial(t, client, "server:7").LocalAddr()))

		// The server, which closed first, still remembers the port. A SYN replaces the connection in TIME_WAIT.
		(<-accepted).Close()
		settle()
		freed = portOf(conns[7].LocalAddr())
		conns[7].Close()
		settle()
		require.Contains(t, server.Netstat(), "TIME_WAIT")
		start := n.Elapsed()
		c := dial(t, client, "server:7")
		require.Less(t, n.Elapsed()-start, ms, "by the first SYN")
		require.Equal(t, freed, portOf(c.LocalAddr()))
		require.NotContains(t, server.Netstat(), "TIME_WAIT")
	})
}

// The side that closes first keeps the port for 60 s (TIME_WAIT).
func TestTimeWait(t *testing.T) {
	onPair(t, func(s *stage, c, peer *sim.TCPConn) {
		c.Close()
		settle()
		peer.Close()
		settle()
		require.Contains(t, s.client.Netstat(), "TIME_WAIT")
		require.NotContains(t, s.server.Netstat(), "tcp", "the other side forgets")
		time.Sleep(61*time.Second - s.n.Elapsed())
		require.Contains(t, s.client.Netstat(), "TIME_WAIT")
		time.Sleep(200 * ms)
		require.NotContains(t, s.client.Netstat(), "TIME_WAIT")
	})
}

func TestListenAddresses(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		l := listen(t, a, ":0")
		port := portOf(l.Addr())
		require.GreaterOrEqual(t, port, 32768)
		require.NotEqual(t, port, portOf(listen(t, a, ":0").Addr()))
		accept(l, echo)
		dial(t, b, "a:"+strconv.Itoa(port)).Close()

		// A port is taken for an address; 0.0.0.0 overlaps with every address.
		listen(t, a, "127.0.0.1:80")
		listen(t, a, "a:80")
		_, err := a.Listen("tcp", ":80")
		require.ErrorIs(t, err, syscall.EADDRINUSE)
		listen(t, b, ":80")
		_, err = b.Listen("tcp", "127.0.0.1:80")
		require.ErrorIs(t, err, syscall.EADDRINUSE)
		_, err = b.Listen("tcp", "a:81")
		require.ErrorIs(t, err, syscall.EADDRNOTAVAIL)
		_, err = b.ListenPacket("udp", ":80")
		require.NoError(t, err, "UDP has ports of its own")

		// The port of a closed listener is free at once, and a dial finds nobody there.
		l.Close()
		_, err = b.Dial("tcp", "a:"+strconv.Itoa(port))
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		listen(t, a, ":"+strconv.Itoa(port))
		listen(t, a, "a:http-alt") // a service's name: 8080
		accept(listen(t, a, "a:9090"), echo)
		require.Equal(t, 9090, portOf(dial(t, b, "a:9090").RemoteAddr()))

		for _, network := range []string{"tcp6", "udp", "unix", ""} {
			_, err = a.Listen(network, ":99")
			require.Error(t, err, network)
		}
		_, err = a.Listen("tcp", "[::1]:99")
		require.ErrorIs(t, err, syscall.EAFNOSUPPORT)
		require.EqualError(t, err, "listen tcp [::1]:99: socket: address family not supported by protocol (host a has no IPv6: see sim.IPv6 and Host.AddAddr)")
		_, err = a.Dial("tcp6", "b:80")
		require.ErrorContains(t, err, "dial tcp6: address b: no suitable address found")
		_, err = a.Dial("tcp", "[2001:db8::1]:80")
		require.ErrorIs(t, err, syscall.EAFNOSUPPORT)
		_, err = a.Dial("udp", "[2001:db8::1]:80")
		require.ErrorIs(t, err, syscall.EAFNOSUPPORT)
	})
}

// Other hosts cannot reach a listener on loopback.
func TestLoopback(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		accept(listen(t, a, "127.0.0.1:7"), echo)
		c := dial(t, a, "localhost:7")
		require.Equal(t, "127.0.0.1:7", c.RemoteAddr().String())
		require.Equal(t, "127.0.0.1", c.LocalAddr().(*net.TCPAddr).IP.String())
		_, err := b.Dial("tcp", "a:7")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		_, err = b.Dial("tcp", "localhost:7")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		_, err = a.Dial("tcp", "a:7")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
	})
}

func TestAcceptDeadline(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server := n.Host("server")
		l := listen(t, server, ":7").(*sim.TCPListener)
		expires := func(at time.Duration) {
			t.Helper()
			_, err := l.Accept()
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.Equal(t, at, n.Elapsed())
		}
		l.SetDeadline(in(time.Second))
		expires(time.Second)
		expires(time.Second)
		l.SetDeadline(in(time.Second))
		time.AfterFunc(500*ms, func() { l.SetDeadline(in(time.Minute)) })
		expires(61*time.Second + 500*ms)
		l.SetDeadline(time.Time{})
		n.After(time.Hour, func() { l.SetDeadline(in(0)) })
		expires(time.Hour + 61*time.Second + 500*ms)
		l.SetDeadline(time.Time{})
		go dial(t, n.Host("client"), "server:7")
		_, err := l.Accept()
		require.NoError(t, err)
		l.Close()
		require.Equal(t, net.ErrClosed, l.SetDeadline(time.Time{}), "bare, as package net has it")
	})
}

// Package net limits its calls of the system's library with a channel that the first call makes. Calls from two
// bubbles in one process must not share the channel of the first bubble.
func TestServiceNamesInSeveralTests(t *testing.T) {
	out, failed := outputOf(t, "TestVictimServiceNames")
	require.False(t, failed, out)
	require.Contains(t, out, "--- PASS: TestVictimServiceNames/second")
}

func TestVictimServiceNames(t *testing.T) {
	victim(t)
	for _, name := range []string{"first", "second"} {
		t.Run(name, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				listen(t, n.Host("a"), "a:http-alt")
				port, err := net.LookupPort("tcp", "http-alt")
				require.NoError(t, err)
				require.Equal(t, 8080, port)
			})
		})
	}
}
