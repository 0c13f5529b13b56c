package stream_test

import (
	"math"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/stream"
)

// ST-P7: doubled from the reconnection time on, up to 30 s; from half to one and a
// half times as much.
func TestDelays(t *testing.T) {
	inWorld(t, func(w *world) {
		w.script(sends("retry: 2000\n"))
		r := w.receive(&stream.Client{})
		time.Sleep(2 * time.Minute)
		require.Equal(w, []time.Duration{1 * time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 15 * time.Second, 15 * time.Second}, r.retries()[:6])
	})
	inWorld(t, func(w *world) {
		w.script(sends("retry: 2000\n"))
		r := w.receive(&stream.Client{Rand: rand.New(ones{})})
		time.Sleep(3 * time.Minute)
		want := []time.Duration{3 * time.Second, 6 * time.Second, 12 * time.Second, 24 * time.Second, 45 * time.Second}
		for i, d := range want {
			require.Equal(w, d-1, r.retries()[i], "the draw excludes the end")
		}
	})
	for hint, want := range map[string]time.Duration{ // ST-25
		"0":                    500 * time.Millisecond, // Min is 1 s
		"999":                  500 * time.Millisecond,
		"100000":               50 * time.Second,  // beyond Max, which is for doubling
		"99999999999999999999": 150 * time.Second, // HintMax is 5 min
	} {
		inWorld(t, func(w *world) {
			w.script(sends("retry: " + hint + "\n"))
			r := w.receive(&stream.Client{})
			time.Sleep(time.Minute)
			require.Equal(w, want, r.retries()[0], hint)
		})
	}
	for header, want := range map[string]time.Duration{
		"7":                             7 * time.Second,
		"0":                             time.Second,
		"86400":                         5 * time.Minute,
		"Sat, 01 Jan 2000 00:00:09 GMT": 9 * time.Second, // a bubble begins with that year
		"soon":                          1500 * time.Millisecond,
	} {
		inWorld(t, func(w *world) {
			w.script(status(503, "Retry-After", header))
			r := w.receive(&stream.Client{})
			require.Equal(w, want, r.retries()[0], header)
		})
	}
}

type ones struct{}

func (ones) Uint64() uint64 { return math.MaxUint64 }

// A connection that worked makes the next failure the first.
func TestDelaysBeginAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		lasting := func(w http.ResponseWriter, r *http.Request) {
			sends(":")(w, r)
			http.NewResponseController(w).Flush()
			time.Sleep(time.Second)
		}
		w.script(status(500), status(500), status(500), lasting, status(500), status(500), sends("data: a\n\n"), status(500), hangs(""))
		r := w.receive(&stream.Client{})
		time.Sleep(5 * time.Minute)
		base := 1500 * time.Millisecond
		require.Equal(w, []time.Duration{base, 2 * base, 4 * base, base, 2 * base, 4 * base, base, 2 * base}, r.retries()[:8])
	})
}
