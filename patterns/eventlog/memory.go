package eventlog

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Memory is a Log in memory. It has no goroutine of its own.
type Memory struct {
	opts Options
	hub  hub

	mu      sync.Mutex
	closed  bool
	entries shelf // offsets without gaps
	topics  topicIndex
	head    uint64 // offset of the newest entry ever appended
	floor   uint64 // offset of the newest entry that was dropped unexpired
	stats   Stats
}

var _ Log = (*Memory)(nil)

// NewMemory returns an empty log.
func NewMemory(opts Options) *Memory {
	return &Memory{opts: opts.withDefaults(), topics: topicIndex{}}
}

// Append is as for every Log. There is nothing to wait for.
func (m *Memory) Append(ctx context.Context, entries ...Entry) (Cursor, error) {
	if err := ctx.Err(); err != nil {
		return Cursor{}, err
	}
	now := time.Now()
	entries, err := m.opts.prepare(entries, now)
	if err != nil {
		return Cursor{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return Cursor{}, ErrClosed
	}
	for i := range entries {
		e := &entries[i]
		m.head++
		e.Offset = m.head
		m.stats.Bytes += int64(e.size())
		of := m.topics.add(e.Topic, m.head)
		e.Topic = of.topic // one string for all
		m.entries.push(indexed{*e, of})
	}
	m.stats.Appended += int64(len(entries))
	m.trim(now)
	m.hub.notify(entries)
	return m.at(m.head), nil
}

// After is as for every Log.
func (m *Memory) After(c Cursor, q Query) (Page, error) {
	now := time.Now()
	q = q.withDefaults()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return Page{}, ErrClosed
	}
	m.trim(now)
	b := newPage(c, q, m.at(m.floor), m.at(m.head), now)
	if b.page.Reset != "" || m.entries.len == 0 {
		return b.page, nil
	}
	first := m.entries.at(0).Offset
	from := int(max(c.Offset+1, first) - first)
	if m.worthwhile(&q, m.entries.len-from) {
		for found := m.topics.find(c.Offset, &q); ; {
			offset := found.next()
			if offset == 0 || !b.add(&m.entries.at(int(offset-first)).Entry) {
				return b.page, nil
			}
		}
	}
	for i := from; i < m.entries.len; i++ {
		if e := &m.entries.at(i).Entry; q.wants(e.Topic) && !b.add(e) {
			break
		}
	}
	return b.page, nil
}

// worthwhile reports whether the index is faster for a query than a look at each of the
// entries, which a reader that is nearly up to date is through with at once.
func (m *Memory) worthwhile(q *Query, entries int) bool {
	const few = 8
	switch {
	case len(q.Topics) > 0:
		return entries > few
	case q.Match != nil:
		return entries > few && entries > len(m.topics)
	}
	return false
}

// Head is as for every Log.
func (m *Memory) Head() Cursor {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at(m.head)
}

// Tail is as for every Log.
func (m *Memory) Tail() Cursor {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trim(time.Now())
	return m.at(m.floor)
}

// Watch is as for every Log.
func (m *Memory) Watch(topics ...string) *Watch { return m.hub.watch(topics) }

// Compact is as for every Log.
func (m *Memory) Compact(c Cursor) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	if err := compactable(c, m.at(m.head)); err != nil {
		return err
	}
	for m.entries.len > 0 && m.entries.at(0).Offset <= c.Offset {
		m.drop()
		m.stats.Compacted++
	}
	m.floor = max(m.floor, c.Offset)
	return nil
}

// Stats is as for every Log.
func (m *Memory) Stats() Stats {
	m.mu.Lock()
	s := m.stats
	s.Entries = int64(m.entries.len)
	m.mu.Unlock()
	s.Watches, s.Wakes = m.hub.counts()
	return s
}

// Close is as for every [Log]. The entries are lost.
func (m *Memory) Close() error {
	m.mu.Lock()
	m.closed = true
	m.entries, m.topics = shelf{}, nil
	m.mu.Unlock()
	m.hub.close()
	return nil
}

func (m *Memory) at(offset uint64) Cursor { return Cursor{Epoch: m.opts.Epoch, Offset: offset} }

// trim drops from the tail what has expired or exceeds the bounds.
func (m *Memory) trim(now time.Time) {
	for m.entries.len > 0 {
		e := &m.entries.at(0).Entry
		switch {
		case e.expired(now):
			m.stats.Expired++
		case m.opts.exceeded(int64(m.entries.len), m.stats.Bytes, e.Time, now):
			m.stats.Compacted++
			m.floor = e.Offset
		default:
			return
		}
		m.drop()
	}
}

// drop forgets the oldest entry.
func (m *Memory) drop() {
	oldest := m.entries.at(0)
	m.stats.Bytes -= int64(oldest.size())
	m.topics.drop(oldest.of)
	m.entries.pop()
}

// compactable checks the argument of Compact.
func compactable(c, head Cursor) error {
	if c.Epoch != head.Epoch || c.Offset > head.Offset {
		return fmt.Errorf("eventlog: compact to %s: the log ends at %s", c, head)
	}
	return nil
}
