package sweep

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/squall-sim/squall/internal/failure"
)

// Progress reports how far a sweep is.
type Progress struct {
	Done, All uint64 // seeds, of each package
	Findings  int
	Causes    int
	Took      time.Duration // duration of the present run
	Left      time.Duration // estimate from the pace so far; negative: not known yet
	Oldest    Running
}

// Running is a range of a package's seeds that is being run.
type Running struct {
	Package string
	Seeds   Seeds
	For     time.Duration // 0: no range is being run
}

// A range takes about this long: long enough to be worth starting a process, and short enough that little is repeated after an interruption.
// The first range is a single seed. If a test of the package takes a minute, a range of twenty seeds would exceed Timeout, and the sweep
// would blame the tests that were running. They are variables for tests.
var (
	chunkTakes  = 3 * time.Second
	firstChunk  = uint64(1)
	mostInChunk = uint64(20_000)
)

// tellsAgain is the time after which progress is reported even if there is none, so that the user can see whether a test hangs. It is a
// variable for its test.
var tellsAgain = 10 * time.Second

// lingers is how long the output of a process is read after its end, if a child process holds it open. It is a variable for its test.
var lingers = 5 * time.Second

// Run runs a sweep, or the rest of one, and returns all findings, including those of earlier runs. If ctx ends, it stops, and returns the
// error of ctx together with the result so far.
func Run(ctx context.Context, c Config) (*Result, error) {
	dir, err := os.MkdirTemp("", "squall-sweep")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	binaries, err := build(ctx, &c, dir)
	if err != nil {
		return nil, err
	}
	return runBuilt(ctx, c, binaries)
}

// runBuilt is Run after the tests are compiled.
func runBuilt(ctx context.Context, c Config, binaries []binary) (*Result, error) {
	h := Heading{Version: 1, Binaries: map[string]string{}, Dirs: map[string]string{}, Run: c.Run, Build: c.Build, Short: c.Short,
		GoFlags: os.Getenv("GOFLAGS"), Seeds: c.Seeds, Shard: c.Shard}
	if c.Exact != nil {
		h.Exact, h.Policy = true, c.Exact.Policy
	}
	for _, b := range binaries {
		h.Binaries[b.pkg], h.Dirs[b.pkg] = b.sum, b.dir
	}
	l, err := openLedger(LedgerFile(c.Dir, c.Shard), h, c.Fresh)
	if err != nil {
		return nil, err
	}
	defer l.close()
	s := &sweeping{Config: c, ledger: l, began: time.Now(), binaries: binaries}
	if part, ok := c.Shard.of(c.Seeds); ok {
		for i, b := range binaries {
			for _, r := range l.missing(b.pkg, part) {
				s.queue = append(s.queue, job{i, r})
				s.left += r.Count()
			}
			s.all += part.Count()
		}
	}
	err = s.run(ctx)
	if err == nil && s.all > 0 && l.runs == 0 && len(l.findings) == 0 {
		return nil, c.nothingRan()
	}
	r := fold([]*ledger{l}, err == nil)
	if err == nil && r.Shards == 1 {
		r.judge([]*ledger{l})
	}
	return r, err
}

// nothingRan returns the error for a sweep in which no test took a seed.
func (c *Config) nothingRan() error {
	text := "no test takes seeds"
	if c.Run != "" {
		text = fmt.Sprintf("no test that takes seeds is selected by -run %q", c.Run)
	}
	if c.Exact == nil {
		text += "; tests that call sim.NeedExact need -exact"
	}
	return errors.New(text)
}

// A sweeping is a sweep in progress.
type sweeping struct {
	Config
	ledger   *ledger
	binaries []binary
	began    time.Time

	mu     sync.Mutex
	queue  []job
	left   uint64 // seeds that are not done
	all    uint64 // seeds of this shard
	pace   map[int]time.Duration
	broken map[int]int // number of processes that died, by binary
	since  map[job]time.Time
	err    error
	stop   context.CancelFunc
}

// A job is a range of seeds of a binary.
type job struct {
	binary int
	seeds  Seeds
}

