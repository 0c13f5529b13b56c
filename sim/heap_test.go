package sim

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHeapReturnsEventsInOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var h heap
	var want, got []event
	for i := range 2000 {
		e := event{when: int64(r.IntN(50)), ord: r.Uint64N(4)<<62 | uint64(i)}
		h.push(e)
		want = append(want, e)
		if r.IntN(3) == 0 {
			e := h.pop()
			at := slices.IndexFunc(want, func(o event) bool { return o.ord == e.ord })
			for _, o := range want {
				require.False(t, o.before(&e), "an earlier event was left behind")
			}
			want = slices.Delete(want, at, at+1)
		}
		if r.IntN(5) == 0 && len(h) > 0 {
			at := slices.IndexFunc(want, func(o event) bool { return o.ord == h[0].ord })
			want[at] = event{when: h[0].when + int64(r.IntN(50)), ord: r.Uint64N(4)<<62 | uint64(5000+i)}
			h.replace(want[at])
		}
	}
	slices.SortFunc(want, func(a, b event) int {
		if a.before(&b) {
			return -1
		}
		return 1
	})
	for len(h) > 0 {
		got = append(got, h.pop())
	}
	require.Equal(t, want, got)
}
