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
	entries []Entry // offsets without gaps
	head    uint64  // offset of the newest entry ever appended
	floor   uint64  // offset of the newest entry that was dropped unexpired
	stats   Stats
}

var _ Log = (*Memory)(nil)

// NewMemory returns an empty log.
func NewMemory(opts Options) *Memory {
	return &Memory{opts: opts.withDefaults()}
}

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
		m.head++
		entries[i].Offset = m.head
		m.stats.Bytes += int64(entries[i].size())
	}
	m.entries = append(m.entries, entries...)
	m.stats.Appended += int64(len(entries))
	m.trim(now)
	m.hub.notify(entries)
	return m.at(m.head), nil
}

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
	if b.page.Reset != "" || len(m.entries) == 0 {
		return b.page, nil
	}
	first := m.entries[0].Offset
	for i := int(max(c.Offset+1, first) - first); i < len(m.entries); i++ {
		if !b.add(&m.entries[i]) {
			break
		}
	}
	return b.page, nil
}

func (m *Memory) Head() Cursor {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at(m.head)
}

func (m *Memory) Tail() Cursor {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trim(time.Now())
	return m.at(m.floor)
}

func (m *Memory) Watch(topics ...string) *Watch { return m.hub.watch(topics) }

func (m *Memory) Compact(c Cursor) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	if err := compactable(c, m.at(m.head)); err != nil {
		return err
	}
	n := 0
	for n < len(m.entries) && m.entries[n].Offset <= c.Offset {
		m.stats.Bytes -= int64(m.entries[n].size())
		n++
	}
	m.drop(n)
	m.stats.Compacted += int64(n)
	m.floor = max(m.floor, c.Offset)
	return nil
}

func (m *Memory) Stats() Stats {
	m.mu.Lock()
	s := m.stats
	s.Entries = int64(len(m.entries))
	m.mu.Unlock()
	s.Watches, s.Wakes = m.hub.counts()
	return s
}

func (m *Memory) Close() error {
	m.mu.Lock()
	m.closed = true
	m.entries = nil
	m.mu.Unlock()
	m.hub.close()
	return nil
}

func (m *Memory) at(offset uint64) Cursor { return Cursor{Epoch: m.opts.Epoch, Offset: offset} }

// trim drops from the tail what has expired or exceeds the bounds.
func (m *Memory) trim(now time.Time) {
	n := 0
	for ; n < len(m.entries); n++ {
		e := &m.entries[n]
		switch {
		case e.expired(now):
			m.stats.Expired++
		case m.opts.exceeded(int64(len(m.entries)-n), m.stats.Bytes, e.Time, now):
			m.stats.Compacted++
			m.floor = e.Offset
		default:
			m.drop(n)
			return
		}
		m.stats.Bytes -= int64(e.size())
	}
	m.drop(n)
}

// drop forgets the n oldest entries. The next append that needs room copies the
// rest to a new array, so the space in front is not lost for long.
func (m *Memory) drop(n int) {
	clear(m.entries[:n])
	m.entries = m.entries[n:]
}

// compactable checks the argument of Compact.
func compactable(c, head Cursor) error {
	if c.Epoch != head.Epoch || c.Offset > head.Offset {
		return fmt.Errorf("eventlog: compact to %s: the log ends at %s", c, head)
	}
	return nil
}
