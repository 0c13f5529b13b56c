package shortpoll_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/patterns/shortpoll"
)

// received is what a client of a feed got.
type received struct {
	mu     sync.Mutex
	data   []string
	when   []time.Duration
	resets []eventlog.Reason
}

// seen is a copy, once everyone is done.
func (r *received) seen() (c struct {
	data   []string
	when   []time.Duration
	resets []eventlog.Reason
}) {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	c.data, c.when, c.resets = slices.Clone(r.data), slices.Clone(r.when), slices.Clone(r.resets)
	return c
}

// follow follows a feed until the test's context ends.
func follow(ctx context.Context, w *wire, c *shortpoll.Client) (r *received, ended <-chan error) {
	r = &received{}
	done := make(chan error, 1)
	go func() {
		done <- c.Run(ctx, func(_ context.Context, b shortpoll.Batch) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			if b.Reset != "" {
				r.resets = append(r.resets, b.Reset)
			}
			for _, e := range b.Events {
				r.data = append(r.data, string(e.Data))
				r.when = append(r.when, time.Since(w.start))
			}
			return nil
		})
	}()
	return r, done
}

// withFeed runs f in a bubble with a feed and a client in phase with it.
func withFeed(t *testing.T, feed *shortpoll.Server, f func(ctx context.Context, t *testing.T, w *wire, c *shortpoll.Client)) {
	synctest.Test(t, func(t *testing.T) {
		if feed.Log == nil {
			feed.Log = memory()
		}
		w := newWire(25*ms, feed.Handler())
		ctx, cancel := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer cancel()
		f(ctx, t, w, &shortpoll.Client{URL: where, HTTP: w.http(), Jitter: retry.NoJitter})
	})
}

func publish(t *testing.T, f *shortpoll.Server, data ...string) {
	for _, d := range data {
		_, err := f.Publish(t.Context(), "t", []byte(d))
		require.NoError(t, err)
	}
}

// SP-P1: the delay of an event is what is left of the interval, and a transit. Polls are
// at the server at 25 ms and every second after that.
func TestDelayOfAnEvent(t *testing.T) {
	withFeed(t, &shortpoll.Server{}, func(ctx context.Context, t *testing.T, w *wire, c *shortpoll.Client) {
		feed := &shortpoll.Server{Log: memory()}
		w.serve(feed.Handler())
		c.FromNow = true
		r, _ := follow(ctx, w, c)
		for _, at := range []time.Duration{10*s + 24*ms, 20*s + 26*ms, 30*s + 525*ms} {
			time.Sleep(at - time.Since(w.start))
			publish(t, feed, at.String())
		}
		time.Sleep(5 * s)
		require.Equal(t, []time.Duration{10*s + 50*ms, 21*s + 50*ms, 31*s + 50*ms}, r.seen().when)
		require.Equal(t, []string{"10.024s", "20.026s", "30.525s"}, r.seen().data)
		require.Len(t, w.arrivals(), 36, "one every second, whatever happens")
	})
}

// An answer without news has no body, and what is published meanwhile is in the next.
func TestNoNewsHasNoBody(t *testing.T) {
	withFeed(t, &shortpoll.Server{}, func(ctx context.Context, t *testing.T, w *wire, c *shortpoll.Client) {
		feed := &shortpoll.Server{Log: memory()}
		w.serve(feed.Handler())
		publish(t, feed, "0", "1")
		r, _ := follow(ctx, w, c)
		time.Sleep(4500 * ms)
		publish(t, feed, "2")
		time.Sleep(3 * s)
		require.Equal(t, []string{"0", "1", "2"}, r.seen().data)
		var tags []string
		for _, a := range w.arrivals() {
			tags = append(tags, a.tag)
		}
		require.Equal(t, []string{"", `"e9-2"`, `"e9-2"`, `"e9-2"`, `"e9-2"`, `"e9-2"`, `"e9-3"`, `"e9-3"`}, tags)
		synctest.Wait()
		require.Equal(t, shortpoll.ServerStats{Answers: 2, Events: 3, Unchanged: 6}, feed.Stats())
		require.EqualValues(t, 6, c.Stats().Unchanged)

		// A tag of what is to come does not hide it: the client stands at its cursor.
		req := httptest.NewRequest(http.MethodGet, "/?cursor=e9-2", nil)
		req.Header.Set("If-None-Match", `"e9-3"`)
		rec := httptest.NewRecorder()
		w.handler.ServeHTTP(rec, req)
		require.Equal(t, http.StatusOK, rec.Code)
		require.Contains(t, rec.Body.String(), `"offset":3`)

		// But "*" is for anything at all (RFC 9110, section 13.1.2).
		req.Header.Set("If-None-Match", "*")
		rec = httptest.NewRecorder()
		w.handler.ServeHTTP(rec, req)
		require.Equal(t, http.StatusNotModified, rec.Code)

		for header, status := range map[string]int{`"e9-3"`: 304, `W/"e9-3"`: 304, `"x", W/"e9-3"`: 304, `"e9-2"`: 200, "": 200, "*": 304, " * ": 304} {
			req := httptest.NewRequest(http.MethodGet, "/?cursor=e9-3", nil)
			req.Header.Set("If-None-Match", header)
			rec := httptest.NewRecorder()
			w.handler.ServeHTTP(rec, req)
			require.Equal(t, status, rec.Code, header)
			require.Equal(t, status == 304, rec.Body.Len() == 0)
			require.Equal(t, `"e9-3"`, rec.Header().Get("ETag"))
		}
	})
}

