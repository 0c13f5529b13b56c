package sidecar

import (
	"bytes"
	"errors"
	"io"
)

// Errors of messages that are not HTTP/1.1, with the status that the sender of a request gets.
type malformed struct {
	status int
	text   string
}

func (m *malformed) Error() string { return m.text }

func bad(text string) error { return &malformed{400, text} }

var errHeadTooLarge = &malformed{431, "the head is larger than MaxHeaderBytes"}

// A reader has a buffer that grows with its content: up to its limit for a head, and with the size
// of the reads for a body.
type reader struct {
	src  io.Reader
	buf  []byte
	r, w int
	most int // of a head
}

const (
	firstBuffer = 4 << 10
	bulkBuffer  = 32 << 10
)

func (b *reader) buffered() []byte { return b.buf[b.r:b.w] }

// fill reads the available data once. It fails with errHeadTooLarge if the buffer
// has no room.
func (b *reader) fill() error {
	if b.r == b.w {
		if b.w == len(b.buf) && len(b.buf) < bulkBuffer { // the last read filled it, or it is the first
			b.buf = make([]byte, min(max(2*len(b.buf), firstBuffer), bulkBuffer))
		}
		b.r, b.w = 0, 0
	}
	if b.w == len(b.buf) {
		if b.r > 0 {
			copy(b.buf, b.buf[b.r:b.w])
			b.r, b.w = 0, b.w-b.r
		} else if len(b.buf) >= max(b.most, bulkBuffer) {
			return errHeadTooLarge
		} else {
			b.buf = append(b.buf, make([]byte, min(len(b.buf), max(b.most, bulkBuffer)-len(b.buf)))...)
		}
	}
	k, err := b.src.Read(b.buf[b.w:])
	b.w += k
	if k > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// peek waits for a byte.
func (b *reader) peek() error {
	for b.r == b.w {
		if err := b.fill(); err != nil {
			return err
		}
	}
	return nil
}

// skipEmptyLines skips the empty lines before a request, which some clients send after a body (RFC
// 9112, section 2.2), as far as data is available.
func (b *reader) skipEmptyLines() error {
	for b.r < b.w && b.buf[b.r] == '\r' {
		for b.w-b.r < 2 {
			if err := b.fill(); err != nil {
				return err
			}
		}
		if b.buf[b.r+1] != '\n' {
			return nil
		}
		b.r += 2
	}
	return nil
}

var endOfHead = []byte("\r\n\r\n")

// head reads up to and including the empty line. The result is valid until the next read.
func (b *reader) head() ([]byte, error) {
	for seen := 0; ; { // seen is what has no end in it
		size, err := endOf(b.buffered(), &seen)
		if err != nil {
			return nil, err
		}
		if size > b.most || size == 0 && b.w-b.r > b.most {
			return nil, errHeadTooLarge
		}
		if size > 0 {
			b.r += size
			return b.buf[b.r-size : b.r], nil
		}
		if err := b.fill(); err != nil {
			if err == io.EOF && b.w > b.r {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// endOf returns the size of the head at the beginning of text, or 0 if it is incomplete; seen is
// then how much of it need not be scanned again.
func endOf(text []byte, seen *int) (size int, err error) {
	for {
		at := bytes.IndexByte(text[*seen:], '\n')
		if at < 0 {
			*seen = len(text)
			return 0, nil
		}
		at += *seen
		switch rest := text[at+1:]; {
		case at == 0 || text[at-1] != '\r':
			return 0, bad("a line ends without CR")
		case len(rest) >= 2 && rest[0] == '\r' && rest[1] == '\n':
			return at + 3, nil
		case len(rest) < 2:
			*seen = at
			return 0, nil
		}
		*seen = at + 1
	}
}

// line reads a line of at most most bytes, and returns it without its CR LF. The result is valid
// until the next read.
func (b *reader) line(most int) ([]byte, error) {
	for {
		if at := bytes.IndexByte(b.buffered(), '\n'); at >= 0 {
			line := b.buf[b.r : b.r+at]
			b.r += at + 1
			if at == 0 || line[at-1] != '\r' || at-1 > most {
				return nil, errChunk
			}
			return line[:at-1], nil
		}
		if b.w-b.r > most+1 {
			return nil, errChunk
		}
		if err := b.fill(); err != nil {
			return nil, cut(err)
		}
	}
}

var errChunk = bad("a chunk is malformed")

// cut returns the error for a truncated message.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
