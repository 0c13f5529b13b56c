package sim

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/squall-sim/squall/sim/internal/tcp"
)

// A Tracking says how a middlebox ([Router.NAT], [Router.Firewall], [Router.Balancer]) remembers the connections
// that pass it. Its zero value is Linux's connection tracking out of the box (nf_conntrack, Linux 5.0 and
// later); [AWSNetworkLB] and the variables beside it are what clouds' boxes do.
//
// Of TCP it compares flags, numbers and windows with what both sides have sent, by Linux's table of states and its rules (tcp_conntracks and tcp_in_window): see
// Liberal. One in which a link has turned a bit changes nothing and goes no further (net.netfilter.nf_conntrack_checksum). What comes in fragments is put
// together first, for IPv4 and IPv6: none goes on before all have come, and after 30 s, or 60 s for IPv6, they are given up. Those that the next link
// takes go on as they came; otherwise a packet of IPv4 is cut anew, and of IPv6 ends as a whole, and its sender is told. A connection that is forgotten is not told: both ends believe in it. What then comes is a stray. Each packet
// of either direction, keep-alive probes too, sets its time anew, but for a SYN or SYN-ACK of an open connection and others that do not
// belong where it is. Go sends one every 15 s from both ends, so that timeouts
// of minutes never end unless [Dialer].KeepAlive is negative at one and Off is set in [TCPConfig].KeepAlive at the other.
type Tracking struct {
	// Established is for how long an open TCP connection may be silent. Default: Linux's, 120 h
	// (net.netfilter.nf_conntrack_tcp_timeout_established, 432,000 s), and 300 s as long as something that one side has sent is not
	// acknowledged (_unacknowledged), as when the other has lost its power; after a segment that comes for the fourth time with nothing
	// in between (_max_retrans), as keep-alive probes do then; behind a segment whose window is zero; and for one that was adopted, until
	// something comes after the first answer.
	Established time.Duration

	// Opening is the same before the handshake is complete. Default: Linux's, 120 s until it is answered, then 60 s
	// (nf_conntrack_tcp_timeout_syn_sent and _syn_recv).
	Opening time.Duration

	// Closing is the same once one side has sent FIN or RST, also if the other goes on sending.
	// Default: Linux's, 120 s after the first FIN, 60 s after any segment without one behind that, 30 s after another FIN, be it the first
	// again, 120 s after any segment without one behind that (nf_conntrack_tcp_timeout_fin_wait, _close_wait, _last_ack, _time_wait); 10 s after
	// RST (_close), also after one whose number leaves an open connection as it is, and not at all if nothing else was ever answered (tcp_packet).
	Closing time.Duration

	// UDP is for how long a pair of UDP addresses may be silent. Default: Linux's, 30 s, and 120 s for those that
	// have spoken in both directions for more than 2 s (nf_conntrack_udp_timeout and _udp_timeout_stream).
	UDP time.Duration

	// Max bounds the connections, those of UDP too, that are remembered at once: the packet that would begin one more is
	// dropped, as with Linux's "nf_conntrack: table full, dropping packet" (nf_conntrack_max). Zero: no bound. Linux
	// may drop a connection that was never answered instead; this does not.
	Max int

	// PerClient bounds the connections of one address that are remembered at once: the SYN that would begin one more is answered by ICMP port
	// unreachable, so that the attempt fails with ECONNREFUSED (iptables: -m connlimit --connlimit-above -j REJECT). Zero: no bound.
	PerClient int

	// Stray is what is done with TCP segments of no known connection, and with those that do not fit the one that their addresses are of, which Linux
	// calls INVALID. Default [StrayAdopted], which drops these, as the rule "ct state invalid drop" does that most firewalls have. The trace has what was wrong with a packet and at which box, such as "no known connection at fw".
	Stray Stray

	// Liberal has a segment belong to its connection whatever its numbers are (net.netfilter.nf_conntrack_tcp_be_liberal). By default one that
	// acknowledges what the box has not seen, or begins beyond what the other side's window allows, does not fit, as none does by Linux's table
	// of states: an acknowledgement by who has opened a connection, to an answer that the box has not seen, say, since answers go another way. Such
	// a segment is not translated, and the rules for what is "established" are not for it. Those of a connection whose beginning the
	// box has not seen always fit by their numbers.
	Liberal bool

	// Tell has a RST sent to both ends when an open connection is forgotten for its silence, as Azure's load balancer does with
	// "TCP reset" enabled.
	Tell bool
}

