package artifacts

import (
	"net/netip"
	"time"
)

// A Run describes one run of a test.
type Run struct {
	Test, Package string
	Seed          uint64
	Failed        bool
	Hash          string        // of the trace
	Elapsed       time.Duration // virtual time
	Start         time.Time     // in virtual time
	Sentence      string        // the reason for the failure
	Report        string        // as printed on the terminal
	Command       string        // the command that repeats the run
	Second        string        // the result of a second run
	Story         string        // the run's faults as Go code; empty: no faults

	Hosts   []Host // a host's number is its index
	Columns []int  // hosts in the order of the columns of a picture
	Total   int    // the number of events that happened
	Events  []Event
	Conns   []Conn // a connection's number is its index
	States  []State
	Faults  []Fault
	Lines   []Line
}

// A Host is a host of the network, or a router.
type Host struct {
	Name   string       `json:"name"`
	Addrs  []netip.Addr `json:"addrs,omitempty"`
	Router bool         `json:"router,omitempty"`
}

// Nobody stands for the number of a host if there is no host.
const Nobody = -1

// A Kind is the kind of an [Event].
type Kind string

// The kinds of events, as in the text of a trace.
const (
	Sent      Kind = "sent"
	Delivered Kind = "delivered"
	Dropped   Kind = "dropped"
	Held      Kind = "held"
	Noted     Kind = "event"
)

// An Event is an event of the trace. If its kind is [Noted], the fields that describe a packet are empty.
type Event struct {
	Number   int
	At       time.Duration
	Kind     Kind
	From, To int // hosts, or Nobody
	Note     string

	Protocol   string
	SourcePort uint16
	TargetPort uint16
	Flags      string
	Seq, Ack   uint64
	Length     int
	Size       int
	IPv6       bool
	Again      bool
	Content    uint32

	Packet int    // number of the event with which the packet began; -1: unknown, too long ago
	Before int    // if a middlebox changed a packet and so began this one, the number of that packet; else -1
	Frame  []byte // the packet from its IP header on, as it was at this event; nil: unknown, or not IP
}

// A Conn is one end of a TCP connection.
type Conn struct {
	Host        int
	Local, Peer netip.AddrPort
	Dialled     bool // this end dialled
}

// A State is the state of a connection from an instant on.
type State struct {
	At   time.Duration
	Conn int
	Name string // name of the state, such as "ESTABLISHED"

	Cwnd, SSThresh, InFlight int // segments; SSThresh -1: infinite
	MSS                      int // bytes
	SRTT, RTO                time.Duration
	SendQueue, ReceiveQueue  int // bytes
	SendWindow               int // bytes that the peer allows this end to send
	Again                    int // segments sent again
}

// A Fault is a period during which a fault lasted.
type Fault struct {
	Name       string
	Code       string // Go code
	A, B       int    // the hosts concerned, or Nobody
	Begun      time.Duration
	Over       time.Duration // -1: it lasted to the end
	Met        int           // number of packets and the like that it affected, over all its periods
	NeverBegan bool
	Number     int  // position in the order in which the faults were made, from 1
	Part       bool // another fault is made of it
}

// A Line is a line that the program logged.
type Line struct {
	At   time.Duration
	Text string
}
