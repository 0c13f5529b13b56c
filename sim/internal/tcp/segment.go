package tcp

import (
	"math"
	"time"
)

// Time is an instant: the time since the network started.
type Time = time.Duration

// Never is the deadline of a timer that is off.
const Never Time = math.MaxInt64

// A Segment is one TCP segment. Its sequence numbers count from the initial ones: they are 0 at the SYN, and they never wrap.
//
// The payload is immutable once sent. The sender's retransmission queue, the network and the receive queue share it.
type Segment struct {
	Seq, Ack uint64
	ISS, IRS uint32 // initial sequence numbers, of the sender and of the receiver
	Payload  []byte

	// SACK holds the first SACKLen selective acknowledgements (RFC 2018). The
	// first one reports a duplicate (RFC 2883) if it lies below Ack or inside the second.
	SACK [4]Block

	// TSVal and TSEcr are the timestamps of RFC 7323, valid if HasTimestamps is true.
	TSVal, TSEcr Time

	Window uint32 // bytes, already scaled
	MSS    uint16 // on a SYN; 0: no such option
	Flags  Flags
	Kind   Kind

	SACKLen       uint8
	SACKPermitted bool  // on a SYN
	HasTimestamps bool  //
	HasScale      bool  // on a SYN: the sender can scale windows
	Scale         uint8 // on a SYN: the number of bits by which it shifts its own windows
	ECT           bool  // in the IP header (RFC 3168): routers may mark it
	CE            bool  // in the IP header: a router has marked it because of congestion

	inner
}

// inner holds the fields of a segment that only this package uses.
type inner struct {
	ipHeader uint8  // bytes
	last     Flags  // of a run: flags that only its last segment has
	behind   []byte // of a run: the payloads after the first, each as long as the first, except that the last may be shorter
}

// A Block is a range of sequence numbers, [Start, End).
type Block struct{ Start, End uint64 }

// Flags are the control bits of a segment.
type Flags uint8

const (
	FIN Flags = 1 << iota
	SYN
	RST
	PSH
	ACK
	ECE // the receiver of this segment must reduce its window (RFC 3168)
	CWR // the sender has reduced its window
)

// String lists the flags with tcpdump's letters and in tcpdump's order: "S", "SA", "PA", "FPA", "SEW".
func (f Flags) String() string {
	const letters = "FSRPAEW"
	var b [len(letters)]byte
	n := 0
	for i := range letters {
		if f&(1<<i) != 0 {
			b[n] = letters[i]
			n++
		}
	}
	return string(b[:n])
}

// Kind says why a segment was sent. It is for traces, and is not transmitted.
type Kind uint8

const (
	Original       Kind = iota
	Retransmission      // of data, SYN or FIN
	TailLossProbe       // RFC 8985 section 7; new data or the last segment again
	WindowProbe         // of a closed window, RFC 9293 section 3.8.6.1
	KeepAliveProbe      // RFC 9293 section 3.8.4
)

func (k Kind) String() string {
	return [...]string{"original", "retransmission", "tail loss probe", "window probe", "keep-alive"}[k]
}

// Header sizes in bytes. Options are padded as Linux lays them out: timestamps
// take 12 bytes, the SACK option 4 and 8 for each block.
const (
	ipv4Header      = 20
	ipv6Header      = 40
	tcpHeader       = 20
	timestampOption = 12
	sackOptionBase  = 4
	sackBlockSize   = 8
	mssOption       = 4
	scaleOption     = 4
	sackPermOption  = 4 // with timestamps it replaces two of their four bytes of padding
)

// Size returns the segment's length on the wire in bytes: IP and TCP headers, options and payload.
func (s *Segment) Size() int {
	if s.ipHeader == 0 {
		return ipv4Header + s.tcpSize()
	}
	return int(s.ipHeader) + s.tcpSize()
}

// tcpSize is Size without the IP header.
func (s *Segment) tcpSize() int {
	n := tcpHeader + len(s.Payload)
	if s.HasTimestamps {
		n += timestampOption
	}
	if s.SACKLen > 0 {
		n += sackOptionBase + sackBlockSize*int(s.SACKLen)
	}
	if s.Flags&SYN != 0 {
		if s.MSS != 0 {
			n += mssOption
		}
		if s.HasScale {
			n += scaleOption
		}
		if s.SACKPermitted && !s.HasTimestamps {
			n += sackPermOption
		}
	}
	return n
}

// Len returns the length of the segment in sequence numbers: its payload, plus one each for SYN and FIN.
func (s *Segment) Len() int {
	n := len(s.Payload)
	if s.Flags&SYN != 0 {
		n++
	}
	if s.Flags&FIN != 0 {
		n++
	}
	return n
}

// ResetFor fills out, which must be zero, with the RST that answers s if there is no connection (RFC 9293 section 3.10.7.1). It returns
// false if s is itself a RST, which is never answered.
func ResetFor(s *Segment, out *Segment) bool {
	if s.Flags&RST != 0 {
		return false
	}
	out.ipHeader = s.ipHeader
	out.ISS, out.IRS = s.IRS, s.ISS
	if s.Flags&ACK != 0 {
		out.Flags = RST
		out.Seq = s.Ack
		return true
	}
	out.Flags = RST | ACK
	out.Ack = s.Seq + uint64(s.Len())
	return true
}
