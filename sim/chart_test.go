package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim/internal/tcp"
)

// drawn makes a trace from bytes, three for each event, and draws the chart of its end.
func drawn(data []byte) string {
	n := New()
	defer n.Close()
	for i := range 6 {
		n.Host(fmt.Sprintf("host-%d%s", i, strings.Repeat("x", i*10)))
	}
	notes := []string{"", "link down", "partition a | b", strings.Repeat("a long note ", 20)}
	var at int64
	for ; len(data) >= 3; data = data[3:] {
		a, b, c := data[0], data[1], data[2]
		r := record{
			at: at, kind: Sent + EventKind(a%5), proto: protoTCP + protocol(a/5%3), flags: tcp.Flags(b & 63), segment: tcp.Kind(c % 5),
			from: int32(b % 7), to: int32(c % 7), sport: uint16(a) << 8, dport: uint16(b), length: uint16(c) << 6, seq: uint64(a), ack: uint64(b),
		}
		if r.proto == protoUDP {
			r.flags %= tcp.Flags(len(severalKinds))
		}
		if r.kind != Noted { // packets have two ends
			r.from, r.to = max(r.from, 1), max(r.to, 1)
		}
		n.do(func() { n.log.trace.add(r, notes[c/7%4]) })
		at += int64(a%3) * int64(b) * 1e6
	}
	return text(n, func() string { return n.log.trace.chart(chartEvents, n.wires.links) })
}

// checkChart checks what every chart must satisfy: a bounded number of lines, none with a space at its end.
func checkChart(t *testing.T, chart string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(chart, "\n"), "\n")
	if len(lines) == 1 && lines[0] == "No packet was sent and nothing happened." {
		return
	}
	if len(lines) > 3+2*chartEvents+1 {
		t.Errorf("%d lines, of %d events", len(lines), chartEvents)
	}
	for _, l := range lines {
		if strings.HasSuffix(l, " ") {
			t.Errorf("a line ends in a space: %q", l)
		}
	}
}

func FuzzChart(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{4, 0, 0})
	f.Add([]byte{0, 2, 1, 1, 1, 2})
	f.Fuzz(func(t *testing.T, data []byte) { checkChart(t, drawn(data)) })
}

// Does the same as FuzzChart, without a fuzzer.
func TestChartOfAnyEvents(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		data := make([]byte, random.IntN(120))
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		checkChart(t, drawn(data))
	}
}

// The order of the columns does not depend on which host sent the last packet.
func TestChartColumnsHaveAnOrder(t *testing.T) {
	head := func(chart string) string { return strings.Split(chart, "\n")[2] }
	forth, back := head(drawn([]byte{0, 1, 2})), head(drawn([]byte{0, 2, 1}))
	if len(strings.Fields(forth)) != 2 || forth != back {
		t.Errorf("the columns are %q and %q: want the same two", forth, back)
	}
}

// Hosts joined by a link have adjacent columns: a router stands amid its hosts, and the middle of a chain in the middle. Otherwise the order is by name.
func TestChartColumnsAreBesideTheirNeighbours(t *testing.T) {
	for _, row := range []struct{ links, want string }{
		{"", "a b c d"},
		{"a-b b-c c-d a-c b-d a-d", "a b c d"}, // all with all
		{"b-a a-c", "b a c d"},
		{"d-b b-a a-c", "c a b d"},
		{"d-a d-b", "a d b c"},
		{"a-b a-c a-d", "b a c d"},
		{"a-r r-b b-c c-d", "a b c d"}, // what is in no column joins nothing
	} {
		var links []madeLink
		for l := range strings.FieldsSeq(row.links) {
			a, b, _ := strings.Cut(l, "-")
			links = append(links, madeLink{Link: &Link{a: &node{name: a}, b: &node{name: b}}})
		}
		require.Equal(t, strings.Fields(row.want), columns([]string{"d", "b", "a", "c"}, links), row.links)
	}
	require.Empty(t, columns(nil, nil))
}

