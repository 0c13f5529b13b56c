package sim_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/squall-sim/squall/sim"
)

// These tests draw requests at random, over the networks and under the faults of programs_test.go. Both sides send
// bodies or messages, at the same time where the protocol allows it, and check every byte. Unless a host crashes,
// each request succeeds, and at the first attempt except over HTTP/2.

func TestRandomRequestsOverHTTP1(t *testing.T)     { tryRequests(t, "HTTP/1.1") }
func TestRandomRequestsOverHTTP2(t *testing.T)     { tryRequests(t, "HTTP/2") }
func TestRandomMessagesOverWebSocket(t *testing.T) { tryRequests(t, "WebSocket") }

func tryRequests(t *testing.T, protocol string) {
	eachProgram(t, 0, 6, func(seed uint64) error {
		crashes := seed%3 == 2
		p := &program{seed: seed, r: rand.New(rand.NewPCG(seed, 11)), crashes: crashes}
		return sim.Try(t, func(n *sim.Network) error {
			p.n = n
			// net/http's HTTP/2 server gives a client two seconds to begin.
			r := &exchanges{p: p, protocol: protocol, mayFail: crashes || protocol == "HTTP/2", finished: map[string]bool{}}
			return r.run()
		}, sim.Seed(seed), sim.WithTCP(p.tcp()))
	})
}

// exchanges is what some clients ask of one server.
type exchanges struct {
	p        *program
	protocol string
	mayFail  bool // an attempt; the next one is another connection's
	mu       sync.Mutex
	finished map[string]bool // clients
	serving  int             // handlers that run
	errors   []error
	closers  []func()
}

// A request describes one exchange: the data to the server (in) and to the client (out).
type request struct {
	in, out end
	duplex  bool // the answer does not wait for the end of the question
}

func (r *exchanges) run() error {
	p := r.p
	p.build()
	server := p.hosts[0]
	handler := http.HandlerFunc(r.answer)
	if r.protocol == "WebSocket" {
		handler = r.answerSocket
	}
	server.ServeHTTP(":80", handler)
	for _, client := range p.hosts[1:] {
		var todo []request
		for range 1 + p.r.IntN(4) {
			todo = append(todo, r.draw())
		}
		together := p.one(2)
		r.finished[client.Name()] = false
		client.Run("client", func(ctx context.Context, h *sim.Host) error {
			c := r.client(h)
			work := func(q request) {
				for ctx.Err() == nil {
					err := r.ask(ctx, c, q)
					if err == nil {
						return
					}
					if !r.mayFail && ctx.Err() == nil {
						r.fail("%s: %w", h.Name(), err)
						return
					}
					time.Sleep(500 * ms)
				}
			}
			var all sync.WaitGroup
			for _, q := range todo {
				all.Go(func() { work(q) })
				if !together {
					all.Wait()
				}
			}
			all.Wait()
			if ctx.Err() == nil {
				r.mu.Lock()
				r.finished[h.Name()] = true
				r.mu.Unlock()
			}
			return nil
		})
	}
	p.faults()
	for p.n.Elapsed() < 24*time.Hour && !r.over() {
		time.Sleep(10 * time.Second)
	}
	if !r.over() {
		r.fail("not all clients have finished")
	}
	for _, f := range r.closers {
		f()
	}
	if len(r.errors) > 0 {
		return errors.Join(r.errors...)
	}
	time.Sleep(10 * time.Minute)
	return p.silence()
}

func (r *exchanges) over() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ok := range r.finished {
		if !ok {
			return false
		}
	}
	return r.serving == 0
}

// serve counts a handler.
func (r *exchanges) serve(count int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.serving += count
}

func (r *exchanges) fail(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors = append(r.errors, fmt.Errorf("at %v: "+format, append([]any{r.p.n.Elapsed()}, args...)...))
}

