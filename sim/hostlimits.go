package sim

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/squall-sim/squall/internal/count"
)

// HostLimits are what a host's operating system allows its processes: see [Host.SetLimits]. Zero fields mean
// the defaults.
type HostLimits struct {
	// Descriptors is how many sockets the host's processes can have open: listeners, UDP sockets, attempts to
	// connect, and connections until they are closed (not those that wait to be accepted). One more makes
	// dial, listen and accept fail with EMFILE, as with Linux's RLIMIT_NOFILE. Accept fails even if there is
	// nothing to accept; a connection stays in the backlog. package net/http's Server then waits, for up to
	// 1 s, and accepts again. Files and pipes do not count. Default: no limit.
	Descriptors int

	// FirstPort and LastPort are the ephemeral ports, Linux's net.ipv4.ip_local_port_range. When all are
	// taken, a dial fails with EADDRNOTAVAIL (TCP, for each destination) or EAGAIN (UDP), and listening on
	// port 0 fails with EADDRINUSE. Defaults 32768 and 60999.
	FirstPort, LastPort uint16

	// CPUs is how many processors the host has for [Host.Work]. Default: one for each piece of work.
	CPUs int

	// Slowdown is how many times longer [Host.Work] takes, up to 1000: a slow or throttled computer.
	// Default 1.
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
	fault       *Fault // fault that changed them from the default, or nil
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
	epoch uint32 // changes when the processes end, and with them all their descriptors
}

// A descriptor is the epoch in which it was opened, or 0.
type descriptor uint32

// full reports whether no more can be opened. The lock is held.
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

// SetLimits gives h these limits in place of all it has. What is open stays open, and counts, even above a
// new limit. It panics if l is not valid.
func (h *Host) SetLimits(l HostLimits) {
	h.must("SetLimits")
	h.n.mustSimulate("SetLimits")
	l.mustBeValid(h, "SetLimits")
	var each []*Fault
	for _, one := range l.each() {
		if !one.byDefault() {
			each = append(each, h.restricting(one))
		}
	}
	h.n.do(func() {
		for _, r := range h.limits {
			r.fault.over()
		}
		h.limits = nil
		h.limited()
		for _, f := range each {
			f.beginNow()
		}
	})
}

// Restrict is [Host.SetLimits] as a fault, for the fields that are not zero. When it is over, the host has
// the limits that it had before. If several such faults overlap, the one that began last decides, for each
// field separately. SetLimits ends them all. Restrict panics if l is not valid or has no field set.
//
// Its [Fault.Fired] counts each socket that its Descriptors or ports did not allow, and each piece of work
// that its CPUs or Slowdown made longer.
func Restrict(h *Host, l HostLimits) *Fault {
	h.must("Restrict")
	h.n.mustSimulate("Restrict")
	l.mustBeValid(h, "Restrict")
	if l == (HostLimits{}) {
		panic(fmt.Sprintf("sim: host %s: Restrict: HostLimits is empty: set a field", h.name))
	}
	return h.restricting(l).enlisted()
}

// mustBeValid panics unless l is valid; it names the function.
func (l *HostLimits) mustBeValid(h *Host, function string) {
	refuse := func(field string, value int, allowed string) {
		panic(fmt.Sprintf("sim: host %s: %s: HostLimits.%s = %d: %s", h.name, function, field, value, allowed))
	}
	ports := l.ports()
	switch {
	case l.Descriptors < 0:
		refuse("Descriptors", l.Descriptors, "must not be negative")
	case l.CPUs < 0:
		refuse("CPUs", l.CPUs, "must not be negative")
	case l.Slowdown < 0 || l.Slowdown > 1000:
		refuse("Slowdown", l.Slowdown, "must be from 1 to 1000, or 0 for 1")
	case ports.last < ports.first:
		refuse("LastPort", int(ports.last), fmt.Sprintf("must be at least FirstPort, %d", ports.first))
	}
}

func (l *HostLimits) ports() portRange {
	return portRange{first: cmp.Or(l.FirstPort, firstEphemeral), last: cmp.Or(l.LastPort, lastEphemeral)}
}

// each returns limits with one kind each.
func (l *HostLimits) each() []HostLimits {
	return []HostLimits{{Descriptors: l.Descriptors}, {FirstPort: l.FirstPort, LastPort: l.LastPort}, {CPUs: l.CPUs}, {Slowdown: l.Slowdown}}
}

// byDefault reports whether l, of one kind, is the default of a host.
func (l *HostLimits) byDefault() bool {
	ports := l.ports()
	return l.Descriptors == 0 && l.CPUs == 0 && l.Slowdown <= 1 && ports.first == firstEphemeral && ports.last == lastEphemeral
}

// A restriction is a fault's limits.
type restriction struct {
	fault  *Fault
	limits HostLimits
}

func (h *Host) restricting(l HostLimits) *Fault {
	var what, miss []string
	add := func(is bool, name, one string) {
		if is {
			what, miss = append(what, name), append(miss, one)
		}
	}
	ports := l.ports()
	add(l.Descriptors > 0, "limit of "+count.Of(l.Descriptors, "descriptor", "descriptors"), "socket that was one too many")
	add(l.FirstPort > 0 || l.LastPort > 0, fmt.Sprintf("ephemeral ports %d to %d", ports.first, ports.last), "socket without a port")
	add(l.CPUs > 0, "limit of "+count.Of(l.CPUs, "processor", "processors"), "piece of work that had to share them")
	add(l.Slowdown > 0, fmt.Sprintf("work takes %d times as long", l.Slowdown), "piece of work")
	f := h.n.newFault(strings.Join(what, ", "), &h.node, nil, expression{"Restrict", []any{h, l}})
	f.miss = strings.Join(miss, ", nor a ")
	f.begin = func() {
		h.limits = append(h.limits, restriction{f, l})
		h.limited()
		if h.cpu.throttled == f {
			f.hits(len(h.cpu.jobs))
		} else if h.cpu.crowded == f && len(h.cpu.jobs) > h.cpu.cores {
			f.hits(len(h.cpu.jobs))
		}
	}
	f.end = func() {
		h.limits = slices.DeleteFunc(h.limits, func(r restriction) bool { return r.fault == f })
		h.limited()
	}
	return f
}

// limited puts the limits of h into force. The lock is held.
func (h *Host) limited() {
	ports := portRange{first: firstEphemeral, last: lastEphemeral}
	h.cpu.count(h.n.now())
	h.fds.limit, h.fds.most = nil, 0
	h.cpu.crowded, h.cpu.cores, h.cpu.throttled, h.cpu.slowdown = nil, 0, nil, 1
	for _, r := range h.limits {
		if l := &r.limits; l.Descriptors > 0 {
			h.fds.limit, h.fds.most = r.fault, l.Descriptors
		}
		if l := &r.limits; l.FirstPort > 0 || l.LastPort > 0 {
			ports = l.ports()
			ports.fault = r.fault
		}
		if l := &r.limits; l.CPUs > 0 {
			h.cpu.crowded, h.cpu.cores = r.fault, l.CPUs
		}
		if l := &r.limits; l.Slowdown > 0 {
			h.cpu.throttled, h.cpu.slowdown = r.fault, l.Slowdown
		}
	}
	if now := h.table.ports; now.first != ports.first || now.last != ports.last {
		h.table.nextPort = ports.first
	}
	h.table.ports = ports
	h.cpu.arrange()
}

// errTooManyFiles is the error of a system call that would open one descriptor too many.
func errTooManyFiles(call string) error { return sysError(call, syscall.EMFILE) }
