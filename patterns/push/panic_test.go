package push_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/push"
	"github.com/squall-sim/squall/patterns/retry"
)

// logged collects what the server logs.
func (w *world) logged() *bytes.Buffer {
	var b bytes.Buffer
	w.opts.Logger = slog.New(slog.NewTextHandler(&b, nil))
	return &b
}

// The client may find a server the next time that can tell who it is.
func TestPanicInAuthenticateIsAnswered(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		log := w.logged()
		var calls atomic.Int64
		w.opts.Authenticate = func(r *http.Request) (access.Identity, error) {
			if calls.Add(1) == 1 {
				panic("no database")
			}
			return access.Everything(r.URL.Query().Get("client")), nil
		}
		w.start()
		p := w.phone("phone")
		retries := make(chan error, 1000)
		p.OnRetry = func(err error, _ time.Duration) { retries <- err }
		p.on()
		var refused *retry.StatusError
		require.ErrorAs(t, <-retries, &refused)
		require.Equal(t, http.StatusInternalServerError, refused.Status)
		require.Equal(t, "Internal Server Error", refused.Text)
		p.wants("reset new")
		p.off()
		require.Contains(t, log.String(), `level=ERROR msg="push: Server.Authenticate panicked: no database"`)
	})
}

// The state of one client cannot be had. The client is told to come again, and the others
// have what they are to have.
func TestPanicInSnapshotEndsTheSession(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		log := w.logged()
		w.opts.Authenticate = withTopics("news")
		var broken atomic.Bool
		broken.Store(true)
		w.opts.Snapshot = func(_ context.Context, id access.Identity) ([]byte, error) {
			if id.Client == "phone" && broken.Load() {
				panic("no such table")
			}
			return []byte("state"), nil
		}
		w.start()
		other, p := w.phone("other"), w.phone("phone")
		other.on()
		other.wants("reset new state")
		retry := make(chan error, 1000)
		p.OnRetry = func(err error, _ time.Duration) { retry <- err }
		p.on()
		synctest.Wait()
		require.Equal(t, websocket.StatusInternalError, websocket.CloseStatus(<-retry))
		require.EqualValues(t, 1, w.srv.Stats().Failed)
		require.Contains(t, log.String(), `level=ERROR msg="push: Server.Snapshot panicked: no such table" client=phone`)
		require.Contains(t, log.String(), "panic_test.go", "where it panicked")
		w.publish("news", 0, "one")
		other.wants("news:one")

		broken.Store(false)
		p.wants("reset new state")
		p.off()
		other.off()
	})
}

func TestErrorOfSnapshotIsLogged(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		log := w.logged()
		w.opts.Snapshot = func(context.Context, access.Identity) ([]byte, error) { return nil, context.DeadlineExceeded }
		w.start()
		p := w.phone("phone")
		p.on()
		synctest.Wait()
		p.off()
		require.Contains(t, log.String(), `level=ERROR msg="push: Snapshot failed" client=phone error="context deadline exceeded"`)
	})
}

// Entries of which nobody knows what they are about replace none and are replaced by none.
func TestPanicInCoalesceKeyLosesNothing(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		log := w.logged()
		w.opts.Slow, w.opts.Window = push.Coalesce, 1
		w.opts.CoalesceKey = func(_ string, data []byte) string {
			if strings.Contains("ab", string(data)) {
				panic("no key")
			}
			return string(data[1:])
		}
		w.start()
		p, gate := w.gated("phone")
		p.on()
		p.wants("reset new")
		w.online("phone")
		w.publish(mailbox, 0, "0-")
		synctest.Wait()                                                                        // in the window
		_, err := w.log.Append(t.Context(), eventlog.Entry{Topic: mailbox, Data: []byte("a")}) // read by the server's own goroutine
		require.NoError(t, err)
		synctest.Wait()
		w.publish(mailbox, 0, "1")
		w.publish(mailbox, 0, "b")
		require.Zero(t, w.srv.Stats().Coalesced)
		w.publish(mailbox, 0, "2")
		for range 4 {
			gate <- struct{}{}
		}
		p.wants("0-", "a", "b", "2")
		p.off()
		require.Contains(t, log.String(), `level=ERROR msg="push: Server.CoalesceKey panicked: no key"`)
		require.Contains(t, log.String(), "topic=client/phone")
		require.EqualValues(t, 1, w.srv.Stats().Coalesced)
	})
}

func TestPanicInOnAckEndsTheSession(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		log := w.logged()
		w.opts.OnAck = func(string, eventlog.Cursor) { panic("disk full") }
		w.start()
		c := w.raw(t, "client=phone")
		text(t, c)
		require.NoError(t, c.Write(t.Context(), websocket.MessageText, []byte(`{"type":"ack","offset":0}`)))
		_, _, err := receive(c)
		require.Equal(t, websocket.StatusInternalError, websocket.CloseStatus(err))
		require.Contains(t, log.String(), `msg="push: Server.OnAck panicked: disk full" client=phone`)
	})
}

// What ends a client is a warning, what is the server's fault an error, and what is usual
// neither.
func TestEndsOfSessionsAreLogged(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		log := w.logged()
		w.opts.PingInterval, w.opts.PingTimeout = 30*time.Second, 7*time.Second
		w.start()
		first, second := w.phone("phone"), w.phone("phone")
		first.on()
		first.wants("reset new")
		first.off()
		synctest.Wait()
		require.Empty(t, log.String(), "it went as it came")
		first.on()
		w.online("phone")
		second.on()
		second.wants("reset new")
		require.ErrorIs(t, first.ended(), push.ErrFenced)
		require.Contains(t, log.String(), `level=WARN msg="push: session ended" client=phone cause=fenced reason="another connection has taken over"`)
		w.net.Stall()
		w.net.SetDown(true)
		time.Sleep(38 * time.Second)
		second.off()
		synctest.Wait()
		require.Contains(t, log.String(), `level=WARN msg="push: session ended" client=phone cause=silent`)
		require.NotContains(t, log.String(), "level=ERROR")
	})
}

func TestClientLogsWhyItWaits(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		var log bytes.Buffer
		w.start()
		p := w.phone("phone")
		p.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		p.URL += "?token=secret"
		p.on()
		p.wants("reset new")
		w.net.SetDown(true)
		w.cut()
		time.Sleep(time.Second)
		p.off()
		require.Contains(t, log.String(), `level=DEBUG msg="push: connection ended" client=phone error="failed to`)
		require.Contains(t, log.String(), "connection refused")
		require.NotContains(t, log.String(), "secret")
	})
}
