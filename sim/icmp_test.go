package sim_test

import (
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

// Linux's errors for each code (icmp_err_convert), and whether a connected UDP socket gets them
// (the table's "fatal"; udp_err).
var codes = []struct {
	code  sim.ICMPCode
	text  string
	errno syscall.Errno
	udp   bool
}{
	{sim.ICMPNetUnreachable, "network unreachable", syscall.ENETUNREACH, false},
	{sim.ICMPHostUnreachable, "host unreachable", syscall.EHOSTUNREACH, false},
	{sim.ICMPProtocolUnreachable, "protocol unreachable", syscall.ENOPROTOOPT, true},
	{sim.ICMPPortUnreachable, "port unreachable", syscall.ECONNREFUSED, true},
	{sim.ICMPSourceRouteFailed, "source route failed", syscall.EOPNOTSUPP, false},
	{sim.ICMPNetUnknown, "network unknown", syscall.ENETUNREACH, true},
	{sim.ICMPHostUnknown, "host unknown", syscall.EHOSTDOWN, true},
	{sim.ICMPHostIsolated, "source host isolated", sim.ErrNoNet, true},
	{sim.ICMPNetProhibited, "network prohibited", syscall.ENETUNREACH, true},
	{sim.ICMPHostProhibited, "host prohibited", syscall.EHOSTUNREACH, true},
	{sim.ICMPNetUnreachableTOS, "network unreachable for type of service", syscall.ENETUNREACH, false},
	{sim.ICMPHostUnreachableTOS, "host unreachable for type of service", syscall.EHOSTUNREACH, false},
	{sim.ICMPAdminProhibited, "administratively prohibited", syscall.EHOSTUNREACH, true},
	{sim.ICMPPrecedenceViolation, "precedence violation", syscall.EHOSTUNREACH, true},
	{sim.ICMPPrecedenceCutoff, "precedence cutoff", syscall.EHOSTUNREACH, true},
	{sim.ICMPTimeExceeded, "time exceeded", syscall.EHOSTUNREACH, false},
	{sim.ICMPParameterProblem, "parameter problem", syscall.EPROTO, true},
}

// behindRouter has a client 30 ms from a router whose link to the server the test breaks.
func behindRouter(t *testing.T, f func(t *testing.T, n *sim.Network, link *sim.Link)) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		n.Link(n.Host("a"), n.Router("r"), netem.Config{Delay: 30 * ms})
		link := n.Link(n.Router("r"), n.Host("b"), netem.Config{Delay: 10 * ms})
		accept(listen(t, n.Host("b"), ":7"), echo)
		f(t, n, link)
	})
}

func TestICMPEndsAnAttemptToConnect(t *testing.T) {
	for _, row := range codes {
		behindRouter(t, func(t *testing.T, n *sim.Network, link *sim.Link) {
			require.Equal(t, row.text, row.code.String())
			link.RejectWith(row.code)
			_, err := n.Host("a").Dial("tcp", "b:7")
			require.ErrorIs(t, err, row.errno)
			require.Equal(t, 60*ms, n.Elapsed(), "to the router and back")
			link.Up()
			dial(t, n.Host("a"), "b:7")
			require.Empty(t, n.IdleFaults())
			note := "link rejects: " + row.text
			if row.code == sim.ICMPHostUnreachable {
				note = "link rejects"
			}
			require.Equal(t, 1, dropped(n, note))
		})
	}
}

// On an established connection each code is only a soft error: TCP retransmits, and the data
// arrives if the link is up in time. Otherwise the soft error is the error at the end.
func TestICMPIsASoftErrorOfAConnection(t *testing.T) {
	for _, row := range codes {
		behindRouter(t, func(t *testing.T, n *sim.Network, link *sim.Link) {
			a := n.Host("a")
			a.SetTCP(sim.TCPConfig{Retries2: 4})
			c := dial(t, a, "b:7")
			settle()
			link.RejectWith(row.code)
			c.Write([]byte{1})
			c.SetReadDeadline(in(2 * time.Second))
			_, err := c.Read(make([]byte, 1))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			link.Up()
			c.SetReadDeadline(time.Time{})
			_, err = c.Read(make([]byte, 1))
			require.NoError(t, err)

			link.RejectWith(row.code)
			c.Write([]byte{1})
			_, err = c.Read(make([]byte, 1))
			require.ErrorIs(t, err, row.errno, "instead of ETIMEDOUT")
			_, err = c.Write([]byte{1})
			require.ErrorIs(t, err, syscall.EPIPE, "it was reported")
		})
	}
}

