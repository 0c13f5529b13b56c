package sim

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A failed test is run a second time, in a process of its own: a test that has
// failed cannot be run again in this one. The second process learns from its
// environment which run to report, and writes the hash of its trace and, if it is
// another, the trace itself to a file.
const (
	replayFile = "SQUALL_REPLAY_FILE"
	replayRun  = "SQUALL_REPLAY_RUN" // test, call of Test in it, and the hash of the first run
)

const replayTimeout = 2 * time.Minute

// again runs a failed seed a second time and says whether it did the same.
func (r *runner) again(seed uint64, first *Trace) string {
	dir, err := os.MkdirTemp("", "squall-replay")
	if err != nil {
		return fmt.Sprintf("sim: no second run: %v", err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "trace")
	args := []string{"-test.run=" + r.pattern(), "-test.timeout=" + replayTimeout.String()}
	for _, a := range os.Args[1:] {
		if !strings.HasPrefix(a, "-test.") {
			args = append(args, a)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), replayTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), "SQUALL_SEEDS=", fmt.Sprintf("SQUALL_SEED=%d", seed), "SQUALL_CHECK=0",
		replayFile+"="+file, fmt.Sprintf("%s=%d %x %s", replayRun, r.nth, first.Hash(), r.name))
	out, runErr := cmd.CombinedOutput()
	f, err := os.Open(file)
	if err != nil {
		return fmt.Sprintf("sim: the second run of seed %d came to no end (%v):\n%s", seed, runErr, tail(string(out), 20))
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	var second []string
	for s.Scan() {
		second = append(second, s.Text())
	}
	if len(second) == 0 {
		return fmt.Sprintf("sim: the second run of seed %d left an empty report", seed)
	}
	verdict, second := second[0], second[1:]
	switch {
	case verdict == "same failed":
		return fmt.Sprintf("sim: a second run of seed %d had the same trace and failed too", seed)
	case verdict == "same passed":
		return fmt.Sprintf("sim: a second run of seed %d had the same trace but passed: the failure depends on something other than the network", seed)
	default:
		return fmt.Sprintf("sim: seed %d does not replay: a second run had another trace (and %s). %s", seed,
			strings.TrimPrefix(verdict, "other "), firstDifference(first, second))
	}
}

// reportTrace writes the report of a second run, if this is one, and says whether it is.
func reportTrace(r *runner, failed bool, tr *Trace) bool {
	file := os.Getenv(replayFile)
	if file == "" {
		return false
	}
	want := strings.SplitN(os.Getenv(replayRun), " ", 3)
	if len(want) != 3 || want[0] != strconv.Itoa(r.nth) || want[2] != r.name {
		return true
	}
	outcome := "passed"
	if failed {
		outcome = "failed"
	}
	text := "same " + outcome + "\n"
	if fmt.Sprintf("%x", tr.Hash()) != want[1] {
		text = "other " + outcome + "\n" + tr.String()
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		panic(fmt.Sprintf("sim: report of the second run: %v", err))
	}
	return true
}

func lines(t *Trace) []string {
	return strings.Split(strings.TrimSuffix(t.String(), "\n"), "\n")
}

// firstDifference shows where a second trace leaves the first.
func firstDifference(first *Trace, second []string) string {
	a := lines(first)
	skipped := first.Len() - len(a)
	for i := range max(len(a), len(second)) {
		x, y := "(no more events)", "(no more events)"
		if i < len(a) {
			x = a[i]
		}
		if i < len(second) {
			y = second[i]
		}
		if x != y {
			return fmt.Sprintf("The first event that differs is number %d:\n  first:  %s\n  second: %s\n"+
				"Goroutines that race each other, select, the order of a map or a random source of the program decide something there.",
				i+skipped, x, y)
		}
	}
	return "The events kept are equal; an earlier one differs."
}

// tail returns the last lines of a text.
func tail(s string, most int) string {
	all := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(all[max(0, len(all)-most):], "\n")
}

func quoteMeta(s string) string { return regexp.QuoteMeta(s) }
