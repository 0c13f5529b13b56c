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

// A storm is what goes wrong when, and what is published meanwhile, drawn at random.
type storm struct {
	clients int
	strikes []strike
	bursts  []burst
}

// A strike is a fault that begins at a time after the start and lasts for a while.
type strike struct {
	fault     fault
	client    int // whom it meets, unless it is the server
	at, lasts time.Duration
}

// A burst is a row of events, after a pause.
type burst struct {
	pause, every time.Duration
	count, size  int
}

// fault is what can strike: its beginning, and its end, which makes things good again.
type fault struct {
	begin, end act
	ofServer   bool // it meets all clients
	pauses     bool
	asks       bool // somebody to stop, who cannot while he is paused
}

// An act is what the code says; %[1]s stands for the client.
type act struct {
	code string
	do   func(w *World, c *Client)
}

// The simplest come first: a storm that shrinks goes that way.
var faults = []fault{
	{begin: act{"%[1]s.Link.Down", func(_ *World, c *Client) { c.Link.Down() }}, end: linkUp},
	{begin: act{"func() { %[1]s.Link.DownFrom(w.Server) }", func(w *World, c *Client) { c.Link.DownFrom(w.Server) }}, end: linkUp},
	{begin: act{"func() { %[1]s.Link.DownFrom(%[1]s.Host) }", func(_ *World, c *Client) { c.Link.DownFrom(c.Host) }}, end: linkUp},
	{begin: act{"w.Server.Crash", func(w *World, _ *Client) { w.Server.Crash() }}, end: serverUp, ofServer: true},
	{begin: act{"%[1]s.Host.Crash", func(_ *World, c *Client) { c.Host.Crash() }}, end: clientUp},
	{begin: act{"w.Server.PowerOff", func(w *World, _ *Client) { w.Server.PowerOff() }}, end: serverUp, ofServer: true},
	{begin: act{"%[1]s.Host.PowerOff", func(_ *World, c *Client) { c.Host.PowerOff() }}, end: clientUp},
	{begin: act{"w.Server.Pause", func(w *World, _ *Client) { w.Server.Pause() }},
		end: act{"w.Server.Resume", func(w *World, _ *Client) { w.Server.Resume() }}, ofServer: true, pauses: true},
	{begin: act{"%[1]s.Host.Pause", func(_ *World, c *Client) { c.Host.Pause() }},
		end: act{"%[1]s.Host.Resume", func(_ *World, c *Client) { c.Host.Resume() }}, pauses: true},
	{begin: act{"%[1]s.Leave", func(_ *World, c *Client) { c.Leave() }},
		end: act{"%[1]s.Return", func(_ *World, c *Client) { c.Return() }}, asks: true},
	{begin: act{"w.Redeploy", func(w *World, _ *Client) { w.Redeploy() }}, ofServer: true, asks: true},
	{begin: act{"%[1]s.Link.Hold", func(_ *World, c *Client) { c.Link.Hold() }},
		end: act{"%[1]s.Link.Release", func(_ *World, c *Client) { c.Link.Release() }}},
	{begin: act{"func() { w.StartRejected(%[1]s) }", func(w *World, c *Client) { w.StartRejected(c) }}, end: linkUp},
	{begin: act{"func() { w.Net.Partition([]*sim.Host{w.Server}, []*sim.Host{%[1]s.Host}) }",
		func(w *World, c *Client) { w.Net.Partition([]*sim.Host{w.Server}, []*sim.Host{c.Host}) }},
		end: act{"w.Net.Heal", func(w *World, _ *Client) { w.Net.Heal() }}},
	impaired("Loss: netem.Bernoulli(0.05)", netem.Config{Loss: netem.Bernoulli(0.05)}),
	impaired("Loss: netem.Bernoulli(0.4)", netem.Config{Loss: netem.Bernoulli(0.4)}),
	impaired("Loss: netem.GilbertElliott{P: 0.05, R: 0.2}", netem.Config{Loss: netem.GilbertElliott{P: 0.05, R: 0.2}}),
	impaired("Rate: 64 * netem.Kbit, Queue: netem.DropTail{Packets: 20}", netem.Config{Rate: 64 * netem.Kbit, Queue: netem.DropTail{Packets: 20}}),
	impaired("Jitter: patterntest.Transit, Duplicate: 0.1", netem.Config{Jitter: Transit, Duplicate: 0.1}),
	impaired("Corrupt: 0.1", netem.Config{Corrupt: 0.1}),
}

