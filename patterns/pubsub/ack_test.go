package pubsub_test

import (
	"context"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/pubsub"
)

// PS-P5: what is not acknowledged comes again, AckWait after the broker sent it.
func TestRedeliveryAfterAckWait(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		s := w.subscribe(w.client("c"), pubsub.SubscribeOptions{Filter: "t", Name: "n", AckWait: 7 * sec})
		w.publish("t", "x")
		began := time.Now()
		s.next("x", 1)
		require.Equal(t, delay, time.Since(began))
		s.next("x", 2)
		require.Equal(t, 7*sec+delay, time.Since(began))
		d := s.next("x", 3)
		require.Equal(t, 14*sec+delay, time.Since(began))
		require.NoError(t, d.AckSync(t.Context()))
		s.idle(time.Minute)
		stats, _ := w.b.Subscription("n")
		require.EqualValues(t, 2, stats.TimedOut)
		require.EqualValues(t, 2, stats.Redelivered)
		require.Zero(t, stats.Pending)
	})
}

// PS-P5: an acknowledgement may be repeated.
func TestAckIsIdempotent(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		s := w.subscribe(w.client("c"), pubsub.SubscribeOptions{Filter: "t", Name: "n"})
		w.publish("t", "x")
		d := s.next("x", 1)
		d.Ack()
		require.NoError(t, d.AckSync(t.Context()))
		require.NoError(t, d.AckSync(t.Context()))
		stats, _ := w.b.Subscription("n")
		require.EqualValues(t, 1, stats.Acked)
	})
}

// PS-P5: an acknowledgement that comes after the message was delivered again, to another
// member, does not settle the new delivery.
func TestLateAckDoesNotTakeTheNewDelivery(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		o := pubsub.SubscribeOptions{Filter: "t", Name: "n", AckWait: 5 * sec}
		s1 := w.subscribe(w.client("one"), o)
		w.publish("t", "x")
		d1 := s1.next("x", 1)
		s2 := w.subscribe(w.client("two"), o) // x's part is to move here when one is done with it
		d2 := s2.next("x", 2)

		require.ErrorIs(t, d1.AckSync(t.Context()), pubsub.ErrLate)
		stats, _ := w.b.Subscription("n")
		require.EqualValues(t, 1, stats.Pending, "two still has it")
		require.NoError(t, d2.AckSync(t.Context()))
		stats, _ = w.b.Subscription("n")
		require.Zero(t, stats.Pending)
		require.EqualValues(t, 1, stats.Late)
	})
}

// The same with one member: the message is its own still, and its late acknowledgement
// counts. What was delivered again meanwhile is not handed out.
func TestLateAckByTheOwner(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		s := w.subscribe(w.client("c"), pubsub.SubscribeOptions{Filter: "t", Name: "n", AckWait: 5 * sec})
		w.publish("t", "x")
		d := s.next("x", 1)
		time.Sleep(6 * sec)
		require.NoError(t, d.AckSync(t.Context()))
		s.idle(time.Minute)
		stats, _ := w.b.Subscription("n")
		require.Zero(t, stats.Pending)
		require.EqualValues(t, 2, stats.Delivered)
		require.EqualValues(t, 1, stats.Acked)
	})
}

// PS-P5, PS-P12: an acknowledgement that is lost with its connection is told when the
// client is back: the effect happens once, and the broker does not deliver again.
func TestLostAckIsToldOnReturn(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		s := w.subscribe(w.client("c"), pubsub.SubscribeOptions{Filter: "t", Name: "n"})
		w.publish("t", "x")
		d := s.next("x", 1)
		w.net.mutes("c", true)
		d.Ack()
		time.Sleep(15 * ms) // it is sent, and gone
		w.net.cut("c")
		w.net.mutes("c", false)
		s.idle(time.Minute)
		stats, _ := w.b.Subscription("n")
		require.EqualValues(t, 1, stats.Delivered)
		require.EqualValues(t, 1, stats.Acked)
	})
}

// What was sent and did not arrive comes again as soon as the client is back, and not
// after AckWait; what did arrive does not.
func TestReturnBringsWhatWasLost(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		s := w.subscribe(w.client("c"), pubsub.SubscribeOptions{Filter: "t", Name: "n"})
		w.publish("t", "a", "b")
		a := s.next("a", 1)
		time.Sleep(sec) // b waits in the client
		w.net.mutes("c", true)
		w.publish("t", "c")
		time.Sleep(sec)
		w.net.mutes("c", false)
		w.net.cut("c")
		began := time.Now()
		b := s.next("b", 1)
		c := s.next("c", 2)
		// The client learns at once that its connection ends, then come MinDelay and three
		// round trips for the connection, hello and subscribe; the last way back is the
		// delivery's.
		require.Equal(t, 100*ms+6*delay, time.Since(began))
		for _, d := range []*pubsub.Delivery{a, b, c} {
			require.NoError(t, d.AckSync(t.Context()))
		}
	})
}

