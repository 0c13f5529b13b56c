package interop

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/push"
)

// BenchmarkPushFanOut has messages of 100 bytes go to 1,000 WebSockets over the machine's
// loopback, one at a time and 32 in a row, until all clients have them: by package push,
// which keeps them in a log, bounds what waits for each client and knows what each has
// acknowledged; and by gorilla/websocket with prepared messages and none of that, in the two
// forms in which hubs are written: a goroutine for each connection that is fed by a channel,
// as in its example, and a loop over all connections, which one slow client would stop. The
// clients read frames and do no more, the same for all three.
//
// Times of a machine with other work say little: run them in turn and compare within a turn,
// or compare the time of the processors:
//
//	go test -run '^$' -bench PushFanOut -count 10 .
func BenchmarkPushFanOut(b *testing.B) {
	for _, row := range []int{1, 32} {
		for _, peer := range []struct {
			name string
			new  func() fanOut
		}{{"push", pushFanOut}, {"gorilla hub", hubFanOut}, {"gorilla loop", loopFanOut}} {
			b.Run(fmt.Sprintf("in a row=%d/%s", row, peer.name), func(b *testing.B) { peer.new().run(b, 1000, row) })
		}
	}
}

// fanOut is a server of WebSockets.
type fanOut struct {
	handler http.Handler
	publish func(data []byte)
	ready   func() int // how many clients it holds
	close   func()
}

func (f fanOut) run(b *testing.B, clients, row int) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	web := &http.Server{Handler: f.handler}
	go web.Serve(l)
	defer web.Close()
	defer f.close()
	var running, pending sync.WaitGroup
	conns := make([]net.Conn, clients)
	for i := range conns {
		conn, err := net.Dial("tcp", l.Addr().String())
		require.NoError(b, err)
		conns[i] = conn
		fmt.Fprintf(conn, "GET /?client=%d&run=r&attempt=1 HTTP/1.1\r\nHost: server\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", i)
		running.Go(func() { readFrames(conn, pending.Done) })
	}
	for f.ready() < clients {
		time.Sleep(time.Millisecond)
	}
	data := make([]byte, 100)
	before := cpuTime()
	for b.Loop() {
		pending.Add(clients * row)
		for range row {
			f.publish(data)
		}
		pending.Wait()
	}
	b.ReportMetric(float64(b.N*clients*row)/b.Elapsed().Seconds(), "messages/s")
	b.ReportMetric(float64((cpuTime()-before).Nanoseconds())/float64(b.N*clients*row), "cpu-ns/message")
	for _, conn := range conns {
		conn.Close()
	}
	running.Wait()
}

// readFrames calls got for each binary frame, and acknowledges every 64th as package push
// wants it.
func readFrames(conn net.Conn, got func()) {
	r := bufio.NewReaderSize(conn, 1<<10)
	for { // the response
		line, err := r.ReadString('\n')
		if err != nil || line == "\r\n" {
			break
		}
	}
	for n := 1; ; n++ {
		var head [2]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return
		}
		length := int(head[1])
		if length == 126 {
			var long [2]byte
			io.ReadFull(r, long[:])
			length = int(binary.BigEndian.Uint16(long[:]))
		}
		if head[0] != 0x82 { // hello
			r.Discard(length)
			n--
			continue
		}
		payload := make([]byte, 16)
		if _, err := io.ReadFull(r, payload); err != nil {
			return
		}
		r.Discard(length - len(payload))
		if n%64 == 0 && payload[0] == 1 {
			offset, _ := binary.Uvarint(payload[1:])
			ack := fmt.Sprintf(`{"type":"ack","offset":%d}`, offset)
			conn.Write(append([]byte{0x81, 0x80 | byte(len(ack)), 0, 0, 0, 0}, ack...)) // masked with zeros
		}
		got()
	}
}

func pushFanOut() fanOut {
	s := &push.Server{
		Log: eventlog.NewMemory(eventlog.Options{MaxEntries: 1000}),
		Authenticate: func(r *http.Request) (access.Identity, error) {
			return access.Identity{Client: r.URL.Query().Get("client"), Topics: []string{"news"}}, nil
		},
	}
	return fanOut{
		handler: s.Handler(),
		publish: func(data []byte) {
			s.Publish(context.Background(), push.Message{Topic: "news", TTL: time.Minute, Data: data})
		},
		ready: func() int { return int(s.Stats().Live) },
		close: func() { s.Close() },
	}
}

// hubFanOut is the hub of gorilla/websocket's example, with prepared messages.
func hubFanOut() fanOut {
	var mu sync.Mutex
	clients := make(map[chan *websocket.PreparedMessage]struct{})
	var upgrader websocket.Upgrader
	return fanOut{
		handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, err := upgrader.Upgrade(w, r, nil)
			if err != nil {
				return
			}
			send := make(chan *websocket.PreparedMessage, 256)
			mu.Lock()
			clients[send] = struct{}{}
			mu.Unlock()
			go func() {
				for m := range send {
					conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
					if conn.WritePreparedMessage(m) != nil {
						conn.Close()
						return
					}
				}
			}()
			for {
				if _, _, err := conn.ReadMessage(); err != nil {
					break
				}
			}
			mu.Lock()
			delete(clients, send)
			close(send)
			mu.Unlock()
			conn.Close()
		}),
		publish: func(data []byte) {
			m, _ := websocket.NewPreparedMessage(websocket.BinaryMessage, data)
			mu.Lock()
			defer mu.Unlock()
			for send := range clients {
				select {
				case send <- m:
				default:
					panic("a client is slow")
				}
			}
		},
		ready: func() int {
			mu.Lock()
			defer mu.Unlock()
			return len(clients)
		},
		close: func() {},
	}
}

// loopFanOut writes to one connection after the other: one that is slow holds up all.
func loopFanOut() fanOut {
	var mu sync.Mutex
	var conns []*websocket.Conn
	var upgrader websocket.Upgrader
	var count atomic.Int64
	return fanOut{
		handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, err := upgrader.Upgrade(w, r, nil)
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			count.Add(1)
			for {
				if _, _, err := conn.ReadMessage(); err != nil {
					conn.Close()
					return
				}
			}
		}),
		publish: func(data []byte) {
			m, _ := websocket.NewPreparedMessage(websocket.BinaryMessage, data)
			mu.Lock()
			defer mu.Unlock()
			for _, conn := range conns {
				conn.WritePreparedMessage(m)
			}
		},
		ready: func() int { return int(count.Load()) },
		close: func() {},
	}
}
