package comparison

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/internal/systems"
	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
)

// What the comparison measures, and how: by the network's packets and by an observer of
// what goes into a system and what comes out. No pattern is asked for a counter.

// An observer takes note of what one client gets.
type observer struct {
	n    *sim.Network
	mu   sync.Mutex
	got  map[string]time.Duration // when each event came first
	at   map[time.Duration]bool   // the instants at which something came
	more int                      // events that came again
	gaps int
}

func newObserver(n *sim.Network) *observer {
	return &observer{n: n, got: map[string]time.Duration{}, at: map[time.Duration]bool{}}
}

func (o *observer) Event(data string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.n.Elapsed()
	o.at[now] = true
	if _, again := o.got[data]; again {
		o.more++
		return
	}
	o.got[data] = now
}

func (o *observer) Gap(string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.gaps++
}

// A stage is a system with its server and some clients, and what was published.
type stage struct {
	n         *sim.Network
	system    patterntest.System
	server    *sim.Host // where the system's server runs
	front     *sim.Host // what clients find by the name of server: that, or a proxy
	published []acceptedEvent
}

type acceptedEvent struct {
	data string
	at   time.Duration
}

func newStage(t *testing.T, n *sim.Network, system patterntest.System, server string) *stage {
	st := &stage{n: n, system: system, server: n.Host(server), front: n.Host("server")}
	folder := t.TempDir()
	st.server.Run("server", func(ctx context.Context, h *sim.Host) error { return system.Serve(ctx, h, folder) })
	return st
}

// client makes a client behind a link.
func (st *stage) client(name string, link netem.Preset) (*observer, *sim.Link) {
	h, o := st.n.Host(name), newObserver(st.n)
	l := st.n.LinkAsym(h, st.front, link.Up, link.Down)
	h.Run("client", func(ctx context.Context, h *sim.Host) error { return st.system.Receive(ctx, h, name, o) })
	return o, l
}

// eventSize is the length of what is published, in bytes.
const eventSize = 40

// publish publishes one event; a server that is down does not accept it.
func (st *stage) publish() {
	data := fmt.Sprintf("event %06d ", len(st.published)+1)
	data += strings.Repeat(".", eventSize-len(data))
	at := st.n.Elapsed()
	if st.system.Publish(data) == nil {
		st.published = append(st.published, acceptedEvent{data, at})
	}
}

// missing counts the events that a client has not got.
func (st *stage) missing(o *observer) (lost int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range st.published {
		if _, ok := o.got[p.data]; !ok {
			lost++
		}
	}
	return lost
}

// settle waits until a client has got everything.
func (st *stage) settle(o *observer) {
	for end := st.n.Elapsed() + 10*time.Minute; st.missing(o) > 0 && st.n.Elapsed() < end; {
		time.Sleep(time.Second)
	}
	time.Sleep(time.Second)
}

// delays are what events took to a client, in order of their length.
func (st *stage) delays(o *observer) (all []time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range st.published {
		if at, ok := o.got[p.data]; ok {
			all = append(all, at-p.at)
		}
	}
	slices.Sort(all)
	return all
}

// quantile is exact: the least value that at least the part q of all do not exceed.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

// A traffic is what one client's link carried in a time, and what that kept busy.
type traffic struct {
	took                   time.Duration
	sends                  int   // segments with data that the client sent: over HTTP/1.1, requests
	packetsUp, packetsDown int64 // all that was sent, again or not
	bytesUp, bytesDown     int64 // of these, headers of IP and TCP included
	payloadUp, payloadDown int64 // what TCP carried, each byte once
	opened                 int   // connections
	held                   float64
	radioOn                time.Duration
	wakeUps                int
}

// radioTail is how long the radio of an LTE phone stays on after a packet: Huang et al.,
// "A Close Examination of Performance and Power Characteristics of 4G LTE Networks",
// MobiSys 2012, table 3.
const radioTail = 11576 * time.Millisecond

