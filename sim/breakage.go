package sim

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/squall-sim/squall/sim/internal/tcp"
)

// A Breakage is what [Break] does at one packet, and [Explore] at each.
type Breakage uint8

const (
	Lost                   Breakage = iota + 1 // the packet does not arrive
	Duplicated                                 // it is sent twice, the copy right after it
	Overtaken                                  // it is sent after the next packet from its host to the same one, or after a second if there is none
	ConnectionReset                            // TCP only: the packet is lost, and both ends get a RST that seems to be from the other, as with [Reset]
	SenderCrashesBefore                        // its host crashes instead of sending it and restarts a second later; what the program did before it has happened
	SenderCrashesAfter                         // its host crashes when it has sent it and restarts a second later
	ReceiverCrashesBefore                      // the receiving host crashes when it arrives, before anything sees it, and restarts a second later
	ReceiverCrashesAfter                       // the same a nanosecond later, when the program has done what it does at once
	DisconnectedForASecond                     // this packet and all that the two hosts send each other for a second are lost
	DisconnectedForAMinute                     // the same for a minute
	Disconnected                               // the same to the end of the test
)

// A wording is a breakage as Go code, in words, and as a sentence with the placeholders PACKET, SENDER and
// RECEIVER.
type wording struct{ code, short, sentence string }

// tell returns the sentence.
func (w wording) tell(packet string, at Place) string {
	return strings.NewReplacer("PACKET", packet, "SENDER", at.From, "RECEIVER", at.To).Replace(w.sentence)
}

var breakageWords = [...]wording{
	{},
	{"sim.Lost", "lost", "PACKET was lost"},
	{"sim.Duplicated", "duplicated", "PACKET arrived twice"},
	{"sim.Overtaken", "overtaken by the next", "PACKET was overtaken by the next packet"},
	{"sim.ConnectionReset", "connection reset", "the connection was reset at PACKET"},
	{"sim.SenderCrashesBefore", "its sender crashes just before", "host SENDER crashed just before it sent PACKET"},
	{"sim.SenderCrashesAfter", "its sender crashes just after", "host SENDER crashed just after it sent PACKET"},
	{"sim.ReceiverCrashesBefore", "its receiver crashes just before it arrives", "host RECEIVER crashed just before it got PACKET"},
	{"sim.ReceiverCrashesAfter", "its receiver crashes just after it arrived", "host RECEIVER crashed just after it got PACKET"},
	{"sim.DisconnectedForASecond", "disconnected for 1s", "hosts SENDER and RECEIVER were disconnected for 1s, starting with PACKET"},
	{"sim.DisconnectedForAMinute", "disconnected for 1m", "hosts SENDER and RECEIVER were disconnected for 1m, starting with PACKET"},
	{"sim.Disconnected", "disconnected", "hosts SENDER and RECEIVER were disconnected, starting with PACKET"},
}

// How long breakages last.
const (
	crashTime   = time.Second // from a crash to the restart
	overtakable = time.Second // longest wait of an overtaken packet
)

// String returns the breakage in words, such as "lost".
func (w Breakage) String() string {
	if w >= 1 && int(w) < len(breakageWords) {
		return breakageWords[w].short
	}
	return fmt.Sprintf("Breakage(%d)", uint8(w))
}

// code returns the name of the constant.
func (w Breakage) code() string { return breakageWords[w].code[len("sim."):] }

// canBe reports whether something can break at a packet. Only hosts crash, and only TCP has connections.
func (w Breakage) canBe(pkt *packet) bool {
	from, to := pkt.way.from.host, pkt.way.to.host
	switch w {
	case ConnectionReset:
		return pkt.proto == protoTCP && pkt.frag.whole == nil
	case SenderCrashesBefore, SenderCrashesAfter:
		return from != nil
	case ReceiverCrashesBefore, ReceiverCrashesAfter:
		return to != nil
	case DisconnectedForASecond, DisconnectedForAMinute, Disconnected:
		return from != nil && to != nil
	}
	return true
}

// Break makes a fault that breaks something at one packet. The packet is counted from the time at which the
// fault first begins, so inject it at 0 in most cases. It is what [Explore] does at each packet, as a value
// for a test of its own:
//
//	n.Inject(0, 0, sim.Break(n, sim.Lost, sim.Place{From: "server", To: "phone", Kind: sim.Data, Nth: 2}))
//
// The fault happens once. A crash or a disconnection runs its full time even if the fault ends earlier. The
// hosts need not exist yet; if the packet never comes, the fault never fires. Break panics if the network is
// nil, or if what or at makes no sense.
func Break(n *Network, what Breakage, at Place) *Fault {
	if n == nil {
		panic("sim: Break: the network is nil")
	}
	n.mustSimulate("Break")
	if what < 1 || int(what) >= len(breakageWords) {
		panic(fmt.Sprintf("sim: Break: what is %d: it must be one of the constants, Lost to Disconnected", uint8(what)))
	}
	if err := at.check(); err != nil {
		panic(fmt.Sprintf("sim: Break: %v", err))
	}
	if at.Kind == UDP && what == ConnectionReset {
		panic(fmt.Sprintf("sim: Break: Place.Kind is %v: a ConnectionReset needs a TCP packet", at.Kind))
	}
	b := n.breakage(brokenPlace{what, at})
	b.fault.begin = func() {
		b.by = n.moment()
		n.watchFor(b)
	}
	b.fault.end = func() {
		n.watch.broken = slices.DeleteFunc(n.watch.broken, func(c *breakage) bool { return c == b })
		b.submitHeld()
	}
	return b.fault.enlisted()
}

