package comparison

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// What is said about the patterns, and what the figures say to it.

type verdict string

const (
	confirmed   verdict = "confirmed"
	refuted     verdict = "refuted"
	onlyWhen    verdict = "true only when"
	notMeasured verdict = "not measured"
)

// A claim is a sentence about a pattern. Its judge finds the verdict in the figures, and
// says which.
type claim struct {
	number int // in the list of what is to be checked
	text   string
	judge  func(r *results) (verdict, string)
}

func when(yes bool, then, otherwise verdict) verdict {
	if yes {
		return then
	}
	return otherwise
}

// at is what a contender costs at a rate of the table of costs.
func (r *results) at(who string, mean time.Duration) steadyFigures {
	for _, rate := range rates {
		if rate.mean == mean {
			return r.steady[steadyRun{who, reference.Name, mean, rate.events}]
		}
	}
	panic(fmt.Sprintf("there is no rate of %v", mean))
}

// sends and bytes are what a contender costs in an hour, at a mean time between events.
func (r *results) sends(who string) func(time.Duration) float64 {
	return func(mean time.Duration) float64 {
		f := r.steady[drawnRun(who, mean)]
		return f.perHour(int64(f.sends))
	}
}

func (r *results) bytes(who string) func(time.Duration) float64 {
	return func(mean time.Duration) float64 {
		f := r.steady[drawnRun(who, mean)]
		return f.perHour(f.bytesUp + f.bytesDown)
	}
}

// crossing returns where the cheaper of a and b changes, as x grows: between two measured
// points it is interpolated, both scales being logarithmic. Later says that a is the
// cheaper one after that.
func crossing(xs []time.Duration, a, b func(time.Duration) float64) (at time.Duration, later, found bool) {
	for i := 1; i < len(xs); i++ {
		left := math.Log(a(xs[i-1]) / b(xs[i-1]))
		right := math.Log(a(xs[i]) / b(xs[i]))
		if (left > 0) != (right > 0) {
			x0, x1 := math.Log(float64(xs[i-1])), math.Log(float64(xs[i]))
			return time.Duration(math.Exp(x0 + (x1-x0)*left/(left-right))), left > 0, true
		}
	}
	return 0, false, false
}

// cheaper says in words where a is cheaper than b.
func cheaper(what string, xs []time.Duration, a, b func(time.Duration) float64) string {
	at, later, found := crossing(xs, a, b)
	switch {
	case found && later:
		return fmt.Sprintf("by %s from %s on", what, span(at))
	case found:
		return fmt.Sprintf("by %s up to %s", what, span(at))
	case a(xs[0]) < b(xs[0]):
		return "by " + what + " always"
	}
	return "by " + what + " never"
}

// longAgainstShort says from which time between events on long polling is cheaper than
// short polling with an interval.
func longAgainstShort(r *results, short string) string {
	return cheaper("requests", gaps, r.sends("long poll"), r.sends(short)) + ", " +
		cheaper("bytes", gaps, r.bytes("long poll"), r.bytes(short))
}

// lightAgainstHeld says from which interval on a light client that polls is cheaper than
// one that holds a connection; and for which part of the time it is connected then.
type lightCrossing struct {
	bytes, radio time.Duration
	dutyCycle    float64 // at the crossing by bytes
}

func lightAgainstHeld(r *results, who string, mean time.Duration) (c lightCrossing) {
	held := r.light[lightRun{who, 0, mean}]
	from := func(cost func(lightFigures) float64) time.Duration {
		at, later, found := crossing(lightIntervals,
			func(every time.Duration) float64 { return cost(r.light[lightRun{"", every, mean}]) },
			func(time.Duration) float64 { return cost(held) })
		if !found || !later {
			return -1
		}
		return at
	}
	c.bytes = from(func(f lightFigures) float64 { return f.perHour(f.bytesUp + f.bytesDown) })
	c.radio = from(func(f lightFigures) float64 { return f.radio() })
	poll := r.light[lightRun{"", time.Minute, mean}].held * float64(time.Minute) // connected for each
	c.dutyCycle = poll / float64(c.bytes)
	return c
}

