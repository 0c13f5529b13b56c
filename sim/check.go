package sim

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// With SQUALL_CHECK=1 a second process runs the tests of the first at the same time, in the same order and at
// another GOMAXPROCS, and reports the hash of each run's trace. The first process compares them with its own.
// So whatever a test leaves behind, in variables of its closures or of a package, is left behind alike in
// both.
//
// The second process reports on its standard output, in lines that begin with a mark. The first process reads
// them when it needs to know something, and needs no goroutine for it.
type secondProcess struct {
	mu     sync.Mutex
	err    error // it could not start, or its output has ended
	out    *os.File
	lines  *bufio.Reader
	cmd    *exec.Cmd
	runs   map[runKey]runRecord
	others []string // the last other lines of its output
}

type runKey struct {
	name string
	nth  int
	seed uint64
}

type runRecord struct {
	hash     uint64
	schedule uint64 // in exact mode
	decided  string // by the schedule
	failed   bool
}

const (
	recordVariable = "SQUALL_RECORD" // set in the second process
	recordMark     = "\x00squall run "
)

// checkPatience is how long the second process may be completely silent.
const checkPatience = 10 * time.Minute

var (
	second       secondProcess
	recording    = takeVariable(recordVariable)
	recordsRuns  = recording != ""
	recordOutput = os.Stdout // whatever tests make of os.Stdout
)

// takeVariable is os.Getenv for a variable that is meant for this process and not for its children.
func takeVariable(name string) string {
	value := os.Getenv(name)
	os.Unsetenv(name)
	return value
}

// recordRun reports a run to the first process, if this is the second one, and returns whether it is.
func recordRun(r *runner, o *outcome) bool {
	if !recordsRuns {
		return false
	}
	fmt.Fprintf(recordOutput, "\n%s%d %d %x %x %t %q %s\n", recordMark, r.nth, o.seed, o.trace.Hash(), o.schedule.Hash, o.failed, r.name, packed(o.decided))
	return true
}

// checkRun compares a run with that of the second process and returns what is wrong, or "".
func (r *runner) checkRun(o *outcome) string {
	seed, first := o.seed, o.trace
	other, err := second.run(runKey{r.name, r.nth, seed})
	switch {
	case err != nil:
		return fmt.Sprintf("sim: there was no second run of seed %d to compare with: %v", seed, err)
	case other.hash == first.Hash() && other.failed:
		return "sim: two runs with the same seed had the same trace, but the second one failed: the failure depends on something other than the network"
	case other.hash == first.Hash() && other.schedule != o.schedule.Hash:
		return fmt.Sprintf("sim: two runs with the same seed had the same trace, but their goroutines ran in different orders (%s). %s\nSee docs/exact.md",
			scheduleText(o.schedule), otherOrder(o.decided, other.decided))
	case other.hash == first.Hash():
		return ""
	}
	// The second process has kept no trace.
	const tries = 3
	for range tries {
		if again := r.rerun(o); again.came && !again.same {
			return "sim: two runs with the same seed differ. " + r.difference(o, again.lines)
		}
	}
	return fmt.Sprintf("sim: two runs with the same seed differ; %d more runs of this test alone were like the first, so the difference cannot be shown", tries)
}

// run waits for what the second process reports about a run, and returns it.
func (p *secondProcess) run(key runKey) (runRecord, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.runs == nil {
		p.runs = map[runKey]runRecord{}
		p.err = p.start()
	}
	for {
		if record, ok := p.runs[key]; ok {
			delete(p.runs, key)
			return record, nil
		}
		if p.err != nil {
			return runRecord{}, p.err
		}
		p.out.SetReadDeadline(time.Now().Add(checkPatience))
		line, err := p.lines.ReadString('\n')
		p.take(line)
		if err != nil {
			p.end(err)
		}
	}
}