// A message that comes again when everything up to it is done, since its acknowledgement
// crossed it on the way, is not returned, although the client has forgotten that it
// acknowledged it.
func TestWhatIsDoneDoesNotComeAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.stop()
		l := w.listen()
		defer l.Close()
		begun := make(chan *sub)
		go func() { begun <- w.subscribe(w.client("c"), pubsub.SubscribeOptions{Filter: "t", MaxInFlight: 1}) }()
		broker, err := l.Accept()
		require.NoError(t, err)
		defer broker.Close()
		says := func(frame []byte) {
			_, err := broker.Write(frame)
			require.NoError(t, err)
		}
		deliver := func(offset, floor, attempt byte) {
			says([]byte{0, 0, 0, 13, 'd', 1, 1, offset, floor, attempt, 0, 1, 't', 0, 0, 0, '0' + offset})
		}
		says(rawControl(`{"type":"welcome","version":3,"session_timeout_ns":30000000000,"max_message_bytes":65536}`))
		says(rawControl(`{"type":"subscribed","sub":1,"generation":1,"cursor":"e1-0"}`))
		s := <-begun
		for offset := byte(1); offset <= 4; offset++ {
			deliver(offset, 0, 1)
			s.acks(fmt.Sprint(offset))
		}
		deliver(5, 0, 1)
		five := s.next("5", 1)
		deliver(1, 4, 2)
		time.Sleep(sec)
		five.Ack()
		s.idle(sec)
		deliver(6, 5, 1)
		s.acks("6")

		// Nor does the client believe that it still has it.
		time.Sleep(sec)
		broker.Close()
		broker, err = l.Accept()
		require.NoError(t, err)
		says(rawControl(`{"type":"welcome","version":3,"session_timeout_ns":30000000000,"max_message_bytes":65536}`))
		require.Contains(t, nextFrame(t, broker), `"hello"`)
		again := nextFrame(t, broker)
		require.Contains(t, again, `"resume":{"generation":1,`)
		require.NotContains(t, again, `"held"`)
	})
}

func TestNackBringsItAgainAfterThePause(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		s := w.subscribe(w.client("c"), pubsub.SubscribeOptions{Filter: "t", Name: "n"})
		w.publish("t", "x", "y")
		d := s.next("x", 1)
		y := s.next("y", 1)
		began := time.Now()
		d.Nack(0)
		d = s.next("x", 2)
		require.Equal(t, 2*delay, time.Since(began), "at once")
		began = time.Now()
		d.Nack(3 * sec)
		y.Ack()
		s.next("x", 3).Ack()
		require.Equal(t, 2*delay+3*sec, time.Since(began), "others do not wait for it")
	})
}

// A Nack that is lost with its connection: the client, when it is back, does not hold the message any more, so
// that it comes at once rather than after AckWait.
func TestALostNack(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		s := w.subscribe(w.client("c"), pubsub.SubscribeOptions{Filter: "t", Name: "n"})
		w.publish("t", "x")
		d := s.next("x", 1)
		w.net.mutes("c", true)
		d.Nack(0)
		time.Sleep(1) // else it is the runtime's choice whether the Nack is sent
		w.net.cut("c")
		w.net.mutes("c", false)
		began := time.Now()
		d = s.next("x", 2)
		require.Equal(t, 100*ms+6*delay, time.Since(began), "MinDelay, then a round trip each for TCP, for hello and for subscribe, whose answer brings it")
		require.NoError(t, d.AckSync(t.Context()))
	})
}

func TestExtendGivesMoreTime(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		s := w.subscribe(w.client("c"), pubsub.SubscribeOptions{Filter: "t", Name: "n", AckWait: 5 * sec})
		w.publish("t", "x")
		began := time.Now()
		d := s.next("x", 1)
		for range 4 {
			time.Sleep(4 * sec)
			require.NoError(t, d.Extend(t.Context(), 5*sec))
		}
		extended := time.Now().Add(-delay) // when the broker heard the last
		d2 := s.next("x", 2)
		require.Equal(t, 5*sec+delay, time.Since(extended))
		require.Greater(t, time.Since(began), 20*sec)
		require.ErrorIs(t, d.Extend(t.Context(), 5*sec), pubsub.ErrLate)
		require.NoError(t, d2.AckSync(t.Context()))
	})

	// More than a year is a year, and no reason for the broker to send the client away.
	inBubble(t, func(t *testing.T, w *world) {
		c := w.client("c")
		s := w.subscribe(c, pubsub.SubscribeOptions{Filter: "t", Name: "n"})
		w.publish("t", "x", "y")
		s.next("x", 1).Nack(math.MaxInt64)
		d := s.next("y", 1)
		ctx, cancel := context.WithTimeout(t.Context(), sec)
		defer cancel()
		require.NoError(t, d.Extend(ctx, math.MaxInt64))
		time.Sleep(time.Hour)
		require.NoError(t, d.AckSync(t.Context()))
		require.EqualValues(t, 1, c.Stats().Connects)
	})
}

