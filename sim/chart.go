package sim

import (
	"fmt"
	"slices"
	"strings"

	"github.com/squall-sim/squall/internal/count"
	"github.com/squall-sim/squall/sim/internal/tcp"
)

const (
	chartEvents = 24  // lines of a chart
	chartHosts  = 4   // columns
	chartWidth  = 110 // of all columns
)

// A chartLine is one line of a chart: an event; or keep-alives, of which there can be thousands, when
// keepAlives is their number; or a gap of several events.
type chartLine struct {
	event      Event
	keepAlives int
	gap        int
	ports      bool // show the event's ports, since the chart has several connections of the two hosts
}

func (l chartLine) isEvent() bool { return l.keepAlives == 0 && l.gap == 0 }

// A chartTail holds events that are no longer kept but that a chart may still need: the last ones other than
// keep-alives. A connection that waits for days has enough keep-alives to push out everything else.
type chartTail struct {
	last       record // of all
	events     []Event
	keepAlives int // sent after those
}

// forget gets the oldest records before they are discarded.
func (t *Trace) forget(chunk []record) {
	g := &t.gone
	const enough = 2 * chartEvents
	var events []Event
	keepAlives := 0
	for i := len(chunk) - 1; i >= 0 && len(events) < enough; i-- {
		switch number := t.first + i; {
		case chunk[i].kind == Delivered: // is in no chart
		case !t.isKeepAlive(number):
			e, _ := t.event(number)
			events = append(events, e)
		case len(events) == 0:
			keepAlives++
		}
	}
	if len(events) == 0 {
		g.keepAlives += keepAlives
	} else {
		slices.Reverse(events)
		g.events = append(g.events, events...)
		g.events = slices.Delete(g.events, 0, max(0, len(g.events)-enough))
		g.keepAlives = keepAlives
	}
	g.last = chunk[len(chunk)-1]
}

