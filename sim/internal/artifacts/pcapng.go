package artifacts

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

// A capture writes a pcapng file with one interface: a section header, an interface description and enhanced packet blocks
// (draft-ietf-opsawg-pcapng, sections 4.1 to 4.3).
type capture struct {
	w   *bufio.Writer
	err error
}

const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockPacket    = 6

	linkRaw = 101 // LINKTYPE_RAW: packets begin with their IP header

	optComment   = 1
	optUser      = 4 // of a section: the application
	optName      = 2 // of an interface
	optDescribe  = 3 // of an interface
	optTSResol   = 9 // of an interface
	optFlags     = 2 // of a packet
	flagInbound  = 1
	flagOutbound = 2
)

// option appends an option to the body of a block.
func option(b []byte, code uint16, value string) []byte {
	b = binary.LittleEndian.AppendUint16(b, code)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(value)))
	b = append(b, value...)
	return append(b, make([]byte, -len(value)&3)...)
}

// longest is the longest comment of a packet, in bytes; an option can hold 65535.
const longest = 60_000

func (c *capture) block(kind uint32, body []byte) {
	total := uint32(len(body) + 12)
	b := binary.LittleEndian.AppendUint32(nil, kind)
	b = binary.LittleEndian.AppendUint32(b, total)
	b = append(b, body...)
	b = binary.LittleEndian.AppendUint32(b, total)
	if _, err := c.w.Write(b); err != nil && c.err == nil {
		c.err = err
	}
}

// newCapture begins a file. It writes the descriptions of the section and the interface.
func newCapture(w io.Writer, comment, name, description string) *capture {
	c := &capture{w: bufio.NewWriter(w)}
	b := binary.LittleEndian.AppendUint32(nil, 0x1a2b3c4d)
	b = append(b, 1, 0, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, ^uint64(0)) // length of the section: unknown
	b = option(b, optComment, comment)
	b = option(b, optUser, "squall")
	c.block(blockSection, option(b, 0, ""))

	b = []byte{linkRaw, 0, 0, 0, 0, 0, 0, 0} // the capture of a packet has no limit
	b = option(b, optName, name)
	b = option(b, optDescribe, description)
	b = option(b, optTSResol, "\x09") // nanoseconds
	c.block(blockInterface, option(b, 0, ""))
	return c
}

// packet writes a packet. flags contains its direction.
func (c *capture) packet(at time.Time, frame []byte, flags uint32, comment string) {
	ns := uint64(at.UnixNano())
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, len(frame)+64), 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(ns>>32))
	b = binary.LittleEndian.AppendUint32(b, uint32(ns))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(frame)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(frame)))
	b = append(b, frame...)
	b = append(b, make([]byte, -len(frame)&3)...)
	if comment != "" {
		b = option(b, optComment, comment[:min(len(comment), longest)])
	}
	b = option(b, optFlags, string(binary.LittleEndian.AppendUint32(nil, flags)))
	c.block(blockPacket, option(b, 0, ""))
}

func (c *capture) end() error {
	if err := c.w.Flush(); err != nil && c.err == nil {
		c.err = err
	}
	return c.err
}

// writeCapture writes the packets that a host sent and received, ordered by time. A lost packet appears only in the sender's file. In the
// receiver's file it would seem to have arrived.
func (r *Run) writeCapture(w io.Writer, host int, inOrder []*Event, fates map[int]string) error {
	name := r.Hosts[host].Name
	c := newCapture(w, fmt.Sprintf("%s, seed %d, as seen from %s", r.Test, r.Seed, name), name, "simulated by squall")
	for _, e := range inOrder {
		if e.Frame == nil {
			continue
		}
		switch {
		case e.Kind == Delivered && e.To == host && e.From != host:
			c.packet(r.Start.Add(e.At), e.Frame, flagInbound, e.Note)
		case e.Kind != Delivered && e.From == host:
			c.packet(r.Start.Add(e.At), e.Frame, flagOutbound, fates[e.Packet])
		}
	}
	return c.end()
}
