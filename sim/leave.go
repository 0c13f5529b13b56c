package sim

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/squall-sim/squall/internal/failure"
	"github.com/squall-sim/squall/sim/internal/artifacts"
	"github.com/squall-sim/squall/sim/internal/exact"
)

// The variables by which the environment says whether a test leaves artifacts, see [Test].
const (
	artifactsVariable    = "SQUALL_ARTIFACTS"
	artifactsAllVariable = "SQUALL_ARTIFACTS_ALL"
)

// noArtifacts is the value of the variable that turns artifacts off where they are on by default.
const noArtifacts = "off"

// mostFolders is how many folders one call of Test leaves: thousands of seeds may fail alike.
const mostFolders = 20

// A keeper knows where runs leave their artifacts.
type keeper struct {
	dir  string
	all  bool   // even of runs that pass
	late bool   // it records the second run of a seed, after the first has failed
	file string // of a second run: where it puts what it recorded for the first, instead of a folder

	mu   sync.Mutex
	left int // folders
}

// A leftover is what a run leaves, and where.
type leftover struct {
	dir string
	run *artifacts.Run
}

// keeping returns what the environment asks for, or nil. A second run in a process of its own leaves nothing,
// or what the first asks for.
//
// Recording makes a bulk transfer several times slower. So where nobody has asked for it (in CI), only the
// second run records, which most tests never need.
func (r *runner) keeping() *keeper {
	if exact.Enabled {
		tee()
	}
	dir, asked := artifactsDir()
	k := &keeper{dir: dir, all: os.Getenv(artifactsAllVariable) != ""}
	k.late = !asked && !k.all && r.check != checkNone
	if os.Getenv(replayFile) != "" {
		k = &keeper{file: os.Getenv(recordFile)}
	}
	if k.dir == "" && (k.file == "" || !r.isSecond()) || recordsRuns {
		return nil
	}
	tee()
	return k
}

// artifactsDir returns where to leave artifacts, or "", and whether somebody has asked for that. In CI nobody
// can run the test again and look, so artifacts are the default there. They go below the folder for temporary
// files, since the checkout may have to stay unchanged.
func artifactsDir() (dir string, asked bool) {
	dir = os.Getenv(artifactsVariable)
	ci, err := strconv.ParseBool(os.Getenv("CI"))
	switch {
	case dir == noArtifacts:
		return "", false
	case dir == "" && ci && err == nil:
		return filepath.Join(cmp.Or(os.Getenv("RUNNER_TEMP"), os.TempDir()), "squall-artifacts"), false // GitHub's folder for the job comes first
	case dir != "" && !filepath.IsAbs(dir):
		return filepath.Join(thisDir, dir), true
	}
	return dir, true
}

// films reports whether to record a run from its beginning.
func (k *keeper) films() bool { return k != nil && !k.late }

// wants reports whether a run must leave something.
func (k *keeper) wants(o *outcome) bool {
	return k != nil && (o.failed || k.all) && k.hasRoom()
}

// hasRoom reports whether one more run may leave a folder, and counts it.
func (k *keeper) hasRoom() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.left++
	return k.left <= mostFolders
}

// collect takes from the network what the run must leave, while it is still there, and returns where it will
// be, if that is certain.
func (r *runner) collect(o *outcome) string {
	dir := filepath.Join(r.keep.dir, filepath.FromSlash(r.pathInModule()))
	for part := range strings.SplitSeq(r.name, "/") {
		dir = filepath.Join(dir, artifacts.FileName(part))
	}
	last := fmt.Sprintf("seed-%d", o.seed)
	if r.nth > 1 {
		last += fmt.Sprintf("-call-%d", r.nth)
	}
	for _, v := range r.env {
		if words, explores := strings.CutPrefix(v, exploreVariable+"="); explores {
			last += "-" + artifacts.FileName(words)
		}
	}
	o.left = &leftover{dir: filepath.Join(dir, last)}
	o.left.run = &artifacts.Run{
		Test: r.name, Package: r.pkg, Seed: o.seed, Failed: o.failed,
		Command: r.command(o.seed), Report: o.report,
	}
	if r.keep.late {
		return ""
	}
	if n := o.network(); n.harness.dead.Load() {
		n.peek(func() { n.develop(o.left.run, n.lastSeen()) })
	} else {
		turn(n, func() struct{} { n.develop(o.left.run, n.endedOrNow()); return struct{}{} })
	}
	return o.left.told()
}