// errStopped is the reason why a sweep ends at its first finding.
var errStopped = errors.New("stopped at the first finding")

func (s *sweeping) run(ctx context.Context) error {
	inner, stop := context.WithCancel(ctx)
	defer stop()
	s.stop, s.pace, s.broken, s.since = stop, map[int]time.Duration{}, map[int]int{}, map[job]time.Time{}
	s.tell()
	defer s.tellAgain()()
	var workers sync.WaitGroup
	for range max(s.Jobs, 1) {
		workers.Go(func() {
			for {
				j, ok := s.next(inner)
				if !ok {
					return
				}
				s.work(inner, j)
			}
		})
	}
	workers.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return s.err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return nil
}

// next takes the next range from the queue.
func (s *sweeping) next(ctx context.Context) (j job, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil || len(s.queue) == 0 {
		return job{}, false
	}
	j = s.queue[0]
	size := firstChunk
	if pace := s.pace[j.binary]; pace > 0 {
		size = min(max(uint64(chunkTakes/pace), 1), mostInChunk)
	}
	size = min(size, max(s.left/uint64(2*max(s.Jobs, 1)), 1)) // short ranges towards the end, so that processors do not wait for each other
	if j.seeds.Count() > size {
		s.queue[0].seeds.First += size
		j.seeds.Last = j.seeds.First + size - 1
	} else {
		s.queue = s.queue[1:]
	}
	return j, true
}

// fail ends the sweep with an error.
func (s *sweeping) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
	s.stop()
}

// mostBroken is the number of processes of one package that may die in a sweep.
const mostBroken = 50

// work runs a range in a process. If the process dies, work blames the tests that were running, and the rest of the range is run again.
func (s *sweeping) work(ctx context.Context, j job) {
	b, began := s.binaries[j.binary], time.Now()
	s.mu.Lock()
	s.since[j] = began
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.since, j)
	}()
	heard := newListener(j.seeds, func(test string, seed uint64, seeded, failed bool, output string) {
		if failed {
			s.found(Finding{Package: b.pkg, Test: test, Seed: seed, Seeded: seeded, Cause: causeOf(output), Output: output})
		}
	})
	words, died := s.process(ctx, b, j.seeds, heard)
	switch {
	case ctx.Err() != nil: // the ledger has the findings, and the range will be run again
		return
	case died == nil:
		s.done(j, heard, time.Since(began))
		return
	}
	guilty := heard.cut()
	s.mu.Lock()
	s.broken[j.binary]++
	times := s.broken[j.binary]
	s.mu.Unlock()
	if len(guilty) == 0 || times > mostBroken {
		s.fail(fmt.Errorf("the test process of %s ended (%w) with seeds %v:\n%s", b.pkg, died, j.seeds, words))
		return
	}
	for i := range guilty {
		g := &guilty[i]
		g.Package, g.Cause, g.Output = b.pkg, "the process ended: "+deathIn(words, died), words
		s.found(*g)
	}
	s.split(j, guilty)
}

// found records a finding.
func (s *sweeping) found(f Finding) {
	if err := s.ledger.found(f); err != nil {
		s.fail(err)
	} else if s.StopAtFirst {
		s.fail(errStopped)
	}
}

// done records that a range is done.
func (s *sweeping) done(j job, heard *listener, took time.Duration) {
	if len(heard.seeded) == 0 && j.seeds.Count() > 1 {
		s.drop(j.binary) // the selected tests take no seeds: running them once is enough
	}
	if err := s.ledger.finish(chunk{s.binaries[j.binary].pkg, j.seeds, heard.runs, heard.seen}); err != nil {
		s.fail(err)
		return
	}
	s.mu.Lock()
	s.left -= min(s.left, j.seeds.Count())
	s.pace[j.binary] = max(took/time.Duration(j.seeds.Count()), 1)
	s.mu.Unlock()
	s.tell()
}

// drop removes the ranges of a binary from the queue.
func (s *sweeping) drop(binary int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var kept []job
	for _, j := range s.queue {
		if j.binary != binary {
			kept = append(kept, j)
			continue
		}
		s.left -= min(s.left, j.seeds.Count())
		if err := s.ledger.finish(chunk{s.binaries[binary].pkg, j.seeds, 0, nil}); err != nil && s.err == nil {
			s.err = err
		}
	}
	s.queue = kept
}

