package comparison

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/internal/systems"
	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/longpoll"
	"github.com/squall-sim/squall/patterns/push"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/patterns/stream"
	"github.com/squall-sim/squall/sim"
)

// A crowd is a server whose clients wait, all of them, for one event.
type crowd struct {
	handler http.Handler
	waiting func() int // how many clients it holds
	publish func(data []byte) error
	// receive waits for the event, calls got with its data, and ends with what that
	// returns. It asks the handler at http://server/ with c.
	receive func(ctx context.Context, c *http.Client, name string, got func(data []byte) error) error
	// request is what the i-th client sends first.
	request func(i int) string
	close   func() error
}

type newCrowd func(clients int) (*crowd, error)

// forEachCrowd runs a benchmark for each pattern and size. It goes to 1,000 clients, or to
// SQUALL_SCALE. 100,000 take gigabytes: run them one pattern at a time.
func forEachCrowd(b *testing.B, f func(b *testing.B, newCrowd newCrowd, clients int)) {
	largest := 1_000
	if n, err := strconv.Atoi(os.Getenv("SQUALL_SCALE")); err == nil {
		largest = n
	}
	for _, pattern := range []struct {
		name string
		new  newCrowd
	}{
		{"reference", blockingHandler}, {"longpoll", longPollers}, {"SSE", streamReaders}, {"WebSocket", pushClients},
	} {
		for _, clients := range []int{1_000, 10_000, 100_000} {
			if clients <= largest {
				b.Run(fmt.Sprintf("%s/%d", pattern.name, clients), func(b *testing.B) { f(b, pattern.new, clients) })
			}
		}
	}
}

// BenchmarkCrowd has more and more clients wait at one server, and publishes one event,
// which all of them must get. It reports
//
//	us/arrive  to have a client wait
//	B/client   what a client takes while it waits, in heap and stacks: its own part,
//	           the server's, and the network's with both ends of a TCP connection
//	us/wake    from the call of publish until all have the event
//	GB         what the process has taken from the operating system
//
// with the times on the wall and per client. The reference is a handler of net/http that
// blocks, and then writes a byte, and the same clients of net/http.
func BenchmarkCrowd(b *testing.B) {
	forEachCrowd(b, func(b *testing.B, newCrowd newCrowd, clients int) {
		wall := startClock()
		defer wall.stop()
		var arrive, wake time.Duration
		for b.Loop() {
			var m crowdMeasures
			// The bubble needs a T, and a benchmark has none. It is asked for nothing.
			require.NoError(b, sim.Try(new(testing.T), func(n *sim.Network) error {
				c, err := newCrowd(clients)
				if err == nil {
					m, err = c.meet(n, clients, wall)
				}
				return err
			}, sim.DefaultLink(netem.Config{Delay: 50 * time.Millisecond}), sim.ManyTimers()))
			arrive, wake = arrive+m.arrive, wake+m.wake
			b.ReportMetric(float64(m.bytes)/float64(clients), "B/client")
			b.ReportMetric(float64(m.taken)/1e9, "GB")
		}
		perClient := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(b.N*clients) }
		b.ReportMetric(perClient(arrive), "us/arrive")
		b.ReportMetric(perClient(wake), "us/wake")
	})
}

type crowdMeasures struct {
	arrive, wake time.Duration
	bytes, taken uint64
}

// meet has the clients come, within a second, and publishes when all of them wait.
func (c *crowd) meet(n *sim.Network, clients int, wall *wallClock) (m crowdMeasures, err error) {
	n.Host("server").ServeHTTP(":80", c.handler)
	defer c.close()
	before, _ := inUse()
	start := wall.now()

	news := []byte("news")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	over, end := context.WithCancel(ctx) // everybody has it
	defer end()
	var ended sync.WaitGroup
	outcomes := make(chan error, clients) // one of each client: nil when it has the event
	for i := range clients {
		name := fmt.Sprintf("client%d", i)
		httpClient := leanClient(n.Host(name))
		ended.Go(func() {
			defer httpClient.CloseIdleConnections()
			time.Sleep(time.Duration(i) * time.Second / time.Duration(clients))
			err := c.receive(ctx, httpClient, name, func(data []byte) error {
				if string(data) != string(news) {
					return fmt.Errorf("the event is %q, want %q", data, news)
				}
				outcomes <- nil
				<-over.Done()
				return errGotIt
			})
			if !errors.Is(err, errGotIt) {
				outcomes <- fmt.Errorf("%s: %w", name, err)
			}
		})
	}
	// Before the first heartbeat of any of the patterns.
	time.Sleep(10 * time.Second)
	arrived := wall.now()
	if k := c.waiting(); k != clients {
		return m, fmt.Errorf("%d of %d clients wait", k, clients)
	}
	bytes, taken := inUse()

	published := wall.now()
	if err := c.publish(news); err != nil {
		return m, err
	}
	late := time.After(time.Second)
	for k := range clients {
		select {
		case err := <-outcomes:
			if err != nil {
				return m, err
			}
		case <-late:
			return m, fmt.Errorf("%d of %d clients have the event after a second", k, clients)
		}
	}
	m = crowdMeasures{arrived.Sub(start), wall.now().Sub(published), bytes - before, taken}
	end()
	ended.Wait()
	return m, nil
}

