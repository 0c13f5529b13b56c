package stream_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/stream"
)

// Drain returns when the last stream has ended; Close does not wait for it.
func TestDrainAndClose(t *testing.T) {
	overEncodings(t, func(w *world, e stream.Encoding) {
		s := w.stream(&stream.Server{})
		c := w.receive(&stream.Client{Encoding: e})
		c.got()
		publish(w, s, strings.Repeat("x", 1<<20))
		c.got()
		w.slow(e) // it is in the middle of a write
		require.EqualValues(w, 2, settled(s).Streams)

		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		defer cancel()
		require.Equal(w, context.DeadlineExceeded, s.Drain(ctx))
		require.Equal(w, time.Second, w.elapsed())
		require.Equal(w, stream.ErrEnded.Error(), c.failures()[0], "in good order")
		require.EqualValues(w, 1, settled(s).Streams)
		_, err := s.Publish(w.Context(), "t", nil)
		require.Equal(w, stream.ErrDraining, err)

		require.NoError(w, s.Close())
		require.Zero(w, settled(s).Streams)
		require.Equal(w, time.Second, w.elapsed(), "at once")
		require.Zero(w, s.Stats().Slow)
		require.Zero(w, s.Stats().Held)
		_, err = s.Publish(w.Context(), "t", nil)
		require.Equal(w, stream.ErrClosed, err)
		require.NoError(w, s.Drain(w.Context()), "there is nothing to wait for")
		_, err = s.Publish(w.Context(), "t", nil)
		require.Equal(w, stream.ErrClosed, err)
		_, err = s.Log.Append(w.Context(), eventlog.Entry{})
		require.NoError(w, err, "the log is its owner's")
	})
}

func TestCloseEndsIdleStreams(t *testing.T) {
	overEncodings(t, func(w *world, e stream.Encoding) {
		s := &stream.Server{}
		w.serve(s.Handler())
		c := w.receive(&stream.Client{Encoding: e})
		c.got()
		require.NoError(w, s.Close())
		require.Zero(w, settled(s).Streams)
		require.Len(w, c.failures(), 1)
		_, err := s.Log.Append(w.Context(), eventlog.Entry{})
		require.Equal(w, eventlog.ErrClosed, err, "the log is its own")
		require.NoError(w, s.Drain(w.Context()))
		require.NoError(w, s.Close(), "twice")
	})
}

// After a stream of HTTP/1.1 its connection is another request's, whose writes have no
// deadline of ours.
func TestADrainedConnectionServesOthers(t *testing.T) {
	inWorld(t, func(w *world) {
		s := &stream.Server{}
		defer s.Close()
		mux := http.NewServeMux()
		mux.Handle("/events", s.Handler())
		mux.HandleFunc("/other", func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Minute)
			w.Write([]byte("well"))
		})
		w.serve(mux)
		client := w.client()
		c := w.receive(&stream.Client{HTTP: client})
		c.got()
		publish(w, s, "a")
		require.NoError(w, s.Drain(w.Context()))
		settle() // until the end of the stream has arrived
		c.stop()
		time.Sleep(time.Second)
		resp, err := client.Get("http://server/other")
		require.NoError(w, err)
		defer resp.Body.Close()
		require.Equal(w, 200, resp.StatusCode)
		require.Equal(w, 1, int(w.dials.Load()))
	})
}

func TestMaxMessageBytes(t *testing.T) {
	inWorld(t, func(w *world) {
		s := w.stream(&stream.Server{MaxMessageBytes: 10})
		_, err := s.Publish(w.Context(), "t", make([]byte, 9))
		require.NoError(w, err)
		_, err = s.Publish(w.Context(), "t", make([]byte, 10))
		require.ErrorIs(w, err, eventlog.ErrTooLarge)
		require.EqualError(w, err, "stream: publish: eventlog: entry is too large: 11 bytes, and MaxMessageBytes is 10")
		require.EqualValues(w, 1, s.Log.Stats().Appended)
		_, err = s.Publish(w.Context(), strings.Repeat("t", 1025), nil)
		require.EqualError(w, err, "stream: publish: topic has 1025 bytes: want at most 1024")
	})
	overEncodings(t, func(w *world, e stream.Encoding) {
		s := w.stream(&stream.Server{})
		publish(w, s, strings.Repeat("\xff", 8<<20-1))
		c := w.receive(&stream.Client{Encoding: e})
		require.Len(w, c.got(), 1, "a client takes what a server does, by their defaults")
	})
	inWorld(t, func(w *world) {
		s := w.stream(&stream.Server{})
		html := strings.Repeat("<", 3<<20) // six bytes of JSON each
		publish(w, s, html)
		all := w.receive(&stream.Client{Encoding: stream.NDJSON}).all()
		require.Len(w, all, 1)
		data, err := all[0].Bytes()
		require.NoError(w, err)
		require.True(w, html == string(data))
		require.Equal(w, "t", all[0].Topic())
	})
}
