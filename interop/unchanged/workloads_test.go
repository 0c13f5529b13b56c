package unchanged

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/squall-sim/squall/internal/workload"
	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

func TestWorkloadsRepeat(t *testing.T) {
	workload.Repeat(t, []workload.Workload{
		{Name: "errgroup of 20 with a limit", Run: limitedGroup},
		{Name: "gRPC, calls and streams", Run: callsAndStreams, Fills: "protobuf's tables of a type of messages, made when the first of them is sent"},
		{Name: "NATS, a cluster of three", Run: natsCluster},
		{Name: "Kafka, three producers and a group", Run: kafkaGroup, Carries: "kfake has 4 KB of random bytes for IDs of topics and members"},
		{Name: "Redis, a pool, pipelines and PubSub", Run: redisPool},
	})
}

// onHosts runs a server and a client on hosts of these names until the client is done.
func onHosts(n *sim.Network, serve func(ctx context.Context) error, use func() error) (err error) {
	server, client := n.Host("server"), n.Host("client")
	n.Link(server, client, netem.Config{Delay: 10 * time.Millisecond})
	server.Run("server", func(ctx context.Context, _ *sim.Host) error {
		if err := serve(ctx); ctx.Err() == nil {
			return err
		}
		return nil
	})
	time.Sleep(time.Second)
	<-client.Go(func() { err = use() })
	return err
}

// wholeSecond waits for the next one, at which all go on.
func wholeSecond(n *sim.Network) { time.Sleep(time.Second - n.Elapsed()%time.Second) }

// limitedGroup has groups of requests of which four run at a time, and in the last of them one fails and cancels the others.
func limitedGroup(n *sim.Network, came *workload.Arrivals) error {
	return onHosts(n, func(ctx context.Context) error {
		s := &http.Server{Addr: ":80", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })}
		defer context.AfterFunc(ctx, func() { s.Close() })()
		return s.ListenAndServe()
	}, func() error {
		defer http.DefaultClient.CloseIdleConnections()
		broken := errors.New("broken")
		for round := range 3 {
			wholeSecond(n)
			group, ctx := errgroup.WithContext(context.Background())
			group.SetLimit(4)
			for i := range 20 {
				group.Go(func() error {
					if round == 2 && i == 12 {
						return broken
					}
					req, err := http.NewRequestWithContext(ctx, "POST", "http://server/", strings.NewReader(fmt.Sprint(i)))
					if err != nil {
						return err
					}
					resp, err := http.DefaultClient.Do(req)
					if err == nil {
						_, err = io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
					}
					came.Note("%d %d %v", round, i, err)
					return err
				})
			}
			switch err := group.Wait(); {
			case round < 2 && err != nil:
				return err
			case round == 2 && !errors.Is(err, broken):
				return fmt.Errorf("the group's error is %v, want that of the one that failed", err)
			}
		}
		return nil
	})
}

