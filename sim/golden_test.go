package sim_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
)

// The traces of the traffic in lookahead_test.go, of TCP and UDP under loss and faults, by seed. A
// change that is not meant to change traces must leave this table alone. A change that is, such as
// a correction of TCP, says so in its commit and updates the table from the failures.
func TestTracesStayWhatTheyWere(t *testing.T) {
	for _, row := range []struct {
		name string
		work func(n *sim.Network)
		opts []sim.Option
		want []uint64 // by seed, from 1
	}{
		{"sockets", randomSockets, nil, []uint64{
			0xc0256623bcc29f09, 0x5001a661738cbec1, 0x4fc612fac5b5dc5, 0x8f5fbe141ab01771,
			0x66f8417da3ec186b, 0xcfae3d0d0ff96bbc, 0xc38416f9c68ebc43, 0x9c81704ad9a2823c,
		}},
		{"sockets on Ethernets", randomSockets, []sim.Option{sim.ARP()}, []uint64{
			0x4e8ae5c0445cdc7c, 0xc913324f9d9c6a82, 0xaf09a35a1d520948,
			0xd8d29bf7d1e592ce, 0xf3aef585d978e17b, 0xa033aee1dac57714,
		}},
		{"sockets of both families", randomSockets, []sim.Option{sim.IPv6()}, []uint64{0xffca82d2e5b8e426, 0xb788c50e3fd131d7}},
		{"sockets on narrow links", narrowSockets, nil, []uint64{
			0x42bc719a85cf83d0, 0x8d14313567b2c097, 0x782f8c27442bad30, 0xb3afdd043eb09ba1,
		}},
	} {
		for i, want := range row.want {
			seed := uint64(i + 1)
			var got uint64
			require.NoError(t, sim.Try(t, func(n *sim.Network) error {
				row.work(n)
				time.Sleep(time.Minute)
				got = n.Trace().Hash()
				return nil
			}, append(row.opts, sim.Seed(seed))...))
			require.Equalf(t, want, got, "%s, seed %d: %#x", row.name, seed, got)
		}
	}
}
