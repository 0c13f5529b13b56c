package patterntest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/patterntest"
)

// A breach is told with the whole story of what it names, however much else there was meanwhile.
func TestWhatABreachNamesIsToldInFull(t *testing.T) {
	var all []patterntest.Happening
	happen := func(at int, what, kind string) {
		all = append(all, patterntest.Happening{At: time.Duration(at) * time.Second, What: what, Kind: kind})
	}
	happen(1, "c1", "asked by phone")
	happen(1, "c1", "asked by phone")
	happen(1, "c1", "asked by phone")
	for i := 2; i < 30; i++ { // a line each, since their kinds take turns
		happen(i, fmt.Sprint("c", i), []string{"asked by phone", "took effect"}[i%2])
	}
	happen(30, "c1", "took effect")
	for i := 31; i < 60; i++ {
		happen(i, fmt.Sprint("c", i), []string{"asked by phone", "took effect"}[i%2])
	}
	happen(60, "c1", "took effect")
	happen(61, "c61", "asked by phone")

	require.Equal(t, `Around it:
                 1s  c1 (3 times until 1s) asked by phone
                ...
                24s  c24 asked by phone
                25s  c25 took effect
                26s  c26 asked by phone
                27s  c27 took effect
                28s  c28 asked by phone
                29s  c29 took effect
                30s  c1 took effect
                31s  c31 took effect
                32s  c32 asked by phone
                33s  c33 took effect
                34s  c34 asked by phone
                35s  c35 took effect
                ...
               1m0s  c1 took effect
`, patterntest.Told("c1 took effect at 30s and again at 1m0s", 30*time.Second, all))
}
