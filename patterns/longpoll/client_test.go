package longpoll_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/longpoll"
	"github.com/squall-sim/squall/patterns/retry"
)

// receiver runs a client in the background and keeps what its handler was given.
type receiver struct {
	w      *world
	data   []string
	when   []time.Duration
	resets []longpoll.Batch
	cursor eventlog.Cursor
	cancel context.CancelFunc
	err    error
	done   chan struct{}
}

func (w *world) receive(c *longpoll.Client) *receiver { return w.receiveFrom(c) }

func (w *world) receiveFrom(c client) *receiver {
	ctx, cancel := context.WithCancel(w.Context())
	r := &receiver{w: w, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.err = c.Run(ctx, r.handle)
	}()
	w.Cleanup(r.stop)
	return r
}

func (r *receiver) handle(_ context.Context, b longpoll.Batch) error {
	if b.Reset != "" {
		r.resets = append(r.resets, b)
	}
	for _, e := range b.Events {
		r.data = append(r.data, string(e.Data))
		r.when = append(r.when, r.w.elapsed())
	}
	r.cursor = b.Cursor
	return nil
}

// stop ends the client; what the receiver has may be read from then on.
func (r *receiver) stop() { r.cancel(); <-r.done }

// testClient is a client whose times can be computed.
func (w *world) testClient() *longpoll.Client {
	return &longpoll.Client{URL: url, HTTP: w.http, Jitter: retry.NoJitter}
}

// tripper is a RoundTripper from a function.
type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// via returns a client whose requests go through f.
func (w *world) via(f func(r *http.Request, next http.RoundTripper) (*http.Response, error)) *http.Client {
	return &http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) {
		return f(r, w.http.Transport)
	})}
}

// respond makes a response as a server or proxy would.
func respond(r *http.Request, status int, body string, header ...string) *http.Response {
	resp := &http.Response{
		StatusCode: status, Header: http.Header{}, Request: r,
		ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)),
	}
	for i := 0; i < len(header); i += 2 {
		resp.Header.Set(header[i], header[i+1])
	}
	return resp
}

// sequence is "0", "1", ... "n-1".
func sequence(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprint(i))
	}
	return out
}

func TestTheZeroClientReceivesEverythingInOrder(t *testing.T) {
	withFeed(t, &longpoll.Server{}, func(w *world, feed *longpoll.Server) {
		publish(w, feed, sequence(5)...)
		r := w.receive(&longpoll.Client{URL: url, HTTP: w.http})
		time.Sleep(time.Minute)
		publish(w, feed, sequence(10)[5:]...)
		time.Sleep(time.Second)
		r.stop()

		require.Equal(w, sequence(10), r.data)
		require.Equal(w, at(10), r.cursor)
		require.ErrorIs(w, r.err, context.Canceled)
	})
}

// LP-P8, swept over every phase of the cycle. One transit is 25 ms. An event that
// finds a poll parked takes one. The worst case just misses an answer: that
// answer, the next poll and its answer are three (RFC 6202, section 2.2).
func TestAnEventTakesAtMostThreeTransits(t *testing.T) {
	const transit = 25 * time.Millisecond
	inWorld(t, transit, func(w *world) {
		feed := testFeed()
		w.serve(feed.Handler())
		c := w.testClient()
		c.Wait = 10 * time.Second
		r := w.receive(c)
		time.Sleep(time.Second)

		var sent []time.Duration
		for phase := time.Duration(0); phase <= 100*time.Millisecond; phase += time.Millisecond {
			for _, pause := range []time.Duration{2 * time.Second, phase} { // the first event makes the answer that the second misses
				time.Sleep(pause)
				sent = append(sent, w.elapsed())
				publish(w, feed, "x")
			}
		}
		time.Sleep(time.Second)
		r.stop()

		require.Len(w, r.when, len(sent))
		worst := time.Duration(0)
		for i := range sent {
			took := r.when[i] - sent[i]
			worst = max(worst, took)
			if i%2 == 0 {
				require.Equal(w, transit, took, "found a poll parked")
				continue
			}
			phase := sent[i] - sent[i-1]
			want := transit
			if phase < 2*transit { // zero, too: publish lets the first event be answered alone
				want = 3*transit - phase // the next poll arrives two transits after the first event
			}
			require.Equal(w, want, took, "phase %v", phase)
		}
		require.LessOrEqual(w, worst, 3*transit)
	})
}

// testFeed is a feed whose times can be computed: no jitter.
func testFeed() *longpoll.Server { return &longpoll.Server{Log: memory(), Jitter: retry.NoJitter} }

