package sidecar

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"sync/atomic"
)

// Credentials are the identity of a proxy and the authorities that it trusts, for mutual TLS. Both
// can be replaced while connections are open. Open connections, including streams, keep what they
// were opened with. Every new connection has a full handshake with the new ones. None resumes a
// session of an earlier identity, which would keep that identity alive on both sides, and idle
// connections to replicas are not reused.
//
// Call Set before its first use. It may be used concurrently.
type Credentials struct {
	now atomic.Pointer[generation]
}

// generation is what was set at one time.
type generation struct {
	number         uint64
	server, client *tls.Config
}

// Set replaces the certificate and the roots. The certificate needs its key and the extended key
// usages of both client and server. The certificates of the other side must chain to roots. If
// either is invalid, Set returns an error and changes nothing.
func (id *Credentials) Set(certificate tls.Certificate, roots *x509.CertPool) error {
	if len(certificate.Certificate) == 0 || certificate.PrivateKey == nil {
		return errors.New("sidecar: Credentials.Set: certificate is without a chain or a key: want both")
	}
	if roots == nil {
		return errors.New("sidecar: Credentials.Set: roots is nil: want those of the other side")
	}
	g := &generation{
		server: &tls.Config{
			Certificates: []tls.Certificate{certificate}, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert,
			NextProtos: []string{"h2", "http/1.1"}, MinVersion: tls.VersionTLS12,
		},
		client: &tls.Config{
			Certificates: []tls.Certificate{certificate}, RootCAs: roots, MinVersion: tls.VersionTLS12,
			ClientSessionCache: tls.NewLRUClientSessionCache(64),
		},
	}
	// Without keys of its own, the config that GetConfigForClient returns would have those of the listener's, and so resume what an earlier
	// identity began.
	var key [32]byte
	rand.Read(key[:])
	g.server.SetSessionTicketKeys([][32]byte{key})
	for {
		before := id.now.Load()
		if g.number = 1; before != nil {
			g.number = before.number + 1
		}
		if id.now.CompareAndSwap(before, g) {
			return nil
		}
	}
}

// number is that of the generation; nil has none.
func (id *Credentials) number() uint64 {
	if id == nil {
		return 0
	}
	if g := id.now.Load(); g != nil {
		return g.number
	}
	return 0
}

var errNoCredentials = errors.New("sidecar: Credentials.Set was not called")

// Server returns settings for a listener, which use the current credentials for each connection.
// Clients must present a certificate.
func (id *Credentials) Server() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			if g := id.now.Load(); g != nil {
				return g.server, nil
			}
			return nil, errNoCredentials
		},
	}
}

// Client returns the current settings for connections to a server with this name.
func (id *Credentials) Client(name string) *tls.Config {
	g := id.now.Load()
	if g == nil {
		return &tls.Config{VerifyConnection: func(tls.ConnectionState) error { return errNoCredentials }}
	}
	cfg := g.client.Clone() // which shares the cache
	cfg.ServerName = name
	return cfg
}
