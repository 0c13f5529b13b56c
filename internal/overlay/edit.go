package overlay

import "embed"

// A set is what one purpose needs of the standard library.
type set struct {
	name  string
	edits []edit
	files []file
}

// A file is one that a package of the standard library gets in addition. Its source lies
// in the folder files, under the package's path and its own name and ".txt".
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
	decl         string // "f", "T.f" of methods, whatever their receiver, a type's name, or "*": any
	at           string // pattern of what is looked for in it
	do           action
	text, after  string
	times        int // how often it must be found; every: once or more
	since, until int // minor versions of Go 1, both included; 0: no bound
	goos         string
}

const every = -1

// begin puts statements at the beginning of a function's body.
func begin(pkg, function, text string) edit {
	return edit{pkg: pkg, decl: function, text: text, times: 1}
}

// fields adds fields to a struct, or methods to an interface, after those that it has.
func fields(pkg, typ, text string) edit {
	return edit{pkg: pkg, decl: typ, do: atEnd, text: text, times: 1}
}

// firstFields adds fields to a struct before those that it has.
func firstFields(pkg, typ, text string) edit {
	return edit{pkg: pkg, decl: typ, text: text, times: 1}
}

// before puts statements before the one that has what the pattern describes.
func before(pkg, decl, pattern, text string) edit {
	return edit{pkg: pkg, decl: decl, at: pattern, do: beforeStatement, text: text, times: 1}
}

// after puts statements after the one that has what the pattern describes.
func after(pkg, decl, pattern, text string) edit {
	return edit{pkg: pkg, decl: decl, at: pattern, do: afterStatement, text: text, times: 1}
}

// around puts text before and after the statement that has what the pattern describes:
// "if x {" and "}" for instance.
func around(pkg, decl, pattern, opening, closing string) edit {
	return edit{pkg: pkg, decl: decl, at: pattern, do: aroundStatement, text: opening, after: closing, times: 1}
}

// replace puts text in the place of what the pattern describes. $0 in it is what was there, $1
// what the first _ of the pattern stands for.
func replace(pkg, decl, pattern, text string) edit {
	return edit{pkg: pkg, decl: decl, at: pattern, do: insteadOf, text: text, times: 1}
}

// everywhere is the edit wherever it fits, which is at one place at least.
func (e edit) everywhere() edit { e.times = every; return e }

// exactly is the edit at so many places.
func (e edit) exactly(times int) edit { e.times = times; return e }

// from is the edit for Go 1.minor and later.
func (e edit) from(minor int) edit { e.since = minor; return e }

// to is the edit for Go 1.minor and earlier.
func (e edit) to(minor int) edit { e.until = minor; return e }

// on is the edit for one operating system.
func (e edit) on(goos string) edit { e.goos = goos; return e }

func inRange(minor, since, until int) bool {
	return minor >= since && (until == 0 || minor <= until)
}
