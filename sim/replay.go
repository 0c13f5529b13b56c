package sim

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/squall-sim/squall/internal/failure"
	"github.com/squall-sim/squall/sim/internal/artifacts"
)

// A failed test runs a second time, in a process of its own: a test that has failed cannot run again in this
// process. The second process learns from its environment which run to report. It writes the hash of its
// trace to a file and, if the trace differs, the trace itself.
const (
	replayFile = "SQUALL_REPLAY_FILE"
	replayRun  = "SQUALL_REPLAY_RUN"    // test, call of Test in it, and the hashes of the first run's trace and schedule
	recordFile = "SQUALL_REPLAY_RECORD" // where to leave artifacts, if the run fails
)

const replayTimeout = 2 * time.Minute

// A rerun is the outcome of a second run.
type rerun struct {
	came   bool           // it came to its end
	same   bool           // its trace is the same
	order  bool           // its order of goroutines is the same; plain mode knows none
	failed bool           //
	lines  []string       // of its trace, if that is different
	calls  string         // what a witness reported
	output string         // of the process
	record *artifacts.Run // if one was wanted, and the run failed
	text   string         // that says all this
	err    error          // why it did not come to its end
}

// again describes whether the second run of a failed seed did the same.
func (r *runner) again(o *outcome) string {
	seed, second := o.seed, o.second
	if r.found != nil && second.failed {
		r.found.add(failure.Cause(second.output), seed)
	}
	switch {
	case !second.came:
		return fmt.Sprintf("sim: the second run of seed %d did not finish (%v):\n%s", seed, second.err, tail(second.output, 20))
	case second.same && second.failed && !second.order:
		return fmt.Sprintf("sim: a second run of seed %d had the same trace and failed too, but its goroutines ran in another order; see docs/exact.md", seed)
	case second.same && second.failed:
		return fmt.Sprintf("sim: a second run of seed %d had the same trace and failed too", seed)
	case second.same:
		return fmt.Sprintf("sim: a second run of seed %d had the same trace but passed: the failure depends on something other than the network", seed)
	}
	outcome := "passed"
	if second.failed {
		outcome = "failed"
	}
	return fmt.Sprintf("sim: seed %d does not replay: a second run had another trace and %s. %s", seed, outcome, r.difference(o, second.lines))
}

// rerun runs a seed a second time, at another GOMAXPROCS, with additions to its environment.
func (r *runner) rerun(o *outcome, env ...string) (second rerun) {
	dir, err := os.MkdirTemp("", "squall-replay")
	if err != nil {
		return rerun{err: err}
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "trace")
	args := append([]string{"-test.run=" + r.pattern(), "-test.timeout=" + replayTimeout.String()}, ownArgs()...)
	ctx, cancel := context.WithTimeout(context.Background(), replayTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), seedsVariable+"=", fmt.Sprintf("%s=%d", seedVariable, o.seed), checkVariable+"=0", artifactsVariable+"="+noArtifacts, otherProcs(), policyFor(schedule.policy),
		replayFile+"="+file, fmt.Sprintf("%s=%d %x %x %s", replayRun, r.call, o.trace.Hash(), o.schedule.Hash, r.name))
	cmd.Env = append(append(cmd.Env, r.env...), env...)
	record := filepath.Join(dir, "record")
	if o.left != nil && r.keep.late {
		cmd.Env = append(cmd.Env, recordFile+"="+record)
	}
	out, runErr := cmd.CombinedOutput()
	second = rerun{output: string(out), err: runErr, record: readRecord(record)}
	text, err := os.ReadFile(file)
	if err != nil {
		return second
	}
	told, calls, _ := strings.Cut(string(text), callsMark)
	second.calls = calls
	report := strings.Split(strings.TrimSuffix(told, "\n"), "\n")
	second.came = true
	second.same = strings.HasPrefix(report[0], "same ")
	second.order = !strings.Contains(report[0], " reordered ")
	second.failed = strings.HasSuffix(report[0], " failed")
	second.lines = report[1:]
	return second
}

// otherProcs is the setting of the environment that makes a second run likely to differ.
func otherProcs() string {
	if runtime.GOMAXPROCS(0) > 1 {
		return "GOMAXPROCS=1"
	}
	return "GOMAXPROCS=2"
}