// LP-01: 1,000 waits without an event, then with events at all phases.
func TestNothingIsLostOverAThousandTimeouts(t *testing.T) {
	inWorld(t, 25*time.Millisecond, func(w *world) {
		feed := testFeed()
		w.serve(feed.Handler())
		c := w.testClient()
		c.Wait = time.Second
		r := w.receive(c)
		for i := range 1000 {
			publish(w, feed, fmt.Sprint(i))
			time.Sleep(time.Second + time.Duration(i)*time.Millisecond + 50017*time.Microsecond)
		}
		r.stop()

		require.Equal(w, sequence(1000), r.data)
		s := c.Stats()
		require.Greater(w, s.Empty, int64(900))
		require.Zero(w, s.Failures+s.Duplicates+s.Resets)
	})
}

// LP-03: the server has answered and believes the client knows.
func TestALostAnswerIsAskedForAgain(t *testing.T) {
	withFeed(t, &longpoll.Server{}, func(w *world, feed *longpoll.Server) {
		c := w.testClient()
		n := 0
		c.HTTP = w.via(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if n++; err == nil && n%2 == 0 {
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				return nil, errors.New("connection reset by peer")
			}
			return resp, err
		})
		r := w.receive(c)
		for i := range 20 {
			publish(w, feed, fmt.Sprint(i))
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		r.stop()

		require.Equal(w, sequence(20), r.data)
		require.Greater(w, c.Stats().Failures, int64(9))
		require.Greater(w, settled(feed).Events, int64(20), "the server sent some of them twice")
	})
}

// LP-04: cut at every byte, as a reset and as what looks like the regular end.
func TestAnAnswerThatWasCutIsNotAppliedInPart(t *testing.T) {
	body := `{"cursor":"e9-3","events":[` +
		`{"offset":1,"topic":"t","time":"2000-01-01T00:00:00Z","data":"MA=="},` +
		`{"offset":2,"topic":"t","time":"2000-01-01T00:00:00Z","data":"MQ=="},` +
		`{"offset":3,"topic":"t","time":"2000-01-01T00:00:00Z","data":"Mg=="}]}`
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF} {
		t.Run(end.Error(), func(t *testing.T) {
			inWorld(t, 0, func(w *world) {
				for cut := range len(body) {
					cutOnce, asked := false, []string{}
					c := w.testClient()
					c.From = at(0)
					c.HTTP = w.via(func(r *http.Request, _ http.RoundTripper) (*http.Response, error) {
						asked = append(asked, r.URL.Query().Get("cursor"))
						switch {
						case !cutOnce:
							cutOnce = true
							resp := respond(r, 200, body)
							resp.ContentLength = -1
							resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader([]byte(body[:cut])), failing{end}))
							return resp, nil
						case len(asked) == 2:
							return respond(r, 200, body), nil
						}
						<-r.Context().Done()
						return nil, r.Context().Err()
					})
					r := w.receive(c)
					time.Sleep(2 * time.Second)
					r.stop()

					require.Equal(w, []string{"e9-0", "e9-0", "e9-3"}, asked, "cut after %d bytes", cut)
					require.Equal(w, sequence(3), r.data, "cut after %d bytes", cut)
				}
			})
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// The cursor moves when the handler has returned nil.
func TestAFailedHandlerHasNotHandled(t *testing.T) {
	withFeed(t, &longpoll.Server{MaxEvents: 2}, func(w *world, feed *longpoll.Server) {
		publish(w, feed, sequence(5)...)
		c := w.testClient()
		full := errors.New("disk is full")
		var got []string
		handle := func(fail bool) func(context.Context, longpoll.Batch) error {
			return func(_ context.Context, b longpoll.Batch) error {
				if fail && len(got) == 2 {
					return full
				}
				for _, e := range b.Events {
					got = append(got, string(e.Data))
				}
				c.From = b.Cursor
				return nil
			}
		}
		require.Equal(w, full, c.Run(w.Context(), handle(true)))
		require.Equal(w, sequence(2), got)
		require.Equal(w, at(2), c.From)

		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		require.ErrorIs(w, c.Run(ctx, handle(false)), context.DeadlineExceeded)
		require.Equal(w, sequence(5), got)
	})
}

func TestFromNow(t *testing.T) {
	withFeed(t, &longpoll.Server{}, func(w *world, feed *longpoll.Server) {
		publish(w, feed, "old")
		c := w.testClient()
		c.FromNow = true
		r := w.receive(c)
		settle()
		publish(w, feed, "new")
		settle()
		r.stop()
		require.Equal(w, []string{"new"}, r.data)
	})
}

// A client that ends before its first event knows where it began.
func TestFromNowIsAPosition(t *testing.T) {
	withFeed(t, &longpoll.Server{}, func(w *world, feed *longpoll.Server) {
		publish(w, feed, "old")
		c := w.testClient()
		c.FromNow = true
		ctx, stop := context.WithCancel(w.Context())
		c.Run(ctx, func(_ context.Context, b longpoll.Batch) error {
			require.Empty(w, b.Events)
			c.From = b.Cursor
			stop()
			return nil
		})
		publish(w, feed, "missed")
		r := w.receive(c)
		settle()
		r.stop()
		require.Equal(w, []string{"missed"}, r.data)
	})
}

func TestClientTopicsAndURL(t *testing.T) {
	withFeed(t, &longpoll.Server{}, func(w *world, feed *longpoll.Server) {
		for _, topic := range []string{"a", "b", "c", ""} {
			feed.Publish(t.Context(), topic, []byte("in "+topic))
		}
		c := w.testClient()
		c.URL = url + "?tenant=7&topic=ignored"
		c.Topics = []string{"a", ""}
		c.HTTP = w.via(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
			require.Equal(w, "7", r.URL.Query().Get("tenant"))
			require.Equal(w, "30s", r.URL.Query().Get("wait"))
			return next.RoundTrip(r)
		})
		r := w.receive(c)
		settle()
		r.stop()
		require.Equal(w, []string{"in a", "in "}, r.data)
	})
}

