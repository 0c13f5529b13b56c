package interop

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/oauth"
	"google.golang.org/grpc/grpclog"
	grpcinterop "google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/orca"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/sidecar"
	"github.com/squall-sim/squall/sim"
)

// The cases of grpc-go's interop client against its interop server, over TLS. Those about
// credentials need Google's machines elsewhere. Here a host of the network issues the tokens, and an
// interceptor of the server says whose they are, which Google's servers do and grpc-go's does not.

// grpc-go's cases end the process when they fail; here they panic, which fails the test.
func init() { grpclog.SetLoggerV2(panicOnFatal{}) }

type panicOnFatal struct{}

func (panicOnFatal) Info(...any)                    {}
func (panicOnFatal) Infoln(...any)                  {}
func (panicOnFatal) Infof(string, ...any)           {}
func (panicOnFatal) Warning(...any)                 {}
func (panicOnFatal) Warningln(...any)               {}
func (panicOnFatal) Warningf(string, ...any)        {}
func (panicOnFatal) Error(...any)                   {}
func (panicOnFatal) Errorln(...any)                 {}
func (panicOnFatal) Errorf(string, ...any)          {}
func (panicOnFatal) Fatal(args ...any)              { panic(fmt.Sprint(args...)) }
func (panicOnFatal) Fatalln(args ...any)            { panic(fmt.Sprintln(args...)) }
func (panicOnFatal) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }
func (panicOnFatal) V(int) bool                     { return false }

const (
	grpcAccount = "robot@project.test"
	grpcScope   = "https://scopes.test/all"
)

// An interopClient is what a case has.
type interopClient struct {
	ctx     context.Context
	h       *sim.Host
	dial    func(...grpc.DialOption) *grpc.ClientConn
	conn    *grpc.ClientConn
	service testgrpc.TestServiceClient
	keyFile string // of a service account whose tokens come from the host "tokens"
}

// with is a client whose connection carries credentials.
func (c interopClient) with(creds credentials.PerRPCCredentials) testgrpc.TestServiceClient {
	return testgrpc.NewTestServiceClient(c.dial(grpc.WithPerRPCCredentials(creds)))
}

// Token asks the host "tokens" for the token of a machine, as one of Compute Engine asks its metadata server.
func (c interopClient) Token() (*oauth2.Token, error) {
	resp, err := c.h.HTTPClient().Get("http://tokens/machine")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	token := new(oauth2.Token)
	return token, json.NewDecoder(resp.Body).Decode(token)
}

// soak is as the interop client's flags have it by default, but for the latency that it accepts.
func (c interopClient) soak(channel func() (*grpc.ClientConn, func())) {
	grpcinterop.DoSoakTest(c.ctx, grpcinterop.SoakTestConfig{
		RequestSize: 271828, ResponseSize: 314159, Iterations: 10, NumWorkers: 1, ServerAddr: "server:443",
		PerIterationMaxAcceptableLatency: 10 * time.Second, OverallTimeout: 10 * time.Minute, ChannelForTest: channel,
	})
}

