package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/internal/systems"
	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/pubsub"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/scenarios/scenario"
	"github.com/squall-sim/squall/sim"
)

// The failures of publish/subscribe.
var scenarios = []scenario.Row{
	// Publishers.
	{Name: "PS-01 the confirmation is lost", Reason: "only the broker can tell a retry from a new message",
		Story: func(t *testing.T, n *sim.Network) {
			b := serveMessages(t, n, "", 0, eventlog.Options{})
			p := brokerPeer(t, n, "publisher")
			p.send("first")
			p.link.DownFrom(b.host)
			n.After(50*time.Second, p.link.Up)
			r := p.send("second")
			require.True(t, r.Duplicate, "it was stored at the first attempt")
			require.EqualValues(t, 2, b.head().Offset)
		}},
	{Name: "PS-02 the confirmation is lost for longer than the window", Reason: "after the dedupe window nobody can tell, and the message is stored twice",
		Story: func(t *testing.T, n *sim.Network) {
			b := serveMessages(t, n, "", 0, eventlog.Options{})
			sub := brokerPeer(t, n, "phone")
			sub.consume(pubsub.SubscribeOptions{Filter: "news"}, 0)
			p := brokerPeer(t, n, "publisher")
			p.send("first")
			p.link.DownFrom(b.host)
			n.After(3*time.Minute, p.link.Up)
			require.False(t, p.send("second").Duplicate, "two minutes is the window")
			time.Sleep(time.Second)
			require.Equal(t, []string{"first", "second", "second"}, sub.got())
			require.Equal(t, sub.ids()[1], sub.ids()[2], "the ID lets a subscriber count it once")
		}},
	{Name: "PS-03 the broker crashes around confirmations", Reason: "a confirmed message is on disk",
		Story: func(t *testing.T, n *sim.Network) {
			b := serveMessages(t, n, t.TempDir(), 0, eventlog.Options{})
			sub := brokerPeer(t, n, "phone")
			sub.consume(pubsub.SubscribeOptions{Filter: "news", Name: "readers"}, 0)
			p := brokerPeer(t, n, "publisher")
			for i := range 15 { // before, while and after a message arrives and is confirmed
				n.After(time.Duration(i)*6*time.Millisecond, b.host.Restart)
				p.send(fmt.Sprint("m", i))
				time.Sleep(2 * time.Second)
			}
			time.Sleep(time.Minute)
			require.Equal(t, numbered("m", 15), unique(sub.got()))
			require.EqualValues(t, 15, b.head().Offset, "each is stored once")
		}},
	{Name: "PS-23 a publisher that is cut off gives up", Reason: "the outcome is unknown: treating it as a failure would lose or duplicate the message",
		Story: func(t *testing.T, n *sim.Network) {
			b := serveMessages(t, n, "", 0, eventlog.Options{})
			p := brokerPeer(t, n, "publisher")
			p.send("first")
			m := pubsub.Message{Topic: "news", ID: "order 7", Data: []byte("second")}
			p.link.DownFrom(b.host)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			_, err := p.client().Publish(ctx, m)
			require.ErrorIs(t, err, pubsub.ErrUnknown)
			p.link.Up()
			p.send("third")
			r, err := p.client().Publish(t.Context(), m)
			require.NoError(t, err)
			require.True(t, r.Duplicate, "the same ID finds out")
			require.EqualValues(t, 3, b.head().Offset)
		}},

	// Acknowledgements.
	{Name: "PS-04 the subscriber crashes before it acknowledges", Reason: "the message must be delivered to another subscriber",
		Story: func(t *testing.T, n *sim.Network) {
			b := serveMessages(t, n, "", 5*time.Second, eventlog.Options{})
			first, second := brokerPeer(t, n, "first"), brokerPeer(t, n, "second")
			sub := first.subscribe(pubsub.SubscribeOptions{Filter: "news", Name: "workers"})
			b.publish(t, "job")
			next(t, sub, "job", 1)
			crashed := n.Elapsed()
			first.host.PowerOff()
			sub = second.subscribe(pubsub.SubscribeOptions{Filter: "news", Name: "workers"})
			next(t, sub, "job", 2).Ack()
			// It was heard last with its subscription; no ping was due in these 120 ms.
			require.InDelta(t, 5*time.Second, n.Elapsed()-crashed, float64(time.Second), "when the dead one's session is over")
		}},
	{Name: "PS-04 each connection dies of the message", Reason: "a delivery lost in transit is not an attempt: two of them must not make a dead letter, and the client must back off",
		Story: func(t *testing.T, n *sim.Network) {
			b := serveMessages(t, n, "", 0, eventlog.Options{})
			p := brokerPeer(t, n, "phone")
			sub := p.subscribe(pubsub.SubscribeOptions{Filter: "news", Name: "workers", MaxAttempts: 2})
			n.Inject(0, 5*time.Minute, sim.CloseAfter(p.link, 1000, sim.Packets{From: b.host}))
			big := strings.Repeat("x", 8000)
			b.publish(t, big)
			ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
			defer cancel()
			d, err := sub.Next(ctx)
			require.NoError(t, err, "a dead letter")
			require.Equal(t, big, string(d.Data))
			require.Greater(t, d.Attempt, 20, "MaxAttempts is 2")
			require.Less(t, d.Attempt, 80, "delays grow to 7.5 s on average")
			require.NoError(t, d.AckSync(t.Context()))
			info, _ := b.broker().Subscription("workers")
			require.Zero(t, info.DeadLetters)
		}},
	{Name: "PS-04 the subscriber hangs", Reason: "a process that is alive but does nothing keeps the message for AckWait only",
		Story: func(t *testing.T, n *sim.Network) {
			b := serveMessages(t, n, "", 0, eventlog.Options{})
			sub := brokerPeer(t, n, "phone").subscribe(pubsub.SubscribeOptions{Filter: "news", AckWait: 20 * time.Second})
			published := n.Elapsed()
			b.publish(t, "job")
			next(t, sub, "job", 1)
			next(t, sub, "job", 2).Ack()
			require.Equal(t, 20*time.Second+40*time.Millisecond, (n.Elapsed() - published).Truncate(time.Millisecond))
		}},
	{Name: "PS-04 the subscriber hangs for good", Reason: "it reports that it had the message twice: the message becomes a dead letter and is not retried forever",
		Story: func(t *testing.T, n *sim.Network) {
			b := serveMessages(t, n, "", 0, eventlog.Options{})
			dead := brokerPeer(t, n, "undertaker").subscribe(pubsub.SubscribeOptions{Filter: "dead-letters.>"})
			sub := brokerPeer(t, n, "phone").subscribe(pubsub.SubscribeOptions{Filter: "news", Name: "workers", AckWait: 20 * time.Second, MaxAttempts: 2})
			published := n.Elapsed()
			b.publish(t, "job")
			next(t, sub, "job", 1)
			next(t, sub, "job", 2)
			next(t, dead, "job", 1)
			// AckWait twice, whether the second has arrived (80 ms there and back), and the letter's way.
			require.Equal(t, 40*time.Second+120*time.Millisecond, (n.Elapsed() - published).Truncate(time.Millisecond))
		}},
	{Name: "PS-04 the way to the subscriber is dead, and nobody knows", Reason: "a delivery that never arrived is not an attempt: three times AckWait must not make a dead letter",
		Story: func(t *testing.T, n *sim.Network) {
			b := serveMessages(t, n, "", 20*time.Minute, eventlog.Options{})
			p := brokerPeer(t, n, "phone")
			sub := p.subscribe(pubsub.SubscribeOptions{Filter: "news", Name: "workers", AckWait: 20 * time.Second, MaxAttempts: 3})
			n.Inject(0, 5*time.Minute, sim.Down(p.link))
			b.publish(t, "job")
			d, err := sub.Next(t.Context())
			require.NoError(t, err)
			require.Greater(t, n.Elapsed(), 5*time.Minute, "15 times AckWait")
			require.NoError(t, d.AckSync(t.Context()))
			info, _ := b.broker().Subscription("workers")
			require.Zero(t, info.DeadLetters)
			require.EqualValues(t, 3, info.Delivered, "one, another while the broker asks, and the one that came")
		}},
	{Name: "PS-05 the acknowledgement is lost", Reason: "the message is delivered again, but its effect does not happen again",
		Story: func(t *testing.T, n *sim.Network) {
			b := serveMessages(t, n, "", 0, eventlog.Options{})
			p := brokerPeer(t, n, "phone")
			p.consume(pubsub.SubscribeOptions{Filter: "news", Name: "readers", AckWait: 10 * time.Second}, 0)
			b.publish(t, "once")
			n.After(45*time.Millisecond, func() { p.link.DownFrom(p.host) }) // the acknowledgement leaves at 50 ms
			n.After(80*time.Second, p.link.Up)
			time.Sleep(5 * time.Minute)
			require.Equal(t, []string{"once"}, p.got())
			stats, _ := b.broker().Subscription("readers")
			require.NotZero(t, stats.Redelivered, "the broker had to deliver it again")
			require.Zero(t, stats.Pending)
		}},
	{Name: "PS-06 the acknowledgement comes after the message went to another", Reason: "it must not settle the other member's delivery",
		Story: func(t *testing.T, n *sim.Network) {
			b := serveMessages(t, n, "", 0, eventlog.Options{})
			o := pubsub.SubscribeOptions{Filter: "news", Name: "workers", AckWait: 5 * time.Second}
			one := brokerPeer(t, n, "one").subscribe(o)
			b.publish(t, "job")
			d1 := next(t, one, "job", 1)
			two := brokerPeer(t, n, "two").subscribe(o)
			d2 := next(t, two, "job", 2)
			require.ErrorIs(t, d1.AckSync(t.Context()), pubsub.ErrLate)
			stats, _ := b.broker().Subscription("workers")
			require.EqualValues(t, 1, stats.Pending)
			require.NoError(t, d2.AckSync(t.Context()))
			require.NoError(t, d2.AckSync(t.Context()), "again")
			stats, _ = b.broker().Subscription("workers")
			require.Zero(t, stats.Pending)
			require.EqualValues(t, 1, stats.Acked)
		}},
	{Name: "PS-07 acknowledged by a member, then the broker restarts", Reason: "it must not be delivered again, as in nats-io/nats-streaming-server#72",
		Story: func(t *testing.T, n *sim.Network) {
			b := serveMessages(t, n, t.TempDir(), 0, eventlog.Options{})
			var all []*peer
			for i := range 3 {
				p := brokerPeer(t, n, fmt.Sprint("worker", i))
				p.consume(pubsub.SubscribeOptions{Filter: "news", Name: "workers"}, 0)
				all = append(all, p)
			}
			b.publish(t, numbered("m", 30)...)
			time.Sleep(time.Second)
			for range 3 {
				b.host.Restart()
				time.Sleep(10 * time.Second)
			}
			b.publish(t, "last")
			time.Sleep(time.Second)
			var got []string
			for _, p := range all {
				got = append(got, p.got()...)
			}
			slices.Sort(got)
			require.Equal(t, append([]string{"last"}, slices.Sorted(slices.Values(numbered("m", 30)))...), got, "each once")
		}},
	{Name: "PS-08 as much in flight as may be, and all of it lost", Reason: "a full window must not stop redelivery, as in nats-io/nats-streaming-server#77 and #118",
		Story: func(t *testing.T, n *sim.Network) {
			b := serveMessages(t, n, "", 0, eventlog.Options{})
			p := brokerPeer(t, n, "phone")
			sub := p.subscribe(pubsub.SubscribeOptions{Filter: "news", Name: "readers", MaxInFlight: 5})
			p.link.DownFrom(b.host)
			b.publish(t, numbered("m", 12)...)
			n.After(40*time.Second, p.link.Up)
			for _, want := range numbered("m", 12) {
				d, err := sub.Next(t.Context())
				require.NoError(t, err)
				require.Equal(t, want, string(d.Data))
				require.NoError(t, d.AckSync(t.Context()))
			}
			require.Less(t, n.Elapsed(), 3*time.Minute)
		}},
	{Name: "PS-09 a message that nobody can handle", Reason: "it is set aside after three attempts, and the others continue",
		Story: func(t *testing.T, n *sim.Network) {
			b := serveMessages(t, n, "", 0, eventlog.Options{})
			p := brokerPeer(t, n, "worker")
			dead := p.subscribe(pubsub.SubscribeOptions{Filter: "dead-letters.>"})
			sub := p.subscribe(pubsub.SubscribeOptions{Filter: "news", Name: "workers", MaxAttempts: 3})
			b.publish(t, "good 1", "poison", "good 2")
			var good []string
			for range 5 {
				d, err := sub.Next(t.Context())
				require.NoError(t, err)
				if string(d.Data) == "poison" {
					d.Nack(time.Second)
					continue
				}
				good = append(good, string(d.Data))
				d.Ack()
			}
			require.Equal(t, []string{"good 1", "good 2"}, good)
			d := next(t, dead, "poison", 1)
			require.Equal(t, "3", d.Headers[pubsub.HeaderDeadAttempts])
			require.Less(t, n.Elapsed(), 4*time.Second)
		}},
	{Name: "PS-10 5, 6 and 7 are done before 4, and then a crash", Reason: "a stored position past 4 would lose message 4 (RTBHOUSE/kafka-workers#19)",
		Story: func(t *testing.T, n *sim.Network) {
			b := serveMessages(t, n, t.TempDir(), 0, eventlog.Options{})
			o := pubsub.SubscribeOptions{Filter: "news", Name: "workers"}
			p := brokerPeer(t, n, "worker")
			sub := p.subscribe(o)
			b.publish(t, numbered("m", 8)...)
			var ds []*pubsub.Delivery
			for i := range 8 {
				ds = append(ds, next(t, sub, fmt.Sprint("m", i), 1))
			}
			for _, i := range []int{0, 1, 2, 3, 5, 6, 7} {
				require.NoError(t, ds[i].AckSync(t.Context()))
			}
			time.Sleep(1) // until the client reads again
			p.host.Crash()
			p.c.Close() // its process has ended, too
			b.host.Restart()
			time.Sleep(time.Second)
			p.host.Restart()
			p.c = nil // a new process
			sub = p.subscribe(o)
			require.Equal(t, ds[3].Cursor, sub.From(), "the position is before 4")
			next(t, sub, "m4", 2).Ack()
			b.publish(t, "m8") // each acknowledgement is kept, so that 5 to 7 do not come again
			next(t, sub, "m8", 1)
		}},
	{Name: "PS-11 a member sleeps longer than its session and then commits", Reason: "its messages belong to another member by then (confluentinc/librdkafka#5604)",
		Races: "in how many pieces the broker answers what a resumed client sends at one instant",
		Story: func(t *testing.T, n *sim.Network) {
			b := serveMessages(t, n, "", 0, eventlog.Options{})
			o := pubsub.SubscribeOptions{Filter: "news", Name: "workers", AckWait: 10 * time.Minute}
			zombie := brokerPeer(t, n, "zombie")
			sub := zombie.subscribe(o)
			b.publish(t, "job")
			d := next(t, sub, "job", 1)
			zombie.host.Pause()
			other := brokerPeer(t, n, "other").subscribe(o)
			d2 := next(t, other, "job", 2)
			require.LessOrEqual(t, n.Elapsed(), 32*time.Second, "the session's 30 s")
			zombie.host.Resume()
			require.ErrorIs(t, d.AckSync(t.Context()), pubsub.ErrFenced)
			require.NoError(t, d2.AckSync(t.Context()))
			stats, _ := b.broker().Subscription("workers")
			require.EqualValues(t, 1, stats.Acked)
			require.NotZero(t, stats.Rejected)
		}},
	{Name: "PS-12 work takes 30 s and AckWait is 20 s", Reason: "each message is handled twice unless the subscriber extends its time (PostHog/posthog#56097)",
		Races: inPieces,
		Story: func(t *testing.T, n *sim.Network) {
			b := serveMessages(t, n, "", 0, eventlog.Options{})
			o := pubsub.SubscribeOptions{Filter: "news", Name: "workers", AckWait: 20 * time.Second, MaxInFlight: 1}
			one, two := brokerPeer(t, n, "one"), brokerPeer(t, n, "two")
			one.consume(o, 30*time.Second)
			two.consume(o, 30*time.Second)
			b.publish(t, numbered("m", 4)...)
			time.Sleep(10 * time.Minute)
			stats, _ := b.broker().Subscription("workers")
			require.Zero(t, stats.Pending, "they end nevertheless")
			require.Equal(t, 4, len(unique(append(one.got(), two.got()...))))
			require.NotZero(t, stats.TimedOut)
			require.LessOrEqual(t, len(one.got())+len(two.got()), 8, "at most twice")

			// Whoever asks for more time does it once.
			b.publish(t, "long")
			sub := brokerPeer(t, n, "three").subscribe(pubsub.SubscribeOptions{Filter: "news", AckWait: 20 * time.Second, From: eventlog.Cursor{Epoch: b.head().Epoch, Offset: 4}})
			d := next(t, sub, "long", 1)
			for range 3 {
				time.Sleep(10 * time.Second)
				require.NoError(t, d.Extend(t.Context(), 20*time.Second))
			}
			require.NoError(t, d.AckSync(t.Context()))
			synctest.Wait()
		}},

	// Groups.
	{Name: "PS-13 a member comes and goes every 5 s", Reason: "a group that rebalances each time would do nothing else (KIP-345)",
		Story: func(t *testing.T, n *sim.Network) {
			b := serveMessages(t, n, "", 0, eventlog.Options{})
			o := pubsub.SubscribeOptions{Filter: "news", Name: "workers"}
			steady, flapping := brokerPeer(t, n, "steady"), brokerPeer(t, n, "flapping")
			steady.consume(o, 0)
			flapping.consume(o, 0)
			for i := range 12 {
				n.After(time.Duration(i)*10*time.Second, flapping.link.Down)
				n.After(time.Duration(i)*10*time.Second+5*time.Second, flapping.link.Up)
			}
			before, _ := b.broker().Subscription("workers")
			for i := range 600 {
				b.publish(t, fmt.Sprint("m", i))
				time.Sleep(200 * time.Millisecond)
			}
			time.Sleep(2 * time.Minute)
			after, _ := b.broker().Subscription("workers")
			require.Len(t, unique(append(steady.got(), flapping.got()...)), 600)
			require.Zero(t, after.Pending)
			require.Equal(t, before.Rebalances, after.Rebalances, "5 s are within a session: it keeps its part")
		}},
	{Name: "PS-13 a process comes and goes every 5 s", Reason: "the group changes each time, and must still make progress",
		Story: func(t *testing.T, n *sim.Network) {
			b := serveMessages(t, n, "", 0, eventlog.Options{})
			o := pubsub.SubscribeOptions{Filter: "news", Name: "workers"}
			steady, flapping := brokerPeer(t, n, "steady"), brokerPeer(t, n, "flapping")
			steady.consume(o, 0)
			flapping.consume(o, 0)
			for i := range 12 {
				n.After(time.Duration(i)*10*time.Second, flapping.host.Crash)
				n.After(time.Duration(i)*10*time.Second+5*time.Second, flapping.host.Restart)
			}
			for i := range 600 {
				b.publish(t, fmt.Sprint("m", i))
				time.Sleep(200 * time.Millisecond)
			}
			time.Sleep(2 * time.Minute)
			stats, _ := b.broker().Subscription("workers")
			require.Len(t, unique(append(steady.got(), flapping.got()...)), 600)
			require.Zero(t, stats.Pending)
			require.GreaterOrEqual(t, stats.Rebalances, int64(2+2*11), "each new process takes over from the old")
		}},
	{Name: "PS-14 a member joins while all work", Reason: "only the partitions that move may pause (KIP-429)",
		Story: func(t *testing.T, n *sim.Network) {
			b := serveMessages(t, n, "", 0, eventlog.Options{})
			o := pubsub.SubscribeOptions{Filter: "news", Name: "workers"}
			var all []*peer
			add := func() {
				p := brokerPeer(t, n, fmt.Sprint("worker", len(all)))
				p.consume(o, 50*time.Millisecond)
				all = append(all, p)
			}
			add()
			add()
			for i := range 200 {
				b.publish(t, fmt.Sprint("m", i))
				time.Sleep(50 * time.Millisecond)
				if i == 100 {
					add()
				}
			}
			time.Sleep(10 * time.Second)
			stats, _ := b.broker().Subscription("workers")
			require.EqualValues(t, 32+21, stats.Moved, "of 64: half at the second member, a third at the third")
			require.EqualValues(t, 200, stats.Delivered, "nothing came twice")
			require.NotEmpty(t, all[2].got())
			for _, p := range all {
				require.Less(t, p.longestPause(), 2*time.Second, "%s went on", p.name)
			}
		}},
	{Name: "PS-15 the broker restarts in the middle of a rebalance", Reason: "it forgets who owned what, and no partition may get two owners",
		Story: func(t *testing.T, n *sim.Network) {
			b := serveMessages(t, n, t.TempDir(), 0, eventlog.Options{})
			o := pubsub.SubscribeOptions{Filter: "news", Name: "workers"}
			var all []*peer
			for i := range 3 {
				p := brokerPeer(t, n, fmt.Sprint("worker", i))
				p.consume(o, 20*time.Millisecond)
				all = append(all, p)
				n.After(time.Duration(i)*7*time.Millisecond+90*time.Millisecond, b.host.Restart)
				for k := range 10 {
					b.publishIf(fmt.Sprint("m", i, "-", k))
					time.Sleep(100 * time.Millisecond)
				}
			}
			time.Sleep(2 * time.Minute)
			var got []string
			for _, p := range all {
				got = append(got, p.got()...)
			}
			require.Subset(t, got, b.published, "nothing is lost")
			stats, _ := b.broker().Subscription("workers")
			require.EqualValues(t, 3, stats.Members)
			require.Zero(t, stats.Pending)
			// From here on each message has one owner.
			b.publish(t, numbered("after", 60)...)
			time.Sleep(10 * time.Second)
			owners := map[string]int{}
			for _, p := range all {
				for _, data := range p.got() {
					owners[data]++
				}
			}
			for _, data := range numbered("after", 60) {
				require.Equal(t, 1, owners[data], data)
			}
		}},

	// Slow subscribers.
	{Name: "PS-16 a slow subscriber, the log keeps all", Reason: "backpressure ends at the broker: publishers and other subscribers notice nothing", Races: inPieces, Story: slowSubscriber(pubsub.Backpressure, 0)},
	{Name: "PS-16 a slow subscriber, the oldest are dropped", Reason: "it is notified how many it lost", Races: inPieces, Story: slowSubscriber(pubsub.DropOldest, 100-4-10)},
	{Name: "PS-16 a slow subscriber, the newest are dropped", Reason: "it is notified how many it lost", Races: inPieces, Story: slowSubscriber(pubsub.DropNewest, 100-4-10)},
	{Name: "PS-16 a slow subscriber, disconnected", Reason: "it reconnects and misses nothing", Races: inPieces, Story: slowSubscriber(pubsub.Disconnect, 0)},
	{Name: "PS-16 a link that takes longer than AckWait for what is in flight", Reason: "sending the messages again before they have arrived would never end",
		Races: inPieces,
		Story: func(t *testing.T, n *sim.Network) {
			b := serveMessages(t, n, "", 0, eventlog.Options{})
			p := brokerPeer(t, n, "phone")
			p.consume(pubsub.SubscribeOptions{Filter: "news", Name: "readers", AckWait: 2 * time.Second, MaxInFlightBytes: 60_000}, 0)
			p.link.Set(netem.Config{Delay: 40 * time.Millisecond, Rate: 64 * netem.Kbit, Queue: netem.DropTail{Packets: 20}})
			for range 20 { // 80 KB: 10 s
				b.publish(t, string(make([]byte, 4000)))
				time.Sleep(1)
			}
			for range 60 {
				time.Sleep(time.Second)
				require.LessOrEqual(t, b.broker().Stats().HeldBytes, int64(2*60_000))
			}
			require.Len(t, p.got(), 20)
			stats, _ := b.broker().Subscription("readers")
			require.Zero(t, stats.Pending)
		}},
	{Name: "PS-17 one subscription of a connection is stuck", Reason: "the reader of a connection must not wait for a handler (nats-io/nats.net#1041)",
		Story: func(t *testing.T, n *sim.Network) {
			b := serveMessages(t, n, "", 0, eventlog.Options{})
			p := brokerPeer(t, n, "phone")
			p.subscribe(pubsub.SubscribeOptions{Filter: "other"}) // and nobody calls Next
			go p.take(t.Context(), p.subscribe(pubsub.SubscribeOptions{Filter: "news"}), 0)
			for i := range 400 {
				_, err := b.broker().Publish(context.Background(), pubsub.Message{Topic: "other"})
				require.NoError(t, err)
				time.Sleep(10 * time.Millisecond)
				b.publish(t, fmt.Sprint("m", i))
				time.Sleep(10 * time.Millisecond) // as much as TCP's initial window takes
			}
			time.Sleep(scenario.Transit)
			require.Equal(t, numbered("m", 400), p.got())
			require.LessOrEqual(t, p.slowest(), 41*time.Millisecond)
		}},
	{Name: "PS-25 one message to a thousand, ten of them slow", Reason: "the slow subscribers must not delay the others", Story: fanOut(1_000, 10)},

	// Durability.
	{Name: "PS-18 offline for an hour while the broker restarts", Reason: "the broker must keep a durable subscription on disk, not only in memory",
		Story: func(t *testing.T, n *sim.Network) {
			b := serveMessages(t, n, t.TempDir(), 0, eventlog.Options{})
			p := brokerPeer(t, n, "phone")
			p.consume(pubsub.SubscribeOptions{Filter: "news", Name: "readers"}, 0)
			b.publish(t, numbered("a", 5)...)
			time.Sleep(time.Second)
			p.host.PowerOff()
			b.publish(t, numbered("b", 5)...)
			time.Sleep(30 * time.Minute)
			b.host.Restart()
			time.Sleep(30 * time.Minute)
			b.publish(t, numbered("c", 5)...)
			p.host.Restart()
			time.Sleep(10 * time.Second)
			require.Equal(t, slices.Concat(numbered("a", 5), numbered("b", 5), numbered("c", 5)), p.got(), "each once")
		}},
	{Name: "PS-18 restarts with its store while the subscriber is away", Reason: "the same case, checked by the contract of delivery", Story: scenario.Contract(publishedWithStore, scenario.RestartAway)},
	{Name: "PS-19 retention passes the position, earliest", Reason: "the subscriber is notified of the loss", Story: retention(pubsub.ResetEarliest, "m15")},
	{Name: "PS-19 retention passes the position, latest", Reason: "the subscriber is notified of the loss, and chooses where to resume", Story: retention(pubsub.ResetLatest, "new")},
	{Name: "PS-20 subscriptions begin while messages come", Reason: "each begins exactly at its position",
		Races: inPieces,
		Story: func(t *testing.T, n *sim.Network) {
			b := serveMessages(t, n, "", 0, eventlog.Options{})
			p := brokerPeer(t, n, "phone")
			done := make(chan bool)
			go func() {
				defer close(done)
				for i := range 1000 {
					b.publish(t, fmt.Sprint("m", i))
					time.Sleep(3001 * time.Microsecond) // never at the instant of a packet
				}
			}()
			for range 10 {
				sub := p.subscribe(pubsub.SubscribeOptions{Filter: "news"})
				for i := range 20 {
					next(t, sub, fmt.Sprint("m", int(sub.From().Offset)+i), 1).Ack()
				}
				require.NoError(t, sub.Unsubscribe(t.Context()))
			}
			<-done
		}},
	{Name: "PS-21 a message on its way when the subscriber leaves", Reason: "nothing is delivered after Unsubscribe has returned",
		Story: func(t *testing.T, n *sim.Network) {
			b := serveMessages(t, n, "", 0, eventlog.Options{})
			for i := range 20 {
				p := brokerPeer(t, n, fmt.Sprint("phone", i))
				sub := p.subscribe(pubsub.SubscribeOptions{Filter: "news"})
				b.publish(t, "late")
				time.Sleep(time.Duration(i) * 5 * time.Millisecond)
				require.NoError(t, sub.Unsubscribe(t.Context()))
				_, err := sub.Next(t.Context())
				require.ErrorIs(t, err, pubsub.ErrUnsubscribed)
			}
			require.Zero(t, b.broker().Stats().Subscriptions)
		}},
	{Name: "PS-22 a partition of a minute between broker and subscribers", Reason: "nothing is lost, and messages with one key stay in order",
		Story: func(t *testing.T, n *sim.Network) {
			b := serveMessages(t, n, "", 0, eventlog.Options{})
			o := pubsub.SubscribeOptions{Filter: "news", Name: "workers"}
			var all []*peer
			var far []*sim.Host
			for i := range 3 {
				p := brokerPeer(t, n, fmt.Sprint("worker", i))
				p.consume(o, 0)
				all, far = append(all, p), append(far, p.host)
			}
			n.After(5*time.Second, func() { n.Partition([]*sim.Host{b.host}, far) })
			n.After(65*time.Second, n.Heal)
			for i := range 180 {
				_, err := b.broker().Publish(context.Background(), pubsub.Message{Topic: "news", Key: fmt.Sprint("k", i%6), Data: fmt.Appendf(nil, "%03d", i)})
				require.NoError(t, err)
				time.Sleep(500 * time.Millisecond)
			}
			time.Sleep(3 * time.Minute)
			var got []received
			for _, p := range all {
				got = append(got, p.all()...)
			}
			slices.SortStableFunc(got, func(a, b received) int { return int(a.at - b.at) })
			newest, seen := map[string]string{}, map[string]bool{}
			for _, r := range got {
				if !seen[r.data] {
					require.Less(t, newest[r.key], r.data, "of key %s", r.key)
					newest[r.key] = r.data
				}
				seen[r.data] = true
			}
			require.Len(t, seen, 180)
		}},
	{Name: "PS-22 a partition of a minute, by the contract", Reason: "each subscriber alone gets every message", Story: scenario.Contract(published, scenario.Outage(60*time.Second))},
	{Name: "PS-24 the broker comes back with a log that ends earlier", Reason: "positions beyond the log's end are invalid, and reading on from them would skip messages (twmb/franz-go: offsets of a new leader)",
		Story: func(t *testing.T, n *sim.Network) {
			b := serveMessages(t, n, "", 0, eventlog.Options{Epoch: 7})
			p := brokerPeer(t, n, "phone")
			p.consume(pubsub.SubscribeOptions{Filter: "news", Name: "readers"}, 0)
			b.publish(t, numbered("old", 10)...)
			time.Sleep(time.Second)
			b.host.Restart() // in memory, and under the same epoch: it has lost all
			time.Sleep(10 * time.Millisecond)
			b.publish(t, numbered("new", 3)...)
			time.Sleep(time.Minute)
			require.Equal(t, append(numbered("old", 10), numbered("new", 3)...), p.got())
			require.Equal(t, []eventlog.Reason{eventlog.ReasonFuture}, p.gaps())
		}},

	// Outages and restarts, by the contract.
	{Name: "an outage of an hour, subscribed", Reason: "the session ends during the outage, the durable subscription does not", Story: scenario.Contract(published, scenario.Outage(time.Hour))},
	{Name: "the broker restarts with its store", Reason: "everything that it accepted is still there", Story: scenario.Contract(publishedWithStore, scenario.Restart)},
	{Name: "the broker restarts without a store", Reason: "the new run must not be mistaken for the old one", Story: scenario.Contract(published, scenario.Restart)},
	{Name: "a lossy link, subscribed", Reason: "over TCP, loss becomes delay", Story: scenario.Contract(published, scenario.Lossy)},
}