// A page has more hosts than a chart, too many to try every order. Even so, a chain whose names are in disorder and stars around
// two routers get columns without a detour.
func TestColumnsOfManyHosts(t *testing.T) {
	link := func(a, b string) madeLink {
		return madeLink{Link: &Link{a: &node{name: a}, b: &node{name: b}}}
	}
	chain := []string{"k", "c", "h", "a", "l", "e", "b", "j", "d", "i", "f", "g"}
	var links []madeLink
	for i := range len(chain) - 1 {
		links = append(links, link(chain[i], chain[i+1]))
	}
	got := columns(chain, links)
	if got[0] != chain[0] {
		slices.Reverse(got)
	}
	require.Equal(t, chain, got, "a chain")

	stars := []string{"x", "y", "a", "b", "c", "d", "e", "f", "g", "h"}
	links = []madeLink{link("x", "y")}
	for i, h := range stars[2:] {
		links = append(links, link(h, stars[i%2]))
	}
	got = columns(stars, links)
	at := places(got)
	require.Less(t, max(at["x"]-at["y"], at["y"]-at["x"]), 6, "%v", got)
	for i, h := range stars[2:] {
		side := at["y"] - at["x"]
		if i%2 == 1 {
			side = -side
		}
		require.Positive(t, side*(at[stars[(i+1)%2]]-at[h]), "%v is amid the other router's: %v", h, got)
	}

	many := make([]string, 2*mostColumns)
	for i := range many {
		many[i] = fmt.Sprintf("%03d", len(many)-i)
	}
	sorted := columns(many, nil)
	require.True(t, slices.IsSorted(sorted))
	require.Len(t, sorted, len(many))
}

// A packet is described on its arrow, in fewer words if its hosts have adjacent columns, and to the right of the chart if the arrow is too short.
func TestChartTellsAPacketWhereItGoes(t *testing.T) {
	e := Event{Kind: Sent, From: "a", To: "b", Protocol: "tcp", Flags: "PA", Seq: 442, Ack: 507, Length: 120, SourcePort: 32768, TargetPort: 80}
	two := map[string]int{"a": 0, "b": 1}
	for width, want := range map[int]string{
		40: "|-- [PA] seq 442:562 ack 507 len 120 -->|",
		27: "|- [PA] 442:562 ack 507 -->|",
		20: "|------------------>|                    [PA] seq 442:562 ack 507 len 120",
	} {
		require.Equal(t, want, strings.TrimRight(e.row(two, width, false), " "), width)
	}
	e.Kind, e.Note = Dropped, "loss"
	require.Equal(t, "|- 32768>80 [PA] 442:562 ack 507: loss -x|", strings.TrimRight(e.row(two, 41, true), " "))
}

// An event that concerns no host is written across the page, even in a chart without hosts.
func TestChartOfNotesWithoutHosts(t *testing.T) {
	err := Try(t, func(n *Network) error {
		a, b := n.Host("a"), n.Host("b")
		for range chartEvents {
			n.Partition([]*Host{a}, []*Host{b})
			n.Heal()
			time.Sleep(time.Second)
		}
		return fmt.Errorf("broken")
	})
	for _, want := range []string{
		"             12s  *** partition a | b ***\n             12s  *** partitions healed ***\n",
		"             23s  *** partition a | b ***\n             23s  *** partitions healed ***\n\nFaults that never fired:",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("missing: %q in:\n%v", want, err)
		}
	}
}

