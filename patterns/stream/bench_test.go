package stream_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/stream"
)

// One event to n streams: what is beneath is a writer that takes all, so this is the
// server's own share. The reference has n handlers that wait on a channel each, and
// write the same bytes.
func BenchmarkBroadcast(b *testing.B) {
	const n = 1000
	data := strings.Repeat("x", 100)
	wire := []byte("id: e9-1\nevent: t\ndata: " + data + "\n\n")
	report := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/stream")
	}
	b.Run("reference", func(b *testing.B) {
		var written atomic.Int64
		ctx, cancel := context.WithCancel(b.Context())
		var done sync.WaitGroup
		wake := make([]chan struct{}, n)
		for i := range wake {
			wake[i] = make(chan struct{}, 1)
			done.Go(func() {
				rc := http.NewResponseController(&sink{header: http.Header{}, written: &written})
				w := &sink{header: http.Header{}, written: &written}
				for {
					select {
					case <-wake[i]:
						rc.SetWriteDeadline(time.Now().Add(time.Minute))
						w.Write(wire)
						rc.Flush()
					case <-ctx.Done():
						return
					}
				}
			})
		}
		want := int64(0)
		for b.Loop() {
			for _, c := range wake {
				c <- struct{}{}
			}
			want += int64(n * len(wire))
			await(&written, want)
		}
		report(b)
		cancel()
		done.Wait()
	})
	for _, e := range encodings[:2] {
		b.Run(e.String(), func(b *testing.B) {
			var written atomic.Int64
			s := &stream.Server{Log: memory()}
			defer s.Log.Close()
			handler := s.Handler()
			ctx, cancel := context.WithCancel(b.Context())
			var done sync.WaitGroup
			for range n {
				done.Go(func() {
					r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/?from=now", nil)
					if e == stream.NDJSON {
						r.Header.Set("Accept", "application/x-ndjson")
					}
					handler.ServeHTTP(&sink{header: http.Header{}, written: &written}, r)
				})
			}
			for s.Log.Stats().Watches < n {
				time.Sleep(time.Millisecond)
			}
			events := int64(0)
			for b.Loop() {
				publish(b, s, data)
				for events += n; s.Stats().Events < events; {
					time.Sleep(10 * time.Microsecond)
				}
			}
			report(b)
			cancel()
			done.Wait()
		})
	}
}

func await(counter *atomic.Int64, want int64) {
	for counter.Load() < want {
		time.Sleep(10 * time.Microsecond)
	}
}

// sink is a response that takes all, with deadlines.
type sink struct {
	header  http.Header
	written *atomic.Int64
}

func (s *sink) Header() http.Header              { return s.header }
func (s *sink) Write(b []byte) (int, error)      { s.written.Add(int64(len(b))); return len(b), nil }
func (s *sink) WriteHeader(int)                  {}
func (s *sink) FlushError() error                { return nil }
func (s *sink) SetWriteDeadline(time.Time) error { return nil }

// The same over TCP on the loopback, until every client has read its event. The
// reference is a handler that writes what comes from a channel to plain responses.
func BenchmarkBroadcastOverTCP(b *testing.B) {
	const n = 100
	data := strings.Repeat("x", 100)
	run := func(b *testing.B, handler http.Handler, ready func() bool, publish func()) {
		server := httptest.NewServer(handler)
		defer server.Close()
		tr := &http.Transport{}
		defer tr.CloseIdleConnections()
		ctx, cancel := context.WithCancel(b.Context())
		var events atomic.Int64
		var done sync.WaitGroup
		for range n {
			done.Go(func() {
				req, _ := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"?from=now", nil)
				resp, err := (&http.Client{Transport: tr}).Do(req)
				if err != nil {
					return
				}
				defer resp.Body.Close()
				lines := bufio.NewScanner(resp.Body)
				for lines.Scan() {
					if bytes.HasPrefix(lines.Bytes(), []byte("data")) {
						events.Add(1)
					}
				}
			})
		}
		for !ready() {
			time.Sleep(time.Millisecond)
		}
		want := int64(0)
		for b.Loop() {
			publish()
			want += n
			await(&events, want)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/stream")
		cancel()
		done.Wait()
	}
	b.Run("reference", func(b *testing.B) {
		var mu sync.Mutex
		var wake []chan []byte
		wire := []byte("id: e9-1\nevent: t\ndata: " + data + "\n\n")
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c := make(chan []byte, 1)
			rc := http.NewResponseController(w)
			rc.Flush()
			mu.Lock()
			wake = append(wake, c)
			mu.Unlock()
			for {
				select {
				case p := <-c:
					w.Write(p)
					rc.Flush()
				case <-r.Context().Done():
					return
				}
			}
		})
		ready := func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(wake) == n
		}
		run(b, handler, ready, func() {
			for _, c := range wake {
				c <- wire
			}
		})
	})
	b.Run("stream", func(b *testing.B) {
		s := &stream.Server{Log: memory()}
		defer s.Log.Close()
		run(b, s.Handler(), func() bool { return s.Log.Stats().Watches == n }, func() { publish(b, s, data) })
	})
}

// The reference only looks for the ends of lines.
func BenchmarkDecoder(b *testing.B) {
	var text []byte
	for i := range 100 {
		text = fmt.Appendf(text, "id: e9-%d\nevent: t\ndata: %s\n\n", i, strings.Repeat("x", 100))
	}
	b.Run("reference", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			lines := bufio.NewScanner(bytes.NewReader(text))
			for lines.Scan() {
				_ = lines.Bytes()
			}
		}
	})
	b.Run("stream", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		events := 0
		for b.Loop() {
			var d stream.Decoder
			if err := d.Feed(text, func(stream.Event) error { events++; return nil }); err != nil {
				b.Fatal(err)
			}
		}
		require.Equal(b, 100*b.N, events)
	})
}
