package push_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/push"
	"github.com/squall-sim/squall/patterns/retry"
)

// What a client receives is what it asked for of what it may see, live and from the log, and
// never another's mailbox.
func TestClientReceivesWhatItMaySeeAndAskedFor(t *testing.T) {
	topics := []string{"news", "orders.eu", "orders.us", push.Mailbox("tablet"), mailbox}
	for _, row := range []struct {
		reason        string
		granted, asks []string
		want          []string
	}{
		{"everything but others' mailboxes", []string{">"}, nil, []string{"news:x", "orders.eu:x", "orders.us:x", "x"}},
		{"by name", []string{"news", "orders.eu"}, nil, []string{"news:x", "orders.eu:x", "x"}},
		{"by filter", []string{"orders.*"}, nil, []string{"orders.eu:x", "orders.us:x", "x"}},
		{"by both, once", []string{"orders.eu", "orders.*", "*.eu"}, nil, []string{"orders.eu:x", "orders.us:x", "x"}},
		{"its mailbox is its own", nil, nil, []string{"x"}},
		{"one of those", []string{">"}, []string{"news"}, []string{"news:x", "x"}},
		{"a filter of those", []string{">"}, []string{"orders.*"}, []string{"orders.eu:x", "orders.us:x", "x"}},
		{"a mailbox is not granted", []string{push.Mailbox("tablet"), "*"}, nil, []string{"news:x", "x"}},
		{"nor asked for", []string{">"}, []string{push.Mailbox("tablet")}, []string{"x"}},
	} {
		t.Run(row.reason, func(t *testing.T) {
			inBubble(t, 0, func(t *testing.T, w *world) {
				w.opts.Authenticate = withTopics(row.granted...)
				w.start()
				for _, topic := range topics {
					w.publish(topic, 0, "x")
				}
				p := w.phone("phone")
				p.Topics = row.asks
				p.on()
				p.wants("reset new")
				p.wants(row.want...) // from the log
				w.online("phone")
				for _, topic := range topics {
					w.publish(topic, 0, "x")
				}
				p.wants(row.want...) // as they come
				for _, topic := range topics {
					w.srv.Publish(t.Context(), push.Message{Topic: topic, TTL: push.Now, Data: []byte("x")})
				}
				p.wants(row.want...) // past the log
				p.off()
				p.idle()
			})
		})
	}
}

func TestClientThatAsksForTooMuchIsRefused(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.opts.Authenticate = withTopics("news", "orders.*")
		w.start()
		for _, topic := range []string{"users", "orders.>", ">"} {
			p := w.phone("phone")
			p.Topics = []string{"news", topic}
			p.on()
			var refused *retry.StatusError
			require.ErrorAs(t, p.ended(), &refused)
			require.Equal(t, http.StatusForbidden, refused.Status)
			require.Contains(t, refused.Text, topic)
		}
		require.EqualValues(t, 3, w.srv.Stats().Refused)
	})
}

func TestErrorsOfAuthenticate(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		log := w.logged()
		var answer error
		w.opts.Authenticate = func(*http.Request) (access.Identity, error) { return access.Identity{}, answer }
		w.start()
		for _, row := range []struct {
			err    error
			status int
		}{
			{access.ErrUnauthorized, 401}, {access.ErrForbidden, 403}, {context.Canceled, 401},
			{nil, 401}, // without a name
		} {
			answer = row.err
			p := w.phone("phone")
			p.on()
			var refused *retry.StatusError
			require.ErrorAs(t, p.ended(), &refused)
			require.Equal(t, row.status, refused.Status)
		}
		require.Contains(t, log.String(), `level=WARN msg="push: client refused" client="" status=403 error="access: forbidden"`)

		answer = &retry.StatusError{Status: 503} // it cannot tell at the moment
		p := w.phone("phone")
		retries := make(chan error, 1000)
		p.OnRetry = func(err error, _ time.Duration) { retries <- err }
		p.on()
		require.ErrorContains(t, <-retries, "503")
		p.off()
	})
}

// A session ends when its credentials do, however seldom it is pinged.
func TestCredentialsExpire(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.opts.PingInterval = time.Hour
		expires := time.Now().Add(time.Minute)
		w.opts.Authenticate = func(*http.Request) (access.Identity, error) {
			id := access.Everything("phone")
			id.Expires = expires
			return id, nil
		}
		w.start()
		p := w.phone("phone")
		p.on()
		w.online("phone")
		time.Sleep(time.Until(expires) - 1)
		require.True(t, w.srv.Online("phone"))
		time.Sleep(time.Millisecond)
		require.False(t, w.srv.Online("phone"))
		require.EqualValues(t, 1, w.srv.Stats().Unauthorized)

		var refused *retry.StatusError // and there is none with those
		require.ErrorAs(t, p.ended(), &refused)
		require.Equal(t, http.StatusUnauthorized, refused.Status)
		require.EqualValues(t, 1, w.srv.Stats().Refused)
	})
}

// A client that wants nothing of what was is not told that it has missed it.
func TestFromNow(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.start()
		w.publish(mailbox, 0, "before")
		p := w.phone("phone")
		p.FromNow = true
		p.on()
		w.online("phone")
		require.Equal(t, w.log.Head(), p.Cursor())
		w.cut()
		w.publish(mailbox, 0, "while it is away")
		p.wants("while it is away")
		p.off()
		p.idle()
		require.EqualValues(t, 2, p.Stats().Connects)
		require.Zero(t, p.Stats().Resets)
	})
}

func TestClientWithoutOnReset(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.start()
		w.publish(mailbox, 0, "one")
		p := w.phone("phone")
		p.OnReset = nil
		p.on()
		p.wants("one") // it is new, and has missed nothing that it knew of
		w.stop()
		w.log = onPipes(t, 0).log
		require.NoError(t, w.log.Compact(w.log.Head()))
		w.start() // the log has lost what the client saw
		require.ErrorIs(t, p.ended(), push.ErrReset)

		w.stop()
		w.opts.Snapshot = func(context.Context, access.Identity) ([]byte, error) { return nil, nil }
		w.start()
		p = w.phone("phone")
		p.OnReset = nil
		p.on()
		require.ErrorIs(t, p.ended(), push.ErrReset, "a snapshot is for nobody")
	})
}

// A Drain that is cut short is no Close.
func TestPublishAfterADrainThatWasCutShort(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.start()
		p := w.phone("phone")
		p.on()
		p.wants("reset new")
		w.net.Stall()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, w.srv.Drain(ctx), context.Canceled)
		_, err := w.srv.Publish(t.Context(), push.Message{Topic: "t"})
		require.ErrorIs(t, err, push.ErrDraining)
		p.off()
	})
}

func TestPublishAfterTheEnd(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.start()
		require.NoError(t, w.srv.Drain(t.Context()))
		_, err := w.srv.Publish(t.Context(), push.Message{Topic: "t", TTL: time.Hour})
		require.ErrorIs(t, err, push.ErrDraining)
		require.NoError(t, w.srv.Close())
		_, err = w.srv.Publish(t.Context(), push.Message{Topic: "t", TTL: time.Hour})
		require.ErrorIs(t, err, push.ErrClosed)
		require.Zero(t, w.log.Head().Offset)
	})
}
