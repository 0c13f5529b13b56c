package eventlog

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// A service may see millions of topics, each watched for a while.
func TestStoppedWatchesLeaveNothingBehind(t *testing.T) {
	l := NewMemory(Options{})
	defer l.Close()
	for i := range 100 {
		w := l.Watch(fmt.Sprint("topic", i), "shared")
		if i%2 == 0 {
			l.Watch().Stop()
		}
		w.Stop()
	}
	require.Empty(t, l.hub.byTopic)
	require.Empty(t, l.hub.watches)
	require.Zero(t, l.hub.all.list.Len())
}

// Nor may topics that have come and gone, nor their entries.
func TestTopicsWithoutEntriesLeaveNothingBehind(t *testing.T) {
	l := NewMemory(Options{MaxEntries: 10})
	defer l.Close()
	for i := range 3000 {
		_, err := l.Append(t.Context(), Entry{Topic: fmt.Sprint("topic", i)})
		require.NoError(t, err)
	}
	require.Len(t, l.topics, 10)
	require.LessOrEqual(t, len(l.entries.boards), 2)
	require.NoError(t, l.Compact(l.Head()))
	require.Empty(t, l.topics)
	for _, e := range l.entries.boards[0] {
		require.Zero(t, e, "what has gone is let go of")
	}
}
