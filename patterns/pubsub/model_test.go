package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/squall-sim/squall/patterns/pubsub"
	"github.com/squall-sim/squall/sim"
)

// brokerModel watches a group of two from outside: what was published, what was
// acknowledged for certain, and by which delivery.
type brokerModel struct {
	t       *rapid.T
	w       *world
	members map[string]*modelMember
	sent    []string
	acked   map[string]string // the delivery that did it, by data
	refused map[string]bool   // acknowledged by a member that had lost it; if it gets it again its client says so by itself
	hands   []*hand
}

type modelMember struct {
	c    *pubsub.Client
	s    *pubsub.Subscription
	runs int
}

// hand is a delivery that somebody got.
type hand struct {
	*pubsub.Delivery
	by string // member and run
}

func (h *hand) id() string { return fmt.Sprintf("%s of %s by %s", h.Cursor, h.Data, h.by) }

// Any sequence of publications, settlements, passing time, broken connections, dead
// processes and restarts ends with each message acknowledged once, and none that was
// acknowledged is seen again.
func TestBrokerModel(t *testing.T) {
	folder := t.TempDir()
	run := 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		folder := fmt.Sprint(folder, "/", run)
		if run%10 > 0 {
			folder = "" // disks are slow; without one there are no restarts
		}
		rapid.SyncTest(t, func(t *rapid.T) { runBrokerModel(t, folder) })
	})
}

func runBrokerModel(t *rapid.T, folder string) {
	n := sim.New() // in the bubble of rapid, whose clock is no less virtual
	defer func() {
		n.Close()
		time.Sleep(time.Second)
	}()
	w := onMemory(t, n)
	w.folder = folder
	w.broker = func() *pubsub.Broker { return &pubsub.Broker{SessionTimeout: 10 * sec} }
	if folder != "" {
		require.NoError(t, os.MkdirAll(folder, 0o700))
	}
	w.start()
	m := &brokerModel{t: t, w: w, members: map[string]*modelMember{"a": {}, "b": {}}, acked: map[string]string{}, refused: map[string]bool{}}
	defer func() {
		for _, x := range m.members {
			if x.c != nil {
				x.c.Close()
			}
		}
		w.stop()
		time.Sleep(time.Hour) // what is left behind ends
	}()
	m.start("a")
	name := rapid.SampledFrom([]string{"a", "b"})
	t.Repeat(map[string]func(*rapid.T){
		"publish": func(t *rapid.T) {
			for range rapid.IntRange(1, 5).Draw(t, "count") {
				m.sent = append(m.sent, fmt.Sprint("m", len(m.sent)))
				w.publish("t", m.sent[len(m.sent)-1])
			}
		},
		"next": func(t *rapid.T) {
			if x := m.members[name.Draw(t, "member")]; x.s != nil {
				for range rapid.IntRange(1, 5).Draw(t, "count") {
					m.next(x, 100*ms)
				}
			}
		},
		"ack": func(t *rapid.T) {
			if len(m.hands) > 0 {
				m.ack(m.hands[rapid.IntRange(max(0, len(m.hands)-6), len(m.hands)-1).Draw(t, "delivery")])
			}
		},
		"nack": func(t *rapid.T) {
			if len(m.hands) > 0 {
				m.hands[rapid.IntRange(max(0, len(m.hands)-6), len(m.hands)-1).Draw(t, "delivery")].Nack(sec)
			}
		},
		"sleep": func(t *rapid.T) { time.Sleep(time.Duration(rapid.IntRange(1, 12).Draw(t, "seconds")) * sec) },
		"cut":   func(t *rapid.T) { w.net.cut(name.Draw(t, "member")) },
		"die":   func(t *rapid.T) { m.die(name.Draw(t, "member")) },
		"begin": func(t *rapid.T) { m.start(name.Draw(t, "member")) },
		"leave": func(t *rapid.T) {
			if x := m.members[name.Draw(t, "member")]; x.s != nil {
				require.NoError(t, x.s.Unsubscribe(context.Background()))
				_, err := x.s.Next(context.Background())
				require.ErrorIs(t, err, pubsub.ErrUnsubscribed)
				x.s = nil
			}
		},
		"restart": func(t *rapid.T) {
			if folder == "" {
				t.Skip("it would forget")
			}
			w.stop()
			w.start()
		},
	})

	// Let all end well.
	m.start("a")
	m.start("b")
	for quiet := 0; quiet < 2; quiet++ {
		for _, name := range []string{"a", "b"} {
			for d := m.next(m.members[name], 20*sec); d != nil; d = m.next(m.members[name], 20*sec) {
				m.ack(d)
				quiet = 0
			}
		}
	}
	for _, data := range m.sent {
		require.True(t, m.acked[data] != "" || m.refused[data], "%s was never delivered so that it could be acknowledged", data)
	}
	stats, _ := w.b.Subscription("n")
	require.Zero(t, stats.Pending)
}

// start begins a member's process, if none runs, and subscribes.
func (m *brokerModel) start(name string) {
	x := m.members[name]
	if x.c == nil {
		x.c = m.w.clientOnly(name)
		x.runs++
	}
	if x.s == nil {
		s, err := x.c.Subscribe(context.Background(), pubsub.SubscribeOptions{Filter: "t", Name: "n", AckWait: 5 * sec, MaxInFlight: 4})
		require.NoError(m.t, err)
		x.s = s
	}
}

// die ends a member's process without a word.
func (m *brokerModel) die(name string) {
	x := m.members[name]
	if x.c == nil {
		return
	}
	m.w.net.mutes(name, true)
	x.c.Close()
	m.w.net.mutes(name, false)
	m.w.net.cut(name)
	x.c, x.s = nil, nil
}

func (m *brokerModel) next(x *modelMember, patience time.Duration) *hand {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	d, err := x.s.Next(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	require.NoError(m.t, err)
	by := "a"
	if x == m.members["b"] {
		by = "b"
	}
	h := &hand{d, fmt.Sprint(by, x.runs)}
	require.Empty(m.t, m.acked[string(d.Data)], "%s came after it was acknowledged", h.id())
	m.hands = append(m.hands, h)
	return h
}

// ack acknowledges a delivery, perhaps again, perhaps too late.
func (m *brokerModel) ack(h *hand) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := h.AckSync(ctx)
	synctest.Wait()
	by := m.acked[string(h.Data)]
	switch {
	case err == nil && by != "":
		require.Equal(m.t, by, h.id(), "two members own %s", h.Data)
	case err == nil:
		m.acked[string(h.Data)] = h.id()
	default:
		require.NotErrorIs(m.t, err, context.DeadlineExceeded)
		m.refused[string(h.Data)] = true
	}
}
