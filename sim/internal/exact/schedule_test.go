package exact_test

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
)

var errStruck = errors.New("the bug struck")

// strikes says whether a bug strikes with a seed.
func (b bug) strikes(t *testing.T, seed uint64) bool {
	err := sim.Try(t, func(*sim.Network) error {
		if b.run() {
			return errStruck
		}
		return nil
	}, sim.Seed(seed))
	if err != nil {
		require.ErrorIs(t, err, errStruck)
	}
	return err != nil
}

// A sweep over seeds finds each of these bugs, and a seed that found it finds it again. With SQUALL_BUGS=1000 the test takes that
// many seeds and prints a table; without exact mode it then prints how many of so many runs find them.
func TestASweepFindsClassicBugs(t *testing.T) {
	seeds := uint64(1000)
	if text := os.Getenv("SQUALL_BUGS"); text != "" {
		var err error
		seeds, err = strconv.ParseUint(text, 10, 32)
		require.NoError(t, err, "SQUALL_BUGS")
	} else {
		sim.NeedExact(t)
	}
	var table strings.Builder
	for _, b := range bugs {
		if !sim.Exact() && b.hangs {
			fmt.Fprintf(&table, "%-70s not run: a hit would not end\n", b.name)
			continue
		}
		found, first := 0, uint64(0)
		for seed := uint64(1); seed <= seeds; seed++ {
			if !b.strikes(t, seed) {
				continue
			}
			if found++; first == 0 {
				first = seed
			}
			if os.Getenv("SQUALL_BUGS") == "" {
				break
			}
		}
		fmt.Fprintf(&table, "%-70s %5d of %d, first seed %d\n", b.name, found, seeds, first)
		if sim.Exact() {
			require.NotZero(t, found, "%s: not found with %d seeds", b.name, seeds)
			require.True(t, b.strikes(t, first), "%s: seed %d found it once only", b.name, first)
		}
	}
	if os.Getenv("SQUALL_BUGS") != "" {
		t.Log("\n" + table.String())
	}
}