// Thousands of keep-alives do not displace earlier events, and unanswered keep-alives are shown.
func TestChartFoldsKeepAlives(t *testing.T) {
	err := Try(t, func(n *Network) error {
		a, b := n.Host("a"), n.Host("b")
		link := n.Link(a, b, netem.Config{Delay: time.Millisecond})
		l, err := b.Listen("tcp", ":7")
		if err != nil {
			return err
		}
		c, err := a.Dial("tcp", "b:7")
		if err != nil {
			return err
		}
		defer c.Close()
		accepted, err := l.Accept()
		if err != nil {
			return err
		}
		defer accepted.Close()
		c.Write([]byte("hello"))
		time.Sleep(time.Hour)
		link.Down()
		time.Sleep(time.Minute)
		return fmt.Errorf("broken")
	})
	// Each side probes every 15 s and is answered.
	want := regexp.MustCompile(`(?s)\[PA\] seq 1:6 ack 1 len 5.* \[A\] seq 1 ack 6 [^\n]*\n {18}\.\.\. 9\d\d keep-alive probes and answers\n` +
		`[^\n]*\* link down[^\n]*\n[^\n]*\[A\] seq 0 ack 6 again: link down`)
	if !want.MatchString(err.Error()) || strings.Count(err.Error(), "keep-alive") > 1 {
		t.Errorf("it does not match %v:\n%v", want, err)
	}
}

// The trace remembers the last record that it dropped, because the first one kept can depend on it: the answer to a
// keep-alive is recognised by the probe before it.
func TestRecordsAroundTheOldestKept(t *testing.T) {
	n := New()
	defer n.Close()
	tr := n.log.trace
	chunk := func(from int) (all []record) {
		for i := range chunkSize {
			all = append(all, record{at: int64(from + i), kind: Noted})
		}
		return all
	}
	n.do(func() {
		tr.chunks, tr.total = [][]record{chunk(0), chunk(chunkSize), chunk(2 * chunkSize)}, 3*chunkSize
		tr.forget(tr.chunks[0])
		tr.chunks, tr.first = tr.chunks[1:], chunkSize
		for _, i := range []int{-1, 0, tr.first - 2, tr.total} {
			if r := tr.record(i); r != nil {
				t.Errorf("record %d is that of %d", i, r.at)
			}
		}
		for _, i := range []int{tr.first - 1, tr.first, 2*chunkSize - 1, 2 * chunkSize, tr.total - 1} {
			if r := tr.record(i); r == nil || r.at != int64(i) {
				t.Errorf("record %d is %v", i, r)
			}
		}
	})
}

// Configuring a link while the test sets itself up is not a fault, and must not take up half of the chart.
func TestChartTakesNoSetupForAFault(t *testing.T) {
	for _, setUp := range []bool{true, false} {
		failure := Try(t, func(n *Network) error {
			a, b := n.Host("a"), n.Host("b")
			link := n.Link(a, b, netem.Config{Delay: 10 * time.Millisecond})
			if setUp {
				link.Set(netem.Config{Delay: 20 * time.Millisecond})
			}
			c, err := a.Dial("udp", "b:9")
			if err != nil {
				return err
			}
			defer c.Close()
			for i := range 40 {
				if _, err := c.Write([]byte("x")); err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
					return err
				}
				time.Sleep(time.Second)
				if i == 1 && !setUp {
					link.Set(netem.Config{Delay: 20 * time.Millisecond})
				}
			}
			return errors.New("no")
		})
		if setUp {
			require.ErrorContains(t, failure, "Last events (")
			require.NotContains(t, failure.Error(), linkChanged)
		} else {
			require.ErrorContains(t, failure, "Events around the last fault, then the last events (")
			require.ErrorContains(t, failure, "* "+linkChanged)
		}
	}
}

