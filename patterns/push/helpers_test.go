package push_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/push"
)

// withTopics lets every client receive the topics.
func withTopics(topics ...string) func(*http.Request) (push.Identity, error) {
	return func(r *http.Request) (push.Identity, error) {
		return push.Identity{Client: r.URL.Query().Get("client"), Topics: topics}, nil
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

// text reads the next control message.
func text(t *testing.T, c *websocket.Conn) string {
	t.Helper()
	typ, b, err := c.Read(context.Background())
	require.NoError(t, err)
	require.Equal(t, websocket.MessageText, typ)
	return string(b)
}
