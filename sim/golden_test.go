package sim_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
)

// Traces as they were when this table was written: the traffic of lookahead_test.go, of TCP and UDP under
// loss and faults, by seed. A change of the simulator that is meant to change no trace must leave the
// table alone: a seed that failed once fails for ever. One that is meant to, such as a correction of
// TCP, says so in the changelog and writes the table anew from the failures.
func TestTracesStayWhatTheyWere(t *testing.T) {
	for _, row := range []struct {
		name string
		work func(n *sim.Network)
		opts []sim.Option
		want []uint64 // by seed, from 1
	}{
		{"sockets", randomSockets, nil, []uint64{
			0x4f06cfb667a15a8e, 0x5001a661738cbec1, 0x60ad47f0b0023614, 0x857ecc1559fe92,
			0x66f8417da3ec186b, 0xcfae3d0d0ff96bbc, 0xdf6c0fcb14cc582d, 0xe50cb2c3bb0ae3b7,
		}},
		{"sockets on Ethernets", randomSockets, []sim.Option{sim.ARP()}, []uint64{
			0x8aa2eeeb66d810a2, 0xc913324f9d9c6a82, 0x2c4b6bc453b3524c,
			0x2221100d2c26d6b9, 0xf3aef585d978e17b, 0xa033aee1dac57714,
		}},
		{"sockets of both families", randomSockets, []sim.Option{sim.IPv6()}, []uint64{0x98231f7241e4843e, 0xb788c50e3fd131d7}},
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
