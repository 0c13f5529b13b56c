package sim

import (
	"net"
	"syscall"
)

// MTUDiscover is what a UDP socket does about datagrams that are too big for the path to their destination: the socket
// options IP_MTU_DISCOVER and IPV6_MTU_DISCOVER of Linux, which [UDPConn.SetMTUDiscover] sets.
type MTUDiscover uint8

const (
	// MTUDiscoverWant is the default (IP_PMTUDISC_WANT): what fits the path, as far as is known, routers may not cut, and
	// the host cuts what does not. Who sends to a narrower path loses the first datagram.
	MTUDiscoverWant MTUDiscover = iota
	// MTUDiscoverDo has nothing cut (IP_PMTUDISC_DO), as QUIC needs it: a datagram that is larger than the path's MTU,
	// as far as is known, is refused with EMSGSIZE.
	MTUDiscoverDo
	// MTUDiscoverDont lets routers cut (IP_PMTUDISC_DONT), as IPv4 was first meant. Over IPv6 they never do. The
	// socket hears nothing of datagrams that were too big.
	MTUDiscoverDont
	// MTUDiscoverProbe has nothing cut either (IP_PMTUDISC_PROBE), and pays no heed to what is known of the path: EMSGSIZE
	// refuses only what is larger than the MTU of the host's own link.
	MTUDiscoverProbe
)

// SetMTUDiscover says what becomes of datagrams that are too big, for both families. Programs do it by SyscallConn and
// setsockopt, which a simulated socket has not, and so need a hook here. A value that is not declared is refused with EINVAL,
// also those two of Linux that are for name servers (IP_PMTUDISC_INTERFACE, IP_PMTUDISC_OMIT).
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

// cuts says that a host cuts what is too big itself.
func (m MTUDiscover) cuts() bool { return m == MTUDiscoverWant || m == MTUDiscoverDont }

// mtu is the largest packet that a socket believes to pass the path (ip_sk_use_pmtu).
func (m MTUDiscover) mtu(p *path, now int64) int {
	if m == MTUDiscoverProbe {
		return p.pipes()[0].mtu
	}
	return p.mtu(now)
}

// forbids says that routers may not cut a packet, which fits the MTU or not (ip_dont_fragment, __ip_make_skb). Those of
// IPv6 never do.
func (m MTUDiscover) forbids(p *path, now int64, fits bool) bool {
	switch {
	case p.six && fits, !m.cuts():
		return true
	case m == MTUDiscoverDont:
		return false
	}
	return fits && !p.mayCut(now)
}
