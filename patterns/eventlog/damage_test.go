package eventlog_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// testdata/log-v1.gz was written before Appends shared transactions: nine entries with
// MaxEntries 5.
func TestFilesOfTheVersionBeforeAreRead(t *testing.T) {
	packed, err := os.Open("testdata/log-v1.gz")
	require.NoError(t, err)
	defer packed.Close()
	unpacked, err := gzip.NewReader(packed)
	require.NoError(t, err)
	raw, err := io.ReadAll(unpacked)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "log")
	require.NoError(t, os.WriteFile(path, raw, 0o600))

	l := openDisk(t, path, eventlog.Options{MaxEntries: 5})
	defer l.Close()

	require.Equal(t, at(9), l.Head())
	require.Equal(t, at(4), l.Tail())
	made := time.Date(2026, 11, 29, 10, 0, 0, 123456789, time.UTC)
	require.Equal(t, []eventlog.Entry{
		{Offset: 5, Topic: "a", Time: made, Data: []byte("one")},
		{
			Offset: 6, Topic: "tópico\x00", Data: []byte{0, 1, 255},
			Time:    time.Date(1969, 1, 2, 3, 4, 5, 6, time.UTC),
			Expires: time.Date(9999, 1, 2, 3, 4, 5, 999999999, time.UTC),
		},
		{Offset: 7, Time: made},
		{Offset: 8, Topic: "large", Time: made, Data: bytes.Repeat([]byte("0123456789abcdef"), 1024)},
		{Offset: 9, Topic: "expired", Time: made, Expires: made.Add(time.Second), Data: []byte("gone")},
	}, unexpired(t, l))
	require.Equal(t, at(10), put(t, l, "a:next"))
	require.Equal(t, at(5), l.Tail(), "five are kept, as before")
}

// unexpired reads all entries as if none had expired: the file does not know the time.
func unexpired(t *testing.T, l *eventlog.Disk) []eventlog.Entry {
	page := read(t, l, l.Tail(), eventlog.Query{})
	if page.Expired > 0 { // by the real clock
		made := time.Date(2026, 11, 29, 10, 0, 0, 123456789, time.UTC)
		page.Entries = append(page.Entries, eventlog.Entry{Offset: 9, Topic: "expired", Time: made, Expires: made.Add(time.Second), Data: []byte("gone")})
	}
	return page.Entries
}

func TestAFileOfSomethingElseIsRefused(t *testing.T) {
	for want, make := range map[string]func(tx *bbolt.Tx) error{
		`it is not an event log: it has a bucket "options"`: func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucket([]byte("options"))
			return err
		},
		`it is not an event log: it has no bucket "meta"`: func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucket([]byte("entries"))
			return err
		},
	} {
		path := filepath.Join(t.TempDir(), "store")
		db, err := bbolt.Open(path, 0o600, nil)
		require.NoError(t, err)
		require.NoError(t, db.Update(make))
		require.NoError(t, db.Close())
		before, err := os.ReadFile(path)
		require.NoError(t, err)

		_, err = eventlog.OpenDisk(path, eventlog.Options{})
		require.EqualError(t, err, "eventlog: open "+path+": "+want)
		after, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, before, after, "and left as it is")
	}
}

