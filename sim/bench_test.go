package sim_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// Each benchmark has a reference next to it that runs in the same process. Compare the two: their
// ratio means something, either figure alone means little.

// BenchmarkRoundTrip sends a byte and waits for its echo, 50 ms each way.
func BenchmarkRoundTrip(b *testing.B) {
	for name, opts := range map[string][]sim.Option{"squall": nil, "squall-ManyTimers": {sim.ManyTimers()}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			sim.Bench(func(n *sim.Network) {
				client, server := n.Host("client"), n.Host("server")
				n.Link(client, server, netem.Config{Delay: 50 * ms})
				l, err := server.Listen("tcp", ":7")
				check(err)
				accept(l, echoSmall)
				c, err := client.Dial("tcp", "server:7")
				check(err)
				pingPong(b.N, c)
			}, opts...)
		})
	}
	b.Run("net.Pipe", func(b *testing.B) {
		b.ReportAllocs()
		synctest.Test(new(testing.T), func(*testing.T) {
			c, s := net.Pipe()
			go echoSmall(delayed{s})
			pingPong(b.N, delayed{c})
			c.Close()
		})
	})
}

// BenchmarkEmptyTest measures the cost of a test in which nothing happens, next to a bubble without a network.
func BenchmarkEmptyTest(b *testing.B) {
	b.Run("squall", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			sim.Test(new(testing.T), func(*testing.T, *sim.Network) {})
		}
	})
	b.Run("synctest", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			synctest.Test(new(testing.T), func(*testing.T) {})
		}
	})
}

// delayed sleeps for the time of a transit before each write.
type delayed struct{ net.Conn }

func (d delayed) Write(p []byte) (int, error) {
	time.Sleep(50 * ms)
	return d.Conn.Write(p)
}

func echoSmall(c net.Conn) {
	p := make([]byte, 1)
	for {
		if _, err := c.Read(p); err != nil {
			return
		}
		if _, err := c.Write(p); err != nil {
			return
		}
	}
}

