package longpoll_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/longpoll"
	"github.com/squall-sim/squall/patterns/retry"
)

// LP-13: the client was away for longer than the log keeps events.
func TestTheHandlerIsToldOfCompaction(t *testing.T) {
	withFeed(t, &longpoll.Server{}, func(w *world, feed *longpoll.Server) {
		publish(w, feed, sequence(6)...)
		require.NoError(w, feed.Log.Compact(at(4)))
		c := w.testClient()
		c.From = at(2)
		r := w.receive(c)
		settle()
		r.stop()

		require.Equal(w, []longpoll.Batch{{Reset: eventlog.ReasonCompacted, Cursor: at(4)}}, r.resets)
		require.Equal(w, []string{"4", "5"}, r.data)
		require.EqualValues(w, 1, c.Stats().Resets)
	})
}

// LP-14: a watch of a quiet topic is not overtaken while it polls, even when the
// server restarts with a compacted log.
func TestAQuietTopicIsNotReset(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		path := filepath.Join(w.TempDir(), "log")
		open := func() (*longpoll.Server, *eventlog.Disk) {
			log, err := eventlog.OpenDisk(path, eventlog.Options{Epoch: epoch, MaxEntries: 10})
			require.NoError(w, err)
			return &longpoll.Server{Log: log, Jitter: retry.NoJitter}, log
		}
		feed, log := open()
		w.serve(feed.Handler())
		c := w.testClient()
		c.Topics = []string{"quiet"}
		r := w.receive(c)
		for range 5 {
			for range 9 { // fewer than the log keeps, per wait
				feed.Publish(t.Context(), "busy", nil)
			}
			time.Sleep(31 * time.Second) // not at the instant at which a wait ends
		}
		w.server.Close()
		require.NoError(w, log.Close())
		feed, log = open()
		defer log.Close()
		w.serve(feed.Handler())
		feed.Publish(t.Context(), "quiet", []byte("0"))
		time.Sleep(time.Minute)
		r.stop()

		require.Empty(w, r.resets)
		require.Equal(w, sequence(1), r.data)
	})
}

// LP-P3: the server lost its memory, and its offsets begin anew.
func TestTheHandlerIsToldOfANewEpoch(t *testing.T) {
	withFeed(t, &longpoll.Server{}, func(w *world, feed *longpoll.Server) {
		publish(w, feed, "a", "b")
		c := w.testClient()
		c.FromNow = true // must not matter after the first poll
		r := w.receive(c)
		settle()
		publish(w, feed, "c")
		time.Sleep(time.Second)

		w.server.Close()
		again := &longpoll.Server{Log: eventlog.NewMemory(eventlog.Options{Epoch: epoch + 1}), Jitter: retry.NoJitter}
		publish(w, again, "d", "e", "f", "g")
		w.serve(again.Handler())
		time.Sleep(time.Minute)
		r.stop()

		require.Equal(w, []longpoll.Batch{{Reset: eventlog.ReasonWrongEpoch, Cursor: eventlog.Cursor{Epoch: epoch + 1}}}, r.resets)
		require.Equal(w, []string{"c", "d", "e", "f", "g"}, r.data)
	})
}

// A server that changes its epoch or goes back without saying so is caught by the
// client's own comparison (hashicorp/consul#2621: reset when the index goes back).
func TestTheClientComparesCursorsItself(t *testing.T) {
	body := func(c eventlog.Cursor, event uint64) string {
		return fmt.Sprintf(`{"cursor":"%s","events":[{"offset":%d,"time":"2000-01-01T00:00:00Z","data":"MA=="}]}`, c, event)
	}
	other := eventlog.Cursor{Epoch: 0xbad, Offset: 9}
	for _, c := range []struct {
		why   string
		says  string
		want  eventlog.Reason
		polls []string // the cursors of the polls
	}{
		{"another epoch", body(other, 9), eventlog.ReasonWrongEpoch, []string{"e9-5", ""}},
		{"back to 3, and still there after three more polls", body(at(3), 3), eventlog.ReasonFuture, []string{"e9-5", "e9-5", "e9-5", "e9-5", ""}},
	} {
		t.Run(c.why, func(t *testing.T) {
			inWorld(t, 0, func(w *world) {
				var polls []string
				client := w.testClient()
				client.From = at(5)
				client.FromNow = true // must not skip what is there after a reset
				client.HTTP = w.via(func(r *http.Request, _ http.RoundTripper) (*http.Response, error) {
					require.Empty(w, r.URL.Query().Get("from"))
					polls = append(polls, r.URL.Query().Get("cursor"))
					if len(polls) > len(c.polls) {
						<-r.Context().Done()
						return nil, r.Context().Err()
					}
					return respond(r, 200, c.says), nil
				})
				r := w.receive(client)
				time.Sleep(30 * time.Second)
				r.stop()

				require.Equal(w, c.polls, polls[:len(c.polls)])
				require.Equal(w, []longpoll.Batch{{Reset: c.want}}, r.resets)
				require.Equal(w, sequence(1), r.data, "read from the oldest event after the reset, not before")
			})
		})
	}
}

