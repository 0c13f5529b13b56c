package reqresp_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/reqresp"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/sim"
)

const (
	ms  = time.Millisecond
	sec = time.Second
)

// A bank executes requests: POST /add adds the body's number to the account, GET returns it. It
// counts what it began and what came of it, outside the store.
type bank struct {
	mu      sync.Mutex
	began   []time.Duration // when Handle was called, since the beginning
	effects int
	ended   []error // of the contexts of those that were told to wait and were not let
	start   time.Time
	wait    time.Duration // what the work takes
}

func (b *bank) handle(ctx context.Context, r *reqresp.Request) (reqresp.Effect, error) {
	b.mu.Lock()
	if b.start.IsZero() {
		b.start = time.Now()
	}
	b.began = append(b.began, time.Since(b.start))
	wait := b.wait
	b.mu.Unlock()
	if err := retry.Sleep(ctx, wait); err != nil {
		b.mu.Lock()
		b.ended = append(b.ended, err)
		b.mu.Unlock()
		return nil, err
	}
	return func(tx reqresp.Tx) (*reqresp.Response, error) {
		balance, _ := strconv.Atoi(string(tx.Get("account")))
		if r.Method == http.MethodGet {
			return &reqresp.Response{Body: fmt.Appendf(nil, "%d", balance)}, nil
		}
		amount, err := strconv.Atoi(string(r.Body))
		if err != nil {
			return &reqresp.Response{Status: 400, Body: []byte("no number")}, nil
		}
		b.mu.Lock()
		b.effects++
		b.mu.Unlock()
		tx.Put("account", strconv.AppendInt(nil, int64(balance+amount), 10))
		return &reqresp.Response{Status: 201, Body: fmt.Appendf(nil, "%d", balance+amount)}, nil
	}, nil
}

// takes says how long the work takes from now on.
func (b *bank) takes(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wait = d
}

func (b *bank) counts() (began, effects int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.began), b.effects
}

// carriers are HTTP/1.1 and one connection.
var carriers = []string{"http", "line"}

// A world is one network with a bank on a server, and a client 10 ms away.
type world struct {
	*testing.T
	net     *sim.Network
	host    *sim.Host
	phone   *sim.Host
	link    *sim.Link
	carrier string
	bank    *bank
	server  *reqresp.Server
	client  *reqresp.Client
}

// inWorld runs f on a network for each carrier.
func inWorld(t *testing.T, f func(w *world), opts ...sim.Option) {
	t.Helper()
	for _, carrier := range carriers {
		t.Run(carrier, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) { f(newWorld(t, n, carrier)) }, opts...)
		})
	}
}

func newWorld(t *testing.T, n *sim.Network, carrier string) *world {
	w := &world{T: t, net: n, host: n.Host("server"), phone: n.Host("phone"), carrier: carrier, bank: &bank{}}
	w.link = n.Link(w.phone, w.host, netem.Config{Delay: 10 * ms})
	w.server = &reqresp.Server{Handle: w.bank.handle, Jitter: retry.NoJitter}
	w.client = w.dialer(w.phone)
	return w
}

// dialer is a client of the carrier on a host.
func (w *world) dialer(h *sim.Host) *reqresp.Client {
	c := &reqresp.Client{URL: "http://server", Jitter: retry.NoJitter}
	if w.carrier == "line" {
		c.Dial = func(ctx context.Context) (net.Conn, error) { return h.DialContext(ctx, "tcp", "server:80") }
		w.Cleanup(func() { c.Close() })
	} else {
		c.HTTP = h.HTTPClient()
		w.Cleanup(c.HTTP.CloseIdleConnections)
	}
	return c
}

// serve runs the server; its settings are to be made before.
func (w *world) serve() {
	serveOn(w, w.host, w.server)
}

func serveOn(w *world, h *sim.Host, s *reqresp.Server) {
	if w.carrier == "http" {
		h.ServeHTTP(":80", s.Handler())
		return
	}
	h.Run("line", func(ctx context.Context, h *sim.Host) error {
		l, err := h.Listen("tcp", ":80")
		if err != nil {
			return err
		}
		defer context.AfterFunc(ctx, func() { s.Close(); l.Close() })()
		return s.Serve(l)
	})
	time.Sleep(1)
}

// post adds to the account.
func (w *world) post(amount int, key string) (*reqresp.Response, error) {
	return w.client.Call(w.Context(), reqresp.Request{Method: "POST", Path: "/add", Body: []byte(strconv.Itoa(amount)), Key: key})
}

// balance asks for it.
func (w *world) balance() string {
	w.Helper()
	answer, err := w.client.Call(w.Context(), reqresp.Request{Path: "/balance"})
	require.NoError(w, err)
	return string(answer.Body)
}

// counts requires what the bank was asked to do and did.
func (w *world) counts(began, effects int, why string) {
	w.Helper()
	b, e := w.bank.counts()
	require.Equal(w, [2]int{began, effects}, [2]int{b, e}, "began and effects: %s", why)
}

// exact leaves out the nanoseconds by which wake-ups at one instant are parted.
func exact(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
