package pubsub

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/eventlog"
)

// load reads the messages again that were in flight when the broker stopped.
func (d *dispatcher) load() error {
	for {
		d.mu.Lock()
		if len(d.reload) == 0 || len(d.g.members) == 0 {
			d.mu.Unlock()
			return nil
		}
		first, left := d.reload[0], min(len(d.reload), pageEntries)
		d.mu.Unlock()
		e, reason, err := d.fetch(first.Offset, left)
		if err != nil {
			return err
		}
		d.mu.Lock()
		d.reload = d.reload[1:]
		if reason == eventlog.ReasonWrongEpoch || reason == eventlog.ReasonFuture {
			d.reload = nil // read tells
		} else if e == nil {
			d.gone(reason)
		} else if f, ok := d.flight(e); ok {
			f.attempts = first.Attempt
			d.g.flights = append(d.g.flights, f)
			d.g.waiting++
		}
		d.mu.Unlock()
	}
}

// gone records that a message can no longer be fetched.
func (d *dispatcher) gone(reason eventlog.Reason) {
	if reason == "" {
		d.g.stats.Expired++
	} else {
		d.g.lose(1, eventlog.ReasonCompacted)
	}
	d.dirty = true
}

// fetch returns one entry of the log, or nil and the reason why it is missing; an empty
// reason means that it has expired. It also reads the entries that follow, as many as will
// be needed.
func (d *dispatcher) fetch(offset uint64, many int) (*eventlog.Entry, eventlog.Reason, error) {
	if len(d.recent) == 0 || offset < d.recent[0].Offset || offset > d.recentTo {
		q := eventlog.Query{MaxEntries: many, MaxBytes: pageBytes}
		if many > 1 && !isWild(d.options.Filter) {
			q.Topics = []string{d.options.Filter}
		}
		page, err := d.b.Log.After(eventlog.Cursor{Epoch: d.epoch, Offset: offset - 1}, q)
		if err != nil || page.Reset != "" {
			return nil, page.Reset, err
		}
		d.recent, d.recentTo = page.Entries, page.Next.Offset
	}
	i, found := slices.BinarySearchFunc(d.recent, offset, func(e eventlog.Entry, o uint64) int { return cmp.Compare(e.Offset, o) })
	if !found || expired(&d.recent[i]) {
		return nil, "", nil
	}
	return &d.recent[i], "", nil
}

func expired(e *eventlog.Entry) bool { return !e.Expires.IsZero() && !time.Now().Before(e.Expires) }

// flight returns a flight for an entry, if the subscription wants the entry.
func (d *dispatcher) flight(e *eventlog.Entry) (*flight, bool) {
	if !access.Match(d.options.Filter, e.Topic) || e.Topic == d.options.DeadLetter {
		return nil, false // its own dead letters would go round in circles
	}
	body := decoder{b: e.Data}
	key := body.bytes()
	return &flight{offset: e.Offset, part: partOf(key, e.Offset), bytes: len(e.Topic) + len(e.Data), expires: e.Expires}, true
}

// deadLetters publishes dead letters for messages that have had all their attempts. If the log
// refuses one, it is tried again later, and deliveries continue.
func (d *dispatcher) deadLetters(now time.Time) error {
	if now.Before(d.letters) {
		return nil
	}
	for {
		d.mu.Lock()
		f := d.g.dead()
		d.mu.Unlock()
		if f == nil {
			return nil
		}
		e, reason, err := d.fetch(f.offset, 1)
		stored := false
		if e != nil {
			stored, err = d.b.deadLetter(d, f, e)
		}
		if errors.Is(err, eventlog.ErrClosed) {
			return err
		}
		if err != nil {
			d.b.Logger.Error("dead letters wait for the disk", "subscription", d.key, "topic", d.options.Filter, "error", err)
			d.letters = now.Add(diskRetry)
			return nil
		}
		d.mu.Lock()
		d.g.remove(f)
		switch {
		case e == nil:
			d.gone(reason)
		case stored:
			d.g.stats.DeadLetters++
		default:
			d.g.stats.LettersLost++
		}
		d.dirty = true
		d.mu.Unlock()
	}
}

