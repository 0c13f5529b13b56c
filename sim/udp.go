package sim

import (
	"context"
	"net"
	"os"
	"slices"
	"syscall"
)

// A UDPConn is a UDP socket, with the errors of [net.UDPConn]. It implements
// [net.PacketConn], and [net.Conn] for one that was dialled. There is no descriptor
// behind it, so it has neither SyscallConn nor ReadMsgUDP; libraries that look for
// them, such as quic-go, do without.
//
// A datagram larger than a link's MTU travels in fragments (RFC 791) and arrives
// when the last one does, or not at all. The receive buffer is that of Linux,
// net.core.rmem_default = 212992 bytes with the kernel's bookkeeping counted; what
// finds it full is dropped. There is no flow control.
type UDPConn struct {
	n            *Network
	host         *Host
	network      string // as the program named it: "udp" or "udp4"
	local        endpoint
	remote       endpoint // zero if not connected
	r            waitq
	read         deadline
	write        deadline
	deadlinePlan plan
	queue        []datagram
	queued       int // bytes of the receive buffer in use
	limit        int // of the receive buffer
	err          syscall.Errno
	sent         uint64
	flows        map[endpoint]*flow
	closed       bool
}

type datagram struct {
	from endpoint
	data []byte
}

const (
	maxDatagram = 65535 - 20 - 8 // payload of the largest IPv4 packet
	udpHeader   = 8
	ipHeader    = 20

	// What Linux sets aside for a datagram beside its bytes: struct sk_buff and
	// struct skb_shared_info, as SKB_TRUESIZE counts them on amd64.
	datagramOverhead = 256 + 320

	defaultReceiveBuffer = 212992 // net.core.rmem_default
	minReceiveBuffer     = 2304   // SOCK_MIN_RCVBUF
)

// ListenPacket announces on a local address, as [net.ListenPacket] does. The
// network must be "udp" or "udp4".
func (h *Host) ListenPacket(network, address string) (net.PacketConn, error) {
	if err := checkNetwork(network, protoUDP); err != nil {
		return nil, opError("listen", network, nil, nil, err)
	}
	local, err := h.resolve(context.Background(), network, address, 0)
	if err != nil {
		return nil, opError("listen", network, nil, nil, err)
	}
	h.n.lock()
	defer h.n.mu.Unlock()
	u, err := h.bind(network, local, endpoint{})
	if err != nil {
		return nil, opError("listen", network, nil, local.udp(), err)
	}
	return u, nil
}

// dialUDP makes a connected socket; no packet is sent.
func (h *Host) dialUDP(ctx context.Context, network, address string) (net.Conn, error) {
	remote, err := h.resolve(ctx, network, address, loopback)
	if err != nil {
		return nil, opError("dial", network, nil, nil, err)
	}
	if remote.addr == 0 {
		remote.addr = loopback
	}
	if err := ctx.Err(); err != nil {
		return nil, opError("dial", network, nil, remote.udp(), contextError(err))
	}
	h.n.lock()
	defer h.n.mu.Unlock()
	local := endpoint{addr: h.addr}
	if isLoopback(remote.addr) {
		local.addr = loopback
	} else if h.n.byAddr[remote.addr] == nil {
		return nil, opError("dial", network, nil, remote.udp(), sysError("connect", syscall.ENETUNREACH))
	}
	if !h.dead && !h.n.closed {
		// As in DialContext, the port does not depend on who else dials at this instant.
		const ports = lastEphemeral - firstEphemeral + 1
		nth := h.udpDials[remote]
		h.udpDials[remote]++
		first := mix(uint64(remote.addr)<<16|uint64(remote.port)) % ports
		for i := range uint64(ports) {
			if p := uint16(firstEphemeral + (first+nth+i)%ports); len(h.udp[p]) == 0 {
				local.port = p
				break
			}
		}
	}
	u, err := h.bind(network, local, remote)
	if err != nil {
		return nil, opError("dial", network, nil, remote.udp(), err)
	}
	return u, nil
}

