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
		Long: `Run go test with a modified standard library, in which the seed decides the order of the goroutines of each sim.Test. The first run takes as
long as building the standard library once; a line on standard error announces it.

All flags, packages and variables are those of go test, and so are the output and the exit code. SQUALL_SCHED=fifo, random:0.05, slow:0.05 or
pct:3 selects how the next goroutine is chosen.`,
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
	// The terminal sends an interrupt to the go command too, which decides how to end.
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

// toBuild reports whether the build cache lacks the modified standard library, so that the tests produce no output for a while. If the
// go command fails here, toBuild returns false: the run itself will report why.
func (l commandLine) toBuild(ctx context.Context, o *overlay.Overlay, overlayFile string) bool {
	args := []string{"list", "-f", "{{.Stale}}", "-overlay=" + overlayFile, "-tags=" + overlay.Tag}
	for _, a := range l.rest {
		name, _, _ := flagOf(a)
		if name == "args" {
			break
		}
		if slices.Contains([]string{"race", "msan", "asan", "trimpath"}, name) { // each of these needs its own build of it
			args = append(args, a)
		}
	}
	cmd := exec.CommandContext(ctx, o.Go, append(args, "runtime")...)
	cmd.Dir = l.dir
	cmd.Env = append(os.Environ(), o.Env...)
	out, err := cmd.Output()
	return err == nil && strings.TrimSpace(string(out)) == "true"
}
