package sim

import (
	"cmp"
	"net/netip"
	"slices"
	"syscall"

	"github.com/squall-sim/squall/sim/internal/tcp"
)

// Addresses that stand for several hosts. Every host is in the groups of all nodes.
var (
	limitedBroadcast  = netip.AddrFrom4([4]byte{255, 255, 255, 255})
	directedBroadcast = netip.AddrFrom4([4]byte{10, 255, 255, 255})
	hostsPrefix       = netip.MustParsePrefix("10.0.0.0/8") // of the addresses that hosts get
	allNodes          = netip.AddrFrom4([4]byte{224, 0, 0, 1})
	allNodes6         = netip.MustParseAddr("ff02::1")
)

// several reports whether an address stands for several hosts.
func several(a netip.Addr) bool {
	return a.IsMulticast() || a == limitedBroadcast || a == directedBroadcast
}

// How the trace marks a datagram for several hosts, in place of TCP's flags.
const (
	toGroup = iota + 1
	toBroadcast
)

var severalKinds = [...]string{toGroup: "multicast", toBroadcast: "broadcast"}

// kindOfSeveral says how an address stands for several hosts; 0: it does not.
func kindOfSeveral(a netip.Addr) uint8 {
	switch {
	case a.IsMulticast():
		return toGroup
	case several(a):
		return toBroadcast
	}
	return 0
}

// A branch is the path to one of the hosts that a datagram for several hosts reaches.
type branch struct {
	to   netip.AddrPort
	host *Host
}

// A departure is a datagram that leaves on a branch; refused says that its sender's own link rejects it.
type departure struct {
	branch
	way     *path
	refused bool
}

// neighbours returns the hosts of h's segment: those that a link joins with h, and those of its zone that the
// default path joins with h. Datagrams for several hosts do not pass routers, which would have to be told to
// pass them on.
func (h *Host) neighbours() (all []*Host) {
	for _, o := range h.n.names.inOrder {
		switch joined := h.n.wires.linked[nodes{&h.node, &o.node}] != nil; {
		case o == h:
		case joined, h.zone == o.zone && h.n.wires.shortest(&h.node, &o.node) == nil:
			all = append(all, o)
		}
	}
	slices.SortFunc(all, func(a, b *Host) int { return cmp.Compare(a.name, b.name) })
	return all
}

// branches returns the paths of a datagram that h sends to several hosts from one of its addresses, the path
// to h itself first. The loopback is a segment of its own, on which a host is in no group.
func (h *Host) branches(from netip.Addr, to netip.AddrPort) (all []departure) {
	if from.IsLoopback() && to.Addr().IsMulticast() {
		return nil
	}
	all = append(all, departure{branch{to, h}, h.n.path(&h.node, &h.node, to.Addr()), false})
	if from.IsLoopback() || to.Addr().IsInterfaceLocalMulticast() {
		return all
	}
	for _, o := range h.neighbours() {
		all = append(all, departure{branch{to, o}, h.n.path(&h.node, &o.node, to.Addr()), false})
	}
	return all
}

// sourceForSeveral returns the address from which h sends to several hosts. For a broadcast to a prefix it is
// one of that prefix.
func (h *Host) sourceForSeveral(to netip.Addr) netip.Addr {
	if to == directedBroadcast {
		if i := slices.IndexFunc(h.addresses.list, hostsPrefix.Contains); i >= 0 {
			return h.addresses.list[i]
		}
		return netip.Addr{}
	}
	return h.sourceFor(to)
}

// mayReach returns the error with which a host's routing table refuses an address of several hosts, or 0.
func (h *Host) mayReach(from, to netip.Addr) syscall.Errno {
	switch {
	case !from.IsValid():
		return syscall.ENETUNREACH
	case from.Is4() && from.IsLoopback() && to == directedBroadcast:
		return syscall.EINVAL // the other two kinds are sent on the loopback itself
	case h.addresses.gone && !h.owns(from):
		return syscall.ENETUNREACH
	}
	return 0
}

// connectToSeveral is connect for an address that stands for several hosts.
func (u *UDPConn) connectToSeveral(remote netip.Addr) error {
	from := u.local.Addr()
	if from.IsUnspecified() || several(from) {
		from = u.host.sourceForSeveral(remote)
	}
	if errno := u.host.mayReach(from, remote); errno != 0 {
		return sysError("connect", errno)
	}
	u.setSource(from)
	return nil
}

// queueForSeveral is queue for a datagram to several hosts.
func (u *UDPConn) queueForSeveral(p []byte, source netip.Addr, to netip.AddrPort, call string) error {
	h := u.host
	if errno := h.mayReach(source, to.Addr()); errno != 0 {
		return sysError(call, errno)
	}
	all := h.branches(source, to)
	mtu, least, errno, open := never, never, syscall.Errno(0), len(all) <= 1
	for i := range all {
		d := &all[i]
		least = min(least, d.way.lookahead())
		if d.host == h {
			continue
		}
		mtu = min(mtu, int64(u.discover.mtu(d.way, u.n.now())))
		if refused := d.way.refusal(); refused != 0 {
			d.refused, errno = true, refused
		} else {
			open = true
		}
	}
	switch {
	case !u.discover.cuts() && int64(headerOf(to.Addr())+udpHeader+len(p)) > mtu:
		return sysError(call, syscall.EMSGSIZE)
	case open && u.err != 0:
		return sysError(call, u.takeError())
	case len(all) == 0:
		return nil
	}
	u.sent++
	data, by, discover, silent := make([]byte, len(p)), u.n.moment(), u.discover, u.groups.silent && to.Addr().IsMulticast()
	tcp.CopyBytes(data, p)
	u.n.submit(operation{
		host: h, kind: opDatagram, dest: u.identity(), n: uint64(u.local.Port())<<48 | u.sent,
		run: func(now int64) {
			h.missesGroup(to.Addr(), all)
			from := datagram{from: netip.AddrPortFrom(source, u.local.Port()), by: by, data: data}
			for _, d := range all {
				if d.host != h || !silent && (!to.Addr().IsMulticast() || h.inGroup(to.Addr())) {
					u.transmit(now, from, to, u.flowOn(d), discover, d.refused)
				}
			}
		},
	}, least)
	if !open {
		return sysError(call, errno)
	}
	return nil
}

// An unheard group is one to which a host has sent, and which another host is in that it cannot reach.
type unheard struct {
	from, to *Host
	group    netip.Addr
}

// missesGroup records the hosts that are in a group and get nothing of what h sends to it, since routers lie
// between. A user who expects otherwise would look for the mistake everywhere else.
func (h *Host) missesGroup(group netip.Addr, reached []departure) {
	if !group.IsMulticast() || group == allNodes || group == allNodes6 || group.IsInterfaceLocalMulticast() {
		return
	}
	n := h.n
	for _, o := range n.names.inOrder {
		missed := unheard{h, o, group}
		if len(n.log.unheard) < mostIdle && o != h && o.inGroup(group) && !slices.ContainsFunc(reached, func(d departure) bool { return d.host == o }) &&
			!slices.Contains(n.log.unheard, missed) {
			n.log.unheard = append(n.log.unheard, missed)
		}
	}
}

// flowOn returns the flow of a socket on a branch.
func (u *UDPConn) flowOn(d departure) *flow {
	if u.groups.flows == nil {
		u.groups.flows = map[branch]*flow{}
	}
	f := u.groups.flows[d.branch]
	if f == nil {
		f = &flow{path: d.way, id: flowID(protoUDP, u.local.Port(), d.to.Port())}
		u.groups.flows[d.branch] = f
	}
	return f
}
