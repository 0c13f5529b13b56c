package pubsub

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// Subscription is a client's membership in a subscription. Its methods may be
// called concurrently.
type Subscription struct {
	c       *Client
	id      uint64
	options SubscribeOptions
	news    chan struct{} // a token: there is something to take
	begun   chan struct{} // closed when the broker has it
	over    chan struct{} // closed when err is set
	left    chan struct{} // closed when the broker does not have it any more

	// Guarded by c.mu.
	err          error
	start        eventlog.Cursor
	generation   uint64
	epoch, floor uint64         // everything up to floor is done
	seen         uint64         // the newest message that was received
	topic        string         // of that
	items        []item         // the first is next
	itemBytes    int            // of their messages
	held         map[uint64]int // attempts, of messages received and not settled
	acked        map[uint64]int // attempts, of messages acknowledged after floor
	pruneAt      int            // so many acked are too many
	gaps, missed uint64         // number of the newest gap that was received, and messages missing up to it
	told         uint64         // number of the newest gap that Next has returned
}

// item is what Next returns: a delivery or a gap.
type item struct {
	delivery   *Delivery
	gap        *Gap
	number     uint64 // of the gap
	generation uint64 // in which it has that number
}

// Delivery is a message that a subscriber must settle, with one of the methods, within
// the subscription's AckWait. Under AtMostOnce there is nothing to settle.
type Delivery struct {
	Message
	// Cursor is the position after the message.
	Cursor eventlog.Cursor
	// Attempt counts the deliveries of the message within the subscription, from 1. It
	// restarts if the broker restarts before an acknowledgement was stored.
	Attempt int
	// Time is when the broker stored the message.
	Time time.Time

	s          *Subscription
	generation uint64
	received   time.Time
}

// From returns where the subscription began or resumed when it was created: the first
// delivery is the first matching message after it that is not done. A process that stores
// this position, later replaces it with each [Delivery].Cursor and [Gap].Cursor, and passes
// it as [SubscribeOptions].From, gets a [Gap] if a broker without a [Store] has forgotten
// the subscription in the meantime.
func (s *Subscription) From() eventlog.Cursor {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.start
}

// Next returns the next delivery, and waits for it. It skips a delivery whose AckWait
// has ended since it arrived, because that message is delivered again. If the error is a
// [*Gap], Next can be called again. Other errors are ctx's, [ErrUnsubscribed],
// [ErrClosed], [ErrFenced], or the broker's reason for ending the subscription.
func (s *Subscription) Next(ctx context.Context) (*Delivery, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		d, err := s.take()
		if gap := (*Gap)(nil); errors.As(err, &gap) {
			s.c.Logger.Warn("messages may be missing", "client", s.c.ID, "topic", s.options.Filter, "reason", gap.Reason, "cursor", gap.Cursor)
		}
		if d != nil || err != nil {
			return d, err
		}
		select {
		case <-s.news:
		case <-s.over:
		case <-ctx.Done():
		}
	}
}

// take returns what is there.
func (s *Subscription) take() (*Delivery, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	for len(s.items) > 0 {
		it := s.items[0]
		s.items[0] = item{}
		s.items = s.items[1:]
		s.itemBytes -= it.size()
		if it.gap != nil {
			if it.generation == s.generation {
				s.told = it.number
			}
			if s.c.link != nil && it.generation == s.generation {
				s.c.link.send(frame(kindTold, s.id, it.number))
			}
			s.more()
			return nil, it.gap
		}
		d := it.delivery
		switch offset := d.Cursor.Offset; {
		case s.acked[offset] != 0: // it comes again although it is done
			s.c.stats.Repeated++
			s.ack(d)
			continue
		case offset <= s.floor && !s.options.AtMostOnce: // so does this, and the broker knows
			s.c.stats.Repeated++
			s.drop(d)
			continue
		}
		switch {
		case s.options.AtMostOnce:
			s.ack(d)
		case time.Since(d.received) >= s.options.AckWait:
			s.drop(d)                      // it has waited here for too long, and comes again, here or elsewhere
			s.c.ack(d, verbNack, 0, false) // the broker hears that it is taken
			continue
		}
		s.more()
		return d, nil
	}
	return nil, nil
}

