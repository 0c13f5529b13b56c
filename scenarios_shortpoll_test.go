package squall_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/shortpoll"
	"github.com/squall-sim/squall/sim"
	"github.com/stretchr/testify/require"
)

// The failures of short polling.
var shortPollScenarios = []scenario{
	// Short polling: a job that takes long. Connecting takes 80 ms, and it begins at 120 ms.
	{name: "SP-01 a job of 95 s, polled each second", reason: "polls are chatty, and late by an interval at most", story: jobOf95s(s, 95)},
	{name: "SP-01 a job of 95 s, polled each 5 s", reason: "a fifth of the polls, five times as late", story: jobOf95s(5*s, 19)},
	{name: "SP-01 a job of 95 s, polled each 30 s", reason: "of which the last comes 25 s late", story: jobOf95s(30*s, 4)},
	{name: "SP-02 a job of an hour, polled at growing intervals", reason: "the number of polls is logarithmic until the interval's maximum",
		story: func(t *testing.T, n *sim.Network) {
			serveJobs(n, &shortpoll.Jobs{Run: lasts(time.Hour)})
			c := jobClient(n, "phone", &shortpoll.Client{MaxInterval: 10 * min})
			_, err := c.Wait(t.Context(), submitted(t, c, "a"))
			require.NoError(t, err)
			// After 2 s the job is found running, which is news; then 2, 4, ... 512 s are
			// 1,022 s, and 600 s each after that: the fifth of them ends an hour.
			require.EqualValues(t, 1+1+9+5, c.Stats().Polls)
			require.LessOrEqual(t, n.Elapsed()-time.Hour, 10*min+s)
		}},
	{name: "SP-03 the client goes away for an hour", reason: "the job's id is all that it needs, also at another address",
		story: func(t *testing.T, n *sim.Network) {
			serveJobs(n, &shortpoll.Jobs{Run: lasts(95 * s), Retention: 2 * time.Hour})
			phone := jobClient(n, "phone", &shortpoll.Client{})
			ctx, cancel := context.WithTimeout(t.Context(), 10*s)
			defer cancel()
			_, err := phone.Wait(ctx, submitted(t, phone, "a"))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			phone.HTTP.CloseIdleConnections()
			n.Host("phone").PowerOff()
			time.Sleep(time.Hour)
			require.Zero(t, connections(n, "server"), "nothing is held for a client that is away")
			laptop := jobClient(n, "laptop", &shortpoll.Client{})
			for range 2 { // to read it is not to take it
				job, err := laptop.Wait(t.Context(), shortpoll.Job{ID: "a"})
				require.NoError(t, err)
				require.Equal(t, "done: a", string(job.Result))
			}
		}},
	{name: "SP-04 the client restarts and does not know whether it has submitted", reason: "the id is its own choice, so it submits again (AIP-155)", story: oneJob(
		func(n *sim.Network, c *jobPoller) {
			phone := n.Host("phone")
			phone.Run("submit", func(ctx context.Context, h *sim.Host) error {
				again := shortpoll.Client{URL: "http://server/jobs", HTTP: h.HTTPClient(), Jitter: shortpoll.NoJitter}
				_, err := again.Submit(ctx, "a", []byte("a"))
				return err
			})
			time.Sleep(130 * ms) // the job runs, and the 202 is on its way
			phone.Restart()
		})},
	{name: "SP-05 the answer to the submission is lost", reason: "a client that does not know may not begin a second job", story: oneJob(
		func(n *sim.Network, c *jobPoller) {
			n.After(100*ms, func() { c.link.DownFrom(n.Host("server")) })
			n.After(min, c.link.Up)
		})},
	{name: "SP-06 the answers to polls are lost", reason: "a poll changes nothing, so the next is answered alike",
		system: polledEachSecond, play: func(w *world) { cut(w, w.Client("phone"), w.Server) }},
	{name: "SP-06 polls are lost", reason: "the mirror image",
		system: polledEachSecond, play: func(w *world) { c := w.Client("phone"); cut(w, c, c.Host) }},
	{name: "SP-07 replicas that lag answer in turn", reason: "not known, done, not known: a client must not see a job go backwards",
		story: func(t *testing.T, n *sim.Network) {
			log, copied := eventlog.NewMemory(eventlog.Options{Epoch: 7}), eventlog.NewMemory(eventlog.Options{Epoch: 7})
			leader := &shortpoll.Jobs{Log: log, Run: lasts(5 * s)}
			t.Cleanup(func() { leader.Close() })
			replica := &shortpoll.Jobs{Log: copied}
			n.After(4*s, func() { replicate(log, copied) })
			n.After(20*s, func() { replicate(log, copied) })
			handlers, turn := []http.Handler{leader.Handler(), replica.Handler()}, 0
			n.Host("server").ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					turn++
				}
				handlers[turn%2].ServeHTTP(w, r)
			}))
			var seen []shortpoll.State
			c := jobClient(n, "phone", &shortpoll.Client{OnState: func(j shortpoll.Job) { seen = append(seen, j.State) }})
			submitted(t, c, "a")
			job, err := c.Wait(t.Context(), shortpoll.Job{ID: "a"})
			require.NoError(t, err)
			require.Equal(t, "done: a", string(job.Result))
			require.Equal(t, []shortpoll.State{shortpoll.Running, shortpoll.Done}, seen)
			require.EqualValues(t, 1, c.Stats().Stale, "the 404 of the first poll")
			require.NotZero(t, replica.Stats().Behind)

			// The replica alone, which has not heard of the end: it says so, and is not believed.
			turn = 1
			handlers[0] = handlers[1]
			ctx, cancel := context.WithTimeout(t.Context(), 5*s)
			defer cancel()
			running := job
			running.State = shortpoll.Running
			last, err := c.Wait(ctx, running)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, job.Version, last.Version)
		}},
	{name: "SP-08 the result has expired", reason: "that it was there and is gone is another answer than that it never was",
		story: func(t *testing.T, n *sim.Network) {
			serveJobs(n, &shortpoll.Jobs{Run: lasts(s), Retention: time.Hour})
			c := jobClient(n, "phone", &shortpoll.Client{Patience: 5 * s})
			submitted(t, c, "a")
			time.Sleep(time.Hour + 2*s)
			_, err := c.Wait(t.Context(), shortpoll.Job{ID: "a"})
			require.ErrorIs(t, err, shortpoll.ErrExpired)
			_, err = c.Wait(t.Context(), shortpoll.Job{ID: "b"})
			require.ErrorIs(t, err, shortpoll.ErrNotFound)
		}},

	// Short polling: many clients, and servers that suffer from them.
	{name: "SP-09 four hundred clients started by the same clock", reason: "each has a phase of its own, or the server idles for 59 s and drowns in the 60th",
		story: func(t *testing.T, n *sim.Network) {
			serveShort(n, &shortpoll.Feed{Log: eventlog.NewMemory(eventlog.Options{Epoch: 7})})
			for i := range 400 {
				follower(n, fmt.Sprintf("phone%d", i), shortpoll.From{Cursor: eventlog.Cursor{Epoch: 7}},
					&shortpoll.Client{Interval: min, Jitter: shortpoll.Seeded(uint64(i))})
			}
			time.Sleep(2*min + s)
			sent := requests(n)
			// 400 in a minute are 67 in 10 s, and that deviates by 7 or so.
			for at := time.Duration(0); at < 2*min; at += 10 * s {
				require.InDelta(t, 67, sent(at, at+10*s), 25, "requests within 10 s from %v on", at)
			}
		}},
	{name: "SP-10 the server answers a tenth of its polls for a while", reason: "those who are refused come back later, each at a time of its own: no storm when it is over",
		story: func(t *testing.T, n *sim.Network) {
			log := eventlog.NewMemory(eventlog.Options{Epoch: 7})
			tight := shortpoll.Limit{Rate: 4, RetrySpread: 30 * s, Jitter: shortpoll.Seeded(1)}
			handlers := map[bool]http.Handler{true: (&shortpoll.Feed{Log: log, Limit: tight}).Handler(), false: (&shortpoll.Feed{Log: log}).Handler()}
			var overloaded atomic.Bool
			n.Host("server").ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				handlers[overloaded.Load()].ServeHTTP(w, r)
			}))
			for i := range 40 {
				follower(n, fmt.Sprintf("phone%d", i), shortpoll.From{Cursor: eventlog.Cursor{Epoch: 7}},
					&shortpoll.Client{Jitter: shortpoll.Seeded(uint64(i))})
			}
			n.After(30*s, func() { overloaded.Store(true) })
			n.After(90*s, func() { overloaded.Store(false) })
			time.Sleep(3 * min)
			sent := requests(n)
			require.InDelta(t, 400, sent(20*s, 30*s), 40, "forty a second as long as all is well")
			require.LessOrEqual(t, sent(60*s, 90*s), 30*8, "a fifth of that while most are refused")
			for at := 90 * s; at < 3*min; at += s {
				require.LessOrEqual(t, sent(at, at+s), 60, "no storm in the second from %v on", at)
			}
			require.InDelta(t, 400, sent(160*s, 170*s), 40, "and all are back")
		}},

	// Short polling: what it costs.
	{name: "SP-11 an event in 10 minutes, polled each second", reason: "599 of 600 polls are for nothing",
		story: func(t *testing.T, n *sim.Network) {
			feed := serveShort(n, &shortpoll.Feed{})
			c := follower(n, "phone", shortpoll.From{Now: true}, &shortpoll.Client{})
			time.Sleep(10*min + s/2)
			feed.Publish("news", []byte("at last"))
			time.Sleep(s)
			require.Equal(t, []string{"at last"}, c.got())
			require.EqualValues(t, 602, c.Stats().Polls)
			require.EqualValues(t, 601, c.Stats().Unchanged)
		}},
	{name: "SP-12 polls without news, with and without conditions", reason: "304 saves bytes and no requests",
		story: func(t *testing.T, n *sim.Network) {
			serveShort(n, &shortpoll.Feed{Log: eventlog.NewMemory(eventlog.Options{Epoch: 7})})
			sent := map[string]sim.LinkStats{}
			for _, name := range []string{"conditional", "naive"} {
				c := &shortpoll.Client{HTTP: n.Host(name).HTTPClient()}
				if name == "naive" {
					c.HTTP.Transport = withoutConditions{c.HTTP.Transport}
				}
				follower(n, name, shortpoll.From{Now: true}, c)
			}
			time.Sleep(100*s + s/2)
			for _, l := range n.Stats().Links {
				sent[l.From+" "+l.To] = l
			}
			require.Equal(t, sent["server naive"].Sent, sent["server conditional"].Sent, "packets down")
			// An answer of 304 has no body, no Content-Type and no Content-Length: 153 of the
			// 313 bytes that a 200 takes, headers of TCP and IP included. A condition costs
			// 24 bytes of a request.
			require.Less(t, sent["server conditional"].SentBytes, sent["server naive"].SentBytes*3/4)
			require.Less(t, sent["conditional server"].SentBytes-sent["naive server"].SentBytes, int64(100*30))
		}},
	{name: "SP-13 a queue that looks at some of its servers", reason: "SQS's short polls come back empty though there is something; to ask all of them does not",
		story: func(t *testing.T, n *sim.Network) {
			for _, asks := range []int{3, 10} {
				q := &sampledQueue{servers: make([][]string, 10), asks: asks, rand: n.Rand("queue").IntN}
				port := fmt.Sprintf(":%d", 80+asks)
				n.Host("server").ServeHTTP(port, q)
				h := n.Host("phone").HTTPClient()
				empty := 0
				for i := range 50 { // of which each is on one server, and 7 of 10 polls miss it
					q.put(i%10, fmt.Sprint(i))
					for q.len() > 0 {
						resp, err := h.Get("http://server" + port + "/")
						require.NoError(t, err)
						if resp.StatusCode == http.StatusNoContent {
							empty++
						}
						readAll(resp, nil)
					}
				}
				require.Equal(t, asks == 10, empty == 0, "%d empty answers while something was there, asking %d servers of 10", empty, asks)
			}
		}},
	{name: "SP-14 the server's clock is an hour wrong", reason: "Retry-After may be a date, and then it is one of the server's clock",
		story: func(t *testing.T, n *sim.Network) {
			feed := (&shortpoll.Feed{}).Handler()
			wrong := map[string]time.Duration{"/fast": time.Hour, "/slow": -time.Hour}
			n.Host("server").ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if at := n.Elapsed(); at > 10*s && at < 60*s {
					now := time.Now().Add(wrong[r.URL.Path])
					w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
					w.Header().Set("Retry-After", now.Add(20*s).UTC().Format(http.TimeFormat))
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				feed.ServeHTTP(w, r)
			}))
			fast := follower(n, "a", shortpoll.From{Now: true}, &shortpoll.Client{URL: "http://server/fast"})
			slow := follower(n, "b", shortpoll.From{Now: true}, &shortpoll.Client{URL: "http://server/slow"})
			time.Sleep(2 * min)
			// They are refused at 11, 31 and 51 s or so.
			require.EqualValues(t, 3, fast.Stats().Failures)
			require.EqualValues(t, 3, slow.Stats().Failures)
		}},
	{name: "SP-15 a hundred pollers are cancelled", reason: "each leaves nothing behind: no goroutine, no connection, no timer",
		story: func(t *testing.T, n *sim.Network) {
			serveJobs(n, &shortpoll.Jobs{Run: lasts(time.Hour), MaxJobs: 100})
			ctx, cancel := context.WithCancel(t.Context())
			var waits sync.WaitGroup
			for i := range 100 {
				name := fmt.Sprintf("phone%d", i)
				c := jobClient(n, name, &shortpoll.Client{Jitter: shortpoll.Seeded(uint64(i))})
				job := submitted(t, c, name)
				waits.Go(func() {
					_, err := c.Wait(ctx, job)
					if !errors.Is(err, context.Canceled) {
						t.Errorf("%s: %v", name, err)
					}
					c.HTTP.CloseIdleConnections()
				})
			}
			time.Sleep(10 * s)
			cancel()
			waits.Wait()
			time.Sleep(5 * min) // of which TIME_WAIT takes one
			require.Zero(t, connections(n, "server"), "and the bubble's end looks for goroutines")
		}},

	// Short polling: outages of all lengths, restarts, and what concerns every pattern.
	{name: "an outage of a minute, polled", reason: "polls fail in it, and the next that does not brings everything", system: polledEachSecond, play: outage(65 * s)},
	{name: "an outage of an hour, polled", reason: "as short as any other for a client that holds nothing", system: polledEachSecond, play: outage(time.Hour)},
	{name: "the server restarts with its store, polled", reason: "what it accepted is still there", system: polledWithStore, play: restart},
	{name: "the server restarts without a store, polled", reason: "its new life must not be taken for the old", system: polledEachSecond, play: restart},
	{name: "the server restarts with its store while the client is away, polled", reason: "the position outlives both", system: polledWithStore, play: restartAway},
	{name: "a lossy link, asked again and again", reason: "loss is delay", system: polledEachSecond, play: lossy},
	{name: "X-01 polled overload, then none", reason: "a server that was too slow for 5 s must not stay so by the clients' own doing", story: overloadOf5s},
	{name: "X-03 polls arrive and answers do not", reason: "a connection that is dead in one direction is noticed by the poll's timeout",
		system: polledEachSecond, play: func(w *world) {
			c := w.Client("phone")
			w.After(5*s, func() { w.Net.PartitionOneWay([]*sim.Host{w.Server}, []*sim.Host{c.Host}) })
			w.After(2*min, w.Net.Heal)
			w.PublishEvery(2*s, 90)
		}},
	{name: "X-04 the polling client is frozen for a minute", reason: "the polls that it missed must not be made up for when it wakes",
		story: func(t *testing.T, n *sim.Network) {
			feed := serveShort(n, &shortpoll.Feed{})
			c := follower(n, "phone", shortpoll.From{Now: true}, &shortpoll.Client{})
			time.Sleep(10*s + s/2)
			n.Host("phone").Pause()
			feed.Publish("news", []byte("meanwhile"))
			time.Sleep(min)
			before := c.Stats().Polls
			n.Host("phone").Resume()
			time.Sleep(3 * s)
			require.LessOrEqual(t, c.Stats().Polls-before, int64(4))
			require.Equal(t, []string{"meanwhile"}, c.got())
		}},
	{name: "X-09 a light client polls each 10 minutes over 64 kbit/s", reason: "between two polls it costs nothing, and no connection need be kept",
		story: func(t *testing.T, n *sim.Network) {
			feed := serveShort(n, &shortpoll.Feed{})
			c := follower(n, "phone", shortpoll.From{Now: true}, &shortpoll.Client{Interval: 10 * min})
			c.link.Set(netem.Config{Delay: 300 * ms, Rate: 64 * netem.Kbit})
			time.Sleep(s)
			for range 6 {
				feed.Publish("news", []byte("an update"))
				time.Sleep(10 * min)
			}
			time.Sleep(5 * min)
			var bytes int64
			for _, l := range n.Stats().Links {
				bytes += l.SentBytes
			}
			require.Len(t, c.got(), 6)
			// 2 kB for each poll: a connection, and net/http's keep-alive probes for the 90 s that
			// it is kept for another.
			require.Less(t, bytes, int64(15_000), "bytes in an hour, both ways")
			require.Zero(t, connections(n, "server"), "between two polls")
		}},
	{name: "X-10 the client comes back at another address", reason: "its position is in the poll, not in the connection",
		story: func(t *testing.T, n *sim.Network) {
			feed := serveShort(n, &shortpoll.Feed{})
			a := follower(n, "here", shortpoll.From{Now: true}, &shortpoll.Client{})
			time.Sleep(s)
			feed.Publish("news", []byte("1"))
			time.Sleep(2 * s)
			n.Host("here").PowerOff()
			feed.Publish("news", []byte("2"))
			b := follower(n, "there", shortpoll.From{Cursor: a.at()}, &shortpoll.Client{})
			time.Sleep(2 * s)
			require.Equal(t, []string{"1"}, a.got())
			require.Equal(t, []string{"2"}, b.got())
		}},
	{name: "X-11 refused, reset and swallowed polls", reason: "each is a failure of its own kind, and all are tried again",
		story: func(t *testing.T, n *sim.Network) {
			var failures []error
			c := jobClient(n, "phone", &shortpoll.Client{OnRetry: func(err error, _ time.Duration) { failures = append(failures, err) }})
			n.After(s/2, func() { serveJobs(n, &shortpoll.Jobs{Run: lasts(30 * s)}) })
			job := submitted(t, c, "a") // the first attempt finds nobody
			require.ErrorIs(t, failures[0], syscall.ECONNREFUSED)
			n.After(10*s, c.link.Down)
			n.After(25*s, c.link.Up)
			job, err := c.Wait(t.Context(), job)
			require.NoError(t, err)
			require.Equal(t, "done: a", string(job.Result))
			require.True(t, slices.ContainsFunc(failures, func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }))
		}},
}
