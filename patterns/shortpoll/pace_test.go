package shortpoll_test

import (
	"context"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/patterns/shortpoll"
)

// SP-P5: clients that start at one instant are spread over the interval, and stay so.
// Uniform over 30 s, 3,000 clients are 300 in three seconds, with a deviation of 16 or so.
func TestClientsAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const clients, interval, slot = 3000, 30 * s, 3 * s
		w := newWire(25*ms, answers(200, `{"cursor":"e9-0"}`, "ETag", `"e9-0"`))
		ctx, cancel := context.WithCancel(t.Context())
		for i := range clients {
			c := &shortpoll.Client{URL: where, HTTP: w.http(), Interval: interval, Jitter: retry.Seeded(uint64(i))}
			c.From = at(0)
			follow(ctx, w, c)
		}
		time.Sleep(3*interval + 20*ms)
		cancel()
		synctest.Wait()
		slots := map[time.Duration]int{}
		for _, at := range w.times() {
			slots[at/slot]++
		}
		mean := clients / int(interval/slot)
		for i := range 3 * int(interval/slot) {
			require.InDelta(t, mean, slots[time.Duration(i)], 0.25*float64(mean), "slot %d", i)
		}
	})
}

// SP-P5: a server's Retry-After is honoured, and clamped.
func TestRetryAfter(t *testing.T) {
	in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	for _, c := range []struct {
		why      string
		interval time.Duration
		answer   func() http.Handler
		want     []time.Duration // at the server, after the first poll at 25 ms
	}{
		{"with a good answer, to the next multiple of the interval", s, func() http.Handler {
			return answers(200, `{"cursor":"e9-0"}`, "Retry-After", "7")
		}, seconds(8.025, 16.025)},
		{"not if the interval is longer", 10 * s, func() http.Handler {
			return answers(200, `{"cursor":"e9-0"}`, "Retry-After", "7")
		}, seconds(10.025, 20.025)},
		{"with a refusal", s, func() http.Handler { return answers(503, "", "Retry-After", "7") }, seconds(7.075, 14.125)},
		{"a day is clamped to 5 min", s, func() http.Handler { return answers(503, "", "Retry-After", "86400") }, seconds(300.075)},
		{"and so is one of more than 31 bits", s, func() http.Handler { return answers(503, "", "Retry-After", "2147483648") }, seconds(300.075)},
		{"also with a good answer", s, func() http.Handler {
			return answers(200, `{"cursor":"e9-0"}`, "Retry-After", "86400")
		}, seconds(301.025)},
		{"none is the backoff", s, func() http.Handler { return answers(503, "") }, seconds(1.075, 3.125, 7.175)},
		{"nor is what cannot be read", s, func() http.Handler { return answers(503, "", "Retry-After", "soon") }, seconds(1.075, 3.125)},
		{"a date", s, func() http.Handler { return answers(503, "", "Retry-After", in(9*s)) }, seconds(9.025)},
		{"a date of a clock that is an hour fast", s, func() http.Handler {
			return answers(503, "", "Date", in(time.Hour), "Retry-After", in(time.Hour+9*s))
		}, seconds(9.075, 18.125)},
		{"a date of a clock that is an hour slow", s, func() http.Handler {
			return answers(503, "", "Date", in(-time.Hour), "Retry-After", in(-time.Hour+9*s))
		}, seconds(9.075, 18.125)},
		{"a date that has passed", s, func() http.Handler {
			return answers(503, "", "Date", in(0), "Retry-After", in(-s))
		}, seconds(0.175, 0.325)},
	} {
		t.Run(c.why, func(t *testing.T) {
			withFeed(t, &shortpoll.Server{}, func(ctx context.Context, t *testing.T, w *wire, client *shortpoll.Client) {
				w.serve(c.answer())
				client.Interval = c.interval
				follow(ctx, w, client)
				time.Sleep(1000 * s)
				got := w.times()[1:]
				require.Equal(t, c.want, got[:min(len(got), len(c.want))])
			})
		})
	}
	t.Run("is clamped to the deadline", func(t *testing.T) {
		withFeed(t, &shortpoll.Server{}, func(ctx context.Context, t *testing.T, w *wire, client *shortpoll.Client) {
			w.serve(answers(503, "", "Retry-After", "60"))
			ctx, cancel := context.WithTimeout(ctx, 20*s)
			defer cancel()
			_, ended := follow(ctx, w, client)
			require.ErrorIs(t, <-ended, context.DeadlineExceeded)
			require.Equal(t, seconds(0.025, 19.025), w.times())
		})
	})
}

