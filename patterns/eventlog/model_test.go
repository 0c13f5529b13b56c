package eventlog_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// model is a log that never forgets: it keeps every entry ever appended, and
// where the tail is.
type model struct {
	opts    eventlog.Options
	entries []eventlog.Entry // entries[i] has offset i+1
	gone    int              // how many of them have left the log
	floor   uint64
}

func (m *model) trim(now time.Time) {
	for m.gone < len(m.entries) {
		kept, bytes := m.entries[m.gone:], 0
		for _, e := range kept {
			bytes += len(e.Topic) + len(e.Data)
		}
		oldest := kept[0]
		expired := !oldest.Expires.IsZero() && !now.Before(oldest.Expires)
		if !expired {
			if len(kept) <= m.opts.MaxEntries && bytes <= m.opts.MaxBytes && now.Sub(oldest.Time) <= m.opts.MaxAge {
				return
			}
			m.floor = oldest.Offset
		}
		m.gone++
	}
}

func (m *model) reset(c eventlog.Cursor) eventlog.Reason {
	switch {
	case c.Epoch != m.opts.Epoch:
		return eventlog.ReasonWrongEpoch
	case c.Offset > uint64(len(m.entries)):
		return eventlog.ReasonFuture
	case c.Offset < m.floor:
		return eventlog.ReasonCompacted
	}
	return ""
}

// matching is what lies between two positions for a query.
func (m *model) matching(from, to uint64, q eventlog.Query, now time.Time) (out []eventlog.Entry) {
	for _, e := range m.entries[from:to] {
		expired := !e.Expires.IsZero() && !now.Before(e.Expires)
		if !expired && (len(q.Topics) == 0 || slices.Contains(q.Topics, e.Topic)) && (q.Match == nil || q.Match(e.Topic)) {
			out = append(out, e)
		}
	}
	return out
}

// check compares a page with the model: an incomplete one is empty and leads to
// the tail, a complete one lacks nothing up to its Next, keeps the limits, and is
// cut only for their sake.
func (m *model) check(t require.TestingT, c eventlog.Cursor, q eventlog.Query, page eventlog.Page, now time.Time) {
	require.Equal(t, m.reset(c), page.Reset)
	if page.Reset != "" {
		require.Equal(t, eventlog.Page{Reset: page.Reset, Next: at(m.floor)}, page)
		return
	}
	require.GreaterOrEqual(t, page.Next.Offset, c.Offset)
	require.Equal(t, m.matching(c.Offset, page.Next.Offset, q, now), page.Entries)
	require.LessOrEqual(t, len(page.Entries), q.MaxEntries)
	bytes := 0
	for _, e := range page.Entries {
		bytes += len(e.Topic) + len(e.Data)
	}
	require.True(t, bytes <= q.MaxBytes || len(page.Entries) == 1)
	rest := m.matching(page.Next.Offset, uint64(len(m.entries)), q, now)
	require.Equal(t, len(rest) > 0, page.More)
	if page.More {
		next := len(rest[0].Topic) + len(rest[0].Data)
		require.True(t, len(page.Entries) == q.MaxEntries || bytes+next > q.MaxBytes, "cut without need")
	} else {
		require.EqualValues(t, len(m.entries), page.Next.Offset)
	}
}

// Any sequence of appends, compactions, restarts and passing time is answered as
// the model answers it.
func TestModel(t *testing.T) {
	for _, s := range subjects {
		t.Run(s.name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				rapid.SyncTest(rt, func(rt *rapid.T) { runModel(rt, t, s) })
			})
		})
	}
}

func runModel(t *rapid.T, tb testing.TB, s subject) {
	opts := eventlog.Options{
		Epoch:      epoch,
		MaxEntries: rapid.IntRange(1, 30).Draw(t, "MaxEntries"),
		MaxBytes:   rapid.IntRange(10, 150).Draw(t, "MaxBytes"),
		MaxAge:     time.Duration(rapid.IntRange(1, 20).Draw(t, "MaxAge")) * time.Second,
	}
	m := &model{opts: opts}
	l := s.open(tb, opts)
	defer func() { l.Close() }()
	topics := rapid.SampledFrom([]string{"a", "b", "c"})

	t.Repeat(map[string]func(*rapid.T){
		"append": func(t *rapid.T) {
			now := time.Now().UTC().Round(0)
			var batch []eventlog.Entry
			for range rapid.IntRange(1, 8).Draw(t, "batch") {
				e := eventlog.Entry{Topic: topics.Draw(t, "topic")}
				if n := rapid.IntRange(0, 9).Draw(t, "size"); n > 0 {
					e.Data = make([]byte, n)
				}
				if ttl := rapid.IntRange(0, 5).Draw(t, "ttl"); ttl > 0 {
					e.Expires = now.Add(time.Duration(ttl) * time.Second)
				}
				batch = append(batch, e)
			}
			c, err := l.Append(context.Background(), batch...)
			require.NoError(t, err)
			for _, e := range batch {
				e.Offset, e.Time = uint64(len(m.entries)+1), now
				m.entries = append(m.entries, e)
			}
			m.trim(now)
			require.Equal(t, at(uint64(len(m.entries))), c)
		},
		"read": func(t *rapid.T) {
			now := time.Now()
			m.trim(now)
			c := at(uint64(rapid.IntRange(0, len(m.entries)+1).Draw(t, "offset")))
			if rapid.IntRange(0, 9).Draw(t, "other epoch") == 9 {
				c.Epoch++
			}
			q := eventlog.Query{
				Topics:     rapid.SliceOfN(topics, 0, 2).Draw(t, "topics"),
				MaxEntries: rapid.IntRange(1, 5).Draw(t, "limit"),
				MaxBytes:   rapid.IntRange(1, 30).Draw(t, "bytes"),
			}
			if unseen := rapid.SampledFrom([]string{"", "a", "b", "z"}).Draw(t, "unseen"); unseen != "" {
				q.Match = func(topic string) bool { return topic != unseen }
			}
			page, err := l.After(c, q)
			require.NoError(t, err)
			m.check(t, c, q, page, now)
		},
		"sleep": func(t *rapid.T) {
			time.Sleep(time.Duration(rapid.IntRange(1, 3).Draw(t, "seconds")) * time.Second)
		},
		"compact": func(t *rapid.T) {
			upTo := rapid.IntRange(0, len(m.entries)).Draw(t, "offset")
			require.NoError(t, l.Compact(at(uint64(upTo))))
			m.gone, m.floor = max(m.gone, upTo), max(m.floor, uint64(upTo))
		},
		"": func(t *rapid.T) {
			m.trim(time.Now())
			require.Equal(t, at(uint64(len(m.entries))), l.Head())
			require.Equal(t, at(m.floor), l.Tail())
			require.EqualValues(t, len(m.entries)-m.gone, l.Stats().Entries)
		},
	})
}
