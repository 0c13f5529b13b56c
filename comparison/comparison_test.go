package comparison

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/internal/systems"
	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/longpoll"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/shortpoll"
	"github.com/squall-sim/squall/patterns/stream"
	"github.com/squall-sim/squall/sim"
)

// The comparison of the patterns that deliver: docs/comparison.md and its plots are
// written by
//
//	cd comparison && go test -run TestComparison -update .
//
// Without the flag the test measures a part of it again and holds the document to that.

// A flag, not an environment variable: one package is asked, by name.
var update = flag.Bool("update", false, "write docs/comparison.md")

// A contender is a pattern in the settings in which it is compared.
type contender struct {
	name   string
	why    string // the settings
	system func(n *sim.Network, log func(folder string) (eventlog.Log, error)) patterntest.System
	// wait lets a server of the pattern hold what it holds for one more client that waits:
	// see the measurement of memory. Nil: it holds nothing between two polls.
	wait waiting
}

// To add a pattern, add a row, and its verdicts to the claims.
var contenders = []contender{
	{"poll 1 s", "short polling every second, on a connection that is kept", shortPollingEach(time.Second), keptConnection},
	{"poll 5 s", "every 5 s", shortPollingEach(5 * time.Second), keptConnection},
	{"poll 30 s", "every 30 s, on a connection that is kept", shortPollingEach(30 * time.Second), keptConnection},
	{"poll 30 s, closing", "every 30 s, with a connection for each poll", shortPollingEach(30*time.Second, closing), nil},
	{"long poll", "long polling, held for 30 s", longPollingWith(), parkedPoll},
	{"long poll, linger 1 s", "the same, and an answer waits up to 1 s for 100 events",
		longPollingWith(func(f *longpoll.Server) { f.MinEvents, f.Linger = 100, time.Second }), parkedPoll},
	{"WebSocket", "push over WebSocket, a ping every 25 s, acknowledgements every second at most", systems.Push, pushSession},
	{"SSE", "a stream of Server-Sent Events, a comment after 15 s of silence", systems.Stream, openStream},
	{"pub/sub", "a subscription with a broker over TCP, an acknowledgement for each message, at least once", systems.PubSub, brokerSession},
}

// encodings are those of streaming that are no contenders of their own.
var encodings = []contender{
	{"lines of JSON", "", systems.StreamAs(stream.NDJSON), nil},
	{"stream over WebSocket", "", systems.StreamAs(stream.WebSocket), nil},
}

func contenderNamed(name string) contender {
	for _, c := range append(contenders, encodings...) {
		if c.name == name {
			return c
		}
	}
	panic(fmt.Sprintf("no contender is called %q", name))
}

// lightPoller is a client that wants to know what there is every so often, and nothing in
// between. It is no contender of its own: see the crossover of light clients.
func lightPoller(every time.Duration) contender {
	return contender{name: "poll " + every.String(), system: shortPollingEach(every, closing)}
}

func shortPollingEach(interval time.Duration, options ...func(*shortpoll.Client)) func(*sim.Network, func(string) (eventlog.Log, error)) patterntest.System {
	return func(n *sim.Network, log func(string) (eventlog.Log, error)) patterntest.System {
		return systems.ShortPoll(n, log, interval, options...)
	}
}

func longPollingWith(options ...func(*longpoll.Server)) func(*sim.Network, func(string) (eventlog.Log, error)) patterntest.System {
	return func(n *sim.Network, log func(string) (eventlog.Log, error)) patterntest.System {
		return systems.LongPoll(n, log, options...)
	}
}

// reference is the link of the prototype's figures: 25 ms each way and nothing else.
var reference = netem.Preset{Name: "25 ms", Up: netem.Config{Delay: 25 * time.Millisecond}, Down: netem.Config{Delay: 25 * time.Millisecond}}

func presetNamed(name string) netem.Preset {
	for _, p := range append(netem.Presets(), reference) {
		if p.Name == name {
			return p
		}
	}
	panic(fmt.Sprintf("no preset is called %q", name))
}

// A plan is what is to be measured.
type plan struct {
	steady   []steadyRun
	recovery []recoveryRun
	herd     []herdRun
	slow     []slowRun
	light    []lightRun
	jobs     []jobRun
	proxied  []proxiedRun
	seventh  []seventhRun
}

// results are the figures of a plan.
type results struct {
	mu       sync.Mutex
	steady   map[steadyRun]steadyFigures
	recovery map[recoveryRun]recoveryFigures
	herd     map[herdRun]herdFigures
	slow     map[slowRun]slowFigures
	light    map[lightRun]lightFigures
	jobs     map[jobRun]jobFigures
	proxied  map[proxiedRun]proxiedFigures
	seventh  map[seventhRun]seventhFigures
}

func newResults() *results {
	return &results{
		steady: map[steadyRun]steadyFigures{}, recovery: map[recoveryRun]recoveryFigures{}, herd: map[herdRun]herdFigures{},
		slow: map[slowRun]slowFigures{}, light: map[lightRun]lightFigures{}, jobs: map[jobRun]jobFigures{},
		proxied: map[proxiedRun]proxiedFigures{}, seventh: map[seventhRun]seventhFigures{},
	}
}

// measured runs a plan, in as many bubbles at once as there are processors.
func measured(t *testing.T, p plan) *results {
	r := newResults()
	t.Run("measure", func(t *testing.T) {
		each(t, r, p.steady, r.steady, steadyRun.run)
		each(t, r, p.recovery, r.recovery, recoveryRun.run)
		each(t, r, p.herd, r.herd, herdRun.run)
		each(t, r, p.slow, r.slow, slowRun.run)
		each(t, r, p.light, r.light, lightRun.run)
		each(t, r, p.jobs, r.jobs, jobRun.run)
		each(t, r, p.proxied, r.proxied, proxiedRun.run)
		each(t, r, p.seventh, r.seventh, seventhRun.run)
	})
	return r
}

func each[R comparable, F any](t *testing.T, r *results, runs []R, into map[R]F, run func(R, *testing.T, *sim.Network) F) {
	for _, one := range runs {
		t.Run(fmt.Sprintf("%+v", one), func(t *testing.T) {
			t.Parallel()
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				f := run(one, t, n)
				r.mu.Lock()
				defer r.mu.Unlock()
				if _, ok := into[one]; !ok || n.Seed() == comparisonSeed {
					into[one] = f
				}
			}, sim.Seed(comparisonSeed))
		})
	}
}

func TestComparison(t *testing.T) {
	folder := "../docs"
	if *update {
		memory := memoryOfAll(t)
		r := measured(t, wholePlan())
		if t.Failed() {
			return
		}
		require.NoError(t, os.MkdirAll(folder, 0o755))
		for name, plot := range plots(r) {
			require.NoError(t, os.WriteFile(filepath.Join(folder, name), plot, 0o644))
		}
		require.NoError(t, os.WriteFile(filepath.Join(folder, "comparison.md"), []byte(document(r, memory)), 0o644))
		return
	}
	if os.Getenv("SQUALL_SEED") != "" || os.Getenv("SQUALL_SEEDS") != "" {
		t.Skip("the document has the figures of seed 1")
	}
	text, err := os.ReadFile(filepath.Join(folder, "comparison.md"))
	require.NoError(t, err, "cd comparison && go test -run TestComparison -update . writes it")
	r := measured(t, samplePlan())
	for _, row := range sampleRows(r) {
		if !strings.Contains(string(text), row) {
			t.Errorf("docs/comparison.md no longer says what the code does; cd comparison && go test -run TestComparison -update . writes it anew. Now it is\n%s", row)
		}
	}
}
