package sim

import (
	"cmp"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/squall-sim/squall/netem"
)

// An HTTPRule is a fault of a server or proxy: which requests it applies to, and what happens to them. See
// [Network.FaultyHTTP].
type HTTPRule struct {
	Method string // of the requests; empty: any
	Path   string // prefix of their path; empty: any
	Header string // a header field that they must have, "Name" or "Name: value"; empty: any
	Skip   int    // how many of these requests are served as usual first
	Count  int    // how many of the rest the rule applies to; zero: all

	// Delay is how long a request waits before anything else happens to it.
	Delay time.Duration

	// Status is the answer's status, without a body, in place of the handler's answer. From 200 to 599; zero:
	// the handler answers. RetryAfter is the answer's Retry-After header, in whole seconds; zero: none.
	Status     int
	RetryAfter time.Duration

	// Abort ends the request without an answer: over HTTP/1.1 it resets the connection (RST), over HTTP/2 the
	// stream (RST_STREAM).
	Abort bool

	// Malformed answers with something that is not HTTP, and closes the connection. It is for HTTP/1.1; over
	// HTTP/2 it acts as Abort.
	Malformed bool

	// CutAfter ends the handler's answer after that many bytes of the body: over HTTP/1.1 it closes the
	// connection, over HTTP/2 it ends the stream with RST_STREAM. Zero: it does not cut. An answer that is
	// not longer is left alone.
	CutAfter int

	// Rate is the highest rate at which the body of the handler's answer is sent, in bits per second; zero:
	// as fast as it can.
	Rate netem.BitRate

	// GoAway ends the connection with this answer: over HTTP/2 by GOAWAY, over HTTP/1.1 by "Connection:
	// close".
	GoAway bool
}

// validate returns an error for the first field whose value is not allowed.
func (r HTTPRule) validate() error {
	instead := 0
	for _, set := range []bool{r.Status != 0, r.Abort, r.Malformed, r.CutAfter > 0} {
		if set {
			instead++
		}
	}
	switch {
	case r.Path != "" && r.Path[0] != '/':
		return fmt.Errorf("Path is %q: it must begin with /", r.Path)
	case r.Skip < 0 || r.Count < 0:
		return fmt.Errorf("Skip is %d and Count is %d: they must not be negative", r.Skip, r.Count)
	case r.Delay < 0:
		return fmt.Errorf("Delay is %v: it must not be negative", r.Delay)
	case r.Status != 0 && (r.Status < 200 || r.Status > 599):
		return fmt.Errorf("Status is %d: it must be from 200 to 599, or 0", r.Status)
	case r.RetryAfter < 0 || r.RetryAfter%time.Second != 0 || r.RetryAfter > 0 && r.Status == 0:
		return fmt.Errorf("RetryAfter is %v: it must be whole seconds, and needs a Status", r.RetryAfter)
	case r.CutAfter < 0:
		return fmt.Errorf("CutAfter is %d: it must not be negative", r.CutAfter)
	case r.Rate < 0:
		return fmt.Errorf("Rate is %v: it must not be negative", r.Rate)
	case instead > 1:
		return fmt.Errorf("more than one of Status, Abort, Malformed and CutAfter is set: set only one")
	case instead == 0 && r.Delay == 0 && r.Rate == 0 && !r.GoAway:
		return fmt.Errorf("the rule does nothing: set Delay, Status, Abort, Malformed, CutAfter, Rate or GoAway")
	}
	return nil
}

// String describes the rule in the words of its fields.
func (r HTTPRule) String() string {
	text := strings.TrimSpace(cmp.Or(r.Method, "any") + " " + r.Path)
	add := func(set bool, what string) {
		if set {
			text += ", " + what
		}
	}
	add(r.Header != "", r.Header)
	add(r.Skip > 0, fmt.Sprintf("not the first %d", r.Skip))
	add(r.Count > 0, fmt.Sprintf("%d times", r.Count))
	add(r.Delay > 0, fmt.Sprintf("delay %v", r.Delay))
	add(r.Status > 0, fmt.Sprintf("status %d", r.Status))
	add(r.Abort, "abort")
	add(r.Malformed, "malformed answer")
	add(r.CutAfter > 0, fmt.Sprintf("cut after %d bytes", r.CutAfter))
	add(r.Rate > 0, fmt.Sprintf("rate %v", r.Rate))
	add(r.GoAway, "go away")
	return text
}

// An httpFault is a rule in use.
type httpFault struct {
	HTTPRule
	name, value string // of Header
	fault       *Fault
	seen        int // requests that match it, counts aside
}

// matches reports whether a rule applies to a request, counts aside.
func (f *httpFault) matches(r *http.Request) bool {
	values := r.Header.Values(f.name)
	return (f.Method == "" || f.Method == r.Method) && strings.HasPrefix(r.URL.Path, f.Path) &&
		(f.name == "" || len(values) > 0 && (f.value == "" || values[0] == f.value))
}

// A FaultyHandler is what [Network.FaultyHTTP] makes.
type FaultyHandler struct {
	n    *Network
	next http.Handler

	mu     sync.Mutex // guards what the rules have seen
	faults []*httpFault
}

