package stream_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/stream"
)

// stuck is a response that takes what is small, and never the rest.
type stuck struct {
	sink
	ctx    context.Context
	blocks *atomic.Int64
}

func (s *stuck) Write(b []byte) (int, error) {
	if len(b) < 1000 {
		return len(b), nil
	}
	s.blocks.Add(1)
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

// A large event is encoded once, and not for each of the clients that have yet to take it.
func TestStreamsShareWhatTheyWrite(t *testing.T) {
	const streams, size = 50, 1 << 20
	for _, accept := range []string{"text/event-stream", "application/x-ndjson"} {
		s := &stream.Server{Log: memory()}
		var done sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		var blocked atomic.Int64
		handler := s.Handler()
		for range streams {
			r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
			r.Header.Set("Accept", accept)
			done.Go(func() {
				handler.ServeHTTP(&stuck{sink{header: http.Header{}}, ctx, &blocked}, r)
			})
		}
		for s.Stats().Opened < streams {
			time.Sleep(time.Millisecond)
		}
		before := heap()
		publish(t, s, strings.Repeat("x", size))
		await(&blocked, streams)
		require.Less(t, heap()-before, int64(20*size), accept)
		cancel()
		done.Wait()
		s.Log.Close()
	}
}

// What is shared is what the client would have got otherwise. The first client does not read, so that
// what it is sent is remembered.
func TestWhatIsSharedIsWhatIsRead(t *testing.T) {
	large := strings.Repeat("x", 100_000)
	for _, row := range []struct {
		name         string
		authenticate func(*http.Request) (access.Identity, error)
		first        string // the query of the first client
		client       func() *stream.Client
		before       func(w *world, l eventlog.Log) // after the first client is stuck
		want         []string
		resets       int
	}{
		{name: "the same", want: []string{"t", "u.1", "u.2"}},
		{name: "in another encoding", client: func() *stream.Client { return &stream.Client{Encoding: stream.NDJSON} }, want: []string{"t", "u.1", "u.2"}},
		{name: "in the same encoding, over another carrier", client: func() *stream.Client { return &stream.Client{Encoding: stream.WebSocket} }, want: []string{"t", "u.1", "u.2"}},
		{name: "from another position", client: func() *stream.Client { return &stream.Client{LastEventID: id(1)} }, want: []string{"u.1", "u.2"}},
		{name: "of a topic", client: func() *stream.Client { return &stream.Client{Topics: []string{"u.2"}} }, want: []string{"u.2"}},
		{name: "of another filter", first: "?topic=u.*", client: func() *stream.Client { return &stream.Client{Topics: []string{"*.2"}} }, want: []string{"u.2"}},
		{name: "of a filter", client: func() *stream.Client { return &stream.Client{Topics: []string{"u.*"}} }, want: []string{"u.1", "u.2"}},
		{name: "of other rights", authenticate: func(r *http.Request) (access.Identity, error) {
			return access.Identity{Topics: append(r.Header["Grant"], "t.*")}, nil
		}, client: func() *stream.Client { return &stream.Client{Header: always(http.Header{"Grant": {"u.*"}})} }, want: []string{"u.1", "u.2"}},
		{name: "when an event has expired", before: func(w *world, _ eventlog.Log) { time.Sleep(time.Second) }, want: []string{"t", "u.1"}},
		{name: "when the log has dropped an event", before: func(w *world, l eventlog.Log) {
			require.NoError(w, l.Compact(eventlog.Cursor{Epoch: epoch, Offset: 1}))
		}, client: func() *stream.Client { return &stream.Client{LastEventID: id(0)} }, want: []string{"u.1", "u.2"}, resets: 1},
		{name: "when there is another event", before: func(w *world, l eventlog.Log) {
			_, err := l.Append(w.Context(), eventlog.Entry{Topic: "v", Data: []byte("v" + large)})
			require.NoError(w, err)
		}, want: []string{"t", "u.1", "u.2", "v"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				s := w.stream(&stream.Server{Authenticate: row.authenticate, MaxBytes: 1 << 20})
				for _, topic := range []string{"t", "u.1", "u.2"} {
					entry := eventlog.Entry{Topic: topic, Data: []byte(topic + large)}
					if topic == "u.2" {
						entry.Expires = time.Now().Add(time.Second)
					}
					_, err := s.Log.Append(w.Context(), entry)
					require.NoError(w, err)
				}
				w.get(row.first, http.Header{"Accept": {"text/event-stream"}, "Grant": {"t"}})
				require.NotZero(w, settled(s).Held)
				if row.before != nil {
					row.before(w, s.Log)
				}
				client := new(stream.Client)
				if row.client != nil {
					client = row.client()
				}
				c := w.receive(client)
				var got []string
				for _, data := range c.got() {
					got = append(got, strings.TrimSuffix(data, large))
				}
				require.Equal(w, row.want, got)
				require.Len(w, c.resets(), row.resets)
			}, smallBuffers())
		})
	}
}
