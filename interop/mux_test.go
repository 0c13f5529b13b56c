package interop

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	hashicorp "github.com/hashicorp/yamux"
	"github.com/libp2p/go-libp2p/core/network"
	muxsuite "github.com/libp2p/go-libp2p/p2p/muxer/testsuite"
	goyamux "github.com/libp2p/go-yamux/v5"
	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/mux"
	"github.com/squall-sim/squall/sim"
)

// libp2p's suite for multiplexers, over the TCP that it makes for itself.
func TestMuxPassesLibp2psSuite(t *testing.T) {
	t.Parallel()
	muxsuite.SubtestAll(t, libp2pMuxer{})
}

// libp2pMuxer is patterns/mux as libp2p would use it.
type libp2pMuxer struct{}

type libp2pConn struct {
	network.MuxedConn // what the suite does not call
	*mux.Session
}

type libp2pStream struct{ *mux.Stream }

func (libp2pMuxer) NewConn(conn net.Conn, isServer bool, _ network.PeerScope) (network.MuxedConn, error) {
	// libp2p has a resource manager for both. Some tests of the suite have 20 MB under way in all, none of which an end has read
	// that gets no processor for a while.
	c := mux.Config{MaxStreams: 100_000, MaxReceiveBytes: 64 << 20}
	if isServer {
		return libp2pConn{Session: c.Server(conn)}, nil
	}
	return libp2pConn{Session: c.Client(conn)}, nil
}

func (c libp2pConn) Close() error   { return c.Session.Close() }
func (c libp2pConn) IsClosed() bool { return c.Err() != nil }

func (c libp2pConn) OpenStream(ctx context.Context) (network.MuxedStream, error) {
	st, err := c.Open(ctx)
	if err != nil {
		return nil, err
	}
	return libp2pStream{st}, nil
}

func (c libp2pConn) AcceptStream() (network.MuxedStream, error) {
	st, err := c.Session.AcceptStream(context.Background())
	if err != nil {
		return nil, err
	}
	return libp2pStream{st}, nil
}

func (s libp2pStream) Reset() error { return s.Stream.Reset(0) }
func (s libp2pStream) ResetWithError(code network.StreamErrorCode) error {
	return s.Stream.Reset(uint32(code))
}

func (s libp2pStream) Read(b []byte) (int, error) {
	n, err := s.Stream.Read(b)
	return n, libp2pError(err)
}

func (s libp2pStream) Write(b []byte) (int, error) {
	n, err := s.Stream.Write(b)
	return n, libp2pError(err)
}

func libp2pError(err error) error {
	var reset *mux.ResetError
	if errors.As(err, &reset) {
		return &network.StreamError{Remote: reset.Remote, ErrorCode: network.StreamErrorCode(reset.Code), TransportError: err}
	}
	return err
}

// multiplexer is one end of a session of any library, by what all have.
type multiplexer interface {
	open() (halfCloser, error)
	accept() (halfCloser, error)
	Close() error
}

type halfCloser interface {
	net.Conn
	CloseWrite() error
}

type ourEnd struct{ *mux.Session }

func (e ourEnd) open() (halfCloser, error)   { return e.Open(context.Background()) }
func (e ourEnd) accept() (halfCloser, error) { return e.AcceptStream(context.Background()) }

type hashicorpEnd struct{ *hashicorp.Session }

// hashicorpStream has Close for both: that is the end of what is written, and reading goes on.
type hashicorpStream struct{ *hashicorp.Stream }

func (s hashicorpStream) CloseWrite() error { return s.Close() }

func (e hashicorpEnd) open() (halfCloser, error) {
	st, err := e.OpenStream()
	return hashicorpStream{st}, err
}

func (e hashicorpEnd) accept() (halfCloser, error) {
	st, err := e.AcceptStream()
	return hashicorpStream{st}, err
}

type goyamuxEnd struct{ *goyamux.Session }

func (e goyamuxEnd) open() (halfCloser, error)   { return e.OpenStream(context.Background()) }
func (e goyamuxEnd) accept() (halfCloser, error) { return e.AcceptStream() }

