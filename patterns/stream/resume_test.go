package stream_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/stream"
)

// ST-P1, ST-P2: wherever a connection breaks, the client's events continue without a
// gap, a repetition or half an event.
func TestAConnectionThatBreaksAtAnyByte(t *testing.T) {
	overEncodings(t, func(w *world, e stream.Encoding) {
		s := w.stream(&stream.Server{Retry: -1})
		var want []string
		for i := range 10 {
			want = append(want, fmt.Sprintf("event …\n%d", i))
		}
		publish(w, s, want...)
		after := map[int]bool{} // how many events the connections broke
		for cut := 1; ; cut++ {
			w.cut.Store(int64(cut))
			c := w.receive(&stream.Client{Encoding: e})
			first := c.got()
			w.cut.Store(int64(0))
			require.Equal(w, want[:len(first)], append([]string{}, first...), "cut after byte %d", cut)
			time.Sleep(5 * time.Second)
			require.Equal(w, want, c.got(), "cut after byte %d", cut)
			require.Empty(w, c.resets())
			c.stop()
			if len(c.retries()) == 0 { // the cut would come after all that was sent
				break
			}
			after[len(first)] = true
		}
		for events := range len(want) {
			require.True(w, after[events], "no cut came after %d events", events)
		}
	})
}

// ST-P1: any number of times.
func TestConnectionsThatAllBreak(t *testing.T) {
	overEncodings(t, func(w *world, e stream.Encoding) {
		s := w.stream(&stream.Server{})
		publish(w, s, numbered(1, 30)...)
		for cut := 450; cut < 700; cut += 7 { // the headers, and one event at least
			w.cut.Store(int64(cut))
			c := w.receive(&stream.Client{Encoding: e})
			time.Sleep(10 * time.Minute)
			require.Equal(w, numbered(1, 30), c.got(), "each connection breaks after byte %d", cut)
			require.GreaterOrEqual(w, len(c.retries()), 2)
			c.stop()
		}
	})
}

// ST-P3.
func TestAPositionThatTheLogDoesNotHold(t *testing.T) {
	for _, c := range []struct {
		name, id string
		want     eventlog.Reason
		next     []string
	}{
		{"dropped", id(1), eventlog.ReasonCompacted, numbered(4, 5)},
		{"of another life", "ea-4", eventlog.ReasonWrongEpoch, numbered(4, 5)},
		{"ahead", id(9), eventlog.ReasonFuture, numbered(4, 5)},
		{"of another server", "4711", eventlog.ReasonWrongEpoch, numbered(4, 5)},
		{"the oldest that is held", id(3), "", numbered(4, 5)},
		{"the newest", id(5), "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			overEncodings(t, func(w *world, e stream.Encoding) {
				s := w.stream(&stream.Server{})
				publish(w, s, numbered(1, 5)...)
				require.NoError(w, s.Log.Compact(eventlog.Cursor{Epoch: epoch, Offset: 3}))

				r := w.receive(&stream.Client{Encoding: e, LastEventID: c.id})
				require.Equal(w, c.next, r.got())
				if c.want == "" {
					require.Empty(w, r.resets())
					return
				}
				require.Equal(w, []stream.Reset{{Reason: c.want, ID: id(3)}}, r.resets())
				require.EqualValues(w, 1, settled(s).Resets)
			})
		})
	}
}

