package stream

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
)

// record is an event, a position, a reconnection time or, empty, a heartbeat: one
// line of newline-delimited JSON. A record with data is an event.
type record struct {
	ID    *string `json:"id,omitempty"`
	Type  string  `json:"event,omitempty"`
	Data  *string `json:"data,omitempty"`
	Retry *int64  `json:"retry,omitempty"` // milliseconds
}

// jsonEncoder writes records. See Encoder for its methods.
type jsonEncoder struct{ w io.Writer }

func (e jsonEncoder) write(r record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = e.w.Write(append(b, '\n'))
	return err
}

func (e jsonEncoder) Encode(ev Event) error {
	r := record{Type: ev.Type, Data: &ev.Data}
	if ev.ID != "" {
		r.ID = &ev.ID
	}
	return e.write(r)
}

func (e jsonEncoder) Position(id string) error { return e.write(record{ID: &id}) }

func (e jsonEncoder) Retry(d time.Duration) error {
	ms := d.Milliseconds()
	return e.write(record{Retry: &ms})
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
		if limit := cmp.Or(d.max, defaultMaxEvent); len(d.line)+len(part) > limit {
			return fmt.Errorf("%w, %d bytes", ErrTooLong, limit)
		}
		d.line = append(d.line, part...)
		if !ended {
			return nil
		}
		p = rest
		e, ok, err := d.take(bytes.TrimSpace(d.line))
		if d.line = d.line[:0]; cap(d.line) > 64<<10 {
			d.line = nil
		}
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
	if r.Retry != nil && *r.Retry >= 0 {
		d.hasRetry = true
		d.retry = time.Duration(min(*r.Retry, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
	}
	if r.ID != nil {
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
