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

	"github.com/squall-sim/squall/patterns/push"
	"github.com/squall-sim/squall/patterns/retry"
)

func TestSettingsOfTheServerAreChecked(t *testing.T) {
	for _, row := range []struct {
		server *push.Server
		want   string
	}{
		{&push.Server{MaxQueue: -1}, "push: Server.MaxQueue is -1: want 0 for the default, or more"},
		{&push.Server{WriteTimeout: -1}, "push: Server.WriteTimeout is -1ns: want 0 for the default, or up to 1000h0m0s"},
		{&push.Server{Window: 65_537}, "push: Server.Window is 65537: want 0 for the default, or up to 65536"},
		{&push.Server{WindowBytes: 64<<20 + 1}, "push: Server.WindowBytes is 67108865: want 0 for the default, or up to 67108864"},
		{&push.Server{RetrySpread: math.MaxInt64}, "push: Server.RetrySpread is 2562047h47m16.854775807s: want at most 596h31m23.647s, more than which clients cannot wait"},
		{&push.Server{MaxClients: -2}, "push: Server.MaxClients is -2: want 0 for the default, or more"},
		{&push.Server{Slow: 9}, "push: Server.Slow is SlowPolicy(9): want Disconnect to Coalesce"},
		{&push.Server{PingInterval: time.Second, PingTimeout: 2 * time.Second}, "push: Server.PingTimeout is 2s: want 0 for the default, or up to 1s"},
		{&push.Server{MaxQueueBytes: -1, MaxBlock: -2}, "push: Server.MaxQueueBytes is -1: want 0 for the default, or more\n" +
			"push: Server.MaxBlock is -2ns: want 0 for the default, or up to 1000h0m0s"},
	} {
		require.EqualError(t, row.server.Check(), row.want)
		require.PanicsWithValue(t, row.want, func() { row.server.Handler() })
		_, err := row.server.Publish(t.Context(), push.Message{Topic: "t", TTL: time.Hour})
		require.EqualError(t, err, row.want)
		require.NoError(t, row.server.Drain(t.Context()))
		require.NoError(t, row.server.Close())
		require.Zero(t, row.server.Stats())
	}
}

func TestClientFieldsAreChecked(t *testing.T) {
	for _, row := range []struct {
		client *push.Client
		want   string
	}{
		{&push.Client{}, "push: Client.URL is \"\": want the server's endpoint, ws://host/path or wss://host/path\n" +
			"push: Client.ID is empty: want a name"},
		{&push.Client{URL: "ws://x", ID: strings.Repeat("a", 1018)}, "push: Client.ID has 1018 bytes: want at most 1017"},
		{&push.Client{URL: "ws://x", ID: "a", Topics: []string{"b.>.c"}}, `push: Client.Topics[0] is "b.>.c": > must be the last token`},
		{&push.Client{URL: "ws://x", ID: "a", Topics: make([]string, 1001)}, "push: Client.Topics has 1001 elements: want at most 1000"},
		{&push.Client{URL: "ws://x", ID: "a", Backoff: retry.Backoff{Min: time.Minute}}, "push: Client.Backoff.Min is 1m0s: want at most Backoff.Max, 30s"},
		{&push.Client{URL: "ws://x", ID: "a", AckInterval: -1, WriteTimeout: -time.Hour}, "push: Client.AckInterval is -1ns: want 0 for the default, or more\n" +
			"push: Client.WriteTimeout is -1h0m0s: want 0 for the default, or more"},
		{&push.Client{URL: "ws://x\x00", ID: "a"}, "push: Client.URL is \"ws://x\\x00\": want the server's endpoint, ws://host/path or wss://host/path"},
	} {
		require.EqualError(t, row.client.Run(t.Context(), nil), row.want)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	require.PanicsWithValue(t, "push: Client.Run: handle is nil: want a function", func() {
		(&push.Client{URL: "ws://x", ID: "a"}).Run(over, nil)
	})
}

func TestMessagesAreChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &push.Server{}
		defer srv.Close()
		_, err := srv.Publish(t.Context(), push.Message{Topic: "t", TTL: -5})
		require.EqualError(t, err, "push: Message.TTL is -5ns: want 0 for no limit, or more, or Now")
		_, err = srv.Publish(t.Context(), push.Message{Topic: string(make([]byte, 1025)), TTL: 5})
		require.EqualError(t, err, "push: Message.Topic has 1025 bytes: want at most 1024")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = srv.Publish(ctx, push.Message{Topic: "t", TTL: 5})
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestHandshakesAreChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &push.Server{}
		defer srv.Close()
		for target, want := range map[string]int{
			"/":                                          http.StatusUnauthorized,
			"/?client=a&cursor=x":                        http.StatusBadRequest,
			"/?client=a&attempt=x":                       http.StatusBadRequest,
			"/?client=a&topic=b&topic=c.%3E.d":           http.StatusBadRequest,
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
			srv.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
			require.Equal(t, want, w.Code, target)
		}
	})
}