var errGotIt = errors.New("the client has the event")

// leanClient is a client with small buffers. Where it reads and writes little at a time,
// they are most of what a transport holds for a connection: 4 KiB each by default.
func leanClient(h *sim.Host) *http.Client {
	c := h.HTTPClient()
	t := c.Transport.(*http.Transport)
	t.ReadBufferSize, t.WriteBufferSize = 512, 512
	return c
}

// inUse returns what the program uses in heap and stacks after a collection, and what
// the process has from the operating system.
func inUse() (bytes, taken uint64) {
	var s runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&s)
	return s.HeapInuse + s.StackInuse, s.Sys
}

// wallClock tells the time on the wall to those in a bubble, where time is virtual: by a
// goroutine outside. To wait for that does not let the bubble's time pass.
type wallClock struct {
	ask  chan struct{}
	tell chan time.Time
}

// startClock is called outside the bubble.
func startClock() *wallClock {
	w := &wallClock{make(chan struct{}), make(chan time.Time)}
	go func() {
		for range w.ask {
			w.tell <- time.Now()
		}
	}()
	return w
}

func (w *wallClock) now() time.Time { w.ask <- struct{}{}; return <-w.tell }
func (w *wallClock) stop()          { close(w.ask) }

func blockingHandler(int) (*crowd, error) {
	var parked atomic.Int64
	news, publish := context.WithCancel(context.Background())
	return &crowd{
		handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			parked.Add(1)
			<-news.Done()
			w.Write([]byte{'n'})
		}),
		waiting: func() int { return int(parked.Load()) },
		publish: func([]byte) error { publish(); return nil },
		receive: func(ctx context.Context, c *http.Client, name string, got func([]byte) error) error {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://server/", nil)
			if err != nil {
				return err
			}
			resp, err := c.Do(r)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			var first [1]byte
			if _, err := io.ReadFull(resp.Body, first[:]); err != nil {
				return err
			}
			return got([]byte("news"))
		},
		request: func(int) string { return requestFor("/", "") },
		close:   func() error { publish(); return nil },
	}, nil
}

func longPollers(clients int) (*crowd, error) {
	log := eventlog.NewMemory(eventlog.Options{})
	feed := &longpoll.Server{Log: log, MaxClients: clients}
	begin := log.Head().String()
	return &crowd{
		handler: feed.Handler(),
		waiting: func() int { return int(feed.Stats().Parked) },
		publish: func(data []byte) error { _, err := feed.Publish(context.Background(), "news", data); return err },
		receive: func(ctx context.Context, c *http.Client, name string, got func([]byte) error) error {
			client := longpoll.Client{URL: "http://server/", HTTP: c, FromNow: true, Jitter: retry.NoJitter}
			return client.Run(ctx, func(_ context.Context, b longpoll.Batch) error {
				if len(b.Events) == 0 {
					return nil // where it begins
				}
				return got(b.Events[0].Data)
			})
		},
		request: func(int) string { return requestFor("/?wait=30s&cursor="+begin, "Accept: application/json\r\n") },
		close:   log.Close,
	}, nil
}

func streamReaders(clients int) (*crowd, error) {
	log := eventlog.NewMemory(eventlog.Options{})
	srv := &stream.Server{Log: log, MaxClients: clients}
	return &crowd{
		handler: srv.Handler(),
		waiting: func() int { return int(srv.Stats().Streams) },
		publish: func(data []byte) error { _, err := srv.Publish(context.Background(), "news", data); return err },
		receive: func(ctx context.Context, c *http.Client, name string, got func([]byte) error) error {
			client := stream.Client{URL: "http://server/", HTTP: c, FromNow: true}
			return client.Run(ctx, func(_ context.Context, e stream.Event) error { return got([]byte(e.Data)) })
		},
		request: func(int) string { return requestFor("/?from=now", "Accept: text/event-stream\r\n") },
		close:   log.Close,
	}, nil
}

func pushClients(int) (*crowd, error) {
	log := eventlog.NewMemory(eventlog.Options{})
	srv := &push.Server{Log: log, Authenticate: systems.TrustEverybody}
	return &crowd{
		handler: srv.Handler(),
		waiting: func() int { return int(srv.Stats().Live) },
		publish: func(data []byte) error {
			_, err := srv.Publish(context.Background(), push.Message{Topic: "news", Data: data})
			return err
		},
		receive: func(ctx context.Context, c *http.Client, name string, got func([]byte) error) error {
			client := push.Client{
				URL: "ws://server/", ID: name, HTTP: c,
			}
			return client.Run(ctx, func(_ context.Context, e push.Event) error { return got(e.Data) })
		},
		request: func(i int) string {
			return requestFor(fmt.Sprintf("/?client=%d&run=r&attempt=1", i), "Connection: Upgrade\r\nUpgrade: websocket\r\n"+
				"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
		},
		close: func() error { return errors.Join(srv.Close(), log.Close()) },
	}, nil
}

// requestFor is a request as it travels. The header's lines end with CR LF.
func requestFor(path, header string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: server\r\n" + header + "\r\n"
}