func (l *leftover) told() string {
	return fmt.Sprintf("%s%s\n", toLookAt, filepath.Join(l.dir, artifacts.ReportFile))
}

// toLookAt comes before the name of a page.
const toLookAt = "To look at it: "

// fromSecond makes a run that was not recorded leave what its second run recorded, and says so.
func (o *outcome) fromSecond(second *artifacts.Run) string {
	if second == nil {
		o.left = nil
		return fmt.Sprintf("sim: there is nothing to look at: the second run, which was the one to be recorded, did not fail; %s=DIR records the first run", artifactsVariable)
	}
	first := o.left.run
	second.Test, second.Package, second.Seed, second.Command, second.Report = first.Test, first.Package, first.Seed, first.Command, first.Report
	o.left.run = second
	return "sim: the second run was recorded. " + strings.TrimSuffix(o.left.told(), "\n")
}

// pathInModule returns the package's path relative to that of its module.
func (r *runner) pathInModule() string {
	module := moduleOf(r.dir, r.pkg)
	if module == "" {
		return artifacts.FileName(r.pkg)
	}
	if path, err := filepath.Rel(module, r.dir); err == nil && filepath.IsLocal(path) {
		return path
	}
	return artifacts.FileName(r.pkg)
}

// leave writes the folder of a run, or, in the second process, the file from which the first process makes
// it.
func (r *runner) leave(t *testing.T, o *outcome) {
	t.Helper()
	run := o.left.run
	run.Second = o.second.text
	run.Sentence = sentence(o)
	if err := r.write(o); err != nil {
		t.Logf("sim: the artifacts of the test cannot be written: %v", err)
	}
}

func (r *runner) write(o *outcome) error {
	if r.keep.file != "" {
		return writeRecord(r.keep.file, o.left.run)
	}
	err := o.left.run.Write(o.left.dir)
	if file := os.Getenv(summaryVariable); err == nil && file != "" && o.failed {
		err = summarize(file, o.left.run, o.left.dir)
	}
	return err
}

// summaryVariable names a Markdown file that GitHub shows with a job.
const summaryVariable = "GITHUB_STEP_SUMMARY"

// summarize adds a failure to the summary of a job, in one write, since several processes write to it.
func summarize(file string, run *artifacts.Run, dir string) error {
	const most = 1000
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	text := strings.ReplaceAll(run.Sentence[:min(len(run.Sentence), most)], "```", "\u00b4\u00b4\u00b4")
	_, err = fmt.Fprintf(f, "\n### `%s`, seed %d\n\n```\n%s\n\n%s\n```\n\nTo look at it: `%s`\n", run.Test, run.Seed, text, run.Command, filepath.Join(dir, artifacts.ReportFile))
	return errors.Join(err, f.Close())
}

// sentence says why a test failed: what the network found, and what a second run printed, which package
// testing keeps to itself in the first.
func sentence(o *outcome) string {
	if !o.failed {
		return ""
	}
	parts := append([]string(nil), o.problems...)
	if o.second.failed {
		for _, said := range failure.Said(o.second.output) {
			if !strings.HasPrefix(said, "sim: ") { // the network's own words
				parts = append(parts, said)
			}
		}
	}
	if len(parts) == 0 {
		return "The test failed; its output gives the reason."
	}
	const most = 8000
	text := strings.Join(parts, "\n")
	return text[:min(len(text), most)]
}