// read takes in a page of the log, if there is room for more, and reports whether there may be
// another. If the log cannot continue from its position, read continues from where the log can, so
// that the notification of the gap and the first messages after it are sent together.
func (d *dispatcher) read() (more bool, err error) {
	for again := true; again && err == nil; {
		more, again, err = d.readPage()
	}
	return more, err
}

// readPage also reports whether there was no page and the reading position has moved instead.
func (d *dispatcher) readPage() (more, moved bool, err error) {
	d.mu.Lock()
	wanted, from := d.g.wantsMore(), eventlog.Cursor{Epoch: d.epoch, Offset: d.g.next}
	d.mu.Unlock()
	if !wanted {
		return false, false, nil
	}
	q := eventlog.Query{MaxEntries: pageEntries, MaxBytes: pageBytes}
	if !isWild(d.options.Filter) {
		q.Topics = []string{d.options.Filter}
	}
	page, err := d.b.Log.After(from, q)
	if err != nil {
		return false, false, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if page.Reset != "" {
		d.restart(page)
		return true, true, nil
	}
	d.recent, d.recentTo = page.Entries, page.Next.Offset
	for i := range page.Entries {
		if !d.g.wantsMore() {
			return true, false, nil // the rest of the page is read again
		}
		f, wanted := d.flight(&page.Entries[i])
		if !wanted {
			continue
		}
		for _, slow := range d.g.add(f) {
			d.b.count(func(s *BrokerStats) { s.Slow++ })
			d.b.Logger.Warn("a client is slow", "client", slow.name, "topic", d.options.Filter)
			slow.conn.finish(control{Type: typeGoodbye, Error: "slow subscriber"}.frame())
			d.g.disconnect(slow)
		}
	}
	d.g.next = page.Next.Offset
	if !page.More {
		d.g.caughtUp()
	}
	return page.More, false, nil
}

// restart continues from where the log can.
func (d *dispatcher) restart(page eventlog.Page) {
	to := page.Next
	if d.options.Reset == ResetLatest {
		to = d.b.Log.Head()
	}
	d.epoch, d.g.next, d.g.high = to.Epoch, to.Offset, to.Offset
	d.dirty = true
	d.b.Logger.Warn("a subscription passes over messages", "subscription", d.key, "topic", d.options.Filter, "reason", page.Reset)
	d.g.lose(0, page.Reset)
	if page.Reset == eventlog.ReasonCompacted {
		return
	}
	d.g.forget() // offsets mean other messages now
	for _, m := range d.g.members {
		if m.connected() {
			again := d.subscribed(m)
			again.Fresh = true
			d.replies = append(d.replies, reply{m.conn, again.frame()})
		}
	}
}

// letter returns the dead letter for an entry.
func (d *dispatcher) letter(f *flight, e *eventlog.Entry) (Message, error) {
	var m Message
	if err := m.decode(e.Data); err != nil {
		return m, err
	}
	at := eventlog.Cursor{Epoch: d.epoch, Offset: f.offset}.String()
	headers := map[string]string{}
	for name, value := range m.Headers {
		headers[name] = value
	}
	headers[HeaderDeadTopic], headers[HeaderDeadCursor] = e.Topic, at
	headers[HeaderDeadSubscription], headers[HeaderDeadAttempts] = d.options.Name, strconv.Itoa(f.attempts)
	// If the broker dies before it has recorded this, it creates the letter again.
	// The ID makes the two one letter.
	id := "dead/" + d.options.Name + "/" + at
	if len(id) > maxTopicBytes {
		id = fmt.Sprintf("dead/%x", sha256.Sum256([]byte(id)))
	}
	return Message{Topic: d.options.DeadLetter, Key: m.Key, ID: id, Headers: headers, Data: m.Data}, nil
}
