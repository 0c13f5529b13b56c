package sim

import (
	"fmt"
	"strings"
	"time"
)

// report is what a failed test prints about its network.
func (n *Network) report(command string) string {
	return text(n, func() string {
		at := time.Duration(n.now())
		if n.closed {
			at = n.ended
		}
		var b strings.Builder
		fmt.Fprintf(&b, "sim: at %v of virtual time, seed %d, %d events, trace %016x\n\n", at, n.seed, n.trace.total, n.trace.hash)
		b.WriteString(n.trace.chart(chartEvents))
		if idle := n.idleFaultsLocked(); idle != "" {
			b.WriteString("\n" + idle + "\n")
		}
		fmt.Fprintf(&b, "\nTo repeat it: %s\n", command)
		return b.String()
	})
}

// idleFaults names what a test broke without anything noticing.
func (n *Network) idleFaults() string {
	return text(n, n.idleFaultsLocked)
}

func (n *Network) idleFaultsLocked() string {
	var idle []string
	for _, f := range n.faults {
		if f.hits == 0 {
			idle = append(idle, fmt.Sprintf("  %v at %v: it met no packet, connection or process", f.what, f.at))
		}
	}
	for _, p := range n.sortedPipes() {
		cfg := p.em.Config()
		s := p.stats
		if s.Sent == 0 {
			continue
		}
		for _, c := range []struct {
			field string
			set   bool
			hits  int64
		}{
			{"Loss", cfg.Loss != nil, s.Lost},
			{"Duplicate", cfg.Duplicate > 0, s.Duplicated},
			{"Reorder", cfg.Reorder > 0, s.Reordered},
			{"Corrupt", cfg.Corrupt > 0, s.Corrupted},
		} {
			if c.set && c.hits == 0 {
				idle = append(idle, fmt.Sprintf("  %s on %s > %s: none of %d packets was affected", c.field, p.from.name, p.to.name, s.Sent))
			}
		}
	}
	for _, at := range n.unripe {
		idle = append(idle, fmt.Sprintf("  After at %v: the test ended before", at))
	}
	if len(idle) == 0 {
		return ""
	}
	return "Faults that never fired:\n" + strings.Join(idle, "\n")
}

const (
	chartEvents = 24  // lines of a chart
	chartHosts  = 4   // columns
	chartWidth  = 110 // of all columns
)

// chart draws the last events of the hosts concerned: a column for each host, time
// downwards, an arrow for each packet when it is sent, which ends in an x if the
// packet was dropped. The lock is held.
func (t *Trace) chart(most int) string {
	var events []Event
	column := map[string]int{}
	var hosts []string
	for i := t.total - 1; i >= 0 && len(events) < most; i-- {
		e, ok := t.event(i)
		if !ok {
			break
		}
		if e.Kind == Delivered || e.Kind == Sent && len(events) > 0 && events[len(events)-1].ends(e) {
			continue
		}
		fits := true
		for _, h := range []string{e.From, e.To} {
			if _, ok := column[h]; !ok && h != "" {
				fits = fits && len(hosts) < chartHosts
				if fits {
					column[h] = len(hosts)
					hosts = append(hosts, h)
				}
			}
		}
		if fits {
			events = append(events, e)
		}
	}
	if len(events) == 0 {
		return "No packet was sent and nothing happened.\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Last events (an arrow is a packet at the time it was sent; x: dropped):\n\n%16s  ", "")
	width := min(chartWidth/len(hosts), chartWidth/2)
	for _, h := range hosts {
		fmt.Fprintf(&b, "%-*.*s", width, width-2, h)
	}
	b.WriteByte('\n')
	for i := len(events) - 1; i >= 0; i-- {
		line := fmt.Sprintf("%16v  %s", events[i].At, events[i].row(column, width))
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// ends says whether e is the end, at the same instant, of the packet whose sending
// sent is.
func (e Event) ends(sent Event) bool {
	return e.Kind == Dropped && e.At == sent.At && e.From == sent.From && e.To == sent.To &&
		e.SourcePort == sent.SourcePort && e.TargetPort == sent.TargetPort && e.Seq == sent.Seq && e.Length == sent.Length
}

// row draws one event over the columns of a chart.
func (e Event) row(column map[string]int, width int) string {
	cells := []byte(strings.Repeat("|"+strings.Repeat(" ", width-1), len(column)))
	if e.Kind == Noted {
		at := 0
		if e.From != "" {
			at = column[e.From] * width
		}
		if e.To != "" {
			at = min(at, column[e.To]*width)
		}
		text := "* " + e.Note
		return string(cells[:at]) + text + rest(cells, at+len(text))
	}
	from, to := column[e.From]*width, column[e.To]*width
	label := " " + e.packet() + " "
	if e.Kind == Dropped {
		label = " " + e.packet() + ": " + e.Note + " "
	}
	if from == to {
		return string(cells[:from]) + "@" + label + rest(cells, from+1+len(label))
	}
	left, right := min(from, to), max(from, to)
	for i := left + 1; i < right; i++ {
		cells[i] = '-'
	}
	tip := byte('>')
	if to < from {
		tip = '<'
	}
	if e.Kind == Dropped {
		tip = 'x'
	}
	if e.Kind == Held {
		tip = '.'
	}
	if to > from {
		cells[right-1] = tip
	} else {
		cells[left+1] = tip
	}
	room := right - left - 4
	if len(label) <= room {
		copy(cells[left+2+(room-len(label))/2:], label)
		return string(cells)
	}
	return string(cells) + label
}

func rest(cells []byte, from int) string {
	if from >= len(cells) {
		return ""
	}
	return string(cells[from:])
}
