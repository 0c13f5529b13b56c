package patterntest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// A NewSystem constructs the system under test on a network. It is called once a story.
type NewSystem func(n *sim.Network) System

// A Story is one way in which things go wrong.
type Story struct {
	Name   string // what happens, in a few words
	Reason string // why it is worth a test
	Play   func(w *World)
	Code   string // Play as Go, of a story that was drawn at random
	Races  string // why two runs of it may differ (see [sim.MayDiffer]), or ""

	// Needs says whether a system offers what the story is about. Nil: each does.
	Needs func(s System) bool
}

// Delivery runs every story of the contract, each in a bubble and as a subtest, and
// fails for each promise that the system breaks. With -v it says what each story cost.
//
// The last subtest, storms, draws stories at random: four, unless the environment asks
// for other seeds (see [sim.Test]). To draw a thousand and leave out the rest:
//
//	SQUALL_SEEDS=1000 go test -run 'TestMyServer/storms'
//
// A storm that finds something is made smaller, for up to the 30 s of rapid's flag
// -rapid.shrinktime, and printed as Go, to be kept as a story of one's own.
//
// A story that hangs or whose time stands still fails like any other, with a report, and the next one
// follows.
func Delivery(t *testing.T, newSystem NewSystem, opts ...Option) {
	t.Helper()
	stories := Stories()
	skip := skipped(t, append(stories[:len(stories):len(stories)], Story{Name: stormsTest}), opts)
	for _, s := range stories {
		t.Run(strings.ReplaceAll(s.Name, " ", "_"), func(t *testing.T) {
			skip.check(t, s.Name)
			var opts []sim.Option
			if s.Races != "" {
				opts = append(opts, sim.MayDiffer(s.Races))
			}
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				system := newSystem(n)
				if s.Needs != nil && !s.Needs(system) {
					t.Skip("the system does not offer what the story is about")
				}
				w := play(n, system, t.TempDir(), s)
				for _, b := range w.Verdict() {
					t.Errorf("%v\nThe story is here because: %s", b, s.Reason)
				}
				t.Log(w.Measures())
			}, opts...)
		})
	}
	t.Run(stormsTest, func(t *testing.T) {
		skip.check(t, stormsTest)
		weather(t, newSystem)
	})
}

const stormsTest = "storms"

// An Option changes what [Delivery] and [Loopback] do.
type Option func(skips)

// Skip leaves out a story, for a reason, which the test says. The name is that of one of
// [Stories], in which a subtest has _ for a space, or "storms". Delivery fails with a list of all
// if there is none of that name.
func Skip(story, reason string) Option {
	return func(s skips) { s[story] = reason }
}

// skips are the reasons for leaving out stories, by their names.
type skips map[string]string

// skipped fails the test if a name is not that of a story.
func skipped(t *testing.T, stories []Story, opts []Option) skips {
	t.Helper()
	s := skips{}
	for _, o := range opts {
		o(s)
	}
	if text := s.unknown(stories); text != "" {
		t.Fatal(text)
	}
	return s
}

