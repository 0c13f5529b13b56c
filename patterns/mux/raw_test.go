package mux_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/mux"
)

// A frame as it is on the wire, written by hand: the tests of the protocol do not share the package's own code for it.
const (
	data, window, ping, goAway = 0, 1, 2, 3
	syn, ack, fin, rst         = 1, 2, 4, 8
)

func frame(kind byte, flags uint16, stream, length uint32, payload ...byte) []byte {
	b := []byte{0, kind}
	b = binary.BigEndian.AppendUint16(b, flags)
	b = binary.BigEndian.AppendUint32(b, stream)
	return append(binary.BigEndian.AppendUint32(b, length), payload...)
}

// with is a data frame with a payload.
func with(flags uint16, stream uint32, payload string) []byte {
	return frame(data, flags, stream, uint32(len(payload)), []byte(payload)...)
}

// raw is a peer that sends what it likes.
type raw struct {
	net.Conn
	mu    sync.Mutex
	got   []string
	ended error
}

// facing makes a session and a raw peer, which reads all that comes, if it reads.
func facing(t *testing.T, c mux.Config, reads bool) (*raw, *mux.Session) {
	p, q := net.Pipe()
	r, s := &raw{Conn: p}, c.Server(q)
	if reads {
		go r.read()
	}
	t.Cleanup(func() { p.Close(); s.Close() })
	return r, s
}

func (r *raw) read() {
	for {
		text, err := r.next()
		r.mu.Lock()
		if r.ended = err; err != nil {
			r.mu.Unlock()
			return
		}
		r.got = append(r.got, text)
		r.mu.Unlock()
	}
}

// next reads one frame, in words.
func (r *raw) next() (string, error) {
	var h [12]byte
	if _, err := io.ReadFull(r.Conn, h[:]); err != nil {
		return "", err
	}
	kind, flags := h[1], binary.BigEndian.Uint16(h[2:])
	stream, length := binary.BigEndian.Uint32(h[4:]), binary.BigEndian.Uint32(h[8:])
	text := []string{"data", "window", "ping", "goaway"}[kind]
	for i, name := range []string{"SYN", "ACK", "FIN", "RST"} {
		if flags&(1<<i) != 0 {
			text += " " + name
		}
	}
	text += fmt.Sprintf(" %d %d", stream, length)
	if kind == data {
		payload := make([]byte, length)
		if _, err := io.ReadFull(r.Conn, payload); err != nil {
			return "", err
		}
		if length <= 20 {
			text += " " + string(payload)
		}
	}
	return text, nil
}

func (r *raw) send(frames ...[]byte) {
	for _, f := range frames {
		if _, err := r.Write(f); err != nil {
			return
		}
	}
	synctest.Wait()
}

func (r *raw) answers() string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.got, ", ")
}

