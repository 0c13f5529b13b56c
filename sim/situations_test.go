package sim_test

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// A stage is the setup for the situations: a client and a server 10 ms apart.
type stage struct {
	t              *testing.T
	n              *sim.Network
	link           *sim.Link
	client, server *sim.Host
	got            map[string]outcome
}

const serverAddr = "10.0.0.2"

// situations makes those situations of testdata/errors.json that can be simulated.
func situations(t *testing.T) map[string]outcome {
	t.Helper()
	got := map[string]outcome{}
	run := func(play func(*stage)) {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			s := &stage{t: t, n: n, client: n.Host("client"), server: n.Host("server"), got: got}
			s.link = n.Link(s.client, s.server, netem.Config{Delay: 10 * ms})
			play(s)
		})
	}
	for _, play := range []func(*stage){
		dialErrors, dialRejected, dialLocal, localClose, peerClose, peerCloseUnread, peerHalfClose, peerReset, peerResetWrite,
		peerResetBlocked, blockedClose, deadlines, halfClose, listeners, unaccepted, timeouts,
		udpUnconnected, udpConnected,
	} {
		run(play)
	}
	mayDiffer(t, "a net.Resolver with a Dial of the program's draws the IDs of its questions without a seed, and asks two at once")
	run(dnsAnswers)
	run(dnsSilence)
	return got
}

// note records what a call returns, and how long it takes.
func (s *stage) note(name string, call func() (int, error)) {
	require.NotContains(s.t, s.got, name)
	start := s.n.Elapsed()
	n, err := call()
	s.got[name] = outcome{Situation: name, N: n, ElapsedMS: float64(s.n.Elapsed()-start) / 1e6, err: err}
}

func (s *stage) noteErr(name string, call func() error) {
	s.note(name, func() (int, error) { return 0, call() })
}

func (s *stage) read(name string, c io.Reader) {
	s.note(name, func() (int, error) { return c.Read(make([]byte, 100)) })
}

func (s *stage) write(name string, c io.Writer) {
	s.note(name, func() (int, error) { return c.Write([]byte("0123456789")) })
}

func (s *stage) dial(name, network, addr string, ctx context.Context) {
	s.noteErr(name, func() error {
		_, err := s.client.DialContext(ctx, network, addr)
		return err
	})
}

func (s *stage) dialWith(name string, d *sim.Dialer, addr string) {
	s.noteErr(name, func() error {
		_, err := d.Dial("tcp4", addr)
		return err
	})
}

// pair connects client and server by TCP.
func (s *stage) pair() (client, server *sim.TCPConn) {
	l, err := s.server.Listen("tcp4", serverAddr+":0")
	require.NoError(s.t, err)
	c, err := s.client.Dial("tcp4", l.Addr().String())
	require.NoError(s.t, err)
	a, err := l.Accept()
	require.NoError(s.t, err)
	require.NoError(s.t, l.Close())
	return c.(*sim.TCPConn), a.(*sim.TCPConn)
}

// settle waits until packets in flight have arrived.
func settle() { time.Sleep(100 * ms) }

func dialErrors(s *stage) {
	bg := s.t.Context()
	s.dial("dial_refused", "tcp4", serverAddr+":9", bg)
	s.dial("dial_port_zero", "tcp4", serverAddr+":0", bg)
	s.dial("dial_no_route", "tcp4", "10.79.0.1:80", bg)
	s.dial("dial_missing_port", "tcp4", "10.77.83.2", bg)
	s.dial("dial_bad_port", "tcp4", serverAddr+":70000", bg)
	s.dial("dial_unknown_network", "tcp9", serverAddr+":9000", bg)

	s.link.Down()
	until := func(name string, d time.Duration) {
		ctx, cancel := context.WithDeadline(bg, time.Now().Add(d))
		defer cancel()
		s.dial(name, "tcp4", serverAddr+":9000", ctx)
	}
	until("dial_timeout_ctx", 500*ms)
	until("dial_deadline_past", -time.Second)
	dialer := s.client.Dialer()
	dialer.Timeout = 500 * ms
	s.dialWith("dial_timeout_dialer", dialer, serverAddr+":9000")
	dialer = s.client.Dialer()
	dialer.Deadline = in(500 * ms)
	s.dialWith("dial_deadline_dialer", dialer, serverAddr+":9000")
	ctx, cancel := context.WithCancel(bg)
	time.AfterFunc(300*ms, cancel)
	s.dial("dial_ctx_cancel", "tcp4", serverAddr+":9000", ctx)
	s.dial("dial_etimedout", "tcp4", serverAddr+":9000", bg)
}

