package stream_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/stream"
	"github.com/squall-sim/squall/sim"
)

func TestHTTP2(t *testing.T) {
	inWorld(t, func(w *world) {
		log := memory()
		defer log.Close()
		s := &stream.Server{Log: log}
		protocols := new(http.Protocols)
		protocols.SetUnencryptedHTTP2(true)
		w.serveBy(&http.Server{Handler: s.Handler(), Protocols: protocols, WriteTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second})
		h := w.client()
		h.Transport.(*http.Transport).Protocols = protocols
		c := w.receive(&stream.Client{HTTP: h})
		publish(w, s, "e1")
		for range 2 {
			time.Sleep(time.Minute)
			publish(w, s, "e2")
		}
		require.Equal(w, []string{"e1", "e2", "e2"}, c.got())
		require.Empty(w, c.failures(), "deadlines that passed while nothing was written")

		resp, err := h.Get(url) // a second stream of the connection, which is not read
		require.NoError(w, err)
		defer resp.Body.Close()
		for range 20 {
			publish(w, s, strings.Repeat("x", 1<<20))
		}
		require.Len(w, c.got(), 23, "the first is not held up")
		time.Sleep(10 * time.Second)
		settle()
		require.EqualValues(w, 1, s.Stats().Slow)
		require.EqualValues(w, 1, s.Stats().Streams)
		require.Empty(w, c.failures())
		require.Equal(w, 1, int(w.dials.Load()))
	}, sim.MayDiffer(overHTTP2))
}

// A connection of HTTP/2 that has died must not get the next stream too.
func TestADeadConnectionOfHTTP2IsLeft(t *testing.T) {
	inWorld(t, func(w *world) {
		protocols := new(http.Protocols)
		protocols.SetUnencryptedHTTP2(true)
		s := &script{answers: []http.HandlerFunc{hangs(""), hangs("data: a\n\n")}, start: w.start}
		w.serveBy(&http.Server{Handler: s, Protocols: protocols})
		h := w.client()
		h.Transport.(*http.Transport).Protocols = protocols
		c := w.receive(&stream.Client{HTTP: h})
		time.Sleep(time.Minute)
		require.Equal(w, []string{"a"}, c.got())
		require.Equal(w, 2, int(w.dials.Load()))
	}, sim.MayDiffer(overHTTP2))
}
