package tables

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// ours are squall's own. The first package has none.
var ours = sync.OnceValues(func() ([]Scenario, error) {
	return Read(context.Background(), []string{module + "/internal/count", module, module + "/scenarios/..."}, nil)
})

// Every row of squall's tables is read whole.
func TestEveryRowIsRead(t *testing.T) {
	all, err := ours()
	require.NoError(t, err)
	row := regexp.MustCompile(`Name: .*Reason: `)
	want := 0
	folders, err := filepath.Glob("../../scenarios/*")
	require.NoError(t, err)
	for _, dir := range append(folders, "../..") {
		files, err := filepath.Glob(dir + "/*_test.go")
		require.NoError(t, err)
		for _, name := range files {
			text, err := os.ReadFile(name)
			require.NoError(t, err)
			want += len(row.FindAll(text, -1))
		}
	}
	rows, seen := 0, map[string]bool{}
	for _, s := range all {
		require.NotEmpty(t, s.Run, s.Name)
		require.False(t, seen[s.Package+s.Run], "%s of %s selects two", s.Run, s.Package)
		seen[s.Package+s.Run] = true
		if strings.Contains(s.Run, "/") {
			rows++
			require.NotEmpty(t, s.Reason, s.Name)
		}
	}
	require.Equal(t, want, rows)
	require.Greater(t, rows, 400)
}

func TestWhatIsSaidOfAScenario(t *testing.T) {
	all, err := ours()
	require.NoError(t, err)
	named := func(name string) Scenario {
		i := slices.IndexFunc(all, func(s Scenario) bool { return strings.HasPrefix(s.Name, name) })
		require.GreaterOrEqual(t, i, 0, name)
		return all[i]
	}
	s := named("RR-02 ")
	require.Equal(t, Scenario{ID: "RR-02", Name: "RR-02 the answer to a GET is lost", Reason: "an idempotent request is sent again", Patterns: []string{"reqresp"},
		Faults: []string{"Reset"}, Package: module + "/scenarios/reqresp", File: s.File, Line: s.Line, Run: `^TestScenarios$/^RR-02_the_answer_to_a_GET_is_lost$`}, s)
	require.Equal(t, "reqresp_test.go", filepath.Base(s.File))

	s = named("an outage shorter than a poll") // by way of scenario.Contract and a function of that package
	require.Equal(t, []string{"longpoll"}, s.Patterns)
	require.Equal(t, []string{"Down"}, s.Faults)
	require.Equal(t, "^TestScenarios$/^an_outage_shorter_than_a_poll$", s.Run)

	s = named("TestAnswerAfterAnOutage")
	require.Equal(t, "^TestAnswerAfterAnOutage$", s.Run)
	require.Equal(t, []string{"Down"}, s.Faults)

	require.Contains(t, named("a lossy link, polled").Faults, "Loss")
	require.Contains(t, named("the server closes as the client asks").Source, "https://", "of postmortems")
}

func TestSearching(t *testing.T) {
	s := Scenario{Name: "RR-02 the answer is lost", Reason: "asked again", Patterns: []string{"reqresp"}, Faults: []string{"Reset"}}
	for _, words := range [][]string{nil, {"rr-02"}, {"ANSWER", "again"}, {"reqresp", "reset"}} {
		require.True(t, s.Matches(words), words)
	}
	require.False(t, s.Matches([]string{"answer", "stream"}))
}