// bind makes a socket. The lock is held.
func (h *Host) bind(network string, local, remote endpoint) (*UDPConn, error) {
	switch {
	case h.n.closed:
		return nil, net.ErrClosed
	case h.dead:
		return nil, sysError("socket", syscall.ENETDOWN)
	case local.addr != 0 && local.addr != h.addr && !isLoopback(local.addr):
		return nil, sysError("bind", syscall.EADDRNOTAVAIL)
	}
	if local.port == 0 {
		if local.port = h.freePort(func(p uint16) bool { return len(h.udp[p]) == 0 }); local.port == 0 {
			return nil, sysError("bind", syscall.EADDRINUSE)
		}
	}
	for _, other := range h.udp[local.port] {
		if overlaps(other.local.addr, local.addr) {
			return nil, sysError("bind", syscall.EADDRINUSE)
		}
	}
	u := &UDPConn{
		n: h.n, host: h, network: network, local: local, remote: remote, limit: defaultReceiveBuffer,
		read: deadline(never), write: deadline(never), deadlinePlan: plan(never),
		flows: map[endpoint]*flow{},
	}
	h.udp[local.port] = append(h.udp[local.port], u)
	return u, nil
}

// socket returns who receives datagrams for to that come from from.
func (h *Host) socket(to, from endpoint) *UDPConn {
	for _, u := range h.udp[to.port] {
		if (u.local.addr == to.addr || u.local.addr == 0) && (u.remote == endpoint{} || u.remote == from) {
			return u
		}
	}
	return nil
}

// datagram hands a datagram to its socket.
func (h *Host) datagram(now int64, pkt *packet) {
	u := h.socket(pkt.dst, pkt.src)
	if u == nil && pkt.dst == stubResolver {
		if answer := h.answerName(pkt.data); answer != nil {
			r := h.n.newPacket(h.n.path(h, h).misc, protoUDP, pkt.dst, pkt.src)
			r.data, r.size = answer, ipHeader+udpHeader+len(answer)
			h.n.dispatch(r, now)
		}
		h.n.free(pkt)
		return
	}
	if u == nil {
		h.n.unreachable(now, pkt, icmpPortUnreachable)
		return
	}
	size := len(pkt.data) + datagramOverhead
	if u.queued+size > u.limit {
		h.n.drop(now, pkt, nil, "receive buffer full")
		return
	}
	u.queued += size
	u.queue = append(u.queue, datagram{pkt.src, pkt.data})
	h.n.free(pkt)
	u.r.notify(u.n, h)
}

// refused handles the news that a datagram met no socket. Only a connected socket
// learns of it (udp_err in Linux, RFC 1122 section 4.1.3.3).
func (h *Host) refused(m *packet) {
	for _, u := range h.udp[m.dst.port] {
		if u.remote == m.src {
			if m.icmp == icmpPortUnreachable {
				u.err = syscall.ECONNREFUSED
			} else {
				u.err = syscall.EHOSTUNREACH
			}
			u.r.notify(u.n, h)
		}
	}
}

// ReadFrom implements [net.PacketConn]. A datagram longer than p loses its end.
func (u *UDPConn) ReadFrom(p []byte) (int, net.Addr, error) {
	n, from, err := u.receive(p, "recvfrom")
	if err != nil {
		return 0, nil, err
	}
	return n, from.udp(), nil
}

// Read implements [net.Conn].
func (u *UDPConn) Read(p []byte) (int, error) {
	n, _, err := u.receive(p, "read")
	return n, err
}

// receive reads a datagram by the system call of that name.
func (u *UDPConn) receive(p []byte, call string) (int, endpoint, error) {
	u.n.lock()
	defer u.n.mu.Unlock()
	for {
		u.host.awaitResume()
		switch {
		case u.closed:
			return 0, endpoint{}, u.opError("read", net.ErrClosed)
		case u.read.expired():
			return 0, endpoint{}, u.opError("read", os.ErrDeadlineExceeded)
		case u.err != 0:
			return 0, endpoint{}, u.opError("read", sysError(call, u.takeError()))
		case len(u.queue) > 0:
			d := u.queue[0]
			u.queue[0] = datagram{}
			u.queue = u.queue[1:]
			u.queued -= len(d.data) + datagramOverhead
			return copy(p, d.data), d.from, nil
		}
		u.r.wait(u.n)
	}
}

func (u *UDPConn) takeError() syscall.Errno {
	err := u.err
	u.err = 0
	return err
}

