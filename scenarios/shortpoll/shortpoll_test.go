package shortpoll_test

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

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/internal/systems"
	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/patterns/shortpoll"
	"github.com/squall-sim/squall/scenarios/scenario"
	"github.com/squall-sim/squall/sim"
)

// The failures of short polling.
var scenarios = []scenario.Row{
	// Short polling: a job that takes long. Connecting takes 80 ms, and it begins at 120 ms.
	{Name: "SP-01 a job of 95 s, polled every second", Reason: "many polls, and a delay of at most one interval", Story: jobOf95s(time.Second, 95)},
	{Name: "SP-01 a job of 95 s, polled every 5 s", Reason: "a fifth of the polls, and a delay up to five times as long", Story: jobOf95s(5*time.Second, 19)},
	{Name: "SP-01 a job of 95 s, polled every 30 s", Reason: "few polls, and the last one comes 25 s late", Story: jobOf95s(30*time.Second, 4)},
	{Name: "SP-02 a job of an hour, polled at growing intervals", Reason: "the number of polls is logarithmic until the interval reaches its maximum",
		Story: func(t *testing.T, n *sim.Network) {
			serveJobs(n, &shortpoll.Jobs{Run: systems.Lasts(time.Hour)})
			c := jobClient(n, "phone", &shortpoll.Client{MaxInterval: 10 * time.Minute})
			_, err := c.Wait(t.Context(), submitted(t, c, "a"))
			require.NoError(t, err)
			// After 2 s the job is found running, which is news; then 2, 4, ... 512 s are
			// 1,022 s, and 600 s each after that: the fifth of them ends an hour.
			require.EqualValues(t, 1+1+9+5, c.Stats().Polls)
			require.LessOrEqual(t, n.Elapsed()-time.Hour, 10*time.Minute+time.Second)
		}},
	{Name: "SP-03 the client goes away for an hour", Reason: "the job's id is all that it needs, even from another address",
		Story: func(t *testing.T, n *sim.Network) {
			serveJobs(n, &shortpoll.Jobs{Run: systems.Lasts(95 * time.Second), Retention: 2 * time.Hour})
			phone := jobClient(n, "phone", &shortpoll.Client{})
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
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
	{Name: "SP-04 the client restarts and does not know whether it has submitted", Reason: "the client chose the id, so it can submit again (AIP-155)", Story: oneJob(
		func(n *sim.Network, c *jobPoller) {
			phone := n.Host("phone")
			phone.Run("submit", func(ctx context.Context, h *sim.Host) error {
				again := shortpoll.Client{URL: "http://server/jobs", HTTP: h.HTTPClient(), Jitter: retry.NoJitter}
				_, err := again.Submit(ctx, "a", []byte("a"))
				return err
			})
			time.Sleep(130 * time.Millisecond) // the job runs, and the 202 is on its way
			phone.Restart()
			time.Sleep(time.Millisecond) // so that what runs again dials first, and the one who waits for the job after it
		})},
	{Name: "SP-05 the answer to the submission is lost", Reason: "a client that does not know the outcome must not start a second job", Story: oneJob(
		func(n *sim.Network, c *jobPoller) {
			n.After(100*time.Millisecond, func() { c.link.DownFrom(n.Host("server")) })
			n.After(time.Minute, c.link.Up)
		})},
	{Name: "SP-06 the answers to polls are lost", Reason: "a poll changes nothing, so the next one gets the same answer",
		Story: scenario.Contract(polledEachSecond, func(w *patterntest.World) { scenario.Cut(w, w.Client("phone"), w.Server) })},
	{Name: "SP-06 polls are lost", Reason: "the mirror image of lost answers",
		Story: scenario.Contract(polledEachSecond, func(w *patterntest.World) { c := w.Client("phone"); scenario.Cut(w, c, c.Host) })},
	{Name: "SP-07 replicas that lag answer in turn", Reason: "not known, done, not known: a client must not see a job go backwards",
		Story: func(t *testing.T, n *sim.Network) {
			log, copied := eventlog.NewMemory(eventlog.Options{Epoch: 7}), eventlog.NewMemory(eventlog.Options{Epoch: 7})
			leader := &shortpoll.Jobs{Log: log, Run: systems.Lasts(5 * time.Second)}
			t.Cleanup(func() { leader.Close() })
			replica := &shortpoll.Jobs{Log: copied}
			n.After(4*time.Second, func() { replicate(log, copied) })
			n.After(20*time.Second, func() { replicate(log, copied) })
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
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			running := job
			running.State = shortpoll.Running
			last, err := c.Wait(ctx, running)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, job.Version, last.Version)
		}},
	{Name: "SP-08 the result has expired", Reason: "an expired result must get another answer than a job that never existed",
		Story: func(t *testing.T, n *sim.Network) {
			serveJobs(n, &shortpoll.Jobs{Run: systems.Lasts(time.Second), Retention: time.Hour})
			c := jobClient(n, "phone", &shortpoll.Client{Patience: 5 * time.Second})
			submitted(t, c, "a")
			time.Sleep(time.Hour + 2*time.Second)
			_, err := c.Wait(t.Context(), shortpoll.Job{ID: "a"})
			require.ErrorIs(t, err, shortpoll.ErrExpired)
			_, err = c.Wait(t.Context(), shortpoll.Job{ID: "b"})
			require.ErrorIs(t, err, shortpoll.ErrNotFound)
		}},

	// Short polling: many clients, and servers that suffer from them.
	{Name: "SP-09 four hundred clients started by the same clock", Reason: "each needs its own phase, or the server is idle for 59 s and overloaded in the 60th",
		Story: func(t *testing.T, n *sim.Network) {
			serveShort(n, &shortpoll.Server{Log: eventlog.NewMemory(eventlog.Options{Epoch: 7})})
			for i := range 400 {
				follower(n, fmt.Sprintf("phone%d", i),
					&shortpoll.Client{From: eventlog.Cursor{Epoch: 7}, Interval: time.Minute, Jitter: retry.Seeded(uint64(i))})
			}
			time.Sleep(2*time.Minute + time.Second)
			sent := requests(n)
			// 400 in a minute are 67 in 10 s, and that deviates by 7 or so.
			for at := time.Duration(0); at < 2*time.Minute; at += 10 * time.Second {
				require.InDelta(t, 67, sent(at, at+10*time.Second), 25, "requests within 10 s from %v on", at)
			}
		}},
	{Name: "SP-10 the server answers a tenth of its polls for a while", Reason: "refused clients come back later, each at its own time, so no storm follows",
		Story: func(t *testing.T, n *sim.Network) {
			log := eventlog.NewMemory(eventlog.Options{Epoch: 7})
			tight := shortpoll.Limit{Rate: 4, RetrySpread: 30 * time.Second, Jitter: retry.Seeded(1)}
			handlers := map[bool]http.Handler{true: (&shortpoll.Server{Log: log, Limit: tight}).Handler(), false: (&shortpoll.Server{Log: log}).Handler()}
			var overloaded atomic.Bool
			n.Host("server").ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				handlers[overloaded.Load()].ServeHTTP(w, r)
			}))
			for i := range 40 {
				follower(n, fmt.Sprintf("phone%d", i),
					&shortpoll.Client{From: eventlog.Cursor{Epoch: 7}, Jitter: retry.Seeded(uint64(i))})
			}
			n.After(30*time.Second, func() { overloaded.Store(true) })
			n.After(90*time.Second, func() { overloaded.Store(false) })
			time.Sleep(3 * time.Minute)
			sent := requests(n)
			require.InDelta(t, 400, sent(20*time.Second, 30*time.Second), 40, "forty a second as long as all is well")
			require.LessOrEqual(t, sent(60*time.Second, 90*time.Second), 30*8, "a fifth of that while most are refused")
			for at := 90 * time.Second; at < 3*time.Minute; at += time.Second {
				require.LessOrEqual(t, sent(at, at+time.Second), 60, "no storm in the second from %v on", at)
			}
			require.InDelta(t, 400, sent(160*time.Second, 170*time.Second), 40, "and all are back")
		}},

	// Short polling: what it costs.
	{Name: "SP-11 an event in 10 minutes, polled every second", Reason: "599 of 600 polls bring nothing",
		Story: func(t *testing.T, n *sim.Network) {
			feed := serveShort(n, &shortpoll.Server{})
			c := follower(n, "phone", &shortpoll.Client{FromNow: true})
			time.Sleep(10*time.Minute + time.Second/2)
			feed.Publish(t.Context(), "news", []byte("at last"))
			time.Sleep(time.Second)
			require.Equal(t, []string{"at last"}, c.got())
			require.EqualValues(t, 602, c.Stats().Polls)
			require.EqualValues(t, 601, c.Stats().Unchanged)
		}},
	{Name: "SP-12 polls without news, with and without conditions", Reason: "a 304 saves bytes, but no requests",
		Story: func(t *testing.T, n *sim.Network) {
			serveShort(n, &shortpoll.Server{Log: eventlog.NewMemory(eventlog.Options{Epoch: 7})})
			sent := map[string]sim.LinkStats{}
			for _, name := range []string{"conditional", "naive"} {
				c := &shortpoll.Client{HTTP: n.Host(name).HTTPClient(), FromNow: true}
				if name == "naive" {
					c.HTTP.Transport = withoutConditions{c.HTTP.Transport}
				}
				follower(n, name, c)
			}
			time.Sleep(100*time.Second + time.Second/2)
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
	{Name: "SP-13 a queue that looks at some of its servers", Reason: "an SQS short poll can come back empty although there are messages; asking all servers does not",
		Story: func(t *testing.T, n *sim.Network) {
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
						scenario.ReadAll(resp, nil)
					}
				}
				require.Equal(t, asks == 10, empty == 0, "%d empty answers while something was there, asking %d servers of 10", empty, asks)
			}
		}},
	{Name: "SP-14 the server's clock is an hour wrong", Reason: "a Retry-After can be a date, which is by the server's clock",
		Story: func(t *testing.T, n *sim.Network) {
			feed := (&shortpoll.Server{}).Handler()
			wrong := map[string]time.Duration{"/fast": time.Hour, "/slow": -time.Hour}
			n.Host("server").ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if at := n.Elapsed(); at > 10*time.Second && at < 60*time.Second {
					now := time.Now().Add(wrong[r.URL.Path])
					w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
					w.Header().Set("Retry-After", now.Add(20*time.Second).UTC().Format(http.TimeFormat))
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				feed.ServeHTTP(w, r)
			}))
			fast := follower(n, "a", &shortpoll.Client{FromNow: true, URL: "http://server/fast"})
			slow := follower(n, "b", &shortpoll.Client{FromNow: true, URL: "http://server/slow"})
			time.Sleep(2 * time.Minute)
			// They are refused at 11, 31 and 51 s or so.
			require.EqualValues(t, 3, fast.Stats().Failures)
			require.EqualValues(t, 3, slow.Stats().Failures)
		}},
	{Name: "SP-15 a hundred pollers are cancelled", Reason: "none leaves a goroutine, a connection or a timer behind",
		Story: func(t *testing.T, n *sim.Network) {
			serveJobs(n, &shortpoll.Jobs{Run: systems.Lasts(time.Hour), MaxJobs: 100})
			ctx, cancel := context.WithCancel(t.Context())
			var waits sync.WaitGroup
			for i := range 100 {
				name := fmt.Sprintf("phone%d", i)
				c := jobClient(n, name, &shortpoll.Client{Jitter: retry.Seeded(uint64(i))})
				job := submitted(t, c, name)
				waits.Go(func() {
					_, err := c.Wait(ctx, job)
					if !errors.Is(err, context.Canceled) {
						t.Errorf("%s: %v", name, err)
					}
					c.HTTP.CloseIdleConnections()
				})
			}
			time.Sleep(10 * time.Second)
			cancel()
			waits.Wait()
			time.Sleep(5 * time.Minute) // of which TIME_WAIT takes one
			require.Zero(t, connections(n, "server"), "and the bubble's end looks for goroutines")
		}},

	// Short polling: outages of all lengths, restarts, and what concerns every pattern.
	{Name: "an outage of a minute, polled", Reason: "polls fail during the outage, and the first one after it brings everything", Story: scenario.Contract(polledEachSecond, scenario.Outage(65*time.Second))},
	{Name: "an outage of an hour, polled", Reason: "for a client without a connection it is like a short outage", Story: scenario.Contract(polledEachSecond, scenario.Outage(time.Hour))},
	{Name: "the server restarts with its store, polled", Reason: "everything that it accepted is still there", Story: scenario.Contract(polledWithStore(time.Second), scenario.Restart)},
	{Name: "the server restarts without a store, polled", Reason: "the new run must not be mistaken for the old one", Story: scenario.Contract(polledEachSecond, scenario.Restart)},
	{Name: "the server restarts with its store while the client is away, polled", Reason: "the position is valid after both the restart and the absence", Story: scenario.Contract(polledWithStore(time.Second), scenario.RestartAway)},
	{Name: "a lossy link, asked again and again", Reason: "over TCP, loss becomes delay", Story: scenario.Contract(polledEachSecond, scenario.Lossy)},
	{Name: "X-01 polled overload, then none", Reason: "after 5 s of overload, the clients themselves must not keep the server overloaded", Story: overloadOf5s},
	{Name: "X-03 polls arrive and answers do not", Reason: "the poll's timeout detects a connection that is dead in one direction",
		Story: scenario.Contract(polledEachSecond, func(w *patterntest.World) {
			c := w.Client("phone")
			w.After(5*time.Second, func() { w.Net.PartitionOneWay([]*sim.Host{w.Server}, []*sim.Host{c.Host}) })
			w.After(2*time.Minute, w.Net.Heal)
			w.PublishEvery(2*time.Second, 90)
		})},
	{Name: "X-04 the polling client is frozen for a minute", Reason: "it must not make up for the missed polls when it resumes",
		Story: func(t *testing.T, n *sim.Network) {
			feed := serveShort(n, &shortpoll.Server{})
			c := follower(n, "phone", &shortpoll.Client{FromNow: true})
			time.Sleep(10*time.Second + time.Second/2)
			n.Host("phone").Pause()
			feed.Publish(t.Context(), "news", []byte("meanwhile"))
			time.Sleep(time.Minute)
			before := c.Stats().Polls
			n.Host("phone").Resume()
			time.Sleep(3 * time.Second)
			require.LessOrEqual(t, c.Stats().Polls-before, int64(4))
			require.Equal(t, []string{"meanwhile"}, c.got())
		}},
	{Name: "X-09 a light client polls every 10 minutes over 64 kbit/s", Reason: "between two polls it costs nothing, and needs no open connection",
		Story: func(t *testing.T, n *sim.Network) {
			feed := serveShort(n, &shortpoll.Server{})
			c := follower(n, "phone", &shortpoll.Client{FromNow: true, Interval: 10 * time.Minute})
			c.link.Set(netem.Config{Delay: 300 * time.Millisecond, Rate: 64 * netem.Kbit})
			time.Sleep(time.Second)
			for range 6 {
				feed.Publish(t.Context(), "news", []byte("an update"))
				time.Sleep(10 * time.Minute)
			}
			time.Sleep(5 * time.Minute)
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
	{Name: "X-10 the client comes back at another address", Reason: "its position is in the poll, not in the connection",
		Story: func(t *testing.T, n *sim.Network) {
			feed := serveShort(n, &shortpoll.Server{})
			a := follower(n, "here", &shortpoll.Client{FromNow: true})
			time.Sleep(time.Second)
			feed.Publish(t.Context(), "news", []byte("1"))
			time.Sleep(2 * time.Second)
			n.Host("here").PowerOff()
			feed.Publish(t.Context(), "news", []byte("2"))
			b := follower(n, "there", &shortpoll.Client{From: a.at()})
			time.Sleep(2 * time.Second)
			require.Equal(t, []string{"1"}, a.got())
			require.Equal(t, []string{"2"}, b.got())
		}},
	{Name: "X-11 refused, reset and swallowed polls", Reason: "each fails in its own way, and all are retried",
		Story: func(t *testing.T, n *sim.Network) {
			var failures []error
			c := jobClient(n, "phone", &shortpoll.Client{OnRetry: func(err error, _ time.Duration) { failures = append(failures, err) }})
			n.After(time.Second/2, func() { serveJobs(n, &shortpoll.Jobs{Run: systems.Lasts(30 * time.Second)}) })
			job := submitted(t, c, "a") // the first attempt finds nobody
			require.ErrorIs(t, failures[0], syscall.ECONNREFUSED)
			n.After(10*time.Second, c.link.Down)
			n.After(25*time.Second, c.link.Up)
			job, err := c.Wait(t.Context(), job)
			require.NoError(t, err)
			require.Equal(t, "done: a", string(job.Result))
			require.True(t, slices.ContainsFunc(failures, func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }))
		}},
}
