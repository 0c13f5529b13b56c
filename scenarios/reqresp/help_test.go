package reqresp_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"reflect"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/reqresp"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/scenarios/scenario"
	"github.com/squall-sim/squall/sim"
)

// A bank is a server with one account: POST /add adds the number in the body, GET returns the balance, and /echo the
// path. It counts outside its store what it began and what took effect.
type bank struct {
	n    *sim.Network
	host *sim.Host
	// links are those of clients, by host.
	links map[string]*sim.Link

	// Set before it is started.
	server *reqresp.Server // its settings; then the running one
	line   bool            // one connection instead of HTTP
	work   time.Duration
	workOf func(*reqresp.Request) time.Duration
	deaf   bool                              // it does not look at its context
	twice  bool                              // each frame of an answer is sent twice
	disk   string                            // the folder of its store; "": in memory
	store  func(reqresp.Store) reqresp.Store // what is put around it
	next   *reqresp.Client                   // whom it asks in turn
	in     func()                            // called in each effect that adds

	mu             sync.Mutex
	began, effects int
	left           []time.Duration // what each request that was begun had left, 0: no end
	ended          []time.Duration // when those that were given up ended
}

// startBank starts one on the host server.
func startBank(n *sim.Network, change func(*bank)) *bank { return startBankOn(n, "server", change) }

func startBankOn(n *sim.Network, host string, change func(*bank)) *bank {
	b := &bank{n: n, host: n.Host(host), server: &reqresp.Server{Jitter: retry.NoJitter}}
	b.server.Handle = b.handle
	if change != nil {
		change(b)
	}
	settings := b.server
	b.host.Run("bank", func(ctx context.Context, h *sim.Host) error { return b.live(ctx, h, settings) })
	time.Sleep(1)
	return b
}

// live is one life of the server's process.
func (b *bank) live(ctx context.Context, h *sim.Host, settings *reqresp.Server) error {
	s := &reqresp.Server{} // a process begins with empty memory
	from, to := reflect.ValueOf(settings).Elem(), reflect.ValueOf(s).Elem()
	for i := range from.NumField() {
		if from.Type().Field(i).IsExported() {
			to.Field(i).Set(from.Field(i))
		}
	}
	s.Store = reqresp.NewMemory(reqresp.StoreOptions{})
	if b.disk != "" {
		disk, err := reqresp.OpenDisk(filepath.Join(b.disk, "answers"), reqresp.StoreOptions{})
		if err != nil {
			return err
		}
		defer disk.Close()
		s.Store = disk
	}
	if b.store != nil {
		s.Store = b.store(s.Store)
	}
	b.look(func() { b.server = s })
	if !b.line {
		return patterntest.ServeHTTP(ctx, h, s.Handler())
	}
	l, err := h.Listen("tcp", ":80")
	if err != nil {
		return err
	}
	if b.twice {
		l = twice{l}
	}
	defer context.AfterFunc(ctx, func() { s.Close(); l.Close() })()
	return s.Serve(l)
}

func (b *bank) handle(ctx context.Context, r *reqresp.Request) (reqresp.Effect, error) {
	b.mu.Lock()
	b.began++
	left := time.Duration(0)
	if deadline, ok := ctx.Deadline(); ok {
		left = time.Until(deadline)
	}
	b.left = append(b.left, left)
	b.mu.Unlock()
	work := b.work
	if b.workOf != nil {
		work = b.workOf(r)
	}
	if b.deaf {
		time.Sleep(work)
	} else if err := retry.Sleep(ctx, work); err != nil {
		b.mu.Lock()
		b.ended = append(b.ended, b.n.Elapsed())
		b.mu.Unlock()
		return nil, err
	}
	if b.next != nil {
		answer, err := b.next.Call(ctx, reqresp.Request{Method: r.Method, Path: r.Path, Body: r.Body, Key: r.Key})
		return func(reqresp.Tx) (*reqresp.Response, error) { return answer, nil }, err
	}
	return func(tx reqresp.Tx) (*reqresp.Response, error) {
		balance, _ := strconv.Atoi(string(tx.Get("account")))
		if r.Method == http.MethodPost {
			amount, _ := strconv.Atoi(string(r.Body))
			balance += amount
			tx.Put("account", []byte(strconv.Itoa(balance)))
			b.mu.Lock()
			b.effects++
			b.mu.Unlock()
			if b.in != nil {
				b.in()
			}
		}
		if len(r.Path) > 5 && r.Path[:5] == "/echo" {
			return &reqresp.Response{Body: []byte(r.Path)}, nil
		}
		return &reqresp.Response{Body: []byte(strconv.Itoa(balance))}, nil
	}, nil
}

