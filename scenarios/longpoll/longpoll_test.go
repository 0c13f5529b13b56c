package longpoll_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/internal/systems"
	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/longpoll"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/scenarios/scenario"
	"github.com/squall-sim/squall/sim"
)

// The failures of long polling.
var scenarios = []scenario.Row{
	// Long polling: the wait and its end.
	{Name: "LP-01 nothing happens for the whole wait", Reason: "every answer at the end of a wait keeps the position, and the next poll follows at once",
		Story: func(t *testing.T, n *sim.Network) {
			feed, c := startFeed(n, &longpoll.Server{Wait: 30 * time.Second, Jitter: retry.NoJitter})
			time.Sleep(10 * time.Minute)
			// Connecting takes 80 ms and the first poll, for a position, 80 ms more. From
			// then on a poll takes 30 s and 80 ms, so that 19 end in 10 minutes.
			require.EqualValues(t, 1+19, c.Stats().Empty)
			require.EqualValues(t, 1+19, feed.Stats().Empty)
			feed.Publish(t.Context(), "news", []byte("at last"))
			time.Sleep(scenario.Transit)
			require.Equal(t, []string{"at last"}, c.got())
		}},
	{Name: "LP-02 events between two polls", Reason: "a server that waits for the next event instead of comparing positions loses them",
		Story: scenario.Contract(polling, func(w *patterntest.World) { w.Client("phone"); w.PublishEvery(30*time.Millisecond, 100) })},
	{Name: "LP-03 the answer is lost", Reason: "only the next poll tells the server that an answer has arrived",
		Story: scenario.Contract(polling, func(w *patterntest.World) { scenario.Cut(w, w.Client("phone"), w.Server) })},
	{Name: "LP-03 the request is lost", Reason: "the mirror image of a lost answer: the server holds no poll for this client",
		Story: scenario.Contract(polling, func(w *patterntest.World) { c := w.Client("phone"); scenario.Cut(w, c, c.Host) })},
	{Name: "LP-04 the answer is cut off in the middle", Reason: "a truncated answer must not move the position",
		Story: scenario.Contract(pollingWithStore, func(w *patterntest.World) {
			w.Link(netem.Config{Delay: 40 * time.Millisecond, Rate: 64 * netem.Kbit})
			w.Client("phone")
			w.Publish("large 1 "+strings.Repeat("x", 50_000), "large 2 "+strings.Repeat("x", 50_000))
			w.Sleep(5 * time.Second) // of the 17 s that the answer takes
			w.Server.Restart()
		})},
	{Name: "LP-05 the event comes just before the wait ends", Reason: "the event and the end of the wait both call for an answer", Story: race(-1)},
	{Name: "LP-05 the event comes as the wait ends", Reason: "exactly one answer is sent",
		Races: "which of the two comes first is the runtime's choice", Story: race(0)},
	{Name: "LP-05 the event comes just after the wait ends", Reason: "the event must not be lost with the empty answer", Story: race(1)},
	{Name: "LP-06 a proxy gives up before the server does", Reason: "a gateway timeout counts as an empty answer, and must not cause a hot loop",
		Story: func(t *testing.T, n *sim.Network) {
			require.ErrorContains(t, (&longpoll.Client{URL: "http://server/", Wait: 90 * time.Second, ProxyTimeout: 60 * time.Second}).Check(), "ProxyTimeout")
			feed := serveFeed(n, &longpoll.Server{Jitter: retry.NoJitter})
			proxy := n.Host("proxy")
			n.Link(proxy, n.Host("server"), scenario.Good)
			proxy.ServeHTTP(":80", proxy.Proxy("http://server", sim.ProxyConfig{Timeout: 60 * time.Second}))
			c := poll(n, n.Host("phone"), &longpoll.Client{URL: "http://proxy/", Wait: 90 * time.Second})
			time.Sleep(10 * time.Minute)
			feed.Publish(t.Context(), "news", []byte("through the proxy"))
			time.Sleep(10 * time.Second)
			require.Equal(t, []string{"through the proxy"}, c.got())
			require.LessOrEqual(t, c.Stats().Polls, int64(15), "polls in ten minutes")
		}},
	{Name: "LP-07 the client gives up before the server does", Reason: "its slot on the server must be free again",
		Story: func(t *testing.T, n *sim.Network) {
			feed := serveFeed(n, &longpoll.Server{Jitter: retry.NoJitter})
			phone := n.Host("phone")
			n.Link(phone, n.Host("server"), scenario.Good)
			for range 5 {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				req, _ := http.NewRequestWithContext(ctx, "GET", "http://server/?wait=60s&cursor="+feed.Log.Head().String(), nil)
				_, err := phone.HTTPClient().Do(req)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				cancel()
			}
			time.Sleep(scenario.Transit)
			require.Zero(t, feed.Stats().Parked)
			require.EqualValues(t, 5, feed.Stats().Gone)
		}},
	{Name: "LP-08 a NAT forgets who is silent for 350 s", Reason: "the answer to a poll that waits for 10 min reaches nobody; the client notices by its own deadline",
		Story: func(t *testing.T, n *sim.Network) {
			feed := serveFeed(n, &longpoll.Server{Wait: 10 * time.Minute, Jitter: retry.NoJitter})
			phone, server, r := n.Host("phone"), n.Host("server"), n.Router("nat")
			n.Link(r, server, netem.Config{})
			for _, h := range []*sim.Host{phone, server} { // keep-alive probes speak too
				h.SetTCP(sim.TCPConfig{KeepAlive: sim.TCPKeepAlive{Off: true}})
			}
			nat := r.NAT(sim.NATConfig{Tracking: sim.Tracking{Established: 350 * time.Second, Stray: sim.StrayDropped}}, phone)
			c := pollVia(n, phone, r, &longpoll.Client{URL: "http://server/", FromNow: true, Wait: 10 * time.Minute})
			time.Sleep(400 * time.Second)
			feed.Publish(t.Context(), "news", []byte("for nobody"))
			time.Sleep(199 * time.Second)
			require.Empty(t, c.got())
			require.NotZero(t, nat.Stats().Strays)
			time.Sleep(time.Minute)
			require.Equal(t, []string{"for nobody"}, c.got())
		}},

	// Long polling: positions.
	{Name: "LP-09 the server is put back to an earlier state", Reason: "a client that does not check for positions that go backwards gets no more events (hashicorp/consul#2621)",
		Story: func(t *testing.T, n *sim.Network) {
			before := longpoll.Server{Log: eventlog.NewMemory(eventlog.Options{Epoch: 7})}
			after := longpoll.Server{Log: eventlog.NewMemory(eventlog.Options{Epoch: 7})}
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
			time.Sleep(2 * time.Minute)
			require.Equal(t, []eventlog.Reason{eventlog.ReasonFuture}, c.resets())
			require.Equal(t, []string{"e1", "e2", "e3"}, c.got()[10:])
		}},
	{Name: "LP-10 a client without a position", Reason: "position 0 must not cause a hot loop (Consul: use 1)",
		Story: func(t *testing.T, n *sim.Network) {
			_, c := startFeed(n, &longpoll.Server{Jitter: retry.NoJitter})
			time.Sleep(50 * time.Second)
			require.EqualValues(t, 3, c.Stats().Polls, "one for a position, and one every 30 s")
		}},
	{Name: "LP-11 events that do not concern the client", Reason: "events of other topics must not wake it a thousand times (hashicorp/consul#3890)",
		Story: func(t *testing.T, n *sim.Network) {
			feed := serveFeed(n, &longpoll.Server{Jitter: retry.NoJitter})
			c := poll(n, n.Host("phone"), &longpoll.Client{URL: "http://server/", Topics: []string{"mine"}})
			for range 1000 {
				feed.Publish(t.Context(), "other", nil)
				time.Sleep(10 * time.Millisecond)
			}
			feed.Publish(t.Context(), "mine", []byte("hello"))
			time.Sleep(scenario.Transit)
			require.Equal(t, []string{"hello"}, c.got())
			require.LessOrEqual(t, c.Stats().Polls, int64(3))
		}},
	{Name: "LP-12 a thousand events a second", Reason: "the number of requests stays bounded, and the answers grow",
		Story: func(t *testing.T, n *sim.Network) {
			feed, c := startFeed(n, &longpoll.Server{})
			for i := range 10_000 {
				feed.Publish(t.Context(), "news", fmt.Appendf(nil, "e%d", i+1))
				time.Sleep(time.Millisecond)
			}
			time.Sleep(time.Second)
			require.Len(t, c.got(), 10_000)
			require.Equal(t, "e10000", c.got()[9_999])
			require.LessOrEqual(t, c.Stats().Polls, int64(112), "ten a second, and the burst")
		}},
	{Name: "LP-13 the log forgets what the client has not seen", Reason: "the client is notified of the gap instead of skipping it (etcd-io/etcd#17529)",
		Story: func(t *testing.T, n *sim.Network) {
			feed, c := startFeed(n, &longpoll.Server{Log: eventlog.NewMemory(eventlog.Options{MaxEntries: 10})})
			c.link.Down()
			time.Sleep(time.Minute) // until no poll is parked
			publish(feed, 100)
			c.link.Up()
			time.Sleep(2 * time.Minute)
			require.Equal(t, []eventlog.Reason{eventlog.ReasonCompacted}, c.resets())
			require.Equal(t, "e91", c.got()[0])
			require.Len(t, c.got(), 10)
		}},
	{Name: "LP-14 silence, then a restart after the log has moved on", Reason: "a client that has received nothing must not fall behind the log (etcd-io/etcd#20262)",
		Story: func(t *testing.T, n *sim.Network) {
			feed := serveFeed(n, &longpoll.Server{Log: eventlog.NewMemory(eventlog.Options{MaxEntries: 10}), Jitter: retry.NoJitter})
			c := poll(n, n.Host("phone"), &longpoll.Client{URL: "http://server/", Topics: []string{"mine"}})
			for range 100 { // of another topic, each between two polls
				feed.Publish(t.Context(), "other", nil)
				time.Sleep(30 * time.Second)
			}
			feed.Publish(t.Context(), "mine", []byte("hello"))
			time.Sleep(scenario.Transit)
			require.Empty(t, c.resets(), "empty answers carry the position on")
			require.Equal(t, []string{"hello"}, c.got())
		}},
	{Name: "LP-15 fewer events than the answer should have", Reason: "they are held back for a limited time only",
		Story: func(t *testing.T, n *sim.Network) {
			feed, c := startFeed(n, &longpoll.Server{MinEvents: 10, Linger: 5 * time.Second})
			publish(feed, 3) // and a second passes
			time.Sleep(4*time.Second + 39*time.Millisecond)
			require.Empty(t, c.got())
			time.Sleep(2 * time.Millisecond)
			require.Len(t, c.got(), 3, "linger and a transit after the first")
		}},
	{Name: "LP-16 one loop polls two feeds in turn", Reason: "counter-example: the second feed starves, so each feed needs its own Run",
		Story: func(t *testing.T, n *sim.Network) {
			feed := serveFeed(n, &longpoll.Server{Jitter: retry.NoJitter})
			phone := n.Host("phone")
			n.Link(phone, n.Host("server"), scenario.Good)
			h, head := phone.HTTPClient(), feed.Log.Head().String()
			n.After(time.Second, func() { feed.Publish(t.Context(), "second", nil) })
			for _, topic := range []string{"first", "second"} {
				scenario.ReadAll(h.Get("http://server/?wait=30s&topic=" + topic + "&cursor=" + head))
			}
			require.Equal(t, 80*time.Millisecond+30*time.Second+80*time.Millisecond+80*time.Millisecond, n.Elapsed(), "the event of the first second")
		}},
	{Name: "LP-21 an answer from a replica that lags", Reason: "a client must not go back in time (hashicorp/consul#7939)",
		Story: func(t *testing.T, n *sim.Network) {
			leader := longpoll.Server{Log: eventlog.NewMemory(eventlog.Options{Epoch: 7})}
			follower := longpoll.Server{Log: eventlog.NewMemory(eventlog.Options{Epoch: 7})}
			publish(&leader, 10)
			publish(&follower, 5)
			turn := 0
			n.Host("server").ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				turn++
				[]*longpoll.Server{&leader, &follower}[turn%2].Handler().ServeHTTP(w, r)
			}))
			c := poll(n, n.Host("phone"), &longpoll.Client{URL: "http://server/", Wait: time.Second})
			time.Sleep(time.Minute)
			require.Empty(t, c.resets())
			require.Len(t, c.got(), 10, "each once")
			require.NotZero(t, c.Stats().Stale)
		}},

	// Long polling: many clients, and clients that go away.
	{Name: "LP-17 a thousand parked polls and one event", Reason: "each poll is woken once (Roblox 2021)",
		Story: func(t *testing.T, n *sim.Network) {
			feed := serveFeed(n, &longpoll.Server{Jitter: retry.NoJitter})
			var all []*poller
			for i := range 1000 {
				all = append(all, poll(n, n.Host(fmt.Sprintf("phone%d", i)), &longpoll.Client{URL: "http://server/"}))
			}
			time.Sleep(time.Second)
			require.EqualValues(t, 1000, feed.Stats().Parked)
			feed.Publish(t.Context(), "news", []byte("hear"))
			time.Sleep(time.Second)
			for _, c := range all {
				require.Equal(t, []string{"hear"}, c.got())
			}
			require.EqualValues(t, 1000, feed.Stats().Wakes)
		}},
	{Name: "LP-18 the server restarts under 200 parked polls", Reason: "the clients come back spread out, not all at once",
		Story: func(t *testing.T, n *sim.Network) {
			serveFeed(n, &longpoll.Server{})
			for i := range 200 {
				poll(n, n.Host(fmt.Sprintf("phone%d", i)), &longpoll.Client{URL: "http://server/", Jitter: retry.Seeded(uint64(i))})
			}
			time.Sleep(5 * time.Second)
			at := n.Elapsed()
			n.Host("server").Restart()
			time.Sleep(time.Minute)
			require.LessOrEqual(t, scenario.Herd(n, at), 50, "attempts to connect within 100 ms, of 200 in a second")
		}},
	{Name: "LP-19 the client loses power", Reason: "its poll ends with the wait, not much later",
		Story: func(t *testing.T, n *sim.Network) {
			feed, c := startFeed(n, &longpoll.Server{Jitter: retry.NoJitter})
			require.EqualValues(t, 1, feed.Stats().Parked)
			c.host.PowerOff()
			time.Sleep(30 * time.Second)
			require.Zero(t, feed.Stats().Parked)
		}},
	{Name: "LP-20 the client crashes with a poll parked", Reason: "the abandoned poll must not consume the event",
		Story: scenario.Contract(polling, func(w *patterntest.World) {
			c := w.Client("phone")
			for range 5 {
				w.PublishEvery(time.Second, 3)
				c.Host.Restart()
				w.PublishEvery(0, 1)
			}
		})},
	{Name: "LP-21 the token expires while its poll is parked", Reason: "a permission must end with its token, and a client that renews the token loses nothing",
		Story: func(t *testing.T, n *sim.Network) {
			tokens := access.Tokens{Keys: [][]byte{[]byte("32 random bytes, of a secret store")}}
			feed := serveFeed(n, &longpoll.Server{Jitter: retry.NoJitter, Authenticate: tokens.Authenticate})
			c := poll(n, n.Host("phone"), &longpoll.Client{URL: "http://server/", FromNow: true, Header: func(context.Context) (http.Header, error) {
				token, err := tokens.Sign(access.Identity{Client: "phone", Topics: []string{"news"}, Expires: time.Now().Add(10 * time.Second)})
				return http.Header{"Authorization": {"Bearer " + token}}, err
			}})
			time.Sleep(25 * time.Second)
			feed.Publish(t.Context(), "secrets", nil)
			feed.Publish(t.Context(), "news", []byte("at last"))
			time.Sleep(40*time.Millisecond + 1)
			require.Equal(t, []string{"at last"}, c.got())
			// For a position at 0 s, and polls at 0.16, 10.2 and 20.24 s; the last has left with the event.
			require.Equal(t, longpoll.ClientStats{Polls: 5, Empty: 3, Answers: 1, Events: 1}, c.Stats())
		}},
	{Name: "LP-22 six parked polls and one more request", Reason: "browsers open six HTTP/1.1 connections to a host: the seventh request waits until a poll ends",
		Story: func(t *testing.T, n *sim.Network) {
			feed := serveFeed(n, &longpoll.Server{Jitter: retry.NoJitter})
			phone := n.Host("phone")
			n.Link(phone, n.Host("server"), scenario.Good)
			h := phone.HTTPClient()
			h.Transport.(*http.Transport).MaxConnsPerHost = 6
			ask := func() { scenario.ReadAll(h.Get("http://server/?wait=30s&cursor=" + feed.Log.Head().String())) }
			for range 6 {
				go ask()
			}
			time.Sleep(time.Second)
			scenario.ReadAll(h.Get("http://server/?from=now"))
			require.Equal(t, 80*time.Millisecond+30*time.Second+80*time.Millisecond+80*time.Millisecond, n.Elapsed())
		}},

	// Long polling: outages of all lengths, and restarts.
	{Name: "an outage shorter than a poll", Reason: "TCP survives it", Story: scenario.Contract(polling, scenario.Outage(5*time.Second))},
	{Name: "an outage of a minute", Reason: "a poll ends during the outage, and another one is due", Story: scenario.Contract(polling, scenario.Outage(65*time.Second))},
	{Name: "an outage of an hour", Reason: "the connection dies during the outage", Story: scenario.Contract(polling, scenario.Outage(time.Hour))},
	{Name: "the server restarts with its store", Reason: "everything that it accepted is still there", Story: scenario.Contract(pollingWithStore, scenario.Restart)},
	{Name: "the server restarts without a store", Reason: "the new run must not be mistaken for the old one", Story: scenario.Contract(polling, scenario.Restart)},
	{Name: "the server restarts with its store while the client is away", Reason: "the position is valid after both the restart and the absence", Story: scenario.Contract(pollingWithStore, scenario.RestartAway)},
	{Name: "a lossy link, polled", Reason: "over TCP, loss becomes delay", Story: scenario.Contract(polling, scenario.Lossy)},
}

