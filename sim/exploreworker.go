package sim

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/squall-sim/squall/internal/failure"
)

// A test that has failed cannot run again in its process. So the runs of an exploration happen in workers. A
// worker is a process of the same test binary. It runs the test function up to its call of Explore, and there
// one run after the other, each as a subtest that may fail. It reads from a file what to run, and writes the
// results to another file, one a line. The failures themselves are in its output, between the lines by which
// go test -v begins each subtest.
const workerVariable = "SQUALL_EXPLORE_WORKER" // folder, call of Explore in its round of the test, and the test's name

// An explorer is this process as a worker.
type explorer struct{ folder string }

// thisExplorer returns this process as the worker of a call of Explore, or nil if it is not one.
func thisExplorer(r *runner) *explorer {
	f := strings.SplitN(os.Getenv(workerVariable), " ", 3)
	if len(f) != 3 || f[1] != strconv.Itoa(r.call) || f[2] != r.name {
		return nil
	}
	return &explorer{f[0]}
}

// A result is what became of a trial.
type result struct {
	Trial   int
	Over    bool // false: it has only begun
	Failed  bool
	Met     bool             // everything broke
	Strikes []strike         // where it broke
	Outcome uint64           // hash of what was sent after that
	Said    map[string]int   // what was logged, and how often
	After   []observedPacket // the first packets after the last strike

	text string // of the failure, with the report
	died bool   // the process died
}

// mostAfter is the number of packets after the first breakage at which the second one is tried.
const mostAfter = 64

const (
	trialsFile  = "trials"
	resultsFile = "results"
)

// wholeRun is the number of the run in which nothing breaks: its log is not a failure.
const wholeRun = -1

// work does what the worker is asked to do.
func (w *explorer) work(t *testing.T, e *exploration, seed uint64) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(w.folder, trialsFile))
	if err != nil {
		t.Fatalf("sim: Explore: %v", err)
	}
	var todo []numberedTrial
	if err := json.Unmarshal(text, &todo); err != nil {
		t.Fatalf("sim: Explore: %v", err)
	}
	file, err := os.OpenFile(filepath.Join(w.folder, resultsFile), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatalf("sim: Explore: %v", err)
	}
	defer file.Close()
	tell := func(r result) {
		line, err := json.Marshal(r)
		if err == nil {
			_, err = file.Write(append(line, '\n'))
		}
		if err != nil {
			t.Fatalf("sim: Explore: %v", err)
		}
	}
	for _, job := range todo {
		tell(result{Trial: job.Trial})
		sees := new(observer)
		r := e.with(sees, job.Breaks)
		r.check = checkNone
		passed := t.Run(fmt.Sprintf("trial=%d", job.Trial), func(t *testing.T) { r.run(t, seed) })
		done := result{
			Trial: job.Trial, Over: true, Failed: !passed, Strikes: sees.strikes, Outcome: sees.outcome, Said: sees.said,
			Met: sees.fired == len(job.Breaks),
		}
		if k := len(done.Strikes); k > 0 && e.Pairs > 0 && len(job.Breaks) == 1 {
			after := sees.packets[min(len(sees.packets), done.Strikes[k-1].Packet+1):]
			done.After = after[:min(len(after), mostAfter)]
		}
		tell(done)
	}
}

// A numberedTrial is a trial as a worker reads it.
type numberedTrial struct {
	Trial  int
	Breaks []brokenPlace
}

// tryAll runs trials over all processors and returns the result of each.
func (e *exploration) tryAll(t *testing.T, seed uint64, trials []trial) []result {
	t.Helper()
	const few = 16 // that are not worth another process
	results := make([]result, len(trials))
	workers := min(runtime.GOMAXPROCS(0), (len(trials)+few-1)/few)
	var all sync.WaitGroup
	wrong := make([]error, workers)
	for k := range workers {
		var mine []numberedTrial
		for i := k; i < len(trials); i += workers {
			mine = append(mine, numberedTrial{i, trials[i].Breaks})
		}
		all.Go(func() { wrong[k] = e.employ(t, seed, mine, results) })
	}
	all.Wait()
	if err := errors.Join(wrong...); err != nil {
		t.Fatalf("sim: Explore: %v", err)
	}
	return results
}

// employ makes workers run trials; when one dies, it starts another.
func (e *exploration) employ(t *testing.T, seed uint64, todo []numberedTrial, results []result) error {
	for len(todo) > 0 {
		done, texts, last, err := e.process(t, seed, append([]numberedTrial{{Trial: wholeRun}}, todo...))
		logged, begun := positions(texts[wholeRun]), map[int]bool{}
		for _, r := range done {
			if r.Trial == wholeRun {
				continue
			}
			begun[r.Trial] = true
			if r.text = texts[r.Trial]; !r.Over {
				r.Failed, r.died, r.Met = true, true, true
				r.text += "\n" + last
			}
			r.text = withoutLogs(r.text, logged)
			results[r.Trial] = r
		}
		rest := slices.DeleteFunc(slices.Clone(todo), func(j numberedTrial) bool { return begun[j.Trial] })
		if len(rest) == len(todo) {
			return fmt.Errorf("a process that runs the test with breakages did not finish (%v):\n%s", err, last)
		}
		todo = rest
	}
	return nil
}

