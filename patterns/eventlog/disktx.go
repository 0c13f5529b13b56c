package eventlog

import (
	"encoding/binary"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// The file has two buckets: the entries by offset, and the state under one key,
// rewritten by every transaction. All integers are big-endian, so that keys sort
// as numbers do.
var (
	entriesBucket = []byte("entries")
	metaBucket    = []byte("meta")
	stateKey      = []byte("state")
)

// format is the first byte of the state; it changes when the file's layout does.
const format = 1

// state is what a log knows besides its entries.
type state struct {
	epoch   uint64
	head    uint64 // offset of the newest entry ever appended
	floor   uint64 // offset of the newest entry that was dropped unexpired
	entries uint64
	bytes   uint64
}

func (s state) at(offset uint64) Cursor { return Cursor{Epoch: s.epoch, Offset: offset} }

func (s state) encode() []byte {
	b := []byte{format}
	for _, n := range []uint64{s.epoch, s.head, s.floor, s.entries, s.bytes} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return b
}

func (s *state) decode(b []byte) error {
	switch {
	case len(b) > 0 && b[0] != format:
		return fmt.Errorf("it is of format %d: want %d, the only one that this version reads", b[0], format)
	case len(b) != 1+5*8:
		return fmt.Errorf("its state has %d bytes: want %d", len(b), 1+5*8)
	}
	for i, n := range []*uint64{&s.epoch, &s.head, &s.floor, &s.entries, &s.bytes} {
		*n = binary.BigEndian.Uint64(b[1+8*i:])
	}
	return nil
}

// diskTx is one write transaction of a Disk.
type diskTx struct {
	entries *bbolt.Bucket
	state   state
	stats   Stats
}

// put adds the entry after the newest.
func (t *diskTx) put(e *Entry) error {
	t.state.head++
	e.Offset = t.state.head
	t.state.entries++
	t.state.bytes += uint64(e.size())
	t.stats.Appended++
	return t.entries.Put(offsetKey(e.Offset), encodeEntry(e))
}

// trim drops from the tail what has expired or exceeds the bounds.
func (t *diskTx) trim(o Options, now time.Time) error {
	return t.drop(func(e *Entry) bool {
		switch {
		case e.expired(now):
			t.stats.Expired++
		case o.exceeded(int64(t.state.entries), int64(t.state.bytes), e.Time, now):
			t.stats.Compacted++
			t.state.floor = e.Offset
		default:
			return false
		}
		return true
	})
}

// compact drops the entries up to offset.
func (t *diskTx) compact(offset uint64) error {
	t.state.floor = max(t.state.floor, offset)
	return t.drop(func(e *Entry) bool {
		if e.Offset > offset {
			return false
		}
		t.stats.Compacted++
		return true
	})
}

// drop removes entries from the tail while goes says so.
func (t *diskTx) drop(goes func(*Entry) bool) error {
	for last := uint64(0); ; {
		// A new cursor each time: one that has deleted may skip its next key.
		cursor := t.entries.Cursor()
		k, v := cursor.First()
		if k == nil {
			return nil
		}
		e, err := decodeEntry(k, v)
		if err != nil || !goes(&e) {
			return err
		}
		if e.Offset <= last { // it is not where bbolt looks for it, and stays forever
			return fmt.Errorf("entry % x is out of order: it comes after entry %d", k, last)
		}
		last = e.Offset
		t.state.entries--
		t.state.bytes -= uint64(e.size())
		if err := cursor.Delete(); err != nil {
			return err
		}
	}
}

func offsetKey(offset uint64) []byte { return binary.BigEndian.AppendUint64(nil, offset) }

// An entry's value is both times as seconds and nanoseconds, which hold every
// time.Time, the length of the topic, the topic, the data.
const entryHeader = 2*(8+4) + 4

func encodeEntry(e *Entry) []byte {
	b := make([]byte, 0, entryHeader+e.size())
	for _, t := range []time.Time{e.Time, e.Expires} {
		b = binary.BigEndian.AppendUint64(b, uint64(t.Unix()))
		b = binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond()))
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(e.Topic)))
	b = append(b, e.Topic...)
	return append(b, e.Data...)
}

// decodeTopic returns the topic of an entry, which is part of v.
func decodeTopic(k, v []byte) ([]byte, error) {
	if len(k) != 8 || len(v) < entryHeader {
		return nil, fmt.Errorf("entry % x: %d bytes are no entry", k, len(v))
	}
	topic := int(binary.BigEndian.Uint32(v[entryHeader-4:]))
	if topic > len(v)-entryHeader {
		return nil, fmt.Errorf("entry % x: a topic of %d bytes does not fit into %d", k, topic, len(v))
	}
	return v[entryHeader : entryHeader+topic], nil
}

// decodeEntry returns an entry whose Data is part of v.
func decodeEntry(k, v []byte) (Entry, error) {
	topic, err := decodeTopic(k, v)
	if err != nil {
		return Entry{}, err
	}
	decodeTime := func(b []byte) time.Time {
		return time.Unix(int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint32(b[8:]))).UTC()
	}
	return Entry{
		Offset:  binary.BigEndian.Uint64(k),
		Time:    decodeTime(v),
		Expires: decodeTime(v[12:]),
		Topic:   string(topic),
		Data:    v[entryHeader+len(topic):],
	}, nil
}