// split puts the rest of a range, without the seeds that killed the process, at the front of the queue.
func (s *sweeping) split(j job, guilty []Finding) {
	rest := []Seeds{j.seeds}
	for _, g := range guilty {
		var next []Seeds
		for _, r := range rest {
			if g.Seed < r.First || g.Seed > r.Last {
				next = append(next, r)
				continue
			}
			if g.Seed > r.First {
				next = append(next, Seeds{r.First, g.Seed - 1})
			}
			if g.Seed < r.Last {
				next = append(next, Seeds{g.Seed + 1, r.Last})
			}
			if err := s.ledger.finish(chunk{g.Package, Seeds{g.Seed, g.Seed}, 1, nil}); err != nil {
				s.fail(err)
			}
		}
		rest = next
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range rest {
		s.queue = append([]job{{j.binary, r}}, s.queue...)
	}
}

// process runs the tests with a range of seeds and additional environment variables. died is the reason if the process did not end as tests
// end.
func (s *sweeping) process(ctx context.Context, b binary, seeds Seeds, heard *listener, env ...string) (words string, died error) {
	args := []string{"-test.v=test2json", "-test.timeout=" + s.Timeout.String(), "-test.paniconexit0"}
	if s.Run != "" {
		args = append(args, "-test.run="+s.Run)
	}
	if s.Short {
		args = append(args, "-test.short")
	}
	cmd := exec.CommandContext(ctx, b.file, args...)
	cmd.Dir = b.dir
	cmd.Env = append(environment(seeds), env...)
	if s.Exact != nil {
		cmd.Env = append(cmd.Env, "SQUALL_SCHED="+s.Exact.Policy)
	}
	out, in, err := os.Pipe() // a pipe of the operating system, so that no goroutine copies
	if err != nil {
		return "", err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = in, in
	err = cmd.Start()
	in.Close()
	if err != nil {
		return "", err
	}
	ended := make(chan error, 1)
	go func() {
		ended <- cmd.Wait()
		out.SetReadDeadline(time.Now().Add(lingers)) // a child process may keep the pipe open
	}()
	words = heard.read(&patient{from: out})
	err = <-ended
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 && len(heard.running) == 0 && len(heard.failed) > 0 {
		return words, nil // tests failed
	}
	return words, err
}

var deathLine = regexp.MustCompile(`(?m)^(panic: .*|fatal error: .*|runtime: out of memory.*)$`)

// deathIn extracts the cause of a process's death from its last words.
func deathIn(words string, died error) string {
	if m := deathLine.FindString(words); m != "" {
		return failure.Alike(strings.TrimSpace(m))
	}
	return died.Error()
}

func (s *sweeping) tell() {
	if s.Progress == nil {
		return
	}
	s.ledger.mu.Lock()
	findings, causes := len(s.ledger.findings), len(s.ledger.causes)
	s.ledger.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	p := Progress{Done: s.all - s.left, All: s.all, Findings: findings, Causes: causes, Took: time.Since(s.began), Left: -1}
	var work time.Duration
	known := true
	for _, j := range s.queue {
		pace := s.pace[j.binary]
		known = known && pace > 0
		work += pace * time.Duration(j.seeds.Count())
	}
	if known {
		p.Left = work / time.Duration(max(s.Jobs, 1))
	}
	for j, since := range s.since {
		if d := time.Since(since); d > p.Oldest.For {
			p.Oldest = Running{s.binaries[j.binary].pkg, j.seeds, d}
		}
	}
	s.Progress(p)
}

// tellAgain reports progress from time to time, until end is called.
func (s *sweeping) tellAgain() (end func()) {
	done := make(chan struct{})
	var told sync.WaitGroup
	told.Go(func() {
		tick := time.NewTicker(tellsAgain)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				s.tell()
			}
		}
	})
	return func() {
		close(done)
		told.Wait()
	}
}
