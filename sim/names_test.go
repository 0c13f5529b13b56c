package sim_test

import (
	"errors"
	"net"
	"testing"

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
