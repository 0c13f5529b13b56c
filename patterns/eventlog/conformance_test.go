package eventlog_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
)

const epoch = 0xe9

// subject is one implementation under test.
type subject struct {
	name string
	open func(t testing.TB, opts eventlog.Options) eventlog.Log
}

var subjects = []subject{
	{"memory", func(t testing.TB, opts eventlog.Options) eventlog.Log { return eventlog.NewMemory(opts) }},
	{"disk", func(t testing.TB, opts eventlog.Options) eventlog.Log {
		return openDisk(t, filepath.Join(t.TempDir(), "log"), opts)
	}},
	{"disk reopened", func(t testing.TB, opts eventlog.Options) eventlog.Log {
		path := filepath.Join(t.TempDir(), "log")
		return &reopened{Disk: openDisk(t, path, opts), t: t, path: path, opts: opts}
	}},
}

func openDisk(t testing.TB, path string, opts eventlog.Options) *eventlog.Disk {
	d, err := eventlog.OpenDisk(path, opts)
	require.NoError(t, err)
	return d
}

// reopened is a Disk that is closed and opened again before each read.
type reopened struct {
	*eventlog.Disk
	t    testing.TB
	path string
	opts eventlog.Options
}

func (r *reopened) After(c eventlog.Cursor, q eventlog.Query) (eventlog.Page, error) {
	if _, err := r.Disk.After(c, q); err != nil {
		return eventlog.Page{}, err // closed on purpose
	}
	before := r.Disk.Stats()
	require.NoError(r.t, r.Disk.Close())
	r.Disk = openDisk(r.t, r.path, r.opts)
	after := r.Disk.Stats()
	require.Equal(r.t, [2]int64{before.Entries, before.Bytes}, [2]int64{after.Entries, after.Bytes},
		"opening the file again changed what the log says it holds")
	return r.Disk.After(c, q)
}

func at(offset uint64) eventlog.Cursor { return eventlog.Cursor{Epoch: epoch, Offset: offset} }

// put appends one entry per word: "topic:data".
func put(t testing.TB, l eventlog.Log, words ...string) eventlog.Cursor {
	t.Helper()
	var entries []eventlog.Entry
	for _, w := range words {
		topic, data, _ := strings.Cut(w, ":")
		entries = append(entries, eventlog.Entry{Topic: topic, Data: []byte(data)})
	}
	c, err := l.Append(context.Background(), entries...)
	require.NoError(t, err)
	return c
}

func read(t testing.TB, l eventlog.Log, c eventlog.Cursor, q eventlog.Query) eventlog.Page {
	t.Helper()
	page, err := l.After(c, q)
	require.NoError(t, err)
	return page
}

// words is the inverse of put.
func words(page eventlog.Page) []string {
	var out []string
	for _, e := range page.Entries {
		out = append(out, e.Topic+":"+string(e.Data))
	}
	return out
}