// A watch looks at each packet where it leaves its host.
type watch struct {
	broken []*breakage
	sees   *observer // nil except for [Explore]
	rules  rules
	turns  int // overtaken packets that wait
}

// A breakage is a fault at one packet.
type breakage struct {
	brokenPlace
	fault *Fault
	by    moment // when it began
	seen  int    // packets of the kind, between the hosts, seen so far
	due   bool   // the current packet is the one of the place
	mute  *node  // the host that crashes at this instant, and sends nothing until it does

	held *packet // the packet that is overtaken
	as   MTUDiscover
	turn int // among the overtaken packets
}

func (n *Network) breakage(p brokenPlace) *breakage {
	b := &breakage{brokenPlace: p}
	b.fault = n.newFault(p.What.String()+": "+p.At.String(), nil, nil, expression{"Break", []any{n, p.What, p.At}})
	b.fault.miss = "such packet"
	b.fault.nearly = func() string { return fmt.Sprintf("; sent in all: %d", b.seen) }
	return b
}

// watchFor makes something break. When a host crashes, the engine could not take back what it has deferred,
// so from now on it defers nothing.
func (n *Network) watchFor(b *breakage) {
	n.invalidate()
	n.lookahead.on = false
	n.watch.broken = append(n.watch.broken, b)
}

// watched looks at a packet that leaves its host. It reports whether a breakage has handled the packet, by
// sending or dropping it.
func (n *Network) watched(now int64, m MTUDiscover, pkt *packet) bool {
	if pkt.way.from == pkt.way.to {
		return false
	}
	for _, b := range n.watch.broken {
		if b.mute == pkt.way.from {
			n.pool.free(pkt)
			return true
		}
	}
	if n.watch.sees != nil {
		n.watch.sees.see(now, pkt)
	}
	for _, b := range n.watch.broken { // every breakage counts it, whatever the first one does to it
		b.due = false
		if b.At.on(pkt) && b.At.Kind.has(pkt) {
			b.seen++
			b.due = b.seen == b.At.Nth && b.fault.fired.Count == 0 && b.What.canBe(pkt)
		}
	}
	waiting := n.overtakenBy(pkt)
	var struck bool
	for _, b := range n.watch.broken {
		if b.due && b.strikes(now, m, pkt) {
			struck = true
			break
		}
	}
	if len(waiting) == 0 {
		return struck
	}
	if !struck {
		n.sendOut(m, pkt, now)
	}
	if !slices.ContainsFunc(n.watch.broken, func(b *breakage) bool { return b.held == pkt }) { // otherwise it is overtaken itself
		for _, b := range waiting {
			b.sendHeld(now)
		}
	}
	return true
}

// overtakenBy returns the breakages whose held packet waits for this one. The packet held last comes first,
// since it is the previous one to this packet.
func (n *Network) overtakenBy(pkt *packet) (waiting []*breakage) {
	for _, b := range n.watch.broken {
		if b.held != nil && b.At.on(pkt) {
			waiting = append(waiting, b)
		}
	}
	slices.SortFunc(waiting, func(a, b *breakage) int { return cmp.Compare(b.turn, a.turn) })
	return waiting
}

// strikes breaks something at a packet, and reports whether that has handled the packet.
func (b *breakage) strikes(now int64, m MTUDiscover, pkt *packet) bool {
	n := b.fault.n
	defer n.amidStep()()
	if n.watch.sees != nil {
		n.watch.sees.struck()
	}
	switch b.What {
	case ReceiverCrashesBefore, ReceiverCrashesAfter:
		pkt.leaves.then = b
		return false
	}
	b.tell(now, pkt)
	switch b.What {
	case Lost:
		n.record(now, Sent, pkt, "")
		n.drop(now, pkt, nil, "lost")
	case Duplicated:
		c := n.pool.copyOf(pkt)
		n.sendOut(m, pkt, now)
		n.sendOut(m, c, now)
	case Overtaken:
		n.watch.turns++
		b.held, b.as, b.turn = pkt, m, n.watch.turns
		b.plan(after(now, int64(overtakable)), func() { n.do(b.submitHeld) })
	case ConnectionReset:
		n.resetBoth(now, pkt)
	case SenderCrashesBefore:
		b.crashes(now, pkt.way.from.host, true)
		n.pool.free(pkt)
	case SenderCrashesAfter:
		from := pkt.way.from.host
		n.sendOut(m, pkt, now)
		b.crashes(now, from, true)
	default:
		b.disconnects(now, pkt.way.from.host, pkt.way.to.host)
		return false
	}
	return true
}

