package pubsub

import (
	"errors"
	"slices"
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

// dispatcher runs a subscription: one goroutine that reads the log, stores changes, and
// passes messages to connections. It never waits for the network.
type dispatcher struct {
	b       *Broker
	key     string // among the broker's dispatchers
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

	// The dispatcher's own: the part of the log that was read last in this round, and up to
	// where it goes.
	recent   []eventlog.Entry
	recentTo uint64

	idleSince time.Time // since when no client is subscribed; zero: one is
	letters   time.Time // no dead letters before, since the log failed
}

// reply is an answer that waits until the change it confirms is stored.
type reply struct {
	to    *connection
	frame []byte
}

// attachment is how a member can be reached.
type attachment struct {
	conn    *connection
	sub     uint64 // the client's number of the subscription
	sentGap uint64 // number of the last gap that was sent
	toldGap uint64 // and of the last that the subscriber was notified of
}

func (a *attachment) connected() bool { return a.conn != nil }

// newDispatcher returns a dispatcher that starts after c.
func newDispatcher(b *Broker, key string, o SubscribeOptions, c eventlog.Cursor) *dispatcher {
	return &dispatcher{
		b: b, key: key, options: o,
		wake: make(chan struct{}, 1), stop: make(chan struct{}),
		epoch: c.Epoch,
		// Generations of different incarnations must not be confused.
		g:         group{limits: o.limits(), next: c.Offset, generation: uint64(time.Now().UnixMicro())},
		dirty:     true,
		idleSince: time.Now(),
	}
}

// restore sets a dispatcher to a stored state.
func (d *dispatcher) restore(s *state) {
	d.epoch, d.g.next, d.g.high, d.reload = s.epoch, s.next, s.next, s.pending
	d.g.gaps, d.g.missed, d.g.reason = s.gaps, s.missed, s.reason
	d.g.told, d.toldMissed = s.told, s.toldMissed
	if !s.idleSince.IsZero() {
		d.idleSince = s.idleSince
	}
	d.dirty = s.idleSince.IsZero() // the time of the restart is
}

// idles records whether no client is subscribed. The caller has d.mu.
func (d *dispatcher) idles(now bool) {
	if now == d.idleSince.IsZero() {
		d.idleSince, d.dirty = time.Time{}, true
		if now {
			d.idleSince = time.Now()
		}
	}
}

// expires returns when the subscription is deleted because no client is subscribed, and zero
// if one is. The caller has d.mu.
func (d *dispatcher) expires() time.Time {
	if d.options.Name == "" || d.options.ExpireAfter < 0 || d.idleSince.IsZero() {
		return time.Time{}
	}
	return d.idleSince.Add(d.options.ExpireAfter)
}

// endIdle ends the dispatcher if no client has been subscribed for too long.
func (d *dispatcher) endIdle(now time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if at := d.expires(); d.ended || at.IsZero() || now.Before(at) {
		return false
	}
	d.ended = true
	close(d.stop)
	return true
}

func (d *dispatcher) kick() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

func (d *dispatcher) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.ended {
		d.ended = true
		close(d.stop)
	}
}

// delete ends the dispatcher permanently, and notifies its members.
func (d *dispatcher) delete() {
	d.end()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range d.g.members {
		if m.connected() {
			m.conn.send(control{Type: typeRefused, Sub: m.sub, Error: "the subscription was deleted"}.frame())
		}
	}
	for _, r := range d.replies {
		r.to.send(r.frame)
	}
	d.replies = nil
}

// locked calls f with the group and makes the dispatcher look again.
func (d *dispatcher) locked(f func(g *group)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(&d.g)
	d.kick()
}

func (d *dispatcher) run() {
	var watch *eventlog.Watch
	if isWild(d.options.Filter) {
		watch = d.b.Log.Watch()
	} else {
		watch = d.b.Log.Watch(d.options.Filter)
	}
	defer watch.Stop()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	timer.Stop()
	var armed time.Time // when the timer fires; zero: not
	for {
		due, err := d.round()
		if errors.Is(err, eventlog.ErrClosed) {
			return
		}
		if err != nil {
			d.b.Logger.Error("a subscription waits for the disk", "subscription", d.key, "topic", d.options.Filter, "error", err)
			due = time.Now().Add(diskRetry)
		}
		// A timer that fires too early costs one round, which is cheaper than moving it for each message.
		if !due.IsZero() && (armed.IsZero() || due.Before(armed)) {
			armed = due
			timer.Reset(max(time.Until(due), 1))
		}
		news := watch.C
		d.mu.Lock()
		if len(d.g.members) == 0 {
			news = nil // no member to deliver to
		}
		d.mu.Unlock()
		select {
		case <-d.stop:
			return
		case _, open := <-news:
			if !open {
				return
			}
		case <-d.wake:
		case <-timer.C:
			armed = time.Time{}
		}
	}
}

// round does everything that is due, and returns when something is next due by
// itself.
func (d *dispatcher) round() (due time.Time, err error) {
	defer func() { d.recent = nil }() // while it waits it holds no messages
	if err := d.load(); err != nil {
		return due, err
	}
	var now time.Time
	for {
		now = time.Now()
		d.mu.Lock()
		d.g.expire(now)
		d.g.discard(now)
		expires := d.expires()
		d.mu.Unlock()
		if !expires.IsZero() && !now.Before(expires) {
			return due, d.b.expire(d)
		}
		if err := d.deadLetters(now); err != nil {
			return due, err
		}
		read, err := d.read()
		if err != nil {
			return due, err
		}
		sent, err := d.deliver(now)
		if err != nil {
			return due, err
		}
		if !read && !sent {
			break
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	due = d.g.due()
	sooner := func(at time.Time) {
		if due.IsZero() || at.Before(due) {
			due = at
		}
	}
	if slices.ContainsFunc(d.g.members, func(m *member) bool { return m.clogged }) {
		sooner(now.Add(clogRetry))
	}
	if now.Before(d.letters) {
		sooner(d.letters)
	}
	if expires := d.expires(); !expires.IsZero() {
		sooner(expires)
	}
	return due, nil
}

func (d *dispatcher) info() SubscriptionInfo {
	head := d.b.Log.Head()
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.g.stats
	s.Members, s.Pending, s.Generation = int64(len(d.g.members)), int64(len(d.g.flights)+len(d.reload)), int64(d.g.generation)
	i := SubscriptionInfo{
		Options: d.options, IdleSince: d.idleSince, GroupStats: s,
		Cursor: eventlog.Cursor{Epoch: d.epoch, Offset: d.floor()},
	}
	if i.Cursor.Epoch == head.Epoch && i.Cursor.Offset < head.Offset {
		i.Lag = int64(head.Offset - i.Cursor.Offset)
	}
	return i
}
