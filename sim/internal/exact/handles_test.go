package exact_test

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
)

var zoned = netip.MustParseAddr("fe80::1%a-zone-of-its-own")

// An address as the key of a map has a handle of package unique, which is shared by all tests: whether one before has used it decides nothing.
func TestAddressesAsKeysDoNotChangeTheOrder(t *testing.T) {
	sim.NeedExact(t)
	run := func() (order uint64) {
		require.NoError(t, sim.Try(t, func(*sim.Network) error {
			addresses, pointers := map[netip.Addr]int{}, map[*int]int{}
			for i := range 100 {
				pointers[new(int)] = i
				addresses[zoned] = i
			}
			order = orderOf(pointers)
			return nil
		}))
		return order
	}
	require.Equal(t, run(), run())
}