// more lets another Next look.
func (s *Subscription) more() {
	if len(s.items) == 0 {
		return
	}
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// Unsubscribe leaves the subscription. After it has returned, no delivery comes; if no
// call of Next is in progress, none comes after it was called. Unacknowledged messages
// go to other members. The broker keeps a durable subscription; see [Client.Delete].
//
// It waits until the broker has been notified, or ctx ends; then the broker is notified
// later.
func (s *Subscription) Unsubscribe(ctx context.Context) error {
	s.c.mu.Lock()
	s.end(ErrUnsubscribed)
	if s.c.link != nil {
		s.c.flush()
		s.c.link.send(control{Type: typeUnsubscribe, Sub: s.id}.frame())
	}
	s.c.mu.Unlock()
	select {
	case <-s.left:
		return nil
	case <-s.c.gone:
		return nil // with the client
	case <-ctx.Done():
		return fmt.Errorf("pubsub: unsubscribe: %w", ctx.Err())
	}
}

// Ack acknowledges that the message was handled and need not be delivered again. It
// does not wait: if the acknowledgement is lost, the message is delivered again.
func (d *Delivery) Ack() {
	d.s.c.mu.Lock()
	defer d.s.c.mu.Unlock()
	d.s.ack(d)
}

// AckSync acknowledges the message and waits until the broker has recorded it, so that it is
// not delivered again. After [ErrLate] and [ErrFenced] another member gets the message, or
// has got it.
func (d *Delivery) AckSync(ctx context.Context) error {
	return d.s.settle(ctx, d, verbAck, 0)
}

// Nack returns the message: after the pause it is delivered again, to the member that
// owns its key then. A pause of more than a year counts as a year. It does not wait.
func (d *Delivery) Nack(pause time.Duration) {
	d.s.c.mu.Lock()
	defer d.s.c.mu.Unlock()
	d.s.drop(d)
	d.s.c.ack(d, verbNack, pause, true)
}

// Extend sets the time that is left for this delivery to wait from now, at most a year,
// instead of AckWait. It waits for the broker's answer, which can be [ErrLate], [ErrFenced]
// or [ErrMoving].
func (d *Delivery) Extend(ctx context.Context, wait time.Duration) error {
	return d.s.settle(ctx, d, verbExtend, wait)
}

func (d *Delivery) appendFrame(b []byte, request uint64, v verb, pause time.Duration) []byte {
	return appendFrame(b, kindSettle, d.s.id, request, d.generation, d.Cursor.Offset, uint64(d.Attempt), uint64(v), uint64(min(max(pause, 0), maxWait)))
}

// ack notes that a message is handled, and tells the broker soon. The caller has c.mu.
func (s *Subscription) ack(d *Delivery) {
	s.drop(d)
	if d.Cursor.Epoch == s.epoch {
		s.acked[d.Cursor.Offset] = d.Attempt
		s.prune()
	}
	s.c.ack(d, verbAck, 0, s.c.ackCount >= s.options.MaxInFlight/2)
}

// drop says that a delivery is not held any more.
func (s *Subscription) drop(d *Delivery) {
	if d.generation == s.generation && s.held[d.Cursor.Offset] == d.Attempt {
		delete(s.held, d.Cursor.Offset)
	}
}

// prune forgets acknowledgements that the broker has, now and then.
func (s *Subscription) prune() {
	if len(s.acked) < s.pruneAt {
		return
	}
	for offset := range s.acked {
		if offset <= s.floor {
			delete(s.acked, offset)
		}
	}
	s.pruneAt = 2*s.options.MaxInFlight + len(s.acked)
}

// settle sends what a subscriber says about a delivery and waits for the answer.
func (s *Subscription) settle(ctx context.Context, d *Delivery, v verb, pause time.Duration) error {
	c := s.c
	c.mu.Lock()
	if s.err != nil {
		c.mu.Unlock()
		return s.err
	}
	if v == verbAck {
		s.drop(d)
		if d.Cursor.Epoch == s.epoch {
			s.acked[d.Cursor.Offset] = d.Attempt
		}
		c.flush() // those before it
	}
	c.last++
	request := c.last
	one := &call{frame: d.appendFrame(nil, request, v, pause), of: s, reply: make(chan answer, 1)}
	c.call(request, one)
	c.mu.Unlock()
	a, err := c.wait(ctx, request, one)
	if err != nil {
		return fmt.Errorf("pubsub: settle: %w", err)
	}
	return a.err
}

// subscribe is the frame that asks for the subscription, and says what is left of an
// earlier connection.
func (s *Subscription) subscribe() []byte {
	m := control{Type: typeSubscribe, Sub: s.id, Options: s.options.form()}
	if s.hasBegun() {
		m.Options.From, m.Options.FromNow = eventlog.Cursor{Epoch: s.epoch, Offset: s.floor}, false
		m.Resume = &resume{Generation: s.generation, Held: newest(s.held, 0), Acked: newest(s.acked, s.floor), Gap: s.gaps, Told: s.told,
			Seen: eventlog.Cursor{Epoch: s.epoch, Offset: max(s.seen, s.floor)}}
	}
	return m.frame()
}

// newest returns the deliveries after floor, in order, of too many the newest.
func newest(attempts map[uint64]int, floor uint64) (all []delivery) {
	for offset, attempt := range attempts {
		if offset > floor {
			all = append(all, delivery{offset, attempt})
		}
	}
	slices.SortFunc(all, func(a, b delivery) int { return cmp.Compare(a.Offset, b.Offset) })
	return all[max(0, len(all)-maxResume):]
}

// subscribed notes that the broker has the subscription. If it is not as it was, what
// was received and not taken comes again.
func (s *Subscription) subscribed(m control) {
	if s.ended() {
		return
	}
	if !m.Resumed {
		fresh := m.Fresh || m.Cursor.Epoch != s.epoch
		if !s.options.AtMostOnce || fresh {
			s.discard(func(d *Delivery) bool { return true })
			clear(s.held)
		}
		if fresh {
			clear(s.acked)
			s.seen = 0
		}
		s.generation, s.epoch = m.Generation, m.Cursor.Epoch
		s.gaps, s.told, s.missed = m.Told, m.Told, m.Missed
	}
	s.floor = m.Cursor.Offset
	if !s.hasBegun() {
		s.start = m.Cursor
		close(s.begun)
	}
}

// delivered takes in a message.
func (s *Subscription) delivered(b *decoder) error {
	generation, offset, floor := b.uvarint(), b.uvarint(), b.uvarint()
	d := &Delivery{Attempt: b.attempt(), Time: time.Unix(0, int64(b.uvarint())).UTC(), s: s, generation: generation, received: time.Now()}
	if topic := b.bytes(); string(topic) == s.topic {
		d.Topic = s.topic // no copy for each message
	} else {
		d.Topic = string(topic)
		s.topic = d.Topic
	}
	if b.err == nil {
		b.err = d.decode(b.b)
		d.Data = bytes.Clone(d.Data) // the frame's memory is used again
	}
	if b.err != nil || generation != s.generation {
		return b.err
	}
	d.Cursor = eventlog.Cursor{Epoch: s.epoch, Offset: offset}
	s.floor, s.seen = max(s.floor, floor), max(s.seen, offset)
	if s.held[offset] != 0 {
		i := slices.IndexFunc(s.items, func(it item) bool { return it.delivery != nil && it.delivery.Cursor.Offset == offset })
		if i >= 0 {
			s.itemBytes += d.size() - s.items[i].size()
			s.items[i].delivery = d // the earlier one was not returned by Next
			s.held[offset] = d.Attempt
			return nil
		}
	}
	if err := s.checkWindow(); err != nil {
		return err
	}
	s.held[offset] = d.Attempt
	s.items = append(s.items, item{delivery: d})
	s.itemBytes += d.size()
	s.more()
	return nil
}

// size is what an item counts for MaxInFlightBytes.
func (it item) size() int {
	if it.delivery == nil {
		return 0
	}
	return it.delivery.size()
}

// discard drops the deliveries that Next has not returned for which f is true.
func (s *Subscription) discard(f func(*Delivery) bool) {
	s.items = slices.DeleteFunc(s.items, func(it item) bool {
		if it.delivery == nil || !f(it.delivery) {
			return false
		}
		s.itemBytes -= it.size()
		return true
	})
}

// checkWindow refuses what no broker has a reason to send: it knows of each message that Next has not
// returned, and counts it until its AckWait is over. The clocks may differ a little about that, and
// what came from another incarnation of the broker is known only here: so twice as much may wait.
func (s *Subscription) checkWindow() error {
	most, mostBytes := 2*s.options.MaxInFlight, 2*s.options.MaxInFlightBytes
	if len(s.items) < most && s.itemBytes <= mostBytes {
		return nil
	}
	s.discard(func(d *Delivery) bool {
		late := !s.options.AtMostOnce && time.Since(d.received) >= s.options.AckWait
		if late {
			s.drop(d) // it comes again, here or elsewhere
		}
		return late
	})
	count, bytes := 0, 0
	for _, it := range s.items {
		if it.delivery == nil || it.delivery.generation == s.generation {
			count++
			bytes += it.size()
		}
	}
	if count < most && bytes <= mostBytes {
		return nil
	}
	return fmt.Errorf("%w: %d messages of %d bytes wait for Next, and another has come, though MaxInFlight is %d and MaxInFlightBytes %d",
		errProtocol, count, bytes, s.options.MaxInFlight, s.options.MaxInFlightBytes)
}

// gap takes in the news that messages are missing.
func (s *Subscription) gap(b *decoder) error {
	number, missed, reason := b.uvarint(), b.number(math.MaxInt64), eventlog.Reason(b.text())
	at := eventlog.Cursor{Epoch: b.uvarint(), Offset: b.uvarint()}
	if b.err == nil && missed < s.missed && number > s.gaps {
		b.err = errRange
	}
	if b.err != nil || number <= s.gaps {
		return b.err
	}
	if err := s.checkWindow(); err != nil {
		return err
	}
	gap := &Gap{Reason: reason, Missed: int64(missed - s.missed), Cursor: at}
	s.gaps, s.missed = number, missed
	s.items = append(s.items, item{gap: gap, number: number, generation: s.generation})
	s.more()
	return nil
}

// end ends the subscription for its user. The caller has c.mu.
func (s *Subscription) end(err error) {
	if s.err == nil {
		s.err = err
		s.items, s.itemBytes = nil, 0
		close(s.over)
		for request, one := range s.c.calls {
			if one.of == s {
				s.c.answer(request, answer{err: err})
			}
		}
	}
}

func (s *Subscription) ended() bool { return s.err != nil }

func (s *Subscription) hasBegun() bool {
	select {
	case <-s.begun:
		return !s.ended()
	default:
		return false
	}
}

func (s *Subscription) final() error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.err
}
