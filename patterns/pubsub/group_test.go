package pubsub_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/pubsub"
)

// team is what the members of a group have taken, in one order.
type team struct {
	mu    sync.Mutex
	taken []taken
}

type taken struct {
	member, key, data string
	attempt           int
}

// runs has a member take messages, and acknowledge each after the work.
func (g *team) runs(member string, s *sub, work time.Duration) {
	go func() {
		for {
			d, err := s.Next(context.Background())
			if err != nil {
				return
			}
			g.mu.Lock()
			g.taken = append(g.taken, taken{member, d.Key, string(d.Data), d.Attempt})
			g.mu.Unlock()
			time.Sleep(work)
			d.Ack()
		}
	}()
}

func (g *team) all() []taken {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.taken)
}

// members returns who took messages.
func (g *team) members() (names []string) {
	for _, x := range g.all() {
		if !slices.Contains(names, x.member) {
			names = append(names, x.member)
		}
	}
	slices.Sort(names)
	return names
}

// publishKeys publishes count messages, spread over so many keys, one each interval.
func (w *world) publishKeys(keys, count int, interval time.Duration) {
	w.t.Helper()
	for i := range count {
		_, err := w.b.Publish(context.Background(), pubsub.Message{Topic: "t", Key: fmt.Sprint("k", i%keys), Data: fmt.Appendf(nil, "m%04d", i)})
		require.NoError(w.t, err)
		time.Sleep(interval)
	}
}

// inOrder checks that the first deliveries of each key came in the order of publication
// and that nothing is missing.
func (g *team) inOrder(t *testing.T, count int) {
	t.Helper()
	newest, seen := map[string]string{}, map[string]bool{}
	for _, x := range g.all() {
		if !seen[x.data] {
			require.Less(t, newest[x.key], x.data, "of key %s", x.key)
			newest[x.key] = x.data
		}
		seen[x.data] = true
	}
	require.Len(t, seen, count)
}

// PS-P2, PS-P3: the members share the messages, each goes to one, and keys keep their
// order.
func TestGroupSharesMessages(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var g team
		for _, name := range []string{"a", "b", "c"} {
			g.runs(name, w.subscribe(w.client(name), pubsub.SubscribeOptions{Filter: "t", Name: "n"}), 5*ms)
		}
		w.publishKeys(20, 300, ms)
		time.Sleep(10 * sec)
		g.inOrder(t, 300)
		require.Len(t, g.all(), 300, "each once")
		owner := map[string]string{}
		for _, x := range g.all() {
			require.Contains(t, []string{"", x.member}, owner[x.key], "key %s has two owners", x.key)
			owner[x.key] = x.member
		}
		require.Equal(t, []string{"a", "b", "c"}, g.members())
	})
}

// PS-P4: members come and go; nothing is skipped, nothing doubled, keys keep their order.
func TestRebalanceSkipsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		var g team
		subs := map[string]*sub{}
		join := func(name string) {
			subs[name] = w.subscribe(w.client(name), pubsub.SubscribeOptions{Filter: "t", Name: "n"})
			g.runs(name, subs[name], 5*ms)
		}
		join("a")
		go w.publishKeys(20, 500, 10*ms)
		time.Sleep(sec)
		join("b")
		time.Sleep(sec)
		join("c")
		time.Sleep(sec)
		require.NoError(t, subs["a"].Unsubscribe(t.Context()))
		time.Sleep(10 * sec)
		g.inOrder(t, 500)
		stats, _ := w.b.Subscription("n")
		require.EqualValues(t, 4, stats.Rebalances)
		require.EqualValues(t, 500, stats.Acked)
		// a had messages under way or at work when it left: they came again.
		require.LessOrEqual(t, len(g.all()), 500+3)
	})
}

