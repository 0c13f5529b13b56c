package squall_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/squall-sim/squall"

// The rooms of the house and what each may not import, with the reason. A test file
// counts as part of its package; an external test of a pattern (package x_test) may put
// the pattern on the simulated network.
var house = []struct {
	room, never, reason string
}{
	{"/netem", "/sim", "an impairment is a pure function that arithmetic can check"},
	{"/netem", "/patterns", "an impairment is a pure function that arithmetic can check"},
	{"/sim", "/patterns", "the network does not know what runs on it"},
	{"/sim/internal/tcp", "/netem", "TCP is a state machine without a network"},
	{"/patterns", "/sim", "a pattern that never saw the simulator runs on a real network unchanged"},
	{"/patterns", "/netem", "a pattern that never saw the simulator runs on a real network unchanged"},
}

// patterntest is where patterns and the simulator meet.
const meetingPlace = module + "/patterns/patterntest"

func TestRoomsImportOnlyWhatTheyMay(t *testing.T) {
	out, err := exec.Command("go", "list", "-f",
		`{{.ImportPath}} {{join .Imports " "}} {{join .TestImports " "}} -- {{join .XTestImports " "}}`, "./...").Output()
	require.NoError(t, err, "go list")

	rooms := 0
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		pkg, imports := fields[0], fields[1:]
		external := slices.Index(imports, "--")
		if within(pkg, meetingPlace) {
			continue
		}
		for _, rule := range house {
			if !within(pkg, module+rule.room) {
				continue
			}
			rooms++
			for k, i := range imports {
				if k > external && within(pkg, module+"/patterns") {
					break
				}
				require.False(t, within(i, module+rule.never), "%s imports %s, but %s", pkg, i, rule.reason)
			}
		}
	}
	require.NotZero(t, rooms, "the rules met no package: were the rooms renamed?")
}

// The network and its impairments need nothing but the standard library, so that a
// user's module takes on no dependency by them. What reads the output of tests they share
// with sweeps.
func TestSimulatorUsesTheStandardLibraryOnly(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", `{{if not .Standard}}{{.ImportPath}}{{end}}`, "./sim", "./netem").Output()
	require.NoError(t, err, "go list")
	for _, pkg := range strings.Fields(string(out)) {
		require.True(t, within(pkg, module+"/sim") || within(pkg, module+"/netem") || slices.Contains([]string{module + "/internal/failure", module + "/internal/count"}, pkg), "the simulator depends on %s", pkg)
	}
}

