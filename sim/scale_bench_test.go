package sim_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// most is the largest size that the benchmarks below go to: 1,000, or SQUALL_SCALE.
// 100,000 HTTP clients take gigabytes.
func most() int {
	if n, err := strconv.Atoi(os.Getenv("SQUALL_SCALE")); err == nil {
		return n
	}
	return 1_000
}

// A stopwatch measures the real time of something in a bubble, where clocks are virtual. It looks every 100 us.
type stopwatch struct {
	mark atomic.Int32
	laps chan time.Duration
}

// watch starts a stopwatch, outside the bubble.
func watch() *stopwatch {
	w := &stopwatch{laps: make(chan time.Duration, 1)}
	go func() {
		for w.mark.Load() == 0 {
			time.Sleep(100 * time.Microsecond)
		}
		start := time.Now()
		for w.mark.Load() == 1 {
			time.Sleep(100 * time.Microsecond)
		}
		w.laps <- time.Since(start)
	}()
	return w
}

func (w *stopwatch) start() { w.mark.Store(1) }
func (w *stopwatch) stop()  { w.mark.Store(2) }

// elapsed is the time from start to stop. It is called outside the bubble.
func (w *stopwatch) elapsed() time.Duration { return <-w.laps }

// BenchmarkConnections has a growing number of connections, each of which sends a byte and gets it back at an instant
// of its own. The cost of a round trip should not depend on their number.
func BenchmarkConnections(b *testing.B) {
	for _, conns := range []int{100, 1_000, 10_000, 100_000} {
		if conns > most() {
			continue
		}
		b.Run(strconv.Itoa(conns), func(b *testing.B) {
			w := watch()
			rounds := max(2, 40_000/conns)
			sim.Bench(func(n *sim.Network) {
				server := n.Host("server")
				const perPort = 20_000
				for port := 1; port <= 1+conns/perPort; port++ {
					l, err := server.Listen("tcp", fmt.Sprintf(":%d", port))
					check(err)
					accept(l, echoSmall)
				}
				var all sync.WaitGroup
				begin := make(chan struct{})
				for i := range conns {
					client := n.Host(fmt.Sprintf("client%d", i/1000))
					all.Go(func() {
						apart := time.Duration(i) * 10 * time.Microsecond
						time.Sleep(apart)
						c, err := client.Dial("tcp", fmt.Sprintf("server:%d", 1+i/perPort))
						check(err)
						<-begin
						time.Sleep(apart)
						p := make([]byte, 1)
						for range rounds {
							c.Write(p)
							c.Read(p)
							time.Sleep(time.Second)
						}
					})
				}
				time.Sleep(10 * time.Second)
				w.start()
				close(begin)
				all.Wait()
				w.stop()
			}, sim.DefaultLink(netem.Config{Delay: 50 * ms}), sim.ManyTimers())
			b.ReportMetric(float64(w.elapsed().Nanoseconds())/float64(rounds*conns), "ns/roundtrip")
		})
	}
}

func dialEcho(n *sim.Network, client, server *sim.Host, port int) net.Conn {
	at := fmt.Sprintf(":%d", port)
	if l, err := server.Listen("tcp", at); err == nil {
		accept(l, echoSmall)
	}
	c, err := client.Dial("tcp", "server"+at)
	check(err)
	return c
}

// BenchmarkPolling has a client ask every second for an hour, over 20 ms each way. It
// reports how long thirty days would take.
func BenchmarkPolling(b *testing.B) {
	const hour = 3600
	link := sim.DefaultLink(netem.Config{Delay: 20 * ms})
	report := func(b *testing.B) {
		b.ReportMetric(30*24*b.Elapsed().Seconds()/float64(b.N), "s/30days")
	}
	b.Run("a byte over TCP", func(b *testing.B) {
		for range b.N {
			sim.Bench(func(n *sim.Network) {
				c := dialEcho(n, n.Host("client"), n.Host("server"), 7)
				p := make([]byte, 1)
				for range hour {
					time.Sleep(time.Second)
					c.Write(p)
					c.Read(p)
				}
			}, link)
		}
		report(b)
	})
	b.Run("net/http", func(b *testing.B) {
		for range b.N {
			sim.Bench(func(n *sim.Network) {
				n.Host("server").ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "nothing new") }))
				c := n.Host("client").HTTPClient()
				for range hour {
					time.Sleep(time.Second)
					resp, err := c.Get("http://server/")
					check(err)
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			}, link)
		}
		report(b)
	})
}

