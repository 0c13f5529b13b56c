package comparison

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/squall-sim/squall/netem"
)

// The tables of docs/comparison.md. A row is made by one function, for the document and
// for the test that holds the document to the code.

// rates are the mean times between events of the table of costs, and how many events
// there are.
var rates = []struct {
	mean   time.Duration
	events int
}{{time.Second, 400}, {30 * time.Second, 200}, {10 * time.Minute, 40}}

// gaps are the mean times between events along which costs are drawn.
var gaps = []time.Duration{100 * time.Millisecond, 300 * time.Millisecond, time.Second, 3 * time.Second, 10 * time.Second, 30 * time.Second, 100 * time.Second, 300 * time.Second, 600 * time.Second}

const (
	networkMean   = 30 * time.Second // between the events of the table of networks
	networkEvents = 100
	brokenLink    = "LTE"
	drawnLink     = "broadband"
	herdSize      = 300
)

// lightIntervals are how often a light client wants to know, lightMeans between events.
var (
	lightIntervals = []time.Duration{10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute, 60 * time.Minute}
	lightMeans     = []time.Duration{time.Minute, 10 * time.Minute}
	lightHolders   = []string{"WebSocket", "SSE", "long poll"}
)

// drawnRun is the run of a contender at a mean time between events: long enough to have a
// dozen of them and ten polls every 30 s, and no longer than needed.
func drawnRun(who string, mean time.Duration) steadyRun {
	events := 12
	if mean < 5*time.Minute {
		events = int(earlier(90*time.Minute, max(200*mean, 5*time.Minute)) / mean)
	}
	return steadyRun{who, drawnLink, mean, events}
}

func wholePlan() (p plan) {
	for _, c := range contenders {
		for _, r := range rates {
			p.steady = append(p.steady, steadyRun{c.name, reference.Name, r.mean, r.events})
		}
		for _, link := range netem.Presets() {
			p.steady = append(p.steady, steadyRun{c.name, link.Name, networkMean, networkEvents})
		}
		for _, mean := range gaps {
			p.steady = append(p.steady, drawnRun(c.name, mean))
		}
		for _, f := range faults {
			p.recovery = append(p.recovery, recoveryRun{c.name, brokenLink, f.name})
		}
		p.herd = append(p.herd, herdRun{c.name, herdSize})
		p.slow = append(p.slow, slowRun{c.name})
	}
	for _, mean := range lightMeans {
		for _, every := range lightIntervals {
			p.light = append(p.light, lightRun{"", every, mean})
		}
		for _, who := range lightHolders {
			p.light = append(p.light, lightRun{who, 0, mean})
		}
	}
	for _, c := range encodings {
		p.steady = append(p.steady, steadyRun{c.name, "LTE", networkMean, networkEvents})
		for _, f := range faults {
			p.recovery = append(p.recovery, recoveryRun{c.name, brokenLink, f.name})
		}
	}
	p.jobs = []jobRun{{heldRequest}, {submitAndPoll}}
	p.proxied = proxiedRuns
	p.seventh = []seventhRun{{"HTTP/1.1"}, {"HTTP/2"}}
	return p
}

var proxiedRuns = []proxiedRun{{"poll 1 s"}, {"long poll"}, {"WebSocket"}, {"SSE"}}

// samplePlan is what is measured again each time: a second or so.
func samplePlan() (p plan) {
	for _, c := range contenders {
		if c.name != "poll 1 s" { // of which 50 minutes take the longest
			p.steady = append(p.steady, steadyRun{c.name, "LTE", networkMean, networkEvents})
		}
	}
	p.recovery = []recoveryRun{{"WebSocket", brokenLink, faults[0].name}, {"poll 30 s", brokenLink, faults[1].name}}
	p.jobs = []jobRun{{heldRequest}, {submitAndPoll}}
	return p
}

func sampleRows(r *results) (rows []string) {
	p := samplePlan()
	for _, run := range p.steady {
		rows = append(rows, networkRow(r, run))
	}
	for _, run := range p.recovery {
		rows = append(rows, recoveryRow(r, run))
	}
	for _, run := range p.jobs {
		rows = append(rows, jobRow(r, run))
	}
	return rows
}

func row(cells ...string) string { return "| " + strings.Join(cells, " | ") + " |" }

// table has a header, and columns of numbers from the second on.
func table(header []string, rows []string) string {
	var b strings.Builder
	fmt.Fprintln(&b, row(header...))
	fmt.Fprintln(&b, "|---|"+strings.Repeat("---:|", len(header)-1))
	for _, r := range rows {
		fmt.Fprintln(&b, r)
	}
	return b.String()
}

// costHeader and costRow are what events cost at a rate.
var costHeader = []string{"an event every", "pattern", "p50", "p99", "max", "sends up / event", "wasted", "packets up / down", "bytes up / down", "payload up / down", "bytes / h", "held"}

func costRow(r *results, run steadyRun) string {
	f := r.steady[run]
	return row(span(run.mean), run.who, span(f.p50), span(f.p99), span(f.max),
		number(f.perEvent(int64(f.sends))), percent(f.wasted()),
		number(f.perEvent(f.packetsUp))+" / "+number(f.perEvent(f.packetsDown)),
		number(f.perEvent(f.bytesUp))+" / "+number(f.perEvent(f.bytesDown)),
		number(f.perEvent(f.payloadUp))+" / "+number(f.perEvent(f.payloadDown)),
		number(f.perHour(f.bytesUp+f.bytesDown)), fmt.Sprintf("%.2f", f.held))
}

