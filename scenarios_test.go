package squall_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/longpoll"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/push"
	"github.com/squall-sim/squall/sim"
)

// The table of failures. A row is one scenario: a name, the reason why it is here, and a
// story. To add one, add a row. All times are virtual; every link takes 40 ms each way
// unless the story says otherwise.
//
// The story of a row is plain Go, in one of two shapes. With a system (see
// systems_test.go) it publishes, breaks things, and leaves it to the contract to find
// what was broken: events that are missing without a word, come twice, out of order or
// late. Without one it gets the network itself and asserts what it likes.
type scenario struct {
	name   string
	reason string
	system patterntest.NewSystem
	play   func(w *patterntest.World)
	story  func(t *testing.T, n *sim.Network)
}

type world = patterntest.World

var scenarios = []scenario{
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
	{name: "LP-05 the event comes as the wait ends", reason: "exactly one is given; which, is the runtime's choice", story: race(0)},
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
			site := n.Host("server").ServeHTTP(":80", before.Handler())
			c := poll(n, n.Host("phone"), &longpoll.Client{URL: "http://server/"})
			publish(&before, 10)
			n.Host("server").Crash()
			site.Handler = after.Handler()
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

	// Push: a client that is away, for less and for more than a message's life.
	{name: "PU-01 offline for less than the message lives", reason: "the mailbox keeps it",
		system: pushed, play: outage(30 * s)},
	{name: "PU-02 offline for longer than the message lives", reason: "late is worse than never for what has expired",
		story: func(t *testing.T, n *sim.Network) {
			srv := servePush(t, n, push.ServerOptions{Authenticate: trustEverybody})
			c := pushTo(n, "phone", &push.Client{})
			time.Sleep(s)
			c.link.Down()
			send(t, srv, 10*s, "short-lived")
			send(t, srv, time.Hour, "long-lived")
			time.Sleep(min)
			c.link.Up()
			time.Sleep(3 * min)
			require.Equal(t, []string{"long-lived"}, c.got())
		}},
	{name: "PU-02 online before, offline after the message died", reason: "no phase of the outage may resurrect it",
		story: func(t *testing.T, n *sim.Network) {
			srv := servePush(t, n, push.ServerOptions{Authenticate: trustEverybody})
			c := pushTo(n, "phone", &push.Client{})
			time.Sleep(s)
			send(t, srv, 10*s, "before")
			time.Sleep(s)
			c.link.Down()
			send(t, srv, 10*s, "during")
			time.Sleep(5 * min)
			send(t, srv, 10*min, "after")
			c.link.Up()
			time.Sleep(3 * min)
			require.Equal(t, []string{"before", "after"}, c.got())
		}},
	{name: "PU-03 now or never, to a client that is offline", reason: "the publisher is told that it was never",
		story: func(t *testing.T, n *sim.Network) {
			srv := servePush(t, n, push.ServerOptions{Authenticate: trustEverybody})
			_, err := srv.Publish(t.Context(), push.Message{Topic: "news", Data: []byte("x")})
			require.ErrorIs(t, err, push.ErrNotDelivered)
			c := pushTo(n, "phone", &push.Client{})
			time.Sleep(s)
			r, err := srv.Publish(t.Context(), push.Message{Topic: "news", Data: []byte("now")})
			require.NoError(t, err)
			require.Equal(t, 1, r.Delivered)
			require.Equal(t, []string{"now"}, c.got())
		}},
	{name: "PU-04 offline while the server restarts with its store", reason: "a mailbox that forgets on restart is none",
		system: pushedWithStore, play: restartAway},
	{name: "PU-05 offline while the server restarts without a store", reason: "then the client is told, never left with a gap",
		system: pushed, play: restartAway},
	{name: "PU-06 offline for longer than the history", reason: "the client takes the snapshot instead",
		story: func(t *testing.T, n *sim.Network) {
			log := eventlog.NewMemory(eventlog.Options{MaxEntries: 10})
			srv := servePushLog(t, n, log, push.ServerOptions{Authenticate: trustEverybody, Snapshot: snapshot("the whole state")})
			c := pushTo(n, "phone", &push.Client{})
			time.Sleep(s)
			c.link.Down()
			for i := range 50 {
				send(t, srv, push.Forever, fmt.Sprint(i))
			}
			time.Sleep(min) // or TCP would bridge it
			c.link.Up()
			time.Sleep(3 * min)
			require.Equal(t, []push.Reason{push.ReasonNew, push.ReasonCompacted}, c.reasons())
			require.Equal(t, "the whole state", string(c.resets()[1].Snapshot))
		}},
	{name: "PU-07 a position from the future", reason: "the server lost what the client saw",
		story: func(t *testing.T, n *sim.Network) {
			log := eventlog.NewMemory(eventlog.Options{Epoch: 7})
			servePushLog(t, n, log, push.ServerOptions{Authenticate: trustEverybody})
			c := pushTo(n, "phone", &push.Client{From: eventlog.Cursor{Epoch: 7, Offset: 1000}})
			time.Sleep(s)
			require.Equal(t, []push.Reason{push.ReasonFuture}, c.reasons())
		}},
	{name: "PU-08 cut off between sent and received", reason: "the position decides what comes again, so nothing comes twice",
		system: pushed, play: func(w *world) { cut(w, w.Client("phone"), w.Server) }},
	{name: "PU-09 events while a client resumes", reason: "the boundary between the log and what is live must neither lose nor repeat",
		system: pushed, play: func(w *world) {
			c := w.Client("phone")
			for i := range 20 {
				w.After(time.Duration(i)*7*s, c.Link.Reject)
				w.After(time.Duration(i)*7*s+3*s, c.Link.Up)
			}
			w.PublishEvery(20*ms+1, 7000) // never at the instant of a ping
		}},
	{name: "PU-10 an event between the snapshot and the subscription", reason: "the position is read before the snapshot",
		story: func(t *testing.T, n *sim.Network) {
			var srv *push.Server
			srv = servePush(t, n, push.ServerOptions{Authenticate: trustEverybody, Snapshot: func(context.Context, push.Identity) ([]byte, error) {
				time.Sleep(s) // the state is read, and then
				srv.Publish(context.Background(), push.Message{Topic: "news", TTL: push.Forever, Data: []byte("meanwhile")})
				return []byte("state"), nil
			}})
			c := pushTo(n, "phone", &push.Client{})
			time.Sleep(10 * s)
			require.Equal(t, []string{"meanwhile"}, c.got())
		}},

	// Push: clients that are slow, dead or many.
	{name: "PU-11 a client that never reads", reason: "it must not hold up the others (nats-io/nats-server#2631)",
		system: pushed, play: func(w *world) {
			deaf := w.Client("deaf")
			w.PromptFor(w.Client("one"), w.Client("two"))
			deaf.Host.Pause()
			w.PublishEvery(100*ms, 3000)
			deaf.Host.Resume()
		}},
	{name: "PU-12 a client that is too slow, and drops are allowed", reason: "each drop is counted and told",
		story: func(t *testing.T, n *sim.Network) {
			srv := servePush(t, n, push.ServerOptions{Authenticate: trustEverybody, Slow: push.DropOldest, MaxQueue: 10, Window: 4})
			c := pushTo(n, "phone", &push.Client{})
			c.take(200 * ms) // to handle one
			time.Sleep(s)
			for i := range 200 {
				send(t, srv, push.Forever, fmt.Sprint(i))
				time.Sleep(100 * ms)
			}
			time.Sleep(10 * s)
			require.Equal(t, "199", c.got()[len(c.got())-1], "the newest survives")
			require.EqualValues(t, 200, len(c.got())+int(c.skipped()), "handled and told to be skipped")
			require.EqualValues(t, c.skipped(), srv.Stats().DroppedOldest)
		}},
	{name: "PU-13 the server restarts under 200 clients", reason: "they come back spread over what it said, not all at once (gravitational/teleport#6889)",
		story: func(t *testing.T, n *sim.Network) { require.LessOrEqual(t, massReconnect(t, n, 20*s), 20) }},
	{name: "PU-14 the same without a spread", reason: "the herd that the spread is for (the opposite shown)",
		story: func(t *testing.T, n *sim.Network) { require.GreaterOrEqual(t, massReconnect(t, n, -1), 150) }},
	{name: "PU-17 the client loses power", reason: "its presence ends with the heartbeat, at 25 s + 10 s",
		story: func(t *testing.T, n *sim.Network) {
			srv := servePush(t, n, push.ServerOptions{Authenticate: trustEverybody})
			c := pushTo(n, "phone", &push.Client{})
			time.Sleep(s)
			require.True(t, srv.Online("phone"))
			c.host.PowerOff()
			time.Sleep(35 * s)
			require.False(t, srv.Online("phone"))
		}},
	{name: "PU-18 the server is frozen", reason: "its TCP still acknowledges; only silence tells (kubernetes/kubernetes#65012)",
		story: func(t *testing.T, n *sim.Network) {
			servePush(t, n, push.ServerOptions{Authenticate: trustEverybody})
			c := pushTo(n, "phone", &push.Client{})
			time.Sleep(s)
			n.Host("server").Pause()
			time.Sleep(min)
			require.EqualValues(t, 1, c.Stats().Silent)
			n.Host("server").Resume()
			time.Sleep(min)
			require.EqualValues(t, 2, c.Stats().Connects)
		}},
	{name: "PU-19 the client dies with the server's buffers full", reason: "a ping behind a write that hangs is no heartbeat (golang/go#48810)",
		story: func(t *testing.T, n *sim.Network) {
			srv := servePush(t, n, push.ServerOptions{Authenticate: trustEverybody, Window: 10_000, WindowBytes: 100 << 20, MaxQueue: 10_000, MaxQueueBytes: 100 << 20})
			c := pushTo(n, "phone", &push.Client{})
			time.Sleep(s)
			c.link.Down()
			for range 100 {
				send(t, srv, push.Forever, strings.Repeat("x", 60_000))
			}
			time.Sleep(35 * s)
			require.False(t, srv.Online("phone"))
		}},
	{name: "PU-20 events and pings at the same time", reason: "a ping that waits for its pong must not hold up an event",
		system: pushed, play: func(w *world) {
			w.PromptFor(w.Client("phone"))
			w.PublishEvery(10*ms+1, 6000) // a minute, with pings each 25 s, never at the same instant
		}},
	{name: "PU-21 two connections of one client", reason: "the older one is fenced, so that no event is split between them",
		story: func(t *testing.T, n *sim.Network) {
			srv := servePush(t, n, push.ServerOptions{Authenticate: trustEverybody})
			first := pushTo(n, "phone", &push.Client{})
			time.Sleep(s)
			second := pushTo(n, "tablet", &push.Client{ID: "phone"})
			time.Sleep(s)
			send(t, srv, push.Forever, "hello")
			time.Sleep(s)
			require.ErrorIs(t, first.ended(), push.ErrFenced)
			require.Equal(t, []string{"hello"}, second.got())
		}},
	{name: "PU-22 many publishers at once", reason: "frames must not interleave (gorilla/websocket#651)",
		story: func(t *testing.T, n *sim.Network) {
			srv := servePush(t, n, push.ServerOptions{Authenticate: trustEverybody})
			c := pushTo(n, "phone", &push.Client{})
			time.Sleep(s)
			for i := range 50 {
				go send(t, srv, push.Forever, strings.Repeat(fmt.Sprint(i%10), 1000))
			}
			time.Sleep(5 * s)
			require.Len(t, c.got(), 50)
			for _, m := range c.got() {
				require.Equal(t, strings.Repeat(m[:1], 1000), m)
			}
		}},
	{name: "PU-23 a rolling restart", reason: "the clients are told when to come back, and nothing is lost at the drain point",
		story: func(t *testing.T, n *sim.Network) {
			log := eventlog.NewMemory(eventlog.Options{})
			srv, next := newPush(t, log, push.ServerOptions{Authenticate: trustEverybody, Spread: 5 * s}), newPush(t, log, push.ServerOptions{Authenticate: trustEverybody})
			site := n.Host("server").ServeHTTP(":80", srv)
			c := pushTo(n, "phone", &push.Client{})
			time.Sleep(s)
			for i := range 100 {
				if i == 50 {
					require.NoError(t, srv.Drain(t.Context()))
					n.Host("server").Crash()
					srv, site.Handler = next, next
					n.Host("server").Restart()
				}
				send(t, srv, push.Forever, fmt.Sprint(i))
			}
			time.Sleep(min)
			require.Len(t, c.got(), 100)
			require.Len(t, c.resets(), 1, "the one at the start")
		}},
	{name: "PU-24 tokens in a herd", reason: "after an outage all come at once: a token costs a hash, not a look-up",
		story: func(t *testing.T, n *sim.Network) {
			tokens := push.Tokens{Keys: [][]byte{[]byte(strings.Repeat("k", 32))}}
			srv := servePush(t, n, push.ServerOptions{Authenticate: tokens.Authenticate})
			good := pushTo(n, "phone", &push.Client{Header: bearer(tokens, "phone", time.Hour)})
			expired := pushTo(n, "old", &push.Client{Header: bearer(tokens, "old", -time.Hour)})
			time.Sleep(s)
			require.True(t, srv.Online("phone"), good.ended())
			require.False(t, srv.Online("old"))
			var refused *push.HandshakeError
			require.ErrorAs(t, expired.ended(), &refused)
			require.Equal(t, 401, refused.StatusCode)
		}},
	{name: "PU-25 a message that is too large for the client", reason: "it is skipped with a word; the others come (RFC 6455 section 7.4.1, 1009)",
		story: func(t *testing.T, n *sim.Network) {
			srv := servePush(t, n, push.ServerOptions{Authenticate: trustEverybody})
			c := pushTo(n, "phone", &push.Client{MaxMessageBytes: 1000})
			time.Sleep(s)
			send(t, srv, push.Forever, "small")
			send(t, srv, push.Forever, strings.Repeat("x", 5000))
			send(t, srv, push.Forever, "small again")
			time.Sleep(min)
			require.Equal(t, []string{"small", "small again"}, c.got())
			require.EqualValues(t, 1, c.skipped())
		}},
	{name: "an outage of an hour, pushed", reason: "longer than TCP holds out", system: pushed, play: outage(time.Hour)},
	{name: "a lossy link, pushed", reason: "loss is delay", system: pushed, play: lossy},
	{name: "the server restarts with its store, pushed", reason: "what it accepted is still there", system: pushedWithStore, play: restart},
}