// process runs one worker. It returns the results, the output of each trial, and the worker's last lines.
func (e *exploration) process(t *testing.T, seed uint64, todo []numberedTrial) (done []result, texts map[int]string, last string, err error) {
	folder, err := os.MkdirTemp("", "squall-explore")
	if err != nil {
		return nil, nil, "", err
	}
	defer os.RemoveAll(folder)
	text, err := json.Marshal(todo)
	if err != nil {
		return nil, nil, "", err
	}
	if err := os.WriteFile(filepath.Join(folder, trialsFile), text, 0o600); err != nil {
		return nil, nil, "", err
	}
	cmd, cancel := e.worker(t, seed, folder)
	defer cancel()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, "", err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return nil, nil, "", err
	}
	texts, last = sections(out, "=== RUN   "+e.r.name+"/trial=")
	err = cmd.Wait()
	told, readErr := os.ReadFile(filepath.Join(folder, resultsFile))
	if readErr != nil {
		return nil, texts, last, err
	}
	return results(told), texts, last, err
}

// pageOf makes a run leave its folder, in a process of its own, since workers leave none, and returns the page in
// it. It returns "" if nothing is to be left, or the run left nothing.
func (e *exploration) pageOf(t *testing.T, seed uint64, x *tried) string {
	k := e.r.keep
	if k == nil || k.dir == "" || !k.hasRoom() {
		return ""
	}
	cmd, cancel := e.command(t, seed, artifactsVariable+"="+k.dir, exploreVariable+"="+brokenWords(e.r.call, x.Breaks))
	defer cancel()
	out, _ := cmd.CombinedOutput() // it fails
	_, rest, _ := strings.Cut(string(out), toLookAt)
	page, _, _ := strings.Cut(rest, "\n")
	return page
}

// worker is the command that starts a worker.
func (e *exploration) worker(t *testing.T, seed uint64, folder string) (*exec.Cmd, context.CancelFunc) {
	return e.command(t, seed, checkVariable+"=0", artifactsVariable+"="+noArtifacts, fmt.Sprintf("%s=%s %d %s", workerVariable, folder, e.r.call, e.r.name))
}

// command runs the test in a process of its own, with some variables besides those of this one.
func (e *exploration) command(t *testing.T, seed uint64, env ...string) (*exec.Cmd, context.CancelFunc) {
	left := time.Hour
	if deadline, ok := t.Deadline(); ok {
		left = max(time.Second, time.Until(deadline)*9/10)
	}
	args := []string{"-test.run=" + e.r.pattern(), "-test.v", "-test.timeout=" + left.String()}
	if testing.Short() {
		args = append(args, "-test.short")
	}
	ctx, cancel := context.WithTimeout(context.Background(), left)
	cmd := exec.CommandContext(ctx, os.Args[0], append(args, ownArgs()...)...)
	cmd.Dir = e.r.dir
	cmd.Env = append(os.Environ(), seedsVariable+"=", fmt.Sprintf("%s=%d", seedVariable, seed), "GOMAXPROCS=1", policyFor(schedule.policy))
	cmd.Env = append(cmd.Env, env...)
	return cmd, cancel
}

// results reads what a worker has written: the last result for each trial.
func results(told []byte) (all []result) {
	at := map[int]int{}
	for line := range strings.Lines(string(told)) {
		var r result
		if json.Unmarshal([]byte(line), &r) != nil {
			continue // the worker died while it wrote
		}
		if i, ok := at[r.Trial]; ok {
			all[i] = r
			continue
		}
		at[r.Trial] = len(all)
		all = append(all, r)
	}
	return all
}

// How much of a process's output is kept, for each trial and from its end.
const (
	sectionKept = 64 << 10
	lastKept    = 40 // lines
)

// sections reads the output of a worker. It returns it by trial, and the last lines.
func sections(out io.Reader, mark string) (texts map[int]string, last string) {
	parts := map[int]*strings.Builder{}
	var now *strings.Builder
	var end []string
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		end = append(end[max(0, len(end)-lastKept+1):], line)
		number, begins := strings.CutPrefix(line, mark)
		if k, bad := strconv.Atoi(strings.TrimSpace(number)); begins && bad == nil {
			now = new(strings.Builder)
			parts[k] = now
		} else if now != nil && now.Len() < sectionKept && !strings.HasPrefix(line, "=== ") {
			now.WriteString(line)
		}
		if err != nil {
			break
		}
	}
	texts = map[int]string{}
	for k, b := range parts {
		texts[k] = b.String()
	}
	return texts, strings.Join(end, "")
}

// positions are the lines of source at which a text was logged.
func positions(text string) map[string]bool {
	all := map[string]bool{}
	for line := range strings.Lines(text) {
		if where, _, ok := failure.Line(line); ok {
			all[where] = true
		}
	}
	return all
}

// withoutLogs returns a text without the logs of some lines of source.
func withoutLogs(text string, at map[string]bool) string {
	var b strings.Builder
	skip := false
	for line := range strings.Lines(text) {
		if where, _, ok := failure.Line(line); ok {
			skip = at[where]
		}
		if !skip {
			b.WriteString(line)
		}
	}
	return b.String()
}
