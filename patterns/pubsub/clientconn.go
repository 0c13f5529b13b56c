package pubsub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/retry"
)

// loop keeps a connection until the client is closed, fenced, or refused for good.
func (c *Client) loop() {
	defer close(c.done)
	failures := 0
	for attempt := uint64(1); ; attempt++ {
		worked, err := c.connect(attempt)
		if worked {
			failures = 0
		}
		if c.ctx.Err() != nil || c.final() != nil {
			return
		}
		status := (*retry.StatusError)(nil)
		if errors.Is(err, ErrFenced) || errors.As(err, &status) && !retry.Temporary(status.Status) {
			c.Logger.Warn("the client ends", "client", c.ID, "error", err)
			c.mu.Lock()
			c.fail(err)
			c.mu.Unlock()
			return
		}
		failures++
		delay := c.backoff.Delay(failures, c.Jitter)
		c.Logger.Debug("no connection", "client", c.ID, "error", err, "delay", delay)
		if c.OnRetry != nil {
			c.OnRetry(err, delay)
		}
		pause := time.NewTimer(delay)
		select {
		case <-pause.C:
		case <-c.gone:
			pause.Stop()
			return
		}
	}
}

// connect opens one connection and reads from it until it ends. It reports whether that was of any
// use: one that always ends before the first message has come through is tried less and less often.
func (c *Client) connect(attempt uint64) (worked bool, err error) {
	ctx, cancel := context.WithTimeout(c.ctx, c.DialTimeout)
	token := ""
	if c.Token != nil {
		if token, err = c.Token(ctx); err != nil {
			cancel()
			return false, fmt.Errorf("pubsub: Client.Token: %w", err)
		}
	}
	conn, err := c.DialContext(ctx, "tcp", c.Addr)
	cancel()
	if err != nil {
		return false, err
	}
	// What the broker sends may be larger than what it takes now.
	l := newLink(conn, c.DialTimeout, maxMessageBytes+frameOverhead)
	defer l.close()
	stop := context.AfterFunc(c.ctx, l.close)
	defer stop()

	c.mu.Lock()
	hello := control{Type: typeHello, Version: protocolVersion, Client: c.ID, Token: token, Run: c.run, Attempt: attempt}
	for _, s := range c.order() {
		if s.hasBegun() {
			hello.Keep = append(hello.Keep, s.id)
		}
	}
	c.mu.Unlock()
	if err := l.writeAll(hello.frame()); err != nil {
		return false, err
	}
	welcome, err := l.welcome()
	if err != nil {
		return false, err
	}
	switch {
	case welcome.Type != typeWelcome:
		return false, refusal(welcome)
	case welcome.Version != protocolVersion:
		return false, fmt.Errorf("pubsub: the broker speaks version %d of the protocol, and the client version %d",
			max(welcome.Version, 1), protocolVersion)
	case welcome.SessionTimeout <= 0 || welcome.SessionTimeout > maxSessionTimeout,
		welcome.MaxMessageBytes <= 0 || welcome.MaxMessageBytes > maxMessageBytes:
		return false, fmt.Errorf("pubsub: the broker's welcome: SessionTimeout %v, want up to %v; MaxMessageBytes %d, want up to %d",
			welcome.SessionTimeout, maxSessionTimeout, welcome.MaxMessageBytes, maxMessageBytes)
	}
	l.timeout.Store(int64(welcome.SessionTimeout))
	conn.SetReadDeadline(time.Now().Add(welcome.SessionTimeout))
	if !c.use(l, welcome) {
		return false, ErrClosed
	}
	c.Logger.Debug("connected", "client", c.ID, "remote", conn.RemoteAddr())
	written := make(chan struct{})
	go func() {
		defer close(written)
		l.write(welcome.SessionTimeout / 3)
	}()
	defer func() {
		c.lost()
		l.close()
		<-written
	}()
	for {
		kind, body, err := l.next()
		if err == nil {
			err = c.handle(kind, body)
		}
		if err != nil {
			return worked, err
		}
		worked = worked || kind != kindControl
	}
}

// welcome reads the answer to a hello, and says that this process is alive if the broker
// asks, because another of the same ID has a session.
func (l *link) welcome() (m control, err error) {
	kind, body, err := l.next()
	for err == nil && kind == kindPing {
		if err = l.writeAll(frame(kindPong)); err == nil {
			kind, body, err = l.next()
		}
	}
	if err != nil {
		return m, err
	}
	if kind != kindControl {
		return m, fmt.Errorf("pubsub: a frame of kind %q, want %q", kind, kindControl)
	}
	return m, json.Unmarshal(body, &m)
}