func published(n *sim.Network) patterntest.System { return systems.PubSub(n, systems.InMemory) }
func publishedByName(n *sim.Network) patterntest.System {
	return systems.PubSubByName(n, systems.InMemory)
}
func publishedWithStore(n *sim.Network) patterntest.System {
	return systems.Durable(systems.PubSub(n, systems.OnDisk))
}

// inPieces is why two runs may differ in which a client acknowledges and makes room at one instant.
const inPieces = "in how many pieces a client sends what it has to say at one instant"

// slowSubscriber has a subscriber that takes nothing for a while, with four messages in
// flight and ten that may wait.
func slowSubscriber(policy pubsub.SlowPolicy, dropped int64) func(t *testing.T, n *sim.Network) {
	return func(t *testing.T, n *sim.Network) {
		b := serveMessages(t, n, "", 0, eventlog.Options{})
		o := pubsub.SubscribeOptions{Filter: "news", MaxInFlight: 4, MaxPending: 10, Slow: policy}
		fast := brokerPeer(t, n, "fast")
		fast.consume(pubsub.SubscribeOptions{Filter: "news"}, 0)
		slow := brokerPeer(t, n, "slow")
		sub := slow.subscribe(o)
		for i := range 100 {
			began := n.Elapsed()
			b.publish(t, fmt.Sprint("m", i))
			require.Equal(t, began, n.Elapsed(), "the publisher does not wait")
			time.Sleep(50 * time.Millisecond)
		}
		require.LessOrEqual(t, fast.slowest(), 41*time.Millisecond, "nor does the other subscriber")
		require.Len(t, fast.got(), 100)
		require.LessOrEqual(t, b.broker().Stats().HeldBytes, int64(1000))

		// Now it takes them.
		messages, missed := 0, int64(0)
		for messages+int(missed) < 100 {
			d, err := sub.Next(t.Context())
			if gap := (*pubsub.Gap)(nil); errors.As(err, &gap) {
				require.Equal(t, pubsub.ReasonSlow, gap.Reason)
				missed += gap.Missed
				continue
			}
			require.NoError(t, err)
			messages++
			require.NoError(t, d.AckSync(t.Context()))
		}
		require.Equal(t, dropped, missed, "what is missing is counted")
		if policy == pubsub.Disconnect {
			require.NotZero(t, b.broker().Stats().Slow)
		}
	}
}

