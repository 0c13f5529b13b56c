package overlay

import "embed"

// A set holds the changes to the standard library for one purpose.
type set struct {
	name  string
	edits []edit
	files []file
}

// A file is added to a package of the standard library. Its source is in the folder files, under the package's path and the file's own name
// with ".txt".
type file struct {
	pkg, name    string
	since, until int // minor versions of Go 1, both included; 0: no bound
}

//go:embed files
var sources embed.FS

type action int

const (
	atBeginning action = iota // of a function's body or of a type's fields
	atEnd                     // of a type's fields
	beforeStatement
	afterStatement
	insteadOf
	aroundStatement
)

// An edit is one change of a declaration. The functions below make them.
type edit struct {
	pkg          string // import path
	decl         string // "f", "T.f" for methods with any receiver, a type's name, or "*" for any declaration
	at           string // pattern to look for in the declaration
	do           action
	text, after  string
	times        int // how often the pattern must be found; every: at least once
	since, until int // minor versions of Go 1, both included; 0: no bound
	goos         string
}

const every = -1

// begin inserts statements at the beginning of a function's body.
func begin(pkg, function, text string) edit {
	return edit{pkg: pkg, decl: function, text: text, times: 1}
}

// fields adds fields to a struct, or methods to an interface, after the existing ones.
func fields(pkg, typ, text string) edit {
	return edit{pkg: pkg, decl: typ, do: atEnd, text: text, times: 1}
}

// firstFields adds fields to a struct before the existing ones.
func firstFields(pkg, typ, text string) edit {
	return edit{pkg: pkg, decl: typ, text: text, times: 1}
}

// before inserts statements before the statement that contains a match of the pattern.
func before(pkg, decl, pattern, text string) edit {
	return edit{pkg: pkg, decl: decl, at: pattern, do: beforeStatement, text: text, times: 1}
}

// after inserts statements after the statement that contains a match of the pattern.
func after(pkg, decl, pattern, text string) edit {
	return edit{pkg: pkg, decl: decl, at: pattern, do: afterStatement, text: text, times: 1}
}

// around inserts text before and after the statement that contains a match of the pattern: "if x {" and "}", for example.
func around(pkg, decl, pattern, opening, closing string) edit {
	return edit{pkg: pkg, decl: decl, at: pattern, do: aroundStatement, text: opening, after: closing, times: 1}
}

// replace replaces a match of the pattern by text. In text, $0 stands for the match, and $1 for the match of the first _ in the pattern.
func replace(pkg, decl, pattern, text string) edit {
	return edit{pkg: pkg, decl: decl, at: pattern, do: insteadOf, text: text, times: 1}
}

// everywhere returns the edit for every place where it fits. There must be at least one.
func (e edit) everywhere() edit { e.times = every; return e }

// exactly returns the edit for the given number of places.
func (e edit) exactly(times int) edit { e.times = times; return e }

// from returns the edit for Go 1.minor and later.
func (e edit) from(minor int) edit { e.since = minor; return e }

// to returns the edit for Go 1.minor and earlier.
func (e edit) to(minor int) edit { e.until = minor; return e }

// on returns the edit for one operating system.
func (e edit) on(goos string) edit { e.goos = goos; return e }

func inRange(minor, since, until int) bool {
	return minor >= since && (until == 0 || minor <= until)
}
