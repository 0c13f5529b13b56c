package push

import (
	"cmp"
	"container/heap"
	"container/list"
	"slices"
	"time"
)

// maxAbsent is the number of absent clients for which the server remembers only how many
// messages have expired.
const maxAbsent = 1 << 16

// mailboxes remember which messages with a TTL their clients have yet to acknowledge, so
// that their expiry can be counted: the log forgets an expired entry without asking whether
// anybody had it. They hold no message that the log has dropped, and beside those no more
// than maxAbsent numbers. The server's mutex guards them.
type mailboxes struct {
	of     map[string]*mailbox
	log    list.List // of all that is waiting, by offset, as the log drops it
	due    expiries  // the same by expiry, but for connected clients what has expired is out
	absent list.List // of the mailboxes in which nothing waits, the longest ago first
	max    int       // of absent
}

// mailbox is one client's.
type mailbox struct {
	client  string
	waiting []*waiting    // in the order of the offsets
	expired int64         // since the client last connected
	spot    *list.Element // among the absent, if nothing waits
}

type waiting struct {
	box     *mailbox
	offset  uint64
	expires time.Time
	spot    *list.Element // in log
	index   int           // in due; -1: not there
}

func newMailboxes() mailboxes {
	return mailboxes{of: make(map[string]*mailbox), max: maxAbsent}
}

// add notes an entry of the log.
func (m *mailboxes) add(client string, offset uint64, expires time.Time) {
	b := m.of[client]
	if b == nil {
		b = &mailbox{client: client}
		m.of[client] = b
	}
	if b.spot != nil {
		m.absent.Remove(b.spot)
		b.spot = nil
	}
	w := &waiting{box: b, offset: offset, expires: expires}
	w.spot = m.log.PushBack(w)
	heap.Push(&m.due, w)
	b.waiting = append(b.waiting, w)
}

// acked notes that the client needs nothing up to offset.
func (m *mailboxes) acked(client string, offset uint64) {
	b := m.of[client]
	for b != nil && len(b.waiting) > 0 && b.waiting[0].offset <= offset {
		m.remove(b.waiting[0])
	}
}

// lapsed notes that the messages expired while the client was connected, and were not sent
// to it.
func (m *mailboxes) lapsed(client string, offsets []uint64) {
	b := m.of[client]
	if b == nil {
		return
	}
	for _, offset := range offsets {
		if i, found := b.find(offset); found {
			m.remove(b.waiting[i])
		}
	}
}

// dropped records that the log keeps nothing up to offset. The client is notified of that
// loss in another way.
func (m *mailboxes) dropped(offset uint64) {
	for e := m.log.Front(); e != nil && e.Value.(*waiting).offset <= offset; e = m.log.Front() {
		m.remove(e.Value.(*waiting))
	}
}

// expire counts what absent clients have missed by now. For a connected one the session
// counts.
func (m *mailboxes) expire(now time.Time, connected func(client string) bool) (n int64) {
	for len(m.due) > 0 && !now.Before(m.due[0].expires) {
		w := m.due[0]
		if connected(w.box.client) {
			heap.Pop(&m.due)
			continue
		}
		w.box.expired++
		n++
		m.remove(w)
	}
	return n
}

// left notes that the client is no longer connected. What expired meanwhile and was not
// acknowledged counts from now on.
func (m *mailboxes) left(client string) {
	b := m.of[client]
	if b == nil {
		return
	}
	for _, w := range b.waiting {
		if w.index < 0 {
			heap.Push(&m.due, w)
		}
	}
}

// connected returns how many messages have expired since the last call, and how many of
// them were found out now.
func (m *mailboxes) connected(client string, now time.Time) (expired, found int64) {
	b := m.of[client]
	if b == nil {
		return 0, 0
	}
	for _, w := range slices.Clone(b.waiting) {
		if !now.Before(w.expires) {
			b.expired++
			found++
			m.remove(w)
		}
	}
	expired, b.expired = b.expired, 0
	m.rest(b)
	return expired, found
}

// remove takes a message out.
func (m *mailboxes) remove(w *waiting) {
	b := w.box
	m.log.Remove(w.spot)
	if w.index >= 0 {
		heap.Remove(&m.due, w.index)
	}
	if i, _ := b.find(w.offset); i == 0 {
		b.waiting[0] = nil
		b.waiting = b.waiting[1:]
	} else {
		b.waiting = slices.Delete(b.waiting, i, i+1)
	}
	m.rest(b)
}

func (b *mailbox) find(offset uint64) (int, bool) {
	return slices.BinarySearchFunc(b.waiting, offset, func(w *waiting, offset uint64) int {
		return cmp.Compare(w.offset, offset)
	})
}

// rest forgets a mailbox in which nothing waits and nothing has expired. A mailbox in
// which only the count of expired messages is left rests. If too many rest, it forgets
// the one that has rested the longest.
func (m *mailboxes) rest(b *mailbox) {
	switch {
	case len(b.waiting) > 0:
		return
	case b.expired == 0:
		if b.spot != nil {
			m.absent.Remove(b.spot)
		}
		delete(m.of, b.client)
		return
	case b.spot == nil:
		b.waiting = nil
		b.spot = m.absent.PushBack(b)
	}
	if m.absent.Len() > m.max {
		oldest := m.absent.Remove(m.absent.Front()).(*mailbox)
		delete(m.of, oldest.client)
	}
}

// expiries is a heap of messages, the next to expire first.
type expiries []*waiting

func (h expiries) Len() int           { return len(h) }
func (h expiries) Less(i, j int) bool { return h[i].expires.Before(h[j].expires) }

func (h expiries) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *expiries) Push(x any) {
	w := x.(*waiting)
	w.index = len(*h)
	*h = append(*h, w)
}

func (h *expiries) Pop() any {
	old := *h
	w := old[len(old)-1]
	old[len(old)-1] = nil
	w.index = -1
	*h = old[:len(old)-1]
	return w
}
