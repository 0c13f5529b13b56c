package patterntest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/squall-sim/squall/sim"
)

// A storm is what goes wrong when, and what is published meanwhile, drawn at random.
type storm struct {
	clients int
	faults  schedule
	bursts  []burst
	work    bool // the clients are workers
}

// A burst is a row of events, after a pause.
type burst struct {
	pause, every time.Duration
	count, size  int
	ttl          time.Duration // 0: for ever
}

// storms generates some minutes of trouble, which ends within five minutes of its last
// beginning.
var storms = rapid.Custom(drawStorm)

// stormsOfWork generates the same for workers, who share events with keys if the system has groups.
var stormsOfWork = rapid.Custom(func(t *rapid.T) storm {
	s := drawStorm(t)
	s.work = true
	return s
})

func drawStorm(t *rapid.T) storm {
	s := storm{clients: rapid.IntRange(1, 3).Draw(t, "clients")}
	intervals := rapid.SampledFrom([]time.Duration{0, time.Second, 5 * time.Second, 200 * time.Millisecond, 30 * time.Millisecond})
	sizes := rapid.SampledFrom([]int{0, 0, 1000, 8000})
	lives := rapid.SampledFrom([]time.Duration{0, 0, 0, 10 * time.Second, time.Minute, time.Hour})
	s.faults = drawSchedule(t, s.clients)
	s.bursts = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) burst {
		b := burst{
			pause: someTime(t),
			every: intervals.Draw(t, "every"),
			count: rapid.IntRange(1, 30).Draw(t, "count"),
			size:  sizes.Draw(t, "size"),
		}
		if b.size == 0 {
			b.ttl = lives.Draw(t, "ttl")
		}
		return b
	}), 1, 6).Draw(t, "bursts")
	return s
}

// Storm returns the story that is drawn from a seed: up to three clients, up to eight faults
// of links, clients and server, which may overlap, over some minutes; like all stories it
// leaves time to recover after the last. Its code is [Story].Code.
func Storm(seed uint64) Story {
	return storms.Example(int(seed)).story(fmt.Sprintf("storm %d", seed))
}

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
	var clients []*Client
	if s.work {
		for i := range s.clients {
			clients = append(clients, w.Worker(workersOf(w.system, i), phone(i), nil))
		}
	} else {
		clients = w.Clients(s.clients)
		for _, i := range s.spared() {
			w.PromptFor(clients[i])
		}
	}
	var peers []*Peer
	for _, c := range clients {
		peers = append(peers, &c.Peer)
	}
	s.faults.play(&w.Stage, peers)
	for _, b := range s.bursts {
		w.Sleep(b.pause)
		switch {
		case s.work:
			w.PublishKeys(stormKeys, b.every, b.count, b.size)
		case b.ttl > 0:
			w.PublishFor(b.ttl, b.every, b.count)
		default:
			w.PublishLarge(b.every, b.count, b.size)
		}
	}
	w.Sleep(s.rest())
}

// stormKeys is how many keys events of a storm have.
const stormKeys = 7

// workersOf returns the group of a worker.
func workersOf(s System, i int) string {
	if s.Work.Groups {
		return "workers"
	}
	return "workers of " + phone(i)
}

// code returns the story as Go.
func (s storm) code() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, "\t"+format+"\n", args...) }
	b.WriteString("func(w *patterntest.World) {\n")
	used := s.faults.named()
	spared := s.spared()
	if s.work {
		spared = nil
	}
	for i := range s.clients {
		made := fmt.Sprintf("w.Client(%q)", phone(i))
		if s.work { // a group each, if the system has no others
			made = fmt.Sprintf("w.Worker(\"workers\", %q, nil)", phone(i))
		}
		if used[i] || slices.Contains(spared, i) {
			line("%s := %s", phone(i), made)
		} else {
			line("%s", made)
		}
	}
	for _, i := range spared {
		line("w.PromptFor(%s)", phone(i))
	}
	for _, l := range s.faults.code() {
		line("%s", l)
	}
	for _, p := range s.bursts {
		if p.pause > 0 {
			line("w.Sleep(%s)", goTime(p.pause))
		}
		switch {
		case s.work:
			line("w.PublishKeys(%d, %s, %d, %d)", stormKeys, goTime(p.every), p.count, p.size)
		case p.ttl > 0:
			line("w.PublishFor(%s, %s, %d)", goTime(p.ttl), goTime(p.every), p.count)
		case p.size == 0:
			line("w.PublishEvery(%s, %d)", goTime(p.every), p.count)
		default:
			line("w.PublishLarge(%s, %d, %d)", goTime(p.every), p.count, p.size)
		}
	}
	if rest := s.rest(); rest > 0 {
		line("w.Sleep(%s)", goTime(rest))
	}
	b.WriteString("}")
	return b.String()
}

// spared returns the clients that no fault meets, so that all must reach them in time. A
// burst that TCP takes several round trips for is over the bound of many systems.
func (s storm) spared() []int {
	for _, b := range s.bursts {
		if b.every < 30*time.Millisecond && b.count*max(b.size, 100) > 8000 {
			return nil
		}
	}
	return s.faults.spared(s.clients)
}

// rest is how long the last fault lasts after the last event.
func (s storm) rest() time.Duration {
	var published time.Duration
	for _, b := range s.bursts {
		published += b.pause + time.Duration(b.count)*b.every
	}
	return max(0, s.faults.over()-published)
}

func (s storm) size() string {
	events := 0
	for _, b := range s.bursts {
		events += b.count
	}
	return counted(s.clients, "client") + ", " + counted(len(s.faults), "fault") + " and " + counted(events, "event")
}

// weather puts a system through storms.
func weather(t *testing.T, newSystem NewSystem) {
	t.Helper()
	seeds, err := sim.Seeds(stormSeeds...)
	if err != nil {
		t.Fatal(err)
	}
	if text := searchDelivery(t, newSystem, seeds); text != "" {
		t.Error(text)
	}
	if text := searchWork(t, newSystem, seeds); text != "" {
		t.Error("With workers: " + text)
	}
}

// searchWork puts the workers of a system through the storms of some seeds, if it has any.
func searchWork(t *testing.T, newSystem NewSystem, seeds []uint64) string {
	t.Helper()
	return search(t, stormsOfWork, func(n *sim.Network, folder string, s storm) []Breach {
		system := newSystem(n)
		if system.Work == nil {
			return nil
		}
		return Judge(n, system, folder, s.story("a storm"))
	}, seeds)
}

// searchDelivery puts a system through the storms of some seeds.
func searchDelivery(t *testing.T, newSystem NewSystem, seeds []uint64) string {
	t.Helper()
	return search(t, storms, func(n *sim.Network, folder string, s storm) []Breach {
		return Judge(n, newSystem(n), folder, s.story("a storm"))
	}, seeds)
}
