package sidecar

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Passed is a request as a replica gets it, of what a client sends, and how much of that it is; or an error for one that is refused.
func Passed(sent []byte) (request []byte, used int, err error) {
	c := &client{up: &Upstream{Name: "app"}, in: reader{src: bytes.NewReader(sent), most: 8 << 10}}
	if err := errors.Join(c.in.peek(), c.in.skipEmptyLines()); err != nil {
		return nil, 0, err
	}
	head, err := c.in.head()
	if err != nil {
		return nil, 0, err
	}
	if err := parseRequest(&c.m, head); err != nil {
		return nil, 0, err
	}
	alike(&c.m, true)
	target, host, err := originForm(&c.m)
	if err != nil {
		return nil, 0, err
	}
	out := c.appendHead(nil, target, host)
	out, err = passedBody(&c.in, out, c.m.length)
	return out, len(sent) - remaining(&c.in), err
}

// PassedAnswer is the same for an answer.
func PassedAnswer(sent []byte, isHead bool) (answer []byte, status int, err error) {
	u := &upconn{in: reader{src: bytes.NewReader(sent), most: 8 << 10}}
	head, err := u.in.head()
	if err != nil {
		return nil, 0, err
	}
	if err := parseAnswer(&u.m, head, isHead); err != nil {
		return nil, 0, err
	}
	alike(&u.m, u.m.length >= 0)
	out := appendStatus(nil, u.m.reason)
	out = u.m.passFields(out, u.m.length >= 0)
	if u.m.length == chunked {
		out = append(out, "Transfer-Encoding: chunked\r\n"...)
	}
	out = append(out, "\r\n"...)
	if u.m.length == untilClose {
		rest, _ := io.ReadAll(io.MultiReader(bytes.NewReader(u.in.buffered()), u.in.src))
		return append(out, rest...), u.m.status, nil
	}
	out, err = passedBody(&u.in, out, u.m.length)
	return out, u.m.status, err
}

// alike panics if the fields that go on in one piece are not those that go on line by line.
func alike(m *message, keepLength bool) {
	if got, want := m.passFields(nil, keepLength), m.passEach(nil, keepLength); !bytes.Equal(got, want) {
		panic(fmt.Sprintf("sidecar: %q goes on as %q in one piece, and as %q line by line", m.fields, got, want))
	}
}

func passedBody(in *reader, out []byte, length int64) ([]byte, error) {
	var body chunks
	for left := length; left != 0; {
		if left > 0 {
			if err := in.peek(); err != nil {
				return out, cut(err)
			}
			piece := in.buffered()
			piece = piece[:min(int64(len(piece)), left)]
			out = append(out, piece...)
			in.r += len(piece)
			left -= int64(len(piece))
			continue
		}
		piece, ended, err := body.next(in, nil)
		out = append(out, piece...)
		if err != nil || ended {
			return out, err
		}
	}
	return out, nil
}

func remaining(in *reader) int {
	rest, _ := io.Copy(io.Discard, in.src)
	return len(in.buffered()) + int(rest)
}

// Refused is the status for what is refused, or 0.
func Refused(err error) int {
	var wrong *malformed
	if errors.As(err, &wrong) {
		return wrong.status
	}
	return 0
}
