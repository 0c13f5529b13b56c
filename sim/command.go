package sim

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/squall-sim/squall/sim/internal/exact"
)

// command returns what a person types to run one seed again: a command for a POSIX shell, and where to type
// it.
func (r *runner) command(seed uint64) string { return r.commandBy(schedule.policy, seed) }

// commandBy is the same for another scheduling policy.
func (r *runner) commandBy(p exact.Policy, seed uint64) string {
	words := append([]string{fmt.Sprintf("SQUALL_SEED=%d", seed)}, goTest(p)...)
	if faults := os.Getenv(faultsVariable); faults != "" {
		words = append([]string{faultsVariable + "=" + shellQuote(faults)}, words...)
	}
	for _, e := range r.env {
		name, value, _ := strings.Cut(e, "=")
		words = append([]string{name + "=" + shellQuote(value)}, words...)
	}
	dir, pkg := r.dir, r.pkg
	if pkg == "command-line-arguments" { // go test a_test.go: no package that has a path
		pkg = "."
	} else if module := moduleOf(dir, pkg); module != "" {
		dir = module
	} else {
		dir = ""
	}
	if raceEnabled {
		words = append(words, "-race")
	}
	if tags := userTags(); tags != "" {
		words = append(words, "-tags", tags)
	}
	if testing.Short() {
		words = append(words, "-short")
	}
	words = append(words, "-run", "'"+strings.ReplaceAll(r.pattern(), "'", `'\''`)+"'", pkg)
	if own := ownArgs(); len(own) > 0 {
		words = append(words, "-args")
		for _, a := range own {
			words = append(words, shellQuote(a))
		}
	}
	text := strings.Join(words, " ")
	if dir != "" {
		after := "go test"
		if exact.Enabled { // the go command must find the simulator there, too
			after = "go run"
		}
		text += fmt.Sprintf("\n(in %s; from elsewhere put -C %s right after %q)", dir, shellQuote(dir), after)
	}
	return text
}

// goTest is the command by which this mode runs tests.
func goTest(p exact.Policy) []string {
	if exact.Enabled {
		return []string{policyFor(p), "go", "run", "github.com/squall-sim/squall/cmd/squall", "test"}
	}
	return []string{"go", "test"}
}

// userTags are the build tags that the user set.
func userTags() string {
	tags := strings.FieldsFunc(buildSetting("-tags"), func(r rune) bool { return r == ',' || r == ' ' })
	return strings.Join(slices.DeleteFunc(tags, func(tag string) bool { return tag == exact.Tag }), ",")
}

// pattern returns the argument of -run that selects the test.
func (r *runner) pattern() string {
	parts := strings.Split(r.name, "/")
	for i, p := range parts {
		parts[i] = "^" + quoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}

// shellQuote returns s as one word for a POSIX shell.
func shellQuote(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=,@%+"
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// ownArgs are the arguments of the test binary that do not belong to package testing.
func ownArgs() []string {
	flags, rest := splitArgs(os.Args[1:])
	var own []string
	for _, f := range flags {
		if !strings.HasPrefix(strings.TrimLeft(f[0], "-"), "test.") {
			own = append(own, f...)
		}
	}
	return append(own, rest...)
}

// thisPackage returns the import path of the package under test.
var thisPackage = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "."
	}
	return strings.TrimSuffix(info.Path, ".test")
})

// thisDir is the folder in which the test binary was started. For go test it is that of the package; a test
// may change to another one.
var thisDir, _ = os.Getwd()

// moduleOf returns the folder of the module that contains a package and the folder dir, or "" if there is
// none: then the binary was built elsewhere.
func moduleOf(dir, pkg string) string {
	for dir != "" {
		if b, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil {
			for line := range strings.Lines(string(b)) {
				if f := strings.Fields(line); len(f) >= 2 && f[0] == "module" {
					if path := strings.Trim(f[1], "\"`"); pkg == path || strings.HasPrefix(pkg, path+"/") {
						return dir
					}
				}
			}
			return ""
		}
		up := filepath.Dir(dir)
		if up == dir {
			break
		}
		dir = up
	}
	return ""
}

// buildSetting returns a setting with which the program was built, or "".
func buildSetting(key string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == key {
				return s.Value
			}
		}
	}
	return ""
}
