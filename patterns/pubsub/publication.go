package pubsub

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// publication is a message on its way into the log.
type publication struct {
	request uint64 // of its client
	topic   string
	ttl     time.Duration
	data    []byte // the message as it stands in the log, see Message.encode
	id      string // set by check

	receipt Receipt
	err     error

	claim uint64        // its number in the window of IDs
	wait  chan struct{} // closed when it is known what became of the same message
}

// check refuses what cannot be stored, the topic apart.
func (p *publication) check(maxBytes int) error {
	d := decoder{b: p.data}
	key, id := d.bytes(), d.bytes()
	headers, own, size := int(d.number(uint64(maxHeaders+len(deadHeaders)))), 0, 0
	for range headers {
		name := d.bytes()
		size += len(name) + len(d.bytes())
		if headers > maxHeaders && isDeadHeader(string(name)) {
			own++
		}
	}
	if d.err != nil {
		return d.err
	}
	p.id = string(id)
	return checkSizes(len(key), len(id), headers-own, p.ttl, size+len(d.b), maxBytes)
}

// entry is the publication in the log.
func (p *publication) entry(now time.Time) eventlog.Entry {
	e := eventlog.Entry{Topic: p.topic, Time: now, Data: p.data}
	if p.ttl > 0 {
		e.Expires = now.Add(p.ttl)
	}
	return e
}

// storeAll stores messages, those that have no err yet, in this order, together, and sets
// their receipts and errs.
func (b *Broker) storeAll(ctx context.Context, all []publication) {
	if err := b.ended(); err != nil {
		for i := range all {
			all[i].err = err
		}
		return
	}
	now := time.Now()
	epoch := b.Log.Head().Epoch
	entries := make([]eventlog.Entry, 0, len(all))
	fresh := make([]*publication, 0, len(all)) // those of the entries
	var again []*publication                   // the same as one that is on its way
	b.seen.mu.Lock()
	for i := range all {
		p := &all[i]
		if p.err != nil {
			continue
		}
		if p.id != "" {
			var offset uint64
			if offset, p.wait = b.seen.begin(p, now); offset != 0 {
				p.receipt = Receipt{Cursor: eventlog.Cursor{Epoch: epoch, Offset: offset}, Duplicate: true}
				b.duplicates.Add(1)
				continue
			} else if p.wait != nil {
				again = append(again, p)
				continue
			}
		}
		entries, fresh = append(entries, p.entry(now)), append(fresh, p)
	}
	b.seen.mu.Unlock()

	if len(fresh) > 0 {
		b.append(ctx, entries, fresh)
		b.seen.mu.Lock()
		for _, p := range fresh {
			if p.id != "" {
				b.seen.end(p)
			}
		}
		b.seen.mu.Unlock()
	}
	for _, p := range again {
		select {
		case <-p.wait:
			one := [1]publication{*p}
			b.storeAll(ctx, one[:])
			p.receipt, p.err = one[0].receipt, one[0].err
		case <-ctx.Done():
			p.err = fmt.Errorf("pubsub: publish: %w", ctx.Err())
		}
	}
}

// failure is an error of the log or the store. What failed, such as the path of a file, is for the
// broker's logger, and not for clients.
type failure struct{ error }

func (f *failure) Unwrap() error { return f.error }

// append appends entries, which are those of messages.
func (b *Broker) append(ctx context.Context, entries []eventlog.Entry, of []*publication) {
	head, err := b.Log.Append(ctx, entries...)
	if errors.Is(err, eventlog.ErrTooLarge) && len(of) > 1 {
		for i := range of { // one of them does not fit
			b.append(ctx, entries[i:i+1], of[i:i+1])
		}
		return
	}
	for i, p := range of {
		if err != nil {
			p.err = &failure{fmt.Errorf("pubsub: publish: %w", err)}
			continue
		}
		b.published.Add(1)
		p.receipt.Cursor = eventlog.Cursor{Epoch: head.Epoch, Offset: head.Offset - uint64(len(of)-1-i)}
	}
}