// If a test ends long after its faults, the chart shows the last fault and its effect before the last events.
func TestChartShowsTheLastFault(t *testing.T) {
	failure := Try(t, func(n *Network) error {
		a, b := n.Host("a"), n.Host("b")
		link := n.Link(a, b, netem.Config{Delay: 10 * time.Millisecond})
		listen, err := b.ListenPacket("udp", ":9")
		if err != nil {
			return err
		}
		defer listen.Close()
		n.Inject(10*time.Second, time.Second, Down(link))
		for port := 1001; port <= 1002; port++ {
			d := a.Dialer()
			d.LocalAddr = &net.UDPAddr{Port: port}
			c, err := d.Dial("udp", "b:9")
			if err != nil {
				return err
			}
			defer c.Close()
			for range 30 { // at 0.5 s, 1.5 s and so on, at 10.5 s into a link that is down
				time.Sleep(500 * time.Millisecond)
				if _, err := c.Write([]byte("x")); err != nil {
					return err
				}
				time.Sleep(500 * time.Millisecond)
			}
		}
		return errors.New("no")
	})
	require.ErrorContains(t, failure, "Events around the last fault, then the last events (an arrow is a packet at the time it was sent; x: dropped; *: other event; 1002>9: source and target port):")
	chart := failure.Error()
	// Of 24 events, twelve are the last packets, from 48.5 s on. The other twelve end with the fourth packet after the link is up. Between them are the
	// arrival of that packet, and 33 packets, each sent and delivered.
	order := []string{"5.5s  ", "* link down", "10.5s  ", " 1001>9 udp len 1: link down ", "* link down, over", "14.5s  ", "... 67 events", "48.5s  ", " 1002>9 udp len 1 ", "59.5s  "}
	for _, want := range order {
		_, rest, found := strings.Cut(chart, want)
		require.True(t, found, "missing, or not in this place: %q\n%v", want, failure)
		chart = rest
	}
	for _, other := range []string{"\n            4.5s  ", " 15.5s  ", " 47.5s  "} {
		require.NotContains(t, failure.Error(), other)
	}
}

// If there are more hosts than columns, the host with the last event that is not a packet gets one, even if others are busier, and whether that event is
// old or among the last packets. The chart names the hosts that it leaves out.
func TestChartOfManyHosts(t *testing.T) {
	for _, tt := range []struct {
		busy int
		left string
	}{
		{2, ""},
		{4, "events of busy1, busy2\n"},
		{15, "events of busy1, busy10, busy11, busy12, busy13, busy2, busy3, busy4, busy5, busy6 and 3 more\n"},
	} {
		for _, at := range []time.Duration{time.Second, 11 * time.Second} {
			failure := Try(t, func(n *Network) error {
				server, broken := n.Host("server"), n.Host("broken")
				listen, err := server.ListenPacket("udp", ":9")
				if err != nil {
					return err
				}
				defer listen.Close()
				n.After(at, broken.Crash)
				for range 12 {
					for i := range tt.busy {
						c, err := n.Host(fmt.Sprintf("busy%d", i+1)).Dial("udp", "server:9")
						if err != nil {
							return err
						}
						defer c.Close()
						if _, err := c.Write([]byte("x")); err != nil {
							return err
						}
						time.Sleep(time.Second / time.Duration(tt.busy))
					}
				}
				return errors.New("no")
			})
			require.ErrorContains(t, failure, "* crash", "of %d, at %v", tt.busy, at)
			if tt.left == "" {
				require.NotContains(t, failure.Error(), "Left out")
			} else {
				require.ErrorContains(t, failure, "\nNot shown, since a chart has at most 4 hosts: "+tt.left)
			}
		}
	}
}

// The chart is made from its end. It leaves out a packet between two hosts when only one column is left. A host that gets
// this column by an earlier packet must not be named as left out.
func TestChartNamesOnlyHostsWithoutAColumn(t *testing.T) {
	failure := Try(t, func(n *Network) error {
		for _, pair := range [][2]string{{"web", "api"}, {"api", "store"}, {"web", "phone"}, {"web", "tablet"}} {
			from, to := n.Host(pair[0]), n.Host(pair[1])
			listen, err := to.ListenPacket("udp", ":9")
			if err != nil {
				return err
			}
			defer listen.Close()
			c, err := from.Dial("udp", pair[1]+":9")
			if err != nil {
				return err
			}
			defer c.Close()
			if _, err := c.Write([]byte("x")); err != nil {
				return err
			}
			time.Sleep(time.Second)
		}
		return errors.New("no")
	})
	require.ErrorContains(t, failure, "\nNot shown, since a chart has at most 4 hosts: events of store\n")
}
