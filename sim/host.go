package sim

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/squall-sim/squall/sim/internal/tcp"
)

// A Host is a computer on the network: an operating system with an address, and the processes on it. It
// listens and dials as package net does.
type Host struct {
	node
	hardware
	addresses addresses
	conf      *tcp.Config
	conf6     *tcp.Config // the same for IPv6; nil until it is needed
	table     socketTable
	dials     dials
	resent    int          // retransmitted segments of its connections
	fragments *reassembler // nil before the first fragment
	access    access
	closings  closings
	resolver  hostResolver
	fds       descriptors

	off    ongoing // no power: nothing is sent or answered
	dead   bool    // the processes are gone
	downs  ongoing // it is dead as long as one of these lasts
	booted int     // how often
	pause  pause
	programs

	machine *machineSockets // nil except with Loopback
}

// hardware is what a host has besides its access link.
type hardware struct {
	clock *Clock // nil if nobody asked for it
	cpu   cpu
	card  *card // nil if it has never coalesced

	limits []restriction // in the order in which they began
	disk   string        // its folder; "" before the first use
}

// programs are what runs on a host.
type programs struct {
	processes []*process
	running   int       // number running when ended ones were last removed
	runs      *identity // all of them; nil if they are gone
	spared    bool      // SQUALL_FAULTS left out a crash, so the restart that mends it is left out too
}

// A socketTable is the sockets of a host.
type socketTable struct {
	conns     connTable
	listeners byPort[*TCPListener]
	udp       byPort[*UDPConn]
	ports     portRange
	nextPort  uint16
	crossings []uint16 // ports of cross traffic
}

// dials are the attempts of a host to connect.
type dials struct {
	count    int       // by TCP, to anywhere
	tcp, udp perTarget // to each destination, by TCP and by UDP
	open     []*dialing
}

// An access is the access link of a host; nil without.
type access struct{ up, down *pipe }

// A pause is what waits for the processes of a paused host to resume.
type pause struct {
	faults    ongoing // nil if the host is not paused
	resumedBy moment
	resumed   waitq      // calls that the pause holds back
	wakes     []wake     // what the processes must still be woken for
	conns     []*TCPConn // and what they asked for
	ops       []operation
	asleep    []waking // sockets made during the pause: not yet reachable
	leaving   []leaver // sockets closed during the pause: others cannot tell yet
}

//go:norace
func newHost(n *Network, name string, number int) *Host {
	h := &Host{
		node: node{n: n, made: n.moment(), name: name, hash: hashString(name), addr: addrOfHost(number)},
		conf: n.conf.tcp,
		table: socketTable{
			ports:    portRange{first: firstEphemeral, last: lastEphemeral},
			nextPort: firstEphemeral,
		},
	}
	h.host = h
	h.runs = newIdentity(h)
	h.addresses.list = []netip.Addr{h.addr}
	if n.conf.ipv6 {
		h.addresses = addresses{list: append(h.addresses.list, addr6OfHost(number)), ipv6: true}
	}
	h.cpu = cpu{host: h, event: plan(never), slowdown: 1}
	if n.conf.loopback {
		h.machine = new(machineSockets)
	}
	n.log.trace.addNode(&h.node)
	return h
}

// must panics if h is not a host; it names the method.
func (h *Host) must(method string) {
	if h == nil || h.n == nil {
		panic("sim: Host." + method + ": the host is nil, or was not made by Network.Host")
	}
}

// SetTCP sets the TCP settings of connections that h opens or accepts from now on. It panics if cfg is not
// valid.
func (h *Host) SetTCP(cfg TCPConfig) {
	h.must("SetTCP")
	c, err := cfg.complete()
	if err != nil {
		panic(fmt.Sprintf("sim: host %s: SetTCP: %v", h.name, err))
	}
	h.n.do(func() { h.conf, h.conf6 = c, nil })
}

// config returns the TCP settings for connections to an address.
func (h *Host) config(to netip.Addr) *tcp.Config {
	if to.Is4() {
		return h.conf
	}
	if h.conf6 == nil {
		h.conf6 = h.conf.ForIPv6()
	}
	return h.conf6
}

// Crash kills all processes of h while its operating system lives on. Their sockets are reset, so that peers
// read ECONNRESET. The operating system answers later packets with RST and refuses attempts to connect. (When
// Linux kills a process, it sends FIN instead of RST where all data had been read. A program must survive the
// harsher of the two.)
//
// Crash cancels the context of each [Host.Run]. Blocked calls of the program on the host's sockets return
// [net.ErrClosed], and new ones fail with ENETDOWN until [Host.Restart]. On a host that is already down,
// Crash does nothing.
func (h *Host) Crash() {
	h.must("Crash")
	defer h.closeAbandoned()
	f := h.crashing()
	h.n.do(func() { h.down(f, !h.dead) })
}

// down begins a fault that takes h down, unless SQUALL_FAULTS leaves it out.
func (h *Host) down(f *Fault, begins bool) {
	if begins {
		f.beginNow()
		h.spared = f.leftOut
	}
}

// PowerOff is [Host.Crash] without a reset from the operating system: the host falls silent, and its peers
// find out by their own timeouts, or by [Link.ARP].
func (h *Host) PowerOff() {
	h.must("PowerOff")
	h.n.mustSimulate("PowerOff")
	f := h.darkening()
	h.n.do(func() { h.down(f, h.off == nil) })
}

