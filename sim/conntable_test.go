package sim

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// A table of connections drawn at random agrees with a map of them.
func TestConnTable(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	addr := func() netip.Addr { return addrOfHost(1 + r.IntN(3)) }
	var table connTable
	model := map[ends]*TCPConn{}
	for range 20_000 {
		e := ends{netip.AddrPortFrom(addr(), uint16(r.IntN(8))), netip.AddrPortFrom(addr(), uint16(r.IntN(8)))}
		c := model[e]
		require.Same(t, c, table.get(e))
		switch {
		case c == nil:
			c = &TCPConn{ends: e, opening: opening{dialled: r.IntN(2) == 0}}
			model[e] = c
			table.put(c)
		case r.IntN(2) == 0:
			delete(model, e)
			require.True(t, table.remove(c))
			require.False(t, table.remove(c))
		}
	}
	require.Len(t, model, table.count)
	require.Len(t, slices.Collect(table.all()), table.count)
	for local := range uint16(8) {
		var want portUse
		for e, c := range model {
			if e.local.Port() == local {
				want.all++
				if c.opening.dialled {
					want.dialled++
				}
			}
		}
		require.Equal(t, want, table.uses("tcp", netip.IPv4Unspecified(), local))
	}
}

// Connections with the same hash form a list. No such pair is known, so the test stores the first
// connection under the hash of the second.
func TestConnTableWithEqualHashes(t *testing.T) {
	conn := func(port uint16) *TCPConn {
		return &TCPConn{ends: ends{local: netip.AddrPortFrom(netip.IPv4Unspecified(), port)}}
	}
	first, second := conn(1), conn(2)
	table := connTable{heads: map[uint64]*TCPConn{second.ends.hash(): first}}
	table.put(second)
	require.Equal(t, []*TCPConn{second, first}, slices.Collect(table.all()))
	require.Same(t, second, table.get(second.ends))
	require.True(t, table.remove(second))
	require.Nil(t, table.get(second.ends))
	require.Equal(t, []*TCPConn{first}, slices.Collect(table.all()))

	table.put(second)
	first.ends = second.ends // now found under that hash, behind the second
	second.ends.remote = netip.AddrPortFrom(netip.IPv4Unspecified(), 1)
	require.Same(t, first, table.get(first.ends))
	require.True(t, table.remove(first))
	require.Equal(t, []*TCPConn{second}, slices.Collect(table.all()))
}
