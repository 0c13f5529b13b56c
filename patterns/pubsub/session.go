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
	left := s.b.set.SessionTimeout - time.Duration(time.Now().UnixNano()-c.heard.Load())
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

// work does what a frame asks for.
func (s *session) work(c *connection, kind byte, body []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != c {
		return errors.New(errStaleText)
	}
	d := decoder{b: body}
	switch kind {
	case kindPing:
		c.send(frame(kindPong))
	case kindPublish:
		request := d.uvarint()
		m := Message{Topic: d.text()}
		m.TTL = time.Duration(d.uvarint())
		if d.err == nil {
			d.err = m.decode(d.b)
		}
		if d.err == nil {
			s.published(c, request, m)
		}
	case kindSettle:
		sub, request, generation := d.uvarint(), d.uvarint(), d.uvarint()
		what := delivery{d.uvarint(), d.attempt()}
		v, pause := verb(d.number(uint64(verbExtend))), time.Duration(d.number(uint64(maxWait)))
		if d.err != nil {
			return fmt.Errorf("%w: %w", errProtocol, d.err)
		}
		if m := s.memberships[sub]; m != nil {
			m.settle(m.member, generation, what, v, pause, request, c)
		} else if request != 0 {
			c.send(settled(request, outcomeFenced))
		}
	case kindTold:
		sub, number := d.uvarint(), d.uvarint()
		if m := s.memberships[sub]; m != nil && d.err == nil {
			m.wasTold(m.member, number)
		}
	case kindControl:
		var m control
		if err := json.Unmarshal(body, &m); err != nil {
			return fmt.Errorf("%w: %v", errProtocol, err)
		}
		return s.control(c, m)
	default:
		return errProtocol
	}
	return d.err
}

func (s *session) published(c *connection, request uint64, m Message) {
	r, err := Receipt{}, error(nil)
	if !c.identity.MayPublish(m.Topic) {
		err = fmt.Errorf("%w: publish under topic %q", access.ErrForbidden, m.Topic)
	} else {
		r, err = s.b.Publish(context.Background(), m)
	}
	switch {
	case errors.Is(err, ErrDraining), errors.Is(err, ErrClosed):
		return // the client asks again, on its next connection
	case err != nil:
		c.send(refused(err, control{Request: request}))
		return
	}
	duplicate := 0
	if r.Duplicate {
		duplicate = 1
	}
	c.send(frame(kindConfirm, request, r.Cursor.Epoch, r.Cursor.Offset, duplicate))
}

// refused says that what m names is not done, and why.
func refused(err error, m control) []byte {
	m.Type, m.Error = typeRefused, err.Error()
	switch {
	case errors.Is(err, access.ErrForbidden):
		m.Status = http.StatusForbidden
	case errors.Is(err, eventlog.ErrTooLarge):
		m.Status = http.StatusRequestEntityTooLarge
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
			c.send(refused(err, control{Sub: m.Sub}))
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
			err = s.b.Delete(m.Name)
		}
		if err != nil {
			c.send(refused(err, control{Request: m.Request}))
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
	if b.closed {
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
			return nil, err
		}
	}
	b.start(d)
	return d, nil
}
