package unchanged

import (
	"context"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/squall-sim/squall/sim"
)

func TestGRPC(t *testing.T) {
	alike(t, func(n *sim.Network) (string, error) {
		return ordinary(n, func(ctx context.Context) error {
			l, err := net.Listen("tcp", ":50051")
			if err != nil {
				return err
			}
			s := grpc.NewServer()
			healthpb.RegisterHealthServer(s, health.NewServer())
			defer context.AfterFunc(ctx, s.Stop)()
			return s.Serve(l)
		}, func() (caller, error) {
			c, err := grpc.NewClient("server:50051", grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				return caller{}, err
			}
			return caller{func(ctx context.Context) error {
				_, err := healthpb.NewHealthClient(c).Check(ctx, &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true))
				return err
			}, func() { c.Close() }}, nil
		})
	})
}
