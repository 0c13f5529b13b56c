//go:build squall_exact

package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"
	"unsafe"

	"github.com/squall-sim/squall/sim/internal/exact"
)

// In exact mode package net gets its sockets from here, if the calling goroutine has the identity of a host.
// They are the TCPConn, UDPConn or TCPListener that the methods of Host make too, behind the types of package
// net. Those types look up names, choose families, race addresses and wrap errors as usual.

func init() {
	exact.Answer(exact.Answers{
		Socket: newSocket,
		Named: func(p unsafe.Pointer, ctx context.Context, network, name string) ([]netip.Addr, error) {
			return identityAt(p).named(ctx, network, name)
		},
		Addrs: func(p unsafe.Pointer) ([]netip.Addr, bool) {
			h := identityAt(p).host
			return h.Addrs(), get(h.n, func() bool { return h.addresses.ipv6 })
		},
		Resolver: func(p unsafe.Pointer) *net.Resolver { return identityAt(p).host.Resolver() },
		Name:     func(p unsafe.Pointer) string { return identityAt(p).host.name },
		Clock:    readClock,
		Number:   func(p unsafe.Pointer) uint64 { return identityAt(p).number },
		Transport: func(p unsafe.Pointer, t *http.Transport) *http.Transport {
			return identityAt(p).transport(t)
		},
	})
}

func identityAt(p unsafe.Pointer) *identity { return (*identity)(p) }

// readClock returns the time of a host's wall clock, unless nobody ever asked for it or set it.
func readClock(p unsafe.Pointer) (unix int64, ok bool) {
	c := identityAt(p).host.madeClock()
	if c == nil {
		return 0, false
	}
	return c.Now().UnixNano(), true
}

// transport returns the host's own copy of a transport that several hosts use.
func (i *identity) transport(shared *http.Transport) *http.Transport {
	i.mu.Lock()
	defer i.mu.Unlock()
	own := i.transports[shared]
	if own == nil {
		own = shared.Clone()
		if i.transports == nil {
			i.transports = map[*http.Transport]*http.Transport{}
		}
		i.transports[shared] = own
	}
	return own
}

// named returns what a name stands for on the host, of one family if the network ends with its number.
func (i *identity) named(ctx context.Context, network, name string) ([]netip.Addr, error) {
	if !i.alive() {
		return nil, &net.DNSError{Err: sysError("socket", syscall.ENETDOWN).Error(), Name: name}
	}
	all, err := i.host.lookUpToDial(ctx, "tcp", name)
	family := network[len(network)-1:]
	if err != nil || family != "4" && family != "6" {
		return all, err
	}
	fit := slices.DeleteFunc(all, func(a netip.Addr) bool { return a.Is4() != (family == "4") })
	if len(fit) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return fit, nil
}

// newSocket makes a socket that is listening, bound or connected.
func newSocket(p unsafe.Pointer, ctx context.Context, network string, listens bool, local, remote net.Addr) (socket any, laddr, raddr net.Addr, err error) {
	i := identityAt(p)
	if !i.alive() {
		return nil, nil, nil, sysError("socket", syscall.ENETDOWN)
	}
	h := i.host
	tcp := network[:3] == "tcp"
	if !listens {
		d := h.Dialer()
		if addrPortOf(local).IsValid() || addrPortOf(local).Port() != 0 {
			d.LocalAddr = local
		}
		return connected(d, ctx, network, addrPortOf(remote), tcp)
	}
	at := addrPortOf(local)
	if !at.Addr().IsValid() || at.Addr().IsUnspecified() {
		at = netip.AddrPortFrom(get(h.n, func() netip.Addr { return h.wildcard(network) }), at.Port())
	}
	if tcp {
		l, err := try(h.n, func() (*TCPListener, error) { return h.listen(network, at) })
		if err != nil {
			return nil, nil, nil, err
		}
		return listenSocket{l: l}, l.Addr(), nil, nil
	}
	shared := at.Addr().IsMulticast()
	if shared {
		at = netip.AddrPortFrom(unspecified(at.Addr().Is6()), at.Port())
	}
	u, err := try(h.n, func() (*UDPConn, error) {
		return h.bindAs(network, at.Addr().Is6(), at, netip.AddrPort{}, shared)
	})
	if err != nil {
		return nil, nil, nil, err
	}
	return udpSocket{u: u}, u.LocalAddr(), nil, nil
}

