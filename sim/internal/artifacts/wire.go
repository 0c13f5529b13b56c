package artifacts

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/squall-sim/squall/sim/internal/tcp"
)

// Protocol numbers of the IP header (IANA).
const (
	protoICMP     = 1
	protoTCP      = 6
	protoUDP      = 17
	protoFragment = 44
	protoICMP6    = 58
)

// A Header holds the fields of an IP header apart from lengths and checksums.
type Header struct {
	From, To netip.Addr
	ID       uint32 // identification of a fragmented datagram: IPv4 uses 16 bits of it
	DF       bool
	Cut      bool // the packet is a fragment
	Offset   int  // first byte of the payload in this fragment
	More     bool // more fragments follow
	ECT, CE  bool // RFC 3168
}

// IP returns the packet with the given payload. It does not retain payload.
func (h Header) IP(proto byte, payload []byte) []byte {
	ecn := byte(0)
	switch {
	case h.CE:
		ecn = 3
	case h.ECT:
		ecn = 2
	}
	if h.To.Is6() && !h.To.Is4In6() {
		return h.ip6(proto, ecn, payload)
	}
	b := make([]byte, 20, 20+len(payload))
	b[0], b[1] = 0x45, ecn
	binary.BigEndian.PutUint16(b[2:], uint16(20+len(payload)))
	binary.BigEndian.PutUint16(b[4:], uint16(h.ID))
	part := uint16(h.Offset / 8)
	if h.More {
		part |= 1 << 13
	}
	if h.DF {
		part |= 1 << 14
	}
	binary.BigEndian.PutUint16(b[6:], part)
	b[8], b[9] = 64, proto
	from, to := h.From.Unmap().As4(), h.To.Unmap().As4()
	copy(b[12:], from[:])
	copy(b[16:], to[:])
	binary.BigEndian.PutUint16(b[10:], ^sum(0, b))
	return append(b, payload...)
}

// ip6 is IP for version 6. A fragment gets a fragment header (RFC 8200 section 4.5).
func (h Header) ip6(proto, ecn byte, payload []byte) []byte {
	extra := 0
	if h.Cut {
		extra = 8
	}
	b := make([]byte, 40+extra, 40+extra+len(payload))
	b[0], b[1] = 0x60, ecn<<4
	binary.BigEndian.PutUint16(b[4:], uint16(extra+len(payload)))
	b[6], b[7] = proto, 64
	from, to := h.From.As16(), h.To.As16()
	copy(b[8:], from[:])
	copy(b[24:], to[:])
	if h.Cut {
		b[6], b[40] = protoFragment, proto
		part := uint16(h.Offset) &^ 7
		if h.More {
			part |= 1
		}
		binary.BigEndian.PutUint16(b[42:], part)
		binary.BigEndian.PutUint32(b[44:], h.ID)
	}
	return append(b, payload...)
}

// Fragment returns the fragment that h describes, up to the byte end of the whole payload.
func (h Header) Fragment(proto byte, whole []byte, end int) []byte {
	h.More = end < len(whole)
	return h.IP(proto, whole[min(h.Offset, len(whole)):min(end, len(whole))])
}

