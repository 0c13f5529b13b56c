package sim_test

import (
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
)

// A *sim.UDPConn has the methods that programs use of a *net.UDPConn, except those for its descriptor.
var _ interface {
	net.Conn
	net.PacketConn
	ReadFromUDP(b []byte) (n int, addr *net.UDPAddr, err error)
	ReadFromUDPAddrPort(b []byte) (n int, addr netip.AddrPort, err error)
	ReadMsgUDP(b, oob []byte) (n, oobn, flags int, addr *net.UDPAddr, err error)
	ReadMsgUDPAddrPort(b, oob []byte) (n, oobn, flags int, addr netip.AddrPort, err error)
	WriteToUDP(b []byte, addr *net.UDPAddr) (int, error)
	WriteToUDPAddrPort(b []byte, addr netip.AddrPort) (int, error)
	WriteMsgUDP(b, oob []byte, addr *net.UDPAddr) (n, oobn int, err error)
	WriteMsgUDPAddrPort(b, oob []byte, addr netip.AddrPort) (n, oobn int, err error)
	SetReadBuffer(bytes int) error
	SetWriteBuffer(bytes int) error
} = (*sim.UDPConn)(nil)

var _ interface {
	ReadMsgUDPAddrPort(b, oob []byte) (n, oobn, flags int, addr netip.AddrPort, err error)
	WriteMsgUDPAddrPort(b, oob []byte, addr netip.AddrPort) (n, oobn int, err error)
} = (*net.UDPConn)(nil)

func TestUDPMessages(t *testing.T) {
	onRig(t, func(r *rig) {
		connected, open := r.atA.(*sim.UDPConn), r.atB.(*sim.UDPConn)
		from := connected.LocalAddr().(*net.UDPAddr)
		p, oob := make([]byte, 4), make([]byte, 64)

		// From the connected socket, by every way to write; read by every way to read.
		for _, write := range []func(b []byte) (int, error){
			connected.Write,
			func(b []byte) (int, error) {
				n, oobn, err := connected.WriteMsgUDP(b, nil, nil)
				require.Zero(t, oobn)
				return n, err
			},
			func(b []byte) (int, error) {
				n, oobn, err := connected.WriteMsgUDPAddrPort(b, nil, netip.AddrPort{})
				require.Zero(t, oobn)
				return n, err
			},
		} {
			for range 4 {
				n, err := write([]byte("12345"))
				require.NoError(t, err)
				require.Equal(t, 5, n)
			}
			n, addr, err := open.ReadFromUDP(p)
			require.NoError(t, err)
			require.Equal(t, "1234", string(p[:n]))
			require.Equal(t, from, addr)
			n, port, err := open.ReadFromUDPAddrPort(p)
			require.NoError(t, err)
			require.Equal(t, 4, n)
			require.Equal(t, from.AddrPort(), port)
			require.True(t, port.Addr().Is4())
			n, oobn, flags, addr, err := open.ReadMsgUDP(p, oob)
			require.NoError(t, err)
			require.Equal(t, []int{4, 0, syscall.MSG_TRUNC}, []int{n, oobn, flags})
			require.Equal(t, from, addr)
			n, oobn, flags, port, err = open.ReadMsgUDPAddrPort(make([]byte, 5), oob)
			require.NoError(t, err)
			require.Equal(t, []int{5, 0, 0}, []int{n, oobn, flags}, "nothing is cut off")
			require.Equal(t, from.AddrPort(), port)
		}

		// Back to it.
		for _, write := range []func(b []byte) (int, error){
			func(b []byte) (int, error) { return open.WriteToUDP(b, from) },
			func(b []byte) (int, error) { return open.WriteToUDPAddrPort(b, from.AddrPort()) },
			func(b []byte) (int, error) {
				mapped := netip.AddrPortFrom(netip.AddrFrom16(from.AddrPort().Addr().As16()), from.AddrPort().Port())
				return open.WriteToUDPAddrPort(b, mapped)
			},
			func(b []byte) (int, error) { n, _, err := open.WriteMsgUDP(b, nil, from); return n, err },
			func(b []byte) (int, error) {
				n, _, err := open.WriteMsgUDPAddrPort(b, nil, from.AddrPort())
				return n, err
			},
		} {
			n, err := write([]byte("back"))
			require.NoError(t, err)
			require.Equal(t, 4, n)
			n, err = connected.Read(p)
			require.NoError(t, err)
			require.Equal(t, "back", string(p[:n]))
		}
	})
}