// What a session does about the frames of a peer, allowed and not.
var conduct = []struct {
	name    string
	reason  string
	send    [][]byte
	accept  int    // so many streams
	answers string // the frames that come back
	ends    string // the error with which the session ends; empty: it goes on
}{
	{name: "data for a stream that was never opened", reason: "it may be one that was refused",
		send: [][]byte{with(0, 7, "hello"), frame(ping, syn, 0, 1)}, answers: "ping ACK 0 1"},
	{name: "a window, a reset and an end for a stream that was never opened", reason: "what crosses a reset is not a fault",
		send: [][]byte{frame(window, 0, 7, 9), frame(window, rst, 7, 0), frame(window, fin, 7, 0), frame(ping, syn, 0, 1)}, answers: "ping ACK 0 1"},
	{name: "a stream with a number of the other side", reason: "it would collide with one of ours",
		send: [][]byte{frame(window, syn, 2, 0)}, answers: "goaway 0 1", ends: "protocol error on stream 2: opened by the side that has the other numbers"},
	{name: "stream 0", reason: "0 is the session",
		send: [][]byte{frame(window, syn, 0, 0)}, answers: "goaway 0 1", ends: "stream 0"},
	{name: "a stream twice", reason: "the second is another stream with its number",
		send: [][]byte{frame(window, syn, 1, 0), frame(window, syn, 1, 0)}, answers: "goaway 0 1", ends: "stream 1: opened a second time"},
	{name: "a number again, after its stream has ended", reason: "late frames of the first would be taken for the second's",
		send: [][]byte{frame(window, syn|fin, 1, 0), frame(window, rst, 1, 0), frame(window, syn, 1, 0)}, answers: "goaway 0 1", ends: "stream 1: opened a second time"},
	{name: "numbers in another order", reason: "the peer's goroutines may overtake each other",
		send: [][]byte{frame(window, syn, 5, 0), frame(window, syn, 1, 0), frame(window, syn, 3, 0)}, accept: 3, answers: "window ACK 5 0, window ACK 1 0, window ACK 3 0"},
	{name: "a number far behind", reason: "that it is new cannot be known",
		send: [][]byte{frame(window, syn, 9001, 0), frame(window, syn, 1, 0)}, answers: "goaway 0 1", ends: "stream 1: opened a second time"},
	{name: "version 1", reason: "the meaning of the rest is not known",
		send: [][]byte{{1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}}, answers: "goaway 0 1", ends: "version 1"},
	{name: "a frame of type 9", reason: "whether a payload follows is not known",
		send: [][]byte{frame(9, 0, 1, 0)}, answers: "goaway 0 1", ends: "type 9"},
	{name: "a byte more than the window", reason: "memory is bounded by windows",
		send: [][]byte{frame(window, syn, 1, 0), frame(data, 0, 1, 262145)}, answers: "goaway 0 1", ends: "stream 1: 262145 bytes with a window of 262144"},
	{name: "a byte more than the window, in the second frame", reason: "windows are not for each frame",
		send: [][]byte{with(syn, 1, "x"), frame(data, 0, 1, 262144)}, answers: "goaway 0 1", ends: "stream 1: 262144 bytes with a window of 262143"},
	{name: "four GiB", reason: "a length is not an allocation",
		send: [][]byte{frame(data, syn, 1, 1<<32-1)}, answers: "goaway 0 1", ends: "stream 1: 4294967295 bytes"},
	{name: "four GiB for a stream that does not exist", reason: "nothing sends as much to a stream that has ended",
		send: [][]byte{frame(data, 0, 1, 1<<32-1)}, answers: "goaway 0 1", ends: "stream 1: 4294967295 bytes"},
	{name: "a ping with the number of a stream", reason: "the value is what matters",
		send: [][]byte{frame(ping, syn, 7, 0xabcd)}, answers: "ping ACK 0 43981"},
	{name: "answers to pings that nobody sent", reason: "they mean nothing",
		send: [][]byte{frame(ping, ack, 0, 1), frame(ping, 0, 0, 2), frame(ping, syn, 0, 3)}, answers: "ping ACK 0 3"},
	{name: "an acknowledgement that nobody waits for, and a flag that does not exist", reason: "they mean nothing",
		send: [][]byte{frame(window, ack, 1, 0), frame(window, syn|ack, 1, 0), frame(window, 1<<9, 1, 0)}, accept: 1, answers: "window ACK 1 0"},
	{name: "windows of more than 2^32-1 bytes", reason: "a sum that wraps is a window of nothing (RFC 9113, section 6.9.1, has the same rule)",
		send: [][]byte{frame(window, syn, 1, 0), frame(window, 0, 1, 1<<32-1), frame(ping, syn, 0, 1)}, answers: "window RST 1 1, ping ACK 0 1"},
	{name: "windows of 2^32-1 bytes", reason: "it fits",
		send: [][]byte{frame(window, syn, 1, 0), frame(window, 0, 1, 1<<32-1-262144), frame(ping, syn, 0, 1)}, answers: "ping ACK 0 1"},
	{name: "data after the end", reason: "it would be read as part of what was complete",
		send: [][]byte{with(syn|fin, 1, "all"), with(0, 1, "more"), frame(ping, syn, 0, 1)}, answers: "window RST 1 1, ping ACK 0 1"},
	{name: "an end twice", reason: "it is as good as one",
		send: [][]byte{with(syn|fin, 1, "all"), frame(window, fin, 1, 0), frame(data, fin, 1, 0), frame(ping, syn, 0, 1)}, answers: "ping ACK 0 1"},
	{name: "goaway with code 0", reason: "the session goes on with the streams that it has",
		send: [][]byte{frame(goAway, 0, 0, 0), frame(ping, syn, 0, 1)}, answers: "ping ACK 0 1"},
	{name: "goaway with code 1", reason: "the peer has ended it",
		send: [][]byte{frame(goAway, 0, 0, 1)}, ends: "peer went away: protocol error (1)"},
	{name: "goaway with code 2", reason: "the peer has ended it",
		send: [][]byte{frame(goAway, 0, 0, 2)}, ends: "peer went away: internal error (2)"},
	{name: "goaway with a code that does not exist", reason: "it is not the normal one",
		send: [][]byte{frame(goAway, 0, 0, 77)}, ends: "peer went away: unknown code (77)"},
}

func TestConduct(t *testing.T) {
	for _, row := range conduct {
		require.NotEmpty(t, row.reason)
		for _, way := range []string{"frame by frame", "byte by byte", "at once"} {
			t.Run(row.name+"/"+way, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r, s := facing(t, mux.Config{}, true)
					switch all := join(row.send); way {
					case "frame by frame":
						r.send(row.send...)
					case "at once":
						r.send(all)
					default:
						for i := range all {
							r.send(all[i : i+1])
						}
					}
					for range row.accept {
						_, err := s.AcceptStream(t.Context())
						require.NoError(t, err)
						synctest.Wait()
					}
					require.Equal(t, row.answers, r.answers())
					if row.ends == "" {
						require.NoError(t, s.Err())
					} else {
						require.ErrorContains(t, s.Err(), row.ends)
						<-s.Done()
						require.Error(t, r.ended, "the connection")
					}
				})
			})
		}
	}
}

func join(frames [][]byte) (all []byte) {
	for _, f := range frames {
		all = append(all, f...)
	}
	return all
}

// Each row's frames came over the same session in another test, so here is what the program sees of them.
func TestWhatTheProgramSeesOfBadStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, s := facing(t, mux.Config{}, true)
		r.send(with(syn|fin, 1, "all"), with(syn, 3, "fine"), with(0, 1, "more"), frame(window, 0, 3, 1<<32-1))
		for range 2 { // they were reset before they were accepted
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := s.AcceptStream(ctx)
			require.ErrorIs(t, err, context.Canceled)
		}
		require.Equal(t, "window RST 1 1, window RST 3 1", r.answers())

		r.send(with(syn|fin, 5, "all"))
		st, err := s.AcceptStream(t.Context())
		require.NoError(t, err)
		r.send(with(0, 5, "more"))
		_, err = io.ReadAll(st)
		require.ErrorIs(t, err, mux.ErrFlow)
	})
}
