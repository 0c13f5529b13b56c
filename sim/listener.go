package sim

import (
	"cmp"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/squall-sim/squall/sim/internal/tcp"
)

// A TCPListener accepts connections, with the methods and errors of [net.TCPListener].
//
// As in Linux, up to backlog + 1 connections wait to be accepted. The backlog is the host's
// [TCPConfig.AcceptBacklog] at the time it listens, 4096 by default. When it is full, SYNs are dropped in
// silence. So are the last acknowledgements of handshakes, unless [TCPConfig.AbortOnOverflow] makes the host
// answer them with RST.
type TCPListener struct {
	n            *Network
	host         *Host
	made, by     moment // when it was made, and when it was closed or given a deadline
	network      string // as the program named it: "tcp", "tcp4" or "tcp6"
	local        netip.AddrPort
	backlog      int
	accept       []*TCPConn            // established connections, in order
	embryos      map[*TCPConn]struct{} // connections in the handshake
	in           half                  // side on which the program accepts
	deadlinePlan plan
	fd           descriptor
	closed       bool
	asleep       bool // until its host resumes
}

// Listen announces on a local address, as [net.Listen] does. The network must be "tcp", "tcp4" or "tcp6".
// With an empty host, or 0.0.0.0, it listens on all addresses of h, including IPv6 if the network is "tcp".
// With port 0 it takes a free port.
//
// The errors are those of package net: EADDRINUSE, EADDRNOTAVAIL for an address that is not h's, ENETDOWN
// when the host is down, EAFNOSUPPORT for IPv6 where h has none (see [IPv6]).
func (h *Host) Listen(network, address string) (net.Listener, error) {
	h.must("Listen")
	if err := checkNetwork(network, protoTCP); err != nil {
		return nil, opError("listen", network, nil, nil, err)
	}
	named, local, err := h.resolveLocal(network, address)
	if err != nil {
		return nil, opError("listen", network, nil, nil, err)
	}
	if h.n.conf.loopback {
		return h.machineListen(network, local)
	}
	l, err := try(h.n, func() (*TCPListener, error) { return h.listen(network, local) })
	if err != nil {
		return nil, opError("listen", network, nil, net.TCPAddrFromAddrPort(named), err)
	}
	return l, nil
}

// listen makes a listener.
func (h *Host) listen(network string, local netip.AddrPort) (*TCPListener, error) {
	if err := cmp.Or(h.maySocket(), h.mayBind(local.Addr())); err != nil {
		return nil, err
	}
	// Listeners have SO_REUSEADDR, and so do connections accepted from them: only dialled connections prevent
	// listening on their port.
	taken := func(p uint16) bool {
		return h.listensOn(network, local.Addr(), p) || h.table.conns.uses(network, local.Addr(), p).dialled > 0
	}
	if local.Port() == 0 {
		local = netip.AddrPortFrom(local.Addr(), h.freePort(func(p uint16) bool { return !taken(p) && len(h.table.listeners.at(p)) == 0 }))
	}
	if local.Port() == 0 || taken(local.Port()) {
		return nil, sysError("bind", syscall.EADDRINUSE)
	}
	l := newListener(h, network, local)
	l.fd = h.fds.take()
	h.table.listeners.add(local.Port(), l)
	if l.asleep = h.pause.faults != nil; l.asleep {
		h.pause.asleep = append(h.pause.asleep, l)
	}
	return l, nil
}

//go:norace
func newListener(h *Host, network string, local netip.AddrPort) *TCPListener {
	return &TCPListener{
		n: h.n, host: h, made: h.n.moment(), network: network, local: local, backlog: h.conf.AcceptBacklog,
		embryos: map[*TCPConn]struct{}{},
		in:      half{deadline: deadline(never)}, deadlinePlan: plan(never),
	}
}

// freePort returns the next ephemeral port that is free, or 0.
func (h *Host) freePort(free func(uint16) bool) uint16 {
	for range h.table.ports.count() {
		p := h.table.nextPort
		if h.table.nextPort++; p == h.table.ports.last {
			h.table.nextPort = h.table.ports.first
		}
		if free(p) {
			return p
		}
	}
	return h.table.ports.exhausted()
}

// listener returns the socket that listens at an address and port.
func (h *Host) listener(at netip.AddrPort) *TCPListener {
	for _, l := range h.table.listeners.at(at.Port()) {
		if !l.asleep && takes(l.network, l.local.Addr(), at.Addr()) {
			return l
		}
	}
	for _, s := range h.pause.leaving {
		if l, ok := s.(*TCPListener); ok && l.local.Port() == at.Port() && takes(l.network, l.local.Addr(), at.Addr()) {
			return l
		}
	}
	return nil
}

func (l *TCPListener) wakeUp() { l.asleep = false }

func (l *TCPListener) full() bool { return len(l.accept) > l.backlog }

