package workqueue

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"
)

// Jobs that are due at one instant go to those who wait in the order in which they came, whichever of their goroutines runs first.
func TestJobsOfOneInstantGoInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &Queue{}
		defer q.Close()
		var all sync.WaitGroup
		got := make([]string, 8)
		for i := range got {
			_, err := q.Add(t.Context(), Job{ID: fmt.Sprint(i), Delay: time.Second})
			require.NoError(t, err)
			all.Go(func() {
				task, err := q.Lease(t.Context(), "")
				require.NoError(t, err)
				got[i] = task.ID
			})
			synctest.Wait()
		}
		all.Wait()
		require.Equal(t, []string{"0", "1", "2", "3", "4", "5", "6", "7"}, got)
	})
}

// Nobody who comes at the instant at which a job is due is before the one who waits for it, be it that this instant begins with him.
func TestWhoComesAtTheInstantIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &Queue{}
		defer q.Close()
		_, err := q.Add(t.Context(), Job{ID: "a", Delay: time.Second})
		require.NoError(t, err)
		waits := wait(t, q, t.Context())
		require.True(t, q.timer.Stop()) // as if it ran later in that instant
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = q.Lease(ctx, "")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		<-waits.ended
		require.Equal(t, "a", waits.task.ID)
	})
}

// A call that is given up, and whose goroutine has not noticed, takes no job from the next.
func TestWhoIsGivenUpGetsNoJob(t *testing.T) {
	q := &Queue{}
	defer q.Close()
	ctx, cancel := context.WithCancel(t.Context())
	first, second := wait(t, q, ctx), wait(t, q, t.Context())
	cancel()
	_, err := q.Add(t.Context(), Job{ID: "a"})
	require.NoError(t, err)
	<-first.ended
	<-second.ended
	require.False(t, q.leave(first))
	require.ErrorIs(t, first.err, context.Canceled)
	require.Equal(t, "a", second.task.ID)
	require.EqualValues(t, 1, q.Stats().Leased)
}

// A call that is given up while its lease is written has the job, which nobody had otherwise until the lease ended.
func TestWhoIsGivenUpAtTheDiskHasTheJob(t *testing.T) {
	q := &Queue{Path: filepath.Join(t.TempDir(), "queue")}
	defer q.Close()
	require.NoError(t, q.Start())
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan string)
	go func() {
		task, err := q.Lease(ctx, "")
		got <- fmt.Sprint(task.ID, err)
	}()
	require.Eventually(t, func() bool {
		q.mu.Lock()
		defer q.mu.Unlock()
		return len(q.leasing) == 1
	}, 10*time.Second, time.Millisecond)
	writing, written := make(chan struct{}), make(chan struct{})
	go q.store.file.Update(func(*bbolt.Tx) error {
		close(writing)
		<-written
		return nil
	})
	<-writing
	go q.Add(t.Context(), Job{ID: "a"})
	require.Eventually(t, func() bool { // it has been taken out, and the disk is waited for
		q.mu.Lock()
		defer q.mu.Unlock()
		return len(q.leasing) == 0
	}, 10*time.Second, time.Millisecond)
	cancel()
	close(written)
	require.Equal(t, "a<nil>", <-got)
}

// Nobody has a job whose lease is not on the disk, and nobody waits for ever when it fails.
func TestLeasesOfADiskThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &Queue{Path: filepath.Join(t.TempDir(), "queue")}
		defer q.Close()
		_, err := q.Add(t.Context(), Job{ID: "a", Delay: time.Second})
		require.NoError(t, err)
		first, second := wait(t, q, t.Context()), wait(t, q, t.Context())
		require.NoError(t, q.store.file.Close())
		time.Sleep(time.Second)
		_, err = q.Lease(t.Context(), "")
		require.ErrorContains(t, err, "workqueue: write")
		for _, l := range []*lease{first, second} {
			<-l.ended
			require.ErrorContains(t, l.err, "workqueue: write")
			require.Empty(t, l.task.ID)
		}
	})
}

// Draining ends those that wait.
func TestStagesEndThoseThatWait(t *testing.T) {
	for _, stage := range []error{ErrDraining, ErrClosed} {
		q := &Queue{}
		l := wait(t, q, t.Context())
		q.enter(stage)
		<-l.ended
		require.Equal(t, stage, l.err)
		require.ErrorIs(t, q.do(func(now time.Time) error { return q.leaseOrWait(&lease{ctx: t.Context()}, now) }), stage)
		require.NoError(t, q.Close())
	}
}

// wait has a call wait for a job, without a goroutine.
func wait(t *testing.T, q *Queue, ctx context.Context) *lease {
	l := &lease{ctx: ctx}
	require.NoError(t, q.do(func(now time.Time) error { return q.leaseOrWait(l, now) }))
	require.NotNil(t, l.ended)
	return l
}
