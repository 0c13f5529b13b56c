// Package timeouts checks that the timeouts along one path fit together. Each is set by people who
// do not know the others, and each is sensible on its own. Together they can cut connections
// between two heartbeats, send requests on a connection that is just being closed, retry when
// nobody waits any more, and declare a node dead before anyone could have noticed that it is alive.
//
// A [Path] has the numbers of all parties. [Path.Check] reports which pairs are in the wrong order.
// It is meant for a test next to the configuration.
package timeouts

import (
	"errors"
	"fmt"
	"time"
)

// Path holds the timeouts set along the way from a client to a server. A zero field is absent and
// not checked.
type Path struct {
	// Slack is the longest unplanned delay: through the network, and waiting for a processor. Each
	// limit must be larger by more than Slack. Zero: it must only be larger.
	Slack time.Duration

	// Heartbeat is the time between two heartbeats of an otherwise silent stream. Each of Idle must
	// be longer: the times after which proxies, load balancers and NATs cut or forget a silent
	// connection.
	Heartbeat time.Duration
	Idle      []Limit

	// Hops are the pairs of neighbours that keep connections between requests. The side that sends
	// requests must close them first. If the other side does, a request can be under way at that
	// moment (golang/go#22158, envoyproxy/envoy#1979).
	Hops []Hop

	// PollWait is how long a server may hold a request until there is something to answer. Each of
	// Answer must be longer: the times after which clients and proxies stop waiting for an answer.
	PollWait time.Duration
	Answer   []Limit

	// Layers are the parties that retry a request, the outermost first. All attempts of a layer and
	// the pauses between them must fit into its Timeout. That must fit into one attempt of the
	// layer above, which would otherwise retry while the layer below still does.
	Layers []Layer

	// Detections are the ways to detect that a party has died, each with the lease that
	// depends on it.
	Detections []Detection
}

// Limit is a time, with the name of the party that sets it.
type Limit struct {
	Name string        // in errors
	Time time.Duration // zero: there is none
}

// Hop is a pair of neighbours, with how long each keeps an idle connection. Client sends the
// requests, Server answers.
type Hop struct{ Client, Server Limit }

// Layer is a party that retries a request.
type Layer struct {
	Name string // in errors
	// Attempts is how many attempts it makes, the first included, AttemptTimeout the limit of each,
	// Pause the longest wait between two, and Timeout the limit of all together.
	Attempts                       int
	AttemptTimeout, Pause, Timeout time.Duration
}

// Detection is how one party detects that another has died, and how long it trusts the other in
// the meantime.
type Detection struct {
	Name string // in errors
	// Interval is the time between two probes, Timeout the time to wait for each answer, and Misses
	// how many answers must be missing; zero: 1. Detection must end within the Lease. Otherwise a
	// party that is alive but hard to reach loses its lease before a probe was repeated
	// (kubernetes/kubernetes#121793: 15 s + 30 s in 40 s).
	Interval, Timeout time.Duration
	Misses            int
	Lease             time.Duration
}

// Takes returns the longest time that the detection takes.
func (d Detection) Takes() time.Duration {
	return d.Interval*time.Duration(max(d.Misses, 1)) + d.Timeout
}

// Check returns an error for each pair that is in the wrong order, with both values.
func (p Path) Check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("timeouts: "+format, args...)) }
	less := func(inner string, a time.Duration, outer string, b time.Duration) {
		if a > 0 && b > 0 && a+p.Slack >= b {
			bad("%s is %v: want less than %s, %v%s", inner, a, outer, b, p.slack())
		}
	}
	for _, l := range p.Idle {
		less("Heartbeat", p.Heartbeat, "the idle timeout of "+l.Name, l.Time)
	}
	for _, h := range p.Hops {
		less("the idle timeout of "+h.Client.Name+", which sends requests,", h.Client.Time, "that of "+h.Server.Name, h.Server.Time)
	}
	for _, l := range p.Answer {
		less("PollWait", p.PollWait, "the answer timeout of "+l.Name, l.Time)
	}
	for i, l := range p.Layers {
		all := l.AttemptTimeout*time.Duration(l.Attempts) + l.Pause*time.Duration(max(l.Attempts-1, 0))
		if l.Timeout > 0 && all > l.Timeout {
			bad("%d attempts of %v and pauses of %v of %s are %v: want at most its Timeout, %v", l.Attempts, l.AttemptTimeout, l.Pause, l.Name, all, l.Timeout)
		}
		if i > 0 {
			above := p.Layers[i-1]
			less("the Timeout of "+l.Name, l.whole(), "the AttemptTimeout of "+above.Name, above.AttemptTimeout)
		}
	}
	for _, d := range p.Detections {
		less(fmt.Sprintf("the detection by %s, %d x %v + %v,", d.Name, max(d.Misses, 1), d.Interval, d.Timeout), d.Takes(), "the lease", d.Lease)
	}
	return errors.Join(errs...)
}

// whole is how long a layer may take.
func (l Layer) whole() time.Duration {
	if l.Timeout > 0 {
		return l.Timeout
	}
	return l.AttemptTimeout*time.Duration(l.Attempts) + l.Pause*time.Duration(max(l.Attempts-1, 0))
}

func (p Path) slack() string {
	if p.Slack == 0 {
		return ""
	}
	return fmt.Sprintf(" by more than Slack, %v", p.Slack)
}
