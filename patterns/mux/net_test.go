package mux_test

import (
	"crypto/tls"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/mux"
	"github.com/squall-sim/squall/sim"
)

// The conformance suite of net.Conn, over connections of the simulated network whose packets take time and get lost. It runs on
// the wall clock, since it makes subtests.
func TestConnOverALossyLink(t *testing.T) {
	t.Parallel()
	n := sim.New(sim.DefaultLink(netem.Config{Delay: time.Millisecond, Loss: netem.Bernoulli(0.01)}))
	t.Cleanup(n.Close)
	l, err := n.Host("server").Listen("tcp", ":80")
	require.NoError(t, err)
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		p, err := n.Host("phone").Dial("tcp", "server:80")
		if err != nil {
			return nil, nil, nil, err
		}
		q, err := l.Accept()
		if err != nil {
			return nil, nil, nil, err
		}
		client, server := mux.Config{}.Client(p), mux.Config{}.Server(q)
		a, b := open(t, client, server)
		return a, b, func() { client.Close(); server.Close() }, nil
	})
}

// The same over the operating system's TCP.
func TestConnOverLoopback(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		p, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			return nil, nil, nil, err
		}
		q, err := l.Accept()
		if err != nil {
			return nil, nil, nil, err
		}
		client, server := mux.Config{}.Client(p), mux.Config{}.Server(q)
		a, b := open(t, client, server)
		return a, b, func() { client.Close(); server.Close() }, nil
	})
}

// certificate is one for any name.
func certificate(t *testing.T) tls.Certificate {
	n := sim.New()
	t.Cleanup(n.Close)
	return n.Host("server").Certificate()
}
