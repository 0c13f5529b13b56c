package sim

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"strings"

	"github.com/squall-sim/squall/internal/count"
	"github.com/squall-sim/squall/sim/internal/tcp"
)

// Packets selects the packets of a link that a fault applies to: those that meet all conditions that are set.
// The zero value selects all packets in both directions, except those of ARP and neighbour discovery, which
// are never selected.
//
//	sim.Packets{From: server, Kind: sim.Data, Nth: 3}    the third packet with data from the server
//	sim.Packets{From: server, Kind: sim.Data}            every answer, but no request
//	sim.Packets{Kind: sim.SYNACK}                        every SYN-ACK
//	sim.Packets{Kind: sim.SYN, Connections: 2}           the SYNs of the first two connections
//
// Packets are counted from the time at which the fault first begins. A retransmitted packet counts again. A
// function that takes Packets panics if they are not valid for its link.
type Packets struct {
	From  Node             // packets that leave this end of the link, a host or router; nil: both directions
	Kind  PacketKind       // packets of this kind; zero: any
	IP    int              // packets of this version of IP, 4 or 6; 0: both
	Addr  netip.Addr       // packets from or to this address, as it is on this link; the zero Addr: any
	Port  int              // TCP and UDP packets from or to this port, 1 to 65535; 0: any
	Conn  net.Conn         // packets of this connection, a *[TCPConn] or *[UDPConn], by its addresses on this link
	Where func(Event) bool // packets for which it returns true; it gets the Event of the packet as Sent, and must not call the network

	Connections int // of the packets selected so far, those of the first so many TCP connections; 0: any

	Nth   int // of those, only the packet with this number, from 1; 0: all. Excludes First and Skip
	First int // only so many, after the ones that Skip leaves out; 0: all
	Skip  int // leave out the first so many
}

// A PacketKind is a kind of packet, for [Packets].
type PacketKind uint8

const (
	AnyPacket PacketKind = iota // of any kind
	TCP                         // TCP segments
	UDP                         // UDP datagrams
	ICMP                        // ICMP messages
	Data                        // TCP and UDP packets with a payload
	SYN                         // the first segment of a TCP connection, without an acknowledgement
	SYNACK                      // the answer to a SYN
	FIN                         // segments with FIN, whatever else they carry
	RST                         // segments with RST
	PureACK                     // segments that only acknowledge, including keep-alive probes and answers to them
	SentAgain                   // TCP retransmissions and probes
)

// packetKinds are the kinds as Go and in words.
var packetKinds = [...]struct{ code, words string }{
	{"sim.AnyPacket", "packets"}, {"sim.TCP", "segments"}, {"sim.UDP", "datagrams"}, {"sim.ICMP", "ICMP messages"},
	{"sim.Data", "packets with data"}, {"sim.SYN", "SYNs"}, {"sim.SYNACK", "SYN-ACKs"}, {"sim.FIN", "FINs"},
	{"sim.RST", "RSTs"}, {"sim.PureACK", "pure ACKs"}, {"sim.SentAgain", "segments sent again"},
}

// String returns the kind in words, such as "packets with data".
func (k PacketKind) String() string {
	if int(k) < len(packetKinds) {
		return packetKinds[k].words
	}
	return fmt.Sprintf("PacketKind(%d)", uint8(k))
}

// has reports whether a packet is of the kind.
func (k PacketKind) has(pkt *packet) bool {
	switch k {
	case AnyPacket:
		return true
	case TCP:
		return pkt.proto == protoTCP
	case UDP:
		return pkt.proto == protoUDP
	case ICMP:
		return pkt.proto == protoICMP
	case Data:
		return pkt.proto != protoICMP && len(pkt.payload()) > 0
	}
	s := pkt.segment()
	if s == nil {
		return false
	}
	switch k {
	case SYN:
		return s.Flags&(tcp.SYN|tcp.ACK) == tcp.SYN
	case SYNACK:
		return s.Flags&(tcp.SYN|tcp.ACK) == tcp.SYN|tcp.ACK
	case FIN:
		return s.Flags&tcp.FIN != 0
	case RST:
		return s.Flags&tcp.RST != 0
	case PureACK:
		return s.Flags == tcp.ACK && len(s.Payload) == 0
	default:
		return s.Kind != tcp.Original
	}
}

// segment returns the segment that a TCP packet carries, or nil. A fragmented packet carries it with its
// first fragment.
func (pkt *packet) segment() *tcp.Segment {
	switch w := pkt.frag.whole; {
	case pkt.proto != protoTCP || w != nil && pkt.frag.offset > 0:
		return nil
	case w != nil:
		return w.seg
	}
	return pkt.seg
}

