package patterntest_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
)

// A callFlaw is a service with one thing wrong.
type callFlaw struct {
	flaw    string
	service patterntest.NewService
	story   string
	promise patterntest.Promise // and no other
	text    string              // the first breach; * stands for what hangs on random draws and on goroutines
}

func callFlaws() []callFlaw {
	return slices.Concat(brokenOutcomes, brokenKeys, brokenAnswers, brokenPatience, brokenRetries, brokenReplicas, brokenLines, brokenClerks, brokenStates, brokenStreams)
}

// callRaces says of flaws why two runs may differ.
var callRaces = map[string]string{
	"each call may be repeated three times":                                 "what is refused at one instant is asked again at one instant",
	"the client dials again at once":                                        "several calls dial at one instant",
	"the client asks again what takes longer than 250 ms":                   "the end of a connection comes together with a body that was sent again",
	"a server that is asked to stop ends its streams as if they were whole": "what a handler writes and the end of its server come at one instant",
	"a connection of HTTP/2 is believed in for ever":                        "frames of HTTP/2 race",
}

// sharedLine is what may differ of a line.
const sharedLine = "calls that are sent, or answered, over one connection at one instant"

func TestEachFlawOfACallIsFound(t *testing.T) {
	fixSeed(t)
	for i, row := range callFlaws() {
		if underRace && i%8 != 0 || checks() && i%4 != 0 {
			continue // what the contract does wrong shows in one as in another
		}
		t.Run(row.flaw, func(t *testing.T) {
			var opts []sim.Option
			why := callRaces[row.flaw]
			if slices.ContainsFunc(brokenLines, func(l callFlaw) bool { return l.flaw == row.flaw }) {
				why = sharedLine
			}
			if why != "" {
				opts = append(opts, sim.MayDiffer(why))
			}
			breaches := judgeCall(t, row.service, callStoryNamed(t, row.story), opts...)
			require.NotEmpty(t, breaches, "the contract does not see it")
			require.Equal(t, []patterntest.Promise{row.promise}, promises(breaches), "%v", breaches)
			require.Regexp(t, pattern(row.text), breaches[0].Text)
		})
	}
}

// judgeCall plays a story with a service in a bubble of its own.
func judgeCall(t *testing.T, newService patterntest.NewService, story patterntest.CallStory, opts ...sim.Option) (all []patterntest.Breach) {
	if story.Races != "" {
		opts = append(opts, sim.MayDiffer(story.Races))
	}
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		s := newService(n)
		if story.Needs == nil || story.Needs(s) {
			all = patterntest.JudgeCall(n, s, t.TempDir(), story)
		}
	}, opts...)
	return all
}

func callStoryNamed(t *testing.T, name string) patterntest.CallStory {
	for _, s := range patterntest.CallStories() {
		if s.Name == name {
			return s
		}
	}
	require.Fail(t, "no such story", name)
	return patterntest.CallStory{}
}

// A story that finds nothing only costs time.
func TestEachStoryOfCallsIsNeeded(t *testing.T) {
	for _, s := range patterntest.CallStories() {
		var finds []string
		for _, row := range callFlaws() {
			if row.story == s.Name {
				finds = append(finds, row.flaw)
			}
		}
		require.NotEmpty(t, finds, "no row shows what the story %q is for", s.Name)
	}
}

// TestCallMatrix plays all stories with all services of the tables and prints what each finds.
//
// Of the 41 lines, clerks, replicas, states and streams, five break a second promise, and do: a clerk whose IDs are its server's knows no job by the ID
// of who asks again (Single); two calls under one number have one answer (Answering); who holds a stream until it is whole holds all of it
// (Bounded), and hears late that its caller has gone (Cancelled), which is two of the five; of parts that change places, the end may be cut
// off (Whole). Streams at a time that are one break four more.
func TestCallMatrix(t *testing.T) {
	if os.Getenv("SQUALL_MATRIX") == "" {
		t.Skip("takes minutes: SQUALL_MATRIX=1 go test -v -run TestCallMatrix shows which story finds which flaw")
	}
	fixSeed(t)
	for i, s := range patterntest.CallStories() {
		t.Logf("%s%s", strings.Repeat("| ", i), s.Name)
	}
	for _, row := range callFlaws() {
		t.Run(row.flaw, func(t *testing.T) {
			var line strings.Builder
			others := map[patterntest.Promise]bool{}
			for _, s := range patterntest.CallStories() {
				mark := ". "
				for _, b := range judgeCall(t, row.service, s, sim.MayDiffer("it is looked at once")) {
					if b.Promise == row.promise {
						mark = "x" + mark[1:]
						continue
					}
					mark = mark[:1] + "o"
					if !others[b.Promise] {
						others[b.Promise] = true
						t.Logf("%s is broken too, in %q: %s", b.Promise, s.Name, b.Text)
					}
				}
				line.WriteString(mark)
			}
			t.Logf("%s %-10s %s %v", line.String(), row.promise, row.flaw, slices.Sorted(maps.Keys(others)))
			require.Contains(t, line.String(), "x", "no story finds it")
		})
	}
}

// The history that fits into no order is left as a page.
func TestHistoryIsDrawn(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "pictures")
	t.Setenv("SQUALL_ARTIFACTS", folder)
	fixSeed(t)
	row := brokenStates[0]
	breaches := judgeCall(t, row.service, callStoryNamed(t, row.story))
	require.NotEmpty(t, breaches)
	pages, err := filepath.Glob(filepath.Join(folder, "linearizable-cart-*.html"))
	require.NoError(t, err)
	require.NotEmpty(t, pages)
	require.Contains(t, breaches[0].Text, pages[0]+" shows them")
	text, err := os.ReadFile(pages[0])
	require.NoError(t, err)
	require.Contains(t, string(text), "add c1: [c1]")
}
