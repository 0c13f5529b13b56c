package push_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/push"
)

var mailbox = push.Mailbox("phone")

func TestOfflineClientGetsItsMailInOrder(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		w.start()
		p := w.phone("phone")
		p.on()
		p.wants("reset new")
		w.online("phone")
		w.publish(mailbox, 0, "one")
		p.wants("one")
		require.ErrorIs(t, p.off(), context.Canceled)
		w.eventually("the client gone", func() bool { return !w.srv.Online("phone") })

		w.publish(mailbox, time.Hour, "two")
		w.publish(push.Mailbox("other"), time.Hour, "not mine")
		w.publish(mailbox, time.Hour, "three")
		p.on()
		p.wants("two", "three")
		p.off()

		p.idle()
		require.EqualValues(t, 1, w.srv.Stats().Recovered)
		require.Zero(t, p.Stats().Duplicates)
	})
}

func TestMessagesForOneWhoNeverConnectedWait(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		w.start()
		w.publish(mailbox, time.Hour, "welcome")
		p := w.phone("phone")
		p.on()
		p.wants("reset new", "welcome")
		p.off()
	})
}

// A message with a TTL of 30 s is delivered to one who comes within 30 s of its
// publication, to the nanosecond, and to nobody after.
func TestTTLEndsToTheNanosecond(t *testing.T) {
	for _, row := range []struct {
		reason string
		away   time.Duration
		want   []string
	}{
		{"the last instant", 30*time.Second - 1, []string{"reset new", "short", "long"}},
		{"the instant of expiry", 30 * time.Second, []string{"reset new", "long"}},
		{"long after", 50 * time.Second, []string{"reset new", "long"}},
	} {
		t.Run(row.reason, func(t *testing.T) {
			inBubble(t, 0, func(t *testing.T, w *world) {
				w.start()
				w.publish(mailbox, 30*time.Second, "short")
				w.publish(mailbox, time.Minute, "long")
				time.Sleep(row.away)

				p := w.phone("phone")
				p.on()
				p.wants(row.want...)
				time.Sleep(time.Minute)
				p.idle()
				p.off()

				missed := int64(3 - len(row.want))
				require.Equal(t, missed, w.srv.Stats().Expired)
				require.Equal(t, missed, p.Stats().Expired, "the client is told what it missed")
			})
		})
	}
}

// What was delivered in time must not be counted as expired when its TTL ends.
func TestExpiryCountsOnlyWhatNobodyHad(t *testing.T) {
	inBubble(t, time.Millisecond, func(t *testing.T, w *world) {
		w.start()
		p := w.phone("phone")
		p.on()
		p.wants("reset new")
		w.online("phone")
		w.publish(mailbox, 10*time.Second, "had")
		p.wants("had")
		time.Sleep(2 * time.Second) // for the acknowledgement
		p.off()
		w.publish(mailbox, 10*time.Second, "missed")
		time.Sleep(time.Minute)
		require.EqualValues(t, 1, w.srv.Stats().Expired)
		p.on()
		time.Sleep(time.Second)
		p.off()
		p.idle()
		require.EqualValues(t, 1, p.Stats().Expired)
	})
}

// The TTL ends while the message is on its way: nobody may see it. The client
// knows the server's clock to within the transit of the hello, 40 ms here.
func TestMessageThatExpiresInTransitIsNotHandled(t *testing.T) {
	inBubble(t, 40*time.Millisecond, func(t *testing.T, w *world) {
		w.start()
		p := w.phone("phone")
		p.on()
		p.wants("reset new")
		w.online("phone")
		w.net.SetDelay(10 * time.Second)
		w.publish(mailbox, 10*time.Second-41*time.Millisecond, "late")
		w.publish(mailbox, 10*time.Second-39*time.Millisecond, "just in time, as far as it can know")
		p.wants("just in time, as far as it can know")
		require.EqualValues(t, 1, p.Stats().Expired)
		require.EqualValues(t, 2, p.Cursor().Offset)
		p.off()
	})
}

