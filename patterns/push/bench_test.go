package push_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/push"
)

// BenchmarkFanOut is one message to n clients, until all have it, over loopback
// TCP: the server against a bare loop of WebSocket writes, which has no log, no
// queues and no heartbeat.
func BenchmarkFanOut(b *testing.B) {
	for _, n := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("server/clients=%d", n), func(b *testing.B) {
			log := eventlog.NewMemory(eventlog.Options{MaxEntries: 1000})
			srv := &push.Server{Log: log, Authenticate: withTopics("t")}
			defer srv.Close()
			fanOut(b, n, srv.Handler(), func(data []byte) {
				_, err := srv.Publish(context.Background(), push.Message{Topic: "t", TTL: time.Minute, Data: data})
				require.NoError(b, err)
			}, func() int { return int(srv.Stats().Live) })
		})
		b.Run(fmt.Sprintf("bare writes/clients=%d", n), func(b *testing.B) {
			var mu sync.Mutex
			var conns []*websocket.Conn
			accept := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				conn, err := websocket.Accept(w, r, nil)
				require.NoError(b, err)
				conn.Write(context.Background(), websocket.MessageText, []byte("{}"))
				mu.Lock()
				conns = append(conns, conn)
				mu.Unlock()
				for {
					if _, _, err := conn.Read(context.Background()); err != nil {
						conn.CloseNow()
						return
					}
				}
			})
			fanOut(b, n, accept, func(data []byte) {
				for _, conn := range conns {
					require.NoError(b, conn.Write(context.Background(), websocket.MessageBinary, data))
				}
			}, func() int {
				mu.Lock()
				defer mu.Unlock()
				return len(conns)
			})
		})
	}
}

func fanOut(b *testing.B, n int, h http.Handler, publish func([]byte), ready func() int) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	web := &http.Server{Handler: h}
	go web.Serve(l)
	defer web.Close()
	var all, one sync.WaitGroup
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	conns := make([]*websocket.Conn, n)
	for i := range conns {
		conn, _, err := websocket.Dial(context.Background(), fmt.Sprintf("ws://%s/?client=%d", l.Addr(), i), &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
		require.NoError(b, err)
		conns[i] = conn
		_, _, err = conn.Read(context.Background()) // hello
		require.NoError(b, err)
		all.Go(func() {
			for k := 1; ; k++ {
				if _, _, err := conn.Read(context.Background()); err != nil {
					return
				}
				one.Done()
				if k%100 == 0 {
					ack := fmt.Sprintf(`{"type":"ack","offset":%d}`, k)
					conn.Write(context.Background(), websocket.MessageText, []byte(ack))
				}
			}
		})
	}
	for ready() < n {
		time.Sleep(time.Millisecond)
	}
	data := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		one.Add(n)
		publish(data)
		one.Wait()
	}
	b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "messages/s")
	for _, conn := range conns {
		conn.CloseNow()
	}
	all.Wait()
}
