package mux_test

import (
	"context"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"

	"github.com/squall-sim/squall/patterns/mux"
)

// pair is two sessions over net.Pipe.
func pair(t testing.TB, c mux.Config) (client, server *mux.Session) {
	p, q := net.Pipe()
	client, server = c.Client(p), c.Server(q)
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

// open opens a stream and accepts it.
func open(t testing.TB, client, server *mux.Session) (a, b *mux.Stream) {
	a, err := client.Open(context.Background())
	require.NoError(t, err)
	b, err = server.AcceptStream(context.Background())
	require.NoError(t, err)
	return a, b
}

func TestConnOverPipe(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		client, server := pair(t, mux.Config{})
		a, b := open(t, client, server)
		return a, b, func() { client.Close(); server.Close() }, nil
	})
}