// A module of a user's: a table of its own, whose names are not all literals, a table that is run elsewhere or not at all, a row by itself, and tests.
func TestSourceOfAUser(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "shop_test.go")
	require.NoError(t, os.WriteFile(name, []byte(`package shop
import (
	sq "github.com/squall-sim/squall/sim"
	"github.com/squall-sim/squall/netem"
	. "testing"
	table "github.com/squall-sim/squall/scenarios/scenario"
)
const suffix, prefix = " (slow)", "SH-1 "
const self = self + prefix
var rows = []table.Row{
	{Name: prefix + "the link flaps", Reason: "it " + ("does"), Story: func(t *T, n *sq.Network) { n.Inject(0, 0, sq.Flap(sq.Down(link), 1, 2)); slow(n) }},
	{Name: prefix + named(7), Reason: "drawn", Story: other},
	{Name: self, Reason: "the compiler refuses it", Story: other},
}
var one = table.Row{Name: "a/b (c)", Reason: "r", Story: func(t *T, n *sq.Network) { n.Host("a").Crash(); loop() }}
func slow(n *sq.Network) { n.Link(a, b, netem.Config{Delay: 1, Rate: 5}); _ = limits{Loss: 1, Rate: 2} }
func other(t *T, n *sq.Network) { s.pause() }
func (s *shop) pause() { s.host.Pause(); x := rows; _ = x }
func loop() { loop() }
func TestTable(t *T) { table.Run(t, append(rows, one)) }

// TestCheckout pays. Twice, if need be.
func TestCheckout(t *T) { sq.Explore(t, sq.Exploration{}, other) }
func TestPlain(t *T) { Test(t, nil) }
func TestBroken(t *T) { sq.Test(t, func( }
`), 0o600))
	feed := filepath.Join(dir, "a_feed_test.go")
	require.NoError(t, os.WriteFile(feed, []byte(`package shop
import (
	"testing"
	"github.com/squall-sim/squall/patterns/push"
	"github.com/squall-sim/squall/patterns/stream"
	"github.com/squall-sim/squall/sim"
)
func TestPush(t *testing.T) { sim.Test(t, func(t testing.TB, n *sim.Network) { serve(&push.Server{}) }) }
func TestFeeds(t *testing.T) { sim.Test(t, feeds) }
`), 0o600))
	s, err := readSource(token.NewFileSet(), dir, []string{"a_feed_test.go", "shop_test.go"})
	require.NoError(t, err)
	var got []Scenario
	for _, x := range s.scenarios("example.com/shop") {
		require.Equal(t, map[bool]string{true: feed, false: name}[len(x.Patterns) > 0], x.File)
		require.NotZero(t, x.Line)
		x.File, x.Line, x.Package = "", 0, ""
		got = append(got, x)
	}
	none := []string{}
	require.Equal(t, []Scenario{
		{Name: "TestPush", Patterns: []string{"push"}, Faults: none, Run: "^TestPush$"},
		{Name: "TestFeeds", Patterns: []string{"push", "stream"}, Faults: none, Run: "^TestFeeds$"},
		{ID: "SH-1", Name: "SH-1 the link flaps", Reason: "it does", Patterns: none, Faults: []string{"Down", "Flap", "Rate"}, Run: "^TestTable$/^SH-1_the_link_flaps$"},
		{Name: "prefix + named(7)", Reason: "drawn", Patterns: none, Faults: []string{"Pause"}, Run: `^TestTable$/^prefix_\+_named\(7\)$`},
		{Name: "self", Reason: "the compiler refuses it", Patterns: none, Faults: []string{"Pause"}, Run: `^TestTable$/^self$`},
		{Name: "a/b (c)", Reason: "r", Patterns: none, Faults: []string{"Crash"}, Run: `^TestTable$/^a$/^b_\(c\)$`},
		{Name: "TestCheckout", Reason: "TestCheckout pays.", Patterns: none, Faults: []string{"Pause"}, Run: "^TestCheckout$"},
	}, got[:7])
}

// What makes a fault is known by its name, and what is known is there.
func TestFunctionsThatMakeFaults(t *testing.T) {
	files, err := filepath.Glob("../../sim/*.go")
	require.NoError(t, err)
	makes, isMethod := map[string]bool{}, map[string]bool{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !f.Name.IsExported() {
				continue
			}
			if f.Recv != nil {
				isMethod[f.Name.Name] = true
				continue
			}
			if results := f.Type.Results; results != nil && len(results.List) == 1 {
				if p, ok := results.List[0].Type.(*ast.StarExpr); ok {
					if x, ok := p.X.(*ast.Ident); ok && x.Name == "Fault" {
						makes[f.Name.Name] = true
					}
				}
			}
		}
	}
	require.Equal(t, makes, functions)
	for name := range methods {
		require.True(t, isMethod[name], "package sim has no method %s", name)
	}
}