// A client that is told to slow down does, for good; and a server tells one that polls a
// job more often than it allows.
func TestSlowDown(t *testing.T) {
	withJobs(t, &shortpoll.Jobs{Run: takes(40 * s), MinInterval: 3 * s}, func(t *testing.T, w *wire, client *shortpoll.Client) {
		job, err := client.Wait(within(t, time.Hour), submit(t, client, "a", "ab"))
		require.NoError(t, err)
		require.Equal(t, "ba", string(job.Result))
		// The second poll is too early. From then on there are 6 s between polls.
		require.Equal(t, seconds(1.075, 2.075, 8.125, 14.125, 20.125, 26.125, 32.125, 38.125, 44.125), w.times()[1:])
		require.EqualValues(t, 1, client.Stats().SlowedDown)
	})
	withJobs(t, &shortpoll.Jobs{Run: takes(40 * s), MinInterval: 3 * s}, func(t *testing.T, w *wire, client *shortpoll.Client) {
		client.SlowDown = -1
		_, err := client.Wait(within(t, time.Hour), submit(t, client, "a", ""))
		require.NoError(t, err)
		require.Greater(t, client.Stats().SlowedDown, int64(5), "it does not listen, and is told again and again")
	})
}

// The server's limit: those who are refused are told to come back, each at another time.
func TestTheServersLimit(t *testing.T) {
	withFeed(t, &shortpoll.Server{}, func(ctx context.Context, t *testing.T, w *wire, _ *shortpoll.Client) {
		feed := &shortpoll.Server{Log: memory(), Limit: shortpoll.Limit{Rate: 10, Jitter: retry.Seeded(1)}}
		w.serve(feed.Handler())
		for i := range 50 {
			c := &shortpoll.Client{URL: where, HTTP: w.http(), Interval: 10 * s, Jitter: retry.Seeded(uint64(i))}
			follow(ctx, w, c)
		}
		time.Sleep(100 * ms)
		require.EqualValues(t, 40, feed.Stats().Refused, "ten of those that came at once had a place")
		told := map[string]int{}
		for range 100 {
			rec := httptest.NewRecorder()
			w.handler.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
			require.Equal(t, http.StatusServiceUnavailable, rec.Code)
			told[rec.Header().Get("Retry-After")]++
		}
		// Uniform from 1 s to 10 s, and rounded up.
		for _, seconds := range []string{"2", "3", "4", "5", "6", "7", "8", "9", "10"} {
			require.InDelta(t, 11, told[seconds], 9, "%s s", seconds)
		}
		time.Sleep(20 * s)
		refused := feed.Stats().Refused
		time.Sleep(10 * s)
		require.Equal(t, refused, feed.Stats().Refused, "and then there are 5 polls a second")
	})
}

