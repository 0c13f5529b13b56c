package comparison

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/squall-sim/squall/netem"
)

// document is the text of docs/comparison.md.
func document(r *results, memory map[string]memoryFigures) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n\n", args...) }

	say("# The patterns that deliver, compared")
	say("<!-- Written by `cd comparison && go test -run TestComparison -update .`; do not edit. -->")
	say("How does an event get from a server to its clients, and at what cost? Every pattern of this project ran on the same simulated networks with the same events. All figures except memory are exact, in virtual time: the same code gives the same figures on every computer. `go test` measures some of them again to keep this document in step with the code. The figures come from the network, packet by packet, and from an observer of input and output, not from the patterns' own counters. [comparison-calls.md](comparison-calls.md) compares the patterns that call.")

	say("## In short")
	say("%s", list(
		"An event takes one transit with push, streaming, publish/subscribe and long polling (p50), and half an interval with short polling.",
		"Long polling is cheaper than short polling every second "+longAgainstShort(r, "poll 1 s")+" (time between events); than every 5 s "+longAgainstShort(r, "poll 5 s")+"; than every 30 s, its own wait, "+longAgainstShort(r, "poll 30 s")+".",
		"A stream of Server-Sent Events is cheaper than long polling "+cheaper("bytes", gaps, r.bytes("SSE"), r.bytes("long poll"))+", and than short polling every 30 s "+cheaper("bytes", gaps, r.bytes("SSE"), r.bytes("poll 30 s"))+"; push over WebSocket, which acknowledges, is cheaper than the stream "+cheaper("bytes", gaps, r.bytes("WebSocket"), r.bytes("SSE"))+".",
		lightSummary(r),
		lossSummary(r),
	))
	say("![What an hour costs](comparison-cost.svg)")
	say("Over %s; on the left, zero is drawn as one.", drawnLink)

	say("## Claims and findings")
	var rows []string
	for _, c := range claims {
		v, why := c.judge(r)
		rows = append(rows, row(fmt.Sprint(c.number), c.text, "**"+string(v)+"** "+separator(v)+why))
	}
	say("%s", "| | claim | verdict |\n|---:|---|---|\n"+strings.Join(rows, "\n"))
	say("The numbers refer to the list of claims that this project set out to check. The list has no claim about publish/subscribe, but the tables include it.")

	say("## The contenders")
	rows = nil
	for _, c := range contenders {
		rows = append(rows, row(c.name, c.why))
	}
	say("%s", "| pattern | settings |\n|---|---|\n"+strings.Join(rows, "\n"))
	say("All other settings are the defaults of the packages and of net/http. An event has %d bytes; HTTP carries it in JSON, with a topic, an offset and a time. Events come at random (Poisson), drawn from a seed.", eventSize)
	rows = nil
	for _, p := range append(netem.Presets(), reference) {
		rows = append(rows, row(p.Name, linkText(p.Up), linkText(p.Down)))
	}
	say("%s", "| network | up | down |\n|---|---|---|\n"+strings.Join(rows, "\n"))
	say("Their sources are in the documentation of package netem.")

	costs(&b, r)
	networks(&b, r)
	breakages(&b, r)
	clients(&b, r, memory)
	return strings.TrimSpace(strings.ReplaceAll(b.String(), "\n\n\n", "\n\n")) + "\n"
}

// costs is what an event costs, and how that compares with a prototype's figures.
func costs(b *strings.Builder, r *results) {
	say := func(format string, args ...any) { fmt.Fprintf(b, format+"\n\n", args...) }
	say("## What an event costs")
	say("A link with 25 ms each way and no other limit. Sends are segments with data from the client: requests over HTTP/1.1 without pipelining; acknowledgements and answers to pings over WebSocket. A send is wasted if it brought no event. Packets and bytes are counted at IP, and include all acknowledgements and TCP's keep-alive probes (every 15 s on an idle connection, by Go's default); payload is the data that TCP carried. Held is the mean number of connections.")
	var rows []string
	for _, rate := range rates {
		for _, c := range contenders {
			rows = append(rows, costRow(r, steadyRun{c.name, reference.Name, rate.mean, rate.events}))
		}
	}
	say("%s", table(costHeader, rows))

	say("A prototype over the same link had these figures, in requests per event and bytes of payload of minimal requests:")
	rows = nil
	for _, p := range prototype {
		f := r.at(p.who, p.mean)
		rows = append(rows, row(span(p.mean), p.who, p.times, span(f.p50)+" / "+span(f.p99)+" / "+span(f.max), p.requests, number(f.perEvent(int64(f.sends)))))
	}
	say("%s", table([]string{"an event every", "pattern", "prototype: p50 / p99 / max", "here", "prototype: requests", "here: sends"}, rows))
	say("They differ for three reasons. Polls per event follow the draws of the events (here 400, 200 and 40 of them, there 400 each). Requests here carry net/http's headers, a cursor and a condition, and answers carry JSON with a topic, an offset and a time, so the payload is about twice as large. The prototype did not count the sends of its WebSocket client; the figures here include its acknowledgements, at most one a second, and its answers to pings. Its outliers of 57 and 49 ms over WebSocket came from a ping that blocked its writer for a round trip: package push writes pings without waiting for the answer, and its longest delay is one transit.")
}

