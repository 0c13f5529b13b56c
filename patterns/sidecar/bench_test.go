package sidecar_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/sidecar"
)

// What stands between a client and a server, for the benchmark. Each gets the server's address and returns its own.
var between = []struct {
	name  string
	begin func(b testing.TB, server string) string
}{
	{"direct", func(_ testing.TB, server string) string { return server }},
	{"splice", spliceTo},
	{"ReverseProxy", reverseProxyTo},
	{"sidecar", sidecarTo},
	{"sidecar TCP", func(b testing.TB, server string) string {
		return serveOnLoopback(b, &sidecar.Proxy{Config: sidecar.Config{TCP: &sidecar.Upstream{Name: "app", Addrs: []string{server}}}})
	}},
}

func sidecarTo(b testing.TB, server string) string {
	return serveOnLoopback(b, &sidecar.Proxy{Config: sidecar.Config{Routes: []sidecar.Route{{Upstream: &sidecar.Upstream{Name: "app", Addrs: []string{server}}}}}})
}

func serveOnLoopback(b testing.TB, p *sidecar.Proxy) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	done := make(chan error, 1)
	go func() { done <- p.Serve(l) }()
	b.Cleanup(func() {
		p.Close()
		require.ErrorIs(b, <-done, sidecar.ErrClosed)
	})
	return l.Addr().String()
}

// spliceTo copies bytes, as cheaply as that can be done.
func spliceTo(b testing.TB, server string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer client.Close()
				up, err := net.Dial("tcp", server)
				if err != nil {
					return
				}
				defer up.Close()
				go func() { io.Copy(up, client); up.Close() }()
				io.Copy(client, up)
			}()
		}
	}()
	return l.Addr().String()
}

func reverseProxyTo(b testing.TB, server string) string {
	target, err := url.Parse("http://" + server)
	require.NoError(b, err)
	transport := &http.Transport{MaxIdleConnsPerHost: 1000}
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, Transport: transport,
	})
	b.Cleanup(func() { proxy.Close(); transport.CloseIdleConnections() })
	return proxy.Listener.Addr().String()
}

// A GET of five bytes over the loopback: the time that the processors of this process worked for a request, client and server included, and how long one took. The workers take turns in
// short rounds of all contenders, so that what else the machine does meets all of them alike.
func BenchmarkRequest(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
	defer server.Close()
	for _, workers := range []int{1, 16} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			type contender struct {
				name, url string
				client    *http.Client
				cpu       time.Duration
				requests  int
				latencies []time.Duration
			}
			var all []*contender
			for _, s := range between {
				transport := &http.Transport{MaxIdleConnsPerHost: 1000}
				defer transport.CloseIdleConnections()
				all = append(all, &contender{name: s.name, url: "http://" + s.begin(b, server.Listener.Addr().String()), client: &http.Client{Transport: transport}})
			}
			const round = 400
			for b.Loop() {
				for _, c := range all {
					took := make([][]time.Duration, workers)
					before := cpuTime()
					var done sync.WaitGroup
					for w := range workers {
						done.Go(func() {
							for range round / workers {
								start := time.Now()
								resp, err := c.client.Get(c.url)
								if err != nil {
									b.Error(err)
									return
								}
								io.Copy(io.Discard, resp.Body)
								resp.Body.Close()
								took[w] = append(took[w], time.Since(start))
							}
						})
					}
					done.Wait()
					c.cpu += cpuTime() - before
					c.requests += round / workers * workers
					c.latencies = append(c.latencies, slices.Concat(took...)...)
				}
			}
			for _, c := range all {
				slices.Sort(c.latencies)
				b.ReportMetric(float64(c.cpu.Nanoseconds())/1e3/float64(c.requests), strings.ReplaceAll(c.name, " ", "-")+"-cpu-us")
				b.ReportMetric(float64(c.latencies[len(c.latencies)/2].Nanoseconds())/1e3, strings.ReplaceAll(c.name, " ", "-")+"-p50-us")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