func TestTTLNowIsNowOrNever(t *testing.T) {
	inBubble(t, 25*time.Millisecond, func(t *testing.T, w *world) {
		w.start()
		now := push.Message{Topic: mailbox, TTL: push.Now, Data: []byte("now")}

		start := time.Now()
		_, err := w.srv.Publish(t.Context(), now)
		require.ErrorIs(t, err, push.ErrNotDelivered, "nobody is connected")
		require.Zero(t, time.Since(start))

		p := w.phone("phone")
		p.on()
		p.wants("reset new")
		w.online("phone")
		start = time.Now()
		r, err := w.srv.Publish(t.Context(), now)
		require.NoError(t, err)
		require.Equal(t, push.Receipt{Online: 1, Delivered: 1}, r)
		require.Equal(t, 50*time.Millisecond, time.Since(start), "there, and the confirmation back")
		p.wants("now")

		w.net.Stall() // the client's host loses power; the server does not know
		start = time.Now()
		r, err = w.srv.Publish(t.Context(), now)
		require.ErrorIs(t, err, push.ErrNotDelivered)
		require.Equal(t, push.Receipt{Online: 1}, r)
		require.Equal(t, 10*time.Second, time.Since(start), "NowTimeout")
		p.off()
		require.Zero(t, w.log.Stats().Appended)
		require.EqualValues(t, 2, w.srv.Stats().NotDelivered)
	})
}

func TestNowComesAfterWhatWasPublishedBefore(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		w.start()
		p := w.phone("phone")
		p.on()
		p.wants("reset new")
		w.online("phone")
		for i := range 20 {
			w.publish(mailbox, time.Hour, fmt.Sprint("log ", i))
			w.publish(mailbox, push.Now, fmt.Sprint("now ", i))
			p.wants(fmt.Sprint("log ", i), fmt.Sprint("now ", i))
		}
		p.off()
	})
}

// The process dies, the file stays: epoch and mail are as before.
func TestRestartWithTheLogLosesNothing(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		path := filepath.Join(t.TempDir(), "log")
		open := func() {
			disk, err := eventlog.OpenDisk(path, eventlog.Options{Epoch: 7})
			require.NoError(t, err)
			w.log = disk
		}
		open()
		w.start()
		p := w.phone("phone")
		p.on()
		p.wants("reset new")
		w.online("phone")
		w.publish(mailbox, time.Hour, "one")
		p.wants("one")
		p.off()
		w.publish(mailbox, time.Hour, "two")

		w.stop()
		require.NoError(t, w.log.Close())
		open()
		defer func() { w.log.Close() }()
		w.start()
		w.publish(mailbox, time.Hour, "three")
		p.on()
		p.wants("two", "three")
		p.off()
		require.EqualValues(t, 1, w.srv.Stats().Recovered)
		w.stop()
	})
}

func TestRestartWithoutTheLogIsSaid(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		w.start()
		p := w.phone("phone")
		p.on()
		p.wants("reset new")
		w.online("phone")
		w.publish(mailbox, time.Hour, "one")
		p.wants("one")
		p.off()
		w.publish(mailbox, time.Hour, "lost with the log")

		w.stop()
		w.log = eventlog.NewMemory(eventlog.Options{Epoch: 0xe2})
		w.start()
		w.publish(mailbox, time.Hour, "since then")
		p.on()
		p.wants("reset wrong-epoch", "since then")
		p.off()
		require.EqualValues(t, 1, w.srv.Stats().Resets[eventlog.ReasonWrongEpoch])
		require.Zero(t, w.srv.Stats().Recovered)
	})
}

func TestPositionTheServerCanNotServe(t *testing.T) {
	for _, row := range []struct {
		reason string
		from   eventlog.Cursor
		want   string
	}{
		{"more was dropped than the log holds", eventlog.Cursor{Epoch: 0xe1, Offset: 1}, "reset compacted"},
		{"the log ends before what the client has seen", eventlog.Cursor{Epoch: 0xe1, Offset: 99}, "reset future"},
		{"another life of the log", eventlog.Cursor{Epoch: 1, Offset: 5}, "reset wrong-epoch"},
		{"no position at all", eventlog.Cursor{}, "reset new"},
	} {
		t.Run(row.reason, func(t *testing.T) {
			everywhere(t, func(t *testing.T, w *world) {
				w.log = eventlog.NewMemory(eventlog.Options{Epoch: 0xe1, MaxEntries: 3})
				w.start()
				for i := range 6 {
					w.publish(mailbox, time.Hour, fmt.Sprint(i+1))
				}
				p := w.phone("phone")
				p.From = row.from
				p.on()
				p.wants(row.want, "4", "5", "6")
				p.off()
				require.Equal(t, eventlog.Cursor{Epoch: 0xe1, Offset: 6}, p.Cursor())
			})
		})
	}
}

// The event falls between the reading of the snapshot and the subscription. The
// position was read first, so it comes.
func TestSnapshotHasNoHole(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		total := 0
		w.opts.Snapshot = func(ctx context.Context, id access.Identity) ([]byte, error) {
			require.Equal(t, "phone", id.Client)
			state := fmt.Sprint("total ", total)
			w.publish(mailbox, time.Hour, "between")
			return []byte(state), nil
		}
		w.start()
		w.publish(mailbox, time.Hour, "in the snapshot")
		total = 1
		p := w.phone("phone")
		p.on()
		p.wants("reset new total 1", "between")
		p.off()
		p.idle()
	})
}

