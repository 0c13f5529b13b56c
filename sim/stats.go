package sim

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/squall-sim/squall/netem"
)

// Stats holds the counters of a network.
type Stats struct {
	Links []LinkStats // a row for each direction that carried or dropped something, sorted by name
	Hosts []HostStats // in the order in which hosts were made

	Faults []FaultStats // in the order in which they were made
}

// FaultStats says what a fault met.
type FaultStats struct {
	Name  string // see Fault.Name
	Fired        // so far
}

// LinkStats counts the packets of one direction between two neighbours. Sent + Duplicated = Delivered + Lost
// + QueueFull + OverLimit + TooLarge + CutOff + the packets in flight.
type LinkStats struct {
	From, To string // names of hosts and routers

	Sent      int64 // packets that entered the link; none enters a cut or held link
	SentBytes int64 // headers included
	Delivered int64 // packets that reached the other end, whatever the host there did with them
	Dropped   int64 // for the reasons below, or refused at the entry of a link that is cut, rejects, or waits for ARP in vain

	Lost       int64 // by netem.Config.Loss
	QueueFull  int64 // by netem.Config.Queue
	OverLimit  int64 // by netem.Config.Limit
	TooLarge   int64 // by netem.Config.MTU
	CutOff     int64 // in flight when a partition with InFlight began
	Duplicated int64 // copies made
	Reordered  int64 // by netem.Config.Reorder
	Corrupted  int64 // got a bit error from netem.Config.Corrupt or Corrupt, which the checksum of a host or middlebox finds
	Altered    int64 // got an error from netem.Config.Damage, which no checksum finds
	Marked     int64 // marked "congestion experienced", by netem.Config.ECN or a Queue
}

// HostStats counts what a host did.
type HostStats struct {
	Name        string // the host's
	Connections int    // connections in its table now
	Dials       int    // attempts to connect, failed ones included
	Retransmits int    // retransmitted segments of its open connections
}

func (s *LinkStats) count(r netem.DropReason) {
	switch r {
	case netem.DropLoss:
		s.Lost++
	case netem.DropQueue:
		s.QueueFull++
	case netem.DropLimit:
		s.OverLimit++
	case netem.DropMTU:
		s.TooLarge++
	}
}

// Stats returns the current counters.
func (n *Network) Stats() Stats {
	s := get(n, n.count)
	return Stats{
		Links: ownAll(s.Links, func(l LinkStats) LinkStats {
			l.From, l.To = own(l.From), own(l.To)
			return l
		}),
		Hosts: ownAll(s.Hosts, func(h HostStats) HostStats {
			h.Name = own(h.Name)
			return h
		}),
		Faults: ownAll(s.Faults, func(f FaultStats) FaultStats {
			f.Name = own(f.Name)
			return f
		}),
	}
}

func (n *Network) count() Stats {
	var s Stats
	for _, h := range n.names.inOrder {
		s.Hosts = append(s.Hosts, HostStats{Name: h.name, Connections: h.table.conns.count, Dials: h.dials.count, Retransmits: h.resent})
	}
	for _, p := range n.wires.sorted() {
		if p.stats.Sent+p.stats.Dropped > 0 {
			ls := p.stats
			ls.From, ls.To = p.from.name, p.to.name
			s.Links = append(s.Links, ls)
		}
	}
	for _, f := range n.log.faults {
		s.Faults = append(s.Faults, FaultStats{f.Name(), f.firings()})
	}
	return s
}

// String returns the counters as tables: links, hosts and, if there were any, faults.
func (s Stats) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "from\tto\tsent\tbytes\tdelivered\tdropped\tlost\tqueue full\tover limit\ttoo large\tcut off\tduplicated\treordered\tcorrupted\taltered\tmarked")
	for _, l := range s.Links {
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", l.From, l.To, l.Sent, l.SentBytes, l.Delivered,
			l.Dropped, l.Lost, l.QueueFull, l.OverLimit, l.TooLarge, l.CutOff, l.Duplicated, l.Reordered, l.Corrupted, l.Altered, l.Marked)
	}
	w.Flush()
	b.WriteByte('\n')
	fmt.Fprintln(w, "host\tconnections\tdials\tretransmits")
	for _, h := range s.Hosts {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\n", h.Name, h.Connections, h.Dials, h.Retransmits)
	}
	w.Flush()
	if len(s.Faults) == 0 {
		return b.String()
	}
	b.WriteByte('\n')
	fmt.Fprintln(w, "fault\tfired\tpackets\tbytes\tfirst\tlast")
	for _, f := range s.Faults {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%v\t%v\n", f.Name, f.Count, f.Packets, f.Bytes, f.First, f.Last)
	}
	w.Flush()
	return b.String()
}

// Netstat returns the host's sockets as a table in the style of the Linux tool. Queues are in bytes; a
// listener's are the connections that wait and the backlog. A connection has its state, round-trip time,
// retransmission timeout and congestion window.
func (h *Host) Netstat() string {
	h.must("Netstat")
	return text(h.n, h.netstat)
}

func (h *Host) netstat() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "Proto\tRecv-Q\tSend-Q\tLocal\tPeer\tState\tSRTT\tRTO\tCwnd\tResent")
	if h.machine != nil {
		for _, s := range h.machine.sockets {
			fmt.Fprintf(w, "tcp\t\t\t%s\t\t\t\t\n", s.state())
		}
	}
	for _, l := range h.table.listeners.all() {
		fmt.Fprintf(w, "tcp\t%d\t%d\t%v\t*\tLISTEN\t\t\t\t\n", len(l.accept), l.backlog, l.local)
	}
	for _, c := range h.connections() {
		i := c.tcp().Info()
		fmt.Fprintf(w, "tcp\t%d\t%d\t%v\t%v\t%v\t%v\t%v\t%d\t%d\n", i.ReceiveQueue, i.SendQueue, c.ends.local, c.ends.remote,
			i.State, i.SRTT.Round(time.Microsecond), i.RTO.Round(time.Microsecond), i.Cwnd, i.Retransmits)
	}
	for _, u := range h.table.udp.all() {
		peer := "*"
		if u.remote.IsValid() {
			peer = u.remote.String()
		}
		fmt.Fprintf(w, "udp\t%d\t0\t%v\t%s\t\t\t\t\t\n", u.buffer.used-u.buffer.freed, u.local, peer)
	}
	w.Flush()
	return b.String()
}
