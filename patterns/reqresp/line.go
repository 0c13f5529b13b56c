package reqresp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// A line is the connection of a Client with Dial.
type line struct {
	client *Client
	turn   chan struct{} // held while a connection is looked for or dialled

	mu   sync.Mutex
	conn *lineConn // the last one
}

// A lineConn is one connection, with the calls that wait on it.
type lineConn struct {
	client *Client
	conn   net.Conn
	out    chan []byte   // frames, taken by the goroutine that writes
	nudged chan struct{} // there is something in small
	gone   chan struct{} // closed when the connection has failed, and all goroutines know
	born   time.Time

	mu      sync.Mutex
	last    uint64 // number of the last request
	waiting map[uint64]chan reply
	small   []byte // frames that do not wait to be taken: cancels and pings
	closing bool   // no more requests
	err     error  // why it has failed
	heard   time.Time
	pinged  bool // since it was heard
	suspect bool // a call has ended without an answer, and nothing was heard since it began
	watch   *time.Timer
}

// A reply is an answer, or one that was too long.
type reply struct {
	answer *Response
	err    error
}

func (a reply) judge(r *Request) result {
	if a.err != nil {
		return result{err: a.err, final: true}
	}
	return judge(a.answer, r.Key != "")
}

var errSilent = errors.New("connection is silent")

// attempt makes an attempt.
func (l *line) attempt(ctx context.Context, r *Request, header http.Header) result {
	c, err := l.get(ctx)
	if err != nil {
		return result{err: err, outcome: NotExecuted}
	}
	path, _, _ := strings.Cut(r.Path, "#") // as net/http does, which sends no fragment
	if path == "" || path[0] == '?' {
		path = "/" + path
	}
	header.Set(HeaderTimeout, formatTimeout(l.client.left(ctx)))
	id, answer := c.expect()
	defer c.forget(id)
	text, err := appendMessage(nil, frameRequest, id, requestHead{r.Method, path, header}, r.Body)
	if err != nil {
		return result{err: err, outcome: NotExecuted, final: true}
	}
	// Until the frame is taken nothing of it has left, and from then on it is written, whatever becomes of the call.
	select {
	case c.out <- text:
	case <-c.gone:
		return result{err: c.failure(), outcome: NotExecuted}
	case <-ctx.Done():
		return result{err: ctx.Err(), outcome: NotExecuted}
	}
	sent := time.Now()
	select {
	case a := <-answer:
		return a.judge(r)
	case <-c.gone:
		select {
		case a := <-answer: // it had come before
			return a.judge(r)
		default:
			return result{err: c.failure()}
		}
	case <-ctx.Done():
		c.gaveUp(id, sent)
		return result{err: ctx.Err()}
	}
}

// get returns a connection that accepts requests. It does not wait for Dial after ctx is
// done.
func (l *line) get(ctx context.Context) (*lineConn, error) {
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	l.mu.Lock()
	c := l.conn
	l.mu.Unlock()
	if c != nil && c.takes() {
		<-l.turn
		return c, nil
	}
	dialled := make(chan error, 1)
	go func() {
		conn, err := l.client.Dial(ctx)
		if err == nil {
			c = startLine(l.client, conn)
			l.mu.Lock()
			l.conn = c
			l.mu.Unlock()
		}
		dialled <- err
		<-l.turn
	}()
	select {
	case err := <-dialled:
		return c, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// close closes the connection, if there is one.
func (l *line) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn != nil {
		l.conn.fail(net.ErrClosed)
	}
}

func startLine(client *Client, conn net.Conn) *lineConn {
	c := &lineConn{client: client, conn: conn, out: make(chan []byte), nudged: make(chan struct{}, 1),
		gone: make(chan struct{}), waiting: map[uint64]chan reply{}, small: []byte(preface), born: time.Now()}
	go c.write() // the preface goes with the first request
	go c.read()
	return c
}

// takes reports whether the connection accepts requests.
func (c *lineConn) takes() bool {
	c.mu.Lock()
	old := c.client.MaxConnAge > 0 && time.Since(c.born) >= c.client.MaxConnAge
	c.closing = c.closing || old
	takes, over := c.err == nil && !c.closing, c.closing && len(c.waiting) == 0
	c.mu.Unlock()
	if over {
		c.fail(net.ErrClosed)
	}
	return takes
}

// expect returns the number for a request, and the channel for its answer.
func (c *lineConn) expect() (id uint64, answer chan reply) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	answer = make(chan reply, 1)
	if len(c.waiting) == 0 && !c.suspect {
		c.heard, c.pinged = time.Now(), false // nothing was to be heard
		c.listen()
	}
	c.waiting[c.last] = answer
	return c.last, answer
}

