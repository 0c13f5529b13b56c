package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"github.com/squall-sim/squall/internal/overlay"
)

func doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor [packages]",
		Short: "Check whether exact mode works here",
		Long: `Check whether exact mode supports this release of Go, and list the packages that call C, among the named packages and everything that they
and their tests import. Exact mode does not control what C code waits for or decides. Without packages, doctor checks the current folder.`,
		RunE: func(cmd *cobra.Command, args []string) error { return doctor(cmd.Context(), cmd.OutOrStdout(), args) },
	}
}

func doctor(ctx context.Context, w io.Writer, packages []string) error {
	line, err := parseArgs(nil, os.Getenv("GOFLAGS"))
	if err != nil {
		return err
	}
	o, err := overlay.Prepare(ctx, "")
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s is supported; its changed standard library is %s\n", o.Version, o.File)
	if o.Untried {
		fmt.Fprintln(w, "It is newer than the releases that squall was tested with, but has everything that squall changes.")
	}
	if line.overlay != "" {
		if _, err := overlay.Merge(o.File, line.overlay, ""); err != nil {
			return err
		}
		fmt.Fprintf(w, "The overlay in GOFLAGS, %s, changes other files and is also used.\n", line.overlay)
	}
	found, err := callsC(ctx, o, packages)
	switch {
	case err != nil:
		return err
	case len(found) > 0:
		fmt.Fprintf(w, "These packages call C, which exact mode does not control:\n  %s\n", strings.Join(found, "\n  "))
	}
	return nil
}

// callsC lists the packages outside the standard library that use cgo, among the given ones and their dependencies.
func callsC(ctx context.Context, o *overlay.Overlay, packages []string) ([]string, error) {
	if len(packages) > 0 { // go list -e below would silently skip packages that do not exist
		cmd := exec.CommandContext(ctx, o.Go, append([]string{"list"}, packages...)...)
		cmd.Env = append(os.Environ(), o.Env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("go list: %w\n%s", err, out)
		}
	}
	args := []string{"list", "-e", "-deps", "-test", "-f", "{{if and .CgoFiles (not .Standard)}}{{.ImportPath}}{{end}}"}
	cmd := exec.CommandContext(ctx, o.Go, append(args, packages...)...)
	cmd.Env = append(os.Environ(), o.Env...)
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return nil, fmt.Errorf("go list: %w\n%s", err, exit.Stderr)
	}
	return strings.Fields(string(out)), err
}
