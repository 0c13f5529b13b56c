package patterntest_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
)

// A seed draws the same storm everywhere, and the storms have all that can be asked.
func TestStormsOfCallsAreDrawnFromSeeds(t *testing.T) {
	all := ""
	for seed := range uint64(300) {
		s := patterntest.CallStorm(seed)
		require.Equal(t, s.Code, patterntest.CallStorm(seed).Code)
		require.LessOrEqual(t, strings.Count(s.Code, "w.Caller("), 3)
		require.LessOrEqual(t, strings.Count(s.Code, "w.Net.Inject("), 8)
		require.LessOrEqual(t, strings.Count(s.Code, "w.AskEvery("), 6)
		all += s.Code
	}
	for _, code := range []string{
		"w.GoodFor(phone2)", "w.AskEvery(5*time.Second, ", "Work: 3*time.Second", "Work: 100*time.Millisecond",
		"Timeout: 1*time.Second", "Timeout: 60*time.Second", "Cancel: 150*time.Millisecond", "Size: 8000", "Answer: 1000", "Keyed: true", "Key: \"order-2\"", "Parts: 5", "Parts: 15", "Said: 4", "Every: 100*time.Millisecond",
		"w.Redeployment()", "phone2.Absence()", "sim.CloseAfter(phone1.Link, 1000, sim.Packets{From: w.Server})",
	} {
		require.True(t, strings.Contains(all, code), code)
	}
	require.NotContains(t, all, "%!")
}

// The code of a storm is the storm: what it prints, compiled, has the same trace.
func TestStormOfCallsIsItsCode(t *testing.T) {
	const seed = 14
	printed := func(w *patterntest.CallWorld) {
		phone1 := w.Caller("phone1")
		w.Caller("phone2")
		phone3 := w.Caller("phone3")
		w.Net.Inject(6040*time.Millisecond, 845*time.Millisecond, sim.CrossTraffic(w.Server, phone3.Host, sim.Traffic{Rate: 56000, Poisson: true}))
		w.Net.Inject(11211*time.Millisecond, 300863*time.Millisecond, sim.PartitionBy(w.Net, sim.Cuts{sim.Cut{From: []*sim.Host{w.Server}}, sim.Cut{To: []*sim.Host{w.Server}}}, sim.PartitionConfig{Holds: true}))
		w.Net.Inject(25659*time.Millisecond, 300767*time.Millisecond, sim.Pause(phone1.Host))
		w.Net.Inject(52785*time.Millisecond, 300750*time.Millisecond, w.InterfaceDown())
		w.Net.Inject(72367*time.Millisecond, 30140*time.Millisecond, sim.Pause(w.Server))
		w.Net.Inject(97324*time.Millisecond, 300743*time.Millisecond, sim.Impair(phone1.Link, netem.Config{Delay: 40 * time.Millisecond, Loss: netem.Bernoulli(0.4)}))
		w.Sleep(16194 * time.Millisecond)
		w.AskEvery(5*time.Second, 17, patterntest.Question{Cancel: 150 * time.Millisecond, Keyed: true})
		w.Sleep(14302 * time.Millisecond)
		w.AskEvery(200*time.Millisecond, 4, patterntest.Question{Timeout: 1 * time.Second, Answer: 8000})
		w.Sleep(6401 * time.Millisecond)
		w.AskEvery(30*time.Millisecond, 1, patterntest.Question{Size: 1000, Answer: 8000, Key: "order-3"})
		w.Sleep(30343 * time.Millisecond)
		w.AskEvery(30*time.Millisecond, 19, patterntest.Question{Work: 100 * time.Millisecond, Timeout: 60 * time.Second, Size: 8000, Answer: 1000, Keyed: true})
		w.Sleep(28583 * time.Millisecond)
		w.AskEvery(1*time.Second, 12, patterntest.Question{Timeout: 60 * time.Second, Cancel: 150 * time.Millisecond, Size: 1000, Answer: 1000, Keyed: true})
		w.Sleep(22483 * time.Millisecond)
		w.AskEvery(200*time.Millisecond, 15, patterntest.Question{Work: 100 * time.Millisecond, Timeout: 1 * time.Second, Size: 1000, Keyed: true})
		w.Sleep(178361 * time.Millisecond)
	}
	storm := patterntest.CallStorm(seed)
	var traces []uint64
	for _, story := range []patterntest.CallStory{storm, {Name: "as printed", Reason: storm.Reason, Play: printed}} {
		require.NoError(t, sim.Try(t, func(n *sim.Network) error {
			require.Empty(t, patterntest.JudgeCall(n, shopAndCustomers(n), t.TempDir(), story))
			traces = append(traces, n.Trace().Hash())
			return nil
		}, sim.Seed(seed)))
	}
	require.Equal(t, traces[0], traces[1], "storm %d is printed as\n%s", seed, storm.Code)
}

// What storms find in a service they make smaller, and print.
func TestStormsOfCallsFindAndShrink(t *testing.T) {
	shrinkFor(t, time.Minute) // more than it takes: what it finds is not to depend on the machine
	forgetful := office{keeps: func(_ *deskServer, _, data string) (*file, *file) {
		return &file{Data: data, done: make(chan struct{})}, nil
	}}
	text := patterntest.SearchCall(t, forgetful.on, []uint64{1, 2, 3, 4, 5, 6, 7, 8})
	requireInOrder(t, text, " fails; ", "single: ", " took effect at ", "Around it:\n", " took effect\n", "The story, reduced to 1 caller, ",
		"func(w *patterntest.CallWorld) {\n\t\t", "w.Caller(\"phone1\")\n", "w.AskEvery(", "Key", "A second run had ")
	require.Empty(t, patterntest.SearchCall(t, office{}.on, []uint64{1, 2}), "a sound service is acquitted")
}