// A Stray says what a middlebox does with a TCP segment, other than a SYN, of a connection that it does
// not know or has forgotten.
type Stray uint8

const (
	// StrayAdopted takes it for one of a connection whose beginning was missed, if it comes from the side that may
	// open one and has no FIN, and drops it if not. That is Linux's default (nf_conntrack_tcp_loose).
	StrayAdopted Stray = iota
	// StrayDropped drops it in silence: the sender retransmits until TCP gives up.
	StrayDropped
	// StrayReset answers it by RST: the sender's next call fails with ECONNRESET. Attempts to connect from the side that may
	// open none get RST too.
	StrayReset
	// StrayPassed is StrayAdopted without a rule that drops what Linux calls INVALID: a segment that does not fit its connection or has a wrong checksum,
	// and a SYN-ACK, FIN or RST of none. It goes on as it came. What leaves a [NAT] so has the address of a host behind it, for which its receiver has no
	// connection: the RST with which that answers does not come back, since the address is private. What comes for an address of the box's own, where
	// nobody listens, is answered by RST, which ends the connection at its sender: so services of Kubernetes lost connections ("kube-proxy
	// Subtleties: Debugging an Intermittent Connection Reset", kubernetes.io, March 2019), until such a rule was added. OpenWrt has one where it
	// masquerades ("Prevent NAT leakage").
	StrayPassed
)

// String returns the name of the constant.
func (s Stray) String() string {
	if names := [...]string{"StrayAdopted", "StrayDropped", "StrayReset", "StrayPassed"}; int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("Stray(%d)", uint8(s))
}

// mustBeValid panics unless t is, in the name of a method of a router.
func (t *Tracking) mustBeValid(method string, r *Router) {
	for _, f := range []struct {
		name  string
		value time.Duration
	}{{"Established", t.Established}, {"Opening", t.Opening}, {"Closing", t.Closing}, {"UDP", t.UDP}} {
		if f.value < 0 {
			panic(fmt.Sprintf("sim: router %s: %s: Tracking.%s is %v: it must not be negative", r.name, method, f.name, f.value))
		}
	}
	switch {
	case t.Max < 0:
		panic(fmt.Sprintf("sim: router %s: %s: Tracking.Max is %d: it must not be negative", r.name, method, t.Max))
	case t.PerClient < 0:
		panic(fmt.Sprintf("sim: router %s: %s: Tracking.PerClient is %d: it must not be negative", r.name, method, t.PerClient))
	case t.Stray > StrayPassed:
		panic(fmt.Sprintf("sim: router %s: %s: Tracking.Stray is %v: it must be StrayAdopted, StrayDropped, StrayReset or StrayPassed", r.name, method, t.Stray))
	}
}

// A tuple is what a packet shows of its connection.
type tuple struct {
	proto    protocol
	from, to netip.AddrPort
}

func tupleOf(pkt *packet) tuple { return tuple{pkt.proto, pkt.src, pkt.dst} }

func (t tuple) reversed() tuple { return tuple{t.proto, t.to, t.from} }

// impatience describes the timeouts that are set, if any is.
func (t *Tracking) impatience() string {
	var set []string
	for _, f := range []struct {
		name  string
		value time.Duration
	}{{"opening", t.Opening}, {"established", t.Established}, {"closing", t.Closing}, {"UDP", t.UDP}} {
		if f.value > 0 {
			set = append(set, fmt.Sprintf("%s %v", f.name, f.value))
		}
	}
	return strings.Join(set, ", ")
}

// TrackingStats counts what a middlebox remembered. A timeout of [Tracking] that is set is a fault: the report of a box
// that forgot no connection for one says so, unless the connection had ended.
type TrackingStats struct {
	Open      int // connections that it remembers now
	Opened    int // that it came to know,
	Expired   int // of them forgotten for their silence, those included that had ended
	Forgotten int // forgotten by Forget, Rebind or the death of a backend
	Full      int // packets that began one for which there was no room or no port
	Strays    int // packets of no known connection, that did not fit theirs, or with a bit error, whatever it did with them
}

// A tracker remembers connections.
type tracker struct {
	r     *Router
	conf  Tracking
	known map[tuple]*tracked // by both tuples
	of    map[netip.Addr]int // how many are of a client; nil without PerClient
	stats TrackingStats

	fragments *reassembler
	impatient *Fault // that it forgets what is silent for a time that was set; nil if none was
}

