package sidecar_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/squall-sim/squall/patterns/sidecar"
)

// A breaker opens at the share and the number of calls that were set, by what happened within its window.
func TestBreakerOpens(t *testing.T) {
	for _, row := range []struct {
		reason  string
		breaker *sidecar.Breaker
		pause   time.Duration
		results string // s: success, f: failure, i: ignored
		opens   int    // with which result; 0: not
	}{
		{"20 failures", &sidecar.Breaker{}, 0, "fffffffffffffffffffffffff", 20},
		{"half of them", &sidecar.Breaker{}, 0, "sfsfsfsfsfsfsfsfsfsfsfsf", 20},
		{"less than half", &sidecar.Breaker{}, 0, "ssfsfsfsfsfsfsfsfsfsfsfs", 0},
		{"what is ignored does not count", &sidecar.Breaker{MinRequests: 3}, 0, "fiiiiifiiiif", 12},
		{"a success does not open, whatever was before", &sidecar.Breaker{MinRequests: 3}, 0, "ffsf", 4},
		{"one failure is enough", &sidecar.Breaker{MinRequests: 1, Percent: 1}, 0, "f", 1},
		{"too far apart", &sidecar.Breaker{MinRequests: 3}, 5 * time.Second, "ffffffff", 0},
		{"near enough", &sidecar.Breaker{MinRequests: 3}, 4 * time.Second, "fff", 3},
		{"a window of one's own", &sidecar.Breaker{MinRequests: 3, Window: time.Minute}, 25 * time.Second, "fff", 3},
	} {
		synctest.Test(t, func(t *testing.T) {
			for i, r := range row.results {
				if i > 0 {
					time.Sleep(row.pause)
				}
				p, err := row.breaker.Begin()
				require.NoError(t, err, row.reason)
				p.End(map[rune]sidecar.Result{'s': sidecar.Success, 'f': sidecar.Failure, 'i': sidecar.Ignored}[r])
				if open := row.breaker.State() == sidecar.BreakerOpen; open || i+1 == row.opens {
					require.Equal(t, row.opens, i+1, row.reason)
					require.True(t, open, row.reason)
					return
				}
			}
			require.Zero(t, row.opens, row.reason)
		})
	}
}

// Whatever happens, in any order: half-open it lets in at most Probes at a time, it never stays half-open or open for ever, and what belongs to an earlier
// generation changes nothing.
func TestBreakerInAnyStory(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := &sidecar.Breaker{MinRequests: rapid.IntRange(1, 4).Draw(rt, "MinRequests"), Probes: rapid.IntRange(1, 3).Draw(rt, "Probes")}
		steps := rapid.SliceOfN(rapid.IntRange(0, 9), 1, 80).Draw(rt, "steps")
		broken := ""
		synctest.Test(t, func(t *testing.T) {
			type call struct {
				permit sidecar.Permit
				of     int64 // how often it had opened
				probe  bool
				begun  time.Time
			}
			var calls []call
			for _, step := range steps {
				switch {
				case step < 4:
					state, opened := b.State(), b.Stats().Opened
					probes := 0
					for _, c := range calls {
						if c.probe && c.of == opened {
							probes++
						}
					}
					p, err := b.Begin()
					may := state == sidecar.BreakerClosed || state == sidecar.BreakerHalfOpen && probes < max(b.Probes, 1)
					if may != (err == nil) && !(state == sidecar.BreakerHalfOpen && err == nil) {
						broken = fmt.Sprintf("%v with %d probes: %v", state, probes, err)
					}
					if state == sidecar.BreakerHalfOpen && err == nil && probes >= b.Probes {
						broken = fmt.Sprintf("a probe beyond the %d", b.Probes)
					}
					if err == nil {
						calls = append(calls, call{p, opened, state == sidecar.BreakerHalfOpen, time.Now()})
					}
				case step < 8 && len(calls) > 0:
					c := calls[0]
					calls = calls[1:]
					before, opened := b.State(), b.Stats().Opened
					c.permit.End(sidecar.Result(step % 3))
					if c.of != opened && b.State() != before {
						broken = fmt.Sprintf("a call of before changed %v to %v", before, b.State())
					}
				default:
					time.Sleep(time.Duration(step) * 700 * time.Millisecond)
				}
			}
			// All that is under way hangs. After OpenFor and ProbeTimeout it has room for a probe again, or is closed.
			time.Sleep(20 * time.Second)
			for range 3 {
				if _, err := b.Begin(); err == nil {
					return
				}
				time.Sleep(5 * time.Second)
			}
			broken = "it is wedged: " + b.State().String()
		})
		if broken != "" {
			rt.Fatal(broken)
		}
	})
}

func TestBreakerCheck(t *testing.T) {
	b := &sidecar.Breaker{Percent: 101, MinRequests: -1, Window: time.Microsecond, OpenFor: -1, Probes: -1, ProbeTimeout: -1}
	err := b.Check()
	require.Len(t, err.(interface{ Unwrap() []error }).Unwrap(), 6)
	require.ErrorContains(t, err, "sidecar: Breaker.Percent is 101: want 0 for the default, or up to 100")
	require.PanicsWithValue(t, err.Error(), func() { b.Begin() })
	sidecar.Permit{}.End(sidecar.Failure) // of no breaker
}
