package eventlog

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"
)

func openGroups(t *testing.T) *Disk {
	d, err := OpenDisk(filepath.Join(t.TempDir(), "log"), Options{Epoch: 0xe9})
	require.NoError(t, err)
	t.Cleanup(func() { d.Close() })
	return d
}

// queued starts an Append, and returns when it waits as the n-th for the disk, which the
// caller keeps busy by holding d.write.
func queued(ctx context.Context, d *Disk, n int, entries ...Entry) (result chan error) {
	result = make(chan error, 1)
	go func() {
		_, err := d.Append(ctx, entries...)
		result <- err
	}()
	for {
		if waiting, _ := d.group.Waiting(); waiting == n {
			return result
		}
		runtime.Gosched()
	}
}

func texts(t *testing.T, d *Disk) (all []string) {
	page, err := d.After(Cursor{Epoch: 0xe9}, Query{MaxEntries: -1, MaxBytes: -1})
	require.NoError(t, err)
	for _, e := range page.Entries {
		all = append(all, string(e.Data))
	}
	return all
}

// transactions is how many have been committed.
func transactions(t *testing.T, d *Disk) (n int) {
	require.NoError(t, d.file.View(func(tx *bbolt.Tx) error {
		n = tx.ID()
		return nil
	}))
	return n
}

func entry(text string) Entry { return Entry{Topic: "t", Data: []byte(text)} }

func TestAppendsThatWaitShareATransactionInTheirOrder(t *testing.T) {
	d := openGroups(t)
	before := transactions(t, d)
	w := d.Watch("t")
	defer w.Stop()

	d.write.Lock()
	var results []chan error
	var want []string
	for i := range 20 {
		a, b := fmt.Sprint(i, "a"), fmt.Sprint(i, "b")
		results = append(results, queued(t.Context(), d, i+1, entry(a), entry(b)))
		want = append(want, a, b)
	}
	require.Empty(t, texts(t, d), "nothing is visible before it is on the disk")
	require.Empty(t, w.C)
	d.write.Unlock()
	for _, r := range results {
		require.NoError(t, <-r)
	}

	require.Equal(t, want, texts(t, d))
	require.Equal(t, before+1, transactions(t, d))
	require.Len(t, w.C, 1)
	require.EqualValues(t, 40, d.Stats().Appended)
}

// What comes while a group is written waits for the next, whose leader is the one that
// has waited longest.
func TestGroupsAreBoundedInBytes(t *testing.T) {
	d := openGroups(t)
	before := transactions(t, d)
	large := Entry{Data: make([]byte, maxGroupBytes*2/5)}

	d.write.Lock()
	var results []chan error
	for i := range 5 {
		results = append(results, queued(t.Context(), d, i+1, large))
	}
	d.write.Unlock()
	for _, r := range results {
		require.NoError(t, <-r)
	}
	require.Equal(t, before+3, transactions(t, d), "two, two and one")

	_, err := d.Append(t.Context(), large, large, large, large)
	require.NoError(t, err, "one Append is one transaction, however large")
	require.Equal(t, before+4, transactions(t, d))

	d.write.Lock()
	first, second := queued(t.Context(), d, 1, large, large), queued(t.Context(), d, 2, large, large)
	d.write.Unlock()
	require.NoError(t, <-first)
	require.NoError(t, <-second)
	require.Equal(t, before+6, transactions(t, d), "two that do not fit together")
}

func TestAContextEndsTheWaitForATransaction(t *testing.T) {
	d := openGroups(t)
	ctx, cancel := context.WithCancel(t.Context())

	d.write.Lock()
	first := queued(t.Context(), d, 1, entry("first"))
	second := queued(ctx, d, 2, entry("second"))
	third := queued(t.Context(), d, 3, entry("third"))
	cancel()
	require.ErrorIs(t, <-second, context.Canceled)
	d.write.Unlock()
	require.NoError(t, <-first)
	require.NoError(t, <-third)
	require.Equal(t, []string{"first", "third"}, texts(t, d), "an error means that nothing was stored")

	// Whoever writes for the others writes also if its own context ends meanwhile.
	ctx, cancel = context.WithCancel(t.Context())
	d.write.Lock()
	first = queued(ctx, d, 1, entry("fourth"))
	second = queued(t.Context(), d, 2, entry("fifth"))
	cancel()
	d.write.Unlock()
	require.NoError(t, <-first)
	require.NoError(t, <-second)
	require.Equal(t, []string{"first", "third", "fourth", "fifth"}, texts(t, d))
}

func TestAppendsThatWaitLearnThatTheLogIsClosed(t *testing.T) {
	d := openGroups(t)
	d.write.Lock()
	var results []chan error
	for i := range 3 {
		results = append(results, queued(t.Context(), d, i+1, entry("late")))
	}
	require.NoError(t, d.Close())
	d.write.Unlock()
	for _, r := range results {
		require.ErrorIs(t, <-r, ErrClosed)
	}
}

// Publishers that come, give up and come again at random: each success is in the log once,
// each error not at all, and each publisher's entries are in its order.
func TestGroupsUnderLoad(t *testing.T) {
	d := openGroups(t)
	const publishers, each = 16, 60
	var mu sync.Mutex
	stored := map[string]bool{}
	var all sync.WaitGroup
	for p := range publishers {
		all.Go(func() {
			for i := range each {
				ctx, cancel := context.WithCancel(t.Context())
				if i%3 == 0 {
					time.AfterFunc(time.Duration(p*i)*100*time.Nanosecond, cancel)
				}
				text := fmt.Sprintf("%02d %02d", p, i)
				c, err := d.Append(ctx, entry(text))
				cancel()
				if err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				if (err == nil) == c.IsZero() {
					t.Errorf("%s: %v and %v", text, c, err)
				}
				mu.Lock()
				stored[text] = err == nil
				mu.Unlock()
			}
		})
	}
	all.Wait()

	last := map[string]string{}
	for _, text := range texts(t, d) {
		require.True(t, stored[text], "%s: stored in spite of the error, or twice", text)
		delete(stored, text)
		require.Less(t, last[text[:2]], text, "a publisher's own order")
		last[text[:2]] = text
	}
	for text, ok := range stored {
		require.False(t, ok, "%s was acknowledged and is not there", text)
	}
	waiting, led := d.group.Waiting()
	require.Zero(t, waiting)
	require.False(t, led)
}
