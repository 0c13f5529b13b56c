package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/pubsub"
)

// PS-P9: each start is exact at the boundary.
func TestStarts(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.publish("t", "1", "2", "3")
		at := w.log.Head()
		w.publish("t", "4", "5")
		c := w.client("c")
		latest := w.subscribe(c, pubsub.SubscribeOptions{Filter: "t", FromNow: true})
		beginning := w.subscribe(c, pubsub.SubscribeOptions{Filter: "t"})
		cursor := w.subscribe(c, pubsub.SubscribeOptions{Filter: "t", From: at})
		w.publish("t", "6")
		require.Equal(t, eventlog.Cursor{Epoch: 0xe1, Offset: 5}, latest.From())
		require.Equal(t, eventlog.Cursor{Epoch: 0xe1}, beginning.From())
		require.Equal(t, at, cursor.From())
		latest.acks("6")
		beginning.acks("1", "2", "3", "4", "5", "6")
		cursor.acks("4", "5", "6")
	})
}

// PS-P9: while messages come, a subscriber gets exactly those after its start.
func TestSubscribeRacesPublish(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		c := w.client("c")
		published := make(chan bool)
		go func() {
			defer close(published)
			for i := range 600 {
				w.publish("t", fmt.Sprint(i+1))
				time.Sleep(ms)
			}
		}()
		for range 10 {
			s := w.subscribe(c, pubsub.SubscribeOptions{Filter: "t", FromNow: true})
			first := s.From().Offset + 1
			for i := range uint64(5) {
				s.acks(fmt.Sprint(first + i))
			}
			require.NoError(t, s.Unsubscribe(t.Context()))
		}
		<-published
	})
}

// PS-P1, PS-P10: with log and store on disk a restart loses no message and brings back none
// that was acknowledged, in whatever order.
func TestRestartKeepsPositions(t *testing.T) {
	for _, online := range []bool{true, false} {
		t.Run(fmt.Sprint("online=", online), func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				reopen := func() {
					log, err := eventlog.OpenDisk(filepath.Join(w.folder, "log"), eventlog.Options{})
					require.NoError(t, err)
					w.stop()
					w.log = log
					w.start()
				}
				reopen()
				defer func() { w.close(); w.log.Close() }()
				c := w.client("c")
				o := pubsub.SubscribeOptions{Filter: "t", Name: "n"}
				s := w.subscribe(c, o)
				w.publish("t", "1", "2", "3", "4", "5", "6")
				var ds []*pubsub.Delivery
				for i := range 5 {
					ds = append(ds, s.next(fmt.Sprint(i+1), 1))
				}
				for _, i := range []int{4, 0, 2} { // 5, 1 and 3
					require.NoError(t, ds[i].AckSync(t.Context()))
				}
				if !online {
					c.Close()
					time.Sleep(time.Hour)
				}
				w.publish("t", "7")
				w.stop()
				w.log.Close()
				reopen()
				if online {
					time.Sleep(5 * sec) // until it is back: what it had and did not take comes again
				} else {
					s = w.subscribe(w.client("c"), o)
				}
				var again []string
				for range 4 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					d, err := s.Next(ctx)
					cancel()
					if errors.Is(err, context.DeadlineExceeded) {
						break
					}
					require.NoError(t, err)
					again = append(again, string(d.Data))
					require.NoError(t, d.AckSync(t.Context()))
				}
				require.Equal(t, []string{"2", "4", "6", "7"}, again)
				s.idle(time.Hour)
			})
		})
	}
}

// Without a store a durable subscription lasts as long as the broker, and its clients
// bring their position to the next.
func TestPositionsWithoutStore(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.stop()
		w.folder = ""
		w.start()
		s := w.subscribe(w.client("c"), pubsub.SubscribeOptions{Filter: "t", Name: "n"})
		w.publish("t", "1", "2", "3")
		s.acks("1", "2", "3")
		w.stop()
		w.log.Append(t.Context(), eventlog.Entry{Topic: "t", Data: []byte("\x00\x00\x004")}) // while no broker is there
		w.start()
		s.next("4", 1).Ack()
		s.idle(time.Minute)
	})
}

