package interop

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"github.com/summerwind/h2spec/config"
	"github.com/summerwind/h2spec/generic"
	"github.com/summerwind/h2spec/hpack"
	"github.com/summerwind/h2spec/http2"
	"github.com/summerwind/h2spec/spec"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// h2spec sends a server of HTTP/2 what a client may and may not send, and looks at the answers. Its
// server here is net/http's. The cases run unchanged, on connections of the simulated network.

// h2specFailures are the cases that net/http fails on any network: those of h2spec's own command
// over the operating system's loopback (see TestH2specOnLoopback).
func h2specFailures(secure bool) []string {
	failures := []string{
		"http2/4.2/3",     // a frame of 20 kB must be too large; net/http takes up to 1 MB
		"http2/6.5.3/1",   // a frame with one setting twice ends the connection
		"http2/8.1.2.2/1", // a Connection field is answered with status 400, not with a stream error
		"http2/8.1.2.2/2", // so is TE
	}
	if !secure {
		// The server closes without reading all, so that TCP resets. h2spec expects the connection to be
		// closed, and a reset is that too, but it looks for the errno one level above where package net has it.
		failures = append(failures, "http2/3.5/2")
	}
	return failures
}

type h2specCase struct {
	id string // as h2spec's command takes it: section/number
	*spec.TestCase
}

func h2specCases() (cases []h2specCase) {
	var collect func(g *spec.TestGroup)
	collect = func(g *spec.TestGroup) {
		for i, tc := range append(g.Tests[:len(g.Tests):len(g.Tests)], g.StrictTests...) {
			cases = append(cases, h2specCase{fmt.Sprintf("%s/%d", g.ID(), i+1), tc})
		}
		for _, sub := range g.Groups {
			collect(sub)
		}
	}
	for _, g := range []*spec.TestGroup{generic.Spec(), http2.Spec(), hpack.Spec()} {
		collect(g)
	}
	return cases
}

// run runs one case over conn and returns why it fails.
func (c h2specCase) run(conn net.Conn, conf config.Config) error {
	h2, err := spec.Accept(&conf, conn)
	if err != nil {
		return err
	}
	// h2spec dials by itself, on the operating system's network. What Accept makes of a connection differs
	// from what Dial makes of it in this alone: on which side of the handshake it is.
	server := reflect.ValueOf(h2).Elem().FieldByName("server")
	*(*bool)(unsafe.Pointer(server.UnsafeAddr())) = false
	defer h2.Close()
	return c.Run(&conf, h2)
}

// h2specServer is net/http's server: HTTP/2 alone, without TLS or over it.
func h2specServer(conf *tls.Config) *http.Server {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(conf == nil)
	protocols.SetHTTP2(conf != nil)
	return &http.Server{
		Protocols: &protocols,
		TLSConfig: conf,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.Write([]byte(strings.Repeat("x", 1<<10)))
		}),
		ErrorLog: log.New(io.Discard, "", 0),
	}
}

func serveH2spec(srv *http.Server, l net.Listener) error {
	if srv.TLSConfig != nil {
		return srv.ServeTLS(l, "", "")
	}
	return srv.Serve(l)
}

// secured is conn, or TLS over it.
func secured(ctx context.Context, conn net.Conn, conf *tls.Config) (net.Conn, error) {
	if conf == nil {
		return conn, nil
	}
	c := tls.Client(conn, conf)
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	if p := c.ConnectionState().NegotiatedProtocol; p != "h2" {
		return nil, fmt.Errorf("negotiated %q", p)
	}
	return c, nil
}

// requireH2specVerdict checks that a case passes, or fails if it is known to.
func requireH2specVerdict(t *testing.T, c h2specCase, secure bool, err error) {
	t.Helper()
	if slices.Contains(h2specFailures(secure), c.id) {
		var failure *spec.TestError
		require.ErrorAs(t, err, &failure, "it fails over loopback: %s", c.Desc)
		return
	}
	require.NoError(t, err, c.Requirement)
}

// listenH2spec serves on the operating system's loopback and returns what h2spec is told about it.
func listenH2spec(t *testing.T, conf *tls.Config) config.Config {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := h2specServer(conf)
	go serveH2spec(srv, l)
	t.Cleanup(func() { srv.Close() })
	return config.Config{
		Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, Path: "/", TLS: conf != nil, Insecure: true,
		Timeout: 2 * time.Second, MaxHeaderLen: 4000, Strict: true,
	}
}

func TestH2spec(t *testing.T) {
	cases := h2specCases()
	require.Len(t, cases, 146)
	for _, secure := range []bool{false, true} {
		var serverTLS, clientTLS *tls.Config
		if secure {
			serverTLS, clientTLS = certificates(t, "h2")
		}
		// Four cases first dial by themselves, to ask how long an answer is. They ask a server of the
		// same kind on loopback, while virtual time stands still.
		conf := listenH2spec(t, serverTLS)
		conf.Timeout = time.Minute // lost packets take time; it is virtual
		for _, loss := range []float64{0, 0.02} {
			t.Run(fmt.Sprintf("tls=%v/loss=%v", secure, loss), func(t *testing.T) {
				for _, c := range cases {
					t.Run(c.id, func(t *testing.T) {
						sim.Test(t, func(t *testing.T, n *sim.Network) {
							server, client := n.Host("server"), n.Host("client")
							n.Link(client, server, netem.Config{Delay: 10 * ms, Loss: netem.Bernoulli(loss)})
							server.Run("http", func(ctx context.Context, h *sim.Host) error {
								l, err := h.Listen("tcp", ":80")
								if err != nil {
									return err
								}
								srv := h2specServer(serverTLS)
								defer context.AfterFunc(ctx, func() { srv.Close() })()
								if err := serveH2spec(srv, l); !errors.Is(err, http.ErrServerClosed) {
									return err
								}
								return nil
							})
							conn, err := client.Dial("tcp", "server:80")
							require.NoError(t, err)
							conn, err = secured(t.Context(), conn, clientTLS)
							require.NoError(t, err)
							requireH2specVerdict(t, c, secure, c.run(conn, conf))
						})
					})
				}
			})
		}
	}
}

// The same over the operating system's own TCP, which is what the simulated network is held to.
func TestH2specOnLoopback(t *testing.T) {
	if os.Getenv("SQUALL_LOOPBACK") == "" {
		t.Skip("takes half a minute of real time, with timeouts; SQUALL_LOOPBACK=1 runs it")
	}
	for _, secure := range []bool{false, true} {
		var serverTLS, clientTLS *tls.Config
		if secure {
			serverTLS, clientTLS = certificates(t, "h2")
			clientTLS.Time = func() time.Time { return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) }
		}
		conf := listenH2spec(t, serverTLS)
		for _, c := range h2specCases() {
			t.Run(fmt.Sprintf("tls=%v/%s", secure, c.id), func(t *testing.T) {
				conn, err := net.Dial("tcp", conf.Addr())
				require.NoError(t, err)
				conn, err = secured(t.Context(), conn, clientTLS)
				require.NoError(t, err)
				requireH2specVerdict(t, c, secure, c.run(conn, conf))
			})
		}
	}
}
