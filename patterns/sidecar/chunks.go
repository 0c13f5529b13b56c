package sidecar

import (
	"bytes"
	"strconv"
)

// trailer reads the trailers behind the last chunk, which end with an empty line, and appends them to out with it.
func trailer(in *reader, out []byte) ([]byte, error) {
	for size := 0; ; {
		line, err := in.line(in.most)
		if err != nil {
			return out, err
		}
		if size += len(line) + 2; size > in.most {
			return out, errHeadTooLarge
		}
		if len(line) == 0 {
			return append(out, "\r\n"...), nil
		}
		colon := bytes.IndexByte(line, ':')
		if colon < 1 || !isToken(line[:colon]) || bytes.ContainsAny(line, "\x00\r") {
			return out, bad("a trailer is malformed")
		}
		switch known(line[:colon]) {
		case fieldHost, fieldLength, fieldCoding, fieldConnection, fieldHop, fieldTE, fieldKey, fieldExpect, fieldUpgrade:
			return out, bad("a field that must not be a trailer is one")
		}
		out = append(out, line...)
		out = append(out, "\r\n"...)
	}
}

// A chunks reads a chunked body piece by piece, as it comes.
type chunks struct {
	left  int64 // of the chunk
	inOne bool
	bare  bool // what is passed on has no chunks, and no trailers
}

// maxChunkLine bounds the line of a chunk's size, with its extensions, which nobody uses.
const maxChunkLine = 256

// next appends to out what can be had without waiting, at least a byte, as chunks of its own, and reports whether the
// body has ended; then the trailers are in out too.
func (c *chunks) next(in *reader, out []byte) (_ []byte, ended bool, err error) {
	for waited := false; ; {
		if in.r == in.w {
			if waited && len(out) > 0 {
				return out, false, nil
			}
			if err := in.peek(); err != nil {
				return out, false, cut(err)
			}
		}
		waited = true
		if c.left > 0 {
			piece := in.buffered()
			piece = piece[:min(int64(len(piece)), c.left)]
			if c.bare {
				out = append(out, piece...)
			} else {
				out = strconv.AppendInt(out, int64(len(piece)), 16)
				out = append(append(append(out, "\r\n"...), piece...), "\r\n"...)
			}
			in.r += len(piece)
			c.left -= int64(len(piece))
			continue
		}
		if len(out) > 0 && !bytes.Contains(in.buffered(), []byte("\n")) && len(in.buffered()) < maxChunkLine {
			return out, false, nil // what there is goes on first
		}
		if len(out) > 0 && !c.inOne && in.buf[in.r] == '0' && !bytes.Contains(in.buffered(), endOfHead) {
			return out, false, nil // likewise, before trailers that are not there yet
		}
		if ended, err := c.line(in); err != nil {
			return out, false, err
		} else if ended {
			whole, err := trailer(in, append(out, "0\r\n"...))
			if err == nil && !c.bare {
				out = whole
			}
			return out, err == nil, err
		}
	}
}

// line reads the end of a chunk, or the line before one.
func (c *chunks) line(in *reader) (ended bool, err error) {
	line, err := in.line(maxChunkLine)
	if err != nil {
		return false, err
	}
	if c.inOne {
		c.inOne = false
		if len(line) != 0 {
			return false, errChunk
		}
		return false, nil
	}
	size, extension, _ := bytes.Cut(line, []byte(";"))
	size = bytes.TrimRight(size, " \t")
	if len(size) == 0 || len(size) > 15 || bytes.ContainsAny(extension, "\r\x00") {
		return false, errChunk
	}
	n := int64(0)
	for _, d := range size {
		switch {
		case '0' <= d && d <= '9':
			d -= '0'
		case 'a' <= d|0x20 && d|0x20 <= 'f':
			d = d | 0x20 - 'a' + 10
		default:
			return false, errChunk
		}
		n = n<<4 | int64(d)
	}
	c.left, c.inOne = n, n > 0
	return n == 0, nil
}
