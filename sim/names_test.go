package sim_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

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

// A name finds its host in upper or lower case, with or without the final dot. A name that no host has is not found,
// and the lookup takes no time.
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

// Hosts and routers share one set of names, which ignores case (RFC 4343).
func TestRoutersHaveNamesInAnyCase(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		gw := n.Router("GW")
		require.Same(t, gw, n.Router("gw"))
		require.Equal(t, "GW", n.Router("Gw").Name(), "as it was made")
	})
}

// For an existing host the resolver has its address and, in reverse, its name. Every other type of record is answered
// with no data, which differs from no such name.
func TestResolverAnswersOtherTypes(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		phone := n.Host("phone")
		n.Host("Server.example")
		c, err := phone.Dial("udp", "127.0.0.53:53")
		require.NoError(t, err)
		ask := func(name string, kind dnsmessage.Type) (dnsmessage.RCode, []dnsmessage.Resource) {
			q := dnsmessage.Message{
				Header:    dnsmessage.Header{ID: 7, RecursionDesired: true},
				Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: kind, Class: dnsmessage.ClassINET}},
			}
			b, err := q.Pack()
			require.NoError(t, err)
			c.Write(b)
			p := make([]byte, 512)
			k, err := c.Read(p)
			require.NoError(t, err)
			var m dnsmessage.Message
			require.NoError(t, m.Unpack(p[:k]))
			require.Equal(t, q.Questions, m.Questions)
			return m.RCode, m.Answers
		}
		for _, row := range []struct {
			name   string
			kind   dnsmessage.Type
			code   dnsmessage.RCode
			answer string
		}{
			{"server.EXAMPLE.", dnsmessage.TypeA, dnsmessage.RCodeSuccess, "10.0.0.2"},
			{"2.0.0.10.in-addr.arpa.", dnsmessage.TypePTR, dnsmessage.RCodeSuccess, "Server.example."},
			{"1.0.0.127.IN-ADDR.arpa.", dnsmessage.TypePTR, dnsmessage.RCodeSuccess, "localhost."},
			{"2.0.0.10.in-addr.arpa.", dnsmessage.TypeTXT, dnsmessage.RCodeSuccess, ""},
			{"9.0.0.10.in-addr.arpa.", dnsmessage.TypePTR, dnsmessage.RCodeNameError, ""},
			{"0.0.10.in-addr.arpa.", dnsmessage.TypePTR, dnsmessage.RCodeNameError, ""},
			{"x.in-addr.arpa.", dnsmessage.TypePTR, dnsmessage.RCodeNameError, ""},
			{"server.example.", dnsmessage.TypePTR, dnsmessage.RCodeSuccess, ""},
			{"server.example.", dnsmessage.TypeAAAA, dnsmessage.RCodeSuccess, ""},
			{"server.example.", dnsmessage.TypeTXT, dnsmessage.RCodeSuccess, ""},
			{"server.example.", dnsmessage.TypeSRV, dnsmessage.RCodeSuccess, ""},
			{"_http._tcp.server.example.", dnsmessage.TypeSRV, dnsmessage.RCodeSuccess, ""},
			{"_http._tcp.server.example.", dnsmessage.TypeA, dnsmessage.RCodeSuccess, ""},
			{"_http._tcp.nobody.", dnsmessage.TypeSRV, dnsmessage.RCodeNameError, ""},
			{"www.server.example.", dnsmessage.TypeA, dnsmessage.RCodeNameError, ""},
			{"localhost.", dnsmessage.TypeA, dnsmessage.RCodeSuccess, "127.0.0.1"}, // although a hosts file has it mostly
			{"localhost.", dnsmessage.TypeAAAA, dnsmessage.RCodeSuccess, ""},
			{"web.LOCALHOST.", dnsmessage.TypeA, dnsmessage.RCodeSuccess, "127.0.0.1"},
			{"nobody.", dnsmessage.TypeTXT, dnsmessage.RCodeNameError, ""},
		} {
			code, answers := ask(row.name, row.kind)
			require.Equal(t, row.code, code, "%s %v", row.name, row.kind)
			got := ""
			for _, a := range answers {
				switch b := a.Body.(type) {
				case *dnsmessage.AResource:
					got += net.IP(b.A[:]).String()
				case *dnsmessage.PTRResource:
					got += b.PTR.String()
				}
			}
			require.Equal(t, row.answer, got, "%s %v", row.name, row.kind)
		}
		names, err := phone.Resolver().LookupAddr(t.Context(), "10.0.0.2")
		require.NoError(t, err)
		require.Equal(t, []string{"Server.example."}, names)
	})
}
