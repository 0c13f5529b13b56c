package pubsub

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// Message is a message to publish.
type Message struct {
	// Topic is one or more tokens joined by dots, at most 255 bytes.
	Topic string
	// Key orders messages within a group of subscribers: all messages with one key go
	// to one member. Messages without a key are spread over the members. At most 255
	// bytes.
	Key string
	// ID names the message for deduplication: of two messages with the same ID within
	// the broker's DedupeWindow, only the first is stored. Empty: the client generates
	// one for each call of Publish, and uses it for all attempts of that call. At most
	// 255 bytes.
	ID string
	// Headers are sent with the data. At most 255, in addition to those of a dead
	// letter.
	Headers map[string]string
	// TTL is how long the message is delivered. Then it disappears without a gap, as
	// its publisher wanted. Zero: as long as the log keeps it.
	TTL time.Duration
	// Data is the payload.
	Data []byte
}

// Receipt says where a message is stored. The message is as durable as the
// broker's log.
type Receipt struct {
	// Cursor is the position after the message.
	Cursor eventlog.Cursor
	// Duplicate says that the message had been stored before, at Cursor.
	Duplicate bool
}

// Headers of a dead letter. The dead letter also has the data, the key and the headers
// of the original message.
const (
	HeaderDeadTopic        = "dead-letter-topic"        // the topic under which it was published
	HeaderDeadCursor       = "dead-letter-cursor"       // the position after it
	HeaderDeadSubscription = "dead-letter-subscription" // the subscription that gave it up
	HeaderDeadAttempts     = "dead-letter-attempts"     // how often it was delivered
)

var deadHeaders = []string{HeaderDeadTopic, HeaderDeadCursor, HeaderDeadSubscription, HeaderDeadAttempts}

func isDeadHeader(name string) bool { return slices.Contains(deadHeaders, name) }

// maxHeaders bounds the headers of a message, of which a dead letter may have as many more
// as it has of its own.
const maxHeaders = 255

// check refuses a message that cannot be stored.
func (m *Message) check(maxBytes int) error {
	if err := checkTopic(m.Topic); err != nil {
		return badTopic(m.Topic, err)
	}
	headers := len(m.Headers)
	for _, name := range deadHeaders {
		if _, has := m.Headers[name]; has {
			headers--
		}
	}
	return checkSizes(len(m.Key), len(m.ID), headers, m.TTL, m.size(), maxBytes)
}

// size is what MaxMessageBytes bounds.
func (m *Message) size() int {
	size := len(m.Data)
	for name, value := range m.Headers {
		size += len(name) + len(value)
	}
	return size
}

func badTopic(topic string, err error) error {
	return fmt.Errorf("pubsub: publish: Message.Topic is %q: %w", topic, err)
}

// checkSizes refuses a message by its numbers: bytes of the key and the ID, headers but for
// those of a dead letter, and bytes of data and headers.
func checkSizes(key, id, headers int, ttl time.Duration, size, maxBytes int) error {
	switch {
	case key > maxTopicBytes || id > maxTopicBytes:
		return fmt.Errorf("pubsub: publish: Message.Key and ID are of %d and %d bytes: want at most %d", key, id, maxTopicBytes)
	case headers > maxHeaders:
		return fmt.Errorf("pubsub: publish: Message.Headers has %d elements: want at most %d", headers, maxHeaders)
	case ttl < 0:
		return fmt.Errorf("pubsub: publish: Message.TTL is %v: want 0 for no limit, or more", ttl)
	}
	return checkSize(size, maxBytes)
}

func checkSize(size, maxBytes int) error {
	if size > maxBytes {
		return fmt.Errorf("pubsub: publish: %w: Message.Data and Headers are %d bytes: want at most %d", eventlog.ErrTooLarge, size, maxBytes)
	}
	return nil
}

// encode returns the message without topic and TTL, as it stands in the log and on the
// wire: key, ID, headers in the order of their names, data; all but the data with
// their length before them.
func (m *Message) encode() []byte {
	return m.appendTo(make([]byte, 0, 16+len(m.Key)+len(m.ID)+4*len(m.Headers)+m.size()))
}

func (m *Message) appendTo(b []byte) []byte {
	b = appendText(appendText(b, m.Key), m.ID)
	b = binary.AppendUvarint(b, uint64(len(m.Headers)))
	if len(m.Headers) > 0 {
		for _, name := range slices.Sorted(maps.Keys(m.Headers)) {
			b = appendText(appendText(b, name), m.Headers[name])
		}
	}
	return append(b, m.Data...)
}

// decode is the inverse of encode. Data is part of b.
func (m *Message) decode(b []byte) error {
	d := decoder{b: b}
	m.Key, m.ID = d.text(), d.text()
	if n := d.number(uint64(maxHeaders + len(deadHeaders))); n > 0 {
		m.Headers = make(map[string]string, n)
		for ; n > 0 && d.err == nil; n-- {
			name := d.text()
			m.Headers[name] = d.text()
		}
	}
	m.Data = d.b
	return d.err
}

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// decoder takes values from the front of b. After an error all are zero.
type decoder struct {
	b   []byte
	err error
}

var errShort = errors.New("pubsub: a frame ends too early")

func (d *decoder) uvarint() uint64 {
	n, size := binary.Uvarint(d.b)
	if size <= 0 {
		d.b, d.err = nil, errShort
		return 0
	}
	d.b = d.b[size:]
	return n
}

var errRange = errors.New("pubsub: a number in a frame is out of range")

// number returns an integer that must not be above most.
func (d *decoder) number(most uint64) uint64 {
	n := d.uvarint()
	if n > most {
		d.b, d.err = nil, errRange
		return 0
	}
	return n
}

// attempt returns how often a message was delivered.
func (d *decoder) attempt() int { return int(d.number(math.MaxInt32)) }

func (d *decoder) text() string { return string(d.bytes()) }

// bytes returns a text as a part of what is decoded.
func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.b, d.err = nil, errShort
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}
