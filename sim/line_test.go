package sim

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
)

// Trains come in the order of their instants, then of their entry, whether they stand in line or overtake others, and also when some
// are taken out.
func TestTrainsInLineKeepTheirOrder(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var q eventQueue
		pipes := []*pipe{{}, {}, {}}
		flows := []*flow{{}, {}}
		in, now := 0, int64(0)
		popped := func() {
			q.front(never)
			before := q.events[0]
			e := q.pop()
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
			case k < 19:
				if len(q.events) > 0 {
					popped()
				}
			default:
				p := pipes[r.IntN(len(pipes))]
				in -= len(q.take(new(pool), func(pkt *packet) bool { return pkt.on(p) && r.IntN(2) == 0 }))
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

// A datagram on its way is left to the call that waits for it, if that socket took the last one of the path, and so is one that a card holds.
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
