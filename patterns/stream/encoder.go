package stream

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/squall-sim/squall/patterns/internal/fields"
)

// Encoder writes a stream of Server-Sent Events. Each call makes one Write.
type Encoder struct {
	w io.Writer
	b []byte
}

// NewEncoder returns an Encoder that writes to w. It panics if w is nil.
func NewEncoder(w io.Writer) *Encoder {
	if w == nil {
		panic("stream: NewEncoder: w is nil: want a writer")
	}
	return &Encoder{w: w}
}

// Encode writes an event. It returns an error for an event that a [Decoder] would not
// return unchanged: with a line end in its ID or Type, a NUL in its ID, a CR in its
// Data, or bytes that are not UTF-8. An empty ID is not written and leaves the
// previous ID in force. An empty Type is not written and arrives as "message".
func (e *Encoder) Encode(ev Event) error {
	if err := checkID(ev.ID); err != nil {
		return err
	}
	if strings.ContainsAny(ev.Type, "\r\n") || !utf8.ValidString(ev.Type) {
		return fmt.Errorf("stream: Event.Type is %q: want UTF-8 without CR and LF", ev.Type)
	}
	if !isText(ev.Data) {
		return fmt.Errorf("stream: Event.Data of %q is not text: want UTF-8 without CR", ev.ID)
	}
	e.b = e.b[:0]
	if ev.ID != "" {
		e.field("id", ev.ID)
	}
	if ev.Type != "" {
		e.field("event", ev.Type)
	}
	for line := range strings.SplitSeq(ev.Data, "\n") {
		e.field("data", line)
	}
	return e.flush(true)
}

// Position writes an ID without an event: from now on the client resumes from it. An
// empty ID resets the client's position.
func (e *Encoder) Position(id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	e.b = e.b[:0]
	e.field("id", id)
	return e.flush(true)
}

// Retry writes the reconnection time, in whole milliseconds. At most 2^31-1 ms, 24.8 days: with a
// longer time browsers and other JavaScript clients reconnect at once.
func (e *Encoder) Retry(d time.Duration) error {
	if d < 0 || d > fields.LongestWait {
		return fmt.Errorf("stream: retry is %v: want 0 to %v", d, fields.LongestWait)
	}
	e.b = e.b[:0]
	e.field("retry", strconv.FormatInt(d.Milliseconds(), 10))
	return e.flush(false)
}

// Comment writes a line that clients ignore. An empty one makes a heartbeat of two
// bytes.
func (e *Encoder) Comment(text string) error {
	if strings.ContainsAny(text, "\r\n") {
		return errors.New("stream: comment has a line end: want one line")
	}
	e.b = append(append(e.b[:0], ':'), text...)
	e.b = append(e.b, '\n')
	return e.flush(false)
}

func (e *Encoder) field(name, value string) {
	e.b = append(e.b, name...)
	e.b = append(e.b, ": "...)
	e.b = append(e.b, value...)
	e.b = append(e.b, '\n')
}

// flush writes what was gathered, and the blank line that dispatches it.
func (e *Encoder) flush(dispatch bool) error {
	if dispatch {
		e.b = append(e.b, '\n')
	}
	_, err := e.w.Write(e.b)
	if cap(e.b) > 4<<10 {
		e.b = nil
	}
	return err
}

func checkID(id string) error {
	if strings.ContainsAny(id, "\r\n\x00") || !utf8.ValidString(id) {
		return fmt.Errorf("stream: ID is %q: want UTF-8 without CR, LF and NUL", id)
	}
	return checkIDSize(len(id))
}
