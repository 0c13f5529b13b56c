package retry_test

import (
	"context"
	"math"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/retry"
)

const (
	ms  = time.Millisecond
	sec = time.Second
)

// whole draws the most there is, so that delays are the shortest and hints the longest.
func whole(max time.Duration) time.Duration { return max }

func TestDelays(t *testing.T) {
	for _, row := range []struct {
		reason   string
		backoff  retry.Backoff
		longest  []time.Duration // after 1, 2, ... failures
		shortest time.Duration
	}{
		{"the defaults: 1 s doubled up to 30 s, never below 100 ms", retry.Backoff{},
			[]time.Duration{sec, 2 * sec, 4 * sec, 8 * sec, 16 * sec, 30 * sec, 30 * sec}, 100 * ms},
		{"bounds of one's own", retry.Backoff{Min: 2 * sec, Base: 3 * sec, Max: 10 * sec},
			[]time.Duration{3 * sec, 6 * sec, 10 * sec, 10 * sec}, 2 * sec},
		{"a Base below Min is Min", retry.Backoff{Min: 3 * sec, Base: sec},
			[]time.Duration{3 * sec, 3 * sec, 4 * sec, 8 * sec, 16 * sec, 30 * sec}, 3 * sec},
		{"a Base above Max is Max", retry.Backoff{Base: time.Minute}, []time.Duration{30 * sec, 30 * sec}, 100 * ms},
		{"doubling does not overflow", retry.Backoff{Base: math.MaxInt64 / 3, Max: math.MaxInt64},
			[]time.Duration{math.MaxInt64 / 3, math.MaxInt64 / 3 * 2, math.MaxInt64, math.MaxInt64}, 100 * ms},
	} {
		for i, want := range row.longest {
			require.Equal(t, want, row.backoff.Delay(i+1, retry.NoJitter), "%s: failure %d", row.reason, i+1)
			require.Equal(t, row.shortest, row.backoff.Delay(i+1, whole), "%s: failure %d", row.reason, i+1)
		}
		require.Equal(t, row.longest[len(row.longest)-1], row.backoff.Delay(math.MaxInt, retry.NoJitter), row.reason)
		require.Equal(t, row.longest[0], row.backoff.Delay(0, retry.NoJitter), row.reason)
	}
}

func TestDefaultsOfAPattern(t *testing.T) {
	own := retry.Backoff{Min: sec, Base: 3 * sec}
	require.Equal(t, retry.Backoff{Min: sec, Base: 5 * sec, Max: 30 * sec, RetryAfterMax: 5 * time.Minute},
		retry.Backoff{Base: 5 * sec}.WithDefaults(own))
}

func TestHints(t *testing.T) {
	for after, want := range map[time.Duration]time.Duration{
		7 * sec:       7 * sec,
		0:             100 * ms,
		-time.Hour:    100 * ms,
		time.Hour:     5 * time.Minute,
		math.MaxInt64: 5 * time.Minute,
	} {
		require.Equal(t, want, retry.Backoff{}.Hint(after, retry.NoJitter), after)
		require.Equal(t, want+sec, retry.Backoff{}.Hint(after, whole), "up to Base more")
	}
	forever := retry.Backoff{RetryAfterMax: math.MaxInt64}
	require.EqualValues(t, math.MaxInt64, forever.Hint(math.MaxInt64, whole), "no overflow")
}

// RFC 9110, section 10.2.3.
func TestAfter(t *testing.T) {
	const longest = math.MaxInt64 / sec * sec
	for _, row := range []struct {
		reason, after, date string
		want                time.Duration
		ok                  bool
	}{
		{reason: "none"},
		{"seconds", "120", "", 120 * sec, true},
		{"white space around them", " 7 ", "", 7 * sec, true},
		{"none at all is an answer", "0", "", 0, true},
		{"beyond 31 bits", "2147483648", "", 2147483648 * sec, true},
		{"beyond a Duration", "9223372037", "", longest, true},
		{"beyond 64 bits", "99999999999999999999999", "", longest, true},
		{"a date of the server's clock", "Fri, 31 Dec 1999 23:59:59 GMT", "Fri, 31 Dec 1999 23:57:59 GMT", 2 * time.Minute, true},
		{"in the obsolete forms", "Friday, 31-Dec-99 23:59:59 GMT", "Fri Dec 31 23:57:59 1999", 2 * time.Minute, true},
		{"a date that has passed", "Fri, 31 Dec 1999 23:57:59 GMT", "Fri, 31 Dec 1999 23:59:59 GMT", 0, true},
		{"no Date: the local clock, which begins in a bubble with the year 2000", "Sat, 01 Jan 2000 00:00:09 GMT", "", 9 * sec, true},
		{"a Date that is none", "Sat, 01 Jan 2000 00:00:09 GMT", "today", 9 * sec, true},
		{"a date beyond a Duration", "Fri, 31 Dec 9999 23:59:59 GMT", "Fri, 31 Dec 1999 23:59:59 GMT", math.MaxInt64, true},
		{"a sign", "-5", "", 0, false},
		{"a sign", "+5", "", 0, false},
		{"a fraction", "1.5", "", 0, false},
		{"words", "soon", "", 0, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := http.Header{}
			if row.after != "" {
				h.Set("Retry-After", row.after)
			}
			if row.date != "" {
				h.Set("Date", row.date)
			}
			got, ok := retry.After(h)
			require.Equal(t, row.ok, ok, row.reason)
			require.Equal(t, row.want, got, row.reason)
		})
	}
}

