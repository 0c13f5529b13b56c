package workqueue

import (
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/squall-sim/squall/patterns/internal/bolt"
)

// A change that is not on the disk was not made.
func TestFailingDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		q := &Queue{Path: filepath.Join(t.TempDir(), "queue")}
		defer q.Close()
		_, err := q.Add(ctx, Job{ID: "leased"})
		require.NoError(t, err)
		leased, err := q.Lease(ctx, "")
		require.NoError(t, err)
		_, err = q.Add(ctx, Job{ID: "a", Key: "k"})
		require.NoError(t, err)
		before := q.Stats()
		require.NoError(t, q.store.file.Close()) // which it does not know
		require.ErrorContains(t, q.Finish(ctx, leased.ID, leased.Token, End{State: Done}), "workqueue: write ")
		require.ErrorContains(t, q.Finish(ctx, leased.ID, leased.Token, End{State: Pending}), "workqueue: write ")
		_, err = q.Add(ctx, Job{ID: "b"})
		require.ErrorContains(t, err, "workqueue: write ")
		_, err = q.Get(ctx, "b")
		require.ErrorIs(t, err, ErrNotFound)
		_, err = q.Cancel(ctx, "a")
		require.ErrorContains(t, err, "workqueue: write ")
		_, err = q.Lease(ctx, "")
		require.ErrorContains(t, err, "workqueue: write ", "it does not wait for ever, nor has it a job")
		s, err := q.Get(ctx, "a")
		require.NoError(t, err)
		require.Equal(t, Pending, s.State)
		require.Equal(t, map[string]string{"k": "a"}, q.table.busy)
		require.Equal(t, before, q.Stats())
	})
}

// A lease that ends while the disk fails is looked at once a second, and ended when the disk works. With somebody who waited for what becomes of
// the job the queue tried again and again, without a pause.
func TestLeaseEndsWhileTheDiskFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "queue")
		failures := 0
		q := &Queue{Path: path, LeaseTimeout: 30 * time.Second, Logger: slog.New(slog.NewTextHandler(writing(func() {
			if failures++; failures > 100 {
				time.Sleep(time.Hour) // or the bubble's time would never pass, and the test not fail
			}
		}), nil))}
		defer q.Close()
		_, err := q.Add(t.Context(), Job{ID: "a"})
		require.NoError(t, err)
		_, err = q.Lease(t.Context(), "")
		require.NoError(t, err)
		running, err := q.Get(t.Context(), "a")
		require.NoError(t, err)
		require.NoError(t, q.store.file.Close())
		changed := make(chan Status, 1)
		go func() {
			s, err := q.Wait(t.Context(), "a", running.Version)
			assert.NoError(t, err)
			changed <- s
		}()
		time.Sleep(40*time.Second + time.Millisecond)
		q.alone(func() {
			require.Equal(t, 11, failures, "after 30 s, and each second from then on")
			file, err := bolt.Open(path, "a work queue", string(jobsBucket), string(metaBucket))
			require.NoError(t, err)
			q.store = &store{file}
		})
		begin := time.Now()
		require.Equal(t, Pending, (<-changed).State)
		require.Equal(t, time.Second-time.Millisecond, time.Since(begin))
		require.Equal(t, 11, failures)
	})
}

// writing is called for each line.
type writing func()

func (f writing) Write(p []byte) (int, error) {
	f()
	return len(p), nil
}

// Numbers go on although the job that had the last one is forgotten.
func TestTokensOutliveTheirJobs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue")
	synctest.Test(t, func(t *testing.T) {
		var last uint64
		for range 3 {
			q := &Queue{Path: path, Retention: time.Second}
			_, err := q.Add(t.Context(), Job{ID: "a"})
			require.NoError(t, err)
			task, err := q.Lease(t.Context(), "")
			require.NoError(t, err)
			require.Greater(t, task.Token, last)
			last = task.Token
			require.NoError(t, q.Finish(t.Context(), "a", task.Token, End{State: Done}))
			time.Sleep(time.Second)
			_, err = q.Get(t.Context(), "a")
			require.ErrorIs(t, err, ErrNotFound)
			require.NoError(t, q.Close())
		}
	})
}

// The wall clock was set back by years while the queue was down: nothing waits for years.
func TestWallClockOverARestart(t *testing.T) {
	now := time.Unix(1e9, 0)
	tb := newTable(rules{lease: 30 * time.Second, retention: time.Hour, maxAttempts: 3, maxAll: 10, backoff: func(int) time.Duration { return time.Second }})
	for id, r := range map[string]*record{
		"ended":   {State: Done},
		"failed":  {State: Pending, Attempts: 1},
		"later":   {State: Pending, Attempts: 1, Wait: 24 * time.Hour},
		"running": {State: Running, Token: 5},
		"delayed": {State: Pending}, // as its submitter said
	} {
		r.ID, r.At = id, now.AddDate(3, 0, 0)
		tb.adopt(r, now)
	}
	for id, want := range map[string]time.Duration{"ended": time.Hour, "failed": time.Hour, "later": 24 * time.Hour, "running": 30 * time.Second, "delayed": now.AddDate(3, 0, 0).Sub(now)} {
		require.Equal(t, want, tb.jobs[id].At.Sub(now), id)
	}
	require.EqualValues(t, 5, tb.count)
}

// Files of format 1, which had no lapsed requests, are read, and are of this format then. Others are refused.
func TestFileFormats(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue")
	for _, row := range []struct {
		format byte
		err    string
	}{{1, ""}, {2, ""}, {3, "it is of format [3]: want 1 or 2, which this version reads"}} {
		synctest.Test(t, func(t *testing.T) {
			q := &Queue{Path: path}
			_, err := q.Add(t.Context(), Job{ID: "a"})
			require.NoError(t, err)
			put := func(tx *bbolt.Tx) error { return tx.Bucket(metaBucket).Put(formatKey, []byte{row.format}) }
			require.NoError(t, q.store.file.Update(put))
			require.NoError(t, q.Close())

			q = &Queue{Path: path}
			defer q.Close()
			s, err := q.Get(t.Context(), "a")
			if row.err != "" {
				require.ErrorContains(t, err, row.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, Pending, s.State)
			require.NoError(t, q.store.file.View(func(tx *bbolt.Tx) error {
				require.Equal(t, []byte{format}, tx.Bucket(metaBucket).Get(formatKey))
				return nil
			}))
		})
	}
}
