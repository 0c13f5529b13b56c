package sim

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/squall-sim/squall/sim/internal/exact"
)

// A shell parses the printed command as a reader would, whatever the name of the test.
func TestCommandForAShell(t *testing.T) {
	for _, name := range []string{"TestPlain", "TestX/a_phone's_outage", `TestX/$HOME_"quoted"_` + "`pwd`", `TestX/a\b*[c](d)|e#01`, "TestX/äöü;&<>"} {
		r := &runner{name: name, pkg: "github.com/squall-sim/squall/sim", dir: thisDir}
		line, where, _ := strings.Cut(r.command(7), "\n")
		// go is a shell function that prints its arguments.
		out, err := exec.Command("sh", "-c", `go() { printf '%s\n' "SQUALL_SEED=$SQUALL_SEED" "$@"; }; `+line).CombinedOutput()
		if err != nil {
			t.Fatal(err, string(out))
		}
		words := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
		for i, w := range words {
			if w == "-run" {
				words = append(words[:1:1], words[i:]...) // -race and so on depend on the run
				break
			}
		}
		want := []string{"SQUALL_SEED=7", "-run", r.pattern(), r.pkg}
		if strings.Join(words, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s: the shell reads %q, want %q", line, words, want)
		}
		root, word := filepath.Dir(thisDir), "go test"
		if exact.Enabled {
			word = "go run"
		}
		if want := "(in " + root + `; from elsewhere put -C ` + root + ` right after "` + word + `")`; where != want {
			t.Errorf("%s, want %s", where, want)
		}
	}
}

func TestCommandSaysWhere(t *testing.T) {
	dir := t.TempDir()
	pkg := filepath.Join(dir, "it's", "deep")
	if err := os.MkdirAll(pkg, 0o777); err != nil {
		t.Fatal(err)
	}
	if got := moduleOf(pkg, "example.com/m/deep"); got != "" {
		t.Errorf("a module in %s without go.mod", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "it's", "go.mod"), []byte("// a module\nmodule example.com/m // of mine\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"example.com/m/deep": filepath.Dir(pkg), "example.com/m": filepath.Dir(pkg), "example.com/other": "", "example.com/more": ""} {
		if got := moduleOf(pkg, path); got != want {
			t.Errorf("the module of %s is in %q, want %q", path, got, want)
		}
	}
	command := (&runner{name: "TestX", pkg: "example.com/m/deep", dir: pkg}).command(1)
	if want := `put -C '` + strings.ReplaceAll(filepath.Dir(pkg), "'", `'\''`) + `' right after`; !strings.Contains(command, want) {
		t.Errorf("%s, want %s", command, want)
	}
	// A package built from files on the command line has no path.
	command = (&runner{name: "TestX", pkg: "command-line-arguments", dir: pkg}).command(1)
	if !strings.Contains(command, "-run '^TestX$' .\n(in "+pkg+";") {
		t.Error(command)
	}
	// A binary that runs elsewhere than where it was built does not know its folder.
	command = (&runner{name: "TestX", pkg: "example.com/elsewhere", dir: pkg}).command(1)
	if !strings.HasSuffix(command, "-run '^TestX$' example.com/elsewhere") {
		t.Error(command)
	}
}
