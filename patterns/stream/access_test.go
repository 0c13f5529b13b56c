package stream_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/patterns/stream"
)

// named is an Authenticate that believes in a request's Authorization.
func named(topics ...string) func(*http.Request) (access.Identity, error) {
	return func(r *http.Request) (access.Identity, error) {
		name := r.Header.Get("Authorization")
		if name == "" {
			return access.Identity{}, access.ErrUnauthorized
		}
		return access.Identity{Client: name, Topics: topics}, nil
	}
}

func TestClientsSeeWhatTheyMay(t *testing.T) {
	for _, row := range []struct {
		name         string
		granted, ask []string
		want         []string
		status       int
	}{
		{"everything", []string{">"}, nil, []string{"a", "b.1", "b.2", "c"}, 0},
		{"names", []string{"a", "c"}, nil, []string{"a", "c"}, 0},
		{"filters", []string{"a", "b.*"}, nil, []string{"a", "b.1", "b.2"}, 0},
		{"one of them", []string{"a", "b.*"}, []string{"b.2"}, []string{"b.2"}, 0},
		{"one that is not among them", []string{"a", "b.*"}, []string{"a", "c"}, nil, 403},
		{"a filter", []string{"a", "b.*"}, []string{"b.*"}, []string{"b.1", "b.2"}, 0},
		{"a filter of more than it may see", []string{"a", "b.*"}, []string{"b.>"}, nil, 403},
		{"nothing", nil, nil, nil, 0},
		{"nothing, and something is asked for", nil, []string{"a"}, nil, 403},
	} {
		t.Run(row.name, func(t *testing.T) {
			overEncodings(t, func(w *world, e stream.Encoding) {
				s := w.stream(&stream.Server{Authenticate: named(row.granted...)})
				for _, topic := range []string{"a", "b.1", "b.2", "c"} {
					publishTo(w, s, topic, topic)
				}
				c := w.receive(&stream.Client{Encoding: e, Topics: row.ask, Header: always(http.Header{"Authorization": {"ann"}})})
				require.Equal(w, row.want, c.got())
				err, ended := c.result()
				require.Equal(w, row.status != 0, ended)
				if row.status != 0 {
					var refused *retry.StatusError
					require.ErrorAs(w, err, &refused)
					require.Equal(w, row.status, refused.Status)
				}
				for _, topic := range []string{"c", "b.2"} { // while the stream is open
					publishTo(w, s, topic, topic+"!")
				}
				time.Sleep(time.Minute) // and position after position
				for _, got := range c.got() {
					require.Contains(w, row.want, strings.TrimSuffix(got, "!"))
				}
			})
		})
	}
}

func TestAuthenticateRefuses(t *testing.T) {
	for _, row := range []struct {
		name         string
		authenticate func(*http.Request) (access.Identity, error)
		status       int
	}{
		{"nobody", named(">"), 401},
		{"credentials that have expired", func(*http.Request) (access.Identity, error) {
			return access.Identity{Client: "ann", Topics: []string{">"}, Expires: time.Now()}, nil
		}, 401},
		{"an error of another kind", func(*http.Request) (access.Identity, error) { return access.Identity{}, errors.New("no database") }, 401},
		{"forbidden", func(*http.Request) (access.Identity, error) {
			return access.Identity{}, fmt.Errorf("%w: banned", access.ErrForbidden)
		}, 403},
		{"a panic", func(*http.Request) (access.Identity, error) { panic("boom") }, 500},
	} {
		t.Run(row.name, func(t *testing.T) {
			overEncodings(t, func(w *world, e stream.Encoding) {
				var lines strings.Builder
				s := w.stream(&stream.Server{Authenticate: row.authenticate, Logger: slog.New(slog.NewTextHandler(&lines, nil))})
				publish(w, s, "secret")
				c := w.receive(&stream.Client{Encoding: e})
				require.Empty(w, c.got())
				err, ended := c.result()
				if row.status == 500 { // which may be another the next time
					require.False(w, ended)
					require.Equal(w, []string{"stream: server answered 500 Internal Server Error: Internal Server Error"}, c.failures())
				} else {
					var refused *retry.StatusError
					require.ErrorAs(w, err, &refused)
					require.Equal(w, row.status, refused.Status)
					require.NotContains(w, refused.Text, "database")
				}
				require.Contains(w, lines.String(), `level=WARN msg="stream refused" client=`)
				require.Zero(w, settled(s).Opened)
			})
		})
	}
}

// A stream ends with its credentials, and goes on with new ones.
func TestAStreamEndsWithItsCredentials(t *testing.T) {
	overEncodings(t, func(w *world, e stream.Encoding) {
		s := w.stream(&stream.Server{Authenticate: func(r *http.Request) (access.Identity, error) {
			expires, err := time.Parse(time.RFC3339, r.Header.Get("Authorization"))
			return access.Identity{Client: "ann", Topics: []string{">"}, Expires: expires}, err
		}})
		c := w.receive(&stream.Client{Encoding: e, Header: func(context.Context) (http.Header, error) {
			return http.Header{"Authorization": {time.Now().Add(10 * time.Minute).Format(time.RFC3339)}}, nil
		}})
		time.Sleep(time.Second) // no event is published at the instant of a heartbeat
		for i := range 30 {
			publish(w, s, numbered(i, i)...)
			time.Sleep(time.Minute)
		}
		require.Equal(w, numbered(0, 29), c.got())
		require.Equal(w, []string{stream.ErrEnded.Error(), stream.ErrEnded.Error()}, c.failures())
		require.EqualValues(w, 3, settled(s).Opened)

		// The third has begun 2 s after the second ended, which is 20 min and 2 s after the first began.
		time.Sleep(3*time.Second - time.Millisecond)
		require.Len(w, c.failures(), 2)
		time.Sleep(2 * time.Millisecond)
		require.Len(w, c.failures(), 3, "also when nothing happens")
	})
}
