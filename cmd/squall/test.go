package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/squall-sim/squall/internal/overlay"
)

func testCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "test [flags and packages of go test]",
		Short: "Run go test in exact mode",
		Long: `Run go test with a standard library that is changed for it, in which the goroutines of each sim.Test run in an order
that follows from the seed. The first time it takes as long as building the standard library once.

All flags, packages and variables are those of go test, and so are the output and the exit code.
It says on standard error when that is under way. SQUALL_SCHED=fifo, random:0.05, slow:0.05 or pct:3 says how the next goroutine is chosen.`,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && slices.Contains([]string{"-h", "-help", "--help"}, args[0]) {
				return cmd.Help()
			}
			return runTest(cmd.Context(), args)
		},
	}
}

func runTest(ctx context.Context, args []string) error {
	line, err := parseArgs(args, os.Getenv("GOFLAGS"))
	if err != nil {
		return err
	}
	b, err := forExact(ctx, line, os.Stderr)
	if err != nil {
		return err
	}
	cmd := exec.Command(b.Go, line.goTest(b.file)...)
	cmd.Env = append(os.Environ(), b.Env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// The terminal sends an interrupt to the go command, too, which says what becomes of it.
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() >= 0 {
		return exitError(exit.ExitCode())
	}
	return err
}

// toBuild says whether the build cache lacks the changed standard library, so that nothing will be heard of the tests for a while. If the
// go command cannot say, it does not either: it will have more to say about why.
func (l commandLine) toBuild(ctx context.Context, o *overlay.Overlay, overlayFile string) bool {
	args := []string{"list", "-f", "{{.Stale}}", "-overlay=" + overlayFile, "-tags=" + overlay.Tag}
	for _, a := range l.rest {
		name, _, _ := flagOf(a)
		if name == "args" {
			break
		}
		if slices.Contains([]string{"race", "msan", "asan", "trimpath"}, name) { // each is another build of it
			args = append(args, a)
		}
	}
	cmd := exec.CommandContext(ctx, o.Go, append(args, "runtime")...)
	cmd.Dir = l.dir
	cmd.Env = append(os.Environ(), o.Env...)
	out, err := cmd.Output()
	return err == nil && strings.TrimSpace(string(out)) == "true"
}
