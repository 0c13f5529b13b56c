package interop

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/push"
	"github.com/squall-sim/squall/sim"
)

// This project's push, spoken by hand over gorilla/websocket as its documentation has
// the protocol.

// A pushHello is what the server says first.
type pushHello struct {
	Type  string
	Hello struct {
		Cursor string
		Reset  string
		Window int
	}
}

func dialPush(t *testing.T, phone *sim.Host, query string) (*websocket.Conn, pushHello) {
	t.Helper()
	d := websocket.Dialer{NetDialContext: phone.DialContext}
	c, _, err := d.DialContext(t.Context(), "ws://server/?client=phone&"+query, nil)
	require.NoError(t, err)
	kind, p, err := c.ReadMessage()
	require.NoError(t, err)
	require.Equal(t, websocket.TextMessage, kind)
	var hello pushHello
	require.NoError(t, json.Unmarshal(p, &hello))
	require.Equal(t, "hello", hello.Type)
	return c, hello
}

// readPush reads an event and acknowledges it.
func readPush(t *testing.T, c *websocket.Conn) (offset uint64, topic, data string) {
	t.Helper()
	kind, p, err := c.ReadMessage()
	require.NoError(t, err)
	require.Equal(t, websocket.BinaryMessage, kind)
	require.Equal(t, byte(1), p[0], "an event")
	rest := p[1:]
	number := func() uint64 {
		v, n := binary.Uvarint(rest)
		require.Positive(t, n)
		rest = rest[n:]
		return v
	}
	offset = number()
	number() // expires
	length := number()
	require.NoError(t, c.WriteJSON(map[string]any{"type": "ack", "offset": offset}))
	return offset, string(rest[:length]), string(rest[length:])
}

func TestGorillaReadsFromPush(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server, phone := n.Host("server"), n.Host("phone")
		link := n.Link(server, phone, netem.Config{Delay: transit})
		log := eventlog.NewMemory(eventlog.Options{})
		defer log.Close()
		s := &push.Server{Log: log}
		defer s.Close()
		server.ServeHTTP(":80", s.Handler())
		publish := func(data string) eventlog.Cursor {
			receipt, err := s.Publish(context.Background(), push.Message{Topic: "news", Data: []byte(data)})
			require.NoError(t, err)
			return receipt.Cursor
		}

		c, hello := dialPush(t, phone, "run=a&attempt=1")
		require.Equal(t, string(push.ReasonNew), hello.Hello.Reset)
		cursor := publish("one")
		at := n.Elapsed()
		offset, topic, data := readPush(t, c)
		require.Equal(t, []string{"news", "one"}, []string{topic, data})
		require.Equal(t, cursor.Offset, offset)
		require.Equal(t, transit, (n.Elapsed() - at).Truncate(ms))

		// It answers pings, as the server is to see for an hour.
		go func() {
			time.Sleep(time.Hour)
			publish("two")
		}()
		_, _, data = readPush(t, c)
		require.Equal(t, "two", data)

		// What it misses it gets when it comes back, and only that.
		last := publish("three")
		_, _, data = readPush(t, c)
		require.Equal(t, "three", data)
		link.Down()
		c.Close()
		publish("four")
		publish("five")
		time.Sleep(10 * time.Minute)
		link.Up()
		c, hello = dialPush(t, phone, "run=a&attempt=2&cursor="+last.String())
		require.Empty(t, hello.Hello.Reset)
		for _, want := range []string{"four", "five"} {
			_, _, data = readPush(t, c)
			require.Equal(t, want, data)
		}

		// The newest connection has the session; the older is told.
		newest, _ := dialPush(t, phone, "run=b&attempt=1")
		defer newest.Close()
		_, _, err := c.ReadMessage()
		require.True(t, websocket.IsCloseError(err, int(push.StatusFenced)), "%v", err)
		c.Close()
	})
}
