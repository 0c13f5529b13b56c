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

// A contender is what stands in between, and for each round of requests that went through it how long the processors of this process worked for one, client and server included, and how
// long the median one took.
type contender struct {
	name, url string
	client    *http.Client
	cpu, took []float64 // µs
}

// round makes requests by workers that each make them one after the other.
func (c *contender) round(b *testing.B, workers, requests int) {
	took := make([][]float64, workers)
	before := cpuTime()
	var done sync.WaitGroup
	for w := range workers {
		done.Go(func() {
			for range requests / workers {
				start := time.Now()
				resp, err := c.client.Get(c.url)
				if err != nil {
					b.Error(err)
					return
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				took[w] = append(took[w], float64(time.Since(start).Nanoseconds())/1e3)
			}
		})
	}
	done.Wait()
	c.cpu = append(c.cpu, float64((cpuTime()-before).Nanoseconds())/1e3/float64(requests/workers*workers))
	c.took = append(c.took, median(slices.Concat(took...), 2))
}

// median returns the value that a half is below, or another part of them.
func median(values []float64, part int) float64 {
	slices.Sort(values)
	return values[len(values)/part]
}

// A GET of five bytes over the loopback. All contenders take turns in rounds of a few milliseconds, and the figures are those that a quarter of the rounds are below: what else the machine does then meets all of them alike, or not at all. The
// ratios are of the processors' work to that without a proxy, and of what the median request takes longer to what it does with a proxy that only copies bytes.
func BenchmarkRequest(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
	defer server.Close()
	for _, load := range []struct{ workers, requests int }{{1, 20}, {16, 160}} {
		b.Run(fmt.Sprintf("workers=%d", load.workers), func(b *testing.B) {
			var all []*contender
			for _, s := range between {
				transport := &http.Transport{MaxIdleConnsPerHost: 1000}
				defer transport.CloseIdleConnections()
				c := &contender{name: strings.ReplaceAll(s.name, " ", "-"), url: "http://" + s.begin(b, server.Listener.Addr().String()), client: &http.Client{Transport: transport}}
				c.round(b, load.workers, load.requests) // which connects
				c.cpu, c.took = nil, nil
				all = append(all, c)
			}
			for b.Loop() {
				for _, c := range all {
					c.round(b, load.workers, load.requests)
				}
			}
			direct, splice := all[0], all[1]
			for _, c := range all {
				cpu, took := median(c.cpu, 4), median(c.took, 4)
				b.ReportMetric(cpu, c.name+"-cpu-us")
				b.ReportMetric(took, c.name+"-p50-us")
				b.ReportMetric(cpu/median(direct.cpu, 4), c.name+"-cpu-x")
				b.ReportMetric((took-median(direct.took, 4))/(median(splice.took, 4)-median(direct.took, 4)), c.name+"-added-p50-x")
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
