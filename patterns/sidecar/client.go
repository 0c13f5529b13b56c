package sidecar

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// A client is a client's HTTP/1.1 connection, with the exchange in progress on it. Exactly two
// goroutines serve an exchange, and both exist before it. The goroutine of the client's connection
// reads the request and passes it on; then it waits for the client's next action, such as
// disconnecting. The goroutine of the replica's connection does the same with the answer. A request
// therefore costs little more than copying its bytes, and each end learns of the other's end at
// once.
//
// Whichever goroutine finds that an exchange failed also handles the failure, including retries. mu
// is never held over the network.
type client struct {
	p  *Proxy
	nc net.Conn
	in reader
	m  message

	// Of the exchange, set before its first attempt.
	up          *Upstream
	minor       byte
	isHead      bool
	asksUpgrade bool
	expects     bool
	repeatable  bool // to repeat it is safe
	body        chunks
	piece       []byte

	mu    sync.Mutex
	wake  *sync.Cond // of whoever waits for a change of the exchange
	phase phase
	exchange

	timer           *time.Timer
	armed, deadline time.Time
}

// exchange is the state of an exchange. mu is held.
type exchange struct {
	seq       int64 // of the attempt
	u         *upconn
	turn      turn
	dial      *dialing // there is no connection yet
	attempts  int
	begun     time.Time
	limit     time.Time // for the head of the answer; zero: the body is still coming
	told      time.Time // likewise, by the client
	last      time.Time // when a byte passed
	out       []byte    // of the request, from its start while lost is false
	written   int       // of out, to u
	writing   bool
	broken    bool // u takes no more
	lost      bool // what was sent is not all in out
	bodyEnded bool
	executed  bool // or may be: a replica was sent some of it
	gone      bool // the client is
	closing   bool // the client's connection ends with this exchange
	sides     int  // of a tunnel that have ended
}

type phase int8

const (
	idle      phase = iota // between exchanges
	reading                // the head of a request
	waiting                // for the head of an answer
	answering              // the answer is passed on
	lingering              // ... and was, while the request still comes
	tunneling
)

func (c *client) serve() {
	c.wake = sync.NewCond(&c.mu)
	defer c.stop()
	for c.next() {
	}
}

// handOver passes the connection to net/http.
func (c *client) handOver(head []byte) {
	c.mu.Lock()
	c.timer.Stop()
	c.timer = nil
	c.mu.Unlock()
	nc := c.nc
	c.nc = nil
	c.p.serveHTTP2(&prefixed{nc, io.MultiReader(bytes.NewReader(append(bytes.Clone(head), c.in.buffered()...)), nc)})
}

func (c *client) stop() {
	c.mu.Lock()
	if c.timer != nil {
		c.timer.Stop()
	}
	c.mu.Unlock()
	if c.nc != nil {
		c.nc.Close()
	}
}

// next reads a request and passes it on, and reports whether there may be another.
func (c *client) next() bool {
	if err := c.in.peek(); err != nil {
		c.left(err)
		return false
	}
	switch c.settled() {
	case tunneling:
		c.tunnelUp()
		return false
	case lingering:
		c.discard()
		return false
	}
	if err := c.in.skipEmptyLines(); err != nil {
		return false
	}
	if len(c.in.buffered()) == 0 {
		c.mu.Lock()
		c.become(idle, time.Now())
		c.mu.Unlock()
		return true
	}
	head, err := c.in.head()
	if err != nil {
		c.refuse(err)
		return false
	}
	if c.p.isHTTP2(head) {
		c.handOver(head)
		return false
	}
	if err := parseRequest(&c.m, head); err != nil {
		c.refuse(err)
		return false
	}
	if !c.begin() {
		return false
	}
	return c.passBody()
}

// settled waits until the next bytes cannot belong to the current exchange, and returns what they
// are: the head of a request, for which there is a deadline now, data of a tunnel, or data to
// discard.
func (c *client) settled() phase {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.busy() {
		c.wake.Wait()
	}
	switch {
	case c.phase == tunneling:
		return tunneling
	case c.closing:
		return lingering
	}
	c.become(reading, time.Now())
	return reading
}

// become changes the phase, and with it the deadline. mu is held.
func (c *client) become(ph phase, now time.Time) {
	c.phase = ph
	if c.dial != nil && ph != waiting {
		c.dial.cancel()
		c.dial = nil
	}
	c.last = now
	switch ph {
	case idle:
		c.arm(now.Add(c.p.idleTimeout()))
	case reading:
		c.arm(now.Add(c.p.set.HeaderTimeout))
	case waiting:
		c.arm(c.due(now))
	case answering, tunneling:
		c.arm(now.Add(c.up.set.StreamTimeout))
	case lingering:
		c.arm(now.Add(lingerTime))
	}
	c.wake.Broadcast()
}

// lingerTime is how long the rest of a request is read after its answer, so that the client reads
// the answer and not a reset.
const lingerTime = time.Second

// due returns when the wait for an answer ends, for this attempt or for all of
// them.
func (c *client) due(now time.Time) time.Time {
	at := c.limit
	if at.IsZero() {
		at = c.last.Add(c.up.set.StreamTimeout)
	} else if try := now.Add(c.up.set.AttemptTimeout); try.Before(at) {
		at = try
	}
	if !c.told.IsZero() && c.told.Before(at) {
		at = c.told
	}
	return at
}

