package push_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/push"
)

// gated is a client whose handler waits for a token before each event.
func (w *world) gated(id string) (p *phone, gate chan struct{}) {
	p = w.phone(id)
	gate = make(chan struct{}, 1000)
	handle := p.OnEvent
	p.OnEvent = func(ctx context.Context, e push.Event) error {
		select {
		case <-gate:
			return handle(ctx, e)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return p, gate
}

// What the policies do with a client that handles nothing while ten messages
// come, with room for two on the way and four in the queue; and with a healthy
// client beside it, which gets each message after exactly one transit.
func TestSlowClientPolicies(t *testing.T) {
	for _, row := range []struct {
		policy push.SlowPolicy
		reason string
		slow   []string // what the slow client gets in the end
		check  func(t *testing.T, s push.ServerStats)
	}{
		{push.Disconnect, "it comes back and reads the rest from the log",
			words(0, 10),
			func(t *testing.T, s push.ServerStats) { require.Positive(t, s.Slow) }},
		{push.DropOldest, "the newest four stay, and the gap is where it was",
			append(append(words(0, 2), "gap 4 oversized=false"), words(6, 10)...),
			func(t *testing.T, s push.ServerStats) { require.EqualValues(t, 4, s.DroppedOldest) }},
		{push.DropNewest, "the oldest four stay, and the gap comes after",
			append(words(0, 6), "gap 4 oversized=false"),
			func(t *testing.T, s push.ServerStats) { require.EqualValues(t, 4, s.DroppedNewest) }},
		{push.Coalesce, "the last of each key stays",
			[]string{"a0", "b1", "a8", "b9"},
			func(t *testing.T, s push.ServerStats) { require.EqualValues(t, 6, s.Coalesced) }},
		{push.Block, "the publisher waits, then the client is cut off and reads the log",
			words(0, 10),
			func(t *testing.T, s push.ServerStats) {
				require.Positive(t, s.Slow)
				require.EqualValues(t, 1, s.Blocked)
				require.Equal(t, time.Second, s.BlockedTime, "MaxBlock")
			}},
	} {
		t.Run(row.policy.String()+": "+row.reason, func(t *testing.T) {
			inBubble(t, 25*time.Millisecond, func(t *testing.T, w *world) {
				w.opts.Slow, w.opts.Window, w.opts.MaxQueue = row.policy, 2, 4
				w.opts.Authenticate = withTopics("t")
				w.opts.CoalesceKey = func(_ string, data []byte) string { return string(data[:1]) }
				w.start()
				slow, gate := w.gated("slow")
				slow.on()
				slow.wants("reset new")
				healthy := w.phone("healthy")
				healthy.on()
				healthy.wants("reset new")
				w.online("slow", "healthy")
				for i, word := range words(0, 10) {
					start := time.Now()
					go w.srv.Publish(t.Context(), push.Message{Topic: "t", Data: []byte(word)})
					healthy.wants("t:" + word)
					require.Equal(t, 25*time.Millisecond, time.Since(start), "message %d to the healthy client", i)
					time.Sleep(2 * time.Second) // its acknowledgement
				}
				for range row.slow {
					gate <- struct{}{}
				}
				for _, want := range row.slow {
					if !strings.HasPrefix(want, "gap") {
						want = "t:" + want
					}
					slow.wants(want)
				}
				time.Sleep(time.Minute)
				slow.idle()
				s := w.srv.Stats()
				row.check(t, s)
				require.LessOrEqual(t, s.PeakQueue, int64(4))
				slow.off()
				healthy.off()
			})
		})
	}
}

// words are "a0", "b1", "a2" and so on.
func words(from, to int) (list []string) {
	for i := from; i < to; i++ {
		list = append(list, fmt.Sprintf("%c%d", "ab"[i%2], i))
	}
	return list
}

// It completed the handshake and never reads again. Its memory here is bounded
// in bytes, and it is gone when the bound is hit; the others do not notice.
func TestClientThatNeverReadsIsBounded(t *testing.T) {
	inBubble(t, 25*time.Millisecond, func(t *testing.T, w *world) {
		w.opts.MaxQueueBytes, w.opts.Authenticate = 100<<10, withTopics("t")
		w.net.buffer = 16 << 10
		w.start()
		w.raw(t, "client=dead")
		healthy := w.phone("healthy")
		healthy.on()
		healthy.wants("reset new")
		w.online("dead", "healthy")
		data := strings.Repeat("x", 10<<10)
		for i := range 20 {
			start := time.Now()
			w.publish("t", 0, data)
			healthy.wants("t:" + data)
			require.Equal(t, 25*time.Millisecond, time.Since(start), "message %d", i)
		}
		require.False(t, w.srv.Online("dead"))
		s := w.srv.Stats()
		require.EqualValues(t, 1, s.Slow)
		require.LessOrEqual(t, s.PeakQueueBytes, int64(100<<10))
		require.Greater(t, s.PeakQueueBytes, int64(80<<10), "not before the bound")
		healthy.off()
	})
}

// Under Block the publisher goes on at the instant when the client catches up.
func TestBlockedPublisherGoesOnWhenTheClientCatchesUp(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.opts.Slow, w.opts.Window, w.opts.MaxQueue = push.Block, 1, 1
		w.start()
		p, gate := w.gated("phone")
		p.on()
		p.wants("reset new")
		w.online("phone")
		w.publish(mailbox, 0, "in the window")
		synctest.Wait()
		w.publish(mailbox, 0, "in the queue")
		time.AfterFunc(300*time.Millisecond, func() { gate <- struct{}{} })
		start := time.Now()
		w.publish(mailbox, 0, "too much")
		require.Equal(t, 300*time.Millisecond, time.Since(start))
		gate <- struct{}{}
		gate <- struct{}{}
		p.wants("in the window", "in the queue", "too much")
		p.off()
		s := w.srv.Stats()
		require.EqualValues(t, 1, s.Blocked)
		require.Equal(t, 300*time.Millisecond, s.BlockedTime)
		require.Zero(t, s.Slow)
		require.EqualValues(t, 1, p.Stats().Connects)
	})
}

