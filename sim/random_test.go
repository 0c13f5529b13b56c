package sim_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// certificate makes a random certificate, as programs do. Bubbles begin in the year 2000.
func certificate(t *testing.T, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name},
		NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// https makes one request over TLS, with new keys, and returns the hash of the trace.
func https(t *testing.T, seed uint64) (hash uint64) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server, phone := n.Host("server"), n.Host("phone")
		n.Link(server, phone, netem.Config{Delay: 40 * ms})
		cert, roots := certificate(t, "server")
		l, err := server.Listen("tcp", ":443")
		require.NoError(t, err)
		srv := &http.Server{Handler: hello, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}}
		srv.Protocols = new(http.Protocols)
		srv.Protocols.SetHTTP1(true) // its one goroutine a connection writes in one order
		go srv.ServeTLS(l, "", "")
		defer srv.Close()
		c := phone.HTTPClient()
		c.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: roots}
		got, err := body(c.Get("https://server/"))
		require.NoError(t, err)
		require.Equal(t, "hello over HTTP/1.1", got)
		hash = n.Trace().Hash()
	}, sim.Seed(seed))
	return hash
}

// Keys, nonces and signatures depend on the seed, so TLS replays. TLS signatures of 70 to 72 bytes would already show
// in the lengths of packets.
func TestTLSIsOfTheSeed(t *testing.T) {
	seedsOfItsOwn(t)
	one := https(t, 1)
	for range 5 {
		require.Equal(t, one, https(t, 1))
	}
	require.NotEqual(t, one, https(t, 2))
}

// randomText draws text from crypto/rand in a bubble.
func randomText(t *testing.T, seed uint64) (drawn string) {
	sim.Test(t, func(*testing.T, *sim.Network) { drawn = rand.Text() }, sim.Seed(seed))
	return drawn
}

func TestCryptoIsRandomAgainAfterATest(t *testing.T) {
	seedsOfItsOwn(t)
	source := rand.Reader
	one := randomText(t, 1)
	require.Equal(t, source, rand.Reader)
	after := rand.Text()
	require.Equal(t, one, randomText(t, 1))
	require.NotEqual(t, one, randomText(t, 2))
	require.NotEqual(t, after, rand.Text())

	again := ""
	require.NoError(t, sim.Try(t, func(*sim.Network) error { again = rand.Text(); return nil }))
	require.Equal(t, one, again)
}

// Tests that run in parallel have random streams of their own for crypto/rand.
func TestCryptoInParallelTests(t *testing.T) {
	seedsOfItsOwn(t)
	for seed := range uint64(4) {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			one := ""
			for range 3 {
				sim.Test(t, func(t *testing.T, n *sim.Network) {
					drawn := ""
					for range 10 {
						p := make([]byte, 16)
						rand.Read(p)
						drawn += string(p) + rand.Text()
						time.Sleep(time.Second)
					}
					if one == "" {
						one = drawn
					}
					require.Equal(t, one, drawn)
				}, sim.Seed(seed))
			}
			require.NotEqual(t, rand.Text(), rand.Text(), "outside of a bubble nothing has changed")
			require.NotEqual(t, one[:16], string(randomBytes(t, seed+1)))
			require.Equal(t, one[:16], string(randomBytes(t, seed)))
		})
	}
}

func randomBytes(t *testing.T, seed uint64) []byte {
	p := make([]byte, 16)
	sim.Test(t, func(*testing.T, *sim.Network) { rand.Reader.Read(p) }, sim.Seed(seed))
	return p
}