func newTracker(r *Router, conf Tracking) tracker {
	k := tracker{r: r, conf: conf, known: map[tuple]*tracked{}}
	if conf.PerClient > 0 {
		k.of = map[netip.Addr]int{}
	}
	return k
}

// install gives a router its box, and that an address. The lock is held.
func (k *tracker) install(b box) {
	n := k.r.n
	n.install(k.r, b)
	k.fragments = k.r.newReassembler(n.timerID())
	if text := k.conf.impatience(); text != "" {
		k.impatient = n.fault(&k.r.node, "forgets silent connections ("+text+")", "connection that was silent for so long")
		k.impatient.nearly = func() string { return " (keep-alive probes are traffic, too)" }
	}
}

// Stats returns the counters as they stand.
func (k *tracker) Stats() TrackingStats { return get(k.r.n, func() TrackingStats { return k.stats }) }

// Forget has the middlebox lose all its connections without a word, as one that restarts, fails over to another or is
// replaced does.
func (k *tracker) Forget() {
	f := k.losing()
	k.r.n.do(f.beginNow)
}

func (k *tracker) forgetAll() {
	k.stats.Forgotten += k.stats.Open
	for _, c := range k.known {
		if k.known[c.ask] == c { // it is not forgotten yet: each is there twice
			k.forget(c)
		}
	}
}

// alive is how many connections are known that have not ended.
func (k *tracker) alive() (count int) {
	for t, c := range k.known {
		if t == c.ask && !c.ended() {
			count++
		}
	}
	return count
}

// open has a connection known, whose packets are rewritten if answer is not ask reversed.
func (k *tracker) open(pkt *packet, answer tuple) *tracked {
	if k.of != nil {
		k.of[pkt.src.Addr()]++
	}
	k.stats.Open++
	k.stats.Opened++
	c := newTracked(tupleOf(pkt), answer, pkt.segment())
	if answer != c.ask.reversed() {
		c.there, c.back = k.r.flowTo(pkt.proto, answer.to, answer.from), k.r.flowTo(pkt.proto, c.ask.to, c.ask.from)
	}
	c.timer = k.r.n.newTimer(func(now int64) { k.expire(now, c) })
	k.known[c.ask], k.known[c.answer] = c, c
	return c
}

// forget forgets one connection.
func (k *tracker) forget(c *tracked) {
	c.timer.set(never)
	delete(k.known, c.ask)
	delete(k.known, c.answer)
	k.stats.Open--
	if client := c.ask.from.Addr(); k.of != nil {
		if k.of[client]--; k.of[client] == 0 {
			delete(k.of, client)
		}
	}
	if c.gone != nil {
		c.gone()
	}
}

// expire forgets a connection that was silent for too long.
func (k *tracker) expire(now int64, c *tracked) {
	k.forget(c)
	k.stats.Expired++
	if k.conf.own(c.state) > 0 && !c.ended() {
		k.impatient.hit(now)
	}
	if k.conf.Tell && c.state == trackEstablished {
		k.tell(now, c)
	}
}

// tell sends RST to both ends of a connection that is forgotten, with the numbers that they expect.
func (k *tracker) tell(now int64, c *tracked) {
	n := k.r.n
	for i, side := range []tuple{c.ask, c.answer} {
		f, h := k.r.flowTo(protoTCP, side.to, side.from), c.sides[i].heard
		if f == nil || !h.ok {
			continue
		}
		s := n.pool.segments.get()
		tcp.ResetFor(&tcp.Segment{Flags: tcp.ACK, Ack: h.ack, ISS: h.iss, IRS: h.irs}, s)
		pkt := n.pool.packet(f, protoTCP, side.to, side.from)
		pkt.seg, pkt.size = s, s.Size()
		k.r.send(now, pkt, f)
	}
}

// sound says whether a packet is there in full and without a bit error. It puts together what comes in fragments: Linux judges what they carry, not each of
// them, and none goes on before all have come (nf_defrag_ipv4, nf_defrag_ipv6). Then it looks at the checksum, before all else (nf_conntrack_in).
func (k *tracker) sound(now int64, pkt *packet) bool {
	if pkt.frag.whole != nil && !k.fragments.take(now, pkt) {
		return false
	}
	if pkt.corrupt {
		k.stray(now, pkt, badChecksum)
		return false
	}
	return true
}

