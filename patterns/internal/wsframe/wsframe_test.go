package wsframe_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/internal/wsframe"
	"github.com/squall-sim/squall/sim"
)

// connected runs f with both ends of a WebSocket, over a link with a delay of 1 ms.
func connected(t *testing.T, f func(server *wsframe.Conn, client *websocket.Conn, link *sim.Link), opts ...sim.Option) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		s, c := n.Host("server"), n.Host("client")
		link := n.Link(s, c, netem.Config{Delay: time.Millisecond})
		conns := make(chan *wsframe.Conn)
		s.ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, err := wsframe.Accept(w, r, nil)
			if err == nil {
				conns <- conn
			}
		}))
		client, _, err := websocket.Dial(t.Context(), "ws://server/", &websocket.DialOptions{HTTPClient: c.HTTPClient()})
		require.NoError(t, err)
		client.SetReadLimit(-1)
		server := <-conns
		defer server.CloseNow()
		defer client.CloseNow()
		f(server, client, link)
	}, opts...)
}

// Every form of a frame's length, in one frame and in fragments.
func TestMessagesArriveWhole(t *testing.T) {
	connected(t, func(server *wsframe.Conn, client *websocket.Conn, _ *sim.Link) {
		for _, size := range []int{0, 1, 125, 126, 127, 999, 1000, 1001, 2000, 65_535, 65_536, 100_000} {
			for _, typ := range []websocket.MessageType{websocket.MessageText, websocket.MessageBinary} {
				message := bytes.Repeat([]byte("x"), size)
				frame := wsframe.Append(nil, typ, message)
				require.LessOrEqual(t, len(frame), size+wsframe.MaxHeader)
				go func() {
					server.Send(append(frame, frame...), time.Minute) // two at once
					server.SendMessage(typ, message, 1000, time.Minute)
				}()
				for range 3 {
					gotType, got, err := client.Read(context.Background())
					require.NoError(t, err)
					require.Equal(t, typ, gotType)
					require.Equal(t, message, append([]byte{}, got...), "%d bytes", size)
				}
			}
		}
	})
}

// Pings of both ends, and their answers, go between frames and into none.
func TestControlFramesGoBetweenFrames(t *testing.T) {
	connected(t, func(server *wsframe.Conn, client *websocket.Conn, _ *sim.Link) {
		reading := server.CloseRead(context.Background())
		var all sync.WaitGroup
		all.Go(func() {
			for range 300 {
				require.NoError(t, server.Send(wsframe.Append(nil, websocket.MessageBinary, make([]byte, 3000)), time.Minute))
			}
		})
		all.Go(func() {
			for range 50 {
				require.NoError(t, server.Ping("server", time.Minute))
				time.Sleep(time.Microsecond)
			}
		})
		all.Go(func() {
			for range 50 {
				require.NoError(t, client.Ping(context.Background()))
			}
		})
		for range 300 {
			_, got, err := client.Read(context.Background())
			require.NoError(t, err)
			require.Equal(t, make([]byte, 3000), got)
		}
		go client.Read(context.Background()) // the answers to the rest of its pings
		all.Wait()
		require.NoError(t, reading.Err())
	}, sim.MayDiffer("which of the goroutines that write comes first"))
}

// The client takes nothing, and a write waits. A ping that cannot be written for that is no
// failure, and the time of the write is its own.
func TestPingBehindAWriteThatWaits(t *testing.T) {
	connected(t, func(server *wsframe.Conn, client *websocket.Conn, link *sim.Link) {
		link.Down()
		start := time.Now()
		done := make(chan error)
		go func() {
			done <- server.Send(wsframe.Append(nil, websocket.MessageBinary, make([]byte, 5<<20)), time.Minute)
		}()
		time.Sleep(time.Second)
		require.NoError(t, server.Ping("?", 7*time.Second))
		require.Equal(t, 8*time.Second, time.Since(start))
		err := <-done
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, time.Minute, time.Since(start))
	})
}

// A deadline of one write is none of the control frames after it.
func TestDeadlineEndsWithItsWrite(t *testing.T) {
	connected(t, func(server *wsframe.Conn, client *websocket.Conn, _ *sim.Link) {
		server.CloseRead(context.Background())
		require.NoError(t, server.Send(wsframe.Append(nil, websocket.MessageText, nil), time.Second))
		_, _, err := client.Read(context.Background())
		require.NoError(t, err)
		go client.Read(context.Background())
		time.Sleep(time.Hour)
		require.NoError(t, client.Ping(context.Background()), "the library writes the pong")
	})
}

func TestNothingFollowsAClose(t *testing.T) {
	connected(t, func(server *wsframe.Conn, client *websocket.Conn, _ *sim.Link) {
		reading := server.CloseRead(context.Background())
		client.Close(websocket.StatusNormalClosure, "")
		<-reading.Done()
		require.ErrorIs(t, server.Send(wsframe.Append(nil, websocket.MessageText, nil), time.Minute), net.ErrClosed)
		require.ErrorIs(t, server.Ping("", time.Minute), net.ErrClosed)
	})
}

func TestCutEndsACloseHandshake(t *testing.T) {
	connected(t, func(server *wsframe.Conn, client *websocket.Conn, link *sim.Link) {
		link.Hold() // no answer comes
		start := time.Now()
		time.AfterFunc(time.Second, func() {
			require.ErrorIs(t, server.Send(wsframe.Append(nil, websocket.MessageText, nil), time.Minute), net.ErrClosed)
			server.Cut()
		})
		server.Close(websocket.StatusServiceRestart, "")
		require.Equal(t, time.Second, time.Since(start))
	})
}
