package comparison

import (
	"fmt"
	"strings"
)

// A callSection is a table of docs/comparison-calls.md, with what is said before and after it.
type callSection struct {
	title, before string
	header        []string
	rows          func(r *callResults) []string
	after         string
	pages         bool // of figures that are only measured when the document is written
}

var callSections = []callSection{
	{title: "Work done while waiting", before: "A caller has ten questions, each a second's work for the server, and 200 units of work of its own, 10 ms each. Blocked is the time in which it can only wait. The total is the time until everything is done. 25 ms each way.",
		header: []string{"how it asks", "units done meanwhile", "blocked", "total"}, rows: func(r *callResults) (rows []string) {
			for _, run := range waitRuns {
				f := r.waits[run]
				rows = append(rows, row(run.how, fmt.Sprint(f.meanwhile), span(f.blocked), span(f.total)))
			}
			return rows
		}},
	{title: "A request that takes 10 minutes", before: "Behind a proxy that gives up on a silent server after 60 s.",
		header: jobHeader, rows: func(r *callResults) (rows []string) {
			for _, run := range []jobRun{{heldRequest}, {submitAndPoll}} {
				rows = append(rows, jobRow(r.all, run))
			}
			return rows
		}},
	{title: "When the client disconnects", before: "A caller's process dies 2 s into the 10 s of work on its call. Half a minute later it is back and makes the same call, with the same key where there are keys. Begun is the number of executions that began for both calls; effects is the number of effects that took place.",
		header: []string{"pattern", "begun", "effects", "the second call is", "after"}, rows: func(r *callResults) (rows []string) {
			for _, run := range leaveRuns() {
				f := r.leaves[run]
				rows = append(rows, row(run.who, fmt.Sprint(f.begun), fmt.Sprint(f.effects), map[bool]string{true: "answered", false: "not answered"}[f.done], span(f.took)))
			}
			return rows
		}},
	{title: "One connection, six, and streams that do not wait for each other", pages: true,
		before: fmt.Sprintf("A page of %d objects of %d kB, all requested at once over connections that stay open; %d pages, 25 ms each way, 20 Mbit/s, with the given loss in each direction. A page is complete when its last object has arrived.", objects, objectBytes/1000, pages),
		header: []string{"lost", "over", "page (p50)", "object (p50)", "object (p99)"}, rows: func(r *callResults) (rows []string) {
			for _, lost := range pagePercents {
				for _, way := range pageWays {
					f := r.pages[pageRun{way, lost}]
					rows = append(rows, row(fmt.Sprintf("%d %%", lost), way, span(f.page), span(f.object50), span(f.object99)))
				}
			}
			return rows
		}, after: "In the first three rows and with `mux`, a lost packet stops everything after it on its connection: the whole page with one connection, a sixth with six. HTTP/2 and HTTP/3 order their frames as the runtime happens to run their goroutines, so these figures may differ a little from run to run."},
	{title: "Retries over three tiers", before: "Three callers ask 20 times a second. The last of three tiers refuses everything for 20 s. Each tier makes up to three attempts of a call. A budget allows a tenth of the calls, and three, as attempts after the first.",
		header: []string{"retries", "calls", "attempts at the last tier", "for each call"}, rows: func(r *callResults) (rows []string) {
			for _, run := range tiersRuns {
				f := r.tiers[run]
				rows = append(rows, row(map[bool]string{false: "without a budget", true: "within a budget"}[run.budget], fmt.Sprint(f.calls), fmt.Sprint(f.attempts), number(f.perCall())))
			}
			return rows
		}},
	{title: "A herd after an outage", before: "A hundred clients ask at one instant; the server comes up 30 s later. Attempts are all attempts to connect. The peak is the largest number of them within 100 ms, from the time when they can succeed.",
		header: []string{"delay after an attempt that failed", "attempts", "peak", "last client answered"}, rows: func(r *callResults) (rows []string) {
			for _, run := range backRuns {
				f := r.backs[run]
				rows = append(rows, row(run.how, fmt.Sprint(f.attempts), fmt.Sprint(f.peak), span(f.last)))
			}
			return rows
		}},
	{title: "Sessions when a replica dies", before: fmt.Sprintf("%d sessions on three replicas, one of which dies.", sessions),
		header: []string{"the state is", "sessions lost", "bytes of the cookie"}, rows: func(r *callResults) (rows []string) {
			for _, run := range failoverRuns {
				f := r.failover[run]
				rows = append(rows, row(run.kept, fmt.Sprint(f.lost), fmt.Sprint(f.cookie)))
			}
			return rows
		}},
	{title: "Keys that move", before: fmt.Sprintf("%d keys on ten replicas.", keysOfAll),
		header: []string{"replica by", "moved when one comes", "when one goes", "of these, another's", "keys of a replica"}, rows: func(r *callResults) (rows []string) {
			for _, run := range movedRuns {
				f := r.moved[run]
				rows = append(rows, row(run.how, fmt.Sprint(f.added), fmt.Sprint(f.removed), fmt.Sprint(f.foreign), fmt.Sprintf("%d to %d", f.least, f.most)))
			}
			return rows
		}},
	{title: "Recovery", before: "A caller asks, waits up to 1.9 s, and asks again 100 ms later; 40 ms each way. Failed is the number of calls that were not completed. Back is the time from the end of the fault until a call is completed.",
		header: []string{"fault", "pattern", "failed", "back"}, rows: func(r *callResults) (rows []string) {
			for _, f := range callFaults {
				for _, c := range callContenders {
					m := r.mends[mendRun{c.name, f.name}]
					rows = append(rows, row(f.name, c.name, fmt.Sprint(m.failed), spanOr(m.back, "not in 3 min")))
				}
			}
			return rows
		}, after: "A client with a sidecar asks three servers, one of which crashes; the other faults affect all of its links. The first unanswered call reveals a silent connection. A client that shares one connection among all calls must ask the other end whether it is dead or only slow."},
}

