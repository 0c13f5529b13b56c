package count_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/internal/count"
)

func TestOf(t *testing.T) {
	for n, want := range map[int]string{0: "0 ways", 1: "1 way", 2: "2 ways", 999: "999 ways", 4711: "4,711 ways", 1_000_000: "1,000,000 ways", -1: "-1 ways", -123_456: "-123,456 ways"} {
		require.Equal(t, want, count.Of(n, "way", "ways"))
	}
}