func pingPong(count int, c net.Conn) {
	p := make([]byte, 1)
	for range count {
		_, err := c.Write(p)
		check(err)
		_, err = c.Read(p)
		check(err)
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// BenchmarkBulk moves data through one connection in writes of 64 KiB. Packets have 1500 bytes,
// except on loopback interfaces. With "coalesced", hosts behave as if they had fast network cards.
func BenchmarkBulk(b *testing.B) {
	for name, cfg := range map[string]netem.Config{
		"squall/perfect":             {},
		"squall/perfect-65535":       {MTU: 65535}, // as the reference has it
		"squall/50ms":                {Delay: 50 * ms},
		"squall/50ms-2%":             {Delay: 50 * ms, Loss: netem.Bernoulli(0.02)},
		"squall/1Gbit/5ms":           {Delay: 5 * ms, Rate: netem.Gbit, Queue: netem.DropTail{Packets: 1000}},
		"squall/1Gbit/5ms-coalesced": {Delay: 5 * ms, Rate: netem.Gbit, Queue: netem.DropTail{Packets: 1000}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			sim.Bench(func(n *sim.Network) {
				client, server := n.Host("client"), n.Host("server")
				n.Link(client, server, cfg)
				if strings.HasSuffix(name, "coalesced") {
					client.Coalesce(125 * time.Microsecond)
					server.Coalesce(125 * time.Microsecond)
				}
				l, err := server.Listen("tcp", ":7")
				check(err)
				bulk(b, l, func() (net.Conn, error) { return client.Dial("tcp", "server:7") })
			})
		})
	}
	b.Run("squall/loopback", func(b *testing.B) {
		b.ReportAllocs()
		sim.Bench(func(n *sim.Network) {
			h := n.Host("server")
			l, err := h.Listen("tcp", ":7")
			check(err)
			bulk(b, l, func() (net.Conn, error) { return h.Dial("tcp", "localhost:7") })
		})
	})
	b.Run("loopback", func(b *testing.B) {
		b.ReportAllocs()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		check(err)
		defer l.Close()
		bulk(b, l, func() (net.Conn, error) { return net.Dial("tcp", l.Addr().String()) })
	})
}

func bulk(b *testing.B, l net.Listener, dial func() (net.Conn, error)) {
	const chunk = 64 << 10
	b.SetBytes(chunk)
	done := make(chan int64)
	go func() {
		c, err := l.Accept()
		check(err)
		defer c.Close()
		total := int64(0)
		p := make([]byte, chunk)
		for {
			k, err := c.Read(p)
			total += int64(k)
			if err != nil {
				break
			}
		}
		done <- total
	}()
	c, err := dial()
	check(err)
	p := make([]byte, chunk)
	for range b.N {
		_, err := c.Write(p)
		check(err)
	}
	check(c.Close())
	if total := <-done; total != int64(b.N)*chunk {
		panic(fmt.Sprintf("%d bytes arrived of %d", total, b.N*chunk))
	}
}

// BenchmarkPackets sends datagrams over a path of links. It counts a packet once for each link
// that it passes.
func BenchmarkPackets(b *testing.B) {
	for _, hops := range []int{1, 10} {
		b.Run(fmt.Sprintf("hops=%d", hops), func(b *testing.B) {
			b.ReportAllocs()
			sim.Bench(func(n *sim.Network) {
				client, server := n.Host("client"), n.Host("server")
				chain(n, client, server, hops, netem.Config{Delay: ms, Rate: 10 * netem.Gbit})
				pc, err := server.ListenPacket("udp", ":9")
				check(err)
				c, err := client.Dial("udp", "server:9")
				check(err)
				p := make([]byte, 1000)
				const batch = 100
				for range b.N / batch {
					for range batch {
						_, err := c.Write(p)
						check(err)
					}
					for range batch {
						_, _, err := pc.ReadFrom(p)
						check(err)
					}
				}
			})
			b.ReportMetric(float64(b.N*hops)/b.Elapsed().Seconds(), "packet-hops/s")
		})
	}
}

// chain joins two hosts by a path of hops links with routers between them.
func chain(n *sim.Network, from, to *sim.Host, hops int, cfg netem.Config) {
	var last sim.Node = from
	for i := range hops - 1 {
		r := n.Router(fmt.Sprintf("r%d", i))
		n.Link(last, r, cfg)
		last = r
	}
	n.Link(last, to, cfg)
}

// BenchmarkSegments is BenchmarkPackets for TCP: it sends full segments through ten links.
func BenchmarkSegments(b *testing.B) {
	b.ReportAllocs()
	var segments int64
	sim.Bench(func(n *sim.Network) {
		client, server := n.Host("client"), n.Host("server")
		chain(n, client, server, 10, netem.Config{Delay: ms})
		l, err := server.Listen("tcp", ":7")
		check(err)
		bulk(b, l, func() (net.Conn, error) { return client.Dial("tcp", "server:7") })
		for _, s := range n.Stats().Links {
			segments += s.Sent
		}
	})
	b.ReportMetric(float64(segments)/b.Elapsed().Seconds(), "segment-hops/s")
}

// BenchmarkIdleConnections holds connections that do nothing. It reports the bytes that a pair of endpoints
// takes, without the goroutines that a program would add, and separately the bytes of the trace of its handshake.
// It also reports how many times longer the last few dials took than the first few, in real time. SQUALL_SCALE=1000000 holds
// a million pairs. That takes three gigabytes, because the heap can grow to twice the memory in use.
func BenchmarkIdleConnections(b *testing.B) {
	const perPort, few = 20_000, 10_000
	pairs := max(100_000, most())
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	for range b.N {
		first, last := watch(), watch()
		sim.Bench(func(n *sim.Network) {
			client, server := n.Host("client"), n.Host("server")
			conns := make([]net.Conn, 0, 2*pairs)
			before, goroutines := heap(), runtime.NumGoroutine()
			for port := range pairs / perPort {
				at := fmt.Sprintf(":%d", port+1)
				l, err := server.Listen("tcp", at)
				check(err)
				for range perPort {
					switch len(conns) / 2 {
					case 0:
						first.start()
					case few:
						first.stop()
					case pairs - few:
						runtime.GC() // it would come in the midst of them
						last.start()
					}
					c, err := client.Dial("tcp", "server"+at)
					check(err)
					s, err := l.Accept()
					check(err)
					conns = append(conns, c, s)
				}
			}
			last.stop()
			grown := heap() - before
			trace, each := uint64(min(n.Trace().Len(), 1<<20)*sim.TraceRecord), float64(pairs)
			b.ReportMetric(float64(grown-trace)/each, "B/pair")
			b.ReportMetric(float64(trace)/each, "B/pair-of-trace")
			b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/each, "goroutines/pair")
			runtime.KeepAlive(conns)
		})
		b.ReportMetric(float64(last.elapsed())/float64(first.elapsed()), "x-dial")
	}
}

// BenchmarkHTTP sends requests one after the other over one connection.
func BenchmarkHTTP(b *testing.B) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") })
	run := func(b *testing.B, c *http.Client) {
		for range b.N {
			resp, err := c.Get("http://server/")
			check(err)
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}
	b.Run("squall", func(b *testing.B) {
		sim.Bench(func(n *sim.Network) {
			n.Host("server").ServeHTTP(":80", handler)
			run(b, n.Host("client").HTTPClient())
		})
	})
	b.Run("net.Pipe", func(b *testing.B) {
		synctest.Test(new(testing.T), func(*testing.T) {
			l := pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
			srv := &http.Server{Handler: handler}
			go srv.Serve(l)
			tr := &http.Transport{Dial: func(string, string) (net.Conn, error) {
				c, s := net.Pipe()
				l.conns <- s
				return c, nil
			}}
			run(b, &http.Client{Transport: tr})
			tr.CloseIdleConnections()
			srv.Close()
		})
	})
}

type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l pipeListener) Close() error   { close(l.closed); return nil }
func (l pipeListener) Addr() net.Addr { return &net.TCPAddr{} }