// FaultyHTTP returns a handler that serves as next does, except for requests that match a rule: "the first
// two get 503", "what is posted is lost". If several rules match a request, the first one applies. The report
// lists a rule that matched no request, as it does any fault that affected nothing; see
// [FaultyHandler.Fault]. FaultyHTTP panics if a rule is not valid.
//
// next is what a server of the test serves, or a proxy in front of one ([Host.Proxy]).
func (n *Network) FaultyHTTP(next http.Handler, rules ...HTTPRule) *FaultyHandler {
	h := &FaultyHandler{n: n, next: next}
	for i, rule := range rules {
		if err := rule.validate(); err != nil {
			panic(fmt.Sprintf("sim: FaultyHTTP: rule %d: %v", i, err))
		}
		f := &httpFault{HTTPRule: rule}
		f.name, f.value, _ = strings.Cut(rule.Header, ":")
		f.value = strings.TrimSpace(f.value)
		f.fault = n.newFault("HTTP: "+rule.String(), nil, nil, expression{})
		f.fault.miss = "request"
		n.do(f.fault.beginNow)
		h.faults = append(h.faults, f)
	}
	return h
}

// Fault returns a rule as a fault, by its place from 0. A rule is active from the beginning. While it is not,
// after [Fault.End] and before [Fault.Begin] or the time planned by [Network.Inject], it applies to no
// request and counts none. [Fault.Fired] and [Fault.MustFire] count the requests that it affected. Fault
// panics if there is no such rule.
func (h *FaultyHandler) Fault(rule int) *Fault {
	if rule < 0 || rule >= len(h.faults) {
		panic(fmt.Sprintf("sim: FaultyHandler.Fault(%d): there are %d rules, counted from 0", rule, len(h.faults)))
	}
	return h.faults[rule].fault
}

// take returns the rule that applies to a request, or nil.
func (h *FaultyHandler) take(r *http.Request) *httpFault {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range h.faults {
		if !f.matches(r) || !get(h.n, func() bool { return f.fault.state == faultLasts }) {
			continue
		}
		if f.seen++; f.seen > f.Skip && (f.Count == 0 || f.seen <= f.Skip+f.Count) {
			return f
		}
	}
	return nil
}

// ServeHTTP implements [http.Handler].
func (h *FaultyHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := h.take(r)
	if f == nil {
		h.next.ServeHTTP(w, r)
		return
	}
	h.n.do(func() { f.fault.hit(h.n.now()) })
	f.serve(w, r, h.next)
}

// serve answers a request as the rule says.
func (f *httpFault) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if f.Delay > 0 {
		select {
		case <-time.After(f.Delay):
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
	if f.GoAway {
		w.Header().Set("Connection", "close")
	}
	switch {
	case f.Abort:
		abortHTTP(w)
	case f.Malformed:
		if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
			fmt.Fprint(c, "this is not HTTP\r\n\r\n")
			c.Close()
			return
		}
		abortHTTP(w)
	case f.Status > 0:
		if f.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(f.RetryAfter/time.Second)))
		}
		w.WriteHeader(f.Status)
	case f.CutAfter > 0 || f.Rate > 0:
		next.ServeHTTP(&faultyBody{ResponseWriter: w, rate: f.Rate, left: f.CutAfter, cuts: f.CutAfter > 0}, r)
	default:
		next.ServeHTTP(w, r)
	}
}

// abortHTTP ends a request without an answer, or with half of one.
func abortHTTP(w http.ResponseWriter) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil { // HTTP/2
		panic(http.ErrAbortHandler)
	}
	under := c
	if t, ok := c.(interface{ NetConn() net.Conn }); ok { // TLS
		under = t.NetConn()
	}
	if tcp, ok := under.(interface{ SetLinger(sec int) error }); ok {
		_ = tcp.SetLinger(0) // it fails only if the connection has ended
	}
	under.Close()
}

// A faultyBody is an answer that is slow, or ends too early.
type faultyBody struct {
	http.ResponseWriter
	rate netem.BitRate
	left int // bytes before the cut
	cuts bool
}

// Unwrap is for http.ResponseController.
func (b *faultyBody) Unwrap() http.ResponseWriter { return b.ResponseWriter }

// Flush sends what was written.
func (b *faultyBody) Flush() { _ = http.NewResponseController(b.ResponseWriter).Flush() }

func (b *faultyBody) Write(p []byte) (written int, err error) {
	for len(p) > 0 {
		piece := p
		if b.rate > 0 {
			piece = p[:min(len(p), 1<<10)]
		}
		if b.cuts {
			piece = piece[:min(len(piece), b.left)]
		}
		if b.cuts && len(piece) == 0 {
			panic(http.ErrAbortHandler) // the server closes the connection, or resets the stream
		}
		k, err := b.ResponseWriter.Write(piece)
		written += k
		if err != nil {
			return written, err
		}
		b.left -= k
		if b.Flush(); b.rate > 0 {
			time.Sleep(time.Duration(float64(k) * 8 / float64(b.rate) * 1e9))
		}
		p = p[k:]
	}
	return written, nil
}
