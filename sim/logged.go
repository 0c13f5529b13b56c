package sim

import (
	"io"
	"log"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/squall-sim/squall/sim/internal/artifacts"
	"github.com/squall-sim/squall/sim/internal/exact"
)

// logLines are what the programs of a network log by package log, and by log/slog as long as its initial
// default logger is in use, which writes there. What a program writes elsewhere is not recorded.
type logLines struct {
	mu    sync.Mutex // its own: a program may log while the network is locked
	lines []artifacts.Line
}

// mostLines is how many lines of a run are kept: the last ones.
const mostLines = 10_000

// A logTee passes on what is logged and makes the network record it. In exact mode it does so whether or not
// the run leaves artifacts. Its locks are places at which the scheduler can switch, and a run that leaves a
// folder must have the same schedule as one that does not.
type logTee struct{ to io.Writer }

// tee makes the network record logs. If a program sets another output, that is left alone.
var tee = sync.OnceFunc(func() { log.SetOutput(logTee{log.Writer()}) })

// Write implements [io.Writer].
func (t logTee) Write(p []byte) (int, error) {
	if n := networkOfBubble(); n != nil && (n.log.film != nil || exact.Enabled) {
		n.log.lines.add(time.Duration(n.now()), string(p))
	}
	return t.to.Write(p)
}

func (l *logLines) add(at time.Duration, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == 2*mostLines {
		l.lines = append(l.lines[:0], l.lines[mostLines:]...)
	}
	l.lines = append(l.lines, artifacts.Line{At: at, Text: strings.TrimRight(text, "\n")})
}

func (l *logLines) all() []artifacts.Line {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lines[max(0, len(l.lines)-mostLines):])
}
