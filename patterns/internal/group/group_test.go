package group

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Were the one whose turn has come to leave, nobody would lead.
func TestNobodyLeavesWhoLeads(t *testing.T) {
	waits, leads := &Call[int]{}, &Call[int]{leads: true}
	g := Group[int]{busy: true, waiting: []*Call[int]{leads, waits}}
	require.False(t, g.leave(leads))
	require.True(t, g.leave(waits))
	require.Equal(t, []*Call[int]{leads}, g.waiting)
}

// The leader is taken even if it does not fit by itself, and none behind the first that does not.
func TestTakeHasTheLeader(t *testing.T) {
	g := Group[int]{waiting: []*Call[int]{{Value: 9}, {Value: 1}, {Value: 9}, {Value: 1}}}
	small := func(n int) bool { return n < 5 }
	require.Len(t, g.Take(small), 2)
	require.Len(t, g.waiting, 2)
}