// PS-P6: a message that is never acknowledged becomes a dead letter, and others flow.
func TestPoisonBecomesADeadLetter(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		c := w.client("c")
		s := w.subscribe(c, pubsub.SubscribeOptions{Filter: ">", Name: "n", MaxAttempts: 3, AckWait: 5 * sec})
		dead := w.subscribe(c, pubsub.SubscribeOptions{Filter: "dead-letters.n"})
		r, err := w.b.Publish(context.Background(), pubsub.Message{Topic: "t", Key: "k", Headers: map[string]string{"trace": "7"}, Data: []byte("poison")})
		require.NoError(t, err)
		w.publish("t", "good 1", "good 2")
		began := time.Now()
		s.next("poison", 1)
		s.acks("good 1", "good 2")
		s.next("poison", 2)
		s.next("poison", 3).Nack(time.Hour) // the last attempt: there is nothing to wait for
		d := dead.next("poison", 1)
		require.Equal(t, 10*sec+3*delay, time.Since(began))
		require.Equal(t, map[string]string{
			"trace": "7", pubsub.HeaderDeadTopic: "t", pubsub.HeaderDeadCursor: r.Cursor.String(),
			pubsub.HeaderDeadSubscription: "n", pubsub.HeaderDeadAttempts: "3",
		}, d.Headers)
		require.Equal(t, "k", d.Key)
		s.idle(time.Hour) // also of its own dead letter, which its filter matches
		stats, _ := w.b.Subscription("n")
		require.EqualValues(t, 1, stats.DeadLetters)
		require.Zero(t, stats.Pending)
	})
}

// PS-P5 of nats-streaming#77, #118: a subscriber that lost all it may have in flight gets
// it again.
func TestFullWindowIsRedelivered(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		s := w.subscribe(w.client("c"), pubsub.SubscribeOptions{Filter: "t", Name: "n", MaxInFlight: 2, AckWait: 5 * sec})
		w.publish("t", "a", "b", "c")
		s.next("a", 1)
		s.next("b", 1)
		s.idle(4 * sec)
		s.next("a", 2).Ack()
		s.next("b", 2).Ack()
		s.next("c", 1).Ack()
	})
}

// At most once: what a subscriber took is not its again, whatever happens, and what it
// did not take is not lost with a connection.
func TestAtMostOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		o := pubsub.SubscribeOptions{Filter: "t", Name: "n", AtMostOnce: true, MaxInFlight: 4}
		c := w.client("c")
		s := w.subscribe(c, o)
		w.publish("t", "1", "2", "3", "4", "5", "6")
		s.next("1", 1)
		time.Sleep(sec)
		w.net.cut("c")
		s.next("2", 1)
		s.idle(0)
		for i := 3; i <= 6; i++ {
			s.next(fmt.Sprint(i), 1)
		}
		s.idle(time.Minute)

		// The process dies with three in its hands or on their way: they are lost.
		w.publish("t", "7", "8", "9")
		time.Sleep(sec)
		s = w.subscribe(w.client("c"), o)
		w.publish("t", "10")
		s.next("10", 1)
		synctest.Wait()
		stats, _ := w.b.Subscription("n")
		require.EqualValues(t, 3, stats.Lost)
	})
}

// PS-P12: effects that are kept by position happen once, whatever is cut and restarted.
func TestEffectsHappenOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		ctx, cancel := context.WithCancel(t.Context())
		effects, deliveries := map[string]int{}, 0
		done := map[string]bool{} // what the consumer keeps with its effects
		finished := make(chan bool)
		go func() {
			defer close(finished)
			for run := 0; ctx.Err() == nil; run++ {
				c := w.clientOnly("worker")
				s, err := c.Subscribe(ctx, pubsub.SubscribeOptions{Filter: "t", Name: "n", AckWait: 5 * sec})
				for n := 0; err == nil; n++ {
					var d *pubsub.Delivery
					if d, err = s.Next(ctx); err != nil {
						break
					}
					deliveries++
					if !done[d.Cursor.String()] {
						done[d.Cursor.String()] = true
						effects[string(d.Data)]++
					}
					if n == 3+run {
						break // it crashes between the effect and the acknowledgement
					}
					d.Ack()
				}
				w.net.cut("worker") // no goodbye
				c.Close()
			}
		}()
		time.Sleep(sec) // until the subscription exists
		for i := range 60 {
			w.publish("t", fmt.Sprint("m", i))
			time.Sleep(400 * ms)
			switch i % 15 {
			case 5:
				w.net.cut("worker")
			case 10:
				w.stop()
				w.start()
			}
		}
		time.Sleep(time.Minute)
		cancel()
		<-finished
		require.Len(t, effects, 60)
		for data, n := range effects {
			require.Equal(t, 1, n, data)
		}
		require.Greater(t, deliveries, 60, "the test must have made it hard")
	})
}
