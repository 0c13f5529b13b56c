package patterntest

import (
	"fmt"
	"iter"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// A schedule is which faults begin when. It needs no more than a [Stage], so that storms of every
// contract have the same.
type schedule []scheduled

// scheduled is a fault that begins at a time after the start and lasts for a while.
type scheduled struct {
	kind      int // among the kinds
	client    int // whom it meets, unless it is the server
	at, lasts time.Duration
}

// The times that faults last, but for some milliseconds.
var durations = []time.Duration{100 * time.Millisecond, time.Second, 5 * time.Second, 30 * time.Second, 65 * time.Second, 5 * time.Minute}

// drawSchedule draws up to eight faults, which may overlap.
func drawSchedule(d *draws, clients int) (drawn schedule) {
	at := time.Duration(0)
	for range d.below(9) {
		at += d.someTime()
		x := scheduled{kind: d.below(len(kinds)), client: d.below(clients), at: at}
		x.lasts = pick(d, durations...) + d.milliseconds(1000)
		drawn = append(drawn, x)
	}
	return slices.DeleteFunc(slices.Clone(drawn), func(x scheduled) bool {
		return kinds[x.kind].pauses && slices.ContainsFunc(drawn, func(y scheduled) bool {
			k := kinds[y.kind]
			return k.asks && kinds[x.kind].ofServer == k.ofServer && (k.ofServer || x.client == y.client)
		})
	})
}

// draws are those of one storm: a function of its seed alone.
type draws struct{ stream netem.Stream }

func newDraws(seed uint64) *draws { return &draws{netem.NewStream(seed, "storm")} }

// below draws from 0 to n-1.
func (d *draws) below(n int) int {
	hi, _ := bits.Mul64(d.stream.Uint64(), uint64(n))
	return int(hi)
}

func pick[T any](d *draws, from ...T) T { return from[d.below(len(from))] }

func (d *draws) milliseconds(below int) time.Duration {
	return time.Duration(d.below(below)) * time.Millisecond
}

// someTime draws from 0 to 33 s; most are to the millisecond.
func (d *draws) someTime() time.Duration {
	return time.Duration(d.below(32))*time.Second + d.milliseconds(2000)
}

// play lets the faults happen to the stage and to some of its peers.
func (all schedule) play(s *Stage, peers []*Peer) {
	for _, x := range all {
		s.Net.Inject(x.at, x.lasts, kinds[x.kind].fault(s, peers[x.client]))
	}
}

// code returns the schedule as lines of Go. What faults are in Go they say themselves, on a stage like that of the
// story.
func (all schedule) code(clients int) (lines []string) {
	n := sim.New()
	defer n.Close()
	s := &Stage{Net: n, Server: n.Host("server")}
	names := map[any]string{n: "w.Net", s.Server: "w.Server"}
	var peers []*Peer
	for i := range clients {
		p := &Peer{Name: phone(i), Host: n.Host(phone(i)), stage: s}
		p.Link = n.Link(p.Host, s.Server, netem.Config{Delay: Transit})
		names[p.Host], names[p.Link] = p.Name+".Host", p.Name+".Link"
		peers = append(peers, p)
	}
	for _, x := range all {
		k, p := kinds[x.kind], peers[x.client]
		code := strings.ReplaceAll(k.code, "%[1]s", p.Name)
		if code == "" {
			code = k.fault(s, p).Code(func(subject any) string { return names[subject] })
		}
		lines = append(lines, fmt.Sprintf("w.Net.Inject(%s, %s, %s)", goTime(x.at), goTime(x.lasts), code))
	}
	return lines
}

// spared returns those of some clients that nothing happens to.
func (all schedule) spared(clients int) (spared []int) {
	for i := range clients {
		if !slices.ContainsFunc(all, func(x scheduled) bool { return kinds[x.kind].ofServer || x.client == i }) {
			spared = append(spared, i)
		}
	}
	return spared
}

// over returns when the last fault ends.
func (all schedule) over() (last time.Duration) {
	for _, x := range all {
		last = max(last, x.at+x.lasts)
	}
	return last
}

// smaller yields schedules that are simpler: of fewer faults, and then of simpler and shorter ones.
func (all schedule) smaller() iter.Seq[schedule] {
	return func(yield func(schedule) bool) {
		for part := range parts(len(all)) {
			if !yield(slices.Delete(slices.Clone(all), part.from, part.to)) {
				return
			}
		}
		for i, x := range all {
			for _, y := range x.smaller() {
				changed := slices.Clone(all)
				changed[i] = y
				if !yield(changed) {
					return
				}
			}
		}
	}
}

// smaller returns faults that are simpler, the simplest first.
func (x scheduled) smaller() (all []scheduled) {
	try := func(change func(y *scheduled)) {
		y := x
		if change(&y); y != x {
			all = append(all, y)
		}
	}
	try(func(y *scheduled) { y.kind = 0 })
	try(func(y *scheduled) { y.kind /= 2 })
	try(func(y *scheduled) { y.client = 0 })
	for _, d := range durations {
		try(func(y *scheduled) { y.lasts = min(d, y.lasts) })
	}
	for _, to := range []time.Duration{time.Minute, 10 * time.Second, time.Second} {
		try(func(y *scheduled) { y.at = y.at.Truncate(to) })
	}
	return all
}

// A part is what to leave out of a list.
type part struct{ from, to int }

// parts yields halves of a list, then quarters and so on down to single elements.
func parts(length int) iter.Seq[part] {
	return func(yield func(part) bool) {
		for size := length; size > 0; size /= 2 {
			for from := 0; from+size <= length; from += size {
				if !yield(part{from, from + size}) {
					return
				}
			}
		}
	}
}

// A kind is a fault that storms draw.
type kind struct {
	fault    func(s *Stage, p *Peer) *sim.Fault
	code     string // if the fault does not know it; %[1]s stands for the client
	ofServer bool   // it meets all clients
	pauses   bool
	asks     bool // somebody to stop, who cannot while he is paused
}

// The simplest come first: a storm that is made smaller goes that way.
var kinds = []kind{
	{fault: func(_ *Stage, p *Peer) *sim.Fault { return sim.Down(p.Link) }},
	{fault: func(s *Stage, p *Peer) *sim.Fault { return sim.DownFrom(p.Link, s.Server) }},
	{fault: func(_ *Stage, p *Peer) *sim.Fault { return sim.DownFrom(p.Link, p.Host) }},
	{fault: func(s *Stage, _ *Peer) *sim.Fault { return sim.Crash(s.Server) }, ofServer: true},
	{fault: func(_ *Stage, p *Peer) *sim.Fault { return sim.Crash(p.Host) }},
	{fault: func(s *Stage, _ *Peer) *sim.Fault { return sim.PowerOff(s.Server) }, ofServer: true},
	{fault: func(_ *Stage, p *Peer) *sim.Fault { return sim.PowerOff(p.Host) }},
	{fault: func(s *Stage, _ *Peer) *sim.Fault { return sim.Pause(s.Server) }, ofServer: true, pauses: true},
	{fault: func(_ *Stage, p *Peer) *sim.Fault { return sim.Pause(p.Host) }, pauses: true},
	{fault: func(_ *Stage, p *Peer) *sim.Fault { return p.Absence() }, code: "%[1]s.Absence()", asks: true},
	{fault: func(s *Stage, _ *Peer) *sim.Fault { return s.Redeployment() }, code: "w.Redeployment()", ofServer: true, asks: true},
	{fault: func(_ *Stage, p *Peer) *sim.Fault { return sim.Hold(p.Link) }},
	{fault: func(_ *Stage, p *Peer) *sim.Fault { return p.Rejection() }, code: "%[1]s.Rejection()"},
	{fault: func(s *Stage, p *Peer) *sim.Fault {
		return sim.Partition(s.Net, []*sim.Host{s.Server}, []*sim.Host{p.Host})
	}},
	impaired(netem.Config{Loss: netem.Bernoulli(0.05)}),
	impaired(netem.Config{Loss: netem.Bernoulli(0.4)}),
	impaired(netem.Config{Loss: netem.GilbertElliott{P: 0.05, R: 0.2}}),
	impaired(netem.Config{Rate: 64 * netem.Kbit, Queue: netem.DropTail{Packets: 20}}),
	impaired(netem.Config{Jitter: Transit, Duplicate: 0.1}),
	impaired(netem.Config{Corrupt: 0.1}),
	{fault: func(s *Stage, p *Peer) *sim.Fault {
		return sim.Drop(p.Link, sim.Packets{From: s.Server, Kind: sim.Data})
	}},
	{fault: func(_ *Stage, p *Peer) *sim.Fault { return sim.Reset(p.Link, sim.Packets{Kind: sim.SYN}) }},
	{fault: func(s *Stage, p *Peer) *sim.Fault {
		return sim.Reset(p.Link, sim.Packets{From: s.Server, Kind: sim.Data})
	}},
	{fault: func(s *Stage, p *Peer) *sim.Fault {
		return sim.CloseAfter(p.Link, 1000, sim.Packets{From: s.Server})
	}},
	{fault: func(s *Stage, p *Peer) *sim.Fault {
		return sim.PartitionOneWay(s.Net, []*sim.Host{s.Server}, []*sim.Host{p.Host})
	}},
	{fault: func(s *Stage, p *Peer) *sim.Fault {
		return sim.PartitionBy(s.Net, sim.Isolate(p.Host), sim.PartitionConfig{InFlight: true})
	}},
	{fault: func(s *Stage, _ *Peer) *sim.Fault {
		return sim.PartitionBy(s.Net, sim.Isolate(s.Server), sim.PartitionConfig{Holds: true})
	}, ofServer: true},
	{fault: func(s *Stage, p *Peer) *sim.Fault {
		return sim.PartitionBy(s.Net, sim.Isolate(p.Host), sim.PartitionConfig{Only: sim.OpenConnections})
	}},
	{fault: func(s *Stage, p *Peer) *sim.Fault {
		return sim.PartitionBy(s.Net, sim.Isolate(p.Host), sim.PartitionConfig{Only: sim.NewConnections})
	}},
	{fault: func(s *Stage, _ *Peer) *sim.Fault { return s.InterfaceDown() }, code: "w.InterfaceDown()", ofServer: true},
	{fault: func(_ *Stage, p *Peer) *sim.Fault {
		return sim.Flap(sim.Down(p.Link), time.Second, 4*time.Second)
	}},
	{fault: func(s *Stage, p *Peer) *sim.Fault {
		return sim.CrossTraffic(s.Server, p.Host, sim.Traffic{Rate: 56 * netem.Kbit, Poisson: true}) // most of what a slow link takes
	}},
}

// impaired is a link that is worse for a while.
func impaired(cfg netem.Config) kind {
	cfg.Delay = Transit
	return kind{fault: func(_ *Stage, p *Peer) *sim.Fault { return sim.Impair(p.Link, cfg) }}
}

// Absence is a fault: the client leaves of its own accord ([Peer.Leave]), and returns when it is over.
func (p *Peer) Absence() *sim.Fault {
	return sim.NewFault(p.stage.Net, p.Name+": absence", p.Leave, p.Return)
}

// Redeployment is [Stage.Redeploy] as a fault. Its end does nothing.
func (s *Stage) Redeployment() *sim.Fault {
	return sim.NewFault(s.Net, "server: redeployment", s.Redeploy, nil)
}

// InterfaceDown is a fault: the server's interface is set down (ip link set down). What it sends fails at once, nothing comes to it, and
// its address and connections stay.
func (s *Stage) InterfaceDown() *sim.Fault {
	server := []*sim.Host{s.Server}
	from := sim.PartitionBy(s.Net, sim.Cuts{{From: server}}, sim.PartitionConfig{Rejects: true, InFlight: true})
	to := sim.PartitionBy(s.Net, sim.Cuts{{To: server}}, sim.PartitionConfig{InFlight: true})
	return sim.NewFault(s.Net, "server: interface down", func() {
		from.Begin()
		to.Begin()
	}, func() {
		from.End()
		to.End()
	})
}

// Rejection is a fault: the client starts anew over a link that sends back what it is given, until it is
// over. A client that then does nothing but dial is stopped.
func (p *Peer) Rejection() *sim.Fault {
	rejects := sim.Reject(p.Link, sim.ICMPHostUnreachable)
	return sim.NewFault(p.stage.Net, p.Name+": starts over a link that rejects", func() {
		rejects.Begin()
		p.stage.startAnew(p)
	}, rejects.End)
}

func phone(i int) string { return fmt.Sprintf("phone%d", i+1) }

// goTime returns a duration as Go code has it.
func goTime(d time.Duration) string {
	switch {
	case d == 0:
		return "0"
	case d%time.Second == 0:
		return fmt.Sprintf("%d*time.Second", d/time.Second)
	default:
		return fmt.Sprintf("%d*time.Millisecond", d/time.Millisecond)
	}
}
