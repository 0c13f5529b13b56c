package overlay

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"
)

// A pattern describes an expression or a statement in Go's own syntax. In a pattern, _ stands for any expression, and __ at the end of a
// list for any number of expressions. An empty body, as in "if x != nil {}", stands for any body, with or without an else.
type pattern struct {
	expr ast.Expr
	stmt ast.Stmt
}

func parsePattern(text string) (pattern, error) {
	if expr, err := parser.ParseExpr(text); err == nil {
		return pattern{expr: expr}, nil
	}
	f, err := parser.ParseFile(token.NewFileSet(), "", "package p; func _() {"+text+"\n}", 0)
	if err != nil {
		return pattern{}, fmt.Errorf("pattern %q: %w", text, err)
	}
	body := f.Decls[0].(*ast.FuncDecl).Body.List
	if len(body) != 1 {
		return pattern{}, fmt.Errorf("pattern %q: want one expression or statement, not %d", text, len(body))
	}
	return pattern{stmt: body[0]}, nil
}

// match reports whether a node matches the pattern. It also returns the matches of the wildcards.
func (p pattern) match(n ast.Node) (captured []ast.Node, ok bool) {
	var want any = p.stmt
	if p.expr != nil {
		if _, isExpr := n.(ast.Expr); !isExpr {
			return nil, false
		}
		want = p.expr
	}
	ok = same(reflect.ValueOf(want), reflect.ValueOf(n), &captured)
	return captured, ok
}

var (
	positions = reflect.TypeFor[token.Pos]()
	objects   = reflect.TypeFor[*ast.Object]()
	comments  = reflect.TypeFor[*ast.CommentGroup]()
	exprs     = reflect.TypeFor[ast.Expr]()
)

// bare returns a node without the interface and parentheses around it.
func bare(v reflect.Value) reflect.Value {
	if v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if v.IsValid() && v.Kind() == reflect.Pointer && !v.IsNil() {
		if p, ok := v.Interface().(*ast.ParenExpr); ok {
			return bare(reflect.ValueOf(p.X))
		}
	}
	return v
}

// same compares syntax by structure.
func same(want, got reflect.Value, captured *[]ast.Node) bool {
	want, got = bare(want), bare(got)
	if want.IsValid() && got.IsValid() && want.Type().AssignableTo(exprs) && isWildcard(want.Interface(), "_") {
		if expr, ok := got.Interface().(ast.Expr); ok {
			*captured = append(*captured, expr)
			return true
		}
	}
	if !want.IsValid() || !got.IsValid() || want.Type() != got.Type() {
		return want.IsValid() == got.IsValid() && !want.IsValid()
	}
	switch want.Type() {
	case positions, objects, comments:
		return true
	}
	switch want.Kind() {
	case reflect.Pointer:
		if want.IsNil() || got.IsNil() {
			return want.IsNil() == got.IsNil()
		}
		return sameStruct(want.Elem(), got.Elem(), captured)
	case reflect.Slice:
		return sameList(want, got, captured)
	default:
		return want.Equal(got)
	}
}

func sameStruct(want, got reflect.Value, captured *[]ast.Node) bool {
	for i := range want.NumField() {
		switch want.Type().Field(i).Name {
		case "Body":
			if body, ok := want.Field(i).Interface().(*ast.BlockStmt); ok && body != nil && len(body.List) == 0 {
				continue
			}
		case "Else":
			if want.Field(i).IsNil() {
				continue
			}
		}
		if !same(want.Field(i), got.Field(i), captured) {
			return false
		}
	}
	return true
}

func sameList(want, got reflect.Value, captured *[]ast.Node) bool {
	n := want.Len()
	if n > 0 && isWildcard(want.Index(n-1).Interface(), "__") {
		if n--; got.Len() < n {
			return false
		}
	} else if got.Len() != n {
		return false
	}
	for i := range n {
		if !same(want.Index(i), got.Index(i), captured) {
			return false
		}
	}
	return true
}

func isWildcard(n any, name string) bool {
	id, ok := n.(*ast.Ident)
	return ok && id != nil && id.Name == name
}

// declName returns the name of a declaration in edits.
func declName(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return d.Name.Name
	}
	typ := d.Recv.List[0].Type
	for {
		switch t := typ.(type) {
		case *ast.StarExpr:
			typ = t.X
		case *ast.IndexExpr:
			typ = t.X
		case *ast.IndexListExpr:
			typ = t.X
		case *ast.ParenExpr:
			typ = t.X
		case *ast.Ident:
			return t.Name + "." + d.Name.Name
		default:
			return d.Name.Name
		}
	}
}

// describe says in words what an edit looks for.
func (e edit) describe() string {
	where := e.pkg + ": " + e.decl
	if e.decl == "*" {
		where = e.pkg + ": any declaration"
	}
	if e.at != "" {
		where += ": " + strings.Join(strings.Fields(e.at), " ")
	}
	return where
}
