package longpoll_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/internal/pollingtest"
	"github.com/squall-sim/squall/patterns/longpoll"
	"github.com/squall-sim/squall/patterns/retry"
)

func named(name string) func(context.Context) (http.Header, error) {
	return func(context.Context) (http.Header, error) { return http.Header{"authorization": {name}}, nil }
}

// Clients get what they may see, and are told what they may not.
func TestClientsSeeWhatTheyMay(t *testing.T) {
	who := pollingtest.ByName(
		access.Everything("root"),
		access.Identity{Client: "alice", Topics: []string{"news", "orders.*"}},
		access.Identity{Client: "bob", Topics: []string{"users"}},
		access.Identity{Client: "nobody"},
	)
	for _, c := range []struct {
		client string
		topics []string
		want   []string
		status int // that ends the client
	}{
		{"root", nil, []string{"news", "orders.eu", "users", "news", "orders.us", "users"}, 0},
		{"alice", nil, []string{"news", "orders.eu", "news", "orders.us"}, 0},
		{"alice", []string{"orders.us", "orders.eu"}, []string{"orders.eu", "orders.us"}, 0},
		{"alice", []string{"news", "users"}, nil, http.StatusForbidden},
		{"root", []string{"orders.>", "users"}, []string{"orders.eu", "users", "orders.us", "users"}, 0},
		{"alice", []string{"orders.*"}, []string{"orders.eu", "orders.us"}, 0},
		{"alice", []string{"orders.>"}, nil, http.StatusForbidden},
		{"bob", nil, []string{"users", "users"}, 0},
		{"nobody", nil, nil, 0},
		{"nobody", []string{"news"}, nil, http.StatusForbidden},
		{"mallory", nil, nil, http.StatusUnauthorized},
	} {
		withFeed(t, &longpoll.Server{Authenticate: who}, func(w *world, feed *longpoll.Server) {
			publishTo := func(topics ...string) {
				for _, topic := range topics {
					_, err := feed.Publish(w.Context(), topic, []byte(topic))
					require.NoError(w, err)
					time.Sleep(1)
				}
			}
			publishTo("news", "orders.eu", "users")
			client := w.testClient()
			client.Header, client.Topics = named(c.client), c.topics
			r := w.receive(client)
			time.Sleep(time.Second)
			publishTo("news", "orders.us", "users") // to polls that are held
			time.Sleep(time.Second)
			r.stop()
			require.Equal(w, c.want, r.data, c)
			var refused *retry.StatusError
			require.Equal(w, c.status != 0, errors.As(r.err, &refused), "%v: %v", c, r.err)
			if refused != nil {
				require.Equal(w, c.status, refused.Status)
				require.EqualValues(w, 1, client.Stats().Polls, "to ask again would change nothing")
			}
		})
	}
}

// A poll ends with the credentials that it was asked with, and the next one needs others.
func TestAPollEndsWithItsIdentity(t *testing.T) {
	id := access.Everything("alice")
	feed := &longpoll.Server{Authenticate: func(*http.Request) (access.Identity, error) { return id, nil }}
	withFeed(t, feed, func(w *world, feed *longpoll.Server) {
		id.Expires = time.Now().Add(7 * time.Second)
		r := w.poll("cursor=%s&wait=30s", at(0))
		require.Equal(w, http.StatusOK, r.Status)
		require.Equal(w, 7*time.Second, r.After)
		refused := w.poll("cursor=%s&wait=30s", at(0))
		require.Equal(w, http.StatusUnauthorized, refused.Status)
		require.Equal(w, "Bearer", refused.Header.Get("WWW-Authenticate"))
		require.Equal(w, "no-store", refused.Header.Get("Cache-Control"))
	})
}

