package sim

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"

	"github.com/squall-sim/squall/sim/internal/tcp"
)

// A UDPConn is a UDP socket, with the methods and errors of [net.UDPConn]. It implements [net.PacketConn],
// and [net.Conn] if it was dialled. It has no descriptor, so it has neither SyscallConn nor File, and there
// are no control messages. Libraries that look for SyscallConn to set options do without. quic-go is one: it
// cannot set IP_MTU_DISCOVER in this way, and sends no probes of the path's MTU. Other programs need a hook
// for [UDPConn.SetMTUDiscover].
//
// # Size
//
// A datagram carries at most 65507 bytes over IPv4 and 65527 over IPv6; a longer one is refused with
// EMSGSIZE. A datagram larger than the MTU of the host's link travels in fragments (RFC 791). Each fragment
// is lost, delayed and counted as a packet of its own. The datagram arrives with its last fragment, or not at
// all: the receiving host waits for 30 s (net.ipv4.ipfrag_time), over IPv6 for 60 s (net.ipv6.ip6frag_time).
// Routers fragment IPv4 fragments further.
//
// Routers must not fragment whole datagrams, as Linux has it for sockets of package net ([MTUDiscoverWant]).
// A datagram that is too big for a later link is lost, and the host is told (see [netem.Config]'s MTU). For
// the next 10 minutes the host fragments larger ones for that destination, and the next call on a connected
// socket returns EMSGSIZE.
//
// # Groups and broadcasts
//
// A datagram for a group (224.0.0.0/4, ff00::/8) or a broadcast (255.255.255.255, or 10.255.255.255 for the
// addresses that hosts get) goes to each host of the sender's segment. Each copy is a packet of its own,
// which that host's link loses, delays and duplicates like any other; the trace calls it "multicast" or
// "broadcast". The segment is the hosts that a link joins with the sender, and those that the default path
// joins with it, if they are in the sender's [Zone]. Routers pass on neither multicast nor broadcast. There
// is no ARP for them, and no ICMP says what becomes of them.
//
// Broadcasts reach all sockets of the port that are bound to no address or to the broadcast's, including
// those of the sender's own host. A datagram for a group reaches only hosts with a socket in the group
// ([UDPConn.JoinGroup], [Host.ListenMulticastUDP]). Such a host gives it to all sockets of the port that are
// bound to no address, in the group or not (IP_MULTICAST_ALL). Every host is in 224.0.0.1 and ff02::1.
// Datagrams for a link-local IPv6 group come from the host's usual address, since there are no link-local
// ones.
//
// # Buffers
//
// The receive buffer is Linux's, net.core.rmem_default = 212992 bytes. What counts is the memory that the
// kernel takes for a datagram: 832 bytes for up to 197 bytes of payload, 1280 for up to 645, 2304 for up to
// 1669; for a datagram that came in fragments, the sum of its packets. So the buffer holds 256 small
// datagrams, or 92 that fill an MTU of 1500. A datagram that finds it full is dropped in silence. As in
// Linux, reading frees the buffer in steps of a quarter of its size. There is no flow control. The send
// buffer is not modelled: a datagram leaves the host at once, and waits in the queue of a link.
//
// # Errors
//
// A connected socket learns at its next call that a datagram was refused (ICMP), as [ICMPCode] describes.
// Other sockets never learn it.
type UDPConn struct {
	n            *Network
	host         *Host
	by           moment // when it was closed or given a deadline
	network      string // as the program named it: "udp", "udp4" or "udp6"
	six          bool   // the socket is an IPv6 socket, even with IPv4 addresses
	local        netip.AddrPort
	remote       netip.AddrPort // zero if not connected
	in           half
	write        deadline
	deadlinePlan plan
	buffer       receiveBuffer
	err          syscall.Errno
	sent         uint64
	flows        map[netip.AddrPort]*flow
	discover     MTUDiscover
	groups       groups
	crossing     *Fault // the cross traffic that it belongs to; nil for a socket of the program
	fd           descriptor
	closed       bool
	asleep       bool // until its host resumes
}

const (
	maxDatagram  = 65535 - ipHeader - udpHeader // payload of the largest IPv4 packet
	maxDatagram6 = 65535 - udpHeader            // the same for IPv6, whose header does not count
	udpHeader    = 8
)

