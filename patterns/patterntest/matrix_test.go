package patterntest_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/patterntest"
)

// A story that finds nothing only costs time. With -v this lists what each finds, by the
// rows of the tables.
func TestEachStoryIsNeeded(t *testing.T) {
	for _, s := range patterntest.Stories() {
		var finds []string
		for _, row := range flaws() {
			if row.story == s.Name {
				finds = append(finds, row.flaw)
			}
		}
		for _, row := range naive {
			if row.story == s.Name {
				finds = append(finds, "the naive system "+row.name)
			}
		}
		require.NotEmpty(t, finds, "no row shows what the story %q is for", s.Name)
		t.Logf("%-55s %s", s.Name, strings.Join(finds, "; "))
	}
}

// TestMatrix plays all stories with all systems of the tables and prints what each finds.
func TestMatrix(t *testing.T) {
	if os.Getenv("SQUALL_MATRIX") == "" {
		t.Skip("takes minutes: SQUALL_MATRIX=1 go test -v -run TestMatrix shows which story finds which flaw")
	}
	fixSeed(t)
	systems := map[string]patterntest.NewSystem{}
	var names []string
	add := func(name string, s patterntest.NewSystem) {
		if systems[name] == nil {
			names = append(names, name)
		}
		systems[name] = s
	}
	for _, row := range flaws() {
		add(row.flaw, row.system)
	}
	for _, row := range naive {
		add("the naive system "+row.name, row.system)
	}

	letters := map[patterntest.Promise]string{
		patterntest.Complete: "c", patterntest.Once: "1", patterntest.Ordered: "o", patterntest.Durable: "d", patterntest.Genuine: "g",
		patterntest.Prompt: "p", patterntest.Calm: "w", patterntest.Bounded: "b", patterntest.Open: "r", patterntest.Gentle: "h",
		patterntest.Fresh: "f", patterntest.Counted: "a", patterntest.Obedient: "s",
		patterntest.Private: "v", patterntest.Fenced: "t", patterntest.Shared: "e", patterntest.Settled: "n",
	}
	t.Log("c incomplete, 1 not once, o out of order, d not durable, g not genuine, p not prompt, w cries wolf, b no bound, r refuses, h herd or hot loop, f not fresh, a wrong account, s does not stop, v not private, t not fenced, e not shared, n not settled")
	for i, s := range patterntest.Stories() {
		t.Logf("%s%s", strings.Repeat("| ", i), s.Name)
	}
	for _, name := range names {
		var line strings.Builder
		for _, s := range patterntest.Stories() {
			mark := ". "
			for _, p := range promises(judge(t, systems[name], s)) {
				mark = letters[p] + mark[:1]
			}
			line.WriteString(strings.Replace(mark, ".", " ", 1))
		}
		t.Logf("%s %s", line.String(), name)
	}
}
