package interop

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReadmeShowsASystemThatRuns(t *testing.T) {
	source, err := os.ReadFile("sse_systems_test.go")
	require.NoError(t, err)
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, example, _ := strings.Cut(string(source), "// begin README\n")
	example, _, found := strings.Cut(example, "\n// end README")
	require.True(t, found)
	require.Contains(t, string(readme), "```go\n"+strings.TrimSpace(example)+"\n```", "the README's example is not the system that is tested")
}

// The README has a row for each library that is put through the contract.
func TestReadmeNamesEachLibrary(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for _, lib := range libraries {
		require.Contains(t, string(readme), "| "+lib.name+" |")
	}
	for _, lib := range slices.Concat(breakers, retriers, sessionStores) {
		require.Contains(t, string(readme), "| "+lib.name+" |")
	}
}

// The versions in the README are those of go.mod.
func TestReadmeHasTheVersionsOfGoMod(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	mod, err := os.ReadFile("go.mod")
	require.NoError(t, err)
	for line := range strings.Lines(string(mod)) {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(fields) != 2 || !strings.Contains(fields[0], ".") || !strings.HasPrefix(fields[1], "v") {
			continue // not a direct requirement
		}
		switch fields[0] {
		case "github.com/squall-sim/squall", "github.com/stretchr/testify":
			continue
		}
		require.Contains(t, string(readme), "`"+fields[0]+"` "+fields[1], "go.mod requires it")
	}
}
