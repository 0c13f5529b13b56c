package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/internal/overlay"
)

func TestArgumentsPassThrough(t *testing.T) {
	for _, row := range []struct {
		reason  string
		goflags string
		args    []string
		want    []string // after test
	}{
		{"nothing is nothing", "", nil, []string{"-overlay=O", "-tags=squall_exact"}},
		{"flags and packages stay as they are", "", []string{"-race", "-run", "X", "-json", "./..."}, []string{"-overlay=O", "-tags=squall_exact", "-race", "-run", "X", "-json", "./..."}},
		{"-C is first", "", []string{"-C", "../m", "-v"}, []string{"-C", "../m", "-overlay=O", "-tags=squall_exact", "-v"}},
		{"tags are added to", "", []string{"-tags", "a,b", "./x"}, []string{"-overlay=O", "-tags=a,b,squall_exact", "./x"}},
		{"as are those of GOFLAGS, which these would replace", "-mod=mod -tags=a", []string{"./x"}, []string{"-overlay=O", "-tags=a,squall_exact", "./x"}},
		{"the command line wins over GOFLAGS", "-tags=a", []string{"--tags=b"}, []string{"-overlay=O", "-tags=b,squall_exact"}},
		{"what follows -args is the program's", "", []string{"-v", "-args", "-tags", "x", "-C"}, []string{"-overlay=O", "-tags=squall_exact", "-v", "-args", "-tags", "x", "-C"}},
	} {
		t.Run(row.reason, func(t *testing.T) {
			line, err := parseArgs(row.args, row.goflags)
			require.NoError(t, err)
			require.Equal(t, append([]string{"test"}, row.want...), line.goTest("O"))
		})
	}
}

func TestArgumentsThatAreRefused(t *testing.T) {
	for _, row := range []struct {
		args []string
		says string
	}{
		{[]string{"-tags"}, "flag -tags needs a value"},
		{[]string{"-v", "-C", "x"}, "-C x: must be the first flag"},
	} {
		_, err := parseArgs(row.args, "")
		require.ErrorContains(t, err, row.says)
	}
}

// Who has nothing built yet is told why it takes long, and only then: TestBuildsHaveOneOutcome looks at the other case.
func TestSaysThatTheStandardLibraryIsBuilt(t *testing.T) {
	t.Setenv("GOCACHE", t.TempDir())
	file := filepath.Join(t.TempDir(), "overlay.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"Replace": {}}`), 0o600))
	o := &overlay.Overlay{Go: "go"}
	require.True(t, commandLine{rest: []string{"-v", "-race", "./..."}}.toBuild(t.Context(), o, file))
	require.True(t, commandLine{rest: []string{"-v", "-args", "-race=nonsense"}}.toBuild(t.Context(), o, file), "what follows -args is no flag of a build")
	require.False(t, commandLine{rest: []string{"-race=nonsense"}}.toBuild(t.Context(), o, file), "the go command says what is wrong")
}

// A module that has an overlay of its own keeps it, unless it replaces what exact mode replaces.
func TestOverlayOfTheUser(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		return filepath.Join(dir, name)
	}
	ours := write("ours.json", `{"Replace": {"/go/src/runtime/proc.go": "/cache/proc.go"}}`)
	write("theirs.json", `{"Replace": {"a.go": "other/a.go", "/x/b.go": ""}}`)
	line, err := parseArgs([]string{"-overlay", "theirs.json", "./..."}, "-overlay=elsewhere.json")
	require.NoError(t, err)
	require.Equal(t, "theirs.json", line.overlay)
	merged, err := overlay.Merge(ours, line.overlay, dir)
	require.NoError(t, err)
	text, err := os.ReadFile(merged)
	require.NoError(t, err)
	require.JSONEq(t, `{"Replace": {"/go/src/runtime/proc.go": "/cache/proc.go", "`+dir+`/a.go": "`+dir+`/other/a.go", "/x/b.go": ""}}`, string(text))

	write("theirs.json", `{"Replace": {"/go/src/runtime/proc.go": "mine.go"}}`)
	_, err = overlay.Merge(ours, "theirs.json", dir)
	require.ErrorContains(t, err, "theirs.json replaces /go/src/runtime/proc.go, which exact mode replaces too")
	_, err = overlay.Merge(ours, "gone.json", dir)
	require.ErrorContains(t, err, "-overlay: open "+dir+"/gone.json")
	write("theirs.json", `Replace`)
	_, err = overlay.Merge(ours, "theirs.json", dir)
	require.ErrorContains(t, err, "-overlay "+dir+"/theirs.json: ")
}