// PS-P9, PS-19: what retention dropped is a gap, and the policy says where it goes on.
func TestRetentionPassesThePosition(t *testing.T) {
	for _, row := range []struct {
		reset pubsub.ResetPolicy
		first string
		why   string
	}{
		{pubsub.ResetEarliest, "8", "the oldest of three kept"},
		{pubsub.ResetLatest, "11", "what comes next"},
	} {
		inBubble(t, func(t *testing.T, w *world) {
			w.stop()
			w.log = eventlog.NewMemory(eventlog.Options{Epoch: 0xe1, MaxEntries: 3})
			w.start()
			o := pubsub.SubscribeOptions{Filter: "t", Name: "n", Reset: row.reset}
			c := w.client("c")
			s := w.subscribe(c, o)
			s.idle(sec)
			c.Close()
			time.Sleep(sec)
			for i := range 10 {
				w.publish("t", fmt.Sprint(i+1))
			}
			s = w.subscribe(w.client("c"), o)
			gap := s.gap()
			require.Equal(t, eventlog.ReasonCompacted, gap.Reason)
			time.Sleep(sec)
			if row.reset == pubsub.ResetLatest {
				w.publish("t", "11")
			}
			s.next(row.first, 1).Ack()

			// Who was told is told once.
			time.Sleep(sec)
			w.net.cut("c")
			w.publish("t", "12")
			for data := ""; data != "12"; {
				d, err := s.Next(t.Context())
				require.NoError(t, err, row.why)
				data = string(d.Data)
				d.Ack()
			}
		})
	}
}

// A gap is told until somebody has heard of it.
func TestGapsAreToldThoughTheWordWasLost(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		o := pubsub.SubscribeOptions{Filter: "t", Name: "n", From: eventlog.Cursor{Epoch: 0xbad, Offset: 7}}
		first := w.clientOnly("c")
		s := w.subscribe(first, o)
		w.net.cut("c") // the news is on its way
		first.Close()
		w.stop()
		w.start() // and the broker forgets what is not on disk
		s = w.subscribe(w.client("c"), o)
		require.Equal(t, eventlog.ReasonWrongEpoch, s.gap().Reason)
		time.Sleep(sec)
		s = w.subscribe(w.client("d"), o)
		s.idle(time.Minute)
	})
}

// A log that was put back ends before the position of its subscribers.
func TestLogThatWentBack(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		s := w.subscribe(w.client("c"), pubsub.SubscribeOptions{Filter: "t", Name: "n"})
		w.publish("t", "1", "2", "3")
		s.acks("1", "2", "3")
		time.Sleep(sec)
		w.stop()
		w.log = eventlog.NewMemory(eventlog.Options{Epoch: 0xe1})
		w.start()
		w.publish("t", "one")
		require.Equal(t, eventlog.ReasonFuture, s.gap().Reason)
		s.next("one", 1).Ack()
	})
}

// A message with a TTL is not delivered after it, the first time or again.
func TestExpiredMessagesAreNotDelivered(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		c := w.client("c")
		o := pubsub.SubscribeOptions{Filter: "t", Name: "n", AckWait: 5 * sec}
		s := w.subscribe(c, o)
		short := pubsub.Message{Topic: "t", TTL: 8 * sec, Data: []byte("short")}
		_, err := c.Publish(t.Context(), short)
		require.NoError(t, err)
		s.next("short", 1)
		s.next("short", 2)
		s.idle(time.Minute)
		c.Close()
		time.Sleep(sec)
		_, err = w.b.Publish(t.Context(), short)
		require.NoError(t, err)
		w.publish("t", "long")
		time.Sleep(8 * sec)
		s = w.subscribe(w.client("c"), o)
		s.acks("long")
	})
}

// When the store fails nothing is confirmed, and at most once sends nothing.
func TestStoreFails(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		c := w.client("c")
		once := w.subscribe(c, pubsub.SubscribeOptions{Filter: "t", Name: "once", AtMostOnce: true})
		often := w.subscribe(c, pubsub.SubscribeOptions{Filter: "t", Name: "often", MaxAttempts: 2})
		w.publish("t", "x")
		once.next("x", 1)
		x := often.next("x", 1)
		time.Sleep(sec)
		w.store.Close()
		w.publish("t", "y")
		once.idle(10 * sec)
		ctx, cancel := context.WithTimeout(t.Context(), sec)
		defer cancel()
		require.ErrorIs(t, x.AckSync(ctx), context.DeadlineExceeded)
	})
}
