package wsframe_test

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/push"
	"github.com/squall-sim/squall/patterns/stream"
	"github.com/squall-sim/squall/sim"
)

// The opcodes of RFC 6455, section 5.2.
const (
	opCont, opText, opBinary = 0, 1, 2
	opClose, opPing, opPong  = 8, 9, 10
)

// frame is one frame of a client, masked with zeros.
func frame(head byte, payload string) string {
	b := []byte{head}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	return string(b) + "\x00\x00\x00\x00" + payload
}

const fin = 0x80

func text(s string) string      { return frame(fin|opText, s) }
func firstText(s string) string { return frame(opText, s) }
func more(s string) string      { return frame(opCont, s) }
func last(s string) string      { return frame(fin|opCont, s) }
func ping(s string) string      { return frame(fin|opPing, s) }
func pong(s string) string      { return frame(fin|opPong, s) }

func closing(code int, reason string) string {
	return frame(fin|opClose, string(binary.BigEndian.AppendUint16(nil, uint16(code)))+reason)
}

// What a server may answer.
const (
	open  = "open"        // it answers a ping
	cut   = "cut"         // the connection ends without a close frame
	empty = "close empty" // and ends, as it does after each close
)

func closed(code int) string { return fmt.Sprint("close ", code) }

const (
	protocol = "close 1002" // the frames break the protocol
	// policy is what a server answers to a message that is sound and that it has no use
	// for. A client of stream has nothing to say; one of push says the messages of its
	// protocol.
	policy = "close 1008"
)

// ack is a message that push takes.
const ack = `{"type":"ack","offset":0}`

