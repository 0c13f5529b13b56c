package sim_test

import (
	"errors"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// onPair runs f with the two ends of a connection over a link of 10 ms each way.
func onPair(t *testing.T, f func(s *stage, c, peer *sim.TCPConn)) {
	t.Helper()
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		s := &stage{t: t, n: n, client: n.Host("client"), server: n.Host("server"), got: map[string]outcome{}}
		s.link = n.Link(s.client, s.server, netem.Config{Delay: 10 * ms})
		c, peer := s.pair()
		time.Sleep(time.Second - n.Elapsed())
		f(s, c, peer)
	})
}

// Either side can end its own stream and continue to read.
func TestHalfClose(t *testing.T) {
	onPair(t, func(s *stage, c, peer *sim.TCPConn) {
		c.Write([]byte("question"))
		require.NoError(t, c.CloseWrite())
		got, err := io.ReadAll(peer)
		require.NoError(t, err)
		require.Equal(t, "question", string(got))
		require.Equal(t, time.Second+10*ms, s.n.Elapsed().Truncate(ms))

		time.Sleep(time.Hour - s.n.Elapsed()) // longer than any FIN timeout: nobody has closed
		peer.Write([]byte("answer"))
		require.NoError(t, peer.CloseWrite())
		got, err = io.ReadAll(c)
		require.NoError(t, err)
		require.Equal(t, "answer", string(got))
		require.Equal(t, time.Hour+10*ms, s.n.Elapsed().Truncate(ms))
	})
}

// Data written before Close arrives, although Close does not wait for it.
func TestCloseDelivers(t *testing.T) {
	onPair(t, func(s *stage, c, peer *sim.TCPConn) {
		data := make([]byte, 100_000)
		go func() {
			c.Write(data)
			c.Close()
		}()
		got, err := io.ReadAll(peer)
		require.NoError(t, err)
		require.Len(t, got, len(data))
	})
}

func TestLingerZeroThrowsAway(t *testing.T) {
	onPair(t, func(s *stage, c, peer *sim.TCPConn) {
		k, err := c.Write(make([]byte, 40_000))
		require.NoError(t, err)
		require.Equal(t, 40_000, k)
		c.SetLinger(0)
		require.NoError(t, c.Close())
		got, err := io.ReadAll(peer)
		require.ErrorIs(t, err, syscall.ECONNRESET)
		require.Len(t, got, 10*1448, "the initial window was under way already")
		require.Equal(t, time.Second+10*ms, s.n.Elapsed().Truncate(ms))
	})
}

// With a linger time, Close returns when the peer has acknowledged everything, or at the latest after that time.
func TestLingerWaits(t *testing.T) {
	onPair(t, func(s *stage, c, peer *sim.TCPConn) {
		c.SetLinger(5)
		c.Write([]byte("data"))
		require.NoError(t, c.Close())
		// A kernel also delays the ACK of a FIN after data by 40 ms (tcp_fin ends quick acknowledgements).
		require.Equal(t, time.Second+60*ms, s.n.Elapsed())
	})
	onPair(t, func(s *stage, c, peer *sim.TCPConn) {
		c.SetLinger(5)
		require.NoError(t, c.Close())
		require.Equal(t, time.Second+20*ms, s.n.Elapsed(), "the FIN alone too")
	})
	onPair(t, func(s *stage, c, peer *sim.TCPConn) {
		s.link.Down()
		c.SetLinger(5)
		c.Write([]byte("data"))
		require.NoError(t, c.Close())
		require.Equal(t, 6*time.Second, s.n.Elapsed(), "after the linger time")
		s.link.Up()
		got, err := io.ReadAll(peer)
		require.NoError(t, err)
		require.Equal(t, "data", string(got), "it is sent in the background all the same")
	})
	onPair(t, func(s *stage, c, peer *sim.TCPConn) {
		const size = 2_000_000
		read := make(chan int, 1)
		go func() {
			got, _ := io.ReadAll(peer)
			read <- len(got)
		}()
		wrote := make(chan int, 1)
		go func() {
			k, _ := c.Write(make([]byte, size))
			wrote <- k
		}()
		time.Sleep(30 * ms)
		c.SetLinger(3600)
		require.NoError(t, c.Close())
		require.Contains(t, s.client.Netstat(), "FIN_WAIT2", "all is acknowledged")
		k := <-wrote
		require.Less(t, k, size, "Close cuts the write short")
		require.Equal(t, k, <-read)
	})
}

// If a program closes a connection with unread data, the peer learns that the data was lost.
func TestCloseWithUnreadDataResets(t *testing.T) {
	onPair(t, func(s *stage, c, peer *sim.TCPConn) {
		c.Write([]byte("unread"))
		settle()
		peer.Close()
		_, err := c.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		require.Equal(t, time.Second+110*ms, s.n.Elapsed())
	})
}

