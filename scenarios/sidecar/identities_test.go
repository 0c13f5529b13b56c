package sidecar_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/sidecar"
	"github.com/squall-sim/squall/scenarios/scenario"
	"github.com/squall-sim/squall/sim"
)

// authority signs certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  ed25519.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	a := &authority{t: t}
	_, a.key, _ = ed25519.GenerateKey(rand.Reader)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(10_000 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	require.NoError(t, err)
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	return a
}

// sign makes a certificate for a name, valid for a day around now; change makes it another.
func (a *authority) sign(name string, serial int64, change func(*x509.Certificate)) tls.Certificate {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(23 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	require.NoError(a.t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(a.t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func (a *authority) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// mesh is an app with its sidecar, and a service behind one of its own, on another host, which talk by mutual TLS.
type mesh struct {
	*world
	ca        *authority
	near, far *sidecar.Credentials
	behind    *replica // the service behind the far sidecar
}

// meet makes a mesh. change is of the certificate of the service's sidecar.
func meet(t *testing.T, n *sim.Network, change func(*x509.Certificate)) *mesh {
	m := &mesh{ca: newAuthority(t, "authority"), near: &sidecar.Credentials{}, far: &sidecar.Credentials{}}
	require.NoError(t, m.near.Set(m.ca.sign("app", 1, nil), m.ca.roots()))
	require.NoError(t, m.far.Set(m.ca.sign("service", 1, change), m.ca.roots()))
	m.world = start(t, n, 1, func(up *sidecar.Upstream) {
		up.Addrs, up.Credentials, up.MaxAttempts = []string{"service0:443"}, m.near, 1
	})
	m.behind = m.replicas[0]
	inbound := &sidecar.Proxy{Credentials: m.far, Config: sidecar.Config{Routes: []sidecar.Route{{Upstream: &sidecar.Upstream{
		Name: "inside", Addrs: []string{"service0:80"}, DialContext: m.behind.host.DialContext,
	}}}}}
	m.behind.host.Run("sidecar", func(ctx context.Context, h *sim.Host) error {
		l, err := h.Listen("tcp", ":443")
		if err != nil {
			return err
		}
		defer context.AfterFunc(ctx, func() { inbound.Close() })()
		inbound.Serve(l)
		return inbound.Close()
	})
	time.Sleep(1)
	return m
}

// Who talks to whom.
var identities = []scenario.Row{
	{Name: "SC-18 a certificate that is valid", Reason: "the control: a valid certificate is accepted",
		Story: func(t *testing.T, n *sim.Network) {
			m := meet(t, n, nil)
			// A connection, two flights of TLS 1.3 (the request goes with the second), and the answer.
			m.mustBe(m.get(), 200, 240*ms)
			m.mustBe(m.get(), 200, 80*ms)
		}},
	{Name: "SC-18 one that has expired", Reason: "nothing is sent to a server with an expired certificate",
		Story: refused(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-sec) })},
	{Name: "SC-18 one that is not valid yet", Reason: "the verifier's clock is slow, or the certificate is too new",
		Story: refused(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) })},
	{Name: "SC-18 one of another name", Reason: "another service of the same authority must not be accepted",
		Story: refused(func(c *x509.Certificate) { c.DNSNames = []string{"other"} })},
	{Name: "SC-18 one that is for clients only", Reason: "a client's certificate must not serve as a server's",
		Story: refused(func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[1:] })},
	{Name: "SC-18 one of another authority", Reason: "anybody could have created such a certificate",
		Story: func(t *testing.T, n *sim.Network) {
			m := meet(t, n, nil)
			other := newAuthority(t, "other")
			require.NoError(t, m.far.Set(other.sign("service", 1, nil), m.ca.roots()))
			require.Equal(t, 503, m.get().status)
			require.Zero(t, m.begun())
		}},
	{Name: "SC-18 a client without a certificate", Reason: "mutual TLS means that clients need one too",
		Story: func(t *testing.T, n *sim.Network) {
			m := meet(t, n, nil)
			client := m.app.HTTPClient()
			client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: m.ca.roots(), ServerName: "service"}
			_, err := client.Get("https://service0:443/")
			require.Error(t, err)
			require.Zero(t, m.begun())
		}},
	{Name: "SC-18 a clock that is a day behind", Reason: "each verifier judges certificates by its own clock, including this process",
		Story: func(t *testing.T, n *sim.Network) {
			m := meet(t, n, nil)
			require.Equal(t, 200, m.get().status)
			time.Sleep(24 * time.Hour) // all have expired
			require.Equal(t, 503, m.get().status)
			require.NoError(t, m.far.Set(m.ca.sign("service", 2, nil), m.ca.roots()))
			require.NoError(t, m.near.Set(m.ca.sign("app", 2, nil), m.ca.roots()))
			require.Equal(t, 200, m.get().status)
		}},
	{Name: "SC-18 rotation while a stream is open", Reason: "certificates live for hours, and streams for days",
		Story: func(t *testing.T, n *sim.Network) {
			m := meet(t, n, nil)
			m.behind.does(func(w http.ResponseWriter, r *http.Request) {
				for range 100 {
					io.WriteString(w, "x")
					http.NewResponseController(w).Flush()
					time.Sleep(sec)
				}
			})
			stream := make(chan answer, 1)
			go func() { stream <- m.get() }()
			time.Sleep(10 * sec)
			m.behind.does(nil)
			require.Equal(t, 200, m.get().status)
			before := m.up.Stats().Connects
			require.NoError(t, m.far.Set(m.ca.sign("service", 2, nil), m.ca.roots()))
			require.NoError(t, m.near.Set(m.ca.sign("app", 2, nil), m.ca.roots()))
			m.mustBe(m.get(), 200, 240*ms) // a connection of its own, with a full handshake
			require.Equal(t, before+1, m.up.Stats().Connects)
			a := <-stream
			require.NoError(t, a.err)
			require.Len(t, a.body, 100)
		}},
	{Name: "SC-18 rotation to an identity that is not trusted", Reason: "a resumed session would keep using the old identity and hide the mistake",
		Story: func(t *testing.T, n *sim.Network) {
			m := meet(t, n, nil)
			for range 3 {
				require.Equal(t, 200, m.get().status)
				time.Sleep(2 * time.Minute) // idle connections are closed, and the next one could resume
			}
			other := newAuthority(t, "other")
			require.NoError(t, m.far.Set(other.sign("service", 2, nil), m.ca.roots()))
			require.Equal(t, 503, m.get().status)
			require.NoError(t, m.far.Set(m.ca.sign("service", 3, nil), m.ca.roots()))
			require.Equal(t, 200, m.get().status)
		}},
}

func refused(change func(*x509.Certificate)) func(*testing.T, *sim.Network) {
	return func(t *testing.T, n *sim.Network) {
		m := meet(t, n, change)
		a := m.call("POST", "x")
		require.Equal(t, 503, a.status)
		require.Equal(t, "not-executed", a.header.Get("Call-Outcome"))
		require.Zero(t, m.begun())
	}
}
