package sim

import (
	"fmt"
	"hash/crc32"
	"iter"
	"math/bits"
	"strings"
	"time"

	"github.com/squall-sim/squall/sim/internal/tcp"
)

// A Trace is the record of what happened on a network: every packet sent, delivered or dropped, and every
// event of hosts, links and connections, in order. Two runs that did the same have the same [Trace.Hash].
//
// A Trace keeps the last million events (48 bytes each, allocated as needed) and counts and hashes all of
// them. Of payloads it keeps a checksum, see [Event.Content].
type Trace struct {
	n       *Network
	hash    uint64 // of everything except what packets carry
	carried uint64 // and of what they carry
	total   int
	first   int        // number of the oldest event kept
	chunks  [][]record // each of chunkSize, except for the last
	nodes   []*node
	gone    chartTail // state that a chart needs of discarded events
	notes   []note
	noted   map[string]int32 // number in notes
}

type note struct {
	text string
	hash uint64
}

const (
	chunkSize  = 4096
	chunksKept = 256
)

// An EventKind is the kind of an [Event].
type EventKind uint8

const (
	Sent      EventKind = iota + 1 // a packet entered a link
	Delivered                      // a packet arrived at its host
	Dropped                        // a packet ended; Event.Note says where and why
	Held                           // a packet waits at the entry of a link (Link.Hold, Link.ARP) or at its sender (PartitionConfig)
	Noted                          // something happened to a host, link or connection: Event.Note
)

var kindNames = [...]string{Sent: "sent", Delivered: "delivered", Dropped: "dropped", Held: "held", Noted: "event"}

// String returns the word that a trace uses for the kind.
func (k EventKind) String() string { return kindNames[k] }

// An Event is one entry of a [Trace]. The fields from Protocol on describe a packet and are empty for other
// events.
type Event struct {
	Number   int           // place in the trace, from 0
	At       time.Duration // since the network was made
	Kind     EventKind     // what happened
	From, To string        // names of hosts; To is empty if only one is concerned
	Note     string        // what happened; for a packet, why it was dropped

	Protocol   string // "tcp", "udp", "icmp", "arp" or "ndp"
	SourcePort uint16 // of TCP and UDP
	TargetPort uint16 // of TCP and UDP
	// Flags are, for TCP, in tcpdump's letters: "S", "SA", "A", "PA", "FA", "R". For ARP they are "request"
	// or "reply", for NDP "solicitation" or "advertisement", for UDP "multicast", "broadcast" or "".
	Flags    string
	Seq, Ack uint64 // of TCP, counted from 0 at the SYN of each side
	Length   int    // bytes of payload
	Size     int    // bytes on the wire, IP header included
	IPv6     bool   // carried by IPv6
	Resent   bool   // a retransmission or a probe
	// Content is the CRC-32C of the payload of a packet Sent. The first fragment of a datagram has that of
	// the whole datagram.
	Content uint32
}

// A record is an Event as it is kept: without pointers, so that the garbage collector need not look into a
// million of them.
type record struct {
	at           int64
	kind         EventKind
	proto        protocol // with the bit overIPv6
	flags        tcp.Flags
	segment      tcp.Kind // of TCP: whether it is a retransmission or a probe
	from, to     int32    // numbers of hosts, from 1
	sport, dport uint16
	length, size uint16
	note         int32 // its number among Trace.notes, 0: none; for a packet Sent, which has no note, its Content
	seq, ack     uint64
}

// overIPv6 is the bit of a record's protocol for packets that IPv6 carries.
const overIPv6 protocol = 1 << 7

func newTrace(n *Network) *Trace {
	return &Trace{n: n, notes: make([]note, 1), noted: map[string]int32{"": 0}}
}

// add is called with the lock held.
func (t *Trace) add(r record, text string) {
	slot := t.slot()
	*slot = r
	t.seal(slot, t.hashOf(r.from)^t.hashOf(r.to)<<1, text)
}