// PS-P4: a rebalance moves what it must. A part with a message under way waits for it, for
// AckWait at most; the others do not.
func TestRebalanceMovesOnlyWhatItMust(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		o := pubsub.SubscribeOptions{Filter: "t", Name: "n", AckWait: 5 * sec}
		a := w.subscribe(w.client("a"), o)
		moved := func() int64 {
			s, _ := w.b.Subscription("n")
			return s.Moved
		}
		began := time.Now()
		w.publish("t", "held") // offset 1: of part 1, which is to move
		held := a.next("held", 1)
		b := w.subscribe(w.client("b"), o)
		require.EqualValues(t, 31, moved(), "half of the 64, without the one in use")
		for range 64 { // one of each part
			w.publish("t", "next")
		}
		for range 32 {
			a.next("next", 1).Ack()
		}
		for range 31 {
			b.next("next", 1).Ack()
		}
		require.Less(t, time.Since(began), sec, "they did not wait")
		require.ErrorIs(t, held.Extend(t.Context(), time.Hour), pubsub.ErrMoving)
		b.next("held", 2).Ack()
		require.Equal(t, 5*sec+delay, time.Since(began))
		b.next("next", 1).Ack()
		require.EqualValues(t, 32, moved())

		// A third takes its third, and from the others only.
		w.subscribe(w.client("c"), o)
		require.EqualValues(t, 32+21, moved())
	})
}

// Whoever has one part more than others keeps it.
func TestRebalanceMovesNothingTwice(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		o := pubsub.SubscribeOptions{Filter: "t", Name: "n"}
		a := w.client("a")
		s := w.subscribe(a, o)
		w.subscribe(w.client("b"), o)
		w.subscribe(w.client("c"), o)
		require.NoError(t, s.Unsubscribe(t.Context())) // b and c have 32 each
		before, _ := w.b.Subscription("n")
		w.subscribe(a, o) // 22, 21 and 21
		after, _ := w.b.Subscription("n")
		require.EqualValues(t, 21, after.Moved-before.Moved)
	})
}

// PS-P3: a member whose session is over settles nothing, and its messages are another's
// at the instant at which the session ends.
func TestFencedMembersSettleNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		o := pubsub.SubscribeOptions{Filter: "t", Name: "n", AckWait: time.Hour}
		began := time.Now()
		zombie := w.subscribe(w.client("a"), o)
		other := w.subscribe(w.client("b"), o)
		w.publish("t", make([]string, 64)...) // one of each part
		var ds []*pubsub.Delivery
		for range 32 {
			ds = append(ds, zombie.next("", 1))
		}
		for range 32 {
			other.next("", 1).Ack()
		}
		// a was welcomed at 40 ms, so that its first ping was heard at 10.05 s. The second is
		// not, and its session ends 30 s after the first.
		time.Sleep(11*sec - time.Since(began))
		w.net.mutes("a", true)
		other.next("", 2)
		require.Equal(t, 40*sec+50*ms+1+delay, time.Since(began))
		for range 31 {
			other.next("", 2)
		}

		w.net.mutes("a", false)
		for _, d := range ds {
			require.ErrorIs(t, d.AckSync(t.Context()), pubsub.ErrFenced)
			d.Ack()
		}
		synctest.Wait()
		stats, _ := w.b.Subscription("n")
		require.EqualValues(t, 32, stats.Pending, "they are b's")
		require.EqualValues(t, 32, stats.Acked)
		require.EqualValues(t, 1, w.b.Stats().Expired)
	})
}

// A client that comes back within its session keeps its parts: nothing moves.
func TestReturnWithinTheSessionMovesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		o := pubsub.SubscribeOptions{Filter: "t", Name: "n"}
		w.subscribe(w.client("a"), o)
		w.subscribe(w.client("b"), o)
		before, _ := w.b.Subscription("n")
		for range 10 {
			w.net.cut("b")
			time.Sleep(5 * sec)
		}
		after, _ := w.b.Subscription("n")
		require.Equal(t, before.Generation, after.Generation)
		require.Equal(t, before.Moved, after.Moved)
	})
}

// One client has an ID: a new process takes over, gets what the old one held, and the old
// one ends.
func TestTakeover(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		o := pubsub.SubscribeOptions{Filter: "t", Name: "n"}
		old := w.subscribe(w.client("a"), o)
		w.publish("t", "x")
		d := old.next("x", 1)
		time.Sleep(1) // processes do not start at one instant
		c := w.client("a")
		s := w.subscribe(c, o)
		s.next("x", 2).Ack()
		_, err := old.Next(t.Context())
		require.ErrorIs(t, err, pubsub.ErrFenced)
		require.ErrorIs(t, d.AckSync(t.Context()), pubsub.ErrFenced)
		time.Sleep(time.Minute)
		require.EqualValues(t, 1, c.Stats().Connects, "the old one does not come back")
		require.EqualValues(t, 1, w.b.Stats().Fenced)
	})
}