// syn handles a SYN, which it may drop. iss is the sequence number to begin with.
func (l *TCPListener) syn(now int64, pkt *packet, iss uint32) {
	if l.full() {
		l.n.drop(now, pkt, nil, "accept queue full")
		return
	}
	c := newConn(l.host, l.network, l.local.Addr().Is6(), pkt.dst, pkt.src, false, l.made)
	c.log.hears(pkt.flow.log)
	c.opening.listener = l
	l.embryos[c] = struct{}{}
	c.machine.awake = tcp.Accept(l.host.config(pkt.src.Addr()), c.output(), c.flow.path.mtu(now), iss, tcp.Time(now), pkt.seg)
	l.n.pool.free(pkt)
	c.settle()
}

// established moves a connection into the accept queue. It stays there until it is accepted, even if the peer
// resets it.
func (l *TCPListener) established(c *TCPConn) {
	delete(l.embryos, c)
	l.accept = append(l.accept, c)
	l.in.q.notify(l.n, l.host)
}

// Accept implements [net.Listener]; the connection is a [*TCPConn].
func (l *TCPListener) Accept() (net.Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// AcceptTCP is Accept with the type of the connection.
func (l *TCPListener) AcceptTCP() (*TCPConn, error) {
	var mine ticket
	c, err := await(l.n, func() (c *TCPConn, err error, wait *waitq) {
		if !l.closed && !l.in.turns.come(&l.in.q, &mine) {
			return nil, nil, &l.in.q
		}
		if c, err, wait = l.acceptNow(); wait == nil {
			l.in.turns.end(l.n, l.host, &l.in.q)
		}
		return c, err, wait
	})
	if err != nil {
		return nil, l.opError("accept", err)
	}
	return c, nil
}

// acceptNow takes a connection, if there is one.
func (l *TCPListener) acceptNow() (*TCPConn, error, *waitq) {
	switch {
	case l.host.holds(l.closed):
		return nil, nil, &l.host.pause.resumed
	case l.closed:
		l.n.reveal(l.by)
		return nil, net.ErrClosed, nil
	case l.in.deadline.expired():
		l.n.reveal(l.by)
		return nil, os.ErrDeadlineExceeded, nil
	case l.host.fds.full():
		return nil, errTooManyFiles("accept4"), nil
	case len(l.accept) > 0:
		c := l.accept[0]
		c.opening.fd = l.host.fds.take()
		l.accept = slices.Delete(l.accept, 0, 1)
		c.opening.listener = nil
		c.log.opened(l.n)
		return c, nil, nil
	}
	return nil, nil, &l.in.q
}

// Close implements [net.Listener]. It resets connections that were not accepted.
func (l *TCPListener) Close() error {
	return l.opError("close", get(l.n, func() error {
		if l.closed {
			l.n.reveal(l.by)
			return net.ErrClosed
		}
		l.shut()
		l.host.table.listeners.remove(l.local.Port(), l)
		return nil
	}))
}

// shut closes l and resets what it holds.
func (l *TCPListener) shut() {
	if l.closed {
		return
	}
	l.closed = true
	l.host.fds.free(&l.fd)
	l.by = l.n.moment()
	l.host.closings.closed(protoTCP, l.local.Port(), l.by)
	l.in.q.release()
	l.host.pause.resumed.release()
	if l.host.pause.faults != nil && !l.asleep {
		l.host.pause.leaving = append(l.host.pause.leaving, l)
	} else {
		l.leave()
	}
}

// leave is the part of shut that others can observe.
func (l *TCPListener) leave() {
	for _, c := range l.accept {
		c.opening.listener = nil
		c.kill(true)
	}
	// An incomplete handshake is forgotten; its last acknowledgement will be answered with RST.
	for c := range l.embryos {
		c.opening.listener = nil
		c.forget()
	}
	l.accept, l.embryos = nil, nil
}

// Addr implements [net.Listener]; it is a [*net.TCPAddr].
func (l *TCPListener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.local) }

// SetDeadline sets the deadline of [TCPListener.Accept]; the zero time means none.
func (l *TCPListener) SetDeadline(t time.Time) error {
	t = ofNetwork(t)
	return get(l.n, func() error {
		if l.closed {
			return net.ErrClosed // unwrapped, as in package net
		}
		l.by = l.n.moment()
		if l.in.deadline.set(l.n, t) {
			l.in.q.release()
		}
		l.n.queue.schedule(l, classDeadline, socketID(l.host, l.local, protoTCP))
		l.n.wakeAt(l.next(classDeadline))
		return nil
	})
}

// plan implements timed.
func (l *TCPListener) plan(uint64) *plan { return &l.deadlinePlan }

// next implements timed.
func (l *TCPListener) next(uint64) int64 {
	if l.closed {
		return never
	}
	return l.in.deadline.next()
}

// observable implements timed.
func (l *TCPListener) observable() int64 { return l.next(classDeadline) }

// due implements timed.
func (l *TCPListener) due(now int64, _ uint64) {
	if l.in.deadline.expire(now) {
		l.in.q.notify(l.n, l.host)
	}
}

// opError wraps an error of the network, if there is one.
func (l *TCPListener) opError(op string, err error) error {
	if err == nil {
		return nil
	}
	return opError(op, l.network, nil, net.TCPAddrFromAddrPort(l.local), err)
}
