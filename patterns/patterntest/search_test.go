package patterntest_test

import (
	"context"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
)

// What a search prints for a person, and what it leaves behind.
func TestSearchShrinksWhatItFinds(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	shrinkFor(t, 2*time.Second)

	text := patterntest.Search(t, polling{batch: newestFirst}.on, []uint64{7, 1, 2})
	requireInOrder(t, text,
		"storm 1 fails; 1 before it passed, 1 were not tried.", // no event overtakes another in storm 7
		"ordered: ", "which was published later", "Around it:\n", " reached phone",
		"sim: at ", "seed 1", "Last events", "phone1",
		"To repeat it: SQUALL_SEED=1 ", " test", "-run '^TestSearchShrinksWhatItFinds$' github.com/squall-sim/squall/patterns/patterntest",
		"The story, reduced to ", " from 3 clients, 6 faults and 108 events in ", " tries. With sim.Seed(1)",
		"\tfunc(w *patterntest.World) {\n\t\t", "w.Client(\"phone1\")\n", "\t\tw.Publish", "\n\t}\n",
		"A second run had ")
	// Of events published at one instant the server's handler sees as many as the runtime
	// happens to have let through.
	require.Regexp(t, `A second run had (the same trace|another trace and failed the same way)\.`, text)
	size := regexp.MustCompile(`reduced to \d clients?, (\d) faults? and (\d+) events? from`).FindStringSubmatch(text)
	require.NotEmpty(t, size)
	faults, _ := strconv.Atoi(size[1])
	events, _ := strconv.Atoi(size[2])
	require.Less(t, 100*faults+events, 100*6+108, "in a second it comes to no fault, unless the machine is busy")

	require.Empty(t, patterntest.Search(t, polling{}.on, []uint64{1, 2, 3}), "a sound system is acquitted")
	require.False(t, t.Failed(), "it is for the caller to fail")
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	require.NoError(t, err)
	require.Empty(t, left)
}

// Storms meet workers too.
func TestStormsOfWorkers(t *testing.T) {
	shrinkFor(t, 100*time.Millisecond)
	text := patterntest.SearchWork(t, depot{gone: countsAsDone, ackWait: -1}.on, []uint64{1, 2, 3, 4})
	requireInOrder(t, text, " fails; ", "complete: ", "had not reached any of the ", " workers", "w.Worker(\"workers\", \"phone1\", nil)", "w.PublishKeys(7, ")
	require.Empty(t, patterntest.SearchWork(t, depot{}.on, []uint64{1, 2, 3, 4}))
	require.Empty(t, patterntest.SearchWork(t, polling{}.on, []uint64{1}), "it has no workers")
}

// A system that is sound where it is looked at, and in whose process something is wrong.
func TestSearchFindsWhatIsNoPromise(t *testing.T) {
	shrinkFor(t, 100*time.Millisecond)
	text := patterntest.Search(t, func(n *sim.Network) patterntest.System {
		s := polling{}.on(n)
		s.Publish = func(string) error { return nil }
		s.Serve = func(ctx context.Context, h *sim.Host, _ string) error { return errDown }
		return s
	}, []uint64{5})
	requireInOrder(t, text, "storm 5 fails", `process "server" on host "server" ended: the server is down`, "The story")
}

func shrinkFor(t *testing.T, d time.Duration) { t.Cleanup(patterntest.SetShrinkTime(d)) }

// requireInOrder checks that a text contains some parts, one after the other.
func requireInOrder(t *testing.T, text string, parts ...string) {
	t.Helper()
	rest := text
	for _, p := range parts {
		_, after, found := strings.Cut(rest, p)
		require.True(t, found, "missing, or not in this place: %q\nin:\n%s", p, text)
		rest = after
	}
}
