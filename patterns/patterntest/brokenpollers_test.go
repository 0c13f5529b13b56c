package patterntest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/longpoll"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/sim"
)

// The flaws that are built into the clients of long polling.

// overTwoConnections receives the two topics by a client each.
func overTwoConnections(ctx context.Context, c *longpoll.Client, handle batchHandler, _ patterntest.Receiver) error {
	var clients sync.WaitGroup
	for _, topic := range []string{"even", "odd"} {
		one := longpoll.Client{URL: c.URL, HTTP: c.HTTP, FromNow: true, Jitter: c.Jitter, Topics: []string{topic}}
		clients.Go(func() { one.Run(ctx, handle) })
		time.Sleep(time.Nanosecond) // they would race each other for their ports
	}
	clients.Wait()
	return ctx.Err()
}

// fromNowAgain forgets its position when a poll fails.
func fromNowAgain(ctx context.Context, c *longpoll.Client, handle batchHandler, _ patterntest.Receiver) error {
	for ctx.Err() == nil {
		life, end := context.WithCancel(ctx)
		next := longpoll.Client{URL: c.URL, HTTP: c.HTTP, FromNow: true, Jitter: c.Jitter}
		next.OnRetry = func(error, time.Duration) { end() }
		next.Run(life, handle)
		end()
		select {
		case <-time.After(time.Second + c.Jitter(time.Second)):
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// asItComes hands events over while their answer still arrives, but moves on only when
// it was whole.
func asItComes(ctx context.Context, c *longpoll.Client, _ batchHandler, r patterntest.Receiver) error {
	q := url.Values{"from": {"now"}, "wait": {"30s"}}
	for ctx.Err() == nil {
		cursor, err := pollAsItComes(ctx, c.HTTP, c.URL+"?"+q.Encode(), r)
		if err != nil {
			select {
			case <-time.After(time.Second + c.Jitter(time.Second)):
			case <-ctx.Done():
			}
			continue
		}
		q = url.Values{"cursor": {cursor}, "wait": {"30s"}}
	}
	return ctx.Err()
}

func pollAsItComes(ctx context.Context, h *http.Client, url string, r patterntest.Receiver) (cursor string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 45*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := h.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	d := json.NewDecoder(resp.Body)
	for key := ""; ; {
		token, err := d.Token()
		switch {
		case err == io.EOF:
			return cursor, nil
		case err != nil:
			return "", err
		case key == "cursor":
			cursor = token.(string)
		case token == json.Delim('['):
			for d.More() {
				var e eventlog.Entry
				if err := d.Decode(&e); err != nil {
					return "", err
				}
				r.Event(string(e.Data))
			}
		}
		if key, _ = token.(string); key == cursor {
			key = ""
		}
	}
}

// deafToResets goes on where the server says, and tells nobody.
func deafToResets(_ context.Context, s *store, name string, b longpoll.Batch, r patterntest.Receiver) error {
	b.Reset = ""
	handle(b, r)
	s.set(name, b.Cursor)
	return nil
}

// storesFirst moves on before the events are handled, which takes it 50 ms.
func storesFirst(ctx context.Context, s *store, name string, b longpoll.Batch, r patterntest.Receiver) error {
	s.set(name, b.Cursor)
	time.Sleep(50 * time.Millisecond)
	if ctx.Err() == nil {
		handle(b, r)
	}
	return ctx.Err()
}

// storesLate moves on 50 ms after the events are handled.
func storesLate(ctx context.Context, s *store, name string, b longpoll.Batch, r patterntest.Receiver) error {
	handle(b, r)
	time.Sleep(50 * time.Millisecond)
	if ctx.Err() == nil {
		s.set(name, b.Cursor)
	}
	return ctx.Err()
}

// resumesAtTheLast stores the position of the last event instead of that after it.
func resumesAtTheLast(_ context.Context, s *store, name string, b longpoll.Batch, r patterntest.Receiver) error {
	handle(b, r)
	s.set(name, eventlog.Cursor{Epoch: b.Cursor.Epoch, Offset: b.Cursor.Offset - 1})
	return nil
}

// unlessAsked notes a position 50 ms after the events are handled, if it still may.
func unlessAsked(ctx context.Context, s *store, name string, b longpoll.Batch, r patterntest.Receiver) error {
	handle(b, r)
	sleep(ctx, 50*time.Millisecond)
	if ctx.Err() == nil {
		s.set(name, b.Cursor)
	}
	return ctx.Err()
}

// twice hands over all events of a batch once more.
func twice(_ context.Context, s *store, name string, b longpoll.Batch, r patterntest.Receiver) error {
	handle(b, r)
	handle(b, r)
	s.set(name, b.Cursor)
	return nil
}

// withItsFirstEvent notes no position before it has had an event.
func withItsFirstEvent(_ context.Context, s *store, name string, b longpoll.Batch, r patterntest.Receiver) error {
	handle(b, r)
	if len(b.Events) > 0 || b.Reset != "" {
		s.set(name, b.Cursor)
	}
	return nil
}

// greetsTheDead answers none but the process of a client that it greeted last. That takes
// a while, and longer for the earlier ones.
func greetsTheDead(n *sim.Network) patterntest.System {
	var started, last atomic.Int64
	return polling{
		client: func(c *longpoll.Client) { c.URL = fmt.Sprintf("%s/%d", c.URL, started.Add(1)) },
		handler: func(_ eventlog.Log, feed http.Handler) http.Handler {
			var met sync.Map
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				process, _ := strconv.ParseInt(path.Base(r.URL.Path), 10, 64)
				if _, again := met.LoadOrStore(process, true); !again {
					time.Sleep(200 * time.Millisecond / time.Duration(process))
					last.Store(process)
				}
				if process != last.Load() {
					http.Error(w, "another process has taken over", http.StatusServiceUnavailable)
					return
				}
				feed.ServeHTTP(w, r)
			})
		},
	}.on(n)
}

// knownToTheServer leaves the position of a client that has had no event to the server,
// which keeps it in memory.
func knownToTheServer(n *sim.Network) patterntest.System {
	var mu sync.Mutex
	unborn := map[string]*store{}
	return polling{
		log: func(folder string) (eventlog.Log, error) {
			mu.Lock()
			defer mu.Unlock()
			for name, s := range unborn {
				s.set(name, eventlog.Cursor{})
			}
			return inMemory(folder)
		},
		batch: func(_ context.Context, s *store, name string, b longpoll.Batch, r patterntest.Receiver) error {
			handle(b, r)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case len(b.Events) > 0 || b.Reset != "":
				delete(unborn, name)
			case s.get(name).IsZero():
				unborn[name] = s
			}
			s.set(name, b.Cursor)
			return nil
		},
	}.on(n)
}