// reportTrace writes the report of a second run, if this is one, and returns whether it is.
func reportTrace(r *runner, o *outcome) bool {
	file := os.Getenv(replayFile)
	if file == "" {
		return false
	}
	if !r.isSecond() {
		return true
	}
	want := secondRun()
	tr := o.trace
	outcome := "passed"
	if o.failed {
		outcome = "failed"
	}
	if fmt.Sprintf("%x", o.schedule.Hash) != want[2] {
		outcome = "reordered " + outcome
	}
	text := "same " + outcome + "\n"
	if fmt.Sprintf("%x", tr.Hash()) != want[1] {
		text = "other " + outcome + "\n" + strings.Join(lines(tr), "\n") + "\n"
	}
	if w := tr.n.harness.witness; w != nil {
		text += callsMark + w.tell()
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		panic(fmt.Sprintf("sim: report of the second run: %v", err))
	}
	return true
}

// secondRun are the words of the variable that names the run to report: call, hash of the trace, hash of the
// schedule, test.
func secondRun() []string { return strings.SplitN(os.Getenv(replayRun), " ", 4) }

// isSecond reports whether this is the run to report.
func (r *runner) isSecond() bool {
	want := secondRun()
	return len(want) == 4 && want[0] == strconv.Itoa(r.call) && want[3] == r.name
}

// writeRecord hands a run over to the first process.
func writeRecord(name string, run *artifacts.Run) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(gob.NewEncoder(file).Encode(run), file.Close())
}

// readRecord returns the run that the second process has recorded, or nil.
func readRecord(name string) *artifacts.Run {
	file, err := os.Open(name)
	if err != nil {
		return nil
	}
	defer file.Close()
	run := new(artifacts.Run)
	if gob.NewDecoder(file).Decode(run) != nil { // it was killed while writing
		return nil
	}
	return run
}

// lines returns the kept events of a trace, with what packets carry.
func lines(t *Trace) []string {
	var all []string
	for e := range t.Events() {
		all = append(all, e.line())
	}
	return all
}

// line returns the event with what its packet carries.
func (e Event) line() string {
	if e.Content == 0 {
		return e.String()
	}
	return fmt.Sprintf("%v%s%08x", e, contentMark, e.Content)
}

const (
	contentMark = " content "
	callsMark   = "\x00calls\n"
)

// difference shows where a second trace departs from the first, and who called the network then.
func (r *runner) difference(o *outcome, second []string) string {
	text, at := firstDifference(o.trace, second)
	if at >= 0 {
		if calls := r.rerun(o, fmt.Sprintf("%s=%d", replayAt, at)).calls; calls != "" {
			text += "\n" + strings.TrimSuffix(calls, "\n")
		}
	}
	return text
}

// instantOf returns when the event of a line happened, or never if the line is not an event.
func instantOf(line string) time.Duration {
	when, _, _ := strings.Cut(line, " ")
	if at, err := time.ParseDuration(when); err == nil {
		return at
	}
	return time.Duration(never)
}

// firstDifference shows where a second trace departs from the first, and returns the instant, or -1 if it is
// not known.
func firstDifference(first *Trace, second []string) (text string, at time.Duration) {
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
		if x == y {
			continue
		}
		at := min(instantOf(x), instantOf(y))
		packet, _, _ := strings.Cut(x, contentMark)
		if other, _, _ := strings.Cut(y, contentMark); packet == other {
			return fmt.Sprintf("The packets are the same, but their content is not. The first packet with other bytes is event number %d:\n  %s\n"+
				"Likely causes: goroutines that race for a connection or to write to it, a random source, or a property of the process or the computer. See docs/replay.md.",
				i+skipped, packet), at
		} else {
			return fmt.Sprintf("The first event that differs is number %d:\n  first:  %s\n  second: %s\n"+
				"Likely causes in the program: goroutines that race, select, the order of a map, or a random source. See docs/replay.md.",
				i+skipped, packet, other), at
		}
	}
	return "The events that were kept are equal; an earlier one differs.", -1
}

// tail returns the last lines of a text.
func tail(s string, most int) string {
	all := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(all[max(0, len(all)-most):], "\n")
}

func quoteMeta(s string) string { return regexp.QuoteMeta(s) }
