package unchanged

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// Twenty streams over one connection, all of which answer at one instant, in an errgroup.
func TestGRPCStreams(t *testing.T) {
	alike(t, func(n *sim.Network) (outcome string, err error) {
		server, client := n.Host("server"), n.Host("client")
		n.Link(server, client, netem.Config{Delay: 10 * time.Millisecond})
		s := grpc.NewServer()
		testgrpc.RegisterTestServiceServer(s, interop.NewTestServer())
		server.Run("server", func(context.Context, *sim.Host) error {
			l, err := net.Listen("tcp", ":50051")
			if err != nil {
				return err
			}
			return s.Serve(l)
		})
		defer s.Stop()
		<-client.Go(func() { outcome, err = exchange(n, 20, 5) })
		return outcome, err
	})
}

// exchange has so many streams send so many messages each, and says in which order the answers came.
func exchange(n *sim.Network, streams, messages int) (string, error) {
	c, err := grpc.NewClient("server:50051", grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return "", err
	}
	defer c.Close()
	came := make(chan int, streams*messages)
	all, ctx := errgroup.WithContext(context.Background())
	for i := range streams {
		all.Go(func() error {
			stream, err := testgrpc.NewTestServiceClient(c).FullDuplexCall(ctx, grpc.WaitForReady(true))
			if err != nil {
				return err
			}
			for range messages {
				time.Sleep(time.Second - n.Elapsed()%time.Second)
				if err := stream.Send(&testgrpc.StreamingOutputCallRequest{ResponseParameters: []*testgrpc.ResponseParameters{{Size: 10}}}); err != nil {
					return err
				}
				if _, err := stream.Recv(); err != nil {
					return err
				}
				came <- i
			}
			return stream.CloseSend()
		})
	}
	if err := all.Wait(); err != nil {
		return "", err
	}
	close(came)
	var order []int
	for i := range came {
		order = append(order, i)
	}
	if len(order) != streams*messages {
		return "", errors.New("answers are missing")
	}
	return fmt.Sprint(order), nil
}
