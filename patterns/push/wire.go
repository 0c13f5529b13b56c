package push

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/coder/websocket"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/wsframe"
)

// The first byte of a binary frame.
const (
	kindEvent    = 1 // an entry of the log; number is its offset
	kindNow      = 2 // a message with TTL Now; number is its delivery id
	kindSnapshot = 3 // the state at hello's cursor; number is zero
)

// frame is a binary frame, server to client:
//
//	kind (1 byte) | number (uvarint) | expires (uvarint) | len(topic) (uvarint) | topic | data
//
// It holds nothing that depends on the session, so that one encoding serves all
// the clients of a topic.
type frame struct {
	kind    byte
	number  uint64
	expires time.Time // zero: never
	topic   string    // empty: the client's own mailbox
	data    []byte
}

func (f *frame) encode() []byte {
	return f.append(make([]byte, 0, f.headerBound()+len(f.data)))
}

// pack returns the frame as the bytes of a connection, and its size without the
// WebSocket's header.
func (f *frame) pack() (packed []byte, size int) {
	b := f.append(make([]byte, wsframe.MaxHeader, wsframe.MaxHeader+f.headerBound()+len(f.data)))
	size = len(b) - wsframe.MaxHeader
	var header [wsframe.MaxHeader]byte
	n := copy(header[:], wsframe.AppendHeader(header[:0], websocket.MessageBinary, size))
	packed = b[wsframe.MaxHeader-n:]
	copy(packed, header[:n])
	return packed, size
}

func (f *frame) append(b []byte) []byte {
	b = append(b, f.kind)
	b = binary.AppendUvarint(b, f.number)
	b = binary.AppendUvarint(b, toMicros(f.expires))
	b = binary.AppendUvarint(b, uint64(len(f.topic)))
	b = append(b, f.topic...)
	return append(b, f.data...)
}

// headerBound is at least the length of all but the data.
func (f *frame) headerBound() int { return 1 + 3*binary.MaxVarintLen64 + len(f.topic) }

// decodeFrame reads what encode writes. The data is part of b.
func decodeFrame(b []byte) (frame, error) {
	if len(b) == 0 {
		return frame{}, fmt.Errorf("push: empty binary frame")
	}
	f := frame{kind: b[0]}
	if f.kind < kindEvent || f.kind > kindSnapshot {
		return frame{}, fmt.Errorf("push: binary frame of kind %d, want %d to %d", f.kind, kindEvent, kindSnapshot)
	}
	rest := b[1:]
	var expires, topic uint64
	for _, field := range []struct {
		name string
		into *uint64
	}{{"number", &f.number}, {"expires", &expires}, {"length of topic", &topic}} {
		v, n := binary.Uvarint(rest)
		if n <= 0 {
			return f, fmt.Errorf("push: binary frame of %d bytes: bad %s", len(b), field.name)
		}
		*field.into, rest = v, rest[n:]
	}
	if topic > uint64(len(rest)) {
		return f, fmt.Errorf("push: binary frame of %d bytes: topic of %d bytes", len(b), topic)
	}
	if topic > maxTopicBytes {
		return f, fmt.Errorf("push: binary frame: topic of %d bytes, want at most %d", topic, maxTopicBytes)
	}
	if expires > maxMicros {
		return f, fmt.Errorf("push: binary frame: expires at %d us, want at most %d", expires, uint64(maxMicros))
	}
	f.expires = fromMicros(expires)
	f.topic, f.data = string(rest[:topic]), rest[topic:]
	return f, nil
}

// maxMicros is the end of the year 9999.
const maxMicros = 253_402_300_799_999_999

// toMicros rounds down: a message may die a microsecond early, never late. What lies beyond
// maxMicros is never, and what lies before 1970 is long past.
func toMicros(t time.Time) uint64 {
	if t.IsZero() || t.Unix() > maxMicros/1_000_000 {
		return 0
	}
	return uint64(max(t.UnixMicro(), 1))
}

func fromMicros(us uint64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(us))
}

// The types of control messages: text frames with one JSON object each.
const (
	typeHello    = "hello"    // server: the first frame of a session
	typePosition = "position" // server: nothing for this client up to Offset
	typeGap      = "gap"      // server: Skipped messages up to Offset were dropped
	typeAck      = "ack"      // client: all events up to Offset are handled
	typeGot      = "got"      // client: the TTL Now message ID is handled
)

// protocolVersion is the version of the protocol: a client says in the query of its
// request up to which it knows it, and a server in its hello which it speaks. Both may be
// absent, as they were before there was a number, which is the same as 1.
const protocolVersion = 1