// An answer that says 304 to what was not asked is no answer.
func TestAnUnasked304IsAFailure(t *testing.T) {
	withFeed(t, &shortpoll.Server{}, func(ctx context.Context, t *testing.T, w *wire, c *shortpoll.Client) {
		w.serve(answers(304, ""))
		follow(ctx, w, c)
		time.Sleep(10 * s)
		require.NotZero(t, c.Stats().Failures)
		require.Zero(t, c.Stats().Unchanged)
	})
}

// A backlog is fetched at once, not one answer each interval.
func TestABacklogIsFetchedAtOnce(t *testing.T) {
	withFeed(t, &shortpoll.Server{MaxEvents: 10}, func(ctx context.Context, t *testing.T, w *wire, c *shortpoll.Client) {
		feed := &shortpoll.Server{Log: memory(), MaxEvents: 10}
		w.serve(feed.Handler())
		for i := range 35 {
			publish(t, feed, fmt.Sprint(i))
		}
		c.Interval = time.Minute
		r, _ := follow(ctx, w, c)
		time.Sleep(200*ms + 1)
		require.Len(t, r.seen().data, 35)
		require.Equal(t, seconds(0.025, 0.075, 0.125, 0.175), w.times())
		time.Sleep(time.Minute)
		require.Equal(t, seconds(60.025), w.times()[4:], "and then the schedule goes on")
	})
}

// What was lost on the way comes again, whole, once and in order.
func TestLostPollsLoseNothing(t *testing.T) {
	withFeed(t, &shortpoll.Server{}, func(ctx context.Context, t *testing.T, w *wire, c *shortpoll.Client) {
		feed := &shortpoll.Server{Log: memory()}
		w.serve(feed.Handler())
		w.fail = func(nth int, _ *http.Request) (bool, bool) { return nth%5 == 2, nth%5 == 4 }
		c.Backoff.Max = 500 * ms
		c.FromNow = true
		r, _ := follow(ctx, w, c)
		time.Sleep(100 * ms)
		var all []string
		for i := range 100 {
			all = append(all, fmt.Sprint(i))
			publish(t, feed, all[i])
			time.Sleep(170 * ms)
		}
		time.Sleep(5 * s)
		require.Equal(t, all, r.seen().data)
		require.Empty(t, r.seen().resets)
		require.NotZero(t, c.Stats().Failures)
	})
}

// A gap is told, and what there is comes at once.
func TestAGapIsTold(t *testing.T) {
	withFeed(t, &shortpoll.Server{}, func(ctx context.Context, t *testing.T, w *wire, c *shortpoll.Client) {
		log := eventlog.NewMemory(eventlog.Options{Epoch: epoch, MaxEntries: 3})
		feed := &shortpoll.Server{Log: log}
		w.serve(feed.Handler())
		publish(t, feed, "0", "1", "2", "3", "4", "5")
		c.From = at(1)
		r, _ := follow(ctx, w, c)
		time.Sleep(2 * s)
		require.Equal(t, []eventlog.Reason{eventlog.ReasonCompacted}, r.seen().resets)
		require.Equal(t, []string{"3", "4", "5"}, r.seen().data)
		require.Equal(t, seconds(1.025, 1.075), w.times())

		// A server that finds a gap each time is not asked in a hot loop.
		w.serve(answers(410, `{"cursor":"e9-1","reset":"compacted"}`))
		time.Sleep(10 * s)
		require.Len(t, w.arrivals(), 2+10+1)
	})
}

// A replica that lags is asked again; one that stays behind is a reset.
func TestAReplicaThatLags(t *testing.T) {
	withFeed(t, &shortpoll.Server{}, func(ctx context.Context, t *testing.T, w *wire, c *shortpoll.Client) {
		leader, follower := &shortpoll.Server{Log: memory()}, &shortpoll.Server{Log: memory()}
		publish(t, leader, "0", "1", "2")
		publish(t, follower, "0")
		turn := 0
		w.serve(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			turn++
			[]*shortpoll.Server{follower, leader}[turn%2].Handler().ServeHTTP(rw, r)
		}))
		r, _ := follow(ctx, w, c)
		time.Sleep(20 * s)
		require.Equal(t, []string{"0", "1", "2"}, r.seen().data)
		require.Empty(t, r.seen().resets)
		require.NotZero(t, c.Stats().Stale)

		w.serve(follower.Handler())
		time.Sleep(20 * s)
		require.Equal(t, []eventlog.Reason{eventlog.ReasonFuture}, r.seen().resets)
	})
}

