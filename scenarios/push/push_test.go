package push_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/internal/systems"
	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/push"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/scenarios/scenario"
	"github.com/squall-sim/squall/sim"
)

// The failures of push.
var scenarios = []scenario.Row{
	// Push: a client that is away, for less and for more than a message's life.
	{Name: "PU-01 offline for less than the message lives", Reason: "the mailbox keeps the message",
		Story: scenario.Contract(pushed, scenario.Outage(30*time.Second))},
	{Name: "PU-02 offline for longer than the message lives", Reason: "an expired message must not be delivered late",
		Story: func(t *testing.T, n *sim.Network) {
			srv := servePush(t, n, &push.Server{Authenticate: systems.TrustEverybody})
			c := pushTo(n, "phone", &push.Client{})
			time.Sleep(time.Second)
			c.link.Down()
			send(t, srv, 10*time.Second, "short-lived")
			send(t, srv, time.Hour, "long-lived")
			time.Sleep(time.Minute)
			c.link.Up()
			time.Sleep(3 * time.Minute)
			require.Equal(t, []string{"long-lived"}, c.got())
		}},
	{Name: "PU-02 online before, offline after the message died", Reason: "an expired message must not be delivered, however the outage falls",
		Story: func(t *testing.T, n *sim.Network) {
			srv := servePush(t, n, &push.Server{Authenticate: systems.TrustEverybody})
			c := pushTo(n, "phone", &push.Client{})
			time.Sleep(time.Second)
			send(t, srv, 10*time.Second, "before")
			time.Sleep(time.Second)
			c.link.Down()
			send(t, srv, 10*time.Second, "during")
			time.Sleep(5 * time.Minute)
			send(t, srv, 10*time.Minute, "after")
			c.link.Up()
			time.Sleep(3 * time.Minute)
			require.Equal(t, []string{"before", "after"}, c.got())
		}},
	{Name: "PU-03 now or never, to a client that is offline", Reason: "the publisher is told that nobody got it",
		Story: func(t *testing.T, n *sim.Network) {
			srv := servePush(t, n, &push.Server{Authenticate: systems.TrustEverybody})
			_, err := srv.Publish(t.Context(), push.Message{Topic: "news", TTL: push.Now, Data: []byte("x")})
			require.ErrorIs(t, err, push.ErrNotDelivered)
			c := pushTo(n, "phone", &push.Client{})
			time.Sleep(time.Second)
			r, err := srv.Publish(t.Context(), push.Message{Topic: "news", TTL: push.Now, Data: []byte("now")})
			require.NoError(t, err)
			require.Equal(t, 1, r.Delivered)
			require.Equal(t, []string{"now"}, c.got())
		}},
	{Name: "PU-04 offline while the server restarts with its store", Reason: "a mailbox must survive a restart",
		Story: scenario.Contract(pushedWithStore, scenario.RestartAway)},
	{Name: "PU-05 offline while the server restarts without a store", Reason: "the client is notified, and never left with a silent gap",
		Story: scenario.Contract(pushed, scenario.RestartAway)},
	{Name: "PU-06 offline for longer than the history", Reason: "the client gets a snapshot instead",
		Story: func(t *testing.T, n *sim.Network) {
			log := eventlog.NewMemory(eventlog.Options{MaxEntries: 10})
			srv := servePush(t, n, &push.Server{Log: log, Authenticate: systems.TrustEverybody, Snapshot: snapshot("the whole state")})
			c := pushTo(n, "phone", &push.Client{})
			time.Sleep(time.Second)
			c.link.Down()
			for i := range 50 {
				send(t, srv, 0, fmt.Sprint(i))
			}
			time.Sleep(time.Minute) // or TCP would bridge it
			c.link.Up()
			time.Sleep(3 * time.Minute)
			require.Equal(t, []eventlog.Reason{push.ReasonNew, eventlog.ReasonCompacted}, c.reasons())
			require.Equal(t, "the whole state", string(c.resets()[1].Snapshot))
		}},
	{Name: "PU-07 a position from the future", Reason: "the server has lost messages that the client has seen",
		Story: func(t *testing.T, n *sim.Network) {
			log := eventlog.NewMemory(eventlog.Options{Epoch: 7})
			servePush(t, n, &push.Server{Log: log, Authenticate: systems.TrustEverybody})
			c := pushTo(n, "phone", &push.Client{From: eventlog.Cursor{Epoch: 7, Offset: 1000}})
			time.Sleep(time.Second)
			require.Equal(t, []eventlog.Reason{eventlog.ReasonFuture}, c.reasons())
		}},
	{Name: "PU-08 cut off between sent and received", Reason: "the position decides what is sent again, so nothing arrives twice",
		Story: scenario.Contract(pushed, func(w *patterntest.World) { scenario.Cut(w, w.Client("phone"), w.Server) })},
	{Name: "PU-09 events while a client resumes", Reason: "the boundary between the log and live messages must neither lose nor repeat any",
		Story: scenario.Contract(pushed, func(w *patterntest.World) {
			c := w.Client("phone")
			for i := range 20 {
				w.After(time.Duration(i)*7*time.Second, c.Link.Reject)
				w.After(time.Duration(i)*7*time.Second+3*time.Second, c.Link.Up)
			}
			w.PublishEvery(20*time.Millisecond+1, 7000) // never at the instant of a ping
		})},
	{Name: "PU-10 an event between the snapshot and the subscription", Reason: "the position is read before the snapshot, so the event is not lost",
		Story: func(t *testing.T, n *sim.Network) {
			var srv *push.Server
			srv = servePush(t, n, &push.Server{Authenticate: systems.TrustEverybody, Snapshot: func(context.Context, access.Identity) ([]byte, error) {
				time.Sleep(time.Second) // the state is read, and then
				srv.Publish(context.Background(), push.Message{Topic: "news", Data: []byte("meanwhile")})
				return []byte("state"), nil
			}})
			c := pushTo(n, "phone", &push.Client{})
			time.Sleep(10 * time.Second)
			require.Equal(t, []string{"meanwhile"}, c.got())
		}},

	// Push: clients that are slow, dead or many.
	{Name: "PU-11 a client that never reads", Reason: "it must not delay the others (nats-io/nats-server#2631)",
		Races: "how many of the acknowledgements that arrive together the server has read when it writes",
		Story: scenario.Contract(pushed, func(w *patterntest.World) {
			deaf := w.Client("deaf")
			w.PromptFor(w.Client("one"), w.Client("two"))
			deaf.Host.Pause()
			w.PublishEvery(100*time.Millisecond, 3000)
			deaf.Host.Resume()
		})},
	{Name: "PU-12 a client that is too slow, and drops are allowed", Reason: "each drop is counted, and the client is notified",
		Story: func(t *testing.T, n *sim.Network) {
			srv := servePush(t, n, &push.Server{Authenticate: systems.TrustEverybody, Slow: push.DropOldest, MaxQueue: 10, Window: 4})
			c := pushTo(n, "phone", &push.Client{})
			c.take(200 * time.Millisecond) // to handle one
			time.Sleep(time.Second)
			for i := range 200 {
				send(t, srv, 0, fmt.Sprint(i))
				time.Sleep(100 * time.Millisecond)
			}
			time.Sleep(10 * time.Second)
			require.Equal(t, "199", c.got()[len(c.got())-1], "the newest survives")
			require.EqualValues(t, 200, len(c.got())+int(c.skipped()), "handled and told to be skipped")
			require.EqualValues(t, c.skipped(), srv.Stats().DroppedOldest)
		}},
	{Name: "PU-13 the server restarts under 200 clients", Reason: "they reconnect spread over the time that the server set, not all at once (gravitational/teleport#6889)",
		Story: func(t *testing.T, n *sim.Network) { require.LessOrEqual(t, massReconnect(t, n, 20*time.Second), 20) }},
	{Name: "PU-14 the same without a spread", Reason: "counter-example: without a spread all clients reconnect at once",
		Story: func(t *testing.T, n *sim.Network) { require.GreaterOrEqual(t, massReconnect(t, n, -1), 150) }},
	{Name: "PU-15 a NAT forgets who is silent for 350 s", Reason: "a message after that silence is lost without an error (grpc/grpc-go#2443, istio/istio#16572)",
		Story: func(t *testing.T, n *sim.Network) { pushThroughNAT(t, n, 10*time.Minute, false) }},
	{Name: "PU-15 the same with a ping every 25 s", Reason: "any packet, even a ping, restarts the NAT's timeout",
		Story: func(t *testing.T, n *sim.Network) { pushThroughNAT(t, n, 25*time.Second, true) }},
	{Name: "PU-16 a proxy gives up after 60 s of silence", Reason: "with a ping every 75 s each connection lasts only a minute (websockets/ws#2283; nginx's proxy_read_timeout)",
		Story: func(t *testing.T, n *sim.Network) {
			require.Greater(t, connectsThroughProxy(t, n, 75*time.Second), int64(8))
		}},
	{Name: "PU-16 the same with a ping every 25 s", Reason: "pings must be more frequent than the proxy's timeout",
		Story: func(t *testing.T, n *sim.Network) {
			require.EqualValues(t, 1, connectsThroughProxy(t, n, 25*time.Second))
		}},
	{Name: "X-10 the phone's NAT has another address", Reason: "a session is identified by its client's name, not by its address: messages published in the meantime arrive",
		Story: func(t *testing.T, n *sim.Network) {
			c, nat := behindNAT(n, sim.NATConfig{})
			srv := servePush(t, n, &push.Server{Authenticate: systems.TrustEverybody})
			time.Sleep(10 * time.Second)
			send(t, srv, 0, "before")
			time.Sleep(time.Second)
			nat.Rebind()
			send(t, srv, 0, "after")
			time.Sleep(time.Second)
			require.Equal(t, []string{"before"}, c.got(), "sent to where nobody is")
			time.Sleep(time.Minute) // pings are not answered: the server ends it, or the client misses them
			require.Equal(t, []string{"before", "after"}, c.got())
		}},
	{Name: "PU-17 the client loses power", Reason: "the heartbeat ends its presence after at most 25 s + 10 s",
		Story: func(t *testing.T, n *sim.Network) {
			srv := servePush(t, n, &push.Server{Authenticate: systems.TrustEverybody})
			c := pushTo(n, "phone", &push.Client{})
			time.Sleep(time.Second)
			require.True(t, srv.Online("phone"))
			c.host.PowerOff()
			time.Sleep(35 * time.Second)
			require.False(t, srv.Online("phone"))
		}},
	{Name: "PU-18 the server is frozen", Reason: "its kernel still acknowledges; only its silence shows the failure (kubernetes/kubernetes#65012)",
		Races: "which of its overdue timers and waiting packets a resumed process handles first",
		Story: func(t *testing.T, n *sim.Network) {
			servePush(t, n, &push.Server{Authenticate: systems.TrustEverybody})
			c := pushTo(n, "phone", &push.Client{})
			time.Sleep(time.Second)
			n.Host("server").Pause()
			time.Sleep(time.Minute)
			require.EqualValues(t, 1, c.Stats().Silent)
			n.Host("server").Resume()
			time.Sleep(59 * time.Second) // not at the instant of a ping
			require.EqualValues(t, 2, c.Stats().Connects)
		}},
	{Name: "PU-19 the client dies with the server's buffers full", Reason: "a ping queued after a blocked write detects nothing (golang/go#48810)",
		Story: func(t *testing.T, n *sim.Network) {
			srv := servePush(t, n, &push.Server{Authenticate: systems.TrustEverybody, Window: 10_000, WindowBytes: 64 << 20, MaxQueue: 10_000, MaxQueueBytes: 100 << 20})
			c := pushTo(n, "phone", &push.Client{})
			time.Sleep(time.Second)
			c.link.Down()
			for range 100 {
				send(t, srv, 0, strings.Repeat("x", 60_000))
			}
			time.Sleep(35 * time.Second)
			require.False(t, srv.Online("phone"))
		}},
	{Name: "PU-20 events and pings at the same time", Reason: "a ping that waits for its pong must not delay a message",
		Story: scenario.Contract(pushed, func(w *patterntest.World) {
			w.PromptFor(w.Client("phone"))
			w.PublishEvery(10*time.Millisecond+1, 6000) // a minute, with pings every 25 s, never at the same instant
		})},
	{Name: "PU-21 two connections of one client", Reason: "the older one is fenced, so that messages are not split between them",
		Story: func(t *testing.T, n *sim.Network) {
			srv := servePush(t, n, &push.Server{Authenticate: systems.TrustEverybody})
			first := pushTo(n, "phone", &push.Client{})
			time.Sleep(time.Second)
			second := pushTo(n, "tablet", &push.Client{ID: "phone"})
			time.Sleep(time.Second)
			send(t, srv, 0, "hello")
			time.Sleep(time.Second)
			require.ErrorIs(t, first.ended(), push.ErrFenced)
			require.Equal(t, []string{"hello"}, second.got())
		}},
	{Name: "PU-22 many publishers at once", Reason: "their frames must not be interleaved (gorilla/websocket#651)",
		Races: "which of fifty publishers is first",
		Story: func(t *testing.T, n *sim.Network) {
			srv := servePush(t, n, &push.Server{Authenticate: systems.TrustEverybody})
			c := pushTo(n, "phone", &push.Client{})
			time.Sleep(time.Second)
			for i := range 50 {
				go send(t, srv, 0, strings.Repeat(fmt.Sprint(i%10), 1000))
			}
			time.Sleep(5 * time.Second)
			require.Len(t, c.got(), 50)
			for _, m := range c.got() {
				require.Equal(t, strings.Repeat(m[:1], 1000), m)
			}
		}},
	{Name: "PU-23 a rolling restart", Reason: "clients are told when to reconnect, and no message is lost around the drain",
		Story: func(t *testing.T, n *sim.Network) {
			log := eventlog.NewMemory(eventlog.Options{})
			srv := &push.Server{Log: log, Authenticate: systems.TrustEverybody, RetrySpread: 5 * time.Second}
			next := &push.Server{Log: log, Authenticate: systems.TrustEverybody}
			t.Cleanup(func() { srv.Close(); next.Close() })
			site := n.Host("server").ServeHTTP(":80", srv.Handler())
			c := pushTo(n, "phone", &push.Client{})
			time.Sleep(time.Second)
			for i := range 100 {
				if i == 50 {
					require.NoError(t, srv.Drain(t.Context()))
					n.Host("server").Crash()
					srv, site.Handler = next, next.Handler()
					n.Host("server").Restart()
				}
				send(t, srv, 0, fmt.Sprint(i))
			}
			time.Sleep(time.Minute)
			require.Len(t, c.got(), 100)
			require.Len(t, c.resets(), 1, "the one at the start")
		}},
	{Name: "PU-24 tokens in a herd", Reason: "after an outage all clients reconnect at once: a token must cost a hash, not a lookup",
		Story: func(t *testing.T, n *sim.Network) {
			tokens := access.Tokens{Keys: [][]byte{[]byte(strings.Repeat("k", 32))}}
			srv := servePush(t, n, &push.Server{Authenticate: tokens.Authenticate})
			good := pushTo(n, "phone", &push.Client{Header: bearer(tokens, "phone", time.Hour)})
			time.Sleep(1)
			expired := pushTo(n, "old", &push.Client{Header: bearer(tokens, "old", -time.Hour)})
			time.Sleep(time.Second)
			require.True(t, srv.Online("phone"), good.ended())
			require.False(t, srv.Online("old"))
			var refused *retry.StatusError
			require.ErrorAs(t, expired.ended(), &refused)
			require.Equal(t, 401, refused.Status)
		}},
	{Name: "PU-25 a message that is too large for the client", Reason: "it is skipped with a notification, and the others arrive (RFC 6455 section 7.4.1, 1009)",
		Story: func(t *testing.T, n *sim.Network) {
			srv := servePush(t, n, &push.Server{Authenticate: systems.TrustEverybody})
			c := pushTo(n, "phone", &push.Client{MaxMessageBytes: 1000})
			time.Sleep(time.Second)
			send(t, srv, 0, "small")
			send(t, srv, 0, strings.Repeat("x", 5000))
			send(t, srv, 0, "small again")
			time.Sleep(time.Minute)
			require.Equal(t, []string{"small", "small again"}, c.got())
			require.EqualValues(t, 1, c.skipped())
		}},
	{Name: "an outage of an hour, pushed", Reason: "longer than TCP keeps trying", Story: scenario.Contract(pushed, scenario.Outage(time.Hour))},
	{Name: "a lossy link, pushed", Reason: "over TCP, loss becomes delay", Story: scenario.Contract(pushed, scenario.Lossy)},
	{Name: "the server restarts with its store, pushed", Reason: "everything that it accepted is still there", Story: scenario.Contract(pushedWithStore, scenario.Restart)},
}

