// Package scenario defines the tables of failures. A row is one scenario: a name, the
// reason for it, and a story in plain Go. All times are virtual, and every link has a
// delay of 40 ms each way unless the story says otherwise.
//
// A story gets the network and makes its own assertions. A story made by [Contract]
// publishes events and breaks things. The contract of delivery then finds what went
// wrong: events that are missing without notification, duplicated, out of order or late.
package scenario

import (
	"io"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/internal/processors"
	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
)

// Row is one failure scenario.
type Row struct {
	Name   string
	Reason string // why it is here
	Source string // a public account of it, for one that happened
	Races  string // why two runs of it may differ, if they may
	Story  func(t *testing.T, n *sim.Network)
}

// Run runs each row as a subtest, one after another: each test dumps all stacks at its end,
// which is expensive while a row with a thousand clients is running.
func Run(t *testing.T, rows []Row) {
	for _, row := range rows {
		require.NotEmpty(t, row.Reason, "the row %q must say why it is there", row.Name)
		t.Run(row.Name, func(t *testing.T) {
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("The scenario is here because: %s", row.Reason)
				}
			})
			var opts []sim.Option
			if row.Races != "" {
				opts = append(opts, sim.MayDiffer(row.Races))
			}
			sim.Test(t, row.Story, opts...)
		})
	}
}

// Contract returns a story that plays with a system and fails for each breach of
// the contract of delivery.
func Contract(system patterntest.NewSystem, play func(w *patterntest.World)) func(*testing.T, *sim.Network) {
	return func(t *testing.T, n *sim.Network) {
		story := patterntest.Story{Name: t.Name(), Reason: "a row of the table", Play: play}
		for _, breach := range patterntest.Judge(n, system(n), t.TempDir(), story) {
			t.Errorf("%v", breach)
		}
	}
}

// Variant is a system of a pattern: in memory or with a store, in one encoding or another.
// The first variant plays the whole contract. A variant that shares all but one part with
// it plays only the stories in which that part matters. With SQUALL_SEED or SQUALL_SEEDS,
// every variant plays the whole contract.
type Variant struct {
	Name    string
	System  patterntest.NewSystem
	Options []patterntest.Option
}

// Delivery runs the contract of delivery for the variants of a pattern, as
// subtests pattern/variant.
func Delivery(t *testing.T, pattern string, all ...Variant) {
	t.Parallel()
	if UnderRace {
		all = all[:1] // what races is the pattern, which is the same in the other variants
	}
	each(t, pattern, all, func(t *testing.T, v Variant) { patterntest.Delivery(t, v.System, v.Options...) })
}

// OtherStore is for a variant with its log on disk. Both logs pass the same conformance suite of
// package eventlog, and a log is not affected by lost packets or the number of clients. The variant
// plays the stories that read from the log or stop the server, and the stories in more.
func OtherStore(more ...string) []patterntest.Option {
	return leave("a log on disk does not know of links and clients", func(name string) bool {
		return slices.Contains(otherLog, name) || slices.Contains(more, name)
	})
}

// OtherEncoding is for a variant that differs only in the bytes on a connection. It plays
// the stories that split bytes and those in which a client reconnects, and the storms.
func OtherEncoding() []patterntest.Option {
	return leave("the same core in another encoding", func(name string) bool { return slices.Contains(otherBytes, name) })
}

// Pieces is for a variant whose clients acknowledge as they receive and whose server then sends
// more. The goroutines of the two ends decide into which pieces a backlog is split at one instant.
func Pieces() (all []patterntest.Option) {
	for _, story := range []string{"a long run", "an event after many others", "one client of three does not read", "handlers are slow",
		"events come while the server is redeployed"} {
		all = append(all, patterntest.Races(story, "in what pieces a backlog is sent and acknowledged at one instant"))
	}
	return all
}

// Only is for a variant that differs from another one only in the subject of these
// stories.
func Only(stories ...string) []patterntest.Option {
	return leave("it is the same for all variants", func(name string) bool { return slices.Contains(stories, name) })
}

// ByName are the stories for a variant whose clients identify themselves.
var ByName = []string{
	"events for one client alone",
	"events for one client alone, which is away",
	"the server is redeployed ten times",
	"out of reach for 20m0s",
}

var otherLog = []string{
	"a quiet day",
	"events at one instant",
	"events of all kinds",
	"events of any bytes",
	"events of any size",
	"a long run",
	"an event after many others",
	"ten publishers at once",
	"out of reach for 20m0s",
	"away for a week",
	"events come while the client comes back",
	"the client leaves and comes back",
	"the server crashes and comes back",
	"the server crashes right after it accepted",
	"the server loses power and comes back",
	"the server restarts while the client is away",
	"the server restarts before the client's first event",
	"the server restarts ten times",
	"the server is gone for ten minutes",
	"the server is redeployed ten times",
	"events come while the server is redeployed",
	"events expire while the client is away",
	"events expire in any order",
	"the server restarts before a publisher hears the answer",
}

