package interop

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/squall-sim/squall/patterns/sidecar"
)

// The conformance suite of Connect calls its reference client and server by Connect's protocol, gRPC and gRPC-Web, by HTTP/1.1 and HTTP/2, with TLS, without and with certificates on both
// sides, with each encoding and compression, and looks at what is on the wire: header fields and trailers of both directions, statuses, cancellations, timeouts, and requests and answers that are wrong on
// purpose. Here patterns/sidecar stands in between, which must change no verdict.
//
// The suite's programs are processes of their own, over the operating system's loopback: it starts the client or the server that is tested, tells it by its standard input what to do, and
// reads from its standard output. What it starts here is this test's own executable (see TestMain), which starts the real one, puts a proxy in front of it, and changes the addresses and certificates
// in what is said. HTTP/3 is left out: the sidecar does not speak it.
//
// By default a part of the suite runs, for some seconds; SQUALL_CONFORMANCE=1 runs the whole, through the sidecar and without it.
func TestConnectConformance(t *testing.T) {
	whole := os.Getenv("SQUALL_CONFORMANCE") != ""
	conf := filepath.Join(t.TempDir(), "conformance.yaml")
	require.NoError(t, os.WriteFile(conf, []byte(conformanceFeatures), 0o600))
	program := func(name string) string {
		out, err := exec.Command("go", "tool", "-n", name).Output()
		require.NoError(t, err, "go tool -n %s", name)
		return strings.TrimSpace(string(out))
	}
	self, err := os.Executable()
	require.NoError(t, err)
	runner := program("connectconformance")
	for _, mode := range conformanceModes {
		t.Run(mode.name, func(t *testing.T) {
			tested := program(mode.tested)
			run := func(command ...string) {
				args := []string{"--mode", mode.name, "--conf", conf}
				cases := mode.cases
				if !whole {
					cases = mode.ofPart
					for _, suite := range mode.part {
						args = append(args, "--run", suite)
					}
				}
				out, err := exec.CommandContext(t.Context(), runner, append(append(args, "--"), command...)...).CombinedOutput()
				require.NoError(t, err, "%s", out)
				require.Contains(t, string(out), fmt.Sprintf("Total cases: %d\n%d passed, 0 failed", cases, cases))
			}
			run(self, conformanceArg, mode.name, tested)
			if whole {
				run(tested)
			}
		})
	}
}

var conformanceModes = []struct {
	name, tested  string
	part          []string
	cases, ofPart int
}{
	{"server", "referenceserver", []string{"Basic/**/Compression:COMPRESSION_GZIP/**", "Server Message Size/**", "TLS Client Certs/**"}, 10756, 916},
	{"client", "referenceclient", []string{"Basic/**/Compression:COMPRESSION_GZIP/**", "gRPC Trailers/**", "gRPC Unexpected Responses/**", "TLS Client Certs/**"}, 13094, 317},
}

// conformanceFeatures is all that the reference implementations can do by HTTP/1.1 and HTTP/2.
const conformanceFeatures = `features:
  versions: [HTTP_VERSION_1, HTTP_VERSION_2]
  protocols: [PROTOCOL_CONNECT, PROTOCOL_GRPC, PROTOCOL_GRPC_WEB]
  codecs: [CODEC_PROTO, CODEC_JSON]
  compressions: [COMPRESSION_IDENTITY, COMPRESSION_GZIP, COMPRESSION_BR, COMPRESSION_ZSTD, COMPRESSION_DEFLATE, COMPRESSION_SNAPPY]
  supportsTlsClientCerts: true
  supportsHalfDuplexBidiOverHttp1: true
`

// conformanceArg has the test's executable be a client or server under test, instead of running tests.
const conformanceArg = "-conformance-through-sidecar"

