package sim_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
)

func TestResolverKnowsTheHosts(t *testing.T) {
	for range 2 { // the resolver keeps state between bubbles
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			r := n.Host("phone").Resolver()
			server := n.Host("server.example")

			addrs, err := r.LookupHost(t.Context(), "Server.example.")
			require.NoError(t, err)
			require.Equal(t, []string{server.Addr().String()}, addrs)

			_, err = r.LookupHost(t.Context(), "nobody.example.")
			var dnsErr *net.DNSError
			require.True(t, errors.As(err, &dnsErr), "%v", err)
			require.True(t, dnsErr.IsNotFound)
		})
	}
}

// A name finds its host in any case and with the final dot; what no host is called is
// not found, and no time passes.
func TestHostsFindEachOtherByName(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server, phone := n.Host("Server"), n.Host("phone")
		require.Same(t, server, n.Host("sERVER"))
		accept(listen(t, server, ":7"), echo)
		for _, name := range []string{"Server:7", "server:7", "SERVER.:7", "10.0.0.1:7", "[::ffff:10.0.0.1]:7"} {
			c, err := phone.Dial("tcp", name)
			require.NoError(t, err, name)
			require.Equal(t, "10.0.0.1:7", c.RemoteAddr().String())
		}
		for _, addr := range []string{"nobody:7", "serve:7", "server.example:7", "bad name:7"} {
			_, err := phone.Dial("tcp", addr)
			var op *net.OpError
			require.ErrorAs(t, err, &op)
			require.Equal(t, "dial", op.Op)
			var dns *net.DNSError
			require.ErrorAs(t, err, &dns)
			require.True(t, dns.IsNotFound)
			require.False(t, dns.IsTimeout || dns.IsTemporary)
			require.Equal(t, addr[:len(addr)-2], dns.Name)
		}
		require.Less(t, n.Elapsed(), time.Microsecond, "names take no time")
	})
}
