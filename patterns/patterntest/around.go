package patterntest

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/squall-sim/squall/sim"
)

// aroundLines is how many lines around shows before the time of a breach, and how many after. Each
// side can have as many again about the subject of the breach.
const aroundLines = 6

// A moment is an event of the story, in one line. Consecutive moments of one kind share a line.
type moment struct {
	at         time.Duration
	kind       string // "": it stands alone
	what, last string
	more       int
	named      bool // by the breach that it is told for
}

// A move is something that a process was asked to do.
type move struct {
	at   time.Duration
	who  string // the client; "": the server
	what string
}

// moved records a move.
func (s *Stage) moved(who, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.moves = append(s.moves, move{s.Net.Elapsed(), who, what})
}

func (m moment) String() string {
	text := m.what
	switch {
	case m.more > 0 && m.last == m.what:
		text += fmt.Sprintf(" (%d times until %v)", m.more+1, m.at)
	case m.more > 0:
		text += fmt.Sprintf(" … %s (%d until %v)", m.last, m.more+1, m.at)
	}
	if m.kind != "" {
		text += " " + m.kind
	}
	return text
}

// momentsOf returns the faults and moves that concern a client; "": all.
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

// around describes what happened at the time of a breach to those that it concerns: the faults, and
// what was published and arrived. The network's own report has the last packets, which are rarely
// the relevant ones.
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
	return told(all, b)
}

// told returns the moments around a breach, as text.
func told(all []moment, b Breach) string {
	slices.SortStableFunc(all, func(a, b moment) int { return cmp.Compare(a.at, b.at) })
	names := strings.FieldsFunc(b.Text, func(r rune) bool { return r == ' ' || r == ',' })
	for i := range all {
		all[i].named = all[i].kind != "" && slices.Contains(names, all[i].what)
	}
	lines, middle := folded(all, b.at)
	if len(lines) == 0 {
		return ""
	}
	text := "Around it:\n"
	next := 0
	for _, i := range near(lines, middle) {
		if i > next && next > 0 {
			text += fmt.Sprintf("    %15v\n", "...")
		}
		next = i + 1
		text += fmt.Sprintf("    %15v  %v\n", lines[i].from, lines[i].moment)
	}
	return text
}

// A line is one moment, or several, the first of which was at from.
type line struct {
	from time.Duration
	moment
}

// folded returns the moments as lines, where moments of one kind share a line, and the index of the
// last line that is not after a time.
func folded(all []moment, at time.Duration) (lines []line, middle int) {
	for _, m := range all {
		last := len(lines) - 1
		if m.at <= at {
			middle = len(lines)
		}
		if last >= 0 && m.kind != "" && lines[last].joins(m) && (lines[last].from > at) == (m.at > at) {
			lines[last].at, lines[last].last = m.at, m.what
			lines[last].more++
			continue
		}
		lines = append(lines, line{m.at, m})
	}
	return lines, middle
}

// joins reports whether two moments may share a line. The subject of the breach must not
// disappear among others.
func (m moment) joins(next moment) bool {
	return m.kind == next.kind && m.named == next.named && (!m.named || m.what == next.what)
}

// near returns which lines to show: those around one, and the nearest lines before and after them
// about the subject of the breach.
func near(lines []line, middle int) (told []int) {
	from, to := max(0, middle-aroundLines), min(len(lines), middle+aroundLines)
	for i := from - 1; i >= 0 && len(told) < aroundLines; i-- {
		if lines[i].named {
			told = append(told, i)
		}
	}
	slices.Reverse(told)
	for i := from; i < to; i++ {
		told = append(told, i)
	}
	most := len(told) + aroundLines
	for i := to; i < len(lines) && len(told) < most; i++ {
		if lines[i].named {
			told = append(told, i)
		}
	}
	return told
}
