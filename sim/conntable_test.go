package sim

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// A table of connections drawn at random, against a map of them.
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
		require.Equal(t, want, table.uses(anywhere, local))
	}
}

// Connections with one hash follow each other.
func TestConnTableWithEqualHashes(t *testing.T) {
	var table connTable
	var all []*TCPConn
	for port := range uint16(3) {
		c := &TCPConn{ends: ends{local: netip.AddrPortFrom(anywhere, port)}}
		all = append(all, c)
		table.put(c)
	}
	table.heads = map[uint64]*TCPConn{} // all under the hash of the second
	all[2].chain, all[1].chain = all[1], all[0]
	table.heads[all[1].ends.hash()] = all[2]
	require.Same(t, all[1], table.get(all[1].ends))
	require.True(t, table.remove(all[1]))
	require.Nil(t, table.get(all[1].ends))
	require.Equal(t, []*TCPConn{all[2], all[0]}, slices.Collect(table.all()))
}
