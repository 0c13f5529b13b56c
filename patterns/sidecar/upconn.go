package sidecar

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// An upconn is an HTTP/1.1 connection to a replica. Its goroutine reads it as long as it lasts:
// answers, which the goroutine passes on itself, and between answers the connection's end, which
// would otherwise go unnoticed.
type upconn struct {
	replica    *replica
	nc         net.Conn
	in         reader
	out        []byte
	m          message
	generation uint64 // of the identity that it was made with

	mu    sync.Mutex
	owner *client // whose exchange it is; nil: it is idle
	sent  bool    // a byte of the owner's request was written
	dead  bool
	timer *time.Timer // that closes it when it has been idle for too long
	since time.Time
}

func newUpconn(r *replica, nc net.Conn, generation uint64, maxHead int) *upconn {
	return &upconn{replica: r, nc: nc, generation: generation, in: reader{src: nc, most: maxHead}}
}

// take makes it the connection of an exchange, and reports whether it is still
// usable.
func (u *upconn) take(c *client) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.dead {
		return false
	}
	u.owner, u.sent = c, false
	return true
}

func (u *upconn) becomeIdle(now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.owner, u.since = nil, now
	if u.timer == nil {
		u.timer = time.AfterFunc(u.replica.up.set.IdleTimeout, u.tooLong)
	}
}

// leaveIdle reports whether it can be used again.
func (u *upconn) leaveIdle() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.dead || u.generation != u.replica.up.Credentials.number() {
		u.dead = true
		u.nc.Close()
		return false
	}
	u.since = time.Time{}
	return true
}

// tooLong closes it if it has been idle for IdleTimeout. Otherwise it checks again when that can
// be the case.
func (u *upconn) tooLong() {
	u.mu.Lock()
	idle := u.replica.up.set.IdleTimeout
	left := idle
	if u.owner == nil && !u.since.IsZero() {
		left = idle - time.Since(u.since)
	}
	if left > 0 && !u.dead {
		u.timer.Reset(left)
	} else {
		u.dead = true
	}
	dead := u.dead
	u.mu.Unlock()
	if dead {
		u.nc.Close()
	}
}

func (u *upconn) close() {
	u.mu.Lock()
	u.dead = true
	if u.timer != nil {
		u.timer.Stop()
	}
	u.mu.Unlock()
	u.nc.Close()
}

// run reads until the connection ends.
func (u *upconn) run() {
	defer u.close()
	defer u.replica.drop(u)
	for {
		err := u.in.peek()
		u.mu.Lock()
		c, sent := u.owner, u.sent
		if c == nil || !sent {
			u.dead = true // it has ended, or has something to say that nobody asked for
		}
		u.mu.Unlock()
		switch {
		case c == nil:
			return
		case err != nil || !sent:
			c.failed(u, cut(orUnasked(err)))
			return
		case !u.answer(c):
			return
		}
	}
}

var errUnasked = errors.New("an answer came before the request")

func orUnasked(err error) error {
	if err == nil {
		return errUnasked
	}
	return err
}

// answer passes on the answer to a request, and reports whether the connection can carry
// another.
func (u *upconn) answer(c *client) bool {
	m := &u.m
	for early := 0; ; {
		head, err := u.in.head()
		if err == nil {
			err = parseAnswer(m, head, c.isHead)
		}
		if early += len(head); err == nil && early > u.in.most {
			err = errHeadTooLarge
		}
		if err == nil && m.status == http.StatusSwitchingProtocols && (!c.asksUpgrade || m.upgrade == nil) {
			err = bad("the protocol was switched unasked")
		}
		if err != nil {
			c.failed(u, cut(err))
			return false
		}
		if m.status >= 200 || m.status == http.StatusSwitchingProtocols {
			break
		}
		if !c.inform(u, m) {
			return false
		}
	}
	if again, skip := c.again(u, m); again {
		return skip
	}
	mine, last := c.commit(u, m)
	if !mine {
		return false
	}
	if m.status == http.StatusSwitchingProtocols {
		c.tunnelDown(u)
		return false
	}
	err := u.pass(c, last)
	return c.answered(u, err)
}