// forget drops an answer that arrives from now on. If the connection is closing, the last such
// call closes it.
func (c *lineConn) forget(id uint64) {
	c.mu.Lock()
	delete(c.waiting, id)
	over := c.closing && len(c.waiting) == 0
	c.mu.Unlock()
	if over {
		c.fail(net.ErrClosed)
	}
}

// gaveUp cancels a call that was sent at that time and has ended without an answer. If nothing has
// arrived since then, the connection is suspect, and it pings the other side. If a ping was
// unanswered already, for half of Silence, the connection takes no further requests, which use
// another one. Both frames are queued before the writer is woken, so that they go out in one write.
func (c *lineConn) gaveUp(id uint64, sent time.Time) {
	c.mu.Lock()
	c.small = appendFrame(c.small, frameCancel, id, nil)
	silent := c.err == nil && !c.heard.After(sent)
	if silent && !c.pinged {
		c.small = appendFrame(c.small, framePing, 0, nil)
	}
	if silent {
		c.closing = c.closing || c.pinged && time.Since(c.heard) >= c.client.Silence/2
		c.suspect, c.pinged = true, true
		if len(c.waiting) == 0 {
			c.watch.Reset(c.client.Silence - time.Since(c.heard))
		}
	}
	c.mu.Unlock()
	c.nudge()
}

// listen checks for signs of life while calls wait. c.mu is held.
func (c *lineConn) listen() {
	half := c.client.Silence / 2
	if c.watch == nil {
		c.watch = time.AfterFunc(half, c.look)
	} else {
		c.watch.Reset(half)
	}
}

func (c *lineConn) look() {
	c.mu.Lock()
	silent, half := time.Since(c.heard), c.client.Silence/2
	waits := (len(c.waiting) > 0 || c.suspect) && c.err == nil
	ping := waits && !c.pinged && silent >= half
	dead := waits && silent >= c.client.Silence
	switch {
	case dead || !waits:
	case ping, c.pinged:
		c.pinged = true
		c.watch.Reset(c.client.Silence - silent)
	default:
		c.watch.Reset(half - silent)
	}
	c.mu.Unlock()
	switch {
	case dead:
		c.fail(fmt.Errorf("%w for %v", errSilent, c.client.Silence))
	case ping:
		c.ping()
	}
}

// ping pings the other side, and does not wait for the answer.
func (c *lineConn) ping() {
	c.mu.Lock()
	c.small = appendFrame(c.small, framePing, 0, nil)
	c.mu.Unlock()
	c.nudge()
}

func (c *lineConn) nudge() {
	select {
	case c.nudged <- struct{}{}:
	default:
	}
}

// write writes frames until the connection has failed.
func (c *lineConn) write() {
	for {
		var text []byte
		select {
		case text = <-c.out:
		case <-c.nudged:
		case <-c.gone:
			return
		}
		c.mu.Lock()
		text = append(c.small, text...)
		c.small = nil
		c.mu.Unlock()
		c.conn.SetWriteDeadline(time.Now().Add(c.client.Silence))
		if _, err := c.conn.Write(text); err != nil {
			c.fail(err)
			return
		}
	}
}

// read hands out answers until the connection has failed.
func (c *lineConn) read() {
	from := bufio.NewReader(c.conn)
	err := readPreface(from)
	for err == nil {
		var f frame
		if f, err = readFrame(from, c.client.MaxAnswerBytes, func() {}); err == nil {
			err = c.got(f)
		}
	}
	c.fail(err)
}

// got handles a frame of the server.
func (c *lineConn) got(f frame) error {
	c.mu.Lock()
	c.heard, c.pinged, c.suspect = time.Now(), false, false
	over := false
	defer func() {
		c.mu.Unlock()
		if over {
			c.fail(net.ErrClosed)
		}
	}()
	switch f.kind {
	case framePong:
		return nil
	case frameGoAway:
		c.closing = true
		over = len(c.waiting) == 0
		return nil
	case frameAnswer:
	default:
		return fmt.Errorf("server sent a frame of kind %d", f.kind)
	}
	if f.id == 0 || f.id > c.last {
		return fmt.Errorf("server answered request %d, and the last one was %d", f.id, c.last)
	}
	answer, err := f.answer(c.client.MaxAnswerBytes)
	if err != nil && !errors.Is(err, eventlog.ErrTooLarge) {
		return err
	}
	waits, ok := c.waiting[f.id]
	if !ok { // nobody waits for it any more, or it has come before
		c.client.stats.dropped.Add(1)
		return nil
	}
	delete(c.waiting, f.id)
	waits <- reply{answer, err}
	return nil
}

// fail ends the connection, once.
func (c *lineConn) fail(err error) {
	c.mu.Lock()
	first := c.err == nil
	if first {
		c.err = err
		if c.watch != nil {
			c.watch.Stop()
		}
	}
	c.mu.Unlock()
	if first {
		c.conn.Close()
		close(c.gone)
	}
}

func (c *lineConn) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}
