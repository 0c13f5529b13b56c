package artifacts

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// The page is a single file. It must not fetch anything, and its Content-Security-Policy forbids it.
var (
	//go:embed page/page.html
	pageHTML string
	//go:embed page/page.css
	pageCSS string
	//go:embed page/data.js
	pageData string
	//go:embed page/diagram.js
	pageDiagram string
	//go:embed page/plots.js
	pagePlots string
	//go:embed page/main.js
	pageMain string
)

// mostPackets is how many packets the page shows, counted from the end. trace.jsonl has all packets that are known.
const mostPackets = 150_000

// column is a list of numbers, each encoded as the difference from the previous one, which is short and quick to read.
type column struct {
	values []int64
	last   int64
}

func (c *column) add(v int64) {
	c.values = append(c.values, v-c.last)
	c.last = v
}

// MarshalJSON implements [json.Marshaler].
func (c column) MarshalJSON() ([]byte, error) {
	if c.values == nil {
		return []byte("[]"), nil
	}
	return json.Marshal(c.values)
}

// words gives each text a number.
type words struct {
	list   []string
	number map[string]int
}

func (w *words) of(text string) int64 {
	n, known := w.number[text]
	if !known {
		if w.number == nil {
			w.number = map[string]int{}
		}
		n = len(w.list)
		w.list = append(w.list, text)
		w.number[text] = n
	}
	return int64(n)
}

// What became of a packet. The page's script uses the same values.
const (
	fateInFlight = iota // when the run ended, it was in flight
	fateDelivered
	fateDropped
	fateSentOn // a middlebox sent it on as another packet
)

// pageRun is the data of the page. Instants are in nanoseconds since the start.
type pageRun struct {
	Test, Package, Seed, Hash string
	Failed                    bool
	Elapsed                   int64
	Total, LeftOut            int
	pageTexts
	Hosts   []pageHost
	Columns []int
	Words   []string
	Packets map[string]*column
	Marks   []pageMark
	Conns   []pageConn
	States  map[string]*column
	Faults  []pageFault
	Lines   []pageLine
}

type pageTexts struct{ Sentence, Report, Command, Second, Story string }

type pageHost struct {
	Name, Addrs string
	Router      bool
}

type pageMark struct {
	Number   int
	At       int64
	From, To int
	Note     string
}

type pageConn struct {
	Host, Peer        int // a host's number, or Nobody
	Local, Remote     string
	LocalPort, ToPort uint16
	Dialled           bool
}

type pageFault struct {
	Name, Code  string
	A, B        int
	Begun, Over int64
	Met         int
	Never       bool
}

type pageLine struct {
	At   int64
	Text string
}

func (r *Run) writePage(w io.Writer, inOrder []*Event) error {
	data, err := json.Marshal(r.page(inOrder)) // Marshal escapes <, > and &, so that no text can end the element
	if err != nil {
		return err
	}
	page := strings.NewReplacer(
		"{{title}}", html.EscapeString(fmt.Sprintf("%s, seed %d", r.Test, r.Seed)),
		"{{style}}", pageCSS,
		"{{data}}", string(data),
		"{{script}}", strings.Join([]string{pageData, pageDiagram, pagePlots, pageMain}, "\n"),
	)
	_, err = page.WriteString(w, pageHTML)
	return err
}

func (r *Run) page(inOrder []*Event) *pageRun {
	p := &pageRun{
		Test: r.Test, Package: r.Package, Seed: fmt.Sprint(r.Seed), Hash: r.Hash, Failed: r.Failed, Elapsed: int64(r.Elapsed), Total: r.Total,
		Columns: r.Columns, pageTexts: pageTexts{r.Sentence, r.Report, r.Command, r.Second, r.Story},
	}
	hostOf := map[netip.Addr]int{}
	for i, h := range r.Hosts {
		var addrs []string
		for _, a := range h.Addrs {
			addrs = append(addrs, a.String())
			hostOf[a] = i
		}
		p.Hosts = append(p.Hosts, pageHost{h.Name, strings.Join(addrs, ", "), h.Router})
	}
	for _, c := range r.Conns {
		peer, known := hostOf[c.Peer.Addr()]
		if c.Peer.Addr().IsLoopback() {
			peer, known = c.Host, true
		}
		if !known {
			peer = Nobody
		}
		p.Conns = append(p.Conns, pageConn{c.Host, peer, c.Local.String(), c.Peer.String(), c.Local.Port(), c.Peer.Port(), c.Dialled})
	}
	for _, f := range r.Faults {
		p.Faults = append(p.Faults, pageFault{f.Name, f.Code, f.A, f.B, int64(f.Begun), int64(f.Over), f.Met, f.NeverBegan})
	}
	for _, l := range r.Lines {
		p.Lines = append(p.Lines, pageLine{int64(l.At), l.Text})
	}
	p.states(r.States)
	p.packets(inOrder)
	return p
}

