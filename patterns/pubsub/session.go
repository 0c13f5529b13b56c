package pubsub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/eventlog"
)

// session is what a broker knows of a client. It outlives its connections, for
// SessionTimeout.
type session struct {
	b           *Broker
	client, run string   // the run names one incarnation of the client's process
	fenced      []string // runs that must not come back

	mu          sync.Mutex // held while a frame is worked on: after a takeover no frame of the old connection has any effect. Not held across network I/O
	ended       bool
	attempt     uint64
	conn        *connection // nil: it may come back
	memberships map[uint64]*membership
	timer       *time.Timer // to the end of the session
}

// membership is a client's part in a group, under the client's number.
type membership struct {
	*dispatcher
	member *member
}

var (
	errProtocol = errors.New("pubsub: the other side does not keep to the protocol")
	errGoodbye  = errors.New("pubsub: the client said goodbye")
)

// attach makes c the session's connection.
func (s *session) attach(c *connection, hello control) (attached, stale bool) {
	var old *connection
	defer func() {
		if old != nil {
			old.close() // without the lock: that of TLS waits for the network
		}
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false, false
	}
	if hello.Attempt <= s.attempt {
		return false, true
	}
	s.attempt = hello.Attempt
	if s.timer != nil {
		s.timer.Stop()
	}
	old, s.conn, c.session = s.conn, c, s
	for _, sub := range s.order() {
		if m := s.memberships[sub]; slices.Contains(hello.Keep, sub) {
			m.locked(func(g *group) { g.disconnect(m.member) }) // until it says what it has
		} else {
			s.leave(sub)
		}
	}
	c.welcomed.Store(true)
	c.send(control{Type: typeWelcome, Version: protocolVersion, SessionTimeout: s.b.set.SessionTimeout, MaxMessageBytes: s.b.set.MaxMessageBytes}.frame())
	return true, false
}

// lost says that a connection has ended. The session lasts until the client was silent
// for SessionTimeout.
func (s *session) lost(c *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.welcomed.Store(false)
	if s.conn != c || s.ended {
		return
	}
	s.conn = nil
	for _, sub := range s.order() {
		m := s.memberships[sub]
		m.locked(func(g *group) { g.disconnect(m.member) })
	}
	left := s.b.set.SessionTimeout - time.Since(c.lastHeard())
	s.timer = time.AfterFunc(max(left, 1), s.expire)
}

func (s *session) expire() {
	s.mu.Lock()
	over := s.conn == nil && !s.ended
	s.mu.Unlock()
	if over && s.end(nil) {
		s.b.Logger.Warn("a client is silent for too long", "client", s.client)
		s.b.count(func(st *BrokerStats) { st.Expired++ })
	}
}

// end ends the session, and its connection with a last frame. It reports whether it was
// not ended before.
func (s *session) end(goodbye []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	s.ended = true
	if s.timer != nil {
		s.timer.Stop()
	}
	for _, sub := range s.order() {
		s.leave(sub)
	}
	if s.conn != nil {
		s.conn.finish(goodbye)
		s.conn = nil
	}
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	if s.b.sessions[s.client] == s {
		delete(s.b.sessions, s.client)
	}
	return true
}

// order returns the numbers of the memberships in order.
func (s *session) order() []uint64 {
	var subs []uint64
	for sub := range s.memberships {
		subs = append(subs, sub)
	}
	slices.Sort(subs)
	return subs
}

// leave gives up a membership.
func (s *session) leave(sub uint64) {
	m := s.memberships[sub]
	delete(s.memberships, sub)
	m.locked(func(g *group) {
		g.leave(m.member)
		m.idles(len(g.members) == 0)
	})
	if m.options.Name == "" {
		m.end()
		s.b.mu.Lock()
		defer s.b.mu.Unlock()
		delete(s.b.dispatchers, m.key)
	}
}

