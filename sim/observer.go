package sim

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/squall-sim/squall/internal/count"
)

// An observer looks at a run of [Explore]: which packets there are, what they carry, and what is sent after
// something has broken.
type observer struct {
	n      *Network
	counts map[observed]int
	asked  map[ends]string // the last HTTP request on a connection

	packets []observedPacket // the first ones, up to mostPlaces
	all     int
	said    map[string]int // requests and the like, by text: how often each was sent

	strikes []strike
	fired   int    // breakages that have met their packet
	outcome uint64 // hash of what was sent after the last of them, in order
}

// mostPlaces is how many packets of a run can break: each takes memory.
const mostPlaces = 100_000

// An observed is a path and a kind of packets on it.
type observed struct {
	from, to *node
	kind     PacketKind
}

// An observedPacket is one at which something may break.
type observedPacket struct {
	At     Place
	When   time.Duration
	What   string // in words
	Prefix uint64 // hash of the trace before it
	Kinds  uint16 // breakages that are possible there, a bit each
}

// A strike is where something broke.
type strike struct {
	Prefix uint64
	Packet int // number of packets before it
}

func (o *observer) begin(n *Network) {
	o.n = n
	o.counts, o.asked, o.said = map[observed]int{}, map[ends]string{}, map[string]int{}
}

// explored makes the network do what [Explore] wants.
func (n *Network) explored() {
	if n.watch.sees = n.conf.sees; n.watch.sees != nil {
		n.watch.sees.begin(n)
		n.lookahead.on = false // as with a breakage, so that the traces can be compared
	}
	for _, p := range n.conf.breaks {
		b := n.breakage(p)
		b.by = n.moment()
		n.watchFor(b)
	}
}

// tellingKinds are the kinds that distinguish a TCP packet from others, the most specific first.
var tellingKinds = []PacketKind{SYN, SYNACK, RST, Data, FIN, PureACK, TCP}

// see records a packet that leaves its host.
func (o *observer) see(now int64, pkt *packet) {
	o.all++
	for k := range packetKinds {
		if kind := PacketKind(k); kind.has(pkt) {
			o.counts[observed{pkt.way.from, pkt.way.to, kind}]++
		}
	}
	kind := UDP
	for _, k := range tellingKinds {
		if pkt.proto == protoTCP && k.has(pkt) {
			kind = k
			break
		}
	}
	what := o.words(kind, pkt)
	if len(o.strikes) > 0 {
		flags := uint64(kind) << 32
		o.outcome = fold(o.outcome^hashString(what)^flags, pkt.way.hash^0x9e3779b97f4a7c15)
	}
	if len(o.packets) == mostPlaces {
		return
	}
	p := observedPacket{
		At:   Place{From: own(pkt.way.from.name), To: own(pkt.way.to.name), Kind: kind, Nth: o.counts[observed{pkt.way.from, pkt.way.to, kind}]},
		When: time.Duration(now), What: what, Prefix: o.n.log.trace.sum(),
	}
	for w := range breakageWords {
		if w > 0 && Breakage(w).canBe(pkt) {
			p.Kinds |= 1 << w
		}
	}
	o.packets = append(o.packets, p)
}

// struck records that something breaks at the last packet seen.
func (o *observer) struck() {
	o.outcome = 0
	at := strike{Packet: o.all - 1}
	if at.Packet < len(o.packets) {
		at.Prefix = o.packets[at.Packet].Prefix
	}
	o.strikes = append(o.strikes, at)
}

// words describes a packet, as part of a sentence.
func (o *observer) words(kind PacketKind, pkt *packet) string {
	payload := pkt.payload()
	again := ""
	if SentAgain.has(pkt) {
		again = ", sent again"
	}
	switch kind {
	case SYN:
		return "the SYN" + again
	case SYNACK:
		return "the SYN-ACK" + again
	case RST:
		return "the RST"
	case FIN:
		return "the FIN" + again
	case PureACK, TCP:
		return "the ACK"
	}
	line, _, _ := bytes.Cut(payload, []byte("\n"))
	text := strings.TrimRight(string(line[:min(len(line), 80)]), "\r")
	here, there := ends{pkt.src, pkt.dst}, ends{pkt.dst, pkt.src}
	if method, target, ok := httpRequest(text); ok {
		o.asked[here] = method + " " + target
		if again == "" {
			o.said[o.asked[here]]++
		}
		return fmt.Sprintf("%s %s%s%s", method, target, ofSeveral(o.said[o.asked[here]]), again)
	}
	if status, ok := strings.CutPrefix(text, "HTTP/1."); ok && o.asked[there] != "" {
		_, status, _ = strings.Cut(status, " ")
		return fmt.Sprintf("the answer (%s) to %s%s%s", status, o.asked[there], ofSeveral(o.said[o.asked[there]]), again)
	}
	bytes := count.Of(len(payload), "byte", "bytes")
	switch {
	case kind == UDP:
		return "the datagram of " + bytes
	case printable(text) && again == "":
		text = fmt.Sprintf("%q", text[:min(len(text), 40)])
		if len(text) > shortest {
			o.said[text]++
		}
		return "the " + bytes + " " + text
	}
	return "the " + bytes + again
}

// shortest is the length of a line, with its quotes, below which it says nothing.
const shortest = 5

// ofSeveral numbers texts that occur more than once.
func ofSeveral(nth int) string {
	if nth < 2 {
		return ""
	}
	return ", the " + ordinal(nth) + " time"
}

// httpRequest reads the first line of a request of HTTP/1.
func httpRequest(line string) (method, target string, ok bool) {
	f := strings.Fields(line)
	if len(f) < 2 || len(f) == 3 && !strings.HasPrefix(f[2], "HTTP/1.") {
		return "", "", false
	}
	switch f[0] {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT":
		return f[0], f[1], true
	}
	return "", "", false
}

// printable reports whether a line of text is worth showing.
func printable(text string) bool {
	for _, r := range text {
		if r < ' ' || r > '~' {
			return false
		}
	}
	return len(text) > 0
}
