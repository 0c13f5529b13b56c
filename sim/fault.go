package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/squall-sim/squall/internal/count"
)

// A Fault is something that goes wrong for a while: a link is down, a host has crashed, the third packet with
// data is lost. A fault is a value. The functions listed below make one, which does nothing yet.
// [Network.Inject] schedules when it begins and ends. Begin and End act at once, and suit [Network.After].
// Each fault counts what it met, that is, what it affected ([Fault.Fired]). The report of a failed test names
// the faults that met nothing, and why.
//
// Methods such as [Link.Down] and [Host.Crash] make such a fault and begin it at once. [Link.Up],
// [Host.Restart] and the like end all faults of their kind at that place. Link.Down, DownFrom, Unplug and
// Reject do so too, since they replace each other. If several faults overlap, the place stays disturbed as
// long as one of them lasts.
type Fault struct {
	n    *Network
	what string   // its name in the trace
	at   [2]*node // the nodes concerned; nil: none in particular
	made expression

	begin, end func()        // with the lock held
	afterwards func()        // after both, without the lock
	own        custom        // the program's functions instead
	miss       string        // what did not happen, for the report
	nearly     func() string // and how close it came; nil: nothing more is known
	pipes      []*pipe       // directions of links that it acts on
	parts      []*Fault      // faults that it is made of
	spell      spell         // the current or last one
	state      faultState
	fired      Fired
	must       bool
	told       bool // the test has been told that it met nothing though it must
	leftOut    bool // SQUALL_FAULTS leaves it out
	spans      spans
}

// Spans are the times during which [Network.Inject] makes a fault last.
type spans struct {
	open    int  // times that have begun and not ended
	endless bool // one of them has no end
}

// A custom fault is made of functions of the program.
type custom struct{ begin, end func() }

type faultState uint8

const (
	faultMade faultState = iota // it has never begun
	faultLasts
	faultOver
)

// A spell is the time from the last beginning of a fault to its end.
type spell struct {
	begun, over time.Duration
	before      int64 // packets that had arrived at its pipes when it began
	came        int64 // and those that arrived during it, once it is over
}

// Fired is the evidence of what a fault met.
type Fired struct {
	Count       int           // what it met: packets, and on hosts also connections, sockets, processes and calls
	Packets     int           // how many of those are packets
	Bytes       int64         // and their size, IP headers included
	First, Last time.Duration // when, since the network was made; zero if Count is
}

// newFault makes a fault that has not begun. Its functions run with the lock held.
func (n *Network) newFault(what string, a, b *node, made expression) *Fault {
	return &Fault{n: n, what: what, at: [2]*node{a, b}, made: made}
}

// enlist makes f known to the network. The lock is held.
func (f *Fault) enlist() {
	n := f.n
	n.log.faults = append(n.log.faults, f)
	f.leftOut = n.conf.faults.leavesOut(len(n.log.faults))
}

// enlisted makes f known to the network, and returns it.
func (f *Fault) enlisted() *Fault {
	f.n.do(f.enlist)
	return f
}

// beginNow makes a fault known and begins it at once. The lock is held.
func (f *Fault) beginNow() {
	if !f.n.closed {
		f.enlist()
		f.start()
	}
}

// fault begins a fault of a host or router that is not a value of the program. miss is what the fault meets.
// The lock is held.
func (n *Network) fault(at *node, what, miss string) *Fault {
	f := n.newFault(what, at, nil, expression{})
	f.miss = miss
	f.beginNow()
	return f
}

// NewFault makes a fault from two functions of the program, such as a disk that is full. begin breaks
// something; end, which may be nil, repairs it. They run on the goroutine that calls Begin or End. The fault
// counts as fired each time it begins. NewFault panics if name is empty or begin is nil.
func NewFault(n *Network, name string, begin, end func()) *Fault {
	switch {
	case n == nil:
		panic("sim: NewFault: the network is nil")
	case name == "":
		panic("sim: NewFault: the name is empty")
	case begin == nil:
		panic(fmt.Sprintf("sim: NewFault(%q): begin must not be nil", name))
	}
	f := n.newFault(name, nil, nil, expression{"NewFault", []any{n, name}})
	f.own = custom{begin, end}
	return f.enlisted()
}

// Name returns where the fault is and what it is, as reports show it: "phone - server: link down".
func (f *Fault) Name() string {
	switch {
	case f.at[1] != nil:
		return f.at[0].name + " - " + f.at[1].name + ": " + f.what
	case f.at[0] != nil:
		return f.at[0].name + ": " + f.what
	}
	return f.what
}

// String returns the name.
func (f *Fault) String() string { return f.Name() }