func (f tiersFigures) perCall() float64 { return float64(f.attempts) / float64(max(1, f.calls)) }

// callsDocument is the text of docs/comparison-calls.md.
func callsDocument(r *callResults) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n\n", args...) }
	say("# The patterns that call, compared")
	say("<!-- Written by `cd comparison && go test -run TestCallsComparison -update .`; do not edit. -->")
	say("How does a question get its answer, and what happens if it does not? As in [the other half](comparison.md), the figures are exact, in virtual time, and `go test` measures them again unless the text says otherwise.")
	say("## Claims and findings")
	var rows []string
	for _, c := range callClaims {
		v, why := c.judge(r)
		rows = append(rows, row(fmt.Sprint(c.number), c.text, "**"+string(v)+"** "+separator(v)+why))
	}
	say("%s", "| | claim | verdict |\n|---:|---|---|\n"+strings.Join(rows, "\n"))
	say("The numbers refer to the list of claims that this project set out to check. Its entry 34 only names multiplexing, stateful and stateless, and sidecar; here it stands for what is commonly said about them.")
	say("## The contenders")
	rows = nil
	for _, c := range callContenders {
		rows = append(rows, row(c.name, c.why))
	}
	say("%s", "| pattern | settings |\n|---|---|\n"+strings.Join(rows, "\n"))
	for _, s := range callSections {
		say("## %s", s.title)
		say("%s", s.before)
		say("%s", table(s.header, s.rows(r)))
		if s.after != "" {
			say("%s", s.after)
		}
	}
	say("## What a sidecar costs")
	say("Virtual time does not show this cost, because a hop on one host takes none. The benchmark in package `sidecar` measures it on a real computer. A request takes 1.4 to 1.6 times as much processor time as without a proxy (2.4 to 3.2 times with a tuned `httputil.ReverseProxy`). The median request takes 29 to 56 µs longer (54 to 108 µs with a ReverseProxy). An idle client's connection holds 4 KB and a goroutine. `go test -run '^$' -bench Request ./patterns/sidecar` measures it again.")
	return strings.TrimSpace(strings.ReplaceAll(b.String(), "\n\n\n", "\n\n")) + "\n"
}