var conformance = []struct {
	name string
	why  string
	opts eventlog.Options
	run  func(t *testing.T, l eventlog.Log)
}{
	{
		name: "what is appended is read in order",
		why:  "the log's first promise; offsets start at 1 and have no gaps",
		run: func(t *testing.T, l eventlog.Log) {
			require.Equal(t, at(0), l.Head())
			require.Equal(t, at(2), put(t, l, "a:1", "b:2"))
			require.Equal(t, at(3), put(t, l, "a:3"))

			page := read(t, l, at(0), eventlog.Query{})

			require.Empty(t, page.Reset)
			require.Equal(t, []string{"a:1", "b:2", "a:3"}, words(page))
			require.Equal(t, []uint64{1, 2, 3}, []uint64{page.Entries[0].Offset, page.Entries[1].Offset, page.Entries[2].Offset})
			require.Equal(t, at(3), page.Next)
			require.Empty(t, read(t, l, page.Next, eventlog.Query{}).Entries)
		},
	},
	{
		name: "all of an entry comes back",
		why:  "the disk writes every field in a format of its own",
		run: func(t *testing.T, l eventlog.Log) {
			in := eventlog.Entry{
				Offset:  77,
				Topic:   "tópico\x00",
				Time:    time.Date(1969, 1, 2, 3, 4, 5, 6, time.FixedZone("east", 3600)),
				Expires: time.Date(9999, 1, 2, 3, 4, 5, 999999999, time.UTC),
				Data:    []byte{0, 1, 255},
			}
			_, err := l.Append(context.Background(), in, eventlog.Entry{})
			require.NoError(t, err)

			want := in
			want.Offset, want.Time = 1, in.Time.UTC()
			bare := eventlog.Entry{Offset: 2, Time: time.Now().UTC().Round(0)}
			require.Equal(t, []eventlog.Entry{want, bare}, read(t, l, at(0), eventlog.Query{}).Entries)
		},
	},
	{
		name: "the log keeps a copy",
		why:  "a caller may reuse its buffer, and its slice of entries, after Append",
		run: func(t *testing.T, l eventlog.Log) {
			in := []eventlog.Entry{{Topic: "a", Data: []byte("one")}}
			_, err := l.Append(context.Background(), in...)
			require.NoError(t, err)
			copy(in[0].Data, "two")

			require.Zero(t, in[0].Offset)
			require.Equal(t, []string{"a:one"}, words(read(t, l, at(0), eventlog.Query{})))
		},
	},
	{
		name: "a page is limited in entries",
		why:  "a reader far behind must not get everything in one piece",
		run: func(t *testing.T, l eventlog.Log) {
			put(t, l, "a:1", "b:2", "a:3", "b:4")

			page := read(t, l, at(0), eventlog.Query{MaxEntries: 2, Topics: []string{"a"}})
			require.False(t, page.More, "two entries, limit two: nothing was cut")
			require.Equal(t, at(4), page.Next)

			page = read(t, l, at(0), eventlog.Query{MaxEntries: 1, Topics: []string{"a"}})
			require.Equal(t, []string{"a:1"}, words(page))
			require.True(t, page.More)
			require.Equal(t, at(1), page.Next)

			page = read(t, l, page.Next, eventlog.Query{MaxEntries: 1, Topics: []string{"a"}})
			require.Equal(t, []string{"a:3"}, words(page))
			require.False(t, page.More)
		},
	},
	{
		name: "a page is limited in bytes",
		why:  "but an entry larger than the limit must still get through, alone",
		run: func(t *testing.T, l eventlog.Log) {
			put(t, l, "a:1", "a:23", "a:4567", "a:8")
			q := eventlog.Query{MaxBytes: 5}

			page := read(t, l, at(0), q) // 2 + 3 bytes
			require.Equal(t, []string{"a:1", "a:23"}, words(page))
			require.True(t, page.More)
			page = read(t, l, page.Next, q)
			require.Equal(t, []string{"a:4567"}, words(page))
			page = read(t, l, at(2), eventlog.Query{MaxBytes: 1})
			require.Equal(t, []string{"a:4567"}, words(page))
			page = read(t, l, at(0), eventlog.Query{MaxBytes: -1, MaxEntries: -1})
			require.Len(t, page.Entries, 4)
		},
	},
	{
		name: "default limits of a page",
		why:  "1,000 entries and 1 MiB, as documented",
		run: func(t *testing.T, l eventlog.Log) {
			_, err := l.Append(context.Background(), make([]eventlog.Entry, 1001)...)
			require.NoError(t, err)
			require.Len(t, read(t, l, at(0), eventlog.Query{}).Entries, 1000)

			half := eventlog.Entry{Data: make([]byte, 1<<19)}
			_, err = l.Append(context.Background(), half, half, half)
			require.NoError(t, err)
			require.Len(t, read(t, l, at(1001), eventlog.Query{}).Entries, 2)
		},
	},
	{
		name: "the cursor passes entries of other topics",
		why:  "a reader of a quiet topic would be overtaken by compaction (etcd-io/etcd#20262)",
		opts: eventlog.Options{MaxEntries: 2},
		run: func(t *testing.T, l eventlog.Log) {
			c := l.Tail()
			for range 5 {
				put(t, l, "busy:x")
				page := read(t, l, c, eventlog.Query{Topics: []string{"quiet"}})
				require.Empty(t, page.Reset)
				c = page.Next
			}
			put(t, l, "quiet:at last")
			require.Equal(t, []string{"quiet:at last"}, words(read(t, l, c, eventlog.Query{Topics: []string{"quiet"}})))
		},
	},
	{
		name: "bound by count",
		why:  "the oldest go, and who still needed them is told",
		opts: eventlog.Options{MaxEntries: 2},
		run: func(t *testing.T, l eventlog.Log) {
			put(t, l, "a:1", "a:2", "a:3")

			require.Equal(t, at(1), l.Tail())
			page := read(t, l, at(0), eventlog.Query{})
			require.Equal(t, eventlog.Page{Reset: eventlog.ReasonCompacted, Next: at(1)}, page)
			require.Equal(t, []string{"a:2", "a:3"}, words(read(t, l, at(1), eventlog.Query{})))
		},
	},
	{
		name: "bound by bytes",
		why:  "entries differ in size; topic and data count",
		opts: eventlog.Options{MaxBytes: 10},
		run: func(t *testing.T, l eventlog.Log) {
			put(t, l, "a:1234", "a:1234") // 5 bytes each
			require.Equal(t, at(0), l.Tail())
			put(t, l, "a:")
			require.Equal(t, at(1), l.Tail())
			require.EqualValues(t, 6, l.Stats().Bytes)

			_, err := l.Append(context.Background(), eventlog.Entry{Topic: "a", Data: make([]byte, 10)})
			require.ErrorIs(t, err, eventlog.ErrTooLarge)
			require.EqualError(t, err,
				`eventlog: entry is too large: topic "a": 11 bytes, and the log's MaxBytes is 10`)
			require.Equal(t, at(3), l.Head(), "a refused entry takes no offset")
		},
	},
	{
		name: "bound by age",
		why:  "also when nothing is appended any more; an hour is still within MaxAge of an hour",
		opts: eventlog.Options{MaxAge: time.Hour},
		run: func(t *testing.T, l eventlog.Log) {
			put(t, l, "a:1")
			time.Sleep(time.Minute)
			put(t, l, "a:2")

			time.Sleep(59 * time.Minute)
			require.Empty(t, read(t, l, at(0), eventlog.Query{}).Reset)
			time.Sleep(1)
			require.Equal(t, eventlog.ReasonCompacted, read(t, l, at(0), eventlog.Query{}).Reset)
			require.Equal(t, at(1), l.Tail())
			time.Sleep(time.Minute)
			require.Equal(t, at(2), l.Tail())
			require.Equal(t, at(2), l.Head())
		},
	},
	{
		name: "an entry that is dated in the future ages from now on",
		why:  "else it would stay, and all those behind it, however old they are",
		opts: eventlog.Options{MaxAge: time.Hour},
		run: func(t *testing.T, l eventlog.Log) {
			now := time.Now().UTC().Round(0)
			_, err := l.Append(t.Context(), eventlog.Entry{Topic: "a", Time: now.Add(24 * time.Hour)}, eventlog.Entry{Topic: "b"})
			require.NoError(t, err)
			require.Equal(t, now, read(t, l, at(0), eventlog.Query{}).Entries[0].Time)

			time.Sleep(time.Hour + 1)
			require.Equal(t, at(2), l.Tail())
		},
	},
	{
		name: "an expired entry is passed over, not missed",
		why:  "it is not delivered at or after its Expires, and its end is no gap",
		run: func(t *testing.T, l eventlog.Log) {
			_, err := l.Append(context.Background(),
				eventlog.Entry{Topic: "a", Data: []byte("short"), Expires: time.Now().Add(time.Second)},
				eventlog.Entry{Topic: "a", Data: []byte("long")},
				eventlog.Entry{Topic: "a", Data: []byte("short"), Expires: time.Now().Add(time.Second)},
			)
			require.NoError(t, err)
			time.Sleep(time.Second - 1)
			require.Len(t, read(t, l, at(0), eventlog.Query{}).Entries, 3)
			time.Sleep(1)

			page := read(t, l, at(0), eventlog.Query{})

			require.Empty(t, page.Reset)
			require.Equal(t, []string{"a:long"}, words(page))
			require.Equal(t, at(3), page.Next)
			require.Equal(t, 1, page.Expired, "the first has left the tail, the third is passed over")
			require.EqualValues(t, 2, l.Stats().Entries)
		},
	},
	{
		name: "compaction on demand",
		why:  "a service may know that every reader is past a position",
		run: func(t *testing.T, l eventlog.Log) {
			put(t, l, "a:1", "a:2", "a:3")
			require.NoError(t, l.Compact(at(2)))
			require.NoError(t, l.Compact(at(1)), "already done")

			require.Equal(t, at(2), l.Tail())
			require.Equal(t, eventlog.ReasonCompacted, read(t, l, at(1), eventlog.Query{}).Reset)
			require.Equal(t, []string{"a:3"}, words(read(t, l, at(2), eventlog.Query{})))
			require.EqualError(t, l.Compact(at(4)), "eventlog: compact to e9-4: the log ends at e9-3")
			require.Error(t, l.Compact(eventlog.Cursor{Epoch: 1}))
			require.NoError(t, l.Compact(at(3)))
			require.Equal(t, at(3), l.Tail())
			require.Equal(t, at(4), put(t, l, "a:4"), "offsets are not used again")
			require.Equal(t, []string{"a:4"}, words(read(t, l, at(3), eventlog.Query{})))
		},
	},
	{
		name: "a cursor of another epoch",
		why:  "its offset may exist here and mean something else (hashicorp/consul#2621)",
		run: func(t *testing.T, l eventlog.Log) {
			put(t, l, "a:1", "a:2")
			want := eventlog.Page{Reset: eventlog.ReasonWrongEpoch, Next: at(0)}
			require.Equal(t, want, read(t, l, eventlog.Cursor{Epoch: 1, Offset: 1}, eventlog.Query{}))
			require.Equal(t, want, read(t, l, eventlog.Cursor{}, eventlog.Query{}))
		},
	},
	{
		name: "a cursor beyond the head",
		why:  "an older copy answers (hashicorp/consul#7939); an empty page would hide it",
		run: func(t *testing.T, l eventlog.Log) {
			put(t, l, "a:1", "a:2")
			want := eventlog.Page{Reset: eventlog.ReasonFuture, Next: at(0)}
			require.Equal(t, want, read(t, l, at(3), eventlog.Query{}))
		},
	},
	{
		name: "a page of the topics that match",
		why:  "who may not see a topic must not learn of it, and its cursor passes the entry",
		run: func(t *testing.T, l eventlog.Log) {
			put(t, l, "a:1", "b:2", "c:3", "a:4", "c:5")
			notC := func(topic string) bool { return topic != "c" }

			page := read(t, l, at(0), eventlog.Query{Match: notC})
			require.Equal(t, []string{"a:1", "b:2", "a:4"}, words(page))
			require.Equal(t, at(5), page.Next)
			page = read(t, l, at(0), eventlog.Query{Match: notC, Topics: []string{"a", "c"}})
			require.Equal(t, []string{"a:1", "a:4"}, words(page), "both must hold")
			page = read(t, l, at(0), eventlog.Query{Match: notC, MaxEntries: 2})
			require.Equal(t, []string{"a:1", "b:2"}, words(page))
			require.True(t, page.More)
		},
	},
	{
		name: "a few topics of a long log",
		why:  "they are found by an index, which must find what a look at every entry finds",
		opts: eventlog.Options{MaxEntries: 700},
		run: func(t *testing.T, l eventlog.Log) {
			r := rand.New(rand.NewPCG(1, 2))
			var all []string
			for len(all) < 2000 {
				var batch []string
				for range 1 + r.IntN(100) {
					batch = append(batch, fmt.Sprintf("t%d:%d", r.IntN(1+len(all)/20), len(all)+len(batch)))
				}
				all = append(all, batch...)
				put(t, l, batch...)
			}
			first := l.Tail().Offset
			require.Equal(t, uint64(len(all)-700), first)
			for range 50 {
				from := first + r.Uint64N(700)
				topics := map[string]bool{}
				var q eventlog.Query
				for range r.IntN(4) {
					topic := fmt.Sprint("t", r.IntN(120))
					q.Topics, topics[topic] = append(q.Topics, topic), true
				}
				q.Topics = append(q.Topics, q.Topics...) // named twice is named once
				odd := r.IntN(3) == 0
				if odd {
					q.Match = func(topic string) bool { return topic[len(topic)-1]%2 == 1 }
				}
				var want []string
				for _, w := range all[from:] {
					topic, _, _ := strings.Cut(w, ":")
					if (len(topics) == 0 || topics[topic]) && (!odd || topic[len(topic)-1]%2 == 1) {
						want = append(want, w)
					}
				}
				page := read(t, l, at(from), q)
				require.Equal(t, want, words(page))
				require.Equal(t, l.Head(), page.Next)
			}
		},
	},
	{
		name: "an append whose context is done",
		why:  "an error means that nothing was stored, so that the caller can try again",
		run: func(t *testing.T, l eventlog.Log) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			_, err := l.Append(ctx, eventlog.Entry{Topic: "a"})
			require.ErrorIs(t, err, context.Canceled)
			require.Equal(t, at(0), l.Head())
			require.Equal(t, at(1), put(t, l, "a:1"))
		},
	},
	{
		name: "a closed log",
		why:  "says so, whatever is asked of it",
		run: func(t *testing.T, l eventlog.Log) {
			c := put(t, l, "a:1")
			w := l.Watch("a")
			require.NoError(t, l.Close())

			_, open := <-w.C
			require.False(t, open)
			w.Stop()
			_, open = <-l.Watch().C
			require.False(t, open)
			_, err := l.Append(context.Background(), eventlog.Entry{})
			require.ErrorIs(t, err, eventlog.ErrClosed)
			_, err = l.After(c, eventlog.Query{})
			require.ErrorIs(t, err, eventlog.ErrClosed)
			require.ErrorIs(t, l.Compact(c), eventlog.ErrClosed)
			_, err = eventlog.Next(context.Background(), l, c, eventlog.Query{})
			require.ErrorIs(t, err, eventlog.ErrClosed)
		},
	},
}

