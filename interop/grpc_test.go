package interop

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	health1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// grpc-go, by the health service that comes with it: Check is a unary call, Watch a
// stream from the server.

func serveGRPC(server *sim.Host) *health.Server {
	service := health.NewServer()
	server.Run("grpc", func(ctx context.Context, h *sim.Host) error {
		l, err := h.Listen("tcp", ":80")
		if err != nil {
			return err
		}
		s := grpc.NewServer()
		health1.RegisterHealthServer(s, service)
		defer context.AfterFunc(ctx, s.Stop)()
		return s.Serve(l)
	})
	return service
}

func dialGRPC(t *testing.T, phone *sim.Host, opts ...grpc.DialOption) health1.HealthClient {
	t.Helper()
	c, err := grpc.NewClient("passthrough:///server:80", append(opts,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			return phone.DialContext(ctx, "tcp", addr)
		}))...)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return health1.NewHealthClient(c)
}

func TestGRPCUnaryThroughAnOutage(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server, phone := n.Host("server"), n.Host("phone")
		link := n.Link(server, phone, netem.Config{Delay: transit})
		serveGRPC(server)
		c := dialGRPC(t, phone)
		check := func(deadline time.Duration) (time.Duration, error) {
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			defer cancel()
			start := n.Elapsed()
			_, err := c.Check(ctx, &health1.HealthCheckRequest{}, grpc.WaitForReady(true))
			return (n.Elapsed() - start).Truncate(ms), err
		}
		took, err := check(time.Minute)
		require.NoError(t, err)
		require.Equal(t, 6*transit, took, "TCP's handshake, HTTP/2's settings, which grpc-go waits for, and the call")
		took, err = check(time.Minute)
		require.NoError(t, err)
		require.Equal(t, 2*transit, took)

		link.Down()
		took, err = check(5 * time.Second)
		require.Equal(t, codes.DeadlineExceeded, status.Code(err))
		require.Equal(t, 5*time.Second, took)
		start := n.Elapsed()
		n.After(20*time.Second, link.Up)
		took, err = check(time.Minute)
		require.NoError(t, err)
		require.Greater(t, took, 20*time.Second)
		require.Less(t, n.Elapsed()-start, 2*25*time.Second+time.Second, "TCP's next retransmission comes after twice the outage at the latest")

		server.Restart()
		time.Sleep(time.Second)
		took, err = check(time.Minute)
		require.NoError(t, err)
		require.LessOrEqual(t, took, 6*transit, "it has dialled again, or does now")
	})
}

// A stream outlives an outage with TCP, unless keep-alive finds it dead before.
func TestGRPCStreamThroughAnOutage(t *testing.T) {
	for _, row := range []struct {
		name     string
		opts     []grpc.DialOption
		survives bool
	}{
		{"without keep-alive", nil, true},
		{"with keep-alive", []grpc.DialOption{grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second})}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				server, phone := n.Host("server"), n.Host("phone")
				link := n.Link(server, phone, netem.Config{Delay: transit})
				service := serveGRPC(server)
				c := dialGRPC(t, phone, row.opts...)
				w, err := c.Watch(t.Context(), &health1.HealthCheckRequest{}, grpc.WaitForReady(true))
				require.NoError(t, err)
				next := func() (health1.HealthCheckResponse_ServingStatus, error) {
					m, err := w.Recv()
					return m.GetStatus(), err
				}
				got, err := next()
				require.NoError(t, err)
				require.Equal(t, health1.HealthCheckResponse_SERVING, got)
				time.Sleep(time.Second)

				start := n.Elapsed()
				link.Down()
				if row.survives {
					n.After(30*time.Second, link.Up)
				}
				n.After(5*time.Second, func() { service.SetServingStatus("", health1.HealthCheckResponse_NOT_SERVING) })
				got, err = next()
				took := n.Elapsed() - start
				if row.survives {
					require.NoError(t, err)
					require.Equal(t, health1.HealthCheckResponse_NOT_SERVING, got)
					require.Greater(t, took, 30*time.Second)
					return
				}
				require.Equal(t, codes.Unavailable, status.Code(err))
				require.LessOrEqual(t, took, 15*time.Second, "the ping after 10 s of silence and the 5 s for its answer")
				require.Greater(t, took, 13*time.Second)
			})
		})
	}
}
