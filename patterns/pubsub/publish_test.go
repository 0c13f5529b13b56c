package pubsub_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/pubsub"
)

// PS-P8: a confirmation that is lost has the message sent again, and stored once.
func TestLostConfirmStoresOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		c := w.client("p")
		_, err := c.Publish(t.Context(), pubsub.Message{Topic: "t"})
		require.NoError(t, err)
		done := make(chan pubsub.Receipt)
		go func() {
			r, err := c.Publish(t.Context(), pubsub.Message{Topic: "t", Data: []byte("x")})
			require.NoError(t, err)
			done <- r
		}()
		time.Sleep(delay + ms) // it has arrived, and the answer is on its way
		w.net.cut("p")
		r := <-done
		require.True(t, r.Duplicate)
		require.EqualValues(t, 2, r.Cursor.Offset)
		require.EqualValues(t, 2, w.log.Head().Offset)
		require.EqualValues(t, 1, w.b.Stats().Duplicates)
	})
}

// PS-P8: the window of IDs ends when it says, by age and by number, and outlives a restart.
func TestDedupeWindow(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.stop()
		w.broker = func() *pubsub.Broker { return &pubsub.Broker{DedupeWindow: 10 * sec, DedupeMax: 3} }
		w.start()
		publish := func(id string) pubsub.Receipt {
			r, err := w.b.Publish(context.Background(), pubsub.Message{Topic: "t", ID: id})
			require.NoError(t, err)
			return r
		}
		r := publish("a")
		time.Sleep(10*sec - 1)
		require.Equal(t, pubsub.Receipt{Cursor: r.Cursor, Duplicate: true}, publish("a"))
		w.stop()
		w.start()
		require.Equal(t, pubsub.Receipt{Cursor: r.Cursor, Duplicate: true}, publish("a"), "as the log says")
		time.Sleep(1)
		r2 := publish("a")
		require.False(t, r2.Duplicate, "the window is over: it is stored again")
		publish("b")
		publish("c")
		require.True(t, publish("a").Duplicate)
		publish("d")
		require.False(t, publish("a").Duplicate, "three are remembered")
	})
}

// Messages of one caller are stored in its order, whatever breaks.
func TestPublishKeepsOrder(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		c := w.client("p")
		for i := range 100 {
			go c.Publish(t.Context(), pubsub.Message{Topic: "t", Data: fmt.Appendf(nil, "%03d", i)})
			time.Sleep(7 * ms)
			if i%10 == 5 {
				w.net.cut("p")
			}
		}
		time.Sleep(10 * sec)
		page, err := w.log.After(w.log.Tail(), eventlog.Query{})
		require.NoError(t, err)
		require.Len(t, page.Entries, 100)
		for i, e := range page.Entries {
			require.Contains(t, string(e.Data), fmt.Sprintf("%03d", i))
		}
	})
}

// A Publish that is given up says whether the message may be stored, and the same ID finds
// out.
func TestPublishGivenUp(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		c := w.client("p")
		_, err := c.Publish(t.Context(), pubsub.Message{Topic: "t"})
		require.NoError(t, err)

		m := pubsub.Message{Topic: "t", ID: "mine", Data: []byte("x")}
		ctx, cancel := context.WithTimeout(t.Context(), delay+ms)
		_, err = c.Publish(ctx, m)
		cancel()
		require.ErrorIs(t, err, pubsub.ErrUnknown)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		r, err := c.Publish(t.Context(), m)
		require.NoError(t, err)
		require.True(t, r.Duplicate)

		w.net.mutes("p", true)
		w.net.cut("p")
		time.Sleep(sec)
		ctx, cancel = context.WithTimeout(t.Context(), sec)
		_, err = c.Publish(ctx, m)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, pubsub.ErrUnknown, "it was never sent")
	})
}

func TestTooLargeMessagesAreRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		c := w.client("p")
		large := pubsub.Message{Topic: "t", Data: make([]byte, 64<<10+1)}
		_, err := c.Publish(t.Context(), large) // before the client knows the limit
		require.ErrorIs(t, err, eventlog.ErrTooLarge)
		_, err = c.Publish(t.Context(), large)
		require.ErrorIs(t, err, eventlog.ErrTooLarge)
		_, err = w.b.Publish(t.Context(), large)
		require.ErrorIs(t, err, eventlog.ErrTooLarge)
		require.EqualValues(t, 1, c.Stats().Connects)
		_, err = c.Publish(t.Context(), pubsub.Message{Topic: "t", Data: make([]byte, 64<<10-100)})
		require.NoError(t, err)
	})
}

// Calls end with the client.
func TestCloseEndsCalls(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		c := w.client("c")
		s := w.subscribe(c, pubsub.SubscribeOptions{Filter: "t", Name: "n"})
		w.net.mutes("c", true)
		ended := make(chan error, 3)
		go func() { _, err := c.Publish(t.Context(), pubsub.Message{Topic: "t"}); ended <- err }()
		go func() { _, err := s.Next(t.Context()); ended <- err }()
		go func() {
			_, err := c.Subscribe(t.Context(), pubsub.SubscribeOptions{Filter: "u"})
			ended <- err
		}()
		time.Sleep(sec)
		c.Close()
		for range 3 {
			require.ErrorIs(t, <-ended, pubsub.ErrClosed)
		}
		_, err := c.Subscribe(t.Context(), pubsub.SubscribeOptions{Filter: "u"})
		require.ErrorIs(t, err, pubsub.ErrClosed)
	})
}