// LP-21: behind a balancer, every other answer comes from a replica that lags.
// The cursor does not follow it back, nothing is delivered twice, and no alarm
// is raised as long as up-to-date answers come in between.
func TestALaggingReplicaIsNoReset(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		leader, replica := testFeed(), testFeed()
		publish(w, leader, sequence(3)...)
		publish(w, replica, sequence(2)...)
		n := 0
		lead, follow := leader.Handler(), replica.Handler()
		w.serve(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if n++; n%2 == 0 {
				follow.ServeHTTP(rw, r)
				return
			}
			lead.ServeHTTP(rw, r)
		}))
		c := w.testClient()
		r := w.receive(c)
		for i := range 10 {
			time.Sleep(time.Minute)
			publish(w, leader, fmt.Sprint(i+3))
			publish(w, replica, fmt.Sprint(i+2))
		}
		time.Sleep(time.Minute)
		r.stop()

		require.Equal(w, sequence(13), r.data)
		require.Empty(w, r.resets)
		require.Greater(w, c.Stats().Stale, int64(5))
	})
}

// A log restored from a backup under its old epoch is behind for good.
func TestAServerThatStaysBehindIsAReset(t *testing.T) {
	for _, c := range []struct {
		stale int
		after time.Duration
	}{
		{0, 1*time.Second + 2*time.Second + 4*time.Second}, // three more tries, with backoff
		{1, 1 * time.Second},
		{-1, 0},
	} {
		withFeed(t, &longpoll.Server{}, func(w *world, feed *longpoll.Server) {
			publish(w, feed, sequence(2)...)
			client := w.testClient()
			client.From = at(7)
			client.StaleAnswers = c.stale
			r := w.receive(client)
			time.Sleep(time.Minute)
			r.stop()

			require.Equal(w, []longpoll.Batch{{Reset: eventlog.ReasonFuture, Cursor: at(0)}}, r.resets)
			require.Equal(w, sequence(2), r.data)
			require.Equal(w, c.after, r.when[0])
		})
	}
}

// A proxy may repeat an answer, or a server an event.
func TestEventsThatWereHandedOverAreDropped(t *testing.T) {
	inWorld(t, 0, func(w *world) {
		c := w.testClient()
		c.From = at(1)
		n := 0
		c.HTTP = w.via(func(r *http.Request, _ http.RoundTripper) (*http.Response, error) {
			if n++; n == 3 {
				<-r.Context().Done()
				return nil, r.Context().Err()
			}
			return respond(r, 200, `{"cursor":"e9-2","events":[{"offset":1,"time":"2000-01-01T00:00:00Z","data":"MA=="},{"offset":2,"time":"2000-01-01T00:00:00Z","data":"MQ=="}]}`), nil
		})
		r := w.receive(c)
		time.Sleep(time.Second)
		r.stop()
		require.Equal(w, []string{"1"}, r.data)
		require.EqualValues(w, 3, c.Stats().Duplicates)
	})
}

func TestAnswersThatContradictThemselvesAreFailures(t *testing.T) {
	event := func(offset int) string {
		return fmt.Sprintf(`{"offset":%d,"time":"2000-01-01T00:00:00Z"}`, offset)
	}
	for _, c := range []struct {
		status     int
		body, want string
	}{
		{200, `{"events":[` + event(1) + `]}`, "longpoll: status 200: answer has no cursor"},
		{200, `{"cursor":"e9-1","events":[` + event(2) + `]}`, "longpoll: status 200: answer has event 2 after event 0, and the cursor e9-1"},
		{200, `{"cursor":"e9-2","events":[` + event(2) + `,` + event(1) + `]}`, "longpoll: status 200: answer has event 1 after event 2, and the cursor e9-2"},
		{200, `{"cursor":"e9-2","events":[` + event(2) + `,` + event(2) + `]}`, "longpoll: status 200: answer has event 2 after event 2, and the cursor e9-2"},
		{200, `{"cursor":"e9-2","reset":"compacted"}`, `longpoll: status 200 with reset "compacted"`},
		{410, `{"cursor":"e9-2"}`, `longpoll: status 410 with reset ""`},
	} {
		inWorld(t, 0, func(w *world) {
			client := w.testClient()
			client.HTTP = &http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) {
				return respond(r, c.status, c.body), nil
			})}
			client.OnRetry = func(err error, _ time.Duration) { require.EqualError(w, err, c.want) }
			r := w.receive(client)
			time.Sleep(time.Second - 1)
			r.stop()
			require.EqualValues(w, 1, client.Stats().Failures)
			require.Empty(w, r.data)
			require.Empty(w, r.resets)
		})
	}
}
