package sim

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"
)

// A Dialer connects from a host with the options of [net.Dialer], whose fields it has. Make one with
// [Host.Dialer] and set the fields:
//
//	d := phone.Dialer()
//	d.LocalAddr = &net.TCPAddr{Port: 5000}
//	d.Timeout = 3 * time.Second
//	transport := &http.Transport{DialContext: d.DialContext}
//
// It has no Resolver: it looks names up as [Host.SetResolver] says.
type Dialer struct {
	// Timeout is how long a dial may take; 0 means no limit but the operating system's (131 s by default).
	Timeout time.Duration

	// Deadline is the instant after which dials fail; the zero time means none.
	Deadline time.Time

	// LocalAddr is the local address: a [*net.TCPAddr] for TCP, a [*net.UDPAddr] for UDP. Without an IP, or
	// with 0.0.0.0, any address of the host serves. With an IP the dial only tries addresses of its family.
	// Port 0 means any free port. Nil means any address and port.
	//
	// Package net does not set SO_REUSEADDR on sockets that dial. So, as in Linux, a dial with a LocalAddr
	// fails with EADDRINUSE if a socket of the host already has the port, be it listening, connected to
	// anywhere, or in TIME_WAIT. With port 0 it fails with EADDRINUSE when all 28232 ports are in use;
	// without a LocalAddr there are as many for each destination. EADDRNOTAVAIL means that the address is not
	// the host's, EINVAL that it is a loopback address and the destination is not.
	LocalAddr net.Addr

	// FallbackDelay is how long a dial on "tcp" waits for the first family of a name's addresses. Then it
	// tries the other family in parallel, and takes the first connection that succeeds (RFC 6555). If the
	// first family fails earlier, it does not wait. 0 means the default, 300 ms. With a negative value the
	// dial tries all addresses one after the other, each with its share of the remaining time, at least 2 s.
	FallbackDelay time.Duration

	// KeepAlive is the silence before the first keep-alive probe of a TCP connection. 0 means the default,
	// 15 s; a negative value means no probes. It is ignored if KeepAliveConfig is enabled.
	KeepAlive time.Duration

	// KeepAliveConfig sets all keep-alive options of a TCP connection, if enabled.
	KeepAliveConfig net.KeepAliveConfig

	// Control and ControlContext must be nil, since there are no descriptors: a dial with one of them is
	// refused.
	Control        func(network, address string, c syscall.RawConn) error
	ControlContext func(ctx context.Context, network, address string, c syscall.RawConn) error

	host  *Host
	asked string // the question, for dials to a name server
}

// Dialer returns a new dialer of h, which does what [Host.DialContext] does until its fields are set.
func (h *Host) Dialer() *Dialer {
	h.must("Dialer")
	return &Dialer{host: h}
}

// Dial connects to an address: see [Host.DialContext].
func (d *Dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialContext connects to an address, as [Host.DialContext] does. It panics if [Host.Dialer] did not make d.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if d.host == nil {
		panic("sim: Dialer.DialContext: a Dialer must be made by Host.Dialer")
	}
	refused := ""
	switch {
	case d.Control != nil:
		refused = "Control"
	case d.ControlContext != nil:
		refused = "ControlContext"
	}
	if refused != "" {
		err := fmt.Errorf("Dialer.%s: must be nil: a simulated socket has no descriptor", refused)
		return nil, opError("dial", network, nil, nil, err)
	}
	if at := d.deadline(ctx); !at.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, at)
		defer cancel()
	}
	targets, err := d.targets(ctx, network, address)
	if err != nil {
		return nil, opError("dial", network, nil, nil, err)
	}
	primaries, fallbacks := targets, []netip.AddrPort(nil)
	if d.FallbackDelay >= 0 && network == "tcp" {
		primaries, fallbacks = byFamily(targets)
	}
	if len(fallbacks) > 0 {
		return d.dialParallel(ctx, network, primaries, fallbacks)
	}
	return d.dialSerial(ctx, network, primaries)
}

