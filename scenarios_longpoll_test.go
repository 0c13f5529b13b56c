package squall_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/longpoll"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
	"github.com/stretchr/testify/require"
)

// The failures of long polling.
var longPollScenarios = []scenario{
	// Long polling: the wait and its end.
	{name: "LP-01 nothing happens for the whole wait", reason: "every answer at the end of a wait keeps the position, and the next poll follows at once",
		story: func(t *testing.T, n *sim.Network) {
			feed, c := startFeed(n, &longpoll.Feed{Wait: 30 * s, Jitter: longpoll.NoJitter})
			time.Sleep(10 * min)
			// Connecting takes 80 ms and the first poll, for a position, 80 ms more. From
			// then on a poll takes 30 s and 80 ms, so that 19 end in 10 minutes.
			require.EqualValues(t, 1+19, c.Stats().Empty)
			require.EqualValues(t, 1+19, feed.Stats().Empty)
			feed.Publish("news", []byte("at last"))
			time.Sleep(transit)
			require.Equal(t, []string{"at last"}, c.got())
		}},
	{name: "LP-02 events between two polls", reason: "a server that waits for edges instead of positions loses them",
		system: polling, play: func(w *world) { w.Client("phone"); w.PublishEvery(30*ms, 100) }},
	{name: "LP-03 the answer is lost", reason: "only the next poll says that an answer arrived",
		system: polling, play: func(w *world) { cut(w, w.Client("phone"), w.Server) }},
	{name: "LP-03 the request is lost", reason: "the mirror image: the server parks nothing",
		system: polling, play: func(w *world) { c := w.Client("phone"); cut(w, c, c.Host) }},
	{name: "LP-04 the answer is cut off in the middle", reason: "half an answer must not move the position",
		system: pollingWithStore, play: func(w *world) {
			w.Link(netem.Config{Delay: 40 * ms, Rate: 64 * netem.Kbit})
			w.Client("phone")
			w.Publish("large 1 "+strings.Repeat("x", 50_000), "large 2 "+strings.Repeat("x", 50_000))
			w.Sleep(5 * s) // of the 17 s that the answer takes
			w.Server.Restart()
		}},
	{name: "LP-05 the event comes just before the wait ends", reason: "two answers want to be given", story: race(-1)},
	{name: "LP-05 the event comes as the wait ends", reason: "exactly one is given",
		races: "which one, is the runtime's choice", story: race(0)},
	{name: "LP-05 the event comes just after the wait ends", reason: "and the event is not lost with the other", story: race(1)},
	{name: "LP-06 a proxy gives up before the server does", reason: "a gateway's timeout is an empty answer, not a reason for a hot loop",
		story: func(t *testing.T, n *sim.Network) {
			require.ErrorContains(t, (&longpoll.Client{URL: "http://server/", Wait: 90 * s, ProxyTimeout: 60 * s}).Check(), "ProxyTimeout")
			feed := serveFeed(n, &longpoll.Feed{Jitter: longpoll.NoJitter})
			proxy := n.Host("proxy")
			n.Link(proxy, n.Host("server"), good)
			proxy.ServeHTTP(":80", gateway(proxy, "http://server/", 60*s))
			c := poll(n, n.Host("phone"), &longpoll.Client{URL: "http://proxy/", Wait: 90 * s})
			time.Sleep(10 * min)
			feed.Publish("news", []byte("through the proxy"))
			time.Sleep(10 * s)
			require.Equal(t, []string{"through the proxy"}, c.got())
			require.LessOrEqual(t, c.Stats().Polls, int64(15), "polls in ten minutes")
		}},
	{name: "LP-07 the client gives up before the server does", reason: "its place on the server must be free again",
		story: func(t *testing.T, n *sim.Network) {
			feed := serveFeed(n, &longpoll.Feed{Jitter: longpoll.NoJitter})
			phone := n.Host("phone")
			n.Link(phone, n.Host("server"), good)
			for range 5 {
				ctx, cancel := context.WithTimeout(t.Context(), 10*s)
				req, _ := http.NewRequestWithContext(ctx, "GET", "http://server/?wait=60s&cursor="+feed.Log.Head().String(), nil)
				_, err := phone.HTTPClient().Do(req)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				cancel()
			}
			time.Sleep(transit)
			require.Zero(t, feed.Stats().Parked)
			require.EqualValues(t, 5, feed.Stats().Gone)
		}},

	// Long polling: positions.
	{name: "LP-09 the server is put back to an earlier state", reason: "positions that go backwards deafen a client that does not look (hashicorp/consul#2621)",
		story: func(t *testing.T, n *sim.Network) {
			before := longpoll.Feed{Log: eventlog.NewMemory(eventlog.Options{Epoch: 7})}
			after := longpoll.Feed{Log: eventlog.NewMemory(eventlog.Options{Epoch: 7})}
			var site atomic.Pointer[http.Handler]
			serve := func(h http.Handler) { site.Store(&h) }
			serve(before.Handler())
			n.Host("server").ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*site.Load()).ServeHTTP(w, r) }))
			c := poll(n, n.Host("phone"), &longpoll.Client{URL: "http://server/"})
			publish(&before, 10)
			n.Host("server").Crash()
			serve(after.Handler())
			publish(&after, 3)
			n.Host("server").Restart()
			time.Sleep(2 * min)
			require.Equal(t, []longpoll.Reset{longpoll.ResetFuture}, c.resets())
			require.Equal(t, []string{"e1", "e2", "e3"}, c.got()[10:])
		}},
	{name: "LP-10 a client without a position", reason: "position 0 must not make a hot loop (Consul: use 1)",
		story: func(t *testing.T, n *sim.Network) {
			_, c := startFeed(n, &longpoll.Feed{Jitter: longpoll.NoJitter})
			time.Sleep(50 * s)
			require.EqualValues(t, 3, c.Stats().Polls, "one for a position, and one each 30 s")
		}},
	{name: "LP-11 events that do not concern the client", reason: "they must not wake it a thousand times (hashicorp/consul#3890)",
		story: func(t *testing.T, n *sim.Network) {
			feed := serveFeed(n, &longpoll.Feed{Jitter: longpoll.NoJitter})
			c := poll(n, n.Host("phone"), &longpoll.Client{URL: "http://server/", Topics: []string{"mine"}})
			for range 1000 {
				feed.Publish("other", nil)
				time.Sleep(10 * ms)
			}
			feed.Publish("mine", []byte("hello"))
			time.Sleep(transit)
			require.Equal(t, []string{"hello"}, c.got())
			require.LessOrEqual(t, c.Stats().Polls, int64(3))
		}},
	{name: "LP-12 a thousand events a second", reason: "requests stay bounded and answers grow",
		story: func(t *testing.T, n *sim.Network) {
			feed, c := startFeed(n, &longpoll.Feed{})
			for i := range 10_000 {
				feed.Publish("news", fmt.Appendf(nil, "e%d", i+1))
				time.Sleep(ms)
			}
			time.Sleep(s)
			require.Len(t, c.got(), 10_000)
			require.Equal(t, "e10000", c.got()[9_999])
			require.LessOrEqual(t, c.Stats().Polls, int64(112), "ten a second, and the burst")
		}},
	{name: "LP-13 the log forgets what the client has not seen", reason: "a gap is told, not skipped (etcd-io/etcd#17529)",
		story: func(t *testing.T, n *sim.Network) {
			feed, c := startFeed(n, &longpoll.Feed{Log: eventlog.NewMemory(eventlog.Options{MaxEntries: 10})})
			c.link.Down()
			time.Sleep(min) // until no poll is parked
			publish(feed, 100)
			c.link.Up()
			time.Sleep(2 * min)
			require.Equal(t, []longpoll.Reset{longpoll.ResetCompacted}, c.resets())
			require.Equal(t, "e91", c.got()[0])
			require.Len(t, c.got(), 10)
		}},
	{name: "LP-14 silence, then a restart after the log has moved on", reason: "a client that heard nothing must not be behind (etcd-io/etcd#20262)",
		story: func(t *testing.T, n *sim.Network) {
			feed := serveFeed(n, &longpoll.Feed{Log: eventlog.NewMemory(eventlog.Options{MaxEntries: 10}), Jitter: longpoll.NoJitter})
			c := poll(n, n.Host("phone"), &longpoll.Client{URL: "http://server/", Topics: []string{"mine"}})
			for range 100 { // of another topic, each between two polls
				feed.Publish("other", nil)
				time.Sleep(30 * s)
			}
			feed.Publish("mine", []byte("hello"))
			time.Sleep(transit)
			require.Empty(t, c.resets(), "empty answers carry the position on")
			require.Equal(t, []string{"hello"}, c.got())
		}},
	{name: "LP-15 fewer events than the answer should have", reason: "they are held back for so long and no longer",
		story: func(t *testing.T, n *sim.Network) {
			feed, c := startFeed(n, &longpoll.Feed{MinEvents: 10, Linger: 5 * s})
			publish(feed, 3) // and a second passes
			time.Sleep(4*s + 39*ms)
			require.Empty(t, c.got())
			time.Sleep(2 * ms)
			require.Len(t, c.got(), 3, "linger and a transit after the first")
		}},
	{name: "LP-16 one loop polls two feeds in turn", reason: "the second starves: that is why there is one Run for each (the opposite shown)",
		story: func(t *testing.T, n *sim.Network) {
			feed := serveFeed(n, &longpoll.Feed{Jitter: longpoll.NoJitter})
			phone := n.Host("phone")
			n.Link(phone, n.Host("server"), good)
			h, head := phone.HTTPClient(), feed.Log.Head().String()
			n.After(s, func() { feed.Publish("second", nil) })
			for _, topic := range []string{"first", "second"} {
				readAll(h.Get("http://server/?wait=30s&topic=" + topic + "&cursor=" + head))
			}
			require.Equal(t, 80*ms+30*s+80*ms+80*ms, n.Elapsed(), "the event of the first second")
		}},
	{name: "LP-21 an answer from a replica that lags", reason: "time must not go backwards for a client (hashicorp/consul#7939)",
		story: func(t *testing.T, n *sim.Network) {
			leader := longpoll.Feed{Log: eventlog.NewMemory(eventlog.Options{Epoch: 7})}
			follower := longpoll.Feed{Log: eventlog.NewMemory(eventlog.Options{Epoch: 7})}
			publish(&leader, 10)
			publish(&follower, 5)
			turn := 0
			n.Host("server").ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				turn++
				[]*longpoll.Feed{&leader, &follower}[turn%2].Handler().ServeHTTP(w, r)
			}))
			c := poll(n, n.Host("phone"), &longpoll.Client{URL: "http://server/", Wait: s})
			time.Sleep(min)
			require.Empty(t, c.resets())
			require.Len(t, c.got(), 10, "each once")
			require.NotZero(t, c.Stats().Stale)
		}},

	// Long polling: many clients, and clients that go away.
	{name: "LP-17 a thousand parked polls and one event", reason: "each is woken once (Roblox 2021)",
		story: func(t *testing.T, n *sim.Network) {
			feed := serveFeed(n, &longpoll.Feed{Jitter: longpoll.NoJitter})
			var all []*poller
			for i := range 1000 {
				all = append(all, poll(n, n.Host(fmt.Sprintf("phone%d", i)), &longpoll.Client{URL: "http://server/"}))
			}
			time.Sleep(s)
			require.Equal(t, 1000, feed.Stats().Parked)
			feed.Publish("news", []byte("hear"))
			time.Sleep(s)
			for _, c := range all {
				require.Equal(t, []string{"hear"}, c.got())
			}
			require.EqualValues(t, 1000, feed.Stats().Wakes)
		}},
	{name: "LP-18 the server restarts under 200 parked polls", reason: "they come back spread out, not all at once",
		story: func(t *testing.T, n *sim.Network) {
			serveFeed(n, &longpoll.Feed{})
			for i := range 200 {
				poll(n, n.Host(fmt.Sprintf("phone%d", i)), &longpoll.Client{URL: "http://server/", Jitter: longpoll.Seeded(uint64(i))})
			}
			time.Sleep(5 * s)
			at := n.Elapsed()
			n.Host("server").Restart()
			time.Sleep(min)
			require.LessOrEqual(t, herd(n, at), 50, "attempts to connect within 100 ms, of 200 in a second")
		}},
	{name: "LP-19 the client loses power", reason: "its poll ends with the wait, not with the day",
		story: func(t *testing.T, n *sim.Network) {
			feed, c := startFeed(n, &longpoll.Feed{Jitter: longpoll.NoJitter})
			require.Equal(t, 1, feed.Stats().Parked)
			c.host.PowerOff()
			time.Sleep(30 * s)
			require.Zero(t, feed.Stats().Parked)
		}},
	{name: "LP-20 the client crashes with a poll parked", reason: "the dead poll must not swallow the event",
		system: polling, play: func(w *world) {
			c := w.Client("phone")
			for range 5 {
				w.PublishEvery(s, 3)
				c.Host.Restart()
				w.PublishEvery(0, 1)
			}
		}},
	{name: "LP-22 six parked polls and one more request", reason: "browsers give a host six connections over HTTP/1.1: the seventh waits for a poll to end",
		story: func(t *testing.T, n *sim.Network) {
			feed := serveFeed(n, &longpoll.Feed{Jitter: longpoll.NoJitter})
			phone := n.Host("phone")
			n.Link(phone, n.Host("server"), good)
			h := phone.HTTPClient()
			h.Transport.(*http.Transport).MaxConnsPerHost = 6
			ask := func() { readAll(h.Get("http://server/?wait=30s&cursor=" + feed.Log.Head().String())) }
			for range 6 {
				go ask()
			}
			time.Sleep(s)
			readAll(h.Get("http://server/?from=now"))
			require.Equal(t, 80*ms+30*s+80*ms+80*ms, n.Elapsed())
		}},

	// Long polling: outages of all lengths, and restarts.
	{name: "an outage shorter than a poll", reason: "TCP bridges it", system: polling, play: outage(5 * s)},
	{name: "an outage of a minute", reason: "a poll ends in it and another is due", system: polling, play: outage(65 * s)},
	{name: "an outage of an hour", reason: "the connection dies in it", system: polling, play: outage(time.Hour)},
	{name: "the server restarts with its store", reason: "what it accepted is still there", system: pollingWithStore, play: restart},
	{name: "the server restarts without a store", reason: "its new life must not be taken for the old", system: polling, play: restart},
	{name: "the server restarts with its store while the client is away", reason: "the position outlives both", system: pollingWithStore, play: restartAway},
	{name: "a lossy link, polled", reason: "loss is delay", system: polling, play: lossy},
}