// fanOut has one message go to many, of which some read nothing.
func fanOut(subscribers, slow int) func(t *testing.T, n *sim.Network) {
	return func(t *testing.T, n *sim.Network) {
		b := serveMessages(t, n, "", 0, eventlog.Options{})
		large := string(make([]byte, 4000))
		var all []*peer
		for i := range subscribers {
			p := brokerPeer(t, n, fmt.Sprint("phone", i))
			p.start(pubsub.SubscribeOptions{Filter: "news", AtMostOnce: true}, 0)
			all = append(all, p)
		}
		time.Sleep(time.Second)
		for _, p := range all[:slow] {
			p.host.Pause()
		}
		for range 3 {
			b.publish(t, large)
			time.Sleep(time.Second)
		}
		for _, p := range all[slow:] {
			require.Len(t, p.got(), 3)
			require.LessOrEqual(t, p.slowest(), 41*time.Millisecond, "p100 of the fast")
		}
		require.Less(t, b.broker().Stats().HeldBytes, int64(slow*3*5000))
	}
}

// retention has the log keep five messages while a subscriber is away for twenty.
func retention(reset pubsub.ResetPolicy, first string) func(t *testing.T, n *sim.Network) {
	return func(t *testing.T, n *sim.Network) {
		b := serveMessages(t, n, "", 0, eventlog.Options{MaxEntries: 5})
		p := brokerPeer(t, n, "phone")
		p.consume(pubsub.SubscribeOptions{Filter: "news", Name: "readers", Reset: reset}, 0)
		time.Sleep(time.Second)
		p.host.PowerOff()
		time.Sleep(time.Minute)
		b.publish(t, numbered("m", 20)...)
		p.host.Restart()
		time.Sleep(10 * time.Second)
		b.publish(t, "new")
		time.Sleep(time.Second)
		require.Equal(t, []eventlog.Reason{eventlog.ReasonCompacted}, p.gaps())
		require.Equal(t, first, p.got()[0])
	}
}

