package reqresp

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// The protocol of a connection of Serve. Both sides begin with the preface, and then send frames:
//
//	length of the payload, 4 bytes, big-endian
//	kind, 1 byte
//	number of the request, 8 bytes, big-endian
//	payload
//
// The client numbers its requests and never uses a number twice; the server answers each with its number, in any
// order. The payload of a request and of an answer is the length of its head in 4 bytes, its head in JSON, and its
// body; all others have none. A frame of a kind that is not known is an error: a new kind needs a new version, which is in
// the preface.
const preface = "squall reqresp 1\n"

const (
	frameRequest = 1 + iota // from the client
	frameAnswer             // from the server
	frameCancel             // from the client: nobody waits for the answer any more
	framePing               // from the client, and
	framePong               // the answer to it; both without a number
	frameGoAway             // from the server: send no more requests, and close the connection when all are answered
	frameKinds
)

const (
	frameHeader  = 13
	maxHeadBytes = 64 << 10 // of JSON
	maxBodyBytes = 1 << 30
)

type frame struct {
	kind    byte
	id      uint64
	payload []byte
	tooLong bool // it was skipped
}

// requestHead is what a request has besides its body. Key and timeout are headers.
type requestHead struct {
	Method string      `json:"method"`
	Path   string      `json:"path"`
	Header http.Header `json:"header,omitempty"`
}

// answerHead is what an answer has besides its body.
type answerHead struct {
	Status int         `json:"status"`
	Header http.Header `json:"header,omitempty"`
}

func (h requestHead) header() http.Header { return h.Header }
func (h answerHead) header() http.Header  { return h.Header }

// badHead is an error of a request that is whole, and whose head net/http would refuse with 400, or that cannot be had as it was sent.
type badHead struct{ error }

// tokenBytes are those of a token (RFC 9110, section 5.6.2).
const tokenBytes = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// checkHeader returns what is wrong with headers. JSON has no bytes that are not UTF-8: it would have others in their place.
func checkHeader(h http.Header) error {
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if name == "" || strings.Trim(name, tokenBytes) != "" {
			return fmt.Errorf("header name %.40q: want a token (RFC 9110, section 5.1)", name)
		}
		for _, value := range h[name] {
			if !utf8.ValidString(value) || strings.ContainsFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
				return fmt.Errorf("%s is %.40q: want UTF-8 without control characters", name, value)
			}
		}
	}
	return nil
}

func appendFrame(b []byte, kind byte, id uint64, payload []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	b = append(b, kind)
	b = binary.BigEndian.AppendUint64(b, id)
	return append(b, payload...)
}

// appendMessage appends a frame with a head and a body.
func appendMessage(b []byte, kind byte, id uint64, head interface{ header() http.Header }, body []byte) ([]byte, error) {
	if err := checkHeader(head.header()); err != nil {
		return nil, err
	}
	text, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	if len(text) > maxHeadBytes {
		return nil, tooLarge("head", maxHeadBytes)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(4+len(text)+len(body)))
	b = append(b, kind)
	b = binary.BigEndian.AppendUint64(b, id)
	b = binary.BigEndian.AppendUint32(b, uint32(len(text)))
	b = append(b, text...)
	return append(b, body...), nil
}