// A process that is frozen when its patience ends is told nothing before it goes on, and then is late only if it takes longer still.
func TestPatienceOfAFrozenCaller(t *testing.T) {
	story := func(freeze func(w *patterntest.CallWorld, h *sim.Host)) patterntest.CallStory {
		return patterntest.CallStory{Name: "a caller is frozen while it dials", Reason: "its patience ends meanwhile", Play: func(w *patterntest.CallWorld) {
			freeze(w, w.Caller("phone").Host)
			w.AskEvery(time.Second, 1, patterntest.Question{})
			w.Sleep(time.Minute)
		}}
	}
	frozen := story(func(w *patterntest.CallWorld, h *sim.Host) {
		w.Net.Inject(0, 20*time.Second, sim.Pause(h))
		w.Net.Inject(10*time.Second, 20*time.Second, sim.Pause(h))
	})
	// It has no process to be frozen.
	down := story(func(w *patterntest.CallWorld, h *sim.Host) {
		h.Crash()
		w.Net.Inject(0, 20*time.Second, sim.Pause(h))
		w.Sleep(time.Millisecond)
		h.Restart()
		w.Sleep(time.Millisecond)
	})
	sleepy := func(before, after time.Duration) func(n *sim.Network) patterntest.Service {
		return func(n *sim.Network) patterntest.Service {
			s := line{}.on(n)
			client := s.Client
			s.Client = func(ctx context.Context, h *sim.Host, servers ...string) patterntest.Ask {
				ask := client(ctx, h, servers...)
				return func(ctx context.Context, r patterntest.Request) (string, error) {
					time.Sleep(before)
					defer time.Sleep(after)
					return ask(ctx, r)
				}
			}
			return s
		}
	}
	require.Empty(t, judgeCall(t, line{}.on, frozen))
	require.Empty(t, judgeCall(t, line{}.on, down))
	for _, row := range []struct {
		story patterntest.CallStory
		late  func(n *sim.Network) patterntest.Service
		says  string
	}{
		{frozen, sleepy(0, 2*time.Second), "c1, asked by phone at 1ms, ended at 32.0*s, although it waits only until 10.001s*"},
		{down, sleepy(12*time.Second, 0), "c1, asked by phone at 3ms, ended at 12.0*s, although it waits only until 10.003s*"},
	} {
		breaches := judgeCall(t, row.late, row.story)
		require.Equal(t, []patterntest.Promise{patterntest.Truthful}, promises(breaches))
		require.Regexp(t, pattern(row.says), breaches[0].Text)
	}
}

// What a story cost is what its callers were told, and what the application did.
func TestCallMeasures(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		w := patterntest.NewCallWorld(n, shopAndCustomers(n), t.TempDir())
		c := w.Caller("phone")
		require.Equal(t, 160*time.Millisecond, c.Ask(patterntest.Question{}).Took) // a connection and a call: four transits
		require.Equal(t, 1080*time.Millisecond, c.Ask(patterntest.Question{Work: time.Second}).Took)
		require.Error(t, c.Ask(patterntest.Question{Work: time.Minute, Timeout: time.Second}).Err)
		require.ErrorIs(t, c.Ask(patterntest.Question{Refusals: 1}).Err, patterntest.ErrNotExecuted)
		m := w.Measures()
		require.Equal(t, patterntest.CallMeasures{
			Calls: 4, Done: 2, NotExecuted: 1, Unknown: 1, Attempts: 4, Effects: 2, Wasted: 2,
			DoneP50: 160 * time.Millisecond, DoneP99: 1080 * time.Millisecond, DoneMax: 1080 * time.Millisecond, Dials: 2,
		}, m)
		require.Equal(t, "4 calls: 2 done, 1 not executed, 1 unknown; 4 attempts, 2 effects, 2 for nobody; done after 160ms (p50), 1.08s (p99), 1.08s (max); 2 dials", m.String())
	})
}

// A failure tells what happened around it.
func TestAFailedCallTellsWhatHappenedAroundIt(t *testing.T) {
	fixSeed(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		w := patterntest.NewCallWorld(n, office{claims: noRetries, asks: takesFailureForRefusal}.on(n), t.TempDir())
		c := w.Caller("phone")
		c.Ask(patterntest.Question{})
		c.Link.DownFrom(w.Server)
		c.Ask(patterntest.Question{Timeout: 2 * time.Second})
		c.Link.Up()
		w.Settle()
		found := w.Verdict()
		require.Len(t, found, 1)
		require.Equal(t, "truthful: phone was told at 2.161s that c2 was not executed, but that took effect at 201ms", found[0].String())
		require.Equal(t, `Around it:
                 0s  phone - server: link changed
                1ms  c1 asked by phone
              121ms  c1 begun on server
              121ms  c1 took effect
              161ms  c1 done, as phone is told
       161.000001ms  phone - server: link down from server
       161.000001ms  c2 asked by phone
       201.000001ms  c2 begun on server
       201.000001ms  c2 took effect
       2.161000001s  c2 not executed, as phone is told
       2.161000002s  phone - server: link up
       2.161000004s  c3 asked by phone
`, patterntest.AroundCall(w, found[0]))
	})
}
