package sidecar

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// HTTP/2 is net/http's on both sides: a request goes on in the protocol that it came in.

// preface begins an HTTP/2 connection (RFC 9113, section 3.4): the part of it that looks
// like a request's head.
const preface = "PRI * HTTP/2.0\r\n\r\n"

func (p *Proxy) isHTTP2(head []byte) bool { return string(head) == preface }

// prefixed is a connection whose first bytes were already read.
type prefixed struct {
	net.Conn
	r io.Reader
}

func (c *prefixed) Read(b []byte) (int, error) { return c.r.Read(b) }

// handed is a listener with the connections for net/http's server.
type handed struct {
	p    *Proxy
	once sync.Once
	done chan struct{}
}

func (l *handed) Accept() (net.Conn, error) {
	select {
	case c := <-l.p.h2conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *handed) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *handed) Addr() net.Addr { return &net.TCPAddr{} }

func (p *Proxy) beginHTTP2() {
	p.h2conns = make(chan net.Conn)
	var protocols http.Protocols
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	p.h2 = &http.Server{
		Handler: http.HandlerFunc(p.forward), Protocols: &protocols, ErrorLog: log.New(io.Discard, "", 0),
		IdleTimeout: p.set.IdleTimeout, MaxHeaderBytes: p.set.MaxHeaderBytes,
		ConnState: func(nc net.Conn, state http.ConnState) {
			if state == http.StateClosed {
				p.release(nc)
			}
		},
	}
	l := &handed{p: p, done: make(chan struct{})}
	p.running.Go(func() {
		defer l.Close()
		p.h2.Serve(l)
	})
}

// serveHTTP2 passes a connection to net/http's server, which closes it.
func (p *Proxy) serveHTTP2(nc net.Conn) {
	p.mu.Lock()
	p.number(nc) // until ConnState hears of its end
	p.mu.Unlock()
	select {
	case p.h2conns <- nc:
	case <-p.ctx.Done():
		nc.Close()
		p.release(nc)
	}
}

// transport returns a new transport for HTTP/2 to the replicas.
func (up *Upstream) transport() *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	dial := func(ctx context.Context, _, address string) (net.Conn, error) {
		return up.connect(ctx, &replica{up: up, addr: address}, up.protocol2())
	}
	return &http.Transport{
		DialContext: dial, DialTLSContext: dial, Protocols: &protocols, DisableCompression: true,
		IdleConnTimeout: up.set.IdleTimeout,
		HTTP2:           &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
	}
}

func (up *Upstream) secure() bool { return up.TLS != nil || up.Credentials != nil }

func (up *Upstream) protocol1() string {
	if up.secure() {
		return "http/1.1"
	}
	return ""
}

func (up *Upstream) protocol2() string {
	if up.secure() {
		return "h2"
	}
	return ""
}

// transport2 returns the current transport. Each identity has its own, so that no request uses a
// connection of an earlier identity.
func (up *Upstream) transport2() *http.Transport {
	number := up.Credentials.number()
	up.mu.Lock()
	defer up.mu.Unlock()
	if number != up.h2number {
		go up.h2.CloseIdleConnections()
		up.h2, up.h2number = up.transport(), number
	}
	return up.h2
}

// closeIdle closes the connections without a request.
func (up *Upstream) closeIdle() {
	up.mu.Lock()
	replicas, h2 := up.replicas, up.h2
	up.mu.Unlock()
	h2.CloseIdleConnections()
	for _, r := range replicas {
		r.closeUnused()
	}
}

// An exchange2 is an HTTP/2 request in progress.
type exchange2 struct {
	p       *Proxy
	up      *Upstream
	w       http.ResponseWriter
	r       *http.Request
	body    *keptBody
	begun   time.Time
	told    time.Time
	mayHave bool // been executed
}

// forward passes on a request of HTTP/2.
func (p *Proxy) forward(w http.ResponseWriter, r *http.Request) {
	p.stats.requests.Add(1)
	if p.draining.Load() {
		w.Header().Set("Connection", "close") // net/http makes a GOAWAY of it
	}
	up := p.route([]byte(r.Host), []byte(r.URL.RequestURI()))
	if up == nil || r.Method == http.MethodConnect {
		p.stats.refused.Add(1)
		answer2(w, r, &failure{status: http.StatusNotFound, kind: "destination_not_found", err: errors.New("there is no route"), unexecuted: true})
		return
	}
	up.enter()
	defer up.leave()
	x := &exchange2{p: p, up: up, w: w, r: r, begun: time.Now()}
	x.body = &keptBody{src: r.Body, most: up.set.MaxReplayBytes, empty: r.ContentLength == 0}
	if told, ok := decimal([]byte(r.Header.Get("Request-Timeout"))); ok {
		if told == 0 {
			answer2(w, r, tooLate())
			return
		}
		x.told = x.begun.Add(time.Duration(min(told, maxTold)) * time.Millisecond)
	}
	f := x.attempts()
	if f == nil {
		return
	}
	p.stats.failed.Add(1)
	answer2(w, r, f)
}

