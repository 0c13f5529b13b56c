package reqresp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// A serverLine is a connection of Serve.
type serverLine struct {
	*Server
	conn    net.Conn
	out     chan []byte
	pong    chan struct{} // one is due
	greeted chan struct{} // closed when the preface is written, or cannot be
	room    chan struct{} // for requests: a client that takes no answers sends no more of them
	gone    chan struct{} // closed when it has ended, and all its requests

	ctx    context.Context // ends with it
	cancel func()
	all    sync.WaitGroup

	mu      sync.Mutex
	running map[uint64]func() // cancels of requests
	away    bool              // the client has been told to go
}

// refusals is how many requests beyond MaxClients a connection may have. They are refused as soon
// as the client reads the answers. Reading does not wait for requests in progress, because pings
// and cancels come after them.
const refusals = 64

// serveLine answers the requests of one connection until it ends.
func (s *Server) serveLine(conn net.Conn) {
	l := &serverLine{Server: s, conn: conn, out: make(chan []byte), pong: make(chan struct{}, 1), greeted: make(chan struct{}), gone: make(chan struct{}),
		room: make(chan struct{}, s.MaxClients+refusals), running: map[uint64]func(){}}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	s.mu.Lock()
	s.lines[l] = struct{}{}
	s.mu.Unlock()
	l.all.Go(l.write)
	l.all.Go(l.drained)
	err := l.read()
	<-l.greeted // or whether the client is greeted would be a race with one that has gone already
	s.Logger.Debug("reqresp: connection ended", "remote", conn.RemoteAddr().String(), "error", err)
	l.cancel()
	conn.Close()
	l.all.Wait()
	s.mu.Lock()
	delete(s.lines, l)
	s.mu.Unlock()
	close(l.gone)
}

// drained notifies the client when the server is being shut down.
func (l *serverLine) drained() {
	select {
	case <-l.life.Stopped():
		l.goAway()
	case <-l.ctx.Done():
	}
}

// goAway asks the client to close the connection when its requests are answered. Requests in
// transit are answered too, or refused.
func (l *serverLine) goAway() {
	l.mu.Lock()
	told := l.away
	l.away = true
	l.mu.Unlock()
	if !told {
		l.send(appendFrame(nil, frameGoAway, 0, nil))
		l.awaitFrame()
	}
}

// awaitFrame sets the deadline for the next frame, which is short for a client that was asked to
// go.
func (l *serverLine) awaitFrame() {
	l.mu.Lock()
	defer l.mu.Unlock()
	patience := l.IdleTimeout
	if l.away {
		patience = min(l.AnswerTimeout, patience)
	}
	l.conn.SetReadDeadline(time.Now().Add(patience))
}

// read reads the client's frames. An invalid frame ends the connection.
func (l *serverLine) read() error {
	from := bufio.NewReader(l.conn)
	l.conn.SetReadDeadline(time.Now().Add(l.ReadTimeout))
	if err := readPreface(from); err != nil {
		return err
	}
	for {
		l.awaitFrame()
		begun := false
		f, err := readFrame(from, l.MaxRequestBytes, func() {
			begun = true
			l.conn.SetReadDeadline(time.Now().Add(l.ReadTimeout))
		})
		switch {
		case err == nil:
			err = l.got(f)
		case !begun && errors.Is(err, os.ErrDeadlineExceeded) && l.mayStay():
			err = nil
		}
		if err != nil {
			return err
		}
	}
}

// mayStay reports whether a client that has been silent for long may stay: if it waits for answers,
// or if it has not yet been asked to go, in which case it is asked now.
func (l *serverLine) mayStay() bool {
	l.mu.Lock()
	waits, away := len(l.running) > 0, l.away
	l.mu.Unlock()
	if !waits && !away {
		l.goAway()
	}
	return waits || !away
}

// got handles a frame of the client.
func (l *serverLine) got(f frame) error {
	switch f.kind {
	case framePing:
		select {
		case l.pong <- struct{}{}:
		default: // one is due anyway
		}
		return nil
	case frameCancel:
		l.mu.Lock()
		cancel := l.running[f.id]
		l.mu.Unlock()
		if cancel != nil {
			cancel()
		}
		return nil
	case frameRequest:
		return l.begin(f)
	}
	return fmt.Errorf("client sent a frame of kind %d", f.kind)
}

// begin begins a request.
func (l *serverLine) begin(f frame) error {
	r, body, err := f.request(l.MaxRequestBytes)
	read := func() ([]byte, error) { return body, nil }
	var bad badHead
	var refusal *Response
	switch {
	case errors.As(err, &bad):
		r, _ = http.NewRequest(http.MethodPost, "/", nil)
		refusal = refuse(http.StatusBadRequest, bad.Error())
	case errors.Is(err, eventlog.ErrTooLarge):
		r, _ = http.NewRequest(http.MethodPost, "/", nil)
		read = func() ([]byte, error) { return nil, l.tooLong() }
	case err != nil:
		return err
	}
	r.RemoteAddr = l.conn.RemoteAddr().String()
	select {
	case l.room <- struct{}{}:
	case <-l.ctx.Done():
		return l.ctx.Err()
	}
	ctx, cancel := context.WithCancel(l.ctx)
	l.mu.Lock()
	_, twice := l.running[f.id]
	l.running[f.id] = cancel
	l.mu.Unlock()
	if twice {
		cancel()
		return fmt.Errorf("request %d comes twice", f.id)
	}
	l.all.Go(func() {
		l.answer(ctx, f.id, r, read, refusal)
		l.mu.Lock()
		delete(l.running, f.id)
		l.mu.Unlock()
		cancel()
		<-l.room
	})
	return nil
}

// answer answers a request, with the refusal if there is one.
func (l *serverLine) answer(ctx context.Context, id uint64, r *http.Request, read func() ([]byte, error), answer *Response) {
	if answer == nil {
		answer = l.refuseIfOver()
	}
	if answer == nil {
		defer l.life.Leave()
		x := exchange{Server: l.Server, in: r, read: read}
		answer = x.answer(ctx)
	}
	text, err := appendMessage(nil, frameAnswer, id, answerHead{max(answer.Status, 200), answer.Header}, answer.Body)
	if err != nil {
		l.Logger.Error("reqresp: answer", "error", err)
		none := refuse(http.StatusInternalServerError, "the headers of the answer are too long, or none")
		none.Header.Set(HeaderOutcome, saysUnknown)
		text, _ = appendMessage(nil, frameAnswer, id, answerHead{none.Status, none.Header}, none.Body)
	}
	l.send(text)
}

// send waits until the writing goroutine has accepted a frame, or the connection has ended.
func (l *serverLine) send(text []byte) {
	select {
	case l.out <- text:
	case <-l.ctx.Done():
	}
}

// write writes the preface, and then frames until the connection ends. If the client does not read
// them in time, it ends the connection.
func (l *serverLine) write() {
	text, greeted := []byte(preface), false
	pong := appendFrame(nil, framePong, 0, nil)
	for {
		l.conn.SetWriteDeadline(time.Now().Add(l.AnswerTimeout))
		_, err := l.conn.Write(text)
		if !greeted {
			greeted = true
			close(l.greeted)
		}
		if err != nil {
			l.conn.Close() // which ends read
			l.cancel()
			return
		}
		select {
		case text = <-l.out:
		case <-l.pong:
			text = pong
		case <-l.ctx.Done():
			return
		}
	}
}
