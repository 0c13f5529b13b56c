package sim

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
)

// maxGroups is how many IPv4 groups a socket can be in: Linux's net.ipv4.igmp_max_memberships.
const maxGroups = 20

// groups is a socket's state concerning addresses that stand for several hosts.
type groups struct {
	joined []*membership
	silent bool // sockets of its own host do not get what it sends to groups
	shared bool // sockets that are also shared may use its port (SO_REUSEADDR)
	nth    int  // its number among those, from 1
	flows  map[branch]*flow
}

// A membership is that of a socket in a group. On a paused host only the program knows of it until the host
// resumes.
type membership struct {
	group        netip.Addr
	asleep, left bool
	socket       *UDPConn
}

// wakeUp implements waking.
func (m *membership) wakeUp() { m.asleep = false }

// leave implements leaver.
func (m *membership) leave() {
	m.socket.groups.joined = slices.DeleteFunc(m.socket.groups.joined, func(o *membership) bool { return o == m })
}

// ListenMulticastUDP listens for datagrams to a group, as [net.ListenMulticastUDP] does. The socket has the
// group's port on any address and joins the group. Its own host does not get what it sends to groups. Several
// such sockets can share a port. As on Linux, each of them gets the group's datagrams, broadcasts, and
// datagrams of other groups that some socket of the host is in (IP_MULTICAST_ALL). A datagram for the host
// alone goes to the socket that was opened last. See [UDPConn] for which hosts a datagram reaches.
//
// ifi must be nil, since simulated hosts have no interfaces. The network must be "udp", "udp4" or "udp6". The
// error is EINVAL if gaddr is not a group, and EADDRINUSE for a port that another socket has for itself.
func (h *Host) ListenMulticastUDP(network string, ifi *net.Interface, gaddr *net.UDPAddr) (*UDPConn, error) {
	h.must("ListenMulticastUDP")
	h.n.mustSimulate("ListenMulticastUDP")
	fail := func(err error) (*UDPConn, error) { return nil, opError("listen", network, nil, shown(gaddr), err) }
	if err := checkNetwork(network, protoUDP); err != nil {
		return fail(err)
	}
	if gaddr == nil || gaddr.IP == nil {
		return fail(errMissingAddress)
	}
	group, err := groupOf(ifi, gaddr)
	if err != nil {
		return fail(err)
	}
	six := group.Is6() && familyOf(network) != "4" || familyOf(network) == "6"
	u, err := try(h.n, func() (*UDPConn, error) { return h.openGroup(network, six, group, uint16(gaddr.Port)) })
	if err != nil {
		return fail(err)
	}
	return u, nil
}

// openGroup is the part of ListenMulticastUDP that needs the lock. As package net does, it binds the socket
// first and then joins the group; if joining fails, it undoes the binding.
func (h *Host) openGroup(network string, six bool, group netip.Addr, port uint16) (*UDPConn, error) {
	u, err := h.bindAs(network, six, netip.AddrPortFrom(unspecified(six), port), netip.AddrPort{}, true)
	if err != nil {
		return nil, err
	}
	u.groups.silent = true
	if err := u.join(group); err != nil {
		u.shut()
		h.table.udp.remove(u.local.Port(), u)
		return nil, err
	}
	return u, nil
}

