package patterntest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
)

// Publishers of the ledger, on hosts of their own, and the flaws in them.

// A letter is an event of a publisher, and what it gets as an answer.
type letter struct {
	ID   string
	Data []byte
}

// letters takes what a publisher sends, until the connection ends.
func (s *ledgerServer) letters(c *session, in *json.Decoder) {
	for out := json.NewEncoder(c); ; {
		var l letter
		if in.Decode(&l) != nil {
			return
		}
		s.take(s, c, l)
		if out.Encode(letter{ID: l.ID}) != nil {
			return
		}
	}
}

// keep stores a letter.
func (s *ledgerServer) keep(l letter) { s.accept(s, entry{Data: l.Data, At: time.Now()}) }

// isNew says whether a letter has not come before.
func (s *ledgerServer) isNew(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.seen[id]
	s.seen[id] = true
	return !old
}

func takeOnce(s *ledgerServer, _ *session, l letter) {
	if s.isNew(l.ID) {
		s.keep(l)
	}
}

// publishing is a publisher's process.
type publishing struct {
	patterntest.Outbox
	ctx    context.Context
	h      *sim.Host
	name   string
	random *rand.Rand
	conn   net.Conn // nil: it has to dial
	tries  int
}

func (p *publishing) close() {
	if p.conn != nil {
		p.conn.Close()
		p.conn = nil
	}
}

// pause waits before the next attempt.
func (p *publishing) pause() {
	p.close()
	sleep(p.ctx, time.Second/2+time.Duration(p.random.Int64N(int64(time.Second))))
}

// sendNext sends the next letter, until it is answered.
func sendNext(p *publishing) {
	id, data, err := p.Next(p.ctx)
	if err != nil {
		return
	}
	if p.send(p.name+"/"+id, data) != nil {
		p.pause()
		return
	}
	p.Accepted(id)
}

// send sends a letter and waits for the answer.
func (p *publishing) send(id, data string) (err error) {
	p.tries++
	if p.conn == nil {
		ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
		defer cancel()
		if p.conn, err = p.h.DialContext(ctx, "tcp", "server:80"); err != nil {
			p.conn = nil
			return err
		}
		if err := json.NewEncoder(p.conn).Encode(hello{Publishes: true}); err != nil {
			return err
		}
	}
	conn := p.conn
	defer context.AfterFunc(p.ctx, func() { conn.Close() })()
	p.conn.SetDeadline(time.Now().Add(10 * time.Second))
	if err := json.NewEncoder(p.conn).Encode(letter{id, []byte(data)}); err != nil {
		return err
	}
	return json.NewDecoder(p.conn).Decode(new(letter))
}

// withNewID names each attempt anew.
func withNewID(p *publishing) {
	id, data, err := p.Next(p.ctx)
	if err != nil {
		return
	}
	if p.send(fmt.Sprint(p.name, "/", id, "/", p.tries), data) != nil {
		p.pause()
		return
	}
	p.Accepted(id)
}

// triesTwice takes an event for sent that it could not send.
func triesTwice(p *publishing) {
	id, data, err := p.Next(p.ctx)
	if err != nil {
		return
	}
	for range 2 {
		if p.send(p.name+"/"+id, data) == nil {
			break
		}
		p.pause()
	}
	if p.ctx.Err() == nil {
		p.Accepted(id)
	}
}

// sendsAndForgets does not wait for answers.
func sendsAndForgets(p *publishing) {
	id, data, err := p.Next(p.ctx)
	if err != nil {
		return
	}
	if p.conn == nil && p.send(p.name+"/"+id, data) != nil {
		p.pause()
		return
	}
	p.conn.SetDeadline(time.Time{})
	if json.NewEncoder(p.conn).Encode(letter{p.name + "/" + id, []byte(data)}) != nil {
		p.pause()
		return
	}
	p.Accepted(id)
}