func TestScenarios(t *testing.T) {
	for _, sc := range scenarios {
		require.NotEmpty(t, sc.reason, "the row %q must say why it is there", sc.name)
		t.Run(sc.name, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				if sc.story != nil {
					sc.story(t, n)
					return
				}
				for _, breach := range patterntest.Judge(n, sc.system(n), t.TempDir(), patterntest.Story{Name: sc.name, Reason: sc.reason, Play: sc.play}) {
					t.Errorf("%v\nThe scenario is here because: %s", breach, sc.reason)
				}
			})
		})
	}
}

// What several rows share.

const (
	ms  = time.Millisecond
	s   = time.Second
	min = time.Minute
)

var good = netem.Config{Delay: 40 * ms}

// transit is until just after a packet has arrived: what the program does at the instant
// itself comes first.
const transit = 40*ms + 1

func polling(n *sim.Network) patterntest.System { return longPolling(n, inMemory) }
func pollingWithStore(n *sim.Network) patterntest.System {
	return durable(longPolling(n, onDisk))
}
func pushed(n *sim.Network) patterntest.System { return pushing(n, inMemory) }
func pushedWithStore(n *sim.Network) patterntest.System {
	return durable(pushing(n, onDisk))
}

func durable(s patterntest.System) patterntest.System {
	s.Durable = true
	return s
}

