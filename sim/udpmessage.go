package sim

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// Read implements [net.Conn]. As with any file, reading into an empty slice does nothing.
func (u *UDPConn) Read(p []byte) (int, error) {
	n, _, _, err := u.receive(p, "read")
	return n, err
}

// ReadFrom implements [net.PacketConn]. If a datagram is longer than p, its end is lost.
func (u *UDPConn) ReadFrom(p []byte) (int, net.Addr, error) {
	n, from, err := u.ReadFromUDP(p)
	if err != nil {
		return 0, nil, err
	}
	return n, from, nil
}

// ReadFromUDP is [UDPConn.ReadFrom] with a [*net.UDPAddr].
func (u *UDPConn) ReadFromUDP(p []byte) (int, *net.UDPAddr, error) {
	n, from, _, err := u.receive(p, "recvfrom")
	if err != nil {
		return 0, nil, err
	}
	return n, udpAddr(from, u.six), nil
}

// ReadFromUDPAddrPort is [UDPConn.ReadFrom] with a [netip.AddrPort]. As in package net, an IPv4 address has
// IPv6 form (::ffff:10.0.0.1) if the socket is an IPv6 socket, one that listens for both families.
func (u *UDPConn) ReadFromUDPAddrPort(p []byte) (int, netip.AddrPort, error) {
	n, from, _, err := u.receive(p, "recvfrom")
	if err != nil {
		return 0, netip.AddrPort{}, err
	}
	return n, inFamily(from, u.six), nil
}

// ReadMsgUDP is [UDPConn.ReadFrom] with flags: MSG_TRUNC means that p was too short. There are no control
// messages, so oobn is 0.
func (u *UDPConn) ReadMsgUDP(p, oob []byte) (n, oobn, flags int, addr *net.UDPAddr, err error) {
	n, oobn, flags, from, err := u.ReadMsgUDPAddrPort(p, oob)
	if err != nil {
		return 0, 0, 0, nil, err
	}
	return n, oobn, flags, udpAddr(from, u.six), nil
}

// ReadMsgUDPAddrPort is [UDPConn.ReadMsgUDP] with a [netip.AddrPort].
func (u *UDPConn) ReadMsgUDPAddrPort(p, _ []byte) (n, oobn, flags int, addr netip.AddrPort, err error) {
	n, from, cut, err := u.receive(p, "recvmsg")
	if err != nil {
		return 0, 0, 0, netip.AddrPort{}, err
	}
	if cut {
		flags = syscall.MSG_TRUNC
	}
	return n, 0, flags, inFamily(from, u.six), nil
}

// Write implements [net.Conn].
func (u *UDPConn) Write(p []byte) (int, error) {
	if !u.remote.IsValid() {
		return 0, u.opError("write", sysError("write", syscall.EDESTADDRREQ))
	}
	if err := u.send(p, u.remote, "write"); err != nil {
		return 0, u.opError("write", err)
	}
	return len(p), nil
}

// WriteTo implements [net.PacketConn]. addr must be a [*net.UDPAddr].
func (u *UDPConn) WriteTo(p []byte, addr net.Addr) (int, error) {
	to, ok := addr.(*net.UDPAddr)
	if !ok {
		return 0, opError("write", u.network, udpAddr(u.local, u.six), addr, syscall.EINVAL)
	}
	return u.WriteToUDP(p, to)
}

// WriteToUDP is [UDPConn.WriteTo] with a [*net.UDPAddr].
func (u *UDPConn) WriteToUDP(p []byte, addr *net.UDPAddr) (int, error) {
	return u.sendTo(p, addr, "sendto")
}

// WriteToUDPAddrPort is [UDPConn.WriteTo] with a [netip.AddrPort].
func (u *UDPConn) WriteToUDPAddrPort(p []byte, addr netip.AddrPort) (int, error) {
	return u.sendToAddrPort(p, addr, "sendto")
}

func (u *UDPConn) sendToAddrPort(p []byte, addr netip.AddrPort, call string) (int, error) {
	var to netip.AddrPort
	err := errMissingAddress
	switch {
	case call == "sendto" && addr.Addr().Unmap().Is4() && familyOf(u.network) == "6" && !u.remote.IsValid():
		err = sysError(call, syscall.ENETUNREACH)
	case u.remote.IsValid():
		err = net.ErrWriteToConnected
	case addr.IsValid():
		to, err = u.destination(addr.Addr(), addr.Port(), call, addr.Addr())
	}
	if err == nil {
		err = u.send(p, to, call)
	}
	if err != nil {
		return 0, opError("write", u.network, udpAddr(u.local, u.six), addrPortAddr{addr}, err)
	}
	return len(p), nil
}

