package interop

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// The client of franz-go and its fake broker. The broker believes to listen on the
// loopback of its machine, and says so in its metadata: the network puts its host there.

// broker starts a broker with one topic, "news", of one partition.
func broker(t *testing.T, h *sim.Host) {
	t.Helper()
	c, err := kfake.NewCluster(
		kfake.NumBrokers(1), kfake.Ports(9092), kfake.SeedTopics(1, "news"),
		kfake.ListenFn(func(network, address string) (net.Listener, error) {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			return h.Listen(network, ":"+port)
		}))
	require.NoError(t, err)
	t.Cleanup(c.Close)
}

// kafka returns a client on h.
func kafka(t *testing.T, h *sim.Host, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers("server:9092"),
		kgo.Dialer(func(ctx context.Context, network, address string) (net.Conn, error) {
			return h.DialContext(ctx, network, "server:9092") // whatever the metadata says
		}))...)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func produce(t *testing.T, p *kgo.Client, n int) {
	t.Helper()
	for i := range n {
		r := kgo.Record{Topic: "news", Value: fmt.Appendf(nil, "e%d", i+1)}
		require.NoError(t, p.ProduceSync(t.Context(), &r).FirstErr())
	}
}

// A fetch is a long poll: the broker holds it until there are min bytes or max wait is
// over, whichever comes first (KIP-74, fetch.min.bytes and fetch.max.wait.ms). So an
// event takes a transit when one is enough, and an idle consumer asks once a max wait.
func TestKafkaFetchIsALongPoll(t *testing.T) {
	for _, row := range []struct {
		reason   string
		minBytes int32
		maxWait  time.Duration
		after    time.Duration // from the poll's begin to the event
		takes    time.Duration // from the event to the consumer
	}{
		{"one byte is enough: the event goes at once", 1, 5 * time.Second, time.Second, transit},
		{"the wait does not matter then", 1, 50 * time.Second, time.Second, transit},
		{"one event is not enough: it waits for the end", 1 << 20, 5 * time.Second, time.Second, 4*time.Second + transit},
		{"or for less, if the end is near", 1 << 20, 5 * time.Second, 4 * time.Second, time.Second + transit},
	} {
		t.Run(fmt.Sprintf("%d bytes or %v, event after %v", row.minBytes, row.maxWait, row.after), func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				server, phone, press := n.Host("server"), n.Host("phone"), n.Host("press")
				n.Link(server, phone, netem.Config{Delay: transit})
				broker(t, server)
				producer := kafka(t, press, kgo.ProducerLinger(0))
				produce(t, producer, 1)

				c := kafka(t, phone, kgo.ConsumeTopics("news"), kgo.FetchMinBytes(row.minBytes), kgo.FetchMaxWait(row.maxWait))
				fetches := c.PollFetches(t.Context())
				require.NoError(t, fetches.Err())
				polled := n.Elapsed() // the answer has come, and the next poll is under way

				time.Sleep(transit + row.after) // it is there after a transit
				published := n.Elapsed()
				produce(t, producer, 1)
				fetches = c.PollFetches(t.Context())
				require.NoError(t, fetches.Err())
				require.Len(t, fetches.Records(), 1)
				require.Equal(t, row.takes, (n.Elapsed() - published).Truncate(ms), "%s (polled at %v)", row.reason, polled)
			})
		})
	}
}

// Packets of an idle consumer: a request and an answer, and an acknowledgement, for each
// max wait.
func TestKafkaConsumerIsQuiet(t *testing.T) {
	for _, maxWait := range []time.Duration{time.Second, 5 * time.Second, 30 * time.Second} {
		t.Run(maxWait.String(), func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				server, phone, press := n.Host("server"), n.Host("phone"), n.Host("press")
				n.Link(server, phone, netem.Config{Delay: transit})
				broker(t, server)
				produce(t, kafka(t, press), 1)
				c := kafka(t, phone, kgo.ConsumeTopics("news"), kgo.FetchMaxWait(maxWait), kgo.MetadataMaxAge(time.Hour), kgo.DisableClientMetrics())
				require.NoError(t, c.PollFetches(t.Context()).Err())
				from := n.Elapsed()
				const observed = 30 * time.Minute
				time.Sleep(observed)
				requests := 0
				for e := range n.Trace().Events() {
					if e.Kind == sim.Sent && e.From == "phone" && e.At >= from && e.Length > 1 {
						requests++ // a keep-alive has at most one byte
					}
				}
				want := int(observed / (maxWait + 2*transit))
				require.InDelta(t, want, requests, float64(want)/20+2, "one request for each wait and round trip")
			})
		})
	}
}

// Through outages shorter and longer than anybody's patience a consumer that keeps its
// offset misses nothing and gets nothing twice, and an idempotent producer puts each
// event down once, although it had to ask again.
func TestKafkaThroughOutages(t *testing.T) {
	for _, outage := range []time.Duration{2 * time.Second, 30 * time.Second, 5 * time.Minute} {
		for _, who := range []string{"phone", "press"} {
			t.Run(fmt.Sprintf("%s out of reach for %v", who, outage), func(t *testing.T) {
				sim.Test(t, func(t *testing.T, n *sim.Network) {
					server := n.Host("server")
					links := map[string]*sim.Link{}
					for _, name := range []string{"phone", "press"} {
						links[name] = n.Link(server, n.Host(name), netem.Config{Delay: transit})
					}
					broker(t, server)
					producer := kafka(t, n.Host("press"))
					c := kafka(t, n.Host("phone"), kgo.ConsumeTopics("news"))

					n.After(5*time.Second, links[who].Down)
					n.After(5*time.Second+outage, links[who].Up)
					const events = 40
					go func() {
						for i := range events {
							producer.Produce(context.Background(), &kgo.Record{Topic: "news", Value: []byte(strconv.Itoa(i))}, nil)
							time.Sleep(500 * ms)
						}
					}()
					var got []string
					ctx, cancel := context.WithTimeout(t.Context(), 2*outage+5*time.Minute)
					defer cancel()
					for len(got) < events && ctx.Err() == nil {
						for _, r := range c.PollFetches(ctx).Records() {
							got = append(got, string(r.Value))
						}
					}
					var want []string
					for i := range events {
						want = append(want, strconv.Itoa(i))
					}
					require.Equal(t, want, got)
					quiet, stop := context.WithTimeout(t.Context(), time.Minute)
					defer stop()
					require.Empty(t, c.PollFetches(quiet).Records(), "nothing comes twice")
				})
			})
		}
	}
}
