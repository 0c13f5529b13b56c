package push

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// constant is a source whose draws are all the same fraction of the whole.
type constant uint64

func (c constant) Uint64() uint64 { return uint64(c) }

func TestBackoffDelays(t *testing.T) {
	const s = time.Second
	none, half := constant(0), constant(1<<63)
	fail := func(n int) []time.Duration { return make([]time.Duration, n) }
	for _, row := range []struct {
		reason           string
		spread, min, max time.Duration
		draws            constant
		lasted           []time.Duration
		want             []time.Duration
	}{
		{"no draw is below the floor", 0, s, 30 * s, none, fail(3), []time.Duration{s, s, s}},
		{"windows double up to the cap: half of 2, 4, 8, 16, 30, 30, above the floor", 0, s, 30 * s, half, fail(6),
			[]time.Duration{1500 * time.Millisecond, 2500 * time.Millisecond, 4500 * time.Millisecond, 8500 * time.Millisecond, 15500 * time.Millisecond, 15500 * time.Millisecond}},
		{"a window is not narrower than the spread", 20 * s, s, 30 * s, half, fail(2), []time.Duration{10500 * time.Millisecond, 10500 * time.Millisecond}},
		{"after a connection that worked: uniform from zero", 20 * s, s, 30 * s, half, []time.Duration{time.Hour, s}, []time.Duration{10 * s, 10 * s}},
		{"no spread, no delay", 0, s, 30 * s, half, []time.Duration{time.Hour}, []time.Duration{0}},
		{"a connection cut at once counts as failed", 0, s, 30 * s, none, []time.Duration{s - 1, s - 1}, []time.Duration{s, s}},
		{"success forgets the failures", 0, s, 30 * s, half, []time.Duration{0, 0, s, 0},
			[]time.Duration{1500 * time.Millisecond, 2500 * time.Millisecond, 0, 1500 * time.Millisecond}},
	} {
		t.Run(row.reason, func(t *testing.T) {
			b := newBackoff(row.spread, row.min, row.max, rand.New(row.draws), "")
			var got []time.Duration
			for _, lasted := range row.lasted {
				got = append(got, b.next(lasted, errors.New("broken")))
			}
			require.Equal(t, row.want, got)
		})
	}
}

func TestBackoffIsRepeatableAndDiffersByClient(t *testing.T) {
	delays := func(id string) (list []time.Duration) {
		b := newBackoff(20*time.Second, time.Second, 30*time.Second, nil, id)
		for range 5 {
			list = append(list, b.next(time.Hour, nil))
		}
		return list
	}
	require.Equal(t, delays("a"), delays("a"))
	require.NotEqual(t, delays("a"), delays("b"))
}

func TestBackoffNeverEndsDoubling(t *testing.T) {
	b := newBackoff(0, time.Nanosecond, 30*time.Second, rand.New(constant(1<<63)), "")
	for range 200 {
		require.LessOrEqual(t, b.next(0, nil), 30*time.Second)
	}
	require.Equal(t, 15*time.Second, b.next(0, nil).Round(time.Millisecond))
}

func TestRefusedHandshakes(t *testing.T) {
	for _, row := range []struct {
		status int
		header string
		final  bool
		delay  time.Duration
	}{
		{503, "7", false, 7 * time.Second},
		{503, "86400", false, 30 * time.Second}, // clamped to MaxDelay
		{503, "", false, time.Second},
		{503, "soon", false, time.Second},
		{503, "-5", false, time.Second},
		{429, "3", false, 3 * time.Second},
		{409, "", false, time.Second},
		{502, "", false, time.Second},
		{400, "", true, 0}, {401, "9", true, 0}, {403, "", true, 0}, {404, "", true, 0},
	} {
		t.Run(fmt.Sprint(row.status, " ", row.header), func(t *testing.T) {
			err := refused(&http.Response{StatusCode: row.status, Header: http.Header{"Retry-After": {row.header}}}, errors.New("refused"))
			var final *finalError
			require.Equal(t, row.final, errors.As(err, &final))
			if !row.final {
				b := newBackoff(0, time.Second, 30*time.Second, rand.New(constant(0)), "")
				require.Equal(t, row.delay, b.next(0, err))
			}
		})
	}
}
