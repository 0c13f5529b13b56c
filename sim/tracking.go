package sim

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/squall-sim/squall/sim/internal/conntrack"
	"github.com/squall-sim/squall/sim/internal/tcp"
)

// A Tracking says how a middlebox ([Router.NAT], [Router.Firewall], [Router.Balancer]) remembers the
// connections that pass it. The zero value is Linux's connection tracking out of the box (nf_conntrack, Linux
// 5.0 and later). [AWSNetworkLB] and the variables next to it describe the middleboxes of clouds.
//
// Of each TCP segment the middlebox compares flags, numbers and windows with what both sides have sent, by
// Linux's table of states and its rules (tcp_conntracks and tcp_in_window): see Liberal. A segment with a bit
// error changes nothing and goes no further (net.netfilter.nf_conntrack_checksum).
//
// A middlebox reassembles fragments, for IPv4 and IPv6. It passes none on before all have arrived, and gives
// up after 30 s, or 60 s for IPv6. Fragments that fit the next link go on as they came. Otherwise an IPv4
// packet is fragmented anew; an IPv6 packet is dropped whole and its sender told.
//
// When a middlebox forgets a connection, it tells nobody, unless Tell is set. Both ends believe that the
// connection lives, and what they then send is a stray. Each packet of either direction, keep-alive probes
// included, restarts the connection's timeout. A SYN or SYN-ACK of an open connection does not, nor do other
// segments that do not belong where they are. Go sends a keep-alive probe every 15 s from both ends. So
// timeouts of minutes never expire, unless [Dialer.KeepAlive] is negative at one end and Off is set in
// [TCPConfig.KeepAlive] at the other.
type Tracking struct {
	// Established is how long an open TCP connection may be silent. The default is Linux's: 120 h
	// (net.netfilter.nf_conntrack_tcp_timeout_established, 432,000 s). It is 300 s in four cases:
	//
	//   - while something that one side has sent is not acknowledged (_unacknowledged), as when the other has
	//     lost its power;
	//   - after a segment that comes for the fourth time in a row (_max_retrans), as keep-alive probes then
	//     do;
	//   - after a segment whose window is zero;
	//   - for an adopted connection, until something follows the first answer.
	Established time.Duration

	// Opening is the same before the handshake is complete. The default is Linux's: 120 s until it is
	// answered, then 60 s (nf_conntrack_tcp_timeout_syn_sent and _syn_recv).
	Opening time.Duration

	// Closing is the same once one side has sent FIN or RST, even if the other goes on sending. The defaults
	// are Linux's (nf_conntrack_tcp_timeout_fin_wait, _close_wait, _last_ack, _time_wait and _close):
	//
	//   - 120 s after the first FIN;
	//   - 60 s after any segment without FIN that follows it;
	//   - 30 s after another FIN, even if it is the first one again;
	//   - 120 s after any segment without FIN that follows that;
	//   - 10 s after RST, even one whose number leaves an open connection as it is;
	//   - no time at all after RST if nothing else was ever answered (tcp_packet).
	Closing time.Duration

	// UDP is how long a pair of UDP addresses may be silent. The default is Linux's: 30 s, and 120 s for a
	// pair that has sent in both directions for more than 2 s (nf_conntrack_udp_timeout and
	// _udp_timeout_stream).
	UDP time.Duration

	// Max bounds the connections, UDP included, that the middlebox remembers at once. It drops the packet
	// that would begin one more, as with Linux's "nf_conntrack: table full, dropping packet"
	// (nf_conntrack_max). Linux may drop a connection that was never answered instead; this does not. Zero:
	// no bound.
	Max int

	// PerClient bounds the connections of one address that the middlebox remembers at once. It answers the
	// SYN that would begin one more with ICMP port unreachable, so that the attempt fails with ECONNREFUSED
	// (iptables: -m connlimit --connlimit-above -j REJECT). Zero: no bound.
	PerClient int

	// Stray says what the middlebox does with TCP segments of no known connection, and with those that do not
	// fit the connection of their addresses, which Linux calls INVALID. The default is [StrayAdopted], which
	// drops the latter, as the rule "ct state invalid drop" of most firewalls does. The trace says what was
	// wrong with a packet and at which middlebox, such as "no known connection at fw".
	Stray Stray

	// Liberal makes a segment belong to its connection whatever its numbers are
	// (net.netfilter.nf_conntrack_tcp_be_liberal).
	//
	// By default a segment does not fit if it acknowledges what the middlebox has not seen, or begins beyond
	// the other side's window. Nor does one for which Linux's table of states has no place, such as the
	// opener's acknowledgement of an answer that took another route, past the middlebox. A segment that does
	// not fit is not translated, and rules for "established" connections do not apply to it. Segments of a
	// connection whose beginning the middlebox has not seen always fit by their numbers.
	Liberal bool

	// Tell sends a RST to both ends when the middlebox forgets an open connection because it was silent, as
	// Azure's load balancer does with "TCP reset" enabled.
	Tell bool
}

