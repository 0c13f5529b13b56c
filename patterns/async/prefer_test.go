package async

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// RFC 7240, sections 2 and 4.
func TestPrefer(t *testing.T) {
	const sec = time.Second
	for _, row := range []struct {
		reason string
		lines  []string
		want   preference
	}{
		{"none", nil, preference{}},
		{"the RFC's example", []string{"respond-async, wait=10"}, preference{true, 10 * sec, true}},
		{"two lines are one list", []string{"respond-async", "wait=10"}, preference{true, 10 * sec, true}},
		{"the case of a name does not matter", []string{"Respond-Async, WAIT=1"}, preference{true, sec, true}},
		{"the first of two counts", []string{"wait=1, wait=2"}, preference{wait: sec, waits: true}},
		{"also if it is malformed", []string{"wait=x, wait=2"}, preference{}},
		{"parameters and unknown ones are ignored", []string{`foo; bar="a, wait=7", wait=3; x=y, handling=lenient`}, preference{wait: 3 * sec, waits: true}},
		{"a quoted value", []string{`wait="3"`}, preference{wait: 3 * sec, waits: true}},
		{"white space around =", []string{"wait = 3"}, preference{wait: 3 * sec, waits: true}},
		{"no time at all", []string{"wait=0"}, preference{waits: true}},
		{"negative, fractional, none, too long", []string{"wait=-1"}, preference{}},
		{"fractional", []string{"wait=1.5"}, preference{}},
		{"empty", []string{"wait=,wait"}, preference{}},
		{"too long", []string{"wait=4294967296"}, preference{}},
		{"the longest", []string{"wait=4294967295"}, preference{wait: 4294967295 * sec, waits: true}},
		{"a quote that does not end", []string{`foo="a, respond-async`}, preference{}},
		{"an escaped quote", []string{`foo="a\", wait=1", respond-async`}, preference{async: true}},
		{"more than anyone sends", []string{strings.Repeat(",", 200) + "respond-async"}, preference{}},
	} {
		require.Equal(t, row.want, parsePrefer(http.Header{"Prefer": row.lines}), row.reason)
	}
	for wait, want := range map[time.Duration]string{0: "respond-async", 1500 * time.Millisecond: "respond-async, wait=1", time.Minute: "respond-async, wait=60"} {
		h, err := Prefer(wait)(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, h.Get("Prefer"))
	}
}

// FuzzPrefer reads what anybody may send: quickly, and no wait is negative.
func FuzzPrefer(f *testing.F) {
	for _, s := range []string{"respond-async, wait=10", `a="\`, "wait=18446744073709551615", ";;=,\"", "wait=1;wait=2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p := parsePrefer(http.Header{"Prefer": {s}})
		if p.wait < 0 || p.wait > 0 && !p.waits {
			t.Fatalf("%q: %+v", s, p)
		}
	})
}
