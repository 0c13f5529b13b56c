package patterntest_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
)

// An office is a service over net/http with all that a service can offer; its fields break it. That which has
// none of them is sound.
type office struct {
	claims func(s *patterntest.Service)                                                      // what it says of itself
	handle func(o *deskServer, w http.ResponseWriter, r *http.Request)                       // instead of deskServer.handle
	do     func(d *deskServer, ctx context.Context, data string) (string, error)             // instead of App.Do
	keeps  func(d *deskServer, key, data string) (mine, theirs *file)                        // instead of deskServer.open
	change func(d *deskServer, ctx context.Context, object, data string) (string, error)     // instead of deskServer.change
	stops  func(ctx context.Context, d *deskServer, srv *http.Server)                        // instead of drain
	asks   func(c *officeClient, ctx context.Context, r patterntest.Request) (string, error) // instead of officeClient.ask
	once   func(c *officeClient, ctx context.Context, server string, r patterntest.Request) (string, error)
	client func(c *officeClient) // changes what it begins with

	streams func(d *deskServer, ctx context.Context, data string, more io.Reader, into io.Writer) error // instead of App.Stream
	takes   func(c *officeClient, ctx context.Context, r patterntest.Request, body io.Reader) error     // instead of io.Copy

	durable   bool
	replicas  int
	protocols *http.Protocols // nil: HTTP/1.1
	front     bool            // a proxy is in front of the server,
	duplex    bool            // which passes questions on while it answers
}

// on is the office as a service.
func (o office) on(n *sim.Network) patterntest.Service {
	s := patterntest.Service{
		Serve: func(ctx context.Context, h *sim.Host, app *patterntest.App) error {
			d := &deskServer{office: o, app: app, over: ctx.Done(), files: map[string]*file{}, objects: map[string]string{}}
			if o.durable {
				d.load()
			}
			return d.serve(ctx, h)
		},
		Client: func(ctx context.Context, h *sim.Host, servers ...string) patterntest.Ask {
			c := &officeClient{
				office: o, http: h.HTTPClient(), servers: servers, tokens: officeBurst * 100,
				out: map[string]time.Time{}, jitter: n.Rand("office " + h.Name()).Int64N, try: time.Hour, eject: 40 * time.Second,
			}
			if o.client != nil {
				o.client(c)
			}
			context.AfterFunc(ctx, c.http.CloseIdleConnections)
			if o.asks != nil {
				return func(ctx context.Context, r patterntest.Request) (string, error) { return o.asks(c, ctx, r) }
			}
			return c.ask
		},
		Keys:      &patterntest.Keys{Durable: o.durable},
		Cancels:   true,
		Deadlines: true,
		Drains:    true,
		Retries:   &patterntest.Retries{Percent: officePercent, Burst: officeBurst, After: true},
		Replicas:  o.replicas,
		Streams:   &patterntest.Streams{Halves: true},
	}
	if o.durable {
		s.State = &patterntest.State{}
	}
	if o.claims != nil {
		o.claims(&s)
	}
	return s
}

const (
	officePercent = 20
	officeBurst   = 10
)

// deskServer is a server's life.
type deskServer struct {
	office office
	app    *patterntest.App
	over   <-chan struct{} // closed when it is to end

	mu      sync.Mutex
	files   map[string]*file  // by their keys
	objects map[string]string // states, by their names
	busy    int               // calls that are executed
}

// A file is what is known of a key.
type file struct {
	Data, Answer string
	done         chan struct{} // closed when it has an answer, or was given up
	busy         bool          // of a key in use, of which nobody waits for the end
}

func (d *deskServer) serve(ctx context.Context, h *sim.Host) error {
	handle := d.handle
	if d.office.handle != nil {
		handle = func(w http.ResponseWriter, r *http.Request) { d.office.handle(d, w, r) }
	}
	if d.office.front {
		return d.serveBehind(ctx, h, http.HandlerFunc(handle))
	}
	l, err := h.Listen("tcp", ":80")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: http.HandlerFunc(handle), ErrorLog: log.New(io.Discard, "", 0), Protocols: d.office.protocols}
	stopped := make(chan struct{})
	defer context.AfterFunc(ctx, func() {
		defer close(stopped)
		l.Close()
		if d.office.stops != nil {
			d.office.stops(ctx, d, srv)
		} else {
			for d.works(0) > 0 {
				time.Sleep(10 * time.Millisecond)
			}
			time.Sleep(200 * time.Millisecond) // the last answers are on their way
		}
		srv.Close()
	})()
	srv.Serve(l)
	if ctx.Err() != nil {
		<-stopped
	}
	return nil
}

// handle takes a call.
func (d *deskServer) handle(w http.ResponseWriter, r *http.Request) {
	if length, err := strconv.Atoi(r.Header.Get("Stream")); err == nil {
		d.stream(w, r, length)
		return
	}
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	d.works(1)
	defer d.works(-1)
	d.reply(w, d.timed(r), r.Header.Get("Idempotency-Key"), r.Header.Get("Object"), string(data))
}

