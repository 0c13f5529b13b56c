package patterntest

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// tie is the furthest that the network moves events due at one instant apart, by 1 ns
// each.
const tie = time.Microsecond

// startTime is what a server may take to start.
const startTime = time.Second

// Verdict returns the promises that were broken so far, one [Breach] for each promise
// and client. It describes the first occurrence and counts the others. Call it after
// [World.Settle].
func (w *World) Verdict() []Breach {
	var f findings
	w.judgeStops(&f)
	for _, c := range w.clients {
		if !c.stopped.Load() {
			w.judge(c, &f)
		}
	}
	w.judgeGroups(&f)
	w.judgeOutboxes(&f)
	w.judgePublish(&f)
	w.judgeTraffic(&f)
	w.judgeCounts(&f)
	w.judgeAccount(&f)
	if w.held > 0 {
		f.add(Bounded, "", "the server held %d bytes for its clients at %v; its limit is %d", w.held, w.heldAt, w.heldLimit)
	}
	return f.breaches()
}

// judge compares what a client got with what was published.
func (w *World) judge(c *Client, f *findings) {
	expected := w.expected(c)
	lost := map[int]bool{} // by their places
	missing := slices.Clone(c.lost)
	w.missing(c, func(p *publication) bool {
		if !c.wentAstray(p.data) {
			missing = append(missing, p.place-c.since)
		}
		return true
	})
	slices.Sort(missing)
	missing = slices.Compact(missing)
	for _, place := range missing {
		lost[place] = true
	}

	arrivals := c.arrivals()
	came := make([]int, len(expected)) // 1 + the number of its first arrival since the last gap; 0: none
	var newest lanes                   // of those that arrived
	next := 0                          // place after the last arrival
	gaps := 0
	for nth, a := range arrivals {
		if a.left > 0 {
			f.add(Obedient, c.Name, "%s was handed %s at %v, after it had stopped at %v", c.Name, short(a.data+a.gap), a.at, a.left)
		}
		if a.gap != "" {
			gaps++
			w.judgeGap(c, a, gaps, f)
			newest = lanes{} // what follows a gap begins anew
			clear(came)
			continue
		}
		place, published := w.placeOf(a.data, c.since, expected, came, &newest)
		switch {
		case published && place < 0: // before this client was there
			continue
		case published:
		case next < len(expected) && lost[next]:
			p := expected[next]
			f.add(Genuine, c.Name, "%s reached %s at %v changed to %s", short(p.data), c.Name, a.at, short(a.data))
			delete(lost, next)
			next++
			continue
		default:
			f.add(Genuine, c.Name, "%s reached %s at %v, but nobody published it", short(a.data), c.Name, a.at)
			continue
		}
		p := &expected[place]
		next = place + 1
		if !p.isFor(c) {
			f.add(Private, c.Name, "%s reached %s at %v, but only %s may see it", short(p.data), c.Name, a.at, p.to)
			continue
		}
		if c.successor != nil && p.place >= c.until {
			f.add(Fenced, c.Name, "%s, published at %v, reached %s at %v, but %s had come under its name before", short(p.data), p.at, c.Name, a.at, c.successor.Name)
			continue
		}
		if first := came[place] - 1; first >= 0 {
			if w.mayComeTwice(p) {
				continue
			}
			w.judgeAgain(c, arrivals, first, nth, f)
			continue
		}
		came[place] = nth + 1
		if later := newest.of(p); later != nil && p.ended > 0 && later.began > p.ended {
			f.add(Ordered, c.Name, "%s reached %s at %v, after %s, which was published later", short(p.data), c.Name, a.at, short(later.data))
		}
		newest.note(p)
		// An event in transit when it expires cannot be recalled; but an event sent over a later
		// connection was not in transit.
		if over := p.at + p.ttl; p.ttl > 0 && a.at > over+w.system.Bound && (c.inTime || c.beganAnew(over, a.at)) {
			f.add(Fresh, c.Name, "%s reached %s at %v, but its time was over at %v", short(p.data), c.Name, a.at, over)
		}
		bound := w.system.Bound + time.Duration(c.turn(expected, place))*2*Transit
		if late := a.at - p.at; c.inTime && p.from == nil && late > bound+tie {
			f.addAt(p.at, Prompt, c.Name, "%s took %v to reach %s, over a good network; %v is promised", short(p.data), late, c.Name, bound)
		}
	}
	for _, place := range missing {
		if p := expected[place]; lost[place] {
			f.add(Complete, c.Name, "%s, accepted at %v, had not reached %s %v after all faults were over, and %s was told of no gap",
				short(p.data), p.at+p.took, c.Name, w.system.Recovery, c.Name)
		}
	}
}

// lanes hold the newest event that has arrived in each lane, within which events keep their
// order.
type lanes struct {
	all    *publication // of most systems there is one lane
	others map[string]*publication
}

// of returns the newest event in an event's lane, or nil.
func (l *lanes) of(p *publication) *publication {
	if p.free {
		return nil
	}
	if p.lane == "" {
		return l.all
	}
	return l.others[p.lane]
}

