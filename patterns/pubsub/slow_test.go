package pubsub_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/pubsub"
)

// PS-P7: what each policy does to a subscriber that takes nothing for a while, and to
// nobody else.
func TestSlowPolicies(t *testing.T) {
	for _, row := range []struct {
		policy   pubsub.SlowPolicy
		got      []int // of 20, when it goes on
		missed   int64
		connects int64
		reason   string
	}{
		{pubsub.Backpressure, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}, 0, 1, "the log keeps them"},
		{pubsub.DropOldest, []int{1, 2, 16, 17, 18, 19, 20}, 13, 1, "two are in flight, the last five wait"},
		{pubsub.DropNewest, []int{1, 2, 3, 4, 5, 6, 7}, 13, 1, "two are in flight, the first five wait"},
		{pubsub.Disconnect, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20}, 0, 2, "it comes back and goes on"},
	} {
		for _, once := range []bool{false, true} {
			t.Run(fmt.Sprintf("policy=%d/at most once=%v", row.policy, once), func(t *testing.T) {
				inBubble(t, func(t *testing.T, w *world) {
					c := w.client("slow")
					slow := w.subscribe(c, pubsub.SubscribeOptions{
						Filter: "t", Name: "slow", MaxInFlight: 2, MaxPending: 5, Slow: row.policy, AtMostOnce: once,
					})
					fast := w.subscribe(w.client("fast"), pubsub.SubscribeOptions{Filter: "t", MaxPending: 5, Slow: row.policy})
					for i := range 20 {
						published := time.Now()
						w.publish("t", fmt.Sprint(i+1))
						require.Zero(t, time.Since(published), "publishers do not wait")
						fast.acks(fmt.Sprint(i + 1))
						require.Equal(t, delay, time.Since(published).Round(ms), "nor do other subscribers")
						time.Sleep(20 * ms)
					}
					require.LessOrEqual(t, w.b.Stats().HeldBytes, int64(1000))
					stats, _ := w.b.Subscription("slow")
					require.LessOrEqual(t, stats.Pending, int64(2+5+1))

					missed, got := int64(0), row.got
					if row.missed > 0 {
						// Some of it was heard of at once, before the messages that wait.
						slow.next("1", 1).Ack()
						slow.next("2", 1).Ack()
						got = got[2:]
						for gaps := 1; missed < row.missed; gaps++ {
							gap := slow.gap()
							require.LessOrEqual(t, gaps, 2, "the first loss is told at once, the others together")
							require.Equal(t, pubsub.ReasonSlow, gap.Reason)
							missed += gap.Missed
						}
					}
					for _, i := range got {
						slow.next(fmt.Sprint(i), 1).Ack()
					}
					require.Equal(t, row.missed, missed, row.reason)
					slow.idle(time.Minute)
					require.Equal(t, row.connects, c.Stats().Connects)
					stats, _ = w.b.Subscription("slow")
					require.Equal(t, row.missed, stats.Dropped, "drops are counted")
					require.Zero(t, stats.Pending)
				})
			})
		}
	}
}

// A subscriber that comes back to much is not slow.
func TestPolicyWaitsForCatchUp(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		for i := range 50 {
			w.publish("t", fmt.Sprint(i))
		}
		s := w.subscribe(w.client("c"), pubsub.SubscribeOptions{
			Filter: "t", MaxInFlight: 2, MaxPending: 5, Slow: pubsub.DropNewest,
		})
		for i := range 50 {
			s.acks(fmt.Sprint(i))
			time.Sleep(100 * ms)
		}
		s.idle(time.Minute)
	})
}

// One subscription of a client that takes nothing does not hold up another of the same
// connection.
func TestSubscriptionsOfAConnectionAreIndependent(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		c := w.client("c")
		stuck := w.subscribe(c, pubsub.SubscribeOptions{Filter: "t"})
		s := w.subscribe(c, pubsub.SubscribeOptions{Filter: "t"})
		large := string(make([]byte, 5_000)) // two of them are within TCP's initial window
		for range 300 {                      // 1.5 MB for each
			began := time.Now()
			w.publish("t", large)
			s.acks(large)
			require.Equal(t, delay, time.Since(began).Round(ms))
			time.Sleep(20 * ms)
		}
		for range 300 {
			stuck.acks(large)
		}
	})
}

// PS-P7: what the broker holds for a subscriber that does not read is its window, however
// much is published.
func TestHeldBytesAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.stop()
		w.log = eventlog.NewMemory(eventlog.Options{Epoch: 0xe1, MaxBytes: 1 << 20})
		w.start()
		s := w.subscribe(w.client("c"), pubsub.SubscribeOptions{Filter: "t", Name: "n", MaxInFlightBytes: 100_000})
		for range 1000 {
			w.publish("t", string(make([]byte, 10_000)))
			time.Sleep(ms)
			require.LessOrEqual(t, w.b.Stats().HeldBytes, int64(111_000))
		}
		time.Sleep(sec)
		for range 10 {
			s.next(string(make([]byte, 10_000)), 1).Ack()
		}
		require.Equal(t, eventlog.ReasonCompacted, s.gap().Reason, "the log is smaller than the subscriber's lag")
	})
}

// What was delivered once is somebody's work, and is not dropped to make room.
func TestDropOldestKeepsRedeliveries(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		s := w.subscribe(w.client("c"), pubsub.SubscribeOptions{Filter: "t", Name: "n", MaxInFlight: 1, MaxPending: 2, Slow: pubsub.DropOldest})
		w.publish("t", "1")
		s.next("1", 1).Nack(5 * sec)
		time.Sleep(sec)
		for _, data := range []string{"2", "3", "4", "5"} {
			w.publish("t", data)
			time.Sleep(ms)
		}
		two := s.next("2", 1)
		require.EqualValues(t, 1, s.gap().Missed)
		two.Ack()
		require.EqualValues(t, 1, s.gap().Missed, "3, and then 4")
		s.next("5", 1).Ack()
		s.next("1", 2).Ack()
	})
}
