package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/internal/sweep"
	"github.com/squall-sim/squall/internal/tables"
)

// newModule makes a module that takes squall from this checkout, and goes there.
func newModule(t *testing.T) string {
	t.Helper()
	squall, err := filepath.Abs("../..")
	require.NoError(t, err)
	dir := t.TempDir()
	text := fmt.Sprintf("module example.com/shop\n\ngo 1.26.0\n\nrequire github.com/squall-sim/squall v0.0.0\n\nreplace github.com/squall-sim/squall => %s\n", squall)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte(text), 0o600))
	sum, err := os.ReadFile("../../go.sum")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.sum"), sum, 0o600))
	t.Setenv("GOFLAGS", "-mod=mod")
	t.Chdir(dir)
	return dir
}

// What is written into a user's own module is in gofmt's form, compiles, passes, and is listed.
func TestANewScenarioRuns(t *testing.T) {
	newModule(t)
	_, err := run(t, "scenarios")
	require.NoError(t, err)
	require.NoError(t, os.Mkdir("checkout", 0o700))
	require.NoError(t, os.WriteFile("checkout/checkout.go", []byte("package pay\n"), 0o600))
	out, err := run(t, "new", "scenario", "-in", "checkout", "the answer", "is lost on linux")
	require.NoError(t, err, out)
	require.Equal(t, "checkout/the_answer_is_lost_on_linux_scenario_test.go\nTo run it: go test -run '^TestTheAnswerIsLostOnLinux$' ./checkout\n", out)
	text, err := os.ReadFile("checkout/the_answer_is_lost_on_linux_scenario_test.go")
	require.NoError(t, err)
	require.True(t, bytes.HasPrefix(text, []byte("package pay_test\n")))
	unformatted, err := exec.Command("gofmt", "-l", ".").CombinedOutput()
	require.NoError(t, err)
	require.Empty(t, string(unformatted))

	said, err := exec.Command("go", "test", "-v", "-run", "^TestTheAnswerIsLostOnLinux$", "./checkout").CombinedOutput()
	require.NoError(t, err, string(said))
	require.Contains(t, string(said), "--- PASS: TestTheAnswerIsLostOnLinux")

	for _, row := range []struct {
		args []string
		says string
	}{
		{[]string{"-in", "checkout", "The answer is-lost_on Linux"}, "checkout/the_answer_is_lost_on_linux_scenario_test.go already has a function TestTheAnswerIsLostOnLinux"},
		{[]string{"-in", "checkout", "the Answer is lost", "on LINUX"}, "already exists and was not changed"},
		{[]string{"-in", "nowhere", "x"}, "nowhere"},
		{[]string{"-in", "go.mod", "x"}, "-in go.mod is a file"},
		{[]string{}, `the name "" has no words`},
		{[]string{"überall"}, `contains 'ü': want words of ASCII letters and digits, such as "the answer is lost"`},
		{[]string{"../x"}, `contains '.'`},
		{[]string{"test"}, "is empty apart from Test"},
		{[]string{"main"}, "TestMain"},
		{[]string{strings.Repeat("a", 101)}, "has 101 letters, more than 100"},
	} {
		_, err = run(t, append([]string{"new", "scenario"}, row.args...)...)
		require.ErrorContains(t, err, row.says)
	}
	after, err := os.ReadFile("checkout/the_answer_is_lost_on_linux_scenario_test.go")
	require.NoError(t, err)
	require.Equal(t, string(text), string(after))

	out, err = run(t, "scenarios", "LOST", "linux")
	require.NoError(t, err)
	require.Equal(t, `TestTheAnswerIsLostOnLinux
    the answer is lost on linux: describe here what your program promises in this case.
    checkout/the_answer_is_lost_on_linux_scenario_test.go:13   faults: Down
    go test -run '^TestTheAnswerIsLostOnLinux$' example.com/shop/checkout
`, out)
	out, err = run(t, "scenarios", "-json", "-fault", "down", "-pattern", "")
	require.NoError(t, err)
	var all []tables.Scenario
	require.NoError(t, json.Unmarshal([]byte(out), &all))
	require.Len(t, all, 1)
	require.Equal(t, "example.com/shop/checkout", all[0].Package)
	out, err = run(t, "scenarios", "-fault", "Crash")
	require.NoError(t, err)
	require.Equal(t, "squall: none of the 1 scenarios of ./... matches\n", out)
	_, err = run(t, "scenarios", "./...")
	require.ErrorContains(t, err, "./...: the arguments are words to search for; name packages with -in ./...")
}

func TestScenariosOfAModuleWithoutAny(t *testing.T) {
	dir := newModule(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "shop.go"), []byte("package shop\n"), 0o600))
	out, err := run(t, "scenarios")
	require.NoError(t, err)
	require.Contains(t, out, "squall: ./... has no scenarios. To write the first: squall new scenario")
	out, err = run(t, "scenarios", "-json")
	require.NoError(t, err)
	require.Equal(t, "[]\n", out)
}

// A module that does not know squall is told so, before anything is written.
func TestANewScenarioNeedsSquall(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("go.mod", []byte("module example.com/shop\n\ngo 1.26.0\n"), 0o600))
	_, err := run(t, "new", "scenario", "x")
	require.ErrorContains(t, err, "the module of . does not require github.com/squall-sim/squall")
	files, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	require.Empty(t, files)
}

// The first folder of a module has no package yet, whose name is then made of the folder's.
func TestPackageNames(t *testing.T) {
	for folder, want := range map[string]string{"shop": "shop_test", "My-Shop.v2": "myshopv2_test", "2024": "scenarios_test", "go": "scenarios_test", "7up": "up_test"} {
		got, err := packageName(filepath.Join(t.TempDir(), folder))
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

// Findings are offered by the shell as arguments.
func TestCompletion(t *testing.T) {
	out, err := run(t, "completion", "bash")
	require.NoError(t, err)
	require.Contains(t, out, "__complete")
	dir := t.TempDir()
	writeLedger(t, dir, sweep.Heading{}, sweep.Finding{Package: "x/p", Test: "TestA", Seed: 23, Seeded: true, Cause: "a_test.go:5: late"})
	for _, command := range []string{"replay", "report"} {
		out, err = run(t, "__complete", command, "-dir", dir, "")
		require.NoError(t, err)
		require.Contains(t, out, "1\tTestA: a_test.go:5: late\n")
	}
}
