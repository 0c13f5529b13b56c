package push

import "time"

// mailboxes remember which messages with a TTL their clients have yet to
// acknowledge, so that their expiry can be counted: the log forgets an expired
// entry without asking whether anybody had it. The server's mutex guards them.
type mailboxes map[string]*mailbox

type mailbox struct {
	waiting []waiting // in the order of the offsets
	expired uint64    // since the client last connected
}

type waiting struct {
	offset  uint64
	expires time.Time
}

// add notes an entry of the log. tail is what the log still holds: entries
// before it are lost to the client for another reason, of which it is told.
func (m mailboxes) add(client string, offset uint64, expires time.Time, tail uint64) {
	b := m[client]
	if b == nil {
		b = new(mailbox)
		m[client] = b
	}
	if len(b.waiting) >= 64 && len(b.waiting) == cap(b.waiting) {
		b.acked(tail) // before it grows, so that the cost is spread
	}
	b.waiting = append(b.waiting, waiting{offset, expires})
}

// acked notes that the client needs nothing up to offset.
func (m mailboxes) acked(client string, offset uint64) {
	b := m[client]
	if b == nil {
		return
	}
	b.acked(offset)
	if len(b.waiting) == 0 && b.expired == 0 {
		delete(m, client)
	}
}

// lapsed notes that the messages expired while the client was connected, and
// were not sent to it.
func (m mailboxes) lapsed(client string, offsets []uint64) {
	if b := m[client]; b != nil {
		for _, offset := range offsets {
			b.remove(func(w waiting) bool { return w.offset == offset })
		}
	}
}

// expire counts what an absent client has missed by now.
func (m mailboxes) expire(client string, now time.Time) (n uint64) {
	b := m[client]
	if b == nil {
		return 0
	}
	n = b.remove(func(w waiting) bool { return !now.Before(w.expires) })
	b.expired += n
	return n
}

// connected returns how many messages expired since the last call. The mailbox
// goes if it holds nothing.
func (m mailboxes) connected(client string) uint64 {
	b := m[client]
	if b == nil {
		return 0
	}
	n := b.expired
	b.expired = 0
	if len(b.waiting) == 0 {
		delete(m, client)
	}
	return n
}

func (b *mailbox) acked(offset uint64) {
	b.remove(func(w waiting) bool { return w.offset <= offset })
}

func (b *mailbox) remove(goes func(waiting) bool) uint64 {
	kept := b.waiting[:0]
	for _, w := range b.waiting {
		if !goes(w) {
			kept = append(kept, w)
		}
	}
	n := len(b.waiting) - len(kept)
	b.waiting = kept
	return uint64(n)
}