// WriteTo implements [net.PacketConn]. addr must be a [*net.UDPAddr].
func (u *UDPConn) WriteTo(p []byte, addr net.Addr) (int, error) {
	to, ok := addr.(*net.UDPAddr)
	if !ok || to == nil {
		return 0, opError("write", u.network, u.local.udp(), addr, syscall.EINVAL)
	}
	if u.remote != (endpoint{}) {
		return 0, opError("write", u.network, u.local.udp(), addr, net.ErrWriteToConnected)
	}
	ip := to.AddrPort().Addr().Unmap()
	if !ip.Is4() {
		return 0, opError("write", u.network, u.local.udp(), addr, &net.AddrError{Err: "non-IPv4 address", Addr: to.IP.String()})
	}
	b := ip.As4()
	return u.send(p, endpoint{uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3]), uint16(to.Port)}, "sendto")
}

// Write implements [net.Conn].
func (u *UDPConn) Write(p []byte) (int, error) {
	if u.remote == (endpoint{}) {
		return 0, u.opError("write", sysError("write", syscall.EDESTADDRREQ))
	}
	return u.send(p, u.remote, "write")
}

func (u *UDPConn) send(p []byte, to endpoint, call string) (int, error) {
	n := u.n
	n.lock()
	defer n.mu.Unlock()
	fail := func(err error) (int, error) {
		return 0, opError("write", u.network, u.local.udp(), to.udp(), err)
	}
	dest := u.host
	if !isLoopback(to.addr) {
		dest = n.byAddr[to.addr]
	}
	switch {
	case u.closed:
		return fail(net.ErrClosed)
	case u.write.expired():
		return fail(os.ErrDeadlineExceeded)
	case u.err != 0:
		return fail(sysError(call, u.takeError()))
	case len(p) > maxDatagram:
		return fail(sysError(call, syscall.EMSGSIZE))
	case dest == nil:
		return fail(sysError(call, syscall.ENETUNREACH))
	}
	u.sent++
	data := slices.Clone(p)
	key := uint64(u.local.port)<<48 | u.sent
	if isLoopback(u.local.addr) {
		key |= 1 << 47 // another socket of that port may have the host's own address
	}
	n.op(operation{
		host: u.host, kind: opDatagram, n: key,
		run: func(now int64) { u.transmit(now, data, to, dest) },
	}, n.path(u.host, dest).slack())
	return len(p), nil
}

func (u *UDPConn) transmit(now int64, data []byte, to endpoint, dest *Host) {
	if u.host.off != nil {
		return // the power went before the datagram did
	}
	from := u.local
	if from.addr == 0 {
		if from.addr = u.host.addr; dest == u.host {
			from.addr = to.addr
		}
	}
	f := u.flows[to]
	if f == nil {
		f = &flow{path: u.n.path(u.host, dest), id: flowID(protoUDP, from.port, to.port)}
		u.flows[to] = f
	}
	pkt := u.n.newPacket(f, protoUDP, from, to)
	pkt.data, pkt.size = data, ipHeader+udpHeader+len(data)
	u.n.dispatch(pkt, now)
}

// Close implements [net.Conn] and [net.PacketConn].
func (u *UDPConn) Close() error {
	u.n.lock()
	defer u.n.mu.Unlock()
	if u.closed {
		return u.opError("close", net.ErrClosed)
	}
	u.shut()
	unlist(u.host.udp, u.local.port, u)
	return nil
}

func (u *UDPConn) shut() {
	u.closed = true
	u.queue = nil
	u.r.release()
}

// LocalAddr implements [net.Conn] and [net.PacketConn]; it is a [*net.UDPAddr].
func (u *UDPConn) LocalAddr() net.Addr { return u.local.udp() }

// RemoteAddr implements [net.Conn]; it is a [*net.UDPAddr], or nil if the socket is
// not connected.
func (u *UDPConn) RemoteAddr() net.Addr {
	if u.remote == (endpoint{}) {
		return nil
	}
	return u.remote.udp()
}

func (u *UDPConn) opError(op string, err error) error {
	var remote net.Addr
	if u.remote != (endpoint{}) {
		remote = u.remote.udp()
	}
	return opError(op, u.network, u.local.udp(), remote, err)
}
