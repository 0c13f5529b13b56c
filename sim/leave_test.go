package sim

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim/internal/tcp"
)

// A test that fails with many seeds leaves folders for the first twenty. A run that passes leaves one only if the
// user asks for it.
func TestATestLeavesTwentyFolders(t *testing.T) {
	left := func(k *keeper, o *outcome) (count int) {
		for range 25 {
			if k.wants(o) {
				count++
			}
		}
		return count
	}
	failed, passed := &outcome{failed: true}, new(outcome)
	require.Equal(t, 20, left(new(keeper), failed))
	require.Equal(t, 20, left(&keeper{all: true}, passed))
	require.Zero(t, left(new(keeper), passed))
	require.Zero(t, left(nil, failed))
}

// A capture scales a connection's windows only if both SYNs carried the option (RFC 7323 section 2.2), each by the
// scale in its sender's latest SYN.
func TestWindowsOfACaptureAreScaled(t *testing.T) {
	a, b := netip.MustParseAddrPort("10.0.0.1:5000"), netip.MustParseAddrPort("10.0.0.2:80")
	f := newFilm(nil)
	data := &tcp.Segment{Flags: tcp.ACK}
	syn := func(has bool, scale uint8) *tcp.Segment {
		return &tcp.Segment{Flags: tcp.SYN, HasScale: has, Scale: scale}
	}
	require.Zero(t, f.scale(syn(true, 7), a, b), "that in a SYN is not")
	f.scale(syn(false, 0), b, a)
	require.Zero(t, f.scale(data, a, b))
	require.Zero(t, f.scale(data, b, a))
	f.scale(syn(true, 9), b, a)
	require.EqualValues(t, 7, f.scale(data, a, b))
	require.EqualValues(t, 9, f.scale(data, b, a))
	f.scale(syn(false, 0), a, b) // the same addresses again
	require.Zero(t, f.scale(data, b, a))
}
