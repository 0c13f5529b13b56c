package async_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/async"
	"github.com/squall-sim/squall/patterns/async/webhook"
	"github.com/squall-sim/squall/patterns/async/workqueue"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/scenarios/scenario"
	"github.com/squall-sim/squall/sim"
)

// A sender on the host "sender" calls a receiver on the host "receiver" back.
var callbacks = []scenario.Row{
	{Name: "SA-04 a callback handler panics", Reason: "other messages are still delivered, the sender gets an error, and the message is handled at the next attempt",
		Story: func(t *testing.T, n *sim.Network) {
			c := receive(t, n, func(_ context.Context, m webhook.Message, nth int) error {
				if m.ID == "bad" && nth == 1 {
					panic("a nil map")
				}
				return nil
			})
			var all sync.WaitGroup
			for _, id := range []string{"a", "bad", "b"} {
				all.Go(func() { require.NoError(t, c.deliver(t.Context(), id)) })
				time.Sleep(time.Millisecond)
			}
			all.Wait()
			require.Equal(t, map[string]int{"a": 1, "bad": 2, "b": 1}, c.calls())
			require.EqualValues(t, 1, c.receiver.Stats().Failed)
		}},
	{Name: "SA-16 the receiver is down for an hour", Reason: "the retry schedule of the specification is longer than that",
		Story: func(t *testing.T, n *sim.Network) {
			c := receive(t, n, nil)
			n.Host("receiver").PowerOff()
			n.After(time.Hour, n.Host("receiver").Restart)
			require.NoError(t, c.deliver(t.Context(), "a"))
			require.Equal(t, map[string]int{"a": 1}, c.calls())
			// 0, 5 s, 5 min, 30 min and 2 h after each other, and the 20 s that each of the first four hangs.
			require.Equal(t, 5*time.Second+5*time.Minute+30*time.Minute+2*time.Hour+4*20*time.Second, n.Elapsed().Truncate(time.Second))
		}},
	{Name: "SA-16 the sender crashes amid the schedule", Reason: "the message is a job in the queue's file, and each attempt comes when it would have come without the crash",
		Story: func(t *testing.T, n *sim.Network) {
			begins := resumed(t, n, 6, time.Hour, 4*time.Hour)
			// 0, 5 s, 5 min, 30 min, 2 h and 5 h after each other, and the transits, which are less than a second in all.
			var at []time.Duration
			for _, d := range []time.Duration{0, 5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour} {
				at = append(at, at0(at)+d)
			}
			require.Equal(t, at, begins)
		}},
	{Name: "SA-16 the sender crashes amid an attempt", Reason: "the lease restarts with the queue, and the attempt counts: the message is sent again, under its id",
		Story: func(t *testing.T, n *sim.Network) {
			begins := resumed(t, n, 2, 130*time.Millisecond) // the message is there after 120 ms
			require.Equal(t, []time.Duration{0, 30 * time.Second}, begins)
		}},
	{Name: "SA-16 the receiver says 410", Reason: "it is not called again, for any message",
		Story: func(t *testing.T, n *sim.Network) {
			c := receive(t, n, func(context.Context, webhook.Message, int) error { return &retry.StatusError{Status: 410} })
			require.ErrorIs(t, c.deliver(t.Context(), "a"), webhook.ErrGone)
			require.ErrorIs(t, c.deliver(t.Context(), "b"), webhook.ErrGone)
			require.Equal(t, map[string]int{"a": 1}, c.calls())
		}},
	{Name: "SA-17 a message is repeated, reordered and replayed", Reason: "each message is handled once, and an old recording is rejected",
		Story: func(t *testing.T, n *sim.Network) {
			c := receive(t, n, nil)
			recorded, err := webhook.Sign(webhook.Message{ID: "a", Time: time.Now()}, c.endpoint.Keys())
			require.NoError(t, err)
			replay := func() int {
				req, err := http.NewRequestWithContext(t.Context(), "POST", c.endpoint.URL, nil)
				require.NoError(t, err)
				req.Header = recorded
				resp, err := n.Host("thief").HTTPClient().Do(req)
				require.NoError(t, err)
				resp.Body.Close()
				return resp.StatusCode
			}
			n.Link(n.Host("thief"), n.Host("receiver"), scenario.Good)
			require.NoError(t, c.deliver(t.Context(), "b"))
			require.NoError(t, c.deliver(t.Context(), "a"))
			require.NoError(t, c.deliver(t.Context(), "a"))
			require.Equal(t, 204, replay(), "known by its id")
			time.Sleep(6 * time.Minute)
			require.Equal(t, 400, replay(), "its time has passed")
			require.Equal(t, map[string]int{"a": 1, "b": 1}, c.calls())
		}},
	{Name: "SA-17 the acknowledgement of a message is lost", Reason: "the message is sent again under its id, and handled once",
		Story: func(t *testing.T, n *sim.Network) {
			c := receive(t, n, nil)
			n.After(100*time.Millisecond, func() { c.link.DownFrom(n.Host("receiver")) }) // the request is on its way
			n.After(30*time.Second, c.link.Up)
			require.NoError(t, c.deliver(t.Context(), "a"))
			require.Equal(t, map[string]int{"a": 1}, c.calls())
			require.EqualValues(t, 1, c.receiver.Stats().Duplicates)
		}},
	{Name: "SA-18 the secret is exchanged between two attempts, at the sender first", Reason: "the sender signs with both secrets until the receiver has the new one", Story: exchange(true)},
	{Name: "SA-18 the secret is exchanged between two attempts, at the receiver first", Reason: "the receiver accepts both secrets until the sender has the new one", Story: exchange(false)},
	{Name: "SA-19 the callback comes before the answer to the request", Reason: "the caller recognises the operation by the id that it chose",
		Story: func(t *testing.T, n *sim.Network) {
			key := newKey(t)
			var c *async.Client
			receiver := &webhook.Receiver{Keys: webhook.Static(key), Handle: func(_ context.Context, m webhook.Message) error {
				if !c.Settle(m.ID, m.Body, nil) {
					return errors.New("unknown operation")
				}
				return nil
			}}
			n.Host("phone").ServeHTTP(":80", receiver.Handler())
			sender := &webhook.Sender{HTTP: n.Host("server").HTTPClient(), Jitter: retry.NoJitter}
			endpoint := &webhook.Endpoint{URL: "http://phone/", Keys: webhook.Static(key)}
			server := &async.Server{Run: func(ctx context.Context, task workqueue.Task) ([]byte, error) {
				result := append([]byte("done: "), task.ID...)
				return result, sender.Deliver(ctx, endpoint, webhook.Message{ID: task.ID, Body: result})
			}}
			n.Host("server").ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				server.Handler().ServeHTTP(delayed{w}, r)
			}))
			defer server.Close()
			n.Link(n.Host("phone"), n.Host("server"), scenario.Good)
			c = operationClient(n)
			value, err := c.Start(t.Context(), "a", nil).Wait(t.Context())
			require.NoError(t, err)
			require.Equal(t, "done: a", string(value))
			require.Less(t, n.Elapsed(), time.Second, "long before the answer")
			require.EqualValues(t, 1, receiver.Stats().Handled)
		}},
}