// inform passes on an interim answer.
func (c *client) inform(u *upconn, m *message) bool {
	if c.minor == 0 {
		return true // HTTP/1.0 has none
	}
	u.out = appendStatus(u.out[:0], m.reason)
	u.out = append(m.passFields(u.out, false), "\r\n"...)
	c.mu.Lock()
	mine := c.u == u
	c.mu.Unlock()
	if !mine {
		return false
	}
	if _, err := c.nc.Write(u.out); err != nil {
		c.failed(u, &clientError{err})
		return false
	}
	return true
}

// A clientError is an error of the client's connection.
type clientError struct{ error }

// appendStatus appends a status line, of this version.
func appendStatus(out, reason []byte) []byte {
	out = append(out, "HTTP/1.1 "...)
	out = append(out, reason...)
	if len(reason) == 3 {
		out = append(out, ' ')
	}
	return append(out, "\r\n"...)
}

// pass passes on the head of an answer and its body, as it arrives. If last is set, the client's
// connection ends with it.
func (u *upconn) pass(c *client, last bool) error {
	m := &u.m
	u.out = appendStatus(u.out[:0], m.reason)
	length := m.length
	u.out = m.passFields(u.out, length != chunked && length != untilClose)
	chunk := c.minor > 0 && (length == chunked || length == untilClose)
	if chunk {
		u.out = append(u.out, "Transfer-Encoding: chunked\r\n"...)
	}
	if last {
		u.out = append(u.out, "Connection: close\r\n"...)
	}
	u.out = append(u.out, "\r\n"...)
	if length == chunked {
		return u.passChunks(c, chunk)
	}
	for left := length; left != 0; {
		if u.in.r == u.in.w {
			if err := u.flush(c); err != nil {
				return err
			}
			err := u.in.peek()
			if err == io.EOF && length == untilClose {
				break
			} else if err != nil {
				return cut(err)
			}
		}
		piece := u.in.buffered()
		if left > 0 {
			piece = piece[:min(int64(len(piece)), left)]
			left -= int64(len(piece))
		}
		u.in.r += len(piece)
		if chunk {
			u.out = strconv.AppendInt(u.out, int64(len(piece)), 16)
			u.out = append(append(append(u.out, "\r\n"...), piece...), "\r\n"...)
		} else if len(u.out) > 0 {
			u.out = append(u.out, piece...)
		} else if _, err := c.nc.Write(piece); err != nil { // without a copy
			return &clientError{err}
		} else {
			c.passed()
		}
	}
	if chunk {
		u.out = append(u.out, "0\r\n\r\n"...)
	}
	return u.write(c)
}

// passChunks passes on a chunked body. For HTTP/1.0 it removes the chunks.
func (u *upconn) passChunks(c *client, chunk bool) error {
	if u.in.r == u.in.w { // the head is not to wait for the body
		if err := u.flush(c); err != nil {
			return err
		}
	}
	var body chunks
	body.bare = !chunk
	for {
		out, ended, err := body.next(&u.in, u.out)
		if u.out = out; err == nil || len(out) > 0 {
			if werr := u.flush(c); werr != nil {
				return werr
			}
		}
		if err != nil || ended {
			return err
		}
	}
}

// flush passes on the available part of an unfinished answer.
func (u *upconn) flush(c *client) error {
	if len(u.out) == 0 {
		return nil
	}
	err := u.write(c)
	if err == nil {
		c.passed()
	}
	return err
}

func (u *upconn) write(c *client) error {
	if len(u.out) == 0 {
		return nil
	}
	_, err := c.nc.Write(u.out)
	u.out = u.out[:0]
	if err != nil {
		return &clientError{err}
	}
	if cap(u.out) > 2*bulkBuffer {
		u.out = nil
	}
	return nil
}
