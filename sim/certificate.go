package sim

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"fmt"
	"math/big"
	"net"
	"time"
)

// Certificate returns a certificate for h with its key, for a server or a client. It covers the name of h,
// its addresses, 127.0.0.1, [::1] if h has IPv6, and the names and addresses given. Names are DNS names, and
// may begin with "*.". The network's authority signs it, which [Network.Roots] trusts:
//
//	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{h.Certificate()}}
//	transport.TLSClientConfig = &tls.Config{RootCAs: n.Roots()}
//
// The certificate is a function of the network's seed, the name of h and the other names. Its key is an
// Ed25519 key, whose signatures are not random. Networks of one seed therefore trust each other. It is valid
// from a day before the network begins, which in a bubble is midnight of 1 January 2000 UTC, for longer than
// any [Limit]. A test of what happens when a certificate expires must make its own. Certificate panics if a
// name is not one that a certificate can hold.
func (h *Host) Certificate(names ...string) tls.Certificate {
	h.must("Certificate")
	template := h.n.certificateTemplate("host "+h.name, names...)
	template.Subject.CommonName = h.name
	template.DNSNames = []string{h.name}
	for _, a := range h.Addrs() {
		template.IPAddresses = append(template.IPAddresses, a.AsSlice())
	}
	template.IPAddresses = append(template.IPAddresses, net.IPv4(127, 0, 0, 1))
	if get(h.n, func() bool { return h.addresses.ipv6 }) {
		template.IPAddresses = append(template.IPAddresses, net.IPv6loopback)
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
		if name == "" {
			panic(fmt.Sprintf("sim: host %s: Certificate(%q): a name must not be empty", h.name, names))
		}
	}
	ca, signer := h.n.authority()
	key := h.n.certificateKey("host "+h.name, names...)
	leaf, err := sign(template, ca, key, signer)
	if err != nil {
		panic(fmt.Sprintf("sim: host %s: Certificate(%q): %v", h.name, names, err))
	}
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

// Roots returns a new pool that holds the network's authority, which signs what [Host.Certificate] returns.
// Use it for RootCAs of clients, and for ClientCAs of servers that ask for a certificate.
func (n *Network) Roots() *x509.CertPool {
	ca, _ := n.authority()
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	return pool
}

// authority returns the certificate that signs all others, and its key.
func (n *Network) authority() (*x509.Certificate, ed25519.PrivateKey) {
	template := n.certificateTemplate("authority")
	template.Subject.CommonName = "the simulated network"
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	key := n.certificateKey("authority")
	ca, err := sign(template, template, key, key)
	if err != nil {
		panic("sim: the network's certificate: " + err.Error())
	}
	return ca, key
}

// certificateTemplate is what all certificates have in common. The serial number depends on who the
// certificate is for.
func (n *Network) certificateTemplate(who string, names ...string) *x509.Certificate {
	number := sha256.Sum256(n.certificateKey(who, names...))
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(number[:8]),
		Subject:      pkix.Name{Organization: []string{"squall"}},
		NotBefore:    n.clock.start.UTC().Add(-24 * time.Hour),
		NotAfter:     n.clock.start.UTC().Add(maxLimit + overtime),
	}
}

// certificateKey is a function of the seed and of who the certificate is for.
func (n *Network) certificateKey(who string, names ...string) ed25519.PrivateKey {
	seed := sha256.Sum256(fmt.Appendf(binary.BigEndian.AppendUint64(nil, n.seed), "%q %q", who, names))
	return ed25519.NewKeyFromSeed(seed[:])
}

// sign makes a certificate. It uses no random numbers.
func sign(template, parent *x509.Certificate, key, signer ed25519.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(nil, template, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}
