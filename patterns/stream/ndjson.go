package stream

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// record is an event, a position, a reconnection time or, empty, a heartbeat: one
// line of newline-delimited JSON. A record with data is an event.
type record struct {
	ID    *string     `json:"id,omitempty"`
	Type  string      `json:"event,omitempty"`
	Data  *string     `json:"data,omitempty"`
	Retry json.Number `json:"retry,omitempty"` // milliseconds
}

// milliseconds returns Retry if it is what Server-Sent Events would take: digits, however
// many.
func (r *record) milliseconds() (ms uint64, ok bool) {
	ms, err := strconv.ParseUint(string(r.Retry), 10, 64)
	return ms, err == nil || errors.Is(err, strconv.ErrRange) // then ms is the largest
}

// jsonEncoder writes records. See Encoder for its methods.
type jsonEncoder struct{ w io.Writer }

func (e jsonEncoder) write(r record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return e.line(b)
}

func (e jsonEncoder) line(b []byte) error {
	_, err := e.w.Write(append(b, '\n'))
	return err
}

// escapedInFull is how much data, in bytes, is always sent as text if it is text: JSON may need six
// bytes for one. More goes in base64 where that is shorter, so that an event of the largest size is
// within what clients take.
const escapedInFull = 1 << 20

func (e jsonEncoder) Encode(ev Event) error {
	r := record{Type: ev.Type, Data: &ev.Data}
	if ev.ID != "" {
		r.ID = &ev.ID
	}
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if len(ev.Data) > escapedInFull && len(b) > base64.StdEncoding.EncodedLen(len(ev.Data)) && !strings.HasSuffix(ev.Type, base64Mark) {
		return e.Encode(ev.inBase64())
	}
	return e.line(b)
}

func (e jsonEncoder) Position(id string) error { return e.write(record{ID: &id}) }

func (e jsonEncoder) Retry(d time.Duration) error {
	return e.write(record{Retry: json.Number(strconv.FormatInt(d.Milliseconds(), 10))})
}

// Comment writes what a reader of records ignores: an empty one, after as many blanks
// as the text is long.
func (e jsonEncoder) Comment(text string) error {
	_, err := io.WriteString(e.w, strings.Repeat(" ", len(text))+"{}\n")
	return err
}

// jsonDecoder is to records what Decoder is to Server-Sent Events.
type jsonDecoder struct {
	id       string
	max      int // bytes of a record
	line     []byte
	retry    time.Duration
	hasRetry bool
}

func (d *jsonDecoder) lastID() string { return d.id }

func (d *jsonDecoder) Retry() (time.Duration, bool) { return d.retry, d.hasRetry }

func (d *jsonDecoder) Feed(p []byte, yield func(Event) error) error {
	for len(p) > 0 {
		part, rest, ended := bytes.Cut(p, []byte{'\n'})
		if limit := cmp.Or(d.max, defaultMaxMessageBytes); len(d.line)+len(part) > limit {
			return tooLarge(limit)
		}
		d.line = append(d.line, part...)
		if !ended {
			return nil
		}
		p = rest
		e, ok, err := d.take(bytes.TrimSpace(d.line))
		d.line = emptied(d.line)
		if err != nil {
			return err
		}
		if ok {
			if err := yield(e); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *jsonDecoder) take(line []byte) (Event, bool, error) {
	if len(line) == 0 {
		return Event{}, false, nil
	}
	var r record
	if err := json.Unmarshal(line, &r); err != nil {
		return Event{}, false, fmt.Errorf("stream: record of %d bytes: %w", len(line), err)
	}
	if ms, ok := r.milliseconds(); ok {
		d.retry, d.hasRetry = reconnectionTime(ms), true
	}
	if r.ID != nil {
		if err := checkIDSize(len(*r.ID)); err != nil {
			return Event{}, false, err
		}
		d.id = *r.ID
	}
	if r.Data == nil {
		return Event{}, false, nil
	}
	if r.Type == "" {
		r.Type = typeMessage
	}
	return Event{ID: d.id, Type: r.Type, Data: *r.Data}, true, nil
}