// dialOne connects to one address.
func (d *Dialer) dialOne(ctx context.Context, network string, to netip.AddrPort) (net.Conn, error) {
	switch {
	case network[:3] == "udp":
		return d.dialUDP(ctx, network, to)
	case d.host.n.conf.loopback:
		return d.machineDial(ctx, network, to)
	}
	c, err := d.dialTCP(ctx, network, to)
	if err != nil {
		return nil, err
	}
	d.setKeepAlive(c)
	return c, nil
}

// deadline returns the earliest of the deadlines of a dial.
func (d *Dialer) deadline(ctx context.Context) (at time.Time) {
	earlier := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	if d.Timeout != 0 {
		earlier(time.Now().Add(d.Timeout))
	}
	if t, ok := ctx.Deadline(); ok {
		earlier(t)
	}
	earlier(d.Deadline)
	return at
}

// setKeepAlive sets what differs from the default. As in package net, a value out of range is ignored.
func (d *Dialer) setKeepAlive(c *TCPConn) {
	switch {
	case d.KeepAliveConfig.Enable:
		_ = c.SetKeepAliveConfig(d.KeepAliveConfig)
	case d.KeepAlive < 0:
		_ = c.SetKeepAlive(false)
	case d.KeepAlive > 0:
		_ = c.SetKeepAlivePeriod(d.KeepAlive)
	}
}

// targets returns the addresses to dial, without those that LocalAddr cannot reach (resolveAddrList in
// package net).
func (d *Dialer) targets(ctx context.Context, network, address string) ([]netip.AddrPort, error) {
	want := protoTCP
	if strings.HasPrefix(network, "udp") {
		want = protoUDP
	}
	if err := checkNetwork(network, want); err != nil {
		return nil, err
	}
	targets, err := d.host.resolve(ctx, network, address, d.host.lookUpToDial)
	if err != nil || d.LocalAddr == nil {
		return targets, err
	}
	if d.LocalAddr.Network() != network[:3] {
		return nil, &net.AddrError{Err: "mismatched local address type", Addr: d.LocalAddr.String()}
	}
	local, ok := d.local()
	if !ok {
		return nil, &net.AddrError{Err: "unexpected address type", Addr: d.LocalAddr.String()}
	}
	if from := local.Addr(); from.IsValid() && !from.IsUnspecified() {
		targets = slices.DeleteFunc(targets, func(to netip.AddrPort) bool {
			return to.Addr().IsValid() && !to.Addr().IsUnspecified() && to.Addr().Is4() != from.Is4()
		})
	}
	if len(targets) == 0 {
		return nil, &net.AddrError{Err: "no suitable address found", Addr: d.LocalAddr.String()}
	}
	return targets, nil
}

// local returns LocalAddr, with the zero address where it has no IP.
func (d *Dialer) local() (local netip.AddrPort, ok bool) {
	var ip net.IP
	var port int
	switch a := d.LocalAddr.(type) {
	case *net.TCPAddr:
		ip, port = a.IP, a.Port
	case *net.UDPAddr:
		ip, port = a.IP, a.Port
	default:
		return netip.AddrPort{}, false
	}
	addr, _ := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), true
}

// ends returns the ends of a connection to a target, and whether its socket is an IPv6 socket. The local
// address is unspecified if any will do.
func (d *Dialer) ends(network string, target netip.AddrPort) (remote, local netip.AddrPort, six bool) {
	local, _ = d.local()
	from, to := local.Addr(), target.Addr()
	if !to.IsValid() || to.IsUnspecified() {
		to = toOneself(network, to, from) // as Linux does with 0.0.0.0
	}
	six = to.Is6() || from.Is6()
	if !from.IsValid() || from.IsUnspecified() {
		from = netip.IPv4Unspecified()
		if to.Is6() {
			from = netip.IPv6Unspecified()
		}
	}
	return netip.AddrPortFrom(to, target.Port()), netip.AddrPortFrom(from, local.Port()), six
}
