package sidecar

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"sync/atomic"
)

// Credentials is who a proxy is and whom it trusts, for mutual TLS: both may be replaced while connections are open. Those go on with what they were
// made with, streams included; each connection that is made afterwards has a full handshake with what is new. None resumes a session of an
// earlier identity, which would keep that alive on both sides; and idle connections to replicas are not used again.
//
// Set it before its first use. It may be used concurrently.
type Credentials struct {
	now atomic.Pointer[generation]
}

// generation is what was set at one time.
type generation struct {
	number         uint64
	server, client *tls.Config
}

// Set replaces certificate and roots. The certificate needs its key and the extended key usages of both client and server; roots are those that
// the certificates of the other side must come from. It returns what is wrong with them, and changes nothing then.
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

// Server returns the settings of a listener, which are those of now for each connection: clients must show a certificate.
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

// Client returns the settings for connections to a server of this name, as they are now.
func (id *Credentials) Client(name string) *tls.Config {
	g := id.now.Load()
	if g == nil {
		return &tls.Config{VerifyConnection: func(tls.ConnectionState) error { return errNoCredentials }}
	}
	cfg := g.client.Clone() // which shares the cache
	cfg.ServerName = name
	return cfg
}
