package sim_test

import (
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

// onPort5555 runs f with a connection from the client's port 5555.
func onPort5555(t *testing.T, f func(p *portPair)) {
	t.Helper()
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		p := &portPair{T: t, n: n, client: n.Host("client"), server: n.Host("server")}
		p.link = n.Link(p.client, p.server, netem.Config{Delay: 10 * ms})
		p.l = listen(t, p.server, ":7")
		p.conn, p.peer = p.dial(), p.accept()
		f(p)
		for e := range p.n.Trace().Events() {
			require.Less(t, e.Seq, uint64(1<<20), "relative numbers: %v", e)
			require.Less(t, e.Ack, uint64(1<<20), "relative numbers: %v", e)
		}
	})
}

type portPair struct {
	*testing.T
	n              *sim.Network
	client, server *sim.Host
	link           *sim.Link
	l              net.Listener
	conn, peer     net.Conn
}

func (p *portPair) dial() net.Conn {
	p.Helper()
	conn, err := dialerOf(p.client, &net.TCPAddr{Port: 5555}).DialContext(p.Context(), "tcp", "server:7")
	require.NoError(p, err)
	return conn
}

func (p *portPair) accept() net.Conn {
	p.Helper()
	conn, err := p.l.Accept()
	require.NoError(p, err)
	return conn
}

// speak sends a byte.
func (p *portPair) speak(from, to net.Conn) {
	p.Helper()
	_, err := from.Write([]byte("x"))
	require.NoError(p, err)
	_, err = io.ReadFull(to, make([]byte, 1))
	require.NoError(p, err)
}

// restart makes the client lose its memory.
func (p *portPair) restart() {
	p.client.PowerOff()
	p.client.Restart()
}

// The server still holds the connection of a client that has lost its memory. It answers the new
// SYN with an acknowledgement (RFC 5961, section 4.2) that does not fit. The client's RST ends the
// old connection, and its SYN, retransmitted after two jiffies of 4 ms, opens the new one.
func TestRestartedClientDialsFromTheSamePort(t *testing.T) {
	for _, spoke := range []bool{false, true} {
		t.Run(fmt.Sprintf("data was sent: %v", spoke), func(t *testing.T) {
			onPort5555(t, func(p *portPair) { dialsAgain(p, spoke) })
		})
	}
}

func dialsAgain(p *portPair, spoke bool) {
	if spoke {
		p.speak(p.conn, p.peer)
		p.speak(p.peer, p.conn)
	}
	p.restart()
	start := p.n.Elapsed()
	conn := p.dial()
	require.Equal(p, start+20*ms+8*ms+20*ms, p.n.Elapsed())
	_, err := p.peer.Read(make([]byte, 1))
	require.ErrorIs(p, err, syscall.ECONNRESET)
	peer := p.accept()
	p.speak(conn, peer)
	p.speak(peer, conn)
}

// The same while the server has data in flight, which reaches the new connection's socket.
func TestRestartedClientMeetsOldData(t *testing.T) {
	onPort5555(t, func(p *portPair) {
		p.client.PowerOff()
		_, err := p.peer.Write(make([]byte, 5000))
		require.NoError(p, err)
		time.Sleep(time.Second)
		p.client.Restart()
		conn := p.dial()
		_, err = p.peer.Read(make([]byte, 1))
		require.ErrorIs(p, err, syscall.ECONNRESET)
		peer := p.accept()
		p.speak(conn, peer)
		p.speak(peer, conn)
		require.NoError(p, peer.Close())
		rest, err := io.ReadAll(conn)
		require.NoError(p, err)
		require.Empty(p, rest, "the old connection's data")
	})
}

// Old segments that were delayed reach the next connection of the same ports, which does not take
// them for its own.
func TestOldSegmentsDoNotReachTheNextConnection(t *testing.T) {
	for _, end := range []string{"restart", "reset"} {
		t.Run(end, func(t *testing.T) {
			onPort5555(t, func(p *portPair) {
				p.speak(p.conn, p.peer)
				p.speak(p.peer, p.conn)
				p.link.Set(netem.Config{Delay: 500 * ms})
				_, err := p.conn.Write([]byte("old data"))
				require.NoError(p, err)
				time.Sleep(ms)
				p.link.Set(netem.Config{Delay: 10 * ms}) // what is under way stays behind
				if end == "restart" {
					p.restart()
				} else {
					p.conn.(*sim.TCPConn).SetLinger(0)
					p.conn.Close()
					time.Sleep(20 * ms)
				}
				conn := p.dial()
				peer := p.accept()
				p.speak(conn, peer)
				p.speak(peer, conn)
				time.Sleep(time.Second)
				p.speak(peer, conn)
				require.NoError(p, conn.Close())
				rest, err := io.ReadAll(peer)
				require.NoError(p, err)
				require.Empty(p, rest)
			})
		})
	}
}

// A server that closed first remembers the connection for a minute. A newer SYN of the same port
// takes its place at once.
func TestSYNReopensTimeWait(t *testing.T) {
	onPort5555(t, func(p *portPair) {
		require.NoError(p, p.peer.Close())
		_, err := p.conn.Read(make([]byte, 1))
		require.ErrorIs(p, err, io.EOF)
		require.NoError(p, p.conn.Close())
		time.Sleep(100 * ms)
		require.Contains(p, p.server.Netstat(), "TIME_WAIT")
		start := p.n.Elapsed()
		conn := p.dial()
		require.Equal(p, start+20*ms, p.n.Elapsed())
		peer := p.accept()
		require.NotContains(p, p.server.Netstat(), "TIME_WAIT")
		p.speak(conn, peer)
	})
}

// Without a listener nothing takes the place of a connection in TIME_WAIT. The SYN is answered with
// its last acknowledgement, the RST that comes back ends it, and the next SYN is refused.
func TestSYNToTimeWaitWithoutListener(t *testing.T) {
	onPort5555(t, func(p *portPair) {
		require.NoError(p, p.peer.Close())
		_, err := p.conn.Read(make([]byte, 1))
		require.ErrorIs(p, err, io.EOF)
		require.NoError(p, p.conn.Close())
		require.NoError(p, p.l.Close())
		time.Sleep(100 * ms)
		start := p.n.Elapsed()
		_, err = dialerOf(p.client, &net.TCPAddr{Port: 5555}).DialContext(p.Context(), "tcp", "server:7")
		require.ErrorIs(p, err, syscall.ECONNREFUSED)
		require.Equal(p, start+20*ms+8*ms+20*ms, p.n.Elapsed())
	})
}

// The initial sequence numbers follow from the seed, and grow from one connection to the next.
func TestInitialSequence(t *testing.T) {
	seen := map[uint32]string{}
	for _, seed := range []uint64{1, 2, 3} {
		n := sim.New(sim.Seed(seed))
		defer n.Close()
		for _, port := range []uint16{5555, 5556} {
			first := n.InitialSequence(0, port)
			require.Equal(t, first, n.InitialSequence(0, port))
			require.Equal(t, first+uint32(time.Second/64), n.InitialSequence(time.Second, port))
			require.NotContains(t, seen, first)
			seen[first] = ""
		}
	}
}