func (r *exchanges) client(h *sim.Host) *http.Client {
	c := h.HTTPClient()
	if r.protocol == "HTTP/2" {
		protocols := new(http.Protocols)
		protocols.SetUnencryptedHTTP2(true)
		c.Transport.(*http.Transport).Protocols = protocols
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closers = append(r.closers, c.CloseIdleConnections)
	return c
}

func (r *exchanges) draw() request {
	p := r.p
	side := func() end {
		e := end{seed: p.r.Uint64(), size: pick(p.r, 0, 1, 500, 5000, 70_000, 300_000), pieces: 1 + p.r.IntN(40_000)}
		e.size = p.r.IntN(e.size + 1)
		if p.mtu > 0 && p.mtu < 128 {
			e.size /= 20
		}
		if p.one(3) {
			e.size, e.pause = e.size/10, steps(p.r, 10)
			e.pieces = max(e.pieces, e.size/20)
		}
		if p.one(4) {
			e.slow = steps(p.r, 6)
		}
		return e
	}
	return request{in: side(), out: side(), duplex: p.one(2)}
}

// A bodyOf gives the bytes of one end, piece by piece.
type bodyOf struct {
	e  *end
	at int
}

func (s *bodyOf) Read(b []byte) (int, error) {
	if s.at == s.e.size {
		return 0, io.EOF
	}
	if s.e.pause > 0 {
		time.Sleep(s.e.pause)
	}
	k := min(len(b), s.e.size-s.at, s.e.pieces)
	for i := range k {
		b[i] = s.e.byteAt(s.at + i)
	}
	s.at += k
	return k, nil
}

// errWrongBytes is an error that no fault of the network may cause.
var errWrongBytes = errors.New("wrong bytes")

// check reads what e has sent, to its end.
func (r *exchanges) check(from io.Reader, e *end) error {
	buf := make([]byte, 4000)
	for got := 0; ; {
		k, err := from.Read(buf)
		for i, b := range buf[:k] {
			if got+i >= e.size || b != e.byteAt(got+i) {
				r.fail("wrong byte at %d of %d", got+i, e.size)
				return errWrongBytes
			}
		}
		got += k
		switch {
		case err == io.EOF && got < e.size:
			if !r.mayFail {
				r.fail("the end after %d of %d", got, e.size)
			}
			return io.ErrUnexpectedEOF
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		if e.slow > 0 {
			time.Sleep(e.slow)
		}
	}
}

func (q *request) query() string {
	v := url.Values{}
	for name, e := range map[string]*end{"in": &q.in, "out": &q.out} {
		v.Set(name, fmt.Sprintf("%d %d %d %d %d", e.seed, e.size, e.pieces, e.pause, e.slow))
	}
	v.Set("duplex", strconv.FormatBool(q.duplex))
	return "server?" + v.Encode()
}

func queryOf(r *http.Request) (q request) {
	v := r.URL.Query()
	for name, e := range map[string]*end{"in": &q.in, "out": &q.out} {
		fmt.Sscan(v.Get(name), &e.seed, &e.size, &e.pieces, (*int64)(&e.pause), (*int64)(&e.slow))
	}
	q.duplex = v.Get("duplex") == "true"
	return q
}

func (r *exchanges) answer(w http.ResponseWriter, req *http.Request) {
	r.serve(1)
	defer r.serve(-1)
	q := queryOf(req)
	var checked sync.WaitGroup
	var err error
	if q.duplex {
		http.NewResponseController(w).EnableFullDuplex()
		checked.Go(func() { err = r.check(req.Body, &q.in) })
	} else {
		err = r.check(req.Body, &q.in)
	}
	buf := make([]byte, max(q.out.pieces, 1))
	src := &bodyOf{e: &q.out}
	for {
		k, end := src.Read(buf)
		if end != nil {
			break
		}
		if _, wrong := w.Write(buf[:k]); wrong != nil {
			break
		}
		if q.duplex {
			w.(http.Flusher).Flush()
		}
	}
	checked.Wait()
	if err != nil && !r.mayFail {
		r.fail("the server's handler: %w", err)
	}
}

// ask makes one request.
func (r *exchanges) ask(ctx context.Context, c *http.Client, q request) error {
	host := r.p.hosts[0].Name()
	if r.protocol == "WebSocket" {
		return r.askSocket(ctx, c, q, "ws://"+host+"/"+q.query())
	}
	req, err := http.NewRequestWithContext(ctx, "POST", "http://"+host+"/"+q.query(), io.NopCloser(&bodyOf{e: &q.in}))
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", resp.Status)
	}
	return r.check(resp.Body, &q.out)
}

func (r *exchanges) answerSocket(w http.ResponseWriter, req *http.Request) {
	r.serve(1)
	defer r.serve(-1)
	q := queryOf(req)
	ws, err := websocket.Accept(w, req, nil)
	if err == nil {
		defer ws.CloseNow()
		if err = r.exchange(ws, &q.out, &q.in); err == nil {
			ws.Read(context.Background()) // the client closes
		}
	}
	if err != nil && !r.mayFail {
		r.fail("the server's handler: %w", err)
	}
}

func (r *exchanges) askSocket(ctx context.Context, c *http.Client, q request, url string) error {
	ws, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: c})
	if err != nil {
		return err
	}
	defer ws.CloseNow()
	stop := context.AfterFunc(ctx, func() { ws.CloseNow() })
	defer stop()
	if err := r.exchange(ws, &q.in, &q.out); err != nil {
		return err
	}
	ws.Close(websocket.StatusNormalClosure, "")
	return nil
}

// exchange sends messages and reads those of the peer at the same time.
func (r *exchanges) exchange(ws *websocket.Conn, mine, peers *end) error {
	ws.SetReadLimit(-1)
	var both sync.WaitGroup
	var wrong error
	both.Go(func() {
		buf := make([]byte, max(mine.pieces, 1))
		src := &bodyOf{e: mine}
		for {
			k, end := src.Read(buf)
			if end == nil {
				end = ws.Write(context.Background(), websocket.MessageBinary, buf[:k])
			}
			if end != nil {
				if end != io.EOF {
					wrong = end
				}
				return
			}
		}
	})
	err := r.check(&messages{ws: ws, left: peers.size}, peers)
	both.Wait()
	return errors.Join(err, wrong)
}

// messages reads the messages of a peer as one stream.
type messages struct {
	ws   *websocket.Conn
	left int
	rest []byte
}

func (m *messages) Read(p []byte) (int, error) {
	if m.left == 0 {
		return 0, io.EOF
	}
	if len(m.rest) == 0 {
		var err error
		if _, m.rest, err = m.ws.Read(context.Background()); err != nil {
			return 0, err
		}
	}
	k := copy(p, m.rest)
	m.rest = m.rest[k:]
	m.left -= k
	return k, nil
}
