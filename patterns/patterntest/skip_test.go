package patterntest_test

import (
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
)

// Each story of the contracts says why it is there.
func TestStoriesHaveReasons(t *testing.T) {
	for _, s := range patterntest.Stories() {
		require.NotEmpty(t, s.Reason, s.Name)
	}
	for _, s := range patterntest.CallStories() {
		require.NotEmpty(t, s.Reason, s.Name)
	}
}

// Stories that are left out are not played, and a name that no story has is an error with all names.
func TestSkip(t *testing.T) {
	const kept = "a quiet day"
	opts := []patterntest.Option{patterntest.Skip("storms", "they last")}
	names := 0
	for _, s := range patterntest.Stories() {
		if s.Name != kept {
			opts = append(opts, patterntest.Skip(s.Name, "it is about something else"))
			names++
		}
	}
	require.Greater(t, names, 40)
	var mu sync.Mutex
	played := 0
	t.Run("Delivery", func(t *testing.T) {
		patterntest.Delivery(t, func(n *sim.Network) patterntest.System {
			mu.Lock()
			defer mu.Unlock()
			played++
			return journalAndReaders(n)
		}, opts...)
	})
	require.Equal(t, 1, played)

	require.Equal(t, "patterntest: Skip, Races: there is no story \"a loud day\", nor \"b\", nor \"c\". There are:\n  a quiet day\n  an hour without events",
		patterntest.UnknownStories([]string{kept, "an hour without events"},
			patterntest.Skip("b", ""), patterntest.Skip(kept, ""), patterntest.Skip("a loud day", ""), patterntest.Races("c", "")))
}

const victimVariable = "PATTERNTEST_VICTIM"

func TestVictimFrozenStory(t *testing.T) {
	if os.Getenv(victimVariable) == "" {
		t.Skip("fails on purpose; run by TestDeliveryGoesOnAfterAFrozenStory")
	}
	var opts []patterntest.Option
	for _, s := range patterntest.Stories() {
		if s.Name != "a quiet day" && s.Name != "events at one instant" {
			opts = append(opts, patterntest.Skip(s.Name, "not now"))
		}
	}
	stories := 0
	patterntest.Delivery(t, func(n *sim.Network) patterntest.System {
		s := journalAndReaders(n)
		if stories++; stories == 1 {
			var mu sync.Mutex
			s.Publish = func(string) error {
				mu.Lock() // and never releases it
				return nil
			}
		}
		return s
	}, append(opts, patterntest.Skip("storms", "not now"))...)
}

// A story that hangs fails, and the next one is played.
func TestDeliveryGoesOnAfterAFrozenStory(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestVictimFrozenStory$", "-test.v")
	cmd.Env = append(os.Environ(), victimVariable+"=1")
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "Publish of e2 at 7.4s never returned")
	require.Contains(t, string(out), "--- FAIL: TestVictimFrozenStory/a_quiet_day")
	require.Contains(t, string(out), "--- PASS: TestVictimFrozenStory/events_at_one_instant")
}

// A service and a system that declare nothing, of which a story that is not for them is all that is not left out.
func TestVictimLacking(t *testing.T) {
	if os.Getenv(victimVariable) == "" {
		t.Skip("skips on purpose; run by TestASkipNamesTheFieldThatIsNotSet")
	}
	opts := []patterntest.Option{patterntest.Skip("storms", "not now")}
	for _, s := range patterntest.Stories() {
		if s.Needs == nil || s.Needs(patterntest.System{}) {
			opts = append(opts, patterntest.Skip(s.Name, "not now"))
		}
	}
	t.Run("Delivery", func(t *testing.T) {
		patterntest.Delivery(t, func(*sim.Network) patterntest.System { return patterntest.System{} }, opts...)
	})
	opts = []patterntest.Option{patterntest.Skip("storms", "not now")}
	for _, s := range patterntest.CallStories() {
		if s.Needs == nil || s.Needs(patterntest.Service{}) {
			opts = append(opts, patterntest.Skip(s.Name, "not now"))
		}
	}
	t.Run("Call", func(t *testing.T) {
		patterntest.Call(t, func(*sim.Network) patterntest.Service { return patterntest.Service{} }, opts...)
	})
}

// Who reads that a story was skipped has to know what to set.
func TestASkipNamesTheFieldThatIsNotSet(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestVictimLacking$", "-test.v")
	cmd.Env = append(os.Environ(), victimVariable+"=1")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, text := range []string{
		"what this story needs: Service.Keys is not set\n", "what this story needs: Service.Keys is not set, or not Durable\n", "what this story needs: Service.Drains is not set\n",
		"what this story needs: Service.Replicas is less than 2\n", "what this story needs: System.PublishTo is not set\n", "what this story needs: System.Work is not set, or has no Groups\n",
	} {
		require.Contains(t, string(out), text)
	}
	require.NotContains(t, string(out), "its Needs says so", "a story whose skip names no field")
}
