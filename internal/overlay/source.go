package overlay

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A pkgSource is a package of the standard library and its pending changes.
type pkgSource struct {
	path, dir string
	fset      *token.FileSet
	files     []*fileSource
}

type fileSource struct {
	name    string
	text    []byte
	syntax  *ast.File
	splices []splice
}

// A splice replaces a part of a file, which may be empty, by text.
type splice struct {
	from, to int
	text     string
	closing  bool // the text belongs to the code before it
}

// readPackage reads the files of a package that the go command would compile.
func readPackage(path, dir string, names []string) (*pkgSource, error) {
	p := &pkgSource{path: path, dir: dir, fset: token.NewFileSet()}
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		syntax, err := parser.ParseFile(p.fset, name, text, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		p.files = append(p.files, &fileSource{name: name, text: text, syntax: syntax})
	}
	return p, nil
}

// apply records the changes of an edit, or returns an error that describes what it did not find.
func (p *pkgSource) apply(e edit) error {
	var want pattern
	if e.at != "" {
		var err error
		if want, err = parsePattern(e.at); err != nil {
			return err
		}
	}
	found := 0
	for _, f := range p.files {
		for _, decl := range f.declarations(e.decl) {
			if e.at == "" {
				if opening, closing, ok := braces(decl); ok {
					found++
					f.insertWithin(p.offset(opening), p.offset(closing), e)
				}
				continue
			}
			found += p.applyIn(f, decl, want, e)
		}
	}
	if found == 0 || e.times != every && found != e.times {
		wanted := "once or more"
		if e.times != every {
			wanted = strconv.Itoa(e.times) + " times"
		}
		return fmt.Errorf("%s: found %d times, want %s", e.describe(), found, wanted)
	}
	return nil
}

// declarations returns the declarations of the file that an edit names.
func (f *fileSource) declarations(name string) (all []ast.Node) {
	for _, d := range f.syntax.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if name == "*" || name == declName(d) {
				all = append(all, d)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if typ, ok := spec.(*ast.TypeSpec); name == "*" || ok && typ.Name.Name == name {
					all = append(all, spec)
				}
			}
		}
	}
	return all
}

// braces returns the positions of the braces around a function's body or a type's fields.
func braces(decl ast.Node) (opening, closing token.Pos, ok bool) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Body != nil {
			return d.Body.Lbrace, d.Body.Rbrace, true
		}
	case *ast.TypeSpec:
		switch t := d.Type.(type) {
		case *ast.StructType:
			return t.Fields.Opening, t.Fields.Closing, true
		case *ast.InterfaceType:
			return t.Methods.Opening, t.Methods.Closing, true
		}
	}
	return 0, 0, false
}

// insertWithin inserts the text of an edit after the opening brace or before the closing one.
func (f *fileSource) insertWithin(opening, closing int, e edit) {
	if e.do == atBeginning {
		f.insert(opening+1, oneLine(e.text)+"; ", false)
		return
	}
	text := oneLine(e.text)
	if !bytes.ContainsRune(f.text[opening:closing], '\n') && closing > opening+1 {
		text = "; " + text
	}
	f.insert(closing, text, true)
}