// connected is newSocket for a dial.
func connected(d *Dialer, ctx context.Context, network string, to netip.AddrPort, tcp bool) (socket any, laddr, raddr net.Addr, err error) {
	if tcp {
		c, err := d.dialTCP(ctx, network, to)
		if err != nil {
			return nil, nil, nil, bare(err)
		}
		return tcpSocket{c: c}, c.LocalAddr(), c.RemoteAddr(), nil
	}
	c, err := d.dialUDP(ctx, network, to)
	if err != nil {
		return nil, nil, nil, bare(err)
	}
	u := c.(*UDPConn)
	return udpSocket{u: u}, u.LocalAddr(), u.RemoteAddr(), nil
}

// addrPortOf converts an address of package net, whose IP may be missing.
func addrPortOf(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := a.(type) {
	case *net.TCPAddr:
		ap = a.AddrPort()
	case *net.UDPAddr:
		ap = a.AddrPort()
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// bare returns an error without what package net wraps around it itself.
func bare(err error) error {
	if e, ok := err.(*net.OpError); ok {
		return e.Err
	}
	return err
}

// noSocket has the methods that only some kinds of sockets have.
type noSocket struct{}

func (noSocket) Read([]byte) (int, error)  { return 0, sysError("read", syscall.EINVAL) }
func (noSocket) Write([]byte) (int, error) { return 0, sysError("write", syscall.EINVAL) }
func (noSocket) Shutdown(int) error        { return sysError("shutdown", syscall.ENOTCONN) }

func (noSocket) SetOption(function string, _ int) error {
	return fmt.Errorf("%s is not simulated for this socket: %w", function, sysError("setsockopt", syscall.ENOPROTOOPT))
}

func (noSocket) Accept() (any, net.Addr, net.Addr, error) {
	return nil, nil, nil, sysError("accept4", syscall.EINVAL)
}

func (noSocket) ReadNow([]byte, bool) (int, error) { return -1, syscall.EOPNOTSUPP }

func (noSocket) AwaitRead(bool) error {
	return fmt.Errorf("raw reads are not simulated for this socket: %w", errors.ErrUnsupported)
}

func (noSocket) Receive(_ []byte, call string) (int, netip.AddrPort, int, error) {
	return 0, netip.AddrPort{}, 0, sysError(call, syscall.EINVAL)
}

func (noSocket) Send(_, _ []byte, _ netip.AddrPort, call string) (int, error) {
	return 0, sysError(call, syscall.EINVAL)
}

type tcpSocket struct {
	noSocket
	c *TCPConn
}

func (s tcpSocket) Read(p []byte) (int, error) {
	n, err := s.c.Read(p)
	return n, bare(err)
}

func (s tcpSocket) Write(p []byte) (int, error) {
	n, err := s.c.Write(p)
	return n, bare(err)
}

func (s tcpSocket) Close() error                       { return bare(s.c.Close()) }
func (s tcpSocket) SetDeadline(t time.Time) error      { return bare(s.c.SetDeadline(t)) }
func (s tcpSocket) SetReadDeadline(t time.Time) error  { return bare(s.c.SetReadDeadline(t)) }
func (s tcpSocket) SetWriteDeadline(t time.Time) error { return bare(s.c.SetWriteDeadline(t)) }

func (s tcpSocket) Shutdown(how int) error {
	if how == syscall.SHUT_RD {
		return bare(s.c.CloseRead())
	}
	return bare(s.c.CloseWrite())
}

// SetOption is called by package net's functions of these names, with durations in nanoseconds.
func (s tcpSocket) SetOption(function string, value int) error {
	var err error
	switch function {
	case "setNoDelay":
		err = s.c.SetNoDelay(value != 0)
	case "setLinger":
		err = s.c.SetLinger(value)
	case "setReadBuffer":
		err = s.c.SetReadBuffer(value)
	case "setWriteBuffer":
		err = s.c.SetWriteBuffer(value)
	case "setKeepAlive":
		err = s.c.SetKeepAlive(value != 0)
	case "setKeepAliveIdle":
		err = s.c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: s.c.probes(), Idle: time.Duration(value), Interval: -1, Count: -1})
	case "setKeepAliveInterval":
		err = s.c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: s.c.probes(), Idle: -1, Interval: time.Duration(value), Count: -1})
	case "setKeepAliveCount":
		err = s.c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: s.c.probes(), Idle: -1, Interval: -1, Count: value})
	default:
		err = s.noSocket.SetOption(function, value)
	}
	return bare(err)
}

