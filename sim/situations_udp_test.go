package sim_test

import (
	"context"
	"net"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/squall-sim/squall/sim"
)

func (s *stage) packetConn(h *sim.Host, addr string) net.PacketConn {
	pc, err := h.ListenPacket("udp4", addr)
	require.NoError(s.t, err)
	return pc
}

func (s *stage) readFrom(name string, pc net.PacketConn, size int) {
	s.note(name, func() (int, error) {
		n, from, err := pc.ReadFrom(make([]byte, size))
		if err != nil {
			require.Nil(s.t, from)
		}
		return n, err
	})
}

func (s *stage) writeTo(name string, pc net.PacketConn, size int, to string) {
	s.note(name, func() (int, error) {
		return pc.WriteTo(make([]byte, size), udpAddr(to))
	})
}

func udpAddr(s string) *net.UDPAddr {
	a, err := net.ResolveUDPAddr("udp4", s)
	if err != nil {
		panic(err)
	}
	return a
}

func in(d time.Duration) time.Time { return time.Now().Add(d) }

func udpUnconnected(s *stage) {
	mine := s.client.Addr().String() + ":5000"
	c, peer := s.packetConn(s.client, mine), s.packetConn(s.server, serverAddr+":5000")
	c.SetReadDeadline(in(200 * ms))
	s.readFrom("udp_read_deadline", c, 100)
	s.noteErr("udp_listen_used_port", func() error {
		_, err := s.client.ListenPacket("udp4", mine)
		return err
	})
	s.writeTo("udp_writeto_oversize", c, 65508, serverAddr+":5000")
	s.writeTo("udp_writeto_max", c, 65507, serverAddr+":5000")
	s.readFrom("udp_readfrom_max", peer, 70000)
	s.writeTo("udp_writeto_empty", c, 0, serverAddr+":5000")
	s.readFrom("udp_readfrom_empty", peer, 100)
	c.WriteTo(make([]byte, 1000), udpAddr(serverAddr+":5000"))
	s.readFrom("udp_readfrom_short_buffer", peer, 100)
	c.WriteTo(make([]byte, 1000), udpAddr(serverAddr+":5000"))
	s.note("udp_readmsg_short_buffer", func() (int, error) {
		n, oobn, flags, from, err := peer.(*sim.UDPConn).ReadMsgUDP(make([]byte, 100), make([]byte, 100))
		require.Zero(s.t, oobn)
		require.Equal(s.t, 0x20, flags) // "extra" in the data
		require.Equal(s.t, mine, from.String())
		return n, err
	})

	s.writeTo("udp_unconnected_write_closed_port", c, 10, serverAddr+":5999")
	c.SetReadDeadline(in(300 * ms))
	s.readFrom("udp_unconnected_read_after_that", c, 100)
	s.writeTo("udp_writeto_no_route", c, 10, "10.79.0.1:5")
	s.link.Reject()
	s.writeTo("udp_writeto_unreachable_route", c, 10, serverAddr+":5")
	s.link.Up()
	c.SetReadDeadline(time.Time{})
	time.AfterFunc(100*ms, func() { c.Close() })
	s.readFrom("udp_blocked_read_close", c, 100)
}

func udpConnected(s *stage) {
	c, err := s.client.Dial("udp4", serverAddr+":5998")
	require.NoError(s.t, err)
	s.write("udp_connected_write_closed_port_1", c)
	settle()
	s.read("udp_connected_read_closed_port", c)
	c.SetReadDeadline(in(300 * ms))
	s.read("udp_connected_read_closed_port_again", c)
	s.write("udp_connected_write_closed_port_2", c)
	settle()
	s.write("udp_connected_write_closed_port_3", c)
	c.SetReadDeadline(in(500 * ms))
	s.read("udp_connected_blocked_read", c)
	s.noteErr("udp_close", c.Close)
	s.write("udp_write_after_close", c)
	s.read("udp_read_after_close", c)
	s.noteErr("udp_double_close", c.Close)

	c, err = s.client.Dial("udp4", serverAddr+":5000")
	require.NoError(s.t, err)
	s.note("udp_oversize_connected", func() (int, error) { return c.Write(make([]byte, 65508)) })
}

// resolver asks a name server on the server's given port.
func (s *stage) resolver(port string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return s.client.DialContext(ctx, "udp4", serverAddr+":"+port)
	}}
}

func (s *stage) lookup(ctx context.Context, name string, r *net.Resolver, host string) {
	s.noteErr(name, func() error {
		_, err := r.LookupHost(ctx, host)
		return err
	})
}

// serveNames answers every query with a code and no records.
func serveNames(pc net.PacketConn, code dnsmessage.RCode) {
	p := make([]byte, 512)
	for {
		n, from, err := pc.ReadFrom(p)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(p[:n]) != nil {
			continue
		}
		answer := dnsmessage.Message{
			Header:    dnsmessage.Header{ID: m.ID, Response: true, RecursionDesired: true, RecursionAvailable: true, RCode: code},
			Questions: m.Questions,
		}
		if b, err := answer.Pack(); err == nil {
			pc.WriteTo(b, from)
		}
	}
}

func dnsAnswers(s *stage) {
	for port, code := range map[string]dnsmessage.RCode{
		"53": dnsmessage.RCodeNameError, "54": dnsmessage.RCodeSuccess, "55": dnsmessage.RCodeServerFailure,
	} {
		go serveNames(s.packetConn(s.server, ":"+port), code)
	}
	bg := s.t.Context()
	s.lookup(bg, "dns_not_found", s.resolver("53"), "no-such.example.")
	s.lookup(bg, "dns_no_addresses", s.resolver("54"), "empty.example.")
	s.lookup(bg, "dns_servfail", s.resolver("55"), "no-such.example.")
	s.lookup(bg, "dns_port_closed", s.resolver("56"), "no-such.example.")
	s.lookup(bg, "dns_bad_name", s.resolver("53"), "bad name")
	s.noteErr("dns_not_found_dial", func() error {
		_, err := (&net.Dialer{Resolver: s.resolver("53")}).DialContext(bg, "tcp", "no-such.example.:80")
		return err
	})
}

func dnsSilence(s *stage) {
	s.link.Down()
	r := s.resolver("53")
	s.lookup(s.t.Context(), "dns_timeout", r, "no-such.example.")
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
	defer cancel()
	s.lookup(ctx, "dns_timeout_ctx", r, "no-such.example.")
	ctx, cancel = context.WithTimeout(s.t.Context(), time.Second)
	defer cancel()
	s.noteErr("dns_timeout_dial", func() error {
		_, err := (&net.Dialer{Resolver: r}).DialContext(ctx, "tcp", "no-such.example.:80")
		return err
	})
}
