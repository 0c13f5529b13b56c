package push_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/push"
)

func TestServerOptionsAreChecked(t *testing.T) {
	for _, row := range []struct {
		opts push.ServerOptions
		want string
	}{
		{push.ServerOptions{MaxQueue: -1}, "push: ServerOptions.MaxQueue: -1, want 0 (the default) or more"},
		{push.ServerOptions{WriteTimeout: -1}, "push: ServerOptions.WriteTimeout: -1, want 0 (the default) or more"},
		{push.ServerOptions{MaxSessions: -2}, "push: ServerOptions.MaxSessions: -2, want 0 or more"},
		{push.ServerOptions{Slow: 9}, "push: ServerOptions.Slow: SlowPolicy(9), want Disconnect to Coalesce"},
		{push.ServerOptions{PingInterval: time.Second, PingTimeout: 2 * time.Second}, "push: ServerOptions.PingTimeout: 2s, want at most PingInterval, 1s"},
	} {
		_, err := push.NewServer(eventlog.NewMemory(eventlog.Options{}), row.opts)
		require.EqualError(t, err, row.want)
	}
}

func TestClientFieldsAreChecked(t *testing.T) {
	on := func(context.Context, push.Event) error { return nil }
	reset := func(context.Context, push.Reset) error { return nil }
	for _, row := range []struct {
		client *push.Client
		want   string
	}{
		{&push.Client{}, "push: Client.URL: want the server's endpoint"},
		{&push.Client{URL: "ws://x"}, "push: Client.ID: want a name"},
		{&push.Client{URL: "ws://x", ID: "a"}, "push: Client.OnEvent: want a function"},
		{&push.Client{URL: "ws://x", ID: "a", OnEvent: on}, "push: Client.OnReset: want a function: every client has to start from nothing once"},
		{&push.Client{URL: "ws://x", ID: "a", OnEvent: on, OnReset: reset, MinDelay: time.Minute, MaxDelay: time.Second}, "push: Client.MaxDelay: 1s, want at least MinDelay, 1m0s"},
		{&push.Client{URL: "ws://x\x00", ID: "a", OnEvent: on, OnReset: reset}, "push: Client.URL: parse \"ws://x\\x00\": net/url: invalid control character in URL"},
	} {
		require.EqualError(t, row.client.Run(t.Context()), row.want)
	}
}

func TestMessagesAreChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, err := push.NewServer(eventlog.NewMemory(eventlog.Options{}), push.ServerOptions{})
		require.NoError(t, err)
		defer srv.Close()
		_, err = srv.Publish(t.Context(), push.Message{Topic: "t", TTL: -5})
		require.EqualError(t, err, "push: Message.TTL: -5ns, want 0 or more, or Forever")
		_, err = srv.Publish(t.Context(), push.Message{Topic: string(make([]byte, 1025)), TTL: 5})
		require.EqualError(t, err, "push: Message.Topic: 1025 bytes, want at most 1024")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = srv.Publish(ctx, push.Message{Topic: "t", TTL: 5})
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestHandshakesAreChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, err := push.NewServer(eventlog.NewMemory(eventlog.Options{}), push.ServerOptions{})
		require.NoError(t, err)
		defer srv.Close()
		for target, want := range map[string]int{
			"/":                          http.StatusUnauthorized,
			"/?client=a&cursor=x":        http.StatusBadRequest,
			"/?client=a&attempt=x":       http.StatusBadRequest,
			"/?client=a&cursor=1-2&run=": http.StatusUpgradeRequired,
		} {
			w := httptest.NewRecorder()
			srv.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
			require.Equal(t, want, w.Code, target)
		}
	})
}
