package pubsub_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/pubsub"
)

func TestMessagesReachSubscribers(t *testing.T) {
	body := func(t *testing.T, w *world) {
		s := w.subscribe(w.client("sub"), pubsub.SubscribeOptions{Filter: "orders.>"})
		p := w.client("pub")
		m := pubsub.Message{Topic: "orders.eu", Key: "k", Headers: map[string]string{"a": "1", "b": "2"}, Data: []byte("hello")}
		r, err := p.Publish(t.Context(), m)
		require.NoError(t, err)
		d := s.next("hello", 1)
		require.Equal(t, r.Cursor, d.Cursor)
		require.Equal(t, m.Headers, d.Headers)
		require.NoError(t, d.AckSync(t.Context()))
		w.publish("orders.us", "a", "b", "c")
		s.acks("a", "b", "c")
	}
	t.Run("in a bubble", func(t *testing.T) { inBubble(t, body) })
	t.Run("loopback TCP", func(t *testing.T) { onTCP(t, body) })
}
