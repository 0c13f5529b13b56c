// Package tables finds the scenarios of a module in its source: the rows of tables that package scenario runs, and the tests that run on a
// network of their own. It compiles and runs nothing. So it is fast, and also works on code that does not compile at the moment.
package tables

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/token"
	"io"
	"os/exec"
	"regexp"
	"slices"
	"strings"
)

const (
	module    = "github.com/squall-sim/squall"
	simPath   = module + "/sim"
	netemPath = module + "/netem"
	tablePath = module + "/scenarios/scenario"
)

// A Scenario is a row of a table, or a test.
type Scenario struct {
	ID       string   `json:"id,omitempty"` // of a row whose name begins with an ID, such as RR-01
	Name     string   `json:"name"`         // of the row, including the ID, or of the test
	Reason   string   `json:"reason"`       // of a row, why it exists; of a test, the first sentence of its comment
	Source   string   `json:"source,omitempty"`
	Patterns []string `json:"patterns"` // packages of patterns that it uses
	Faults   []string `json:"faults"`   // what it breaks, by the names of package sim
	Package  string   `json:"package"`
	File     string   `json:"file"`
	Line     int      `json:"line"`
	Run      string   `json:"run"` // the argument of go test -run that selects it
}

// A pkg holds what go list reports about a package.
type pkg struct {
	ImportPath, Dir                    string
	GoFiles, TestGoFiles, XTestGoFiles []string
	Imports, TestImports, XTestImports []string
}

// Read finds the scenarios of packages, which are patterns of go list. flags are build flags such as -tags=x.
func Read(ctx context.Context, packages, flags []string) ([]Scenario, error) {
	all, err := list(ctx, append(slices.Clone(flags), packages...))
	if err != nil {
		return nil, err
	}
	var found []Scenario
	var helpers *source // of package scenario, which rows of many packages share
	set := token.NewFileSet()
	for _, p := range all {
		if !p.imports(tablePath) && !p.imports(simPath) {
			continue
		}
		if helpers == nil && p.imports(tablePath) {
			own, err := list(ctx, []string{tablePath})
			if err != nil {
				return nil, err
			}
			if helpers, err = readSource(set, own[0].Dir, own[0].GoFiles); err != nil {
				return nil, err
			}
		}
		s, err := readSource(set, p.Dir, slices.Concat(p.GoFiles, p.TestGoFiles, p.XTestGoFiles))
		if err != nil {
			return nil, err
		}
		s.shared = helpers
		found = append(found, s.scenarios(p.ImportPath)...)
	}
	return found, nil
}

func (p *pkg) imports(path string) bool {
	return slices.Contains(p.Imports, path) || slices.Contains(p.TestImports, path) || slices.Contains(p.XTestImports, path)
}

func list(ctx context.Context, args []string) (all []pkg, err error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"list", "-json=ImportPath,Dir,GoFiles,TestGoFiles,XTestGoFiles,Imports,TestImports,XTestImports"}, args...)...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, strings.TrimSpace(said.String()))
	}
	for in := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := in.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		all = append(all, p)
	}
}

var idOf = regexp.MustCompile(`^[A-Z]{1,4}-\d+\b`)

// Matches reports whether the scenario contains each of the words, in upper or lower case.
func (s *Scenario) Matches(words []string) bool {
	text := strings.ToLower(strings.Join(append(slices.Concat(s.Patterns, s.Faults), s.Name, s.Reason, s.Source, s.Package), "\n"))
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, strings.ToLower(w)) })
}
