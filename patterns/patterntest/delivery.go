package patterntest

import (
	"testing"

	"github.com/squall-sim/squall/sim"
)

// A NewSystem constructs the system under test on a network. It is called once for each
// story.
type NewSystem func(n *sim.Network) System

// Delivery runs every story of the contract, each in a bubble and as a subtest. The test fails for
// each promise that the system breaks. With -v it logs what each story cost.
//
// The last subtest, storms, draws stories at random: four, unless the environment sets other seeds
// (see [sim.Test]). To draw a thousand and skip everything else:
//
//	SQUALL_SEEDS=1000 go test -run 'TestMyServer/storms'
//
// A failing storm is shrunk for up to 30 s of real time (6 s with -short) and printed as Go code,
// which you can keep as a story of your own.
//
// A story that hangs, or in which time stands still, fails with a report like any other, and the
// next story follows.
func Delivery(t *testing.T, newSystem NewSystem, opts ...Option) {
	t.Helper()
	var offers *System // by the first story that was played
	var acts []act
	for _, s := range Stories() {
		acts = append(acts, act{
			name: s.Name, reason: s.Reason, races: s.Races, lacking: s.lacking,
			lacks: func() bool { return s.Needs != nil && offers != nil && !s.Needs(*offers) },
			begin: func(n *sim.Network) performance {
				system := newSystem(n)
				offers = &system
				if s.Needs != nil && !s.Needs(system) {
					return nil
				}
				return func(folder string) performed { return play(n, system, folder, s) }
			},
		})
	}
	perform(t, acts, opts, func(t *testing.T) { weather(t, newSystem, offers == nil || offers.Work != nil) })
}

// Judge plays a story and returns the promises that were broken. The server keeps its
// files in folder. Only the story's Play is needed.
func Judge(n *sim.Network, s System, folder string, story Story) []Breach {
	return play(n, s, folder, story).Verdict()
}

func play(n *sim.Network, s System, folder string, story Story) *World {
	w := NewWorld(n, s, folder)
	story.Play(w)
	w.Settle()
	return w
}
