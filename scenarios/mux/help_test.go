package mux_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/mux"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/scenarios/scenario"
	"github.com/squall-sim/squall/sim"
)

// world is a phone and a server with a session between them, and the server's other sessions.
type world struct {
	t              *testing.T
	n              *sim.Network
	phone, host    *sim.Host
	link           *sim.Link
	client, server *mux.Session
	ends           [2]*sim.TCPConn // phone's and server's
}

// connect has a session of each side over a link. It takes three transits, 120 ms with [scenario.Good].
func connect(t *testing.T, n *sim.Network, link netem.Config, phone, server mux.Config) *world {
	w := &world{t: t, n: n, phone: n.Host("phone"), host: n.Host("server")}
	w.link = n.Link(w.phone, w.host, link)
	w.session(phone, server)
	return w
}

// session makes another session over the same link, which is then that of the world.
func (w *world) session(phone, server mux.Config) {
	t := w.t
	l, err := w.host.Listen("tcp", ":80")
	require.NoError(t, err)
	accepted := make(chan net.Conn, 1)
	go func() {
		conn, _ := l.Accept()
		accepted <- conn
	}()
	conn, err := w.phone.Dial("tcp", "server:80")
	require.NoError(t, err)
	other := <-accepted
	l.Close()
	w.ends = [2]*sim.TCPConn{conn.(*sim.TCPConn), other.(*sim.TCPConn)}
	w.client, w.server = lingering(phone).Client(conn), lingering(server).Server(other)
	c, s := w.client, w.server
	t.Cleanup(func() {
		for _, end := range []*mux.Session{c, s} {
			time.Sleep(time.Second) // what is under way at the end of the story is not cut off by chance
			end.Close()
		}
	})
}

// lingering has all that happens at one instant go into one write: otherwise the runtime decides what does.
func lingering(c mux.Config) mux.Config {
	c.Linger = 1
	return c
}

// round takes off the nanoseconds for which writes linger, and those by which packets of one instant are apart.
func round(d time.Duration) time.Duration { return d.Truncate(time.Microsecond) }

// open opens a stream and accepts it, which takes a transit.
func (w *world) open() (a, b *mux.Stream) {
	w.t.Helper()
	a, err := w.client.Open(w.t.Context())
	require.NoError(w.t, err)
	b, err = w.server.AcceptStream(w.t.Context())
	require.NoError(w.t, err)
	return a, b
}

// echo has the server answer each stream with what comes.
func echo(s *mux.Session) {
	go func() {
		for {
			st, err := s.Accept()
			if err != nil {
				return
			}
			go func() {
				defer st.Close()
				io.Copy(st, st)
			}()
		}
	}()
}

// ask writes a text and reads it back, and returns how long that takes.
func ask(st net.Conn, text string) (time.Duration, error) {
	began := time.Now()
	if _, err := st.Write([]byte(text)); err != nil {
		return 0, err
	}
	_, err := io.ReadFull(st, make([]byte, len(text)))
	return round(time.Since(began)), err
}

// request opens a stream, asks, and closes it.
func request(ctx context.Context, open func(context.Context) (*mux.Stream, error), text string) error {
	st, err := open(ctx)
	if err != nil {
		return err
	}
	defer st.Close()
	if _, err := st.Write([]byte(text)); err != nil {
		return err
	}
	if err := st.CloseWrite(); err != nil {
		return err
	}
	got, err := io.ReadAll(st)
	if err == nil && string(got) != text {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// serve has a host answer streams as echo does, in sessions of its own, which it returns as they come.
func serve(t *testing.T, h *sim.Host, c mux.Config) (drain func(context.Context)) {
	l, err := h.Listen("tcp", ":80")
	require.NoError(t, err)
	var mu sync.Mutex
	var all []*mux.Session
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s := lingering(c).Server(conn)
			mu.Lock()
			all = append(all, s)
			mu.Unlock()
			echo(s)
		}
	}()
	sessions := func() []*mux.Session {
		mu.Lock()
		defer mu.Unlock()
		return append([]*mux.Session{}, all...)
	}
	t.Cleanup(func() {
		l.Close()
		for _, s := range sessions() {
			s.Close()
		}
	})
	return func(ctx context.Context) {
		for _, s := range sessions() {
			s.Drain(ctx)
		}
	}
}

// client is one that opens streams to a host.
func client(t *testing.T, from *sim.Host, to string) *mux.Client {
	c := &mux.Client{Addr: to + ":80", DialContext: from.DialContext, Jitter: retry.NoJitter, Config: lingering(mux.Config{})}
	t.Cleanup(func() { c.Close() })
	return c
}

// rawPeer is a connection to a server's session, on which frames are written by hand.
func rawPeer(t *testing.T, n *sim.Network, c mux.Config) (net.Conn, *mux.Session) {
	phone, server := n.Host("phone"), n.Host("server")
	n.Link(phone, server, scenario.Good)
	l, err := server.Listen("tcp", ":80")
	require.NoError(t, err)
	accepted := make(chan *mux.Session, 1)
	go func() {
		conn, _ := l.Accept()
		accepted <- lingering(c).Server(conn)
	}()
	conn, err := phone.Dial("tcp", "server:80")
	require.NoError(t, err)
	s := <-accepted
	l.Close()
	t.Cleanup(func() {
		conn.Close()
		time.Sleep(time.Second)
		s.Close()
	})
	return conn, s
}

// A frame as yamux's specification has it.
const (
	data, window, ping, goAway = 0, 1, 2, 3
	syn, rst                   = 1, 8
)

func frame(kind byte, flags uint16, stream, length uint32) []byte {
	b := []byte{0, kind}
	b = binary.BigEndian.AppendUint16(b, flags)
	b = binary.BigEndian.AppendUint32(b, stream)
	return binary.BigEndian.AppendUint32(b, length)
}

// lastFrame is the last header that comes before the connection ends.
func lastFrame(conn net.Conn) []byte {
	all, _ := io.ReadAll(conn)
	return all[max(0, len(all)-12):]
}

// zeros writes n bytes, and returns how many went before d was over.
func zeros(st net.Conn, n int, d time.Duration) (int, error) {
	st.SetWriteDeadline(time.Now().Add(d))
	defer st.SetWriteDeadline(time.Time{})
	return st.Write(make([]byte, n))
}

// read reads n bytes.
func read(st io.Reader, n int) error {
	_, err := io.CopyN(io.Discard, st, int64(n))
	return err
}

var late = os.ErrDeadlineExceeded

// pattern is n bytes that tell their places.
func pattern(n int) []byte { return bytes.Repeat([]byte("0123456789"), n/10) }
