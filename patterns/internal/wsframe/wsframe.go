// Package wsframe writes the data frames of a WebSocket server, bypassing the library that
// does the rest (github.com/coder/websocket): the handshake, all reading, and the control
// frames.
//
// A server's frames are not masked (RFC 6455, section 5.1), so a message has the same bytes
// for every client. The library encodes and copies it for each client. Here it is encoded
// once and written to the connections unchanged, together with other messages that are due.
//
// The package sits between the library and its connection. It relies on two facts: the
// library flushes each control frame with one Write, because its buffer is large enough; and
// without compression, which is never negotiated, frames are independent of each other. A
// lock around whole frames is therefore enough.
package wsframe

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"
)

// Conn is the server's end of a WebSocket. Its methods, and those of the embedded Conn, may
// be called concurrently. Do not use the embedded Conn's Write and Writer.
type Conn struct {
	*websocket.Conn
	wire *wire
}

// Accept upgrades a request, see [websocket.Accept]. The ResponseWriter can be wrapped if it
// has an Unwrap method. If Accept fails, it has answered the request. The options'
// CompressionMode must be disabled, which is the default.
func Accept(w http.ResponseWriter, r *http.Request, opts *websocket.AcceptOptions) (*Conn, error) {
	if opts != nil && opts.CompressionMode != websocket.CompressionDisabled {
		panic(fmt.Sprintf("wsframe: AcceptOptions.CompressionMode is %v: want it disabled", opts.CompressionMode))
	}
	h := &hijacker{ResponseWriter: w}
	conn, err := websocket.Accept(h, r, opts)
	if err != nil {
		return nil, err
	}
	return &Conn{conn, h.wire}, nil
}

// Send writes whole frames, made by [Append], within the timeout. It returns net.ErrClosed
// after a close frame was written. After any other error the connection is unusable,
// because part of a frame may have been written.
func (c *Conn) Send(frames []byte, timeout time.Duration) error {
	_, err := c.wire.send(frames, timeout)
	return err
}

// SendMessage writes a message in fragments of at most most bytes of data, each within the
// timeout. A large message to a slow client can therefore take as long as it needs, and
// pongs are sent between the fragments. The errors are those of Send.
func (c *Conn) SendMessage(typ websocket.MessageType, message []byte, most int, timeout time.Duration) error {
	head := byte(typ)
	for {
		n := min(len(message), most)
		if n == len(message) {
			head |= final
		}
		fragment := append(appendHeader(make([]byte, 0, MaxHeader+n), head, n), message[:n]...)
		if err := c.Send(fragment, timeout); err != nil || head&final != 0 {
			return err
		}
		head, message = opContinuation, message[n:]
	}
}

// Ping writes a ping within the timeout, and returns when it is written; the answer calls
// OnPongReceived. The library's own Ping closes the connection if it cannot write the ping
// within 5 s. This one returns nil if it has written none of it, because other writes took
// all the time or the connection accepted nothing: a client that is slow to read is not
// dead. The errors are those of Send.
func (c *Conn) Ping(payload string, timeout time.Duration) error {
	n, err := c.wire.send(append([]byte{final | opPing, byte(len(payload))}, payload...), timeout)
	if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

// Cut closes the underlying connection at once, even during a close handshake.
func (c *Conn) Cut() { c.wire.Conn.Close() }

// MaxHeader is the most bytes that Append adds to a message.
const MaxHeader = 10

// Append appends a message as a server's frame (RFC 6455, section 5.2).
func Append(b []byte, typ websocket.MessageType, message []byte) []byte {
	return append(AppendHeader(b, typ, len(message)), message...)
}

// AppendHeader appends the header of a frame that carries a whole message of the given
// length.
func AppendHeader(b []byte, typ websocket.MessageType, length int) []byte {
	return appendHeader(b, final|byte(typ), length)
}

func appendHeader(b []byte, head byte, length int) []byte {
	b = append(b, head)
	switch {
	case length < 126:
		return append(b, byte(length))
	case length < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, 126), uint16(length))
	}
	return binary.BigEndian.AppendUint64(append(b, 127), uint64(length))
}

const (
	final          = 0x80
	opContinuation = 0
	opClose        = 8
	opPing         = 9
)

// hijacker hands the library a connection and a buffer that write to a wire.
type hijacker struct {
	http.ResponseWriter
	wire *wire
}

// maxControl is the largest control frame of a server (RFC 6455, section 5.5).
const maxControl = 2 + 125

func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.wire = &wire{Conn: conn, writing: make(chan struct{}, 1)}
	return h.wire, bufio.NewReadWriter(rw.Reader, bufio.NewWriterSize(h.wire, maxControl)), nil
}

// wire is the connection.
type wire struct {
	net.Conn
	// writing is a lock made of a channel: a write may take long, and in a synctest bubble
	// one who waits for a mutex stops the clock.
	writing chan struct{}
	closing bool // a close frame was written
	limited bool // there is a write deadline
}

// Write writes a control frame of the library, which bounds the time itself, by closing the
// connection.
func (w *wire) Write(frame []byte) (int, error) {
	if len(frame) < 2 || len(frame) != 2+int(frame[1]) || len(frame) > maxControl {
		return 0, fmt.Errorf("wsframe: the library wrote %d bytes that are not one control frame", len(frame))
	}
	w.writing <- struct{}{}
	defer func() { <-w.writing }()
	if w.limited {
		w.limited = false
		if err := w.SetWriteDeadline(time.Time{}); err != nil {
			return 0, err
		}
	}
	written := len(frame)
	if frame[0] == final|opClose {
		w.closing = true
		if len(frame) > 4 && !utf8.Valid(frame[4:]) {
			// The library echoes what the client closed with. That it was not UTF-8 is
			// 1007 (RFC 6455, sections 5.5.1 and 8.1).
			frame = binary.BigEndian.AppendUint16([]byte{final | opClose, 2}, uint16(websocket.StatusInvalidFramePayloadData))
		}
	}
	if _, err := w.Conn.Write(frame); err != nil {
		return 0, err
	}
	return written, nil
}

func (w *wire) send(frames []byte, timeout time.Duration) (int, error) {
	deadline := time.Now().Add(timeout)
	select {
	case w.writing <- struct{}{}:
	default:
		late := time.NewTimer(timeout)
		defer late.Stop()
		select {
		case w.writing <- struct{}{}:
		case <-late.C:
			return 0, os.ErrDeadlineExceeded
		}
	}
	defer func() { <-w.writing }()
	if w.closing {
		return 0, net.ErrClosed
	}
	w.limited = true
	if err := w.SetWriteDeadline(deadline); err != nil {
		return 0, err
	}
	return w.Conn.Write(frames)
}
