package sim_test

import (
	"bytes"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// What libraries such as QUIC's ask of a packet socket.
var (
	_ net.PacketConn = (*sim.UDPConn)(nil)
	_ net.Conn       = (*sim.UDPConn)(nil)
	_ interface {
		SetReadBuffer(int) error
		SetWriteBuffer(int) error
	} = (*sim.UDPConn)(nil)
)

// A packet socket offers no file descriptor, so that no library can use one. quic-go, for example, assumes ReadMsgUDP
// where there is SyscallConn.
func TestPacketConnHasNoDescriptor(t *testing.T) {
	var u any = (*sim.UDPConn)(nil)
	_, ok := u.(syscall.Conn)
	require.False(t, ok)
}

func TestDatagrams(t *testing.T) {
	onRig(t, func(r *rig) {
		start := r.n.Elapsed()
		k, err := r.atA.Write([]byte("ping"))
		require.NoError(t, err)
		require.Equal(t, 4, k)
		p := make([]byte, 10)
		k, from, err := r.atB.ReadFrom(p)
		require.NoError(t, err)
		require.Equal(t, "ping", string(p[:k]))
		require.Equal(t, r.atA.LocalAddr(), from)
		require.IsType(t, &net.UDPAddr{}, from)
		require.Equal(t, start+10*ms, r.n.Elapsed())

		_, err = r.atB.WriteTo([]byte("pong, and more than fits"), from)
		require.NoError(t, err)
		k, err = r.atA.Read(p)
		require.NoError(t, err)
		require.Equal(t, "pong, and ", string(p[:k]), "a short buffer loses the end")
		require.Equal(t, start+20*ms, r.n.Elapsed())
		r.atA.SetReadDeadline(in(time.Second))
		_, err = r.atA.Read(p)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, "the end is gone")

		require.Nil(t, r.atB.(net.Conn).RemoteAddr())
		_, err = r.atB.(net.Conn).Write(p)
		require.ErrorIs(t, err, syscall.EDESTADDRREQ)
		_, err = r.atA.(net.PacketConn).WriteTo(p, from)
		require.ErrorIs(t, err, net.ErrWriteToConnected)
		_, err = r.atB.WriteTo(p, &net.TCPAddr{})
		require.ErrorIs(t, err, syscall.EINVAL)
	})
}

// A datagram contains the data at the time of the call, even if the sender changes its buffer later.
func TestDatagramIsCopied(t *testing.T) {
	onRig(t, func(r *rig) {
		p := []byte("before")
		r.atA.Write(p)
		copy(p, "after!")
		got := make([]byte, 10)
		k, _, err := r.atB.ReadFrom(got)
		require.NoError(t, err)
		require.Equal(t, "before", string(got[:k]))
	})
}

// A connected socket receives only from its peer.
func TestConnectedSocketIgnoresStrangers(t *testing.T) {
	onRig(t, func(r *rig) {
		to := r.atA.LocalAddr()
		stranger, err := r.b.ListenPacket("udp", ":10")
		require.NoError(t, err)
		stranger.WriteTo([]byte("stranger"), to)
		time.Sleep(time.Second)
		r.atB.WriteTo([]byte("peer"), to)
		p := make([]byte, 10)
		k, err := r.atA.Read(p)
		require.NoError(t, err)
		require.Equal(t, "peer", string(p[:k]))
	})
}

// A datagram larger than the MTU travels in fragments, and arrives with the last one: 3000 bytes of payload make 2
// fragments of 1500 bytes and one of 68.
func TestFragments(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		link := n.Link(a, b, netem.Config{Delay: 10 * ms, Rate: 8 * netem.Kbit}) // a byte a millisecond
		pc, err := b.ListenPacket("udp", ":9")
		require.NoError(t, err)
		c, err := a.Dial("udp", "b:9")
		require.NoError(t, err)
		data := bytes.Repeat([]byte("0123456789"), 300)
		_, err = c.Write(data)
		require.NoError(t, err)
		p := make([]byte, 4000)
		k, _, err := pc.ReadFrom(p)
		require.NoError(t, err)
		require.Equal(t, data, p[:k])
		require.Equal(t, 10*ms+(1500+1500+68)*ms, n.Elapsed())

		// The loss of one fragment loses the whole datagram.
		link.Set(netem.Config{Delay: 10 * ms, Loss: netem.EveryNth(3)})
		c.Write(data)
		pc.SetReadDeadline(in(time.Second))
		_, _, err = pc.ReadFrom(p)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.EqualValues(t, 1, stats(n, "a", "b").Lost)
	})
}

func dropped(n *sim.Network, note string) (count int) {
	for e := range n.Trace().Events() {
		if e.Kind == sim.Dropped && e.Note == note {
			count++
		}
	}
	return count
}

