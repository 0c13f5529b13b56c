package patterntest

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// tie is how far the network may move what is due at one instant apart, by 1 ns each.
const tie = time.Microsecond

// startTime is what a server may take to start.
const startTime = time.Second

// Verdict returns the promises that were broken so far, each once for each client: how
// first, and how often again. Call it after [World.Settle].
func (w *World) Verdict() []Breach {
	var f findings
	w.judgeStops(&f)
	for _, c := range w.clients {
		if !c.stopped.Load() {
			w.judge(c, &f)
		}
	}
	w.judgePublish(&f)
	w.judgeTraffic(&f)
	w.judgeAccount(&f)
	if most := w.system.MaxHeld * len(w.clients); w.held > most {
		f.add(Bounded, "", "the server held %d bytes for its clients at %v; %d are its limit", w.held, w.heldAt, most)
	}
	return f.breaches()
}

// judge compares what a client got with what was published.
func (w *World) judge(c *Client, f *findings) {
	expected := w.expected(c)
	place := map[string]int{}
	for i, p := range expected {
		place[p.data] = i
	}
	lost := map[string]bool{}
	missing := w.missing(c)
	for _, p := range missing {
		lost[p.data] = true
	}

	first := map[string]time.Duration{}
	var newest *publication // of those that arrived
	next := 0               // place after the last arrival
	gaps := 0
	for _, a := range c.arrivals() {
		if a.left > 0 {
			f.add(Obedient, c.Name, "%s was handed %s at %v, after it had stopped at %v", c.Name, short(a.data+a.gap), a.at, a.left)
		}
		if a.gap != "" {
			gaps++
			switch {
			case w.system.Durable && !w.system.Forgets:
				f.add(Durable, c.Name, "%s was told at %v that events are missing (%s), but the system keeps what it accepted", c.Name, a.at, a.gap)
			case c.inTime:
				f.add(Calm, c.Name, "%s was told at %v that events are missing (%s), but its network was good and the server up", c.Name, a.at, a.gap)
			case !w.system.Forgets && gaps > w.startsUntil(a.at)-c.starts:
				f.add(Calm, c.Name, "%s was told at %v that events are missing (%s), but the server, which forgets nothing, had not begun anew", c.Name, a.at, a.gap)
			}
			newest = nil // what follows a gap begins anew
			clear(first)
			continue
		}
		i, known := place[a.data]
		switch {
		case known:
		case w.wasPublished(a.data): // before this client was there
			continue
		case next < len(expected) && lost[expected[next].data]:
			p := expected[next]
			f.add(Genuine, c.Name, "%s reached %s at %v changed to %s", short(p.data), c.Name, a.at, short(a.data))
			delete(lost, p.data)
			next++
			continue
		default:
			f.add(Genuine, c.Name, "%s reached %s at %v, but nobody published it", short(a.data), c.Name, a.at)
			continue
		}
		p := &expected[i]
		next = i + 1
		if at, again := first[a.data]; again {
			if !w.system.Repeats || c.inTime {
				f.add(Once, c.Name, "%s reached %s twice, at %v and at %v", short(a.data), c.Name, at, a.at)
			}
			continue
		}
		first[a.data] = a.at
		if newest != nil && p.ended > 0 && newest.began > p.ended {
			f.add(Ordered, c.Name, "%s reached %s at %v, after %s, which was published later", short(p.data), c.Name, a.at, short(newest.data))
		}
		if newest == nil || p.began > newest.began {
			newest = p
		}
		if over := p.at + p.ttl; p.ttl > 0 && a.at > over+w.system.Bound {
			f.add(Fresh, c.Name, "%s reached %s at %v, but its time was over at %v", short(p.data), c.Name, a.at, over)
		}
		if late := a.at - p.at; c.inTime && late > w.system.Bound+tie {
			f.add(Prompt, c.Name, "%s took %v to reach %s, over a good network; %v is promised", short(p.data), late, c.Name, w.system.Bound)
		}
	}
	for _, p := range missing {
		if lost[p.data] {
			f.add(Complete, c.Name, "%s, accepted at %v, had not reached %s %v after all faults were over, and %s was told of no gap",
				short(p.data), p.at+p.took, c.Name, w.system.Recovery, c.Name)
		}
	}
}

// judgeAccount compares what the server says of events that did not arrive with what did
// not. After a crash it does not know.
func (w *World) judgeAccount(f *findings) {
	if w.system.Account == nil || w.startsUntil(w.Net.Elapsed()) > 1 || len(f.all) > 0 {
		return
	}
	accepted, delivered := 0, 0
	for _, c := range w.clients {
		have := map[string]bool{}
		for _, data := range c.Got() {
			have[data] = true
		}
		for _, p := range w.expected(c) {
			if p.accepted() {
				accepted++
				if have[p.data] {
					delivered++
				}
			}
		}
	}
	if a := w.system.Account(); delivered+a.Expired+a.Dropped+a.Pending != accepted {
		f.add(Counted, "", "%d events were accepted and %d delivered; the server says that %d expired, %d were dropped and %d are pending, which is %d in all",
			accepted, delivered, a.Expired, a.Dropped, a.Pending, delivered+a.Expired+a.Dropped+a.Pending)
	}
}

// judgePublish looks at what the publishers saw.
func (w *World) judgePublish(f *findings) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.published {
		switch {
		case p.ended == 0:
			f.add(Prompt, "", "Publish of %s at %v never returned; %v is promised", short(p.data), p.at, w.system.PublishTimeout)
		case p.took > w.system.PublishTimeout:
			f.add(Prompt, "", "Publish of %s at %v took %v; %v is promised", short(p.data), p.at, p.took, w.system.PublishTimeout)
		}
		// A system that accepts nothing would keep all other promises.
		if p.err != nil && p.upSince >= 0 && p.at >= p.upSince+startTime {
			f.add(Open, "", "%s was refused at %v (%v), but the server had been running since %v", short(p.data), p.at, p.err, p.upSince)
		}
	}
}

func (w *World) wasPublished(data string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.published, func(p *publication) bool { return p.data == data })
}

// short returns an event's data as it is shown to a reader.
func short(data string) string {
	text := data
	if len(text) > 24 {
		text = strings.TrimRight(text[:24], ".") + "…"
	}
	if quoted := strconv.Quote(text); quoted != `"`+text+`"` || strings.Contains(text, " ") || text == "" {
		return quoted
	}
	return text
}