// Whatever is wrong with a file, the log says so, names it, and can be closed.
func TestDamagedFiles(t *testing.T) {
	page := os.Getpagesize()
	// full has several leaf pages, and closed has had them all written.
	full := func(t *testing.T) (path string, raw []byte) {
		path = filepath.Join(t.TempDir(), "log")
		l := openDisk(t, path, eventlog.Options{Epoch: epoch})
		for range 4 {
			_, err := l.Append(context.Background(), make([]eventlog.Entry, 200)...)
			require.NoError(t, err)
		}
		require.NoError(t, l.Close())
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		return path, raw
	}
	use := func(l *eventlog.Disk) error {
		_, err := l.After(at(0), eventlog.Query{})
		if err == nil {
			_, err = l.Append(context.Background(), eventlog.Entry{})
		}
		return err
	}
	pages := func(raw []byte) int { return len(raw) / page }

	t.Run("any page, zeroed or scrambled", func(t *testing.T) {
		path, raw := full(t)
		noticed := 0
		for _, fill := range []byte{0, 0xff} {
			for n := range pages(raw) {
				damaged := bytes.Clone(raw)
				copy(damaged[n*page:], bytes.Repeat([]byte{fill}, page))
				require.NoError(t, os.WriteFile(path, damaged, 0o600))
				l, err := eventlog.OpenDisk(path, eventlog.Options{})
				if err == nil {
					err = use(l)
					require.NoError(t, l.Close())
				}
				if err != nil {
					require.ErrorContains(t, err, path)
					require.True(t, strings.HasPrefix(err.Error(), "eventlog: "), err)
					noticed++
				}
			}
		}
		require.Greater(t, noticed, 4, "the others are free pages, or one of two meta pages")
	})
	t.Run("cut short before", func(t *testing.T) {
		path, raw := full(t)
		for n := 1; n < pages(raw); n++ {
			require.NoError(t, os.WriteFile(path, raw[:n*page], 0o600))
			l, err := eventlog.OpenDisk(path, eventlog.Options{})
			if err == nil {
				err = use(l)
				require.NoError(t, l.Close())
			}
			if err != nil {
				require.ErrorContains(t, err, path)
			}
		}
	})
	t.Run("cut short while it is open", func(t *testing.T) {
		for _, rest := range []int{0, 1, 2, 3} {
			path, _ := full(t)
			l := openDisk(t, path, eventlog.Options{})
			require.NoError(t, os.Truncate(path, int64(rest*page)))
			for range 3 { // an error leaves no lock behind
				err := use(l)
				require.ErrorContains(t, err, path, "%d pages are left", rest)
			}
			_ = l.Close()
		}
	})
	t.Run("the rest can be read", func(t *testing.T) {
		path, raw := full(t)
		l := openDisk(t, path, eventlog.Options{})
		defer l.Close()
		good := 0
		for n := 2; n < pages(raw); n++ {
			damaged := bytes.Clone(raw)
			clear(damaged[n*page : (n+1)*page])
			require.NoError(t, os.WriteFile(path, damaged, 0o600))
			for offset := uint64(0); offset < 800; offset += 50 {
				if _, err := l.After(at(offset), eventlog.Query{MaxEntries: 1}); err == nil {
					good++
				}
			}
		}
		require.NotZero(t, good)
	})
	t.Run("nothing is written any more", func(t *testing.T) {
		path, raw := full(t)
		l := openDisk(t, path, eventlog.Options{})
		overwrite := func(content []byte) {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			require.NoError(t, err)
			_, err = f.WriteAt(content, 0)
			require.NoError(t, err)
			require.NoError(t, f.Close())
		}
		damaged := bytes.Clone(raw)
		clear(damaged[2*page:])
		overwrite(damaged)
		_, err := l.Append(context.Background(), eventlog.Entry{})
		require.ErrorContains(t, err, path)

		overwrite(raw)
		require.Len(t, read(t, l, at(700), eventlog.Query{}).Entries, 100)
		_, again := l.Append(context.Background(), eventlog.Entry{})
		require.Equal(t, err, again, "what the failed write has left in memory may be wrong")
		require.NoError(t, l.Close())
		l = openDisk(t, path, eventlog.Options{})
		require.Equal(t, at(801), put(t, l, "a:1"))
		require.NoError(t, l.Close())
	})
	t.Run("can be opened again when it is mended", func(t *testing.T) {
		path, raw := full(t)
		damaged := bytes.Clone(raw)
		clear(damaged[2*page:])
		require.NoError(t, os.WriteFile(path, damaged, 0o600))
		_, err := eventlog.OpenDisk(path, eventlog.Options{})
		require.ErrorContains(t, err, path)
		require.NoError(t, os.WriteFile(path, raw, 0o600))
		l := openDisk(t, path, eventlog.Options{})
		require.Equal(t, at(800), l.Head())
		require.NoError(t, l.Close())
	})
}

// A panic of the caller's own function is the caller's.
func TestAPanicInMatchIsNotTheFiles(t *testing.T) {
	for _, s := range subjects[:2] {
		l := s.open(t, eventlog.Options{Epoch: epoch})
		put(t, l, "a:1")
		require.PanicsWithValue(t, "mine", func() {
			l.After(at(0), eventlog.Query{Match: func(string) bool { panic("mine") }})
		}, s.name)
		require.Equal(t, []string{"a:1"}, words(read(t, l, at(0), eventlog.Query{})))
		put(t, l, "a:2")
		require.NoError(t, l.Close(), "%s: no lock is left", s.name)
	}
}

// An entry whose key is damaged is not where bbolt looks for it, and cannot be removed. Trimming
// must not try for ever.
func TestAnEntryOutOfOrderEndsTrimming(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := openDisk(t, path, eventlog.Options{Epoch: epoch})
	put(t, l, "a:first", "a:second", "a:third")
	require.NoError(t, l.Close())
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	value := bytes.LastIndex(raw, []byte("afirst"))
	require.Positive(t, value)
	key := raw[value-28-8 : value-28] // before both times and the length of the topic
	require.Equal(t, []byte{0, 0, 0, 0, 0, 0, 0, 1}, key)
	for i := range raw { // in each copy of the page
		if bytes.HasPrefix(raw[i:], []byte("afirst")) {
			raw[i-28-1] = 3
		}
	}
	require.NoError(t, os.WriteFile(path, raw, 0o600))

	l = openDisk(t, path, eventlog.Options{Epoch: epoch})
	defer l.Close()
	require.EqualError(t, l.Compact(l.Head()), "eventlog: write "+path+": entry 00 00 00 00 00 00 00 03 is out of order: it comes after entry 3")
}
