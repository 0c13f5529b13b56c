package sim_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
)

func TestCertificateNames(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		h := n.Host("Shop_1")
		cert := h.Certificate("*.shop.example", "192.0.2.7")
		trusted := func(name string, usage x509.ExtKeyUsage) error {
			_, err := cert.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: n.Roots(), CurrentTime: time.Now(), KeyUsages: []x509.ExtKeyUsage{usage}})
			return err
		}
		for _, name := range []string{"shop_1", "SHOP_1", "eu.shop.example", "[192.0.2.7]", "[" + h.Addr().String() + "]", "[127.0.0.1]"} {
			require.NoError(t, trusted(name, x509.ExtKeyUsageServerAuth), name)
			require.NoError(t, trusted(name, x509.ExtKeyUsageClientAuth), name)
		}
		for _, name := range []string{"shop_2", "shop.example", "a.b.shop.example", "[192.0.2.8]"} {
			require.Error(t, trusted(name, x509.ExtKeyUsageServerAuth), name)
		}
		require.False(t, cert.Leaf.IsCA)
		_, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: x509.NewCertPool()})
		require.Error(t, err, "nobody else trusts it")

		require.PanicsWithValue(t, `sim: host Shop_1: Certificate(["a" ""]): a name must not be empty`, func() { h.Certificate("a", "") })
		require.Panics(t, func() { h.Certificate("ä") })
	})
}

// Certificates are valid from the year 2000, when bubbles begin, for longer than any test can run.
func TestCertificateIsValidForAsLongAsATestMayTake(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		cert := n.Host("server").Certificate()
		century := time.Now().Add(100 * 365 * 24 * time.Hour)
		for _, at := range []time.Time{time.Now(), century} {
			_, err := cert.Leaf.Verify(x509.VerifyOptions{DNSName: "server", Roots: n.Roots(), CurrentTime: at})
			require.NoError(t, err)
		}
		require.Equal(t, time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC), cert.Leaf.NotBefore)
	})
	n := sim.New()
	defer n.Close()
	_, err := n.Host("server").Certificate().Leaf.Verify(x509.VerifyOptions{DNSName: "server", Roots: n.Roots()})
	require.NoError(t, err, "and on the wall clock")
}

// A certificate depends only on the seed, the host and the names, and on nothing random.
func TestCertificateIsOfTheSeed(t *testing.T) {
	of := func(seed uint64, host string, names ...string) (der string, number string) {
		require.NoError(t, sim.Try(t, func(n *sim.Network) error {
			cert := n.Host(host).Certificate(names...)
			der, number = string(cert.Certificate[0]), cert.Leaf.SerialNumber.String()
			return nil
		}, sim.Seed(seed)))
		return der, number
	}
	one, number := of(1, "a")
	again, _ := of(1, "a")
	require.Equal(t, one, again)
	seen := map[string]bool{number: true}
	for _, other := range []struct {
		seed  uint64
		host  string
		names []string
	}{{2, "a", nil}, {1, "b", nil}, {1, "a", []string{"b"}}} {
		der, number := of(other.seed, other.host, other.names...)
		require.NotEqual(t, one, der)
		require.False(t, seen[number], "an authority numbers each certificate once")
		seen[number] = true
	}
}

// A server can ask its client for a certificate, and refuses one from another network.
func TestCertificatesOfBothSides(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server, phone, stranger := n.Host("server"), n.Host("phone"), sim.New(sim.Seed(n.Seed()+1))
		defer stranger.Close()
		peers := make(chan string, 1)
		accept(listen(t, server, ":443"), func(c net.Conn) {
			s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{server.Certificate()}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: n.Roots()})
			if s.Handshake() == nil {
				peers <- s.ConnectionState().PeerCertificates[0].Subject.CommonName
			} else {
				peers <- "nobody"
			}
			s.Close()
		})
		for _, row := range []struct {
			cert tls.Certificate
			want string
		}{
			{phone.Certificate(), "phone"},
			{stranger.Host("phone").Certificate(), "nobody"},
		} {
			c := tls.Client(dial(t, phone, "server:443"), &tls.Config{RootCAs: n.Roots(), ServerName: "server", Certificates: []tls.Certificate{row.cert}})
			require.NoError(t, c.Handshake())
			require.Equal(t, row.want, <-peers)
			c.Close()
		}
	})
}
