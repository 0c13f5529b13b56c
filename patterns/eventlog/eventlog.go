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
	// position after the last of them. When it returns, the entries are as
	// durable as the log is and those who watch their topics have been woken.
	// The log keeps a copy of Data. ctx ends the wait for the log to take the
	// entries; an error means that nothing was stored.
	Append(ctx context.Context, entries ...Entry) (Cursor, error)

	// After returns the page of entries after c that q asks for.
	After(c Cursor, q Query) (Page, error)

	// Head is the position after the newest entry: what a reader starts from
	// that wants only what is still to come.
	Head() Cursor

	// Tail is the oldest position from which reading is complete.
	Tail() Cursor

	// Watch registers interest in new entries of the topics, of all topics if
	// none is given. Register first and read afterwards, and no entry falls
	// between the two.
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
	// Offset is the entry's position, from 1. Append assigns it and ignores
	// what it finds there.
	Offset uint64
	// Topic names what the entry is about; it may be empty.
	Topic string
	// Time is when the entry was made. Append sets it to time.Now if it is zero, or
	// later than that: by MaxAge it would stay, and so would all that follow it.
	// Times come back in UTC, without a monotonic reading.
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

// Query says which entries a reader wants. The zero value wants the entries of
// all topics, up to the default limits.
type Query struct {
	// Topics limits the page to entries of these topics. None: all topics.
	Topics []string
	// Match limits the page to entries of the topics for which it is true, besides
	// Topics. It is called while the log is locked: it must be quick, depend on
	// nothing but the topic, and not call the log. Nil: all topics.
	Match func(topic string) bool
	// MaxEntries limits the page's entries. Zero: 1,000; negative: no limit.
	MaxEntries int
	// MaxBytes limits the sum of topics and data in bytes; a page with entries
	// has at least one, however large. Zero: 1 MiB; negative: no limit.
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
	// Reset, if not empty, says why the page does not continue where the cursor
	// stood. There are no entries then, and the reader decides what to do.
	Reset Reason
	// Entries are in the order of their offsets.
	Entries []Entry
	// Next is the cursor to ask with next. It moves past entries of other topics,
	// so that a reader of a quiet topic is not overtaken by compaction while it
	// keeps reading. With a Reset it is the log's Tail.
	Next Cursor
	// More reports that a limit ended the page and another can be read at once.
	More bool
	// Expired counts the entries that were passed over because of their Expires.
	Expired int
}

// Reason says why a reader cannot continue from its cursor. Empty: it can, nothing
// between the cursor and the page's Next is missing.
type Reason string

const (
	// ReasonCompacted: entries after the cursor have been dropped.
	ReasonCompacted Reason = "compacted"
	// ReasonWrongEpoch: the cursor belongs to another incarnation of the log, or to
	// none.
	ReasonWrongEpoch Reason = "wrong-epoch"
	// ReasonFuture: the cursor is beyond the head; the log has lost what the reader
	// has seen, or the reader asks a copy that lags behind.
	ReasonFuture Reason = "future"
)

// Options bound a log. The zero value is a log with the default bounds.
type Options struct {
	// Epoch names this incarnation of the log. It must differ from every epoch that
	// readers may hold cursors of. Zero: the time of creation in nanoseconds,
	// which is unique as long as the clock does not go back, and repeats in a
	// simulation. A Disk that exists already keeps its own.
	Epoch uint64
	// MaxEntries bounds the entries kept. Zero: 100,000; negative: no bound.
	MaxEntries int
	// MaxBytes bounds the topics and data kept, in bytes. Zero: 64 MiB;
	// negative: no bound.
	MaxBytes int
	// MaxAge bounds how old, by its Time, the oldest entry kept may be. Zero or
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
	// Entries and Bytes are what the log keeps now, expired entries included
	// until they reach its tail.
	Entries, Bytes int64
	// Appended, Compacted and Expired count entries since the log was opened:
	// added, dropped to keep the bounds or by Compact, dropped after expiry.
	Appended, Compacted, Expired int64
	// Watches are the registered watches, Wakes the times one was woken.
	Watches, Wakes int64
}

var (
	// ErrClosed is returned by the methods of a closed log.
	ErrClosed = errors.New("eventlog: log is closed")
	// ErrTooLarge is the error of an entry that cannot fit into the log. The patterns
	// wrap it for messages and answers beyond their bounds.
	ErrTooLarge = errors.New("eventlog: entry is too large")
)

// Next returns the first page after c that has entries or a Reset, and waits for one if
// need be. When ctx ends first it returns an
// empty page, whose Next a reader may continue from, with ctx's error.
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