// control is a text frame, in either direction. Its fields, those of hello and the layout
// of frame are the protocol: an addition must be harmless to those that ignore it, or
// raise protocolVersion.
type control struct {
	Type    string `json:"type"`
	Offset  uint64 `json:"offset,omitempty"`
	ID      uint64 `json:"id,omitempty"`
	Skipped int64  `json:"skipped,omitempty"`
	Hello   *hello `json:"hello,omitempty"`
}

// hello opens a session.
type hello struct {
	// Version is that of the protocol.
	Version int `json:"version,omitempty"`
	// Cursor is where the events that follow begin.
	Cursor eventlog.Cursor `json:"cursor"`
	// Reset is empty if Cursor is the one the client asked with, else why not.
	Reset eventlog.Reason `json:"reset,omitempty"`
	// Snapshot says that a snapshot frame follows.
	Snapshot bool `json:"snapshot,omitempty"`
	// Expired counts mailbox messages that expired since the client was last here.
	Expired int64 `json:"expired,omitempty"`
	// Now is the server's clock. It and all durations are in microseconds.
	Now uint64 `json:"now_us"`
	// Silence for longer than the sum of these two means the server is gone.
	PingInterval int64 `json:"ping_interval_us"`
	PingTimeout  int64 `json:"ping_timeout_us"`
	// Window is how many events, and bytes of their frames, the server sends
	// ahead of the client's acks.
	Window      int `json:"window"`
	WindowBytes int `json:"window_bytes"`
	// Spread is the time over which reconnects should be spread. Absent: no hint.
	Spread *int64 `json:"spread_us,omitempty"`
}

func (c *control) encode() []byte {
	b, err := json.Marshal(c)
	if err != nil {
		panic("push: control message: " + err.Error()) // plain fields only
	}
	return b
}

// pack returns the message as the bytes of a connection.
func (c *control) pack() []byte { return wsframe.Append(nil, websocket.MessageText, c.encode()) }

func decodeControl(b []byte) (control, error) {
	var c control
	if err := json.Unmarshal(b, &c); err != nil {
		return control{}, fmt.Errorf("push: control message: %w", err)
	}
	if (c.Type == typeHello) != (c.Hello != nil) {
		return control{}, fmt.Errorf("push: control message %q does not have the fields of its type", b)
	}
	if c.Type == typeGap && (c.Skipped < 1 || c.Skipped > maxCount) {
		return control{}, fmt.Errorf("push: gap: skipped is %d: want 1 to %d", c.Skipped, int64(maxCount))
	}
	return c, nil
}

// The bounds of the numbers in a hello. A server cannot be set up beyond them.
const (
	maxWindow      = 1 << 16
	maxWindowBytes = 64 << 20
	maxTime        = 1000 * time.Hour
	maxCount       = 1 << 53 // of messages: the largest number that every reader of JSON takes
)

// check refuses a hello with a number that its reader could not keep to.
func (h *hello) check() error {
	if h.Version < 0 || h.Version > protocolVersion {
		return fmt.Errorf("push: hello: the server speaks version %d of the protocol: want at most %d", h.Version, protocolVersion)
	}
	var spread int64
	if h.Spread != nil {
		spread = *h.Spread
	}
	for _, f := range []struct {
		name            string
		value, min, max int64
	}{
		{"ping_interval_us", h.PingInterval, 1, maxTime.Microseconds()},
		{"ping_timeout_us", h.PingTimeout, 1, maxTime.Microseconds()},
		{"window", int64(h.Window), 1, maxWindow},
		{"window_bytes", int64(h.WindowBytes), 1, maxWindowBytes},
		{"spread_us", spread, 0, maxTime.Microseconds()},
		{"now_us", int64(min(h.Now, math.MaxInt64)), 0, maxMicros},
		{"expired", h.Expired, 0, maxCount},
	} {
		if f.value < f.min || f.value > f.max {
			return fmt.Errorf("push: hello: %s is %d: want %d to %d", f.name, f.value, f.min, f.max)
		}
	}
	switch h.Reset {
	case "", ReasonNew, eventlog.ReasonWrongEpoch, eventlog.ReasonCompacted, eventlog.ReasonFuture:
	default:
		return fmt.Errorf("push: hello: reset is %q: want no reset, %q, %q, %q or %q",
			h.Reset, ReasonNew, eventlog.ReasonWrongEpoch, eventlog.ReasonCompacted, eventlog.ReasonFuture)
	}
	if h.Snapshot && h.Reset == "" {
		return errors.New("push: hello: a snapshot without a reset")
	}
	return nil
}
