package stream

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"strconv"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// Decoder parses a stream of Server-Sent Events (WHATWG HTML, section 9.2.6). It
// takes the stream's bytes in pieces of any size. The zero value is ready to use, for
// one stream.
//
// Only complete events are returned: an event whose blank line is missing when the
// stream ends is dropped.
type Decoder struct {
	// LastID is the last event ID string, as of the last blank line. Before the
	// first Feed, set it to the LastID of the previous stream, as browsers do.
	// Otherwise an event without an ID would reset the client's position.
	LastID string
	// MaxMessageBytes bounds the memory for one event, in bytes. Zero: 16 MiB. An ID has at most
	// 4,096 bytes, because it is kept, and because longer headers are not accepted everywhere.
	MaxMessageBytes int

	started  bool
	cr       bool   // the last byte was a CR: a LF next belongs to it
	line     []byte // the beginning of a line
	id       string // the buffers of the specification
	typ      string
	data     []byte // each line with its LF
	retry    time.Duration
	hasRetry bool
	err      error
}

const defaultMaxMessageBytes = 16 << 20

// tooLarge is the error of an event beyond MaxMessageBytes.
func tooLarge(limit int) error {
	return fmt.Errorf("stream: %w: more than %d bytes, the MaxMessageBytes", eventlog.ErrTooLarge, limit)
}

// maxIDBytes bounds an ID.
const maxIDBytes = 4 << 10

func checkIDSize(bytes int) error {
	if bytes > maxIDBytes {
		return fmt.Errorf("stream: %w: an ID of %d bytes, and an ID has at most %d", eventlog.ErrTooLarge, bytes, maxIDBytes)
	}
	return nil
}

// bom is U+FEFF in UTF-8. One is dropped at the beginning of a stream.
var bom = []byte("\xef\xbb\xbf")

// Feed parses the next bytes of the stream and calls yield with each event that they
// complete. It returns yield's first error, or [eventlog.ErrTooLarge]. After an error it
// returns the same error forever, because the bytes that follow are lost. It does not keep
// p.
func (d *Decoder) Feed(p []byte, yield func(Event) error) error {
	if d.err != nil {
		return d.err
	}
	if !d.started {
		d.id = d.LastID
	}
	if d.cr && len(p) > 0 {
		d.cr = false
		p = bytes.TrimPrefix(p, []byte{'\n'})
	}
	for len(p) > 0 {
		end := bytes.IndexAny(p, "\r\n")
		part := p
		if end >= 0 {
			part = p[:end]
		}
		if limit := cmp.Or(d.MaxMessageBytes, defaultMaxMessageBytes); len(d.typ)+len(d.data)+len(d.line)+len(part) > limit {
			d.err = tooLarge(limit)
			return d.err
		}
		if end < 0 {
			d.line = append(d.line, part...)
			return nil
		}
		line := part
		if len(d.line) > 0 {
			d.line = append(d.line, part...)
			line = d.line
		}
		isCR := p[end] == '\r'
		p = p[end+1:]
		if isCR {
			d.cr = len(p) == 0
			p = bytes.TrimPrefix(p, []byte{'\n'})
		}
		e, ok := d.take(line)
		d.line = emptied(d.line)
		if d.err != nil {
			return d.err
		}
		if !ok {
			continue
		}
		if d.err = yield(e); d.err != nil {
			return d.err
		}
	}
	return nil
}

// Events returns the events of r, which must deliver the stream from its first byte. An
// error comes last, with an empty event; the end of r is not an error. It panics if r is
// nil.
func (d *Decoder) Events(r io.Reader) iter.Seq2[Event, error] {
	if r == nil {
		panic("stream: Decoder.Events: r is nil: want a reader")
	}
	return func(yield func(Event, error) bool) {
		stopped := errors.New("stopped")
		buf := make([]byte, 4<<10)
		for {
			n, err := r.Read(buf)
			feedErr := d.Feed(buf[:n], func(e Event) error {
				if !yield(e, nil) {
					return stopped
				}
				return nil
			})
			switch {
			case feedErr == stopped:
				return
			case feedErr != nil:
				yield(Event{}, feedErr)
				return
			case err == io.EOF:
				return
			case err != nil:
				yield(Event{}, err)
				return
			}
		}
	}
}

// Retry returns the reconnection time that the stream set last, in whole milliseconds, and
// whether it set one. It is capped at a day, so that calculations with it cannot overflow.
func (d *Decoder) Retry() (time.Duration, bool) { return d.retry, d.hasRetry }

func (d *Decoder) lastID() string { return d.LastID }

// take interprets a whole line. It returns an event if the line completes one, and sets err.
func (d *Decoder) take(line []byte) (Event, bool) {
	if !d.started {
		d.started = true
		line = bytes.TrimPrefix(line, bom)
	}
	if len(line) == 0 {
		return d.dispatch()
	}
	name, value, _ := bytes.Cut(line, []byte{':'})
	value = bytes.TrimPrefix(value, []byte{' '})
	switch string(name) { // of a comment it is empty
	case "data":
		d.data = append(append(d.data, toUTF8(value)...), '\n')
	case "event":
		d.typ = string(toUTF8(value))
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			value = toUTF8(value)
			if d.err = checkIDSize(len(value)); d.err == nil {
				d.id = string(value)
			}
		}
	case "retry":
		d.setRetry(value)
	}
	return Event{}, false
}

func (d *Decoder) dispatch() (Event, bool) {
	d.LastID = d.id // also without data: an ID alone moves the position
	typ, data := d.typ, d.data
	d.typ = ""
	if len(data) == 0 {
		return Event{}, false
	}
	e := Event{ID: d.LastID, Type: typ, Data: string(data[:len(data)-1])}
	if typ == "" {
		e.Type = typeMessage
	}
	d.data = emptied(d.data)
	return e, true
}

// emptied returns b without its bytes, for use again: one large event or comment must not
// hold its memory for as long as the stream lasts.
func emptied(b []byte) []byte {
	if cap(b) > 64<<10 {
		return nil
	}
	return b[:0]
}

// setRetry reads milliseconds, of ASCII digits only.
func (d *Decoder) setRetry(value []byte) {
	for _, c := range value {
		if c < '0' || c > '9' {
			return
		}
	}
	if len(value) == 0 {
		return
	}
	ms, err := strconv.ParseUint(string(value), 10, 64)
	if err != nil { // too many digits
		ms = math.MaxUint64
	}
	d.retry, d.hasRetry = reconnectionTime(ms), true
}

// maxRetry bounds the reconnection time that a stream asks for.
const maxRetry = 24 * time.Hour

func reconnectionTime(ms uint64) time.Duration {
	return time.Duration(min(ms, uint64(maxRetry/time.Millisecond))) * time.Millisecond
}
