package patterntest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/squall-sim/squall/internal/storm"
	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// A schedule says which faults begin when. It needs only a [Stage], so storms of both contracts
// share it.
type schedule = storm.Schedule[hit]

// A hit is a kind of fault and the client that it affects, unless it affects the server.
type hit struct{ kind, client int }

// drawSchedule draws up to eight faults, which may overlap.
func drawSchedule(d *storm.Draws, clients int) schedule {
	return storm.Generator[hit]{
		Count:    func(d *storm.Draws) int { return d.Below(9) },
		Pause:    someTime,
		What:     func(d *storm.Draws) hit { return hit{kind: d.Below(len(kinds)), client: d.Below(clients)} },
		Lasts:    func(d *storm.Draws) time.Duration { return storm.Pick(d, storm.Durations...) + d.Milliseconds(1000) },
		Excludes: hit.excludes,
	}.Draw(d)
}

// excludes reports whether one fault pauses a process that the other one asks
// to do something.
func (x hit) excludes(y hit) bool {
	k, other := kinds[x.kind], kinds[y.kind]
	return k.pauses() && other.asks && k.ofServer() == other.ofServer() && (k.ofServer() || x.client == y.client)
}

// smaller returns simpler hits, the simplest first.
func (x hit) smaller() (all []hit) {
	for _, y := range []hit{{0, x.client}, {x.kind / 2, x.client}, {x.kind, 0}} {
		if y != x {
			all = append(all, y)
		}
	}
	return all
}

// simpler is how schedules are shrunk.
var simpler = storm.Simpler[hit]{What: hit.smaller}

// someTime draws from 0 to 33 s; most are to the millisecond.
func someTime(d *storm.Draws) time.Duration {
	return time.Duration(d.Below(32))*time.Second + d.Milliseconds(2000)
}

// inject schedules faults for the stage and some of its peers.
func (s *Stage) inject(all schedule, peers []*Peer) {
	for _, x := range all {
		s.Net.Inject(x.At, x.Lasts, kinds[x.What.kind].fault(s, peers[x.What.client]))
	}
}

// codeOf returns a schedule as lines of Go. A fault knows its own Go code, on a stage like the
// story's.
func codeOf(all schedule, clients int) (lines []string) {
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
		k, p := kinds[x.What.kind], peers[x.What.client]
		code := strings.ReplaceAll(k.code, "%[1]s", p.Name)
		if code == "" {
			code = k.fault(s, p).Code(func(subject any) string { return names[subject] })
		}
		lines = append(lines, fmt.Sprintf("w.Net.Inject(%s, %s, %s)", storm.GoTime(x.At), storm.GoTime(x.Lasts), code))
	}
	return lines
}

// sparedBy returns the clients that no fault affects.
func sparedBy(all schedule, clients int) (spared []int) {
	for i := range clients {
		if !slices.ContainsFunc(all, func(x storm.Fault[hit]) bool { return kinds[x.What.kind].ofServer() || x.What.client == i }) {
			spared = append(spared, i)
		}
	}
	return spared
}

// A kind is a fault that storms draw: one of those for any network, for the link between the server
// and a client, or one of the stage's own.
type kind struct {
	storm.Kind
	byClient bool // it affects the client, or what the client sends, instead of the server

	own   func(s *Stage, p *Peer) *sim.Fault // replaces Kind
	code  string                             // for own; %[1]s stands for the client
	ofOwn bool                               // for own: it affects all clients
	asks  bool                               // for own: it asks a process to stop, which is impossible while that is paused
}

// The simplest come first, because shrinking a storm moves towards the front.
var kinds = []kind{
	{Kind: storm.Down},
	{Kind: storm.DownFrom},
	{Kind: storm.DownFrom, byClient: true},
	{Kind: storm.Crash},
	{Kind: storm.Crash, byClient: true},
	{Kind: storm.PowerOff},
	{Kind: storm.PowerOff, byClient: true},
	{Kind: storm.Pause},
	{Kind: storm.Pause, byClient: true},
	{own: func(_ *Stage, p *Peer) *sim.Fault { return p.Absence() }, code: "%[1]s.Absence()", asks: true},
	{own: func(s *Stage, _ *Peer) *sim.Fault { return s.Redeployment() }, code: "w.Redeployment()", ofOwn: true, asks: true},
	{Kind: storm.Hold},
	{own: func(_ *Stage, p *Peer) *sim.Fault { return p.Rejection() }, code: "%[1]s.Rejection()"},
	{Kind: storm.Partition},
	{Kind: storm.Lossy},
	{Kind: storm.VeryLossy},
	{Kind: storm.LossyInBursts},
	{Kind: storm.Slow},
	{Kind: storm.OutOfOrder},
	{Kind: storm.Corrupt},
	{Kind: storm.DropData},
	{Kind: storm.ResetSYN},
	{Kind: storm.ResetData},
	{Kind: storm.CloseAfter},
	{Kind: storm.PartitionOneWay},
	{Kind: storm.Isolate, byClient: true},
	{Kind: storm.IsolateHeld},
	{Kind: storm.IsolateOpen, byClient: true},
	{Kind: storm.IsolateNew, byClient: true},
	{own: func(s *Stage, _ *Peer) *sim.Fault { return s.InterfaceDown() }, code: "w.InterfaceDown()", ofOwn: true},
	{Kind: storm.Flap},
	{Kind: storm.CrossTraffic},
}

// fault returns a fault of the kind.
func (k kind) fault(s *Stage, p *Peer) *sim.Fault {
	if k.own != nil {
		return k.own(s, p)
	}
	site := storm.Site{Net: s.Net, From: s.Server, To: p.Host, Link: p.Link, Own: netem.Config{Delay: Transit}}
	if k.byClient {
		site.From, site.To = site.To, site.From
	}
	return k.Fault(site)
}

// ofServer reports whether it affects all clients.
func (k kind) ofServer() bool { return k.ofOwn || k.Of == storm.OfHost && !k.byClient }

// pauses reports whether it freezes the processes of its host.
func (k kind) pauses() bool { return k.Name == storm.Pause.Name }

// Absence is a fault: the client leaves ([Peer.Leave]), and returns when the fault ends.
func (p *Peer) Absence() *sim.Fault {
	return sim.NewFault(p.stage.Net, p.Name+": absence", p.Leave, p.Return)
}

// Redeployment is [Stage.Redeploy] as a fault. Its end does nothing.
func (s *Stage) Redeployment() *sim.Fault {
	return sim.NewFault(s.Net, "server: redeployment", s.Redeploy, nil)
}

// InterfaceDown is a fault: the server's interface is set down (ip link set down). Its packets fail
// at once, no packet reaches it, and it keeps its address and connections.
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

// Rejection is a fault: the client restarts over a link that rejects all packets (ICMP host
// unreachable) until the fault ends. A client that then dials in a hot loop is stopped.
func (p *Peer) Rejection() *sim.Fault {
	rejects := sim.Reject(p.Link, sim.ICMPHostUnreachable)
	return sim.NewFault(p.stage.Net, p.Name+": starts over a link that rejects", func() {
		rejects.Begin()
		p.stage.startAnew(p)
	}, rejects.End)
}

func phone(i int) string { return fmt.Sprintf("phone%d", i+1) }