// The errors of each call, as package net words them (compared with Go 1.26 on loopback).
func TestUDPMessageErrors(t *testing.T) {
	onRig(t, func(r *rig) {
		connected, open := r.atA.(*sim.UDPConn), r.atB.(*sim.UDPConn)
		to := udpAddr("10.0.0.1:9")
		open.SetReadDeadline(in(-time.Second))
		oob := make([]byte, 16)
		for _, row := range []struct {
			name string
			call func() error
			is   error
			text string
		}{
			{"no address", func() error { _, err := open.WriteToUDP(nil, nil); return err }, nil, "write udp 0.0.0.0:9: missing address"},
			{"no address", func() error { _, err := open.WriteToUDPAddrPort(nil, netip.AddrPort{}); return err }, nil,
				"write udp 0.0.0.0:9->invalid AddrPort: missing address"},
			{"no address", func() error { _, _, err := open.WriteMsgUDPAddrPort(nil, nil, netip.AddrPort{}); return err }, nil,
				"write udp 0.0.0.0:9->invalid AddrPort: missing address"},
			{"an address of three bytes", func() error { _, err := open.WriteToUDP(nil, &net.UDPAddr{IP: net.IP{1, 2, 3}, Port: 9}); return err }, nil,
				"write udp 0.0.0.0:9->?010203:9: address ?010203: non-IPv4 address"},
			{"zone", func() error {
				_, err := open.WriteToUDPAddrPort(nil, netip.MustParseAddrPort("[fe80::1%eth0]:9"))
				return err
			}, nil,
				"write udp 0.0.0.0:9->[fe80::1%eth0]:9: address fe80::1%eth0: non-IPv4 address"},
			{"zone", func() error {
				_, err := open.WriteToUDP(nil, &net.UDPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0", Port: 9})
				return err
			}, nil, "write udp 0.0.0.0:9->[fe80::1%eth0]:9: address fe80::1: non-IPv4 address"},
			{"no address", func() error { _, _, err := open.WriteMsgUDP(nil, nil, nil); return err }, nil, "missing address"},
			{"no address", func() error { _, err := open.WriteTo(nil, (*net.UDPAddr)(nil)); return err }, nil, "missing address"},
			{"connected", func() error { _, err := connected.WriteToUDP(nil, to); return err }, net.ErrWriteToConnected, ""},
			{"connected", func() error { _, err := connected.WriteToUDPAddrPort(nil, to.AddrPort()); return err }, net.ErrWriteToConnected, ""},
			{"connected", func() error { _, err := connected.WriteToUDPAddrPort(nil, netip.AddrPort{}); return err }, net.ErrWriteToConnected,
				"->invalid AddrPort: use of WriteTo with pre-connected connection"},
			{"connected", func() error { _, _, err := connected.WriteMsgUDPAddrPort(nil, nil, to.AddrPort()); return err }, net.ErrWriteToConnected, "->[::ffff:10.0.0.1]:9: use of"},
			{"connected", func() error { _, _, err := connected.WriteMsgUDP(nil, nil, to); return err }, net.ErrWriteToConnected, ""},
			{"control message", func() error { _, _, err := open.WriteMsgUDP(nil, oob, to); return err }, syscall.EINVAL,
				"write udp 0.0.0.0:9->10.0.0.1:9: control messages are not simulated: sendmsg: invalid argument"},
			{"control message", func() error { _, _, err := connected.WriteMsgUDP(nil, oob, nil); return err }, syscall.EINVAL, "control messages"},
			{"IPv6", func() error { _, err := open.WriteToUDPAddrPort(nil, netip.MustParseAddrPort("[::1]:9")); return err }, nil, "non-IPv4 address"},
			{"port 0", func() error { _, err := open.WriteToUDP(nil, udpAddr("10.0.0.1:0")); return err }, syscall.EINVAL, "sendto: invalid argument"},
			{"oversize", func() error { _, _, err := open.WriteMsgUDP(make([]byte, 65508), nil, to); return err }, syscall.EMSGSIZE, "sendmsg: message too long"},
			{"zone of a group", func() error {
				_, err := open.WriteToUDP(nil, &net.UDPAddr{IP: net.ParseIP("ff02::1"), Port: 5353, Zone: "eth0"})
				return err
			}, nil, "non-IPv4 address"},
			{"deadline", func() error { _, _, err := open.ReadFromUDP(nil); return err }, os.ErrDeadlineExceeded, ""},
			{"deadline", func() error { _, _, err := open.ReadFromUDPAddrPort(nil); return err }, os.ErrDeadlineExceeded, ""},
			{"deadline", func() error { _, _, _, _, err := open.ReadMsgUDP(nil, nil); return err }, os.ErrDeadlineExceeded, ""},
			{"deadline", func() error { _, _, _, _, err := open.ReadMsgUDPAddrPort(nil, nil); return err }, os.ErrDeadlineExceeded, ""},
		} {
			err := row.call()
			require.Error(t, err, row.name)
			require.ErrorContains(t, err, row.text, row.name)
			if row.is != nil {
				require.ErrorIs(t, err, row.is, row.name)
			}
		}
	})
}

// 0.0.0.0 means the host itself, as on Linux. A loopback address leads to no other host.
func TestUDPToTheHostItself(t *testing.T) {
	onRig(t, func(r *rig) {
		p := make([]byte, 4)
		_, err := r.answer.WriteTo([]byte("self"), udpAddr("0.0.0.0:9"))
		require.NoError(t, err)
		n, from, err := r.answer.ReadFrom(p)
		require.NoError(t, err)
		require.Equal(t, "self", string(p[:n]))
		require.Equal(t, "127.0.0.1:9", from.String())

		local, err := r.a.ListenPacket("udp", "127.0.0.1:0")
		require.NoError(t, err)
		_, err = local.WriteTo(p, udpAddr(r.b.Addr().String()+":9"))
		require.ErrorIs(t, err, syscall.EINVAL)
		_, err = local.WriteTo([]byte("mine"), udpAddr(r.a.Addr().String()+":9"))
		require.NoError(t, err)
		n, _, err = r.answer.ReadFrom(p)
		require.NoError(t, err)
		require.Equal(t, "mine", string(p[:n]))
	})
}
