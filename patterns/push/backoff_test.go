package push

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/retry"
)

func half(max time.Duration) time.Duration  { return max / 2 }
func whole(max time.Duration) time.Duration { return max }

func TestDelaysBetweenConnections(t *testing.T) {
	const s = time.Second
	fail := func(n int) []time.Duration { return make([]time.Duration, n) }
	bounds := retry.Backoff{Min: s, Base: 2 * s}
	for _, row := range []struct {
		reason string
		spread time.Duration
		draw   retry.Jitter
		lasted []time.Duration
		want   []time.Duration
	}{
		{"no delay is below Min", 2 * s, whole, fail(3), []time.Duration{s, s, s}},
		{"windows double from Base to Max", 2 * s, retry.NoJitter, fail(6), []time.Duration{2 * s, 4 * s, 8 * s, 16 * s, 30 * s, 30 * s}},
		{"a window is not narrower than the spread", 20 * s, half, fail(2), []time.Duration{10500 * time.Millisecond, 15500 * time.Millisecond}},
		{"nor narrower than Base", 0, retry.NoJitter, fail(2), []time.Duration{2 * s, 4 * s}},
		{"after a connection that worked: from zero to the spread", 20 * s, half, []time.Duration{time.Hour, s}, []time.Duration{10 * s, 10 * s}},
		{"no spread, no delay", 0, half, []time.Duration{time.Hour}, []time.Duration{0}},
		{"a connection that did not last for Min has failed", 2 * s, whole, []time.Duration{s - 1, s - 1}, []time.Duration{s, s}},
		{"success forgets the failures", 0, retry.NoJitter, []time.Duration{0, 0, s, 0}, []time.Duration{2 * s, 4 * s, 0, 2 * s}},
	} {
		t.Run(row.reason, func(t *testing.T) {
			b := newComeback(bounds.WithDefaults(ownBackoff), row.draw)
			b.spread = row.spread
			var got []time.Duration
			for _, lasted := range row.lasted {
				got = append(got, b.next(lasted, errors.New("broken")))
			}
			require.Equal(t, row.want, got)
		})
	}
	own := newComeback(retry.Backoff{}.WithDefaults(ownBackoff), retry.NoJitter)
	require.Equal(t, 5*s, own.next(time.Hour, nil), "without a word of the server")
}

func TestRefusedHandshakes(t *testing.T) {
	for _, row := range []struct {
		status int
		header string
		final  bool
		delay  time.Duration
	}{
		{503, "7", false, 7 * time.Second},
		{503, "86400", false, 5 * time.Minute}, // RetryAfterMax
		{503, "9223372037", false, 5 * time.Minute},
		{503, "99999999999999999999", false, 5 * time.Minute},
		{503, "0", false, 500 * time.Millisecond},
		{503, "", false, 5 * time.Second},
		{503, "soon", false, 5 * time.Second},
		{503, "-5", false, 5 * time.Second},
		{429, "3", false, 3 * time.Second},
		{409, "", false, 5 * time.Second}, // of an earlier connection of the same Run
		{408, "", false, 5 * time.Second}, {421, "", false, 5 * time.Second}, {425, "", false, 5 * time.Second},
		{502, "", false, 5 * time.Second},
		{200, "", false, 5 * time.Second}, // something else answers
		{400, "", true, 0}, {401, "9", true, 0}, {403, "", true, 0}, {404, "", true, 0}, {410, "", true, 0},
	} {
		t.Run(fmt.Sprint(row.status, " ", row.header), func(t *testing.T) {
			err := refused(&http.Response{
				StatusCode: row.status, Header: http.Header{"Retry-After": {row.header}}, Body: io.NopCloser(strings.NewReader("no\n")),
			}, errors.New("refused"))
			var final *finalError
			require.Equal(t, row.final, errors.As(err, &final))
			var status *retry.StatusError
			if row.status >= 400 {
				require.ErrorAs(t, unwrapFinal(err), &status)
				require.Equal(t, &retry.StatusError{Status: row.status, Text: "no"}, status)
			}
			if !row.final {
				b := newComeback(retry.Backoff{}.WithDefaults(ownBackoff), retry.NoJitter)
				require.Equal(t, row.delay, b.next(0, err))
			}
		})
	}
}

func unwrapFinal(err error) error {
	if final := new(finalError); errors.As(err, &final) {
		return final.err
	}
	return err
}

// A Retry-After is a date of the server's clock, which may differ from ours.
func TestRetryAfterIsADateOfTheServersClock(t *testing.T) {
	err := refused(&http.Response{StatusCode: 503, Body: http.NoBody, Header: http.Header{
		"Date": {"Fri, 31 Dec 1999 23:59:00 GMT"}, "Retry-After": {"Fri, 31 Dec 1999 23:59:20 GMT"},
	}}, errors.New("refused"))
	b := newComeback(retry.Backoff{}.WithDefaults(ownBackoff), retry.NoJitter)
	require.Equal(t, 20*time.Second, b.next(0, err))
}

func TestDelaysNeverOverflow(t *testing.T) {
	b := newComeback(retry.Backoff{Max: math.MaxInt64 / 3}.WithDefaults(ownBackoff), whole)
	for range 200 {
		require.Positive(t, b.next(0, nil))
	}
}