// The TTL ends while the message waits in the queue of a slow client.
func TestMessageThatExpiresInTheQueueIsNotSent(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.opts.Window = 1
		w.start()
		p, gate := w.gated("phone")
		p.on()
		p.wants("reset new")
		w.online("phone")
		w.publish(mailbox, 0, "one")
		w.publish(mailbox, 5*time.Second, "short")
		w.publish(mailbox, 0, "two")
		_, err := w.srv.Publish(t.Context(), push.Message{Topic: mailbox, TTL: push.Now, Data: []byte("now")})
		require.ErrorIs(t, err, push.ErrNotDelivered)
		gate <- struct{}{}
		gate <- struct{}{}
		p.wants("one", "two")
		time.Sleep(time.Minute)
		p.idle()
		p.off()
		require.EqualValues(t, 2, w.srv.Stats().Expired, "the short one and the one for now")
		require.EqualValues(t, 3, w.srv.Stats().Sent+w.srv.Stats().Expired-1)
	})
}

func TestGapWithoutAHandlerEndsRun(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.opts.Slow, w.opts.Window, w.opts.MaxQueue = push.DropOldest, 1, 1
		w.start()
		p, gate := w.gated("phone")
		p.OnGap = nil
		p.on()
		p.wants("reset new")
		w.online("phone")
		for i := range 4 {
			w.publish(mailbox, 0, fmt.Sprint(i))
			synctest.Wait()
		}
		gate <- struct{}{}
		require.ErrorIs(t, p.ended(), push.ErrGap)
		require.EqualValues(t, 1, p.Cursor().Offset, "the gap is not passed over")
	})
}

// A thousand events are acknowledged with few messages: one a second, or one
// per half window.
func TestAcknowledgementsAreFew(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		var acked []string
		w.opts.OnAck = func(client string, c eventlog.Cursor) { acked = append(acked, client+" "+c.String()) }
		w.start()
		p := w.phone("phone")
		p.on()
		p.wants("reset new")
		w.online("phone")
		for i := range 1000 {
			w.publish(mailbox, 0, fmt.Sprint(i))
			p.wants(fmt.Sprint(i))
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		require.EqualValues(t, 8, p.Stats().Acks, "7 for 128 each, and one for the rest a second later")
		require.Equal(t, "phone e1-1000", acked[len(acked)-1])
		require.EqualValues(t, 1000, w.srv.Stats().Acked)
		require.Equal(t, "e1-1000", w.srv.Presence()[0].Acked.String())
		p.off()
	})
}

// The bytes on the wire, so that a change of the protocol is a decision.
func TestWireProtocol(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.opts.Authenticate, w.opts.RetrySpread = withTopics("news"), 3*time.Second
		w.start()
		now := time.Now()
		c := w.raw(t, "client=phone")
		var hello map[string]any
		require.NoError(t, json.Unmarshal([]byte(text(t, c)), &hello))
		require.Equal(t, map[string]any{"type": "hello", "hello": map[string]any{
			"cursor": "e1-0", "reset": "new", "now_us": float64(now.UnixMicro()),
			"ping_interval_us": 25e6, "ping_timeout_us": 10e6,
			"version": 1.0, "window": 256.0, "window_bytes": 256.0 * 1024, "spread_us": 3e6,
		}}, hello)
		w.publish("news", 0, "hi")
		w.publish(mailbox, 0, "you")
		for _, want := range []string{"\x01\x01\x00\x04newshi", "\x01\x02\x00\x00you"} {
			typ, b, err := receive(c)
			require.NoError(t, err)
			require.Equal(t, websocket.MessageBinary, typ)
			require.Equal(t, want, string(b))
		}
		require.NoError(t, c.Write(t.Context(), websocket.MessageText, []byte(`{"type":"ack","offset":2}`)))
		synctest.Wait()
		require.EqualValues(t, 2, w.srv.Stats().Acked)
	})
}