func TestFailingSnapshotIsTriedAgain(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		calls := 0
		w.opts.Snapshot = func(context.Context, access.Identity) ([]byte, error) {
			if calls++; calls < 3 {
				return nil, errors.New("store is down")
			}
			return []byte("state"), nil
		}
		w.start()
		p := w.phone("phone")
		p.on()
		p.wants("reset new state")
		require.EqualValues(t, 2, w.srv.Stats().Failed)
		p.off()
	})
}

// The bytes had left the server and had not reached the client.
func TestCutInTransitNeitherLosesNorRepeats(t *testing.T) {
	inBubble(t, 40*time.Millisecond, func(t *testing.T, w *world) {
		w.start()
		p := w.phone("phone")
		p.on()
		p.wants("reset new")
		w.online("phone")
		w.publish(mailbox, time.Hour, "one")
		time.Sleep(30 * time.Millisecond)
		w.publish(mailbox, time.Hour, "two")
		time.Sleep(30 * time.Millisecond) // one has arrived, two is on its way

		start := time.Now()
		w.cut()
		p.wants("one", "two")

		// The first delay is zero; dial, request, answer with hello and events.
		require.Equal(t, 160*time.Millisecond, time.Since(start))
		require.Zero(t, p.Stats().Duplicates)
		require.EqualValues(t, 2, p.Stats().Events)
		p.off()
	})
}

// Publishers never stop while the client is cut off again and again.
func TestPublishDuringResumeComesExactlyOnceInOrder(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		w.opts.RetrySpread = -1
		w.start()
		p := w.phone("phone")
		p.on()
		p.wants("reset new")

		const publishers, each = 4, 100
		var all sync.WaitGroup
		for k := range publishers {
			all.Go(func() {
				for i := range each {
					w.publish(mailbox, time.Hour, fmt.Sprint(k, " ", i))
					if i%10 == 0 {
						time.Sleep(time.Millisecond)
					}
				}
			})
		}
		all.Go(func() {
			for range 10 {
				time.Sleep(3 * time.Millisecond)
				w.cut()
			}
		})
		next := make([]int, publishers)
		for range publishers * each {
			var k, i int
			_, err := fmt.Sscanf(p.next(), "%d %d", &k, &i)
			require.NoError(t, err)
			require.Equal(t, next[k], i, "publisher %d", k)
			next[k]++
		}
		all.Wait()
		p.off()
		p.idle()
		require.Zero(t, p.Stats().Duplicates)
	})
}

// Nothing happens for this client while the log turns over. It is told the
// position with the heartbeat, and need not start again when it comes back.
func TestQuietClientIsNotOvertakenByTheLog(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.log = eventlog.NewMemory(eventlog.Options{Epoch: 0xe1, MaxEntries: 5})
		w.opts.Authenticate = withTopics()
		w.start()
		p := w.phone("phone")
		p.on()
		p.wants("reset new")
		w.online("phone")
		for i := range 20 {
			w.publish("others", time.Hour, fmt.Sprint(i))
		}
		time.Sleep(25*time.Second + time.Millisecond)
		require.EqualValues(t, 20, p.Cursor().Offset)
		p.off()
		w.publish(mailbox, time.Hour, "back")
		p.on()
		p.wants("back")
		p.off()
	})
}

// Others write to the same log, not through this server.
func TestForeignEntriesAreRouted(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		w.opts.Authenticate = withTopics("news")
		w.start()
		p := w.phone("phone")
		p.on()
		p.wants("reset new")
		w.online("phone")
		_, err := w.log.Append(t.Context(), eventlog.Entry{Topic: "news", Data: []byte("a")}, eventlog.Entry{Topic: mailbox, Data: []byte("b")})
		require.NoError(t, err)
		p.wants("news:a", "b")
		p.off()
	})
}

func TestClosedLogIsNotSilence(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, w *world) {
		w.start()
		p := w.phone("phone")
		p.on()
		p.wants("reset new")
		w.online("phone")
		w.log.Close()
		synctest.Wait()
		require.False(t, w.srv.Online("phone"))
		_, err := w.srv.Publish(t.Context(), push.Message{Topic: mailbox, TTL: time.Hour})
		require.ErrorIs(t, err, eventlog.ErrClosed)
		p.off()
	})
}