// look calls f while nothing is counted.
func (b *bank) look(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

// counts requires what was begun and took effect.
func (b *bank) counts(t *testing.T, began, effects int) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Equal(t, [2]int{began, effects}, [2]int{b.began, b.effects}, "begun, and in effect")
}

func (b *bank) link(client string) *sim.Link { return b.links[client] }

// client is a client on a host of its own.
func (b *bank) client(host string, change func(*reqresp.Client)) *reqresp.Client {
	return b.clientOf(b.host.Name(), host, change)
}

// clientOf is a client of another host, which leads to the bank.
func (b *bank) clientOf(to, host string, change func(*reqresp.Client)) *reqresp.Client {
	h := b.n.Host(host)
	if to != "" {
		if b.links == nil {
			b.links = map[string]*sim.Link{}
		}
		b.links[host] = b.n.Link(h, b.n.Host(to), scenario.Good)
	}
	c := &reqresp.Client{URL: "http://" + to, HTTP: h.HTTPClient(), Jitter: retry.NoJitter}
	if b.line {
		c.Dial = func(ctx context.Context) (net.Conn, error) { return h.DialContext(ctx, "tcp", to+":80") }
	}
	if change != nil {
		change(c)
	}
	return c
}

// warm gives a client a connection.
func warm(t *testing.T, c *reqresp.Client) {
	t.Helper()
	_, err := c.Call(t.Context(), reqresp.Request{})
	require.NoError(t, err)
	time.Sleep(1)
}

// twice is a listener whose connections send each frame of an answer twice. A Write is a frame.
type twice struct{ net.Listener }

func (l twice) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return &twiceConn{Conn: conn}, err
}

type twiceConn struct {
	net.Conn
	greeted bool
}

func (c *twiceConn) Write(b []byte) (int, error) {
	if c.greeted {
		c.Conn.Write(b)
	}
	c.greeted = true
	return c.Conn.Write(b)
}

// A crashing store has the host crash as a transaction has been committed.
type crashing struct {
	reqresp.Store
	crash func()
}

func (c crashing) Commit(ctx context.Context, key string, r reqresp.Record, now time.Time, effect reqresp.Effect) (*reqresp.Record, error) {
	record, err := c.Store.Commit(ctx, key, r, now, effect)
	if key != "" {
		c.crash()
	}
	return record, err
}

// crashAround has the process die once, within the transaction or behind it, and start again.
func crashAround(t *testing.T, n *sim.Network, before bool) {
	var once sync.Once
	crash := func() {
		once.Do(func() {
			n.Host("server").Crash()
			n.After(50*ms, n.Host("server").Restart)
			if before {
				panic("the process is dead") // so that nothing is committed
			}
		})
	}
	b := startBank(n, func(b *bank) {
		b.disk = t.TempDir()
		if before {
			b.in = crash
		} else {
			b.store = func(s reqresp.Store) reqresp.Store { return crashing{s, crash} }
		}
	})
	c := b.client("phone", nil)
	answer, err := c.Call(t.Context(), add("k"))
	require.NoError(t, err)
	require.Equal(t, "1", string(answer.Body))
	require.Equal(t, 2, answer.Attempts)
	balance, err := c.Call(t.Context(), reqresp.Request{})
	require.NoError(t, err)
	require.Equal(t, "1", string(balance.Body), "one effect")
	// What ran before the commit ran again; what ran behind it did not.
	if before {
		b.counts(t, 3, 2)
	} else {
		b.counts(t, 2, 1)
	}
}

// idleRace has the server close a connection 20 ms before a request arrives on it.
func idleRace(t *testing.T, n *sim.Network, byReset bool) {
	b := &bank{n: n, host: n.Host("server")}
	s := &reqresp.Server{Handle: b.handle}
	l, err := b.host.Listen("tcp", ":80")
	require.NoError(t, err)
	server := &http.Server{Handler: s.Handler(), IdleTimeout: 5 * sec, ConnState: func(c net.Conn, state http.ConnState) {
		if byReset && state == http.StateNew {
			c.(interface{ SetLinger(int) error }).SetLinger(0)
		}
	}}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	c := b.client("phone", nil)
	for _, row := range []struct {
		request  reqresp.Request
		outcome  reqresp.Outcome
		attempts int
		effects  int
	}{
		{reqresp.Request{}, reqresp.Done, 2, 0},
		{add(""), reqresp.Unknown, 1, 0},
		{reqresp.Request{Method: "POST"}, reqresp.Unknown, 1, 0},
		{add("k"), reqresp.Done, 2, 1},
	} {
		warm(t, c)
		b.look(func() { b.began, b.effects = 0, 0 })
		// The answer left the server 40 ms ago, and 5 s later the server closes.
		time.Sleep(5*sec - 40*ms - 20*ms)
		attempts := c.Stats().Attempts
		_, err := c.Call(t.Context(), row.request)
		require.Equal(t, row.outcome, reqresp.OutcomeOf(err), "%v", err)
		require.EqualValues(t, row.attempts, c.Stats().Attempts-attempts)
		b.counts(t, row.attempts-1, row.effects) // what arrived behind the end was not begun
		time.Sleep(10 * sec)
	}
	// When the client has seen the end there is no race.
	warm(t, c)
	time.Sleep(6 * sec)
	_, err = c.Call(t.Context(), add(""))
	require.NoError(t, err)
}

