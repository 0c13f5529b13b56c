package pubsub

import (
	"container/list"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/internal/guard"
	"github.com/squall-sim/squall/patterns/retry"
)

// maxFenced bounds how many earlier runs of a client a session remembers.
const maxFenced = 16

// connection is one connection of a client.
type connection struct {
	*link
	b        *Broker
	session  *session
	identity access.Identity // of its client
	expiry   *time.Timer     // of the identity; nil: never
	welcomed atomic.Bool

	// Of the frames that were read together, the reader's own.
	batch   []publication // to be stored
	replies []byte        // frames
	touched []*dispatcher // that have something to do

	// The last topic that was published under, whether it is one, and whether the client
	// may.
	topic    string
	topicErr error

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
	err = c.b.accept(c, hello)
	if c.expiry != nil { // of one that is refused too: the timer would hold the connection's memory
		defer c.expiry.Stop()
	}
	if err != nil { // and the limit of the handshake goes on
		goodbye := control{Type: typeGoodbye, Error: err.Error()}
		if r := (*rejection)(nil); errors.As(err, &r) {
			goodbye.Error, goodbye.Status = r.Text, r.Status
		}
		c.b.Logger.Warn("a client is refused", "client", hello.Client, "remote", c.conn.RemoteAddr(), "error", err)
		c.finish(goodbye.frame())
		c.drain() // to close with unread data would reset the connection, and the last frame be lost
		return
	}
	c.b.greeted(c)
	c.b.Logger.Debug("a client connects", "client", hello.Client, "remote", c.conn.RemoteAddr())
	defer c.session.lost(c)
	for {
		kind, body, err := c.next()
		switch {
		case err == nil && c.identity.Expired(): // a client that does not read holds up the goodbye
			err = errors.New(errExpiredText)
		case err == nil:
			err = c.session.work(c, kind, body)
		case !errors.Is(err, errProtocol):
			c.b.Logger.Debug("a connection ends", "client", hello.Client, "remote", c.conn.RemoteAddr(), "error", err)
			return
		}
		if err != nil || !c.more() {
			if flushed := c.session.flush(c); err == nil {
				err = flushed
			}
		}
		if errors.Is(err, errGoodbye) {
			c.session.end(nil)
			return
		}
		c.awaitReader()
		if err != nil {
			c.b.Logger.Warn("a client is sent away", "client", hello.Client, "remote", c.conn.RemoteAddr(), "error", err)
			c.finish(control{Type: typeGoodbye, Error: err.Error()}.frame())
			c.drain()
			return
		}
	}
}

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

const errExpiredText = "the credentials have expired"

// alive asks the client whether it still is.
func (c *connection) alive() bool {
	c.send(frame(kindPing))
	kind, _, err := c.next()
	return err == nil && kind == kindPong
}

// accept finds out who a client is, and gives its connection a session. It returns why
// not.
func (b *Broker) accept(c *connection, hello control) error {
	if hello.Version != protocolVersion {
		return fmt.Errorf("the client speaks version %d of the protocol, and the broker version %d", max(hello.Version, 1), protocolVersion)
	}
	c.identity = access.Everything(hello.Client)
	if b.Authenticate != nil {
		if err := b.authenticate(c, hello); err != nil {
			return err
		}
	}
	if why := b.admit(c, hello); why != "" {
		return errors.New(why)
	}
	return nil
}

// rejection is why a client is refused: the error that it gets, and the one that is logged.
type rejection struct {
	*retry.StatusError
	cause error
}

func (r *rejection) Error() string { return r.cause.Error() }

// authenticate asks who a client is. The error is a [*rejection].
func (b *Broker) authenticate(c *connection, hello control) error {
	ctx, cancel := context.WithTimeout(b.ctx, b.set.HandshakeTimeout)
	defer cancel()
	id, err := b.ask(ctx, Hello{Client: hello.Client, Token: hello.Token, Remote: c.conn.RemoteAddr()})
	if err == nil {
		err = id.Check()
	}
	switch {
	case err != nil:
	case id.Expired():
		err = fmt.Errorf("%w: the credentials have expired", access.ErrUnauthorized)
	case id.Client != "" && id.Client != hello.Client:
		err = fmt.Errorf("%w: the credentials are of another client", access.ErrForbidden)
	default:
		c.identity = id
		if !id.Expires.IsZero() {
			c.expiry = time.AfterFunc(time.Until(id.Expires), func() {
				c.finish(control{Type: typeGoodbye, Error: errExpiredText}.frame())
			})
		}
		return nil
	}
	told := &retry.StatusError{Status: access.Status(err)}
	switch {
	case errors.Is(err, access.ErrForbidden), errors.Is(err, access.ErrUnauthorized):
		told.Text = err.Error()
	case errors.As(err, &told):
	default: // the client gets to know no more than that
		told.Text = http.StatusText(told.Status)
	}
	return &rejection{told, err}
}

// ask calls Authenticate. If that panics the client is refused for now.
func (b *Broker) ask(ctx context.Context, h Hello) (id access.Identity, err error) {
	err = guard.Call(b.Logger, "pubsub: Broker.Authenticate", func() (err error) {
		id, err = b.Authenticate(ctx, h)
		return err
	}, "client", h.Client)
	return id, err
}

// admit gives a connection its session. It returns why not.
func (b *Broker) admit(c *connection, hello control) (why string) {
	var asked *session // the one that the client is known to have outlived
	for {
		b.mu.Lock()
		old := b.sessions[hello.Client]
		if b.closed.Load() {
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
			if old == nil && b.set.MaxClients > 0 && len(b.sessions) >= b.set.MaxClients {
				b.mu.Unlock()
				return "too many clients"
			}
			s = &session{b: b, client: hello.Client, run: hello.Run, memberships: map[uint64]*membership{}}
			if old != nil {
				s.fenced = append(slices.Clone(old.fenced), old.run)
				s.fenced = s.fenced[max(0, len(s.fenced)-maxFenced):]
				b.stats.Fenced++
			}
			b.sessions[hello.Client] = s
		}
		b.mu.Unlock()
		if old != nil && old != s {
			b.Logger.Warn("a client is fenced by another of its ID", "client", hello.Client)
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