// states adds the states of connections.
func (p *pageRun) states(all []State) {
	var names words
	p.States = columns("at", "conn", "state", "cwnd", "ssthresh", "flight", "srtt", "rto", "sendq", "recvq", "window", "again", "mss")
	slices.SortStableFunc(all, func(a, b State) int { return int(min(max(a.At-b.At, -1), 1)) })
	for _, s := range all {
		for name, v := range map[string]int64{
			"at": int64(s.At), "conn": int64(s.Conn), "state": names.of(s.Name), "cwnd": int64(s.Cwnd), "ssthresh": int64(s.SSThresh),
			"flight": int64(s.InFlight), "srtt": int64(s.SRTT / time.Microsecond), "rto": int64(s.RTO / time.Microsecond), "sendq": int64(s.SendQueue),
			"recvq": int64(s.ReceiveQueue), "window": int64(s.SendWindow), "again": int64(s.Again), "mss": int64(s.MSS),
		} {
			p.States[name].add(v)
		}
	}
	p.Words = names.list
	for len(p.Words) < statesWords { // the words of packets begin at a fixed place
		p.Words = append(p.Words, "")
	}
}

// statesWords is the number of words that the page reserves for states. They come first.
const statesWords = 16

func columns(names ...string) map[string]*column {
	all := map[string]*column{}
	for _, name := range names {
		all[name] = &column{}
	}
	return all
}

// A pagePacket describes the life of a packet: the event with which it began, and the event with which it ended.
type pagePacket struct {
	first, last *Event
	copied      bool
	held        string
	onward      *Event // the event with which it continues as another packet
}

func (k *pagePacket) ended() bool { return k.last != nil || k.onward != nil }

// packets adds the packets, each as one entry for its whole life, and the events that do not belong to a packet.
func (p *pageRun) packets(inOrder []*Event) {
	var all []*pagePacket
	open := map[int]*pagePacket{}
	another := func(number int) *pagePacket { // the packet was duplicated
		copied := &pagePacket{first: open[number].first, copied: true}
		open[number] = copied
		all = append(all, copied)
		return copied
	}
	for _, e := range inOrder {
		switch {
		case e.Kind == Noted:
			p.Marks = append(p.Marks, pageMark{e.Number, int64(e.At), e.From, e.To, e.Note})
			continue
		case e.Packet < 0:
			p.LeftOut++
			continue
		}
		if before := open[e.Before]; before != nil && (before.last == nil || before.last.Kind == Dropped) {
			if before.ended() {
				before = another(e.Before)
			}
			before.onward = e
		}
		was := open[e.Packet]
		switch {
		case was == nil:
			was = &pagePacket{first: e}
			open[e.Packet] = was
			all = append(all, was)
		case was.ended():
			was = another(e.Packet)
		}
		switch e.Kind {
		case Held:
			was.held = "held " + e.Note
		case Delivered, Dropped:
			was.last = e
		}
	}
	if more := len(all) - mostPackets; more > 0 {
		p.LeftOut += more
		all = all[more:]
	}
	p.columns(all)
}

func (p *pageRun) columns(all []*pagePacket) {
	texts := words{list: p.Words, number: map[string]int{}}
	p.Packets = columns("n", "at", "end", "fate", "from", "to", "proto", "flags", "sport", "dport", "seq", "ack", "len", "size", "bits", "note", "via")
	for _, k := range all {
		e, fate, end, note := k.first, int64(fateInFlight), int64(k.first.At), k.held
		via := int64(Nobody)
		switch {
		case k.onward != nil:
			end, fate, via = int64(k.onward.At), fateSentOn, int64(k.onward.From)
		case k.last != nil:
			end, fate = int64(k.last.At), fateDelivered
			if k.last.Kind == Dropped {
				fate = fateDropped
			}
			note = strings.TrimSpace(note + " " + k.last.Note)
		}
		bits := int64(0)
		for i, set := range []bool{e.Again, k.copied, e.IPv6} {
			if set {
				bits |= 1 << i
			}
		}
		for name, v := range map[string]int64{
			"n": int64(e.Number), "at": int64(e.At), "end": end - int64(e.At), "fate": fate, "from": int64(e.From), "to": int64(e.To),
			"proto": texts.of(e.Protocol), "flags": texts.of(e.Flags), "sport": int64(e.SourcePort), "dport": int64(e.TargetPort),
			"seq": int64(e.Seq), "ack": int64(e.Ack), "len": int64(e.Length), "size": int64(e.Size), "bits": bits, "note": texts.of(note), "via": via,
		} {
			p.Packets[name].add(v)
		}
	}
	p.Words = texts.list
}
