package sim

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"github.com/squall-sim/squall/sim/internal/tcp"
)

// A dialing is an attempt to connect.
type dialing struct {
	host    *Host
	network string
	source  net.Addr       // as the program named it
	local   netip.AddrPort // with an unspecified address, and with port 0, the host chooses
	six     bool           // the socket is an IPv6 socket
	dest    netip.AddrPort
	nth     uint64   // number of the host's attempt to reach dest
	asked   string   // the question, if it is one to a name server
	by      moment   // of the call
	conn    *TCPConn // once the SYN is sent
	err     error    // why it failed; set before done is closed
	fd      descriptor
	place   int           // among the open attempts of its host
	over    bool          // decided, though the caller may not know yet
	done    chan struct{} // closed when the caller may know
}

// Dial connects to an address, as [net.Dial] does: see [Host.DialContext].
func (h *Host) Dial(network, address string) (net.Conn, error) {
	h.must("Dial")
	return h.DialContext(context.Background(), network, address)
}

// DialContext connects to an address, as [net.Dialer.DialContext] does. The network is "tcp" or "udp", or one
// of them with a "4" or "6" for one family. The address is a host's name or address, and a port: "server:80",
// "10.0.0.2:80", "[2001:db8::2]:80". An empty host, "localhost", 127.0.0.1 and, with IPv6, [::1] mean h
// itself. If a name stands for several addresses, DialContext tries them in the order of RFC 6724, and the
// second family after [Dialer.FallbackDelay].
//
// The errors are those of package net:
//
//   - ECONNREFUSED where no process listens;
//   - EHOSTUNREACH over a link that rejects, or after 3 s where the destination does not answer ARP (see
//     [Link.ARP]);
//   - ENETUNREACH for an address that no host has;
//   - ETIMEDOUT when TCP gives up the SYN (after 131 s by default);
//   - ENETDOWN when h is down;
//   - EADDRNOTAVAIL when all 28232 ports to that destination are in use;
//   - EMFILE when the host has too many sockets ([HostLimits]);
//   - EAFNOSUPPORT for IPv6 where h has none (see [IPv6]);
//   - *[net.DNSError] for an unknown name;
//   - a timeout, or an error that is [context.Canceled], when ctx ends.
func (h *Host) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	h.must("DialContext")
	return h.Dialer().DialContext(ctx, network, address)
}

// dialTCP connects to one address by TCP. Errors name this address.
func (dr *Dialer) dialTCP(ctx context.Context, network string, named netip.AddrPort) (*TCPConn, error) {
	h := dr.host
	dest, local, six := dr.ends(network, named)
	fail := func(err error) (*TCPConn, error) {
		return nil, opError("dial", network, dr.LocalAddr, net.TCPAddrFromAddrPort(named), err)
	}
	if err := ctx.Err(); err != nil {
		return fail(contextError(err))
	}

	done := make(chan struct{})
	d := &dialing{host: h, network: network, source: dr.LocalAddr, local: local, six: six, dest: dest, asked: dr.asked, done: done}
	if err := get(h.n, d.begin); err != nil {
		return fail(err)
	}
	if waitFor(done, ctx) {
		d.cancel(contextError(ctx.Err()))
	}
	c, err := await(h.n, func() (*TCPConn, error, *waitq) {
		switch {
		case h.holds(false):
			return nil, nil, &h.pause.resumed
		case d.err != nil:
			d.revealWhy()
			return nil, d.err, nil
		default:
			d.conn.log.opened(h.n)
			return d.conn, nil, nil
		}
	})
	if err != nil {
		return fail(err)
	}
	return c, nil
}

// begin leaves the attempt to the engine, unless it fails at once.
func (d *dialing) begin() error {
	h := d.host
	if err := h.maySocket(); err != nil {
		return err
	}
	if err := h.mayConnect(d.local.Addr(), d.dest.Addr()); err != nil {
		return err
	}
	if d.by = h.n.moment(); d.asked != "" {
		d.nth = hashString(d.asked) // two questions at one instant have no order
	} else {
		d.nth = h.dials.tcp.next(d.dest)
	}
	h.dials.count++
	d.fd = h.fds.take()
	d.enter()
	h.n.submit(operation{host: h, kind: opDial, dest: d.dest.String(), n: d.nth, run: d.start}, 0)
	return nil
}