// The libraries that draw, and those of others that interop runs, are no concern of those
// who use squall: they are needed by modules of their own, on the tree that they lie in,
// and the root does not enter them.
func TestModulesOfTheirOwn(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Deps " "}}`, "-test", "./...").Output()
	require.NoError(t, err, "go list")
	inRoot := strings.Fields(string(out))
	for _, folder := range []string{"comparison", "interop", "interop/faulty", "reporttest", "speed"} {
		own := module + "/" + folder
		for _, pkg := range inRoot {
			require.False(t, within(pkg, own), "the root's module has %s in it", pkg)
		}
		list := exec.Command("go", "list", "-m", "-f", "{{.Path}} {{if .Replace}}{{.Replace.Path}}{{end}}", own, module)
		list.Dir = folder
		out, err = list.Output()
		require.NoError(t, err, "go list in %s", folder)
		require.Equal(t, own+" \n"+module+" "+strings.Repeat("../", 1+strings.Count(folder, "/"))+"\n", string(out), "the module in %s, and where it takes squall from", folder)
	}
}

// The failures of a pattern are a package of their own, so that go test runs them side by
// side, and each has names of its own. What is for all patterns has none.
func TestEachPatternHasItsScenarios(t *testing.T) {
	shared := []string{"access", "eventlog", "internal", "patterntest", "retry", "timeouts"}
	var want []string
	for _, pattern := range folders(t, "patterns") {
		if !slices.Contains(shared, pattern) {
			want = append(want, pattern)
		}
	}
	got := folders(t, "scenarios")
	for _, other := range []string{"postmortems", "scenario"} { // of no pattern
		got = slices.DeleteFunc(got, func(name string) bool { return name == other })
	}
	require.Equal(t, want, got)
	calling := []string{"async", "mux", "reqresp", "session", "sidecar"} // patterns of calls, to which the contract of delivery does not apply
	for _, pattern := range want {
		main, err := os.ReadFile("scenarios/" + pattern + "/main_test.go")
		require.NoError(t, err)
		calls := []string{"scenario.Run(t, ", "scenario.Delivery(t, ", "scenario.Loopback(t, "}
		if slices.Contains(calling, pattern) {
			calls = calls[:1]
		}
		for _, call := range calls {
			require.Contains(t, string(main), call, "scenarios/%s", pattern)
		}
	}
}

func folders(t *testing.T, in string) (names []string) {
	all, err := os.ReadDir(in)
	require.NoError(t, err)
	for _, e := range all {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

func within(pkg, room string) bool {
	return pkg == room || strings.HasPrefix(pkg, room+"/")
}

// A struct of the simulator has at most 20 fields: what belongs together has a name. Those that have
// more, and why.
var largeStructs = map[string]string{
	"sim.TCPConfig": "a field for each setting of Linux",
	"tcp.Config":    "the same",
	"tcp.Info":      "a field for each figure of Linux's tcp_info",
	"tcp.Conn":      "as tcp_sock in Linux; named parts would cost padding, of which 100,000 connections have much",
}

// A file of the simulator, tests included, has at most 500 lines.
func TestStructsAndFilesOfTheSimulatorAreSmall(t *testing.T) {
	large := map[string]bool{}
	for _, dir := range []string{"sim", "sim/internal/*"} {
		files, err := filepath.Glob(dir + "/*.go")
		require.NoError(t, err)
		require.NotEmpty(t, files, dir)
		for _, name := range files {
			source, err := os.ReadFile(name)
			require.NoError(t, err)
			lines := bytes.Count(source, []byte("\n"))
			require.LessOrEqual(t, lines, 500, "lines of %s: split it by what belongs together", name)

			file, err := parser.ParseFile(token.NewFileSet(), name, source, 0)
			require.NoError(t, err)
			ast.Inspect(file, func(n ast.Node) bool {
				spec, ok := n.(*ast.TypeSpec)
				if !ok {
					return true
				}
				if s, ok := spec.Type.(*ast.StructType); ok && s.Fields.NumFields() > 20 {
					large[file.Name.Name+"."+spec.Name.Name] = true
				}
				return true
			})
		}
	}
	for name := range large {
		require.Contains(t, largeStructs, name, "a struct of more than 20 fields: group them")
	}
	require.Len(t, large, len(largeStructs), "an exception that is none any more, or a struct that is not found: %v", large)
}

// What measures how long something takes must not see the steps of a wall clock, which is what Unix times come
// from. Those files may read one, with how often and why.
var wallTimes = map[string]struct {
	times  int
	reason string
}{
	"patterns/eventlog/eventlog.go": {1, "the name of an incarnation"},
	"patterns/pubsub/dispatcher.go": {1, "the name of a generation"},
	"patterns/pubsub/client.go":     {1, "the name of a run"},
	"patterns/retry/jitter.go":      {1, "a seed"},
}

// The patterns' timeouts do not depend on the wall clock: time.Now keeps a monotonic reading, which Unix times lose.
func TestPatternsMeasureByTheMonotonicClock(t *testing.T) {
	got := map[string]int{}
	require.NoError(t, filepath.WalkDir("patterns", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		if k := bytes.Count(source, []byte("time.Now().Unix")) + bytes.Count(source, []byte("time.Now().Round(0)")); k > 0 {
			got[path] = k
		}
		return err
	}))
	for path, k := range got {
		require.Equal(t, wallTimes[path].times, k, "%s reads the wall clock: measure by time.Since", path)
	}
	require.Len(t, got, len(wallTimes), "files that read a wall clock no more: %v", got)
}
