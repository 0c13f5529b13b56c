package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/squall-sim/squall/internal/sweep"
)

// A repeat says which test to run again, with which seed.
type repeat struct {
	dir, run  string
	seed      uint64
	artifacts string // the folder for SQUALL_ARTIFACTS
	tags      string
	race      bool
	exact     bool
	short     bool
}

func (r *repeat) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.dir, "dir", ".squall-sweep", "`FOLDER` of the sweep")
	cmd.Flags().StringVar(&r.run, "run", "", "run these tests instead of a finding, as go test -run")
	cmd.Flags().Uint64Var(&r.seed, "seed", 1, "the seed for -run")
	cmd.Flags().BoolVar(&r.race, "race", false, "with the race detector")
	cmd.Flags().BoolVar(&r.exact, "exact", false, "in exact mode, as squall test; always on for findings of an exact sweep")
	cmd.Flags().StringVar(&r.tags, "tags", "", "build tags, instead of the sweep's")
	cmd.Flags().BoolVar(&r.short, "short", false, "as go test -short")
}

const findingsHelp = `Name a finding by its number in the sweep's result, such as 2; with 2:4711 it runs with another of its seeds. Without a number the findings are
listed. The test is built as in the sweep, with the sweep's flags and GOFLAGS; a GOFLAGS that you set takes precedence. To run a test instead
of a finding, use -run with -seed and packages.`

func replayCommand() *cobra.Command {
	var r repeat
	cmd := &cobra.Command{
		Use:     "replay [finding | -run TEST -seed N packages]",
		Short:   "Run a test again that failed in a sweep",
		Long:    "Run a test again with the seed that made it fail.\n\n" + findingsHelp,
		Example: "  squall replay 1\n  squall replay -run TestCheckout -seed 4711 ./checkout",
		RunE:    func(cmd *cobra.Command, args []string) error { return r.do(cmd, args) },

		ValidArgsFunction: r.complete,
	}
	r.flags(cmd)
	return cmd
}

func reportCommand() *cobra.Command {
	var r repeat
	cmd := &cobra.Command{
		Use:   "report [finding | -run TEST -seed N packages]",
		Short: "Write the page and the captures of a test, whether it fails or not",
		Long: `Run a test again and write the folder that SQUALL_ARTIFACTS writes for a failed test: report.html, a capture for each host, the trace and the
faults. The seed is the one that made it fail, or the one you name.

` + findingsHelp,
		ValidArgsFunction: r.complete,
		Example:           "  squall report 1\n  squall report -run TestCheckout -seed 1 -o /tmp/look ./checkout",
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := filepath.Abs(r.artifacts)
			if err != nil {
				return err
			}
			r.artifacts = dir
			err = r.do(cmd, args)
			pages, _ := findPages(dir)
			for _, p := range pages {
				about := ""
				if err != nil && passed(p) {
					about = " (a run that passed)"
				}
				fmt.Fprintln(cmd.OutOrStdout(), p+about)
			}
			return err
		},
	}
	r.flags(cmd)
	cmd.Flags().StringVarP(&r.artifacts, "out", "o", "squall-report", "`FOLDER` to write to")
	return cmd
}

// complete offers the findings of the sweep.
func (r *repeat) complete(_ *cobra.Command, args []string, _ string) (all []cobra.Completion, _ cobra.ShellCompDirective) {
	result, err := sweep.Merge([]string{r.dir})
	if r.run != "" || err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	for i, c := range result.Causes {
		what, _, _ := strings.Cut(c.Text, "\n")
		all = append(all, cobra.CompletionWithDesc(strconv.Itoa(i+1), c.Test+": "+what))
	}
	return all, cobra.ShellCompDirectiveNoFileComp
}

// passed reports whether a page is about a run that passed, such as the one of sim.Explore in which nothing
// breaks.
func passed(page string) bool {
	text, err := os.ReadFile(filepath.Join(filepath.Dir(page), "result.json"))
	var result struct{ Failed *bool }
	return err == nil && json.Unmarshal(text, &result) == nil && result.Failed != nil && !*result.Failed
}

func findPages(dir string) (all []string, err error) {
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == "report.html" {
			all = append(all, path)
		}
		return err
	})
	return all, err
}

func (r *repeat) do(cmd *cobra.Command, args []string) error {
	what, err := r.what(cmd, args)
	if err != nil || what == nil {
		return err
	}
	return r.goTest(cmd, *what)
}

// what returns the test that the arguments name, or nil if they name none and the findings have been listed.
func (r *repeat) what(cmd *cobra.Command, args []string) (*testRun, error) {
	if r.run != "" {
		return &testRun{run: r.run, seed: r.seed, seeded: true, exact: r.exact, policy: os.Getenv(policyVariable), packages: args}, nil
	}
	if _, err := os.Stat(r.dir); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there is no sweep in %s: run squall sweep first, name its folder with -dir, or name a test with -run TEST -seed N PACKAGE", r.dir)
	}
	result, err := sweep.Merge([]string{r.dir})
	if err != nil {
		return nil, err
	}
	if len(args) == 0 {
		result.WriteText(cmd.OutOrStdout(), "")
		return nil, nil
	}
	if len(args) > 1 {
		return nil, fmt.Errorf("%s: want one finding, or packages together with -run", strings.Join(args, " "))
	}
	c, seed, err := pick(result, args[0], r.dir)
	if err != nil {
		return nil, err
	}
	h := result.Heading
	return &testRun{dir: h.Dirs[c.Package], run: exactly(c.Test), seed: seed, seeded: c.Seeded, build: h.Build, exact: h.Exact || r.exact, policy: cmp.Or(os.Getenv(policyVariable), h.Policy), short: h.Short, goFlags: h.GoFlags,
		packages: []string{c.Package}, finding: args[0]}, nil
}