// note records an event that arrived.
func (l *lanes) note(p *publication) {
	switch newest := l.of(p); {
	case p.free || newest != nil && newest.began >= p.began:
	case p.lane == "":
		l.all = p
	default:
		if l.others == nil {
			l.others = map[string]*publication{}
		}
		l.others[p.lane] = p
	}
}

// placeOf returns the place of an event that arrived among those that the client must get, or -1 if
// it was published before the client connected; and whether it was published at all. Of events with
// one text it is the first that has not arrived and keeps the order, otherwise the first that has
// not arrived; if all have arrived, the last one is a repetition.
func (w *World) placeOf(data string, since int, expected []publication, came []int, newest *lanes) (place int, published bool) {
	w.mu.Lock()
	all, published := w.places[data]
	w.mu.Unlock()
	if !published {
		return -1, w.wasBefore(data)
	}
	if all.last < since {
		return -1, true
	}
	waits := -1
	for at := w.firstSince(all.first, since); ; at += expected[at].next - (at + since) {
		if came[at] == 0 {
			if last := newest.of(&expected[at]); last == nil || expected[at].began > last.began {
				return at, true
			}
			if waits < 0 {
				waits = at
			}
		}
		if at+since == all.last {
			break
		}
	}
	if waits < 0 && all.first >= since {
		waits = all.last - since
	}
	return waits, true
}

// judgeGap checks the nth notification of a gap that a client got.
func (w *World) judgeGap(c *Client, a arrival, nth int, f *findings) {
	switch {
	case w.system.Durable && !w.system.Forgets:
		f.add(Durable, c.Name, "%s was told at %v that events are missing (%s), but the system keeps what it accepted", c.Name, a.at, a.gap)
	case c.inTime:
		f.add(Calm, c.Name, "%s was told at %v that events are missing (%s), but its network was good and the server up", c.Name, a.at, a.gap)
	case !w.system.Forgets && nth > w.startsUntil(a.at)-c.starts:
		f.add(Calm, c.Name, "%s was told at %v that events are missing (%s), but the server, which forgets nothing, had not begun anew", c.Name, a.at, a.gap)
	}
}

// Which events a system with System.Repeats may have unacknowledged after the network was good for long.
const (
	unackedEvents = 100
	unackedTime   = 30 * time.Second
)

// judgeAgain checks an event that arrived again, by the numbers of its first arrival and of this
// one.
func (w *World) judgeAgain(c *Client, arrivals []arrival, first, again int, f *findings) {
	before, now := arrivals[first], arrivals[again]
	if !w.system.Repeats || c.inTime {
		f.add(Once, c.Name, "%s reached %s twice, at %v and at %v", short(now.data), c.Name, before.at, now.at)
		return
	}
	for _, m := range c.marks() {
		if again >= m.seen && first < m.seen-unackedEvents && before.at < m.at-unackedTime {
			f.add(Once, c.Name, "%s reached %s at %v and again at %v; but by %v, after %d others over a good network, the server knew that it had arrived",
				short(now.data), c.Name, before.at, now.at, m.at, m.seen-first-1)
			return
		}
	}
}

// judgeAccount compares the server's account of undelivered events with those that did
// not arrive. After a crash the server does not know.
func (w *World) judgeAccount(f *findings) {
	if w.system.Account == nil || w.startsUntil(w.Net.Elapsed()) > 1 || len(f.all) > 0 {
		return
	}
	accepted, delivered := 0, 0
	for _, c := range w.clients {
		have := map[string]int{}
		for _, data := range c.Got() {
			have[data]++
		}
		for _, p := range w.expected(c) {
			if !p.accepted() || !p.isFor(c) {
				continue
			}
			accepted++
			if have[p.data] > 0 {
				have[p.data]--
				delivered++
			}
		}
	}
	if a := w.system.Account(); delivered+a.Expired+a.Dropped+a.Pending != accepted {
		f.add(Counted, "", "%d events were accepted and %d delivered; the server says that %d expired, %d were dropped and %d are pending, which is %d in all",
			accepted, delivered, a.Expired, a.Dropped, a.Pending, delivered+a.Expired+a.Dropped+a.Pending)
	}
}

// maxRate is how many events a second a server must accept, for [Open].
const maxRate = 50

// judgePublish checks what the publishers saw.
func (w *World) judgePublish(f *findings) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, p := range w.published {
		switch {
		case p.from != nil:
		case p.ended == 0:
			f.add(Prompt, "", "Publish of %s at %v never returned; %v is promised", short(p.data), p.at, w.system.PublishTimeout)
		case p.took > w.system.PublishTimeout:
			f.add(Prompt, "", "Publish of %s at %v took %v; %v is promised", short(p.data), p.at, p.took, w.system.PublishTimeout)
		}
		// A system that accepts nothing would keep all other promises.
		// A system may limit how many events it accepts a second.
		crowded := i >= maxRate && w.published[i-maxRate].at > p.at-time.Second
		if p.err != nil && !crowded && !w.mayRefuse(p.data) && p.upSince >= 0 && p.at >= p.upSince+startTime {
			f.add(Open, "", "%s was refused at %v (%v), but the server had been running since %v", short(p.data), p.at, p.err, p.upSince)
		}
	}
}

// short returns an event's data as shown in messages.
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