// With UDP only a connected socket gets the error, once, at its next call, and not for the codes
// that concern routing.
func TestICMPAndUDP(t *testing.T) {
	for _, row := range codes {
		behindRouter(t, func(t *testing.T, n *sim.Network, link *sim.Link) {
			link.RejectWith(row.code)
			c, err := n.Host("a").Dial("udp", "b:9")
			require.NoError(t, err)
			pc, err := n.Host("a").ListenPacket("udp", ":5000")
			require.NoError(t, err)
			write := func() {
				_, err := pc.WriteTo([]byte{1}, udpAddr(n.Host("b").Addr().String()+":9"))
				require.NoError(t, err, "an unconnected socket hears nothing")
				_, err = c.Write([]byte{1})
				require.NoError(t, err)
			}
			read := func(c net.Conn) error {
				c.SetReadDeadline(in(100 * ms))
				_, err := c.Read(make([]byte, 1))
				return err
			}
			write()
			start := n.Elapsed()
			if row.udp {
				require.ErrorIs(t, read(c), row.errno)
				require.Equal(t, start+60*ms, n.Elapsed())
			}
			require.ErrorIs(t, read(c), os.ErrDeadlineExceeded)
			require.ErrorIs(t, read(pc.(*sim.UDPConn)), os.ErrDeadlineExceeded)

			write()
			settle()
			_, err = c.Write([]byte{1})
			if row.udp {
				require.ErrorIs(t, err, row.errno, "by a write")
			}
			_, err = c.Write([]byte{1})
			require.NoError(t, err, "once")
			settle()
		})
	}
}

// If the sender's own link rejects for lack of a route, the sender's routing table says so, and UDP
// calls fail themselves. The refusal of a filter comes back as a packet.
func TestNoRouteAtTheSender(t *testing.T) {
	for _, row := range codes {
		onRig(t, func(r *rig) {
			r.link.RejectWith(row.code)
			routing := row.code == sim.ICMPNetUnreachable || row.code == sim.ICMPHostUnreachable
			for _, write := range []func() (int, error){
				func() (int, error) { return r.atA.Write([]byte{1}) },
				func() (int, error) { return r.answer.WriteTo([]byte{1}, r.atA.RemoteAddr()) },
			} {
				_, err := write()
				if routing {
					require.ErrorIs(t, err, row.errno)
				} else {
					require.NoError(t, err)
				}
			}
			_, err := r.a.Dial("udp", "b:9")
			if routing {
				require.ErrorIs(t, err, row.errno)
				require.ErrorContains(t, err, "connect: ")
				settle()
				require.Equal(t, 2, dropped(r.n, "no route to host"))
			} else {
				require.NoError(t, err)
				want := error(row.errno)
				if !row.udp {
					want = os.ErrDeadlineExceeded
				}
				r.atA.SetReadDeadline(in(time.Second))
				_, err = r.atA.Read(make([]byte, 1))
				require.ErrorIs(t, err, want)
				r.atA.SetReadDeadline(time.Time{})
			}
			r.requireFired()
			r.link.Up()
			r.link.Hold() // a link that holds answers nobody
			r.link.Reject()
			_, err = r.atA.Write([]byte{1})
			require.NoError(t, err)
		})
	}
}

// The message comes from the router, so a partition between the hosts does not stop it. It does
// stop messages that a host sends about its own ports.
func TestNewsOfARouterPassesAPartition(t *testing.T) {
	behindRouter(t, func(t *testing.T, n *sim.Network, link *sim.Link) {
		a, b := n.Host("a"), n.Host("b")
		n.PartitionOneWay([]*sim.Host{b}, []*sim.Host{a})
		c, err := a.Dial("udp", "b:5999")
		require.NoError(t, err)
		hears := func() bool {
			c.Write([]byte{1})
			c.SetReadDeadline(in(time.Second))
			_, err := c.Read(make([]byte, 1))
			if err, ok := err.(net.Error); ok && err.Timeout() {
				return false
			}
			require.ErrorIs(t, err, syscall.ECONNREFUSED)
			return true
		}
		require.False(t, hears())
		link.RejectWith(sim.ICMPPortUnreachable)
		require.True(t, hears())
	})
}

// Data written before a close still arrives if the route is back soon. Routers that report in the
// meantime that there is none do not shorten TCP's attempts.
func TestClosedConnectionOutlivesAReject(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server := n.Host("client"), n.Host("server")
		link := n.Link(client, server, netem.Config{Delay: 10 * ms})
		l := listen(t, server, ":7")
		conn := dial(t, client, "server:7")
		peer, err := l.Accept()
		require.NoError(t, err)
		time.Sleep(100 * ms)
		link.Reject()
		_, err = conn.Write(make([]byte, 1000))
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		n.After(3*time.Second, link.Up)
		got, err := io.ReadAll(peer)
		require.NoError(t, err)
		require.Len(t, got, 1000)
	})
}
