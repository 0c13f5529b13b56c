package pubsub

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// session is what a broker knows of a client. It outlives its connections, for
// SessionTimeout.
type session struct {
	b           *Broker
	client, run string   // the run names one life of the client's process
	fenced      []string // runs that must not come back

	mu      sync.Mutex // held while a frame is worked on: after a takeover no frame of the old connection has any effect. Not held across network I/O
	ended   bool
	attempt uint64
	conn    *connection // nil: it may come back
	seats   map[uint64]*seat
	timer   *time.Timer // to the end of the session
}

// seat is a place in a group that a client has, under the client's number.
type seat struct {
	pump   *pump
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
		if seat := s.seats[sub]; slices.Contains(hello.Keep, sub) {
			seat.pump.locked(func(g *group) { g.disconnect(seat.member) }) // until it says what it has
		} else {
			s.leave(sub)
		}
	}
	c.welcomed.Store(true)
	c.send(control{Type: typeWelcome, Version: protocolVersion, SessionTimeout: s.b.opts.SessionTimeout, MaxMessageBytes: s.b.opts.MaxMessageBytes}.frame())
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
		seat := s.seats[sub]
		seat.pump.locked(func(g *group) { g.disconnect(seat.member) })
	}
	left := s.b.opts.SessionTimeout - time.Duration(time.Now().UnixNano()-c.heard.Load())
	s.timer = time.AfterFunc(max(left, 1), s.expire)
}

func (s *session) expire() {
	s.mu.Lock()
	over := s.conn == nil && !s.ended
	s.mu.Unlock()
	if over && s.end(nil) {
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

// order returns the numbers of the seats in order.
func (s *session) order() []uint64 {
	var subs []uint64
	for sub := range s.seats {
		subs = append(subs, sub)
	}
	slices.Sort(subs)
	return subs
}

// leave gives up a seat.
func (s *session) leave(sub uint64) {
	seat := s.seats[sub]
	delete(s.seats, sub)
	seat.pump.locked(func(g *group) {
		g.leave(seat.member)
		seat.pump.idles(len(g.members) == 0)
	})
	if seat.pump.options.Name == "" {
		seat.pump.end()
		s.b.mu.Lock()
		defer s.b.mu.Unlock()
		delete(s.b.pumps, seat.pump.key)
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
		if seat := s.seats[sub]; seat != nil {
			seat.pump.settle(seat.member, generation, what, v, pause, request, c)
		} else if request != 0 {
			c.send(settled(request, outcomeFenced))
		}
	case kindTold:
		sub, number := d.uvarint(), d.uvarint()
		if seat := s.seats[sub]; seat != nil && d.err == nil {
			seat.pump.wasTold(seat.member, number)
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
	r, err := s.b.Publish(m)
	if err != nil {
		c.send(control{Type: typeRefused, Request: request, Error: err.Error()}.frame())
		return
	}
	duplicate := 0
	if r.Duplicate {
		duplicate = 1
	}
	c.send(frame(kindConfirm, request, r.Cursor.Epoch, r.Cursor.Offset, duplicate))
}

func (s *session) control(c *connection, m control) error {
	switch m.Type {
	case typeSubscribe:
		if m.Options == nil {
			return errProtocol
		}
		if err := s.subscribe(c, m); err != nil {
			c.send(control{Type: typeRefused, Sub: m.Sub, Error: err.Error()}.frame())
		}
	case typeUnsubscribe:
		if s.seats[m.Sub] != nil {
			s.leave(m.Sub)
		}
		c.send(m.frame())
	case typeDelete:
		m.Error = ""
		if err := s.b.Delete(m.Name); err != nil {
			m.Error = err.Error()
		}
		c.send(m.frame())
	case typeGoodbye:
		return errGoodbye
	default:
		return errProtocol
	}
	return nil
}

// subscribe gives the client a seat, or its old one back.
func (s *session) subscribe(c *connection, m control) error {
	o, err := m.Options.options()
	if err != nil {
		return err
	}
	a := attachment{conn: c, sub: m.Sub}
	if old := s.seats[m.Sub]; old != nil {
		if m.Resume == nil {
			return errProtocol
		}
		resumed := false
		old.pump.locked(func(g *group) {
			if resumed = !old.pump.ended && old.member.generation == m.Resume.Generation; resumed {
				a.sentGap, a.toldGap = m.Resume.Gap, m.Resume.Told
				g.resume(old.member, a, m.Resume, time.Now())
				old.pump.noteTold(m.Resume.Told)
				old.pump.dirty = old.pump.dirty || len(m.Resume.Acked) > 0
				back := old.pump.subscribed(old.member)
				back.Resumed = true
				old.pump.replies = append(old.pump.replies, reply{c, back.frame()})
			}
		})
		if resumed {
			return nil
		}
		s.leave(m.Sub)
	}
	head := s.b.log.Head()
	ahead := m.Resume != nil && m.Resume.Seen.Epoch == head.Epoch && m.Resume.Seen.Offset > head.Offset
	if len(s.seats) >= s.b.opts.MaxSubscriptions {
		return fmt.Errorf("this client has %d subscriptions, the most that a client may have", len(s.seats))
	}
	for joined := false; !joined; { // unless it is deleted meanwhile
		p, err := s.b.pump(s, m.Sub, o, ahead)
		if err != nil {
			return err
		}
		for _, seat := range s.seats {
			if seat.pump == p {
				return fmt.Errorf("this client has subscribed to %q already", o.Name)
			}
		}
		p.locked(func(g *group) {
			if joined = !p.ended; !joined {
				return
			}
			a.sentGap, a.toldGap = g.told, g.told
			member := g.join(s.client, a)
			p.idles(false)
			s.seats[m.Sub] = &seat{p, member}
			begin := p.subscribed(member)
			begin.Fresh = ahead
			p.replies = append(p.replies, reply{c, begin.frame()})
		})
	}
	return nil
}

// pump returns the pump of a subscription, and makes it if need be. If the subscriber is
// ahead of the log, where it wants to start means nothing.
func (b *Broker) pump(s *session, sub uint64, o SubscribeOptions, ahead bool) (*pump, error) {
	key := o.Name
	if key == "" {
		key = fmt.Sprintf("%s/%s/%d", s.client, s.run, sub)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, ErrClosed
	}
	if p := b.pumps[key]; p != nil {
		if differs := o.differs(p.options); differs != "" {
			return nil, errors.New(differs)
		}
		return p, nil
	}
	var from eventlog.Cursor
	switch {
	case ahead && o.Reset == Latest:
		from = b.log.Head()
	case o.Start.beginning, ahead:
		from = b.log.Tail()
	case o.Start.at.IsZero():
		from = b.log.Head()
	default:
		from = o.Start.at
	}
	p := newPump(b, key, o, from)
	if ahead {
		p.g.lose(0, ReasonFuture)
	}
	if o.Name != "" {
		st := p.state()
		if err := b.store.save(key, &o, st.encode()); err != nil {
			return nil, err
		}
	}
	b.start(p)
	return p, nil
}
