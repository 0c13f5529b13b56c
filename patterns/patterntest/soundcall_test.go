package patterntest_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
)

// What is sound is acquitted: the flaws alone make the difference. An office and a line play the whole contract; of the others it is enough
// what an office does not offer, and what a flaw of theirs is found by.
func TestSoundServicesKeepTheContract(t *testing.T) {
	if !underRace { // which would see the same contract at work four times more
		t.Run("the example", func(t *testing.T) { patterntest.Call(t, shopAndCustomers) })
		t.Run("an office", func(t *testing.T) { patterntest.Call(t, office{}.on) })
		t.Run("a clerk", func(t *testing.T) {
			acquits(t, clerk{}.on, brokenClerks, "twenty callers lose the server at one instant")
		})
		t.Run("an office with a store", func(t *testing.T) { acquits(t, office{durable: true}.on, slices.Concat(brokenKeys, brokenStates)) })
	}
	var races []patterntest.Option
	for _, s := range patterntest.CallStories() {
		races = append(races, patterntest.Races(s.Name, sharedLine))
	}
	t.Run("a line", func(t *testing.T) { patterntest.Call(t, line{}.on, races...) })
	t.Run("an office of three", func(t *testing.T) {
		acquits(t, office{replicas: 3, claims: func(s *patterntest.Service) { s.Keys = nil }}.on, brokenReplicas)
	})
}

// acquits plays some stories, those that find one of the flaws, and those that the service offers and an office does not.
func acquits(t *testing.T, service patterntest.NewService, flaws []callFlaw, more ...string) {
	offered := patterntest.Service{}
	sim.Test(t, func(t *testing.T, n *sim.Network) { offered = office{}.on(n) })
	played := 0
	for _, s := range patterntest.CallStories() {
		finds := slices.ContainsFunc(flaws, func(f callFlaw) bool { return f.story == s.Name })
		if !finds && !slices.Contains(more, s.Name) && (s.Needs == nil || s.Needs(offered)) {
			continue
		}
		played++
		t.Run(s.Name, func(t *testing.T) { require.Empty(t, judgeCall(t, service, s)) })
	}
	require.NotZero(t, played)
}