// repeat adds a record of a packet without a note, and returns it as kept. hosts is as for seal.
func (t *Trace) repeat(r *record, hosts uint64) *record {
	slot := t.slot()
	*slot = *r
	t.seal(slot, hosts, "")
	return slot
}

// slot returns the place of the next record. It must be filled, then sealed.
func (t *Trace) slot() *record {
	if last := len(t.chunks) - 1; last >= 0 {
		chunk := &t.chunks[last]
		if k := len(*chunk); k < min(cap(*chunk), chunkSize) {
			*chunk = (*chunk)[:k+1]
			return &(*chunk)[k]
		}
	}
	return t.slotMade()
}

// slotMade is slot where there is no room left.
func (t *Trace) slotMade() *record {
	last := len(t.chunks) - 1
	if last < 0 || len(t.chunks[last]) == chunkSize {
		var chunk []record // the first grows as needed
		switch {
		case last+1 == chunksKept:
			t.forget(t.chunks[0])
			chunk = t.chunks[0][:0]
			t.chunks = append(t.chunks[:0], t.chunks[1:]...)
			t.first += chunkSize
		case last >= 0:
			chunk = make([]record, 0, chunkSize)
		}
		t.chunks = append(t.chunks, chunk)
		last = len(t.chunks) - 1
	}
	chunk := &t.chunks[last]
	*chunk = append(*chunk, record{})
	return &(*chunk)[len(*chunk)-1]
}