// must fails the case for an error of its preparations.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var grpcInteropCases = []struct {
	name string
	run  func(c interopClient)
}{
	{"empty_unary", func(c interopClient) { grpcinterop.DoEmptyUnaryCall(c.ctx, c.service) }},
	{"large_unary", func(c interopClient) { grpcinterop.DoLargeUnaryCall(c.ctx, c.service) }},
	{"client_streaming", func(c interopClient) { grpcinterop.DoClientStreaming(c.ctx, c.service) }},
	{"server_streaming", func(c interopClient) { grpcinterop.DoServerStreaming(c.ctx, c.service) }},
	{"ping_pong", func(c interopClient) { grpcinterop.DoPingPong(c.ctx, c.service) }},
	{"empty_stream", func(c interopClient) { grpcinterop.DoEmptyStream(c.ctx, c.service) }},
	{"timeout_on_sleeping_server", func(c interopClient) { grpcinterop.DoTimeoutOnSleepingServer(c.ctx, c.service) }},
	{"compute_engine_creds", func(c interopClient) {
		grpcinterop.DoComputeEngineCreds(c.ctx, c.with(oauth.TokenSource{TokenSource: c}), grpcAccount, grpcScope)
	}},
	{"service_account_creds", func(c interopClient) {
		creds := must(oauth.NewServiceAccountFromFile(c.keyFile, grpcScope))
		grpcinterop.DoServiceAccountCreds(c.ctx, c.with(creds), c.keyFile, grpcScope)
	}},
	{"jwt_token_creds", func(c interopClient) {
		grpcinterop.DoJWTTokenCreds(c.ctx, c.with(must(oauth.NewJWTAccessFromFile(c.keyFile))), c.keyFile)
	}},
	{"per_rpc_creds", func(c interopClient) { grpcinterop.DoPerRPCCreds(c.ctx, c.service, c.keyFile, grpcScope) }},
	{"oauth2_auth_token", func(c interopClient) {
		token := oauth2.StaticTokenSource(grpcinterop.GetToken(c.ctx, c.keyFile, grpcScope))
		grpcinterop.DoOauth2TokenCreds(c.ctx, c.with(oauth.TokenSource{TokenSource: token}), c.keyFile, grpcScope)
	}},
	{"google_default_credentials", func(c interopClient) {
		grpcinterop.DoGoogleDefaultCredentials(c.ctx, c.with(oauth.TokenSource{TokenSource: c}), grpcAccount)
	}},
	{"compute_engine_channel_credentials", func(c interopClient) {
		grpcinterop.DoComputeEngineChannelCredentials(c.ctx, c.with(oauth.TokenSource{TokenSource: c}), grpcAccount)
	}},
	{"cancel_after_begin", func(c interopClient) { grpcinterop.DoCancelAfterBegin(c.ctx, c.service) }},
	{"cancel_after_first_response", func(c interopClient) { grpcinterop.DoCancelAfterFirstResponse(c.ctx, c.service) }},
	{"status_code_and_message", func(c interopClient) { grpcinterop.DoStatusCodeAndMessage(c.ctx, c.service) }},
	{"special_status_message", func(c interopClient) { grpcinterop.DoSpecialStatusMessage(c.ctx, c.service) }},
	{"custom_metadata", func(c interopClient) { grpcinterop.DoCustomMetadata(c.ctx, c.service) }},
	{"unimplemented_method", func(c interopClient) { grpcinterop.DoUnimplementedMethod(c.ctx, c.conn) }},
	{"unimplemented_service", func(c interopClient) {
		grpcinterop.DoUnimplementedService(c.ctx, testgrpc.NewUnimplementedServiceClient(c.conn))
	}},
	{"pick_first_unary", func(c interopClient) { grpcinterop.DoPickFirstUnary(c.ctx, c.service) }},
	{"rpc_soak", func(c interopClient) {
		c.soak(func() (*grpc.ClientConn, func()) { return c.conn, func() {} })
	}},
	{"channel_soak", func(c interopClient) {
		c.soak(func() (*grpc.ClientConn, func()) {
			conn := c.dial()
			return conn, func() { conn.Close() }
		})
	}},
	{"orca_per_rpc", func(c interopClient) { grpcinterop.DoORCAPerRPCTest(c.ctx, c.service) }},
	{"orca_oob", func(c interopClient) { grpcinterop.DoORCAOOBTest(c.ctx, c.service) }},
}

// serveGRPCInterop serves grpc-go's test service.
func serveGRPCInterop(server *sim.Host, creds credentials.TransportCredentials) {
	server.Run("grpc", func(ctx context.Context, h *sim.Host) error {
		l, err := h.Listen("tcp", ":443")
		if err != nil {
			return err
		}
		s := grpc.NewServer(grpc.Creds(creds), orca.CallMetricsServerOption(nil), grpc.ChainUnaryInterceptor(identify))
		metrics := orca.NewServerMetricsRecorder()
		opts := orca.ServiceOptions{MinReportingInterval: time.Second, ServerMetricsProvider: metrics}
		// The interop server sets this through a package that is internal: less than 30 s is for tests.
		anyInterval := reflect.ValueOf(&opts).Elem().FieldByName("allowAnyMinReportingInterval")
		*(*bool)(unsafe.Pointer(anyInterval.UnsafeAddr())) = true
		if err := orca.Register(s, opts); err != nil {
			return err
		}
		testgrpc.RegisterTestServiceServer(s, grpcinterop.NewTestServer(grpcinterop.NewTestServerOptions{MetricsRecorder: metrics}))
		defer context.AfterFunc(ctx, s.Stop)()
		return s.Serve(l)
	})
}

// identify fills in who asks, of whom, as far as the request wants to know.
func identify(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	reply, err := next(ctx, req)
	ask, simple := req.(*testgrpc.SimpleRequest)
	if err != nil || !simple {
		return reply, err
	}
	answer := reply.(*testgrpc.SimpleResponse)
	if ask.FillServerId {
		answer.ServerId = "server"
	}
	if ask.FillUsername {
		md, _ := metadata.FromIncomingContext(ctx)
		who, scope, err := bearer(strings.Join(md["authorization"], ","))
		if err != nil {
			return nil, err
		}
		answer.Username = who
		if ask.FillOauthScope {
			answer.OauthScope = scope
		}
	}
	return answer, nil
}

