package workqueue

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A queue that begins to end ends those who wait once. A call that finds no job behind that is told, too, and does not wait for what never comes.
func TestNobodyWaitsBehindTheEnd(t *testing.T) {
	for _, ends := range []error{ErrDraining, ErrClosed} {
		q := &Queue{}
		require.NoError(t, q.Start())
		early, late := &lease{ctx: t.Context()}, &lease{ctx: context.Background()}
		require.NoError(t, q.do(func(now time.Time) error { return q.leaseOrWait(early, now) }))
		q.enter(ends)
		<-early.ended
		require.ErrorIs(t, early.err, ends)
		require.ErrorIs(t, q.leaseOrWait(late, time.Now()), ends)
		require.Nil(t, late.ended)
		require.NoError(t, q.Close())
	}
}
