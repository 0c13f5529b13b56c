package pubsub

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// How much of the log is read at once, and when to try again after the disk failed, or
// while a connection is clogged.
const (
	pageEntries = 256
	pageBytes   = 256 << 10
	diskRetry   = time.Second
	clogRetry   = time.Second
)

// pump is a subscription at work: one goroutine that reads the log, keeps what has
// changed, and hands messages to connections. It never waits for the network.
type pump struct {
	b       *Broker
	key     string // among the broker's pumps
	options SubscribeOptions
	wake    chan struct{} // a token: something has changed
	stop    chan struct{} // closed by end

	mu      sync.Mutex // not held across I/O
	g       group
	epoch   uint64 // of the offsets
	reload  []delivery
	dirty   bool
	replies []reply
	ended   bool
	// What members were told: up to this number, and how many were missing by then.
	toldMissed uint64
}

// reply is an answer that waits until what it says is kept.
type reply struct {
	to    *connection
	frame []byte
}

// attachment is how a member is reached.
type attachment struct {
	conn    *connection
	sub     uint64 // the client's number of the subscription
	sentGap uint64 // number of the last gap that was sent
}

func (a *attachment) connected() bool { return a.conn != nil }

// newPump returns a pump that starts after c.
func newPump(b *Broker, key string, o SubscribeOptions, c eventlog.Cursor) *pump {
	return &pump{
		b: b, key: key, options: o,
		wake: make(chan struct{}, 1), stop: make(chan struct{}),
		epoch: c.Epoch,
		// Generations of different lives must not be taken for each other.
		g:     group{limits: o.limits(), next: c.Offset, generation: uint64(time.Now().UnixMicro())},
		dirty: true,
	}
}

// restore puts a pump where a stored state says.
func (p *pump) restore(s *state) {
	p.epoch, p.g.next, p.g.high, p.reload = s.epoch, s.next, s.next, s.pending
	p.g.gaps, p.g.missed, p.g.reason = s.gaps, s.missed, s.reason
	p.g.told, p.toldMissed = s.told, s.toldMissed
	p.dirty = false
}

func (p *pump) kick() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *pump) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended {
		p.ended = true
		close(p.stop)
	}
}

// delete ends the pump for ever, and tells its members.
func (p *pump) delete() {
	p.end()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.g.members {
		if m.connected() {
			m.conn.send(control{Type: typeRefused, Sub: m.sub, Error: "the subscription was deleted"}.frame())
		}
	}
	for _, r := range p.replies {
		r.to.send(r.frame)
	}
	p.replies = nil
}

// locked calls f with the group and makes the pump look again.
func (p *pump) locked(f func(g *group)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.g)
	p.kick()
}

func (p *pump) run() {
	var watch *eventlog.Watch
	if isWild(p.options.Filter) {
		watch = p.b.log.Watch()
	} else {
		watch = p.b.log.Watch(p.options.Filter)
	}
	defer watch.Stop()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	timer.Stop()
	var armed time.Time // when the timer fires; zero: not
	for {
		due, err := p.round()
		if errors.Is(err, eventlog.ErrClosed) {
			return
		}
		if err != nil {
			due = time.Now().Add(diskRetry)
		}
		// A timer that fires too early costs one round; to move it for each message, more.
		if !due.IsZero() && (armed.IsZero() || due.Before(armed)) {
			armed = due
			timer.Reset(max(time.Until(due), 1))
		}
		news := watch.C
		p.mu.Lock()
		if len(p.g.members) == 0 {
			news = nil // nobody to deliver to
		}
		p.mu.Unlock()
		select {
		case <-p.stop:
			return
		case _, open := <-news:
			if !open {
				return
			}
		case <-p.wake:
		case <-timer.C:
			armed = time.Time{}
		}
	}
}

