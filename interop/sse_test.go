package interop

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/launchdarkly/eventsource"
	r3labs "github.com/r3labs/sse/v2"
	"github.com/stretchr/testify/require"
	gosse "github.com/tmaxmax/go-sse"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/patterns/stream"
	"github.com/squall-sim/squall/sim"
)

// This project's stream and the Server-Sent Events of others: its server read by their
// clients, its client reading from their servers, each through an outage that ends the
// connection.

// sseClients run until ctx is done, and hand over the data of what they get. An event
// without data is none (WHATWG HTML, section 9.2.6), but all of them hand it over: the
// server writes one at the beginning, for its ID. One takes the comments before the
// stream's end for another.
var sseClients = []struct {
	name  string
	empty int // events without data
	run   func(ctx context.Context, h *sim.Host, event func(data string))
}{
	{"go-sse", 1, func(ctx context.Context, h *sim.Host, event func(string)) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://server/", nil)
		if err != nil {
			panic(err)
		}
		c := (&gosse.Client{HTTPClient: h.HTTPClient()}).NewConnection(req)
		c.SubscribeToAll(func(e gosse.Event) { event(e.Data) })
		c.Connect()
	}},
	{"r3labs/sse", 2, func(ctx context.Context, h *sim.Host, event func(string)) {
		c := r3labs.NewClient("http://server/")
		c.Connection = h.HTTPClient()
		for ctx.Err() == nil {
			c.SubscribeWithContext(ctx, "", func(e *r3labs.Event) { event(string(e.Data)) })
			sleep(ctx, time.Second)
		}
	}},
	{"launchdarkly/eventsource", 1, func(ctx context.Context, h *sim.Host, event func(string)) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://server/", nil)
		if err != nil {
			panic(err)
		}
		s, err := eventsource.SubscribeWithRequestAndOptions(req, eventsource.StreamOptionHTTPClient(h.HTTPClient()),
			eventsource.StreamOptionErrorHandler(func(error) eventsource.StreamErrorHandlerResult {
				return eventsource.StreamErrorHandlerResult{CloseNow: ctx.Err() != nil}
			}))
		if err != nil {
			panic(err)
		}
		defer context.AfterFunc(ctx, s.Close)()
		for e := range s.Events {
			event(e.Data())
		}
	}},
}

// published is what is sent: 60 events in a minute, and what has a meaning in the format.
func published() []string {
	var all []string
	for i := range 60 {
		all = append(all, fmt.Sprintf("e%d", i))
	}
	return append(all, "two\nlines", "data: one\nid: 7", " a space", "높은 파도 🌊", strings.Repeat("large", 2000))
}

func TestOthersReadFromStream(t *testing.T) {
	for _, c := range sseClients {
		t.Run(strings.ReplaceAll(c.name, "/", "_"), func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				server, phone := n.Host("server"), n.Host("phone")
				link := n.Link(server, phone, netem.Config{Delay: transit})
				log := eventlog.NewMemory(eventlog.Options{})
				defer log.Close()
				s := &stream.Server{Log: log}
				server.ServeHTTP(":80", s.Handler())

				var got []string
				empty := 0
				phone.Run("client", func(ctx context.Context, h *sim.Host) error {
					c.run(ctx, h, func(data string) {
						if data == "" {
							empty++
							return
						}
						got = append(got, data)
					})
					return nil
				})
				time.Sleep(time.Second)
				n.After(20*time.Second, link.Down)
				n.After(30*time.Second, server.Restart) // the connection ends, and the client is not told
				n.After(50*time.Second, link.Up)
				for _, data := range published() {
					_, err := s.Publish(context.Background(), "news", []byte(data))
					require.NoError(t, err)
					time.Sleep(time.Second)
				}
				time.Sleep(5 * time.Minute)
				phone.Crash()
				time.Sleep(time.Second)
				require.Equal(t, published(), got)
				require.Equal(t, c.empty, empty)
				require.GreaterOrEqual(t, s.Stats().Opened, int64(2), "the outage ended the first stream")
			})
		})
	}
}

// sseServers run on h until ctx is done. What they publish they keep, and replay.
var sseServers = []struct {
	name    string
	repeats bool // the last event comes again at each reconnection
	start   func(t *testing.T, h *sim.Host) (publish func(data string))
}{
	{"go-sse", false, func(t *testing.T, h *sim.Host) func(string) {
		replayer, err := gosse.NewFiniteReplayer(1000, true)
		require.NoError(t, err)
		s := &gosse.Server{Provider: &gosse.Joe{Replayer: replayer}}
		t.Cleanup(func() { s.Shutdown(context.Background()) })
		h.ServeHTTP(":80", s)
		return func(data string) {
			m := &gosse.Message{}
			m.AppendData(data)
			require.NoError(t, s.Publish(m))
		}
	}},
	{"r3labs/sse", true, func(t *testing.T, h *sim.Host) func(string) {
		s := r3labs.New()
		s.SplitData = true
		s.CreateStream("news")
		t.Cleanup(func() { time.AfterFunc(time.Minute, s.Close) })
		h.ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.URL.RawQuery = "stream=news"
			s.ServeHTTP(w, r)
		}))
		return func(data string) { s.Publish("news", &r3labs.Event{Data: []byte(data)}) }
	}},
	{"launchdarkly/eventsource", true, func(t *testing.T, h *sim.Host) func(string) {
		s, repository := eventsource.NewServer(), eventsource.NewSliceRepository()
		s.Register("news", repository)
		t.Cleanup(func() { time.AfterFunc(time.Minute, s.Close) })
		h.ServeHTTP(":80", s.Handler("news"))
		next := 0
		return func(data string) {
			next++
			e := numbered{fmt.Sprintf("%09d", next), data}
			repository.Add("news", e)
			<-s.PublishWithAcknowledgment([]string{"news"}, e)
		}
	}},
}

func TestStreamReadsFromOthers(t *testing.T) {
	for _, other := range sseServers {
		t.Run(strings.ReplaceAll(other.name, "/", "_"), func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				server, phone := n.Host("server"), n.Host("phone")
				link := n.Link(server, phone, netem.Config{Delay: transit})
				publish := other.start(t, server)

				var got []string
				var ids []string
				c := &stream.Client{URL: "http://server/", HTTP: phone.HTTPClient(), Jitter: retry.Seeded(n.Rand("phone").Uint64()),
					Heartbeat: -1} // they send none unless told to
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error)
				go func() {
					ended <- c.Run(ctx, func(_ context.Context, e stream.Event) error {
						if other.repeats && len(ids) > 0 && ids[len(ids)-1] == e.ID {
							return nil
						}
						got, ids = append(got, e.Data), append(ids, e.ID)
						return nil
					})
				}()
				time.Sleep(time.Second)
				n.After(20*time.Second, link.Down)
				n.After(30*time.Second, server.Restart) // connections end; what was published is kept
				n.After(50*time.Second, link.Up)
				for _, data := range published() {
					publish(data)
					time.Sleep(time.Second)
				}
				time.Sleep(5 * time.Minute)
				cancel()
				require.ErrorIs(t, <-ended, context.Canceled)
				require.Equal(t, published(), got)
				require.GreaterOrEqual(t, c.Stats().Opened, int64(2), "the outage ended the first stream")
			})
		})
	}
}
