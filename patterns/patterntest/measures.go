package patterntest

import (
	"fmt"
	"slices"
	"time"
)

// Measures are the costs of a story, summed over all its clients, as the network and the
// clients see them.
type Measures struct {
	Accepted  int // events, counted once for each client that was to get them, and once for each group of workers
	Delivered int // of these; to a group, once one of its workers has handled it
	Repeated  int // further arrivals of these; at workers, those of events that had been handled
	Gaps      int // that clients were notified of

	// The time from Publish to arrival, of all delivered events: NotifyP50 is
	// the median, NotifyP99 the 99th percentile and NotifyMax the maximum.
	NotifyP50, NotifyP99, NotifyMax time.Duration

	Up, Down int64 // bytes sent by the clients and by the server, headers included
	Dials    int   // connections that the clients tried to open
	Herd     int   // the largest number of these within 100 ms
}

// Measures returns the figures of the story so far. In [Loopback] the network's figures
// are zero.
func (w *World) Measures() Measures {
	var m Measures
	var took []time.Duration
	for _, c := range w.clients {
		came := map[string][]time.Duration{} // those that are no repetition
		for _, a := range c.arrivals() {
			switch {
			case a.gap != "":
				m.Gaps++
			case len(came[a.data]) >= max(1, w.copies(a.data)):
				m.Repeated++
			default:
				came[a.data] = append(came[a.data], a.at)
			}
		}
		for _, p := range w.expected(c) {
			if !p.accepted() || !p.isFor(c) {
				continue
			}
			m.Accepted++
			if all := came[p.data]; len(all) > 0 {
				took = append(took, all[0]-p.at)
				came[p.data] = all[1:]
			}
		}
	}
	for _, g := range w.groups {
		took = append(took, w.measureWork(g, &m)...)
	}
	slices.Sort(took)
	m.Delivered = len(took)
	if m.Delivered > 0 {
		rank := func(percent int) time.Duration { return took[(len(took)*percent+99)/100-1] } // nearest rank
		m.NotifyP50, m.NotifyP99, m.NotifyMax = rank(50), rank(99), rank(100)
	}

	for _, l := range w.Net.Stats().Links {
		switch {
		case l.To == w.Server.Name():
			m.Up += l.SentBytes
		case l.From == w.Server.Name():
			m.Down += l.SentBytes
		}
	}
	var dials []time.Duration
	for _, all := range w.dials() {
		dials = append(dials, all...)
	}
	slices.Sort(dials)
	m.Dials = len(dials)
	m.Herd, _ = Peak(dials, herdWindow)
	return m
}

func (w *World) cost() string { return w.Measures().String() }

// measureWork adds the events that a group was to handle. It returns how long each handled event
// took to reach a worker.
func (w *World) measureWork(g *group, m *Measures) (took []time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	g = g.asOfNow()
	counted := map[string]bool{} // events of one text are one to workers
	for _, p := range w.published[g.since:] {
		if !p.accepted() || p.to != "" || counted[p.data] {
			continue
		}
		counted[p.data] = true
		m.Accepted++
		turns := g.of[p.data]
		done := slices.IndexFunc(turns, (*turn).handled)
		if done < 0 {
			continue
		}
		took = append(took, turns[0].at-p.at)
		m.Repeated += len(turns) - 1 - done
	}
	return took
}

// String returns the figures in one line.
func (m Measures) String() string {
	return fmt.Sprintf("%d of %d delivered, %d repeated, %d gaps; notified after %v (p50), %v (p99), %v (max); %d bytes up, %d down; %d dials, at most %d in 100 ms",
		m.Delivered, m.Accepted, m.Repeated, m.Gaps, m.NotifyP50, m.NotifyP99, m.NotifyMax, m.Up, m.Down, m.Dials, m.Herd)
}