// measure reads the trace of a client from one instant to another.
func measure(t *testing.T, n *sim.Network, client string, from, to time.Duration) traffic {
	require.Less(t, n.Trace().Len(), 1_000_000, "the trace keeps a million events: measure less")
	m := traffic{took: to - from}
	open := map[uint16]time.Duration{} // since when
	var busy time.Duration             // the radio is on until then
	hold := func(since, until time.Duration) {
		if d := earlier(until, to) - max(since, from); d > 0 {
			m.held += float64(d) / float64(m.took)
		}
	}
	for e := range n.Trace().Events() {
		if e.At >= to {
			break
		}
		up, down := e.From == client, e.To == client
		if e.Protocol != "tcp" || !up && !down {
			continue
		}
		port := e.SourcePort
		if down {
			port = e.TargetPort
		}
		if e.Kind == sim.Sent && up && e.Flags == "S" && !e.Resent {
			open[port] = e.At
			if e.At >= from {
				m.opened++
			}
		}
		if since, ok := open[port]; ok && e.Kind == sim.Sent && strings.ContainsAny(e.Flags, "FR") {
			hold(since, e.At)
			delete(open, port)
		}
		if e.At < from {
			continue
		}
		if e.Kind == sim.Sent && up || e.Kind == sim.Delivered && down {
			if e.At >= busy {
				m.wakeUps++
				busy = e.At
			}
			m.radioOn += earlier(e.At+radioTail, to) - earlier(busy, to)
			busy = e.At + radioTail
		}
		if e.Kind != sim.Sent {
			continue
		}
		if up {
			m.packetsUp++
			m.bytesUp += int64(e.Size)
			if e.Length > 0 && !e.Resent {
				m.sends++
				m.payloadUp += int64(e.Length)
			}
		} else {
			m.packetsDown++
			m.bytesDown += int64(e.Size)
			if !e.Resent {
				m.payloadDown += int64(e.Length)
			}
		}
	}
	for _, since := range open {
		hold(since, to)
	}
	return m
}

func earlier(a, b time.Duration) time.Duration {
	if a < b {
		return a
	}
	return b
}

// steadyRun is a client that hears of events at random times, on a network that does not
// change.
type steadyRun struct {
	who    string // a contender
	link   string // a preset
	mean   time.Duration
	events int
}

type steadyFigures struct {
	traffic
	events, lost, twice, gaps int
	batches                   int // instants at which events came
	p50, p99, max             time.Duration
}

// comparisonSeed is that of all figures in the document.
const comparisonSeed = 1

func (r steadyRun) run(t *testing.T, n *sim.Network) (f steadyFigures) {
	st := newStage(t, n, contenderNamed(r.who).system(n, systems.InMemory), "server")
	o, _ := st.client("client", presetNamed(r.link))
	time.Sleep(10 * time.Second) // connections are made, positions known
	draws := n.Rand("events")
	time.Sleep(poisson(r.mean, draws.Float64()))
	// From the first event on there are as many waits as events: the means of as many equally likely
	// parts of the distribution, in any order, so that few events come as often as is said, too.
	before, from := totals(n), n.Elapsed()
	for _, part := range draws.Perm(r.events) {
		st.publish()
		time.Sleep(poissonPart(r.mean, part, r.events))
	}
	after, to := totals(n), n.Elapsed()
	st.settle(o)

	f.traffic = measure(t, n, "client", from, to)
	require.Equal(t, after-before, f.bytesUp+f.bytesDown, "the trace and the counters of the links tell the same")
	f.events, f.lost, f.twice, f.gaps = len(st.published), st.missing(o), o.more, o.gaps
	for at := range o.at {
		if at < to {
			f.batches++
		}
	}
	d := st.delays(o)
	f.p50, f.p99, f.max = quantile(d, 0.5), quantile(d, 0.99), quantile(d, 1)
	return f
}

// poisson is the gap before the next of events that come at random, of which u was drawn
// from [0,1). Whole milliseconds, since platforms may differ in a logarithm's last bit.
func poisson(mean time.Duration, u float64) time.Duration {
	return time.Duration(-math.Log(1-u)*float64(mean/time.Millisecond))*time.Millisecond + untied
}

// poissonPart is the mean of such gaps in the part-th of as many equally likely parts of their
// distribution as count says. The mean of all of them is mean.
func poissonPart(mean time.Duration, part, count int) time.Duration {
	upTo := func(part int) float64 { // the integral of -log(1-u) from 0
		rest := 1 - float64(part)/float64(count)
		if part == count {
			return 1
		}
		return rest*math.Log(rest) + 1 - rest
	}
	gap := float64(count) * (upTo(part+1) - upTo(part))
	return time.Duration(gap*float64(mean/time.Millisecond))*time.Millisecond + untied
}

// untied is added to each time between events, so that none is published at the very
// instant at which a timer that another has started fires: what comes first then is the
// runtime's choice, and figures would not repeat.
const untied = time.Microsecond

// totals is what all links have carried.
func totals(n *sim.Network) (bytes int64) {
	for _, l := range n.Stats().Links {
		bytes += l.SentBytes
	}
	return bytes
}
