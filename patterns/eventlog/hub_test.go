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