// refusal is the error that a broker's goodbye means.
func refusal(m control) error {
	switch {
	case m.Type == typeGoodbye && m.Error == errFencedText:
		return ErrFenced
	case m.Status != 0:
		return fmt.Errorf("pubsub: %w", &retry.StatusError{Status: m.Status, Text: m.Error})
	}
	return fmt.Errorf("pubsub: the broker: %s %s", m.Type, m.Error)
}

// use takes a connection into use: subscriptions first, then what was not answered.
func (c *Client) use(l *link, welcome control) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return false
	}
	c.link, c.maxMessage = l, welcome.MaxMessageBytes
	c.stats.Connects++
	for _, s := range c.order() {
		if s.ended() { // after hello, or while there was no connection
			l.send(control{Type: typeUnsubscribe, Sub: s.id}.frame())
			continue
		}
		l.send(s.subscribe())
	}
	for _, request := range c.requests() {
		one := c.calls[request]
		if one.publishes {
			if err := checkSize(one.size, c.maxMessage); err != nil { // the client knows only now
				c.answer(request, answer{err: err})
				continue
			}
		}
		one.sent = true
		l.send(one.frame)
	}
	return true
}

// lost says that there is no connection.
func (c *Client) lost() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link, c.acks, c.ackCount = nil, nil, 0 // the broker learns on return what was acknowledged
}

// forget says that the broker knows nothing of a subscription any more.
func (c *Client) forget(s *Subscription) {
	if _, known := c.subs[s.id]; known {
		delete(c.subs, s.id)
		close(s.left)
	}
}

// handle does what a frame says.
func (c *Client) handle(kind byte, body []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := decoder{b: body}
	switch kind {
	case kindPong:
	case kindConfirm:
		request := d.uvarint()
		r := Receipt{Cursor: eventlog.Cursor{Epoch: d.uvarint(), Offset: d.uvarint()}, Duplicate: d.uvarint() == 1}
		if d.err == nil {
			c.answer(request, answer{receipt: r})
		}
	case kindSettled:
		request, o := d.uvarint(), outcome(d.uvarint())
		if d.err == nil {
			c.answer(request, answer{err: o.err()})
		}
	case kindDeliver:
		if s := c.subs[d.uvarint()]; s != nil && !s.ended() {
			return s.delivered(&d)
		}
	case kindAsk:
		if sub, number := d.uvarint(), d.uvarint(); d.err == nil && c.link != nil {
			c.link.send(frame(kindArrived, sub, number))
		}
	case kindGap:
		if s := c.subs[d.uvarint()]; s != nil && !s.ended() {
			return s.gap(&d)
		}
	case kindControl:
		var m control
		if err := json.Unmarshal(body, &m); err != nil {
			return fmt.Errorf("pubsub: a control frame: %w", err)
		}
		return c.control(m)
	default:
		return fmt.Errorf("pubsub: a frame of kind %q", kind)
	}
	return d.err
}

func (c *Client) control(m control) error {
	s := c.subs[m.Sub]
	var err error
	switch {
	case m.Status == http.StatusRequestEntityTooLarge:
		err = fmt.Errorf("pubsub: the broker: %w", eventlog.ErrTooLarge)
	case m.Status != 0:
		err = fmt.Errorf("pubsub: %w", &retry.StatusError{Status: m.Status, Text: m.Error})
	case m.Error != "":
		err = errors.New("pubsub: " + strings.TrimPrefix(m.Error, "pubsub: "))
	}
	switch {
	case m.Type == typeDelete, m.Type == typeRefused && m.Request != 0:
		c.answer(m.Request, answer{err: err})
	case m.Type == typeGoodbye:
		return refusal(m)
	case s == nil: // left meanwhile
	case m.Type == typeSubscribed:
		s.subscribed(m)
	case m.Type == typeUnsubscribe:
		c.forget(s)
	case m.Type == typeRefused:
		s.end(err)
		c.forget(s)
	default:
		return fmt.Errorf("pubsub: a control frame of type %q", m.Type)
	}
	return nil
}

// ack queues the acknowledgement of a delivery. The caller has c.mu.
func (c *Client) ack(d *Delivery, v verb, pause time.Duration, soon bool) {
	if c.link == nil {
		return // the broker learns of it on return
	}
	c.acks = d.appendFrame(c.acks, 0, v, pause)
	c.ackCount++
	switch {
	case soon || c.AckDelay < 0:
		c.flush()
	case c.ackCount == 1:
		c.ackTimer = time.AfterFunc(c.AckDelay, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.flush()
		})
	}
}

// flush sends the acknowledgements that wait. The caller has c.mu.
func (c *Client) flush() {
	if c.ackTimer != nil {
		c.ackTimer.Stop()
	}
	if c.link != nil && len(c.acks) > 0 {
		c.link.send(c.acks)
	}
	if c.acks, c.ackCount = c.acks[:0], 0; cap(c.acks) > largeBuffer {
		c.acks = nil
	}
}
