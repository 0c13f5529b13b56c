package sim_test

import (
	"context"
	"errors"
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

// A backlog of n lets n + 1 connections wait, as measured on Linux 6.18 for 0, 1 and 4. The next attempt gets no answer.
func TestAcceptBacklog(t *testing.T) {
	for _, row := range []struct{ config, backlog int }{{-1, 0}, {1, 1}, {4, 4}, {0, 4096}} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			server, client := n.Host("server"), n.Host("client")
			server.SetTCP(sim.TCPConfig{AcceptBacklog: row.config})
			listen(t, server, ":7")
			require.Contains(t, server.Netstat(), fmt.Sprintf("  %d  ", row.backlog))
			for range min(row.backlog+1, 10) {
				dial(t, client, "server:7")
			}
			d := client.Dialer()
			d.Timeout = 900 * ms
			_, err := d.Dial("tcp", "server:7")
			if row.backlog < 9 {
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.Equal(t, 1, dropped(n, "accept queue full"))
			} else {
				require.NoError(t, err)
			}
		})
	}
}

// A listener keeps the backlog that the host had when Listen was called. A later SetTCP does not change it.
func TestAcceptBacklogIsThatOfListen(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server, client := n.Host("server"), n.Host("client")
		listen(t, server, ":7")
		server.SetTCP(sim.TCPConfig{AcceptBacklog: -1})
		for range 5 {
			dial(t, client, "server:7")
		}
		require.Zero(t, dropped(n, "accept queue full"))
	})
}

// Two handshakes race for a queue with room for one. Both SYNs find room, but the second of the final acknowledgements finds the queue full. The
// host ignores that acknowledgement, or answers it with an RST if it is configured to (tcp_abort_on_overflow). It ignores a SYN to a full queue
// in both cases.
func TestHandshakeThatEndsAtAFullQueue(t *testing.T) {
	for _, abort := range []bool{false, true} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			server, far := n.Host("server"), n.Host("far")
			server.SetTCP(sim.TCPConfig{AcceptBacklog: -1, AbortOnOverflow: abort})
			n.Link(far, server, netem.Config{Delay: 100 * ms})
			listen(t, server, ":7")
			conns := make(chan net.Conn, 2)
			for range 2 {
				go func() { conns <- dial(t, far, "server:7") }()
			}
			both := []net.Conn{<-conns, <-conns}
			require.InDelta(t, 200*ms, n.Elapsed(), 2, "both believe that they are connected")
			time.Sleep(410*ms - n.Elapsed()) // the acknowledgements are there at 300 ms, a RST is back at 400 ms
			resets, silent := 0, 0
			for _, c := range both {
				c.SetReadDeadline(in(ms))
				_, err := c.Read(make([]byte, 1))
				switch {
				case errors.Is(err, syscall.ECONNRESET):
					resets++
				case errors.Is(err, os.ErrDeadlineExceeded):
					silent++
				}
			}
			if abort {
				require.Equal(t, []int{1, 1, 0}, []int{resets, silent, dropped(n, "accept queue full")})
			} else {
				require.Equal(t, []int{0, 2, 1}, []int{resets, silent, dropped(n, "accept queue full")})
			}

			before := dropped(n, "accept queue full")
			d := far.Dialer()
			d.Timeout = 900 * ms
			_, err := d.Dial("tcp", "server:7")
			require.ErrorIs(t, err, context.DeadlineExceeded, "not refused")
			require.Less(t, before, dropped(n, "accept queue full"))
		})
	}
}