// unspecified returns the unspecified address of a socket's family.
func unspecified(six bool) netip.Addr {
	if six {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

// groupOf returns the address of a group, valid or not, on a host without interfaces.
func groupOf(ifi *net.Interface, group net.Addr) (netip.Addr, error) {
	if ifi != nil {
		return netip.Addr{}, &net.AddrError{Err: "a simulated host has no interfaces: the interface must be nil", Addr: ifi.Name}
	}
	var ip net.IP
	zone := ""
	switch g := group.(type) {
	case *net.UDPAddr:
		if g != nil {
			ip, zone = g.IP, g.Zone
		}
	case *net.IPAddr:
		if g != nil {
			ip, zone = g.IP, g.Zone
		}
	}
	if zone != "" {
		return netip.Addr{}, &net.AddrError{Err: "zones are not simulated", Addr: group.String()}
	}
	addr, ok := netip.AddrFromSlice(ip)
	if !ok {
		return netip.Addr{}, errMissingAddress
	}
	return addr.Unmap(), nil
}

// JoinGroup makes the socket's host accept datagrams to a group. It has the form of the method in
// golang.org/x/net/ipv4 and ipv6. The socket gets the datagrams if it is bound to no address and has their
// port. ifi must be nil, and group a [*net.UDPAddr] or [*net.IPAddr], whose port does not matter. Errors are
// Linux's:
//
//   - EINVAL for an address that is not a group;
//   - EADDRINUSE for a group that the socket is already in;
//   - ENOBUFS for more than 20 IPv4 groups (net.ipv4.igmp_max_memberships);
//   - ENOPROTOOPT for an IPv6 group on an IPv4 socket.
func (u *UDPConn) JoinGroup(ifi *net.Interface, group net.Addr) error {
	return u.changeGroups(ifi, group, u.join)
}

// LeaveGroup undoes [UDPConn.JoinGroup]. The error is EADDRNOTAVAIL if the socket is not in the group.
func (u *UDPConn) LeaveGroup(ifi *net.Interface, group net.Addr) error {
	return u.changeGroups(ifi, group, u.leaveGroup)
}

func (u *UDPConn) changeGroups(ifi *net.Interface, group net.Addr, change func(netip.Addr) error) error {
	addr, err := groupOf(ifi, group)
	if err != nil {
		return err
	}
	return u.controlError(get(u.n, func() error {
		if u.closed {
			return net.ErrClosed
		}
		return change(addr)
	}))
}

// SetMulticastLoopback sets whether sockets of the socket's own host that are in a group get what it sends to
// that group. They do by default, unless [Host.ListenMulticastUDP] made the socket. The setting is for both
// families. Broadcasts always reach them.
func (u *UDPConn) SetMulticastLoopback(on bool) error {
	return u.controlError(get(u.n, func() error {
		if u.closed {
			return net.ErrClosed
		}
		u.groups.silent = !on
		return nil
	}))
}

// controlError returns the error of an option, which golang.org/x/net returns unwrapped unless the socket is
// closed.
func (u *UDPConn) controlError(err error) error {
	if err == net.ErrClosed {
		return opError("raw-control", u.network, nil, udpAddr(u.local, u.six), err)
	}
	return err
}

// membership returns the socket's membership in a group, as the program sees it, or nil.
func (u *UDPConn) membership(group netip.Addr) *membership {
	for _, m := range u.groups.joined {
		if m.group == group && !m.left {
			return m
		}
	}
	return nil
}

// join makes the socket join a group (ip_mc_join_group, ipv6_sock_mc_join).
func (u *UDPConn) join(group netip.Addr) error {
	of4 := 0
	for _, m := range u.groups.joined {
		if m.group.Is4() && !m.left {
			of4++
		}
	}
	switch {
	case group.Is6() && !u.six:
		return sysError("setsockopt", syscall.ENOPROTOOPT)
	case !group.IsMulticast():
		return sysError("setsockopt", syscall.EINVAL)
	case u.membership(group) != nil:
		return sysError("setsockopt", syscall.EADDRINUSE)
	case group.Is4() && of4 >= maxGroups:
		return sysError("setsockopt", syscall.ENOBUFS)
	}
	m := &membership{group: group, asleep: u.host.pause.faults != nil, socket: u}
	u.groups.joined = append(u.groups.joined, m)
	if m.asleep {
		u.host.pause.asleep = append(u.host.pause.asleep, m)
	}
	return nil
}

func (u *UDPConn) leaveGroup(group netip.Addr) error {
	m := u.membership(group)
	switch {
	case m == nil && !group.IsMulticast():
		return sysError("setsockopt", syscall.EINVAL)
	case m == nil:
		return sysError("setsockopt", syscall.EADDRNOTAVAIL)
	case u.host.pause.faults != nil:
		m.left = true
		u.host.pause.leaving = append(u.host.pause.leaving, m)
	default:
		m.leave()
	}
	return nil
}

// inGroup reports whether h accepts datagrams for a group: a socket of any port is in the group, or it is the
// group of all hosts (224.0.0.1, ff02::1).
func (h *Host) inGroup(group netip.Addr) bool {
	if group == allNodes || group == allNodes6 {
		return true
	}
	in := func(u *UDPConn) bool {
		return slices.ContainsFunc(u.groups.joined, func(m *membership) bool { return m.group == group && !m.asleep })
	}
	if slices.ContainsFunc(h.table.udp.all(), in) {
		return true
	}
	for _, s := range h.pause.leaving {
		if u, ok := s.(*UDPConn); ok && in(u) {
			return true
		}
	}
	return false
}

// takeForSeveral hands a datagram for several hosts to each socket of h that receives it
// (__udp4_lib_mcast_deliver). If there is none, nobody is told.
func (h *Host) takeForSeveral(now int64, pkt *packet) {
	n, to := h.n, pkt.dst.Addr()
	if to.IsMulticast() && !h.inGroup(to) {
		n.drop(now, pkt, nil, fmt.Sprintf("%s is in no group %v", h.name, to))
		return
	}
	all := h.sockets(pkt.dst, pkt.src)
	if len(all) == 0 {
		n.drop(now, pkt, nil, "no socket for it")
		return
	}
	full := false
	for _, u := range all {
		d := datagram{from: pkt.src, by: pkt.by, data: pkt.data, size: pkt.memory()}
		if !u.buffer.put(d) {
			full = true
			continue
		}
		u.in.q.notify(n, h)
	}
	if full {
		n.recordDrop(now, pkt, nil, "receive buffer full")
	}
	n.pool.free(pkt)
}

// sockets returns the sockets that receive a datagram with that source and destination, in the order in which
// they were opened.
func (h *Host) sockets(to, from netip.AddrPort) (all []*UDPConn) {
	for _, u := range h.table.udp.at(to.Port()) {
		if !u.asleep && u.takes(to, from) {
			all = append(all, u)
		}
	}
	for _, s := range h.pause.leaving {
		if u, ok := s.(*UDPConn); ok && u.local.Port() == to.Port() && u.takes(to, from) {
			all = append(all, u)
		}
	}
	return all
}
