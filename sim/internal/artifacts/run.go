package artifacts

import (
	"net/netip"
	"time"
)

// A Run is what is known of one run of a test.
type Run struct {
	Test, Package string
	Seed          uint64
	Failed        bool
	Hash          string        // of the trace
	Elapsed       time.Duration // of virtual time
	Start         time.Time     // of virtual time
	Sentence      string        // why it failed
	Report        string        // as on the terminal
	Command       string        // that repeats it
	Second        string        // what a second run did
	Story         string        // its faults as Go; empty: there were none

	Hosts   []Host // numbers of hosts are places in it
	Columns []int  // hosts in the order in which a picture has them
	Total   int    // events that there were
	Events  []Event
	Conns   []Conn // numbers of connections are places in it
	States  []State
	Faults  []Fault
	Lines   []Line
}

// A Host is one of the network's, or a router.
type Host struct {
	Name   string       `json:"name"`
	Addrs  []netip.Addr `json:"addrs,omitempty"`
	Router bool         `json:"router,omitempty"`
}

// Nobody is the number of a host that there is not.
const Nobody = -1

// A Kind is that of an [Event].
type Kind string

// The kinds of events, as in a trace's text.
const (
	Sent      Kind = "sent"
	Delivered Kind = "delivered"
	Dropped   Kind = "dropped"
	Held      Kind = "held"
	Noted     Kind = "event"
)

// An Event is one of the trace. What describes a packet is empty for those that are [Noted].
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

	Packet int    // number of the event with which the packet began; -1: not known, it was long ago
	Before int    // of a packet with which another one goes on, since a middlebox has changed it: that one's number; else -1
	Frame  []byte // the packet from its IP header on, as it was where this happened; nil: not known, or not of IP
}

// A Conn is one end of a connection of TCP.
type Conn struct {
	Host        int
	Local, Peer netip.AddrPort
	Dialled     bool // this end did
}

// A State is that of a connection from an instant on.
type State struct {
	At   time.Duration
	Conn int
	Name string // of the state: "ESTABLISHED"

	Cwnd, SSThresh, InFlight int // segments; SSThresh -1: infinite
	MSS                      int // bytes
	SRTT, RTO                time.Duration
	SendQueue, ReceiveQueue  int // bytes
	SendWindow               int // bytes that the peer allows
	Again                    int // segments sent again
}

// A Fault lasted for a time.
type Fault struct {
	Name       string
	Code       string // as Go
	A, B       int    // hosts concerned, or Nobody
	Begun      time.Duration
	Over       time.Duration // -1: it lasted to the end
	Met        int           // packets and the like, in all its times
	NeverBegan bool
	Number     int  // in the order in which they were made, from 1
	Part       bool // another one is made of it
}

// A Line is one that the program logged.
type Line struct {
	At   time.Duration
	Text string
}
