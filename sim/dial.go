package sim

import (
	"context"
	"net"
	"syscall"

	"github.com/squall-sim/squall/sim/internal/tcp"
)

// A dialing is an attempt to connect.
type dialing struct {
	host    *Host
	network string
	dest    endpoint
	nth     uint64        // attempt of the host to reach dest
	conn    *TCPConn      // once the SYN is sent
	err     error         // set before done is closed
	over    bool          // decided, though the caller may not know yet
	done    chan struct{} // closed when the caller may know
}

// Dial connects to an address, as [net.Dial] does: see [Host.DialContext].
func (h *Host) Dial(network, address string) (net.Conn, error) {
	return h.DialContext(context.Background(), network, address)
}

// DialContext connects to an address, as [net.Dialer.DialContext] does. The
// network is "tcp", "tcp4", "udp" or "udp4"; IPv6 is not simulated and refused.
// The address is a host's name or IPv4 address and a port: "server:80",
// "10.0.0.2:80"; an empty host, "localhost" and 127.0.0.1 are h itself.
//
// The errors are those of package net: ECONNREFUSED where nobody listens,
// EHOSTUNREACH over a link that rejects, ENETUNREACH for an address that no host
// has, ETIMEDOUT when the SYN was given up (after 131 s by default), ENETDOWN when
// h is down, EADDRNOTAVAIL when all 28232 ports to that destination are in use,
// [*net.DNSError] for an unknown name, and for the context's end a timeout or an
// error that is [context.Canceled].
func (h *Host) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if network == "udp" || network == "udp4" {
		return h.dialUDP(ctx, network, address)
	}
	if err := checkNetwork(network, protoTCP); err != nil {
		return nil, opError("dial", network, nil, nil, err)
	}
	dest, err := h.resolve(ctx, network, address, loopback)
	if err != nil {
		return nil, opError("dial", network, nil, nil, err)
	}
	if dest.addr == 0 {
		dest.addr = loopback // as Linux does with 0.0.0.0
	}
	fail := func(err error) (net.Conn, error) {
		return nil, opError("dial", network, nil, dest.tcp(), err)
	}
	if err := ctx.Err(); err != nil {
		return fail(contextError(err))
	}

	h.n.lock()
	d := &dialing{host: h, network: network, dest: dest, nth: h.dials[dest], done: make(chan struct{})}
	switch {
	case h.n.closed:
		err = net.ErrClosed
	case h.dead:
		err = sysError("socket", syscall.ENETDOWN)
	case !isLoopback(dest.addr) && h.n.byAddr[dest.addr] == nil:
		err = sysError("connect", syscall.ENETUNREACH)
	}
	if err != nil {
		h.n.mu.Unlock()
		return fail(err)
	}
	h.dials[dest]++
	h.dialing[d] = struct{}{}
	h.n.op(operation{host: h, kind: opDial, dest: dest.String(), n: d.nth, run: d.start}, 0)
	h.n.mu.Unlock()

	select {
	case <-d.done:
	case <-ctx.Done():
		d.cancel(contextError(ctx.Err()))
	}
	h.n.lock()
	defer h.n.mu.Unlock()
	h.awaitResume()
	if d.err != nil {
		return nil, d.err
	}
	return d.conn, nil
}

// start sends the SYN.
func (d *dialing) start(now int64) {
	if d.over {
		return
	}
	h := d.host
	local := endpoint{addr: h.addr}
	if isLoopback(d.dest.addr) {
		local.addr = loopback
	}
	// The port follows from how many dials to the destination came before, so that
	// it does not depend on what else the host does.
	const ports = lastEphemeral - firstEphemeral + 1
	for i := range uint64(ports) {
		local.port = uint16(firstEphemeral + (d.nth+i)%ports)
		if h.conns[connKey{local, d.dest}] == nil {
			break
		}
		local.port = 0
	}
	if local.port == 0 {
		d.fail(sysError("connect", syscall.EADDRNOTAVAIL))
		return
	}
	d.conn = newConn(h, d.network, local, d.dest)
	d.conn.dial = d
	d.conn.tcp = tcp.Dial(h.conf, d.conn, d.conn.flow.path.mtu(), tcp.Time(now))
	d.conn.settle()
}

// error wraps the reason why the attempt failed.
func (d *dialing) error(err error) error {
	return opError("dial", d.network, nil, d.dest.tcp(), err)
}

func (d *dialing) fail(err error) { d.finish(d.error(err)) }

// finish decides the attempt, and lets the caller know in its turn.
func (d *dialing) finish(err error) {
	if d.over {
		return
	}
	d.over, d.err = true, err
	delete(d.host.dialing, d)
	d.host.n.wake(wake{host: d.host, done: d.done})
	d.host.n.request()
}

// cancel gives the attempt up, unless it was decided before.
func (d *dialing) cancel(err error) {
	n := d.host.n
	n.lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	if d.over && d.err != nil {
		return
	}
	// An attempt that succeeded at this very instant is given up too: the caller
	// saw the end of its context first.
	d.over, d.err = true, d.error(err)
	delete(d.host.dialing, d)
	if c := d.conn; c != nil {
		c.dial = nil
		c.closed = true
		c.touch()
	}
}