// works notes that more or fewer calls are executed, and returns how many.
func (d *deskServer) works(more int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.busy += more
	return d.busy
}

// timed returns the context of a call, which ends when its caller's time is over.
func (d *deskServer) timed(r *http.Request) context.Context {
	left, err := time.ParseDuration(r.Header.Get("Time-Left"))
	if err != nil {
		return r.Context()
	}
	ctx, cancel := context.WithTimeout(r.Context(), left)
	context.AfterFunc(r.Context(), cancel)
	return ctx
}

// reply executes a call, or finds its answer, and sends that.
func (d *deskServer) reply(w http.ResponseWriter, ctx context.Context, key, object, data string) {
	answer, status, after := d.answer(ctx, key, object, data)
	if after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(after/time.Second)))
	}
	w.WriteHeader(status)
	io.WriteString(w, answer)
}

func (d *deskServer) answer(ctx context.Context, key, object, data string) (answer string, status int, after time.Duration) {
	open := d.open
	if d.office.keeps != nil {
		open = func(key, data string) (*file, *file) { return d.office.keeps(d, key, data) }
	}
	var mine *file
	for key != "" && mine == nil {
		var theirs *file
		if mine, theirs = open(key, data); mine != nil {
			break
		}
		if theirs.Data != data {
			return "", http.StatusUnprocessableEntity, 0
		}
		select {
		case <-theirs.done:
			if theirs.Answer != "" {
				return theirs.Answer, http.StatusOK, 0
			}
		case <-ctx.Done():
			return "", http.StatusConflict, 0
		}
	}
	if mine != nil && mine.busy {
		return "", http.StatusServiceUnavailable, time.Second
	}
	if ctx.Err() != nil {
		d.close(key, mine, "")
		return "", http.StatusGatewayTimeout, 0
	}
	do := d.app.Do
	if d.office.do != nil {
		do = func(ctx context.Context, data string) (string, error) { return d.office.do(d, ctx, data) }
	}
	if object != "" {
		do = func(ctx context.Context, data string) (string, error) { return d.change(ctx, object, data) }
	}
	if object != "" && d.office.change != nil {
		do = func(ctx context.Context, data string) (string, error) {
			return d.office.change(d, ctx, object, data)
		}
	}
	answer, err := do(ctx, data)
	d.close(key, mine, answer)
	var refusal *patterntest.Refusal
	switch {
	case errors.As(err, &refusal):
		return "", http.StatusServiceUnavailable, refusal.RetryAfter
	case err != nil:
		return "", http.StatusInternalServerError, 0
	}
	return answer, http.StatusOK, 0
}

// change changes an object, or reads it.
func (d *deskServer) change(ctx context.Context, object, data string) (string, error) {
	change, err := d.app.Change(ctx, data)
	if err != nil {
		return "", err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	next, answer := change(d.objects[object])
	d.put(object, next)
	return answer, nil
}

// put stores the state of an object. It is locked.
func (d *deskServer) put(object, state string) {
	d.objects[object] = state
	if d.office.durable {
		d.store()
	}
}

// open returns a new file for a key, or that which there is.
func (d *deskServer) open(key, data string) (mine, theirs *file) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f := d.files[key]; f != nil {
		return nil, f
	}
	f := &file{Data: data, done: make(chan struct{})}
	d.files[key] = f
	return f, nil
}

// answerTo returns the answer in a file; "": it has none yet.
func (d *deskServer) answerTo(f *file) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return f.Answer
}

// close notes an answer; without one the key is free again.
func (d *deskServer) close(key string, f *file, answer string) {
	if f == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if f.Answer = answer; answer == "" {
		maps.DeleteFunc(d.files, func(_ string, other *file) bool { return other == f }) // a flaw may have it under another name
	} else if d.office.durable {
		d.store()
	}
	close(f.done)
}

// store writes what has an answer.
func (d *deskServer) store() {
	kept := map[string]*file{}
	for key, f := range d.files {
		if f.Answer != "" {
			kept[key] = f
		}
	}
	text, _ := json.Marshal(shelf{kept, d.objects})
	os.WriteFile(filepath.Join(d.app.Folder, "keys"), text, 0o666)
}

// A shelf is what a desk has on its disk.
type shelf struct {
	Files   map[string]*file
	Objects map[string]string
}

func (d *deskServer) load() {
	text, err := os.ReadFile(filepath.Join(d.app.Folder, "keys"))
	if err != nil {
		return
	}
	json.Unmarshal(text, &shelf{d.files, d.objects})
	for _, f := range d.files {
		f.done = make(chan struct{})
		close(f.done)
	}
}

// officeClient is a client's life.
type officeClient struct {
	office  office
	http    *http.Client
	servers []string
	jitter  func(int64) int64
	try     time.Duration // for how long one attempt may last
	eject   time.Duration // for how long a server that failed is left alone

	mu     sync.Mutex
	tokens int // hundredths of a retry
	next   int
	out    map[string]time.Time // servers that are left alone until then
}