// A client of some topics is not overtaken by the log while others are busy.
func TestTopics(t *testing.T) {
	withFeed(t, &shortpoll.Server{}, func(ctx context.Context, t *testing.T, w *wire, c *shortpoll.Client) {
		feed := &shortpoll.Server{Log: eventlog.NewMemory(eventlog.Options{Epoch: epoch, MaxEntries: 10})}
		w.serve(feed.Handler())
		c.FromNow = true
		c.Topics = []string{"mine"}
		r, _ := follow(ctx, w, c)
		for range 100 {
			feed.Publish(t.Context(), "other", nil)
			time.Sleep(500 * ms)
		}
		feed.Publish(t.Context(), "mine", []byte("hello"))
		time.Sleep(2 * s)
		require.Equal(t, []string{"hello"}, r.seen().data)
		require.Empty(t, r.seen().resets)
	})
}

// What a server takes a client takes, by their defaults.
func TestMaxMessageBytes(t *testing.T) {
	withFeed(t, &shortpoll.Server{Log: memory()}, func(ctx context.Context, t *testing.T, w *wire, c *shortpoll.Client) {
		feed := &shortpoll.Server{Log: memory()}
		w.serve(feed.Handler())
		topic := strings.Repeat("<", 1024) // six bytes of JSON each
		_, err := feed.Publish(ctx, topic, make([]byte, 8<<20-1023))
		require.ErrorIs(t, err, eventlog.ErrTooLarge)
		require.EqualError(t, err, "shortpoll: publish: eventlog: entry is too large: 8388609 bytes, and MaxMessageBytes is 8388608")
		_, err = feed.Publish(ctx, topic, make([]byte, 8<<20-1024))
		require.NoError(t, err)
		r, _ := follow(ctx, w, c)
		time.Sleep(2 * s)
		require.Len(t, r.seen().data, 1)

		feed = &shortpoll.Server{MaxMessageBytes: 10}
		_, err = feed.Publish(ctx, "t", make([]byte, 10))
		require.ErrorIs(t, err, eventlog.ErrTooLarge)
		require.EqualError(t, (&shortpoll.Server{MaxMessageBytes: -1}).Check(), "shortpoll: Server.MaxMessageBytes is -1: want 0 for the default, or more")
	})
}

// A topic may be a filter, for a server without Authenticate as well.
func TestFilters(t *testing.T) {
	withFeed(t, &shortpoll.Server{Log: memory()}, func(ctx context.Context, t *testing.T, w *wire, c *shortpoll.Client) {
		feed := &shortpoll.Server{Log: memory()}
		w.serve(feed.Handler())
		c.Topics = []string{"news.*", "alarm"}
		r, _ := follow(ctx, w, c)
		for _, topic := range []string{"news.eu", "news.eu.fr", "news", "alarm", "news.us"} {
			feed.Publish(t.Context(), topic, []byte(topic))
		}
		time.Sleep(2 * s)
		require.Equal(t, []string{"news.eu", "alarm", "news.us"}, r.seen().data)
		c = &shortpoll.Client{URL: c.URL, Topics: []string{"b.>.c"}}
		require.EqualError(t, c.Check(), `shortpoll: Client.Topics[0] is "b.>.c": > must be the last token`)
	})
}

// A client that ends before its first event knows where it began.
func TestNowIsAPosition(t *testing.T) {
	withFeed(t, &shortpoll.Server{}, func(ctx context.Context, t *testing.T, w *wire, c *shortpoll.Client) {
		feed := &shortpoll.Server{Log: memory()}
		w.serve(feed.Handler())
		publish(t, feed, "old")
		var began eventlog.Cursor
		stop := errors.New("crash")
		c.FromNow = true
		err := c.Run(ctx, func(_ context.Context, b shortpoll.Batch) error {
			require.Empty(t, b.Events)
			began = b.Cursor
			return stop
		})
		require.Equal(t, stop, err)
		publish(t, feed, "missed")
		c.From = began
		r, _ := follow(ctx, w, c)
		time.Sleep(2 * s)
		require.Equal(t, []string{"missed"}, r.seen().data)
	})
}

