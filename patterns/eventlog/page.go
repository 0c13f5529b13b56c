package eventlog

import "time"

// pageBuilder fills a page under the limits of its query.
type pageBuilder struct {
	page  Page
	query Query
	now   time.Time
	bytes int
}

// newPage decides whether a page that starts at c can, in a log that is complete from
// tail to head, and returns the page while it has no entries.
func newPage(c Cursor, q Query, tail, head Cursor, now time.Time) pageBuilder {
	b := pageBuilder{query: q, now: now, page: Page{Next: tail}}
	switch {
	case c.Epoch != head.Epoch:
		b.page.Reset = ReasonWrongEpoch
	case c.Offset > head.Offset:
		b.page.Reset = ReasonFuture
	case c.Offset < tail.Offset:
		b.page.Reset = ReasonCompacted
	default:
		b.page.Next = head
	}
	return b
}

// filter returns what wants says of a topic, in a form for many entries: in a file there
// is no index, and each entry after the cursor is looked at.
func (q *Query) filter() func(topic []byte) bool {
	topics := make(map[string]bool, len(q.Topics))
	for _, topic := range q.Topics {
		topics[topic] = true
	}
	matches := map[string]bool{}
	return func(topic []byte) bool {
		switch {
		case len(topics) > 0 && !topics[string(topic)]:
			return false
		case q.Match == nil:
			return true
		}
		match, known := matches[string(topic)]
		if !known {
			match = q.Match(string(topic))
			matches[string(topic)] = match
		}
		return match
	}
}

// add offers the next entry that is wanted and reports whether to go on. A page that
// was not cut short keeps the head as its Next.
func (b *pageBuilder) add(e *Entry) bool {
	if e.expired(b.now) {
		b.page.Expired++
		return true
	}
	n := len(b.page.Entries)
	full := b.query.MaxEntries > 0 && n >= b.query.MaxEntries ||
		b.query.MaxBytes > 0 && n > 0 && b.bytes+e.size() > b.query.MaxBytes
	if full {
		b.page.More = true
		b.page.Next.Offset = b.page.Entries[n-1].Offset
		return false
	}
	b.bytes += e.size()
	b.page.Entries = append(b.page.Entries, *e)
	return true
}
