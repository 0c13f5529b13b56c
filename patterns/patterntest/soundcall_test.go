package patterntest_test

import (
	"testing"

	"github.com/squall-sim/squall/patterns/patterntest"
)

// What is sound is acquitted: the flaws alone make the difference.
func TestSoundServicesKeepTheContract(t *testing.T) {
	if !underRace { // which would see the same contract at work four times more
		t.Run("the example", func(t *testing.T) { patterntest.Call(t, shopAndCustomers) })
		t.Run("an office", func(t *testing.T) { patterntest.Call(t, office{}.on) })
		t.Run("a clerk", func(t *testing.T) { patterntest.Call(t, clerk{}.on) })
		t.Run("an office with a store", func(t *testing.T) { patterntest.Call(t, office{durable: true}.on) })
	}
	var races []patterntest.Option
	for _, s := range patterntest.CallStories() {
		races = append(races, patterntest.Races(s.Name, sharedLine))
	}
	t.Run("a line", func(t *testing.T) { patterntest.Call(t, line{}.on, races...) })
	t.Run("an office of three", func(t *testing.T) {
		patterntest.Call(t, office{replicas: 3, claims: func(s *patterntest.Service) { s.Keys = nil }}.on)
	})
}
