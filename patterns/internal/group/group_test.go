package group

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
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

// Of the calls that were not served the first leads next, and one that was served does not lead.
func TestTheNextLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[int]
		var joined [4]string
		for n := range 4 {
			go func() {
				leads, err := g.Join(t.Context(), &Call[int]{Value: n})
				assert.NoError(t, err)
				joined[n] = map[bool]string{true: "leads", false: "served"}[leads]
			}()
			synctest.Wait()
		}
		require.Equal(t, [4]string{"leads"}, joined)

		g.Done(g.Take(func(n int) bool { return n < 2 }))
		synctest.Wait()
		require.Equal(t, [4]string{"leads", "served", "leads"}, joined)

		g.Done(g.Take(func(int) bool { return true }))
		synctest.Wait()
		require.Equal(t, [4]string{"leads", "served", "leads", "served"}, joined)
		calls, led := g.Waiting()
		require.Zero(t, calls)
		require.False(t, led)
	})
}

// The leader is taken even if it does not fit by itself, and none behind the first that does not.
func TestTakeHasTheLeader(t *testing.T) {
	g := Group[int]{waiting: []*Call[int]{{Value: 9}, {Value: 1}, {Value: 9}, {Value: 1}}}
	small := func(n int) bool { return n < 5 }
	require.Len(t, g.Take(small), 2)
	require.Len(t, g.waiting, 2)
}
