// Command squall runs tests with many seeds, on many machines, and in exact mode, in which the seed also decides the order of the
// program's own goroutines.
//
//	squall test [flags and packages of go test]
//	squall doctor [packages]
//	squall sweep [flags] [packages]
//	squall merge, replay, report, shrink
//	squall scenarios, new scenario, completion
//
// In a module that uses squall, "go run github.com/squall-sim/squall/cmd/squall test ./..." runs the version that go.mod requires.
// After "go mod edit -tool github.com/squall-sim/squall/cmd/squall" and "go mod tidy", "go tool squall test ./..." does the same.
// docs/exact.md describes exact mode.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

func main() {
	cmd := root()
	cmd.SetArgs(goFlags(os.Args[1:]))
	err := cmd.ExecuteContext(context.Background())
	var exit exitError
	switch {
	case errors.As(err, &exit):
		os.Exit(int(exit))
	case err != nil:
		fmt.Fprintln(os.Stderr, "squall:", err)
		os.Exit(2)
	}
}

// An exitError is the exit code of the go command, which has already printed the reason.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "squall",
		Short:         "Run Go tests with many seeds, and in exact mode, where the seed also decides the order of goroutines",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w: %s -help lists the flags", err, cmd.CommandPath())
	})
	cmd.AddCommand(newCommand(), scenariosCommand(), testCommand(), doctorCommand(), sweepCommand(), mergeCommand(), replayCommand(), reportCommand(), shrinkCommand())
	return cmd
}