func pushed(n *sim.Network) patterntest.System { return systems.Push(n, systems.InMemory) }
func pushedConflated(n *sim.Network) patterntest.System {
	return systems.PushConflating(n, systems.InMemory)
}
func pushedWithStore(n *sim.Network) patterntest.System {
	return systems.Durable(systems.Push(n, systems.OnDisk))
}

// massReconnect restarts a server under 200 clients, and returns the peak of those who
// come back within 100 ms.
func massReconnect(t *testing.T, n *sim.Network, spread time.Duration) int {
	servePush(t, n, &push.Server{Authenticate: systems.TrustEverybody, RetrySpread: spread})
	for i := range 200 {
		pushTo(n, fmt.Sprintf("phone%d", i), &push.Client{Backoff: retry.Backoff{Min: time.Millisecond}})
		time.Sleep(1) // or they race each other for random numbers
	}
	time.Sleep(10 * time.Second)
	at := n.Elapsed()
	n.Host("server").Restart()
	time.Sleep(2 * time.Minute)
	return scenario.Herd(n, at)
}

// A pushee is a client of push and what it got.
type pushee struct {
	*push.Client
	host *sim.Host
	link *sim.Link
	mu   sync.Mutex
	each time.Duration // that it takes to handle an event
	data []string
	news []push.Reset
	lost int64
	end  error
}

