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
		require.LessOrEqual(t, strings.Count(s.Code, "w.After("), 16)
		require.LessOrEqual(t, strings.Count(s.Code, "w.Publish"), 6)
		all += s.Code
	}
	for _, code := range []string{
		"phone1.Link.Down)", "phone2.Link.DownFrom(w.Server)", "phone3.Link.DownFrom(phone3.Host)", "Link.Hold", "StartRejected", "Partition",
		"w.Server.Crash", "w.Server.PowerOff", "w.Server.Pause", "w.Redeploy", "phone1.Host.Crash", "Host.PowerOff", "Host.Pause", "phone2.Leave",
		"Bernoulli(0.05)", "Bernoulli(0.4)", "GilbertElliott", "Rate:", "Duplicate:", "Corrupt:",
		"PublishLarge(0,", "PublishEvery(30*time.Millisecond,", "PublishFor(10*time.Second, ", "PublishFor(3600*time.Second, 0,", "PromptFor(phone2)",
	} {
		require.Contains(t, all, code)
	}
	for _, pair := range [][2]string{{"Link.Hold", "Link.Release"}, {"Pause", "Resume"}, {"Leave", "Return"}, {"w.Net.Partition", "w.Net.Heal"}} {
		require.Equal(t, strings.Count(all, pair[0]), strings.Count(all, pair[1]), "%s ends by %s", pair[0], pair[1])
	}
	require.NotRegexp(t, regexp.MustCompile(`%!|%\[`), all)
}

// The code of a storm is the storm: what it prints, compiled, has the same trace.
func TestStormIsItsCode(t *testing.T) {
	printed := map[uint64]func(w *patterntest.World){
		36: func(w *patterntest.World) {
			phone1 := w.Client("phone1")
			phone2 := w.Client("phone2")
			w.After(12217*time.Millisecond, phone1.Leave)
			w.After(77222*time.Millisecond, phone1.Return)
			w.After(28218*time.Millisecond, phone1.Host.PowerOff)
			w.After(93515*time.Millisecond, phone1.Host.Restart)
			w.After(29224*time.Millisecond, phone2.Host.Crash)
			w.After(329246*time.Millisecond, phone2.Host.Restart)
			w.After(33226*time.Millisecond, func() { phone2.Link.DownFrom(w.Server) })
			w.After(33328*time.Millisecond, phone2.Link.Up)
			w.After(62226*time.Millisecond, phone2.Host.PowerOff)
			w.After(62452*time.Millisecond, phone2.Host.Restart)
			w.After(80231*time.Millisecond, func() {
				phone1.Link.Set(netem.Config{Delay: patterntest.Transit, Loss: netem.GilbertElliott{P: 0.05, R: 0.2}})
			})
			w.After(145235*time.Millisecond, func() { phone1.Link.Set(netem.Config{Delay: patterntest.Transit}) })
			w.After(83236*time.Millisecond, func() { phone1.Link.Set(netem.Config{Delay: patterntest.Transit, Loss: netem.Bernoulli(0.05)}) })
			w.After(88693*time.Millisecond, func() { phone1.Link.Set(netem.Config{Delay: patterntest.Transit}) })
			w.After(83237*time.Millisecond, func() { phone1.Link.DownFrom(phone1.Host) })
			w.After(83350*time.Millisecond, phone1.Link.Up)
			w.Sleep(27 * time.Second)
			w.PublishFor(10*time.Second, 200*time.Millisecond, 14)
			w.Sleep(237 * time.Millisecond)
			w.PublishEvery(30*time.Millisecond, 9)
			w.Sleep(298939 * time.Millisecond)
		},
		19: func(w *patterntest.World) {
			phone1 := w.Client("phone1")
			w.After(3406*time.Millisecond, w.Server.PowerOff)
			w.After(3513*time.Millisecond, w.Server.Restart)
			w.After(21433*time.Millisecond, func() { phone1.Link.DownFrom(phone1.Host) })
			w.After(22625*time.Millisecond, phone1.Link.Up)
			w.After(35435*time.Millisecond, func() {
				phone1.Link.Set(netem.Config{Delay: patterntest.Transit, Loss: netem.GilbertElliott{P: 0.05, R: 0.2}})
			})
			w.After(36454*time.Millisecond, func() { phone1.Link.Set(netem.Config{Delay: patterntest.Transit}) })
			w.After(55595*time.Millisecond, phone1.Link.Down)
			w.After(55698*time.Millisecond, phone1.Link.Up)
			w.After(81596*time.Millisecond, phone1.Link.Down)
			w.After(82599*time.Millisecond, phone1.Link.Up)
			w.After(105656*time.Millisecond, func() { w.Net.Partition([]*sim.Host{w.Server}, []*sim.Host{phone1.Host}) })
			w.After(111487*time.Millisecond, w.Net.Heal)
			w.Sleep(5001 * time.Millisecond)
			w.PublishEvery(0, 26)
			w.Sleep(2 * time.Second)
			w.PublishLarge(1*time.Second, 29, 8000)
			w.Sleep(1001 * time.Millisecond)
			w.PublishLarge(5*time.Second, 11, 8000)
			w.Sleep(19485 * time.Millisecond)
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
