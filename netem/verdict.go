package netem

import "time"

// Verdict is what happens to one packet. The copy is the one that Duplicate
// makes.
type Verdict struct {
	Departure time.Duration // when the packet's last bit is sent
	At        time.Duration // when the packet arrives
	DupAt     time.Duration // when the copy arrives

	// Reason is why the packet is dropped, or [Delivered]. A dropped packet has
	// no other field set.
	Reason DropReason

	Reordered  bool // the packet is sent ahead without the delay
	Corrupt    bool // the packet arrives with a bit error
	Dup        bool // there is a copy
	DupCorrupt bool // the copy arrives with a bit error
}

// Dropped says whether the packet goes nowhere.
func (v Verdict) Dropped() bool { return v.Reason != Delivered }

// DropReason is why a packet is dropped.
type DropReason uint8

const (
	Delivered DropReason = iota // not dropped
	DropMTU                     // larger than the MTU
	DropLoss                    // lost by the loss model
	DropQueue                   // the queue was full
)

// String returns a word for traces: "delivered", "mtu", "loss" or "queue".
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
	default:
		return "unknown"
	}
}