// outage cuts a client off for so long, with events before, during and after.
func outage(d time.Duration) func(w *world) {
	return func(w *world) {
		c := w.Client("phone")
		w.After(10*s, c.Link.Down)
		w.After(10*s+d, c.Link.Up)
		w.PublishEvery(d/20+s, 30)
	}
}

// cut has the client's link fail in one direction around each of ten events.
func cut(w *world, c *patterntest.Client, from *sim.Host) {
	for range 10 {
		c.Link.DownFrom(from)
		w.PublishEvery(100*ms, 1)
		w.After(3*s, c.Link.Up)
		w.Sleep(20 * s)
	}
}

// restart has the server crash and come back between events.
func restart(w *world) {
	w.Client("phone")
	for range 3 {
		w.PublishEvery(s, 10)
		w.Server.Restart()
		w.Sleep(s)
	}
	w.PublishEvery(s, 10)
}

// restartAway is restart while the client cannot see it.
func restartAway(w *world) {
	c := w.Client("phone")
	w.PublishEvery(s, 10)
	c.Link.Down()
	w.PublishEvery(s, 10)
	w.Server.Restart()
	w.Sleep(s)
	w.PublishEvery(s, 30)
	c.Link.Up()
}

func lossy(w *world) {
	w.Link(netem.Config{Delay: 40 * ms, Loss: netem.Bernoulli(0.1)})
	w.Client("phone")
	w.PublishEvery(700*ms, 200)
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

// herd is the most attempts to connect within 100 ms, from at on.
func herd(n *sim.Network, at time.Duration) int {
	count := map[time.Duration]int{}
	most := 0
	for e := range n.Trace().Events() {
		if e.Kind == sim.Sent && e.Flags == "S" && !e.Resent && e.At >= at {
			slot := e.At / (100 * ms)
			count[slot]++
			most = max(most, count[slot])
		}
	}
	return most
}

// massReconnect restarts a server under 200 clients, and returns the peak of those who
// come back within 100 ms.
func massReconnect(t *testing.T, n *sim.Network, spread time.Duration) int {
	servePush(t, n, push.ServerOptions{Authenticate: trustEverybody, Spread: spread})
	for i := range 200 {
		pushTo(n, fmt.Sprintf("phone%d", i), &push.Client{Spread: spread, MinDelay: ms})
	}
	time.Sleep(10 * s)
	at := n.Elapsed()
	n.Host("server").Restart()
	time.Sleep(2 * min)
	return herd(n, at)
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

// A pushee is a client of push and what it got.
type pushee struct {
	*push.Client
	host *sim.Host
	link *sim.Link
	mu   sync.Mutex
	each time.Duration // that it takes to handle an event
	data []string
	news []push.Reset
	lost uint64
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

func (p *pushee) reasons() (all []push.Reason) {
	for _, r := range p.resets() {
		all = append(all, r.Reason)
	}
	return all
}

// skipped is how many events the client was told that it lost.
func (p *pushee) skipped() uint64 {
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

func servePush(t *testing.T, n *sim.Network, opts push.ServerOptions) *push.Server {
	return servePushLog(t, n, eventlog.NewMemory(eventlog.Options{}), opts)
}

func servePushLog(t *testing.T, n *sim.Network, log eventlog.Log, opts push.ServerOptions) *push.Server {
	srv := newPush(t, log, opts)
	n.Host("server").ServeHTTP(":80", srv)
	return srv
}

func newPush(t *testing.T, log eventlog.Log, opts push.ServerOptions) *push.Server {
	srv, err := push.NewServer(log, opts)
	require.NoError(t, err)
	t.Cleanup(func() { srv.Close() })
	return srv
}

func pushTo(n *sim.Network, name string, c *push.Client) *pushee {
	h := n.Host(name)
	p := &pushee{Client: c, host: h, link: n.Link(h, n.Host("server"), good)}
	c.URL, c.HTTP = "ws://server/", h.HTTPClient()
	if c.ID == "" {
		c.ID = name
	}
	locked := func(f func()) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		f()
		return nil
	}
	c.OnEvent = func(_ context.Context, e push.Event) error {
		p.mu.Lock()
		each := p.each
		p.mu.Unlock()
		time.Sleep(each)
		return locked(func() { p.data = append(p.data, string(e.Data)) })
	}
	c.OnReset = func(_ context.Context, r push.Reset) error { return locked(func() { p.news = append(p.news, r) }) }
	c.OnGap = func(_ context.Context, g push.Gap) error { return locked(func() { p.lost += g.Skipped }) }
	h.Run("client", func(ctx context.Context, _ *sim.Host) error {
		err := p.Run(ctx)
		return locked(func() { p.end = err })
	})
	return p
}

func send(t *testing.T, srv *push.Server, ttl time.Duration, data string) {
	_, err := srv.Publish(context.Background(), push.Message{Topic: "news", TTL: ttl, Data: []byte(data)})
	if err != nil && !errors.Is(err, push.ErrNotDelivered) {
		t.Errorf("publish: %v", err)
	}
}

func snapshot(state string) func(context.Context, push.Identity) ([]byte, error) {
	return func(context.Context, push.Identity) ([]byte, error) { return []byte(state), nil }
}

// bearer returns a token that expires after so long as the header of a handshake.
func bearer(tokens push.Tokens, client string, life time.Duration) func(context.Context) (http.Header, error) {
	return func(context.Context) (http.Header, error) {
		token, err := tokens.Sign(push.Identity{Client: client, Expires: time.Now().Add(life)})
		return http.Header{"Authorization": {"Bearer " + token}}, err
	}
}