func polling(n *sim.Network) patterntest.System { return systems.LongPoll(n, systems.InMemory) }
func pollingByName(n *sim.Network) patterntest.System {
	return systems.LongPollByName(n, systems.InMemory)
}
func pollingWithStore(n *sim.Network) patterntest.System {
	return systems.Durable(systems.LongPoll(n, systems.OnDisk))
}

// race publishes an event so many nanoseconds after a poll's wait has ended.
func race(offset time.Duration) func(t *testing.T, n *sim.Network) {
	return func(t *testing.T, n *sim.Network) {
		feed, c := startFeed(n, &longpoll.Server{Wait: 30 * time.Second, Jitter: retry.NoJitter})
		// The poll that is parked reached the server at 80 + 80 + 40 ms.
		time.Sleep(200*time.Millisecond + 30*time.Second + offset - n.Elapsed())
		feed.Publish(t.Context(), "news", []byte("just in time"))
		time.Sleep(time.Second)
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
	gaps []eventlog.Reason
}

func (p *poller) got() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.data)
}

func (p *poller) resets() []eventlog.Reason {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.gaps)
}

// startFeed serves a feed and has one client poll it.
func startFeed(n *sim.Network, f *longpoll.Server) (*longpoll.Server, *poller) {
	feed := serveFeed(n, f)
	c := poll(n, n.Host("phone"), &longpoll.Client{URL: "http://server/", FromNow: true})
	time.Sleep(time.Second)
	return feed, c
}

func serveFeed(n *sim.Network, f *longpoll.Server) *longpoll.Server {
	if f.Log == nil {
		f.Log = eventlog.NewMemory(eventlog.Options{})
	}
	n.Host("server").ServeHTTP(":80", f.Handler())
	return f
}

func poll(n *sim.Network, h *sim.Host, c *longpoll.Client) *poller {
	target, _ := url.Parse(c.URL)
	return pollVia(n, h, n.Host(target.Hostname()), c)
}

// pollVia is poll with something between the client's link and the server.
func pollVia(n *sim.Network, h *sim.Host, next sim.Node, c *longpoll.Client) *poller {
	p := &poller{Client: c, host: h}
	c.HTTP = h.HTTPClient()
	if c.Jitter == nil {
		c.Jitter = retry.NoJitter
	}
	p.link = n.Link(h, next, scenario.Good)
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

func publish(f *longpoll.Server, count int) {
	for i := range count {
		f.Publish(context.Background(), "news", fmt.Appendf(nil, "e%d", i+1))
		time.Sleep(1) // how many events of one instant an answer has is the runtime's choice
	}
	time.Sleep(time.Second - time.Duration(count))
}
