// Package autobahn has the cases of the Autobahn test suite for WebSockets
// (github.com/crossbario/autobahn-testsuite, in its numbers) that are about control frames,
// reserved bits and opcodes, fragments and closing, as a client sends them to a server: what
// RFC 6455 demands whatever the messages mean. It is for tests.
package autobahn

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// Opcodes of frames (RFC 6455, section 11.8).
const (
	continuation = 0x0
	text         = 0x1
	binaryData   = 0x2
	closing      = 0x8
	ping         = 0x9
	pong         = 0xa
)

// What ends a connection, beside the status of a close frame.
const (
	// Open: nothing does.
	Open = 0
	// NoStatus: a close frame without a status.
	NoStatus = 1005
)

// Statuses of close frames.
const (
	normal        = 1000
	protocolError = 1002
	notUTF8       = 1007
	policy        = 1008
)

// Case is what a client sends, and what the server answers.
type Case struct {
	Name  string // its number and what it is about
	Send  [][]byte
	Pongs []string // payloads of the server's pongs, in order
	Close int      // the status of its close frame, Open or NoStatus
}

// frame is a frame of a client, masked.
func frame(first byte, payload string) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	default:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	}
	key := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	b = append(b, key[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^key[i%4])
	}
	return b
}

func final(opcode byte, payload string) []byte { return frame(0x80|opcode, payload) }

func closeWith(code uint16, reason string) []byte {
	return final(closing, string(binary.BigEndian.AppendUint16(nil, code))+reason)
}

// chopped sends each byte by itself.
func chopped(frames ...[]byte) (all [][]byte) {
	for _, f := range frames {
		for i := range f {
			all = append(all, f[i:i+1])
		}
	}
	return all
}

// Cases returns the cases. message is the status with which the server ends a connection on
// which a client sends a message of no meaning; with 1008 it does so at the first fragment.
func Cases(message int) []Case {
	long := strings.Repeat("*", 125)
	between, twice, unfinished := []string{"ping"}, protocolError, normal
	if message == policy {
		between, twice, unfinished = nil, policy, policy
	}
	cases := []Case{
		{"2.1 ping without payload", [][]byte{final(ping, "")}, []string{""}, Open},
		{"2.2 ping with payload", [][]byte{final(ping, "Hello, world!")}, []string{"Hello, world!"}, Open},
		{"2.3 ping with payload that is not UTF-8", [][]byte{final(ping, "\x00\xff\xfe\xfd\xfc\xfb\x00\xff")}, []string{"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"}, Open},
		{"2.4 ping with 125 bytes", [][]byte{final(ping, long)}, []string{long}, Open},
		{"2.5 ping with 126 bytes", [][]byte{final(ping, long+"*")}, nil, protocolError},
		{"2.6 ping with 125 bytes, byte by byte", chopped(final(ping, long)), []string{long}, Open},
		{"2.7 unsolicited pong without payload", [][]byte{final(pong, "")}, nil, Open},
		{"2.8 unsolicited pong with payload", [][]byte{final(pong, "unsolicited")}, nil, Open},
		{"2.9 unsolicited pong, then a ping", [][]byte{final(pong, "unsolicited"), final(ping, "ping")}, []string{"ping"}, Open},
		{"2.10 ten pings", tenPings(), []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}, Open},
		{"2.11 ten pings, byte by byte", chopped(tenPings()...), []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}, Open},

		{"5.1 ping in two fragments", [][]byte{frame(ping, "a"), final(continuation, "b")}, nil, protocolError},
		{"5.2 pong in two fragments", [][]byte{frame(pong, "a"), final(continuation, "b")}, nil, protocolError},
		{"5.3 text in two fragments", [][]byte{frame(text, "a"), final(continuation, "b")}, nil, message},
		{"5.6 text in two fragments, a ping between", [][]byte{frame(text, "a"), final(ping, "ping"), final(continuation, "b")}, between, message},
		{"5.9 continuation without a beginning", [][]byte{final(continuation, "a")}, nil, protocolError},
		{"5.12 continuation without a beginning, not final", [][]byte{frame(continuation, "a")}, nil, protocolError},
		{"5.18 text in two beginnings", [][]byte{frame(text, "a"), final(text, "b")}, nil, twice},

		{"7.1.1 message, then close", [][]byte{final(text, "a"), closeWith(normal, "")}, nil, message},
		{"7.1.2 two closes", [][]byte{closeWith(normal, ""), closeWith(normal, "")}, nil, normal},
		{"7.1.3 ping after close", [][]byte{closeWith(normal, ""), final(ping, "late")}, nil, normal},
		{"7.1.4 message after close", [][]byte{closeWith(normal, ""), final(text, "late")}, nil, normal},
		{"7.1.5 fragment, close, fragment", [][]byte{frame(text, "a"), closeWith(normal, ""), final(continuation, "late")}, nil, unfinished},
		{"7.3.1 close without payload", [][]byte{final(closing, "")}, nil, NoStatus},
		{"7.3.2 close with one byte", [][]byte{final(closing, "a")}, nil, protocolError},
		{"7.3.3 close with status", [][]byte{closeWith(normal, "")}, nil, normal},
		{"7.3.4 close with reason", [][]byte{closeWith(normal, "Hello, world!")}, nil, normal},
		{"7.3.5 close with a reason of 123 bytes", [][]byte{closeWith(normal, long[:123])}, nil, normal},
		{"7.3.6 close with a reason of 124 bytes", [][]byte{closeWith(normal, long[:124])}, nil, protocolError},
		{"7.5.1 close with a reason that is not UTF-8", [][]byte{closeWith(normal, "\xce\xba\xed\xa0\x80edited")}, nil, notUTF8},
	}
	for i, rsv := range []byte{0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70} {
		opcode := []byte{text, text, text, text, binaryData, ping, closing}[i]
		cases = append(cases, Case{fmt.Sprintf("3.%d reserved bits %#x", i+1, rsv), [][]byte{frame(0x80|rsv|opcode, "")}, nil, protocolError})
	}
	for i, opcode := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		name := fmt.Sprintf("4.%d.%d reserved opcode %d", i/5+1, i%5+1, opcode)
		cases = append(cases, Case{name, [][]byte{final(opcode, "a"), final(ping, "late")}, nil, protocolError})
	}
	for i, code := range []uint16{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999} {
		cases = append(cases, Case{fmt.Sprintf("7.7.%d close with status %d", i+1, code), [][]byte{closeWith(code, "")}, nil, int(code)})
	}
	for i, code := range []uint16{0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999} {
		cases = append(cases, Case{fmt.Sprintf("7.9.%d close with status %d", i+1, code), [][]byte{closeWith(code, "")}, nil, protocolError})
	}
	return cases
}

