package patterntest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// A schedule is which faults begin when. It needs no more than a [Stage], so that storms of every
// contract have the same.
type schedule []scheduled

// scheduled is a fault that begins at a time after the start and lasts for a while.
type scheduled struct {
	fault     fault
	client    int // whom it meets, unless it is the server
	at, lasts time.Duration
}

// drawSchedule draws up to eight faults, which may overlap.
func drawSchedule(t *rapid.T, clients int) schedule {
	durations := rapid.SampledFrom([]time.Duration{100 * time.Millisecond, time.Second, 5 * time.Second, 30 * time.Second, 65 * time.Second, 5 * time.Minute})
	drawn := schedule(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) scheduled {
		return scheduled{
			fault:  rapid.SampledFrom(faults).Draw(t, "fault"),
			client: rapid.IntRange(0, clients-1).Draw(t, "client"),
			at:     someTime(t), // after the one before, for now
			lasts:  durations.Draw(t, "lasts") + time.Duration(rapid.IntRange(0, 999).Draw(t, "milliseconds"))*time.Millisecond,
		}
	}), 0, 8).Draw(t, "faults"))
	for i := 1; i < len(drawn); i++ {
		drawn[i].at += drawn[i-1].at
	}
	return slices.DeleteFunc(slices.Clone(drawn), func(x scheduled) bool {
		return x.fault.pauses && slices.ContainsFunc(drawn, func(y scheduled) bool {
			return y.fault.asks && x.fault.ofServer == y.fault.ofServer && (x.fault.ofServer || x.client == y.client)
		})
	})
}

// someTime draws from 0 to 33 s; most are to the millisecond.
func someTime(t *rapid.T) time.Duration {
	return time.Duration(rapid.IntRange(0, 31).Draw(t, "seconds"))*time.Second +
		time.Duration(rapid.IntRange(0, 1999).Draw(t, "milliseconds"))*time.Millisecond
}

// play lets the faults happen to the stage and to some of its peers.
func (all schedule) play(s *Stage, peers []*Peer) {
	for _, x := range all {
		p := peers[x.client]
		s.After(x.at, func() { x.fault.begin.do(s, p) })
		if x.fault.end.do != nil {
			s.After(x.at+x.lasts, func() { x.fault.end.do(s, p) })
		}
	}
}

// code returns the schedule as lines of Go.
func (all schedule) code() (lines []string) {
	for _, x := range all {
		lines = append(lines, fmt.Sprintf("w.After(%s, %s)", goTime(x.at), x.fault.begin.of(x.client)))
		if x.fault.end.do != nil {
			lines = append(lines, fmt.Sprintf("w.After(%s, %s)", goTime(x.at+x.lasts), x.fault.end.of(x.client)))
		}
	}
	return lines
}

// spared returns those of some clients that nothing happens to.
func (all schedule) spared(clients int) (spared []int) {
	for i := range clients {
		if !slices.ContainsFunc(all, func(x scheduled) bool { return x.fault.ofServer || x.client == i }) {
			spared = append(spared, i)
		}
	}
	return spared
}

// named returns which clients the code of the schedule names.
func (all schedule) named() map[int]bool {
	named := map[int]bool{}
	for _, x := range all {
		named[x.client] = named[x.client] || strings.Contains(x.fault.begin.code, "%[1]s")
	}
	return named
}

// over returns when the last fault ends.
func (all schedule) over() (last time.Duration) {
	for _, x := range all {
		last = max(last, x.at+x.lasts)
	}
	return last
}

// fault is what can happen: its beginning, and its end, which makes things good again.
type fault struct {
	begin, end act
	ofServer   bool // it meets all clients
	pauses     bool
	asks       bool // somebody to stop, who cannot while he is paused
}

// An act is what the code says; %[1]s stands for the client.
type act struct {
	code string
	do   func(s *Stage, p *Peer)
}

// of returns the code of what happens to a client.
func (a act) of(client int) string { return strings.ReplaceAll(a.code, "%[1]s", phone(client)) }