// exactly returns the argument of -run that selects one test.
func exactly(test string) string {
	parts := strings.Split(test, "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}

// pick returns the finding that NUMBER or NUMBER:SEED names, and its seed.
func pick(result *sweep.Result, name, dir string) (c sweep.Cause, seed uint64, err error) {
	if len(result.Causes) == 0 {
		return c, 0, fmt.Errorf("finding %s: the sweep in %s has no findings", name, dir)
	}
	number, text, other := strings.Cut(name, ":")
	i, err := strconv.Atoi(number)
	if err != nil || i < 1 || i > len(result.Causes) {
		return c, 0, fmt.Errorf("finding %s: want a number from 1 to %d, or NUMBER:SEED", name, len(result.Causes))
	}
	c = result.Causes[i-1]
	if seed = c.First; other {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			return c, 0, fmt.Errorf("finding %s: the seed %q is not a number", name, text)
		}
	}
	return c, seed, nil
}

// A testRun is a run of a test with go test.
type testRun struct {
	dir, run string
	seed     uint64
	seeded   bool
	build    []string // flags, of the sweep
	exact    bool
	policy   string // in exact mode: SQUALL_SCHED
	short    bool
	goFlags  string // of the sweep; a GOFLAGS in the environment takes precedence
	packages []string
	finding  string // the finding to repeat
}

// buildFlags returns the flags of the sweep and those given now.
func (r *repeat) buildFlags(what testRun) []string {
	flags := slices.Clone(what.build)
	if r.race && !slices.Contains(flags, "-race") {
		flags = append(flags, "-race")
	}
	if r.tags != "" {
		flags = append(flags, "-tags="+r.tags) // the last one wins
	}
	return flags
}

// exactBuild returns how to build a test. In plain mode, a build needs only the go command.
func (r *repeat) exactBuild(ctx context.Context, what testRun, w io.Writer) (*sweep.Exact, error) {
	if !what.exact {
		return &sweep.Exact{Go: "go"}, nil
	}
	if what.goFlags != "" && os.Getenv("GOFLAGS") == "" {
		os.Setenv("GOFLAGS", what.goFlags)
	}
	return exactFor(ctx, what.dir, r.buildFlags(what), what.policy, w)
}

// stillAt is how often a command without output says that it is still running. It is a variable for its test.
var stillAt = 10 * time.Second

// stillThere calls f. While f runs, it writes to a terminal or file, from time to time, that it is still running, because go test prints
// nothing before it ends.
func stillThere(w io.Writer, f func() error) error {
	if _, isFile := w.(*os.File); !isFile { // a file may have a second writer
		return f()
	}
	tick, began, done := time.NewTicker(stillAt), time.Now(), make(chan error, 1)
	defer tick.Stop()
	go func() { done <- f() }()
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
			fmt.Fprintf(w, "squall: still running after %v\n", time.Since(began).Round(time.Second))
		}
	}
}

func (r *repeat) goTest(cmd *cobra.Command, what testRun) error {
	args := append([]string{"test", "-count=1", "-run", what.run}, r.buildFlags(what)...)
	if _, err := os.Stat(what.dir); err != nil { // on another machine than the sweep's, the folder may be elsewhere
		what.dir = ""
	}
	exact, err := r.exactBuild(cmd.Context(), what, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	args = append(args, exact.Flags...)
	if what.short || r.short {
		args = append(args, "-short")
	}
	test := exec.CommandContext(cmd.Context(), exact.Go, append(args, what.packages...)...)
	test.Dir = what.dir
	test.Stdout, test.Stderr = cmd.OutOrStdout(), cmd.ErrOrStderr()
	test.Env = append(append(os.Environ(), exact.Env...), "SQUALL_SEEDS=", "SQUALL_SEED=")
	if what.exact {
		test.Env = append(test.Env, policyVariable+"="+what.policy)
	}
	if what.seeded {
		test.Env = append(test.Env, fmt.Sprintf("SQUALL_SEED=%d", what.seed))
	}
	if what.goFlags != "" && os.Getenv("GOFLAGS") == "" {
		test.Env = append(test.Env, "GOFLAGS="+what.goFlags)
	}
	if r.artifacts != "" {
		test.Env = append(test.Env, "SQUALL_ARTIFACTS="+r.artifacts, "SQUALL_ARTIFACTS_ALL=1")
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "squall: go test compiles %s and runs %s", cmp.Or(strings.Join(what.packages, " "), "the tests here"), what.run)
	if what.seeded {
		fmt.Fprintf(cmd.ErrOrStderr(), " with seed %d", what.seed)
	}
	if what.exact {
		fmt.Fprint(cmd.ErrOrStderr(), " in exact mode")
	}
	fmt.Fprintln(cmd.ErrOrStderr())
	err = stillThere(cmd.ErrOrStderr(), test.Run)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exitError(exit.ExitCode())
	}
	if err == nil && what.finding != "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "squall: finding %s did not fail again: the code has changed since, or the test does not repeat. SQUALL_CHECK=1 shows where two runs differ\n", what.finding)
	}
	return err
}
