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

// An event whose socket has an earlier one is neither asked what the program can observe of it, nor kept when it comes to the front.
func TestEventsThatAreOvertakenCountForNothing(t *testing.T) {
	n := &Network{lookahead: lookahead{on: true}}
	s := &overtakenTimer{at: 200, planned: plan(never)}
	n.queue.schedule(s, classTimer, 1)
	s.at = 40
	n.queue.schedule(s, classTimer, 1)
	require.Len(t, n.queue.events, 2)
	look := mostLooks
	require.EqualValues(t, 40, n.observable(0, never, &look))
	require.Equal(t, 1, s.asked)

	s.at = 300 // put off: the earlier event moves when its time comes, and the later one goes when it is first
	require.False(t, n.queue.front(39))
	require.EqualValues(t, 40, n.queue.events[0].when)
	require.True(t, n.queue.front(never))
	require.Len(t, n.queue.events, 1)
	require.EqualValues(t, 300, n.queue.events[0].when)
	s.at = never
	n.queue.front(never)
	require.Empty(t, n.queue.events)
	require.EqualValues(t, never, s.planned)
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