// at0 is the last of some times, or 0.
func at0(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	return all[len(all)-1]
}

// resumed delivers a message as a job of a queue with a file, whose host crashes and comes back at those times, to a receiver that
// takes it at the nth attempt. It returns when the attempts came, to the second.
func resumed(t *testing.T, n *sim.Network, nth int, crashes ...time.Duration) (came []time.Duration) {
	var mu sync.Mutex
	c := receive(t, n, func(_ context.Context, _ webhook.Message, have int) error {
		mu.Lock()
		defer mu.Unlock()
		if came = append(came, n.Elapsed().Truncate(time.Second)); have < nth {
			return errors.New("not now")
		}
		return nil
	})
	path := filepath.Join(t.TempDir(), "queue")
	n.Host("sender").Run("sender", func(ctx context.Context, _ *sim.Host) error {
		q := &workqueue.Queue{Path: path, MaxAttempts: len(webhook.Schedule()), Jitter: retry.NoJitter}
		defer q.Close()
		if _, err := q.Add(ctx, workqueue.Job{ID: "a", Payload: []byte("hello")}); err != nil { // again after a crash, which changes nothing
			return err
		}
		w := &workqueue.Worker{Source: mortal{q, ctx}, Jitter: retry.NoJitter}
		return w.Run(ctx, func(ctx context.Context, task workqueue.Task) ([]byte, error) {
			after, err := c.sender.Attempt(ctx, c.endpoint, webhook.Message{ID: task.ID, Body: task.Payload}, task.Attempt)
			switch {
			case err != nil && after < 0:
				return nil, workqueue.Final{Err: err}
			case err != nil:
				return nil, workqueue.Later{Err: err, After: after}
			}
			return nil, nil
		})
	})
	for _, at := range crashes {
		n.After(at, n.Host("sender").Restart)
	}
	for range 24 * 60 {
		time.Sleep(time.Minute)
		if c.calls()["a"] == nth {
			break
		}
	}
	time.Sleep(72 * time.Hour)
	mu.Lock()
	defer mu.Unlock()
	return came
}