func TestConformance(t *testing.T) {
	for _, s := range subjects {
		for _, c := range conformance {
			t.Run(s.name+"/"+c.name, func(t *testing.T) {
				require.NotEmpty(t, c.why)
				synctest.Test(t, func(t *testing.T) {
					c.opts.Epoch = epoch
					l := s.open(t, c.opts)
					defer func() { require.NoError(t, l.Close()) }()
					c.run(t, l)
				})
			})
		}
	}
}

func TestCounters(t *testing.T) {
	for _, s := range subjects[:2] {
		t.Run(s.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := s.open(t, eventlog.Options{MaxEntries: 2})
				defer l.Close()
				_, err := l.Append(context.Background(), eventlog.Entry{Expires: time.Now().Add(time.Second)})
				require.NoError(t, err)
				time.Sleep(time.Second)
				put(t, l, "a:1", "a:22", "a:333")

				require.Equal(t, eventlog.Stats{Entries: 2, Bytes: 7, Appended: 4, Compacted: 1, Expired: 1}, l.Stats())
			})
		})
	}
}

// A bubble's clock begins at midnight UTC 2000-01-01.
func TestTheDefaultEpochIsTheTimeOfCreation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Second)
		l := eventlog.NewMemory(eventlog.Options{})
		require.EqualValues(t, time.Date(2000, 1, 1, 0, 0, 1, 0, time.UTC).UnixNano(), l.Head().Epoch)
	})
}