func dialRejected(s *stage) {
	s.link.Reject()
	s.dial("dial_unreachable_route", "tcp4", serverAddr+":80", s.t.Context())

	far, router := s.n.Host("far"), s.n.Router("router")
	s.n.Link(s.client, router, netem.Config{Delay: 1200 * time.Microsecond})
	link := s.n.Link(router, far, netem.Config{})
	for _, row := range []struct {
		name string
		code sim.ICMPCode
	}{
		{"dial_icmp_net_unreachable", sim.ICMPNetUnreachable},
		{"dial_icmp_host_unreachable", sim.ICMPHostUnreachable},
		{"dial_icmp_protocol_unreachable", sim.ICMPProtocolUnreachable},
		{"dial_icmp_port_unreachable", sim.ICMPPortUnreachable},
		{"dial_icmp_admin_prohibited", sim.ICMPAdminProhibited},
	} {
		link.RejectWith(row.code)
		s.dial(row.name, "tcp4", far.Addr().String()+":9000", s.t.Context())
	}
}

func dialLocal(s *stage) {
	accept(listen(s.t, s.server, ":9300"), echo)
	d := s.client.Dialer()
	d.LocalAddr = tcpAddr("10.99.0.1:0")
	s.dialWith("dial_local_addr_not_mine", d, serverAddr+":9000")
	d.LocalAddr = tcpAddr(s.client.Addr().String() + ":33333")
	_, err := d.Dial("tcp4", serverAddr+":9300")
	require.NoError(s.t, err)
	s.dialWith("dial_local_port_in_use", d, serverAddr+":9300")
}

func tcpAddr(s string) *net.TCPAddr {
	a, err := net.ResolveTCPAddr("tcp4", s)
	if err != nil {
		panic(err)
	}
	return a
}

func localClose(s *stage) {
	c, _ := s.pair()
	require.NoError(s.t, c.Close())
	s.read("read_after_local_close", c)
	s.write("write_after_local_close", c)
	s.noteErr("double_close", c.Close)
	s.noteErr("closewrite_after_close", c.CloseWrite)
	s.noteErr("setdeadline_after_close", func() error { return c.SetDeadline(time.Now()) })
}

func blockedClose(s *stage) {
	c, _ := s.pair()
	time.AfterFunc(100*ms, func() { c.Close() })
	s.read("blocked_read_local_close", c)

	c, _ = s.pair()
	time.AfterFunc(1500*ms, func() { c.Close() })
	s.note("blocked_write_local_close", func() (int, error) { return c.Write(make([]byte, 50e6)) })
}

func peerClose(s *stage) {
	c, peer := s.pair()
	peer.Close()
	settle()
	s.read("read_after_peer_close", c)
	s.read("read_after_peer_close_again", c)
	s.write("write_after_peer_close_1", c)
	settle()
	s.write("write_after_peer_close_2", c)
	s.write("write_after_peer_close_3", c)
	s.read("read_after_peer_close_and_writes", c)
	s.noteErr("closewrite_after_peer_rst", c.CloseWrite)
	s.noteErr("close_after_peer_rst", c.Close)
}

func peerCloseUnread(s *stage) {
	c, peer := s.pair()
	peer.Close()
	settle()
	c.Write([]byte("x"))
	settle()
	s.read("read_first_after_write_to_closed_peer", c)
	s.read("read_second_after_write_to_closed_peer", c)
	s.write("write_after_that", c)

	c, peer = s.pair()
	c.Write([]byte("never read"))
	settle()
	peer.Close()
	settle()
	s.read("read_after_peer_close_with_unread", c)
}

func peerHalfClose(s *stage) {
	c, peer := s.pair()
	peer.CloseWrite()
	settle()
	s.read("read_after_peer_closewrite", c)
	s.write("write_after_peer_closewrite", c)
	settle()
	s.write("write_after_peer_closewrite_2", c)
}

// resetBy has the peer reset the connection.
func resetBy(peer *sim.TCPConn) {
	peer.SetLinger(0)
	peer.Close()
}

func peerReset(s *stage) {
	c, peer := s.pair()
	resetBy(peer)
	settle()
	s.read("read_after_peer_rst", c)
	s.read("read_after_peer_rst_again", c)
	s.write("write_after_peer_rst_and_reads", c)
	s.noteErr("closewrite_after_rst", c.CloseWrite)
}

