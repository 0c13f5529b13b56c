package patterntest_test

import (
	"os"
	"testing"
	"time"

	"github.com/squall-sim/squall/internal/systems"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
)

// unlessForEver leaves out what no contract can promise anything about: two hosts that never reach each other again.
func unlessForEver(what sim.Breakage, _ sim.Place) bool { return what != sim.Disconnected }

// settled is when clients have connected: a contract is about what comes then.
const settled = 400 * time.Millisecond

// exploreDelivery breaks a short story at its packets: two events, one of them while the client is away.
func exploreDelivery(t *testing.T, runs int, system patterntest.NewSystem) {
	sim.Explore(t, sim.Exploration{Runs: runs, Where: unlessForEver, After: settled}, func(t *testing.T, n *sim.Network) {
		story := patterntest.Story{Play: func(w *patterntest.World) {
			phone := w.Client("phone")
			w.PublishEvery(time.Second, 1)
			phone.Link.Down()
			w.PublishEvery(time.Second, 1)
			phone.Link.Up()
			w.Sleep(time.Minute)
		}}
		for _, b := range patterntest.Judge(n, system(n), t.TempDir(), story) {
			t.Error(b)
		}
	})
}

// exploreCalls breaks two calls at their packets.
func exploreCalls(t *testing.T, runs int, service patterntest.NewService) {
	sim.Explore(t, sim.Exploration{Runs: runs, Where: unlessForEver, After: settled}, func(t *testing.T, n *sim.Network) {
		story := patterntest.CallStory{Play: func(w *patterntest.CallWorld) {
			phone := w.Caller("phone")
			phone.Ask(patterntest.Question{Work: 100 * time.Millisecond})
			phone.Ask(patterntest.Question{Keyed: true})
			w.Sleep(time.Minute)
		}}
		for _, b := range patterntest.JudgeCall(n, service(n), t.TempDir(), story) {
			t.Error(b)
		}
	})
}

// explored are systems and services that keep their contract whatever breaks at one packet.
var explored = map[string]func(t *testing.T, runs int){
	"longpoll": func(t *testing.T, runs int) {
		exploreDelivery(t, runs, func(n *sim.Network) patterntest.System { return systems.LongPoll(n, systems.InMemory) })
	},
	"stream": func(t *testing.T, runs int) {
		exploreDelivery(t, runs, func(n *sim.Network) patterntest.System { return systems.Stream(n, systems.InMemory) })
	},
	"push": func(t *testing.T, runs int) {
		exploreDelivery(t, runs, func(n *sim.Network) patterntest.System { return systems.Push(n, systems.InMemory) })
	},
	"pubsub": func(t *testing.T, runs int) {
		exploreDelivery(t, runs, func(n *sim.Network) patterntest.System { return systems.PubSub(n, systems.InMemory) })
	},
	"reqresp": func(t *testing.T, runs int) {
		exploreCalls(t, runs, func(n *sim.Network) patterntest.Service { return systems.ReqResp(n, systems.ReqRespKind{}) })
	},
}

// Five patterns keep their contract with a breakage at a packet, of each some; SQUALL_EXPLORE_ALL=1 tries all.
func TestPatternsHoldAtEveryPacket(t *testing.T) {
	runs := 60
	if os.Getenv("SQUALL_EXPLORE_ALL") != "" {
		runs = 0
	}
	for _, name := range []string{"longpoll", "stream", "push", "pubsub", "reqresp"} {
		t.Run(name, func(t *testing.T) { explored[name](t, runs) })
	}
}