// lookup finds the connection of a packet, or of what an ICMP message is about, and whether it comes from who
// opened it.
func (k *tracker) lookup(pkt *packet) (c *tracked, opener bool) {
	t := tupleOf(pkt)
	if pkt.proto == protoICMP { // its addresses are those of the packet that it is about, reversed
		t.proto = pkt.icmp.about
	}
	c = k.known[t]
	opener = c != nil && c.ask == t
	if c != nil && !opener && c.state == trackTimeWait && opens(pkt.segment()) { // tcp_packet: a new one, the other way round
		k.forget(c)
		k.stats.Expired++
		return nil, false
	}
	return c, opener
}

// opens says that a segment is the first of a connection.
func opens(s *tcp.Segment) bool { return s != nil && s.Flags&(tcp.SYN|tcp.ACK) == tcp.SYN }

// pass has a packet of a known connection go on, and takes note of it.
func (k *tracker) pass(now int64, pkt *packet, c *tracked, opener bool) {
	switch pkt.proto {
	case protoTCP:
		o := k.follow(c, pkt.segment(), opener)
		if at := o.until(now, c.timer.at); at != c.timer.at {
			c.timer.set(at)
		}
		if o.verdict == invalid {
			k.stray(now, pkt, "does not fit its connection")
			return
		}
		if o.over {
			k.forget(c)
			k.stats.Expired++
		}
	case protoUDP:
		c.spoken(now, opener)
		c.timer.set(after(now, k.conf.timeout(c.state)))
	}
	f, on := c.there, c.answer.reversed()
	if !opener {
		f, on = c.back, c.ask.reversed()
	}
	if f == nil {
		k.r.n.transmit(pkt, now)
		return
	}
	if len(k.r.n.wires.partitions) > 0 && k.parted(now, pkt, c, opener, func(now int64, pkt *packet) { k.rewrite(now, pkt, f, on) }) {
		return
	}
	k.rewrite(now, pkt, f, on)
}

// rewrite has a packet go on with other addresses.
func (k *tracker) rewrite(now int64, pkt *packet, f *flow, on tuple) {
	pkt.src, pkt.dst = on.from, on.to
	k.r.send(now, pkt, f)
}

// noConnection is why strays end that are of none.
const noConnection = "no known connection"

// here is why a packet ends with the box that ended it: on a path with several the addresses in a report do not tell.
func (k *tracker) here(why string) string { return why + " at " + k.r.name }

// badChecksum is why a packet ends in which a link has turned a bit (nf_conntrack_checksum).
const badChecksum = "checksum error"

// stray does what is to be done with a packet that is of no connection, or does not fit the one that its addresses are of.
func (k *tracker) stray(now int64, pkt *packet, why string) {
	k.stats.Strays++
	own, answers := k.at(pkt.dst) == &k.r.node, k.conf.Stray == StrayReset
	if k.conf.Stray == StrayPassed {
		if unfit := why != noConnection || pkt.proto == protoTCP && !k.begins(pkt); unfit && !own {
			k.r.n.note(&k.r.node, nil, "lets pass as it came: "+why)
			k.r.n.transmit(pkt, now)
			return
		}
		answers = own
	}
	why = k.here(why)
	if answers && pkt.proto == protoTCP && !pkt.corrupt {
		if back := k.r.flowTo(protoTCP, pkt.dst, pkt.src); back != nil {
			k.r.reset(now, pkt, back, why)
			return
		}
	}
	k.r.n.drop(now, pkt, nil, why)
}

// begins says that a packet may begin a connection.
func (k *tracker) begins(pkt *packet) bool {
	s := pkt.segment()
	if s == nil {
		return pkt.proto == protoUDP
	}
	adopts := k.conf.Stray == StrayAdopted || k.conf.Stray == StrayPassed
	return opens(s) || s.Flags&(tcp.SYN|tcp.FIN|tcp.RST) == 0 && adopts
}

// crowded ends a packet that would begin a connection for which there is no room, if that is so.
func (k *tracker) crowded(now int64, pkt *packet) bool {
	switch {
	case k.conf.Max > 0 && k.stats.Open >= k.conf.Max:
		k.tooMany(now, pkt, "connection table is full")
	case k.of != nil && k.of[pkt.src.Addr()] >= k.conf.PerClient:
		k.stats.Full++
		k.r.reject(now, pkt, ICMPPortUnreachable, k.here("too many connections of one client"))
	default:
		return false
	}
	return true
}

// tooMany ends a packet that would begin one connection too many, and says why.
func (k *tracker) tooMany(now int64, pkt *packet, why string) {
	k.stats.Full++
	k.r.n.drop(now, pkt, nil, k.here(why))
}