// The simplest come first: a storm that shrinks goes that way.
var faults = []fault{
	{begin: act{"%[1]s.Link.Down", func(_ *Stage, p *Peer) { p.Link.Down() }}, end: linkUp},
	{begin: act{"func() { %[1]s.Link.DownFrom(w.Server) }", func(s *Stage, p *Peer) { p.Link.DownFrom(s.Server) }}, end: linkUp},
	{begin: act{"func() { %[1]s.Link.DownFrom(%[1]s.Host) }", func(_ *Stage, p *Peer) { p.Link.DownFrom(p.Host) }}, end: linkUp},
	{begin: act{"w.Server.Crash", func(s *Stage, _ *Peer) { s.Server.Crash() }}, end: serverUp, ofServer: true},
	{begin: act{"%[1]s.Host.Crash", func(_ *Stage, p *Peer) { p.Host.Crash() }}, end: clientUp},
	{begin: act{"w.Server.PowerOff", func(s *Stage, _ *Peer) { s.Server.PowerOff() }}, end: serverUp, ofServer: true},
	{begin: act{"%[1]s.Host.PowerOff", func(_ *Stage, p *Peer) { p.Host.PowerOff() }}, end: clientUp},
	{begin: act{"w.Server.Pause", func(s *Stage, _ *Peer) { s.Server.Pause() }},
		end: act{"w.Server.Resume", func(s *Stage, _ *Peer) { s.Server.Resume() }}, ofServer: true, pauses: true},
	{begin: act{"%[1]s.Host.Pause", func(_ *Stage, p *Peer) { p.Host.Pause() }},
		end: act{"%[1]s.Host.Resume", func(_ *Stage, p *Peer) { p.Host.Resume() }}, pauses: true},
	{begin: act{"%[1]s.Leave", func(_ *Stage, p *Peer) { p.Leave() }},
		end: act{"%[1]s.Return", func(_ *Stage, p *Peer) { p.Return() }}, asks: true},
	{begin: act{"w.Redeploy", func(s *Stage, _ *Peer) { s.Redeploy() }}, ofServer: true, asks: true},
	{begin: act{"%[1]s.Link.Hold", func(_ *Stage, p *Peer) { p.Link.Hold() }},
		end: act{"%[1]s.Link.Release", func(_ *Stage, p *Peer) { p.Link.Release() }}},
	{begin: act{"func() { w.StartRejected(%[1]s) }", func(s *Stage, p *Peer) { s.StartRejected(p) }}, end: linkUp},
	{begin: act{"func() { w.Net.Partition([]*sim.Host{w.Server}, []*sim.Host{%[1]s.Host}) }",
		func(s *Stage, p *Peer) { s.Net.Partition([]*sim.Host{s.Server}, []*sim.Host{p.Host}) }},
		end: act{"w.Net.Heal", func(s *Stage, _ *Peer) { s.Net.Heal() }}},
	impaired("Loss: netem.Bernoulli(0.05)", netem.Config{Loss: netem.Bernoulli(0.05)}),
	impaired("Loss: netem.Bernoulli(0.4)", netem.Config{Loss: netem.Bernoulli(0.4)}),
	impaired("Loss: netem.GilbertElliott{P: 0.05, R: 0.2}", netem.Config{Loss: netem.GilbertElliott{P: 0.05, R: 0.2}}),
	impaired("Rate: 64 * netem.Kbit, Queue: netem.DropTail{Packets: 20}", netem.Config{Rate: 64 * netem.Kbit, Queue: netem.DropTail{Packets: 20}}),
	impaired("Jitter: patterntest.Transit, Duplicate: 0.1", netem.Config{Jitter: Transit, Duplicate: 0.1}),
	impaired("Corrupt: 0.1", netem.Config{Corrupt: 0.1}),
}

var (
	linkUp   = act{"%[1]s.Link.Up", func(_ *Stage, p *Peer) { p.Link.Up() }}
	serverUp = act{"w.Server.Restart", func(s *Stage, _ *Peer) { s.Server.Restart() }}
	clientUp = act{"%[1]s.Host.Restart", func(_ *Stage, p *Peer) { p.Host.Restart() }}
)

// impaired is a link that is worse for a while.
func impaired(fields string, cfg netem.Config) fault {
	cfg.Delay = Transit
	return fault{
		begin: act{"func() { %[1]s.Link.Set(netem.Config{Delay: patterntest.Transit, " + fields + "}) }", func(_ *Stage, p *Peer) { p.Link.Set(cfg) }},
		end: act{"func() { %[1]s.Link.Set(netem.Config{Delay: patterntest.Transit}) }",
			func(_ *Stage, p *Peer) { p.Link.Set(netem.Config{Delay: Transit}) }},
	}
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
