package patterntest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
)

// A line is a service of calls with numbers over one connection, of which each end asks now and then whether it is alive.
// Its fields break it.
type line struct {
	claims  func(s *patterntest.Service)
	number  func(nth int) int                       // of a call, instead of its place on the connection
	match   func(k *lineConn, f frame) (number int) // whose answer a frame is, instead of its number's
	inTurn  bool                                    // the server executes one call after the other
	twice   bool                                    // the server answers twice
	silent  bool                                    // nobody asks whether the other end is alive
	again   bool                                    // the client sends again, over the next connection, what has no answer
	expires func(k *lineConn)                       // what the client does when a call has waited enough
	forgets func(k *lineConn, number int)           // instead of lineConn.forget
	once    bool                                    // the client makes one connection only
	deaf    bool                                    // the client waits for an answer for ever
	shared  bool                                    // of all connections of the server one is written to at a time

	writing chan struct{}
}

// on is the line as a service.
func (l line) on(*sim.Network) patterntest.Service {
	if l.shared {
		l.writing = make(chan struct{}, 1)
	}
	s := patterntest.Service{
		Serve: l.serve,
		Client: func(ctx context.Context, h *sim.Host, servers ...string) patterntest.Ask {
			c := &lineClient{line: l, host: h, server: servers[0] + ":80", turn: make(chan struct{}, 1)}
			context.AfterFunc(ctx, c.hangUp)
			return c.ask
		},
		Cancels: true,
		Detects: 20 * time.Second, // it asks each 5 s, and waits for 10 s
	}
	if l.claims != nil {
		l.claims(&s)
	}
	return s
}

// A frame is a question, an answer, or neither: a sign of life.
type frame struct {
	Number        int // 0: a sign of life
	Data, Failure string
	Refused       bool
	Cancel        bool
}

// A lineConn is a connection, of either end.
type lineConn struct {
	conn   net.Conn
	served bool // it is the server's end
	out    chan frame
	gone   chan struct{} // closed at its end

	mu      sync.Mutex
	nth     int
	waiting map[int]chan frame
	order   []int // of those that wait
	heard   time.Time
}

func (l line) connection(conn net.Conn) *lineConn {
	return &lineConn{conn: conn, out: make(chan frame, 1000), gone: make(chan struct{}), waiting: map[int]chan frame{}, heard: time.Now()}
}

// write sends what is to be sent, and a sign of life every 5 s.
func (l line) write(k *lineConn) {
	defer k.conn.Close()
	out := json.NewEncoder(k.conn)
	alive := time.NewTicker(5 * time.Second)
	defer alive.Stop()
	for {
		var f frame
		select {
		case f = <-k.out:
		case <-alive.C:
			k.mu.Lock()
			deaf := time.Since(k.heard) > 10*time.Second
			k.mu.Unlock()
			if l.silent {
				continue
			} else if deaf {
				return
			}
		case <-k.gone:
			return
		}
		if l.writing != nil && k.served {
			l.writing <- struct{}{}
		}
		err := out.Encode(f)
		if l.writing != nil && k.served {
			<-l.writing
		}
		if err != nil {
			return
		}
	}
}

// read hands over what comes, until the connection ends.
func (l line) read(k *lineConn, take func(f frame)) {
	defer k.conn.Close()
	defer close(k.gone)
	for in := json.NewDecoder(k.conn); ; {
		var f frame
		if in.Decode(&f) != nil {
			return
		}
		k.mu.Lock()
		k.heard = time.Now()
		k.mu.Unlock()
		if f.Number != 0 {
			take(f)
		}
	}
}

func (l line) serve(ctx context.Context, h *sim.Host, app *patterntest.App) error {
	listener, err := h.Listen("tcp", ":80")
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { listener.Close() })()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return nil
		}
		k := l.connection(conn)
		k.served = true
		context.AfterFunc(ctx, func() { conn.Close() })
		go l.write(k)
		go l.answer(ctx, app, k)
	}
}

