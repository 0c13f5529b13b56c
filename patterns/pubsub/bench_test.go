package pubsub_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/pubsub"
)

// BenchmarkPublishToSubscriber is messages of 100 bytes from publishers through a broker,
// over loopback TCP, to one subscriber that acknowledges each, against the same bytes
// over the same two connections without a broker: a relay that copies what it reads.
func BenchmarkPublishToSubscriber(b *testing.B) {
	const size, publishers = 100, 64 // of which each waits for its confirmation
	b.Run("broker", func(b *testing.B) {
		log := eventlog.NewMemory(eventlog.Options{MaxEntries: 10_000})
		broker := &pubsub.Broker{Log: log}
		defer broker.Close()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(b, err)
		go broker.Serve(l)
		client := func(id string) *pubsub.Client {
			return &pubsub.Client{ID: id, Addr: l.Addr().String()}
		}
		p, s := client("publisher"), client("subscriber")
		defer p.Close()
		defer s.Close()
		sub, err := s.Subscribe(b.Context(), pubsub.SubscribeOptions{Filter: "t"})
		require.NoError(b, err)

		tokens := make(chan struct{}, publishers)
		var all sync.WaitGroup
		for range publishers {
			all.Go(func() {
				data := make([]byte, size)
				for range tokens {
					if _, err := p.Publish(context.Background(), pubsub.Message{Topic: "t", Data: data}); err != nil {
						b.Error(err)
					}
				}
			})
		}
		received := make(chan error)
		b.ReportAllocs()
		b.ResetTimer()
		go func() {
			for range b.N {
				d, err := sub.Next(context.Background())
				if err != nil {
					received <- err
					return
				}
				d.Ack()
			}
			received <- nil
		}()
		for range b.N {
			tokens <- struct{}{}
		}
		close(tokens)
		all.Wait()
		require.NoError(b, <-received)
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	})
	b.Run("bare relay", func(b *testing.B) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(b, err)
		defer l.Close()
		in, err := net.Dial("tcp", l.Addr().String())
		require.NoError(b, err)
		defer in.Close()
		far, err := l.Accept()
		require.NoError(b, err)
		out, err := net.Dial("tcp", l.Addr().String())
		require.NoError(b, err)
		defer out.Close()
		away, err := l.Accept()
		require.NoError(b, err)
		go func() {
			frame := make([]byte, size)
			for {
				if _, err := io.ReadFull(far, frame); err != nil {
					away.Close()
					return
				}
				if _, err := away.Write(frame); err != nil {
					return
				}
			}
		}()
		b.ReportAllocs()
		b.ResetTimer()
		go func() {
			frame := make([]byte, size)
			for range b.N {
				if _, err := in.Write(frame); err != nil {
					b.Error(err)
				}
			}
		}()
		frame := make([]byte, size)
		for range b.N {
			_, err := io.ReadFull(out, frame)
			require.NoError(b, err)
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	})
}

// BenchmarkFanOut is one message to n subscribers, until all have it, with and without a
// wildcard in their filters.
func BenchmarkFanOut(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		for _, filter := range []string{"news.eu", "news.*"} {
			b.Run(fmt.Sprintf("subscribers=%d/filter=%s", n, filter), func(b *testing.B) {
				log := eventlog.NewMemory(eventlog.Options{MaxEntries: 10_000})
				broker := &pubsub.Broker{Log: log}
				defer broker.Close()
				l, err := net.Listen("tcp", "127.0.0.1:0")
				require.NoError(b, err)
				go broker.Serve(l)
				var one, all sync.WaitGroup
				var clients []*pubsub.Client
				for i := range n {
					c := &pubsub.Client{ID: fmt.Sprint(i), Addr: l.Addr().String()}
					clients = append(clients, c)
					sub, err := c.Subscribe(b.Context(), pubsub.SubscribeOptions{Filter: filter, AtMostOnce: true})
					require.NoError(b, err)
					all.Go(func() {
						for {
							if _, err := sub.Next(context.Background()); err != nil {
								return
							}
							one.Done()
						}
					})
				}
				data := make([]byte, 100)
				b.ReportAllocs()
				for b.Loop() {
					one.Add(n)
					_, err := broker.Publish(context.Background(), pubsub.Message{Topic: "news.eu", Data: data})
					require.NoError(b, err)
					one.Wait()
				}
				b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "messages/s")
				for _, c := range clients {
					c.Close()
				}
				all.Wait()
			})
		}
	}
}