// brokerHost is a broker on the host "server", which may crash and come back. With a
// folder its log and store are on disk there.
type brokerHost struct {
	current   patterntest.Current[*pubsub.Broker]
	host      *sim.Host
	mu        sync.Mutex
	last      *pubsub.Broker
	log       eventlog.Log
	published []string
}

func serveMessages(t *testing.T, n *sim.Network, folder string, session time.Duration, lo eventlog.Options) *brokerHost {
	b := &brokerHost{host: n.Host("server")}
	b.host.Run("broker", func(ctx context.Context, h *sim.Host) (err error) {
		var log eventlog.Log = eventlog.NewMemory(lo)
		var store *pubsub.Store
		if folder != "" {
			if log, err = eventlog.OpenDisk(filepath.Join(folder, "log"), lo); err != nil {
				return err
			}
			if store, err = pubsub.OpenStore(filepath.Join(folder, "subscriptions")); err != nil {
				return err
			}
			defer store.Close()
		}
		defer log.Close()
		broker := &pubsub.Broker{Log: log, Store: store, SessionTimeout: session}
		b.mu.Lock()
		b.last, b.log = broker, log
		b.mu.Unlock()
		defer b.current.Set(broker)()
		return systems.ServeBroker(ctx, h, broker)
	})
	time.Sleep(1)
	return b
}