// take records a line of the process.
func (p *secondProcess) take(line string) {
	if _, told, ok := strings.Cut(strings.TrimSuffix(line, "\n"), recordMark); ok {
		var key runKey
		var record runRecord
		space := max(0, strings.LastIndexByte(told, ' '))
		told, record.decided = told[:space], strings.TrimPrefix(told[space:], " ")
		if _, err := fmt.Sscanf(told, "%d %d %x %x %t %q", &key.nth, &key.seed, &record.hash, &record.schedule, &record.failed, &key.name); err == nil {
			p.runs[key] = record
			return
		}
	}
	const kept = 20
	if line = strings.TrimRight(line, "\n"); line != "" {
		p.others = append(p.others[max(0, len(p.others)-kept+1):], line)
	}
}

// end is called when the process reports no more.
func (p *secondProcess) end(err error) {
	p.out.Close()
	if os.IsTimeout(err) {
		err = fmt.Errorf("the second process printed nothing for %v", checkPatience)
		p.cmd.Process.Kill()
	} else {
		err = fmt.Errorf("the second process ended before this run")
	}
	p.cmd.Wait()
	p.err = fmt.Errorf("%w; its last output:\n%s", err, strings.Join(p.others, "\n"))
}

func (p *secondProcess) start() error {
	out, in, err := os.Pipe()
	if err != nil {
		return err
	}
	defer in.Close()
	p.cmd = exec.Command(os.Args[0], secondArgs(os.Args[1:])...)
	p.cmd.Dir = thisDir
	p.cmd.Env = append(os.Environ(), checkVariable+"=0", artifactsVariable+"="+noArtifacts, recordVariable+"="+recordedBySecond(), otherProcs(), policyFor(schedule.other))
	p.cmd.Stdout, p.cmd.Stderr = in, in
	if err := p.cmd.Start(); err != nil {
		out.Close()
		return err
	}
	p.out, p.lines = out, bufio.NewReader(out)
	return nil
}

// recordedBySecond says what the second process must record.
func recordedBySecond() string {
	if comparesOrders {
		return schedulesValue // whose decisions are other ones
	}
	return strconv.Itoa(os.Getpid())
}

// notForSecond are the flags of a test binary that write files or change what runs.
var notForSecond = []string{
	"artifacts", "bench", "benchmem", "benchtime", "blockprofile", "blockprofilerate", "coverprofile", "cpuprofile",
	"failfast", "fuzz", "fuzzcachedir", "fuzztime", "gocoverdir", "memprofile", "memprofilerate", "mutexprofile",
	"mutexprofilefraction", "outputdir", "testlogfile", "trace", "v",
}

// secondArgs returns the arguments of the second process.
func secondArgs(args []string) []string {
	flags, rest := splitArgs(args)
	var kept []string
	for _, f := range flags {
		name, value, _ := strings.Cut(f[0], "=")
		name, ofTesting := strings.CutPrefix(strings.TrimLeft(name, "-"), "test.")
		switch {
		case ofTesting && name == "cpu":
			if len(f) > 1 {
				value = f[1]
			}
			kept = append(kept, "-test.cpu="+otherCPUs(value))
		case !ofTesting || !slices.Contains(notForSecond, name):
			kept = append(kept, f...)
		}
	}
	return append(kept, rest...)
}

// otherCPUs returns a value of -test.cpu that makes as many runs as the given one, at other GOMAXPROCS.
func otherCPUs(list string) string {
	values := strings.Split(list, ",")
	for i, v := range values {
		if values[i] = "1"; strings.TrimSpace(v) == "1" {
			values[i] = "2"
		}
	}
	return strings.Join(values, ",")
}

// splitArgs splits the arguments of this program into its flags, each with its value, and the rest, as
// package flag does.
func splitArgs(args []string) (flags [][]string, rest []string) {
	for len(args) > 0 {
		a := args[0]
		if len(a) < 2 || a[0] != '-' || a == "--" {
			break
		}
		words := 1
		if known := flag.Lookup(strings.TrimLeft(a, "-")); known != nil && len(args) > 1 {
			if b, ok := known.Value.(interface{ IsBoolFlag() bool }); !ok || !b.IsBoolFlag() {
				words = 2
			}
		}
		flags, args = append(flags, args[:words]), args[words:]
	}
	return flags, args
}