// attempts makes attempts until one is answered, or returns why none was.
func (x *exchange2) attempts() *failure {
	if x.up.active.Load() > int64(x.up.set.MaxRequests) {
		x.up.count(func(s *UpstreamStats) { s.Full++ })
		return &failure{status: http.StatusServiceUnavailable, kind: "connection_limit_reached", err: errFull, unexecuted: true}
	}
	safe := (idempotent(x.r.Method) || x.r.Header.Get("Idempotency-Key") != "") && strings.TrimPrefix(x.r.Header.Get("Request-Attempt"), "1") == ""
	var avoid *replica
	for attempt := 1; ; attempt++ {
		t, err := x.up.take(avoid, time.Now())
		unsent := true
		if err == nil {
			var answered bool
			if answered, err = x.attempt(t); answered {
				return nil
			}
			var connect *connectError
			unsent = errors.As(err, &connect)
			x.mayHave = x.mayHave || !unsent
			avoid = t.replica
		}
		f := failureOf(err, !x.mayHave)
		delay := x.up.set.Backoff.Delay(attempt, x.up.set.Jitter)
		starting := unsent && time.Since(x.begun) < x.up.StartWait
		switch {
		case x.r.Context().Err() != nil || x.p.ctx.Err() != nil:
			return f
		case starting:
			delay, attempt = x.up.set.Backoff.Max, attempt-1
		case errors.Is(err, ErrOpen) || attempt >= x.up.set.MaxAttempts || !x.told.IsZero() && !time.Now().Add(delay).Before(x.told):
			return f
		case !unsent && !safe || !x.body.rewind():
			x.up.count(func(s *UpstreamStats) { s.NoReplay++ })
			return f
		case !unsent && !x.up.set.Budget.Spend():
			x.up.count(func(s *UpstreamStats) { s.NoBudget++ })
			return f.noBudget()
		default:
			x.up.count(func(s *UpstreamStats) { s.Retries++ })
		}
		if sleep(x.r.Context(), delay) != nil {
			return f
		}
	}
}

// attempt makes one. It reports whether the client has its answer.
func (x *exchange2) attempt(t turn) (answered bool, err error) {
	ctx, cancel := context.WithCancelCause(x.r.Context())
	defer cancel(nil)
	limit := x.up.set.AttemptTimeout
	if !x.told.IsZero() {
		limit = min(limit, time.Until(x.told))
	}
	timer := time.AfterFunc(x.up.set.StreamTimeout, func() { cancel(errTimeout) })
	defer timer.Stop()
	x.body.begin(func(ended bool) {
		if ended {
			timer.Reset(limit)
		} else {
			timer.Reset(x.up.set.StreamTimeout)
		}
	})
	resp, err := x.up.transport2().RoundTrip(x.request(ctx, t.replica))
	x.body.begin(func(bool) {})
	if !timer.Stop() && err == nil {
		resp.Body.Close()
		err = errTimeout
	}
	if err != nil {
		if cause := context.Cause(ctx); cause != nil && errors.Is(cause, errTimeout) {
			err = errTimeout
		}
		if x.r.Context().Err() != nil {
			t.end(Ignored)
		} else {
			t.end(Failure)
		}
		return false, err
	}
	defer func() {
		// An answer can end before its request does. Close would then wait for the sender of the
		// request, which waits for a client that itself waits for the end of the answer.
		cancel(nil)
		resp.Body.Close()
	}()
	t.end(x.answer(resp))
	return true, nil
}

// request returns the request as a replica gets it.
func (x *exchange2) request(ctx context.Context, r *replica) *http.Request {
	target := *x.r.URL
	target.Scheme, target.Host = "http", r.addr
	if x.up.secure() {
		target.Scheme = "https"
	}
	header := x.r.Header.Clone()
	for name := range header {
		if hopOnly(name) {
			delete(header, name)
		}
	}
	if !x.told.IsZero() {
		header.Set("Request-Timeout", strconv.FormatInt(time.Until(x.told).Milliseconds(), 10))
	}
	if _, ok := header["User-Agent"]; !ok {
		header["User-Agent"] = []string{""} // else the transport adds its own
	}
	out := &http.Request{
		Method: x.r.Method, URL: &target, Host: x.r.Host, Header: header, ContentLength: x.r.ContentLength, Body: x.body.reader(),
		Trailer: x.r.Trailer, // the same map: the values come with the end of the body
	}
	if x.body.empty {
		out.Body = http.NoBody
	}
	return out.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			h := x.w.Header()
			before := h.Clone()
			copyHeader(h, http.Header(header))
			x.w.WriteHeader(code)
			clear(h)
			copyHeader(h, before)
			return nil
		},
	}))
}

// hopOnly reports whether a field does not exist in HTTP/2.
func hopOnly(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade", "Proxy-Authorization", "Proxy-Authenticate":
		return true
	}
	return false
}

func copyHeader(to, from http.Header) {
	for name, values := range from {
		to[name] = append(to[name], values...)
	}
}