// kill ends the host's processes and sockets.
func (h *Host) kill(f *Fault, reset bool) {
	now := h.n.now()
	h.dead, h.runs = true, nil
	h.closings.ended(h.n.moment())
	h.fds.end()
	h.resolver.kept = nil
	h.cpu.end()
	h.abandon()
	if h.pause.faults != nil {
		h.goOn()
	}
	h.forgetEnded()
	for _, p := range h.processes {
		p.call(p.stop)
		f.hit(now)
	}
	f.hits(h.shutSockets())
	for _, c := range h.connections() {
		c.kill(reset)
		f.hit(now)
	}
	for _, d := range h.attempts() {
		d.finish(net.ErrClosed)
	}
	h.table.listeners.clear()
	h.table.udp.clear()
	if !reset {
		h.table.conns.clear()
		h.resent = 0
	}
	h.n.wakeAt(atOnce) // waiting calls return now, however far off the next event is
}

// attempts returns the undecided attempts to connect, in a fixed order.
func (h *Host) attempts() []*dialing {
	return slices.SortedFunc(slices.Values(h.dials.open), func(a, b *dialing) int {
		return cmp.Or(a.dest.Compare(b.dest), cmp.Compare(a.nth, b.nth))
	})
}

// connections returns the connections of h in the order in which they were made.
func (h *Host) connections() []*TCPConn {
	return slices.SortedFunc(h.table.conns.all(), byID)
}

func byID(a, b *TCPConn) int { return cmp.Compare(a.id, b.id) }

// Restart starts a host again after [Host.Crash] or [Host.PowerOff]. Its memory is empty, it has no
// connections, and its processes ([Host.Run], [Host.ServeHTTP]) run anew. A running host crashes first.
func (h *Host) Restart() {
	h.must("Restart")
	defer h.closeAbandoned()
	f := h.crashing()
	h.n.do(func() {
		if h.n.closed {
			return
		}
		if !h.dead && h.spared {
			h.spared = false
			return
		}
		if !h.dead {
			if f.beginNow(); f.leftOut {
				return
			}
		}
		h.downs.clear()
		h.off = nil
		h.boot()
	})
}

// boot starts a host again.
func (h *Host) boot() {
	h.dead, h.runs = false, newIdentity(h)
	h.booted++
	h.n.note(&h.node, nil, "restart")
	for _, p := range h.processes {
		if !p.hasRun() {
			p.call(p.start)
		}
	}
}

func (h *Host) boots() int { return get(h.n, func() int { return h.booted }) }

// Pause freezes the processes of h until [Host.Resume], like SIGSTOP, as far as the network can see. They
// receive and send nothing. The operating system still acknowledges what arrives, until the receive buffers
// are full.
//
// Goroutines and timers do not stop. Calls that wait for the network keep waiting. Other calls return, but
// take effect only after Resume: if they blocked as well, a library that holds a lock across a Close would
// stop the clock. For the same reason calls on a socket that the program closes return at once.
func (h *Host) Pause() {
	h.must("Pause")
	h.n.mustSimulate("Pause")
	f := h.freezing()
	h.n.do(func() {
		if h.pause.faults == nil && !h.dead {
			f.beginNow()
		}
	})
}

// Resume undoes [Host.Pause].
func (h *Host) Resume() {
	h.must("Resume")
	h.n.do(func() {
		if h.pause.faults != nil {
			h.n.note(&h.node, nil, "resume")
			h.resume()
		}
	})
}

// A socket of a paused host exists at once for the program, and for the network once the host resumes.
type (
	waking interface{ wakeUp() }
	leaver interface{ leave() }
)

// resume lets paused processes go on.
func (h *Host) resume() {
	h.pause.resumedBy = h.n.moment()
	h.goOn()
}

// goOn ends all pauses, and lets everything happen that they put off.
func (h *Host) goOn() {
	h.cpu.count(h.n.now())
	h.pause.faults.clear()
	h.cpu.arrange()
	for _, s := range h.pause.leaving {
		s.leave()
	}
	for _, s := range h.pause.asleep {
		s.wakeUp()
	}
	h.pause.leaving, h.pause.asleep = nil, nil
	held := h.pause.wakes
	h.pause.wakes = nil
	for _, w := range held {
		h.n.wake(w)
	}
	h.n.calls.pending.conns = append(h.n.calls.pending.conns, h.pause.conns...)
	h.n.calls.pending.other = append(h.n.calls.pending.other, h.pause.ops...)
	h.pause.conns, h.pause.ops = nil, nil
	h.n.calls.pending.at = h.n.now()
	h.n.wakeAt(atOnce)
	h.pause.resumed.release()
}

// holds reports whether a call that waits for the network must wait until the processes of h go on. It need
// not if its socket is closed: whoever waits for the end of that call may hold a lock.
func (h *Host) holds(socketClosed bool) bool {
	switch {
	case socketClosed || h.n.closed:
		return false
	case h.pause.faults == nil:
		h.n.reveal(h.pause.resumedBy)
		return false
	}
	h.pause.faults.hit(h.n.now())
	return true
}

// shutSockets closes the sockets that belong to no connection, and counts them.
func (h *Host) shutSockets() int {
	listeners, udp := h.table.listeners.all(), h.table.udp.all()
	for _, l := range listeners {
		l.shut()
	}
	for _, u := range udp {
		u.shut()
	}
	return len(listeners) + len(udp)
}