func polling(n *sim.Network) patterntest.System { return longPolling(n, inMemory) }
func pollingWithStore(n *sim.Network) patterntest.System {
	return durable(longPolling(n, onDisk))
}

// race publishes an event so many nanoseconds after a poll's wait has ended.
func race(offset time.Duration) func(t *testing.T, n *sim.Network) {
	return func(t *testing.T, n *sim.Network) {
		feed, c := startFeed(n, &longpoll.Feed{Wait: 30 * s, Jitter: longpoll.NoJitter})
		// The poll that is parked reached the server at 80 + 80 + 40 ms.
		time.Sleep(200*ms + 30*s + offset - n.Elapsed())
		feed.Publish("news", []byte("just in time"))
		time.Sleep(s)
		require.Equal(t, []string{"just in time"}, c.got())
	}
}

// A poller is a client of long polling and what it got.
type poller struct {
	*longpoll.Client
	host *sim.Host
	link *sim.Link
	mu   sync.Mutex
	data []string
	gaps []longpoll.Reset
}

func (p *poller) got() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.data)
}

func (p *poller) resets() []longpoll.Reset {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.gaps)
}

// startFeed serves a feed and has one client poll it.
func startFeed(n *sim.Network, f *longpoll.Feed) (*longpoll.Feed, *poller) {
	feed := serveFeed(n, f)
	c := poll(n, n.Host("phone"), &longpoll.Client{URL: "http://server/", FromNow: true})
	time.Sleep(s)
	return feed, c
}