// callsAndStreams has unary calls, streams of the server's and streams of both sides on one connection, at one instant.
func callsAndStreams(n *sim.Network, came *workload.Arrivals) error {
	answers := []*testgrpc.ResponseParameters{{Size: 10}}
	return onHosts(n, func(ctx context.Context) error {
		l, err := net.Listen("tcp", ":50051")
		if err != nil {
			return err
		}
		s := grpc.NewServer()
		testgrpc.RegisterTestServiceServer(s, interop.NewTestServer())
		defer context.AfterFunc(ctx, s.Stop)()
		return s.Serve(l)
	}, func() error {
		c, err := grpc.NewClient("server:50051", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
		if err != nil {
			return err
		}
		defer c.Close()
		service := testgrpc.NewTestServiceClient(c)
		group, ctx := errgroup.WithContext(context.Background())
		for i := range 5 {
			group.Go(func() error {
				for range 3 {
					wholeSecond(n)
					if _, err := service.UnaryCall(ctx, &testgrpc.SimpleRequest{ResponseSize: 10}); err != nil {
						return err
					}
					came.Note("call %d", i)
				}
				return nil
			})
			group.Go(func() error {
				for range 3 {
					wholeSecond(n)
					stream, err := service.StreamingOutputCall(ctx, &testgrpc.StreamingOutputCallRequest{ResponseParameters: append(answers, answers...)})
					if err != nil {
						return err
					}
					for _, err = stream.Recv(); err == nil; _, err = stream.Recv() {
						came.Note("server's %d", i)
					}
					if !errors.Is(err, io.EOF) {
						return err
					}
				}
				return nil
			})
			group.Go(func() error {
				stream, err := service.FullDuplexCall(ctx)
				if err != nil {
					return err
				}
				for range 3 {
					wholeSecond(n)
					if err := stream.Send(&testgrpc.StreamingOutputCallRequest{ResponseParameters: answers}); err != nil {
						return err
					}
					if _, err := stream.Recv(); err != nil {
						return err
					}
					came.Note("both %d", i)
				}
				return stream.CloseSend()
			})
		}
		return group.Wait()
	})
}

// natsCluster has a client at each of three servers that publishes to all three of them at the instant at which the others do.
func natsCluster(n *sim.Network, came *workload.Arrivals) error {
	for i, name := range clusterNames {
		for _, other := range clusterNames[i+1:] {
			n.Link(n.Host(name), n.Host(other), netem.Config{Delay: 5 * time.Millisecond})
		}
		n.Host(name).Run("nats-server", serveInCluster)
	}
	time.Sleep(time.Second)
	return workload.AtOnce(len(clusterNames), func(i int) (err error) {
		<-n.Host("client-" + clusterNames[i]).Go(func() { err = publishToAll(n, came, i) })
		return err
	})
}

func publishToAll(n *sim.Network, came *workload.Arrivals, i int) error {
	const rounds = 3
	c, err := nats.Connect("nats://"+clusterNames[i]+":4222", nats.DontRandomize(), nats.IgnoreDiscoveredServers())
	if err != nil {
		return err
	}
	defer c.Close()
	all := make(chan *nats.Msg, rounds*len(clusterNames))
	if _, err := c.ChanSubscribe("news", all); err != nil {
		return err
	}
	wholeSecond(n)
	for round := range rounds {
		wholeSecond(n)
		if err := c.Publish("news", fmt.Append(nil, i, " ", round)); err != nil {
			return err
		}
	}
	for range cap(all) {
		m := <-all
		came.Note("%d: %s", i, m.Data)
	}
	return nil
}

// kafkaGroup has three producers send to three partitions at one instant, and two consumers share them.
func kafkaGroup(n *sim.Network, came *workload.Arrivals) error {
	const producers, rounds = 3, 3
	dial := func(opts ...kgo.Opt) (*kgo.Client, error) {
		return kgo.NewClient(append(opts, kgo.SeedBrokers("server:9092"),
			kgo.DisableClientMetrics(), // it sends them compressed, with its random ID
			kgo.Dialer(func(ctx context.Context, network, _ string) (net.Conn, error) { // the broker says that it is at 127.0.0.1
				return new(net.Dialer).DialContext(ctx, network, "server:9092")
			}))...)
	}
	return onHosts(n, func(ctx context.Context) error {
		c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9092), kfake.SeedTopics(3, "news"),
			kfake.ListenFn(func(network, _ string) (net.Listener, error) { return net.Listen(network, ":9092") }))
		if err != nil {
			return err
		}
		<-ctx.Done()
		c.Close()
		return nil
	}, func() error {
		got := make(chan string, producers*rounds)
		var consumers errgroup.Group
		defer consumers.Wait()
		for i := range 2 {
			// A share is by the order of IDs, which begin with that of the instance.
			c, err := dial(kgo.ConsumeTopics("news"), kgo.ConsumerGroup("readers"), kgo.InstanceID(fmt.Sprint("reader ", i)))
			if err != nil {
				return err
			}
			defer c.Close()
			consumers.Go(func() error {
				for {
					fetches := c.PollFetches(context.Background())
					if fetches.IsClientClosed() {
						return nil
					}
					fetches.EachRecord(func(r *kgo.Record) { got <- fmt.Sprintf("reader %d, partition %d: %s", i, r.Partition, r.Value) })
				}
			})
		}
		if err := workload.AtOnce(producers, func(i int) error {
			c, err := dial(kgo.DefaultProduceTopic("news"), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
			if err != nil {
				return err
			}
			defer c.Close()
			for round := range rounds {
				wholeSecond(n)
				if err := c.ProduceSync(context.Background(), kgo.StringRecord(fmt.Sprint(i, " ", round))).FirstErr(); err != nil {
					return err
				}
				came.Note("produced %d %d", i, round)
			}
			return nil
		}); err != nil {
			return err
		}
		for range cap(got) {
			came.Note("%s", <-got)
		}
		return nil
	})
}

// redisPool has commands, pipelines and a subscription, which need connections of one pool at one instant.
func redisPool(n *sim.Network, came *workload.Arrivals) error {
	return onHosts(n, func(ctx context.Context) error {
		s := miniredis.NewMiniRedis()
		if err := s.StartAddr(":6379"); err != nil {
			return err
		}
		<-ctx.Done()
		s.Close()
		return nil
	}, func() error {
		const clients, rounds = 10, 3
		ctx := context.Background()
		c := redis.NewClient(&redis.Options{Addr: "server:6379", PoolSize: 4})
		defer c.Close()
		news := c.Subscribe(ctx, "news")
		defer news.Close()
		if _, err := news.Receive(ctx); err != nil {
			return err
		}
		if err := workload.AtOnce(clients, func(i int) error {
			for range rounds {
				wholeSecond(n)
				if i%2 == 0 {
					calls, err := c.Incr(ctx, "calls").Result()
					if err != nil {
						return err
					}
					came.Note("%d incremented to %d", i, calls)
					continue
				}
				var calls *redis.IntCmd
				if _, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
					calls = p.Incr(ctx, "calls")
					p.Publish(ctx, "news", i)
					return nil
				}); err != nil {
					return err
				}
				came.Note("%d incremented to %d, and published", i, calls.Val())
			}
			return nil
		}); err != nil {
			return err
		}
		for range rounds * clients / 2 {
			m, err := news.ReceiveMessage(ctx)
			if err != nil {
				return err
			}
			came.Note("told of %s", m.Payload)
		}
		return nil
	})
}