// round does what there is to do, and returns when the next thing is due by itself.
func (p *pump) round() (due time.Time, err error) {
	if err := p.load(); err != nil {
		return due, err
	}
	var now time.Time
	for {
		now = time.Now()
		p.mu.Lock()
		p.g.expire(now)
		p.g.discard(now)
		p.mu.Unlock()
		if err := p.bury(); err != nil {
			return due, err
		}
		read, err := p.read()
		if err != nil {
			return due, err
		}
		sent, err := p.deliver(now)
		if err != nil {
			return due, err
		}
		if !read && !sent {
			break
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	due = p.g.due()
	for _, m := range p.g.members {
		if retry := now.Add(clogRetry); m.clogged && (due.IsZero() || retry.Before(due)) {
			due = retry
		}
	}
	return due, nil
}

// load reads again the messages that were under way when the broker stopped.
func (p *pump) load() error {
	for {
		p.mu.Lock()
		if len(p.reload) == 0 || len(p.g.members) == 0 {
			p.mu.Unlock()
			return nil
		}
		d := p.reload[0]
		p.mu.Unlock()
		e, status, err := p.fetch(d.Offset)
		if err != nil {
			return err
		}
		p.mu.Lock()
		p.reload = p.reload[1:]
		if status == eventlog.WrongEpoch || status == eventlog.Future {
			p.reload = nil // read tells
		} else if e == nil {
			p.gone(status)
		} else if f, ok := p.flight(e); ok {
			f.attempts = d.Attempt
			p.g.flights = append(p.g.flights, f)
			p.g.waiting++
		}
		p.mu.Unlock()
	}
}

// gone notes that a message can not be fetched any more.
func (p *pump) gone(s eventlog.Status) {
	if s == eventlog.Complete {
		p.g.stats.Expired++
	} else {
		p.g.lose(1, ReasonCompacted)
	}
	p.dirty = true
}

// fetch returns one entry of the log, or nil and why it is not there: Complete means
// that it has expired.
func (p *pump) fetch(offset uint64) (*eventlog.Entry, eventlog.Status, error) {
	page, err := p.b.log.After(eventlog.Cursor{Epoch: p.epoch, Offset: offset - 1}, eventlog.Query{MaxEntries: 1, MaxBytes: -1})
	if err != nil {
		return nil, 0, err
	}
	if len(page.Entries) == 0 || page.Entries[0].Offset != offset {
		return nil, page.Status, nil
	}
	return &page.Entries[0], page.Status, nil
}

// flight makes a flight of an entry, if the subscription wants it.
func (p *pump) flight(e *eventlog.Entry) (*flight, bool) {
	if !Match(p.options.Filter, e.Topic) || e.Topic == p.options.DeadLetter {
		return nil, false // its own dead letters would go round in circles
	}
	d := decoder{b: e.Data}
	key := d.text()
	return &flight{offset: e.Offset, part: partOf(key, e.Offset), bytes: len(e.Topic) + len(e.Data), expires: e.Expires}, true
}

// bury makes dead letters of messages that have had all their attempts.
func (p *pump) bury() error {
	for {
		p.mu.Lock()
		f := p.g.dead()
		p.mu.Unlock()
		if f == nil {
			return nil
		}
		e, status, err := p.fetch(f.offset)
		if err != nil {
			return err
		}
		if e != nil {
			if err := p.b.bury(p, f, e); err != nil {
				return err
			}
		}
		p.mu.Lock()
		p.g.remove(f)
		if e == nil {
			p.gone(status)
		} else {
			p.g.stats.DeadLetters++
		}
		p.dirty = true
		p.mu.Unlock()
	}
}

// read takes in a page of the log, if there is room for more. It reports whether there
// may be another.
func (p *pump) read() (more bool, err error) {
	p.mu.Lock()
	wanted, from := p.g.wantsMore(), eventlog.Cursor{Epoch: p.epoch, Offset: p.g.next}
	p.mu.Unlock()
	if !wanted {
		return false, nil
	}
	q := eventlog.Query{MaxEntries: pageEntries, MaxBytes: pageBytes}
	if !isWild(p.options.Filter) {
		q.Topics = []string{p.options.Filter}
	}
	page, err := p.b.log.After(from, q)
	if err != nil {
		return false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if page.Status != eventlog.Complete {
		p.restart(page)
		return true, nil
	}
	for i := range page.Entries {
		if !p.g.wantsMore() {
			return true, nil // the rest of the page is read again
		}
		f, wanted := p.flight(&page.Entries[i])
		if !wanted {
			continue
		}
		for _, slow := range p.g.add(f) {
			p.b.count(func(s *BrokerStats) { s.Slow++ })
			slow.conn.finish(control{Type: typeGoodbye, Error: "slow subscriber"}.frame())
			p.g.disconnect(slow)
		}
	}
	p.g.next = page.Next.Offset
	if !page.More {
		p.g.caughtUp()
	}
	return page.More, nil
}

// restart goes on where the log can.
func (p *pump) restart(page eventlog.Page) {
	to := page.Next
	if p.options.Reset == Latest {
		to = p.b.log.Head()
	}
	p.epoch, p.g.next, p.g.high = to.Epoch, to.Offset, to.Offset
	p.dirty = true
	if page.Status == eventlog.Compacted {
		p.g.lose(0, ReasonCompacted)
		return
	}
	p.g.forget() // offsets mean other messages now
	for _, m := range p.g.members {
		if m.connected() {
			again := p.subscribed(m)
			again.Fresh = true
			p.replies = append(p.replies, reply{m.conn, again.frame()})
		}
	}
	if page.Status == eventlog.WrongEpoch {
		p.g.lose(0, ReasonWrongEpoch)
	} else {
		p.g.lose(0, ReasonFuture)
	}
}

// deliver picks what can be delivered, keeps what has changed, and sends. It reports
// whether there may be more.
func (p *pump) deliver(now time.Time) (more bool, err error) {
	type item struct {
		*flight
		m  *member
		to attachment // as of now: what the member gets on another connection is not this
		d  delivery
	}
	out := batch{frames: map[*connection][][]byte{}}
	defer out.send()
	p.mu.Lock()
	for _, m := range p.g.members {
		m.clogged = m.connected() && m.conn.held() >= p.options.MaxInFlightBytes
	}
	var picked []item
	for len(picked) < pageEntries {
		f := p.g.pick(now)
		if f == nil {
			break
		}
		picked = append(picked, item{f, f.to, f.to.attachment, delivery{f.offset, f.attempts}})
	}
	if p.g.atMostOnce && len(picked) > 0 {
		p.dirty = true
	}
	p.mu.Unlock()

	if err := p.keep(&out); err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, it := range picked {
			if it.flight.to == it.m && it.attempts == it.d.Attempt {
				p.g.land(it.flight)
				it.attempts--
				it.due = time.Time{}
			}
		}
		return false, err
	}

	p.tell(&out)
	for _, it := range picked {
		e, status, err := p.fetch(it.d.Offset)
		if err != nil {
			return false, err // its AckWait brings it back
		}
		p.mu.Lock()
		if e == nil {
			if it.flight.to != nil {
				p.g.land(it.flight)
			}
			p.g.remove(it.flight)
			p.gone(status)
			p.mu.Unlock()
			p.tell(&out)
			continue
		}
		floor := p.g.floor()
		p.mu.Unlock()
		out.add(it.to.conn, frame(kindDeliver, it.to.sub, it.m.generation, it.d.Offset, floor, it.d.Attempt,
			uint64(e.Time.UnixNano()), e.Topic, e.Data))
	}
	return len(picked) == pageEntries, nil
}

// batch is what a round sends, by connection, so that it goes out together.
type batch struct {
	order  []*connection
	frames map[*connection][][]byte
}

func (b *batch) add(c *connection, f []byte) {
	if b.frames[c] == nil {
		b.order = append(b.order, c)
	}
	b.frames[c] = append(b.frames[c], f)
}

func (b *batch) send() {
	for _, c := range b.order {
		c.send(b.frames[c]...)
	}
}

// keep stores what has changed, and lets go the answers that waited for it.
func (p *pump) keep(out *batch) error {
	p.mu.Lock()
	replies, dirty := p.replies, p.dirty
	var s state
	if dirty {
		s = p.state()
	}
	p.replies, p.dirty = nil, false
	p.mu.Unlock()
	if dirty && p.options.Name != "" {
		if err := p.b.store.save(p.key, nil, s.encode()); err != nil {
			p.mu.Lock()
			p.replies, p.dirty = append(replies, p.replies...), true
			p.mu.Unlock()
			return err
		}
	}
	for _, r := range replies {
		out.add(r.to, r.frame)
	}
	return nil
}

// state is what is to be kept. What was read, and neither it nor anything after it was
// ever delivered, is left to be read again.
func (p *pump) state() state {
	s := state{
		epoch: p.epoch, next: p.g.next, gaps: p.g.gaps, missed: p.g.missed,
		told: p.g.told, toldMissed: p.toldMissed, reason: p.g.reason,
	}
	n := len(p.g.flights)
	for n > 0 && p.g.flights[n-1].offset > p.g.high {
		n--
		s.next = p.g.flights[n].offset - 1
	}
	for _, f := range p.g.flights[:n] {
		if p.g.atMostOnce && f.to != nil {
			continue // sent is done
		}
		s.pending = append(s.pending, delivery{f.offset, f.attempts})
	}
	s.pending = append(s.pending, p.reload...)
	slices.SortFunc(s.pending, func(a, b delivery) int { return cmp.Compare(a.Offset, b.Offset) })
	return s
}

// tell sends the gaps that members have not been told of.
func (p *pump) tell(out *batch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.g.members {
		if m.connected() && m.sentGap < p.g.gaps {
			m.sentGap = p.g.gaps
			out.add(m.conn, frame(kindGap, m.sub, p.g.gaps, p.g.missed, string(p.g.reason), p.epoch, p.g.next))
		}
	}
}

// subscribed is what a member is told when it begins. It hears of the gaps that no
// member has heard of.
func (p *pump) subscribed(m *member) control {
	floor := p.g.floor()
	if len(p.reload) > 0 {
		floor = min(floor, p.reload[0].Offset-1)
	}
	return control{
		Type: typeSubscribed, Sub: m.sub, Generation: m.generation,
		Cursor: eventlog.Cursor{Epoch: p.epoch, Offset: floor}, Told: p.g.told, Missed: p.toldMissed,
	}
}

// wasTold notes that a subscriber knows of a gap.
func (p *pump) wasTold(number uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if number == p.g.gaps && number > p.g.told {
		p.g.told, p.toldMissed, p.dirty = number, p.g.missed, true
		p.kick()
	}
}

// settle passes on what a subscriber says about a delivery.
func (p *pump) settle(m *member, generation uint64, d delivery, v verb, pause time.Duration, request uint64, from *connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	result := outcomeFenced
	if !p.ended && m.generation == generation && m.connected() {
		result = p.g.settle(m, d, v, pause, time.Now())
	} else {
		p.g.stats.Rejected++
	}
	if result == outcomeOK && v != verbExtend {
		p.dirty = true
	}
	switch {
	case request == 0:
	case p.ended:
		from.send(settled(request, result))
	default:
		p.replies = append(p.replies, reply{from, settled(request, result)})
	}
	p.kick()
}

func settled(request uint64, o outcome) []byte { return frame(kindSettled, request, uint64(o)) }

// Statistics of the pump's group.
func (p *pump) stats() GroupStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.g.stats
	s.Members, s.Pending, s.Generation = len(p.g.members), len(p.g.flights), p.g.generation
	return s
}

// deadLetter makes a dead letter of an entry.
func (p *pump) deadLetter(f *flight, e *eventlog.Entry) (Message, error) {
	var m Message
	if err := m.decode(e.Data); err != nil {
		return m, err
	}
	at := eventlog.Cursor{Epoch: p.epoch, Offset: f.offset}.String()
	headers := map[string]string{}
	for name, value := range m.Headers {
		headers[name] = value
	}
	headers[HeaderDeadTopic], headers[HeaderDeadCursor] = e.Topic, at
	headers[HeaderDeadSubscription], headers[HeaderDeadAttempts] = p.options.Name, strconv.Itoa(f.attempts)
	// If the broker dies before it has noted this, it buries the message again: the ID
	// makes that one letter.
	return Message{Topic: p.options.DeadLetter, Key: m.Key, ID: "dead/" + p.options.Name + "/" + at, Headers: headers, Data: m.Data}, nil
}
