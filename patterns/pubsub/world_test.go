package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/pubsub"
	"github.com/squall-sim/squall/sim"
)

const (
	ms    = time.Millisecond
	sec   = time.Second
	delay = 10 * ms // each way, in bubbles
)

// tb is what the helpers need of a test: *testing.T and *rapid.T have it.
type tb interface {
	require.TestingT
	Helper()
}

// world is a broker, a network that leads to it, and clients.
type world struct {
	t      tb
	net    *simNet
	log    eventlog.Log
	folder string                // of the store; empty: none
	broker func() *pubsub.Broker // without log and store

	b       *pubsub.Broker
	store   *pubsub.Store
	serving chan struct{}
	clients []*pubsub.Client
	dial    func(client string) func(context.Context, string, string) (net.Conn, error)
	listen  func() net.Listener
	addr    string
}

// inPieces is why two runs may differ.
const inPieces = "a link writes what is queued when its goroutine has its turn, so that frames of one instant travel in one piece or in several"

// inBubble runs f with a broker in virtual time.
func inBubble(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	folder := t.TempDir()
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		w := onMemory(t, n)
		var err error
		w.folder, err = os.MkdirTemp(folder, "") // of this seed and run
		require.NoError(t, err)
		w.start()
		defer w.close()
		f(t, w)
	}, sim.MayDiffer(inPieces))
}

func onMemory(t tb, network *sim.Network) *world {
	n := newSimNet(t, network)
	return &world{
		t: t, net: n, addr: "broker:4222", dial: n.dialer, listen: n.listen,
		log: eventlog.NewMemory(eventlog.Options{Epoch: 0xe1}),
	}
}

// onTCP runs f with a broker on loopback.
func onTCP(t *testing.T, f func(t *testing.T, w *world)) {
	w := &world{t: t, log: eventlog.NewMemory(eventlog.Options{Epoch: 0xe1}), addr: "127.0.0.1:0"}
	w.dial = func(string) func(context.Context, string, string) (net.Conn, error) {
		return new(net.Dialer).DialContext
	}
	w.listen = func() net.Listener {
		l, err := net.Listen("tcp", w.addr)
		require.NoError(t, err)
		w.addr = l.Addr().String()
		return l
	}
	w.start()
	defer w.close()
	f(t, w)
}

// start starts a broker on the world's log and store.
func (w *world) start() {
	w.t.Helper()
	var err error
	if w.folder != "" {
		w.store, err = pubsub.OpenStore(filepath.Join(w.folder, "subscriptions"))
		require.NoError(w.t, err)
	}
	w.b = new(pubsub.Broker)
	if w.broker != nil {
		w.b = w.broker()
	}
	w.b.Log, w.b.Store = w.log, w.store
	w.b.Subscriptions() // its first use: it begins with what it has kept
	l, b, serving := w.listen(), w.b, make(chan struct{})
	w.serving = serving
	go func() {
		defer close(serving)
		b.Serve(l)
	}()
}

// stop ends the broker as a crash does: connections break, log and store stay.
func (w *world) stop() {
	if w.b == nil {
		return
	}
	w.b.Close()
	<-w.serving
	if w.store != nil {
		w.store.Close()
	}
	w.b, w.store = nil, nil
}

func (w *world) close() {
	for _, c := range w.clients {
		c.Close()
	}
	w.stop()
}

// shortest makes every delay the shortest, 100 ms.
func shortest(max time.Duration) time.Duration { return max }

// client returns a client whose delays are the shortest, and which ends with the world.
func (w *world) client(id string) *pubsub.Client {
	w.t.Helper()
	c := w.clientOnly(id)
	w.clients = append(w.clients, c)
	return c
}

// clientOnly returns one that the caller closes.
func (w *world) clientOnly(id string) *pubsub.Client {
	w.t.Helper()
	return &pubsub.Client{ID: id, Addr: w.addr, DialContext: w.dial(id), Jitter: shortest}
}

func (w *world) publish(topic string, data ...string) {
	w.t.Helper()
	for _, d := range data {
		_, err := w.b.Publish(context.Background(), pubsub.Message{Topic: topic, Data: []byte(d)})
		require.NoError(w.t, err)
	}
}

// sub is a subscription with a test's verbs.
type sub struct {
	*pubsub.Subscription
	t tb
}

func (w *world) subscribe(c *pubsub.Client, o pubsub.SubscribeOptions) *sub {
	w.t.Helper()
	s, err := c.Subscribe(context.Background(), o)
	require.NoError(w.t, err)
	return &sub{s, w.t}
}

// next returns the next delivery, which must be this one.
func (s *sub) next(data string, attempt int) *pubsub.Delivery {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	d, err := s.Next(ctx)
	require.NoError(s.t, err)
	require.Equal(s.t, fmt.Sprintf("%s (attempt %d)", data, attempt), fmt.Sprintf("%s (attempt %d)", d.Data, d.Attempt))
	return d
}

// acks takes deliveries, which must be these, each for the first time, and acknowledges
// them.
func (s *sub) acks(data ...string) {
	s.t.Helper()
	for _, d := range data {
		s.next(d, 1).Ack()
	}
}

// gap returns the next gap.
func (s *sub) gap() *pubsub.Gap {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	_, err := s.Next(ctx)
	var gap *pubsub.Gap
	require.ErrorAs(s.t, err, &gap)
	return gap
}

// idle fails if something comes within d.
func (s *sub) idle(d time.Duration) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	got, err := s.Next(ctx)
	if !errors.Is(err, context.DeadlineExceeded) {
		require.Fail(s.t, "unexpected", "got %+v, %v", got, err)
	}
}