// Data that arrived before a reset can still be read after it.
func TestResetLeavesWhatCameBefore(t *testing.T) {
	onPair(t, func(s *stage, c, peer *sim.TCPConn) {
		peer.Write([]byte("last words"))
		settle()
		resetBy(peer)
		settle()
		p := make([]byte, 20)
		k, err := c.Read(p)
		require.NoError(t, err)
		require.Equal(t, "last words", string(p[:k]))
		_, err = c.Read(p)
		require.ErrorIs(t, err, syscall.ECONNRESET)
		_, err = c.Read(p)
		require.ErrorIs(t, err, io.EOF)
	})
}

func TestCloseRead(t *testing.T) {
	onPair(t, func(s *stage, c, peer *sim.TCPConn) {
		time.AfterFunc(time.Second, func() { c.CloseRead() })
		_, err := c.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
		require.Equal(t, 2*time.Second, s.n.Elapsed())
		_, err = c.Write([]byte("x"))
		require.NoError(t, err, "the other direction stays open")
		_, err = io.ReadFull(peer, make([]byte, 1))
		require.NoError(t, err)
	})
	onPair(t, func(s *stage, c, peer *sim.TCPConn) {
		resetBy(peer)
		settle()
		require.NoError(t, ignoreNotConnected(c.CloseRead()))
		_, err := c.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET, "a reset is reported even so")
		_, err = c.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
	})
}

func ignoreNotConnected(err error) error {
	if errors.Is(err, syscall.ENOTCONN) {
		return nil
	}
	return err
}

// A reader that stalls stops the writer once the receive window and the send buffer are full,
// however much there is to write.
func TestWriteToAStalledReaderIsBounded(t *testing.T) {
	onPair(t, func(s *stage, c, peer *sim.TCPConn) {
		data := make([]byte, 256<<20)
		c.SetWriteDeadline(in(time.Minute))
		accepted, err := c.Write(data)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, time.Minute+time.Second, s.n.Elapsed())
		// 252 segments of 1448 bytes fit. 62 are in the receive buffer of 131072 bytes, where each
		// takes 2 KiB or more with its bookkeeping. 190 are in the send buffer, which has grown to twice
		// the congestion window of the transfer. A kernel took 258.
		require.Equal(t, 252*1448, accepted)
		peer.SetReadDeadline(in(time.Hour))
		_, err = io.ReadFull(peer, data[:accepted])
		require.NoError(t, err, "all of it arrives")
	})
}

func TestDeadlines(t *testing.T) {
	onPair(t, func(s *stage, c, peer *sim.TCPConn) {
		read := func() error {
			_, err := c.Read(make([]byte, 1))
			return err
		}
		c.SetReadDeadline(in(time.Second))
		require.ErrorIs(t, read(), os.ErrDeadlineExceeded)
		require.Equal(t, 2*time.Second, s.n.Elapsed())
		require.ErrorIs(t, read(), os.ErrDeadlineExceeded, "it has passed")
		require.Equal(t, 2*time.Second, s.n.Elapsed())

		// The deadline is moved later, then earlier, while a read waits.
		c.SetReadDeadline(in(time.Second))
		time.AfterFunc(500*ms, func() { c.SetReadDeadline(in(10 * time.Second)) })
		time.AfterFunc(5*time.Second, func() { c.SetReadDeadline(in(time.Second)) })
		require.ErrorIs(t, read(), os.ErrDeadlineExceeded)
		require.Equal(t, 8*time.Second, s.n.Elapsed())

		// The deadline is cleared while a read waits. A deadline in the past ends the read at once.
		c.SetReadDeadline(in(time.Second))
		time.AfterFunc(500*ms, func() { c.SetReadDeadline(time.Time{}) })
		time.AfterFunc(time.Hour, func() { c.SetReadDeadline(time.Unix(1, 0)) })
		require.ErrorIs(t, read(), os.ErrDeadlineExceeded)
		require.Equal(t, time.Hour+8*time.Second, s.n.Elapsed())

		// The read and write deadlines are independent. SetDeadline sets both.
		c.SetReadDeadline(time.Time{})
		c.SetWriteDeadline(in(-1))
		_, err := c.Write([]byte("x"))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		peer.Write([]byte("x"))
		require.NoError(t, read())
		c.SetDeadline(in(time.Second))
		require.ErrorIs(t, read(), os.ErrDeadlineExceeded)
		_, err = c.Write([]byte("x"))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		c.SetDeadline(time.Time{})
		_, err = c.Write([]byte("x"))
		require.NoError(t, err)
	})
}

// Several dials succeed at one instant, and the network is closed after the first returns: the others return all the same.
func TestCloseAtTheEndOfADial(t *testing.T) {
	for _, paused := range []bool{false, true} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			phone, server := n.Host("phone"), n.Host("server")
			n.Link(phone, server, netem.Config{Delay: 10 * ms})
			listen(t, server, ":7")
			const dials = 5
			returned := make(chan error, dials)
			for range dials {
				go func() {
					_, err := phone.Dial("tcp", "server:7")
					n.Close()
					returned <- err
				}()
			}
			if paused {
				n.After(15*ms, phone.Pause)
				time.Sleep(time.Second)
				require.Empty(t, returned)
				n.Close()
			}
			for range dials {
				require.NoError(t, <-returned)
			}
		})
	}
}
