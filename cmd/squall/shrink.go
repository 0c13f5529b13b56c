package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/squall-sim/squall/internal/count"
	"github.com/squall-sim/squall/internal/sweep"
)

func shrinkCommand() *cobra.Command {
	var r repeat
	cmd := &cobra.Command{
		Use:   "shrink [finding | -run TEST -seed N package]",
		Short: "Find the fewest faults with which a test still fails",
		Long: `Run a failing test repeatedly and leave out some of its faults each time (SQUALL_FAULTS), until the test needs every remaining fault to fail as
it did. Then print these faults as Go code, and the command that repeats the run. Faults are the faults of package sim that the test or
anything it uses injects. The configuration of links, such as a loss, stays as it is. A test of package weather reduces its storm by itself
when squall replay runs it, also to simpler, shorter and later faults. This command does not: it works for every test, and knows only the
numbers of the faults.

` + findingsHelp,
		Example: "  squall shrink 1\n  squall shrink -run TestCheckout -seed 4711 ./checkout",
		RunE: func(cmd *cobra.Command, args []string) error {
			what, err := r.what(cmd, args)
			if err != nil || what == nil {
				return err
			}
			return r.shrink(cmd, *what)
		},
		ValidArgsFunction: r.complete,
	}
	r.flags(cmd)
	return cmd
}

func (r *repeat) shrink(cmd *cobra.Command, what testRun) error {
	if !what.seeded {
		return fmt.Errorf("finding %s: %s takes no seed: it does not use the simulated network", what.finding, what.run)
	}
	switch len(what.packages) {
	case 0:
		what.packages = []string{"."}
	case 1:
	default:
		return fmt.Errorf("%s: want one package", strings.Join(what.packages, " "))
	}
	if what.goFlags != "" && os.Getenv("GOFLAGS") == "" {
		os.Setenv("GOFLAGS", what.goFlags)
	}
	if _, err := os.Stat(what.dir); err != nil {
		what.dir = "" // the ledger comes from another machine
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	line := newProgressLine(cmd.ErrOrStderr())
	line.say(compiling, false)
	var exact *sweep.Exact
	if what.exact {
		var err error
		if exact, err = r.exactBuild(ctx, what, cmd.ErrOrStderr()); err != nil && ctx.Err() == nil {
			line.end()
			return err
		}
	}
	s, err := sweep.Shrink(ctx, sweep.Shrinking{
		In: what.dir, Exact: exact, Package: what.packages[0], Run: what.run, Seed: what.seed, Build: r.buildFlags(what), Short: what.short || r.short, Timeout: 2 * time.Minute,
		Progress: func(runs, faults int) {
			line.say(count.Of(runs, "run", "runs")+", "+count.Of(faults, "fault", "faults"), false)
		},
	})
	line.end()
	if err != nil && ctx.Err() != nil {
		fmt.Fprintln(cmd.ErrOrStderr(), "squall: interrupted before there was a result")
		return exitError(codeInterrupted)
	}
	if err != nil {
		return err
	}
	tellShrunk(cmd.OutOrStdout(), s, what)
	return nil
}

func tellShrunk(w io.Writer, s *sweep.Shrunk, what testRun) {
	switch {
	case s.Before == 0:
		fmt.Fprintf(w, "%s fails with seed %d and has no faults to leave out: %s\n", s.Test, what.seed, s.Cause)
		return
	case len(s.Numbers) == 0:
		fmt.Fprintf(w, "%s also fails with seed %d without any of its %d faults: %s\n", s.Test, what.seed, s.Before, s.Cause)
	default:
		fmt.Fprintf(w, "%s fails with seed %d and %d of its %d faults, all of them needed: %s\n", s.Test, what.seed, len(s.Faults), s.Before, s.Cause)
	}
	for _, f := range s.Faults {
		lasts := "to the end"
		if f.Over >= 0 {
			lasts = fmt.Sprintf("for %v", f.Over-f.Begun)
		}
		fmt.Fprintf(w, "\n  at %v, %s: %s\n", f.Begun, lasts, f.Name)
		if f.Code != "" {
			fmt.Fprintf(w, "    %s\n", f.Code)
		}
	}
	command := "go test"
	if what.exact {
		command = "go run github.com/squall-sim/squall/cmd/squall test"
		if what.policy != "" {
			command = policyVariable + "=" + what.policy + " " + command
		}
	}
	fmt.Fprintf(w, "\nTo repeat it: %s SQUALL_SEED=%d %s -run %s %s   (%d runs)\n", s.Variable(), what.seed, command, shellWord(exactly(s.Test)), s.Package, s.Runs)
}