// arm sets the deadline. A timer that fires too early checks again, which is cheaper than setting
// it for each request.
func (c *client) arm(at time.Time) {
	c.deadline = at
	switch {
	case c.timer == nil:
		c.timer, c.armed = time.AfterFunc(time.Until(at), c.expire), at
	case c.armed.IsZero() || at.Before(c.armed):
		c.timer.Reset(time.Until(at))
		c.armed = at
	}
}

// expire is called by the timer.
func (c *client) expire() {
	c.mu.Lock()
	now := time.Now()
	c.armed = time.Time{}
	if c.phase == answering || c.phase == tunneling || c.phase == waiting && c.limit.IsZero() {
		if at := c.last.Add(c.up.set.StreamTimeout); c.deadline.Before(at) && c.told.IsZero() {
			c.deadline = at
		}
	}
	if now.Before(c.deadline) {
		c.arm(c.deadline)
		c.mu.Unlock()
		return
	}
	switch c.phase {
	case waiting:
		u := c.u
		c.mu.Unlock()
		c.failed(u, errTimeout)
	case lingering:
		c.closing = true
		c.wake.Broadcast()
		c.mu.Unlock()
		c.nc.Close()
	default:
		u := c.u
		c.mu.Unlock()
		c.nc.Close()
		if u != nil {
			u.nc.Close()
		}
	}
}

// passed records that a byte has passed.
func (c *client) passed() {
	c.mu.Lock()
	c.last = time.Now()
	c.mu.Unlock()
}

// begin begins the exchange of the request in m, and its first attempt.
func (c *client) begin() bool {
	m := &c.m
	target, host, err := originForm(m)
	if err != nil {
		c.refuse(err)
		return false
	}
	up := c.p.route(host, target)
	if up == nil {
		c.refuse(&malformed{404, "there is no route"})
		return false
	}
	c.up, c.minor, c.isHead, c.asksUpgrade, c.expects = up, m.minor, string(m.method) == http.MethodHead, m.upgrade != nil, m.expects
	c.repeatable = (idempotent(string(m.method)) || m.keyed) && (len(m.attempt) == 0 || string(m.attempt) == "1")
	c.body = chunks{}

	c.mu.Lock()
	now := time.Now()
	left := m.length
	c.exchange = exchange{seq: c.seq + 1, begun: now, last: now, out: c.out[:0], closing: m.close || c.p.draining.Load(), bodyEnded: left == 0}
	told, ok := decimal(m.timeout)
	if ok {
		c.told = now.Add(time.Duration(min(told, maxTold)) * time.Millisecond)
	}
	c.out = c.appendHead(c.out, target, host)
	if c.bodyEnded {
		c.limit = now.Add(up.set.Timeout)
	} else if left > 0 { // what is here already goes with the head
		piece := c.in.buffered()
		piece = piece[:min(int64(len(piece)), left)]
		c.out = append(c.out, piece...)
		c.in.r += len(piece)
		if m.length -= int64(len(piece)); m.length == 0 {
			c.endBody(now)
		}
	}
	c.become(waiting, now)
	c.mu.Unlock()
	up.enter()
	c.p.stats.requests.Add(1)
	if ok && told == 0 {
		c.answer(tooLate())
		return true
	}
	if up.active.Load() > int64(up.set.MaxRequests) {
		up.count(func(s *UpstreamStats) { s.Full++ })
		c.answer(&failure{status: http.StatusServiceUnavailable, kind: "connection_limit_reached", err: errFull, unexecuted: true})
		return true
	}
	c.try(c.seq, nil, true, now)
	return true
}

// maxTold is the longest Request-Timeout that counts, in milliseconds: a year.
const maxTold = 365 * 24 * 3600 * 1000

// originForm returns the target in origin form (RFC 9112, section 3.2.1), or the asterisk, and its
// host. It rejects anything else in a URI's authority, which a server may interpret differently.
func originForm(m *message) (target, host []byte, err error) {
	target, host = m.target, m.host
	if equal(m.method, "connect") {
		return nil, nil, &malformed{501, "CONNECT is not supported"}
	}
	if target[0] == '/' || string(target) == "*" {
		return target, host, nil
	}
	scheme, rest, ok := bytes.Cut(target, []byte("://"))
	if !ok || !isToken(scheme) {
		return nil, nil, bad("the target has no form of HTTP")
	}
	at := bytes.IndexAny(rest, "/?")
	if at < 0 {
		at = len(rest)
	}
	if host = rest[:at]; len(host) == 0 || !isHost(host) {
		return nil, nil, bad("the target has no host, or more than that")
	}
	switch target = rest[at:]; {
	case len(target) == 0 && string(m.method) == http.MethodOptions:
		target = []byte("*") // RFC 9112, section 3.2.4
	case len(target) == 0 || target[0] == '?':
		target = append([]byte("/"), target...)
	}
	return target, host, nil
}

// appendHead appends the request's head as the replica gets it.
func (c *client) appendHead(out, target, host []byte) []byte {
	m := &c.m
	out = append(append(append(append(out, m.method...), ' '), target...), " HTTP/1.1\r\n"...)
	if len(host) == 0 && m.minor == 0 {
		host = []byte(c.up.Name)
	}
	out = appendField(out, []byte("Host"), host)
	out = m.passFields(out, true)
	if !c.told.IsZero() {
		out = append(out, "Request-Timeout: "...)
		out = append(strconv.AppendInt(out, time.Until(c.told).Milliseconds(), 10), "\r\n"...)
	}
	if m.coded {
		out = append(out, "Transfer-Encoding: chunked\r\n"...)
	}
	if m.upgrade != nil {
		out = append(out, "Connection: Upgrade\r\n"...)
	}
	return append(out, "\r\n"...)
}