// Subscriptions are the stories in which the server's state for its subscribers matters: what they
// have acknowledged, and what they are working on.
var Subscriptions = []string{
	"the same text again",
	"the answer is lost",
	"the server is frozen for a minute",
	"the server is redeployed while a client does not read",
	"the client restarts",
	"the client crashes while events come",
	"the client leaves before its first event",
	"the client leaves while events come",
	"the client comes and goes many times",
	"three clients of six come and go",
	"events for one client alone, which is away",
	"three workers share the events",
	"workers come and go",
	"workers die, stall and are cut off",
	"a handler fails now and then",
	"an event that nobody can handle",
	"a handler hangs",
	"publishers whose answers are lost",
	"a publisher crashes before it hears the answer",
}

var otherBytes = []string{
	"a quiet day",
	"events of all kinds",
	"events at one instant",
	"an hour without events",
	"out of reach for 20m0s",
	"the way is cut while much is on it",
	"one client of three does not read",
	"the client leaves and comes back",
	"the client leaves before its first event",
	"the server restarts while the client is away",
	"the server is redeployed ten times",
}

// Everything reports whether each variant plays every story, including those about parts that it
// shares with others. That is the case if seeds are set: a run that repeats a failure has its seed,
// and must find its story.
func Everything() bool { return os.Getenv("SQUALL_SEED") != "" || os.Getenv("SQUALL_SEEDS") != "" }

// leave returns options that skip the stories for which keep returns false.
func leave(reason string, keep func(name string) bool) (all []patterntest.Option) {
	if Everything() {
		return nil
	}
	for _, story := range patterntest.Stories() {
		if !keep(story.Name) {
			all = append(all, patterntest.Skip(story.Name, reason))
		}
	}
	return all
}

// Loopback runs part of the contract over the operating system's TCP, without the simulator. It
// runs in real time, and therefore while nothing else of the package runs.
func Loopback(t *testing.T, pattern string, all ...Variant) {
	processors.All(t)
	each(t, pattern, all, func(t *testing.T, v Variant) { patterntest.Loopback(t, v.System) })
}

func each(t *testing.T, pattern string, all []Variant, f func(*testing.T, Variant)) {
	t.Run(pattern, func(t *testing.T) {
		for _, v := range all {
			t.Run(v.Name, func(t *testing.T) {
				t.Parallel()
				f(t, v)
			})
		}
	})
}

// Shared by rows of several tables.

// Good is the link of a scenario that does not say otherwise.
var Good = netem.Config{Delay: 40 * time.Millisecond}

// Transit is the time until just after a packet has arrived, so that the program's
// reaction at that instant has happened.
const Transit = 40*time.Millisecond + 1

// Outage cuts a client off for d, with events before, during and after.
func Outage(d time.Duration) func(w *patterntest.World) {
	return func(w *patterntest.World) {
		c := w.Client("phone")
		w.After(10*time.Second, c.Link.Down)
		w.After(10*time.Second+d, c.Link.Up)
		w.PublishEvery(d/20+time.Second, 30)
	}
}

// Cut has the client's link fail in one direction around each of ten events.
func Cut(w *patterntest.World, c *patterntest.Client, from *sim.Host) {
	for range 10 {
		c.Link.DownFrom(from)
		w.PublishEvery(100*time.Millisecond, 1)
		w.After(3*time.Second, c.Link.Up)
		w.Sleep(20 * time.Second)
	}
}

// Restart has the server crash and restart between events.
func Restart(w *patterntest.World) {
	w.Client("phone")
	for range 3 {
		w.PublishEvery(time.Second, 10)
		w.Server.Restart()
		w.Sleep(time.Second)
	}
	w.PublishEvery(time.Second, 10)
}

// RestartAway restarts the server while the client is cut off.
func RestartAway(w *patterntest.World) {
	c := w.Client("phone")
	w.PublishEvery(time.Second, 10)
	c.Link.Down()
	w.PublishEvery(time.Second, 10)
	w.Server.Restart()
	w.Sleep(time.Second)
	w.PublishEvery(time.Second, 30)
	c.Link.Up()
}

// Lossy has a link that loses a tenth of its packets.
func Lossy(w *patterntest.World) {
	w.Link(netem.Config{Delay: 40 * time.Millisecond, Loss: netem.Bernoulli(0.1)})
	w.Client("phone")
	w.PublishEvery(700*time.Millisecond, 200)
}

// Herd returns the largest number of attempts to connect within 100 ms, counted
// from at on.
func Herd(n *sim.Network, at time.Duration) int {
	var dials []time.Duration
	for e := range n.Trace().Events() {
		if e.Kind == sim.Sent && e.Flags == "S" && !e.Resent && e.At >= at {
			dials = append(dials, e.At)
		}
	}
	most, _ := patterntest.Peak(dials, 100*time.Millisecond)
	return most
}

// ReadAll reads and closes an answer, if there is one, so that its connection can be
// reused.
func ReadAll(resp *http.Response, err error) {
	if err == nil {
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}
