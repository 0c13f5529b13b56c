package netem

import "time"

// Verdict is what happens to one packet.
type Verdict struct {
	// Ticket is not 0 if the packet's fate is still open: [Pipe.Take] returns the rest, except for the
	// copies.
	Ticket uint64

	Departure time.Duration // when the packet's last bit is sent
	At        time.Duration // when the packet arrives

	// Copies are those that Duplicate makes. The slice belongs to the pipe: the next Send overwrites it.
	Copies []Copy

	Noise uint64 // random bits for Damage, if the packet is corrupt

	// Reason is why the packet is dropped, or [Delivered]. A dropped packet has no other field set.
	Reason DropReason

	Reordered bool // the packet skips the delay
	Corrupt   bool // the packet arrives with a bit error, or with Damage
	Marked    bool // the packet arrives marked "congestion experienced"
}

// Copy is what happens to one copy of a packet. Its fields are as in [Verdict].
type Copy struct {
	Ticket    uint64        // not 0 if the copy's fate is still open
	Departure time.Duration // when the copy's last bit is sent
	At        time.Duration // when the copy arrives
	Noise     uint64        // random bits for Damage, if the copy is corrupt
	Corrupt   bool          // the copy arrives with a bit error, or with Damage
	Marked    bool          // the copy arrives marked, as its original does
}

// Dropped reports whether the packet is dropped.
func (v Verdict) Dropped() bool { return v.Reason != Delivered }

// DropReason is why a packet is dropped.
type DropReason uint8

const (
	Delivered DropReason = iota // not dropped
	DropMTU                     // larger than the MTU
	DropLoss                    // lost by the loss model
	DropQueue                   // the queue was full
	DropLimit                   // the link already held Limit packets
)

// String returns a word for traces: "delivered", "mtu", "loss", "queue" or "limit".
func (r DropReason) String() string {
	switch r {
	case Delivered:
		return "delivered"
	case DropMTU:
		return "mtu"
	case DropLoss:
		return "loss"
	case DropQueue:
		return "queue"
	case DropLimit:
		return "limit"
	default:
		return "unknown"
	}
}
