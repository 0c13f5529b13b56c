package sim

import (
	"net"
	"syscall"
)

// MTUDiscover is what a UDP socket does about datagrams that are too big for the path to their destination:
// Linux's socket options IP_MTU_DISCOVER and IPV6_MTU_DISCOVER, which [UDPConn.SetMTUDiscover] sets.
type MTUDiscover uint8

const (
	// MTUDiscoverWant is the default (IP_PMTUDISC_WANT). The host fragments datagrams larger than the path's
	// MTU, as far as it knows it. Routers may not fragment the others. So the first datagram to a narrower
	// path is lost.
	MTUDiscoverWant MTUDiscover = iota
	// MTUDiscoverDo forbids all fragmentation (IP_PMTUDISC_DO), as QUIC needs it. A datagram larger than the
	// path's MTU, as far as the host knows it, is refused with EMSGSIZE.
	MTUDiscoverDo
	// MTUDiscoverDont lets routers fragment (IP_PMTUDISC_DONT), as IPv4 was first meant. Over IPv6 they never
	// do. The socket learns nothing of datagrams that were too big.
	MTUDiscoverDont
	// MTUDiscoverProbe also forbids all fragmentation (IP_PMTUDISC_PROBE), and ignores what the host knows of
	// the path: EMSGSIZE refuses only datagrams larger than the MTU of the host's own link.
	MTUDiscoverProbe
)

// SetMTUDiscover sets what happens to datagrams that are too big, for both families. Programs normally do
// this by SyscallConn and setsockopt, which a simulated socket does not have, so they need a hook here. A
// value that is not declared is refused with EINVAL, as are Linux's two for name servers
// (IP_PMTUDISC_INTERFACE, IP_PMTUDISC_OMIT).
func (u *UDPConn) SetMTUDiscover(m MTUDiscover) error {
	return u.setError(get(u.n, func() error {
		switch {
		case u.closed:
			return net.ErrClosed
		case m > MTUDiscoverProbe:
			return sysError("setsockopt", syscall.EINVAL)
		}
		u.discover = m
		return nil
	}))
}

// cuts reports whether the host itself fragments what is too big.
func (m MTUDiscover) cuts() bool { return m == MTUDiscoverWant || m == MTUDiscoverDont }

// mtu returns the size of the largest packet that a socket believes to pass the path (ip_sk_use_pmtu).
func (m MTUDiscover) mtu(p *path, now int64) int {
	if m == MTUDiscoverProbe {
		return p.pipes()[0].mtu
	}
	return p.mtu(now)
}

// forbids reports whether routers must not fragment a packet, which fits the MTU or not (ip_dont_fragment,
// __ip_make_skb). IPv6 routers never fragment.
func (m MTUDiscover) forbids(p *path, now int64, fits bool) bool {
	switch {
	case p.six && fits, !m.cuts():
		return true
	case m == MTUDiscoverDont:
		return false
	}
	return fits && !p.mayCut(now)
}
