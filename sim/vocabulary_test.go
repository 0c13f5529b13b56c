package sim_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
)

// phases are the instants at which a fault of half a second begins: before the name lookup, during the handshake,
// after it, during the second request, and after the client has closed its half.
var phases = [...]struct {
	name string
	at   time.Duration
}{{"before", 90 * ms}, {"handshake", 127 * ms}, {"established", 145 * ms}, {"in flight", 202 * ms}, {"half-closed", 304 * ms}}

// asEver describes a visit that a fault did not affect.
const asEver = "web 370ms; fired 0"

// visit describes a visit to a market with a fault that begins in a phase and lasts half a second.
func visit(t *testing.T, phase time.Duration, fault func(s *market) *sim.Fault) (said string, fired int) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		s := newMarket(n)
		f := n.Inject(phase, 500*ms, fault(s))
		said = s.buy()
		time.Sleep(30 * time.Second)
		fired = f.Fired().Count
		said = fmt.Sprintf("%s; fired %d", said, fired)
	})
	return said, fired
}

// Each fault fires, has its documented effect in each phase of a connection, and refuses arguments that make no
// sense.
func TestTheVocabularyOfFaults(t *testing.T) {
	seedsOfItsOwn(t) // the rows say what seed 1 draws
	for _, row := range faultVocabulary {
		fires := false
		for i, p := range phases {
			said, fired := visit(t, p.at, row.fault)
			require.Equal(t, row.want[i], said, "%s, %s: %s", row.of, p.name, row.why)
			fires = fires || fired > 0
		}
		require.True(t, fires, row.of)
	}
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		s := newMarket(n)
		for _, row := range faultVocabulary {
			require.PanicsWithValue(t, row.panics, func() { row.refused(s) }, row.of)
		}
	})
}

// Every function that makes a fault has a row.
func TestTheVocabularyOfFaultsIsComplete(t *testing.T) {
	files, err := os.ReadDir(".")
	require.NoError(t, err)
	var made []string
	for _, entry := range files {
		if !strings.HasSuffix(entry.Name(), ".go") || strings.HasSuffix(entry.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), entry.Name(), nil, 0)
		require.NoError(t, err)
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.IsExported() && makesFault(f) {
				made = append(made, f.Name.Name)
			}
		}
	}
	var rows []string
	for _, row := range faultVocabulary {
		rows = append(rows, row.of)
	}
	slices.Sort(made)
	slices.Sort(rows)
	require.Equal(t, made, slices.Compact(rows), "a function that makes a fault needs a row of faultVocabulary")
}

// makesFault says whether a function returns a *Fault.
func makesFault(f *ast.FuncDecl) bool {
	if f.Type.Results == nil {
		return false
	}
	return slices.ContainsFunc(f.Type.Results.List, func(r *ast.Field) bool {
		star, ok := r.Type.(*ast.StarExpr)
		name, named := any(nil), false
		if ok {
			name, named = star.X.(*ast.Ident)
		}
		return named && name.(*ast.Ident).Name == "Fault"
	})
}
