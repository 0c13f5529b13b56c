package sim

import (
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
)

func TestHeapReturnsEventsInOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var h heap
	var want, got []event
	for i := range 2000 {
		e := event{when: int64(r.IntN(50)), ord: r.Uint64N(4)<<62 | uint64(i)}
		h.push(e)
		want = append(want, e)
		if r.IntN(3) == 0 {
			e := h.pop()
			at := slices.IndexFunc(want, func(o event) bool { return o.ord == e.ord })
			for _, o := range want {
				require.False(t, o.before(&e), "an earlier event was left behind")
			}
			want = slices.Delete(want, at, at+1)
		}
		if r.IntN(5) == 0 && len(h) > 0 {
			at := slices.IndexFunc(want, func(o event) bool { return o.ord == h[0].ord })
			want[at] = event{when: h[0].when + int64(r.IntN(50)), ord: r.Uint64N(4)<<62 | uint64(5000+i)}
			h.replace(want[at])
		}
	}
	slices.SortFunc(want, func(a, b event) int {
		if a.before(&b) {
			return -1
		}
		return 1
	})
	for len(h) > 0 {
		got = append(got, h.pop())
	}
	require.Equal(t, want, got)
}

// If a socket has an earlier event, the engine does not ask what the program can observe of the
// later one, and drops the later one when it reaches the front.
func TestEventsThatAreOvertakenCountForNothing(t *testing.T) {
	n := &Network{lookahead: lookahead{on: true}}
	s := &overtakenTimer{at: 200, planned: plan(never)}
	n.queue.schedule(s, classTimer, 1)
	n.queue.settle()
	s.at = 40
	n.queue.schedule(s, classTimer, 1)
	n.queue.settle()
	require.Len(t, n.queue.events, 2)
	look := mostLooks
	require.EqualValues(t, 40, n.observable(0, never, &look))
	require.Equal(t, 1, s.asked)

	s.at = 300 // put off: the earlier event moves when its time comes, and the later one goes when it is first
	n.queue.front(39)
	require.EqualValues(t, 40, n.queue.events[0].when)
	n.queue.front(never)
	require.Len(t, n.queue.events, 1)
	require.EqualValues(t, 300, n.queue.events[0].when)
	s.at = never
	n.queue.front(never)
	require.Empty(t, n.queue.events)
	require.EqualValues(t, never, s.planned)
}

// A timer that is set to an earlier instant and put off again before another socket sets one leaves
// no event behind.
func TestTimersThatArePutOffAtOnceLeaveNoEvents(t *testing.T) {
	var q eventQueue
	s, other := &overtakenTimer{at: 200, planned: plan(never)}, &overtakenTimer{at: 70, planned: plan(never)}
	at := func(o *overtakenTimer, at int64) {
		o.at = at
		q.schedule(o, classTimer, 1)
	}
	at(s, 200)
	at(other, 70)
	at(other, never)
	require.Len(t, q.events, 1, "that at 200")
	require.EqualValues(t, never, other.planned)
	at(s, 40)
	require.EqualValues(t, 40, q.first())
	at(s, 50)
	require.EqualValues(t, 50, q.first())
	at(s, 300)
	require.Len(t, q.events, 1)
	require.EqualValues(t, 200, q.first(), "there is an event already, which is put off when it comes")
	at(s, 40)
	q.front(39)
	require.EqualValues(t, 200, q.events[0].when)
	q.front(40)
	require.EqualValues(t, 40, q.events[0].when)
}

// Each socket is due at the instant to which its timer was last set, whatever it was set to before, and whenever the
// engine asks what the program can observe soonest, which is never later than that.
func TestTimersAreDueWhenTheyWereSetToLast(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	n := &Network{lookahead: lookahead{on: true}}
	q := &n.queue
	var socks [4]*overtakenTimer
	for i := range socks {
		socks[i] = &overtakenTimer{at: never, planned: plan(never)}
	}
	for now := int64(1); now < 20000; now++ {
		for range r.IntN(4) {
			id := r.IntN(len(socks))
			socks[id].at = now + r.Int64N(40)
			if r.IntN(4) == 0 {
				socks[id].at = never
			}
			q.schedule(socks[id], classTimer, uint64(id))
			if r.IntN(2) == 0 {
				at := n.soonest()
				for _, s := range socks {
					require.LessOrEqual(t, at, s.at)
				}
			}
		}
		var want, due []uint64
		for id, s := range socks {
			require.LessOrEqual(t, q.first(), s.at)
			if s.at == now {
				want = append(want, uint64(id))
			}
		}
		for q.front(now); q.first() <= now; q.front(now) {
			e := q.pop(new(pool))
			due = append(due, e.ord&^classMask)
			s := e.what.(*overtakenTimer)
			s.at, s.planned = never, plan(never)
		}
		require.Equal(t, want, due, "at %d", now)
	}
}

// A timer that was put off does not make the engine look at those of other sockets, be the timer that was set last out of the
// heap or not.
func TestTimersThatArePutOffHideNothing(t *testing.T) {
	for _, settled := range []bool{false, true} {
		n := &Network{lookahead: lookahead{on: true}}
		set := func(s *overtakenTimer, at int64, id uint64) {
			s.at = at
			n.queue.schedule(s, classTimer, id)
		}
		var others []*overtakenTimer
		for id := range uint64(100) {
			o := &overtakenTimer{planned: plan(never)}
			set(o, 10+int64(id), id)
			n.queue.settle()
			set(o, 100_000+int64(id), id) // its event stays where it is
			others = append(others, o)
		}
		first, last := &overtakenTimer{planned: plan(never)}, &overtakenTimer{planned: plan(never)}
		set(first, 5_000, 200)
		set(last, 6_000, 201)
		if settled {
			n.queue.settle()
		}
		require.EqualValues(t, 5_000, n.soonest())
		asked := 0
		for _, o := range others {
			asked += o.asked
		}
		require.Zero(t, asked)
	}
}

// The timers of a connection have a few events, however often they are set and stopped.
func TestExchangesLeaveNoEventsBehind(t *testing.T) {
	for _, delay := range []time.Duration{0, time.Millisecond} {
		Test(t, func(t *testing.T, n *Network) {
			l, err := n.Host("server").Listen("tcp", ":7")
			require.NoError(t, err)
			go func() {
				c, err := l.Accept()
				if err == nil {
					io.Copy(c, c)
				}
			}()
			c, err := n.Host("client").Dial("tcp", "server:7")
			require.NoError(t, err)
			for range 200 {
				_, err := c.Write([]byte("x"))
				require.NoError(t, err)
				_, err = io.ReadFull(c, make([]byte, 1))
				require.NoError(t, err)
				require.Less(t, get(n, func() int { return len(n.queue.events) }), 10)
			}
			require.NoError(t, c.Close())
		}, DefaultLink(netem.Config{Delay: delay}))
	}
}

type overtakenTimer struct {
	at      int64
	planned plan
	asked   int
}

func (o *overtakenTimer) plan(uint64) *plan { return &o.planned }
func (o *overtakenTimer) next(uint64) int64 { return o.at }
func (o *overtakenTimer) due(int64, uint64) {}
func (o *overtakenTimer) observable() int64 {
	o.asked++
	return o.at
}
