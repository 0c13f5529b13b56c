package interop

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/pubsub"
)

// benchBroker is a broker on loopback TCP, as BenchmarkBrokers needs it.
type benchBroker interface {
	// publisher returns a function that publishes data under t and returns when the broker
	// has confirmed that it is stored. Each call of publisher opens a connection.
	publisher(b *testing.B) func(data []byte) error
	// subscribe consumes t, acknowledges each message, and calls received for it.
	subscribe(b *testing.B, received func())
}

// BenchmarkBrokers is messages of 100 bytes from 64 publishers, each of which waits for
// its confirmation, through package pubsub and through NATS JetStream: over one
// connection or one for each, kept in memory or written to the disk before they are
// confirmed, and delivered to one subscriber, which acknowledges each.
func BenchmarkBrokers(b *testing.B) {
	brokers := map[string]func(b *testing.B, disk bool) benchBroker{"squall": newSquallBroker, "jetstream": newJetStream}
	for _, disk := range []bool{false, true} {
		for _, connections := range []int{1, 64} {
			for _, name := range []string{"squall", "jetstream"} {
				where := map[bool]string{false: "memory", true: "disk"}[disk]
				b.Run(fmt.Sprintf("%s/connections=%d/%s", where, connections, name), func(b *testing.B) {
					benchmarkBroker(b, brokers[name](b, disk), connections)
				})
			}
		}
	}
}

func benchmarkBroker(b *testing.B, broker benchBroker, connections int) {
	const publishers = 64
	var all, received sync.WaitGroup
	broker.subscribe(b, func() { received.Done() })
	var publish []func([]byte) error
	for range connections {
		publish = append(publish, broker.publisher(b))
	}
	work := make(chan struct{}, publishers)
	for i := range publishers {
		all.Go(func() {
			data := make([]byte, 100)
			for range work {
				if err := publish[i%connections](data); err != nil {
					b.Error(err)
				}
			}
		})
	}
	received.Add(b.N)
	b.ResetTimer()
	for range b.N {
		work <- struct{}{}
	}
	close(work)
	all.Wait()
	received.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

type squallBroker struct{ addr string }

func newSquallBroker(b *testing.B, disk bool) benchBroker {
	var log eventlog.Log = eventlog.NewMemory(eventlog.Options{})
	if disk {
		var err error
		log, err = eventlog.OpenDisk(filepath.Join(b.TempDir(), "log"), eventlog.Options{})
		require.NoError(b, err)
	}
	b.Cleanup(func() { log.Close() })
	broker := &pubsub.Broker{Log: log}
	b.Cleanup(func() { broker.Close() })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	go broker.Serve(l)
	return &squallBroker{l.Addr().String()}
}

func (s *squallBroker) client(b *testing.B, id string) *pubsub.Client {
	c := &pubsub.Client{ID: id, Addr: s.addr}
	b.Cleanup(func() { c.Close() })
	return c
}

func (s *squallBroker) publisher(b *testing.B) func([]byte) error {
	c := s.client(b, fmt.Sprintf("publisher %p", new(int)))
	return func(data []byte) error {
		_, err := c.Publish(context.Background(), pubsub.Message{Topic: "t", Data: data})
		return err
	}
}

func (s *squallBroker) subscribe(b *testing.B, received func()) {
	sub, err := s.client(b, "subscriber").Subscribe(b.Context(), pubsub.SubscribeOptions{Filter: "t", Name: "n"})
	require.NoError(b, err)
	go func() {
		for {
			d, err := sub.Next(context.Background())
			if err != nil {
				return // it ends with the client
			}
			d.Ack()
			received()
		}
	}()
}

type jetStream struct{ url string }

func newJetStream(b *testing.B, disk bool) benchBroker {
	s, err := natsd.NewServer(&natsd.Options{
		Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: b.TempDir(), SyncAlways: disk,
	})
	require.NoError(b, err)
	s.Start()
	b.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	require.True(b, s.ReadyForConnections(10*time.Second))
	j := &jetStream{s.ClientURL()}
	storage := jetstream.MemoryStorage
	if disk {
		storage = jetstream.FileStorage
	}
	_, err = j.connect(b).CreateStream(b.Context(), jetstream.StreamConfig{Name: "s", Subjects: []string{"t"}, Storage: storage, MaxMsgs: 100_000})
	require.NoError(b, err)
	return j
}

func (j *jetStream) connect(b *testing.B) jetstream.JetStream {
	c, err := nats.Connect(j.url)
	require.NoError(b, err)
	b.Cleanup(c.Close)
	js, err := jetstream.New(c)
	require.NoError(b, err)
	return js
}

func (j *jetStream) publisher(b *testing.B) func([]byte) error {
	js := j.connect(b)
	return func(data []byte) error {
		_, err := js.Publish(context.Background(), "t", data)
		return err
	}
}

func (j *jetStream) subscribe(b *testing.B, received func()) {
	consumer, err := j.connect(b).CreateConsumer(b.Context(), "s", jetstream.ConsumerConfig{
		Durable: "n", AckPolicy: jetstream.AckExplicitPolicy, MemoryStorage: true, MaxAckPending: 1000,
	})
	require.NoError(b, err)
	consuming, err := consumer.Consume(func(m jetstream.Msg) {
		m.Ack()
		received()
	})
	require.NoError(b, err)
	b.Cleanup(consuming.Stop)
}
