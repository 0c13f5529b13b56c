package longpoll_test

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/longpoll"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/sim"
)

// LP-10: a server that answers every poll at once, with nothing, gets two polls
// and then one per Interval: in a minute, 2 + 600 less the one at its very end.
func TestAServerThatNeverWaitsIsNotPolledInAHotLoop(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		c := w.testClient()
		c.HTTP = w.via(func(r *http.Request, _ http.RoundTripper) (*http.Response, error) {
			return respond(r, 200, `{"cursor":"e9-0"}`), nil
		})
		r := w.receive(c)
		time.Sleep(time.Minute - 1)
		r.stop()
		require.EqualValues(w, 2+599, c.Stats().Polls)
		require.Empty(w, r.data)
	})
}

// LP-12, LP-P9: under 1,000 events a second the polls stay at ten a second, and
// the answers grow instead.
func TestAStormOfEventsMakesLargerAnswersNotMorePolls(t *testing.T) {
	withFeed(t, &longpoll.Server{}, func(w *world, feed *longpoll.Server) {
		c := w.testClient()
		r := w.receive(c)
		for i := range 10_000 {
			time.Sleep(time.Millisecond)
			publish(w, feed, fmt.Sprint(i))
		}
		time.Sleep(time.Second)
		r.stop()

		require.Equal(w, sequence(10_000), r.data)
		require.LessOrEqual(w, c.Stats().Polls, int64(2+100+10))
	})
}

// Linger does the same from the server's side: 20 answers a second at most.
func TestLingerBoundsTheAnswers(t *testing.T) {
	withFeed(t, &longpoll.Server{MinEvents: 1000, Linger: 50 * time.Millisecond}, func(w *world, feed *longpoll.Server) {
		c := w.testClient()
		c.Interval = time.Nanosecond
		r := w.receive(c)
		for i := range 2000 {
			time.Sleep(time.Millisecond)
			publish(w, feed, fmt.Sprint(i))
		}
		time.Sleep(time.Second)
		r.stop()

		require.Equal(w, sequence(2000), r.data)
		require.LessOrEqual(w, settled(feed).Answers, int64(2*20+1))
	}, sim.MayDiffer(atOneInstant))
}

// LP-18, LP-P10: a restart sends 1,000 clients away at one instant. They come
// back over RetrySpread, 10 s in whole seconds, and the second that each client
// adds at random.
func TestARestartWithAThousandClientsIsNoHerd(t *testing.T) {
	const clients = 1000
	inWorld(t, 0, func(w *world) {
		log := memory()
		arrived := arrivals{}
		feed := func() *longpoll.Server { return &longpoll.Server{Log: log, Jitter: retry.Seeded(1)} }
		first := feed()
		w.serve(first.Handler())
		for i := range clients {
			w.receive(&longpoll.Client{URL: url, HTTP: w.client(), Jitter: retry.Seeded(uint64(i)), Wait: time.Hour, FromNow: true})
		}
		time.Sleep(time.Second)
		require.EqualValues(w, clients, settled(first).Parked)

		w.server.RegisterOnShutdown(func() { first.Close() })
		require.NoError(w, w.server.Shutdown(w.Context()))
		down := time.Now()
		second := feed()
		handler := second.Handler()
		w.serve(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			arrived.count(time.Since(down))
			handler.ServeHTTP(rw, r)
		}))
		time.Sleep(12 * time.Second)

		require.EqualValues(w, clients, settled(second).Parked, "all are back")
		require.Equal(w, clients, arrived.total())
		// 1,000 over ten seconds are ten in every 100 ms; five standard deviations.
		require.Less(w, arrived.peak(100*time.Millisecond), 26+10)
	}, sim.MayDiffer(atOneInstant))
}

type arrivals struct {
	mu sync.Mutex
	at []time.Duration
}

func (a *arrivals) count(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at = append(a.at, d)
}

func (a *arrivals) total() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.at)
}

// peak is the largest number of arrivals within a time.
func (a *arrivals) peak(within time.Duration) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	slices.Sort(a.at)
	most, _ := patterntest.Peak(a.at, within)
	return most
}

// LP-22: a browser keeps six connections to a host (HTTP/1.1). Six parked polls
// take them all, and an ordinary request waits for a poll to end.
func TestSixParkedPollsStarveTheSeventhRequest(t *testing.T) {
	withFeed(t, &longpoll.Server{}, func(w *world, feed *longpoll.Server) {
		w.http.Transport.(*http.Transport).MaxConnsPerHost = 6
		for range 6 {
			w.parked("cursor=%s&wait=30s", at(0))
		}
		require.EqualValues(w, 6, settled(feed).Parked)
		w.poll("wait=0s")
		require.Equal(w, 30*time.Second, w.elapsed())
	})
}

// LP-16, a negative control: one goroutine that polls two feeds in turn hears of
// the second only when the first has nothing to say any more.
func TestOneGoroutineForTwoFeedsStarvesTheSecond(t *testing.T) {
	withFeed(t, &longpoll.Server{}, func(w *world, feed *longpoll.Server) {
		publish(w, feed, "for b, at once")
		w.poll("cursor=%s&topic=a&wait=20s", at(0))
		require.Len(w, w.poll("cursor=%s&wait=20s", at(0)).Events, 1)
		require.Equal(w, 20*time.Second, w.elapsed())
	})
}

// Every event reaches every client, however publishers, polls and timeouts meet.
func TestManyPublishersAndClients(t *testing.T) {
	const clients, publishers, each = 20, 5, 40
	withFeed(t, &longpoll.Server{MaxEvents: 7}, func(w *world, feed *longpoll.Server) {
		var receivers []*receiver
		for range clients {
			c := w.testClient()
			c.Wait = 100 * time.Millisecond
			receivers = append(receivers, w.receive(c))
		}
		var wg sync.WaitGroup
		for p := range publishers {
			wg.Go(func() {
				for i := range each {
					time.Sleep(time.Duration(10*p+7) * time.Millisecond)
					publish(w, feed, fmt.Sprint(p, "/", i))
				}
			})
		}
		wg.Wait()
		time.Sleep(5 * time.Second)
		page, err := feed.Log.After(at(0), eventlog.Query{})
		require.NoError(w, err)
		var want []string
		for _, e := range page.Entries {
			want = append(want, string(e.Data))
		}
		require.Len(w, want, publishers*each)
		for _, r := range receivers {
			r.stop()
			require.Equal(w, want, r.data)
		}
		settle()
		require.Zero(w, settled(feed).Parked)
		require.Zero(w, settled(feed.Log).Watches)
	}, sim.MayDiffer(atOneInstant))
}

// A server that dies with 100 polls parked and is back at once. net/http repeats a
// request whose reused connection ended without an answer, by itself and without
// a delay; the client's polls must not be repeated so.
func TestADeadServersClientsComeBackAfterTheirBackoff(t *testing.T) {
	const clients = 100
	withFeed(t, &longpoll.Server{}, func(w *world, feed *longpoll.Server) {
		for range clients {
			c := w.testClient() // no jitter: all after 1 s
			c.HTTP = w.client()
			w.receive(c)
		}
		time.Sleep(time.Second) // the parked poll is the second of its connection
		require.Equal(w, clients, int(w.dials.Load()))

		w.server.Close()
		w.serve(feed.Handler())
		time.Sleep(time.Second - time.Millisecond)
		require.Equal(w, clients, int(w.dials.Load()), "nobody came back before the backoff had passed")
		time.Sleep(time.Second)
		require.Equal(w, 2*clients, int(w.dials.Load()))
	})
}
