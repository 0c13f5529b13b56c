package longpoll_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/longpoll"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/sim"
)

// withFeed serves a feed in a bubble. Its times can be computed: no jitter, and
// no delay.
func withFeed(t *testing.T, settings *longpoll.Server, f func(w *world, feed *longpoll.Server), opts ...sim.Option) {
	t.Helper()
	inWorld(t, 0, func(w *world) {
		feed := fresh(settings)
		feed.Log = memory()
		if feed.Jitter == nil {
			feed.Jitter = retry.NoJitter
		}
		w.serve(feed.Handler())
		f(w, feed)
	}, opts...)
}

func TestAPollWithoutNewsEndsEmptyAfterItsWait(t *testing.T) {
	withFeed(t, &longpoll.Server{}, func(w *world, feed *longpoll.Server) {
		publish(w, feed, "old")

		r := w.poll("cursor=%s&wait=90s", at(1))

		require.Equal(w, http.StatusOK, r.Status)
		require.Equal(w, 90*time.Second, r.After)
		require.Equal(w, at(1), r.Cursor)
		require.JSONEq(w, `{"cursor":"e9-1"}`, r.Body)
		require.Equal(w, "no-store", r.Header.Get("Cache-Control"))
		require.Equal(w, longpoll.ServerStats{Empty: 1}, settled(feed))
	})
}

func TestWaits(t *testing.T) {
	longest := func(max time.Duration) time.Duration { return max }
	for _, c := range []struct {
		why   string
		feed  *longpoll.Server
		query string
		want  time.Duration
	}{
		{"the default is 30 s", &longpoll.Server{}, "", 30 * time.Second},
		{"the server may have another", &longpoll.Server{Wait: time.Minute}, "", time.Minute},
		{"ten minutes at most", &longpoll.Server{}, "&wait=1h", 10 * time.Minute},
		{"a lower limit lowers the default too", &longpoll.Server{MaxWait: 5 * time.Second}, "", 5 * time.Second},
		{"no wait is a short poll", &longpoll.Server{}, "&wait=0s", 0},
		{"jitter adds up to a sixteenth", &longpoll.Server{Jitter: longest}, "&wait=64s", 68 * time.Second},
		{"a known proxy: (60 s - 9 s) x 16/17", &longpoll.Server{ProxyTimeout: time.Minute, Margin: 9 * time.Second}, "&wait=90s", 48 * time.Second},
		{"and with jitter still within 60 s - 9 s", &longpoll.Server{ProxyTimeout: time.Minute, Margin: 9 * time.Second, Jitter: longest}, "&wait=90s", 51 * time.Second},
		{"a shorter wait is left alone", &longpoll.Server{ProxyTimeout: time.Minute}, "&wait=10s", 10 * time.Second},
	} {
		t.Run(c.why, func(t *testing.T) {
			withFeed(t, c.feed, func(w *world, _ *longpoll.Server) {
				require.Equal(w, c.want, w.poll("cursor=%s%s", at(0), c.query).After)
			})
		})
	}
}

func TestAnEventEndsThePollAtOnce(t *testing.T) {
	withFeed(t, &longpoll.Server{}, func(w *world, feed *longpoll.Server) {
		start := time.Now()
		time.AfterFunc(7*time.Second, func() { publish(w, feed, "news") })

		r := w.poll("cursor=%s", at(0))

		require.Equal(w, 7*time.Second, r.After)
		require.Equal(w, []eventlog.Entry{{Offset: 1, Topic: "t", Time: start.Add(7 * time.Second).UTC(), Data: []byte("news")}}, r.Events)
		require.Equal(w, at(1), r.Cursor)
		require.Equal(w, longpoll.ServerStats{Wakes: 1, Answers: 1, Events: 1}, settled(feed))
	})
}

// LP-P1: the poll names a position, not a moment.
func TestAnEventBetweenTwoPollsIsInTheNextAnswer(t *testing.T) {
	withFeed(t, &longpoll.Server{}, func(w *world, feed *longpoll.Server) {
		first := w.poll("cursor=%s&wait=1s", at(0))
		publish(w, feed, "in between")
		second := w.poll("cursor=%s", first.Cursor)

		require.Equal(w, []string{"in between"}, second.data())
		require.Zero(w, second.After)
	})
}