func TestMain(m *testing.M) {
	if len(os.Args) != 4 || os.Args[1] != conformanceArg {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	child := exec.CommandContext(ctx, os.Args[3])
	child.Cancel = func() error { return child.Process.Signal(syscall.SIGTERM) }
	child.Stderr = os.Stderr
	act := conformanceServer
	if os.Args[2] == "client" {
		act = conformanceClient
	}
	if err := act(child); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// conformanceServer is a server under test: the real one behind a proxy.
func conformanceServer(child *exec.Cmd) error {
	request, err := readPacket(os.Stdin)
	if err != nil {
		return err
	}
	const useTLS, clientCert, serverCreds = 4, 5, 7
	const cert, key = 1, 2
	front, back := &conformanceEnd{}, &conformanceEnd{}
	if request.number(useTLS) != 0 {
		creds, err := parsePacket(request.text(serverCreds))
		if err != nil {
			return err
		}
		if front.own, err = tls.X509KeyPair(creds.text(cert), creds.text(key)); err != nil {
			return err
		}
		front.peer, back.peer = request.text(clientCert), creds.text(cert)
		// The key that belongs to a client's certificate is not known here, so that the server cannot ask for it: the proxy does.
		request = request.without(clientCert)
	}
	in, err := child.StdinPipe()
	if err != nil {
		return err
	}
	out, err := child.StdoutPipe()
	if err != nil {
		return err
	}
	if err := child.Start(); err != nil {
		return err
	}
	if err := errors.Join(request.write(in), in.Close()); err != nil {
		return err
	}
	answer, err := readPacket(out)
	if err != nil {
		return err
	}
	const host, port = 1, 2
	proxy, addr, err := throughConformanceProxy(net.JoinHostPort(string(answer.text(host)), strconv.Itoa(int(answer.number(port)))), front, back)
	if err != nil {
		return err
	}
	defer proxy.Close()
	if err := answer.with(port, uint64(addr.Port)).write(os.Stdout); err != nil {
		return err
	}
	return child.Wait()
}

// conformanceClient is a client under test: the real one, whose requests go through proxies.
func conformanceClient(child *exec.Cmd) error {
	const host, port, serverCert, clientCreds = 6, 7, 8, 9
	const cert, key = 1, 2
	own, ownPEM, err := conformanceCertificate()
	if err != nil {
		return err
	}
	in, err := child.StdinPipe()
	if err != nil {
		return err
	}
	child.Stdout = os.Stdout
	if err := child.Start(); err != nil {
		return err
	}
	proxies := map[string]int{} // the ports of those there are
	for {
		request, err := readPacket(os.Stdin)
		if err == io.EOF {
			return errors.Join(in.Close(), child.Wait())
		} else if err != nil {
			return err
		}
		front, back := &conformanceEnd{}, &conformanceEnd{peer: request.text(serverCert)}
		if len(back.peer) > 0 {
			front.own = own
			creds, err := parsePacket(request.text(clientCreds))
			if err != nil {
				return err
			}
			if front.peer = creds.text(cert); len(front.peer) > 0 {
				if back.own, err = tls.X509KeyPair(front.peer, creds.text(key)); err != nil {
					return err
				}
			}
			request = request.with(serverCert, ownPEM)
		}
		target := net.JoinHostPort(string(request.text(host)), strconv.Itoa(int(request.number(port))))
		id := fmt.Sprintf("%s %s %s", target, back.peer, front.peer)
		if proxies[id] == 0 {
			proxy, addr, err := throughConformanceProxy(target, front, back)
			if err != nil {
				return err
			}
			defer proxy.Close()
			proxies[id] = addr.Port
		}
		if err := request.with(host, []byte("127.0.0.1")).with(port, uint64(proxies[id])).write(in); err != nil {
			return err
		}
	}
}

// A conformanceEnd is one side of a proxy: the certificate that it shows there, and the one that it wants to see.
type conformanceEnd struct {
	own  tls.Certificate
	peer []byte
}

func (e *conformanceEnd) config() *tls.Config {
	if len(e.own.Certificate) == 0 && len(e.peer) == 0 {
		return nil
	}
	cfg := &tls.Config{NextProtos: []string{"h2", "http/1.1"}}
	if len(e.own.Certificate) > 0 {
		cfg.Certificates = []tls.Certificate{e.own}
	}
	if len(e.peer) > 0 {
		trusted := x509.NewCertPool()
		trusted.AppendCertsFromPEM(e.peer)
		cfg.RootCAs, cfg.ClientCAs, cfg.ClientAuth = trusted, trusted, tls.RequireAndVerifyClientCert
	}
	return cfg
}

// throughConformanceProxy starts a proxy in front of a server. It has a breaker that does not open: many cases are of calls that fail.
func throughConformanceProxy(target string, front, back *conformanceEnd) (*sidecar.Proxy, *net.TCPAddr, error) {
	proxy := &sidecar.Proxy{TLS: front.config(), Config: sidecar.Config{Routes: []sidecar.Route{{
		Upstream: &sidecar.Upstream{
			Name: "127.0.0.1", Addrs: []string{target}, TLS: back.config(), Breaker: sidecar.Breaker{MinRequests: math.MaxInt32},
		},
	}}}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	go proxy.Serve(l)
	return proxy, l.Addr().(*net.TCPAddr), nil
}

func conformanceCertificate() (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}

// A packet is what the suite and a program say to each other: a message of protocol buffers. Their types are internal to the suite, so that its fields are known here by the numbers that its
// documentation gives (client_compat.proto, server_compat.proto).
type packet []packetField

type packetField struct {
	number protowire.Number
	value  uint64 // of a number
	text   []byte // of bytes, text or a message
	raw    []byte
}

// readPacket reads a message behind its length.
func readPacket(r io.Reader) (packet, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	text := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, err
	}
	return parsePacket(text)
}

func parsePacket(text []byte) (p packet, err error) {
	for len(text) > 0 {
		number, kind, n := protowire.ConsumeField(text)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		f := packetField{number: number, raw: text[:n]}
		_, _, tag := protowire.ConsumeTag(text)
		switch kind {
		case protowire.VarintType:
			f.value, _ = protowire.ConsumeVarint(text[tag:])
		case protowire.BytesType:
			f.text, _ = protowire.ConsumeBytes(text[tag:])
		}
		p, text = append(p, f), text[n:]
	}
	return p, nil
}

func (p packet) number(n protowire.Number) (value uint64) {
	for _, f := range p {
		if f.number == n {
			value = f.value
		}
	}
	return value
}

func (p packet) text(n protowire.Number) (text []byte) {
	for _, f := range p {
		if f.number == n {
			text = f.text
		}
	}
	return text
}

func (p packet) without(n protowire.Number) (rest packet) {
	for _, f := range p {
		if f.number != n {
			rest = append(rest, f)
		}
	}
	return rest
}

// with is p with a field that is value, a number or bytes.
func (p packet) with(n protowire.Number, value any) packet {
	var raw []byte
	switch v := value.(type) {
	case uint64:
		raw = protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), v)
	case []byte:
		raw = protowire.AppendBytes(protowire.AppendTag(nil, n, protowire.BytesType), v)
	}
	return append(p.without(n), packetField{number: n, raw: raw})
}

func (p packet) write(w io.Writer) error {
	var all bytes.Buffer
	for _, f := range p {
		all.Write(f.raw)
	}
	_, err := w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(all.Len())), all.Bytes()...))
	return err
}
