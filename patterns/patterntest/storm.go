package patterntest

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/squall-sim/squall/internal/storm"
	"github.com/squall-sim/squall/sim"
)

// A deliveryStorm is a randomly drawn schedule of faults, and of events published in the
// meantime.
type deliveryStorm struct {
	plan[burst]
	work bool // the clients are workers
}

// A burst is a series of events after a pause.
type burst struct {
	pace
	size int
	ttl  time.Duration // 0: forever
}

// drawStorm draws some minutes of trouble. All faults end within five minutes of the
// beginning of the last one.
func drawStorm(seed uint64) deliveryStorm {
	d := storm.NewDraws(seed)
	s := deliveryStorm{plan: plan[burst]{clients: 1 + d.Below(3)}}
	s.faults = drawSchedule(d, s.clients)
	for range 1 + d.Below(6) {
		b := burst{
			pace: pace{
				pause: someTime(d),
				every: storm.Pick(d, 0, time.Second, 5*time.Second, 200*time.Millisecond, 30*time.Millisecond),
				count: 1 + d.Below(30),
			},
			size: storm.Pick(d, 0, 0, 1000, 8000),
		}
		if b.size == 0 {
			b.ttl = storm.Pick(d, 0, 0, 0, 10*time.Second, time.Minute, time.Hour)
		}
		s.bursts = append(s.bursts, b)
	}
	return s
}

// smaller yields simpler storms.
func (s deliveryStorm) smaller() iter.Seq[deliveryStorm] {
	return func(yield func(deliveryStorm) bool) {
		for p := range s.plan.smaller(burst.smaller) {
			if !yield(deliveryStorm{p, s.work}) {
				return
			}
		}
	}
}

// smaller returns simpler bursts, the simplest first.
func (b burst) smaller() []burst {
	return easier(b, func(c *burst) *pace { return &c.pace },
		func(c *burst) { c.size = 0 },
		func(c *burst) { c.ttl = 0 },
	)
}

// drawStormOfWork draws the same storm for workers. If the system has groups, they share events
// with keys.
func drawStormOfWork(seed uint64) deliveryStorm {
	s := drawStorm(seed)
	s.work = true
	return s
}

// Storm returns the story drawn from a seed: one to three clients and up to eight faults of
// links, clients and server, which can overlap, over some minutes. Like every story, it
// leaves time to recover after the last fault. [Story].Code is its Go code.
func Storm(seed uint64) Story {
	s := drawStorm(seed)
	story := s.story(fmt.Sprintf("storm %d", seed))
	story.Code = s.code()
	return story
}

func (s deliveryStorm) story(name string) Story {
	return Story{
		Name:   name,
		Reason: "a combination that nobody thought of, drawn at random",
		Play:   s.play,
	}
}

// play does what code prints.
func (s deliveryStorm) play(w *World) {
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
	w.inject(s.faults, peers)
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

// stormKeys is the number of keys of a storm's events.
const stormKeys = 7

// workersOf returns the group of a worker.
func workersOf(s System, i int) string {
	if s.Work.Groups {
		return "workers"
	}
	return "workers of " + phone(i)
}

// code returns the story as Go.
func (s deliveryStorm) code() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, "\t"+format+"\n", args...) }
	b.WriteString("func(w *patterntest.World) {\n")
	faults := codeOf(s.faults, s.clients)
	spared := s.spared()
	if s.work {
		spared = nil
	}
	for i := range s.clients {
		made := fmt.Sprintf("w.Client(%q)", phone(i))
		if s.work { // a group each, if the system has no others
			made = fmt.Sprintf("w.Worker(\"workers\", %q, nil)", phone(i))
		}
		if speaksOf(faults, i) || slices.Contains(spared, i) {
			line("%s := %s", phone(i), made)
		} else {
			line("%s", made)
		}
	}
	for _, i := range spared {
		line("w.PromptFor(%s)", phone(i))
	}
	for _, l := range faults {
		line("%s", l)
	}
	for _, p := range s.bursts {
		if p.pause > 0 {
			line("w.Sleep(%s)", storm.GoTime(p.pause))
		}
		switch {
		case s.work:
			line("w.PublishKeys(%d, %s, %d, %d)", stormKeys, storm.GoTime(p.every), p.count, p.size)
		case p.ttl > 0:
			line("w.PublishFor(%s, %s, %d)", storm.GoTime(p.ttl), storm.GoTime(p.every), p.count)
		case p.size == 0:
			line("w.PublishEvery(%s, %d)", storm.GoTime(p.every), p.count)
		default:
			line("w.PublishLarge(%s, %d, %d)", storm.GoTime(p.every), p.count, p.size)
		}
	}
	if rest := s.rest(); rest > 0 {
		line("w.Sleep(%s)", storm.GoTime(rest))
	}
	b.WriteString("}")
	return b.String()
}

// spared returns the clients that no fault affects, which every event must reach in
// time. A burst that takes TCP several round trips exceeds the bound of many systems.
func (s deliveryStorm) spared() []int {
	for _, b := range s.bursts {
		if b.every < 30*time.Millisecond && b.count*max(b.size, 100) > 8000 {
			return nil
		}
	}
	return sparedBy(s.faults, s.clients)
}

func (s deliveryStorm) size() string { return s.plan.size("client", "event") }

// weather runs a system, which may have workers, in storms.
func weather(t *testing.T, newSystem NewSystem, workers bool) {
	t.Helper()
	seeds, err := sim.Seeds(stormSeeds...)
	if err != nil {
		t.Fatal(err)
	}
	if text := searchDelivery(t, newSystem, seeds); text != "" {
		t.Error(text)
	}
	if !workers {
		return
	}
	if text := searchWork(t, newSystem, seeds); text != "" {
		t.Error("With workers: " + text)
	}
}

// searchWork runs the workers of a system, if it has any, in the storms of some seeds.
func searchWork(t *testing.T, newSystem NewSystem, seeds []uint64) string {
	t.Helper()
	return search(t, drawStormOfWork, func(n *sim.Network, folder string, s deliveryStorm) performed {
		system := newSystem(n)
		if system.Work == nil {
			return nil
		}
		return play(n, system, folder, s.story("a storm"))
	}, seeds)
}

// searchDelivery runs a system in the storms of some seeds.
func searchDelivery(t *testing.T, newSystem NewSystem, seeds []uint64) string {
	t.Helper()
	return search(t, drawStorm, func(n *sim.Network, folder string, s deliveryStorm) performed {
		return play(n, newSystem(n), folder, s.story("a storm"))
	}, seeds)
}