// readFrame reads a frame whose body should have at most maxBody bytes; the payload of a longer one is skipped. begun is
// called after its first byte. No more is allocated than has come.
func readFrame(r io.Reader, maxBody int, begun func()) (frame, error) {
	var h [frameHeader]byte
	if _, err := io.ReadFull(r, h[:1]); err != nil {
		return frame{}, err
	}
	begun()
	if _, err := io.ReadFull(r, h[1:]); err != nil {
		return frame{}, cutShort(err)
	}
	f := frame{kind: h[4], id: binary.BigEndian.Uint64(h[5:])}
	length := int64(binary.BigEndian.Uint32(h[:]))
	var most int64
	switch f.kind {
	case frameRequest, frameAnswer:
		most = 4 + maxHeadBytes + int64(maxBody)
	case 0, frameKinds:
		return frame{}, fmt.Errorf("frame of kind %d: want 1 to %d", f.kind, frameKinds-1)
	}
	if f.kind > frameKinds {
		return frame{}, fmt.Errorf("frame of kind %d: want 1 to %d", f.kind, frameKinds-1)
	}
	if length > most {
		if most == 0 {
			return frame{}, fmt.Errorf("frame of kind %d has %d bytes: want none", f.kind, length)
		}
		f.tooLong = true
		_, err := io.CopyN(io.Discard, r, length)
		return f, cutShort(err)
	}
	var err error
	if f.payload, err = io.ReadAll(io.LimitReader(r, length)); err != nil {
		return frame{}, err
	}
	if int64(len(f.payload)) < length {
		return frame{}, io.ErrUnexpectedEOF
	}
	return f, nil
}

func cutShort(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// split returns the head, into head, and the body of a payload.
func (f *frame) split(head any, maxBody int) ([]byte, error) {
	if f.tooLong {
		return nil, tooLarge("body", maxBody)
	}
	if len(f.payload) < 4 {
		return nil, errors.New("frame is too short for a head")
	}
	n := binary.BigEndian.Uint32(f.payload)
	if int64(n) > int64(len(f.payload)-4) || n > maxHeadBytes {
		return nil, fmt.Errorf("head of %d bytes: want at most %d, and what the frame has", n, maxHeadBytes)
	}
	if !utf8.Valid(f.payload[4 : 4+n]) {
		return nil, badHead{errors.New("head is not UTF-8")}
	}
	if err := json.Unmarshal(f.payload[4:4+n], head); err != nil {
		return nil, fmt.Errorf("head: %w", err)
	}
	body := f.payload[4+n:]
	if len(body) > maxBody {
		return nil, tooLarge("body", maxBody)
	}
	return body, nil
}

// request returns the request that a frame is, as one of HTTP, and its body.
func (f *frame) request(maxBody int) (*http.Request, []byte, error) {
	var head requestHead
	body, err := f.split(&head, maxBody)
	if err != nil {
		return nil, nil, err
	}
	if !strings.HasPrefix(head.Path, "/") {
		return nil, nil, badHead{fmt.Errorf("path is %.40q: want one that begins with a slash", head.Path)}
	}
	u, err := url.ParseRequestURI(head.Path)
	if err != nil {
		return nil, nil, badHead{fmt.Errorf("path is %.40q: %w", head.Path, errors.Unwrap(err))} // without the path, which may be long
	}
	if strings.Trim(head.Method, tokenBytes) != "" {
		return nil, nil, badHead{fmt.Errorf("method is %.40q: want a token (RFC 9110, section 9.1)", head.Method)}
	}
	r, err := http.NewRequest(head.Method, "/", nil)
	if err != nil {
		return nil, nil, err
	}
	if err := checkHeader(head.Header); err != nil {
		return nil, nil, badHead{err}
	}
	r.URL, r.RequestURI = u, head.Path
	add(r.Header, head.Header)
	return r, body, nil
}

// answer returns the answer that a frame is.
func (f *frame) answer(maxBody int) (*Response, error) {
	var head answerHead
	body, err := f.split(&head, maxBody)
	if err != nil {
		return nil, err
	}
	if head.Status < 200 || head.Status > 599 {
		return nil, fmt.Errorf("status is %d: want 200 to 599", head.Status)
	}
	header := http.Header{}
	add(header, head.Header)
	return &Response{Status: head.Status, Header: header, Body: body}, nil
}

// readPreface reads the other side's.
func readPreface(r io.Reader) error {
	var got [len(preface)]byte
	if _, err := io.ReadFull(r, got[:]); err != nil {
		return cutShort(err)
	}
	if string(got[:]) != preface {
		return fmt.Errorf("other side begins with %q: want %q", got, preface)
	}
	return nil
}