func TestTemporary(t *testing.T) {
	again := map[int]bool{408: true, 421: true, 425: true, 429: true}
	for status := 100; status < 600; status++ {
		require.Equal(t, again[status] || status >= 500, retry.Temporary(status), status)
	}
}

func TestStatusErrorSaysWhatTheServerSaid(t *testing.T) {
	require.EqualError(t, retry.NewStatusError(503, []byte(" full\n")), "server answered 503 Service Unavailable: full")
	require.EqualError(t, retry.NewStatusError(404, nil), "server answered 404 Not Found")
	require.Len(t, retry.NewStatusError(500, []byte(strings.Repeat("x", 1000))).Text, 200)
}

// Draws fill the whole range, its end included, and repeat.
func TestSeeded(t *testing.T) {
	a, b, other := retry.Seeded(1), retry.Seeded(1), retry.Seeded(2)
	seen, differ := map[time.Duration]int{}, false
	for range 1000 {
		d := a(3)
		require.Equal(t, d, b(3))
		differ = differ || d != other(3)
		seen[d]++
	}
	require.True(t, differ, "another seed draws otherwise")
	require.Len(t, seen, 4)
	for d, n := range seen {
		require.InDelta(t, 250, n, 80, "%d ns", d)
	}
	require.Zero(t, a(0))
	require.Zero(t, a(-sec))
	require.LessOrEqual(t, a(math.MaxInt64), time.Duration(math.MaxInt64))
}

// What a fork draws does not depend on what others draw from the same Jitter meanwhile, or from other forks.
func TestFork(t *testing.T) {
	draws := func(j retry.Jitter) [2]time.Duration { return [2]time.Duration{j(time.Hour), j(time.Hour)} }
	alone, shared := retry.Seeded(1), retry.Seeded(1)
	first, second := alone.Fork(), alone.Fork()
	a, b := draws(first), draws(second)
	require.NotEqual(t, a, b)
	first, second = shared.Fork(), shared.Fork()
	draws(shared)
	require.Equal(t, b, draws(second))
	require.Equal(t, a, draws(first))
	require.Equal(t, [2]time.Duration{}, draws(retry.Jitter(retry.NoJitter).Fork()))
	require.PanicsWithValue(t, "retry: Jitter.Fork: the Jitter is nil: want a function, such as NoJitter", func() { retry.Jitter(nil).Fork() })
}

// A default repeats in a simulation, differs by name, and by when a process started.
func TestDefaultJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		draws := func(j retry.Jitter) (all [3]time.Duration) {
			for i := range all {
				all[i] = j(time.Hour)
			}
			return all
		}
		a, nameless := draws(retry.Jitter(nil).OrSeeded("a")), draws(retry.Jitter(nil).OrSeeded(""))
		require.Equal(t, a, draws(retry.Jitter(nil).OrSeeded("a")))
		require.NotEqual(t, a, draws(retry.Jitter(nil).OrSeeded("b")))
		require.NotEqual(t, a, nameless)
		time.Sleep(1)
		require.NotEqual(t, a, draws(retry.Jitter(nil).OrSeeded("a")))
		require.NotEqual(t, nameless, draws(retry.Jitter(nil).OrSeeded("")))
		require.Equal(t, [3]time.Duration{}, draws(retry.Jitter(retry.NoJitter).OrSeeded("a")), "what is set stays")
	})
}

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		require.NoError(t, retry.Sleep(t.Context(), sec))
		require.NoError(t, retry.Sleep(t.Context(), 0))
		require.NoError(t, retry.Sleep(t.Context(), -sec))
		require.Equal(t, sec, time.Since(start))

		ctx, cancel := context.WithTimeout(t.Context(), sec)
		defer cancel()
		require.ErrorIs(t, retry.Sleep(ctx, time.Hour), context.DeadlineExceeded)
		require.Equal(t, 2*sec, time.Since(start))
		require.ErrorIs(t, retry.Sleep(ctx, 0), context.DeadlineExceeded, "also if there is nothing to wait for")
	})
}

func TestNilJitter(t *testing.T) {
	require.PanicsWithValue(t, "retry: Backoff.Delay: j is nil: want a function, such as NoJitter", func() { retry.Backoff{}.Delay(1, nil) })
	require.PanicsWithValue(t, "retry: Backoff.Hint: j is nil: want a function, such as NoJitter", func() { retry.Backoff{}.Hint(1, nil) })
}