// take sets how long the client takes to handle an event.
func (p *pushee) take(each time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.each = each
}

func (p *pushee) got() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.data)
}

func (p *pushee) resets() []push.Reset {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.news)
}

func (p *pushee) reasons() (all []eventlog.Reason) {
	for _, r := range p.resets() {
		all = append(all, r.Reason)
	}
	return all
}

// skipped is how many events the client was told that it lost.
func (p *pushee) skipped() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost
}

// ended is what its Run returned.
func (p *pushee) ended() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.end
}

func servePush(t *testing.T, n *sim.Network, srv *push.Server) *push.Server {
	t.Cleanup(func() { srv.Close() })
	n.Host("server").ServeHTTP(":80", srv.Handler())
	return srv
}

func pushTo(n *sim.Network, name string, c *push.Client) *pushee {
	return pushVia(n, name, n.Host("server"), c)
}

// pushVia is pushTo with a proxy, or a router to the server, at the other end of the client's link.
func pushVia(n *sim.Network, name string, next sim.Node, c *push.Client) *pushee {
	h := n.Host(name)
	p := &pushee{Client: c, host: h, link: n.Link(h, next, scenario.Good)}
	c.URL, c.HTTP = "ws://server/", h.HTTPClient()
	if proxy, ok := next.(*sim.Host); ok {
		c.URL = "ws://" + proxy.Name()
	}
	if c.ID == "" {
		c.ID = name
	}
	locked := func(f func()) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		f()
		return nil
	}
	handle := func(_ context.Context, e push.Event) error {
		p.mu.Lock()
		each := p.each
		p.mu.Unlock()
		time.Sleep(each)
		return locked(func() { p.data = append(p.data, string(e.Data)) })
	}
	c.OnReset = func(_ context.Context, r push.Reset) error { return locked(func() { p.news = append(p.news, r) }) }
	c.OnGap = func(_ context.Context, g push.Gap) error { return locked(func() { p.lost += g.Skipped }) }
	h.Run("client", func(ctx context.Context, _ *sim.Host) error {
		err := p.Run(ctx, handle)
		return locked(func() { p.end = err })
	})
	return p
}