// Begin begins the fault now. A fault that is already active goes on; one that is over begins again. It lasts
// until End, or until the end of a time for which it was injected.
func (f *Fault) Begin() {
	started := get(f.n, f.start)
	if started && f.own.begin != nil {
		f.own.begin()
	}
	if f.afterwards != nil {
		f.afterwards()
	}
}

// End ends the fault now if it is active, however long it was injected for.
func (f *Fault) End() {
	stopped := get(f.n, f.stop)
	if stopped && f.own.end != nil {
		f.own.end()
	}
	if f.afterwards != nil {
		f.afterwards()
	}
}

// start is the part of Begin that needs the lock. It reports whether the fault was not already active.
func (f *Fault) start() bool {
	n := f.n
	if n.closed || f.leftOut || f.state == faultLasts {
		return false
	}
	f.state = faultLasts
	f.spell = spell{begun: time.Duration(n.now()), before: f.came()}
	n.note(f.at[0], f.at[1], f.what)
	if n.log.film != nil {
		n.log.film.begins(f)
	}
	if f.begin != nil {
		f.begin()
	}
	if f.own.begin != nil && f.parts == nil {
		f.hit(n.now())
	}
	return true
}

// stop is the part of End that needs the lock. It reports whether the fault was active.
func (f *Fault) stop() bool {
	n := f.n
	if n.closed || f.state != faultLasts {
		return false
	}
	f.over()
	n.note(f.at[0], f.at[1], f.what+", over")
	if f.end != nil {
		f.end()
	}
	return true
}

// over records that f is no longer active.
func (f *Fault) over() {
	f.state, f.spans.endless = faultOver, false
	f.spell.over = time.Duration(f.n.now())
	f.spell.came = f.came() - f.spell.before
	if f.n.log.film != nil {
		f.n.log.film.ends(f)
	}
}

// came returns how many packets have arrived at the pipes of f.
func (f *Fault) came() (sum int64) {
	for _, p := range f.pipes {
		sum += p.came()
	}
	return sum
}

// hit counts one thing that f met and that is not a packet.
func (f *Fault) hit(now int64) {
	if f.fired.Count == 0 {
		f.fired.First = time.Duration(now)
	}
	f.fired.Count++
	f.fired.Last = time.Duration(now)
}

// hits counts several such things.
func (f *Fault) hits(count int) {
	for range count {
		f.hit(f.n.now())
	}
}

// met counts a packet.
func (f *Fault) met(now int64, pkt *packet) {
	f.hit(now)
	f.fired.Packets++
	f.fired.Bytes += int64(pkt.size)
}

// Fired returns what the fault has met so far, in all the times that it was active.
func (f *Fault) Fired() Fired { return get(f.n, f.firings) }

// MustFire makes the test fail if the fault meets nothing, as [Strict] does for all faults. It returns f.
func (f *Fault) MustFire() *Fault {
	f.n.do(func() { f.must = true })
	return f
}

// Code returns the Go expression that makes the fault, such as sim.Down(link). names returns the expression
// for a [*Network], [*Host], [*Router], [*Link] or [*NameServer]. Where it returns "", or if names is nil,
// Code uses defaults: the network is n, hosts and routers are what n returns for their names, links have the
// names of their ends, and a name server that of its host.
func (f *Fault) Code(names func(subject any) string) string { return f.made.code(names) }

// missed describes a fault that met nothing, and why. The lock is held.
func (f *Fault) missed() string {
	if f.state == faultMade {
		return f.Name() + ": " + f.idle()
	}
	return fmt.Sprintf("%s at %v: %s", f.Name(), f.spell.begun, f.idle())
}

// idle says why f met nothing. The lock is held.
func (f *Fault) idle() string {
	n := f.n
	switch {
	case f.state == faultMade:
		for _, p := range n.planned() {
			if p.Fault == f {
				return fmt.Sprintf("the test ended before it was due to begin, at %v", p.At)
			}
		}
		return "it never began"
	case f.parts != nil:
		return f.idleParts()
	case len(f.pipes) == 0:
		text := "it met no " + f.miss
		if f.nearly != nil {
			text += f.nearly()
		}
		return text
	}
	when := fmt.Sprintf("from %v on", f.spell.begun)
	came := f.came() - f.spell.before
	if f.state == faultOver {
		when, came = fmt.Sprintf("from %v to %v", f.spell.begun, f.spell.over), f.spell.came
	}
	switch back := f.reverses(); {
	case came > 0:
		text := fmt.Sprintf("%s came %s, but it met no %s", count.Of(int(came), "packet", "packets"), when, f.miss)
		if f.nearly != nil {
			text += f.nearly()
		}
		return text
	case f.came() > 0 && f.state == faultOver:
		return fmt.Sprintf("it met no packet: some came before or after, but none %s", when)
	case f.came() > 0:
		return fmt.Sprintf("it met no packet: some came before, but none %s", when)
	case back > 0:
		return "it met no packet: all went in the other direction"
	}
	return "it met no packet: none came at all"
}