// answer passes on an answer, and returns what it means for the replica. If the answer is
// truncated, it ends the client's stream with an error.
func (x *exchange2) answer(resp *http.Response) Result {
	h := x.w.Header()
	for name, values := range resp.Header {
		if !hopOnly(name) {
			h[name] = append(h[name], values...)
		}
	}
	announced := make([]string, 0, len(resp.Trailer))
	for name := range resp.Trailer {
		announced = append(announced, name)
	}
	slices.Sort(announced)
	for _, name := range announced {
		h.Add("Trailer", name)
	}
	x.w.WriteHeader(resp.StatusCode)
	flush := x.w.(http.Flusher).Flush
	// An answer without a body and trailers must be one frame, from which gRPC reads its status. That there are none is known only at the end.
	if resp.ContentLength != 0 {
		flush()
	}
	if err := x.copyBody(resp.Body, flush); err != nil {
		if x.r.Context().Err() != nil {
			return Ignored
		}
		if speaksGRPC(x.r) && resp.ContentLength < 0 {
			limit, told := grpcTimeout(x.r)
			h.Set(http.TrailerPrefix+"Grpc-Status", cutStatus(err, told && time.Since(x.begun) >= limit))
			h.Set(http.TrailerPrefix+"Grpc-Message", "sidecar: "+percentEncoded(err.Error()))
			return Failure
		}
		defer panic(http.ErrAbortHandler)
		return Failure
	}
	for name, values := range resp.Trailer {
		if len(values) == 0 { // announced, and not sent
			continue
		}
		if !slices.Contains(announced, name) {
			name = http.TrailerPrefix + name
		}
		h[name] = values
	}
	return resultOf(resp)
}

// resultOf returns what an answer means for a replica.
func resultOf(resp *http.Response) Result {
	status := resp.Header.Get("Grpc-Status") + resp.Trailer.Get("Grpc-Status")
	switch {
	case resp.StatusCode >= 500 && resp.StatusCode != http.StatusNotImplemented:
		return Failure
	case status == "2" || status == "4" || status == "13" || status == "14" || status == "15": // unknown, deadline, internal, unavailable, data loss
		return Failure
	case status == "1": // cancelled
		return Ignored
	}
	return Success
}

func (x *exchange2) copyBody(body io.ReadCloser, flush func()) error {
	quiet := time.AfterFunc(x.up.set.StreamTimeout, func() { body.Close() })
	defer quiet.Stop()
	x.body.begin(func(bool) { quiet.Reset(x.up.set.StreamTimeout) })
	defer x.body.begin(func(bool) {})
	buf := buffers.Get().(*[bulkBuffer]byte)
	defer buffers.Put(buf)
	for {
		k, err := body.Read(buf[:])
		if k > 0 {
			quiet.Reset(x.up.set.StreamTimeout)
			if _, werr := x.w.Write(buf[:k]); werr != nil {
				return werr
			}
			flush()
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

var buffers = sync.Pool{New: func() any { return new([bulkBuffer]byte) }}

// answer2 sends the proxy's own answer. A gRPC client gets a gRPC status: unavailable, or deadline
// exceeded.
func answer2(w http.ResponseWriter, r *http.Request, f *failure) {
	h := w.Header()
	for name, value := range f.headers {
		h.Set(name, value)
	}
	if speaksGRPC(r) {
		code := grpcUnavailable
		if f.status == http.StatusGatewayTimeout {
			code = grpcDeadline
		}
		h.Set("Content-Type", "application/grpc")
		h.Set("Grpc-Status", code)
		h.Set("Grpc-Message", "sidecar: "+percentEncoded(f.err.Error()))
		w.WriteHeader(http.StatusOK)
		return
	}
	http.Error(w, "sidecar: "+f.err.Error(), f.status)
}

// A keptBody keeps the part of a request's body that was read, for a
// repetition.
type keptBody struct {
	src   io.Reader
	most  int
	empty bool

	mu      sync.Mutex
	kept    []byte
	touched bool // something was read, or may be just now
	ended   bool
	lost    bool // not all that was read is kept
	moved   func(ended bool)
}

// begin sets moved, which is called with the lock held whenever a part of the
// body was read.
func (b *keptBody) begin(moved func(ended bool)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.moved = moved
	if b.ended || b.empty {
		moved(true)
	}
}

// rewind reports whether the body can be sent again: none of it was read, or all of it is kept.
func (b *keptBody) rewind() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.empty || !b.touched || b.ended && !b.lost
}

func (b *keptBody) reader() io.ReadCloser {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return io.NopCloser(bytes.NewReader(b.kept))
	}
	return io.NopCloser(b)
}

func (b *keptBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	b.touched = true
	b.mu.Unlock()
	k, err := b.src.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.kept)+k <= b.most {
		b.kept = append(b.kept, p[:k]...)
	} else {
		b.lost, b.kept = true, nil
	}
	b.ended = b.ended || err == io.EOF
	b.moved(b.ended)
	return k, err
}