var (
	linkUp   = act{"%[1]s.Link.Up", func(_ *World, c *Client) { c.Link.Up() }}
	serverUp = act{"w.Server.Restart", func(w *World, _ *Client) { w.Server.Restart() }}
	clientUp = act{"%[1]s.Host.Restart", func(_ *World, c *Client) { c.Host.Restart() }}
)

// impaired is a link that is worse for a while.
func impaired(fields string, cfg netem.Config) fault {
	cfg.Delay = Transit
	return fault{
		begin: act{"func() { %[1]s.Link.Set(netem.Config{Delay: patterntest.Transit, " + fields + "}) }", func(_ *World, c *Client) { c.Link.Set(cfg) }},
		end: act{"func() { %[1]s.Link.Set(netem.Config{Delay: patterntest.Transit}) }",
			func(_ *World, c *Client) { c.Link.Set(netem.Config{Delay: Transit}) }},
	}
}

// storms generates some minutes of trouble, which ends within five minutes of its last
// beginning.
var storms = rapid.Custom(func(t *rapid.T) storm {
	s := storm{clients: rapid.IntRange(1, 3).Draw(t, "clients")}
	durations := rapid.SampledFrom([]time.Duration{100 * time.Millisecond, time.Second, 5 * time.Second, 30 * time.Second, 65 * time.Second, 5 * time.Minute})
	intervals := rapid.SampledFrom([]time.Duration{0, time.Second, 5 * time.Second, 200 * time.Millisecond, 30 * time.Millisecond})
	sizes := rapid.SampledFrom([]int{0, 0, 1000, 8000})
	some := func(t *rapid.T) time.Duration { // from 0 to 33 s; most are to the millisecond
		return time.Duration(rapid.IntRange(0, 31).Draw(t, "seconds"))*time.Second +
			time.Duration(rapid.IntRange(0, 1999).Draw(t, "milliseconds"))*time.Millisecond
	}
	s.strikes = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) strike {
		return strike{
			fault:  rapid.SampledFrom(faults).Draw(t, "fault"),
			client: rapid.IntRange(0, s.clients-1).Draw(t, "client"),
			at:     some(t), // after the one before, for now
			lasts:  durations.Draw(t, "lasts") + time.Duration(rapid.IntRange(0, 999).Draw(t, "milliseconds"))*time.Millisecond,
		}
	}), 0, 8).Draw(t, "strikes")
	for i := 1; i < len(s.strikes); i++ {
		s.strikes[i].at += s.strikes[i-1].at
	}
	drawn := slices.Clone(s.strikes)
	s.strikes = slices.DeleteFunc(s.strikes, func(x strike) bool {
		return x.fault.pauses && slices.ContainsFunc(drawn, func(y strike) bool {
			return y.fault.asks && x.fault.ofServer == y.fault.ofServer && (x.fault.ofServer || x.client == y.client)
		})
	})
	s.bursts = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) burst {
		return burst{
			pause: some(t),
			every: intervals.Draw(t, "every"),
			count: rapid.IntRange(1, 30).Draw(t, "count"),
			size:  sizes.Draw(t, "size"),
		}
	}), 1, 6).Draw(t, "bursts")
	return s
})

