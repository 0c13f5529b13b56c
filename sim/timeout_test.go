package sim_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// Probes are sent when a program asks for them, and detect a peer that is gone.
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

// A writer gives up without help after 15 doublings. Linux took 1010.6 s with a round trip of 100 ms and 951.2 s with
// 1 ms; its timers round up by a few percent.
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

// A cancelled dial leaves nothing behind and sends nothing more.
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