// The poller of a dead connection notices it, and goes on where it stood.
func TestASilentServerIsGivenUp(t *testing.T) {
	withFeed(t, &shortpoll.Server{}, func(ctx context.Context, t *testing.T, w *wire, c *shortpoll.Client) {
		feed := &shortpoll.Server{Log: memory()}
		var heard atomic.Bool
		w.serve(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if !heard.Load() {
				<-r.Context().Done()
				return
			}
			feed.Handler().ServeHTTP(rw, r)
		}))
		r, _ := follow(ctx, w, c)
		time.Sleep(12 * s)
		heard.Store(true)
		publish(t, feed, "0")
		time.Sleep(30 * s)
		require.Equal(t, []string{"0"}, r.seen().data)
		// The first poll ends at 10 s, the second begins 1 s later.
		require.Equal(t, seconds(0.025, 11.025, 23.025), w.times()[:3])
		require.EqualValues(t, 2, c.Stats().TimedOut)
	})
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		thing interface{ Check() error }
		want  string
	}{
		{&shortpoll.Client{URL: "server"}, `shortpoll: Client.URL is "server": want http://host/path or https://host/path`},
		{&shortpoll.Client{URL: where, Interval: -s}, "shortpoll: Client.Interval is -1s: want 0 for the default, or more"},
		{&shortpoll.Client{URL: where, Timeout: math.MaxInt64}, "shortpoll: Client.Timeout is 2562047h47m16.854775807s: want at most 100 years, 876000h0m0s"},
		{&shortpoll.Client{URL: where, SlowDown: math.MaxInt64}, "shortpoll: Client.SlowDown is 2562047h47m16.854775807s: want at most 100 years, 876000h0m0s"},
		{&shortpoll.Client{URL: where, Interval: 10 * s, MaxInterval: 5 * s}, "shortpoll: Client.MaxInterval is 5s: want 0 for a fixed interval, or at least Interval, 10s"},
		{&shortpoll.Client{URL: where, HTTP: &http.Client{Timeout: 5 * s}}, "shortpoll: Client.HTTP.Timeout is 5s: want 0, or more than Timeout, 10s"},
		{&shortpoll.Client{URL: where, Backoff: retry.Backoff{Min: time.Minute}}, "shortpoll: Client.Backoff.Min is 1m0s: want at most Backoff.Max, 30s"},
		{&shortpoll.Client{URL: where, MaxAnswerBytes: -1}, "shortpoll: Client.MaxAnswerBytes is -1: want 0 for the default, or more"},
		{&shortpoll.Server{MaxEvents: -1}, "shortpoll: Server.MaxEvents is -1: want 0 for the default, or more"},
		{&shortpoll.Server{MaxAnswerBytes: -1}, "shortpoll: Server.MaxAnswerBytes is -1: want 0 for the default, or more"},
		{&shortpoll.Server{RetryAfter: -1}, "shortpoll: Server.RetryAfter is -1ns: want 0 for none, or more"},
		{&shortpoll.Server{RetryAfter: math.MaxInt64}, "shortpoll: Server.RetryAfter is 2562047h47m16.854775807s: want at most 596h31m23.647s, more than which clients cannot wait"},
		{&shortpoll.Server{Limit: shortpoll.Limit{Rate: -1}}, "shortpoll: Server.Limit.Rate is -1: want 0 for no limit, up to 1e9"},
		{&shortpoll.Jobs{}, "shortpoll: Jobs.Run and Log are nil: want a Run, or for a replica the Log that it reads"},
		{&shortpoll.Jobs{Log: memory(), Retention: -1}, "shortpoll: Jobs.Retention is -1ns: want 0 for the default, or more"},
		{&shortpoll.Jobs{Log: memory(), MaxJobs: -1}, "shortpoll: Jobs.MaxJobs is -1: want 0 for the default, or more"},
		{&shortpoll.Jobs{Log: memory(), Limit: shortpoll.Limit{RetrySpread: -s}}, "shortpoll: Jobs.Limit.RetrySpread is -1s: want 0 for the default, or more"},
	} {
		require.EqualError(t, c.thing.Check(), c.want)
	}
	require.NoError(t, (&shortpoll.Client{URL: where}).Check())
	require.NoError(t, (&shortpoll.Server{}).Check())
	require.Panics(t, func() { (&shortpoll.Server{MaxEvents: -1}).Handler() })
	require.Panics(t, func() { (&shortpoll.Jobs{}).Handler() })
	_, err := (&shortpoll.Client{}).Submit(t.Context(), "a", nil)
	require.ErrorContains(t, err, "Client.URL")
	require.ErrorContains(t, (&shortpoll.Client{URL: where, Topics: make([]string, 101)}).Check(), "Client.Topics has 101 elements: want at most 100")
	over, cancel := context.WithCancel(t.Context())
	cancel()
	require.PanicsWithValue(t, "shortpoll: Client.Run: handle is nil: want a function", func() {
		(&shortpoll.Client{URL: where}).Run(over, nil)
	})
}

// A long answer over a slow link is no silence: it is read to its end, however long that
// takes.
func TestALongAnswerIsNotSilence(t *testing.T) {
	withFeed(t, &shortpoll.Server{}, func(ctx context.Context, t *testing.T, w *wire, c *shortpoll.Client) {
		slow := http.RoundTripper(tripper(func(r *http.Request) (*http.Response, error) {
			body := &drip{ctx: r.Context(), text: `{"cursor":"e9-1","events":[{"offset":1,"data":"eA=="}]}`, pause: 5 * s}
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: body, Request: r}, nil
		}))
		c.HTTP = &http.Client{Transport: slow}
		c.Interval = time.Hour
		r, _ := follow(ctx, w, c)
		time.Sleep(10 * time.Minute)
		require.Equal(t, []string{"x"}, r.seen().data)
		require.Zero(t, c.Stats().TimedOut)
	})
}

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// drip is a body that comes byte by byte.
type drip struct {
	ctx   context.Context
	text  string
	pause time.Duration
}

func (d *drip) Read(b []byte) (int, error) {
	if d.text == "" {
		return 0, io.EOF
	}
	if err := rest(d.ctx, d.pause); err != nil {
		return 0, err
	}
	n := copy(b[:1], d.text)
	d.text = d.text[n:]
	return n, nil
}

func (d *drip) Close() error { return nil }
