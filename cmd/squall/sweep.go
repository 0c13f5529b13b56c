package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/squall-sim/squall/internal/count"
	"github.com/squall-sim/squall/internal/sweep"
)

// Exit codes of a sweep, on which deploy/kubernetes.yaml relies: a finding is no reason to retry, an error can be one.
const (
	codeFound       = 1
	codeError       = 2
	codeInterrupted = 130 // as a shell reports SIGINT
)

// reports are the files to which the result of a sweep is written, in addition to the terminal.
type reports struct{ junit, json string }

func (r *reports) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.junit, "junit", "", "write the result as JUnit XML to `FILE`")
	cmd.Flags().StringVar(&r.json, "json", "", "write the result as JSON to `FILE`")
}

// write writes the files and prints the result. how tells the user how to repeat a finding.
func (r *reports) write(w io.Writer, result *sweep.Result, how string) error {
	for _, f := range []struct {
		name  string
		write func(io.Writer) error
	}{{r.junit, result.WriteJUnit}, {r.json, result.WriteJSON}} {
		if f.name == "" {
			continue
		}
		var b strings.Builder
		if err := f.write(&b); err != nil {
			return err
		}
		if err := os.WriteFile(f.name, []byte(b.String()), 0o666); err != nil {
			return err
		}
	}
	result.WriteText(w, how)
	return nil
}

func sweepCommand() *cobra.Command {
	var c sweep.Config
	var seeds, shard, tags string
	var race, exact bool
	var out reports
	cmd := &cobra.Command{
		Use:   "sweep [packages]",
		Short: "Run tests with many seeds, on all processors",
		Long: `Compile each package's tests once, run them with many seeds in processes that each take a range of seeds, and group the failures by cause.

A folder keeps the progress and the findings. After an interruption, SIGKILL included, the same command continues from there; with more seeds
it runs only the missing ones. A divided sweep (-shard) has a ledger for each shard in the folder; "squall merge" joins them. Tests that do not
use the simulated network are not run for each seed. The exit code is 0 if nothing failed, 1 if something failed, 2 for an error and 130 after
an interruption.`,
		Example: `  squall sweep -seeds 100000 ./...
  squall sweep -seeds 100000 -run TestCheckout -stop ./checkout
  squall sweep -exact -seeds 10000 ./checkout
  squall sweep -seeds 1000000 -shard 3/64 -dir /shared/sweep ./...
  squall sweep -seeds 1000000 -shard auto/64 -dir /shared/sweep ./...   (in a Kubernetes indexed Job or a Slurm array)`,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			c.Packages = args
			if c.Seeds, err = sweep.ParseSeeds(seeds); err != nil {
				return err
			}
			if c.Shard, err = sweep.ParseShard(shard, os.Getenv); err != nil {
				return err
			}
			if c.Jobs < 1 {
				return fmt.Errorf("-jobs %d: want at least 1", c.Jobs)
			}
			if race {
				c.Build = append(c.Build, "-race")
			}
			if tags != "" {
				c.Build = append(c.Build, "-tags="+tags)
			}
			return runSweep(cmd, c, exact, &out)
		},
	}
	f := cmd.Flags()
	f.StringVar(&seeds, "seeds", "1000", "`SEEDS`: a number N, which means 1 to N, or a range, such as 1001-2000")
	f.StringVar(&c.Run, "run", "", "tests to run, as go test -run")
	f.StringVar(&shard, "shard", "", "run one part of the seeds: `NUMBER/COUNT`, from 1; auto/COUNT takes the number from JOB_COMPLETION_INDEX or SLURM_ARRAY_TASK_ID")
	f.StringVar(&c.Dir, "dir", ".squall-sweep", "`FOLDER` for progress and findings")
	f.IntVar(&c.Jobs, "jobs", runtime.NumCPU(), "number of processes at a time")
	f.BoolVar(&c.StopAtFirst, "stop", false, "stop at the first finding")
	f.BoolVar(&c.Fresh, "fresh", false, "start again, and discard what the folder has")
	f.DurationVar(&c.Timeout, "timeout", 10*time.Minute, "limit for each process, which takes some seconds unless a test hangs")
	f.BoolVar(&exact, "exact", false, "in exact mode, as squall test: the seed decides the order of goroutines too")
	f.BoolVar(&race, "race", false, "with the race detector")
	f.StringVar(&tags, "tags", "", "build tags")
	f.BoolVar(&c.Short, "short", false, "as go test -short")
	out.flags(cmd)
	return cmd
}

