package faulty

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	health1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// A client makes five calls at one instant, of which one has the server stop. All are in one packet, so the server reads the last of them
// while the stop has begun.
func stopMeetsCalls(n *sim.Network) error {
	web, phone := n.Host("web"), n.Host("phone")
	n.Link(phone, web, netem.Config{Delay: 10 * time.Millisecond})
	l, err := web.Listen("tcp", ":80")
	if err != nil {
		return err
	}
	var calls atomic.Int32
	var stopped sync.WaitGroup
	var s *grpc.Server
	s = grpc.NewServer(grpc.NumStreamWorkers(2), grpc.UnaryInterceptor(
		func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			if calls.Add(1) == 2 { // the first made the connection
				stopped.Go(s.Stop)
			}
			return handler(ctx, request)
		}))
	health1.RegisterHealthServer(s, health.NewServer())
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()

	dial := func(ctx context.Context, address string) (net.Conn, error) {
		return phone.DialContext(ctx, "tcp", address)
	}
	c, err := grpc.Dial("passthrough:///web:80", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithContextDialer(dial))
	if err != nil {
		return err
	}
	client := health1.NewHealthClient(c)
	if _, err = client.Check(context.Background(), &health1.HealthCheckRequest{}); err != nil {
		return err
	}
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() { client.Check(context.Background(), &health1.HealthCheckRequest{}) })
	}
	all.Wait()
	c.Close()
	stopped.Wait()
	return <-served
}