// behindNAT is a client behind a NAT of its own. Neither side sends keep-alive probes, which would speak too.
func behindNAT(n *sim.Network, cfg sim.NATConfig) (*pushee, *sim.NAT) {
	phone, server, r := n.Host("phone"), n.Host("server"), n.Router("nat")
	n.Link(r, server, netem.Config{})
	for _, h := range []*sim.Host{phone, server} {
		h.SetTCP(sim.TCPConfig{KeepAlive: sim.TCPKeepAlive{Off: true}})
	}
	nat := r.NAT(cfg, phone)
	return pushVia(n, "phone", r, &push.Client{}), nat
}

// pushThroughNAT publishes after six minutes of silence but for pings, and says when it comes.
func pushThroughNAT(t *testing.T, n *sim.Network, ping time.Duration, arrives bool) {
	c, _ := behindNAT(n, sim.NATConfig{Tracking: sim.Tracking{Established: 350 * time.Second, Stray: sim.StrayDropped}})
	srv := servePush(t, n, &push.Server{Authenticate: systems.TrustEverybody, PingInterval: ping})
	time.Sleep(6 * time.Minute)
	send(t, srv, 0, "after a silence")
	time.Sleep(time.Minute)
	if arrives {
		require.Equal(t, []string{"after a silence"}, c.got())
		return
	}
	require.Empty(t, c.got())
	time.Sleep(15 * time.Minute) // the next ping is not answered, and the client comes back
	require.Equal(t, []string{"after a silence"}, c.got())
	require.Greater(t, c.Stats().Connects, int64(1))
}