// reverses returns how many packets arrived at the pipes of the other direction.
func (f *Fault) reverses() (sum int64) {
	for _, p := range f.pipes {
		if !slices.Contains(f.pipes, p.reverse) {
			sum += p.reverse.came()
		}
	}
	return sum
}

// ongoing are the active faults of one kind at one place, or nil.
type ongoing []*Fault

func (o ongoing) met(now int64, pkt *packet) {
	for _, f := range o {
		f.met(now, pkt)
	}
}

func (o ongoing) hit(now int64) {
	for _, f := range o {
		f.hit(now)
	}
}

func (o *ongoing) add(f *Fault) { *o = append(*o, f) }

func (o *ongoing) remove(f *Fault) {
	*o = slices.DeleteFunc(*o, func(g *Fault) bool { return g == f })
	if len(*o) == 0 {
		*o = nil
	}
}

// clear ends them all.
func (o *ongoing) clear() {
	for _, f := range *o {
		f.over()
	}
	*o = nil
}

// Inject makes a fault begin at a time from now and last for a while. 0 for at means at once; 0 for lasts
// means until [Fault.End] or the end of the test. [Network.After] describes the order of things at one
// instant. A fault can be injected several times; where the times overlap, it lasts as long as one of them
// does. Inject returns f. It panics if at or lasts is negative, or if f is nil or belongs to another network.
func (n *Network) Inject(at, lasts time.Duration, f *Fault) *Fault {
	switch {
	case f == nil:
		panic("sim: Inject: the fault is nil")
	case f.n != n:
		panic(fmt.Sprintf("sim: Inject(%v, %v, %v): the fault belongs to another network", at, lasts, f))
	case at < 0:
		panic(fmt.Sprintf("sim: Inject(%v, %v, %v): at must not be negative", at, lasts, f))
	case lasts < 0:
		panic(fmt.Sprintf("sim: Inject(%v, %v, %v): lasts must not be negative", at, lasts, f))
	}
	begin := func() {
		n.do(func() { f.spans.begin(lasts) })
		f.Begin()
	}
	if at == 0 {
		begin()
	} else {
		n.schedule(at, f, false, begin)
	}
	if lasts > 0 {
		n.schedule(time.Duration(after(int64(at), int64(lasts))), f, true, func() {
			if get(n, f.spans.end) {
				f.End()
			}
		})
	}
	return f
}

// begin records the beginning of a time; 0 is a time without an end.
func (s *spans) begin(lasts time.Duration) {
	if lasts == 0 {
		s.endless = true
	} else {
		s.open++
	}
}

// end records the end of a time, and reports whether no other one is open.
func (s *spans) end() (last bool) {
	s.open--
	return s.open == 0 && !s.endless
}

// schedule is After for the beginning or end of a fault.
func (n *Network) schedule(d time.Duration, f *Fault, ends bool, do func()) {
	n.change(d, change{fault: f, ends: ends, f: do}, func() string { return "the fault " + f.Name() })
}

// A Planned is a pending event of a network.
type Planned struct {
	At    time.Duration // since the network was made
	Fault *Fault        // nil: a function of [Network.After]
	Ends  bool          // the fault ends; false: it begins
}

// A Schedule is what has yet to happen on a network, in order.
type Schedule []Planned

// Schedule returns what [Network.Inject] and [Network.After] planned and has not happened yet.
func (n *Network) Schedule() Schedule {
	return ownAll(get(n, n.planned), func(p Planned) Planned { return p })
}

// planned is Schedule, with the lock held.
func (n *Network) planned() (all Schedule) {
	if n.closed {
		return n.log.unripe
	}
	return n.queue.changes()
}

// String returns a line for each entry.
func (s Schedule) String() string {
	var b strings.Builder
	for _, p := range s {
		fmt.Fprintln(&b, p)
	}
	return b.String()
}

// String returns the instant and what happens then.
func (p Planned) String() string {
	what := "a function of After"
	switch {
	case p.Fault != nil && p.Ends:
		what = p.Fault.Name() + ", over"
	case p.Fault != nil:
		what = p.Fault.Name()
	}
	return fmt.Sprintf("%-14v %s", p.At, what)
}
