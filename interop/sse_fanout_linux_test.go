package interop

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	r3labs "github.com/r3labs/sse/v2"
	"github.com/stretchr/testify/require"
	gosse "github.com/tmaxmax/go-sse"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/stream"
)

// sseFanOuts are servers of Server-Sent Events, each as its documentation shows, that pass on
// what is published to all.
var sseFanOuts = []struct {
	name  string
	start func(b *testing.B) (h http.Handler, publish func(data string))
}{
	{"stream", func(b *testing.B) (http.Handler, func(string)) {
		log := eventlog.NewMemory(eventlog.Options{})
		b.Cleanup(func() { log.Close() })
		s := &stream.Server{Log: log}
		return s.Handler(), func(data string) {
			if _, err := s.Publish(context.Background(), "news", []byte(data)); err != nil {
				b.Error(err)
			}
		}
	}},
	{"go-sse", func(b *testing.B) (http.Handler, func(string)) {
		s := &gosse.Server{}
		b.Cleanup(func() { s.Shutdown(b.Context()) })
		return s, func(data string) {
			m := &gosse.Message{Type: gosse.Type("news")}
			m.AppendData(data)
			if err := s.Publish(m); err != nil {
				b.Error(err)
			}
		}
	}},
	{"r3labs", func(b *testing.B) (http.Handler, func(string)) {
		s := r3labs.New()
		s.AutoReplay = false
		s.CreateStream("news")
		b.Cleanup(s.Close)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.URL.RawQuery = "stream=news"
			s.ServeHTTP(w, r)
		}), func(data string) { s.Publish("news", &r3labs.Event{Event: []byte("news"), Data: []byte(data)}) }
	}},
}

// BenchmarkFanOut publishes events of 100 bytes to 1,000 clients over the operating system's loopback,
// one after the other when all have the one before, or ten or a hundred at once. It reports the time
// for each event at each client. The clients are sockets that one thread reads, so that most
// of what is measured is the server.
func BenchmarkFanOut(b *testing.B) {
	const clients = 1000
	for _, burst := range []int{1, 10, 100} {
		for _, server := range sseFanOuts {
			b.Run(fmt.Sprintf("%s/%d", server.name, burst), func(b *testing.B) {
				handler, publish := server.start(b)
				l, err := net.Listen("tcp", "127.0.0.1:0")
				require.NoError(b, err)
				srv := &http.Server{Handler: handler}
				go srv.Serve(l)
				defer srv.Close()
				crowd := dialSSE(b, l.Addr().(*net.TCPAddr).Port, clients)
				defer crowd.close()

				data := strings.Repeat("x", 99) + "!"
				// What was published before a client is known to its server goes past it.
				for crowd.events.Load() == 0 || !crowd.settled(clients) {
					publish(data)
					time.Sleep(100 * time.Millisecond)
				}
				before, cpu := crowd.events.Load(), cpuTime()
				for b.Loop() {
					for range burst {
						publish(data)
					}
					before += int64(burst * clients)
					crowd.await(b, before)
				}
				deliveries := float64(b.N * burst * clients)
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/deliveries, "ns/event")
				b.ReportMetric(float64(cpuTime()-cpu)/deliveries, "cpu-ns/event")
			})
		}
	}
}

// cpuTime is what the process has taken so far, of servers and clients together.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// An sseCrowd counts the events, by their exclamation marks, that arrive at many sockets.
type sseCrowd struct {
	fds    []int
	poll   int
	events atomic.Int64
	last   int64
	done   chan struct{}
}

func dialSSE(b *testing.B, port, clients int) *sseCrowd {
	poll, err := syscall.EpollCreate1(0)
	require.NoError(b, err)
	c := &sseCrowd{poll: poll, done: make(chan struct{})}
	for range clients {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
		require.NoError(b, err)
		c.fds = append(c.fds, fd)
		require.NoError(b, syscall.Connect(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}))
		_, err = syscall.Write(fd, []byte("GET /?from=now HTTP/1.1\r\nHost: server\r\nAccept: text/event-stream\r\n\r\n"))
		require.NoError(b, err)
		require.NoError(b, syscall.SetNonblock(fd, true))
		require.NoError(b, syscall.EpollCtl(poll, syscall.EPOLL_CTL_ADD, fd,
			&syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)}))
	}
	go c.read()
	return c
}

func (c *sseCrowd) read() {
	defer close(c.done)
	ready := make([]syscall.EpollEvent, 256)
	buf := make([]byte, 64<<10)
	for {
		n, err := syscall.EpollWait(c.poll, ready, -1)
		if err != nil && err != syscall.EINTR {
			return
		}
		for _, e := range ready[:max(n, 0)] {
			if int(e.Fd) == c.fds[0] && e.Events&^syscall.EPOLLIN != 0 {
				return
			}
			k, err := syscall.Read(int(e.Fd), buf)
			if err == nil && k == 0 {
				return
			}
			c.events.Add(int64(bytes.Count(buf[:max(k, 0)], []byte{'!'})))
		}
	}
}

// settled reports whether all have got the last event.
func (c *sseCrowd) settled(clients int) bool {
	now := c.events.Load()
	defer func() { c.last = now }()
	return now-c.last == int64(clients)
}

func (c *sseCrowd) await(b *testing.B, events int64) {
	for deadline := time.Now().Add(time.Minute); c.events.Load() < events; time.Sleep(20 * time.Microsecond) {
		if time.Now().After(deadline) {
			b.Fatalf("%d events after a minute, want %d", c.events.Load(), events)
		}
	}
}

func (c *sseCrowd) close() {
	for _, fd := range c.fds {
		syscall.Shutdown(fd, syscall.SHUT_RDWR)
	}
	<-c.done
	for _, fd := range c.fds {
		syscall.Close(fd)
	}
	syscall.Close(c.poll)
}
