package sim

import (
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPoolsAreEmptiedOnlyWhereItIsNeeded(t *testing.T) {
	// Only explicit garbage collections run, whatever other tests have left running.
	percent := debug.SetGCPercent(-1)
	defer debug.SetGCPercent(percent)
	forced := func(k *poolKeeper) uint32 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		k.beforeBubble()
		runtime.ReadMemStats(&after)
		return after.NumForcedGC - before.NumForcedGC
	}
	var k poolKeeper
	require.Zero(t, forced(&k), "before the first bubble")
	k.afterBubble()
	require.EqualValues(t, 2, forced(&k), "before the second")
	require.Zero(t, forced(&k), "nothing ran since")
	k.afterBubble()
	k.spent = 0 // on a busy machine two collections may take longer than lookAfter
	runtime.GC()
	runtime.GC()
	require.EqualValues(t, 2, forced(&k), "the first collection may have begun before the end of the bubble")
	k.afterBubble()
	for range 3 {
		runtime.GC()
	}
	require.Zero(t, forced(&k), "the collector has run by itself")

	k.afterBubble()
	k.spent = lookAfter
	require.Zero(t, forced(&k), "no package that is linked into this test keeps a pool with timers or channels")
	k.afterBubble()
	k.none = false
	require.EqualValues(t, 2, forced(&k), "a package does")
}

func TestLinkedPackages(t *testing.T) {
	here, err := os.Getwd()
	require.NoError(t, err)
	linked := linkedPackages()
	require.Equal(t, "github.com/squall-sim/squall/sim", linked[here])
	require.Equal(t, "github.com/squall-sim/squall/netem", linked[filepath.Join(here, "../netem")])
	require.Equal(t, "github.com/squall-sim/squall/sim/internal/tcp", linked[filepath.Join(here, "internal/tcp")])
	var found []string
	for dir, path := range linked {
		require.NotContains(t, dir, build.Default.GOROOT+"/src")
		found = append(found, path)
	}
	for _, path := range []string{"github.com/stretchr/testify/assert", "go.uber.org/goleak", "golang.org/x/net/nettest"} {
		require.Contains(t, found, path)
	}
}

func TestWhichSourcesKeepPools(t *testing.T) {
	for source, want := range map[string]bool{
		"package a\nimport \"sync\"\nvar timers sync.Pool":                      true,
		"package a\nimport \"sync\"\nvar timers = &sync.\n\tPool{}":             true,
		"package a\nimport s \"sync\"\nvar timers s.Pool":                       true,
		"package a\nimport \"sync\"\nvar x sync.Mutex // no sync.Pool":          false,
		"package a\nimport (\"pgx\"; \"sync\")\nvar x pgx.Pool; var m sync.Map": false,
		"package a\nvar text = \"sync.Pool\"":                                   false,
	} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "a.go"), []byte(source), 0o600))
		require.Equal(t, want, keepsPools(map[string]string{dir: "a"}), "%s", source)
		require.False(t, keepsPools(map[string]string{dir: "go.etcd.io/bbolt"}), "known to pool buffers only")
	}
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a_test.go"), []byte("package a\nimport \"sync\"\nvar timers sync.Pool"), 0o600))
	require.False(t, keepsPools(map[string]string{dir: "a"}), "the tests of another package are not linked")
	require.True(t, keepsPools(map[string]string{"/does/not/exist": "a"}), "as with -trimpath")
	require.False(t, keepsPools(nil))
}

// If a pool in what package systems links were not known to be harmless, the tests of every pattern would empty all
// pools before each bubble. That takes two garbage collections, a third of the cost of those tests.
func TestPoolsOfThePatternsHoldBuffersOnly(t *testing.T) {
	files, err := filepath.Glob("../patterns/*/*.go")
	require.NoError(t, err)
	nested, err := filepath.Glob("../patterns/*/*/*.go")
	require.NoError(t, err)
	pools := map[string]string{}
	for _, file := range append(files, nested...) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		dir, err := filepath.Abs(filepath.Dir(file))
		require.NoError(t, err)
		path := "github.com/squall-sim/squall/" + filepath.ToSlash(filepath.Dir(strings.TrimPrefix(file, "../")))
		require.False(t, keepsPools(map[string]string{dir: path}), "%s keeps a pool: if it holds buffers only, or ends with what a bubble made, its package belongs into buffersOnly", path)
		for _, d := range source.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue // a pool in a struct ends with it
			}
			for _, spec := range g.Specs {
				v := spec.(*ast.ValueSpec)
				if v.Type != nil && strings.Contains(types.ExprString(v.Type), "sync.Pool") {
					pools[file] = "of anything"
				}
				for _, value := range v.Values {
					if text := types.ExprString(value); strings.Contains(text, "sync.Pool") {
						pools[file] = madeBy(value)
					}
				}
			}
		}
	}
	require.Equal(t, map[string]string{
		"../patterns/pubsub/dispatchdeliver.go": "new([]byte)",
		"../patterns/push/writer.go":            "new([]byte)",
		"../patterns/sidecar/http2.go":          "new([bulkBuffer]byte)",
	}, pools)
}

// madeBy names what the function New of a pool returns.
func madeBy(pool ast.Expr) (made string) {
	ast.Inspect(pool, func(n ast.Node) bool {
		if r, ok := n.(*ast.ReturnStmt); ok && len(r.Results) == 1 {
			made = types.ExprString(r.Results[0])
		}
		return true
	})
	return made
}