// muxers are the libraries that speak yamux, and how a session of each begins.
var muxers = []struct {
	name  string
	start func(conn net.Conn, client bool) multiplexer
}{
	{"mux", func(conn net.Conn, client bool) multiplexer {
		if client {
			return ourEnd{mux.Config{}.Client(conn)}
		}
		return ourEnd{mux.Config{}.Server(conn)}
	}},
	{"hashicorp", func(conn net.Conn, client bool) multiplexer {
		c := hashicorp.DefaultConfig()
		c.LogOutput = io.Discard
		start := hashicorp.Server
		if client {
			start = hashicorp.Client
		}
		s, err := start(conn, c)
		if err != nil {
			panic(err)
		}
		return hashicorpEnd{s}
	}},
	{"go-yamux", func(conn net.Conn, client bool) multiplexer {
		c := goyamux.DefaultConfig()
		c.LogOutput = io.Discard
		start := goyamux.Server
		if client {
			start = goyamux.Client
		}
		s, err := start(conn, c, nil)
		if err != nil {
			panic(err)
		}
		return goyamuxEnd{s}
	}},
}

// Each of the two libraries is the peer, as client and as server, of sessions that carry five streams in each direction
// through an outage of 2 s. (With one of 8 s, after which TCP waits
// for its retransmission, sessions of theirs end: a write or a ping may take 10 s.)
func TestMuxWithYamuxPeers(t *testing.T) {
	for _, peer := range muxers[1:] {
		for _, client := range []bool{true, false} {
			name := peer.name + " is the server"
			if client {
				name = peer.name + " is the client"
			}
			t.Run(name, func(t *testing.T) {
				sim.Test(t, func(t *testing.T, n *sim.Network) {
					phone, server := n.Host("phone"), n.Host("server")
					link := n.Link(phone, server, netem.Config{Delay: 40 * time.Millisecond, Rate: 10 * netem.Mbit})
					l, err := server.Listen("tcp", ":80")
					require.NoError(t, err)
					dialled, err := phone.Dial("tcp", "server:80")
					require.NoError(t, err)
					accepted, err := l.Accept()
					require.NoError(t, err)
					l.Close()
					ends := [2]net.Conn{accepted, dialled}
					theirs, ours := ends[0], ends[1]
					if client {
						theirs, ours = ours, theirs
					}
					a, b := muxers[0].start(ours, !client), peer.start(theirs, client)
					n.After(500*time.Millisecond, link.Down)
					n.After(2500*time.Millisecond, link.Up)
					exchangeAll(t, a, b)
					time.Sleep(2 * time.Minute) // pings of both sides are answered
					exchangeAll(t, a, b)
					b.Close()
					a.Close()
				}, sim.MayDiffer("the libraries' goroutines write in the runtime's order"))
			})
		}
	}
}

// exchangeAll has each side open five streams on which it sends 192 KiB, ends it, and gets it back.
func exchangeAll(t *testing.T, ends ...multiplexer) {
	fail := func(format string, args ...any) {
		t.Errorf(format, args...)
		for _, end := range ends {
			end.Close() // or the others would wait
		}
	}
	text := bytes.Repeat([]byte("0123456789abcdef"), 12<<10)
	var all sync.WaitGroup
	for i, from := range ends {
		to := ends[1-i]
		all.Go(func() {
			for range 5 {
				st, err := to.accept()
				if err != nil {
					fail("accept: %v", err)
					return
				}
				all.Go(func() {
					got, err := io.ReadAll(st)
					if err == nil {
						_, err = st.Write(got)
					}
					if err != nil {
						fail("answer: %v", err)
					}
					st.Close()
				})
			}
		})
		for range 5 {
			all.Go(func() {
				st, err := from.open()
				if err != nil {
					fail("open: %v", err)
					return
				}
				if _, err := st.Write(text); err != nil {
					fail("write: %v", err)
				}
				st.CloseWrite()
				got, err := io.ReadAll(st)
				if err != nil || !bytes.Equal(text, got) {
					fail("%d bytes came back of %d: %v", len(got), len(text), err)
				}
				st.Close()
			})
		}
	}
	all.Wait()
}
