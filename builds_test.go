package squall_test

import (
	"errors"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What only another build compiles, with the race detector, in exact mode or on another system, is not broken unnoticed by
// a change that is tested with this one. Packages are checked one by one, without what they import, so that it takes no
// compiler: the errors that follow from that this build has as well, and it does compile.
func TestOtherBuildsFitTogether(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{if .IgnoredGoFiles}}{{.Dir}}{{end}}", "./...").Output()
	require.NoError(t, err, "go list")
	folders := strings.Fields(string(out))
	require.NotEmpty(t, folders, "no package has files that this build leaves out")

	others := map[string]build.Context{}
	for _, tag := range []string{"race", "squall_exact"} {
		other := build.Default
		other.BuildTags = []string{tag}
		others[tag] = other
	}
	for _, system := range []string{"darwin", "windows"} {
		other := build.Default
		other.GOOS = system
		others[system] = other
	}
	for _, folder := range folders {
		here := typeErrors(t, build.Default, folder)
		for _, name := range slices.Sorted(maps.Keys(others)) {
			for _, wrong := range slices.Sorted(maps.Keys(typeErrors(t, others[name], folder))) {
				if !here[wrong] {
					t.Errorf("build %s: %s", name, wrong)
				}
			}
		}
	}
}

// typeErrors is what the files that a build takes from a folder have wrong among themselves.
func typeErrors(t *testing.T, b build.Context, folder string) map[string]bool {
	t.Helper()
	pkg, err := b.ImportDir(folder, 0)
	if none := new(build.NoGoError); errors.As(err, &none) {
		return nil
	}
	require.NoError(t, err)
	var files []*ast.File
	positions := token.NewFileSet()
	for _, name := range slices.Concat(pkg.GoFiles, pkg.TestGoFiles) {
		f, err := parser.ParseFile(positions, filepath.Join(folder, name), nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		files = append(files, f)
	}
	wrong := map[string]bool{}
	config := types.Config{Importer: importsNothing{}, Error: func(err error) {
		if !strings.Contains(err.Error(), errNoImports.Error()) {
			wrong[err.Error()] = true
		}
	}}
	config.Check(folder, positions, files, nil)
	return wrong
}

var errNoImports = errors.New("nothing is imported here")

type importsNothing struct{}

func (importsNothing) Import(string) (*types.Package, error) { return nil, errNoImports }
