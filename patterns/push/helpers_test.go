package push_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/access"
)

// withTopics lets every client receive the topics.
func withTopics(topics ...string) func(*http.Request) (access.Identity, error) {
	return func(r *http.Request) (access.Identity, error) {
		return access.Identity{Client: r.URL.Query().Get("client"), Topics: topics}, nil
	}
}

// raw is a client that speaks the protocol by hand, or does not.
func (w *world) raw(t *testing.T, query string) *websocket.Conn {
	t.Helper()
	conn, _, err := websocket.Dial(t.Context(), w.url+"?"+query, &websocket.DialOptions{HTTPClient: w.http})
	require.NoError(t, err)
	t.Cleanup(func() { conn.CloseNow() })
	return conn
}

// receive reads the next message, which must come within a minute. A context that ends the
// read would hold a lock meanwhile.
func receive(c *websocket.Conn) (websocket.MessageType, []byte, error) {
	defer time.AfterFunc(time.Minute, func() { c.CloseNow() }).Stop()
	return c.Read(context.Background())
}

// text reads the next control message.
func text(t *testing.T, c *websocket.Conn) string {
	t.Helper()
	typ, b, err := receive(c)
	require.NoError(t, err)
	require.Equal(t, websocket.MessageText, typ)
	return string(b)
}