// aside lets an event that could not be sent wait, and goes on with the next.
func aside() func(*publishing) {
	return func(p *publishing) {
		id, data, err := p.Next(p.ctx)
		if err != nil {
			return
		}
		if p.send(p.name+"/"+id, data) != nil {
			p.pause()
			later := &publishing{ctx: p.ctx, h: p.h, name: p.name, random: rand.New(rand.NewPCG(p.random.Uint64(), 0))}
			go func() {
				defer later.close()
				for sleep(p.ctx, 20*time.Second); p.ctx.Err() == nil && later.send(p.name+"/"+id, data) != nil; {
					later.pause()
				}
			}()
		}
		p.Accepted(id)
	}
}

func takeAll(s *ledgerServer, _ *session, l letter) { s.keep(l) }

// takeOncePerConnection looks no further back than that.
func takeOncePerConnection(s *ledgerServer, c *session, l letter) {
	if s.isNew(c.RemoteAddr().String() + l.ID) {
		s.keep(l)
	}
}

// takeLater answers at once and stores after that.
func takeLater(s *ledgerServer, _ *session, l letter) {
	if s.isNew(l.ID) {
		s.running.Go(func() {
			sleep(s.ctx, 100*time.Millisecond)
			if s.ctx.Err() == nil {
				s.keep(l)
			}
		})
	}
}

// seenFirst notes that a letter has come before it stores it, and takes 50 ms.
func seenFirst(s *ledgerServer, _ *session, l letter) {
	if s.isNew(l.ID) {
		sleep(s.ctx, 50*time.Millisecond)
		if s.ctx.Err() == nil {
			s.keep(l)
		}
	}
}

// forgetsLetters has what was stored, and not from whom.
func forgetsLetters(s *ledgerServer) { s.seen = map[string]bool{} }

// What the contract finds in them.
var brokenPublishers = []flaw{
	{"the server stores what comes again", ledger{outbox: sendNext, take: takeAll}.on, "publishers whose answers are lost", patterntest.Once, "e6 reached phone twice, at 4.36s and at 55.065013s (and 11 more)"},
	{"the server knows what has come over a connection", ledger{outbox: sendNext, take: takeOncePerConnection}.on, "publishers whose answers are lost", patterntest.Once, "e6 reached phone twice, at 4.36s and at 55.065013s (and 11 more)"},
	{"each attempt has an ID of its own", ledger{outbox: withNewID}.on, "publishers whose answers are lost", patterntest.Once, "e6 reached phone twice, at 4.36s and at 55.065013s (and 11 more)"},
	{"a publisher gives up after two attempts", ledger{outbox: triesTwice}.on, "publishers whose answers are lost", patterntest.Complete, "e8, accepted at 33.482664s, had not reached phone 3m0s after all faults were over, and phone was told of no gap (and 22 more)"},
	{"a publisher lets what it could not send wait", ledger{outbox: aside()}.on, "publishers whose answers are lost", patterntest.Ordered, "* reached phone at *, after *, which was published later (and * more)"},
	{"a publisher waits for no answer", ledger{outbox: sendsAndForgets}.on, "a publisher crashes before it hears the answer", patterntest.Complete, "e3, accepted at 10.8s, had not reached phone 3m0s after all faults were over, and phone was told of no gap (and 7 more)"},
	{"the server answers before it has stored", ledger{durable: true, outbox: sendNext, take: takeLater}.on, "the server restarts before a publisher hears the answer", patterntest.Complete, "e254, accepted at 3m22.8s, had not reached phone 3m0s after all faults were over, and phone was told of no gap"},
	{"the server notes that an event has come before it stores it", ledger{durable: true, outbox: sendNext, take: seenFirst}.on, "the server restarts before a publisher hears the answer", patterntest.Complete, "e245, accepted at 3m24.088795s, had not reached phone 3m0s after all faults were over, and phone was told of no gap"},
	{"the server forgets what has come when it restarts", ledger{durable: true, outbox: sendNext, begin: forgetsLetters}.on, "the server restarts before a publisher hears the answer", patterntest.Once, "e5 reached phone twice, at 3.96s and at 42.781795s (and 1 more)"},
}
