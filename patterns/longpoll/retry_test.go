package longpoll_test

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/longpoll"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/sim"
)

// LP-08: the path has died and nobody says so. The poll's timeout is
// 30 s + 30 s/16 + 10 s = 41.875 s.
func TestADeadConnectionIsNoticed(t *testing.T) {
	withFeed(t, &longpoll.Server{}, func(w *world, feed *longpoll.Server) {
		c := w.testClient()
		var retries []string
		c.OnRetry = func(err error, delay time.Duration) {
			require.ErrorIs(w, err, context.DeadlineExceeded)
			retries = append(retries, fmt.Sprint(w.elapsed(), " ", delay))
		}
		r := w.receive(c)
		time.Sleep(10 * time.Second)
		w.link.Down()
		publish(w, feed, "0")
		time.Sleep(75 * time.Second)
		w.link.Up()
		time.Sleep(time.Minute)
		r.stop()

		// The poll of 0 s ends unheard at 41.875 s; the one of 42.875 s dials into the hole, for 30 s, and the
		// one of 74.875 s sends its eighth SYN, 11 s after the first, when the link is up.
		require.Equal(w, []string{"41.875s 1s", "1m12.875s 2s"}, retries)
		require.Equal(w, sequence(1), r.data)
		require.Equal(w, []time.Duration{85875 * time.Millisecond}, r.when)
		require.EqualValues(w, 1, c.Stats().TimedOut)
	})
}

// HTTP/2 sends the next poll over the connection that the last one died on, unless
// it is told not to.
func TestADeadHTTP2ConnectionIsNotUsedAgain(t *testing.T) {
	withFeed(t, &longpoll.Server{}, func(w *world, feed *longpoll.Server) {
		var h2 http.Protocols
		h2.SetUnencryptedHTTP2(true)
		w.server.Close()
		w.serveProtocols(feed.Handler(), &h2)
		w.http.Transport.(*http.Transport).Protocols = &h2
		r := w.receive(w.testClient())
		time.Sleep(10 * time.Second)
		w.link.Down()
		publish(w, feed, "0")
		time.Sleep(32 * time.Second)
		w.link.Up() // TCP's next attempt on the old connection is 51 s after the first
		time.Sleep(5 * time.Minute)
		r.stop()

		require.Equal(w, []time.Duration{42875 * time.Millisecond}, r.when, "the poll's timeout and 1 s of backoff")
	}, sim.MayDiffer("the goroutines of an HTTP/2 connection of net/http race each other to write to it"))
}

// LP-06: nginx gives up after 60 s on a poll of 90 s. Each 504 counts as an empty
// answer, and the next poll leaves at once: no loss, no backoff, no hot loop.
func TestAProxyThatGivesUpEarlyIsAnEmptyAnswer(t *testing.T) {
	withFeed(t, &longpoll.Server{}, func(w *world, feed *longpoll.Server) {
		c := w.testClient()
		c.Wait = 90 * time.Second
		c.HTTP = w.via(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
			ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
			defer cancel()
			resp, err := next.RoundTrip(r.WithContext(ctx))
			if err != nil && r.Context().Err() == nil {
				return respond(r, http.StatusGatewayTimeout, "upstream timed out"), nil
			}
			return resp, err
		})
		r := w.receive(c)
		time.Sleep(10*time.Minute + time.Second)
		require.Equal(w, longpoll.ClientStats{Polls: 12, Empty: 11}, c.Stats(), "one to get a cursor, ten of a minute, one out")
		publish(w, feed, "0")
		settle()
		r.stop()

		require.Equal(w, sequence(1), r.data)
		c.ProxyTimeout = time.Minute
		require.EqualError(w, c.Check(), "longpoll: Client.Wait is 1m30s, so a poll may be held for 1m35.625s: want less than ProxyTimeout, 1m0s")
	})
}

