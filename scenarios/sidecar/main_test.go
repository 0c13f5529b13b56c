// Package sidecar_test has the scenarios of the sidecar, and runs the contracts of other patterns
// with a sidecar next to their server.
package sidecar_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/internal/processors"
	"github.com/squall-sim/squall/internal/systems"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/stream"
	"github.com/squall-sim/squall/scenarios/scenario"
	"github.com/squall-sim/squall/sim"
)

func TestMain(m *testing.M) {
	processors.One()
	m.Run()
}

func TestScenarios(t *testing.T) {
	scenario.Run(t, slices.Concat(lifecycle, retries, breakers, outliers, transparency, identities, settings, passing))
}

// What passes through a sidecar differs in time only: the contract of delivery holds as it does without.
func TestDelivery(t *testing.T) {
	scenario.Delivery(t, "sidecar", variants...)
}

// The same over the operating system's TCP, without the simulator: polls, and a connection that is upgraded.
func TestLoopback(t *testing.T) { scenario.Loopback(t, "sidecar", variants[0], variants[2]) }

var variants = []scenario.Variant{
	{Name: "longpoll", Options: scenario.OtherEncoding(), System: func(n *sim.Network) patterntest.System {
		return systems.BesideSidecar(systems.LongPoll(n, memory))
	}},
	{Name: "stream", Options: scenario.OtherEncoding(), System: func(n *sim.Network) patterntest.System {
		return systems.BesideSidecar(systems.Stream(n, memory))
	}},
	{Name: "stream over WebSocket", Options: scenario.OtherEncoding(), System: func(n *sim.Network) patterntest.System {
		return systems.BesideSidecar(systems.StreamAs(stream.WebSocket)(n, memory))
	}},
	{Name: "push", Options: append(scenario.OtherEncoding(), scenario.Pieces()...), System: func(n *sim.Network) patterntest.System {
		return systems.BesideSidecar(systems.Push(n, memory))
	}},
}

func memory(folder string) (eventlog.Log, error) { return systems.InMemory(folder) }

// A service that calls keeps the contract of calls with sidecars, and then may have several servers and a budget of retries, as it does without.
func TestCall(t *testing.T) {
	var options []patterntest.Option
	if scenario.UnderRace {
		racing := []string{"a quiet day of calls", "the server is redeployed ten times, amid calls", "calls come and go", "the answer is lost", "one replica crashes", "one replica is frozen"}
		for _, story := range patterntest.CallStories() {
			if !slices.Contains(racing, story.Name) {
				options = append(options, patterntest.Skip(story.Name, "under the race detector others do"))
			}
		}
	}
	for _, sidecars := range []bool{false, true} {
		if sidecars {
			options = append(options, patterntest.Races("one caller of three does not read its answers", "which of the calls that a sidecar finds when it is no longer frozen connects first"))
		}
		t.Run(map[bool]string{false: "without", true: "with"}[sidecars], func(t *testing.T) {
			patterntest.Call(t, func(n *sim.Network) patterntest.Service { return systems.SidecarCalls(n, sidecars) }, options...)
		})
	}
}

// A client that was frozen makes up at once for what it was asked to do in the meantime, which is
// no breach of the contract.
func TestAFrozenClientCatchesUp(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		require.Empty(t, patterntest.JudgeCall(n, systems.SidecarCalls(n, true), t.TempDir(), patterntest.CallStory{Play: func(w *patterntest.CallWorld) {
			phone1 := w.Caller("phone1")
			w.Net.Inject(13*time.Second, 30*time.Second, sim.Pause(phone1.Host))
			w.Sleep(13 * time.Second)
			w.AskEvery(time.Second, 12, patterntest.Question{})
			w.AskEvery(0, 14, patterntest.Question{})
			w.Sleep(18 * time.Second)
		}}))
	}, sim.Seed(714), sim.MayDiffer("what a client does at once when it runs again the runtime orders"))
}

// The same over the operating system's TCP, without the simulator.
func TestCallLoopback(t *testing.T) {
	processors.All(t)
	patterntest.CallLoopback(t, func(n *sim.Network) patterntest.Service { return systems.SidecarCalls(n, true) })
}