// probes reports whether keep-alive is on.
func (c *TCPConn) probes() bool {
	return get(c.n, func() bool {
		if c.opts != nil && c.opts.keepAlive != nil {
			return !c.opts.keepAlive.Off
		}
		return !c.host.conf.KeepAlive.Off
	})
}

// ReadNow is the system call, which does not wait.
func (s tcpSocket) ReadNow(p []byte, peek bool) (int, error) {
	c := s.c
	k, err := try(c.n, func() (int, error) {
		if peek && !c.closed && c.tcp().Readable() > 0 {
			return c.tcp().Peek(p), nil
		}
		k, err, wait := c.readNow(p)
		if wait != nil {
			return 0, syscall.EAGAIN
		}
		return k, err
	})
	writesRange(p[:k])
	var errno syscall.Errno
	switch {
	case err == nil, err == io.EOF:
		return k, nil
	case errors.As(err, &errno):
		return -1, errno
	case errors.Is(err, net.ErrClosed):
		return -1, syscall.EBADF
	}
	return -1, syscall.EAGAIN // its deadline has passed meanwhile
}

// AwaitRead waits until there is something to read, or the end, or an error.
func (s tcpSocket) AwaitRead(wait bool) error {
	c := s.c
	_, err := await(c.n, func() (none struct{}, _ error, _ *waitq) {
		switch {
		case wait && c.host.holds(c.closed):
			return none, nil, &c.host.pause.resumed
		case c.closed || c.n.closed:
			c.log.own(c.n)
			return none, net.ErrClosed, nil
		case c.in.deadline.expired():
			c.log.own(c.n)
			return none, os.ErrDeadlineExceeded, nil
		case !wait || c.tcp().Readable() > 0 || c.tcp().EOF() || c.asked.closeRead || c.sockErr.errno != 0 && !c.sockErr.reported:
			return none, nil, nil
		}
		return none, nil, &c.in.q
	})
	return err
}

type listenSocket struct {
	noSocket
	l *TCPListener
}

func (s listenSocket) Accept() (any, net.Addr, net.Addr, error) {
	c, err := s.l.AcceptTCP()
	if err != nil {
		return nil, nil, nil, bare(err)
	}
	return tcpSocket{c: c}, c.LocalAddr(), c.RemoteAddr(), nil
}

func (s listenSocket) Close() error                       { return bare(s.l.Close()) }
func (s listenSocket) SetDeadline(t time.Time) error      { return bare(s.l.SetDeadline(t)) }
func (s listenSocket) SetReadDeadline(t time.Time) error  { return bare(s.l.SetDeadline(t)) }
func (s listenSocket) SetWriteDeadline(t time.Time) error { return nil }

type udpSocket struct {
	noSocket
	u *UDPConn
}

func (s udpSocket) Read(p []byte) (int, error) {
	n, err := s.u.Read(p)
	return n, bare(err)
}

func (s udpSocket) Write(p []byte) (int, error) {
	n, err := s.u.Write(p)
	return n, bare(err)
}

func (s udpSocket) Close() error                       { return bare(s.u.Close()) }
func (s udpSocket) SetDeadline(t time.Time) error      { return bare(s.u.SetDeadline(t)) }
func (s udpSocket) SetReadDeadline(t time.Time) error  { return bare(s.u.SetReadDeadline(t)) }
func (s udpSocket) SetWriteDeadline(t time.Time) error { return bare(s.u.SetWriteDeadline(t)) }

func (s udpSocket) SetOption(function string, value int) error {
	switch function {
	case "setReadBuffer":
		return bare(s.u.SetReadBuffer(value))
	case "setWriteBuffer":
		return bare(s.u.SetWriteBuffer(value))
	}
	return s.noSocket.SetOption(function, value)
}

func (s udpSocket) Receive(p []byte, call string) (n int, from netip.AddrPort, flags int, err error) {
	n, from, cut, err := s.u.receive(p, call)
	if cut {
		flags = syscall.MSG_TRUNC
	}
	return n, from, flags, bare(err)
}

func (s udpSocket) Send(p, oob []byte, to netip.AddrPort, call string) (n int, err error) {
	switch {
	case call == "sendmsg":
		n, _, err = s.u.WriteMsgUDP(p, oob, udpAddrOf(to))
	default:
		n, err = s.u.sendTo(p, udpAddrOf(to), call)
	}
	return n, bare(err)
}