// broker returns the broker that runs, or ran last.
func (b *brokerHost) broker() *pubsub.Broker {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

// head is where its log ends.
func (b *brokerHost) head() eventlog.Cursor {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.Head()
}

func (b *brokerHost) publish(t *testing.T, data ...string) {
	t.Helper()
	for i, d := range data {
		if i > 0 {
			time.Sleep(1) // what goes out together would else be the runtime's choice
		}
		require.NoError(t, b.publishIf(d))
	}
}

// publishIf publishes if the broker is up, and notes what it accepted.
func (b *brokerHost) publishIf(data string) error {
	err := b.current.Do(func(broker *pubsub.Broker) error {
		_, err := broker.Publish(context.Background(), pubsub.Message{Topic: "news", Data: []byte(data)})
		return err
	})
	if err == nil {
		b.published = append(b.published, data)
	}
	return err
}

// peer is a host with a client of the broker, and what it received.
type peer struct {
	t    *testing.T
	n    *sim.Network
	name string
	host *sim.Host
	link *sim.Link
	c    *pubsub.Client // nil until it is needed

	mu   sync.Mutex
	list []received
	lost []eventlog.Reason
}

type received struct {
	data, key, id string // data up to 16 bytes
	at, took      time.Duration
}

func brokerPeer(t *testing.T, n *sim.Network, name string) *peer {
	p := &peer{t: t, n: n, name: name, host: n.Host(name)}
	p.link = n.Link(p.host, n.Host("server"), scenario.Good)
	return p
}

// client returns the client of the story; consume has one of its own.
func (p *peer) client() *pubsub.Client {
	if p.c == nil {
		c := p.connect()
		p.t.Cleanup(func() { c.Close() })
		p.c = c
	}
	return p.c
}

func (p *peer) connect() *pubsub.Client {
	return &pubsub.Client{ID: p.name, Addr: "server:4222", DialContext: p.host.DialContext, Jitter: retry.Seeded(p.n.Rand(p.name).Uint64())}
}

func (p *peer) send(data string) pubsub.Receipt {
	p.t.Helper()
	r, err := p.client().Publish(p.t.Context(), pubsub.Message{Topic: "news", Data: []byte(data)})
	require.NoError(p.t, err)
	return r
}

func (p *peer) subscribe(o pubsub.SubscribeOptions) *pubsub.Subscription {
	p.t.Helper()
	sub, err := p.client().Subscribe(p.t.Context(), o)
	require.NoError(p.t, err)
	return sub
}

// consume has a process of the host take messages, work on each for so long, and
// acknowledge it. It returns when the subscription exists.
func (p *peer) consume(o pubsub.SubscribeOptions, work time.Duration) {
	p.start(o, work)
	time.Sleep(6*40*time.Millisecond + 1) // connecting, hello and subscribe take a round trip each
}

func (p *peer) start(o pubsub.SubscribeOptions, work time.Duration) {
	p.host.Run("consumer", func(ctx context.Context, _ *sim.Host) error {
		c := p.connect()
		defer c.Close()
		sub, err := c.Subscribe(ctx, o)
		if err != nil {
			return err
		}
		return p.take(ctx, sub, work)
	})
}

// take takes messages from a subscription until it ends.
func (p *peer) take(ctx context.Context, sub *pubsub.Subscription, work time.Duration) error {
	for {
		d, err := sub.Next(ctx)
		p.mu.Lock()
		if gap := (*pubsub.Gap)(nil); errors.As(err, &gap) {
			p.lost = append(p.lost, gap.Reason)
		} else if err == nil {
			data := string(d.Data)
			if len(data) > 16 {
				data = data[:16]
			}
			p.list = append(p.list, received{data, d.Key, d.ID, p.n.Elapsed(), time.Since(d.Time)})
		}
		p.mu.Unlock()
		switch {
		case err == nil:
			time.Sleep(work)
			d.Ack()
		case errors.As(err, new(*pubsub.Gap)):
		default:
			return err
		}
	}
}

func (p *peer) all() []received {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.list)
}