// criesAtFailures tells of a gap whenever a poll fails.
func criesAtFailures(ctx context.Context, c *longpoll.Client, handle batchHandler, r patterntest.Receiver) error {
	c.OnRetry = func(error, time.Duration) { r.Gap("disconnected") }
	return c.Run(ctx, handle)
}

// takesItsTime stops half a minute after it is asked to.
func takesItsTime(ctx context.Context, c *longpoll.Client, handle batchHandler, _ patterntest.Receiver) error {
	err := c.Run(ctx, handle)
	time.Sleep(30 * time.Second)
	return err
}

// newestFirst hands a batch over as a page of news shows it.
func newestFirst(_ context.Context, s *store, name string, b longpoll.Batch, r patterntest.Receiver) error {
	slices.Reverse(b.Events)
	handle(b, r)
	s.set(name, b.Cursor)
	return nil
}

// trims believes that white space means nothing.
func trims(_ context.Context, s *store, name string, b longpoll.Batch, r patterntest.Receiver) error {
	for i, e := range b.Events {
		b.Events[i].Data = []byte(strings.TrimSpace(string(e.Data)))
	}
	handle(b, r)
	s.set(name, b.Cursor)
	return nil
}

// fromNow does not look at what it has noted.
func fromNow(c *longpoll.Client) { c.From = eventlog.Cursor{} }

func sameDelays(c *longpoll.Client) { c.Jitter = retry.NoJitter }

func noDelays(c *longpoll.Client) {
	c.Interval = time.Nanosecond
	c.Backoff = retry.Backoff{Min: time.Nanosecond, Base: time.Nanosecond, Max: time.Nanosecond}
}

// waitsForGood has no timeout and no keep-alive.
func waitsForGood(c *longpoll.Client) {
	c.Margin = 1000 * time.Hour
	withoutKeepAlive(c.HTTP)
}

func withoutKeepAlive(h *http.Client) {
	t := h.Transport.(*http.Transport)
	dial := t.DialContext
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err == nil {
			err = c.(*sim.TCPConn).SetKeepAlive(false)
		}
		return c, err
	}
}

// impatient gives up an answer that takes longer than 2 s.
func impatient(c *longpoll.Client) {
	c.Wait = time.Second
	c.HTTP = &http.Client{Transport: hurried{c.HTTP.Transport}}
}

type hurried struct{ http.RoundTripper }

func (h hurried) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	time.AfterFunc(2*time.Second, cancel)
	return h.RoundTripper.RoundTrip(r.WithContext(ctx))
}
