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
			0x6fa466577b193679, 0xae6f15f4dcb5bdf0, 0x10d3be03ac11509b, 0x83c5b0dafbe2c72a,
			0x3557445df36c2533, 0x4c199f5da39e2aac, 0x54b2c035e5f60fdb, 0xe895774c7d3cb5ec,
		}},
		{"sockets on Ethernets", randomSockets, []sim.Option{sim.ARP()}, []uint64{
			0x78eee1de66b46a68, 0xfd8a3718a8523a9e, 0xa5746cb827c465fd,
			0xc721250d4fb6d7cc, 0x8559ff519f9bfdb4, 0x3579aef8f25c892a,
		}},
		{"sockets on narrow links", narrowSockets, nil, []uint64{
			0x808bfca73c4b8bbf, 0xe2279bfccd8d7dea, 0x4ba4fc124ead7114, 0xfd0c460feb41e04d,
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
