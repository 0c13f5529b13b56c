package tables

import (
	"cmp"
	"go/ast"
	"go/constant"
	"go/doc"
	"go/parser"
	"go/printer"
	"go/token"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A source is the source of a package and its tests, which are two packages at most. If both declare the same name, they count as one.
type source struct {
	set    *token.FileSet
	files  []*ast.File
	of     map[ast.Node]map[string]string // the imports of the file of each declaration, by the name that the file gives them
	decls  map[string][]ast.Node          // the package's functions, methods, variables and constants, by name
	shared *source                        // package scenario
}

// readSource reads files. It reads a file that cannot be parsed as far as possible.
func readSource(set *token.FileSet, dir string, names []string) (*source, error) {
	s := &source{set: set, of: map[ast.Node]map[string]string{}, decls: map[string][]ast.Node{}}
	for _, name := range names {
		file, err := parser.ParseFile(set, filepath.Join(dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if file == nil {
			return nil, err
		}
		s.files = append(s.files, file)
		imports := importsOf(file)
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				s.decls[d.Name.Name] = append(s.decls[d.Name.Name], d)
				s.of[d] = imports
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					if v, ok := spec.(*ast.ValueSpec); ok {
						for _, n := range v.Names {
							s.decls[n.Name] = append(s.decls[n.Name], v)
						}
						s.of[v] = imports
					}
				}
			}
		}
	}
	return s, nil
}

func importsOf(file *ast.File) map[string]string {
	all := map[string]string{}
	for _, i := range file.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			continue
		}
		name := path.Base(p)
		if i.Name != nil {
			name = i.Name.Name
		}
		all[name] = p
	}
	return all
}

// scenarios returns the scenarios of the package with this path.
func (s *source) scenarios(pkg string) (all []Scenario) {
	var tests []*ast.FuncDecl // that run tables
	for _, file := range s.files {
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			switch {
			case !ok || f.Recv != nil || f.Body == nil || !strings.HasPrefix(f.Name.Name, "Test"):
			case s.calls(f, tablePath, "Run"):
				tests = append(tests, f)
			case isSimulator(pkg): // the simulator's own tests are not scenarios of a program
			case s.calls(f, simPath, "Test", "Explore"):
				all = append(all, s.test(f, pkg))
			}
		}
	}
	for _, file := range s.files {
		imports := importsOf(file)
		for _, d := range file.Decls {
			ast.Inspect(d, func(n ast.Node) bool {
				if list, ok := n.(*ast.CompositeLit); ok {
					all = append(all, s.rows(list, imports, tests, pkg)...)
				}
				return true
			})
		}
	}
	slices.SortStableFunc(all, func(a, b Scenario) int { return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line)) })
	return all
}

// isSimulator reports whether a package belongs to squall and has no scenarios.
func isSimulator(pkg string) bool {
	rest, ours := strings.CutPrefix(pkg, module+"/")
	return ours && !strings.HasPrefix(rest, "scenarios/")
}

// calls reports whether a function calls one of the named functions of another package.
func (s *source) calls(f *ast.FuncDecl, pkg string, names ...string) (found bool) {
	ast.Inspect(f.Body, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			p, name := qualified(call.Fun, s.of[f])
			found = found || p == pkg && slices.Contains(names, name)
		}
		return !found
	})
	return found
}

// qualified returns the package and the name in an expression such as sim.Test.
func qualified(e ast.Expr, imports map[string]string) (pkg, name string) {
	if sel, ok := e.(*ast.SelectorExpr); ok {
		if x, ok := sel.X.(*ast.Ident); ok {
			return imports[x.Name], sel.Sel.Name
		}
	}
	return "", ""
}

// test returns a test as a scenario.
func (s *source) test(f *ast.FuncDecl, pkg string) Scenario {
	out := s.scenario(f, f.Body, s.of[f], pkg)
	out.Name, out.Run = f.Name.Name, "^"+f.Name.Name+"$"
	out.Reason = new(doc.Package).Synopsis(f.Doc.Text())
	return out
}

