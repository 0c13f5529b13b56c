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
			0x14322a107f3671bc, 0x3c22e3a54b991a45, 0xc13831ae0909b6c7, 0xbfcfff91aad16f6a,
			0xaafbb264834b4cf5, 0x720941998a5c8430, 0xdf11421e9d9d76a3, 0xf3ad57f08a4ca2bf,
		}},
		{"sockets on Ethernets", randomSockets, []sim.Option{sim.ARP()}, []uint64{
			0xa585bfd39cab83d9, 0xf92c8b805704c668, 0x13bd97c265f23015,
			0x7fd47df04fb50a5, 0x62134c2d2774c9f2, 0x2933a0918660b7dd,
		}},
		{"sockets of both families", randomSockets, []sim.Option{sim.IPv6()}, []uint64{0x99196b4c3a665208, 0x53e0ba27e3088b4b}},
		{"sockets on narrow links", narrowSockets, nil, []uint64{
			0x1ee145c856106afd, 0xd14373d41068a091, 0x3fa9c85040f14d3, 0x45425d0dee1ac584,
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
