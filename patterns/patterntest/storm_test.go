package patterntest_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
)

// A seed draws the same storm everywhere, and the storms have all that can happen.
func TestStormsAreDrawnFromSeeds(t *testing.T) {
	all := ""
	for seed := range uint64(300) {
		s := patterntest.Storm(seed)
		require.Equal(t, s.Code, patterntest.Storm(seed).Code)
		require.LessOrEqual(t, strings.Count(s.Code, "w.Client("), 3)
		require.LessOrEqual(t, strings.Count(s.Code, "w.Net.Inject("), 8)
		require.LessOrEqual(t, strings.Count(s.Code, "w.Publish"), 6)
		all += s.Code
	}
	for _, code := range []string{
		"sim.Down(phone1.Link)", "sim.DownFrom(phone2.Link, w.Server)", "sim.DownFrom(phone3.Link, phone3.Host)", "sim.Hold(phone1.Link)",
		"phone2.Rejection()", "sim.Partition(w.Net, []*sim.Host{w.Server}, []*sim.Host{phone1.Host})",
		"sim.Crash(w.Server)", "sim.PowerOff(w.Server)", "sim.Pause(w.Server)", "w.Redeployment()",
		"sim.Crash(phone1.Host)", "sim.PowerOff(phone1.Host)", "sim.Pause(phone1.Host)", "phone2.Absence()",
		"Loss: netem.Bernoulli(0.05)", "Loss: netem.Bernoulli(0.4)", "Loss: netem.GilbertElliott{P: 0.05, R: 0.2}",
		"Rate: 64000, Queue: netem.DropTail{Packets: 20}", "Jitter: 40*time.Millisecond, Duplicate: 0.1", "Corrupt: 0.1",
		"sim.Drop(phone1.Link, sim.Packets{From: w.Server, Kind: sim.Data})", "sim.Reset(phone3.Link, sim.Packets{Kind: sim.SYN})",
		"sim.Reset(phone2.Link, sim.Packets{From: w.Server, Kind: sim.Data})", "sim.CloseAfter(phone1.Link, 1000, sim.Packets{From: w.Server})",
		"PublishLarge(0,", "PublishEvery(30*time.Millisecond,", "PublishFor(10*time.Second, ", "PublishFor(3600*time.Second, 0,", "PromptFor(phone2)",
	} {
		require.True(t, strings.Contains(all, code), code)
	}
	require.NotRegexp(t, regexp.MustCompile(`%!|%\[`), all)
}

// The code of a storm is the storm: what it prints, compiled, has the same trace.
func TestStormIsItsCode(t *testing.T) {
	printed := map[uint64]func(w *patterntest.World){
		1: func(w *patterntest.World) {
			phone1 := w.Client("phone1")
			phone2 := w.Client("phone2")
			phone3 := w.Client("phone3")
			w.Net.Inject(29420*time.Millisecond, 1573*time.Millisecond, sim.Impair(phone2.Link, netem.Config{Delay: 40 * time.Millisecond, Jitter: 40 * time.Millisecond, Duplicate: 0.1}))
			w.Net.Inject(42842*time.Millisecond, 300783*time.Millisecond, sim.Impair(phone2.Link, netem.Config{Delay: 40 * time.Millisecond, Loss: netem.Bernoulli(0.4)}))
			w.Net.Inject(48454*time.Millisecond, 65262*time.Millisecond, phone2.Absence())
			w.Net.Inject(66638*time.Millisecond, 1127*time.Millisecond, sim.Impair(phone3.Link, netem.Config{Delay: 40 * time.Millisecond, Loss: netem.Bernoulli(0.4)}))
			w.Net.Inject(71955*time.Millisecond, 1737*time.Millisecond, w.Redeployment())
			w.Net.Inject(91809*time.Millisecond, 300833*time.Millisecond, sim.Impair(phone1.Link, netem.Config{Delay: 40 * time.Millisecond, Loss: netem.Bernoulli(0.05)}))
			w.Sleep(9160 * time.Millisecond)
			w.PublishLarge(1*time.Second, 28, 8000)
			w.Sleep(16451 * time.Millisecond)
			w.PublishEvery(5*time.Second, 19)
			w.Sleep(25564 * time.Millisecond)
			w.PublishLarge(5*time.Second, 2, 1000)
			w.Sleep(28350 * time.Millisecond)
			w.PublishLarge(0, 10, 1000)
			w.Sleep(11707 * time.Millisecond)
			w.PublishLarge(0, 21, 1000)
			w.Sleep(31624 * time.Millisecond)
			w.PublishEvery(1*time.Second, 28)
			w.Sleep(108786 * time.Millisecond)
		},
		122: func(w *patterntest.World) {
			phone1 := w.Client("phone1")
			phone2 := w.Client("phone2")
			phone3 := w.Client("phone3")
			w.Net.Inject(3432*time.Millisecond, 980*time.Millisecond, sim.Impair(phone3.Link, netem.Config{Delay: 40 * time.Millisecond, Loss: netem.Bernoulli(0.05)}))
			w.Net.Inject(8356*time.Millisecond, 1568*time.Millisecond, sim.Impair(phone2.Link, netem.Config{Delay: 40 * time.Millisecond, Loss: netem.Bernoulli(0.05)}))
			w.Net.Inject(20365*time.Millisecond, 259*time.Millisecond, sim.Reset(phone2.Link, sim.Packets{Kind: sim.SYN}))
			w.Net.Inject(31378*time.Millisecond, 65834*time.Millisecond, sim.PowerOff(w.Server))
			w.Net.Inject(40982*time.Millisecond, 1976*time.Millisecond, sim.Impair(phone1.Link, netem.Config{Delay: 40 * time.Millisecond, Loss: netem.Bernoulli(0.05)}))
			w.Net.Inject(55597*time.Millisecond, 300618*time.Millisecond, sim.Hold(phone2.Link))
			w.Net.Inject(71902*time.Millisecond, 300808*time.Millisecond, phone1.Rejection())
			w.Sleep(1761 * time.Millisecond)
			w.PublishEvery(30*time.Millisecond, 20)
			w.Sleep(16224 * time.Millisecond)
			w.PublishLarge(30*time.Millisecond, 14, 1000)
			w.Sleep(31949 * time.Millisecond)
			w.PublishLarge(0, 7, 1000)
			w.Sleep(321756 * time.Millisecond)
		},
	}
	for seed, play := range printed {
		storm := patterntest.Storm(seed)
		var traces []uint64
		for _, story := range []patterntest.Story{storm, {Name: "as printed", Reason: storm.Reason, Play: play}} {
			require.NoError(t, sim.Try(t, func(n *sim.Network) error {
				require.Empty(t, patterntest.Judge(n, pushing{}.on(n), t.TempDir(), story))
				traces = append(traces, n.Trace().Hash())
				return nil
			}, sim.Seed(seed)))
		}
		require.Equal(t, traces[0], traces[1], "storm %d is printed as\n%s", seed, storm.Code)
	}
}