// compiling is the progress text before there is anything to count.
const compiling = "compiling the tests"

func runSweep(cmd *cobra.Command, c sweep.Config, exact bool, out *reports) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	line := newProgressLine(cmd.ErrOrStderr())
	c.Progress = line.show
	line.say(compiling, false)
	if exact {
		var err error
		if c.Exact, err = exactFor(ctx, c.In, c.Build, os.Getenv(policyVariable), cmd.ErrOrStderr()); err != nil && ctx.Err() == nil {
			line.end()
			return err
		}
	}
	result, err := sweep.Run(ctx, c)
	line.end()
	if result == nil && ctx.Err() != nil {
		fmt.Fprintln(cmd.ErrOrStderr(), "squall: interrupted before the first seed")
		return exitError(codeInterrupted)
	}
	if result == nil {
		return err
	}
	how := ""
	if result.Failed > 0 {
		how = fmt.Sprintf("To repeat one: squall replay -dir %s 1\nTo look at it: squall report -dir %s 1\nTo find the fewest faults with which it fails: squall shrink -dir %s 1", c.Dir, c.Dir, c.Dir)
	}
	if werr := out.write(cmd.OutOrStdout(), result, how); werr != nil {
		return werr
	}
	switch {
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(cmd.ErrOrStderr(), "squall: interrupted; the same command continues from here")
		return exitError(codeInterrupted)
	case result.Found():
		return exitError(codeFound)
	}
	return err
}

func mergeCommand() *cobra.Command {
	var out reports
	cmd := &cobra.Command{
		Use:   "merge FOLDER|LEDGER...",
		Short: "Join the findings of the shards of a sweep",
		Long: `Read the ledgers of a sweep's shards, or the folders that hold them, and group all failures by cause. The exit code is 0 if nothing failed and
all shards are done, 1 if something failed, and 2 if shards are missing or not done; the output names them.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			result, err := sweep.Merge(args)
			if err != nil {
				return err
			}
			if err := out.write(cmd.OutOrStdout(), result, ""); err != nil {
				return err
			}
			switch {
			case result.Found():
				return exitError(codeFound)
			case !result.Complete:
				return exitError(codeError)
			}
			return nil
		},
	}
	out.flags(cmd)
	return cmd
}

// A progressLine shows the progress of a sweep: a bar that is redrawn on a terminal, otherwise a line from time to time.
type progressLine struct {
	w        io.Writer
	terminal bool
	last     time.Time
	drawn    bool
}

func newProgressLine(w io.Writer) *progressLine {
	p := &progressLine{w: w}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return p
}

func (p *progressLine) show(s sweep.Progress) { p.say(progressText(s), s.Done == s.All) }

// say shows a text. It skips a text that follows another one too soon, except the last.
func (p *progressLine) say(text string, last bool) {
	pause := 10 * time.Second
	if p.terminal {
		pause = 100 * time.Millisecond
	}
	if now := time.Now(); now.Sub(p.last) >= pause || last {
		p.last = now
	} else {
		return
	}
	if p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[K%s", text)
		p.drawn = true
	} else {
		fmt.Fprintln(p.w, text)
	}
}

func (p *progressLine) end() {
	if p.drawn {
		fmt.Fprintln(p.w)
	}
}

func progressText(s sweep.Progress) string {
	const (
		width = 24
		long  = 10 * time.Second // three times the duration of a range
	)
	part := 1.0
	if s.All > 0 {
		part = float64(s.Done) / float64(s.All)
	}
	full := int(part * width)
	text := fmt.Sprintf("[%s%s] %d of %d seeds", strings.Repeat("#", full), strings.Repeat(".", width-full), s.Done, s.All)
	if s.Left >= 0 && s.Done < s.All {
		text += fmt.Sprintf(", %v left", s.Left.Round(time.Second))
	}
	if s.Findings > 0 {
		text += fmt.Sprintf(", %d failed in %s", s.Findings, count.Of(s.Causes, "way", "ways"))
	}
	if s.Oldest.For >= long {
		text += fmt.Sprintf("; %s: seeds %v have been running for %v", s.Oldest.Package, s.Oldest.Seeds, s.Oldest.For.Round(time.Second))
	}
	return text
}