// seal completes the last record with its note and hashes it. hosts is a hash of the names of those
// concerned.
func (t *Trace) seal(r *record, hosts uint64, text string) {
	t.total++
	r.note = 0
	if text != "" {
		number, known := t.noted[text]
		if !known {
			number = int32(len(t.notes))
			t.notes = append(t.notes, note{text, hashString(text)})
			t.noted[text] = number
		}
		r.note = number
		hosts ^= t.notes[number].hash
	}
	// Odd constants from SplitMix64 and MurmurHash3.
	what := uint64(r.kind)<<32 | uint64(r.proto)<<24 | uint64(r.flags)<<8
	ports := uint64(r.sport)<<48 | uint64(r.dport)<<32 | uint64(r.length)
	t.hash = fold(t.hash^uint64(r.at), what^0x9e3779b97f4a7c15) ^
		fold(hosts^0xbf58476d1ce4e5b9, ports^0x94d049bb133111eb) ^
		fold(r.seq^0xff51afd7ed558ccd, r.ack^0xc4ceb9fe1a85ec53)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// carry completes the last record, of a packet Sent, with what the packet carries.
func (t *Trace) carry(r *record, payload []byte) {
	if len(payload) == 0 {
		return
	}
	sum := crc32.Checksum(payload, castagnoli)
	r.note = int32(sum)
	t.carried = fold(t.carried^uint64(sum), uint64(t.total)^0x2545f4914f6cdd1d)
}

// sum is Hash, with the lock held.
func (t *Trace) sum() uint64 { return t.hash ^ mix(t.carried) }

// fold multiplies to 128 bits and joins the halves, as wyhash does.
func fold(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

func (t *Trace) hashOf(host int32) uint64 {
	if host == 0 {
		return 0
	}
	return t.nodes[host-1].hash
}

// Hash returns a number that stands for all events so far and for what packets carried. Two runs with equal
// traces have the same hash. Different traces have different hashes, except with a chance of about 2^-64; if
// packets differ only in their payload the chance is that of CRC-32C, 2^-32. The seed is not part of the
// hash.
func (t *Trace) Hash() uint64 {
	return get(t.n, t.sum)
}

// Len returns the number of events, including those no longer kept.
func (t *Trace) Len() int {
	return get(t.n, func() int { return t.total })
}

// Events returns the events kept, oldest first.
func (t *Trace) Events() iter.Seq[Event] {
	return func(yield func(Event) bool) {
		for i := get(t.n, func() int { return t.first }); ; i++ {
			e := get(t.n, func() numbered { return t.numbered(i) })
			e.From, e.To, e.Note = own(e.From), own(e.To), own(e.Note)
			if !e.kept || !yield(e.Event) {
				return
			}
		}
	}
}

type numbered struct {
	Event
	kept bool
}

func (t *Trace) numbered(i int) (e numbered) {
	e.Event, e.kept = t.event(i)
	return e
}

// event returns the event of that number, if it is kept. The lock is held.
func (t *Trace) event(i int) (Event, bool) {
	if i < t.first || i >= t.total {
		return Event{}, false
	}
	e := t.eventOf(t.record(i))
	e.Number = i
	return e, true
}

// eventOf converts a record. The lock is held.
func (t *Trace) eventOf(r *record) Event {
	e := Event{
		At: time.Duration(r.at), Kind: r.kind,
		SourcePort: r.sport, TargetPort: r.dport,
		Seq: r.seq, Ack: r.ack, Length: int(r.length), Size: int(r.size), Resent: r.segment != tcp.Original,
	}
	if r.kind == Sent {
		e.Content = uint32(r.note)
	} else {
		e.Note = t.notes[r.note].text
	}
	if r.from != 0 {
		e.From = t.nodes[r.from-1].name
	}
	if r.to != 0 {
		e.To = t.nodes[r.to-1].name
	}
	proto := r.proto &^ overIPv6
	if r.kind != Noted {
		e.Protocol, e.IPv6 = proto.String(), r.proto != proto
	}
	if proto == protoTCP && r.kind != Noted {
		e.Flags = r.flags.String()
	}
	switch proto {
	case protoUDP:
		e.Flags = severalKinds[r.flags]
	case protoARP:
		e.Flags = arpKinds[r.flags]
	case protoNDP:
		e.Flags = ndpKinds[r.flags]
	}
	return e
}

// String returns the events kept, one on each line.
func (t *Trace) String() string {
	var b strings.Builder
	for e := range t.Events() {
		b.WriteString(e.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// String returns the event as a line in the style of tcpdump.
func (e Event) String() string {
	if e.Kind == Noted {
		where := e.From
		if e.To != "" {
			where += " - " + e.To
		}
		return fmt.Sprintf("%-14v %s: %s", e.At, where, e.Note)
	}
	from, to := e.From, e.To
	if e.Protocol != "arp" && e.Protocol != "ndp" {
		from, to = fmt.Sprintf("%s:%d", from, e.SourcePort), fmt.Sprintf("%s:%d", to, e.TargetPort)
	}
	line := fmt.Sprintf("%-14v %s %s > %s %s", e.At, e.Kind, from, to, e.packet())
	if e.Note != "" {
		line += " (" + e.Note + ")"
	}
	return line
}

// packet describes the packet of the event.
func (e Event) packet() string {
	if e.IPv6 {
		e.IPv6 = false
		return "ip6 " + e.packet()
	}
	switch e.Protocol {
	case "tcp":
	case "arp", "ndp":
		return e.Protocol + " " + e.Flags
	default:
		return fmt.Sprintf("%s len %d", strings.TrimSpace(e.Protocol+" "+e.Flags), e.Length)
	}
	s := fmt.Sprintf("[%s] seq %d", e.Flags, e.Seq)
	if e.Length > 0 {
		s = fmt.Sprintf("%s:%d", s, e.Seq+uint64(e.Length))
	}
	if strings.Contains(e.Flags, "A") {
		s += fmt.Sprintf(" ack %d", e.Ack)
	}
	if e.Length > 0 {
		s += fmt.Sprintf(" len %d", e.Length)
	}
	if e.Resent {
		s += " again"
	}
	return s
}

func (t *Trace) addNode(d *node) {
	t.nodes = append(t.nodes, d)
	d.number = int32(len(t.nodes))
}