// prototype has what was measured before there was this project.
var prototype = []struct {
	mean            time.Duration
	who             string
	times, requests string
}{
	{time.Second, "poll 1 s", "538 ms / 1.05 s / 1.07 s", "1.01"},
	{time.Second, "poll 5 s", "2.63 s / 5.02 s / 5.07 s", "0.21"},
	{time.Second, "long poll", "25 ms / 63 ms / 70 ms", "1.00"},
	{time.Second, "SSE", "25 ms / 25 ms / 25 ms", "0"},
	{time.Second, "WebSocket", "25 ms / 25 ms / 57 ms", "0"},
	{30 * time.Second, "poll 1 s", "553 ms / 1.06 s / 1.07 s", "27.4"},
	{30 * time.Second, "poll 30 s", "15 s / 29.8 s / 30.1 s", "0.96"},
	{30 * time.Second, "long poll", "25 ms / 25 ms / 25 ms", "1.53"},
	{30 * time.Second, "SSE", "25 ms / 25 ms / 25 ms", "0"},
	{30 * time.Second, "WebSocket", "25 ms / 25 ms / 49 ms", "0"},
	{10 * time.Minute, "poll 1 s", "494 ms / 1.05 s / 1.07 s", "546.9"},
	{10 * time.Minute, "poll 30 s", "14.2 s / 29.8 s / 30 s", "19.1"},
	{10 * time.Minute, "long poll", "25 ms / 25 ms / 37 ms", "19.6"},
	{10 * time.Minute, "SSE", "25 ms / 25 ms / 25 ms", "0"},
	{10 * time.Minute, "WebSocket", "25 ms / 25 ms / 25 ms", "0"},
}

// networks is the same over all presets.
func networks(b *strings.Builder, r *results) {
	say := func(format string, args ...any) { fmt.Fprintf(b, format+"\n\n", args...) }
	say("## On which network")
	say("An event every 30 s, %d of them. Short polling is as slow as its interval on every network; push and long polling are as fast as the network allows.", networkEvents)
	var rows []string
	for _, link := range netem.Presets() {
		for _, c := range contenders {
			rows = append(rows, networkRow(r, steadyRun{c.name, link.Name, networkMean, networkEvents}))
		}
	}
	say("%s", table(networkHeader, rows))
	say("![Time to notify](comparison-delay.svg)")
}

// breakages is what happens when something breaks.
func breakages(b *strings.Builder, r *results) {
	say := func(format string, args ...any) { fmt.Fprintf(b, format+"\n\n", args...) }
	say("## When something breaks")
	say("An event a second, over LTE, and a log on disk. Detected: the client abandons its connection, or learns that it has ended. Reconnected: a new connection is established. Caught up: everything published until then has arrived. Each row is one run, so chance decides where in a poller's interval the fault hits; another seed would move it. TCP bridges an outage that ends before TCP gives up the connection; its retransmissions are then up to twice as far apart as the outage was long. A client without a connection at that time detects nothing until it needs one.")
	var rows []string
	for _, f := range faults {
		for _, c := range contenders {
			rows = append(rows, recoveryRow(r, recoveryRun{c.name, brokenLink, f.name}))
		}
	}
	say("%s", table(recoveryHeader, rows))

	say("### A herd")
	say("%d clients lose their server, which returns after 5 s. How many connect at once, and when do all of them have an event that is published at that time?", herdSize)
	rows = nil
	for _, c := range contenders {
		rows = append(rows, herdRow(r, herdRun{c.name, herdSize}))
	}
	say("%s", table(herdHeader, rows))
	say("![Attempts to connect](comparison-herd.svg)")

	say("### Behind a proxy")
	say("A reverse proxy with default settings (httputil.ReverseProxy) that does not know the pattern: 25 ms to the proxy, 25 ms more to the server, an event every 10 s.")
	rows = nil
	for _, run := range proxiedRuns {
		rows = append(rows, proxyRow(r, run))
	}
	say("%s", table(proxyHeader, rows))

	say("### A slow client")
	say("For a minute a client's link carries a tenth of the published data: 10 events of 4 kB a second over 32 kbit/s.")
	rows = nil
	for _, c := range contenders {
		rows = append(rows, slowRow(r, slowRun{c.name}))
	}
	say("%s", table(slowHeader, rows))

	say("### A request that takes 10 minutes")
	say("Behind a proxy that gives up on a silent server after 60 s, as nginx does by default.")
	rows = nil
	for _, run := range []jobRun{{heldRequest}, {submitAndPoll}} {
		rows = append(rows, jobRow(r, run))
	}
	say("%s", table(jobHeader, rows))
}

