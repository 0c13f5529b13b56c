package comparison

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The comparison of the patterns that call: docs/comparison-calls.md is written by
//
//	cd comparison && go test -run TestCallsComparison -update .
//
// Without the flag the test measures all of it again, but for the pages over lossy links, and holds the document to that.

// callResults are the figures of the patterns that call.
type callResults struct {
	all      *results // of the other half, what is about both
	waits    map[waitRun]waitFigures
	leaves   map[leaveRun]leaveFigures
	mends    map[mendRun]mendFigures
	tiers    map[tiersRun]tiersFigures
	backs    map[backRun]backFigures
	pages    map[pageRun]pageFigures
	moved    map[movedRun]movedFigures
	failover map[failoverRun]failoverFigures
}

var (
	waitRuns     = []waitRun{{callsInARow}, {asFutures}, {asOperations}}
	tiersRuns    = []tiersRun{{false}, {true}}
	backRuns     = []backRun{{everySecond}, {doublesNoDraw}, {doublesDrawn}}
	movedRuns    = []movedRun{{rendezvous}, {modulo}}
	failoverRuns = []failoverRun{{inMemory}, {shared}, {signed}}
	pagePercents = []int{0, 1, 2}
)

func leaveRuns() (all []leaveRun) {
	for _, c := range callContenders {
		all = append(all, leaveRun{c.name})
	}
	return all
}

func mendRuns() (all []mendRun) {
	for _, c := range callContenders {
		for _, f := range callFaults {
			all = append(all, mendRun{c.name, f.name})
		}
	}
	return all
}

func pageRuns() (all []pageRun) {
	for _, way := range pageWays {
		for _, lost := range pagePercents {
			all = append(all, pageRun{way, lost})
		}
	}
	return all
}

func measuredCalls(t *testing.T, pages bool) *callResults {
	r := &callResults{
		all: newResults(), waits: map[waitRun]waitFigures{}, leaves: map[leaveRun]leaveFigures{}, mends: map[mendRun]mendFigures{},
		tiers: map[tiersRun]tiersFigures{}, backs: map[backRun]backFigures{}, pages: map[pageRun]pageFigures{},
		moved: map[movedRun]movedFigures{}, failover: map[failoverRun]failoverFigures{},
	}
	t.Run("measure", func(t *testing.T) {
		each(t, r.all, []jobRun{{heldRequest}, {submitAndPoll}}, r.all.jobs, jobRun.run)
		each(t, r.all, waitRuns, r.waits, waitRun.run)
		each(t, r.all, leaveRuns(), r.leaves, leaveRun.run)
		each(t, r.all, mendRuns(), r.mends, mendRun.run)
		each(t, r.all, tiersRuns, r.tiers, tiersRun.run)
		each(t, r.all, backRuns, r.backs, backRun.run)
		each(t, r.all, movedRuns, r.moved, movedRun.run)
		each(t, r.all, failoverRuns, r.failover, failoverRun.run)
		if pages {
			each(t, r.all, pageRuns(), r.pages, pageRun.run)
		}
	})
	return r
}

func TestCallsComparison(t *testing.T) {
	const file = "../docs/comparison-calls.md"
	if *update {
		r := measuredCalls(t, true)
		if !t.Failed() {
			require.NoError(t, os.WriteFile(file, []byte(callsDocument(r)), 0o644))
		}
		return
	}
	if os.Getenv("SQUALL_SEED") != "" || os.Getenv("SQUALL_SEEDS") != "" {
		t.Skip("the document has the figures of seed 1")
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err, "cd comparison && go test -run TestCallsComparison -update . writes it")
	r := measuredCalls(t, false)
	for _, section := range callSections {
		if section.pages {
			continue
		}
		for _, line := range section.rows(r) {
			if !strings.Contains(string(text), line) {
				t.Errorf("docs/comparison-calls.md no longer says what the code does; cd comparison && go test -run TestCallsComparison -update . writes it anew. Now it is\n%s", line)
			}
		}
	}
	for _, c := range callClaims {
		if v, why := c.judge(r); !c.pages && !strings.Contains(string(text), row(fmt.Sprint(c.number), c.text, "**"+string(v)+"** "+separator(v)+why)) {
			t.Errorf("docs/comparison-calls.md has another verdict on %q; now it is %s: %s", c.text, v, why)
		}
	}
}
