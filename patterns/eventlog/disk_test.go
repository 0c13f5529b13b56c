package eventlog_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// A crash is a copy of the file: what a process killed between two Appends, or
// during one, leaves behind.
func crash(t *testing.T, path string) (copied string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	copied = filepath.Join(t.TempDir(), "crashed")
	require.NoError(t, os.WriteFile(copied, raw, 0o600))
	return copied
}

func TestAcknowledgedEntriesSurviveACrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := openDisk(t, path, eventlog.Options{Epoch: epoch, MaxEntries: 4})
	defer l.Close()
	var all []string
	for _, batch := range [][]string{{"a:1"}, {"b:2", "a:3"}, {"a:4"}, {"b:5", "b:6"}} {
		head := put(t, l, batch...)
		all = append(all, batch...)

		back := openDisk(t, crash(t, path), eventlog.Options{Epoch: 1, MaxEntries: 4})
		require.Equal(t, head, back.Head(), "same offset, same epoch")
		require.Equal(t, l.Tail(), back.Tail())
		require.Equal(t, all[back.Tail().Offset:], words(read(t, back, back.Tail(), eventlog.Query{})))
		require.Equal(t, at(head.Offset+1), put(t, back, "a:next"))
		require.NoError(t, back.Close())
	}
}

// bbolt writes the pages of a transaction first and one of two meta pages last.
// A crash in between leaves the new pages under the old meta pages; a torn write
// of the meta page leaves it with a wrong checksum.
func TestACrashInTheMiddleOfAnAppend(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := openDisk(t, path, eventlog.Options{Epoch: epoch})
	defer l.Close()
	put(t, l, "a:1", "a:2")
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	put(t, l, "a:3", "a:4")
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	metas := 2 * os.Getpagesize()
	newest := 0
	if string(before[:metas/2]) == string(after[:metas/2]) {
		newest = metas / 2
	}

	for _, c := range []struct {
		name string
		file []byte
	}{
		{"before the meta page", append(before[:metas:metas], after[metas:]...)},
		{"in the meta page", func() []byte {
			torn := append([]byte(nil), after...)
			clear(torn[newest+32 : newest+64])
			return torn
		}()},
	} {
		t.Run(c.name, func(t *testing.T) {
			crashed := filepath.Join(t.TempDir(), "crashed")
			require.NoError(t, os.WriteFile(crashed, c.file, 0o600))

			back := openDisk(t, crashed, eventlog.Options{})
			defer back.Close()

			require.Equal(t, at(2), back.Head(), "all of the append or nothing of it")
			require.Equal(t, []string{"a:1", "a:2"}, words(read(t, back, at(0), eventlog.Query{})))
			require.Equal(t, at(3), put(t, back, "a:again"))
		})
	}
}

// A backup restored under the same epoch would hand out offset 2 a second time,
// and a reader that has seen the first one would take the second for known.
func TestARestoredBackupGetsANewEpoch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := openDisk(t, path, eventlog.Options{Epoch: epoch})
	put(t, l, "a:1")
	backup := crash(t, path)
	seen := put(t, l, "a:2")
	require.NoError(t, l.Close())

	restored := openDisk(t, backup, eventlog.Options{})
	defer restored.Close()
	require.Equal(t, eventlog.ReasonFuture, read(t, restored, seen, eventlog.Query{}).Reset)
	w := restored.Watch("some topic")
	require.NoError(t, restored.NewEpoch(epoch+1))
	put(t, restored, "a:other")

	require.Len(t, w.C, 1, "waiting readers must look, whatever they wait for")
	page := read(t, restored, seen, eventlog.Query{})
	require.Equal(t, eventlog.ReasonWrongEpoch, page.Reset)
	require.Equal(t, []string{"a:1", "a:other"}, words(read(t, restored, page.Next, eventlog.Query{})))
}

func TestOpenDiskSaysWhatIsWrong(t *testing.T) {
	t.Run("no such folder", func(t *testing.T) {
		_, err := eventlog.OpenDisk(filepath.Join(t.TempDir(), "no", "log"), eventlog.Options{})
		require.ErrorIs(t, err, os.ErrNotExist)
		require.ErrorContains(t, err, "eventlog: open ")
	})
	t.Run("open elsewhere", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { // the second of waiting is virtual
			path := filepath.Join(t.TempDir(), "log")
			defer openDisk(t, path, eventlog.Options{}).Close()
			start := time.Now()
			_, err := eventlog.OpenDisk(path, eventlog.Options{})
			require.ErrorContains(t, err, "timeout")
			require.LessOrEqual(t, time.Since(start), time.Second)
		})
	})
	t.Run("another format", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "log")
		require.NoError(t, openDisk(t, path, eventlog.Options{}).Close())
		db, err := bbolt.Open(path, 0o600, nil)
		require.NoError(t, err)
		require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("meta")).Put([]byte("state"), []byte{2})
		}))
		require.NoError(t, db.Close())

		_, err = eventlog.OpenDisk(path, eventlog.Options{})
		require.ErrorContains(t, err, "it is of format 2: want 1, the only one that this version reads")
	})
	t.Run("a damaged entry", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "log")
		l := openDisk(t, path, eventlog.Options{Epoch: epoch})
		put(t, l, "a:1", "a:2")
		require.NoError(t, l.Close())
		db, err := bbolt.Open(path, 0o600, nil)
		require.NoError(t, err)
		require.NoError(t, db.Update(func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("entries")).Put([]byte{0, 0, 0, 0, 0, 0, 0, 2}, []byte("damaged"))
		}))
		require.NoError(t, db.Close())

		l = openDisk(t, path, eventlog.Options{})
		defer l.Close()
		_, err = l.After(at(0), eventlog.Query{})
		require.EqualError(t, err, "eventlog: read "+path+": entry 00 00 00 00 00 00 00 02: 7 bytes are no entry",
			"an error, not a page without the entry")
	})
}

// While a write is on its way to the disk, readers see the log as it was.
func TestReadersDoNotWaitForWriters(t *testing.T) {
	l := openDisk(t, filepath.Join(t.TempDir(), "log"), eventlog.Options{Epoch: epoch})
	defer l.Close()
	put(t, l, "a:1")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 20 {
			if _, err := l.Append(context.Background(), make([]eventlog.Entry, 100)...); err != nil {
				t.Error(err)
			}
		}
	}()
	for {
		page := read(t, l, at(1), eventlog.Query{MaxEntries: -1})
		require.Zero(t, len(page.Entries)%100, "a page ends between two appends")
		require.EqualValues(t, 1+len(page.Entries), page.Next.Offset)
		select {
		case <-done:
			return
		default:
		}
	}
}