// amidStep prepares for code that asks for a step of the engine while one is running: the running step
// decides at its end when the next one must be. The caller runs the returned function when that code is done.
func (n *Network) amidStep() (over func()) {
	stepping := n.calls.stepping
	n.calls.stepping = true
	return func() { n.calls.stepping = stepping }
}

// tell counts the packet, and notes what breaks.
func (b *breakage) tell(now int64, pkt *packet) {
	b.fault.met(now, pkt)
	if o := b.fault.n.watch.sees; o != nil {
		o.fired++
	}
	b.fault.n.note(pkt.way.from, pkt.way.to, b.fault.what)
}

// plan schedules something for an instant, before its packets. Call it in a step of the engine.
func (b *breakage) plan(at int64, f func()) {
	n := b.fault.n
	n.queue.addChange(at, change{by: b.by, hidden: true, f: func() {
		n.guard(func() string { return "the fault " + b.fault.Name() }, func() bool { return false }, f)
	}})
}

// crashes makes a host crash at an instant, and restart. With mute the host sends nothing until then.
func (b *breakage) crashes(at int64, h *Host, mute bool) {
	n, crash := b.fault.n, h.crashing()
	if mute {
		b.mute = &h.node
	}
	// The race detector must see no access to the fault outside the lock, since the program does not know
	// when it was made.
	b.plan(at, func() {
		n.do(func() {
			b.mute = nil
			crash.start()
		})
	})
	b.plan(after(at, int64(crashTime)), func() { n.do(func() { crash.stop() }) })
}

// disconnects cuts two hosts off from each other from now on.
func (b *breakage) disconnects(now int64, from, to *Host) {
	n := b.fault.n
	parting := n.split([][]*Host{{from}, {to}})
	parting.start()
	end := func() { n.do(func() { parting.stop() }) }
	switch b.What {
	case DisconnectedForASecond:
		b.plan(after(now, int64(time.Second)), end)
	case DisconnectedForAMinute:
		b.plan(after(now, int64(time.Minute)), end)
	}
}

// sendHeld sends the overtaken packet, if it waits.
func (b *breakage) sendHeld(now int64) {
	if pkt := b.held; pkt != nil {
		b.held = nil
		b.fault.n.sendOut(b.as, pkt, now)
	}
}

// submitHeld makes the next step send it.
func (b *breakage) submitHeld() {
	if b.held != nil {
		b.fault.n.submit(operation{kind: opRelease, dest: b.fault.what, run: b.sendHeld}, 0)
	}
}

// resetBoth drops a segment, and makes both ends believe that the other one has reset the connection.
func (n *Network) resetBoth(now int64, pkt *packet) {
	n.record(now, Sent, pkt, "")
	n.recordDrop(now, pkt, nil, "connection reset")
	if s := pkt.seg; s.Flags&(tcp.SYN|tcp.ACK) != tcp.SYN {
		r := n.pool.packet(pkt.flow, protoTCP, pkt.src, pkt.dst)
		r.seg = n.pool.segments.get()
		*r.seg = *s
		becomeReset(r.seg, s.Seq)
		r.seg.Flags |= tcp.ACK
		r.size = r.seg.Size()
		n.sendOut(MTUDiscoverWant, r, now)
	}
	back := n.path(pkt.way.to, pkt.way.from, pkt.src.Addr())
	r := n.pool.packet(back.misc, protoTCP, pkt.dst, pkt.src)
	r.seg = n.pool.segments.get()
	answered := tcp.ResetFor(pkt.seg, r.seg)
	n.pool.free(pkt)
	if !answered {
		n.pool.free(r)
		return
	}
	r.size = r.seg.Size()
	n.sendOut(MTUDiscoverWant, r, now)
}

// breaksAt handles a packet that has arrived at its host, with the packets after it, if something breaks at
// it. It reports whether they arrive later, at the same instant.
func (n *Network) breaksAt(now int64, pkt *packet, hop int) (later bool) {
	b := pkt.leaves.then
	pkt.leaves.then = nil
	h := pkt.way.to.host
	if b.fault.fired.Count > 0 || h == nil {
		return false
	}
	defer n.amidStep()()
	b.tell(now, pkt)
	if b.What == ReceiverCrashesAfter {
		b.crashes(after(now, 1), h, false)
		return false
	}
	b.crashes(now, h, false)
	for pkt != nil {
		next := n.pool.behind(pkt)
		pkt.hop = hop
		n.queue.addPacket(pkt, now)
		pkt = next
	}
	return true
}