func (p *peer) got() (all []string) {
	for _, r := range p.all() {
		all = append(all, r.data)
	}
	return all
}

func (p *peer) ids() (all []string) {
	for _, r := range p.all() {
		all = append(all, r.id)
	}
	return all
}

func (p *peer) gaps() []eventlog.Reason {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.lost)
}

// slowest is the longest that a message took from the broker.
func (p *peer) slowest() (d time.Duration) {
	for _, r := range p.all() {
		d = max(d, r.took)
	}
	return d
}

// longestPause is the longest time between two messages.
func (p *peer) longestPause() (d time.Duration) {
	all := p.all()
	for i := 1; i < len(all); i++ {
		d = max(d, all[i].at-all[i-1].at)
	}
	return d
}

// next takes the next message, which must be this one at this attempt.
func next(t *testing.T, sub *pubsub.Subscription, data string, attempt int) *pubsub.Delivery {
	t.Helper()
	d, err := sub.Next(t.Context())
	require.NoError(t, err)
	require.Equal(t, data, string(d.Data))
	require.Equal(t, attempt, d.Attempt, data)
	return d
}

// numbered returns prefix0, prefix1 and so on.
func numbered(prefix string, count int) (all []string) {
	for i := range count {
		all = append(all, fmt.Sprint(prefix, i))
	}
	return all
}

// unique returns the texts without repetitions, in the order in which they came first.
func unique(all []string) (first []string) {
	seen := map[string]bool{}
	for _, text := range all {
		if !seen[text] {
			first = append(first, text)
		}
		seen[text] = true
	}
	return first
}
