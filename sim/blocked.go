package sim

import (
	"cmp"
	"fmt"
	"reflect"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/squall-sim/squall/internal/count"
)

// A frame is one call on a goroutine's stack, as a stack dump shows it.
type frame struct {
	function string // such as "net/http.(*conn).serve"
	where    string // file:line
}

// frames returns the calls of a goroutine, innermost first, and the one that started it.
func (g goroutine) frames() (calls []frame, creator frame) {
	lines := strings.Split(g.text, "\n")
	for i := 1; i+1 < len(lines); i++ {
		where, isPlace := strings.CutPrefix(lines[i+1], "\t")
		if !isPlace {
			continue
		}
		where, _, _ = strings.Cut(where, " +0x")
		name := lines[i]
		if made, ok := strings.CutPrefix(name, "created by "); ok {
			made, _, _ = strings.Cut(made, " in goroutine ")
			return calls, frame{made, where}
		}
		if end := strings.LastIndex(name, "("); end > 0 {
			name = name[:end] // without arguments
		}
		calls = append(calls, frame{name, where})
	}
	return calls, creator
}

var (
	ownPackage = reflect.TypeFor[Network]().PkgPath()
	// The folder of the standard library's files; empty if the binary was built with -trimpath.
	goRoot = func() string {
		f := runtime.FuncForPC(reflect.ValueOf(strings.Cut).Pointer())
		file, _ := f.FileLine(f.Entry())
		root, _ := strings.CutSuffix(file, "strings/strings.go")
		return root
	}()
	mainModule = func() string {
		info, ok := debug.ReadBuildInfo()
		if !ok {
			return ""
		}
		return info.Main.Path
	}()
)

// simulator reports whether a call is one of this package, and not of a test of it.
func (f frame) simulator() bool {
	after, ok := strings.CutPrefix(f.function, ownPackage)
	return ok && (strings.HasPrefix(after, ".") || strings.HasPrefix(after, "/")) && !strings.Contains(f.where, "_test.go:")
}

// standard reports whether a call is one of Go's standard library.
func (f frame) standard() bool {
	if goRoot != "" {
		return strings.HasPrefix(f.where, goRoot)
	}
	first, _, folders := strings.Cut(f.function, "/")
	if !folders {
		first, _, _ = strings.Cut(first, ".")
		first = strings.TrimSuffix(first, "_test")
	}
	own, _, _ := strings.Cut(mainModule, "/")
	return !strings.Contains(first, ".") && first != "main" && first != own
}

// program reports whether a call is one of the program under test, its test or its libraries.
func (f frame) program() bool { return !f.simulator() && !f.standard() }

// short is the function without the folders of its package.
func (f frame) short() string { return f.function[strings.LastIndex(f.function, "/")+1:] }

// serves reports whether g belongs to the network and not to the program. A call of the program that does a
// step of the engine (see waiter) is the program's.
func (g goroutine) serves() bool {
	calls, creator := g.frames()
	return !slices.ContainsFunc(calls, frame.program) &&
		(creator.simulator() || strings.HasPrefix(creator.function, "time.goFunc") || creator.function == "") &&
		!slices.ContainsFunc(calls, func(f frame) bool { return strings.HasPrefix(f.function, "testing.tRunner") })
}

var exportedName = regexp.MustCompile(`^(?:[A-Z]\w*\.)?[A-Z]\w*$`)

// waits says where the goroutine waits: a call on the network by its method, everything else by the runtime's
// word for it.
func (g goroutine) waits() string {
	calls, _ := g.frames()
	method := ""
	for _, f := range calls {
		if f.simulator() {
			method = strings.TrimPrefix(f.function, ownPackage+".")
			method = strings.NewReplacer("(*", "", ")", "").Replace(method)
		} else if f.program() {
			break
		}
	}
	state := strings.TrimSuffix(g.state, " (durable)")
	if state == "runnable" {
		state = "running" // and waits for a processor
	}
	if exportedName.MatchString(method) {
		return method
	}
	return state
}

// A site is where goroutines wait or run: those of one site have the same calls.
type site struct {
	what  string
	calls []frame // of the program, innermost first
	made  frame
	ids   []string
}