// BenchmarkWaiters has many clients wait at one HTTP server for one event, which wakes them all. The server is
// net/http's. The clients are net/http's too, or a goroutine each that writes a request and reads the answer. The
// same over net.Pipe shows the cost of net/http and the goroutines alone.
func BenchmarkWaiters(b *testing.B) {
	for _, client := range []string{"net/http", "plain"} {
		for _, waiters := range []int{1_000, 10_000, 100_000} {
			if waiters > most() {
				continue
			}
			b.Run(fmt.Sprintf("%s/%d/squall", client, waiters), func(b *testing.B) {
				w := watch()
				sim.Bench(func(n *sim.Network) {
					waitersAtOnce(b, w, waiters, client, func(h http.Handler) { n.Host("server").ServeHTTP(":80", h) }, func(i int) (*http.Client, func() net.Conn) {
						host := n.Host(fmt.Sprintf("client%d", i))
						return host.HTTPClient(), func() net.Conn {
							c, err := host.Dial("tcp", "server:80")
							check(err)
							return c
						}
					})
				}, sim.DefaultLink(netem.Config{Delay: 50 * ms}), sim.ManyTimers())
				b.ReportMetric(float64(w.elapsed().Microseconds())/float64(waiters), "us/wake")
			})
			b.Run(fmt.Sprintf("%s/%d/net.Pipe", client, waiters), func(b *testing.B) {
				w := watch()
				synctest.Test(new(testing.T), func(*testing.T) {
					l := pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
					var srv http.Server
					waitersAtOnce(b, w, waiters, client, func(h http.Handler) {
						srv.Handler = h
						go srv.Serve(l)
					}, func(int) (*http.Client, func() net.Conn) {
						dial := func() net.Conn {
							c, s := net.Pipe()
							l.conns <- s
							return c
						}
						return &http.Client{Transport: &http.Transport{Dial: func(string, string) (net.Conn, error) { return dial(), nil }}}, dial
					})
					srv.Close()
				})
				b.ReportMetric(float64(w.elapsed().Microseconds())/float64(waiters), "us/wake")
			})
		}
	}
}

// waitersAtOnce serves a handler at which clients wait, of net/http or plain, and reports what memory they take.
func waitersAtOnce(b *testing.B, w *stopwatch, waiters int, client string, serve func(http.Handler), dialler func(i int) (*http.Client, func() net.Conn)) {
	news := make(chan struct{})
	var parked atomic.Int64
	serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		parked.Add(1)
		<-news
		io.WriteString(w, "news")
	}))
	var before, during runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var all sync.WaitGroup
	for i := range waiters {
		c, dial := dialler(i)
		all.Go(func() {
			time.Sleep(time.Duration(i) * 10 * time.Microsecond)
			if client == "plain" {
				waitPlainly(dial())
				return
			}
			resp, err := c.Get("http://server/")
			check(err)
			_, err = io.Copy(io.Discard, resp.Body)
			check(err)
			resp.Body.Close()
			c.CloseIdleConnections()
		})
	}
	time.Sleep(time.Minute)
	if k := parked.Load(); k != int64(waiters) {
		panic(fmt.Sprintf("%d of %d requests have reached the server", k, waiters))
	}
	runtime.GC()
	runtime.ReadMemStats(&during)
	b.ReportMetric(float64(during.HeapInuse+during.StackInuse-before.HeapInuse-before.StackInuse)/float64(waiters), "B/waiter")
	b.ReportMetric(float64(during.Sys)/1e9, "GB")
	w.start()
	close(news)
	all.Wait()
	w.stop()
}

// waitPlainly sends a request and reads the answer.
func waitPlainly(c net.Conn) {
	defer c.Close()
	_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: server\r\n\r\n")
	check(err)
	var first [1]byte
	_, err = c.Read(first[:])
	check(err)
	resp, err := http.ReadResponse(bufio.NewReaderSize(io.MultiReader(bytes.NewReader(first[:]), c), 256), nil)
	check(err)
	_, err = io.Copy(io.Discard, resp.Body)
	check(err)
}