func serveFeed(n *sim.Network, f *longpoll.Feed) *longpoll.Feed {
	if f.Log == nil {
		f.Log = eventlog.NewMemory(eventlog.Options{})
	}
	n.Host("server").ServeHTTP(":80", f.Handler())
	return f
}

func poll(n *sim.Network, h *sim.Host, c *longpoll.Client) *poller {
	p := &poller{Client: c, host: h}
	c.HTTP = h.HTTPClient()
	if c.Jitter == nil {
		c.Jitter = longpoll.NoJitter
	}
	target, _ := url.Parse(c.URL)
	p.link = n.Link(h, n.Host(target.Hostname()), good)
	h.Run("poll", func(ctx context.Context, _ *sim.Host) error {
		return p.Run(ctx, func(_ context.Context, b longpoll.Batch) error {
			p.mu.Lock()
			defer p.mu.Unlock()
			if b.Reset != "" {
				p.gaps = append(p.gaps, b.Reset)
			}
			for _, e := range b.Events {
				p.data = append(p.data, string(e.Data))
			}
			return nil
		})
	})
	return p
}

func publish(f *longpoll.Feed, count int) {
	for i := range count {
		f.Publish("news", fmt.Appendf(nil, "e%d", i+1))
	}
	time.Sleep(s)
}

// gateway is a proxy that gives up on a silent server.
func gateway(h *sim.Host, to string, timeout time.Duration) http.Handler {
	target, _ := url.Parse(to)
	t := h.HTTPClient().Transport.(*http.Transport)
	t.ResponseHeaderTimeout = timeout
	return &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: t,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			w.WriteHeader(http.StatusGatewayTimeout)
		},
	}
}

func readAll(resp *http.Response, err error) {
	if err == nil {
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}