// A poll without a cursor that waited could not be repeated after a lost answer.
func TestAPollWithoutACursorGetsOneAtOnce(t *testing.T) {
	withFeed(t, &longpoll.Server{}, func(w *world, feed *longpoll.Server) {
		r := w.poll("")
		require.Zero(w, r.After)
		require.Equal(w, at(0), r.Cursor)

		publish(w, feed, "a", "b")
		require.Equal(w, []string{"a", "b"}, w.poll("").data())
		r = w.poll("from=now")
		require.Empty(w, r.Events)
		require.Equal(w, at(2), r.Cursor)
	})
}

// LP-P7. The event is there 1 ns before the wait ends, at the very instant, or
// 1 ns after it. Each time there is one answer, and what it lacks the next has.
func TestAnEventRacesTheTimeout(t *testing.T) {
	for _, offset := range []time.Duration{-1, 0, 1} {
		t.Run(fmt.Sprintf("%+dns", offset), func(t *testing.T) {
			withFeed(t, &longpoll.Server{}, func(w *world, feed *longpoll.Server) {
				var once sync.Once
				w.server.Close()
				w.serve(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					once.Do(func() { time.AfterFunc(time.Second+offset, func() { publish(w, feed, "event") }) })
					feed.Handler().ServeHTTP(rw, r)
				}))

				first := w.poll("cursor=%s&wait=1s", at(0))
				second := w.poll("cursor=%s&wait=1s", first.Cursor)

				require.Equal(w, []string{"event"}, append(first.data(), second.data()...))
				require.Equal(w, time.Second, first.After)
				if offset != 0 {
					require.Equal(w, offset < 0, len(first.Events) == 1)
				}
				require.EqualValues(w, 1, settled(feed).Answers)
			}, sim.MayDiffer(atOneInstant))
		})
	}
}

// LP-P4, LP-P7: an answer that nobody read has consumed nothing.
func TestAbandonedPollsSwallowNothing(t *testing.T) {
	withFeed(t, &longpoll.Server{}, func(w *world, feed *longpoll.Server) {
		ctx, abandon := context.WithCancel(w.Context())
		go w.get(ctx, "cursor="+at(0).String())
		settle()
		again := w.parked("cursor=%s", at(0))
		require.EqualValues(w, 2, settled(feed).Parked)
		time.AfterFunc(time.Second, func() { abandon(); time.Sleep(1); publish(w, feed, "one") })

		require.Equal(w, []string{"one"}, (<-again).data())
		require.Equal(w, []string{"one"}, w.poll("cursor=%s", at(0)).data(), "until a poll carries the new cursor")
	})
}

func TestTopics(t *testing.T) {
	withFeed(t, &longpoll.Server{}, func(w *world, feed *longpoll.Server) {
		go func() {
			for i := range 100 {
				time.Sleep(time.Second)
				feed.Publish(t.Context(), "noise", nil)
				if i == 49 {
					feed.Publish(t.Context(), "b", []byte("signal"))
				}
			}
		}()

		r := w.poll("cursor=%s&wait=80s&topic=a&topic=b", at(0))

		require.Equal(w, 50*time.Second, r.After)
		require.Equal(w, []string{"signal"}, r.data())
		require.EqualValues(w, 1, settled(feed).Wakes, "49 writes to another topic wake nobody")

		r = w.poll("cursor=%s&wait=29500ms&topic=a&topic=b", r.Cursor)

		require.Empty(w, r.Events)
		require.Equal(w, 29500*time.Millisecond, r.After)
		require.Equal(w, at(80), r.Cursor, "the cursor of an empty answer has moved, so compaction will not pass it")
	})
}

func TestHoldingBack(t *testing.T) {
	for _, c := range []struct {
		why   string
		feed  *longpoll.Server
		after time.Duration
		want  []string
	}{
		{"one event is enough", &longpoll.Server{}, time.Second, []string{"1"}},
		{"enough events", &longpoll.Server{MinEvents: 3}, 3 * time.Second, []string{"1", "2", "3"}},
		{"not enough until the wait ends: what there is", &longpoll.Server{MinEvents: 9}, 5500 * time.Millisecond, []string{"1", "2", "3", "4", "5"}},
		{"linger runs from the first event", &longpoll.Server{MinEvents: 9, Linger: 2500 * time.Millisecond}, 3500 * time.Millisecond, []string{"1", "2", "3"}},
		{"a linger beyond the wait does not prolong it", &longpoll.Server{MinEvents: 9, Linger: time.Minute}, 5500 * time.Millisecond, []string{"1", "2", "3", "4", "5"}},
		{"full by count", &longpoll.Server{MinEvents: 2, MaxEvents: 2, Linger: time.Minute}, 2 * time.Second, []string{"1", "2"}},
		{"full by bytes: topic and data of two events", &longpoll.Server{MinEvents: 9, MaxAnswerBytes: 4}, 2 * time.Second, []string{"1", "2"}},
		{"a third would not fit", &longpoll.Server{MinEvents: 9, MaxAnswerBytes: 5}, 3 * time.Second, []string{"1", "2"}},
	} {
		t.Run(c.why, func(t *testing.T) {
			withFeed(t, c.feed, func(w *world, feed *longpoll.Server) {
				go func() {
					for i := range 6 {
						time.Sleep(time.Second)
						publish(w, feed, fmt.Sprint(i+1))
					}
				}()
				r := w.poll("cursor=%s&wait=5500ms", at(0))

				require.Equal(w, c.want, r.data())
				require.Equal(w, c.after, r.After)
				require.Equal(w, at(uint64(len(c.want))), r.Cursor)
			})
		})
	}
}

