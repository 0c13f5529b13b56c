package sim

import (
	"fmt"
	"syscall"
)

// HostLimits are what the operating system of a host allows its processes: see [Host.SetLimits]. Zero fields stand
// for the defaults.
type HostLimits struct {
	// Descriptors is how many sockets the host's processes have open at most: listeners, UDP sockets,
	// connections until they are closed (not those that wait to be accepted), attempts to connect. One
	// more fails with EMFILE, as with Linux's RLIMIT_NOFILE: to dial, to listen, and to accept, even if there is nothing to
	// accept; the connection stays in the backlog. package net/http's Server then waits, for up to
	// 1 s, and accepts again. Files and pipes are not counted. Default: no limit.
	Descriptors int

	// FirstPort and LastPort are the ephemeral ports, Linux's net.ipv4.ip_local_port_range. When all are taken, a dial fails
	// with EADDRNOTAVAIL (TCP, for each destination) or EAGAIN (UDP), and so does with EADDRINUSE what listens on port
	// 0. Defaults 32768 and 60999.
	FirstPort, LastPort uint16

	// CPUs is how many processors the host has for [Host.Work]. Default: one for each piece of work.
	CPUs int

	// Slowdown is how many times longer [Host.Work] takes, up to 1000: a slow or throttled computer. Default 1.
	Slowdown int
}

// Linux's default net.ipv4.ip_local_port_range.
const (
	firstEphemeral = 32768
	lastEphemeral  = 60999
)

// portRange is the ephemeral ports of a host.
type portRange struct {
	first, last uint16
	fault       *Fault // that there are few; nil if they are the default
}

func (r *portRange) count() uint64 { return uint64(r.last-r.first) + 1 }

// nth returns a port by its number, which wraps around.
func (r *portRange) nth(i uint64) uint16 { return uint16(uint64(r.first) + i%r.count()) }

// exhausted is 0, for no port.
func (r *portRange) exhausted() uint16 {
	if r.fault != nil {
		r.fault.hit(r.fault.n.now())
	}
	return 0
}

// descriptors are the open sockets of a host's processes.
type descriptors struct {
	limit *Fault // nil without one
	most  int
	open  int
	epoch uint32 // changes when the processes end, and all their descriptors with them
}

// A descriptor is the epoch of one that is open, or 0.
type descriptor uint32

// full says whether there can be no more. The lock is held.
func (d *descriptors) full() bool {
	if d.limit == nil || d.open < d.most {
		return false
	}
	d.limit.hit(d.limit.n.now())
	return true
}

func (d *descriptors) take() descriptor {
	d.open++
	return descriptor(d.epoch + 1)
}

// free closes a descriptor, if it is open.
func (d *descriptors) free(fd *descriptor) {
	if *fd == descriptor(d.epoch+1) {
		d.open--
	}
	*fd = 0
}

// end closes all.
func (d *descriptors) end() { d.open, d.epoch = 0, d.epoch+1 }

// SetLimits changes the limits of h. What is open stays so; what is above a new limit counts. It panics if l is not
// valid.
func (h *Host) SetLimits(l HostLimits) {
	h.must("SetLimits")
	h.n.mustSimulate("SetLimits")
	if l.Descriptors < 0 {
		panic(fmt.Sprintf("sim: host %s: SetLimits: HostLimits.Descriptors = %d: must not be negative", h.name, l.Descriptors))
	}
	if l.CPUs < 0 {
		panic(fmt.Sprintf("sim: host %s: SetLimits: HostLimits.CPUs = %d: must not be negative", h.name, l.CPUs))
	}
	if l.Slowdown < 0 || l.Slowdown > 1000 {
		panic(fmt.Sprintf("sim: host %s: SetLimits: HostLimits.Slowdown = %d: must be from 1 to 1000, or 0 for 1", h.name, l.Slowdown))
	}
	ports := portRange{first: l.FirstPort, last: l.LastPort}
	if ports.first == 0 {
		ports.first = firstEphemeral
	}
	if ports.last == 0 {
		ports.last = lastEphemeral
	}
	if ports.last < ports.first {
		panic(fmt.Sprintf("sim: host %s: SetLimits: HostLimits.LastPort = %d: must be at least FirstPort, %d", h.name, ports.last, ports.first))
	}
	h.n.do(func() {
		h.fds.limit, h.fds.most = nil, l.Descriptors
		if l.Descriptors > 0 {
			h.fds.limit = h.n.fault(&h.node, fmt.Sprintf("limit of %d descriptors", l.Descriptors), "socket that was one too many")
		}
		if ports != (portRange{first: firstEphemeral, last: lastEphemeral}) {
			ports.fault = h.n.fault(&h.node, fmt.Sprintf("ephemeral ports %d to %d", ports.first, ports.last), "socket without a port")
		}
		h.table.ports, h.table.nextPort = ports, ports.first
		h.cpu.limit(l.CPUs, max(l.Slowdown, 1))
	})
}

// errTooManyFiles is the failure of a system call that would make a descriptor.
func errTooManyFiles(call string) error { return sysError(call, syscall.EMFILE) }