// ListenPacket announces on a local address, as [net.ListenPacket] does. The network must be "udp", "udp4" or
// "udp6". Addresses have the form that [Host.Listen] takes.
func (h *Host) ListenPacket(network, address string) (net.PacketConn, error) {
	h.must("ListenPacket")
	h.n.mustSimulate("ListenPacket")
	if err := checkNetwork(network, protoUDP); err != nil {
		return nil, opError("listen", network, nil, nil, err)
	}
	named, local, err := h.resolveLocal(network, address)
	if err != nil {
		return nil, opError("listen", network, nil, nil, err)
	}
	shared := local.Addr().IsMulticast() // as in package net, which does not join the group
	if shared {
		local = netip.AddrPortFrom(unspecified(local.Addr().Is6()), local.Port())
	}
	u, err := try(h.n, func() (*UDPConn, error) {
		return h.bindAs(network, local.Addr().Is6(), local, netip.AddrPort{}, shared)
	})
	if err != nil {
		return nil, opError("listen", network, nil, net.UDPAddrFromAddrPort(named), err)
	}
	return u, nil
}

// dialUDP makes a connected socket; no packet is sent.
func (d *Dialer) dialUDP(ctx context.Context, network string, named netip.AddrPort) (net.Conn, error) {
	h := d.host
	h.n.mustSimulate("UDP")
	remote, local, six := d.ends(network, named)
	fail := func(err error) (net.Conn, error) {
		return nil, opError("dial", network, d.LocalAddr, net.UDPAddrFromAddrPort(named), err)
	}
	if err := ctx.Err(); err != nil {
		return fail(contextError(err))
	}
	u, err := try(h.n, func() (*UDPConn, error) { return h.connect(network, six, local, remote, d.LocalAddr == nil) })
	if err != nil {
		return fail(err)
	}
	return u, nil
}

// connect makes a connected socket. Its port is chosen later if the program left it open.
func (h *Host) connect(network string, six bool, local, remote netip.AddrPort, open bool) (*UDPConn, error) {
	if local.Port() == 0 && open && !h.dead && !h.n.closed {
		local = netip.AddrPortFrom(local.Addr(), h.udpPort(remote))
		if local.Port() == 0 {
			return nil, sysError("connect", syscall.EAGAIN)
		}
	}
	if remote.Addr().Is6() && !h.addresses.ipv6 && !h.dead && !h.n.closed {
		return nil, h.errNoIPv6()
	}
	u, err := h.bind(network, six, local, remote)
	if err != nil {
		return nil, err
	}
	if several(remote.Addr()) {
		err = u.connectToSeveral(remote.Addr())
	} else if err = h.mayConnect(u.local.Addr(), remote.Addr()); err == nil {
		if u.local.Addr().IsUnspecified() {
			u.setSource(h.sourceFor(remote.Addr()))
		}
		if _, errno := h.routeTo(u.local.Addr(), remote.Addr()); errno != 0 {
			err = sysError("connect", errno)
		}
	}
	if err != nil {
		u.shut()
		h.table.udp.remove(u.local.Port(), u)
		return nil, err
	}
	return u, nil
}

// udpPort returns a port for a socket that is connected to remote, or 0. As in DialContext, it does not
// depend on what else dials at this instant.
func (h *Host) udpPort(remote netip.AddrPort) uint16 {
	nth := h.dials.udp.next(remote)
	first := mix(addrHash(remote.Addr())^uint64(remote.Port())) % h.table.ports.count()
	for i := range h.table.ports.count() {
		if p := h.table.ports.nth(first + nth + i); len(h.table.udp.at(p)) == 0 {
			return p
		}
	}
	return h.table.ports.exhausted()
}

// bind makes a socket. The lock is held.
func (h *Host) bind(network string, six bool, local, remote netip.AddrPort) (*UDPConn, error) {
	return h.bindAs(network, six, local, remote, false)
}