// The handler's error ends Run, and its batch is not done with.
func TestTheHandlersErrorEndsRun(t *testing.T) {
	withFeed(t, &shortpoll.Server{}, func(ctx context.Context, t *testing.T, w *wire, c *shortpoll.Client) {
		feed := &shortpoll.Server{Log: memory()}
		w.serve(feed.Handler())
		publish(t, feed, "0")
		full := errors.New("disk is full")
		err := c.Run(ctx, func(context.Context, shortpoll.Batch) error { return full })
		require.Equal(t, full, err)
		require.Zero(t, c.Stats().Events)
	})
}

// What a feed refuses.
func TestPollsThatAreRefused(t *testing.T) {
	h := (&shortpoll.Server{Log: memory()}).Handler()
	for _, c := range []struct {
		why, method, target string
		status              int
	}{
		{"only GET", http.MethodPost, "/", 405},
		{"a cursor is <epoch>-<offset>", http.MethodGet, "/?cursor=7", 400},
		{"from knows now", http.MethodGet, "/?from=yesterday", 400},
		{"of another epoch", http.MethodGet, "/?cursor=ea-0", 410},
		{"from the future", http.MethodGet, "/?cursor=e9-7", 410},
	} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(c.method, c.target, nil))
		require.Equal(t, c.status, rec.Code, c.why)
	}
	_, err := (&shortpoll.Server{}).Publish(t.Context(), "\xff", nil)
	require.EqualError(t, err, `shortpoll: publish: topic "\xff" is not UTF-8`)
}

// brokenLog fails to be read and written.
type brokenLog struct{ eventlog.Log }

var errPrivate = errors.New("open /var/lib/orders.db: input/output error")

func (brokenLog) After(eventlog.Cursor, eventlog.Query) (eventlog.Page, error) {
	return eventlog.Page{}, errPrivate
}

// What is wrong with the log is logged, and not told to clients.
func TestAFailureOfTheLogIsNotForClients(t *testing.T) {
	var out strings.Builder
	logger := slog.New(slog.NewTextHandler(&out, nil))
	jobs := &shortpoll.Jobs{Log: memory(), Run: takes(0), Logger: logger}
	handler := jobs.Handler()
	defer jobs.Close()
	jobs.Log = brokenLog{jobs.Log}
	for _, c := range []struct {
		handler http.Handler
		method  string
		status  int
	}{
		{(&shortpoll.Server{Log: brokenLog{memory()}, Logger: logger}).Handler(), http.MethodGet, 500},
		{handler, http.MethodPut, 500},
		{handler, http.MethodGet, 503},
	} {
		out.Reset()
		w := httptest.NewRecorder()
		c.handler.ServeHTTP(w, httptest.NewRequest(c.method, "/a", nil))
		require.Equal(t, c.status, w.Code)
		require.Equal(t, "the log failed\n", strings.TrimPrefix(w.Body.String(), "shortpoll: "))
		require.Contains(t, out.String(), errPrivate.Error())
	}
}

// A job is polled where its client says, or below it: what Client.Header returns, such as
// Authorization, is not for another host.
func TestALocationOnAnotherHostIsNotFollowed(t *testing.T) {
	for _, location := range []string{"http://other/jobs/a", "//other/jobs/a", "ftp://server/jobs/a", "https://server/jobs/a", "http://server:81/a"} {
		var asked []string
		c := &shortpoll.Client{URL: "http://server/jobs", HTTP: &http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) {
			asked = append(asked, r.Method+" "+r.URL.Scheme+"://"+r.URL.Host+r.URL.Path)
			body := `{"id":"a","state":"done","version":"1-2"}`
			if r.Method == http.MethodPut {
				body = `{"id":"a","state":"pending","version":"1-1"}`
			}
			return &http.Response{StatusCode: 200, Header: http.Header{"Location": {location}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
		})}, Interval: ms}
		job, err := c.Submit(t.Context(), "a", nil)
		require.NoError(t, err)
		_, err = c.Wait(t.Context(), job)
		require.NoError(t, err)
		require.Equal(t, []string{"PUT http://server/jobs/a", "GET http://server/jobs/a"}, asked)
	}
}

// A server or a proxy may repeat events. They are dropped, and counted.
func TestEventsThatWereHandedOverAreDropped(t *testing.T) {
	withFeed(t, &shortpoll.Server{}, func(ctx context.Context, t *testing.T, w *wire, c *shortpoll.Client) {
		w.serve(answers(200, `{"cursor":"e9-2","events":[{"offset":1,"time":"2000-01-01T00:00:00Z","data":"MA=="},{"offset":2,"time":"2000-01-01T00:00:00Z","data":"MQ=="}]}`))
		c.From = at(1)
		r, _ := follow(ctx, w, c)
		time.Sleep(3*s + 500*ms) // polls at 1, 2 and 3 s
		require.Equal(t, []string{"1"}, r.seen().data)
		require.Equal(t, shortpoll.ClientStats{Polls: 3, Answers: 1, Events: 1, Unchanged: 2, Duplicates: 1 + 2 + 2}, c.Stats())
	})
}