// chart draws the last events of the hosts concerned: a column for each host, time downwards, and an arrow
// for each packet where it is sent, ending in an x if the packet was dropped. Events of no particular host,
// such as a partition, go across the page. The chart always includes the host of the last thing that
// happened, such as a fault. If it would otherwise show only packets, its first half is about that event. The
// lock is held.
func (t *Trace) chart(most int, links []madeLink) string {
	c := t.lastEvents(most)
	lines, hosts := c.lines, columns(c.hosts, links)
	if len(lines) == 0 {
		return "No packet was sent and nothing happened.\n"
	}
	column := places(hosts)
	var b strings.Builder
	title := "Last events"
	if slices.ContainsFunc(lines, func(l chartLine) bool { return l.gap > 0 }) {
		title = "Events around the last fault, then the last events"
	}
	fmt.Fprintf(&b, "%s (%s):\n\n", title, legend(lines))
	width := chartWidth / 2
	if len(hosts) > 0 {
		width = min(chartWidth/len(hosts), width)
		head := strings.Repeat(" ", 18)
		for _, h := range hosts {
			head += fmt.Sprintf("%-*.*s", width, width-2, h)
		}
		b.WriteString(strings.TrimRight(head, " ") + "\n")
	}
	for i := len(lines) - 1; i >= 0; i-- {
		l := lines[i]
		line := fmt.Sprintf("%16v  %s", l.event.At, l.event.row(column, width, l.ports))
		switch {
		case l.gap > 0:
			line = fmt.Sprintf("%16s  ... %s", "", count.Of(l.gap, "event", "events"))
		case l.keepAlives > 0:
			line = fmt.Sprintf("%16s  ... %s", "", count.Of(l.keepAlives, "keep-alive probe or answer", "keep-alive probes and answers"))
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	// An event that is left out has a host without a column, since its hosts together were too many. Its
	// other host may have got a column later.
	without := slices.DeleteFunc(slices.Clone(c.others), func(h string) bool { return slices.Contains(hosts, h) })
	if len(without) > 0 {
		slices.Sort(without)
		fmt.Fprintf(&b, "\nNot shown, since a chart has at most %d hosts: events of %s\n", chartHosts, shortList(without, 10))
	}
	return b.String()
}

func places(hosts []string) map[string]int {
	at := map[string]int{}
	for i, h := range hosts {
		at[h] = i
	}
	return at
}

// legend explains the signs that a chart uses.
func legend(lines []chartLine) string {
	signs := []struct {
		text string
		has  func(e Event) bool
	}{
		{"; .: held", func(e Event) bool { return e.Kind == Held }},
		{"; @: within a host", func(e Event) bool { return e.Kind != Noted && e.From == e.To }},
		{"; *: other event", func(e Event) bool { return e.Kind == Noted && e.From+e.To != "" }},
		{"; ***: other event, of the whole network", func(e Event) bool { return e.Kind == Noted && e.From+e.To == "" }},
	}
	text := "an arrow is a packet at the time it was sent; x: dropped"
	for _, s := range signs {
		if slices.ContainsFunc(lines, func(l chartLine) bool { return l.isEvent() && s.has(l.event) }) {
			text += s.text
		}
	}
	if i := slices.IndexFunc(lines, func(l chartLine) bool { return l.ports }); i >= 0 {
		text += fmt.Sprintf("; %d>%d: source and target port", lines[i].event.SourcePort, lines[i].event.TargetPort)
	}
	return text
}

// lastEvents returns the events that a chart shows.
func (t *Trace) lastEvents(most int) charting {
	around := t.lastHappening()
	c := t.charting(around)
	next := c.back(t.total-1, most)
	if around >= t.first && around <= next && !slices.ContainsFunc(c.lines, chartLine.happening) {
		c = t.charting(around)
		next = c.back(t.total-1, most/2)
		from := min(t.after(around, most/6), next)
		if from < next {
			c.lines = append(c.lines, chartLine{gap: next - from})
		}
		c.events = 0
		next, most = c.back(from, most/2), most/2
	}
	if next < t.first && c.events < most {
		c.fold(t.gone.keepAlives)
		for _, e := range slices.Backward(t.gone.events) {
			if c.events < most {
				c.show(e)
			}
		}
	}
	c.tellApart()
	return c
}

// charting is a chart under construction, built from its end.
type charting struct {
	t      *Trace
	lines  []chartLine // newest first
	hosts  []string    // hosts in the chart
	others []string    // hosts of events that the chart leaves out
	events int         // lines with events since the last gap
}

// charting begins a chart with the hosts of event number around, if there is one, whichever hosts the last
// packets belong to.
func (t *Trace) charting(around int) charting {
	c := charting{t: t}
	if around >= t.first {
		e, _ := t.event(around)
		c.hosts = c.unknown(e)
	}
	return c
}

// unknown returns the hosts of e that are not in the chart.
func (c *charting) unknown(e Event) (hosts []string) {
	for _, h := range []string{e.From, e.To} {
		if h != "" && !slices.Contains(c.hosts, h) && !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

// back adds events from number i backwards until the chart has enough, and returns the next number.
func (c *charting) back(i, most int) int {
	for ; i >= c.t.first && c.events < most; i-- {
		if !c.t.isKeepAlive(i) {
			e, _ := c.t.event(i)
			c.show(e)
		} else if c.t.record(i).kind == Sent { // sending and end share one line
			c.fold(1)
		}
	}
	return i
}

func (c *charting) fold(keepAlives int) {
	if last := len(c.lines) - 1; last >= 0 && c.lines[last].keepAlives > 0 {
		c.lines[last].keepAlives += keepAlives
	} else if keepAlives > 0 {
		c.lines = append(c.lines, chartLine{keepAlives: keepAlives})
	}
}

func (c *charting) show(e Event) {
	last := len(c.lines) - 1
	if e.Kind == Delivered || e.Kind == Sent && last >= 0 && c.lines[last].isEvent() && c.lines[last].event.ends(e) {
		return
	}
	unknown := c.unknown(e)
	if len(c.hosts)+len(unknown) > chartHosts { // of all hosts, the ones in the latest events
		for _, h := range unknown {
			if !slices.Contains(c.others, h) {
				c.others = append(c.others, h)
			}
		}
		return
	}
	c.hosts = append(c.hosts, unknown...)
	c.lines = append(c.lines, chartLine{event: e})
	c.events++
}

// tellApart shows ports on packets between two hosts that have several connections in the chart.
func (c *charting) tellApart() {
	type flow struct {
		a, b         string
		aPort, bPort uint16
	}
	type pair struct{ a, b string }
	of := func(e Event) (pair, flow) {
		if e.From > e.To || e.From == e.To && e.SourcePort > e.TargetPort {
			e.From, e.To, e.SourcePort, e.TargetPort = e.To, e.From, e.TargetPort, e.SourcePort
		}
		return pair{e.From, e.To}, flow{e.From, e.To, e.SourcePort, e.TargetPort}
	}
	hasPorts := func(l chartLine) bool {
		return l.isEvent() && l.event.Kind != Noted && (l.event.Protocol == "tcp" || l.event.Protocol == "udp")
	}
	first, several := map[pair]flow{}, map[pair]bool{}
	for _, l := range c.lines {
		if hasPorts(l) {
			p, f := of(l.event)
			if known, ok := first[p]; !ok {
				first[p] = f
			} else if known != f {
				several[p] = true
			}
		}
	}
	for i, l := range c.lines {
		p, _ := of(l.event)
		c.lines[i].ports = hasPorts(l) && several[p]
	}
}

// happening reports whether the line is about something other than the test finding a failure.
func (l chartLine) happening() bool {
	return l.isEvent() && l.event.Kind == Noted && !strings.HasPrefix(l.event.Note, notAlways)
}

// lastHappening returns the number of the last kept event that is a happening, or -1. A link configured
// before anything was sent has not changed for anybody.
func (t *Trace) lastHappening() int {
	for i := t.total - 1; i >= t.first; i-- {
		if t.record(i).kind == Noted {
			if e, _ := t.event(i); (chartLine{event: e}).happening() && (e.Note != linkChanged || t.sentBefore(i)) {
				return i
			}
		}
	}
	return -1
}

// sentBefore reports whether there were packets before an event.
func (t *Trace) sentBefore(i int) bool {
	if t.first > 0 {
		return true // a chunk of events is gone; links rarely change that often
	}
	for i--; i >= 0; i-- {
		if t.record(i).kind != Noted {
			return true
		}
	}
	return false
}

// after returns the number of the event that is the given number of chart lines after another one, or a few
// fewer.
func (t *Trace) after(i, lines int) int {
	for ; lines > 0 && i+1 < t.total; i++ {
		if t.record(i+1).kind != Delivered && !t.isKeepAlive(i+1) {
			lines--
		}
	}
	return i
}

// record returns the kept event of that number, or nil. Of discarded events the last one is still kept.
func (t *Trace) record(i int) *record {
	switch {
	case i >= t.total || i < t.first-1 || i < 0:
		return nil
	case i == t.first-1:
		return &t.gone.last
	}
	return &t.chunks[(i-t.first)/chunkSize][(i-t.first)%chunkSize]
}

// isKeepAlive reports whether event i is a keep-alive that is in flight or arrives, or the answer to one: the
// answer is sent after the probe arrives. A keep-alive that is dropped or held is news, and does not count.
func (t *Trace) isKeepAlive(i int) bool {
	r := t.record(i)
	if r == nil || r.proto&^overIPv6 != protoTCP || r.kind != Sent && r.kind != Delivered {
		return false
	}
	if r.segment == tcp.KeepAliveProbe {
		// Sent into a link that is down: the line below says so.
		next := t.record(i + 1)
		return next == nil || next.kind != Dropped || next.at != r.at || next.segment != r.segment || next.from != r.from || next.sport != r.sport
	}
	probe := t.record(i - 1)
	return r.kind == Sent && r.flags == tcp.ACK && r.length == 0 && probe != nil &&
		probe.kind == Delivered && probe.segment == tcp.KeepAliveProbe && probe.at == r.at &&
		probe.from == r.to && probe.to == r.from && probe.sport == r.dport && probe.dport == r.sport
}

// ends reports whether e is the end, at the same instant, of the packet that sent begins.
func (e Event) ends(sent Event) bool {
	return e.Kind == Dropped && e.At == sent.At && e.From == sent.From && e.To == sent.To &&
		e.SourcePort == sent.SourcePort && e.TargetPort == sent.TargetPort && e.Seq == sent.Seq && e.Length == sent.Length
}

// row draws one event over the columns of a chart.
func (e Event) row(column map[string]int, width int, ports bool) string {
	cells := []byte(strings.Repeat("|"+strings.Repeat(" ", width-1), len(column)))
	if e.Kind == Noted {
		if e.From == "" && e.To == "" {
			return "*** " + e.Note + " ***"
		}
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
	label := e.label(e.packet(), ports)
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
	for _, label := range []string{label, e.label(e.brief(), ports)} {
		if len(label) <= room {
			copy(cells[left+2+(room-len(label))/2:], label)
			return string(cells)
		}
	}
	return string(cells) + label
}

func (e Event) label(packet string, ports bool) string {
	if ports {
		packet = fmt.Sprintf("%d>%d %s", e.SourcePort, e.TargetPort, packet)
	}
	if e.Note != "" {
		packet += ": " + e.Note
	}
	return " " + packet + " "
}

// brief is the packet without what the rest of the line also says, for a narrow column.
func (e Event) brief() string {
	if e.Protocol != "tcp" {
		return e.packet()
	}
	s := strings.Replace(e.packet(), "seq ", "", 1)
	if e.Length > 0 {
		s = strings.Replace(s, fmt.Sprintf(" len %d", e.Length), "", 1)
	}
	return s
}

func rest(cells []byte, from int) string {
	if from >= len(cells) {
		return ""
	}
	return string(cells[from:])
}
