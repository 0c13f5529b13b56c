package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"syscall"
)

// Loopback makes the hosts of a network that [New] makes use the operating system's TCP, over its loopback
// interface, instead of the simulated one: to check that results from the simulation hold on a real network.
// Programs need no change. A host listens on ":80" and others find it at "server:80", though its socket has a
// free port of 127.0.0.1, which is the address that sockets report.
//
// [Host.Crash] and [Host.Restart] work. Links, routers, partitions, the other faults, UDP and the resolver do
// not exist, and asking for one of them panics. There is no trace, and time is real.
func Loopback() Option {
	return func(o *options) { o.loopback = true }
}

// mustSimulate panics on a network that uses the operating system's loopback interface.
func (n *Network) mustSimulate(what string) {
	if n.conf.loopback {
		panic(fmt.Sprintf("sim: %s: it does not exist on the operating system's loopback interface (see sim.Loopback)", what))
	}
}

// machineSocket is a socket of the operating system that belongs to a host.
type machineSocket interface {
	give()
	take()
	io.Closer
	reset()
	state() string
}

// machineSockets are those of one host: open ones, and ones that its crash has yet to reset.
type machineSockets struct{ sockets, abandoned []machineSocket }

type machineListener struct {
	*net.TCPListener
	handOver
	host *Host
	at   netip.AddrPort
}

type machineConn struct {
	*net.TCPConn
	handOver
	host *Host
}

// A handOver tells the race detector that the goroutine that makes a socket comes before the one that crashes
// its host. They meet only under the network's lock, which the race detector does not see.
type handOver struct{ made atomic.Bool }

func (o *handOver) give() { o.made.Store(true) }
func (o *handOver) take() { o.made.Load() }

// adopt gives a socket to the host, if the host is up.
func (h *Host) adopt(s machineSocket) error {
	s.give()
	return get(h.n, func() error {
		switch {
		case h.n.closed:
			return net.ErrClosed
		case h.dead:
			return sysError("socket", syscall.ENETDOWN)
		}
		if l, ok := s.(*machineListener); ok {
			if h.n.names.machine[l.at].IsValid() {
				return sysError("bind", syscall.EADDRINUSE)
			}
			h.n.names.machine[l.at] = l.machineAddr()
		}
		h.machine.sockets = append(h.machine.sockets, s)
		return nil
	})
}

// release undoes adopt. The lock is held.
func (h *Host) release(s machineSocket) {
	unlistSocket(&h.machine.sockets, s)
	if l, ok := s.(*machineListener); ok && h.n.names.machine[l.at] == l.machineAddr() {
		delete(h.n.names.machine, l.at)
	}
}

// abandon takes all sockets from a host, for closeAbandoned to reset. The lock is held.
func (h *Host) abandon() {
	for h.machine != nil && len(h.machine.sockets) > 0 {
		s := h.machine.sockets[0]
		h.release(s)
		h.machine.abandoned = append(h.machine.abandoned, s)
	}
}

// closeAbandoned resets what abandon took. The lock is not held.
func (h *Host) closeAbandoned() {
	for h.n.conf.loopback {
		s := get(h.n, func() (s machineSocket) {
			if len(h.machine.abandoned) > 0 {
				s, h.machine.abandoned = h.machine.abandoned[0], h.machine.abandoned[1:]
			}
			return s
		})
		if s == nil {
			return
		}
		s.take()
		s.reset()
	}
}

// machineAddr is the address at which the operating system listens.
func (l *machineListener) machineAddr() netip.AddrPort {
	return l.TCPListener.Addr().(*net.TCPAddr).AddrPort()
}

func unlistSocket(all *[]machineSocket, s machineSocket) {
	for i, other := range *all {
		if other == s {
			*all = append((*all)[:i], (*all)[i+1:]...)
			return
		}
	}
}

func (h *Host) machineListen(network string, local netip.AddrPort) (net.Listener, error) {
	if local.Addr().Is6() && !local.Addr().IsUnspecified() {
		h.n.mustSimulate("IPv6")
	}
	if local.Addr().IsUnspecified() {
		local = netip.AddrPortFrom(h.addr, local.Port())
	}
	tcp, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	if local.Port() == 0 {
		local = netip.AddrPortFrom(local.Addr(), uint16(tcp.Addr().(*net.TCPAddr).Port))
	}
	l := &machineListener{TCPListener: tcp, host: h, at: local}
	if err := h.adopt(l); err != nil {
		tcp.Close()
		return nil, opError("listen", network, nil, net.TCPAddrFromAddrPort(local), err)
	}
	return l, nil
}

func (d *Dialer) machineDial(ctx context.Context, network string, named netip.AddrPort) (net.Conn, error) {
	h := d.host
	if d.LocalAddr != nil {
		h.n.mustSimulate("Dialer.LocalAddr")
	}
	dest, _, _ := d.ends(network, named)
	at, err := try(h.n, func() (netip.AddrPort, error) {
		if h.dead {
			return netip.AddrPort{}, sysError("socket", syscall.ENETDOWN)
		}
		return h.n.names.machine[dest], nil
	})
	switch {
	case err != nil:
		return nil, opError("dial", network, nil, net.TCPAddrFromAddrPort(dest), err)
	case !at.IsValid() && dest.Addr().IsLoopback(): // as a listener reports it
		at = dest
	case !at.IsValid():
		return nil, opError("dial", network, nil, net.TCPAddrFromAddrPort(dest), sysError("connect", syscall.ECONNREFUSED))
	}
	machine := net.Dialer{KeepAlive: d.KeepAlive, KeepAliveConfig: d.KeepAliveConfig}
	conn, err := machine.DialContext(ctx, "tcp4", at.String())
	if err != nil {
		return nil, err
	}
	c := &machineConn{TCPConn: conn.(*net.TCPConn), host: h}
	if err := h.adopt(c); err != nil {
		conn.Close()
		return nil, opError("dial", network, nil, net.TCPAddrFromAddrPort(dest), err)
	}
	return c, nil
}

// Accept implements [net.Listener].
func (l *machineListener) Accept() (net.Conn, error) {
	tcp, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	c := &machineConn{TCPConn: tcp, host: l.host}
	if err := l.host.adopt(c); err != nil {
		c.reset()
		return nil, opError("accept", "tcp", nil, l.Addr().(*net.TCPAddr), net.ErrClosed)
	}
	return c, nil
}

// Close implements [net.Listener].
func (l *machineListener) Close() error {
	l.host.n.do(func() { l.host.release(l) })
	return l.TCPListener.Close()
}

func (l *machineListener) reset() { l.TCPListener.Close() }

func (l *machineListener) state() string {
	return l.host.name + ":" + strconv.Itoa(int(l.at.Port())) + "\t*\tLISTEN"
}

// Close implements [net.Conn].
func (c *machineConn) Close() error {
	c.host.n.do(func() { c.host.release(c) })
	return c.TCPConn.Close()
}

// reset makes the peer read ECONNRESET.
func (c *machineConn) reset() {
	if err := c.SetLinger(0); err != nil && errors.Is(err, net.ErrClosed) {
		return
	}
	c.TCPConn.Close()
}

func (c *machineConn) state() string {
	return c.LocalAddr().String() + "\t" + c.RemoteAddr().String() + "\tESTABLISHED"
}
