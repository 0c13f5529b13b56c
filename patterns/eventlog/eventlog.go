package eventlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Log is an ordered, bounded log. Its methods may be called concurrently.
type Log interface {
	// Append adds entries in the order given, all or none, and returns the
	// position after the last one. When it returns, the entries are as durable
	// as the log is, and the watches of their topics have been woken. The log
	// keeps a copy of Data. ctx ends the wait for the log to take the entries.
	// An error means that nothing was stored.
	Append(ctx context.Context, entries ...Entry) (Cursor, error)

	// After returns the page of entries after c that q asks for.
	After(c Cursor, q Query) (Page, error)

	// Head is the position after the newest entry. A reader that wants only new
	// entries starts from it.
	Head() Cursor

	// Tail is the oldest position from which reading is complete.
	Tail() Cursor

	// Watch registers interest in new entries of the topics, or of all topics
	// if none is given. Register first and read afterwards, so that no entry is
	// missed in between.
	Watch(topics ...string) *Watch

	// Compact drops all entries up to and including position c. It returns an
	// error if c is of another epoch or beyond the head.
	Compact(c Cursor) error

	// Stats returns the log's counters.
	Stats() Stats

	// Close ends all watches. Append, After and Compact return [ErrClosed] from
	// then on.
	Close() error
}

// Entry is one element of a log.
type Entry struct {
	// Offset is the entry's position, from 1. Append assigns it and ignores the
	// value passed in.
	Offset uint64
	// Topic names what the entry is about; it may be empty.
	Topic string
	// Time is when the entry was created. Append sets it to time.Now if it is zero
	// or in the future: with MaxAge, a future time would keep the entry, and all
	// that follow it. Times are returned in UTC, without a monotonic reading.
	Time time.Time
	// Expires is the instant from which the entry is no longer delivered. Zero:
	// never.
	Expires time.Time
	// Data is the payload. Readers must not modify it.
	Data []byte
}

func (e *Entry) size() int { return len(e.Topic) + len(e.Data) }

func (e *Entry) expired(now time.Time) bool {
	return !e.Expires.IsZero() && !now.Before(e.Expires)
}

// Query selects the entries that a reader wants. The zero value selects the
// entries of all topics, up to the default limits.
type Query struct {
	// Topics limits the page to entries of these topics. None: all topics.
	Topics []string
	// Match limits the page further, to topics for which it returns true. It is
	// called while the log is locked: it must be quick, depend only on the topic,
	// and not call the log. Nil: all topics.
	Match func(topic string) bool
	// MaxEntries limits the page's entries. Zero: 1,000; negative: no limit.
	MaxEntries int
	// MaxBytes limits the sum of topics and data, in bytes. A page that has
	// entries has at least one, however large. Zero: 1 MiB; negative: no limit.
	MaxBytes int
}

func (q Query) withDefaults() Query {
	q.MaxEntries = cmp.Or(q.MaxEntries, 1000)
	q.MaxBytes = cmp.Or(q.MaxBytes, 1<<20)
	return q
}

// wants reports whether topic is asked for. The lists are short: a reader of
// thousands of topics is better served by filtering on its own.
func (q *Query) wants(topic string) bool {
	return (len(q.Topics) == 0 || slices.Contains(q.Topics, topic)) && (q.Match == nil || q.Match(topic))
}

// Page is the answer to a Query.
type Page struct {
	// Reset, if not empty, says why the page does not continue from the cursor.
	// There are no entries then, and the reader decides what to do.
	Reset Reason
	// Entries are in the order of their offsets.
	Entries []Entry
	// Next is the cursor for the next read. It moves past entries of other
	// topics, so that compaction does not overtake a reader of a quiet topic that
	// keeps reading. With a Reset it is the log's Tail.
	Next Cursor
	// More reports that a limit ended the page, and that another page can be
	// read at once.
	More bool
	// Expired counts the entries that were skipped because they had expired.
	Expired int
}

// Reason says why a reader cannot continue from its cursor. Empty: it can, and
// nothing is missing between the cursor and the page's Next.
type Reason string

