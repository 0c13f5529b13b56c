package sim

import (
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim/internal/tcp"
)

// Trains and spaced segments of runs arrive in the order of their instants, and at one instant in the order in which
// they were added. This holds whether they are in line or overtake others, and when some are removed.
func TestTrainsInLineKeepTheirOrder(t *testing.T) {
	runs := runsOf(t)
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var q eventQueue
		free := new(pool)
		pipes := []*pipe{{}, {}, {}}
		flows := []*flow{{}, {}}
		in, now := 0, int64(0)
		popped := func() {
			q.front(never)
			before := q.events[0]
			e := q.pop(free)
			require.Equal(t, before, e)
			require.GreaterOrEqual(t, e.when, now)
			for _, other := range q.events {
				require.True(t, e.before(&other), "seed %d: an earlier one was left behind", seed)
			}
			now = e.when
			in -= e.what.(*packet).train.packets
			if q.lastTrain == e.what.(*packet) {
				q.lastTrain = nil
			}
		}
		for range 400 {
			switch k := r.IntN(20); {
			case k < 12:
				p := pipes[r.IntN(len(pipes))]
				pkt := &packet{flow: flows[r.IntN(2)], proto: protoUDP, pipes: []*pipe{p}, size: 100}
				when := now + int64(r.IntN(30))
				if p.last != nil && r.IntN(4) > 0 {
					when = max(when, p.last.line.when+int64(r.IntN(3)))
				}
				q.addPacket(pkt, when)
				in++
			case k < 14:
				p, em, count := pipes[r.IntN(len(pipes))], new(netem.Pipe), 2+r.IntN(4)
				require.NoError(t, em.Set(netem.Config{Delay: time.Duration(r.IntN(30)), Rate: 400 * netem.Gbit})) // 30 ns a packet
				pkt := &packet{flow: flows[r.IntN(2)], proto: protoTCP, pipes: []*pipe{p}, seg: runs(count)}
				pkt.size = pkt.seg.Size()
				spacing, until, ok := em.PassSpaced(count, pkt.size, pkt.size, time.Duration(now), new(netem.Stream))
				require.True(t, ok)
				q.addSpaced(pkt, count, spacing, int64(until))
				in += count
			case k < 19:
				if len(q.events) > 0 {
					popped()
				}
			default:
				p := pipes[r.IntN(len(pipes))]
				in -= len(q.take(free, func(pkt *packet) bool { return pkt.on(p) && r.IntN(2) == 0 }))
			}
		}
		for len(q.events) > 0 {
			popped()
		}
		for _, p := range pipes {
			require.Nil(t, p.last)
		}
		require.Zero(t, in, "seed %d: packets that were neither taken nor came", seed)
	}
}

// runsOf makes runs of a few segments.
func runsOf(t *testing.T) func(count int) *tcp.Segment {
	var long tcp.Segment
	Test(t, func(t *testing.T, n *Network) {
		l, err := n.Host("b").Listen("tcp", ":7")
		require.NoError(t, err)
		c, err := n.Host("a").Dial("tcp", "b:7")
		require.NoError(t, err)
		s, err := l.Accept()
		require.NoError(t, err)
		go io.Copy(io.Discard, s)
		for range 20 {
			_, err = c.Write(make([]byte, 100_000))
			require.NoError(t, err)
			if run := get(n, func() (most tcp.Segment) {
				for _, e := range n.queue.events {
					pkt, _ := e.what.(*packet)
					for ; pkt != nil; pkt = pkt.line.next {
						if pkt.line.spaced() && pkt.seg.Run() > most.Run() {
							most = *pkt.seg
						}
					}
				}
				return most
			}); run.Run() > long.Run() {
				long = run
			}
			time.Sleep(time.Microsecond)
		}
		require.Greater(t, long.Run(), 6)
		require.Zero(t, long.RunLen()%len(long.Payload), "all are as long as the first")
	}, DefaultLink(netem.Config{Delay: time.Millisecond, Rate: 10 * netem.Gbit}))
	return func(count int) *tcp.Segment {
		run := long
		for run.Run() > count {
			run.Advance()
		}
		return &run
	}
}

// A datagram in flight, or one held back by a coalescing network card, is left to the waiting call if its socket took
// the last datagram of that path.
func TestDatagramsAreLeftToTheCallThatWaits(t *testing.T) {
	for _, card := range []time.Duration{0, time.Millisecond} {
		Test(t, func(t *testing.T, n *Network) {
			server := n.Host("server")
			if card > 0 {
				server.Coalesce(card)
			}
			s, err := server.ListenPacket("udp", ":7")
			require.NoError(t, err)
			c, err := n.Host("client").Dial("udp", "server:7")
			require.NoError(t, err)
			got := make(chan string)
			go func() {
				defer close(got)
				for p := make([]byte, 10); ; {
					k, _, err := s.ReadFrom(p)
					if err != nil {
						return
					}
					got <- string(p[:k])
				}
			}()
			due := func() (leftTo *waiter) {
				return get(n, func() *waiter {
					n.next(n.now())
					return n.nextWaiter()
				})
			}
			socket := s.(*UDPConn)
			for i, text := range []string{"first", "second"} {
				_, err = c.Write([]byte(text))
				require.NoError(t, err)
				time.Sleep(10*time.Millisecond + card/2) // the datagram is on the link, or with the card for half its time
				reader := get(n, func() *waiter { return socket.in.q.w })
				require.NotNil(t, reader)
				if i == 0 {
					require.Nil(t, due(), "nothing is known of the path yet")
				} else {
					require.Same(t, reader, due())
				}
				require.Equal(t, text, <-got)
			}
			require.NoError(t, s.Close())
			_, open := <-got
			require.False(t, open)
		}, DefaultLink(netem.Config{Delay: 10*time.Millisecond + 1}))
	}
}