// ST-P3: also while the stream is open. The client is too slow for the log.
func TestAStreamThatTheLogOvertakes(t *testing.T) {
	overEncodings(t, func(w *world, e stream.Encoding) {
		log := eventlog.NewMemory(eventlog.Options{Epoch: epoch, MaxEntries: 5})
		defer log.Close()
		s := w.stream(&stream.Server{Log: log, MaxEvents: 2})
		gate := make(chan struct{})
		c := &stream.Client{URL: url, HTTP: w.client(), Encoding: e}
		var got []string
		c.OnReset = func(_ context.Context, r stream.Reset) error {
			got = append(got, string(r.Reason)+" "+r.ID)
			return nil
		}
		ctx, cancel := context.WithCancel(w.Context())
		done := make(chan error)
		go func() {
			done <- c.Run(ctx, func(_ context.Context, e stream.Event) error {
				<-gate
				got = append(got, e.ID)
				return nil
			})
		}()
		large := strings.Repeat("x", 20_000) // more than a connection takes unread
		for range 12 {
			publish(w, s, large)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		close(gate)
		time.Sleep(time.Second)
		cancel()
		require.ErrorIs(w, <-done, context.Canceled)

		// What had been read from the log arrives, then the reset, then what is left.
		require.Contains(w, got, "compacted "+id(7))
		var at int
		for at = 0; got[at] != "compacted "+id(7); at++ {
			require.Equal(w, id(uint64(at+1)), got[at])
		}
		require.Less(w, at, 7)
		require.Equal(w, []string{id(8), id(9), id(10), id(11), id(12)}, got[at+1:])
	})
}

// ST-P3: a reset cannot be overlooked.
func TestAResetWithoutOnResetEndsRun(t *testing.T) {
	inWorld(t, func(w *world) {
		w.stream(&stream.Server{})
		c := stream.Client{URL: url, HTTP: w.client(), LastEventID: "ea-1"}
		err := c.Run(w.Context(), func(context.Context, stream.Event) error { return nil })
		require.ErrorIs(w, err, stream.ErrReset)
		require.EqualError(w, err, "stream: events may be missing, and there is no OnReset: wrong-epoch")
	})
}

func TestAResetBringsASnapshot(t *testing.T) {
	overEncodings(t, func(w *world, e stream.Encoding) {
		var ready atomic.Bool
		s := w.stream(&stream.Server{})
		s.Snapshot = func(r *http.Request) ([]byte, error) {
			publish(w, s, "during") // after the position was taken: it is in both, but in neither never
			if !ready.Load() {
				return nil, errors.New("no state yet")
			}
			return []byte("state of " + r.URL.Query().Get("topic")), nil
		}
		publish(w, s, numbered(1, 5)...)
		c := w.receive(&stream.Client{Encoding: e, LastEventID: "ea-1", Topics: []string{"t"}})
		require.Empty(w, c.resets())
		require.Empty(w, c.got(), "nothing without the state")
		ready.Store(true)
		time.Sleep(5 * time.Second)
		require.Len(w, c.resets(), 1)
		require.Equal(w, stream.Reset{Reason: eventlog.ReasonWrongEpoch, ID: id(6), Snapshot: []byte("state of t")}, c.resets()[0])
		require.Equal(w, []string{"during"}, c.got())
	})
}

// The position is that of what was handled.
func TestAnEventThatWasNotHandledComesAgain(t *testing.T) {
	overEncodings(t, func(w *world, e stream.Encoding) {
		s := w.stream(&stream.Server{})
		publish(w, s, numbered(1, 5)...)
		boom := errors.New("boom")
		last, seen := "", []string{}
		run := func(failAt string) error {
			c := stream.Client{URL: url, HTTP: w.client(), Encoding: e, LastEventID: last}
			ctx, cancel := context.WithTimeout(w.Context(), time.Second)
			defer cancel()
			return c.Run(ctx, func(_ context.Context, e stream.Event) error {
				if e.Data == failAt {
					return boom
				}
				seen, last = append(seen, e.Data), e.ID
				return nil
			})
		}
		require.Equal(w, boom, run("e3"))
		require.Equal(w, context.DeadlineExceeded, run(""))
		require.Equal(w, numbered(1, 5), seen)
	})
}

// A client that wants what comes from now on has a position before the first event.
func TestFromNowIsTheFirstConnection(t *testing.T) {
	overEncodings(t, func(w *world, e stream.Encoding) {
		s := w.stream(&stream.Server{})
		publish(w, s, "old")
		c := w.receive(&stream.Client{Encoding: e, FromNow: true})
		require.Empty(w, c.got())
		w.server.Close()
		publish(w, s, "new")
		time.Sleep(time.Second)
		w.serve(s.Handler())
		time.Sleep(20 * time.Second)
		if e == stream.WebSocket { // it was hijacked, and outlives its server
			publish(w, s, "newer")
			require.Equal(w, []string{"new", "newer"}, c.got())
			return
		}
		require.Equal(w, []string{"new"}, c.got())
		require.NotEmpty(w, c.retries())
	})
}
