package squall_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
)

// The tables of failures. A row is one scenario: a name, the reason why it is here, and a
// story. To add one, add a row to the table of its pattern. All times are virtual; every
// link takes 40 ms each way unless the story says otherwise.
//
// The story of a row is plain Go, in one of two shapes. With a system (see
// systems_test.go) it publishes, breaks things, and leaves it to the contract to find
// what was broken: events that are missing without a word, come twice, out of order or
// late. Without one it gets the network itself and asserts what it likes.
type scenario struct {
	name   string
	reason string
	races  string // why two runs of it may differ, if they may
	system patterntest.NewSystem
	play   func(w *patterntest.World)
	story  func(t *testing.T, n *sim.Network)
}

type world = patterntest.World

// The tables, one file a pattern.
var scenarios = [][]scenario{
	longPollScenarios,  // scenarios_longpoll_test.go
	pushScenarios,      // scenarios_push_test.go
	shortPollScenarios, // scenarios_shortpoll_test.go
	streamScenarios,    // scenarios_stream_test.go
	pubsubScenarios,    // scenarios_pubsub_test.go
}

func TestScenarios(t *testing.T) {
	t.Parallel()
	for _, sc := range slices.Concat(scenarios...) {
		require.NotEmpty(t, sc.reason, "the row %q must say why it is there", sc.name)
		t.Run(sc.name, func(t *testing.T) {
			var opts []sim.Option
			if sc.races != "" {
				opts = append(opts, sim.MayDiffer(sc.races))
			}
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				if sc.story != nil {
					sc.story(t, n)
					return
				}
				for _, breach := range patterntest.Judge(n, sc.system(n), t.TempDir(), patterntest.Story{Name: sc.name, Reason: sc.reason, Play: sc.play}) {
					t.Errorf("%v\nThe scenario is here because: %s", breach, sc.reason)
				}
			}, opts...)
		})
	}
}

// What several rows share.

const (
	ms  = time.Millisecond
	s   = time.Second
	min = time.Minute
)

var good = netem.Config{Delay: 40 * ms}

// transit is until just after a packet has arrived: what the program does at the instant
// itself comes first.
const transit = 40*ms + 1

func durable(s patterntest.System) patterntest.System {
	s.Durable = true
	return s
}

// outage cuts a client off for so long, with events before, during and after.
func outage(d time.Duration) func(w *world) {
	return func(w *world) {
		c := w.Client("phone")
		w.After(10*s, c.Link.Down)
		w.After(10*s+d, c.Link.Up)
		w.PublishEvery(d/20+s, 30)
	}
}

// cut has the client's link fail in one direction around each of ten events.
func cut(w *world, c *patterntest.Client, from *sim.Host) {
	for range 10 {
		c.Link.DownFrom(from)
		w.PublishEvery(100*ms, 1)
		w.After(3*s, c.Link.Up)
		w.Sleep(20 * s)
	}
}

// restart has the server crash and come back between events.
func restart(w *world) {
	w.Client("phone")
	for range 3 {
		w.PublishEvery(s, 10)
		w.Server.Restart()
		w.Sleep(s)
	}
	w.PublishEvery(s, 10)
}

// restartAway is restart while the client cannot see it.
func restartAway(w *world) {
	c := w.Client("phone")
	w.PublishEvery(s, 10)
	c.Link.Down()
	w.PublishEvery(s, 10)
	w.Server.Restart()
	w.Sleep(s)
	w.PublishEvery(s, 30)
	c.Link.Up()
}

func lossy(w *world) {
	w.Link(netem.Config{Delay: 40 * ms, Loss: netem.Bernoulli(0.1)})
	w.Client("phone")
	w.PublishEvery(700*ms, 200)
}

// herd is the most attempts to connect within 100 ms, from at on.
func herd(n *sim.Network, at time.Duration) int {
	var dials []time.Duration
	for e := range n.Trace().Events() {
		if e.Kind == sim.Sent && e.Flags == "S" && !e.Resent && e.At >= at {
			dials = append(dials, e.At)
		}
	}
	most, _ := patterntest.Peak(dials, 100*ms)
	return most
}