const (
	// ReasonCompacted: entries after the cursor have been dropped.
	ReasonCompacted Reason = "compacted"
	// ReasonWrongEpoch: the cursor belongs to another incarnation of the log, or to
	// none.
	ReasonWrongEpoch Reason = "wrong-epoch"
	// ReasonFuture: the cursor is beyond the head. The log has lost entries that
	// the reader has seen, or the reader is asking a copy that lags behind.
	ReasonFuture Reason = "future"
)

// Options are the bounds of a log. The zero value has the default bounds.
type Options struct {
	// Epoch names this incarnation of the log. It must differ from every epoch of
	// which readers may hold cursors. Zero: the time of creation in nanoseconds,
	// which is unique unless the clock goes back, and which repeats in a
	// simulation. An existing Disk keeps its own.
	Epoch uint64
	// MaxEntries bounds the number of entries kept. Zero: 100,000; negative: no
	// bound.
	MaxEntries int
	// MaxBytes bounds the topics and data kept, in bytes. Zero: 64 MiB;
	// negative: no bound.
	MaxBytes int
	// MaxAge bounds the age, by its Time, of the oldest entry kept. Zero or
	// negative: no bound.
	MaxAge time.Duration
}

func (o Options) withDefaults() Options {
	if o.Epoch == 0 {
		o.Epoch = uint64(time.Now().UnixNano())
	}
	o.MaxEntries = cmp.Or(o.MaxEntries, 100_000)
	o.MaxBytes = cmp.Or(o.MaxBytes, 64<<20)
	return o
}

// prepare returns the entries as they are kept, but for their offsets. It refuses
// an entry that could never be read.
func (o Options) prepare(entries []Entry, now time.Time) ([]Entry, error) {
	kept := slices.Clone(entries)
	for i := range kept {
		e := &kept[i]
		if o.MaxBytes > 0 && e.size() > o.MaxBytes {
			return nil, fmt.Errorf("%w: topic %q: %d bytes, and the log's MaxBytes is %d",
				ErrTooLarge, e.Topic, e.size(), o.MaxBytes)
		}
		if e.Time.IsZero() || e.Time.After(now) {
			e.Time = now
		}
		e.Time, e.Expires = e.Time.UTC().Round(0), e.Expires.UTC().Round(0)
		e.Data = append([]byte(nil), e.Data...)
	}
	return kept, nil
}

// exceeded reports whether the bounds demand that the oldest entry, made at the
// given time, goes.
func (o Options) exceeded(entries, bytes int64, made, now time.Time) bool {
	return o.MaxEntries > 0 && entries > int64(o.MaxEntries) ||
		o.MaxBytes > 0 && bytes > int64(o.MaxBytes) ||
		o.MaxAge > 0 && now.Sub(made) > o.MaxAge
}

// Stats are the counters of a log.
type Stats struct {
	// Entries and Bytes are what the log keeps now. Expired entries are
	// included until they reach the log's tail.
	Entries, Bytes int64
	// Appended, Compacted and Expired count entries since the log was opened:
	// those added, those dropped by the bounds or by Compact, and those dropped
	// after they expired.
	Appended, Compacted, Expired int64
	// Watches is the number of registered watches, Wakes how often a watch was
	// woken.
	Watches, Wakes int64
}

var (
	// ErrClosed is returned by the methods of a closed log.
	ErrClosed = errors.New("eventlog: log is closed")
	// ErrTooLarge is the error for an entry that cannot fit into the log. The patterns
	// wrap it for messages and answers beyond their limits.
	ErrTooLarge = errors.New("eventlog: entry is too large")
)

// Next returns the first page after c that has entries or a Reset, and waits for one if
// necessary. When ctx ends first, it returns ctx's error and an empty page, from whose
// Next a reader can continue.
func Next(ctx context.Context, l Log, c Cursor, q Query) (Page, error) {
	if l == nil {
		panic("eventlog: Next: the log is nil")
	}
	w := l.Watch(q.Topics...)
	defer w.Stop()
	for {
		page, err := l.After(c, q)
		if err != nil || page.Reset != "" || len(page.Entries) > 0 {
			return page, err
		}
		c = page.Next
		select {
		case <-w.C:
		case <-ctx.Done():
			return page, ctx.Err()
		}
	}
}