// Nor does it come back later, when it did not hear that it was replaced.
func TestOvertakenRunDoesNotComeBack(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		o := pubsub.SubscribeOptions{Filter: "t", Name: "n"}
		old := w.subscribe(w.client("a"), o)
		w.net.mutes("a", true)
		w.net.cut("a")
		time.Sleep(sec)
		w.net.mutes("a", false)
		c := w.client("a")
		s := w.subscribe(c, o)
		_, err := old.Next(t.Context())
		require.ErrorIs(t, err, pubsub.ErrFenced)
		time.Sleep(time.Minute)
		w.publish("t", "x")
		s.acks("x")
		require.EqualValues(t, 1, c.Stats().Connects, "nobody took over from it")
	})
}

// A process connects and dies; the next connects; only then does the broker, which was
// frozen, come to read what the first one sent.
func TestHelloOfADeadProcessFencesNobody(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		c := w.client("a")
		s := w.subscribe(c, pubsub.SubscribeOptions{Filter: "t", Name: "n"})
		dead, err := w.dial("a")(t.Context(), "tcp", w.addr)
		require.NoError(t, err)
		_, err = dead.Write(rawControl(`{"type":"hello","client":"a","run":"before","attempt":1}`))
		require.NoError(t, err)
		time.Sleep(20 * sec) // it never answers
		w.publish("t", "x")
		s.acks("x")
		dead.Close()
		time.Sleep(sec)
		w.publish("t", "y")
		s.acks("y")
		require.EqualValues(t, 1, c.Stats().Connects)
		require.Zero(t, w.b.Stats().Fenced)
	})
}

// It answered a ping before it died: that counts against the session of then only.
func TestPongOfADeadProcessFencesNobody(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		first := w.clientOnly("a")
		w.subscribe(first, pubsub.SubscribeOptions{Filter: "t", Name: "n"})
		dead, err := w.dial("dead")(t.Context(), "tcp", w.addr)
		require.NoError(t, err)
		_, err = dead.Write(rawControl(`{"type":"hello","client":"a","run":"before","attempt":1}`))
		require.NoError(t, err)
		time.Sleep(sec) // it is asked
		require.NoError(t, first.Close())
		time.Sleep(sec)
		c := w.client("a")
		s := w.subscribe(c, pubsub.SubscribeOptions{Filter: "t", Name: "n"})
		_, err = dead.Write([]byte{0, 0, 0, 1, 'o'}) // it is read only now
		require.NoError(t, err)
		time.Sleep(sec)
		w.publish("t", "x")
		s.acks("x")
		require.EqualValues(t, 1, c.Stats().Connects)
		require.Zero(t, w.b.Stats().Fenced)
	})
}

// rawControl is a control frame.
func rawControl(json string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(json)+1)), "c"+json...)
}

func TestMembersMustAgree(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		a, b := w.client("a"), w.client("b")
		w.subscribe(a, pubsub.SubscribeOptions{Filter: "t", Name: "n"})
		_, err := b.Subscribe(t.Context(), pubsub.SubscribeOptions{Filter: "other", Name: "n"})
		require.ErrorContains(t, err, `SubscribeOptions.Filter is other: want t, as the subscription "n" has`)
		_, err = a.Subscribe(t.Context(), pubsub.SubscribeOptions{Filter: "t", Name: "n"})
		require.ErrorContains(t, err, "already")
		// Once it is deleted others may have the name.
		require.NoError(t, a.Delete(t.Context(), "n"))
		w.subscribe(b, pubsub.SubscribeOptions{Filter: "other", Name: "n"})
	})
}

func TestDeleteEndsSubscribers(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		c := w.client("a")
		s := w.subscribe(c, pubsub.SubscribeOptions{Filter: "t", Name: "n"})
		w.publish("t", "x", "y")
		d := s.next("x", 1)
		require.NoError(t, c.Delete(t.Context(), "n"))
		_, err := s.Next(t.Context())
		require.ErrorContains(t, err, "deleted")
		require.Error(t, d.AckSync(t.Context()))
		_, exists := w.b.Subscription("n")
		require.False(t, exists)
		s = w.subscribe(c, pubsub.SubscribeOptions{Filter: "t", Name: "n", FromNow: true})
		s.idle(sec)
	})
}