// unknown says which names are not those of stories, or nothing.
func (s skips) unknown(stories []Story) string {
	var known, unknown []string
	for _, story := range stories {
		known = append(known, story.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if !slices.Contains(known, name) {
			unknown = append(unknown, fmt.Sprintf("%q", name))
		}
	}
	if len(unknown) == 0 {
		return ""
	}
	return fmt.Sprintf("patterntest: Skip: there is no story %s. There are:\n  %s", strings.Join(unknown, ", nor "), strings.Join(known, "\n  "))
}

// check skips the test of a story that is left out.
func (s skips) check(t *testing.T, story string) {
	t.Helper()
	if reason, left := s[story]; left {
		t.Skip("left out: " + reason)
	}
}

// Judge plays a story and returns what was broken. folder is for what the server keeps
// on disk.
func Judge(n *sim.Network, s System, folder string, story Story) []Breach {
	return play(n, s, folder, story).Verdict()
}

func play(n *sim.Network, s System, folder string, story Story) *World {
	if story.Reason == "" {
		panic(fmt.Sprintf("patterntest: the story %q has no reason", story.Name))
	}
	w := NewWorld(n, s, folder)
	story.Play(w)
	w.Settle()
	return w
}

// Stories returns the contract of delivery. All times are virtual.
func Stories() []Story {
	var all []Story
	add := func(name, reason string, play func(w *World)) {
		all = append(all, Story{Name: name, Reason: reason, Play: play})
	}

	add("a quiet day", "what fails here fails everywhere", func(w *World) {
		w.PromptFor(w.Client("phone"))
		w.PublishEvery(7*time.Second, 20)
	})
	add("events closer together than a round trip", "an event between an answer and the next request is lost if the server waits for edges instead of positions", func(w *World) {
		w.Client("phone")
		w.PublishEvery(30*time.Millisecond, 100)
	})
	add("events at one instant", "batches must neither lose nor reorder", func(w *World) {
		w.Client("phone")
		w.PublishAtOnce(50)
	})
	all[len(all)-1].Races = "how many of the events a server has seen when it answers the first is the runtime's choice"
	add("an hour without events", "idle timeouts and renewals must not lose the event that ends the silence", func(w *World) {
		w.PromptFor(w.Client("phone"))
		w.Idle(time.Hour)
		w.PublishEvery(0, 1)
	})
	add("events of all kinds", "what has a meaning in the protocol must not have it in the data", ofAllKinds)
	add("ten publishers at once", "what is numbered first may be stored last, and a reader that has passed it never sees it", func(w *World) {
		w.Client("phone")
		w.PublishTogether(10, 100*time.Millisecond, 10)
	})

	// The client is out of reach for a while: during, before and after events, for
	// shorter and longer than anybody's timeout.
	for _, out := range []time.Duration{100 * time.Millisecond, 2 * time.Second, 30 * time.Second, 65 * time.Second, 20 * time.Minute} {
		add(fmt.Sprintf("out of reach for %v", out), "recovery must be complete, or the client told", func(w *World) {
			c := w.Client("phone")
			w.After(5*time.Second-10*time.Millisecond, c.Link.Down)
			w.After(5*time.Second-10*time.Millisecond+out, c.Link.Up)
			w.PublishEvery(max(out/20, time.Second), 30)
		})
	}
	// Longer than anybody's timeout: TCP brings what is lost for a moment.
	add("the answer is lost", "what was sent is not received: only the client's next position says so", func(w *World) {
		c := w.Client("phone")
		for range 10 {
			c.Link.DownFrom(w.Server)
			w.PublishEvery(100*time.Millisecond, 1)
			w.After(50*time.Second, c.Link.Up)
			w.Sleep(2 * time.Minute)
		}
	})
	add("the request is lost", "the server must not count on hearing from its client", func(w *World) {
		c := w.Client("phone")
		for range 10 {
			c.Link.DownFrom(c.Host)
			w.PublishEvery(100*time.Millisecond, 1)
			w.After(50*time.Second, c.Link.Up)
			w.Sleep(2 * time.Minute)
		}
	})
	add("a link that flaps", "each reconnection is a chance to skip or to repeat", func(w *World) {
		c := w.Client("phone")
		for i := range 20 {
			w.After(time.Duration(i)*4*time.Second+2*time.Second, c.Link.Down)
			w.After(time.Duration(i)*4*time.Second+4*time.Second, c.Link.Up)
		}
		w.PublishEvery(500*time.Millisecond, 160)
	})
	add("packets held and released", "what arrives late must not be taken for new", func(w *World) {
		c := w.Client("phone")
		w.After(5*time.Second, c.Link.Hold)
		w.After(50*time.Second, c.Link.Release)
		w.PublishEvery(time.Second, 60)
	})
	add("the client starts while its link rejects", "a dial that fails at once must not be repeated at once", func(w *World) {
		c := w.Client("phone")
		w.After(5*time.Second, func() { w.StartRejected(c) })
		w.After(100*time.Second, c.Link.Up)
		w.PublishEvery(2*time.Second, 60)
	})

	for _, impairment := range []struct {
		name, reason string
		cfg          netem.Config
	}{
		{"2 percent loss", "loss is delay", netem.Config{Delay: Transit, Loss: netem.Bernoulli(0.02)}},
		{"20 percent loss", "and much loss is much delay", netem.Config{Delay: Transit, Loss: netem.Bernoulli(0.2)}},
		{"bursts of loss", "a radio link loses many packets in a row", netem.Config{Delay: Transit, Loss: netem.GilbertElliott{P: 0.02, R: 0.2}}},
		{"jitter that reorders", "reordering must be TCP's business only", netem.Config{Delay: Transit, Jitter: Transit}},
		{"packets that come twice", "so must duplicates", netem.Config{Delay: Transit, Duplicate: 0.2}},
		{"packets that come broken", "and corruption", netem.Config{Delay: Transit, Corrupt: 0.05}},
	} {
		add("a link with "+impairment.name, impairment.reason, func(w *World) {
			w.Link(impairment.cfg)
			w.Client("phone")
			w.PublishEvery(50*time.Millisecond, 100)
		})
	}
	thin := netem.Config{Delay: Transit, Rate: 64 * netem.Kbit, Queue: netem.DropTail{Packets: 20}}
	add("a link with 64 kbit per second", "more than its queue holds comes at once, and takes long", func(w *World) {
		w.Link(thin)
		w.Client("phone")
		for range 5 {
			w.PublishLarge(0, 10, 4_000)
			w.Sleep(20 * time.Second)
		}
	})
	add("the way is cut while much is on it", "half an answer must not count as none, nor as a whole one", func(w *World) {
		w.Link(thin)
		c := w.Client("phone")
		w.PublishLarge(0, 10, 10_000) // 18 s, in base64
		w.Sleep(5 * time.Second)
		c.Link.Down()
		w.Sleep(2 * time.Minute)
		c.Link.Up()
		w.PublishEvery(time.Second, 10)
	})

	add("the server crashes and comes back", "what was accepted is kept, or its loss is told", func(w *World) {
		w.Client("phone")
		w.PublishEvery(time.Second, 10)
		w.Server.Crash()
		w.Sleep(10 * time.Second)
		w.Server.Restart()
		w.Sleep(time.Second)
		w.PublishEvery(time.Second, 10)
	})
	add("the server crashes right after it accepted", "to accept means to have stored", func(w *World) {
		w.Client("phone")
		for range 5 {
			w.PublishEvery(0, 3)
			w.Server.Restart()
			w.Sleep(5 * time.Second)
		}
	})
	add("the server loses power and comes back", "its clients are not told, and must find out by themselves", func(w *World) {
		w.Client("phone")
		w.PublishEvery(time.Second, 10)
		w.Sleep(10 * time.Second) // nothing is under way that would find out
		w.Server.PowerOff()
		w.Sleep(10 * time.Second)
		w.Server.Restart()
		w.Sleep(time.Second)
		w.PublishEvery(time.Second, 10)
		w.Sleep(time.Minute)
	})
	add("the server restarts while the client is away", "the client holds a position of the server's earlier life", func(w *World) {
		c := w.Client("phone")
		w.PublishEvery(time.Second, 10)
		c.Link.Down()
		w.PublishEvery(time.Second, 10)
		w.Server.Restart()
		w.Sleep(time.Second)
		w.PublishEvery(time.Second, 25)
		c.Link.Up()
	})
	add("the server restarts ten times", "each life begins where the last one ended, or says so", func(w *World) {
		w.Client("phone")
		for range 10 {
			w.PublishEvery(500*time.Millisecond, 10)
			w.Server.Restart()
			w.Sleep(500 * time.Millisecond)
		}
	})
	add("the server is frozen for a minute", "a process that is stopped still acknowledges on TCP", func(w *World) {
		w.Client("phone")
		w.PublishEvery(time.Second, 10)
		w.Server.Pause()
		w.Sleep(time.Minute)
		w.Server.Resume()
		w.PublishEvery(time.Second, 10)
	})
	add("the client restarts while the server is frozen", "the server then hears from the dead and the living at once, and must not take one for the other", func(w *World) {
		c := w.Client("phone")
		w.PublishEvery(time.Second, 3)
		w.Server.Pause()
		for range 5 {
			c.Host.Restart()
			w.Sleep(time.Second)
		}
		w.Server.Resume()
		w.PublishEvery(time.Second, 3)
	})
	add("the client restarts", "it goes on where it stood", func(w *World) {
		c := w.Client("phone")
		w.PublishEvery(time.Second, 10)
		c.Host.Crash()
		w.PublishEvery(time.Second, 10)
		c.Host.Restart()
		w.PublishEvery(time.Second, 10)
	})
	add("the client crashes while events come", "it must not have moved on before it was done, nor do things twice", func(w *World) {
		c := w.Client("phone")
		for i := range 10 {
			w.After(time.Duration(i)*2*time.Second+1010*time.Millisecond, c.Host.Restart)
		}
		w.PublishEvery(80*time.Millisecond, 250)
	})

	add("the client leaves and comes back", "who says goodbye is owed what he misses, and wants nothing meanwhile", func(w *World) {
		c := w.Client("phone")
		for _, away := range []time.Duration{0, 100 * time.Millisecond, time.Second, 20 * time.Second, 4 * time.Minute} {
			w.PublishEvery(time.Second, 3)
			c.Leave()
			w.PublishEvery(away, 5)
			c.Return()
			w.Sleep(time.Second)
		}
	})
	add("the client leaves before its first event", "where it began is a position too", func(w *World) {
		c := w.Client("phone")
		c.Leave()
		w.PublishEvery(time.Second, 1)
		c.Return()
	})
	add("the server restarts before the client's first event", "the position at which it began is of the server's earlier life, and nobody else may know it", func(w *World) {
		c := w.Client("phone")
		c.Host.Crash()
		w.Server.Restart()
		w.Sleep(time.Second)
		w.PublishEvery(time.Second, 3)
		c.Host.Restart()
	})
	add("the client leaves while events come", "what is half done when it is asked to stop is done once", func(w *World) {
		c := w.Client("phone")
		for i := range 10 {
			w.After(time.Duration(i)*2*time.Second+1010*time.Millisecond, func() { c.Leave(); c.Return() })
		}
		w.PublishEvery(80*time.Millisecond, 250)
	})
	add("the server is redeployed ten times", "the everyday case: it is asked to go, and the next begins where it ended", func(w *World) {
		w.Client("phone")
		for i := range 10 {
			w.PublishEvery(500*time.Millisecond, 7)
			w.PublishEvery(0, 3)
			if i%2 == 1 {
				w.Sleep(time.Second) // what it was asked is under way, or all is quiet
			}
			w.Redeploy()
			w.Sleep(500 * time.Millisecond)
		}
	})
	all = append(all, Story{
		Name: "events expire while the client is away", Reason: "an offer of yesterday does harm, and one of today does not wait for it",
		Needs: func(s System) bool { return s.PublishFor != nil },
		Play: func(w *World) {
			c := w.Client("phone")
			w.PromptFor(w.Client("present"))
			w.PublishFor(time.Minute, time.Second, 5)
			c.Leave()
			w.PublishFor(30*time.Second, time.Second, 5)
			w.PublishFor(time.Hour, time.Second, 5)
			w.PublishEvery(time.Second, 5)
			w.Sleep(2 * time.Minute)
			c.Return()
			w.Sleep(time.Second)
			w.PublishFor(time.Minute, time.Second, 5)
		},
	})

	add("one client of three cannot be reached", "a dead client must not delay the others", func(w *World) {
		dead := w.Client("dead")
		w.PromptFor(w.Client("one"), w.Client("two"))
		w.After(time.Second, dead.Link.Down)
		w.PublishLarge(time.Second, 120, 8_000) // 1 MB: more than a dead connection takes
		dead.Link.Up()
	})
	add("one client of three does not read", "a slow client must not delay the others, nor take the server's memory", func(w *World) {
		slow := w.Client("slow")
		w.PromptFor(w.Client("one"), w.Client("two"))
		w.After(time.Second, slow.Host.Pause)
		w.PublishLarge(50*time.Millisecond, 350, 12_000) // 4 MB: more than sockets hold
		slow.Host.Resume()
		w.Sleep(30 * time.Second)
		slow.Host.Pause() // for longer than anybody's patience
		w.PublishEvery(10*time.Second, 30)
		slow.Host.Resume()
	})
	add("a hundred clients lose the server at once", "those that come back together throw it down again", func(w *World) {
		w.Clients(100)
		w.PublishEvery(time.Second, 3)
		w.SpreadOut()
		w.Server.Crash()
		w.Sleep(5 * time.Second)
		w.Server.Restart()
		w.Sleep(time.Minute)
		w.PublishEvery(time.Second, 3)
	})
	add("a hundred clients are sent away", "a deployment must not look like an attack", func(w *World) {
		w.Clients(100)
		w.PublishEvery(time.Second, 3)
		w.SpreadOut()
		w.Redeploy()
		w.Sleep(time.Minute)
		w.PublishEvery(time.Second, 3)
	})
	add("fifty clients hear of one event", "one event wakes everybody once", func(w *World) {
		w.PromptFor(w.Clients(50)...)
		for range 5 {
			w.PublishEvery(20*time.Second, 1)
		}
	})
	add("a partition between the server and half of the clients", "the halves must agree again afterwards", func(w *World) {
		var far []*sim.Host
		for i, c := range w.Clients(6) {
			if i%2 == 0 {
				far = append(far, c.Host)
			} else {
				w.PromptFor(c)
			}
		}
		w.After(5*time.Second, func() { w.Net.Partition([]*sim.Host{w.Server}, far) })
		w.After(65*time.Second, w.Net.Heal)
		w.PublishEvery(time.Second, 90)
	})
	return all
}

func ofAllKinds(w *World) {
	w.Client("phone")
	w.Publish("two\nlines", "two\n\nparagraphs", "carriage\r\nreturns", "\n", "data: one\nid: 7", `a "quote"`, `{"json":[1]}`,
		"<b>&amp;", "100%41", "back\\slash", " spaces ", "\ttab", "높은 파도 🌊", strings.Repeat("large", 10_000))
}
