package push

import "time"

// item is something to be written to one client.
type item struct {
	kind    itemKind
	number  uint64    // offset, or delivery id of a now message
	expires time.Time // zero: never
	skipped int64     // of a gap
	key     string    // under Coalesce
	alone   bool      // it has no key: CoalesceKey panicked
	frame   []byte    // as on the connection, shared between clients; nil for gaps and positions
	size    int       // of the frame without the WebSocket's header
	done    chan<- bool
}

type itemKind uint8

const (
	itemEvent itemKind = iota
	itemNow
	itemGap
	itemPosition
)

// message reports whether the item counts against the bounds.
func (it *item) message() bool { return it.kind == itemEvent || it.kind == itemNow }

func (it *item) expired(now time.Time) bool {
	return !it.expires.IsZero() && !now.Before(it.expires)
}

// queue holds what waits for one client, in order. It never has more than
// maxCount messages or maxBytes of frames, except that a single message always
// fits. Its owner guards it.
type queue struct {
	policy             SlowPolicy
	maxCount, maxBytes int

	items        []item
	count, bytes int
	peak, peakB  int
	dropped      drops
	gone         []uint64 // offsets of the events that expired, until taken
}

// drops counts the messages that left a queue other than by pop.
type drops struct{ oldest, newest, coalesced, expired int64 }

// push adds the item and makes room for it as the policy says. It reports false
// if there is none: what happens to the client is for the caller to decide.
func (q *queue) push(it item, now time.Time) bool {
	if !it.message() {
		q.items = append(q.items, it)
		return true
	}
	if q.policy == Coalesce && it.kind == itemEvent && !it.alone {
		q.coalesce(it.key)
	}
	if !q.fits(it) {
		q.expire(now)
	}
	for !q.fits(it) {
		switch {
		case q.policy == DropOldest && it.kind == itemEvent:
			q.dropOldest()
		case q.policy == DropNewest && it.kind == itemEvent:
			q.dropped.newest++
			q.gap(it.number)
			return true
		default:
			return false
		}
	}
	q.items = append(q.items, it)
	q.count++
	q.bytes += it.size
	q.peak, q.peakB = max(q.peak, q.count), max(q.peakB, q.bytes)
	return true
}

// pop removes and returns the next item.
func (q *queue) pop() item {
	it := q.items[0]
	q.items[0] = item{}
	if len(q.items) > 1 {
		q.items = q.items[1:]
	} else {
		q.items = q.items[:0] // and its place is used again
	}
	q.forget(&it)
	return it
}

func (q *queue) fits(it item) bool {
	return q.count == 0 || q.count < q.maxCount && q.bytes+it.size <= q.maxBytes
}

func (q *queue) forget(it *item) {
	if it.message() {
		q.count--
		q.bytes -= it.size
	}
}

// remove takes out the items that goes selects.
func (q *queue) remove(goes func(*item) bool) {
	kept := q.items[:0]
	for i := range q.items {
		if goes(&q.items[i]) {
			q.forget(&q.items[i])
			continue
		}
		kept = append(kept, q.items[i])
	}
	clear(q.items[len(kept):])
	q.items = kept
}

// expire drops messages past their TTL.
func (q *queue) expire(now time.Time) {
	q.remove(func(it *item) bool {
		if !it.message() || !it.expired(now) {
			return false
		}
		q.lapse(it)
		return true
	})
}

// lapse notes the expiry of an item that is no longer in the queue.
func (q *queue) lapse(it *item) {
	q.dropped.expired++
	if it.kind == itemNow {
		it.done <- false
		return
	}
	q.gone = append(q.gone, it.number)
}

func (q *queue) coalesce(key string) {
	q.remove(func(it *item) bool {
		same := it.kind == itemEvent && !it.alone && it.key == key
		if same {
			q.dropped.coalesced++
		}
		return same
	})
}

// dropOldest turns the oldest message into a gap, joined with a gap before it.
func (q *queue) dropOldest() {
	i := 0
	for !q.items[i].message() {
		i++
	}
	old := q.items[i]
	q.forget(&old)
	if old.kind == itemNow {
		q.items = append(q.items[:i], q.items[i+1:]...)
		old.done <- false
		return
	}
	q.dropped.oldest++
	if i > 0 && q.items[i-1].kind == itemGap {
		before := &q.items[i-1]
		before.skipped, before.number = before.skipped+1, old.number
		q.items = append(q.items[:i], q.items[i+1:]...)
		return
	}
	q.items[i] = item{kind: itemGap, number: old.number, skipped: 1}
}

// gap notes at the end of the queue that the message at offset was dropped.
func (q *queue) gap(offset uint64) {
	if n := len(q.items); n > 0 && q.items[n-1].kind == itemGap {
		last := &q.items[n-1]
		last.skipped, last.number = last.skipped+1, offset
		return
	}
	q.items = append(q.items, item{kind: itemGap, number: offset, skipped: 1})
}