// tie has a call's patience end so much before its answer comes.
func tie(offset time.Duration) func(t *testing.T, n *sim.Network) {
	return func(t *testing.T, n *sim.Network) {
		for i, line := range []bool{false, true} {
			b := startBankOn(n, fmt.Sprint("server", i), func(b *bank) { b.line = line })
			c := b.client(fmt.Sprint("phone", i), nil)
			echo := func(text string, patience time.Duration) (*reqresp.Response, error) {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				return c.Call(ctx, reqresp.Request{Method: "POST", Path: "/echo?" + text})
			}
			warm(t, c)
			for k := range 5 {
				start := time.Now()
				_, err := echo("warm", sec)
				require.NoError(t, err)
				took := time.Since(start)
				answer, err := echo(fmt.Sprint("tie", k), took-offset)
				if offset != 0 {
					require.Equal(t, offset < 0, err == nil, "%v", err)
				}
				if err == nil {
					require.Equal(t, fmt.Sprint("/echo?tie", k), string(answer.Body))
				} else {
					require.Equal(t, reqresp.Unknown, reqresp.OutcomeOf(err))
				}
				time.Sleep(1) // a call that was given up is cancelled by a frame, with which the next would else be written, or after it
				next, err := echo(fmt.Sprint("next", k), sec)
				require.NoError(t, err)
				require.Equal(t, fmt.Sprint("/echo?next", k), string(next.Body))
				time.Sleep(sec)
			}
		}
	}
}

// gone has a client give up in the middle of ten seconds of work.
func gone(t *testing.T, n *sim.Network, line bool) {
	b := startBank(n, func(b *bank) { b.line, b.work = line, 10*sec })
	c := b.client("phone", nil)
	ctx, cancel := context.WithCancel(t.Context())
	n.After(3*sec, cancel)
	_, err := c.Call(ctx, add("k"))
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, reqresp.Unknown, reqresp.OutcomeOf(err))
	require.Equal(t, 3*sec, exact(n.Elapsed()))
	time.Sleep(40*ms + 1000)
	b.look(func() {
		require.Len(t, b.ended, 1)
		require.Equal(t, 3*sec+40*ms, exact(b.ended[0]))
	})
	time.Sleep(time.Minute)
	b.counts(t, 1, 0)
	require.Equal(t, reqresp.ServerStats{Executed: 1, Gone: 1}, b.server.Stats())
}

// slowLoris has two clients that send a byte every now and then.
func slowLoris(t *testing.T, n *sim.Network) {
	b := &bank{n: n, host: n.Host("server")}
	s := &reqresp.Server{Handle: b.handle}
	server := b.host.ServeHTTP(":80", s.Handler())
	server.ReadHeaderTimeout = 5 * sec
	evil := n.Host("evil")
	n.Link(evil, b.host, scenario.Good)
	dribble := func(wait time.Duration, first string) (took time.Duration) {
		time.Sleep(wait)
		conn, err := evil.Dial("tcp", "server:80")
		require.NoError(t, err)
		defer conn.Close()
		start := time.Now()
		io.WriteString(conn, first)
		go func() {
			for range 60 {
				time.Sleep(10 * sec)
				if _, err := io.WriteString(conn, "x"); err != nil {
					return
				}
			}
		}()
		io.Copy(io.Discard, conn)
		return exact(time.Since(start))
	}
	var all sync.WaitGroup
	// A transit, the time that is allowed, and a transit back. net/http lingers for another half a second, so that an answer is read.
	all.Go(func() { require.Equal(t, 40*ms+5*sec+40*ms, dribble(0, "GET / HTTP/1.1\r\nHost: server\r\nX: ")) })
	all.Go(func() {
		took := dribble(ms, "POST / HTTP/1.1\r\nHost: server\r\nContent-Length: 100\r\n\r\n")
		require.GreaterOrEqual(t, took, 40*ms+10*sec+40*ms)
		require.LessOrEqual(t, took, 40*ms+11*sec)
	})
	c := b.client("phone", nil)
	warm(t, c)
	for range 30 {
		start := time.Now()
		_, err := c.Call(t.Context(), reqresp.Request{})
		require.NoError(t, err)
		require.Equal(t, 80*ms, exact(time.Since(start)))
		time.Sleep(sec)
	}
	all.Wait()
	require.Zero(t, s.Stats().Executing)
}