// work does what a frame asks for, or notes it for flush.
func (s *session) work(c *connection, kind byte, body []byte) error {
	d := decoder{b: body}
	switch kind {
	case kindPing:
		c.replies = appendFrame(c.replies, kindPong)
	case kindPublish:
		p := publication{request: d.uvarint(), topic: c.topicOf(d.bytes()), ttl: time.Duration(d.uvarint())}
		p.data = d.b
		if d.err != nil {
			return d.err
		}
		if p.err = c.topicErr; p.err == nil {
			p.err = p.check(s.b.set.MaxMessageBytes)
		}
		if errors.Is(p.err, errShort) || errors.Is(p.err, errRange) {
			return p.err
		}
		c.batch = append(c.batch, p)
	case kindSettle:
		sub, request, generation := d.uvarint(), d.uvarint(), d.uvarint()
		what := delivery{d.uvarint(), d.attempt()}
		v, pause := verb(d.number(uint64(verbExtend))), time.Duration(d.number(uint64(maxWait)))
		if d.err != nil {
			return fmt.Errorf("%w: %w", errProtocol, d.err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.conn != c {
			return errors.New(errStaleText)
		}
		if m := s.memberships[sub]; m != nil {
			m.settle(m.member, generation, what, v, pause, request, c)
			if n := len(c.touched); n == 0 || c.touched[n-1] != m.dispatcher {
				c.touched = append(c.touched, m.dispatcher)
			}
		} else if request != 0 {
			c.replies = append(c.replies, settled(request, outcomeFenced)...)
		}
	case kindTold:
		sub, number := d.uvarint(), d.uvarint()
		s.mu.Lock()
		defer s.mu.Unlock()
		if m := s.memberships[sub]; m != nil && d.err == nil && s.conn == c {
			m.wasTold(m.member, number)
		}
	case kindArrived:
		sub, number := d.uvarint(), d.uvarint()
		s.mu.Lock()
		defer s.mu.Unlock()
		if m := s.memberships[sub]; m != nil && d.err == nil && s.conn == c {
			m.locked(func(g *group) { g.answered(m.member, number) })
		}
	case kindControl:
		// What was published before comes before.
		if err := s.flush(c); err != nil {
			return err
		}
		var m control
		if err := json.Unmarshal(body, &m); err != nil {
			return fmt.Errorf("%w: %v", errProtocol, err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.conn != c {
			return errors.New(errStaleText)
		}
		return s.control(c, m)
	default:
		return errProtocol
	}
	return d.err
}

// topicOf returns the topic that a message is published under, which is often that of the
// message before, and sets topicErr.
func (c *connection) topicOf(b []byte) string {
	if string(b) == c.topic && c.topic != "" {
		return c.topic
	}
	c.topic = string(b)
	switch err := checkTopic(c.topic); {
	case err != nil:
		c.topicErr = badTopic(c.topic, err)
	case !c.identity.MayPublish(c.topic):
		c.topicErr = fmt.Errorf("%w: publish under topic %q", access.ErrForbidden, c.topic)
	default:
		c.topicErr = nil
	}
	return c.topic
}

// flush stores what was published by the frames that were read together, sends the answers
// to them, and has dispatchers look.
func (s *session) flush(c *connection) error {
	for i, d := range c.touched {
		d.kick()
		c.touched[i] = nil
	}
	c.touched = c.touched[:0]
	if len(c.batch) > 0 {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.conn != c {
			return errors.New(errStaleText)
		}
		s.b.storeAll(context.Background(), c.batch)
		for i := range c.batch {
			p := &c.batch[i]
			switch {
			case errors.Is(p.err, ErrDraining), errors.Is(p.err, ErrClosed):
				// The client asks again, on its next connection.
			case p.err != nil:
				c.replies = append(c.replies, s.refused(p.err, control{Request: p.request})...)
			default:
				duplicate := uint64(0)
				if p.receipt.Duplicate {
					duplicate = 1
				}
				c.replies = appendFrame(c.replies, kindConfirm, p.request, p.receipt.Cursor.Epoch, p.receipt.Cursor.Offset, duplicate)
			}
			*p = publication{}
		}
		c.batch = c.batch[:0]
	}
	if len(c.replies) > 0 {
		c.answer(c.replies)
	}
	if c.replies = c.replies[:0]; cap(c.replies) > largeBuffer {
		c.replies = nil
	}
	return nil
}

// refused says that what m names is not done, and why.
func (s *session) refused(err error, m control) []byte {
	m.Type, m.Error = typeRefused, err.Error()
	switch {
	case errors.Is(err, access.ErrForbidden):
		m.Status = http.StatusForbidden
	case errors.Is(err, eventlog.ErrTooLarge):
		m.Status, m.Error = http.StatusRequestEntityTooLarge, eventlog.ErrTooLarge.Error()
	case errors.As(err, new(*failure)):
		s.b.Logger.Error("what a client asked for failed", "client", s.client, "error", err)
		m.Status, m.Error = http.StatusInternalServerError, "the log failed"
	}
	return m.frame()
}

func (s *session) control(c *connection, m control) error {
	switch m.Type {
	case typeSubscribe:
		if m.Options == nil {
			return errProtocol
		}
		if err := s.subscribe(c, m); err != nil {
			c.send(s.refused(err, control{Sub: m.Sub}))
		}
	case typeUnsubscribe:
		if s.memberships[m.Sub] != nil {
			s.leave(m.Sub)
		}
		c.send(m.frame())
	case typeDelete:
		err := error(nil)
		if info, exists := s.b.Subscription(m.Name); exists && !c.identity.MaySee(info.Options.Filter) {
			err = fmt.Errorf("%w: delete the subscription %q of %q", access.ErrForbidden, m.Name, info.Options.Filter)
		} else {
			if err = s.b.Delete(m.Name); err != nil {
				err = &failure{err}
			}
		}
		if err != nil {
			c.send(s.refused(err, control{Request: m.Request}))
			return nil
		}
		c.send(control{Type: typeDelete, Request: m.Request}.frame())
	case typeGoodbye:
		return errGoodbye
	default:
		return errProtocol
	}
	return nil
}

// subscribe makes the client a member of a group, or the one that it was.
func (s *session) subscribe(c *connection, m control) error {
	o, err := m.Options.options()
	if err != nil {
		return err
	}
	old := s.memberships[m.Sub]
	switch {
	case !c.identity.MaySee(o.Filter):
		err = fmt.Errorf("%w: subscribe to %q", access.ErrForbidden, o.Filter)
	case old != nil && o.differs(old.options) != "": // it was let into that one, and asks for another
		err = errors.New(o.differs(old.options))
	case o.DeadLetter != "" && o.DeadLetter != o.ownDeadLetter() && !c.identity.MayPublish(o.DeadLetter):
		err = fmt.Errorf("%w: dead letters under topic %q", access.ErrForbidden, o.DeadLetter)
	}
	if err != nil {
		if old != nil {
			s.leave(m.Sub) // it might before
		}
		return err
	}
	a := attachment{conn: c, sub: m.Sub}
	if old != nil {
		if m.Resume == nil {
			return errProtocol
		}
		resumed := false
		old.locked(func(g *group) {
			if resumed = !old.ended && old.member.generation == m.Resume.Generation; resumed {
				a.sentGap, a.toldGap = m.Resume.Gap, m.Resume.Told
				g.resume(old.member, a, m.Resume, time.Now())
				old.noteTold(m.Resume.Told)
				old.dirty = old.dirty || len(m.Resume.Acked) > 0
				back := old.subscribed(old.member)
				back.Resumed = true
				old.replies = append(old.replies, reply{c, back.frame()})
			}
		})
		if resumed {
			return nil
		}
		s.leave(m.Sub)
	}
	head := s.b.Log.Head()
	ahead := m.Resume != nil && m.Resume.Seen.Epoch == head.Epoch && m.Resume.Seen.Offset > head.Offset
	if len(s.memberships) >= s.b.set.MaxSubscriptions {
		return fmt.Errorf("this client has %d subscriptions, the most that a client may have", len(s.memberships))
	}
	for joined := false; !joined; { // unless it is deleted meanwhile
		d, err := s.b.dispatcher(s, m.Sub, o, ahead)
		if err != nil {
			return err
		}
		for _, other := range s.memberships {
			if other.dispatcher == d {
				return fmt.Errorf("this client has subscribed to %q already", o.Name)
			}
		}
		d.locked(func(g *group) {
			if joined = !d.ended; !joined {
				return
			}
			a.sentGap, a.toldGap = g.told, g.told
			member := g.join(s.client, a)
			d.idles(false)
			s.memberships[m.Sub] = &membership{d, member}
			begin := d.subscribed(member)
			begin.Fresh = ahead
			d.replies = append(d.replies, reply{c, begin.frame()})
		})
	}
	return nil
}

// dispatcher returns that of a subscription, and makes it if need be. If the subscriber is
// ahead of the log, where it wants to begin means nothing.
func (b *Broker) dispatcher(s *session, sub uint64, o SubscribeOptions, ahead bool) (*dispatcher, error) {
	key := o.Name
	if key == "" {
		key = fmt.Sprintf(".%q/%q/%d", s.client, s.run, sub) // no name has a dot
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed.Load() {
		return nil, ErrClosed
	}
	if d := b.dispatchers[key]; d != nil {
		if differs := o.differs(d.options); differs != "" {
			return nil, errors.New(differs)
		}
		return d, nil
	}
	from := o.From
	switch {
	case ahead && o.Reset == ResetLatest, from.IsZero() && o.FromNow:
		from = b.Log.Head()
	case ahead, from.IsZero():
		from = b.Log.Tail()
	}
	d := newDispatcher(b, key, o, from)
	if ahead {
		d.g.lose(0, eventlog.ReasonFuture)
	}
	if o.Name != "" {
		st := d.state()
		if err := b.Store.save(key, &o, st.encode()); err != nil {
			return nil, &failure{err}
		}
	}
	b.start(d, true)
	return d, nil
}