// mortal is a source that hears nothing of a process that has crashed, whose worker would otherwise give its job back.
type mortal struct {
	workqueue.Source
	process context.Context
}

func (m mortal) Finish(ctx context.Context, id string, token uint64, end workqueue.End) error {
	if err := m.process.Err(); err != nil {
		return err
	}
	return m.Source.Finish(ctx, id, token, end)
}

// exchange is a story of a message that fails until the last step of an exchange of secrets.
func exchange(senderFirst bool) func(t *testing.T, n *sim.Network) {
	return func(t *testing.T, n *sim.Network) {
		old, young := newKey(t), newKey(t)
		keys := &keyring{sender: []webhook.Key{old}, receiver: []webhook.Key{old}}
		var over atomic.Bool
		c := receiveWith(n, keys, func(context.Context, webhook.Message, int) error {
			if !over.Load() {
				return errors.New("not now")
			}
			return nil
		})
		steps := []func(){
			func() { keys.set(&keys.sender, young, old) },
			func() { keys.set(&keys.receiver, young) },
			func() { keys.set(&keys.sender, young); over.Store(true) },
		}
		if !senderFirst {
			steps = []func(){
				func() { keys.set(&keys.receiver, old, young) },
				func() { keys.set(&keys.sender, young) },
				func() { keys.set(&keys.receiver, young); over.Store(true) },
			}
		}
		for i, at := range []time.Duration{time.Second, 10 * time.Second, 10 * time.Minute} {
			n.After(at, steps[i]) // between attempts, which are due at 0, 5 s, 5 min and 35 min
		}
		require.NoError(t, c.deliver(t.Context(), "a"))
		require.Zero(t, c.receiver.Stats().Unsigned)
		require.Equal(t, map[string]int{"a": 4}, c.calls())
		keys.set(&keys.sender, old)
		c.sender.Schedule = []time.Duration{0}
		require.ErrorContains(t, c.deliver(t.Context(), "b"), "401", "the old one alone is worth nothing")
	}
}

// delayed is an answer that comes 5 s late.
type delayed struct{ http.ResponseWriter }

func (d delayed) WriteHeader(status int) {
	time.Sleep(5 * time.Second)
	d.ResponseWriter.WriteHeader(status)
}

type callback struct {
	sender   *webhook.Sender
	endpoint *webhook.Endpoint
	receiver *webhook.Receiver
	link     *sim.Link

	mu    sync.Mutex
	count map[string]int
}

func (c *callback) deliver(ctx context.Context, id string) error {
	return c.sender.Deliver(ctx, c.endpoint, webhook.Message{ID: id, Body: []byte(id)})
}

func (c *callback) calls() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.count)
}

type keyring struct {
	mu               sync.Mutex
	sender, receiver []webhook.Key
}

func (k *keyring) set(side *[]webhook.Key, keys ...webhook.Key) {
	k.mu.Lock()
	defer k.mu.Unlock()
	*side = keys
}

func (k *keyring) of(side *[]webhook.Key) func() []webhook.Key {
	return func() []webhook.Key {
		k.mu.Lock()
		defer k.mu.Unlock()
		return *side
	}
}

func newKey(t *testing.T) webhook.Key {
	k, err := webhook.ParseKey(webhook.NewSecret())
	require.NoError(t, err)
	return k
}

func receive(t *testing.T, n *sim.Network, handle func(ctx context.Context, m webhook.Message, nth int) error) *callback {
	k := newKey(t)
	return receiveWith(n, &keyring{sender: []webhook.Key{k}, receiver: []webhook.Key{k}}, handle)
}

func receiveWith(n *sim.Network, keys *keyring, handle func(ctx context.Context, m webhook.Message, nth int) error) *callback {
	c := &callback{count: map[string]int{}, link: n.Link(n.Host("sender"), n.Host("receiver"), scenario.Good)}
	c.sender = &webhook.Sender{HTTP: n.Host("sender").HTTPClient(), Jitter: retry.NoJitter}
	c.endpoint = &webhook.Endpoint{URL: "http://receiver/", Keys: keys.of(&keys.sender)}
	c.receiver = &webhook.Receiver{Keys: keys.of(&keys.receiver), Handle: func(ctx context.Context, m webhook.Message) error {
		c.mu.Lock()
		c.count[m.ID]++
		nth := c.count[m.ID]
		c.mu.Unlock()
		if handle == nil {
			return nil
		}
		return handle(ctx, m, nth)
	}}
	n.Host("receiver").Run("receiver", func(ctx context.Context, h *sim.Host) error {
		return patterntest.ServeHTTP(ctx, h, c.receiver.Handler())
	})
	return c
}
