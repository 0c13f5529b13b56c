package shortpoll_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/longpoll"
	"github.com/squall-sim/squall/patterns/shortpoll"
)

// Over real connections: TCP on the loopback, in real time.

var httpVersions = []struct {
	name  string
	start func(*httptest.Server)
}{
	{"HTTP/1.1", (*httptest.Server).Start},
	{"HTTP/2", func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() }},
}

func TestOverTCP(t *testing.T) {
	for _, v := range httpVersions {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel() // a job's first poll is a real second after its submission
			feed := &shortpoll.Server{MaxEvents: 10}
			jobs := &shortpoll.Jobs{Run: takes(5 * ms)}
			mux := http.NewServeMux()
			mux.Handle("/events", feed.Handler())
			mux.Handle("/jobs/", jobs.Handler())
			defer jobs.Close()
			server := httptest.NewUnstartedServer(mux)
			v.start(server)
			defer server.Close()
			const clients, events = 8, 100

			enough := errors.New("enough")
			var wg sync.WaitGroup
			got := make([][]string, clients)
			for i := range clients {
				wg.Go(func() {
					c := &shortpoll.Client{URL: server.URL + "/events", HTTP: server.Client(), Interval: 5 * ms}
					err := c.Run(within(t, time.Minute), func(_ context.Context, b shortpoll.Batch) error {
						for _, e := range b.Events {
							got[i] = append(got[i], string(e.Data))
						}
						if len(got[i]) == events {
							return enough
						}
						return nil
					})
					if err != enough {
						t.Error(err)
					}
				})
				wg.Go(func() {
					c := &shortpoll.Client{URL: server.URL + "/jobs", HTTP: server.Client(), Interval: 5 * ms}
					id := fmt.Sprint("job", i%2) // two submit the same
					job, err := c.Submit(within(t, time.Minute), id, []byte(id))
					if err != nil {
						t.Error(err)
						return
					}
					done, err := c.Wait(within(t, time.Minute), job)
					if err != nil || string(done.Result) != string(turned([]byte(id))) {
						t.Error(done, err)
					}
				})
			}
			var all []string
			for i := range events {
				all = append(all, fmt.Sprint(i))
				publish(t, feed, all[i])
				time.Sleep(100 * time.Microsecond)
			}
			wg.Wait()
			for i := range clients {
				require.Equal(t, all, got[i])
			}
			require.EqualValues(t, 2, jobs.Stats().Kept)
		})
	}
}

// A feed of long polling answers short polls as well, and the other way round: they are
// one protocol.
func TestLongAndShortPollingAreOneProtocol(t *testing.T) {
	log := memory()
	long, short := &longpoll.Server{Log: log}, &shortpoll.Server{Log: log}
	_, err := short.Publish(t.Context(), "t", []byte("x"))
	require.NoError(t, err)
	enough := errors.New("enough")

	servers := []*httptest.Server{httptest.NewServer(long.Handler()), httptest.NewServer(short.Handler())}
	for _, server := range servers {
		defer server.Close()
		var got []string
		take := func(_ context.Context, b shortpoll.Batch) error { // which is a longpoll.Batch, too
			got = append(got, string(b.Events[0].Data))
			return enough
		}
		sc := &shortpoll.Client{URL: server.URL + "?wait=0s", HTTP: server.Client(), Interval: 10 * ms}
		sc.From = at(0)
		require.Equal(t, enough, sc.Run(within(t, time.Minute), take))
		lc := &longpoll.Client{URL: server.URL, HTTP: server.Client(), From: at(0)}
		require.Equal(t, enough, lc.Run(within(t, time.Minute), take))
		require.Equal(t, []string{"x", "x"}, got)
	}
}