// allRecovered reports whether a contender lost nothing in any fault.
func (r *results) allRecovered(who string) (ok bool, lost, gaps int) {
	for _, f := range faults {
		x := r.recovery[recoveryRun{who, brokenLink, f.name}]
		lost, gaps = lost+x.lost, gaps+x.gaps
	}
	return lost == 0, lost, gaps
}

const transitOfReference = 25 * time.Millisecond

var claims = []claim{
	{3, "Request-response is not for notifications: one has to ask again and again.", func(r *results) (verdict, string) {
		p, w := r.at("poll 1 s", 10*time.Minute), r.at("WebSocket", 10*time.Minute)
		return when(p.perEvent(int64(p.sends)) > 100 && p.p50 > 10*w.p50, confirmed, refuted),
			fmt.Sprintf("an event in 10 min takes %s requests if the client asks every second, and %s to arrive (p50), against %s with push.",
				number(p.perEvent(int64(p.sends))), span(p.p50), span(w.p50))
	}},
	{4, "Request-response is not for chat.", func(r *results) (verdict, string) {
		p, w := r.steady[drawnRun("poll 1 s", 3*time.Second)], r.steady[drawnRun("WebSocket", 3*time.Second)]
		return when(p.p99 > 10*w.p99 && p.bytesUp+p.bytesDown > w.bytesUp+w.bytesDown, confirmed, refuted),
			fmt.Sprintf("a message every 3 s over broadband arrives after %s (p99) for %s bytes if the client polls every second, after %s for %s bytes with push.",
				span(p.p99), number(p.perEvent(p.bytesUp+p.bytesDown)), span(w.p99), number(w.perEvent(w.bytesUp+w.bytesDown)))
	}},
	{5, "Request-response is not for requests that take very long.", func(r *results) (verdict, string) {
		held, polled := r.jobs[jobRun{heldRequest}], r.jobs[jobRun{submitAndPoll}]
		return when(!held.done && polled.done, confirmed, refuted),
			fmt.Sprintf("10 min of work behind a proxy that waits for 60 s: a held request ends with %d after %s; submitted and polled, the work is done after %s.",
				held.status, span(held.took), span(polled.took))
	}},
	{8, "Push is real time.", func(r *results) (verdict, string) {
		w := r.at("WebSocket", time.Second)
		return when(w.p50 == transitOfReference && w.max < 2*transitOfReference, confirmed, refuted),
			fmt.Sprintf("p50 %s, p99 %s, max %s, including the transit of %s.", span(w.p50), span(w.p99), span(w.max), span(transitOfReference))
	}},
	{9, "Push needs clients that are online.", func(r *results) (verdict, string) {
		ok, lost, gaps := r.allRecovered("WebSocket")
		return when(ok, onlyWhen, confirmed),
			fmt.Sprintf("there is no mailbox: with a log that is read from the client's cursor, %d faults of up to 20 min lost %d events and reported %d gaps. An event published with TTL Now is lost (scenario PU-03).",
				len(faults), lost, gaps)
	}},
	{10, "Push: clients might not be able to handle the load.", func(r *results) (verdict, string) {
		w, p, l := r.slow[slowRun{"WebSocket"}], r.slow[slowRun{"poll 5 s"}], r.slow[slowRun{"long poll"}]
		return when(w.held > 0 && p.held == 0 && l.held == 0, confirmed, refuted),
			fmt.Sprintf("if a client can take a tenth of the data, the server holds up to %s (its limit is 1 MiB, and then the client is disconnected), and nothing for pollers, which set the pace themselves. Lost: %d, %d and %d.",
				bytesText(w.held), w.lost, p.lost, l.lost)
	}},
	{11, "Push requires a bidirectional protocol.", func(r *results) (verdict, string) {
		w, e := r.at("WebSocket", time.Second), r.at("SSE", time.Second)
		return when(w.payloadUp > 0 && e.payloadUp == 0, refuted, confirmed),
			fmt.Sprintf("for %d events the client of Server-Sent Events sent %d bytes of payload after its request. Our WebSocket client sends %s bytes per event, for acknowledgements and answers to pings.", e.events, e.payloadUp, number(w.perEvent(w.payloadUp)))
	}},
	{12, "Polling is better for light clients than push.", func(r *results) (verdict, string) { return lightVerdict(r, "WebSocket") }},
	{13, "Push is used by WebSocket, SSE, RabbitMQ.", func(*results) (verdict, string) {
		return notMeasured, "a list of uses. delivery_test.go shows that WebSocket, Server-Sent Events and a broker keep one contract."
	}},
	{14, "Short polling is simple.", func(*results) (verdict, string) {
		own, push := linesOfCode("../patterns/shortpoll", "server", "run", "client", "pacer", "limit", "conditional"), linesOfCode("../patterns/push")
		return when(own < push/2, confirmed, refuted), fmt.Sprintf("a server and its client take %d lines of code, in addition to the log and the code shared with long polling (%d); push takes %d. The server keeps nothing for a client: any replica answers any poll (scenario SP-07).",
			own, linesOfCode("../patterns/internal/polling"), push)
	}},
	{15, "Short polling is good for requests that take long.", func(r *results) (verdict, string) {
		polled := r.jobs[jobRun{submitAndPoll}]
		return when(polled.done, confirmed, refuted),
			fmt.Sprintf("10 min of work behind a proxy that waits for 60 s ends %s after it began, noticed within the interval of 5 s; restarts of the client do not change this (scenario SP-03).", span(polled.took))
	}},
	{16, "Short polling lets the client disconnect.", func(r *results) (verdict, string) {
		f := r.at("poll 30 s, closing", 30*time.Second)
		return when(f.held < 0.01, confirmed, refuted),
			fmt.Sprintf("a client that closes after each poll of 30 s holds %.3f connections on average, and a result is there an hour later (scenario SP-03). One that keeps its connection for the next poll, as net/http does for 90 s, holds one.", f.held)
	}},
	{17, "Short polling is chatty.", func(r *results) (verdict, string) {
		often, rare := r.at("poll 1 s", time.Second), r.at("poll 1 s", 10*time.Minute)
		return when(rare.perEvent(int64(rare.sends)) > 100, onlyWhen, refuted),
			fmt.Sprintf("events are rarer than polls: %s requests per event at one event a second, %s at one in 10 min.",
				number(often.perEvent(int64(often.sends))), number(rare.perEvent(int64(rare.sends))))
	}},
	{18, "Short polling costs bandwidth.", func(r *results) (verdict, string) {
		often, rare, w := r.at("poll 1 s", time.Second), r.at("poll 1 s", 10*time.Minute), r.at("WebSocket", 10*time.Minute)
		return when(rare.bytesUp+rare.bytesDown > 10*(w.bytesUp+w.bytesDown), onlyWhen, refuted),
			fmt.Sprintf("events are rarer than polls: %s bytes per event at one a second, %s at one in 10 min, for which push takes %s. 304 saves half of the bytes down (scenario SP-12).",
				number(often.perEvent(often.bytesUp+often.bytesDown)), number(rare.perEvent(rare.bytesUp+rare.bytesDown)), number(w.perEvent(w.bytesUp+w.bytesDown)))
	}},
	{19, "Short polling wastes the resources of the backend.", func(r *results) (verdict, string) {
		f := r.at("poll 1 s", 10*time.Minute)
		slow := r.at("poll 30 s", 30*time.Second)
		return when(f.wasted() > 0.9, onlyWhen, refuted),
			fmt.Sprintf("the interval is shorter than the time between events: %s of polls every second are wasted at one event in 10 min, and %s of polls every 30 s at one event in 30 s.", percent(f.wasted()), percent(slow.wasted()))
	}},
	{20, "Short polling is a generalised spin lock.", func(r *results) (verdict, string) {
		p := func(mean time.Duration) float64 {
			f := r.at("poll 1 s", mean)
			return f.perEvent(int64(f.sends))
		}
		l := r.at("long poll", 10*time.Minute)
		linear := p(10*time.Minute) / p(30*time.Second)
		return when(linear > 10 && linear < 40, confirmed, refuted),
			fmt.Sprintf("the cost of waiting is proportional to the time: %s requests for 30 s, %s for 10 min, which is %s times as many for 20 times as long. Long polling, which parks requests, takes %s for 10 min.",
				number(p(30*time.Second)), number(p(10*time.Minute)), number(linear), number(l.perEvent(int64(l.sends))))
	}},
	{21, "Long polling is less chatty and friendly to the backend.", func(r *results) (verdict, string) {
		often, batched, rare := r.at("long poll", time.Second), r.at("long poll, linger 1 s", time.Second), r.at("long poll", 10*time.Minute)
		poll := r.at("poll 1 s", 10*time.Minute)
		return onlyWhen, fmt.Sprintf("events are rarer than polls would be: %s requests per event, against %s for polls every second, at one event in 10 min, but %s at one a second. Holding answers back for a second brings that to %s. It is cheaper than polls every second %s; than polls every 5 s %s; than polls every 30 s %s.",
			number(rare.perEvent(int64(rare.sends))), number(poll.perEvent(int64(poll.sends))), number(often.perEvent(int64(often.sends))),
			number(batched.perEvent(int64(batched.sends))), longAgainstShort(r, "poll 1 s"), longAgainstShort(r, "poll 5 s"), longAgainstShort(r, "poll 30 s"))
	}},
	{22, "With long polling the client can still disconnect.", func(r *results) (verdict, string) {
		ok, lost, gaps := r.allRecovered("long poll")
		return when(ok, confirmed, refuted),
			fmt.Sprintf("%d faults of up to 20 min lost %d events and reported %d gaps; the server frees its resources (scenarios LP-07, LP-19).", len(faults), lost, gaps)
	}},
	{23, "Long polling is practically real time.", func(r *results) (verdict, string) {
		f := r.at("long poll", time.Second)
		return when(f.p50 == transitOfReference && f.max <= 3*transitOfReference+time.Millisecond, confirmed, refuted),
			fmt.Sprintf("p50 %s, p99 %s, max %s, including the transit of %s; three transits when an event just misses an answer.", span(f.p50), span(f.p99), span(f.max), span(transitOfReference))
	}},
	{24, "Long polling holds a connection all the time.", func(r *results) (verdict, string) {
		f := r.at("long poll", 10*time.Minute)
		return when(f.held > 0.99, confirmed, refuted),
			fmt.Sprintf("%.3f connections on average for an idle client, and the memory below.", f.held)
	}},
	{25, "Long polling waits until a timeout, and the server may end it.", func(r *results) (verdict, string) {
		lost, ends := 0, 0
		for _, rate := range rates {
			f := r.at("long poll", rate.mean)
			lost += f.lost
			ends += f.sends - f.batches
		}
		return when(lost == 0 && ends > 500, confirmed, refuted),
			fmt.Sprintf("%d waits ended without an event in the runs of the table of costs, and of %d events at random instants %d were lost; a proxy that ends them is scenario LP-06.", ends, rates[0].events+rates[1].events+rates[2].events, lost)
	}},
	{26, "Kafka uses long polling.", func(*results) (verdict, string) {
		return confirmed, "measured with franz-go and kfake on the same network (interop/kafka_test.go): with min bytes 1 an event takes one transit, however long max wait is, and an idle consumer sends one request per max wait."
	}},
	{27, "Streaming is real time.", func(r *results) (verdict, string) {
		f := r.at("SSE", time.Second)
		return when(f.p50 == transitOfReference && f.max < 2*transitOfReference, confirmed, refuted),
			fmt.Sprintf("p50 %s, p99 %s, max %s, including the transit of %s.", span(f.p50), span(f.p99), span(f.max), span(transitOfReference))
	}},
	{28, "Streaming is compatible with request-response.", func(r *results) (verdict, string) {
		f := r.proxied[proxiedRun{"SSE"}]
		return when(f.lost == 0 && f.max < 3*transitOfReference, onlyWhen, refuted),
			fmt.Sprintf("intermediaries forward data as it arrives: through net/http's client and server and an unaware reverse proxy with 25 ms more, p50 %s and max %s. A proxy that buffers holds events back, unless it heeds X-Accel-Buffering (scenarios ST-16, ST-17).", span(f.p50), span(f.max))
	}},
	{29, "Streaming needs clients that are online.", func(r *results) (verdict, string) {
		ok, lost, gaps := r.allRecovered("SSE")
		return when(ok, onlyWhen, confirmed),
			fmt.Sprintf("there is no log: with Last-Event-ID and a log, %d faults of up to 20 min lost %d events and reported %d gaps. A client that is away for longer than the log keeps events is told so (scenario ST-12).", len(faults), lost, gaps)
	}},
	{30, "Streaming: clients might not be able to handle the load.", func(r *results) (verdict, string) {
		f, p := r.slow[slowRun{"SSE"}], r.slow[slowRun{"poll 5 s"}]
		return when(f.lost == 0 && f.held < 200_000, onlyWhen, confirmed),
			fmt.Sprintf("the server pushes to each client regardless of its pace. For a client that can take a tenth of the data, ours reads the log at the connection's pace, holds up to %s (a poller: %s) and loses %d events, %s late at the end.", bytesText(f.held), bytesText(p.held), f.lost, span(f.caughtUp))
	}},
	{31, "Polling is better for light clients than streaming.", func(r *results) (verdict, string) { return lightVerdict(r, "SSE") }},
	{32, "Streaming has a problem with HTTP/1.1.", func(r *results) (verdict, string) {
		one, two := r.seventh[seventhRun{"HTTP/1.1"}], r.seventh[seventhRun{"HTTP/2"}]
		return when(one.err != nil && two.err == nil, confirmed, refuted),
			fmt.Sprintf("a client with at most six connections to a host, like a browser, and six open streams gets no answer to a seventh request within %s over HTTP/1.1; over HTTP/2 in %s.", span(one.took), span(two.took))
	}},
	{33, "Server-Sent Events are one technique of streaming.", func(r *results) (verdict, string) {
		same, text := true, ""
		sse := r.steady[steadyRun{"SSE", "LTE", networkMean, networkEvents}]
		for _, c := range encodings {
			f := r.steady[steadyRun{c.name, "LTE", networkMean, networkEvents}]
			ok, _, _ := r.allRecovered(c.name)
			same = same && ok && f.lost == 0 && f.p50/time.Millisecond == sse.p50/time.Millisecond
			text += fmt.Sprintf("; %s %s and %s", c.name, span(f.p50), number(f.perEvent(f.bytesDown)))
		}
		return when(same, confirmed, refuted),
			fmt.Sprintf("the same core in other encodings recovers from the same faults, equally fast. Time to notify (p50, LTE) and bytes down per event: SSE %s and %s%s.", span(sse.p50), number(sse.perEvent(sse.bytesDown)), text)
	}},
}