func tenPings() (all [][]byte) {
	for i := range 10 {
		all = append(all, final(ping, fmt.Sprint(i)))
	}
	return all
}

// Run sends what the case has over a connection after its handshake, and returns the server's
// pongs and what ended the connection, for comparison with the case. It passes over the
// server's messages and pings.
func (c Case) Run(conn io.ReadWriter) (pongs []string, closed int, err error) {
	const last = "is anybody there?"
	go func() { // a server that has given up does not read
		for _, b := range append(c.Send[:len(c.Send):len(c.Send)], final(ping, last)) {
			if _, err := conn.Write(b); err != nil {
				return
			}
		}
	}()
	for r := bufio.NewReader(conn); ; {
		opcode, payload, err := readFrame(r)
		switch {
		case err != nil:
			return pongs, Open, fmt.Errorf("no close frame, and no pong: %w", err)
		case opcode == pong && payload == last:
			return pongs, Open, nil
		case opcode == pong:
			pongs = append(pongs, payload)
		case opcode == closing && payload == "":
			return pongs, NoStatus, nil
		case opcode == closing:
			return pongs, int(binary.BigEndian.Uint16([]byte(payload))), nil
		}
	}
}

// readFrame reads a frame of a server, which is not masked.
func readFrame(r io.Reader) (opcode byte, payload string, err error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:2]); err != nil {
		return 0, "", err
	}
	opcode, n := head[0]&0xf, uint64(head[1])
	if wide := map[uint64]int{126: 2, 127: 8}[n]; wide > 0 {
		if _, err := io.ReadFull(r, head[8-wide:]); err != nil {
			return 0, "", err
		}
		clear(head[:8-wide])
		n = binary.BigEndian.Uint64(head[:])
	}
	b := make([]byte, n)
	_, err = io.ReadFull(r, b)
	return opcode, string(b), err
}
