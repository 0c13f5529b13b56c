package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/squall-sim/squall/internal/overlay"
	"github.com/squall-sim/squall/internal/sweep"
)

// policyVariable chooses the order of goroutines.
const policyVariable = "SQUALL_SCHED"

// An exactBuild is a build for exact mode.
type exactBuild struct {
	*overlay.Overlay
	line commandLine
	file string // for -overlay; merged with the user's own overlay, if there is one
}

// forExact prepares a build for exact mode. It writes to w if the build will take long.
func forExact(ctx context.Context, line commandLine, w io.Writer) (*exactBuild, error) {
	o, err := overlay.Prepare(ctx, line.dir)
	if err != nil {
		return nil, err
	}
	if o.Untried {
		fmt.Fprintf(w, "squall: %s is newer than the releases that squall was tested with, but has everything that squall changes\n", o.Version)
	}
	b := &exactBuild{o, line, o.File}
	if line.overlay != "" {
		if b.file, err = overlay.Merge(o.File, line.overlay, line.dir); err != nil {
			return nil, err
		}
	}
	if line.toBuild(ctx, o, b.file) {
		fmt.Fprintf(w, "squall: building the standard library of %s for exact mode, once for each Go release and set of build flags; this takes a minute or more\n", o.Version)
	}
	return b, nil
}

// exactFor is forExact for the flags of a build, in a folder ("" is the current one), with a policy for the tests.
func exactFor(ctx context.Context, in string, flags []string, policy string, w io.Writer) (*sweep.Exact, error) {
	line, err := parseArgs(flags, os.Getenv("GOFLAGS"))
	if err != nil {
		return nil, err
	}
	line.dir = in
	b, err := forExact(ctx, line, w)
	if err != nil {
		return nil, err
	}
	return &sweep.Exact{Go: b.Go, Env: b.Env, Flags: b.line.flags(b.file), Policy: policy}, nil
}

// flags returns the flags that exact mode adds to a build.
func (l commandLine) flags(overlayFile string) []string {
	return []string{"-overlay=" + overlayFile, "-tags=" + strings.Join(slices.Concat(l.tags, []string{overlay.Tag}), ",")}
}