// clients is what a client costs: one that wants little, and one that waits.
func clients(b *strings.Builder, r *results, memory map[string]memoryFigures) {
	say := func(format string, args ...any) { fmt.Fprintf(b, format+"\n\n", args...) }
	say("## Light clients")
	say("A client on LTE that needs the latest event at intervals: it polls, with a new connection for each poll, or holds a connection and receives every event. Its radio stays on for %s after each packet (Huang et al., MobiSys 2012).", span(radioTail))
	var rows []string
	for _, mean := range lightMeans {
		for _, every := range lightIntervals {
			rows = append(rows, lightRow(r, lightRun{"", every, mean}))
		}
		for _, who := range lightHolders {
			rows = append(rows, lightRow(r, lightRun{who, 0, mean}))
		}
	}
	say("%s", table(lightHeader, rows))
	say("The interval from which polling is cheaper:")
	rows = nil
	for _, who := range lightHolders {
		for _, mean := range lightMeans {
			c := lightAgainstHeld(r, who, mean)
			rows = append(rows, row(who, span(mean), spanOr(c.bytes, "never"), strconv.FormatFloat(100*c.dutyCycle, 'g', 2, 64)+" %", spanOr(c.radio, "never")))
		}
	}
	say("%s", table([]string{"connection held", "an event every", "by bytes", "connected then", "by radio time"}, rows))
	say("![Light clients](comparison-light.svg)")

	say("## Server memory for each waiting client")
	say("Heap and stacks on the computer that wrote this document, with %d clients over TCP on loopback, without the kernel's memory for each socket. `cd comparison && go test -run '^$' -bench MemoryPerWaitingClient .` measures it again. Published figures for Go are 15.4 kB of resident memory for a waiting long poll, 19.4 kB for an idle connection of net/http and 23.5 kB for a WebSocket of coder/websocket.", waitingClients)
	rows = nil
	for _, c := range contenders {
		rows = append(rows, memoryRow(c, memory[c.name]))
	}
	say("%s", table([]string{"pattern", "bytes", "goroutines"}, rows))
}

// lightSummary says when polling beats a held connection.
func lightSummary(r *results) string {
	var parts []string
	for _, who := range lightHolders {
		c := lightAgainstHeld(r, who, lightMeans[0])
		parts = append(parts, fmt.Sprintf("%s by bytes and %s by radio time against %s", span(c.bytes), span(c.radio), who))
	}
	return fmt.Sprintf("For a light client, polling with a new connection for each poll is cheaper than holding one at intervals above %s (with an event every %s).", strings.Join(parts, ", "), span(lightMeans[0]))
}

// lossSummary counts what was lost and what came twice in all steady runs and all faults.
func lossSummary(r *results) string {
	events, lost, twice := 0, 0, 0
	for _, f := range r.steady {
		events, lost, twice = events+f.events, lost+f.lost, twice+f.twice
	}
	broken := 0
	for _, f := range r.recovery {
		broken, lost, twice = broken+1, lost+f.lost, twice+f.twice
	}
	return fmt.Sprintf("Of %d events on good and bad networks, and in %d runs in which something broke, %d were lost and %d came twice: every pattern resumes reading a log at a position that its client holds.", events, broken, lost, twice)
}

func separator(v verdict) string {
	if v == onlyWhen {
		return ""
	}
	return "— "
}

func list(items ...string) string { return "- " + strings.Join(items, "\n- ") }

func linkText(c netem.Config) string {
	parts := []string{span(c.Delay)}
	if c.Rate > 0 {
		parts = append(parts, c.Rate.String())
	}
	if loss, ok := c.Loss.(netem.Bernoulli); ok {
		parts = append(parts, percent(float64(loss))+" lost")
	}
	return strings.Join(parts, ", ")
}
