package pubsub_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/pubsub"
	"github.com/squall-sim/squall/patterns/retry"
)

// What matches is what arrives.
func TestFiltersSelect(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		c := w.client("c")
		exact := w.subscribe(c, pubsub.SubscribeOptions{Filter: "orders.eu"})
		one := w.subscribe(c, pubsub.SubscribeOptions{Filter: "orders.*"})
		all := w.subscribe(c, pubsub.SubscribeOptions{Filter: "orders.>"})
		for _, topic := range []string{"orders", "orders.eu", "orders.us", "orders.eu.new", "users.eu"} {
			w.publish(topic, topic)
		}
		exact.acks("orders.eu")
		one.acks("orders.eu", "orders.us")
		all.acks("orders.eu", "orders.us", "orders.eu.new")
		exact.idle(sec)
		one.idle(sec)
		all.idle(sec)
	})
}

func TestBadTopicsAndOptionsAreRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		c := w.client("c")
		for topic, want := range map[string]string{
			"": "empty", "a..b": "empty", ".a": "empty", "a b": "white space", "a.*": "for filters", ">": "for filters",
			"a.b*": "stand alone", strings.Repeat("x", 256): "at most 255",
		} {
			_, err := c.Publish(t.Context(), pubsub.Message{Topic: topic})
			require.ErrorContains(t, err, want)
			require.ErrorContains(t, err, "Message.Topic")
		}
		for want, o := range map[string]pubsub.SubscribeOptions{
			"SubscribeOptions.Filter":           {Filter: "a.>.b"},
			"SubscribeOptions.Name":             {Filter: "a", Name: "x.y"},
			"SubscribeOptions.DeadLetter":       {Filter: "a", DeadLetter: "*"},
			"SubscribeOptions.AckWait":          {Filter: "a", AckWait: -1},
			"SubscribeOptions.MaxAttempts":      {Filter: "a", MaxAttempts: 2, AtMostOnce: true},
			"SubscribeOptions.MaxInFlight":      {Filter: "a", MaxInFlight: -1},
			"SubscribeOptions.MaxInFlightBytes": {Filter: "a", MaxInFlightBytes: -1},
			"SubscribeOptions.MaxPending":       {Filter: "a", MaxPending: -1},
			"SubscribeOptions.Slow":             {Filter: "a", Slow: 9},
			"SubscribeOptions.Reset":            {Filter: "a", Reset: 9},
		} {
			_, err := c.Subscribe(t.Context(), o)
			require.ErrorContains(t, err, want)
		}
		require.ErrorContains(t, pubsub.SubscribeOptions{Filter: "a.>.b", AckWait: -1}.Check(), "\npubsub: SubscribeOptions.AckWait is -1ns: want 0 for the default, up to")
		for want, c := range map[string]*pubsub.Client{
			"ID": {Addr: "x:1"}, "Addr": {ID: "x"}, "Backoff.Min": {ID: "x", Addr: "x:1", Backoff: retry.Backoff{Min: time.Hour}},
			"DialTimeout": {ID: "x", Addr: "x:1", DialTimeout: -1}, "MaxUnconfirmed": {ID: "x", Addr: "x:1", MaxUnconfirmed: -1},
		} {
			require.ErrorContains(t, c.Check(), "pubsub: Client."+want+" is ")
			_, err := c.Publish(t.Context(), pubsub.Message{Topic: "t"})
			require.Equal(t, c.Check(), err)
			_, err = c.Subscribe(t.Context(), pubsub.SubscribeOptions{Filter: "t"})
			require.Equal(t, c.Check(), err)
			require.NoError(t, c.Close())
		}
		for _, addr := range []string{"", "x", "x:", "http://server", "tcp://server:4222"} {
			require.ErrorContains(t, (&pubsub.Client{ID: "x", Addr: addr}).Check(), fmt.Sprintf("pubsub: Client.Addr is %q: want host:port", addr))
		}
		for want, b := range map[string]*pubsub.Broker{
			"SessionTimeout": {SessionTimeout: ms}, "HandshakeTimeout": {HandshakeTimeout: -1}, "MaxHandshakes": {MaxHandshakes: -1},
			"DedupeMax": {DedupeMax: -1}, "MaxMessageBytes": {MaxMessageBytes: 64<<20 + 1}, "MaxClients": {MaxClients: -1},
			"MaxSubscriptions": {MaxSubscriptions: -1},
		} {
			require.ErrorContains(t, b.Check(), "pubsub: Broker."+want+" is ")
			_, err := b.Publish(t.Context(), pubsub.Message{Topic: "t"})
			require.Equal(t, b.Check(), err)
			require.Equal(t, b.Check(), b.Serve(w.listen()))
			require.NoError(t, b.Close())
		}
		require.PanicsWithValue(t, "pubsub: Broker.Serve: l is nil: want a listener", func() { new(pubsub.Broker).Serve(nil) })
		require.ErrorContains(t, (&pubsub.Broker{MaxClients: -1, DedupeMax: -2}).Check(), "pubsub: Broker.DedupeMax is -2: want 0 for the default, or more\npubsub: Broker.MaxClients is -1")
	})
}

// PS-P11: what was published before Unsubscribe is not delivered after it, wherever it
// is on its way.
func TestUnsubscribeIsABarrier(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		for i := range 25 { // ms from publishing: in the log, on the way, in the client
			c := w.client("c")
			s := w.subscribe(c, pubsub.SubscribeOptions{Filter: "t"})
			w.publish("t", "late")
			time.Sleep(time.Duration(i) * ms)
			require.NoError(t, s.Unsubscribe(t.Context()))
			_, err := s.Next(t.Context())
			require.ErrorIs(t, err, pubsub.ErrUnsubscribed)
			require.Zero(t, w.b.Stats().Subscriptions, "it was this client's alone")
			c.Close()
		}
	})
}

// A Next that waits is ended by Unsubscribe.
func TestUnsubscribeEndsNext(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		s := w.subscribe(w.client("c"), pubsub.SubscribeOptions{Filter: "t"})
		ended := make(chan error, 1)
		go func() {
			_, err := s.Next(context.Background())
			ended <- err
		}()
		time.Sleep(sec)
		require.NoError(t, s.Unsubscribe(t.Context()))
		require.ErrorIs(t, <-ended, pubsub.ErrUnsubscribed)
	})
}