// check returns an error if the selection makes no sense, for a fault of streams or of any packets.
func (s *Packets) check(l *Link, streams bool) error {
	counts := []struct {
		name  string
		value int
	}{{"Connections", s.Connections}, {"Nth", s.Nth}, {"First", s.First}, {"Skip", s.Skip}}
	for _, c := range counts {
		if c.value < 0 {
			return fmt.Errorf("Packets.%s is %d: it must be 0 or more", c.name, c.value)
		}
	}
	switch {
	case int(s.Kind) >= len(packetKinds):
		return fmt.Errorf("Packets.Kind is %d: it must be one of the constants, AnyPacket to SentAgain", uint8(s.Kind))
	case s.Port < 0 || s.Port > 65535:
		return fmt.Errorf("Packets.Port is %d: it must be 0 to 65535", s.Port)
	case s.IP != 0 && s.IP != 4 && s.IP != 6:
		return fmt.Errorf("Packets.IP is %d: it must be 4, 6, or 0 for both", s.IP)
	case s.Addr.Is4In6() || s.Addr.Zone() != "":
		return fmt.Errorf("Packets.Addr is %v: it must be as in a packet, neither mapped to IPv6 nor with a zone", s.Addr)
	case s.IP != 0 && s.Addr.IsValid() && s.IP != versionOf(s.Addr):
		return fmt.Errorf("Packets.Addr is %v: it must be an address of Packets.IP, %d", s.Addr, s.IP)
	case s.Nth > 0 && s.First+s.Skip > 0:
		return fmt.Errorf("Packets.Nth is %d: it must be 0 with First or Skip", s.Nth)
	case s.Connections > 0 && (s.Kind == UDP || s.Kind == ICMP):
		return fmt.Errorf("Packets.Connections is %d: it must be 0 for %v, which have none", s.Connections, s.Kind)
	case s.Port > 0 && s.Kind == ICMP:
		return fmt.Errorf("Packets.Port is %d: it must be 0 for %v, which have none", s.Port, s.Kind)
	}
	if s.From != nil {
		if from := l.n.nodeOf("Packets.From", s.From); from != l.a && from != l.b {
			return fmt.Errorf("Packets.From is %q: it must be one of the link's two ends", from.name)
		}
	}
	const other = "Packets.Conn belongs to another network"
	switch c := s.Conn.(type) {
	case nil:
	case *TCPConn:
		switch {
		case c == nil || c.host.n != l.n:
			return errors.New(other)
		case s.Kind == UDP || s.Kind == ICMP:
			return fmt.Errorf("Packets.Kind is %v, but Packets.Conn is a TCP connection", s.Kind)
		}
	case *UDPConn:
		switch {
		case c == nil || c.host.n != l.n:
			return errors.New(other)
		case !c.remote.IsValid():
			return errors.New("Packets.Conn is a UDP socket without a remote address: it must be connected")
		case streams || s.Kind != AnyPacket && s.Kind != UDP && s.Kind != Data:
			return fmt.Errorf("Packets.Conn is a UDP socket, which has no %v", cmp.Or(s.Kind, TCP))
		}
	default:
		return fmt.Errorf("Packets.Conn is a %T: it must be a *sim.TCPConn or a *sim.UDPConn, such as NetConn of a TLS connection returns", c)
	}
	if local, remote := s.of(); local.IsValid() {
		switch {
		case s.IP != 0 && s.IP != versionOf(remote.Addr()):
			return fmt.Errorf("Packets.IP is %d, but Packets.Conn is connected to %v", s.IP, remote)
		case s.Addr.IsValid() && s.Addr != local.Addr() && s.Addr != remote.Addr():
			return fmt.Errorf("Packets.Addr is %v, but Packets.Conn is from %v to %v", s.Addr, local, remote)
		}
	}
	if streams && (s.Kind == UDP || s.Kind == ICMP) {
		return fmt.Errorf("Packets.Kind is %v: the fault is for TCP only", s.Kind)
	}
	return nil
}

// String describes the packets: "the 3rd of the packets with data from server".
func (s Packets) String() string {
	var b strings.Builder
	switch last := s.Skip + s.First; {
	case s.Nth > 0:
		b.WriteString("the " + ordinal(s.Nth) + " of the ")
	case s.First == 1:
		b.WriteString("the " + ordinal(last) + " of the ")
	case s.First > 0 && s.Skip > 0:
		b.WriteString("the " + ordinal(s.Skip+1) + " to " + ordinal(last) + " of the ")
	case s.First > 0:
		b.WriteString("the first " + count.Thousands(s.First) + " of the ")
	case s.Skip > 0:
		b.WriteString("all but the first " + count.Thousands(s.Skip) + " of the ")
	}
	b.WriteString(s.Kind.String())
	if s.From != nil {
		b.WriteString(" from " + s.From.base().name)
	}
	if s.IP > 0 {
		fmt.Fprintf(&b, " of IPv%d", s.IP)
	}
	if s.Addr.IsValid() {
		fmt.Fprintf(&b, " of %v", s.Addr)
	}
	if s.Port > 0 {
		fmt.Fprintf(&b, " of port %d", s.Port)
	}
	if s.Conn != nil {
		fmt.Fprintf(&b, " of %v - %v", s.Conn.LocalAddr(), s.Conn.RemoteAddr())
	}
	switch {
	case s.Connections == 1:
		b.WriteString(" of the first connection")
	case s.Connections > 1:
		b.WriteString(" of the first " + count.Thousands(s.Connections) + " connections")
	}
	if s.Where != nil {
		b.WriteString(" that " + functionName(reflect.ValueOf(s.Where)) + " picks")
	}
	return b.String()
}

// ordinal returns a number as in "the 3rd".
func ordinal(k int) string {
	endings := [...]string{"th", "st", "nd", "rd"}
	switch last := k % 10; {
	case k == 1:
		return "first"
	case last > 3 || k/10%10 == 1:
		return count.Thousands(k) + endings[0]
	default:
		return count.Thousands(k) + endings[last]
	}
}

// versionOf returns the version of IP.
func versionOf(a netip.Addr) int {
	if a.Is4() {
		return 4
	}
	return 6
}

// chosen reports whether a packet that meets all other conditions is among those counted; count is its
// number, from 1.
func (s *Packets) chosen(count int) bool {
	switch {
	case s.Nth > 0:
		return count == s.Nth
	case s.First > 0:
		return count > s.Skip && count <= s.Skip+s.First
	}
	return count > s.Skip
}

// of returns the addresses of Conn, if it is set.
func (s *Packets) of() (local, remote netip.AddrPort) {
	switch c := s.Conn.(type) {
	case *TCPConn:
		return c.ends.local, c.ends.remote
	case *UDPConn:
		return c.local, c.remote
	}
	return local, remote
}