// answer executes what comes over a connection.
func (l line) answer(ctx context.Context, app *patterntest.App, k *lineConn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	running := map[int]context.CancelFunc{}
	l.read(k, func(f frame) {
		if f.Cancel {
			mu.Lock()
			defer mu.Unlock()
			if stop := running[f.Number]; stop != nil {
				stop()
			}
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		mu.Lock()
		running[f.Number] = cancel
		mu.Unlock()
		run := func() {
			answer, err := app.Do(ctx, f.Data)
			cancel()
			reply := frame{Number: f.Number, Data: answer}
			if err != nil {
				reply.Failure, reply.Refused = err.Error(), errors.As(err, new(*patterntest.Refusal))
			}
			k.out <- reply
			if l.twice {
				k.out <- reply
			}
		}
		if l.inTurn {
			run()
		} else {
			go run()
		}
	})
}

// lineClient is a client's life.
type lineClient struct {
	line   line
	host   *sim.Host
	server string
	turn   chan struct{} // of those who need a connection

	mu   sync.Mutex
	conn *lineConn // nil: none
	over bool
}

func (c *lineClient) hangUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over = true; c.conn != nil {
		c.conn.conn.Close()
	}
}

// connect returns the connection, and makes one if there is none.
func (c *lineClient) connect(ctx context.Context) (*lineConn, error) {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-c.turn }()
	c.mu.Lock()
	k, over := c.conn, c.over
	c.mu.Unlock()
	if over {
		return nil, net.ErrClosed
	}
	if k != nil {
		select {
		case <-k.gone:
			if c.line.once {
				return nil, net.ErrClosed
			}
		default:
			return k, nil
		}
	}
	conn, err := c.host.DialContext(ctx, "tcp", c.server)
	if err != nil {
		return nil, err
	}
	k = c.line.connection(conn)
	go c.line.write(k)
	go c.line.read(k, func(f frame) { c.line.hand(k, f) })
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn = k; c.over {
		conn.Close()
	}
	return k, nil
}

// hand gives an answer to whom it is for. One for nobody is dropped.
func (l line) hand(k *lineConn, f frame) {
	k.mu.Lock()
	defer k.mu.Unlock()
	number := f.Number
	if l.match != nil {
		number = l.match(k, f)
	}
	if reply := k.waiting[number]; reply != nil {
		delete(k.waiting, number)
		reply <- f
	}
	for i, n := range k.order {
		if n == number {
			k.order = append(k.order[:i], k.order[i+1:]...)
			break
		}
	}
}

// expect returns the number of a call, and where its answer will be.
func (l line) expect(k *lineConn) (number int, reply chan frame) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.nth++
	number, reply = k.nth, make(chan frame, 1)
	if l.number != nil {
		number = l.number(k.nth)
	}
	k.waiting[number] = reply
	k.order = append(k.order, number)
	return number, reply
}

func (l line) forget(k *lineConn, number int) {
	if l.forgets != nil {
		l.forgets(k, number)
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.waiting, number)
}

func (c *lineClient) ask(ctx context.Context, r patterntest.Request) (string, error) {
	k, err := c.connect(ctx)
	if err != nil {
		return "", fmt.Errorf("%w: %w", patterntest.ErrNotExecuted, err)
	}
	number, reply := c.line.expect(k)
	select {
	case k.out <- frame{Number: number, Data: r.Data}:
	case <-k.gone:
		return "", fmt.Errorf("%w: the line is cut", patterntest.ErrNotExecuted)
	}
	patience := ctx.Done()
	if c.line.deaf {
		patience = nil
	}
	select {
	case f := <-reply:
		switch {
		case f.Refused:
			return "", fmt.Errorf("%w: refused", patterntest.ErrNotExecuted)
		case f.Failure != "":
			return "", errors.New(f.Failure)
		}
		return f.Data, nil
	case <-k.gone:
		if c.line.again && ctx.Err() == nil {
			answer, err := c.ask(ctx, r)
			if err != nil {
				err = said(err, true)
			}
			return answer, err
		}
		return "", errors.New("the line is cut")
	case <-patience:
		c.line.forget(k, number)
		select {
		case k.out <- frame{Number: number, Cancel: true}:
		default:
		}
		if c.line.expires != nil {
			c.line.expires(k)
		}
		return "", ctx.Err()
	}
}