// bindAs is bind for a socket that can share its port with others of the kind.
func (h *Host) bindAs(network string, six bool, local, remote netip.AddrPort, shared bool) (*UDPConn, error) {
	if err := cmp.Or(h.maySocket(), h.mayBind(local.Addr())); err != nil {
		return nil, err
	}
	if local.Port() == 0 {
		if local = netip.AddrPortFrom(local.Addr(), h.freePort(func(p uint16) bool { return len(h.table.udp.at(p)) == 0 })); local.Port() == 0 {
			return nil, sysError("bind", syscall.EADDRINUSE)
		}
	}
	u := newUDPConn(h, network, six, local, remote)
	for _, other := range h.table.udp.at(local.Port()) {
		switch {
		case shared && other.groups.shared:
			u.groups.nth = max(u.groups.nth, other.groups.nth)
		case overlap(other.bound(), other.local.Addr(), u.bound(), local.Addr()):
			return nil, sysError("bind", syscall.EADDRINUSE)
		}
	}
	if u.groups.shared = shared; shared {
		u.groups.nth++
	}
	u.fd = h.fds.take()
	h.table.udp.add(local.Port(), u)
	if u.asleep = h.pause.faults != nil; u.asleep {
		h.pause.asleep = append(h.pause.asleep, u)
	}
	return u, nil
}

//go:norace
func newUDPConn(h *Host, network string, six bool, local, remote netip.AddrPort) *UDPConn {
	return &UDPConn{
		n: h.n, host: h, network: network, six: six, local: local, remote: remote, buffer: receiveBuffer{limit: defaultReceiveBuffer},
		in: half{deadline: deadline(never)}, write: deadline(never), deadlinePlan: plan(never),
		flows: map[netip.AddrPort]*flow{},
	}
}

// setSource completes the local address of a socket that is not known to the program yet.
//
//go:norace
func (u *UDPConn) setSource(addr netip.Addr) { u.local = netip.AddrPortFrom(addr, u.local.Port()) }

// socket returns the socket that receives a datagram with that source and destination.
func (h *Host) socket(to, from netip.AddrPort) *UDPConn {
	for _, u := range slices.Backward(h.table.udp.at(to.Port())) { // of several that share the port, the one opened last
		if !u.asleep && u.takes(to, from) {
			return u
		}
	}
	for _, s := range h.pause.leaving {
		if u, ok := s.(*UDPConn); ok && u.local.Port() == to.Port() && u.takes(to, from) {
			return u
		}
	}
	return nil
}

// takes reports whether u receives datagrams for its port at an address.
func (u *UDPConn) takes(to, from netip.AddrPort) bool {
	if to.Addr().IsMulticast() && !u.local.Addr().IsUnspecified() {
		return false
	}
	return takes(u.bound(), u.local.Addr(), to.Addr()) && (!u.remote.IsValid() || u.remote == from)
}

// bound returns the network whose families the socket has.
func (u *UDPConn) bound() string {
	if !u.six {
		return "udp4"
	}
	return u.network
}

func (u *UDPConn) wakeUp() { u.asleep = false }

// datagram hands a datagram to its socket.
func (h *Host) datagram(now int64, pkt *packet) {
	if pkt.src.Addr() == loopback6 && pkt.way.from != &h.node {
		h.n.drop(now, pkt, nil, "from [::1] of another host")
		return
	}
	if several(pkt.dst.Addr()) {
		h.takeForSeveral(now, pkt)
		return
	}
	u := h.socket(pkt.dst, pkt.src)
	if u == nil && pkt.dst == stubResolver {
		if answer := h.answerName(pkt.data); answer != nil {
			r := h.n.pool.packet(h.pathTo(pkt.src.Addr()).misc, protoUDP, pkt.dst, pkt.src)
			r.data, r.size = answer, r.way.header+udpHeader+len(answer)
			h.n.dispatch(r, now)
		}
		h.n.pool.free(pkt)
		return
	}
	if u == nil && !h.affords(now, pkt) {
		h.n.drop(now, pkt, nil, "nobody listens, and was told so too often")
		return
	}
	if u == nil {
		h.n.unreachable(now, pkt, ICMPPortUnreachable, 0)
		return
	}
	if !u.buffer.put(datagram{from: pkt.src, by: pkt.by, data: pkt.data, size: pkt.memory()}) {
		h.n.drop(now, pkt, nil, "receive buffer full")
		return
	}
	pkt.way.heard = u
	h.n.pool.free(pkt)
	u.in.q.notify(u.n, h)
}

