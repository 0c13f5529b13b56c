package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/squall-sim/squall/patterns/async/outbox"
	"github.com/squall-sim/squall/patterns/retry"
)

const sec = time.Second

func openBolt(t *testing.T) (*bbolt.DB, *outbox.Bolt) {
	db, err := bbolt.Open(filepath.Join(t.TempDir(), "db"), 0o600, nil)
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	return db, &outbox.Bolt{DB: db, Bucket: "outbox"}
}

func addRows(t *testing.T, b *outbox.Bolt, rows ...string) {
	t.Helper()
	require.NoError(t, b.DB.Update(func(tx *bbolt.Tx) error {
		for _, text := range rows {
			key, _, _ := strings.Cut(text, " ")
			if err := b.Add(tx, outbox.Row{ID: text, Key: key, Payload: []byte(text)}); err != nil {
				return err
			}
		}
		return nil
	}))
}

// relay runs one for a while.
func relay(t *testing.T, r *outbox.Relay, d time.Duration) {
	t.Helper()
	r.Jitter = retry.NoJitter
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	require.ErrorIs(t, r.Run(ctx), context.DeadlineExceeded)
}

func TestWhatIsCommittedIsPublished(t *testing.T) {
	_, b := openBolt(t)
	synctest.Test(t, func(t *testing.T) {
		var got []string
		r := &outbox.Relay{Store: b, Batch: 2, Publish: func(_ context.Context, row outbox.Row) error {
			require.Equal(t, row.ID, string(row.Payload))
			got = append(got, row.ID)
			return nil
		}}
		addRows(t, b, "a 1", "b 1", "a 2", "a 3", "b 2")
		require.Error(t, b.DB.Update(func(tx *bbolt.Tx) error {
			return errors.Join(b.Add(tx, outbox.Row{ID: "never"}), errors.New("rolled back"))
		}))
		relay(t, r, sec/2)
		require.Equal(t, []string{"a 1", "b 1", "a 2", "a 3", "b 2"}, got)
		rows, err := b.Unsent(t.Context(), 10, nil)
		require.NoError(t, err)
		require.Empty(t, rows)
		relay(t, r, 10*sec)
		require.Len(t, got, 5, "each once")
	})
}

// A row that fails holds up its key and nothing else, and then comes in its order.
func TestOrderWithinAKey(t *testing.T) {
	_, b := openBolt(t)
	synctest.Test(t, func(t *testing.T) {
		var got []string
		failures := 0
		var delays []time.Duration
		r := &outbox.Relay{Store: b, Batch: 2, OnRetry: func(_ error, d time.Duration) { delays = append(delays, d) }, Publish: func(_ context.Context, row outbox.Row) error {
			if row.ID == "a 1" && failures < 3 {
				if failures++; failures == 2 {
					panic("oh")
				}
				return errors.New("not now")
			}
			got = append(got, row.ID)
			return nil
		}}
		addRows(t, b, "a 1", "a 2", "a 3", "b 1", "b 2", "c 1", "a 4")
		relay(t, r, time.Minute)
		require.Equal(t, []string{"b 1", "b 2", "c 1", "a 1", "a 2", "a 3", "a 4"}, got)
		require.Equal(t, []time.Duration{sec, 2 * sec, 4 * sec}, delays)
		require.EqualValues(t, 3, r.Stats().Failures)
		require.EqualValues(t, 7, r.Stats().Published)
	})
}

func TestWake(t *testing.T) {
	_, b := openBolt(t)
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var at []time.Duration
		r := &outbox.Relay{Store: b, Interval: 10 * sec, Publish: func(context.Context, outbox.Row) error { at = append(at, time.Since(start)); return nil }}
		r.Wake() // of a relay that does not run yet: it asks anyway
		time.AfterFunc(3*sec, func() { addRows(t, b, "a 1"); r.Wake(); r.Wake() })
		time.AfterFunc(5*sec, func() { addRows(t, b, "a 2") })
		relay(t, r, 20*sec)
		require.Equal(t, []time.Duration{3 * sec, 13 * sec}, at, "at once, and at the next interval")
	})
}

// A store that fails after the rows were published: they come again.
func TestCrashBeforeTheMark(t *testing.T) {
	_, b := openBolt(t)
	synctest.Test(t, func(t *testing.T) {
		var got []string
		store := &failing{Store: b, sent: 2}
		r := &outbox.Relay{Store: store, Publish: func(_ context.Context, row outbox.Row) error { got = append(got, row.ID); return nil }}
		addRows(t, b, "a 1")
		relay(t, r, 10*sec)
		require.Equal(t, []string{"a 1", "a 1", "a 1"}, got)
		require.EqualValues(t, 2, r.Stats().Failures)
	})
}

type failing struct {
	outbox.Store
	sent int
}

func (f *failing) Sent(ctx context.Context, ids []string) error {
	if f.sent--; f.sent >= 0 {
		return errors.New("the disk is full")
	}
	return f.Store.Sent(ctx, ids)
}

func TestBolt(t *testing.T) {
	db, b := openBolt(t)
	rows, err := b.Unsent(t.Context(), 10, nil)
	require.NoError(t, err)
	require.Empty(t, rows, "a bucket that is not there yet")
	require.NoError(t, b.Sent(t.Context(), []string{"x"}))
	var all []string
	for i := range 300 {
		all = append(all, fmt.Sprintf("k%d %d", i%3, i))
	}
	addRows(t, b, all...)
	var some []string
	for i, id := range all {
		if i%2 == 0 {
			some = append(some, id)
		}
	}
	require.NoError(t, b.Sent(t.Context(), some))
	rows, err = b.Unsent(t.Context(), 1000, nil)
	require.NoError(t, err)
	require.Len(t, rows, 150, "deleting skips none")
	for i, row := range rows {
		require.Equal(t, all[2*i+1], row.ID)
	}
	rows, err = b.Unsent(t.Context(), 3, []string{"k0", "k1"})
	require.NoError(t, err)
	require.Len(t, rows, 3)
	require.False(t, slices.ContainsFunc(rows, func(r outbox.Row) bool { return r.Key != "k2" }))
	require.Error(t, db.Update(func(tx *bbolt.Tx) error { return b.Add(tx, outbox.Row{}) }))
	require.ErrorContains(t, db.Update(func(tx *bbolt.Tx) error { return b.Add(tx, outbox.Row{ID: "a", Payload: make([]byte, 16<<20)}) }), "want at most 16777216")
	require.NoError(t, db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("outbox")).Put([]byte("12345678"), []byte("{")) }))
	_, err = b.Unsent(t.Context(), 1000, nil)
	require.ErrorContains(t, err, "outbox: row 31 32")
}

func TestCheck(t *testing.T) {
	err := (&outbox.Relay{Interval: -1, Batch: -1}).Check()
	for _, want := range []string{"outbox: Relay.Store is nil", "Publish is nil", "Interval is -1ns", "Batch is -1"} {
		require.ErrorContains(t, err, want)
	}
	require.Error(t, (&outbox.Relay{}).Run(t.Context()))
}
