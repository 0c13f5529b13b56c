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
	idleSince  time.Time // nobody is subscribed; zero: somebody is
	letters    time.Time // no dead letters before, since the log failed
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
	toldGap uint64 // and of the last that the subscriber was told of
}

func (a *attachment) connected() bool { return a.conn != nil }

// newPump returns a pump that starts after c.
func newPump(b *Broker, key string, o SubscribeOptions, c eventlog.Cursor) *pump {
	return &pump{
		b: b, key: key, options: o,
		wake: make(chan struct{}, 1), stop: make(chan struct{}),
		epoch: c.Epoch,
		// Generations of different lives must not be taken for each other.
		g:         group{limits: o.limits(), next: c.Offset, generation: uint64(time.Now().UnixMicro())},
		dirty:     true,
		idleSince: time.Now(),
	}
}

// restore puts a pump where a stored state says.
func (p *pump) restore(s *state) {
	p.epoch, p.g.next, p.g.high, p.reload = s.epoch, s.next, s.next, s.pending
	p.g.gaps, p.g.missed, p.g.reason = s.gaps, s.missed, s.reason
	p.g.told, p.toldMissed = s.told, s.toldMissed
	if !s.idleSince.IsZero() {
		p.idleSince = s.idleSince
	}
	p.dirty = s.idleSince.IsZero() // the time of the restart is
}

// idles notes whether nobody is subscribed. The caller has p.mu.
func (p *pump) idles(now bool) {
	if now == p.idleSince.IsZero() {
		p.idleSince, p.dirty = time.Time{}, true
		if now {
			p.idleSince = time.Now()
		}
	}
}

// expires is when a subscription is deleted because nobody is subscribed. Zero: not by now.
// The caller has p.mu.
func (p *pump) expires() time.Time {
	if p.options.Name == "" || p.options.ExpireAfter < 0 || p.idleSince.IsZero() {
		return time.Time{}
	}
	return p.idleSince.Add(p.options.ExpireAfter)
}

// endIdle ends the pump if nobody has been subscribed for too long.
func (p *pump) endIdle(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := p.expires(); p.ended || at.IsZero() || now.Before(at) {
		return false
	}
	p.ended = true
	close(p.stop)
	return true
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
		expires := p.expires()
		p.mu.Unlock()
		if !expires.IsZero() && !now.Before(expires) {
			return due, p.b.expire(p)
		}
		if err := p.bury(now); err != nil {
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
	sooner := func(at time.Time) {
		if due.IsZero() || at.Before(due) {
			due = at
		}
	}
	if slices.ContainsFunc(p.g.members, func(m *member) bool { return m.clogged }) {
		sooner(now.Add(clogRetry))
	}
	if now.Before(p.letters) {
		sooner(p.letters)
	}
	if expires := p.expires(); !expires.IsZero() {
		sooner(expires)
	}
	return due, nil
}

func (p *pump) info() SubscriptionInfo {
	head := p.b.log.Head()
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.g.stats
	s.Members, s.Pending, s.Generation = len(p.g.members), len(p.g.flights)+len(p.reload), p.g.generation
	i := SubscriptionInfo{
		Options: p.options, IdleSince: p.idleSince, GroupStats: s,
		Cursor: eventlog.Cursor{Epoch: p.epoch, Offset: p.floor()},
	}
	if i.Cursor.Epoch == head.Epoch && i.Cursor.Offset < head.Offset {
		i.Lag = head.Offset - i.Cursor.Offset
	}
	return i
}
