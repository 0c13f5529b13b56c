package pubsub_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/pubsub"
)

// PS-P11: the table of the package's documentation.
func TestMatch(t *testing.T) {
	for _, row := range []struct {
		filter, topic string
		match         bool
		reason        string
	}{
		{"orders", "orders", true, "equal"},
		{"orders", "order", false, "not equal"},
		{"orders", "Orders", false, "case counts"},
		{"orders", "orders.eu", false, "a topic is not the root of its children"},
		{"orders.eu", "orders", false, "nor a child its root"},
		{"orders.*", "orders.eu", true, "* is one token"},
		{"orders.*", "orders", false, "* is not none"},
		{"orders.*", "orders.eu.new", false, "* is not two"},
		{"*.eu", "orders.eu", true, "* may come first"},
		{"*.*", "orders.eu", true, "and often"},
		{"orders.*.new", "orders.eu.new", true, "and in the middle"},
		{"orders.*.new", "orders.eu.old", false, "what follows counts"},
		{"*", "orders", true, "alone"},
		{"*", "orders.eu", false, "for one token"},
		{"orders.>", "orders.eu", true, "> is one token"},
		{"orders.>", "orders.eu.new", true, "or more"},
		{"orders.>", "orders", false, "but not none"},
		{"orders.>", "ordersx.eu", false, "tokens are whole"},
		{">", "orders", true, "everything"},
		{">", "orders.eu.new", true, "everything"},
		{"*.>", "orders.eu", true, "both"},
		{"*.>", "orders", false, "both want a token"},
	} {
		require.Equal(t, row.match, pubsub.Match(row.filter, row.topic), "%s and %s: %s", row.filter, row.topic, row.reason)
	}
}

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
		for want, o := range map[string]pubsub.ClientOptions{
			"ID": {Addr: "x"}, "Addr": {ID: "x"}, "MaxDelay": {ID: "x", Addr: "x", MaxDelay: 1},
			"MinDelay": {ID: "x", Addr: "x", MinDelay: -1}, "DialTimeout": {ID: "x", Addr: "x", DialTimeout: -1},
			"MaxUnconfirmed": {ID: "x", Addr: "x", MaxUnconfirmed: -1},
		} {
			_, err := pubsub.NewClient(o)
			require.ErrorContains(t, err, "pubsub: ClientOptions."+want)
		}
		for want, o := range map[string]pubsub.BrokerOptions{
			"SessionTimeout": {SessionTimeout: ms}, "DedupeMax": {DedupeMax: -1},
			"MaxMessageBytes": {MaxMessageBytes: -1}, "MaxClients": {MaxClients: -1},
		} {
			_, err := pubsub.NewBroker(w.log, nil, o)
			require.ErrorContains(t, err, "pubsub: BrokerOptions."+want)
		}
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
