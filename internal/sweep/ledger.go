package sweep

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/squall-sim/squall/internal/sometimes"
)

// A Heading identifies the sweep of a ledger. Two ledgers belong to one sweep if their headings differ only in the shard.
type Heading struct {
	Version  int               `json:"squall_sweep"` // version of this format: 1
	Binaries map[string]string `json:"binaries"`     // SHA-256 of the test binary, by package
	Dirs     map[string]string `json:"dirs"`         // where a package's tests run
	Run      string            `json:"run,omitempty"`
	Build    []string          `json:"build,omitempty"` // flags of the build, in their order
	Exact    bool              `json:"exact,omitempty"`
	Policy   string            `json:"sched,omitempty"` // in exact mode: the value of SQUALL_SCHED
	Short    bool              `json:"short,omitempty"`
	GoFlags  string            `json:"goflags,omitempty"` // the value of GOFLAGS
	Seeds    Seeds             `json:"seeds"`
	Shard    Shard             `json:"shard"`
}

// A chunk is a range of a package's seeds that is done.
type chunk struct {
	Package string `json:"package"`
	Seeds
	Runs int                       `json:"runs"`           // tests times seeds
	Seen map[string]sometimes.Seen `json:"seen,omitempty"` // what storms have seen, by test
}

// A Finding is a test that failed with a seed.
type Finding struct {
	Package string `json:"package"`
	Test    string `json:"test"`
	Seed    uint64 `json:"seed"`
	Seeded  bool   `json:"seeded"` // false: the test takes no seeds
	Cause   string `json:"cause"`
	Output  string `json:"output,omitempty"`
}

// entry is a line of a ledger.
type entry struct {
	Heading *Heading `json:"heading,omitempty"`
	Chunk   *chunk   `json:"chunk,omitempty"`
	Finding *Finding `json:"finding,omitempty"`
}

// mostOutputs is the number of findings of one cause whose output a ledger keeps.
const mostOutputs = 3

// A ledger records progress and findings.
type ledger struct {
	mu       sync.Mutex
	file     *os.File
	heading  Heading
	done     map[string][]Seeds
	runs     int
	seen     map[testKey]sometimes.Seen
	findings []Finding
	known    map[findingKey]bool
	causes   map[causeKey]int
}

type findingKey struct {
	pkg, test string
	seed      uint64
}

type testKey struct{ pkg, test string }

type causeKey struct{ pkg, test, cause string }

// LedgerFile returns the name of a shard's ledger.
func LedgerFile(dir string, s Shard) string {
	return filepath.Join(dir, fmt.Sprintf("sweep-%d-of-%d.jsonl", s.Number, s.Count))
}