// WriteMsgUDP is [UDPConn.WriteTo], or [UDPConn.Write] on a connected socket, for which addr must be nil.
// There are no control messages: the error is EINVAL if oob is not empty.
func (u *UDPConn) WriteMsgUDP(p, oob []byte, addr *net.UDPAddr) (n, oobn int, err error) {
	if len(oob) > 0 {
		err := fmt.Errorf("control messages are not simulated: %w", sysError("sendmsg", syscall.EINVAL))
		return 0, 0, opError("write", u.network, udpAddr(u.local, u.six), shown(addr), err)
	}
	if u.remote.IsValid() && addr == nil {
		n, err = u.sendConnected(p)
	} else {
		n, err = u.sendTo(p, addr, "sendmsg")
	}
	return n, 0, err
}

// sendConnected sends a datagram to the address to which the socket is connected.
func (u *UDPConn) sendConnected(p []byte) (int, error) {
	if err := u.send(p, u.remote, "sendmsg"); err != nil {
		return 0, opError("write", u.network, udpAddr(u.local, u.six), nil, err)
	}
	return len(p), nil
}

// WriteMsgUDPAddrPort is [UDPConn.WriteMsgUDP] with a [netip.AddrPort], which must be invalid on a connected
// socket.
func (u *UDPConn) WriteMsgUDPAddrPort(p, oob []byte, addr netip.AddrPort) (n, oobn int, err error) {
	switch {
	case len(oob) > 0:
		return u.WriteMsgUDP(p, oob, udpAddrOf(addr))
	case u.remote.IsValid() && !addr.IsValid():
		n, err = u.sendConnected(p)
	default:
		n, err = u.sendToAddrPort(p, addr, "sendmsg")
	}
	return n, 0, err
}

// An addrPortAddr is an address, valid or not, in the errors of calls that take a [netip.AddrPort].
type addrPortAddr struct{ netip.AddrPort }

func (addrPortAddr) Network() string { return "udp" }

func udpAddrOf(addr netip.AddrPort) *net.UDPAddr {
	if !addr.IsValid() {
		return nil
	}
	return net.UDPAddrFromAddrPort(addr)
}

// errMissingAddress has the text of package net's error.
var errMissingAddress = errors.New("missing address")

// sendTo sends a datagram to addr, which an unconnected socket requires.
func (u *UDPConn) sendTo(p []byte, addr *net.UDPAddr, call string) (int, error) {
	var to netip.AddrPort
	err := errMissingAddress
	switch {
	case u.remote.IsValid():
		err = net.ErrWriteToConnected
	case addr != nil:
		ip, ok := netip.AddrFromSlice(addr.IP)
		if to, err = u.destination(ip.WithZone(addr.Zone), uint16(addr.Port), call, ip); !ok && len(addr.IP) > 0 {
			err = &net.AddrError{Err: "non-IPv" + map[bool]string{false: "4", true: "6"}[u.six] + " address", Addr: addr.IP.String()}
		}
	}
	if err == nil {
		err = u.send(p, to, call)
	}
	if err != nil {
		return 0, opError("write", u.network, udpAddr(u.local, u.six), shown(addr), err)
	}
	return len(p), nil
}

// destination returns where a datagram for that address goes. Errors show the address as named.
func (u *UDPConn) destination(ip netip.Addr, port uint16, call string, named netip.Addr) (netip.AddrPort, error) {
	zone := ip.Zone()
	ip = ip.WithZone("").Unmap()
	switch {
	case !ip.IsValid():
		ip = netip.IPv4Unspecified()
	case ip.Is6() && !u.six:
		return netip.AddrPort{}, &net.AddrError{Err: "non-IPv4 address", Addr: named.String()}
	case ip.Is6() && (zone != "" || ip.IsLinkLocalUnicast()):
		return netip.AddrPort{}, &net.AddrError{Err: "link-local addresses and zones are not simulated", Addr: ip.String()}
	case ip.Is4() && familyOf(u.network) == "6" && ip != netip.IPv4Unspecified():
		return netip.AddrPort{}, sysError(call, syscall.ENETUNREACH) // IPV6_V6ONLY
	}
	return netip.AddrPortFrom(ip, port), nil
}

// shown returns an address for an error, without an interface around a nil pointer.
func shown(addr *net.UDPAddr) net.Addr {
	if addr == nil {
		return nil
	}
	return addr
}
