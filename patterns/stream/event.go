package stream

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// Event is one message of a stream, in the terms of Server-Sent Events. The other
// encodings carry the same fields.
type Event struct {
	// ID is the last event ID after the event: a client that has handled the event
	// resumes from it. [Server] writes the event's cursor. An event without an ID
	// leaves the previous ID in force.
	ID string
	// Type is the event's name. An event that arrived without one has the type
	// "message". [Server] writes the topic, see [Event.Topic].
	Type string
	// Data is text. [Server] encodes data that is not text in base64, see
	// [Event.Bytes].
	Data string
}

const (
	typeMessage = "message"
	typeReset   = "eventlog.reset"
	base64Mark  = ";base64"
)

// Topic returns the topic under which an event of a [Server] was published.
func (e Event) Topic() string {
	name := strings.TrimSuffix(e.Type, base64Mark)
	if name == typeMessage {
		return ""
	}
	if !strings.Contains(name, "%") {
		return name
	}
	b := make([]byte, 0, len(name))
	for i := 0; i < len(name); i++ {
		if name[i] == '%' && i+2 < len(name) {
			if n, err := strconv.ParseUint(name[i+1:i+3], 16, 8); err == nil {
				b = append(b, byte(n))
				i += 2
				continue
			}
		}
		b = append(b, name[i])
	}
	return string(b)
}

// Bytes returns the data with which an event of a [Server] was published.
func (e Event) Bytes() ([]byte, error) {
	if !strings.HasSuffix(e.Type, base64Mark) {
		return []byte(e.Data), nil
	}
	b, err := base64.StdEncoding.DecodeString(e.Data)
	if err != nil {
		return nil, fmt.Errorf("stream: event %q of type %q: %w", e.ID, e.Type, err)
	}
	return b, nil
}

// newEvent turns an entry of a log into the event that carries it.
func newEvent(epoch uint64, entry *eventlog.Entry) Event {
	e := Event{
		ID:   eventlog.Cursor{Epoch: epoch, Offset: entry.Offset}.String(),
		Type: escape(entry.Topic),
		Data: string(entry.Data),
	}
	if !isText(e.Data) {
		return e.inBase64()
	}
	return e
}

// inBase64 returns the event with its data encoded.
func (e Event) inBase64() Event {
	e.Type = cmp.Or(e.Type, typeMessage) + base64Mark
	e.Data = base64.StdEncoding.EncodeToString([]byte(e.Data))
	return e
}

// isText reports whether Server-Sent Events can carry s. A CR would arrive as a LF.
func isText(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\r") }

// escape makes an event's name of a topic: what cannot stand in a name, or has a
// meaning there, as a % and two hexadecimal digits.
func escape(topic string) string {
	if topic == typeMessage || topic == typeReset {
		return fmt.Sprintf("%%%02X%s", topic[0], topic[1:])
	}
	odd := func(r rune) bool { return r < ' ' || r == 0x7f || r == '%' || r == ';' || r == utf8.RuneError }
	if strings.IndexFunc(topic, odd) < 0 {
		return topic
	}
	var b strings.Builder
	for i, r := range topic {
		if odd(r) {
			fmt.Fprintf(&b, "%%%02X", topic[i])
			if r == utf8.RuneError && strings.HasPrefix(topic[i:], "\ufffd") {
				b.WriteString("%BF%BD") // U+FFFD itself
			}
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Reset says that a server could not continue from a client's position. Events may
// be missing before the next one, and any state built from events must be rebuilt.
type Reset struct {
	// Reason is why.
	Reason eventlog.Reason
	// ID is the position that reading continues from.
	ID string
	// Snapshot is the state at ID, from [Server].Snapshot. An event can be in it and
	// arrive again, but none is missing. Nil: the server has none, and the stream
	// continues with the oldest event in the log.
	Snapshot []byte
}

// ErrReset is returned by Run for a reset when there is no OnReset.
var ErrReset = errors.New("stream: events may be missing, and there is no OnReset")

// resetData is a Reset as the data of an event.
type resetData struct {
	Reason   eventlog.Reason `json:"reason"`
	Snapshot []byte          `json:"snapshot,omitempty"`
}

func (r Reset) event() (Event, error) {
	data, err := json.Marshal(resetData{r.Reason, r.Snapshot})
	return Event{ID: r.ID, Type: typeReset, Data: string(data)}, err
}

func parseReset(e Event) (Reset, error) {
	var d resetData
	if err := json.Unmarshal([]byte(e.Data), &d); err != nil {
		return Reset{}, fmt.Errorf("stream: reset %q: %w", e.ID, err)
	}
	return Reset{Reason: d.Reason, ID: e.ID, Snapshot: d.Snapshot}, nil
}
