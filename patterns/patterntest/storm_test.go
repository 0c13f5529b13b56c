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
		"sim.PartitionOneWay(w.Net, []*sim.Host{w.Server}, []*sim.Host{phone2.Host})", "sim.PartitionConfig{InFlight: true}", "sim.PartitionConfig{Holds: true}",
		"sim.PartitionConfig{Only: sim.OpenConnections}", "sim.PartitionConfig{Only: sim.NewConnections}", "w.InterfaceDown()",
		"sim.Flap(sim.Down(phone1.Link), time.Second, 4*time.Second)", "sim.CrossTraffic(w.Server, phone1.Host, sim.Traffic{Rate: 56000, Poisson: true})",
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
			w.Net.Inject(29420*time.Millisecond, 1573*time.Millisecond, sim.PartitionOneWay(w.Net, []*sim.Host{w.Server}, []*sim.Host{phone2.Host}))
			w.Net.Inject(42842*time.Millisecond, 300783*time.Millisecond, sim.Drop(phone2.Link, sim.Packets{From: w.Server, Kind: sim.Data}))
			w.Net.Inject(48454*time.Millisecond, 65262*time.Millisecond, phone2.Rejection())
			w.Net.Inject(66638*time.Millisecond, 1127*time.Millisecond, sim.Reset(phone3.Link, sim.Packets{Kind: sim.SYN}))
			w.Net.Inject(71955*time.Millisecond, 1737*time.Millisecond, sim.Impair(phone3.Link, netem.Config{Delay: 40 * time.Millisecond, Loss: netem.Bernoulli(0.05)}))
			w.Net.Inject(91809*time.Millisecond, 300833*time.Millisecond, sim.Impair(phone1.Link, netem.Config{Delay: 40 * time.Millisecond, Jitter: 40 * time.Millisecond, Duplicate: 0.1}))
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
		162: func(w *patterntest.World) {
			w.Client("phone1")
			phone2 := w.Client("phone2")
			phone3 := w.Client("phone3")
			w.Net.Inject(19395*time.Millisecond, 300549*time.Millisecond, w.Redeployment())
			w.Net.Inject(48701*time.Millisecond, 1969*time.Millisecond, sim.Partition(w.Net, []*sim.Host{w.Server}, []*sim.Host{phone2.Host}))
			w.Net.Inject(78093*time.Millisecond, 300092*time.Millisecond, w.InterfaceDown())
			w.Net.Inject(109428*time.Millisecond, 849*time.Millisecond, sim.Impair(phone2.Link, netem.Config{Delay: 40 * time.Millisecond, Rate: 64000, Queue: netem.DropTail{Packets: 20}}))
			w.Net.Inject(138409*time.Millisecond, 5112*time.Millisecond, sim.PowerOff(w.Server))
			w.Net.Inject(161054*time.Millisecond, 65086*time.Millisecond, sim.CrossTraffic(w.Server, phone3.Host, sim.Traffic{Rate: 56000, Poisson: true}))
			w.Sleep(21612 * time.Millisecond)
			w.PublishLarge(5*time.Second, 11, 1000)
			w.Sleep(16861 * time.Millisecond)
			w.PublishLarge(1*time.Second, 8, 8000)
			w.Sleep(22295 * time.Millisecond)
			w.PublishLarge(200*time.Millisecond, 20, 1000)
			w.Sleep(250417 * time.Millisecond)
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
