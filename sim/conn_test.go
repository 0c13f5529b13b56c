package sim_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
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

// Either side may end its own stream and go on reading.
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

// What was written before Close arrives, though nobody waits for it.
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

// With a linger time Close returns when the peer has acknowledged all, or after that time.
func TestLingerWaits(t *testing.T) {
	onPair(t, func(s *stage, c, peer *sim.TCPConn) {
		c.SetLinger(5)
		c.Write([]byte("data"))
		require.NoError(t, c.Close())
		// A kernel acknowledges a FIN behind data 40 ms late too (tcp_fin ends the quick ones).
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

// Data that a program leaves unread tells the peer that it was lost.
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

// What had arrived before a reset can still be read.
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

// A reader that stalls stops the writer when its receive window and the writer's send
// buffer are full, however much there is to write.
func TestWriteToAStalledReaderIsBounded(t *testing.T) {
	onPair(t, func(s *stage, c, peer *sim.TCPConn) {
		data := make([]byte, 256<<20)
		c.SetWriteDeadline(in(time.Minute))
		accepted, err := c.Write(data)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, time.Minute+time.Second, s.n.Elapsed())
		// 252 segments of 1448 bytes: 62 are in the receive buffer of 131072 bytes, where
		// each takes 2 KiB or more with its bookkeeping, and 190 in the send buffer, which has
		// grown to twice the congestion window of the transfer. A kernel took 258.
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

		// Moved away and nearer while a read waits.
		c.SetReadDeadline(in(time.Second))
		time.AfterFunc(500*ms, func() { c.SetReadDeadline(in(10 * time.Second)) })
		time.AfterFunc(5*time.Second, func() { c.SetReadDeadline(in(time.Second)) })
		require.ErrorIs(t, read(), os.ErrDeadlineExceeded)
		require.Equal(t, 8*time.Second, s.n.Elapsed())

		// Cleared while a read waits; one in the past ends it at once.
		c.SetReadDeadline(in(time.Second))
		time.AfterFunc(500*ms, func() { c.SetReadDeadline(time.Time{}) })
		time.AfterFunc(time.Hour, func() { c.SetReadDeadline(time.Unix(1, 0)) })
		require.ErrorIs(t, read(), os.ErrDeadlineExceeded)
		require.Equal(t, time.Hour+8*time.Second, s.n.Elapsed())

		// The two sides are independent, SetDeadline sets both.
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

// Probes are sent when a program asks for them, and find a peer that is gone.
func TestKeepAliveSettings(t *testing.T) {
	for _, c := range []struct {
		reason string
		set    func(c *sim.TCPConn) error
		want   time.Duration // of silence; 0 for no end
	}{
		{"the default of package net", func(c *sim.TCPConn) error { return nil }, 150 * time.Second},
		{"off", func(c *sim.TCPConn) error { return c.SetKeepAlive(false) }, 0},
		{"off and on again", func(c *sim.TCPConn) error { c.SetKeepAlive(false); return c.SetKeepAlive(true) }, 150 * time.Second},
		{"a period is that of the first probe", func(c *sim.TCPConn) error { return c.SetKeepAlivePeriod(100 * time.Second) }, 235 * time.Second},
		{"a period does not switch it on", func(c *sim.TCPConn) error { c.SetKeepAlive(false); return c.SetKeepAlivePeriod(time.Second) }, 0},
		{"parts of a second are rounded up", func(c *sim.TCPConn) error { return c.SetKeepAlivePeriod(1) }, 136 * time.Second},
		{"all of it", func(c *sim.TCPConn) error {
			return c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 2 * time.Second, Count: 3})
		}, 16 * time.Second},
		{"zero stands for the default", func(c *sim.TCPConn) error {
			c.SetKeepAlivePeriod(100 * time.Second)
			return c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true})
		}, 150 * time.Second},
		{"negative values change nothing", func(c *sim.TCPConn) error {
			c.SetKeepAlivePeriod(5 * time.Second)
			return c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: -1, Interval: -1, Count: -1})
		}, 140 * time.Second},
	} {
		t.Run(c.reason, func(t *testing.T) {
			onPair(t, func(s *stage, conn, peer *sim.TCPConn) {
				require.NoError(t, c.set(conn))
				s.link.Down() // the last sign of life came at 20 ms
				conn.SetReadDeadline(in(time.Hour))
				_, err := conn.Read(make([]byte, 1))
				if c.want == 0 {
					require.ErrorIs(t, err, os.ErrDeadlineExceeded)
					return
				}
				require.ErrorIs(t, err, syscall.ETIMEDOUT)
				require.Equal(t, c.want+20*ms, s.n.Elapsed())
			})
		})
	}
	onPair(t, func(s *stage, c, peer *sim.TCPConn) {
		require.ErrorIs(t, c.SetKeepAlivePeriod(10*time.Hour), syscall.EINVAL, "Linux: MAX_TCP_KEEPIDLE")
		require.ErrorIs(t, c.SetReadBuffer(-1), syscall.EINVAL)
		require.ErrorIs(t, c.SetWriteBuffer(-1), syscall.EINVAL)
	})
}

// A writer finds out by itself, after 15 doublings: the kernel measured 1010.6 s with a
// round trip of 100 ms and 951.2 s with 1 ms, its timers rounding up by some percent.
func TestWriterGivesUp(t *testing.T) {
	onPair(t, func(s *stage, c, peer *sim.TCPConn) {
		s.link.Down()
		c.Write([]byte{1})
		start := s.n.Elapsed()
		_, err := c.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ETIMEDOUT)
		took := s.n.Elapsed() - start
		require.GreaterOrEqual(t, took, 924600*ms, "the first timeout at or after 924.6 s")
		require.InEpsilon(t, 951.2, took.Seconds(), 0.05)
	})
}

// SYNs at 0, 1, 2, 3, 4, 5, 7, 11, 19, 35 and 67 s, and the end at 131 s.
func TestSYNLadder(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		n.Link(a, b, netem.Config{}).Down()
		_, err := a.DialContext(context.Background(), "tcp", "b:7")
		require.ErrorIs(t, err, syscall.ETIMEDOUT)
		require.Equal(t, 131*time.Second, n.Elapsed())
		var at []string
		for e := range n.Trace().Events() {
			if e.Kind == sim.Sent {
				require.Equal(t, "S", e.Flags)
				at = append(at, fmt.Sprint(e.At.Seconds()))
			}
		}
		require.Equal(t, []string{"0", "1", "2", "3", "4", "5", "7", "11", "19", "35", "67"}, at)
	})
}

// A dial that is given up leaves nothing behind, and says no more.
func TestCancelledDialLeavesNothing(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		n.Link(a, b, netem.Config{}).Down()
		ctx, cancel := context.WithTimeout(t.Context(), 2500*ms)
		defer cancel()
		_, err := a.DialContext(ctx, "tcp", "b:7")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		settle()
		require.NotContains(t, a.Netstat(), "tcp")
		time.Sleep(time.Minute)
		require.Equal(t, 3, dropped(n, "link down"), "SYNs at 0, 1 and 2 s")
	})
}

// A network that ends between two dials that succeed at one instant releases the second.
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