// sum adds bytes to a sum as the internet checksum uses it (RFC 1071). The checksum is the complement of the sum.
func sum(start uint16, b []byte) uint16 {
	s := uint64(start)
	for ; len(b) >= 4; b = b[4:] {
		s += uint64(binary.BigEndian.Uint32(b))
	}
	if len(b) >= 2 {
		s += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		s += uint64(b[0]) << 8
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// seal writes the checksum of a payload into two bytes of it, at index at. The checksum covers the addresses too (RFC 9293 section 3.1).
func seal(b []byte, at int, proto byte, from, to netip.Addr) []byte {
	b[at], b[at+1] = 0, 0
	ends := append(from.Unmap().AsSlice(), to.Unmap().AsSlice()...)
	s := sum(sum(sum(0, ends), []byte{0, proto, byte(len(b) >> 24), byte(len(b) >> 16)}), []byte{byte(len(b) >> 8), byte(len(b))})
	binary.BigEndian.PutUint16(b[at:], ^sum(s, b))
	return b
}

// TCP returns a segment from one end to another as bytes, with the options laid out as in Linux. shift is the scale of its window, in bits.
func TCP(s *tcp.Segment, from, to netip.AddrPort, shift uint8) []byte {
	b := make([]byte, 20, 80+len(s.Payload))
	binary.BigEndian.PutUint16(b, from.Port())
	binary.BigEndian.PutUint16(b[2:], to.Port())
	binary.BigEndian.PutUint32(b[4:], s.ISS+uint32(s.Seq))
	if s.Flags&tcp.ACK != 0 {
		binary.BigEndian.PutUint32(b[8:], s.IRS+uint32(s.Ack))
	}
	for _, f := range []struct {
		flag tcp.Flags
		bit  byte
	}{{tcp.FIN, 1}, {tcp.SYN, 2}, {tcp.RST, 4}, {tcp.PSH, 8}, {tcp.ACK, 16}, {tcp.ECE, 64}, {tcp.CWR, 128}} {
		if s.Flags&f.flag != 0 {
			b[13] |= f.bit
		}
	}
	if s.Flags&tcp.SYN != 0 {
		shift = 0
	}
	binary.BigEndian.PutUint16(b[14:], uint16(min(s.Window>>shift, 65535)))
	b = options(b, s)
	b[12] = byte(len(b)/4) << 4
	return seal(append(b, s.Payload...), 16, protoTCP, from.Addr(), to.Addr())
}

// options appends the options of a segment (tcp_options_write).
func options(b []byte, s *tcp.Segment) []byte {
	syn := s.Flags&tcp.SYN != 0
	if syn && s.MSS != 0 {
		b = append(b, 2, 4, byte(s.MSS>>8), byte(s.MSS))
	}
	switch permitted := syn && s.SACKPermitted; {
	case s.HasTimestamps:
		if permitted {
			b = append(b, 4, 2)
		} else {
			b = append(b, 1, 1)
		}
		b = append(b, 8, 10)
		b = binary.BigEndian.AppendUint32(b, ticks(s.TSVal))
		b = binary.BigEndian.AppendUint32(b, ticks(s.TSEcr))
	case permitted:
		b = append(b, 1, 1, 4, 2)
	}
	if syn && s.HasScale {
		b = append(b, 1, 3, 3, s.Scale)
	}
	if s.SACKLen > 0 {
		b = append(b, 1, 1, 5, 2+8*s.SACKLen)
		for _, block := range s.SACK[:s.SACKLen] {
			b = binary.BigEndian.AppendUint32(b, s.IRS+uint32(block.Start))
			b = binary.BigEndian.AppendUint32(b, s.IRS+uint32(block.End))
		}
	}
	return b
}

// ticks returns an instant as a TCP timestamp, whose clock ticks every millisecond as in Linux.
func ticks(t tcp.Time) uint32 { return uint32(t / time.Millisecond) }

// UDP returns a datagram from one end to another as bytes.
func UDP(data []byte, from, to netip.AddrPort) []byte {
	b := make([]byte, 8, 8+len(data))
	binary.BigEndian.PutUint16(b, from.Port())
	binary.BigEndian.PutUint16(b[2:], to.Port())
	binary.BigEndian.PutUint16(b[4:], uint16(8+len(data)))
	b = seal(append(b, data...), 6, protoUDP, from.Addr(), to.Addr())
	if b[6] == 0 && b[7] == 0 { // 0 would mean that there is no checksum (RFC 768)
		b[6], b[7] = 0xff, 0xff
	}
	return b
}

// ICMP returns a message of a type and code about a packet. It quotes as much of the packet as the standards demand: over IPv4 the header
// and 8 bytes (RFC 792), over IPv6 as much as fits into the minimum MTU (RFC 4443 section 2.4). mtu is 0, except in a message that a packet
// is too big.
func ICMP(kind, code byte, mtu uint16, about []byte, from, to netip.Addr) []byte {
	b := make([]byte, 8, 8+len(about))
	b[0], b[1] = kind, code
	if from.Is4() {
		binary.BigEndian.PutUint16(b[6:], mtu)
		b = append(b, about[:min(len(about), 28)]...)
		binary.BigEndian.PutUint16(b[2:], ^sum(0, b))
		return b
	}
	binary.BigEndian.PutUint32(b[4:], uint32(mtu))
	const leastMTU = 1280
	b = append(b, about[:min(len(about), leastMTU-48)]...)
	return seal(b, 2, protoICMP6, from, to)
}