// connectsThroughProxy is how often a client has to connect in ten minutes, with a proxy that gives up after one.
func connectsThroughProxy(t *testing.T, n *sim.Network, ping time.Duration) int64 {
	srv := servePush(t, n, &push.Server{Authenticate: systems.TrustEverybody, PingInterval: ping})
	proxy := n.Host("proxy")
	n.Link(proxy, n.Host("server"), scenario.Good)
	serveImpatient(proxy, time.Minute)
	c := pushVia(n, "phone", proxy, &push.Client{})
	time.Sleep(10 * time.Minute)
	connects := c.Stats().Connects
	send(t, srv, 0, "through the proxy")
	time.Sleep(10 * time.Second)
	require.Equal(t, []string{"through the proxy"}, c.got())
	return connects
}

// serveImpatient runs a proxy to the server that ends a connection from which nothing comes for so long.
func serveImpatient(h *sim.Host, timeout time.Duration) {
	t := h.HTTPClient().Transport.(*http.Transport)
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := h.DialContext(ctx, network, addr)
		return impatient{c, timeout}, err
	}
	h.ServeHTTP(":80", &httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "server" },
		Transport:    t,
		ErrorLog:     log.New(io.Discard, "", 0),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	})
}

// impatient is a connection on which a read has a deadline, as nginx's proxy_read_timeout is.
type impatient struct {
	net.Conn
	timeout time.Duration
}

func (c impatient) Read(p []byte) (int, error) {
	c.SetReadDeadline(time.Now().Add(c.timeout))
	return c.Conn.Read(p)
}

func send(t *testing.T, srv *push.Server, ttl time.Duration, data string) {
	_, err := srv.Publish(context.Background(), push.Message{Topic: "news", TTL: ttl, Data: []byte(data)})
	if err != nil && !errors.Is(err, push.ErrNotDelivered) {
		t.Errorf("publish: %v", err)
	}
	time.Sleep(1) // what it brings about at this instant is over then
}

func snapshot(state string) func(context.Context, access.Identity) ([]byte, error) {
	return func(context.Context, access.Identity) ([]byte, error) { return []byte(state), nil }
}

// bearer returns a token that expires after so long as the header of a handshake.
func bearer(tokens access.Tokens, client string, life time.Duration) func(context.Context) (http.Header, error) {
	return func(context.Context) (http.Header, error) {
		token, err := tokens.Sign(access.Identity{Client: client, Expires: time.Now().Add(life)})
		return http.Header{"Authorization": {"Bearer " + token}}, err
	}
}