// A Stray says what a middlebox does with a TCP segment, other than a SYN, of a connection that it does not
// know or has forgotten.
type Stray uint8

const (
	// StrayAdopted takes the segment for one of a connection whose beginning was missed, if it comes from the
	// side that may open connections and has no FIN. Otherwise it drops the segment. This is Linux's default
	// (nf_conntrack_tcp_loose).
	StrayAdopted Stray = iota
	// StrayDropped drops the segment in silence: the sender retransmits until TCP gives up.
	StrayDropped
	// StrayReset answers the segment with RST: the sender's next call fails with ECONNRESET. Attempts to
	// connect from the side that may not open connections get RST too.
	StrayReset
	// StrayPassed is StrayAdopted without a rule that drops what Linux calls INVALID: a segment that does not
	// fit its connection or has a wrong checksum, and a SYN-ACK, FIN or RST of no connection. Such a segment
	// goes on as it came.
	//
	// One that leaves a [NAT] in this way carries the private address of a host behind it, for which its
	// receiver has no connection. The receiver answers with RST, which does not come back, since the address
	// is private. A segment for the middlebox's own address, where nobody listens, is answered with RST,
	// which ends the connection at its sender. Services of Kubernetes lost connections in this way until a
	// rule was added ("kube-proxy Subtleties: Debugging an Intermittent Connection Reset", kubernetes.io,
	// March 2019). OpenWrt has such a rule where it masquerades ("Prevent NAT leakage").
	StrayPassed
)

// String returns the name of the constant.
func (s Stray) String() string {
	if names := [...]string{"StrayAdopted", "StrayDropped", "StrayReset", "StrayPassed"}; int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("Stray(%d)", uint8(s))
}

// mustBeValid panics unless t is valid; it names the router's method.
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

// A tuple is what a packet shows about its connection.
type tuple struct {
	proto    protocol
	from, to netip.AddrPort
}

func tupleOf(pkt *packet) tuple { return tuple{pkt.proto, pkt.src, pkt.dst} }

func (t tuple) reversed() tuple { return tuple{t.proto, t.to, t.from} }

// rules are what t says about single connections.
func (t *Tracking) rules() conntrack.Rules {
	return conntrack.Rules{
		Timeouts: conntrack.Timeouts{Opening: t.Opening, Established: t.Established, Closing: t.Closing, UDP: t.UDP},
		Liberal:  t.Liberal,
	}
}

// impatience describes the timeouts that are set, if there are any.
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

// TrackingStats counts what a middlebox remembered. A timeout that [Tracking] sets is a fault: the report
// names a middlebox whose timeout made it forget no connection. Connections that had already ended do not
// count.
type TrackingStats struct {
	Open      int // connections that it remembers now
	Opened    int // connections that it has ever remembered
	Expired   int // of those, forgotten because they were silent, including ones that had ended
	Forgotten int // forgotten by Forget, Rebind or the death of a backend
	Full      int // packets that would have begun a connection for which there was no room or no port
	Strays    int // packets that belonged to no known connection, did not fit theirs, or had a bit error, whatever it did with them
}

// A tracked is a connection that a middlebox knows. Packets from the side that opened it arrive with the
// tuple ask and go on with the reverse of the tuple answer. Packets from the other side arrive with answer
// and go on with the reverse of ask.
type tracked struct {
	conntrack.Conn
	ask, answer tuple
	there, back *flow  // flows of packets that are rewritten; nil if none is
	gone        func() // called when the connection is forgotten, or nil
	timer       *timer
}

// A tracker remembers connections.
type tracker struct {
	r     *Router
	conf  Tracking
	known map[tuple]*tracked // by both tuples
	of    map[netip.Addr]int // number of each client's connections; nil without PerClient
	stats TrackingStats

	fragments *reassembler
	impatient *Fault // fault that stands for the timeouts that are set; nil if none is
}

func newTracker(r *Router, conf Tracking) tracker {
	k := tracker{r: r, conf: conf, known: map[tuple]*tracked{}}
	if conf.PerClient > 0 {
		k.of = map[netip.Addr]int{}
	}
	return k
}

// install gives a router its box and an address. The lock is held.
func (k *tracker) install(b box) {
	n := k.r.n
	n.install(k.r, b)
	k.fragments = k.r.newReassembler(n.timerID())
	if text := k.conf.impatience(); text != "" {
		k.impatient = n.fault(&k.r.node, "forgets silent connections ("+text+")", "connection that was silent for so long")
		k.impatient.nearly = func() string { return " (keep-alive probes are traffic, too)" }
	}
}

// Stats returns the current counters.
func (k *tracker) Stats() TrackingStats { return get(k.r.n, func() TrackingStats { return k.stats }) }

// Forget makes the middlebox lose all its connections without a word, as one that restarts, fails over to
// another or is replaced does.
func (k *tracker) Forget() {
	f := k.losing()
	k.r.n.do(f.beginNow)
}

