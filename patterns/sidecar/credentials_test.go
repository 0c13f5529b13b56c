package sidecar_test

import (
	"crypto/tls"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/sidecar"
	"github.com/squall-sim/squall/sim"
)

// A listener that was made once resumes the sessions of its credentials, and none of earlier ones: also for a client whose own have not changed, and to
// which the new certificate would be as good. Only a full handshake shows it who is there now.
func TestCredentialsResumeOnlyTheirOwn(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server, client := n.Host("server"), n.Host("client")
		var far, near sidecar.Credentials
		require.NoError(t, far.Set(server.Certificate(), n.Roots()))
		require.NoError(t, near.Set(client.Certificate(), n.Roots()))
		inner, err := server.Listen("tcp", ":443")
		require.NoError(t, err)
		l := tls.NewListener(inner, far.Server())
		defer l.Close()
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func(c net.Conn) { defer c.Close(); io.WriteString(c, "hello") }(c)
			}
		}()
		connect := func() (resumed bool) {
			raw, err := client.Dial("tcp", "server:443")
			require.NoError(t, err)
			c := tls.Client(raw, near.Client("server"))
			defer c.Close()
			_, err = io.ReadAll(c) // the ticket comes before what is read
			require.NoError(t, err)
			return c.ConnectionState().DidResume
		}

		require.False(t, connect())
		require.True(t, connect())
		require.NoError(t, far.Set(server.Certificate("other"), n.Roots()))
		require.False(t, connect(), "the server's are new")
		require.True(t, connect())
		require.NoError(t, near.Set(client.Certificate("other"), n.Roots()))
		require.False(t, connect(), "the client's are new")
	})
	var none sidecar.Credentials
	require.EqualError(t, none.Set(tls.Certificate{}, nil), "sidecar: Credentials.Set: certificate is without a chain or a key: want both")
}