// cases are those of the Autobahn test suite in which a server has a say, under its numbers:
// frames (1), pings and pongs (2), reserved bits (3), opcodes (4), fragments (5), UTF-8 (6, a
// few) and closing (7). The suite talks to servers that echo, and these do not: a data message
// that is sound is answered according to push and stream, which is policy.
var cases = func() []wsCase {
	const p = protocol
	all := []wsCase{
		{"1.1.1", "empty text", text(""), policy, policy},
		{"1.1.2", "text of 125 bytes", text(strings.Repeat("*", 125)), policy, policy},
		{"1.1.3", "text of 126 bytes", text(strings.Repeat("*", 126)), policy, policy},
		{"1.1.4", "text of 127 bytes", text(strings.Repeat("*", 127)), policy, policy},
		{"1.1.6", "text of 65,535 bytes", text(strings.Repeat("*", 65_535)), closed(1009), policy},
		{"1.1.7", "text of 65,536 bytes", text(strings.Repeat("*", 65_536)), closed(1009), policy},
		{"1.1.x", "a message of the protocol", text(ack), open, policy},
		{"1.2.1", "empty binary", frame(fin|opBinary, ""), closed(1003), policy},
		{"1.2.2", "binary of 125 bytes", frame(fin|opBinary, strings.Repeat("\xfe", 125)), closed(1003), policy},
		{"1.2.4", "binary of 127 bytes", frame(fin|opBinary, strings.Repeat("\xfe", 127)), closed(1003), policy},

		{"2.1", "ping", ping(""), "pong:", ""},
		{"2.2", "ping with text", ping("Hello, world!"), "pong:Hello, world!", ""},
		{"2.3", "ping with bytes", ping("\x00\xff\xfe\xfd"), "pong:\x00\xff\xfe\xfd", ""},
		{"2.4", "ping of 125 bytes", ping(strings.Repeat("\xfe", 125)), "pong:" + strings.Repeat("\xfe", 125), ""},
		{"2.5", "ping of 126 bytes", ping(strings.Repeat("\xfe", 126)), p, ""},
		{"2.7", "pong that nobody asked for", pong(""), open, ""},
		{"2.8", "the same with text", pong("unsolicited"), open, ""},
		{"2.9", "the same, and a ping", pong("unsolicited") + ping("payload"), "pong:payload", ""},
		{"2.10", "ten pings", ping("0") + ping("1") + ping("2") + ping("3") + ping("4") + ping("5") + ping("6") + ping("7") + ping("8") + ping("9"),
			"pong:0 pong:1 pong:2 pong:3 pong:4 pong:5 pong:6 pong:7 pong:8 pong:9", ""},

		{"3.1", "RSV1 without an extension", frame(fin|0x40|opText, ack), p, ""},
		{"3.2", "RSV2", frame(fin|0x20|opText, ack), p, ""},
		{"3.3", "RSV2 and RSV1", frame(fin|0x60|opText, ack), p, ""},
		{"3.4", "RSV3", frame(fin|0x10|opText, ack), p, ""},
		{"3.5", "RSV3 and RSV1, binary", frame(fin|0x50|opBinary, "\x00"), p, ""},
		{"3.6", "RSV3 and RSV2, ping", frame(fin|0x30|opPing, ""), p, ""},
		{"3.7", "all of RSV, close", frame(fin|0x70|opClose, ""), p, ""},

		{"5.1", "a ping in two fragments", frame(opPing, "fragment1") + last("fragment2"), p, ""},
		{"5.2", "a pong in two fragments", frame(opPong, "fragment1") + last("fragment2"), p, ""},
		{"5.3", "a text in two", firstText(ack[:9]) + last(ack[9:]), open, policy},
		{"5.4", "a text in many, some empty", firstText("") + more(ack[:9]) + more("") + more(ack[9:10]) + more(ack[10:]) + last(""), open, policy},
		{"5.6", "a ping between the two", firstText(ack[:9]) + ping("ping") + last(ack[9:]), "pong:ping " + open, policy},
		{"5.7", "a pong between the two", firstText(ack[:9]) + pong("pong") + last(ack[9:]), open, policy},
		{"5.9", "a continuation of nothing, and a text", last("of nothing") + text(ack), p, ""},
		{"5.10", "an open continuation of nothing", more("of nothing") + text(ack), p, ""},
		{"5.12", "a message, and a continuation of nothing", text(ack) + last("of nothing"), p, policy},
		{"5.15", "a text in two, and a continuation of nothing", firstText(ack[:9]) + last(ack[9:]) + more("of nothing"), p, policy},
		{"5.18", "a text within a text", firstText(ack[:9]) + text(ack), p, policy},
		{"5.19", "pings between five fragments", firstText(ack[:4]) + more(ack[4:8]) + ping("1") + more(ack[8:12]) + more(ack[12:16]) + ping("2") + last(ack[16:]),
			"pong:1 pong:2 " + open, policy},

		{"6.3.1", "a text that is not UTF-8", text("\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited"), closed(1007), policy},
		{"6.4.1", "the same in two fragments", firstText("\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4") + last("\x90\x80\x80edited"), closed(1007), policy},

		{"7.1.1", "a message and a close", text(ack) + closing(1000, ""), closed(1000), policy},
		{"7.1.2", "two closes", closing(1000, "") + closing(1000, ""), closed(1000), ""},
		{"7.1.3", "a ping after the close", closing(1000, "") + ping(""), closed(1000), ""},
		{"7.1.4", "a text after the close", closing(1000, "") + text(ack), closed(1000), ""},
		{"7.1.5", "a close within a message", firstText(ack[:9]) + closing(1000, "") + last(ack[9:]), closed(1000), policy},
		{"7.3.1", "a close without a code", frame(fin|opClose, ""), empty, ""},
		{"7.3.2", "a close of one byte", frame(fin|opClose, "\x03"), p, ""},
		{"7.3.4", "a close with a reason", closing(1000, "Hello World!"), closed(1000) + " Hello World!", ""},
		{"7.3.5", "a close with the longest reason", closing(1000, strings.Repeat("*", 123)), closed(1000) + " " + strings.Repeat("*", 123), ""},
		{"7.3.6", "a close with a longer one", closing(1000, strings.Repeat("*", 124)), p, ""},
		{"7.5.1", "a reason that is not UTF-8", closing(1000, "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited"), closed(1007), ""},

		{"5.1 of the RFC", "a frame without a mask", "\x81\x02{}", cut, ""},
		{"5.2 of the RFC", "a length of 64 bits with the first set", "\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", cut, ""},
	}
	for op := byte(3); op <= 7; op++ {
		all = append(all,
			wsCase{fmt.Sprint("4.1.", op-2), fmt.Sprint("opcode ", op), frame(fin|op, ""), p, ""},
			wsCase{fmt.Sprint("4.2.", op-2), fmt.Sprint("opcode ", op+8), frame(fin|(op+8), ""), p, ""})
	}
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999} {
		all = append(all, wsCase{"7.7", fmt.Sprint("code ", code), closing(code, ""), closed(code), ""})
	}
	for _, code := range []int{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		all = append(all, wsCase{"7.9", fmt.Sprint("code ", code), closing(code, ""), p, ""})
	}
	return all
}()