func TestPacketDeadlines(t *testing.T) {
	onRig(t, func(r *rig) {
		start := r.n.Elapsed()
		expires := func(at time.Duration) {
			t.Helper()
			_, _, err := r.atB.ReadFrom(make([]byte, 1))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			require.Equal(t, start+at, r.n.Elapsed())
		}
		r.atB.SetReadDeadline(in(time.Second))
		expires(time.Second)
		expires(time.Second)
		r.atB.SetDeadline(in(time.Second))
		time.AfterFunc(500*ms, func() { r.atB.SetReadDeadline(in(time.Minute)) })
		expires(61*time.Second + 500*ms)
		_, err := r.atB.WriteTo([]byte{1}, r.atA.LocalAddr())
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, "SetDeadline holds for writes too")
		r.atB.SetWriteDeadline(time.Time{})
		_, err = r.atB.WriteTo([]byte{1}, r.atA.LocalAddr())
		require.NoError(t, err)
		time.AfterFunc(time.Hour, func() { r.atB.Close() })
		r.atB.SetReadDeadline(time.Time{})
		_, _, err = r.atB.ReadFrom(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

// Loss, duplicates and order are the link's, and datagrams show them as they are.
func TestDatagramsShowWhatTheLinkDoes(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		n.Link(a, b, netem.Config{Delay: 10 * ms, Loss: netem.Bernoulli(0.1), Duplicate: 0.1, Corrupt: 0.1, Reorder: 0.1})
		pc, err := b.ListenPacket("udp", ":9")
		require.NoError(t, err)
		c, err := a.Dial("udp", "b:9")
		require.NoError(t, err)
		got := make(chan int, 1)
		go func() {
			count := 0
			for {
				if _, _, err := pc.ReadFrom(make([]byte, 1)); err != nil {
					break
				}
				count++
			}
			got <- count
		}()
		for range 1000 {
			c.Write([]byte{1})
			time.Sleep(ms)
		}
		time.Sleep(time.Second)
		pc.Close()
		s := stats(n, "a", "b")
		require.EqualValues(t, 1000, s.Sent)
		require.EqualValues(t, s.Delivered-s.Corrupted, <-got)
		require.Equal(t, s.Sent+s.Duplicated, s.Delivered+s.Lost, "every packet is accounted for")
		require.Equal(t, s.Dropped, s.Lost)
		for _, count := range []int64{s.Lost, s.Duplicated, s.Corrupted, s.Reordered} {
			require.InDelta(t, 100, count, 50) // five standard deviations of 9.5
		}
		require.Empty(t, n.IdleFaults())
	})
}

// Goroutines that dial at one instant get ports that depend on their destinations, not on which goroutine was first.
func TestUDPPortsDoNotDependOnOrder(t *testing.T) {
	var want map[string]int
	for range 20 {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			a := n.Host("a")
			ports := map[string]int{}
			type dialled struct {
				name string
				port int
			}
			all := make(chan dialled)
			names := []string{"b", "c", "d", "e", "f"}
			for _, name := range names {
				n.Host(name)
			}
			for _, name := range names {
				go func() {
					c, err := a.Dial("udp", name+":9")
					if !assertNoError(t, err) {
						return
					}
					defer c.Close()
					io.WriteString(c, "x")
					all <- dialled{name, portOf(c.LocalAddr())}
				}()
			}
			for range names {
				d := <-all
				ports[d.name] = d.port
			}
			if want == nil {
				want = ports
			}
			require.Equal(t, want, ports)
		})
	}
}

// In package poll a Read into an empty buffer makes no system call. It returns at once, whatever waits, and takes no
// datagram. ReadFrom into an empty buffer takes one.
func TestReadIntoNothing(t *testing.T) {
	onRig(t, func(r *rig) {
		a, b := r.atA.(*sim.UDPConn), r.atB.(*sim.UDPConn)
		start := r.n.Elapsed()
		nothing := func(c net.Conn) {
			t.Helper()
			k, err := c.Read(nil)
			require.NoError(t, err)
			require.Zero(t, k)
			require.Equal(t, start, r.n.Elapsed())
		}
		nothing(a)
		nothing(b)
		a.SetReadDeadline(in(-time.Second))
		nothing(a)
		a.SetReadDeadline(time.Time{})

		r.fill(2, 10)
		start = r.n.Elapsed()
		nothing(b)
		_, from, err := b.ReadFrom(nil)
		require.NoError(t, err)
		require.Equal(t, a.LocalAddr().String(), from.String())
		require.Equal(t, 1, r.drain(), "the second is left")

		start = r.n.Elapsed()
		b.Close()
		a.Write([]byte{1})
		settle()
		start = r.n.Elapsed()
		nothing(a)
		_, err = a.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNREFUSED, "still to be told")
		a.Close()
		_, err = a.Read(nil)
		require.ErrorIs(t, err, net.ErrClosed)
	})
}
