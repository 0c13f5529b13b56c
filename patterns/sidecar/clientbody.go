package sidecar

import (
	"errors"
	"io"
	"net"
	"time"
)

// endBody records that the whole request has been read. mu is held.
func (c *client) endBody(now time.Time) {
	c.bodyEnded = true
	c.limit = now.Add(c.up.set.Timeout)
	if c.phase == waiting {
		c.arm(c.due(now))
	}
	c.wake.Broadcast()
}

// passBody passes on what the client sends of the body, and reports whether a request can follow.
func (c *client) passBody() bool {
	for left := c.m.length; left != 0; {
		if left > 0 {
			if err := c.in.peek(); err != nil {
				c.left(cut(err))
				return false
			}
			piece := c.in.buffered()
			piece = piece[:min(int64(len(piece)), left)]
			left -= int64(len(piece))
			c.in.r += len(piece)
			if !c.push(piece, left == 0) {
				return false
			}
			continue
		}
		out, ended, err := c.body.next(&c.in, c.piece[:0])
		c.piece = out
		if len(out) > 0 && !c.push(out, ended) {
			return false
		}
		if err != nil {
			c.left(cut(err))
			return false
		}
		if ended {
			break
		}
	}
	return true
}

// push queues a piece of the body for writing, and reports whether the exchange still
// wants it.
func (c *client) push(piece []byte, last bool) bool {
	c.mu.Lock()
	if len(c.out)+len(piece) > c.up.set.MaxReplayBytes {
		// Data from here on is not kept for a repetition. It waits for earlier data to be written, which also slows the client down.
		for c.busy() && !c.broken && (c.u == nil && c.phase == waiting || c.written < len(c.out) || c.writing) {
			c.wake.Wait()
		}
		c.lost = true
		c.out, c.written = c.out[:0], 0
	}
	c.last = time.Now()
	over := !c.busy() && c.closing
	if c.busy() && !c.broken {
		c.out = append(c.out, piece...)
	}
	if last {
		c.endBody(c.last)
	}
	c.mu.Unlock()
	if over {
		c.discard()
		return false
	}
	c.pump()
	return true
}

// busy reports whether there is an exchange. mu is held.
func (c *client) busy() bool {
	return c.phase == waiting || c.phase == answering || c.phase == lingering
}

// pump writes the available part of the request to the replica. One goroutine does this at a time;
// others leave their data to it.
func (c *client) pump() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writing {
		return
	}
	c.writing = true
	for c.u != nil && !c.broken && c.written < len(c.out) {
		u, piece := c.u, c.out[c.written:]
		u.mu.Lock()
		u.sent = true
		u.mu.Unlock()
		c.mu.Unlock()
		k, err := u.nc.Write(piece)
		c.mu.Lock()
		if c.u != u {
			continue // another attempt has begun
		}
		c.written += k
		// After an error the answer can still arrive: the replica may have said why it reads no more.
		c.broken = err != nil
	}
	c.writing = false
	c.wake.Broadcast()
	if u := c.u; c.gone && u != nil && c.written == len(c.out) {
		c.mu.Unlock()
		halfClose(u.nc)
		c.mu.Lock()
	}
}

// halfClose tells the other end that nothing follows.
func halfClose(nc net.Conn) {
	if half, ok := nc.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
}

// left is called when the client sends no more. A client that has closed its half may still want
// the answer: as without a proxy, the replica is told of the half-close and decides.
func (c *client) left(err error) {
	c.mu.Lock()
	if c.phase == tunneling {
		c.mu.Unlock()
		c.tunnelEnded(err)
		return
	}
	if !c.busy() {
		c.mu.Unlock()
		return
	}
	c.gone = true
	t := c.turn
	c.turn = turn{}
	c.mu.Unlock()
	t.end(Ignored) // whatever comes of it, it says nothing of the replica
	c.mu.Lock()
	u, half := c.u, err == io.EOF && c.bodyEnded
	if half && u != nil && !c.writing && c.written == len(c.out) {
		c.mu.Unlock()
		halfClose(u.nc)
		c.mu.Lock()
	}
	if !half {
		c.closing = true
		c.abandon(err)
	}
	for c.busy() {
		c.wake.Wait()
	}
	tunnel := c.phase == tunneling
	c.mu.Unlock()
	if tunnel {
		c.tunnelEnded(err)
	}
}

// abandon ends an exchange whose request will never be complete. mu is held.
func (c *client) abandon(err error) {
	u, waits := c.u, c.phase == waiting
	if waits {
		c.u = nil
		c.seq++ // an attempt that is under way has come too late
		if c.dial != nil {
			c.dial.cancel()
			c.dial = nil
		}
	}
	c.mu.Unlock()
	defer c.mu.Lock()
	if u != nil {
		u.nc.Close()
	}
	if !waits {
		return // what reads the answer finds out
	}
	var wrong *malformed
	if errors.As(err, &wrong) {
		c.answer(&failure{status: wrong.status, kind: "http_request_error", err: err, unexecuted: c.neverSent() && u == nil})
		return
	}
	c.answered(nil, &clientError{err})
}

// discard reads what the client still sends, for a limited time.
func (c *client) discard() {
	for {
		c.in.r = c.in.w
		if c.in.fill() != nil {
			return
		}
	}
}
