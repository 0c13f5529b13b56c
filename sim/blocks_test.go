package sim_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// Data arrives as it was sent, although squall reuses blocks of memory while copies of their former
// contents are still in transit.
func TestLargeTransfersArriveAsSent(t *testing.T) {
	for name, cfg := range map[string]netem.Config{
		"perfect":    {},
		"loss":       {Delay: 20 * ms, Loss: netem.Bernoulli(0.01)},
		"duplicates": {Delay: 20 * ms, Jitter: 5 * ms, Duplicate: 0.05, Reorder: 0.02},
	} {
		t.Run(name, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				client, server := n.Host("client"), n.Host("server")
				n.Link(client, server, cfg)
				l, err := server.Listen("tcp", ":7")
				require.NoError(t, err)
				var all sync.WaitGroup
				for i, dial := range []func() (net.Conn, error){
					func() (net.Conn, error) { return client.Dial("tcp", "server:7") },
					func() (net.Conn, error) { return client.Dial("tcp", "server:7") },
					func() (net.Conn, error) { return server.Dial("tcp", "localhost:7") },
				} {
					c, err := dial()
					require.NoError(t, err)
					s, err := l.Accept()
					require.NoError(t, err)
					r := rand.New(rand.NewPCG(uint64(i), 1))
					data := make([]byte, fewerUnderRace(4<<20))
					for k := range data {
						data[k] = byte(r.Uint32())
					}
					all.Go(func() {
						for rest := data; len(rest) > 0; {
							k := min(1+r.IntN(100_000), len(rest))
							if _, err := c.Write(rest[:k]); err != nil {
								t.Error(err)
							}
							rest = rest[k:]
						}
						c.Close()
					})
					all.Go(func() {
						got, err := io.ReadAll(slowReader{s})
						if err != nil || !bytes.Equal(data, got) {
							t.Errorf("connection %d: what arrived is not what was sent (%d bytes, %v)", i, len(got), err)
						}
						s.Close()
					})
				}
				all.Wait()
			})
		})
	}
}

// slowReader sleeps before each read, so that data piles up.
type slowReader struct{ io.Reader }

func (r slowReader) Read(p []byte) (int, error) {
	time.Sleep(ms)
	return r.Reader.Read(p)
}

// A retransmission carries the same bytes as the original. This holds even if the peer's program read them long ago, only the
// acknowledgement was lost, and another connection keeps writing.
func TestWhatIsSentAgainIsTheSame(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		link := n.Link(a, b, netem.Config{Delay: 5 * ms})
		first, firstRead := warmPair(t, n, a, b)
		second, secondRead := warmPair(t, n, a, n.Host("b2"))
		link.DownFrom(b)
		_, err := first.Write(bytes.Repeat([]byte("first"), 40_000))
		require.NoError(t, err)
		time.Sleep(50 * ms) // all of it is read
		for range 20 {
			_, err = second.Write(bytes.Repeat([]byte("the second"), 10_000))
			require.NoError(t, err)
		}
		time.Sleep(time.Second) // several timeouts
		link.Up()
		first.Close()
		second.Close()
		<-firstRead
		<-secondRead
		contents, again := make(map[uint64]sim.Event), 0
		for e := range n.Trace().Events() {
			if e.Kind != sim.Sent || e.From != "a" || e.To != "b" || e.Length == 0 {
				continue
			}
			if was, sent := contents[e.Seq]; sent && was.Length == e.Length {
				again++
				require.Equal(t, was.Content, e.Content, "%v, which was %v", e, was)
			}
			contents[e.Seq] = e
		}
		require.Positive(t, again)
	})
}

// A round trip of a short message over TCP allocates nothing on the heap, except for the trace and the slabs that short writes share.
func TestShortMessagesAllocateNothing(t *testing.T) {
	t.Setenv("SQUALL_ARTIFACTS", "off") // recording takes memory
	if sim.RaceEnabled {
		t.Skip("the race detector's moments are allocated")
	}
	for _, size := range []int{1, 200} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			c := echoTo(n, n.Host("client"), n.Host("server"))
			p := make([]byte, size)
			require.Zero(t, testing.AllocsPerRun(500, func() {
				c.Write(p)
				io.ReadFull(c, p)
			}), "%d bytes", size)
			c.Close()
		}, sim.DefaultLink(netem.Config{Delay: 50 * ms}))
	}
}
