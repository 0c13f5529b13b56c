package patterntest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/squall-sim/squall/sim"
)

// aroundLines is how many lines around tells before the time of a breach, and how many after.
const aroundLines = 6

// A moment is something that happened, in a line. Several of one kind that follow each other are one line.
type moment struct {
	at         time.Duration
	kind       string // "": it stands alone
	what, last string
	more       int
}

// A move is what a process was asked to do.
type move struct {
	at   time.Duration
	who  string // the client; "": the server
	what string
}

// moved notes a move.
func (s *Stage) moved(who, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.moves = append(s.moves, move{s.Net.Elapsed(), who, what})
}

func (m moment) String() string {
	text := m.what
	if m.more > 0 {
		text += fmt.Sprintf(" … %s (%d until %v)", m.last, m.more+1, m.at)
	}
	if m.kind != "" {
		text += " " + m.kind
	}
	return text
}

// momentsOf returns the faults and moves that concern somebody; "": everybody.
func (s *Stage) momentsOf(who string) (all []moment) {
	for e := range s.Net.Trace().Events() {
		if e.Kind == sim.Noted && (who == "" || e.From == "" || slices.Contains([]string{who, s.Server.Name()}, cmp.Or(e.From, e.To)) || e.To == who) {
			_, what, _ := strings.Cut(e.String(), " ")
			all = append(all, moment{at: e.At, what: strings.TrimSpace(what)})
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.moves {
		if m.who == "" || m.who == who || who == "" {
			all = append(all, moment{at: m.at, what: m.what})
		}
	}
	return all
}

// around tells what happened at the time of a breach to whom it concerns: the faults, and what was published
// and arrived. The network's own report has the last packets, which are seldom those.
func (w *World) around(b Breach) string {
	all := w.momentsOf(b.who)
	w.mu.Lock()
	for _, p := range w.published {
		switch {
		case p.ended == 0:
			all = append(all, moment{at: p.at, kind: "published, without an answer", what: short(p.data)})
		case p.err != nil:
			all = append(all, moment{at: p.at, kind: "refused", what: short(p.data)})
		default:
			all = append(all, moment{at: p.at, kind: "published", what: short(p.data)})
		}
	}
	w.mu.Unlock()
	for _, c := range w.clients {
		for _, a := range c.arrivals() {
			switch {
			case c.Name != b.who:
			case a.gap != "":
				all = append(all, moment{at: a.at, what: fmt.Sprintf("%s is told that events are missing (%s)", c.Name, a.gap)})
			default:
				all = append(all, moment{at: a.at, kind: "reached " + c.Name, what: short(a.data)})
			}
		}
	}
	for _, g := range w.groups {
		for _, t := range g.asOfNow().log {
			if g.name == b.who || t.c.Name == b.who {
				all = append(all, moment{at: t.at, kind: "reached " + t.c.Name, what: short(t.data)})
			}
		}
	}
	return told(all, b.at)
}

// told are the moments around a time, as text.
func told(all []moment, at time.Duration) string {
	slices.SortStableFunc(all, func(a, b moment) int { return cmp.Compare(a.at, b.at) })
	var lines []string
	for _, m := range folded(all, at) {
		lines = append(lines, fmt.Sprintf("    %15v  %v", m.from, m.moment))
	}
	if len(lines) == 0 {
		return ""
	}
	return "Around it:\n" + strings.Join(lines, "\n") + "\n"
}

// A line is a moment, or several, of which the first was at from.
type line struct {
	from time.Duration
	moment
}

// folded returns the lines around a time, where moments of one kind share one.
func folded(all []moment, at time.Duration) []line {
	var lines []line
	middle := 0
	for _, m := range all {
		last := len(lines) - 1
		if m.at <= at {
			middle = len(lines)
		}
		if last >= 0 && m.kind != "" && lines[last].kind == m.kind && (lines[last].from > at) == (m.at > at) {
			lines[last].at, lines[last].last = m.at, m.what
			lines[last].more++
			continue
		}
		lines = append(lines, line{m.at, m})
	}
	return lines[max(0, middle-aroundLines):min(len(lines), middle+aroundLines)]
}
