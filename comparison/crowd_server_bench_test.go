package comparison

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// BenchmarkCrowdServer has clients that are no more than a connection, on which they have
// sent their request. What it reports, B/client, is what the server alone takes for each
// that waits, from the moment at which it accepts it, in heap and stacks.
//
// To be compared with the memory of a process (RSS) for each of 8,000 connections over the
// loopback interface, on Go 1.26: a handler that waits 15.4 KB, with two goroutines;
// Server-Sent Events 24.4 KB, with two; github.com/coder/websocket 23.5 KB, with one, where
// package push has three and queues. To that a kernel adds some 4 KB for each socket.
func BenchmarkCrowdServer(b *testing.B) {
	forEachCrowd(b, func(b *testing.B, newCrowd newCrowd, clients int) {
		for b.Loop() {
			var bytes uint64
			require.NoError(b, sim.Try(new(testing.T), func(n *sim.Network) error {
				c, err := newCrowd(clients)
				if err == nil {
					bytes, err = c.hold(n, clients)
				}
				return err
			}, sim.DefaultLink(netem.Config{Delay: 50 * time.Millisecond}), sim.ManyTimers()))
			b.ReportMetric(float64(bytes)/float64(clients), "B/client")
		}
	})
}

// hold returns what the server takes to hold so many clients.
func (c *crowd) hold(n *sim.Network, clients int) (bytes uint64, err error) {
	const perHost = 10_000 // a host has 28,232 ports to dial from
	l, err := n.Host("server").Listen("tcp", ":80")
	if err != nil {
		return 0, err
	}
	waiting := &lateListener{Listener: l, conns: make(chan net.Conn, clients)}
	srv := &http.Server{Handler: c.handler}
	defer func() { err = errors.Join(err, srv.Close(), c.close()) }()
	failed := make(chan error, clients)
	ends := make([]net.Conn, clients)
	for i := range clients {
		h := n.Host(fmt.Sprintf("crowd%d", i/perHost))
		go func() {
			time.Sleep(time.Duration(i) * time.Second / time.Duration(clients))
			conn, err := h.Dial("tcp", "server:80")
			if err == nil {
				ends[i] = conn
				_, err = io.WriteString(conn, c.request(i))
			}
			failed <- err
		}()
	}
	for range clients {
		conn, err := l.Accept()
		if err != nil {
			return 0, err
		}
		waiting.conns <- conn
	}
	for range clients {
		if err := <-failed; err != nil {
			return 0, err
		}
	}
	time.Sleep(time.Second) // the requests arrive, and are acknowledged
	before, _ := inUse()

	go srv.Serve(waiting)
	time.Sleep(10 * time.Second) // before the first heartbeat
	after, _ := inUse()
	if k := c.waiting(); k != clients {
		return 0, fmt.Errorf("%d of %d clients wait", k, clients)
	}
	if err := c.publish([]byte("news")); err != nil {
		return 0, err
	}
	for _, conn := range ends {
		conn.Close()
	}
	return after - before, nil
}

// A lateListener accepts connections that were accepted before.
type lateListener struct {
	net.Listener
	conns chan net.Conn
}

func (l *lateListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	default:
		return l.Listener.Accept() // until it is closed
	}
}
