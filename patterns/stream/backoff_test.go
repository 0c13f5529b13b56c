package stream_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/patterns/stream"
)

// ST-P7: the reconnection time, and up to 3 s more; doubled up to 30 s after each attempt
// that failed. Until a stream tells one the delays are those of package retry, from 1 s to 3 s
// at first.
func TestDelays(t *testing.T) {
	seconds := func(all ...float64) (ds []time.Duration) {
		for _, s := range all {
			ds = append(ds, time.Duration(s*float64(time.Second)))
		}
		return ds
	}
	for _, row := range []struct {
		reason string
		answer http.HandlerFunc
		jitter retry.Jitter
		want   []time.Duration
	}{
		{"none is told, at most", status(503), retry.NoJitter, seconds(3, 6, 12, 24, 30, 30)},
		{"none is told, at least", status(503), most, seconds(1, 1, 1, 1, 1)},
		{"2 s are told, at least", sends("retry: 2000\n"), retry.NoJitter, seconds(2, 4, 8, 16, 30, 30)},
		{"2 s are told, at most", sends("retry: 2000\n"), most, seconds(5, 7, 11, 19, 33, 33)},
		{"0 is told: Min all the same, and the spread (ST-25)", sends("retry: 0\n"), retry.NoJitter, seconds(1, 2, 4)},
		{"0 is told, at most", sends("retry: 0\n"), most, seconds(4, 5, 7)},
		{"more than Max, which is for doubling", sends("retry: 100000\n"), retry.NoJitter, seconds(100, 100)},
		{"more than RetryAfterMax", sends("retry: 99999999999999999999\n"), retry.NoJitter, seconds(300, 300)},
		{"a Retry-After", status(503, "Retry-After", "7"), retry.NoJitter, seconds(7, 7)},
		{"a Retry-After, at most", status(503, "Retry-After", "7"), most, seconds(10, 10)},
		{"a Retry-After of 0", status(503, "Retry-After", "0"), retry.NoJitter, seconds(1, 1)},
		{"a Retry-After beyond RetryAfterMax", status(503, "Retry-After", "86400"), retry.NoJitter, seconds(300, 300)},
		{"a Retry-After of more than 31 bits", status(503, "Retry-After", "2147483648"), retry.NoJitter, seconds(300, 300)},
		{"a Retry-After by the server's clock", status(503, "Retry-After", "Sat, 01 Jan 2050 00:00:09 GMT", "Date", "Sat, 01 Jan 2050 00:00:00 GMT"),
			retry.NoJitter, seconds(9, 9)},
		{"no Retry-After", status(503, "Retry-After", "soon"), retry.NoJitter, seconds(3, 6)},
		{"a stream without an event, and a Retry-After", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "7")
			sends("retry: 2000\n")(w, r)
		}, retry.NoJitter, seconds(7, 7)},
		{"a stream with an event, and a Retry-After: it was no refusal", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "7")
			sends("retry: 2000\ndata: a\n\n")(w, r)
		}, retry.NoJitter, seconds(2, 2)},
	} {
		inWorld(t, func(w *world) {
			w.script(row.answer)
			r := w.receive(&stream.Client{Jitter: row.jitter})
			time.Sleep(12 * time.Minute)
			require.Equal(w, row.want, r.retries()[:len(row.want)], row.reason)
		})
	}
}

// A connection that worked makes the next failure the first.
func TestDelaysBeginAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		lasting := func(w http.ResponseWriter, r *http.Request) {
			sends(":")(w, r)
			http.NewResponseController(w).Flush()
			time.Sleep(time.Second + time.Millisecond)
		}
		w.script(status(500), status(500), status(500), lasting, status(500), status(500), sends("data: a\n\n"), status(500), hangs(""))
		r := w.receive(&stream.Client{})
		time.Sleep(5 * time.Minute)
		base := 3 * time.Second
		require.Equal(w, []time.Duration{base, 2 * base, 4 * base, base, 2 * base, 4 * base, base, 2 * base}, r.retries()[:8])
	})
}

// Credentials may be renewed for each request, and fail to be.
func TestHeaderIsAskedForEachRequest(t *testing.T) {
	overEncodings(t, func(w *world, e stream.Encoding) {
		s := w.script(status(503), status(503))
		n := 0
		r := w.receive(&stream.Client{Encoding: e, Header: func(context.Context) (http.Header, error) {
			if n++; n == 2 {
				return nil, errors.New("no token")
			}
			return http.Header{"Authorization": {"Bearer " + string(rune('0'+n))}}, nil
		}})
		time.Sleep(10 * time.Second)
		require.Equal(w, "stream: Client.Header: no token", r.failures()[1])
		require.Len(w, s.asked(), 2)
		require.Equal(w, "Bearer 1", s.asked()[0].Header.Get("Authorization"))
		require.Equal(w, "Bearer 3", s.asked()[1].Header.Get("Authorization"))

		final := w.receive(&stream.Client{Encoding: e, Header: func(context.Context) (http.Header, error) {
			return nil, &retry.StatusError{Status: 401}
		}})
		err, ended := final.result()
		require.True(w, ended)
		require.EqualError(w, err, "stream: Client.Header: server answered 401 Unauthorized")
	})
}