// applyIn applies the edit wherever it fits in a declaration, and returns how often it did.
func (p *pkgSource) applyIn(f *fileSource, decl ast.Node, want pattern, e edit) (found int) {
	var statement []ast.Stmt // the enclosing statements that are elements of a list of statements
	var walk func(n ast.Node)
	visit := func(n ast.Node) {
		captured, ok := want.match(n)
		if !ok {
			return
		}
		from, to := p.offset(n.Pos()), p.offset(n.End())
		if e.do == insteadOf {
			found++
			f.splices = append(f.splices, splice{from: from, to: to, text: p.expand(f, e.text, n, captured)})
			return
		}
		if len(statement) == 0 {
			return
		}
		s := statement[len(statement)-1]
		found++
		from, to = p.offset(s.Pos()), p.offset(s.End())
		switch e.do {
		case beforeStatement:
			f.insert(from, oneLine(e.text)+"; ", false)
		case afterStatement:
			f.insert(to, "; "+oneLine(e.text), true)
		case aroundStatement:
			f.insert(from, joinTokens(e.text)+" ", false)
			f.insert(to, "; "+joinTokens(e.after), true)
		}
	}
	walk = func(n ast.Node) {
		ast.Inspect(n, func(n ast.Node) bool {
			var list []ast.Stmt
			switch b := n.(type) {
			case nil:
				return false
			case *ast.BlockStmt:
				list = b.List
			case *ast.CaseClause:
				list = b.Body
			case *ast.CommClause:
				list = b.Body
			default:
				visit(n)
				return true
			}
			switch c := n.(type) {
			case *ast.CaseClause:
				for _, x := range c.List {
					walk(x)
				}
			case *ast.CommClause:
				if c.Comm != nil {
					walk(c.Comm)
				}
			}
			for _, s := range list {
				switch s.(type) {
				case *ast.CaseClause, *ast.CommClause: // parts of a statement
					walk(s)
					continue
				}
				statement = append(statement, s)
				walk(s)
				statement = statement[:len(statement)-1]
			}
			return false
		})
	}
	walk(decl)
	return found
}

func (p *pkgSource) offset(pos token.Pos) int { return p.fset.Position(pos).Offset }

// expand replaces $0 by a node's text, and $1, $2 and so on by the matches of the wildcards.
func (p *pkgSource) expand(f *fileSource, text string, n ast.Node, captured []ast.Node) string {
	for i, c := range append([]ast.Node{n}, captured...) {
		was := string(f.text[p.offset(c.Pos()):p.offset(c.End())])
		text = strings.ReplaceAll(text, "$"+strconv.Itoa(i), was)
	}
	return text
}

func (f *fileSource) insert(at int, text string, closing bool) {
	f.splices = append(f.splices, splice{from: at, to: at, text: text, closing: closing})
}

// changed returns the file with all splices. Insertions at the same place keep the order of the edits, except that text that closes
// something precedes text that opens something else.
func (f *fileSource) changed() ([]byte, error) {
	slices.SortStableFunc(f.splices, func(a, b splice) int {
		switch {
		case a.from != b.from:
			return a.from - b.from
		case a.closing != b.closing && a.closing:
			return -1
		case a.closing != b.closing:
			return 1
		default:
			return (a.to - a.from) - (b.to - b.from) // insertions precede replacements
		}
	})
	var b bytes.Buffer
	at := 0
	for _, s := range f.splices {
		if s.from < at {
			return nil, fmt.Errorf("two edits change the same place: %q", f.text[s.from:at])
		}
		b.Write(f.text[at:s.from])
		b.WriteString(s.text)
		at = s.to
	}
	b.Write(f.text[at:])
	if _, err := parser.ParseFile(token.NewFileSet(), f.name, b.Bytes(), parser.SkipObjectResolution); err != nil {
		return nil, fmt.Errorf("an edit makes it invalid: %w", err)
	}
	return b.Bytes(), nil
}

// oneLine writes statements in one line, so that the lines of a changed file keep their numbers.
func oneLine(text string) string { return strings.TrimRight(joinTokens(text), "; ") }

func joinTokens(text string) string {
	var s scanner.Scanner
	file := token.NewFileSet().AddFile("", -1, len(text))
	s.Init(file, []byte(text), nil, 0)
	var b strings.Builder
	end := 0
	for {
		pos, tok, lit := s.Scan()
		if tok == token.EOF {
			return strings.TrimSuffix(b.String(), ";")
		}
		if tok == token.SEMICOLON && lit == "\n" {
			b.WriteByte(';')
			continue
		}
		if lit == "" || tok == token.SEMICOLON {
			lit = tok.String()
		}
		if offset := file.Offset(pos); offset > end && b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(lit)
		end = file.Offset(pos) + len(lit)
	}
}
