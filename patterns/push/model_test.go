package push_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/push"
)

// Whatever is done to the connection, the client, the server and the log: what a
// client handles between two resets is exactly what was published for it, in
// order, from where the reset put it, and nothing after it had expired.
func TestRecoveryModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { rapid.SyncTest(t, recoveryModel) })
}

// sent is a publication, as the oracle remembers it.
type sent struct {
	at      eventlog.Cursor
	mine    bool
	expires time.Time // zero: never
}

// handled is a call of a handler: an event, or a reset if fresh.
type handled struct {
	at    eventlog.Cursor
	fresh bool
	when  time.Time
}

func recoveryModel(t *rapid.T) {
	w := onPipes(t, time.Duration(rapid.IntRange(0, 1).Draw(t, "delay"))*10*time.Millisecond)
	w.opts.Authenticate = withTopics()
	w.opts.Window = rapid.IntRange(1, 4).Draw(t, "window")
	w.opts.MaxQueue = rapid.IntRange(1, 8).Draw(t, "queue")
	w.opts.Slow = rapid.SampledFrom([]push.SlowPolicy{push.Disconnect, push.Block}).Draw(t, "policy")
	w.start()
	defer func() {
		w.stop()
		time.Sleep(time.Hour)
	}()

	var published []sent
	var history []handled
	p := w.phone("phone")
	p.Jitter = nil
	p.OnEvent = func(_ context.Context, e push.Event) error {
		history = append(history, handled{at: e.Cursor, when: time.Now()})
		return nil
	}
	p.OnReset = func(_ context.Context, r push.Reset) error {
		history = append(history, handled{at: r.Cursor, fresh: true})
		return nil
	}
	running := false
	epoch := uint64(0xe1)
	publish := func(topic string, ttl time.Duration) {
		now := time.Now()
		r := w.publish(topic, ttl, "x")
		s := sent{at: r.Cursor, mine: topic == mailbox}
		if ttl > 0 {
			s.expires = now.Add(ttl)
		}
		published = append(published, s)
	}
	t.Repeat(map[string]func(*rapid.T){
		"publish":         func(*rapid.T) { publish(mailbox, 0) },
		"publish more":    func(*rapid.T) { publish(mailbox, 0) },
		"publish mortal":  func(*rapid.T) { publish(mailbox, 3*time.Second) },
		"publish another": func(*rapid.T) { publish("other", 0) },
		"wait":            func(t *rapid.T) { time.Sleep(time.Duration(rapid.IntRange(1, 8000).Draw(t, "ms")) * time.Millisecond) },
		"cut":             func(*rapid.T) { w.cut() },
		"stall":           func(*rapid.T) { w.net.Stall() },
		"client on or off": func(*rapid.T) {
			if running = !running; running {
				p.on()
				return
			}
			p.off()
		},
		"compact": func(*rapid.T) { require.NoError(t, w.log.Compact(w.log.Head())) },
		"server restarts": func(*rapid.T) {
			w.stop()
			w.start()
		},
		"server restarts without its log": func(*rapid.T) {
			w.stop()
			epoch++
			w.log = eventlog.NewMemory(eventlog.Options{Epoch: epoch})
			w.start()
		},
	})
	if !running {
		p.on()
	}
	time.Sleep(10 * time.Minute) // for everything to settle
	require.Equal(t, w.log.Head().Epoch, p.Cursor().Epoch, "settled on the log that there is")
	p.off()
	check(t, published, history, w.log.Head())
}

// check compares the history with the publications.
func check(t *rapid.T, published []sent, history []handled, head eventlog.Cursor) {
	require.True(t, len(history) > 0 && history[0].fresh, "a new client starts with a reset")
	for i := 0; i < len(history); {
		from := history[i].at
		got := map[eventlog.Cursor]time.Time{}
		last := from
		for i++; i < len(history) && !history[i].fresh; i++ {
			at := history[i].at
			require.Equal(t, from.Epoch, at.Epoch)
			require.Greater(t, at.Offset, last.Offset, "in order, and once")
			last, got[at] = at, history[i].when
		}
		end := last.Offset
		if i == len(history) {
			end = head.Offset
		}
		for _, s := range published {
			when, ok := got[s.at]
			delete(got, s.at)
			what := fmt.Sprintf("entry %s", s.at)
			switch {
			case ok:
				require.True(t, s.mine, "%s is not this client's", what)
				// It knows the server's clock to within the transit of the hello.
				if !s.expires.IsZero() {
					require.True(t, when.Before(s.expires.Add(10*time.Millisecond)), "%s came at its expiry or later", what)
				}
			case s.mine && s.at.Epoch == from.Epoch && s.at.Offset > from.Offset && s.at.Offset <= end:
				require.False(t, s.expires.IsZero(), "%s is missing", what)
			}
		}
		require.Empty(t, got, "nobody published these")
	}
}
