package longpoll_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/longpoll"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/sim"
)

func TestParkedPollsAreBounded(t *testing.T) {
	var spreads atomic.Bool
	n := 0
	jitter := func(max time.Duration) time.Duration { // 0, max, 0, max, ...
		if !spreads.Load() {
			return retry.NoJitter(max)
		}
		n++
		return max * time.Duration(1-n%2)
	}
	withFeed(t, &longpoll.Server{MaxClients: 2, Jitter: jitter}, func(w *world, feed *longpoll.Server) {
		a, b := w.parked("cursor=%s", at(0)), w.parked("cursor=%s", at(0))
		require.EqualValues(w, 2, settled(feed).Parked)
		spreads.Store(true)

		first, second := w.poll("cursor=%s", at(0)), w.poll("cursor=%s", at(0))
		require.Equal(w, http.StatusServiceUnavailable, first.Status)
		require.Equal(w, "1", first.Header.Get("Retry-After"))
		require.Equal(w, "10", second.Header.Get("Retry-After"))
		require.EqualValues(w, 2, settled(feed).Refused)
		require.Equal(w, http.StatusOK, w.poll("").Status, "a poll that need not wait needs no place")

		spreads.Store(false)
		publish(w, feed, "x")
		<-a
		<-b
		require.Zero(w, settled(feed).Parked)
		require.Equal(w, http.StatusOK, w.poll("cursor=%s&wait=1s", at(1)).Status)
	})
}

// LP-P6.
func TestADisconnectFreesThePlace(t *testing.T) {
	withFeed(t, &longpoll.Server{}, func(w *world, feed *longpoll.Server) {
		ctx, cancel := context.WithTimeout(w.Context(), 3*time.Second)
		defer cancel()
		_, err := w.get(ctx, "wait=60s&cursor="+at(0).String())
		require.ErrorIs(w, err, context.DeadlineExceeded)

		settle()
		require.Equal(w, 3*time.Second, w.elapsed())
		require.Equal(w, longpoll.ServerStats{Gone: 1}, settled(feed))
		require.Zero(w, settled(feed.Log).Watches)
	})
}

// LP-19: nothing tells the server; the wait bounds how long the place is taken.
func TestASilentDisconnectFreesThePlaceWhenTheWaitEnds(t *testing.T) {
	withFeed(t, &longpoll.Server{}, func(w *world, feed *longpoll.Server) {
		w.parked("cursor=%s&wait=60s", at(0))
		w.link.Down()

		time.Sleep(time.Minute - time.Millisecond)
		require.EqualValues(w, 1, settled(feed).Parked)
		time.Sleep(2 * time.Millisecond)
		require.Zero(w, settled(feed).Parked)
		require.Zero(w, settled(feed.Log).Watches)
	})
}

func TestClose(t *testing.T) {
	withFeed(t, &longpoll.Server{MinEvents: 2}, func(w *world, feed *longpoll.Server) {
		w.server.RegisterOnShutdown(func() { feed.Close() })
		publish(w, feed, "held back")
		idle := w.parked("cursor=%s", at(1))
		holding := w.parked("cursor=%s", at(0))
		time.Sleep(5 * time.Second)
		require.EqualValues(w, 2, settled(feed).Parked)

		require.NoError(w, w.server.Shutdown(w.Context()))

		require.Less(w, w.elapsed(), 6*time.Second, "not when the waits end, after 30 s")
		refused, answered := <-idle, <-holding
		require.Equal(w, http.StatusServiceUnavailable, refused.Status)
		require.Equal(w, 5*time.Second, refused.After)
		require.Equal(w, "1", refused.Header.Get("Retry-After"))
		require.Equal(w, []string{"held back"}, answered.data(), "what was held back is sent")

		w.serve(feed.Handler())
		require.Equal(w, http.StatusServiceUnavailable, w.poll("cursor=%s", at(0)).Status, "closed is closed")
		_, err := feed.Publish(w.Context(), "t", nil)
		require.Equal(w, longpoll.ErrClosed, err)
		require.NoError(w, feed.Close())
		require.NoError(w, feed.Drain(w.Context()), "there is nothing to wait for")
		_, err = feed.Publish(w.Context(), "t", nil)
		require.Equal(w, longpoll.ErrClosed, err, "closed stays closed")
	}, sim.MayDiffer(atOneInstant))
}

// Drain returns when the answers have been written, here to a client that takes 6 s.
func TestDrainWaitsForAnswers(t *testing.T) {
	withFeed(t, &longpoll.Server{}, func(w *world, feed *longpoll.Server) {
		publish(w, feed, "x")
		slow := slowly{httptest.NewRecorder(), 6 * time.Second}
		go feed.Handler().ServeHTTP(slow, httptest.NewRequest(http.MethodGet, "/", nil))
		settle()

		ctx, cancel := context.WithTimeout(w.Context(), 4*time.Second)
		defer cancel()
		require.ErrorIs(w, feed.Drain(ctx), context.DeadlineExceeded)
		require.Equal(w, 4*time.Second, w.elapsed())
		_, err := feed.Publish(w.Context(), "t", nil)
		require.Equal(w, longpoll.ErrDraining, err)
		require.NoError(w, feed.Drain(w.Context()))
		require.Equal(w, 6*time.Second, w.elapsed())
		require.Equal(w, longpoll.ServerStats{Answers: 1, Events: 1}, feed.Stats())
	})
}

// slowly is a client that takes its time for each write.
type slowly struct {
	*httptest.ResponseRecorder
	pause time.Duration
}

func (s slowly) Write(b []byte) (int, error) {
	time.Sleep(s.pause)
	return s.ResponseRecorder.Write(b)
}

// So that a balancer can send the next poll to another server.
func TestDrainEndsConnections(t *testing.T) {
	withFeed(t, &longpoll.Server{MinEvents: 2}, func(w *world, feed *longpoll.Server) {
		publish(w, feed, "held back")
		holding, idle := w.parked("cursor=%s", at(0)), w.parked("cursor=%s", at(1))
		require.Equal(w, 2, int(w.dials.Load()))
		require.NoError(w, feed.Drain(w.Context()))
		require.Equal(w, http.StatusOK, (<-holding).Status)
		require.Equal(w, http.StatusServiceUnavailable, (<-idle).Status)

		w.poll("cursor=%s", at(0))
		w.poll("cursor=%s", at(0))
		require.Equal(w, 4, int(w.dials.Load()), "neither connection was kept, nor that of a refusal")
	})
}
