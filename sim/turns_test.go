package sim_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// inTurn calls f on goroutines of their own, a millisecond apart, and waits for them to return.
func inTurn(count int, f func(i int)) {
	var all sync.WaitGroup
	for i := range count {
		all.Go(func() { f(i) })
		time.Sleep(ms)
	}
	all.Wait()
}

// Calls of one kind on a socket take turns in the order in which they were made (fdMutex of package poll): writes do
// not mix, and the call that has waited longest is next.
func TestWritesTakeTurns(t *testing.T) {
	const each = 3_000_000 // more than the buffers hold
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		n.Link(a, b, netem.Config{Delay: 40 * ms})
		l := listen(t, b, ":7")
		read := make(chan []byte)
		go func() {
			c, _ := l.Accept()
			all, _ := io.ReadAll(c)
			read <- all
		}()
		c := dial(t, a, "b:7")
		var want []byte
		for i := range 8 {
			want = append(want, bytes.Repeat([]byte{byte('a' + i)}, each)...)
		}
		inTurn(8, func(i int) {
			k, err := c.Write(want[i*each : (i+1)*each])
			require.NoError(t, err)
			require.Equal(t, each, k)
		})
		c.Close()
		require.True(t, bytes.Equal(want, <-read))
	})
}

// When a connection dies, the calls that wait for their turn return in order.
func TestWritersOfADeadConnectionGoOnInTurn(t *testing.T) {
	for range fewerUnderRace(10) {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			a, b, x := n.Host("a"), n.Host("b"), n.Host("x")
			n.Link(a, b, netem.Config{Delay: 40 * ms})
			n.Link(a, x, netem.Config{Delay: 40 * ms})
			lx := listen(t, x, ":7")
			go func() {
				c, _ := lx.Accept()
				time.Sleep(time.Minute)
				c.(*sim.TCPConn).SetLinger(0)
				c.Close()
			}()
			l := listen(t, b, ":7")
			read := make(chan []byte)
			go func() {
				c, _ := l.Accept()
				all, _ := io.ReadAll(c)
				read <- all
			}()
			c, dead := dial(t, a, "b:7"), dial(t, a, "x:7")
			inTurn(20, func(i int) {
				_, err := dead.Write(make([]byte, 10_000_000))
				require.Error(t, err)
				c.Write([]byte{byte('a' + i)})
			})
			c.Close()
			require.Equal(t, "abcdefghijklmnopqrst", string(<-read))
		})
	}
}

// No call is left waiting if the network ends between two turns.
func TestNetworkEndsBetweenTurns(t *testing.T) {
	require.NoError(t, sim.Try(t, func(n *sim.Network) error {
		a, b := n.Host("a"), n.Host("b")
		n.Link(a, b, netem.Config{Delay: 40 * ms})
		l := listen(t, b, ":7")
		go func() {
			c, _ := l.Accept()
			time.Sleep(time.Minute)
			c.(*sim.TCPConn).SetLinger(0)
			c.Close()
		}()
		c := dial(t, a, "b:7")
		inTurn(5, func(i int) {
			c.Write(make([]byte, 10_000_000))
			if i == 1 {
				n.Close()
			}
		})
		return nil
	}))
}

func TestReadsTakeTurns(t *testing.T) {
	onPair(t, func(s *stage, c, peer *sim.TCPConn) {
		s.n.After(time.Second, func() { peer.Write([]byte("abcdefgh")) })
		inTurn(8, func(i int) {
			p := make([]byte, 1)
			k, err := c.Read(p)
			require.NoError(t, err)
			require.Equal(t, string(rune('a'+i)), string(p[:k]))
		})
	})
}

func TestDatagramsAreReadInTurns(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		pc, err := n.Host("b").ListenPacket("udp", ":7")
		require.NoError(t, err)
		c, err := n.Host("a").Dial("udp", "b:7")
		require.NoError(t, err)
		n.After(time.Second, func() {
			for i := range 8 {
				fmt.Fprint(c, i)
			}
		})
		inTurn(8, func(i int) {
			p := make([]byte, 10)
			k, _, err := pc.ReadFrom(p)
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint(i), string(p[:k]))
		})
	})
}

func TestConnectionsAreAcceptedInTurns(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		l := listen(t, n.Host("b"), ":7")
		for i := range 8 {
			h := n.Host(fmt.Sprint("a", i))
			n.After(time.Second+time.Duration(i), func() { go h.Dial("tcp", "b:7") })
		}
		inTurn(8, func(i int) {
			c, err := l.Accept()
			require.NoError(t, err)
			require.Equal(t, n.Host(fmt.Sprint("a", i)).Addr().String(), c.RemoteAddr().(*net.TCPAddr).IP.String())
		})
	})
}

// A call gets its turn even if the call before it failed, at a deadline or because of Close.
func TestTurnsEndWithErrors(t *testing.T) {
	onPair(t, func(s *stage, c, _ *sim.TCPConn) {
		for _, end := range []func(){
			func() { c.SetDeadline(time.Now()) },
			func() { c.Close() },
		} {
			c.SetDeadline(time.Time{})
			s.n.After(time.Second, end)
			start := s.n.Elapsed()
			inTurn(8, func(i int) {
				var err error
				if i%2 == 0 {
					_, err = c.Read(make([]byte, 1))
				} else {
					_, err = c.Write(make([]byte, 10_000_000))
				}
				require.Error(t, err)
			})
			require.Less(t, s.n.Elapsed()-start, time.Second+time.Microsecond)
		}
	})
}