// Header is asked for each request; its failures are those of a poll.
func TestHeader(t *testing.T) {
	withFeed(t, &longpoll.Server{}, func(w *world, feed *longpoll.Server) {
		calls := 0
		var got []string
		c := w.testClient()
		c.HTTP = w.via(func(r *http.Request, next http.RoundTripper) (*http.Response, error) {
			got = append(got, r.Header.Get("Authorization")+" "+r.Header.Get("Accept"))
			return next.RoundTrip(r)
		})
		c.Header = func(ctx context.Context) (http.Header, error) {
			switch calls++; calls {
			case 2:
				return nil, errors.New("no token today")
			case 3:
				<-ctx.Done() // for as long as a server may be silent
				return nil, ctx.Err()
			case 5:
				return nil, &retry.StatusError{Status: http.StatusForbidden, Text: "account is closed"}
			}
			return http.Header{"Authorization": {fmt.Sprint(calls)}, "Accept": {"text/html"}}, nil
		}
		var retries []string
		c.OnRetry = func(err error, delay time.Duration) { retries = append(retries, fmt.Sprint(err, ", ", delay)) }
		r := w.receive(c)
		time.Sleep(5 * time.Minute)
		r.stop()
		require.Equal(w, []string{"1 application/json", "4 application/json"}, got, "what the protocol needs is not overridden")
		require.Equal(w, []string{
			"longpoll: Client.Header: no token today, 1s",
			"longpoll: no answer for 41.875s: context deadline exceeded, 2s",
		}, retries)
		require.EqualError(w, r.err, "longpoll: Client.Header: server answered 403 Forbidden: account is closed")
		require.Equal(w, 5, calls)
		require.Equal(w, longpoll.ClientStats{Polls: 5, Empty: 2, Failures: 3, TimedOut: 1}, c.Stats())
	})
}

// logger writes lines without their times.
func logger(to *strings.Builder) *slog.Logger {
	return slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}

func TestLogger(t *testing.T) {
	var served, polled strings.Builder
	feed := &longpoll.Server{
		MaxClients: 1, Logger: logger(&served),
		Authenticate: pollingtest.ByName(access.Everything("alice"), access.Identity{Client: "bob"}),
	}
	withFeed(t, feed, func(w *world, feed *longpoll.Server) {
		served.Reset()
		polled.Reset()
		publish(w, feed, "x")
		run := func(name string, change func(*longpoll.Client)) {
			c := w.testClient()
			c.Header, c.Logger, c.Interval = named(name), logger(&polled), time.Nanosecond
			change(c)
			r := w.receive(c)
			time.Sleep(time.Second - 1)
			r.stop()
			settle()
		}
		run("alice", func(c *longpoll.Client) { c.From = at(9); c.StaleAnswers = -1 })
		run("bob", func(c *longpoll.Client) { c.Topics = []string{"t"} })
		run("mallory", func(*longpoll.Client) {})
		held := w.receive(&longpoll.Client{URL: url, HTTP: w.client(), Header: named("alice")})
		settle()
		run("alice", func(c *longpoll.Client) { c.From = at(1) })
		held.stop()
		settle()
		require.NoError(w, feed.Log.Close())
		run("alice", func(*longpoll.Client) {})

		require.Equal(w, `
level=WARN msg="client cannot be continued" client=alice reason=future
level=DEBUG msg="client went away" client=alice
level=WARN msg="request refused" client=bob error="access: forbidden: topic \"t\""
level=WARN msg="request refused" client=10.0.0.1:PORT error="access: unauthorized: who are you?"
level=WARN msg="poll refused" client=alice error="longpoll: too many polls are held"
level=DEBUG msg="client went away" client=alice
level=WARN msg="poll refused" client=alice error="eventlog: log is closed"
`[1:], regexp.MustCompile(`(10\.0\.0\.1):\d+`).ReplaceAllString(served.String(), "$1:PORT"))
		require.Equal(w, `
level=WARN msg="events may be missing" reason=future cursor=e9-9
level=WARN msg="polling ended" error="longpoll: server answered 403 Forbidden: access: forbidden: topic \"t\""
level=WARN msg="polling ended" error="longpoll: server answered 401 Unauthorized: access: unauthorized: who are you?"
level=DEBUG msg="poll failed" error="longpoll: server answered 503 Service Unavailable: longpoll: too many polls are held" delay=1s
level=DEBUG msg="poll failed" error="longpoll: server answered 503 Service Unavailable: eventlog: log is closed" delay=1s
`[1:], polled.String())
	})
}
