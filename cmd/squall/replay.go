package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/squall-sim/squall/internal/sweep"
)

// A repeat is which test is run again, with which seed.
type repeat struct {
	dir, run  string
	seed      uint64
	artifacts string // where to leave something to look at
	race      bool
}

func (r *repeat) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.dir, "dir", ".squall-sweep", "`FOLDER` of the sweep")
	cmd.Flags().StringVar(&r.run, "run", "", "instead of a finding: tests, as of go test -run")
	cmd.Flags().Uint64Var(&r.seed, "seed", 1, "instead of a finding: the seed")
	cmd.Flags().BoolVar(&r.race, "race", false, "with the race detector")
}

const findingsHelp = `A finding is named by its number in the sweep's result, and by another seed than its first after a colon: 2, or 2:4711. Without a number
the findings are listed. With -run a test is named instead, with -seed and packages.`

func replayCommand() *cobra.Command {
	var r repeat
	cmd := &cobra.Command{
		Use:     "replay [finding | -run TEST -seed N packages]",
		Short:   "Run a test again as it failed in a sweep",
		Long:    "Run a test again with the seed with which it failed.\n\n" + findingsHelp,
		Example: "  squall replay 1\n  squall replay -run TestCheckout -seed 4711 ./checkout",
		RunE:    func(cmd *cobra.Command, args []string) error { return r.do(cmd, args) },
	}
	r.flags(cmd)
	return cmd
}

func reportCommand() *cobra.Command {
	var r repeat
	cmd := &cobra.Command{
		Use:   "report [finding | -run TEST -seed N packages]",
		Short: "Make the page and the captures of a test, whether it fails or not",
		Long: `Run a test again with the seed with which it failed, or one that is named, and leave the folder that a failed test leaves with
SQUALL_ARTIFACTS: report.html, a capture for each host, the trace and the faults.

` + findingsHelp,
		Example: "  squall report 1\n  squall report -run TestCheckout -seed 1 -o /tmp/look ./checkout",
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := filepath.Abs(r.artifacts)
			if err != nil {
				return err
			}
			r.artifacts = dir
			err = r.do(cmd, args)
			pages, _ := findPages(dir)
			for _, p := range pages {
				fmt.Fprintln(cmd.OutOrStdout(), p)
			}
			return err
		},
	}
	r.flags(cmd)
	cmd.Flags().StringVarP(&r.artifacts, "out", "o", "squall-report", "`FOLDER` to leave it in")
	return cmd
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
	if r.run != "" {
		return r.goTest(cmd.Context(), cmd.OutOrStdout(), "", r.run, true, args)
	}
	result, err := sweep.Merge([]string{r.dir})
	if err != nil {
		return err
	}
	if len(args) != 1 {
		result.WriteText(cmd.OutOrStdout(), "")
		return nil
	}
	number, seed, other := strings.Cut(args[0], ":")
	i, err := strconv.Atoi(number)
	if len(result.Causes) == 0 {
		return fmt.Errorf("finding %s: the sweep in %s has found nothing", args[0], r.dir)
	}
	if err != nil || i < 1 || i > len(result.Causes) {
		return fmt.Errorf("finding %s: want a number from 1 to %d, or NUMBER:SEED", args[0], len(result.Causes))
	}
	c := result.Causes[i-1]
	r.seed = c.First
	if other {
		if r.seed, err = strconv.ParseUint(seed, 10, 64); err != nil {
			return fmt.Errorf("finding %s: the seed %q is no number", args[0], seed)
		}
	}
	var pattern []string
	for part := range strings.SplitSeq(c.Test, "/") {
		pattern = append(pattern, "^"+regexp.QuoteMeta(part)+"$")
	}
	return r.goTest(cmd.Context(), cmd.OutOrStdout(), result.Dirs[c.Package], strings.Join(pattern, "/"), c.Seeded, []string{c.Package})
}

func (r *repeat) goTest(ctx context.Context, w io.Writer, dir, run string, seeded bool, packages []string) error {
	args := []string{"test", "-count=1", "-run", run}
	if r.race {
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(ctx, "go", append(args, packages...)...)
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = w, os.Stderr
	cmd.Env = append(os.Environ(), "SQUALL_SEEDS=")
	if seeded {
		cmd.Env = append(cmd.Env, fmt.Sprintf("SQUALL_SEED=%d", r.seed))
	}
	if r.artifacts != "" {
		cmd.Env = append(cmd.Env, "SQUALL_ARTIFACTS="+r.artifacts, "SQUALL_ARTIFACTS_ALL=1")
	}
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exitError(exit.ExitCode())
	}
	return err
}