func peerResetWrite(s *stage) {
	c, peer := s.pair()
	resetBy(peer)
	settle()
	s.write("write_after_peer_rst", c)
	s.write("write_after_peer_rst_again", c)
	s.read("read_after_peer_rst_and_writes", c)
}

func peerResetBlocked(s *stage) {
	c, peer := s.pair()
	time.AfterFunc(50*ms, func() { resetBy(peer) })
	s.read("blocked_read_peer_rst", c)

	c, peer = s.pair()
	time.AfterFunc(1500*ms, func() { resetBy(peer) })
	s.note("blocked_write_peer_rst", func() (int, error) { return c.Write(make([]byte, 50e6)) })
	s.read("blocked_write_peer_rst_then_read", c)
}

func deadlines(s *stage) {
	c, peer := s.pair()
	c.SetReadDeadline(time.Now().Add(200 * ms))
	s.read("read_deadline", c)
	s.read("read_deadline_still_set", c)
	c.SetReadDeadline(time.Now().Add(time.Second))
	peer.Write([]byte("0123456789"))
	s.read("read_after_deadline_moved", c)
	peer.Write([]byte("0123456789"))
	settle()
	c.SetReadDeadline(time.Now().Add(-time.Second))
	s.read("read_deadline_past_data_waiting", c)

	c.SetWriteDeadline(time.Now().Add(500 * ms))
	s.note("write_deadline", func() (int, error) { return c.Write(make([]byte, 50e6)) })
	s.write("write_deadline_past", c)
}

func halfClose(s *stage) {
	c, _ := s.pair()
	s.noteErr("closewrite", c.CloseWrite)
	s.write("closewrite_then_write", c)
	s.noteErr("closewrite_twice", c.CloseWrite)
	s.noteErr("closewrite_then_close", c.Close)

	c, peer := s.pair()
	s.noteErr("closeread", c.CloseRead)
	s.read("closeread_then_read", c)
	peer.Write([]byte("0123456789"))
	settle()
	s.read("closeread_then_peer_writes_then_read", c)
}

func listeners(s *stage) {
	var l net.Listener
	listen := func(name, addr string) {
		s.noteErr(name, func() error {
			made, err := s.server.Listen("tcp4", addr)
			if err == nil {
				l = made
			}
			return err
		})
	}
	accept := func(name string) {
		s.noteErr(name, func() error {
			_, err := l.Accept()
			return err
		})
	}
	listen("listen_1", serverAddr+":9400")
	listen("listen_used_port", serverAddr+":9400")
	listen("listen_used_port_wildcard", "0.0.0.0:9400")
	listen("listen_not_my_address", "10.99.0.1:9400")
	l.(*sim.TCPListener).SetDeadline(time.Now().Add(200 * ms))
	accept("accept_deadline")
	l.(*sim.TCPListener).SetDeadline(time.Time{})
	closed := make(chan error, 1)
	time.AfterFunc(100*ms, func() { closed <- l.Close() })
	accept("blocked_accept_close")
	s.noteErr("listener_close", func() error { return <-closed })
	accept("accept_after_close")
	s.noteErr("listener_double_close", l.Close)
}

func unaccepted(s *stage) {
	l, err := s.server.Listen("tcp4", serverAddr+":9401")
	require.NoError(s.t, err)
	c, err := s.client.Dial("tcp4", serverAddr+":9401")
	require.NoError(s.t, err)
	settle()
	l.Close()
	settle()
	s.read("read_listener_closed_before_accept", c)
	s.write("write_listener_closed_before_accept", c)
}

func timeouts(s *stage) {
	s.client.SetTCP(sim.TCPConfig{UserTimeout: 3 * time.Second})
	c, _ := s.pair()
	rejectedFor3s, _ := s.pair()
	s.client.SetTCP(sim.TCPConfig{})
	rejected, _ := s.pair()
	probed, _ := s.pair()
	probed.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: 3})
	s.link.Down()
	s.read("read_etimedout_keepalive", probed)
	c.Write([]byte("x"))
	s.read("read_etimedout_user_timeout", c)
	s.write("write_after_etimedout", c)
	s.read("read_after_etimedout", c)

	s.link.Reject()
	rejected.Write([]byte("x"))
	rejected.SetReadDeadline(time.Now().Add(2 * time.Second))
	s.read("read_icmp_host_unreachable_established", rejected)
	rejectedFor3s.Write([]byte("x"))
	s.read("read_icmp_host_unreachable_user_timeout", rejectedFor3s)
}