// A topic may be a filter, for a server without Authenticate as well.
func TestFilters(t *testing.T) {
	withFeed(t, &longpoll.Server{}, func(w *world, feed *longpoll.Server) {
		c := w.testClient()
		c.Topics = []string{"news.*", "alarm"}
		r := w.receive(c)
		for _, topic := range []string{"news.eu", "news.eu.fr", "news", "alarm", "news.us"} {
			feed.Publish(t.Context(), topic, []byte(topic))
			time.Sleep(time.Second)
		}
		r.stop()
		require.Equal(w, []string{"news.eu", "alarm", "news.us"}, r.data)

		refused := w.poll("cursor=%s&topic=a&topic=b.>.c", at(0))
		require.Equal(w, http.StatusBadRequest, refused.Status)
		require.Contains(w, refused.Body, `topic is "b.>.c": > must be the last token`)
	})
}

func TestClientCheckNamesWhatIsWrong(t *testing.T) {
	const prefix = "longpoll: Client."
	for _, c := range []struct {
		client *longpoll.Client
		want   string
	}{
		{&longpoll.Client{}, `URL is "": want http://host/path or https://host/path`},
		{&longpoll.Client{URL: "server/events"}, `URL is "server/events": want http://host/path or https://host/path`},
		{&longpoll.Client{URL: "ftp://server"}, `URL is "ftp://server": want http://host/path or https://host/path`},
		{&longpoll.Client{URL: url, Topics: make([]string, 101)}, "Topics has 101 elements: want at most 100"},
		{&longpoll.Client{URL: url, Topics: []string{"a", "b.>.c"}}, `Topics[1] is "b.>.c": > must be the last token`},
		{&longpoll.Client{URL: url, Topics: []string{"news*"}}, `Topics[0] is "news*": * and > must stand alone between dots`},
		{&longpoll.Client{URL: url, Wait: -1}, "Wait is -1ns: want 0 for the default, or more"},
		{&longpoll.Client{URL: url, Wait: math.MaxInt64}, "Wait is 2562047h47m16.854775807s: want at most 100 years, 876000h0m0s"},
		{&longpoll.Client{URL: url, Backoff: retry.Backoff{Min: time.Minute}}, "Backoff.Min is 1m0s: want at most Backoff.Max, 30s"},
		{&longpoll.Client{URL: url, MaxAnswerBytes: -1}, "MaxAnswerBytes is -1: want 0 for the default, or more"},
		{&longpoll.Client{URL: url, HTTP: &http.Client{Timeout: 30 * time.Second}},
			"HTTP.Timeout is 30s: want 0, or more than Wait + Wait/16 + Margin, 41.875s"},
		{&longpoll.Client{URL: url, HTTP: &http.Client{Transport: &http.Transport{ResponseHeaderTimeout: 30 * time.Second}}},
			"HTTP.Transport.ResponseHeaderTimeout is 30s: want 0, or more than Wait + Wait/16, 31.875s"},
	} {
		require.EqualError(t, c.client.Check(), prefix+c.want)
		require.EqualError(t, c.client.Run(t.Context(), nil), prefix+c.want)
	}
	require.NoError(t, (&longpoll.Client{URL: url, ProxyTimeout: 32 * time.Second, HTTP: &http.Client{Timeout: time.Minute}}).Check())
	both := &longpoll.Client{Wait: -1}
	require.ErrorContains(t, both.Check(), "Client.URL")
	require.ErrorContains(t, both.Check(), "Client.Wait")
}
