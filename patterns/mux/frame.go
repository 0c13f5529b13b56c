package mux

import "encoding/binary"

// A frame's header has 12 bytes, big-endian: version, kind, flags, stream, length (yamux's specification,
// "Framing").
const headerLen = 12

type header struct {
	version byte
	kind    kind
	flags   flags
	stream  uint32
	length  uint32
}

type kind byte

const (
	kindData   kind = iota // length: of the payload that follows
	kindWindow             // length: how many more bytes the receiver takes; with RST a code
	kindPing               // length: a value that comes back
	kindGoAway             // length: a code
)

type flags uint16

const (
	flagSYN flags = 1 << iota // the first of a stream; of a ping: a question
	flagACK                   // the stream has been accepted; of a ping: an answer
	flagFIN                   // the sender will send no more
	flagRST                   // the stream has ended in both directions
)

// initialWindow is what each side may send on a new stream before it has heard anything, in bytes
// (yamux's specification, "Flow Control").
const initialWindow = 256 << 10

func parseHeader(b []byte) header {
	_ = b[headerLen-1]
	return header{
		version: b[0],
		kind:    kind(b[1]),
		flags:   flags(binary.BigEndian.Uint16(b[2:])),
		stream:  binary.BigEndian.Uint32(b[4:]),
		length:  binary.BigEndian.Uint32(b[8:]),
	}
}

func (h header) append(b []byte) []byte {
	b = append(b, h.version, byte(h.kind))
	b = binary.BigEndian.AppendUint16(b, uint16(h.flags))
	b = binary.BigEndian.AppendUint32(b, h.stream)
	return binary.BigEndian.AppendUint32(b, h.length)
}
