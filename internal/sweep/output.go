package sweep

import (
	"bufio"
	"cmp"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/squall-sim/squall/internal/failure"
	"github.com/squall-sim/squall/internal/sometimes"
)

// A listener follows the output of a test binary run with -test.v=test2json. In this output a mark precedes each line of the testing
// package itself, and since Go 1.27 marks enclose the messages of a failure (see cmd/internal/test2json).
type listener struct {
	seeds   Seeds
	current string // the test that is printing
	said    map[string]*strings.Builder
	running map[string]bool           // tests with a seed that have begun and not ended
	failed  map[string]bool           // tests that failed with some seed
	seeded  map[string]bool           // tests that have seeds
	seen    map[string]sometimes.Seen // what storms have seen, by test
	runs    int

	ended func(test string, seed uint64, seeded, failed bool, output string)
}

const (
	mark     = "\x16"
	mostSaid = 32 << 10 // bytes kept of a test's output: the first half and the last
)

var errorMarks = strings.NewReplacer("\x0f", "", "\x0e", "")

func newListener(seeds Seeds, ended func(string, uint64, bool, bool, string)) *listener {
	return &listener{seeds: seeds, said: map[string]*strings.Builder{}, running: map[string]bool{}, failed: map[string]bool{}, seeded: map[string]bool{},
		seen: map[string]sometimes.Seen{}, ended: ended}
}

// patient reads a pipe some milliseconds late, so that not every line wakes it: a sweep prints three lines for each seed. It waits longer,
// the more it has read, so that it does not delay a process that does little.
type patient struct {
	from io.Reader
	late time.Duration
	full bool // the last read found as much as there was room for, and there may be more
}

func (p *patient) Read(b []byte) (int, error) {
	if !p.full {
		time.Sleep(p.late)
		p.late = min(max(2*p.late, time.Millisecond), lateness)
	}
	n, err := p.from.Read(b)
	p.full = n == len(b)
	return n, err
}

const lateness = 20 * time.Millisecond

// read follows the output to its end, and returns its last lines.
func (l *listener) read(r io.Reader) (last string) {
	in := bufio.NewReaderSize(r, 1<<16)
	var tail []string
	for {
		line, err := in.ReadString('\n')
		if line = errorMarks.Replace(line); line != "" {
			tail = append(tail[max(0, len(tail)-59):], line)
			l.line(line)
		}
		if err != nil {
			return strings.Join(tail, "")
		}
	}
}

var ending = regexp.MustCompile(`^ *--- (PASS|FAIL|SKIP): (\S.*) \([0-9.]+s\)$`)

func (l *listener) line(line string) {
	before, own, marked := strings.Cut(line, mark)
	if before != "" {
		l.say(before)
	}
	if !marked {
		return
	}
	own = strings.TrimRight(own, "\r\n")
	if m := ending.FindStringSubmatch(own); m != nil {
		l.end(m[2], m[1] == "FAIL")
		return
	}
	fields := strings.Fields(own)
	if len(fields) < 3 || fields[0] != "===" {
		return
	}
	switch name := fields[2]; fields[1] {
	case "RUN":
		l.current = name
		l.said[name] = &strings.Builder{}
		if test, _, seeded := l.seedOf(name); seeded {
			l.running[name] = true
			l.seeded[test] = true
		}
	case "NAME", "CONT":
		l.current = name
	}
}

func (l *listener) say(text string) {
	b := l.said[l.current]
	if b == nil {
		return
	}
	if s, ok := sometimes.Read(text); ok {
		sometimes.Add(l.seen, l.current, s)
		return
	}
	if b.Len()+len(text) > mostSaid { // the first words give the reason, the last contain the report
		all := b.String() + text
		b.Reset()
		b.WriteString(all[:mostSaid/4] + "\n...\n" + all[len(all)-mostSaid/4:])
		return
	}
	b.WriteString(text)
}

// seedOf splits the name of a subtest that package sim makes for a seed.
func (l *listener) seedOf(name string) (test string, seed uint64, ok bool) {
	test, number, ok := cutLast(name, "/seed=")
	if !ok {
		return name, 0, false
	}
	seed, err := strconv.ParseUint(number, 10, 64)
	return test, seed, err == nil && seed >= l.seeds.First && seed <= l.seeds.Last
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func (l *listener) end(name string, failed bool) {
	output := ""
	if b := l.said[name]; b != nil {
		output = b.String()
	}
	delete(l.said, name)
	delete(l.running, name)
	test, seed, seeded := l.seedOf(name)
	if seeded {
		l.runs++
		if failed {
			l.blame(test)
		}
		l.ended(test, seed, true, failed, output)
		return
	}
	// A test without seeds runs again with each range. A failed parent test only repeats the failure of its subtests.
	if failed && !l.failed[name] {
		l.blame(name)
		l.ended(name, 0, false, true, output)
	}
}

// blame records that the failure of a test, and of the tests above it, has been reported.
func (l *listener) blame(test string) {
	for ok := true; ok; test, _, ok = cutLast(test, "/") {
		l.failed[test] = true
	}
}

// cut returns the tests and seeds that were still running when the process ended.
func (l *listener) cut() (all []Finding) {
	for name := range l.running {
		test, seed, _ := l.seedOf(name)
		all = append(all, Finding{Test: test, Seed: seed, Seeded: true})
	}
	return all
}

// causeOf returns the reason for a test's failure, with a # for each number.
func causeOf(output string) string {
	return cmp.Or(failure.Cause(output), "it failed without a message")
}