// bearer reads a token: one that a client has signed itself, or one of the host "tokens",
// which holds the same claims, without a signature.
func bearer(authorization string) (who, scope string, err error) {
	token, found := strings.CutPrefix(authorization, "Bearer ")
	parts := strings.Split(token, ".")
	if !found || len(parts) != 3 {
		return "", "", fmt.Errorf("no token in %q", authorization)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", "", err
	}
	var claims struct{ Iss, Scope string }
	err = json.Unmarshal(raw, &claims)
	return claims.Iss, claims.Scope, err
}

// serveTokens issues tokens: to a service account that signs who it is, and to a machine.
func serveTokens(h *sim.Host) {
	issue := func(w http.ResponseWriter, claims string) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"access_token": "of." + claims + ".tokens", "token_type": "Bearer", "expires_in": 3600})
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /account", func(w http.ResponseWriter, r *http.Request) {
		parts := strings.Split(r.FormValue("assertion"), ".")
		if len(parts) != 3 {
			http.Error(w, "no assertion", http.StatusBadRequest)
			return
		}
		issue(w, parts[1])
	})
	mux.HandleFunc("GET /machine", func(w http.ResponseWriter, r *http.Request) {
		issue(w, base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"iss":%q,"scope":%q}`, grpcAccount, grpcScope)))
	})
	h.ServeHTTP(":80", mux)
}

// serviceAccountFile writes the key file of a service account.
func serviceAccountFile(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	file, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": grpcAccount, "private_key_id": "1", "token_uri": "http://tokens/account",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "key.json")
	require.NoError(t, os.WriteFile(path, file, 0o600))
	return path
}

// serveSidecar has a sidecar serve on server what an app on another host answers, with TLS on both sides.
func serveSidecar(server, app *sim.Host, serverTLS, clientTLS *tls.Config) {
	server.Run("sidecar", func(ctx context.Context, h *sim.Host) error {
		l, err := h.Listen("tcp", ":443")
		if err != nil {
			return err
		}
		secure := serverTLS.Clone()
		secure.NextProtos = []string{"h2", "http/1.1"}
		proxy := &sidecar.Proxy{TLS: secure, Config: sidecar.Config{Routes: []sidecar.Route{{
			Upstream: &sidecar.Upstream{Name: "server", Addrs: []string{app.Name() + ":443"}, DialContext: h.DialContext, TLS: clientTLS},
		}}}}
		defer context.AfterFunc(ctx, func() { proxy.Close() })()
		if err := proxy.Serve(l); !errors.Is(err, sidecar.ErrClosed) {
			return err
		}
		return nil
	})
}

func TestGRPCInterop(t *testing.T) {
	require.Len(t, grpcInteropCases, 26)
	keyFile := serviceAccountFile(t)
	serverTLS, clientTLS := certificates(t)
	for _, through := range []string{"direct", "sidecar"} {
		for _, loss := range []float64{0, 0.02} {
			for _, row := range grpcInteropCases {
				t.Run(fmt.Sprintf("%s/loss=%v/%s", through, loss, row.name), func(t *testing.T) {
					sim.Test(t, func(t *testing.T, n *sim.Network) {
						server, phone, tokens := n.Host("server"), n.Host("phone"), n.Host("tokens")
						for _, h := range []*sim.Host{server, tokens} {
							n.Link(phone, h, netem.Config{Delay: 10 * ms, Loss: netem.Bernoulli(loss)})
						}
						if through == "sidecar" {
							app := n.Host("app")
							serveGRPCInterop(app, credentials.NewTLS(serverTLS))
							serveSidecar(server, app, serverTLS, clientTLS)
						} else {
							serveGRPCInterop(server, credentials.NewTLS(serverTLS))
						}
						serveTokens(tokens)
						c := interopClient{ctx: context.WithValue(t.Context(), oauth2.HTTPClient, phone.HTTPClient()), h: phone, keyFile: keyFile}
						c.dialsTo(t, clientTLS, strings.HasPrefix(row.name, "orca"))
						row.run(c)
					})
				})
			}
		}
	}
}

// dialsTo has the client connect to the host "server"; with metrics the servers' load reports are asked for.
func (c *interopClient) dialsTo(t *testing.T, clientTLS *tls.Config, metrics bool) {
	config := "{}"
	if metrics {
		config = `{"loadBalancingConfig": [{"test_backend_metrics_load_balancer": {}}]}`
	}
	c.dial = func(opts ...grpc.DialOption) *grpc.ClientConn {
		conn, err := grpc.NewClient("passthrough:///server:443", append(opts,
			grpc.WithTransportCredentials(credentials.NewTLS(clientTLS)),
			grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
				return c.h.DialContext(ctx, "tcp", addr)
			}),
			grpc.WithDefaultServiceConfig(config))...)
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	c.conn = c.dial()
	c.service = testgrpc.NewTestServiceClient(c.conn)
}