// linesOfCode counts those that are neither blank nor comments, in the files of a package,
// all but tests or those of the given names.
func linesOfCode(folder string, names ...string) (lines int) {
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	must(err)
	for _, name := range names {
		if !slices.Contains(files, filepath.Join(folder, name+".go")) {
			panic(fmt.Sprintf("%s has no file %s.go whose lines could be counted", folder, name))
		}
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".go")
		if strings.HasSuffix(name, "_test") || len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		text, err := os.ReadFile(file)
		must(err)
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
				lines++
			}
		}
	}
	return lines
}

// lightVerdict compares a client that polls with one that holds a connection.
func lightVerdict(r *results, who string) (verdict, string) {
	var parts []string
	yes := true
	for _, mean := range lightMeans {
		c := lightAgainstHeld(r, who, mean)
		yes = yes && c.bytes > 0 && c.radio > 0
		parts = append(parts, fmt.Sprintf("less often than every %s by radio time and every %s by bytes, with an event every %s", span(c.radio), span(c.bytes), span(mean)))
	}
	f := r.light[lightRun{who, 0, lightMeans[len(lightMeans)-1]}]
	return when(yes, onlyWhen, refuted), fmt.Sprintf("the client seldom needs news: %s. The held connection (%s) keeps the radio on for %s of the time, partly because of the TCP keep-alive probes that Go's server sends every 15 s.",
		strings.Join(parts, "; "), who, percent(f.radio()))
}
