// Package timeouts checks that the timeouts on one path fit into each other. Each of them is sensible where it is set, by people who do not know the others; together
// they make connections that are cut between two heartbeats, requests that meet a connection just as it is closed, retries that nobody waits for any more,
// and nodes that are taken for dead before anybody could have noticed that they live.
//
// A [Path] has the numbers of all parties; [Path.Check] says which pairs are in the wrong order, and is meant for a test beside the configuration.
package timeouts

import (
	"errors"
	"fmt"
	"time"
)

// Path is what is set on the way from a client to a server. What is zero is not on it, and not checked.
type Path struct {
	// Slack is how much later than it should something may happen: the way through the network, and waiting for a processor. Each limit must
	// be larger by more than that. Zero: they must only be larger.
	Slack time.Duration

	// Heartbeat is how often a stream that has nothing to say says that. Each of Idle must be longer: those are the times after which proxies,
	// load balancers and NATs cut or forget who is silent.
	Heartbeat time.Duration
	Idle      []Limit

	// Hops are the pairs of neighbours that keep connections between requests. The one that sends requests must close them first: when the other
	// does, a request may be under way (golang/go#22158, envoyproxy/envoy#1979).
	Hops []Hop

	// PollWait is how long a request may be held until there is something to say. Each of Answer must be longer: those are the times after which
	// clients and proxies give up waiting for an answer.
	PollWait time.Duration
	Answer   []Limit

	// Layers are those who repeat a request, the outermost first. The attempts of each, with the pauses between them, must fit into its Timeout, and that into an
	// attempt of the layer above, which else repeats what is still being repeated.
	Layers []Layer

	// Detections are the ways to find out that somebody is gone, each with what depends on it.
	Detections []Detection
}

// Limit is a time with the name of who has it.
type Limit struct {
	Name string        // in errors
	Time time.Duration // zero: there is none
}

// Hop is two neighbours, and how long each keeps a connection without requests: Client sends them, Server answers.
type Hop struct{ Client, Server Limit }

// Layer is one that repeats a request.
type Layer struct {
	Name string // in errors
	// Attempts is how many it makes, AttemptTimeout how long each may take, Pause the longest wait between two, and Timeout how long all may take.
	Attempts                       int
	AttemptTimeout, Pause, Timeout time.Duration
}

// Detection is how one party finds out that another is gone, and for how long that one is trusted.
type Detection struct {
	Name string // in errors
	// Interval is from one question to the next, Timeout that of each answer, and Misses how many must be missing: 1 if zero. All of it must be over within
	// the Lease, or whoever is alive but hard to reach loses it before the question was repeated (kubernetes/kubernetes#121793: 15 s + 30 s in 40 s).
	Interval, Timeout time.Duration
	Misses            int
	Lease             time.Duration
}

// Takes is the longest time that a detection takes.
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