// With NoJitter a delay is the longest that could be drawn.
func TestDelaysAfterFailures(t *testing.T) {
	seconds := func(d ...float64) (out []time.Duration) {
		for _, s := range d {
			out = append(out, time.Duration(s*float64(time.Second)))
		}
		return out
	}
	for _, c := range []struct {
		why     string
		backoff retry.Backoff
		answer  func(r *http.Request) (*http.Response, error)
		want    []time.Duration
	}{
		{"doubled from 1 s to 30 s", retry.Backoff{}, func(r *http.Request) (*http.Response, error) {
			return respond(r, 500, "broken"), nil
		}, seconds(1, 2, 4, 8, 16, 30, 30)},
		{"no connection is a failure like another", retry.Backoff{}, func(r *http.Request) (*http.Response, error) {
			return nil, syscall.ECONNREFUSED
		}, seconds(1, 2, 4)},
		{"a 504 that came at once is no timeout", retry.Backoff{}, func(r *http.Request) (*http.Response, error) {
			return respond(r, 504, "no upstream"), nil
		}, seconds(1, 2, 4)},
		{"a page of a captive portal is no answer", retry.Backoff{}, func(r *http.Request) (*http.Response, error) {
			return respond(r, 200, "<html>log in</html>"), nil
		}, seconds(1, 2, 4)},
		{"Base and Max", retry.Backoff{Base: 3 * time.Second, Max: 5 * time.Second}, func(r *http.Request) (*http.Response, error) {
			return respond(r, 500, ""), nil
		}, seconds(3, 5, 5)},
		{"never below Min", retry.Backoff{Min: 2 * time.Second, Base: time.Second}, func(r *http.Request) (*http.Response, error) {
			return respond(r, 500, ""), nil
		}, seconds(2, 2, 4)},
		{"Retry-After in seconds", retry.Backoff{}, func(r *http.Request) (*http.Response, error) {
			return respond(r, 503, "", "Retry-After", "7"), nil
		}, seconds(7, 7, 7)},
		{"Retry-After as a date", retry.Backoff{}, func(r *http.Request) (*http.Response, error) {
			return respond(r, 429, "", "Retry-After", time.Now().Add(9*time.Second).UTC().Format(http.TimeFormat)), nil
		}, seconds(9, 9, 9)},
		{"Retry-After is clamped to 5 min", retry.Backoff{}, func(r *http.Request) (*http.Response, error) {
			return respond(r, 503, "", "Retry-After", "86400"), nil
		}, seconds(300, 300)},
		{"also one of more than 31 bits", retry.Backoff{}, func(r *http.Request) (*http.Response, error) {
			return respond(r, 503, "", "Retry-After", "2147483648"), nil
		}, seconds(300, 300)},
		{"and to Min", retry.Backoff{}, func(r *http.Request) (*http.Response, error) {
			return respond(r, 503, "", "Retry-After", "0"), nil
		}, seconds(0.1, 0.1)},
		{"a Retry-After that cannot be read", retry.Backoff{}, func(r *http.Request) (*http.Response, error) {
			return respond(r, 503, "", "Retry-After", "soon"), nil
		}, seconds(1, 2)},
	} {
		t.Run(c.why, func(t *testing.T) {
			inWorld(t, 0, func(w *world) {
				client := w.testClient()
				client.Backoff = c.backoff
				client.Interval = time.Nanosecond
				client.HTTP = &http.Client{Transport: tripper(c.answer)}
				var delays []time.Duration
				ctx, cancel := context.WithCancel(w.Context())
				client.OnRetry = func(_ error, d time.Duration) {
					if delays = append(delays, d); len(delays) == len(c.want) {
						cancel()
					}
				}
				require.ErrorIs(w, client.Run(ctx, ignore), context.Canceled)

				require.Equal(w, c.want, delays)
				var sum time.Duration
				for _, d := range delays[:len(delays)-1] {
					sum += d
				}
				require.InDelta(w, sum, w.elapsed(), 10, "the delays were kept; the token bucket adds a nanosecond each")
			})
		})
	}
}

// Full jitter: uniform from the floor to the ceiling, the same for the same seed.
func TestDelaysAreDrawnWithinTheirBounds(t *testing.T) {
	draw := func(t *testing.T, seed uint64) (delays []time.Duration) {
		inWorld(t, 0, func(w *world) {
			delays = nil
			c := w.testClient()
			c.Jitter = retry.Seeded(seed)
			c.HTTP = &http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) { return respond(r, 500, ""), nil })}
			ctx, cancel := context.WithCancel(w.Context())
			c.OnRetry = func(_ error, d time.Duration) {
				if delays = append(delays, d); len(delays) >= 1000 {
					cancel()
				}
			}
			c.Run(ctx, ignore)
		})
		return delays
	}
	a := draw(t, 1)
	require.Equal(t, a, draw(t, 1))
	require.NotEqual(t, a, draw(t, 2))
	var low, high int
	for _, d := range a[5:] {
		require.GreaterOrEqual(t, d, 100*time.Millisecond)
		require.LessOrEqual(t, d, 30*time.Second)
		if d < 10*time.Second {
			low++
		}
		if d > 20*time.Second {
			high++
		}
	}
	// A third each; 995 draws have a standard deviation of 15.
	require.InDelta(t, 331, low, 60)
	require.InDelta(t, 334, high, 60)
}

