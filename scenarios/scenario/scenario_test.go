package scenario

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/patterntest"
)

// A story that is renamed must not drop out of what a variant goes through, or be left out
// no longer.
func TestTheStoriesOfVariantsAreStories(t *testing.T) {
	var names []string
	for _, story := range patterntest.Stories() {
		names = append(names, story.Name)
	}
	for _, name := range slices.Concat(otherLog, Subscriptions, otherBytes, ByName) {
		require.Contains(t, names, name)
	}
	t.Setenv("SQUALL_SEED", "")
	t.Setenv("SQUALL_SEEDS", "2")
	require.Empty(t, OtherStore())
	t.Setenv("SQUALL_SEEDS", "")
	t.Setenv("SQUALL_SEED", "7")
	require.Empty(t, OtherStore())
	t.Setenv("SQUALL_SEED", "")
	t.Setenv("SQUALL_SEEDS", "")
	require.Len(t, OtherStore(), len(names)-len(otherLog))
	require.Len(t, OtherStore(Subscriptions...), len(names)-len(otherLog)-len(Subscriptions))
	require.Len(t, OtherEncoding(), len(names)-len(otherBytes))
}