// start sends the SYN.
func (d *dialing) start(now int64) {
	if d.over {
		return
	}
	h, local := d.host, d.local
	if local.Addr().IsUnspecified() {
		local = netip.AddrPortFrom(h.sourceFor(d.dest.Addr()), local.Port())
	}
	if d.source != nil {
		if local = netip.AddrPortFrom(local.Addr(), d.bind()); local.Port() == 0 {
			d.finish(sysError("bind", syscall.EADDRINUSE))
			return
		}
	} else if local = netip.AddrPortFrom(local.Addr(), d.ephemeralPort(local.Addr())); local.Port() == 0 {
		d.finish(sysError("connect", syscall.EADDRNOTAVAIL))
		return
	}
	d.conn = newConn(h, d.network, d.six, local, d.dest, true, d.by)
	d.conn.opening.dial = d
	d.conn.machine.awake = tcp.Dial(h.config(d.dest.Addr()), d.conn.output(), d.conn.flow.path.mtu(now), h.n.initialSequence(now, local, d.dest), tcp.Time(now))
	d.conn.settle()
}

// ephemeralPort returns a port that no other connection to the destination has, or 0. It follows from how
// many earlier dials to the destination there were, so it does not depend on what else the host does. As in
// the kernel, ports on which a socket listens are skipped (__inet_hash_connect).
func (d *dialing) ephemeralPort(addr netip.Addr) uint16 {
	h := d.host
	for i := range h.table.ports.count() {
		p := h.table.ports.nth(d.nth + i)
		if h.table.conns.get(ends{netip.AddrPortFrom(addr, p), d.dest}) == nil && len(h.table.listeners.at(p)) == 0 {
			return p
		}
	}
	return h.table.ports.exhausted()
}

// bind returns the port of a dial with a local address, which it shares with no other socket, or 0.
func (d *dialing) bind() uint16 {
	h := d.host
	free := func(p uint16) bool {
		return !h.listensOn(d.bound(), d.local.Addr(), p) && h.table.conns.uses(d.bound(), d.local.Addr(), p).all == 0
	}
	switch {
	case d.local.Port() == 0:
		for i := range h.table.ports.count() {
			if p := h.table.ports.nth(d.nth + i); free(p) {
				return p
			}
		}
		return h.table.ports.exhausted()
	case free(d.local.Port()):
		return d.local.Port()
	default:
		return 0
	}
}

// bound returns the network of the socket that takes the attempt's port: an IPv4 socket is on IPv4 alone.
func (d *dialing) bound() string {
	if d.six {
		return d.network
	}
	return "tcp4"
}

// listensOn reports whether a socket listens on a port of an address of h. An unspecified address stands for
// all that a socket of the network receives.
func (h *Host) listensOn(network string, addr netip.Addr, port uint16) bool {
	return slices.ContainsFunc(h.table.listeners.at(port), func(l *TCPListener) bool { return overlap(l.network, l.local.Addr(), network, addr) })
}

// finish decides the attempt, and tells the caller in its turn; err is nil if the attempt succeeded.
func (d *dialing) finish(err error) {
	if d.over {
		return
	}
	d.over, d.err = true, err
	if d.leave(); err == nil {
		d.conn.opening.fd = d.fd
	} else {
		d.host.fds.free(&d.fd)
	}
	d.host.n.wake(wake{host: d.host, done: d.done})
}

// enter adds the attempt to the open ones.
func (d *dialing) enter() {
	d.place = len(d.host.dials.open)
	d.host.dials.open = append(d.host.dials.open, d)
}

// leave removes the attempt from the open ones, if it is among them.
func (d *dialing) leave() {
	open := d.host.dials.open
	if d.place >= len(open) || open[d.place] != d {
		return
	}
	last := len(open) - 1
	open[d.place] = open[last]
	open[d.place].place = d.place
	open[last] = nil
	d.host.dials.open = open[:last]
}

// revealWhy reveals what may have caused the failure: the listener is gone.
func (d *dialing) revealWhy() {
	n := d.host.n
	n.reveal(n.over.by)
	d.host.revealRefusal(protoTCP, d.dest)
}

// revealRefusal reveals why there is no socket where h sent something.
func (h *Host) revealRefusal(proto protocol, to netip.AddrPort) {
	if dest := h.at(to.Addr()); dest != nil && dest.host != nil {
		dest.host.closings.refused(h.n, proto, to.Port())
	}
}

// cancel gives the attempt up, unless it is already decided.
func (d *dialing) cancel(err error) {
	n := d.host.n
	n.do(func() {
		if n.closed || d.over && d.err != nil {
			return
		}
		// An attempt that succeeded at this very instant is given up too: the caller saw the end of its
		// context first.
		d.over, d.err = true, err
		d.leave()
		d.host.fds.free(&d.fd)
		if c := d.conn; c != nil {
			c.opening.dial, c.opening.fd = nil, 0
			c.closed = true
			c.submit(horizon{})
		}
	})
}
