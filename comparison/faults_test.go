package comparison

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/squall-sim/squall/internal/systems"
	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
)

// What the comparison measures when something breaks.

// recoveryRun is a client that gets an event a second when something breaks, 20.5 s after
// the start.
type recoveryRun struct {
	who, link, fault string
}

type recoveryFigures struct {
	lost, twice, gaps int
	// After the cut; negative: the connection has survived.
	detected time.Duration
	// After the repair. Reconnected: a new connection is made; negative: none was. Caught
	// up: all that was published before that has come.
	reconnected, caughtUp time.Duration
}

// faults are what can break: each returns when it is repaired.
var faults = []struct {
	name string
	cut  func(st *stage, l *sim.Link)
	mend func(st *stage, l *sim.Link)
	last time.Duration
}{
	{"link down for 2 s", func(_ *stage, l *sim.Link) { l.Down() }, func(_ *stage, l *sim.Link) { l.Up() }, 2 * time.Second},
	{"link down for 65 s", func(_ *stage, l *sim.Link) { l.Down() }, func(_ *stage, l *sim.Link) { l.Up() }, 65 * time.Second},
	{"link down for 20 min", func(_ *stage, l *sim.Link) { l.Down() }, func(_ *stage, l *sim.Link) { l.Up() }, 20 * time.Minute},
	{"server crashes for 5 s", func(st *stage, _ *sim.Link) { st.server.Crash() }, func(st *stage, _ *sim.Link) { st.server.Restart() }, 5 * time.Second},
	{"server loses power for 5 s", func(st *stage, _ *sim.Link) { st.server.PowerOff() }, func(st *stage, _ *sim.Link) { st.server.Restart() }, 5 * time.Second},
}

func (r recoveryRun) run(t *testing.T, n *sim.Network) (f recoveryFigures) {
	st := newStage(t, n, contenderNamed(r.who).system(n, systems.OnDisk), "server")
	o, link := st.client("client", presetNamed(r.link))
	i := 0
	for faults[i].name != r.fault {
		i++
	}
	cut := 20*time.Second + time.Second/2
	repair := cut + faults[i].last
	n.After(cut, func() { faults[i].cut(st, link) })
	n.After(repair, func() { faults[i].mend(st, link) })
	time.Sleep(10 * time.Second)
	for n.Elapsed() < repair+10*time.Second {
		st.publish()
		time.Sleep(time.Second + untied)
	}
	st.settle(o)

	f.lost, f.twice, f.gaps = st.missing(o), o.more, o.gaps
	f.detected, f.reconnected = -1, -1
	for e := range n.Trace().Events() {
		if e.At < cut || e.Protocol != "tcp" {
			continue
		}
		up := e.Kind == sim.Sent && e.From == "client" && !e.Resent
		down := e.Kind == sim.Delivered && e.To == "client"
		if f.detected < 0 && (up && (e.Flags == "S" || strings.ContainsAny(e.Flags, "FR")) || down && strings.ContainsAny(e.Flags, "FR")) {
			f.detected = e.At - cut
		}
		if f.reconnected < 0 && down && e.Flags == "SA" && e.At >= repair {
			f.reconnected = e.At - repair
		}
	}
	back := repair + max(f.reconnected, 0)
	for _, p := range st.published {
		if p.at <= back {
			f.caughtUp = max(f.caughtUp, o.got[p.data]-repair)
		}
	}
	return f
}

// herdRun is many clients that lose their server, for 5 s.
type herdRun struct {
	who     string
	clients int
}

type herdFigures struct {
	peak     int // attempts to connect within 100 ms
	peakRate int // segments with data to the server within 100 ms
	attempts int
	p99, max time.Duration // until a client has the event that was published at the restart, after that
	lost     int
	at       []time.Duration // of each attempt, since the restart
}

func (r herdRun) run(t *testing.T, n *sim.Network) (f herdFigures) {
	st := newStage(t, n, contenderNamed(r.who).system(n, systems.OnDisk), "server")
	var all []*observer
	for i := range r.clients {
		o, _ := st.client(fmt.Sprintf("client%d", i), netem.Broadband)
		all = append(all, o)
		time.Sleep(20 * time.Millisecond)
	}
	time.Sleep(10 * time.Second)
	st.publish()
	time.Sleep(time.Minute)
	st.server.Crash()
	lost := n.Elapsed()
	time.Sleep(5 * time.Second)
	st.server.Restart()
	up := n.Elapsed()
	time.Sleep(100 * time.Millisecond)
	st.publish()
	time.Sleep(2 * time.Minute)

	var dials, data []time.Duration
	for e := range n.Trace().Events() {
		if e.Kind != sim.Sent || e.To != "server" || e.At < lost || e.Resent {
			continue
		}
		if e.Flags == "S" {
			dials = append(dials, e.At)
			f.at = append(f.at, e.At-up)
		}
		if e.Length > 0 {
			data = append(data, e.At)
		}
	}
	f.attempts = len(dials)
	f.peak, _ = patterntest.Peak(dials, 100*time.Millisecond)
	f.peakRate, _ = patterntest.Peak(data, 100*time.Millisecond)
	var took []time.Duration
	for _, o := range all {
		f.lost += st.missing(o)
		if at, ok := o.got[st.published[1].data]; ok {
			took = append(took, at-st.published[1].at)
		}
	}
	slices.Sort(took)
	f.p99, f.max = quantile(took, 0.99), quantile(took, 1)
	return f
}

// slowRun is a client behind a link that carries a tenth of what is published, for a
// minute, and then all.
type slowRun struct{ who string }

type slowFigures struct {
	held              int // bytes that the server held for it at most
	lost, gaps, twice int
	published         int
	caughtUp          time.Duration // after the minute
}

func (r slowRun) run(t *testing.T, n *sim.Network) (f slowFigures) {
	st := newStage(t, n, contenderNamed(r.who).system(n, systems.InMemory), "server")
	thin := presetNamed("broadband")
	o, link := st.client("client", thin)
	time.Sleep(10 * time.Second)
	thin.Down.Rate, thin.Down.Queue = 32*netem.Kbit, netem.DropTail{Packets: 50}
	link.SetAsym(thin.Up, thin.Down)
	for range 600 {
		// 40 kB a second, of which 4 fit through.
		data := fmt.Sprintf("event %06d ", len(st.published)+1) + strings.Repeat(".", 4000)
		if st.system.Publish(data) == nil {
			st.published = append(st.published, acceptedEvent{data, n.Elapsed()})
		}
		if st.system.Held != nil {
			f.held = max(f.held, st.system.Held())
		}
		time.Sleep(time.Second/10 + untied)
	}
	wide, end := presetNamed("broadband"), n.Elapsed()
	link.SetAsym(wide.Up, wide.Down)
	st.settle(o)
	f.published, f.lost, f.gaps, f.twice = len(st.published), st.missing(o), o.gaps, o.more
	for _, p := range st.published {
		f.caughtUp = max(f.caughtUp, o.got[p.data]-end)
	}
	return f
}
