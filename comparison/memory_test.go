package comparison

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/internal/systems"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/longpoll"
	"github.com/squall-sim/squall/patterns/pubsub"
	"github.com/squall-sim/squall/patterns/push"
	"github.com/squall-sim/squall/patterns/shortpoll"
	"github.com/squall-sim/squall/patterns/stream"
)

// What a server's memory grows by with each client that waits: on the real heap, over TCP
// on the loopback, in real time. It is the one part of the comparison that depends on the
// machine, and nothing asserts it.

// A waiting serves on a listener, and says what a client sends that then waits.
type waiting func(l net.Listener) (request func(i int) string, end func())

// keptConnection is short polling between two polls.
func keptConnection(l net.Listener) (func(int) string, func()) {
	feed := &shortpoll.Server{Log: eventlog.NewMemory(eventlog.Options{})}
	return func(int) string { return get("/?cursor=" + feed.Log.Head().String()) }, serveOver(l, feed.Handler(), func() {})
}

func parkedPoll(l net.Listener) (func(int) string, func()) {
	feed := &longpoll.Server{Log: eventlog.NewMemory(eventlog.Options{})}
	return func(int) string { return get("/?wait=10m&cursor=" + feed.Log.Head().String()) }, serveOver(l, feed.Handler(), func() { feed.Close() })
}

func pushSession(l net.Listener) (func(int) string, func()) {
	server := &push.Server{Authenticate: systems.TrustEverybody}
	return func(i int) string {
		return get(fmt.Sprintf("/?client=c%d", i), "Connection: Upgrade", "Upgrade: websocket",
			"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
	}, serveOver(l, server.Handler(), func() { server.Close() })
}

func openStream(l net.Listener) (func(int) string, func()) {
	server := &stream.Server{Log: eventlog.NewMemory(eventlog.Options{})}
	return func(int) string { return get("/", "Accept: text/event-stream") }, serveOver(l, server.Handler(), func() { server.Drain(context.Background()) })
}

// brokerSession is a client with one subscription, in the frames of package pubsub.
func brokerSession(l net.Listener) (func(int) string, func()) {
	b := &pubsub.Broker{}
	go b.Serve(l)
	frame := func(text string) string {
		return string(binary.BigEndian.AppendUint32(nil, uint32(1+len(text)))) + "c" + text
	}
	return func(i int) string {
		return frame(fmt.Sprintf(`{"type":"hello","version":2,"client":"c%d","run":"1","attempt":1}`, i)) +
			frame(fmt.Sprintf(`{"type":"subscribe","sub":1,"options":{"filter":"news","name":"c%d"}}`, i))
	}, func() { b.Close() }
}

func get(target string, header ...string) string {
	return "GET " + target + " HTTP/1.1\r\nHost: server\r\n" + strings.Join(append(header, "", ""), "\r\n")
}

// serveOver serves HTTP, and returns what ends that.
func serveOver(l net.Listener, h http.Handler, drain func()) (end func()) {
	server := &http.Server{Handler: h}
	go server.Serve(l)
	return func() { drain(); server.Close() }
}

const waitingClients = 2000

// memoryOf returns the bytes of heap and stacks per waiting client, and the goroutines.
// The client's own end, half of what a bare pair of connections takes, is left out.
func memoryOf(t testing.TB, w waiting) (bytes, goroutines float64) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	request, end := w(l)
	defer end()
	connect := func(from, to int) (all []net.Conn) {
		for i := from; i < to; i++ {
			c, err := net.Dial("tcp", l.Addr().String())
			require.NoError(t, err)
			_, err = c.Write([]byte(request(i)))
			require.NoError(t, err)
			all = append(all, c)
		}
		time.Sleep(300 * time.Millisecond)
		return all
	}
	warm := connect(0, 20)
	before, goroutinesBefore := heapNow(), runtime.NumGoroutine()
	all := connect(20, 20+waitingClients)
	after, goroutinesAfter := heapNow(), runtime.NumGoroutine()
	for _, c := range append(all, warm...) {
		c.Close()
	}
	return float64(after-before)/waitingClients - barePair(t)/2, float64(goroutinesAfter-goroutinesBefore) / waitingClients
}

// barePair is what two ends of a connection take that nobody reads or writes.
func barePair(t testing.TB) float64 {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	before := heapNow()
	all := make([]net.Conn, 0, 2*waitingClients)
	for range waitingClients {
		c, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		s, err := l.Accept()
		require.NoError(t, err)
		all = append(all, c, s)
	}
	after := heapNow()
	for _, c := range all {
		c.Close()
	}
	return float64(after-before) / waitingClients
}

func heapNow() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

type memoryFigures struct{ bytes, goroutines float64 }

// memoryOfAll measures the contenders, by name.
func memoryOfAll(t testing.TB) map[string]memoryFigures {
	all := map[string]memoryFigures{}
	for _, c := range contenders {
		var f memoryFigures
		if c.wait != nil {
			f.bytes, f.goroutines = memoryOf(t, c.wait)
		}
		all[c.name] = f
	}
	return all
}

// BenchmarkMemoryPerWaitingClient reports what the document has, for this machine.
func BenchmarkMemoryPerWaitingClient(b *testing.B) {
	for _, c := range contenders {
		if c.wait == nil {
			continue
		}
		b.Run(c.name, func(b *testing.B) {
			var bytes, goroutines float64
			for b.Loop() {
				bytes, goroutines = memoryOf(b, c.wait)
			}
			b.ReportMetric(bytes, "B/client")
			b.ReportMetric(goroutines, "goroutines/client")
		})
	}
}
