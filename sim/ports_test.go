package sim

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// The table of sockets by port behaves like a map.
func TestByPort(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 0))
		var b byPort[int]
		want := map[uint16][]int{}
		b.remove(1, 1)
		require.Empty(t, b.all())
		for s := range 200 {
			port := uint16(r.IntN(4))
			switch k := r.IntN(100); {
			case k < 50:
				b.add(port, s)
				want[port] = append(want[port], s)
			case k < 99:
				if at := want[port]; len(at) > 0 {
					s = at[r.IntN(len(at))]
					want[port] = slices.DeleteFunc(at, func(o int) bool { return o == s })
				}
				b.remove(port, s)
			default:
				b.clear()
				clear(want)
			}
			var all []int
			for p := range uint16(4) {
				require.Equal(t, append([]int{}, want[p]...), append([]int{}, b.at(p)...), "port %d", p)
				all = append(all, want[p]...)
			}
			require.Equal(t, append([]int{}, all...), append([]int{}, b.all()...))
		}
		if b.made != nil {
			for port, at := range b.made.others {
				require.NotEmpty(t, at, "port %d, which is used no more, takes memory", port)
			}
		}
	}
}

func TestAttemptsAreCountedForEachTarget(t *testing.T) {
	a, b, c := netip.MustParseAddrPort("10.0.0.1:1"), netip.MustParseAddrPort("10.0.0.1:2"), netip.MustParseAddrPort("10.0.0.2:1")
	var tried perTarget
	var got []uint64
	for _, to := range []netip.AddrPort{a, b, a, c, b, a, b} {
		got = append(got, tried.next(to))
	}
	require.Equal(t, []uint64{0, 0, 1, 0, 1, 2, 2}, got)
}