func ignore(context.Context, longpoll.Batch) error { return nil }

func TestAHandlerIsNeeded(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	require.PanicsWithValue(t, "longpoll: Client.Run: handle is nil: want a function", func() {
		(&longpoll.Client{URL: url}).Run(over, nil)
	})
}

func TestARefusalForGoodEndsTheRun(t *testing.T) {
	for _, status := range []int{400, 401, 403, 404, 405, 409, 413} {
		inWorld(t, 0, func(w *world) {
			c := w.testClient()
			c.HTTP = w.via(func(r *http.Request, _ http.RoundTripper) (*http.Response, error) {
				return respond(r, status, " because\n"), nil
			})
			err := c.Run(w.Context(), ignore)
			var se *retry.StatusError
			require.ErrorAs(w, err, &se)
			require.Equal(w, retry.StatusError{Status: status, Text: "because"}, *se)
			require.EqualError(w, err, fmt.Sprintf("longpoll: server answered %d %s: because", status, http.StatusText(status)))
		})
	}
	for _, status := range []int{408, 421, 425, 429, 500, 502, 503, 504, 524} {
		inWorld(t, 0, func(w *world) {
			c := w.testClient()
			n := 0
			c.HTTP = w.via(func(r *http.Request, _ http.RoundTripper) (*http.Response, error) {
				if n++; n == 1 {
					return respond(r, status, ""), nil
				}
				return respond(r, 401, ""), nil
			})
			require.Error(w, c.Run(w.Context(), ignore))
			require.Equal(w, 2, n, "%d must be tried again", status)
		})
	}
}

// What a server takes a client takes, by their defaults.
func TestMaxMessageBytes(t *testing.T) {
	withFeed(t, &longpoll.Server{}, func(w *world, feed *longpoll.Server) {
		topic := strings.Repeat("<", 1024) // six bytes of JSON each
		_, err := feed.Publish(w.Context(), topic, make([]byte, 8<<20-1023))
		require.ErrorIs(w, err, eventlog.ErrTooLarge)
		require.EqualError(w, err, "longpoll: publish: eventlog: entry is too large: 8388609 bytes, and MaxMessageBytes is 8388608")
		_, err = feed.Publish(w.Context(), topic+"<", nil)
		require.EqualError(w, err, "longpoll: publish: topic has 1025 bytes: want at most 1024")
		_, err = feed.Publish(w.Context(), topic, make([]byte, 8<<20-1024))
		require.NoError(w, err)
		r := w.receive(w.testClient())
		settle()
		r.stop()
		require.Len(w, r.data, 1)

		feed = &longpoll.Server{MaxMessageBytes: 10}
		_, err = feed.Publish(w.Context(), "t", make([]byte, 10))
		require.ErrorIs(w, err, eventlog.ErrTooLarge)
		require.EqualError(w, (&longpoll.Server{MaxMessageBytes: -1}).Check(), "longpoll: Server.MaxMessageBytes is -1: want 0 for the default, or more")
	})
}

func TestAnAnswerBeyondMaxAnswerEndsTheRun(t *testing.T) {
	withFeed(t, &longpoll.Server{}, func(w *world, feed *longpoll.Server) {
		publish(w, feed, strings.Repeat("x", 1000))
		c := w.testClient()
		c.MaxAnswerBytes = 1000
		err := c.Run(w.Context(), ignore)
		require.ErrorIs(w, err, eventlog.ErrTooLarge)
		require.EqualError(w, err, "longpoll: answer is longer than MaxAnswerBytes, 1000 bytes")

		settle() // Go 1.27 reads the rest of an answer that was closed, and uses the connection again
		c = w.testClient()
		c.MaxAnswerBytes = math.MaxInt
		r := w.receive(c)
		settle()
		r.stop()
		require.Len(w, r.data, 1)
	})
}
