package tables

import (
	"go/ast"
	"maps"
	"slices"
	"strings"
)

// A walk finds what a story uses, including in the functions of its package that it calls. It goes by names alone: a method of the program
// that has the name of one of package sim's methods counts as that method.
type walk struct {
	seen             map[ast.Node]bool
	patterns, faults map[string]bool
}

// functions of package sim make a fault; TestFunctionsThatMakeFaults checks that the list is complete. A breakage by a method of a host, a link,
// a network or a clock is listed by the method's name.
var (
	functions = setOf("BlockICMP", "Break", "CloseAfter", "Corrupt", "Crash", "CrossTraffic", "Delay", "DelayNames", "Down", "DownFrom", "DrainBackend",
		"DriftClock", "Drop", "Duplicate", "FailBackend", "FailNames", "Flap", "ForgetConnections", "Hold", "Impair", "MisleadNames", "NewFault", "Partition",
		"PartitionBy", "PartitionOneWay", "Pause", "PowerOff", "Rebind", "Reboot", "Reject", "Reset", "ResetAfter", "Restrict", "SilenceNames", "StallAfter",
		"StepClock", "Swizzle", "TruncateNames", "Unplug")
	methods = setOf("BlockICMP", "Crash", "Down", "DownFrom", "Drift", "FaultyHTTP", "Hold", "Partition", "PartitionOneWay", "Pause", "PowerOff", "Reject",
		"RejectWith", "SetLimits", "Step", "Unplug", "Wipe")
)

func setOf(names ...string) map[string]bool {
	set := map[string]bool{}
	for _, n := range names {
		set[n] = true
	}
	return set
}

func sorted(set map[string]bool) []string {
	return append([]string{}, slices.Sorted(maps.Keys(set))...)
} // for JSON: never null

// notPatterns are the folders next to the patterns that are not patterns.
var notPatterns = []string{"access", "eventlog", "internal", "patterntest", "retry", "timeouts"}

func (w *walk) visit(s *source, n ast.Node, imports map[string]string) {
	if s == nil || w.seen[n] {
		return
	}
	w.seen[n] = true
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			pkg := ""
			if ok {
				pkg = imports[x.Name]
			}
			if w.selected(s, pkg, n.Sel.Name); pkg == "" {
				w.visit(s, n.X, imports)
			}
			return false
		case *ast.CompositeLit:
			if pkg, name := qualified(n.Type, imports); pkg == netemPath && name == "Config" {
				w.impaired(n)
			}
		case *ast.KeyValueExpr:
			if _, field := n.Key.(*ast.Ident); field {
				w.visit(s, n.Value, imports)
				return false
			}
		case *ast.Ident:
			w.follow(s, n.Name)
		}
		return true
	})
}

// impaired records the impairments in a netem.Config, which are everything that a link does to packets apart from carrying them.
func (w *walk) impaired(lit *ast.CompositeLit) {
	for _, e := range lit.Elts {
		if pair, ok := e.(*ast.KeyValueExpr); ok {
			if key, ok := pair.Key.(*ast.Ident); ok && key.Name != "Delay" {
				w.faults[key.Name] = true
			}
		}
	}
}

// selected records what x.name is: something of another package, or a method or field if pkg is empty.
func (w *walk) selected(s *source, pkg, name string) {
	switch {
	case pkg == "" && methods[name], pkg == simPath && functions[name]:
		w.faults[name] = true
	case pkg == tablePath:
		w.follow(s.shared, name)
	case pkg == "":
		w.follow(s, name)
	default:
		w.pattern(pkg)
	}
}

// pattern records a package if it is the package of a pattern.
func (w *walk) pattern(pkg string) {
	rest, ours := strings.CutPrefix(pkg, module+"/patterns/")
	if pattern, _, _ := strings.Cut(rest, "/"); ours && !slices.Contains(notPatterns, pattern) {
		w.patterns[pattern] = true
	}
}

// follow looks at the declarations with this name in the package.
func (w *walk) follow(s *source, name string) {
	if s == nil {
		return
	}
	for _, d := range s.decls[name] {
		if v, ok := d.(*ast.ValueSpec); ok && len(v.Values) == 0 || ok && v.Type == nil && len(v.Values) == 1 && isTable(v.Values[0]) {
			continue
		}
		w.visit(s, d, s.of[d])
	}
}

// isTable reports whether an expression is a list. Code that uses a table does not use everything in it.
func isTable(e ast.Expr) bool {
	lit, ok := e.(*ast.CompositeLit)
	if !ok {
		return false
	}
	_, ok = lit.Type.(*ast.ArrayType)
	return ok
}