// sitesOf groups the program's goroutines by where they are, the largest group last: crowds are seldom the
// cause.
func sitesOf(gs []goroutine) []site {
	var all []site
	for _, g := range gs {
		if g.serves() {
			continue
		}
		calls, made := g.frames()
		s := site{what: g.waits(), made: made}
		for _, f := range calls {
			if f.program() {
				s.calls = append(s.calls, f)
			}
		}
		if len(s.calls) == 0 { // in the standard library: where it was entered
			for _, f := range slices.Backward(calls) {
				if f.standard() && !strings.HasPrefix(f.function, "runtime.") {
					s.calls = []frame{f}
					break
				}
			}
		}
		same := func(o site) bool { return o.what == s.what && slices.Equal(o.calls, s.calls) && o.made == s.made }
		if i := slices.IndexFunc(all, same); i >= 0 {
			all[i].ids = append(all[i].ids, g.id)
		} else {
			s.ids = []string{g.id}
			all = append(all, s)
		}
	}
	slices.SortStableFunc(all, func(a, b site) int { return cmp.Compare(len(a.ids), len(b.ids)) })
	return all
}

// describe lists goroutines of the program by where they are in its code: at most 12 groups.
func describe(gs []goroutine) string {
	const mostSites = 12
	var b strings.Builder
	all := sitesOf(gs)
	for i, s := range all {
		if i == mostSites {
			fmt.Fprintf(&b, "  ... and %s\n", count.Of(len(all)-i, "other place", "other places"))
			break
		}
		who := "goroutine " + s.ids[0]
		if more := len(s.ids) - 1; more > 0 {
			who += " and " + count.Thousands(more) + " more"
		}
		fmt.Fprintf(&b, "  %s: %s\n", who, s.what)
		b.WriteString(listCalls(s.calls))
		if s.made.function != "" && s.made.program() {
			fmt.Fprintf(&b, "      started by %s\n          %s\n", s.made.short(), s.made.where)
		}
	}
	return b.String()
}

// listCalls lists calls with their places, at most four.
func listCalls(calls []frame) string {
	const most = 4
	var b strings.Builder
	for i, f := range calls {
		if i == most {
			b.WriteString("      ...\n")
			break
		}
		fmt.Fprintf(&b, "      %s\n          %s\n", f.short(), f.where)
	}
	return b.String()
}

// owner returns the type of a method, or the package of another function.
func (f frame) owner() string {
	if end := strings.LastIndex(f.function, ")."); end >= 0 {
		return f.function[:end+1]
	}
	path, name := f.function[:strings.LastIndex(f.function, "/")+1], f.short()
	name, _, _ = strings.Cut(name, ".")
	return path + name
}

// locker returns the call that wants a lock, of a goroutine that waits for one.
func (g goroutine) locker() frame {
	calls, _ := g.frames()
	for _, f := range calls {
		if o := f.owner(); !strings.HasPrefix(o, "sync") && !strings.HasPrefix(o, "internal/sync") {
			return f
		}
	}
	return frame{}
}

// locksAmong says which of some goroutines wait for a lock, and which may hold it: those that wait for
// another lock, or for something else, in a call of the same type or package.
func locksAmong(gs []goroutine) string {
	var b strings.Builder
	seen := map[frame]bool{}
	for _, g := range gs {
		if !g.locked() || g.serves() {
			continue
		}
		at := g.locker()
		if at.simulator() || seen[at] { // the network's own lock is held for a moment only
			continue
		}
		seen[at] = true
		var holders []goroutine
		for _, h := range gs {
			calls, _ := h.frames()
			if h.id != g.id && !(h.locked() && h.locker() == at) && !h.serves() && slices.ContainsFunc(calls, func(f frame) bool { return f.owner() == at.owner() }) {
				holders = append(holders, h)
			}
		}
		fmt.Fprintf(&b, "Goroutine %s waits for a lock in %s (%s).\n", g.id, at.short(), at.where)
		if list := describe(holders); list != "" {
			b.WriteString("One of these goroutines, which wait too, probably holds it:\n" + list)
		} else {
			fmt.Fprintf(&b, "No other goroutine is likely to hold it: goroutine %s may hold it itself, or one that ended did not release it.\n", g.id)
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}
