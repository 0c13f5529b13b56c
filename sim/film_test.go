package sim

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// Captures are 96 MB of a run at most: of more, the last packets keep their bytes, those that came through unchanged those of when they
// were sent, and the oldest are kept without.
func TestAFilmKeepsTheLastBytes(t *testing.T) {
	n := &Network{log: journal{trace: new(Trace)}}
	f := newFilm(n)
	const size = 60000
	way := &path{header: 20}
	from, to := netip.MustParseAddrPort("10.0.0.1:5000"), netip.MustParseAddrPort("10.0.0.2:53")
	// Of ten packets one is lost, one comes altered, which counts twice, and the others as they were sent.
	const packets = 2 * mostFrameBytes / size
	for sent := range packets {
		pkt := &packet{proto: protoUDP, src: from, dst: to, data: make([]byte, size), size: size + 28, way: way}
		n.log.trace.total++
		f.packet(Sent, pkt)
		n.log.trace.total++
		switch sent % 10 {
		case 3:
			f.packet(Dropped, pkt)
		case 7:
			pkt.altered = true
			f.packet(Delivered, pkt)
		default:
			f.packet(Delivered, pkt)
		}
	}
	kept := f.frames.kept()
	require.Len(t, kept, 2*packets)
	counted := 0
	for i, fr := range kept {
		if i%2 == 0 || i%20 == 15 { // sent, or come altered
			counted += len(fr.bytes)
		}
		require.Equal(t, i < f.bare || i%20 == 7, fr.bytes == nil, "the oldest are those without: %d", i)
	}
	require.Equal(t, counted, f.bytes)
	require.LessOrEqual(t, counted, mostFrameBytes)
	require.Greater(t, counted, mostFrameBytes-2*(size+28), "no more is forgotten than has to be")
}