// Storm returns the story that is drawn from a seed: up to three clients, up to eight faults
// of links, clients and server, which may overlap, over some minutes; like all stories it
// leaves time to recover after the last. Its code is [Story].Code.
func Storm(seed uint64) Story {
	return drawn(seed).story(fmt.Sprintf("storm %d", seed))
}

func drawn(seed uint64) storm { return storms.Example(int(seed)) }

func (s storm) story(name string) Story {
	return Story{
		Name:   name,
		Reason: "nobody thought of it: it was drawn at random",
		Play:   s.play,
		Code:   s.code(),
	}
}

// play is what code says.
func (s storm) play(w *World) {
	clients := make([]*Client, s.clients)
	for i := range clients {
		clients[i] = w.Client(phone(i))
	}
	for _, i := range s.spared() {
		w.PromptFor(clients[i])
	}
	for _, x := range s.strikes {
		c := clients[x.client]
		w.After(x.at, func() { x.fault.begin.do(w, c) })
		if x.fault.end.do != nil {
			w.After(x.at+x.lasts, func() { x.fault.end.do(w, c) })
		}
	}
	for _, b := range s.bursts {
		w.Sleep(b.pause)
		w.PublishLarge(b.every, b.count, b.size)
	}
	w.Sleep(s.rest())
}

// code returns the story as Go.
func (s storm) code() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, "\t"+format+"\n", args...) }
	b.WriteString("func(w *patterntest.World) {\n")
	used := map[int]bool{}
	for _, x := range s.strikes {
		used[x.client] = used[x.client] || strings.Contains(x.fault.begin.code, "%[1]s")
	}
	spared := s.spared()
	for i := range s.clients {
		if used[i] || slices.Contains(spared, i) {
			line("%s := w.Client(%q)", phone(i), phone(i))
		} else {
			line("w.Client(%q)", phone(i))
		}
	}
	for _, i := range spared {
		line("w.PromptFor(%s)", phone(i))
	}
	for _, x := range s.strikes {
		line("w.After(%s, %s)", goTime(x.at), sprintf(x.fault.begin.code, phone(x.client)))
		if x.fault.end.do != nil {
			line("w.After(%s, %s)", goTime(x.at+x.lasts), sprintf(x.fault.end.code, phone(x.client)))
		}
	}
	for _, p := range s.bursts {
		if p.pause > 0 {
			line("w.Sleep(%s)", goTime(p.pause))
		}
		if p.size == 0 {
			line("w.PublishEvery(%s, %d)", goTime(p.every), p.count)
		} else {
			line("w.PublishLarge(%s, %d, %d)", goTime(p.every), p.count, p.size)
		}
	}
	if rest := s.rest(); rest > 0 {
		line("w.Sleep(%s)", goTime(rest))
	}
	b.WriteString("}")
	return b.String()
}

func phone(i int) string { return fmt.Sprintf("phone%d", i+1) }

// sprintf is Sprintf for a format that need not name the client.
func sprintf(format, who string) string { return strings.ReplaceAll(format, "%[1]s", who) }

// spared returns the clients that nothing strikes, so that all must reach them in time. A
// burst that TCP takes several round trips for is over the bound of many systems.
func (s storm) spared() []int {
	for _, b := range s.bursts {
		if b.every < 30*time.Millisecond && b.count*max(b.size, 100) > 8000 {
			return nil
		}
	}
	struck := map[int]bool{}
	for _, x := range s.strikes {
		if x.fault.ofServer {
			return nil
		}
		struck[x.client] = true
	}
	var all []int
	for i := range s.clients {
		if !struck[i] {
			all = append(all, i)
		}
	}
	return all
}

// rest is how long the last fault lasts after the last event.
func (s storm) rest() time.Duration {
	var published, over time.Duration
	for _, b := range s.bursts {
		published += b.pause + time.Duration(b.count)*b.every
	}
	for _, x := range s.strikes {
		over = max(over, x.at+x.lasts)
	}
	return max(0, over-published)
}

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
