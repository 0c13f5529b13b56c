package sim_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// A stream arrives byte for byte, whatever happens to its packets on the path.
func TestStreamsArriveWhole(t *testing.T) {
	for _, c := range []struct {
		reason string
		size   int
		link   netem.Config
	}{
		{"2 % loss", 10 << 20, netem.Config{Delay: 10 * ms, Loss: netem.Bernoulli(0.02)}},
		{"10 % loss, jitter that reorders", 10 << 20, netem.Config{Delay: 10 * ms, Jitter: 5 * ms, Loss: netem.Bernoulli(0.1)}},
		{"a rate with a short queue", 10 << 20, netem.Config{Delay: 10 * ms, Rate: 20 * netem.Mbit, Queue: netem.DropTail{Packets: 20}}},
		{"duplicates and damage", 3 << 20, netem.Config{Delay: 10 * ms, Jitter: ms, Duplicate: 0.05, Corrupt: 0.02, Reorder: 0.05}},
	} {
		t.Run(c.reason, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				client, server := n.Host("client"), n.Host("server")
				n.Link(client, server, c.link)
				l := listen(t, server, ":7")
				sent := make(chan string, 1)
				go func() {
					conn, err := l.Accept()
					if !assertNoError(t, err) {
						return
					}
					h := sha256.New()
					_, err = io.Copy(io.MultiWriter(conn, h), &source{left: c.size, r: rand.NewChaCha8([32]byte{1})})
					assertNoError(t, err)
					conn.Close()
					sent <- fmt.Sprintf("%x", h.Sum(nil))
				}()
				h := sha256.New()
				got, err := io.Copy(h, dial(t, client, "server:7"))
				require.NoError(t, err)
				require.EqualValues(t, c.size, got)
				require.Equal(t, <-sent, fmt.Sprintf("%x", h.Sum(nil)))
				require.Empty(t, n.IdleFaults())
			})
		})
	}
}

// A source yields random bytes, in pieces of random sizes.
type source struct {
	left int
	r    *rand.ChaCha8
}

func (s *source) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	k := min(s.left, len(p), 1+int(s.r.Uint64()%40_000))
	s.left -= k
	return s.r.Read(p[:k])
}

// A stream that spans an outage of a minute has no gap. Everything written before, during and after it arrives once
// and in order.
func TestStreamAcrossAPartition(t *testing.T) {
	onRig(t, func(r *rig) {
		const lines = 200
		start := r.n.Elapsed()
		r.n.After(20*time.Second, func() { r.n.Partition([]*sim.Host{r.a}, []*sim.Host{r.b}) })
		r.n.After(80*time.Second, r.n.Heal)
		go func() {
			for i := range lines {
				_, err := fmt.Fprintf(r.conn, "line %d\n", i)
				assertNoError(t, err)
				time.Sleep(time.Second)
			}
		}()
		for i := range lines {
			var k int
			_, err := fmt.Fscanf(r.conn, "line %d\n", &k)
			require.NoError(t, err)
			require.Equal(t, i, k)
			sent := start + time.Duration(i)*time.Second
			if i < 20 || i > 140 {
				require.Equal(t, sent+20*ms, r.n.Elapsed().Round(time.Microsecond), "line %d", i)
			}
		}
		r.requireFired()
	})
}

// Loss alone never makes a request fail. It only adds delay.
func TestRequestsOverALossyLink(t *testing.T) {
	for _, loss := range []netem.Bernoulli{0.01, 0.05} {
		t.Run(fmt.Sprint(loss), func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				server, phone := n.Host("server"), n.Host("phone")
				n.Link(phone, server, netem.Config{Delay: 20 * ms, Loss: loss})
				body := make([]byte, 10_000)
				server.ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(body) }))
				c := phone.HTTPClient()
				for range 500 {
					require.Len(t, get(t, c, "http://server/"), len(body))
				}
				require.Empty(t, n.IdleFaults())
				require.Equal(t, 1, connections(n), "one connection served them all")
			})
		})
	}
}

func connections(n *sim.Network) (dials int) {
	for _, h := range n.Stats().Hosts {
		dials += h.Dials
	}
	return dials
}

// A reader that stalls stops the writer, and receives everything when it resumes.
func TestBackPressure(t *testing.T) {
	onPair(t, func(s *stage, c, peer *sim.TCPConn) {
		data := make([]byte, 2<<20)
		done := make(chan time.Duration, 1)
		go func() {
			_, err := c.Write(data)
			assertNoError(t, err)
			done <- s.n.Elapsed()
			c.Close()
		}()
		time.Sleep(time.Hour)
		require.Empty(t, done, "the writer waits")
		got, err := io.ReadAll(peer)
		require.NoError(t, err)
		require.Len(t, got, len(data))
		require.Greater(t, <-done, time.Hour)
	})
}

// A deadline that passes in the middle of a stream loses none of its data.
func TestDeadlineLosesNothing(t *testing.T) {
	onPair(t, func(s *stage, c, peer *sim.TCPConn) {
		const size = 500_000
		go func() {
			c.Write(make([]byte, size))
			c.Close()
		}()
		got, expired := 0, 0
		p := make([]byte, 10_000)
		for {
			peer.SetReadDeadline(in(ms))
			k, err := peer.Read(p)
			got += k
			if err == io.EOF {
				break
			}
			if err != nil {
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				expired++
			}
		}
		require.Equal(t, size, got)
		require.NotZero(t, expired)
	})
}
