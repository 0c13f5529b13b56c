package stacks

import (
	"reflect"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
)

// A Frame is one call on a goroutine's stack, as a stack dump shows it.
type Frame struct {
	Function string // such as "net/http.(*conn).serve"
	Where    string // file:line
}

// Frames returns the calls of a goroutine, innermost first, and the one that started it.
func (g Goroutine) Frames() (calls []Frame, creator Frame) {
	lines := strings.Split(g.Text, "\n")
	for i := 1; i+1 < len(lines); i++ {
		where, isPlace := strings.CutPrefix(lines[i+1], "\t")
		if !isPlace {
			continue
		}
		where, _, _ = strings.Cut(where, " +0x")
		name := lines[i]
		if made, ok := strings.CutPrefix(name, "created by "); ok {
			made, _, _ = strings.Cut(made, " in goroutine ")
			return calls, Frame{made, where}
		}
		if end := strings.LastIndex(name, "("); end > 0 {
			name = name[:end] // without arguments
		}
		calls = append(calls, Frame{name, where})
	}
	return calls, creator
}

var (
	// OwnPackage is the simulator's package, which this one is part of.
	OwnPackage = strings.TrimSuffix(reflect.TypeFor[Goroutine]().PkgPath(), "/internal/stacks")
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

// Simulator reports whether a call is one of the simulator, and not of a test of it.
func (f Frame) Simulator() bool {
	after, ok := strings.CutPrefix(f.Function, OwnPackage)
	return ok && (strings.HasPrefix(after, ".") || strings.HasPrefix(after, "/")) && !strings.Contains(f.Where, "_test.go:")
}

// Standard reports whether a call is one of Go's standard library.
func (f Frame) Standard() bool {
	if goRoot != "" {
		return strings.HasPrefix(f.Where, goRoot)
	}
	first, _, folders := strings.Cut(f.Function, "/")
	if !folders {
		first, _, _ = strings.Cut(first, ".")
		first = strings.TrimSuffix(first, "_test")
	}
	own, _, _ := strings.Cut(mainModule, "/")
	return !strings.Contains(first, ".") && first != "main" && first != own
}

// Program reports whether a call is one of the program under test, its test or its libraries.
func (f Frame) Program() bool { return !f.Simulator() && !f.Standard() }

// Short is the function without the folders of its package.
func (f Frame) Short() string { return f.Function[strings.LastIndex(f.Function, "/")+1:] }

// Serves reports whether g belongs to the network and not to the program. A call of the program that does a
// step of the engine (see waiter) is the program's.
func (g Goroutine) Serves() bool {
	calls, creator := g.Frames()
	return !slices.ContainsFunc(calls, Frame.Program) &&
		(creator.Simulator() || strings.HasPrefix(creator.Function, "time.goFunc") || creator.Function == "") &&
		!slices.ContainsFunc(calls, func(f Frame) bool { return strings.HasPrefix(f.Function, "testing.tRunner") })
}

var exportedName = regexp.MustCompile(`^(?:[A-Z]\w*\.)?[A-Z]\w*$`)

// Waits says where the goroutine waits: a call on the network by its method, everything else by the runtime's
// word for it.
func (g Goroutine) Waits() string {
	calls, _ := g.Frames()
	method := ""
	for _, f := range calls {
		if f.Simulator() {
			method = strings.TrimPrefix(f.Function, OwnPackage+".")
			method = strings.NewReplacer("(*", "", ")", "").Replace(method)
		} else if f.Program() {
			break
		}
	}
	state := strings.TrimSuffix(g.State, " (durable)")
	if state == "runnable" {
		state = "running" // and waits for a processor
	}
	if exportedName.MatchString(method) {
		return method
	}
	return state
}

// Locked reports whether a goroutine waits for a lock of package sync.
func (g Goroutine) Locked() bool {
	if strings.HasPrefix(g.State, "sync.") {
		return !strings.Contains(g.State, "(durable)")
	}
	return g.State == "semacquire" && strings.HasPrefix(g.Stack(), "sync.runtime_Semacquire")
}

// owner returns the type of a method, or the package of another function.
func (f Frame) owner() string {
	if end := strings.LastIndex(f.Function, ")."); end >= 0 {
		return f.Function[:end+1]
	}
	path, name := f.Function[:strings.LastIndex(f.Function, "/")+1], f.Short()
	name, _, _ = strings.Cut(name, ".")
	return path + name
}

// Locker returns the call that wants a lock, of a goroutine that waits for one.
func (g Goroutine) Locker() Frame {
	calls, _ := g.Frames()
	for _, f := range calls {
		if o := f.owner(); !strings.HasPrefix(o, "sync") && !strings.HasPrefix(o, "internal/sync") {
			return f
		}
	}
	return Frame{}
}

// Stack is the goroutine's stack without its state.
func (g Goroutine) Stack() string {
	_, stack, _ := strings.Cut(g.Text, "\n")
	return stack
}

var creatorPattern = regexp.MustCompile(`\ncreated by \S+ in goroutine (\d+)\n`)

// StartedBy returns the number of the goroutine that started g, which may have ended, or "".
func (g Goroutine) StartedBy() string {
	if m := creatorPattern.FindStringSubmatch(g.Text); m != nil {
		return m[1]
	}
	return ""
}

// Enters returns the innermost call of the program on g's stack, and what it calls in the standard library.
func (g Goroutine) Enters() (call string, by Frame, ok bool) {
	calls, _ := g.Frames()
	i := slices.IndexFunc(calls, Frame.Program)
	if i < 0 {
		return "", Frame{}, false
	}
	call = "the program"
	if i > 0 {
		call = calls[i-1].Short()
	}
	return call, calls[i], true
}