// What comes in one piece does not make an answer larger than its limit.
func TestMaxEventsLimitsWhatIsCollected(t *testing.T) {
	withFeed(t, &longpoll.Server{MinEvents: 3, MaxEvents: 3}, func(w *world, feed *longpoll.Server) {
		publish(w, feed, "0", "1")
		time.AfterFunc(time.Second, func() {
			var batch []eventlog.Entry
			for i := range 5 {
				batch = append(batch, eventlog.Entry{Topic: "t", Data: fmt.Append(nil, i+2)})
			}
			feed.Log.Append(w.Context(), batch...)
		})
		r := w.poll("cursor=%s", at(0))
		require.Equal(w, sequence(3), r.data())
		require.Equal(w, at(3), r.Cursor)
	})
}

func TestOneEventIsSentHoweverLarge(t *testing.T) {
	withFeed(t, &longpoll.Server{MaxAnswerBytes: 10}, func(w *world, feed *longpoll.Server) {
		large := strings.Repeat("x", 100)
		publish(w, feed, large, "small")

		r := w.poll("cursor=%s", at(0))
		require.Equal(w, []string{large}, r.data())
		require.Equal(w, []string{"small"}, w.poll("cursor=%s", r.Cursor).data())
	})
}

func TestGapsAreReported(t *testing.T) {
	withFeed(t, &longpoll.Server{}, func(w *world, feed *longpoll.Server) {
		publish(w, feed, "a", "b", "c")
		require.NoError(w, feed.Log.Compact(at(2)))

		for _, c := range []struct {
			cursor eventlog.Cursor
			want   eventlog.Reason
		}{
			{at(1), eventlog.ReasonCompacted},
			{at(4), eventlog.ReasonFuture},
			{eventlog.Cursor{Epoch: 1, Offset: 2}, eventlog.ReasonWrongEpoch},
		} {
			r := w.poll("cursor=%s", c.cursor)
			require.Equal(w, http.StatusGone, r.Status)
			require.Equal(w, c.want, r.Reset)
			require.Equal(w, at(2), r.Cursor, "where reading can begin again")
			require.Empty(w, r.Events)
			require.Zero(w, r.After)
		}
		require.Equal(w, longpoll.ServerStats{Resets: 3}, settled(feed))
	})
}

// compacting is a log that is compacted to its head just before its n-th read.
type compacting struct {
	eventlog.Log
	n int
}

func (l *compacting) After(c eventlog.Cursor, q eventlog.Query) (eventlog.Page, error) {
	if l.n--; l.n == 0 {
		l.Compact(l.Head())
	}
	return l.Log.After(c, q)
}

// The log may be compacted beyond what a poll that holds events back has read. It
// answers with what it has, and the next poll is told.
func TestAGapBehindHeldEvents(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		// Reads: on arrival, after registering, after the second event.
		feed := &longpoll.Server{Log: &compacting{Log: memory(), n: 3}, MinEvents: 9, Jitter: retry.NoJitter}
		w.serve(feed.Handler())
		publish(w, feed, "held")
		time.AfterFunc(time.Second, func() { publish(w, feed, "missed") })

		first := w.poll("cursor=%s", at(0))
		second := w.poll("cursor=%s", first.Cursor)

		require.Equal(w, []string{"held"}, first.data())
		require.Equal(w, time.Second, first.After)
		require.Equal(w, at(1), first.Cursor)
		require.Equal(w, eventlog.ReasonCompacted, second.Reset)
	})
}

