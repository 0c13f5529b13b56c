package sim

import (
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"

	"github.com/squall-sim/squall/sim/internal/tcp"
)

// send sends a datagram by the system call of that name.
func (u *UDPConn) send(p []byte, to netip.AddrPort, call string) error {
	if to.Addr().IsUnspecified() {
		six := u.six // as Linux does with 0.0.0.0
		if to = netip.AddrPortFrom(u.local.Addr(), to.Port()); to.Addr().IsUnspecified() {
			to = netip.AddrPortFrom(loopback, to.Port())
			if six {
				to = netip.AddrPortFrom(loopback6, to.Port())
			}
		}
	}
	readsRange(p)
	return get(u.n, func() error { return u.queue(p, to, call) })
}

// queue leaves a datagram for the engine, unless it is refused at once.
func (u *UDPConn) queue(p []byte, to netip.AddrPort, call string) error {
	source := u.local.Addr()
	if source.IsUnspecified() || several(source) {
		source = u.host.sourceForSeveral(to.Addr())
	}
	switch {
	case u.closed:
		return net.ErrClosed
	case u.write.expired():
		return os.ErrDeadlineExceeded
	case len(p) > maxDatagram && (to.Addr().Is4() || len(p) > maxDatagram6):
		return sysError(call, syscall.EMSGSIZE)
	case to.Port() == 0 && !u.remote.IsValid():
		return sysError(call, syscall.EINVAL)
	case several(to.Addr()):
		return u.queueForSeveral(p, source, to, call)
	}
	way, refused := u.host.routeTo(source, to.Addr())
	switch {
	case way == nil:
		return sysError(call, refused)
	case !u.discover.cuts() && way.header+udpHeader+len(p) > u.discover.mtu(way, u.n.now()):
		return sysError(call, syscall.EMSGSIZE) // a pending error keeps waiting
	case refused == 0 && u.err != 0:
		return sysError(call, u.takeError())
	}
	u.sent++
	data := u.n.pool.payload(len(p))
	tcp.CopyBytes(data, p)
	o := taken(&u.n.pool.letters)
	*o = letter{
		u: u, datagram: datagram{from: netip.AddrPortFrom(source, u.local.Port()), by: u.n.moment(), data: data},
		to: to, way: way, discover: u.discover, refused: refused != 0,
	}
	key := uint64(u.local.Port())<<48 | u.sent
	if a := u.local.Addr(); a.Is4() && a.IsLoopback() {
		key |= 1 << 47
	}
	u.n.submit(operation{
		host: u.host, kind: opDatagram, dest: u.identity(), n: key, letter: o,
	}, way.lookahead())
	if refused != 0 {
		return sysError(call, refused)
	}
	return nil
}

// A letter is a datagram that waits for the engine. It is pooled: sending it frees it.
type letter struct {
	u *UDPConn
	datagram
	to       netip.AddrPort
	way      *path
	discover MTUDiscover
	refused  bool // its sender knows that it goes nowhere
}

func (l *letter) send(now int64) {
	o := *l
	o.u.n.pool.freeLetter(l)
	o.u.transmit(now, o.datagram, o.to, o.u.flowTo(o.to, o.way), o.discover, o.refused)
}

// identity distinguishes sockets of one port, for the order of what they send. A socket at the host's first
// address, at 0.0.0.0 or at the IPv4 loopback needs none: it is usually the only one of its port.
func (u *UDPConn) identity() string {
	switch from := u.local.Addr(); {
	case u.groups.shared:
		return from.String() + u.network + strconv.Itoa(u.groups.nth)
	case from == u.host.addr, from.IsUnspecified() && !u.six, from.Is4() && from.IsLoopback():
		return ""
	default:
		return from.String() + u.network
	}
}

// flowTo returns the flow of a socket to a destination; a new flow has the path way.
func (u *UDPConn) flowTo(to netip.AddrPort, way *path) *flow {
	f := u.flows[to]
	if f == nil {
		f = &flow{path: way, id: flowID(protoUDP, u.local.Port(), to.Port())}
		u.flows[to] = f
	}
	return f
}

// transmit sends a datagram; refused says that its sender knows that it goes nowhere.
func (u *UDPConn) transmit(now int64, d datagram, to netip.AddrPort, f *flow, m MTUDiscover, refused bool) {
	if u.host.off != nil {
		return // the power went before the datagram did
	}
	way, pkt := f.path, u.n.pool.packet(f, protoUDP, d.from, to)
	pkt.data, pkt.by, pkt.size, pkt.arp = d.data, d.by, way.header+udpHeader+len(d.data), kindOfSeveral(to.Addr())
	if refused {
		pkt.pipes = way.pipes()
		u.n.drop(now, pkt, pkt.pipes[0], "no route to host")
		return
	}
	if u.crossing != nil {
		u.crossing.met(now, pkt)
	}
	u.n.dispatchAs(m, pkt, now)
}
