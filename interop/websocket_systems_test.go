package interop

import (
	"context"
	"net/http"
	"time"

	"github.com/gorilla/websocket"

	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/sim"
)

// gorillaHub is gorilla/websocket used as its chat example has it, from which many
// servers began: a hub with a queue per client, and clients that come back after a
// while. Its times and sizes are those of the example, except as a row says.
type gorillaHub struct {
	joins bool // messages that wait are joined by a line feed into one, as in the example
}

const (
	hubQueue      = 256
	hubWriteWait  = 10 * time.Second
	hubPongWait   = 60 * time.Second
	hubPingPeriod = hubPongWait * 9 / 10
)

type hub struct {
	publish     chan []byte
	enter, exit chan chan []byte
	done        chan struct{}
}

func (h *hub) run() {
	clients := map[chan []byte]bool{}
	leave := func(c chan []byte) {
		if clients[c] {
			delete(clients, c)
			close(c)
		}
	}
	for {
		select {
		case c := <-h.enter:
			clients[c] = true
		case c := <-h.exit:
			leave(c)
		case m := <-h.publish:
			for c := range clients {
				select {
				case c <- m:
				default:
					leave(c) // too slow
				}
			}
		case <-h.done:
			for c := range clients {
				leave(c)
			}
			return
		}
	}
}

func (g gorillaHub) serve(h *hub, w http.ResponseWriter, r *http.Request) {
	up := websocket.Upgrader{}
	c, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	queue := make(chan []byte, hubQueue)
	select {
	case h.enter <- queue:
	case <-h.done:
		c.Close()
		return
	}
	go g.write(c, queue)
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(hubPongWait))
	c.SetPongHandler(func(string) error { return c.SetReadDeadline(time.Now().Add(hubPongWait)) })
	for {
		if _, _, err := c.ReadMessage(); err != nil {
			select {
			case h.exit <- queue:
			case <-h.done:
			}
			return
		}
	}
}

func (g gorillaHub) write(c *websocket.Conn, queue chan []byte) {
	defer c.Close()
	ping := time.NewTicker(hubPingPeriod)
	defer ping.Stop()
	for {
		select {
		case m, open := <-queue:
			c.SetWriteDeadline(time.Now().Add(hubWriteWait))
			if !open {
				c.WriteMessage(websocket.CloseMessage, nil)
				return
			}
			for range len(queue) {
				if !g.joins {
					break
				}
				m = append(append(m[:len(m):len(m)], '\n'), <-queue...)
			}
			if c.WriteMessage(websocket.TextMessage, m) != nil {
				return
			}
		case <-ping.C:
			c.SetWriteDeadline(time.Now().Add(hubWriteWait))
			if c.WriteMessage(websocket.PingMessage, nil) != nil {
				return
			}
		}
	}
}

func (g gorillaHub) on(n *sim.Network) patterntest.System {
	var server patterntest.Current[*hub]
	return patterntest.System{
		Serve: func(ctx context.Context, host *sim.Host, folder string) error {
			h := &hub{make(chan []byte), make(chan chan []byte), make(chan chan []byte), make(chan struct{})}
			go h.run()
			defer close(h.done)
			defer server.Set(h)()
			return patterntest.ServeHTTP(ctx, host, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { g.serve(h, w, r) }))
		},
		Publish: func(data string) error {
			h, up := server.Get()
			if !up {
				return patterntest.ErrDown
			}
			select {
			case h.publish <- []byte(data):
				return nil
			case <-h.done:
				return patterntest.ErrDown
			}
		},
		Receive: func(ctx context.Context, h *sim.Host, name string, r patterntest.Receiver) error {
			for random := n.Rand(name); ctx.Err() == nil; {
				receiveGorilla(ctx, h, r)
				sleep(ctx, time.Second+time.Duration(random.Int64N(int64(4*time.Second))))
			}
			return nil
		},
		Bound: time.Second,
	}
}

func receiveGorilla(ctx context.Context, h *sim.Host, r patterntest.Receiver) {
	d := websocket.Dialer{NetDialContext: h.DialContext, HandshakeTimeout: 30 * time.Second}
	c, _, err := d.DialContext(ctx, "ws://server/", nil)
	if err != nil {
		return
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	answer := c.PingHandler()
	c.SetReadDeadline(time.Now().Add(hubPongWait))
	c.SetPingHandler(func(data string) error {
		c.SetReadDeadline(time.Now().Add(hubPongWait))
		return answer(data)
	})
	for {
		_, m, err := c.ReadMessage()
		if err != nil {
			return
		}
		r.Event(string(m))
	}
}