// memory returns what a datagram takes of a receive buffer.
func (pkt *packet) memory() int {
	if pkt.frag.whole != nil {
		return pkt.frag.whole.memory
	}
	return truesize(pkt.size, pkt.way.header)
}

// refused handles a message that a datagram was refused. Only a connected socket learns of it (udp_err in
// Linux, RFC 1122 section 4.1.3.3).
func (h *Host) refused(m *packet, errno syscall.Errno) {
	for _, u := range h.table.udp.at(m.dst.Port()) {
		if u.remote == m.src {
			u.err = errno
			u.in.q.notify(u.n, h)
		}
	}
}

// A received is what a call reads.
type received struct {
	n    int
	from netip.AddrPort
	cut  bool // the datagram was longer
}

// receive reads a datagram by the system call of that name, and reports whether p was too short for it.
func (u *UDPConn) receive(p []byte, call string) (n int, from netip.AddrPort, cut bool, err error) {
	var mine ticket
	got, err := await(u.n, func() (got received, err error, wait *waitq) {
		if !u.closed && !u.in.turns.come(&u.in.q, &mine) {
			return received{}, nil, &u.in.q
		}
		if got, err, wait = u.receiveNow(p, call); wait == nil {
			u.in.turns.end(u.n, u.host, &u.in.q)
		}
		return got, err, wait
	})
	writesRange(p[:got.n])
	return got.n, got.from, got.cut, u.opError("read", err)
}

// receiveNow reads a datagram, if there is one.
func (u *UDPConn) receiveNow(p []byte, call string) (received, error, *waitq) {
	switch {
	case u.host.holds(u.closed):
		return received{}, nil, &u.host.pause.resumed
	case u.closed:
		u.n.reveal(u.by)
		return received{}, net.ErrClosed, nil
	case len(p) == 0 && call == "read": // package poll makes no system call for it
		return received{}, nil, nil
	case u.in.deadline.expired():
		u.n.reveal(u.by)
		return received{}, os.ErrDeadlineExceeded, nil
	case u.err != 0:
		return received{}, sysError(call, u.takeError()), nil
	case u.buffer.waiting() > 0:
		d := u.buffer.take()
		u.n.reveal(d.by)
		return received{tcp.CopyBytes(p, d.data), d.from, len(d.data) > len(p)}, nil, nil
	}
	return received{}, nil, &u.in.q
}

func (u *UDPConn) takeError() syscall.Errno {
	err := u.err
	u.err = 0
	u.host.revealRefusal(protoUDP, u.remote)
	return err
}

// Close implements [net.Conn] and [net.PacketConn].
func (u *UDPConn) Close() error {
	return u.opError("close", get(u.n, func() error {
		if u.closed {
			return net.ErrClosed
		}
		u.shut()
		u.host.table.udp.remove(u.local.Port(), u)
		return nil
	}))
}

func (u *UDPConn) shut() {
	u.closed = true
	u.host.fds.free(&u.fd)
	u.by = u.n.moment()
	u.host.closings.closed(protoUDP, u.local.Port(), u.by)
	u.in.q.release()
	u.host.pause.resumed.release()
	if u.host.pause.faults != nil && !u.asleep {
		u.host.pause.leaving = append(u.host.pause.leaving, u)
	} else {
		u.leave()
	}
}

// leave is the part of shut that others can observe.
func (u *UDPConn) leave() { u.buffer.queue, u.buffer.first = nil, 0 }

// LocalAddr implements [net.Conn] and [net.PacketConn]; it is a [*net.UDPAddr].
func (u *UDPConn) LocalAddr() net.Addr { return udpAddr(u.local, u.six) }

// RemoteAddr implements [net.Conn]; it is a [*net.UDPAddr], or nil if the socket is
// not connected.
func (u *UDPConn) RemoteAddr() net.Addr {
	if !u.remote.IsValid() {
		return nil
	}
	return udpAddr(u.remote, u.six)
}

// opError wraps an error of the network, if there is one.
func (u *UDPConn) opError(op string, err error) error {
	if err == nil {
		return nil
	}
	var remote net.Addr
	if u.remote.IsValid() {
		remote = udpAddr(u.remote, u.six)
	}
	return opError(op, u.network, udpAddr(u.local, u.six), remote, err)
}
