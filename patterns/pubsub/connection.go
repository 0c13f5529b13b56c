package pubsub

import (
	"container/list"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"
)

// maxFenced bounds how many earlier runs of a client a session remembers.
const maxFenced = 16

// connection is one connection of a client.
type connection struct {
	*link
	b        *Broker
	session  *session
	welcomed atomic.Bool

	// While it is in its handshake, guarded by b.mu.
	waiting *list.Element // among b.handshakes
	limit   *time.Timer   // closes it
}

// run reads until the connection ends.
func (c *connection) run() {
	defer c.close()
	hello, err := c.hello()
	if err != nil {
		return
	}
	refusal := ""
	if hello.Version != protocolVersion {
		refusal = fmt.Sprintf("the client speaks version %d of the protocol, and the broker version %d", max(hello.Version, 1), protocolVersion)
	} else {
		refusal = c.b.admit(c, hello)
	}
	if refusal != "" { // and the limit of the handshake goes on
		c.finish(control{Type: typeGoodbye, Error: refusal}.frame())
		c.drain()
		return
	}
	c.b.greeted(c)
	defer c.session.lost(c)
	for {
		kind, body, err := c.next()
		switch {
		case err == nil:
			err = c.session.work(c, kind, body)
		case !errors.Is(err, errProtocol):
			return
		}
		if errors.Is(err, errGoodbye) {
			c.session.end(nil)
			return
		}
		if err != nil {
			c.finish(control{Type: typeGoodbye, Error: err.Error()}.frame())
			c.drain()
			return
		}
	}
}

// drain reads on until the other side or the writer has closed: to close with unread
// data would reset the connection, and the last frame be lost.
func (c *connection) drain() { io.Copy(io.Discard, c.reader) }

func (c *connection) hello() (control, error) {
	var m control
	kind, body, err := c.next()
	if err != nil {
		return m, err
	}
	if kind != kindControl || json.Unmarshal(body, &m) != nil || m.Type != typeHello || m.Client == "" || m.Run == "" ||
		len(m.Client) > maxTopicBytes || len(m.Run) > maxTopicBytes {
		return m, errProtocol
	}
	return m, nil
}

// errFencedText and errStaleText are what a goodbye says to a client that must not come
// back, and to a connection that was overtaken by a later one.
const (
	errFencedText = "fenced"
	errStaleText  = "a later connection is there"
)

// alive asks the client whether it still is.
func (c *connection) alive() bool {
	c.send(frame(kindPing))
	kind, _, err := c.next()
	return err == nil && kind == kindPong
}

// admit gives a connection its session. It returns why not.
func (b *Broker) admit(c *connection, hello control) (refusal string) {
	var asked *session // the one that the client is known to have outlived
	for {
		b.mu.Lock()
		old := b.sessions[hello.Client]
		if b.closed {
			b.mu.Unlock()
			return "the broker is closing"
		}
		s := old
		switch {
		case old != nil && slices.Contains(old.fenced, hello.Run):
			b.mu.Unlock()
			return errFencedText
		case old != nil && old.run != hello.Run && old != asked:
			b.mu.Unlock()
			// What a process sent before it died may come to be read after the hello of
			// the next one, and must not fence that.
			if !c.alive() {
				return "no answer to a ping"
			}
			asked = old
			continue
		case old == nil || old.run != hello.Run:
			if old == nil && b.opts.MaxClients > 0 && len(b.sessions) >= b.opts.MaxClients {
				b.mu.Unlock()
				return "too many clients"
			}
			s = &session{b: b, client: hello.Client, run: hello.Run, seats: map[uint64]*seat{}}
			if old != nil {
				s.fenced = append(slices.Clone(old.fenced), old.run)
				s.fenced = s.fenced[max(0, len(s.fenced)-maxFenced):]
				b.stats.Fenced++
			}
			b.sessions[hello.Client] = s
		}
		b.mu.Unlock()
		if old != nil && old != s {
			old.end(control{Type: typeGoodbye, Error: errFencedText}.frame())
		}
		switch attached, stale := s.attach(c, hello); {
		case attached:
			return ""
		case stale:
			return errStaleText
		}
		// The session ended meanwhile: look again.
	}
}
