package pubsub

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
)

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
		e, reason, err := p.fetch(d.Offset)
		if err != nil {
			return err
		}
		p.mu.Lock()
		p.reload = p.reload[1:]
		if reason == eventlog.ReasonWrongEpoch || reason == eventlog.ReasonFuture {
			p.reload = nil // read tells
		} else if e == nil {
			p.gone(reason)
		} else if f, ok := p.flight(e); ok {
			f.attempts = d.Attempt
			p.g.flights = append(p.g.flights, f)
			p.g.waiting++
		}
		p.mu.Unlock()
	}
}

// gone notes that a message can not be fetched any more.
func (p *pump) gone(reason eventlog.Reason) {
	if reason == "" {
		p.g.stats.Expired++
	} else {
		p.g.lose(1, ReasonCompacted)
	}
	p.dirty = true
}

// fetch returns one entry of the log, or nil and why it is not there: no reason means
// that it has expired.
func (p *pump) fetch(offset uint64) (*eventlog.Entry, eventlog.Reason, error) {
	page, err := p.b.log.After(eventlog.Cursor{Epoch: p.epoch, Offset: offset - 1}, eventlog.Query{MaxEntries: 1, MaxBytes: -1})
	if err != nil {
		return nil, "", err
	}
	if len(page.Entries) == 0 || page.Entries[0].Offset != offset {
		return nil, page.Reset, nil
	}
	return &page.Entries[0], page.Reset, nil
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

// bury makes dead letters of messages that have had all their attempts. A log that takes
// none is asked again later, and deliveries go on.
func (p *pump) bury(now time.Time) error {
	if now.Before(p.letters) {
		return nil
	}
	for {
		p.mu.Lock()
		f := p.g.dead()
		p.mu.Unlock()
		if f == nil {
			return nil
		}
		e, reason, err := p.fetch(f.offset)
		stored := false
		if e != nil {
			stored, err = p.b.bury(p, f, e)
		}
		if errors.Is(err, eventlog.ErrClosed) {
			return err
		}
		if err != nil {
			p.letters = now.Add(diskRetry)
			return nil
		}
		p.mu.Lock()
		p.g.remove(f)
		switch {
		case e == nil:
			p.gone(reason)
		case stored:
			p.g.stats.DeadLetters++
		default:
			p.g.stats.LettersLost++
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
	if page.Reset != "" {
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
	if page.Reset == eventlog.ReasonCompacted {
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
	if page.Reset == eventlog.ReasonWrongEpoch {
		p.g.lose(0, ReasonWrongEpoch)
	} else {
		p.g.lose(0, ReasonFuture)
	}
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
	id := "dead/" + p.options.Name + "/" + at
	if len(id) > maxTopicBytes {
		id = fmt.Sprintf("dead/%x", sha256.Sum256([]byte(id)))
	}
	return Message{Topic: p.options.DeadLetter, Key: m.Key, ID: id, Headers: headers, Data: m.Data}, nil
}
