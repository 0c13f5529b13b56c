package push_test

import (
	"context"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
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
		{push.ServerOptions{MaxQueue: -1}, "push: ServerOptions.MaxQueue is -1: want 0 for the default, or more"},
		{push.ServerOptions{WriteTimeout: -1}, "push: ServerOptions.WriteTimeout is -1ns: want 0 for the default, or up to 1000h0m0s"},
		{push.ServerOptions{Window: 65_537}, "push: ServerOptions.Window is 65537: want 0 for the default, or up to 65536"},
		{push.ServerOptions{WindowBytes: 64<<20 + 1}, "push: ServerOptions.WindowBytes is 67108865: want 0 for the default, or up to 67108864"},
		{push.ServerOptions{Spread: math.MaxInt64}, "push: ServerOptions.Spread is 2562047h47m16.854775807s: want at most 1000h0m0s"},
		{push.ServerOptions{MaxSessions: -2}, "push: ServerOptions.MaxSessions is -2: want 0 for the default, or more"},
		{push.ServerOptions{Slow: 9}, "push: ServerOptions.Slow is SlowPolicy(9): want Disconnect to Coalesce"},
		{push.ServerOptions{PingInterval: time.Second, PingTimeout: 2 * time.Second}, "push: ServerOptions.PingTimeout is 2s: want 0 for the default, or up to 1s"},
		{push.ServerOptions{MaxQueueBytes: -1, MaxBlock: -2}, "push: ServerOptions.MaxQueueBytes is -1: want 0 for the default, or more\n" +
			"push: ServerOptions.MaxBlock is -2ns: want 0 for the default, or up to 1000h0m0s"},
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
		{&push.Client{}, "push: Client.URL is \"\": want the server's endpoint, ws://host/path or wss://host/path\n" +
			"push: Client.ID is empty: want a name\n" +
			"push: Client.OnEvent is nil: want a function\n" +
			"push: Client.OnReset is nil: want a function, since every client has to start from nothing once"},
		{&push.Client{URL: "ws://x", ID: strings.Repeat("a", 1018), OnEvent: on, OnReset: reset}, "push: Client.ID has 1018 bytes: want at most 1017"},
		{&push.Client{URL: "ws://x", ID: "a", OnEvent: on, OnReset: reset, MinDelay: time.Minute, MaxDelay: time.Second}, "push: Client.MaxDelay is 1s: want at least MinDelay, 1m0s"},
		{&push.Client{URL: "ws://x", ID: "a", OnEvent: on, OnReset: reset, AckInterval: -1, WriteTimeout: -time.Hour}, "push: Client.AckInterval is -1ns: want 0 for the default, or more\n" +
			"push: Client.WriteTimeout is -1h0m0s: want 0 for the default, or more"},
		{&push.Client{URL: "ws://x\x00", ID: "a", OnEvent: on, OnReset: reset}, "push: Client.URL is \"ws://x\\x00\": want the server's endpoint, ws://host/path or wss://host/path"},
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
			"/":                                          http.StatusUnauthorized,
			"/?client=a&cursor=x":                        http.StatusBadRequest,
			"/?client=a&attempt=x":                       http.StatusBadRequest,
			"/?client=a&attempt=-1":                      http.StatusBadRequest,
			"/?client=" + strings.Repeat("a", 1018):      http.StatusBadRequest,
			"/?client=" + strings.Repeat("a", 1017):      http.StatusUpgradeRequired,
			"/?client=a&run=" + strings.Repeat("r", 129): http.StatusBadRequest,
			"/?client=a&run=" + strings.Repeat("r", 128): http.StatusUpgradeRequired,
			"/?client=a&attempt=18446744073709551616":    http.StatusBadRequest,
			"/?client=a&attempt=18446744073709551615&cursor=1-18446744073709551615": http.StatusUpgradeRequired,
			"/?client=a&cursor=1-2&run=": http.StatusUpgradeRequired,
		} {
			w := httptest.NewRecorder()
			srv.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
			require.Equal(t, want, w.Code, target)
		}
	})
}
