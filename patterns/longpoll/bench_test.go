package longpoll_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/longpoll"
)

// One poll that finds an event, over TCP on the loopback. The reference is a
// handler that only writes the same bytes.
func BenchmarkPoll(b *testing.B) {
	feed := &longpoll.Server{Log: memory()}
	publish(b, feed, "x")
	body := []byte(`{"cursor":"e9-1","events":[{"offset":1,"topic":"t","time":"2026-01-01T00:00:00.000000000Z","data":"eA=="}]}`)
	for _, c := range []struct {
		name    string
		handler http.Handler
	}{
		{"reference", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(body) })},
		{"feed", feed.Handler()},
	} {
		b.Run(c.name, func(b *testing.B) {
			server := httptest.NewServer(c.handler)
			defer server.Close()
			buf := make([]byte, 1000)
			for b.Loop() {
				resp, err := server.Client().Get(server.URL + "?cursor=e9-0")
				require.NoError(b, err)
				for err == nil {
					_, err = resp.Body.Read(buf)
				}
				resp.Body.Close()
			}
		})
	}
}

// LP-17: one write wakes n parked polls, each of which writes its answer. No
// sockets: this is the feed's own share. The reference wakes goroutines that have
// nothing to do.
func BenchmarkWakeParked(b *testing.B) {
	const n = 10_000
	report := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/poll")
	}
	b.Run("reference", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			var parked, done sync.WaitGroup
			wake := make(chan struct{})
			parked.Add(n)
			for range n {
				done.Go(func() { parked.Done(); <-wake })
			}
			parked.Wait()
			b.StartTimer()
			close(wake)
			done.Wait()
		}
		report(b)
	})
	b.Run("feed", func(b *testing.B) {
		feed := &longpoll.Server{Log: memory(), MaxClients: n}
		handler := feed.Handler()
		for b.Loop() {
			b.StopTimer()
			var done sync.WaitGroup
			head := feed.Log.Head()
			for range n {
				done.Go(func() {
					r := httptest.NewRequest(http.MethodGet, fmt.Sprintf("/?wait=10m&cursor=%s", head), nil)
					handler.ServeHTTP(&sink{header: http.Header{}}, r)
				})
			}
			for feed.Log.Stats().Watches < n {
				time.Sleep(time.Millisecond)
			}
			b.StartTimer()
			_, err := feed.Publish(b.Context(), "t", []byte("x"))
			require.NoError(b, err)
			done.Wait()
		}
		report(b)
		require.EqualValues(b, feed.Stats().Answers, b.N*n)
	})
}

type sink struct{ header http.Header }

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }
func (s *sink) WriteHeader(int)             {}