func TestBadRequestsAreToldWhatIsWrong(t *testing.T) {
	withFeed(t, &longpoll.Server{}, func(w *world, feed *longpoll.Server) {
		for _, c := range []struct{ query, want string }{
			{"cursor=7", `eventlog: cursor "7": want <epoch>-<offset>`},
			{"wait=soon", `wait is "soon": want a duration such as 30s`},
			{"wait=-1s", `wait is "-1s": want a duration such as 30s`},
			{"from=then", `from is "then": want now, or nothing`},
			{strings.Repeat("topic=x&", 101), `topic is given 101 times: want at most 100`},
		} {
			r := w.poll("%s", c.query)
			require.Equal(w, http.StatusBadRequest, r.Status)
			require.Equal(w, c.want+"\n", r.Body)
		}

		resp, err := w.http.Post(url, "text/plain", nil)
		require.NoError(w, err)
		resp.Body.Close()
		settle()
		require.Equal(w, http.StatusMethodNotAllowed, resp.StatusCode)
		require.Equal(w, "GET", resp.Header.Get("Allow"))

		req, err := http.NewRequest(http.MethodGet, url, strings.NewReader("body"))
		require.NoError(w, err)
		resp, err = w.http.Do(req)
		require.NoError(w, err)
		resp.Body.Close()
		require.Equal(w, http.StatusRequestEntityTooLarge, resp.StatusCode)
		require.Equal(w, longpoll.ServerStats{}, settled(feed))
	})
}

func TestAClosedLogSendsPollsAway(t *testing.T) {
	withFeed(t, &longpoll.Server{}, func(w *world, feed *longpoll.Server) {
		done := w.parked("cursor=%s", at(0))
		require.NoError(w, feed.Log.Close())
		require.Equal(w, http.StatusServiceUnavailable, (<-done).Status)
		require.Equal(w, http.StatusServiceUnavailable, w.poll("cursor=%s", at(0)).Status)
	})
}

func TestServerCheckNamesWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		feed *longpoll.Server
		want string
	}{
		{&longpoll.Server{Wait: -1}, "longpoll: Server.Wait is -1ns: want 0 for the default, or more"},
		{&longpoll.Server{MaxClients: -1}, "longpoll: Server.MaxClients is -1: want 0 for the default, or more"},
		{&longpoll.Server{Wait: time.Hour}, "longpoll: Server.Wait is 1h0m0s: want at most MaxWait, 10m0s"},
		{&longpoll.Server{MinEvents: 2000}, "longpoll: Server.MinEvents is 2000: want at most MaxEvents, 1000"},
		{&longpoll.Server{ProxyTimeout: time.Second}, "longpoll: Server.ProxyTimeout is 1s: want more than Margin, 1s"},
	} {
		require.EqualError(t, c.feed.Check(), c.want)
		require.PanicsWithValue(t, c.want, func() { c.feed.Handler() })
	}
	require.NoError(t, (&longpoll.Server{}).Check())
	_, err := (&longpoll.Server{}).Publish(t.Context(), "\xff", nil)
	require.EqualError(t, err, `longpoll: publish: topic "\xff" is not UTF-8`)
}

// LP-17: one write, and everyone is told at the same instant, each by one wake-up.
func TestOneWriteWakesAThousand(t *testing.T) {
	const polls = 1000
	withFeed(t, &longpoll.Server{}, func(w *world, feed *longpoll.Server) {
		answers := make(chan response, polls)
		for range polls {
			go func() {
				r, err := w.get(w.Context(), "cursor="+at(0).String())
				if err == nil {
					answers <- r
				}
			}()
		}
		settle()
		require.EqualValues(w, polls, settled(feed).Parked)
		time.Sleep(time.Second)
		publish(w, feed, "x")
		for range polls {
			r := <-answers
			require.Equal(w, time.Second, r.After)
			require.Equal(w, []string{"x"}, r.data())
		}
		require.Equal(w, longpoll.ServerStats{Wakes: polls, Answers: polls, Events: polls}, settled(feed))
	})
}

// brokenLog fails to be read.
type brokenLog struct{ eventlog.Log }

var errPrivate = errors.New("open /var/lib/orders.db: input/output error")

func (brokenLog) After(eventlog.Cursor, eventlog.Query) (eventlog.Page, error) {
	return eventlog.Page{}, errPrivate
}

// What is wrong with the log is logged, and not told to clients.
func TestAFailureOfTheLogIsNotForClients(t *testing.T) {
	var out strings.Builder
	s := &longpoll.Server{Log: brokenLog{eventlog.NewMemory(eventlog.Options{})}, Logger: slog.New(slog.NewTextHandler(&out, nil))}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	require.Equal(t, 500, w.Code)
	require.Equal(t, "the log failed\n", w.Body.String())
	require.Contains(t, out.String(), errPrivate.Error())
}