// openLedger continues the ledger in a file, or begins a new one.
func openLedger(name string, h Heading, fresh bool) (*ledger, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: another sweep is writing it: %w", name, err)
	}
	if fresh { // only after the lock, which excludes other sweeps
		if err := f.Truncate(0); err != nil {
			f.Close()
			return nil, err
		}
	}
	l, err := readLedger(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	l.file = f
	switch {
	case l.heading.Version == 0, grows(l.heading, h):
		l.heading = h
		err = l.write(entry{Heading: &h}, true)
	case difference(l.heading, h) != "":
		err = fmt.Errorf("%s belongs to another sweep (%s): start again with -fresh, or use another folder with -dir", name, difference(l.heading, h))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return l, nil
}

// grows reports whether the only difference is that there are more seeds, so that the work done is a part of the new sweep. A sweep with
// shards cannot grow, because its shards would consist of other seeds.
func grows(was, is Heading) bool {
	more := is.Seeds.First <= was.Seeds.First && was.Seeds.Last <= is.Seeds.Last && is.Seeds != was.Seeds
	was.Seeds = is.Seeds
	return more && is.Shard.Count == 1 && difference(was, is) == ""
}

// difference describes how two headings differ. It is empty if they belong to one sweep. GOFLAGS may differ, and so may the folders of
// another machine, because equal binaries test the same code.
func difference(a, b Heading) string {
	switch {
	case a.Version != b.Version:
		return fmt.Sprintf("format version %d, now %d", a.Version, b.Version)
	case a.Seeds != b.Seeds:
		return fmt.Sprintf("seeds %v, now %v", a.Seeds, b.Seeds)
	case a.Shard != b.Shard:
		return fmt.Sprintf("shard %v, now %v", a.Shard, b.Shard)
	case a.Run != b.Run:
		return fmt.Sprintf("-run %q, now %q", a.Run, b.Run)
	case !slices.Equal(a.Build, b.Build):
		return fmt.Sprintf("build flags %v, now %v", a.Build, b.Build)
	case a.Exact != b.Exact:
		return fmt.Sprintf("-exact=%t, now %t", a.Exact, b.Exact)
	case a.Policy != b.Policy:
		return fmt.Sprintf("SQUALL_SCHED=%s, now %s", a.Policy, b.Policy)
	case a.Short != b.Short:
		return fmt.Sprintf("-short=%t, now %t", a.Short, b.Short)
	}
	for _, pkg := range slices.Sorted(maps.Keys(b.Binaries)) {
		if old, ok := a.Binaries[pkg]; !ok {
			return "without " + pkg
		} else if old != b.Binaries[pkg] {
			return pkg + " has changed or is built differently"
		}
	}
	for _, pkg := range slices.Sorted(maps.Keys(a.Binaries)) {
		if _, ok := b.Binaries[pkg]; !ok {
			return "with " + pkg
		}
	}
	return ""
}

// readLedger reads an existing ledger. It drops an incomplete last line, which an interrupted process leaves.
func readLedger(f *os.File) (*ledger, error) {
	l := &ledger{done: map[string][]Seeds{}, seen: map[testKey]sometimes.Seen{}, known: map[findingKey]bool{}, causes: map[causeKey]int{}}
	r := bufio.NewReaderSize(f, 1<<16)
	var whole int64
	for number := 1; ; number++ {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		var e entry
		if err := json.Unmarshal(bytes.TrimSpace(line), &e); err != nil {
			return nil, fmt.Errorf("line %d is not a line of a ledger: %w", number, err)
		}
		if number == 1 && (e.Heading == nil || e.Heading.Version != 1) {
			return nil, errors.New("it does not begin like a ledger of a version that this squall reads")
		}
		l.take(e)
		whole += int64(len(line))
	}
	if f, err := f.Stat(); err == nil && f.Size() == whole {
		return l, nil
	}
	if err := f.Truncate(whole); err != nil && !errors.Is(err, os.ErrInvalid) && !os.IsPermission(err) {
		return nil, err
	}
	_, err := f.Seek(whole, io.SeekStart)
	return l, err
}

// take records an entry, and reports whether it is new.
func (l *ledger) take(e entry) bool {
	switch {
	case e.Heading != nil:
		l.heading = *e.Heading
	case e.Chunk != nil:
		l.done[e.Chunk.Package] = append(l.done[e.Chunk.Package], e.Chunk.Seeds)
		l.runs += e.Chunk.Runs
		for test, s := range e.Chunk.Seen {
			sometimes.Add(l.seen, testKey{e.Chunk.Package, test}, s)
		}
	case e.Finding != nil:
		key := findingKey{e.Finding.Package, e.Finding.Test, e.Finding.Seed}
		if l.known[key] {
			return false
		}
		l.known[key] = true
		l.causes[causeKey{key.pkg, key.test, e.Finding.Cause}]++
		l.findings = append(l.findings, *e.Finding)
	}
	return true
}

// write appends a line. If safe is true, the line is on the disk when write returns.
func (l *ledger) write(e entry, safe bool) error {
	line, err := json.Marshal(e)
	if err == nil {
		_, err = l.file.Write(append(line, '\n'))
	}
	if err == nil && safe {
		err = l.file.Sync()
	}
	return err
}

// found records a finding.
func (l *ledger) found(f Finding) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.causes[causeKey{f.Package, f.Test, f.Cause}] >= mostOutputs {
		f.Output = ""
	}
	if !l.take(entry{Finding: &f}) {
		return nil
	}
	return l.write(entry{Finding: &f}, false)
}

// finish records that a range is done. All findings in the range are already in the file.
func (l *ledger) finish(c chunk) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.take(entry{Chunk: &c})
	return l.write(entry{Chunk: &c}, true)
}

func (l *ledger) close() error { return l.file.Close() }

// missing returns the seeds of a package that are not done.
func (l *ledger) missing(pkg string, all Seeds) (ranges []Seeds) {
	done := slices.Clone(l.done[pkg])
	slices.SortFunc(done, func(a, b Seeds) int { return cmp.Compare(a.First, b.First) })
	at, over := all.First, false
	for _, d := range done {
		if d.First > at && !over {
			ranges = append(ranges, Seeds{at, min(d.First-1, all.Last)})
		}
		if d.Last >= all.Last {
			over = true
		} else {
			at = max(at, d.Last+1)
		}
	}
	if !over && at <= all.Last {
		ranges = append(ranges, Seeds{at, all.Last})
	}
	return ranges
}