// errAttempt is what one attempt came to.
type errAttempt struct {
	error
	after time.Duration // it was refused until then
	sent  bool
}

// ask asks until a call is done, its time or the budget is over, or it would be wrong to ask again.
func (c *officeClient) ask(ctx context.Context, r patterntest.Request) (string, error) {
	c.mu.Lock()
	c.tokens = min(c.tokens+officePercent, officeBurst*100)
	c.mu.Unlock()
	unknown := false // whether an attempt may have been executed
	for delay := 200 * time.Millisecond; ; delay = min(2*delay, 5*time.Second) {
		answer, err := c.attempt(ctx, r)
		if err == nil {
			return answer, nil
		}
		var failed errAttempt
		errors.As(err, &failed)
		unknown = unknown || failed.sent
		wait := delay/2 + c.spread(delay)
		wait = max(wait, failed.after)
		deadline, _ := ctx.Deadline()
		if failed.sent && r.Key == "" || r.More != nil || time.Until(deadline) <= wait || !c.mayRetry() {
			return "", said(err, unknown)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return "", said(ctx.Err(), unknown)
		}
	}
}

// spread draws up to a delay.
func (c *officeClient) spread(delay time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Duration(c.jitter(int64(delay)))
}

// said returns the error of a call.
func said(err error, unknown bool) error {
	if unknown {
		return errors.New(err.Error())
	}
	return errors.Join(patterntest.ErrNotExecuted, err)
}

// mayRetry takes a retry from the budget.
func (c *officeClient) mayRetry() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tokens < 100 {
		return false
	}
	c.tokens -= 100
	return true
}

// attempt asks one server.
func (c *officeClient) attempt(ctx context.Context, r patterntest.Request) (string, error) {
	server := c.choose()
	once := c.once
	if c.office.once != nil {
		once = func(ctx context.Context, server string, r patterntest.Request) (string, error) {
			return c.office.once(c, ctx, server, r)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, c.try)
	defer cancel()
	answer, err := once(ctx, server, r)
	var failed errAttempt
	if errors.As(err, &failed) && failed.after == 0 && len(c.servers) > 1 {
		c.mu.Lock()
		c.out[server] = time.Now().Add(c.eject)
		c.mu.Unlock()
		c.http.CloseIdleConnections()
	}
	return answer, err
}

// choose returns the next server that has not failed lately.
func (c *officeClient) choose() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for range c.servers {
		c.next++
		if s := c.servers[c.next%len(c.servers)]; time.Now().After(c.out[s]) {
			return s
		}
	}
	return c.servers[c.next%len(c.servers)]
}

// once sends a request.
func (c *officeClient) once(ctx context.Context, server string, r patterntest.Request) (string, error) {
	resp, err := c.send(ctx, server, r)
	if err != nil {
		var op *net.OpError
		return "", errAttempt{err, 0, !(errors.As(err, &op) && op.Op == "dial")}
	}
	if r.Into != nil && resp.StatusCode == http.StatusOK {
		return "", c.take(ctx, r, resp.Body)
	}
	return readAnswer(resp)
}

func (c *officeClient) send(ctx context.Context, server string, r patterntest.Request) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+server+"/", io.NopCloser(body(r.Data))) // which net/http cannot send again
	if err != nil {
		return nil, err
	}
	req.ContentLength = int64(len(r.Data))
	if r.Into != nil {
		req.Header.Set("Stream", strconv.Itoa(len(r.Data)))
	}
	if r.More != nil {
		req.Body, req.ContentLength = io.NopCloser(io.MultiReader(req.Body, r.More)), -1
	}
	if r.Key != "" {
		req.Header.Set("Idempotency-Key", r.Key)
	}
	if r.Object != "" {
		req.Header.Set("Object", r.Object)
	}
	if deadline, ok := ctx.Deadline(); ok {
		req.Header.Set("Time-Left", time.Until(deadline).String())
	}
	return c.http.Do(req)
}

// readAnswer takes an answer.
func readAnswer(resp *http.Response) (string, error) {
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	after, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
	switch {
	case err != nil:
		return "", errAttempt{err, 0, true}
	case resp.StatusCode == http.StatusServiceUnavailable || resp.StatusCode == http.StatusUnprocessableEntity:
		return "", errAttempt{errors.New(resp.Status), time.Duration(max(after, 0)) * time.Second, false}
	case resp.StatusCode != http.StatusOK:
		return "", errAttempt{errors.New(resp.Status), 0, true}
	}
	return string(answer), nil
}

// A body is a reader of which net/http knows nothing.
type bodyReader struct{ rest string }

func body(data string) *bodyReader { return &bodyReader{data} }

func (b *bodyReader) Read(p []byte) (int, error) {
	if b.rest == "" {
		return 0, io.EOF
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}