type wsCase struct {
	number, what, sent string
	push               string
	stream             string // empty: as push
}

// Each case in one piece, and as pieces of a byte, which must be the same.
func TestServersFollowTheWebSocketProtocol(t *testing.T) {
	require.GreaterOrEqual(t, len(cases), 44)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		pushes, streams := &push.Server{}, &stream.Server{}
		defer pushes.Close()
		mux := http.NewServeMux()
		mux.Handle("/push", pushes.Handler())
		mux.Handle("/stream", streams.Handler())
		server, client := n.Host("server"), n.Host("client")
		n.Link(server, client, netem.Config{Delay: time.Millisecond})
		server.ServeHTTP(":80", mux)
		for i, c := range cases {
			for _, system := range []struct{ path, want string }{{"/push", c.push}, {"/stream", c.stream}} {
				want := system.want
				if want == "" {
					want = c.push
				}
				for _, piece := range []int{len(c.sent), 1} {
					if piece == 1 && len(c.sent) > 1000 {
						continue
					}
					conn, err := client.Dial("tcp", "server:80")
					require.NoError(t, err)
					conn.SetDeadline(time.Now().Add(20 * time.Second))
					got := answer(conn, fmt.Sprintf("%s?client=c%d", system.path, i), c.sent, piece)
					if system.path == "/stream" && !strings.Contains(got, open) && !strings.HasPrefix(got, "pong:") {
						time.Sleep(time.Minute) // the client holds on to what the server has closed
						require.Zero(t, streams.Stats().Streams, "%s %s: %s", system.path, c.number, c.what)
					}
					conn.Close()
					require.Equal(t, want, got, "%s %s: %s, %d bytes at once", system.path, c.number, c.what, piece)
				}
			}
		}
	})
}

// answer sends frames and returns what comes back, as a text: pongs, a close or the end, or
// that the connection is still open.
func answer(conn net.Conn, path, frames string, piece int) string {
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: server\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", path)
	r := bufio.NewReader(conn)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err.Error()
		}
		if line == "\r\n" {
			break
		}
	}
	go func() {
		for i := 0; i < len(frames); i += piece {
			if _, err := io.WriteString(conn, frames[i:min(i+piece, len(frames))]); err != nil {
				return
			}
			time.Sleep(time.Microsecond)
		}
		io.WriteString(conn, ping("are you there?"))
	}()
	var got []string
	for {
		op, payload, err := readFrame(r)
		switch {
		case err != nil:
			return strings.Join(append(got, cut), " ")
		case op == opPong && payload == "are you there?":
			if len(got) == 0 || strings.Contains(frames, ack[16:]) {
				got = append(got, open)
			}
			return strings.Join(got, " ")
		case op == opPong:
			got = append(got, "pong:"+payload)
		case op == opClose && payload == "":
			return strings.Join(append(got, empty), " ")
		case op == opClose:
			text := closed(int(binary.BigEndian.Uint16([]byte(payload))))
			if code := binary.BigEndian.Uint16([]byte(payload)); code == 1000 && len(payload) > 2 {
				text += " " + payload[2:]
			}
			if _, _, err := readFrame(r); err == nil {
				text += " and goes on"
			}
			return strings.Join(append(got, text), " ")
		}
	}
}

func readFrame(r *bufio.Reader) (op byte, payload string, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, "", err
	}
	length := uint64(head[1])
	switch length {
	case 126:
		var b [2]byte
		_, err = io.ReadFull(r, b[:])
		length = uint64(binary.BigEndian.Uint16(b[:]))
	case 127:
		var b [8]byte
		_, err = io.ReadFull(r, b[:])
		length = binary.BigEndian.Uint64(b[:])
	}
	if err != nil {
		return 0, "", err
	}
	b := make([]byte, length)
	_, err = io.ReadFull(r, b)
	return head[0] & 15, string(b), err
}
