package sim_test

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// Programs and libraries look for these methods, which go beyond net.Conn and net.Listener.
var (
	_ interface {
		net.Conn
		io.ReaderFrom
		io.WriterTo
		MultipathTCP() (bool, error)
	} = (*sim.TCPConn)(nil)
	_ interface {
		AcceptTCP() (*sim.TCPConn, error)
	} = (*sim.TCPListener)(nil)
)

// Methods that need a file descriptor must be absent. A method that returns an error is not enough, because a library
// that finds it uses it.
func TestSocketsHaveNoDescriptor(t *testing.T) {
	for _, socket := range []any{new(sim.TCPConn), new(sim.UDPConn), new(sim.TCPListener)} {
		_, ok := socket.(syscall.Conn)
		require.False(t, ok, "%T", socket)
		_, ok = socket.(interface{ File() (*os.File, error) })
		require.False(t, ok, "%T", socket)
	}
}

func TestAcceptTCP(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		l := listen(t, n.Host("server"), ":7").(*sim.TCPListener)
		c := dial(t, n.Host("client"), "server:7")
		s, err := l.AcceptTCP()
		require.NoError(t, err)
		require.Equal(t, c.LocalAddr(), s.RemoteAddr())
		multipath, err := s.MultipathTCP()
		require.NoError(t, err)
		require.False(t, multipath)
		l.Close()
		_, err = l.AcceptTCP()
		require.ErrorIs(t, err, net.ErrClosed)
		conn, err := l.Accept()
		require.Error(t, err)
		require.True(t, conn == nil, "and no nil of a type")
	})
}

// A file can be copied to a connection, and a connection to any writer. io.Copy uses these methods, so its errors are
// those of package net.
func TestCopy(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server, client := n.Host("server"), n.Host("client")
		n.Link(server, client, netem.Config{Delay: 10 * ms})
		l := listen(t, server, ":7")
		text := strings.Repeat("squall ", 30_000)

		c := dial(t, client, "server:7")
		s, err := l.Accept()
		require.NoError(t, err)
		go func() {
			k, err := io.Copy(c, io.LimitReader(strings.NewReader(text), int64(len(text))))
			if k != int64(len(text)) || err != nil {
				t.Errorf("copied %d bytes to the connection: %v", k, err)
			}
			c.Close()
		}()
		var got strings.Builder
		k, err := io.Copy(&got, s)
		require.NoError(t, err, "the end is none")
		require.EqualValues(t, len(text), k)
		require.Equal(t, text, got.String())
	})
}

// io.Copy from and to a connection that its peer has reset returns the same errors as over the operating system's
// TCP.
func TestErrorsOfCopyAreThoseOfPackageNet(t *testing.T) {
	describe := func(err error) (text string) {
		for ; err != nil; err = errors.Unwrap(err) {
			switch e := err.(type) {
			case *net.OpError:
				text += e.Op + " " + e.Net + ": "
			case *os.SyscallError:
				text += e.Syscall + ": "
			default:
				text += e.Error()
			}
		}
		return text
	}
	look := func(t *testing.T, l net.Listener, dial func() net.Conn) {
		t.Helper()
		defer l.Close()
		for _, row := range []struct {
			use  func(c net.Conn) (int64, error)
			want string
		}{
			{func(c net.Conn) (int64, error) { return io.Copy(io.Discard, c) }, "writeto tcp: read tcp: read: connection reset by peer"},
			{func(c net.Conn) (int64, error) { return io.Copy(c, io.LimitReader(strings.NewReader("x"), 1)) }, "readfrom tcp: write tcp: write: connection reset by peer"},
		} {
			c := dial()
			s, err := l.Accept()
			require.NoError(t, err)
			require.NoError(t, s.(interface{ SetLinger(int) error }).SetLinger(0))
			s.Close()
			time.Sleep(10 * ms)
			_, err = row.use(c)
			require.Equal(t, row.want, describe(err))
			c.Close()
		}
	}
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		look(t, listen(t, n.Host("server"), ":7"), func() net.Conn { return dial(t, n.Host("client"), "server:7") })
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	look(t, l, func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		return c
	})
}