var networkHeader = []string{"network", "pattern", "p50", "p99", "max", "sends up / event", "packets up / down", "bytes up / down", "lost", "twice"}

func networkRow(r *results, run steadyRun) string {
	f := r.steady[run]
	return row(run.link, run.who, span(f.p50), span(f.p99), span(f.max), number(f.perEvent(int64(f.sends))),
		number(f.perEvent(f.packetsUp))+" / "+number(f.perEvent(f.packetsDown)),
		number(f.perEvent(f.bytesUp))+" / "+number(f.perEvent(f.bytesDown)), strconv.Itoa(f.lost), strconv.Itoa(f.twice))
}

var recoveryHeader = []string{"fault", "pattern", "detected after the cut", "reconnected after the repair", "caught up after the repair", "lost", "twice", "gaps told"}

func recoveryRow(r *results, run recoveryRun) string {
	f := r.recovery[run]
	return row(run.fault, run.who, spanOr(f.detected, "survived"), spanOr(f.reconnected, "survived"), span(f.caughtUp),
		strconv.Itoa(f.lost), strconv.Itoa(f.twice), strconv.Itoa(f.gaps))
}

var herdHeader = []string{"pattern", "connections / 100 ms, peak", "sends / 100 ms, peak", "attempts", "p99 back", "all back", "lost"}

func herdRow(r *results, run herdRun) string {
	f := r.herd[run]
	return row(run.who, strconv.Itoa(f.peak), strconv.Itoa(f.peakRate), strconv.Itoa(f.attempts), span(f.p99), span(f.max), strconv.Itoa(f.lost))
}

var slowHeader = []string{"pattern", "held by the server at most", "caught up after", "lost", "twice", "gaps told"}

func slowRow(r *results, run slowRun) string {
	f := r.slow[run]
	return row(run.who, bytesText(f.held), span(f.caughtUp), strconv.Itoa(f.lost), strconv.Itoa(f.twice), strconv.Itoa(f.gaps))
}

var lightHeader = []string{"an event every", "client", "bytes / h", "wake-ups / h", "radio on", "connections held"}

func lightRow(r *results, run lightRun) string {
	f := r.light[run]
	return row(span(run.mean), cmp.Or(run.who, "polls every "+span(run.every)), number(f.perHour(f.bytesUp+f.bytesDown)),
		number(f.perHour(int64(f.wakeUps))), percent(f.radio()), fmt.Sprintf("%.3f", f.held))
}

var jobHeader = []string{"work of 10 min", "outcome", "after", "connections held"}

func jobRow(r *results, run jobRun) string {
	f := r.jobs[run]
	outcome := "done"
	if !f.done {
		outcome = fmt.Sprintf("status %d, and the work was for nothing", f.status)
	}
	return row(run.how, outcome, span(f.took), fmt.Sprintf("%.3f", f.held))
}

var proxyHeader = []string{"pattern", "p50", "max", "lost"}

func proxyRow(r *results, run proxiedRun) string {
	f := r.proxied[run]
	return row(run.who, span(f.p50), span(f.max), strconv.Itoa(f.lost))
}

func memoryRow(c contender, m memoryFigures) string {
	if c.wait == nil {
		return row(c.name, "nothing between two polls", "0")
	}
	return row(c.name, fmt.Sprintf("%.0f kB", m.bytes/1000), fmt.Sprintf("%.0f", m.goroutines))
}

func (f steadyFigures) perEvent(n int64) float64 { return float64(n) / float64(f.events) }

// wasted is the part of what the client sent that brought no event.
func (f steadyFigures) wasted() float64 {
	if f.sends == 0 {
		return 0
	}
	return max(0, 1-float64(f.batches)/float64(f.sends))
}

func (m traffic) perHour(n int64) float64 { return float64(n) / m.took.Hours() }
func (m traffic) radio() float64          { return float64(m.radioOn) / float64(m.took) }

// span is a duration with three digits.
func span(d time.Duration) string {
	unit := time.Nanosecond
	for unit*1000 <= d {
		unit *= 10
	}
	d = d.Round(unit) // so that 999.6 ms are 1 s
	switch {
	case d < 0:
		return "-" + span(-d)
	case d == 0:
		return "0"
	case d < time.Second:
		return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'g', 3, 64) + " ms"
	case d < 2*time.Minute:
		return strconv.FormatFloat(d.Seconds(), 'g', 3, 64) + " s"
	case d < 2*time.Hour:
		return strconv.FormatFloat(d.Minutes(), 'g', 3, 64) + " min"
	}
	return strconv.FormatFloat(d.Hours(), 'g', 3, 64) + " h"
}

func spanOr(d time.Duration, none string) string {
	if d < 0 {
		return none
	}
	return span(d)
}

// number has three digits, and no exponent.
func number(x float64) string {
	switch {
	case x >= 100_000:
		return strconv.FormatFloat(x/1000, 'f', 0, 64) + " k"
	case x >= 100:
		return strconv.FormatFloat(x, 'f', 0, 64)
	case x >= 10:
		return strconv.FormatFloat(x, 'f', 1, 64)
	}
	return strconv.FormatFloat(x, 'f', 2, 64)
}

func percent(x float64) string { return strconv.FormatFloat(100*x, 'f', 1, 64) + " %" }

func bytesText(n int) string {
	switch {
	case n == 0:
		return "0"
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	}
	return strconv.FormatFloat(float64(n)/1000, 'g', 3, 64) + " kB"
}