func (k *tracker) forgetAll() {
	k.stats.Forgotten += k.stats.Open
	for _, c := range k.known {
		if k.known[c.ask] == c { // not forgotten yet: each connection is in the map twice
			k.forget(c)
		}
	}
}

// alive returns how many of the known connections have not ended.
func (k *tracker) alive() (count int) {
	for t, c := range k.known {
		if t == c.ask && !c.Ended() {
			count++
		}
	}
	return count
}

// open remembers a connection. Its packets are rewritten if answer is not ask reversed.
func (k *tracker) open(pkt *packet, answer tuple) *tracked {
	if k.of != nil {
		k.of[pkt.src.Addr()]++
	}
	k.stats.Open++
	k.stats.Opened++
	c := &tracked{Conn: conntrack.New(pkt.segment()), ask: tupleOf(pkt), answer: answer}
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
	if k.conf.rules().Timeouts.Own(c.State()) > 0 && !c.Ended() {
		k.impatient.hit(now)
	}
	if k.conf.Tell && c.State() == conntrack.Established {
		k.tell(now, c)
	}
}

// tell sends RST to both ends of a forgotten connection, with the numbers that they expect.
func (k *tracker) tell(now int64, c *tracked) {
	n := k.r.n
	for _, side := range []tuple{c.ask, c.answer} {
		f := k.r.flowTo(protoTCP, side.to, side.from)
		h, ok := c.Heard(side == c.ask)
		if f == nil || !ok {
			continue
		}
		s := n.pool.segments.get()
		tcp.ResetFor(&tcp.Segment{Flags: tcp.ACK, Ack: h.Ack, ISS: h.ISS, IRS: h.IRS}, s)
		pkt := n.pool.packet(f, protoTCP, side.to, side.from)
		pkt.seg, pkt.size = s, s.Size()
		k.r.send(now, pkt, f)
	}
}

// sound reports whether a packet is complete and without a bit error. It reassembles fragments: Linux judges
// what they carry, not each fragment, and none goes on before all have arrived (nf_defrag_ipv4,
// nf_defrag_ipv6). Then it looks at the checksum, before everything else (nf_conntrack_in).
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

// lookup finds the connection of a packet, or of what an ICMP message is about, and whether it comes from the
// side that opened the connection.
func (k *tracker) lookup(pkt *packet) (c *tracked, opener bool) {
	t := tupleOf(pkt)
	if pkt.proto == protoICMP { // its addresses are those of the packet that it quotes, reversed
		t.proto = pkt.icmp.about
	}
	c = k.known[t]
	opener = c != nil && c.ask == t
	if c != nil && !opener && c.TurnsRound(pkt.segment()) {
		k.forget(c)
		k.stats.Expired++
		return nil, false
	}
	return c, opener
}

// pass records a packet of a known connection and sends it on.
func (k *tracker) pass(now int64, pkt *packet, c *tracked, opener bool) {
	switch pkt.proto {
	case protoTCP:
		o := c.Segment(pkt.segment(), opener, k.conf.rules())
		if at := o.Until(now, c.timer.at); at != c.timer.at {
			c.timer.set(at)
		}
		if o.Verdict == conntrack.Invalid {
			k.stray(now, pkt, "does not fit its connection")
			return
		}
		if o.Over {
			k.forget(c)
			k.stats.Expired++
		}
	case protoUDP:
		c.timer.set(c.Datagram(now, opener, k.conf.rules().Timeouts).Until(now, c.timer.at))
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

// rewrite sends a packet on with other addresses.
func (k *tracker) rewrite(now int64, pkt *packet, f *flow, on tuple) {
	pkt.src, pkt.dst = on.from, on.to
	k.r.send(now, pkt, f)
}

// noConnection is the reason why strays of no connection are dropped.
const noConnection = "no known connection"

// here returns a reason for dropping a packet with the name of the box: on a path with several boxes, the
// addresses in a report do not show which it was.
func (k *tracker) here(why string) string { return why + " at " + k.r.name }

// badChecksum is the reason why a packet with a bit error is dropped (nf_conntrack_checksum).
const badChecksum = "checksum error"

// stray handles a packet that belongs to no connection, or does not fit the connection of its addresses.
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

// begins reports whether a packet may begin a connection.
func (k *tracker) begins(pkt *packet) bool {
	s := pkt.segment()
	if s == nil {
		return pkt.proto == protoUDP
	}
	return conntrack.Begins(s, k.conf.Stray == StrayAdopted || k.conf.Stray == StrayPassed)
}

// crowded drops a packet that would begin a connection for which there is no room, and reports whether it
// did.
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

// tooMany drops a packet that would begin one connection too many, and records why.
func (k *tracker) tooMany(now int64, pkt *packet, why string) {
	k.stats.Full++
	k.r.n.drop(now, pkt, nil, k.here(why))
}