// develop puts what the network knows into r. The lock is held.
func (n *Network) develop(r *artifacts.Run, at time.Duration) {
	t, f := n.log.trace, n.log.film
	r.Hash, r.Total, r.Elapsed, r.Start = fmt.Sprintf("%016x", t.sum()), t.total, at, n.clock.start.UTC()
	number := map[string]int{}
	for i, d := range t.nodes {
		number[d.name] = i
		h := artifacts.Host{Name: d.name, Router: d.host == nil}
		if d.host != nil {
			h.Addrs = append(h.Addrs, d.host.addresses.list...)
		}
		r.Hosts = append(r.Hosts, h)
	}
	for _, name := range columns(slices.Collect(maps.Keys(number)), n.wires.links) {
		r.Columns = append(r.Columns, number[name])
	}
	frames := f.frames.kept()
	for i := t.first; i < t.total; i++ {
		e := t.artifact(i)
		for len(frames) > 0 && frames[0].number < i {
			frames = frames[1:]
		}
		if len(frames) > 0 && frames[0].number == i {
			e.Packet, e.Frame = frames[0].shot.number, frames[0].bytes
			if i == e.Packet {
				e.Before = frames[0].shot.before
			}
		}
		r.Events = append(r.Events, e)
	}
	place := map[int]int{} // of a connection, by its number
	for i, c := range f.conns.kept() {
		if c.last.Name != "" {
			place[int(f.forgot)+i+1] = len(r.Conns)
			r.Conns = append(r.Conns, c.Conn)
		}
	}
	for _, s := range f.states.kept() {
		if at, ok := place[s.Conn]; ok {
			s.Conn = at
			r.States = append(r.States, s)
		}
	}
	n.developFaults(r)
	r.Story = n.story(r)
	r.Lines = n.log.lines.all()
}

// artifact returns the event of that number for a report.
func (t *Trace) artifact(i int) artifacts.Event {
	e, _ := t.event(i)
	rec := t.record(i)
	return artifacts.Event{
		Number: i, At: e.At, Kind: artifacts.Kind(e.Kind.String()), From: int(rec.from) - 1, To: int(rec.to) - 1, Note: e.Note,
		Protocol: e.Protocol, SourcePort: e.SourcePort, TargetPort: e.TargetPort, Flags: e.Flags, Seq: e.Seq, Ack: e.Ack,
		Length: e.Length, Size: e.Size, IPv6: e.IPv6, Again: e.Resent, Content: e.Content, Packet: -1, Before: -1,
	}
}

// developFaults adds the times during which faults were active, and the faults that never began.
func (n *Network) developFaults(r *artifacts.Run) {
	number, part := map[*Fault]int{}, map[*Fault]bool{}
	for i, f := range n.log.faults {
		number[f] = i + 1
		for _, p := range f.parts {
			part[p] = true
		}
	}
	add := func(f *Fault, begun, over time.Duration) {
		out := artifacts.Fault{Name: f.Name(), Code: f.scenarioCode(nil), A: artifacts.Nobody, B: artifacts.Nobody,
			Begun: begun, Over: over, Met: f.firings().Count, NeverBegan: f.state == faultMade,
			Number: number[f], Part: part[f]}
		for i, d := range f.at {
			if d != nil {
				*[]*int{&out.A, &out.B}[i] = int(d.number) - 1
			}
		}
		r.Faults = append(r.Faults, out)
	}
	for _, s := range n.log.film.spells {
		add(s.fault, s.begun, s.over)
	}
	for _, f := range n.log.faults {
		if f.state == faultMade && !f.leftOut {
			add(f, cmp.Or(n.due(f), -1), -1)
		}
	}
}

// due returns when a fault should have begun, or 0.
func (n *Network) due(f *Fault) time.Duration {
	for _, p := range n.planned() {
		if p.Fault == f && !p.Ends {
			return p.At
		}
	}
	return 0
}