// rows returns the scenarios of a literal, which is a list of rows or a single row.
func (s *source) rows(lit *ast.CompositeLit, imports map[string]string, tests []*ast.FuncDecl, pkg string) (all []Scenario) {
	isRow := func(t ast.Expr) bool {
		p, name := qualified(t, imports)
		return p == tablePath && name == "Row"
	}
	if list, ok := lit.Type.(*ast.ArrayType); ok && isRow(list.Elt) {
		for _, e := range lit.Elts {
			if row, ok := e.(*ast.CompositeLit); ok && row.Type == nil {
				all = append(all, s.row(row, imports, tests, pkg))
			}
		}
	} else if lit.Type != nil && isRow(lit.Type) && len(lit.Elts) > 0 {
		all = append(all, s.row(lit, imports, tests, pkg))
	}
	return all
}

func (s *source) row(lit *ast.CompositeLit, imports map[string]string, tests []*ast.FuncDecl, pkg string) Scenario {
	out := s.scenario(lit, lit, imports, pkg)
	for _, e := range lit.Elts {
		pair, ok := e.(*ast.KeyValueExpr)
		if !ok {
			continue
		}
		key, _ := pair.Key.(*ast.Ident)
		switch {
		case key == nil:
		case key.Name == "Name":
			out.Name = s.text(pair.Value)
		case key.Name == "Reason":
			out.Reason = s.text(pair.Value)
		case key.Name == "Source":
			out.Source = s.text(pair.Value)
		}
	}
	out.ID = idOf.FindString(out.Name)
	if len(tests) > 0 {
		out.Run = "^" + tests[0].Name.Name + "$/" + pattern(out.Name)
	}
	return out
}

// pattern returns the -run pattern that selects the subtest of a row. Package testing replaces the spaces in the name by underscores, and a
// slash in the name separates levels of subtests. The ID alone is not enough, because several rows may share it.
func pattern(name string) string {
	return "^" + strings.NewReplacer(" ", "_", "/", "$/^").Replace(regexp.QuoteMeta(name)) + "$"
}

// text returns the value of a string, or its source if the string is not a constant that can be evaluated here.
func (s *source) text(e ast.Expr) string {
	if v, ok := s.constant(e, 0); ok {
		return v
	}
	var b strings.Builder
	printer.Fprint(&b, s.set, e)
	return b.String()
}

func (s *source) constant(e ast.Expr, depth int) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		v := constant.MakeFromLiteral(e.Value, e.Kind, 0)
		if e.Kind != token.STRING {
			return "", false
		}
		return constant.StringVal(v), true
	case *ast.ParenExpr:
		return s.constant(e.X, depth)
	case *ast.BinaryExpr:
		a, ok1 := s.constant(e.X, depth)
		b, ok2 := s.constant(e.Y, depth)
		return a + b, ok1 && ok2 && e.Op == token.ADD
	case *ast.Ident:
		for _, d := range s.decls[e.Name] {
			v, ok := d.(*ast.ValueSpec)
			for i := 0; ok && depth < 10 && i < len(v.Values); i++ {
				if v.Names[i].Name == e.Name {
					return s.constant(v.Values[i], depth+1)
				}
			}
		}
	}
	return "", false
}

// scenario fills in what every scenario has: its position, and what it and the functions that it uses do.
func (s *source) scenario(at, body ast.Node, imports map[string]string, pkg string) Scenario {
	w := &walk{seen: map[ast.Node]bool{}, patterns: map[string]bool{}, faults: map[string]bool{}}
	w.visit(s, body, imports)
	if len(w.patterns) == 0 { // it uses patterns through another package
		for _, path := range imports {
			w.pattern(path)
		}
	}
	where := s.set.Position(at.Pos())
	return Scenario{Package: pkg, File: where.Filename, Line: where.Line, Patterns: sorted(w.patterns), Faults: sorted(w.faults)}
}
