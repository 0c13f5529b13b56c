package unchanged

import (
	"context"
	"net"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/squall-sim/squall/sim"
)

// The broker tells its clients that it is at 127.0.0.1, so it is given a listener and they a dialer, as on a real network. It keeps its
// topics on disk, since one that is made anew has another ID, which a producer that knows the old one does not get over.
func TestKafka(t *testing.T) {
	alikeButPayloads(t, func(n *sim.Network) (string, error) {
		disk := t.TempDir()
		return ordinary(n, func(ctx context.Context) error {
			c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9092), kfake.SeedTopics(1, "news"), kfake.DataDir(disk), kfake.SyncWrites(),
				kfake.ListenFn(func(network, _ string) (net.Listener, error) { return net.Listen(network, ":9092") }))
			if err != nil {
				return err
			}
			<-ctx.Done()
			c.Close()
			return nil
		}, func() (caller, error) {
			c, err := kgo.NewClient(kgo.SeedBrokers("server:9092"), kgo.ConsumeTopics("news"),
				kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck()), kgo.ProducerLinger(0),
				kgo.Dialer(func(ctx context.Context, network, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, network, "server:9092")
				}))
			if err != nil {
				return caller{}, err
			}
			polled := make(chan struct{})
			go func() {
				defer close(polled)
				for !c.PollFetches(context.Background()).IsClientClosed() {
				}
			}()
			return caller{func(ctx context.Context) error {
				return c.ProduceSync(ctx, &kgo.Record{Topic: "news", Value: []byte("x")}).FirstErr()
			}, func() { c.Close(); <-polled }}, nil
		})
	})
}
