package sim_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// What Linux 6.18 counts for a datagram that waits: SO_MEMINFO of a socket on its loopback
// with an MTU of 65536, and with 1500 and 68, where it comes in fragments. Each row has
// the first payload of a size, and the last before the next.
var truesizes = []struct {
	mtu            int
	from, to, want int
}{
	{65535, 0, 197, 832},
	{65535, 198, 645, 1280},
	{65535, 646, 1669, 2304},
	{65535, 1670, 3717, 4352},
	{65535, 3718, 7813, 8448},
	{65535, 7814, 16004, 16640},
	{65535, 16005, 16005, 16837},
	{65535, 65507, 65507, 66339},
	{1500, 646, 1472, 2304},
	{1500, 1473, 1684, 2304}, // a small second fragment fits into the first one's buffer
	{1500, 1685, 2125, 3584},
	{1500, 2126, 2952, 4608},
	{1500, 2953, 3157, 5440},
	{1500, 3158, 3605, 5888},
	{1500, 3606, 4432, 6912},
	{1500, 8873, 8873, 14656},
	{1500, 20000, 20000, 32256},
	{1500, 65507, 65507, 102656},
	{68, 0, 212, 832}, // three fragments of 48 bytes and one of 28 fit into the first one's buffer
	{68, 213, 232, 1664},
	{68, 233, 280, 2496},
	{68, 281, 328, 3328},
	{68, 329, 376, 4160},
}

func TestDatagramsTakeTheKernelsMemory(t *testing.T) {
	for _, row := range truesizes {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			n.Link(n.Host("a"), n.Host("b"), netem.Config{MTU: row.mtu})
			pc, err := n.Host("b").ListenPacket("udp", ":9")
			require.NoError(t, err)
			c, err := n.Host("a").Dial("udp", "b:9")
			require.NoError(t, err)
			for _, payload := range []int{row.from, row.to} {
				_, err = c.Write(make([]byte, payload))
				require.NoError(t, err)
				time.Sleep(ms)
				require.Equal(t, row.want, sim.ReceiveMemory(pc), "%d bytes, MTU %d", payload, row.mtu)
				_, _, err = pc.ReadFrom(nil)
				require.NoError(t, err)
				require.Zero(t, sim.ReceiveMemory(pc))
			}
		})
	}
}

// fill sends datagrams of a size from a to b and returns once they have arrived.
func (r *rig) fill(count, size int) {
	r.t.Helper()
	for range count {
		_, err := r.atA.Write(make([]byte, size))
		require.NoError(r.t, err)
	}
	time.Sleep(time.Second)
}

// drain reads what b has, and counts it.
func (r *rig) drain() (count int) {
	for {
		r.atB.SetReadDeadline(in(time.Microsecond))
		if _, _, err := r.atB.ReadFrom(nil); err != nil {
			return count
		}
		count++
	}
}

// How many datagrams fit the receive buffer, as counted on Linux 6.18. The rest is dropped.
func TestReceiveBuffer(t *testing.T) {
	onRig(t, func(r *rig) {
		for _, row := range []struct{ payload, fit int }{{0, 256}, {100, 256}, {1000, 92}, {1472, 92}} {
			r.fill(300, row.payload)
			require.Equal(t, row.fit, r.drain(), "payload %d", row.payload)
		}
		require.EqualValues(t, 4*300-256-256-92-92, dropped(r.n, "receive buffer full"))
	})
}

// SO_RCVBUF: twice what was asked for, within Linux's bounds; an empty buffer takes a
// datagram of any size.
func TestReceiveBufferSize(t *testing.T) {
	onRig(t, func(r *rig) {
		u := r.atB.(*sim.UDPConn)
		for _, row := range []struct{ asked, fit int }{
			{10_000, 20_000 / 2304},
			{1, 1},                    // 2304 bytes, SOCK_MIN_RCVBUF
			{5 << 20, 8 << 20 / 2304}, // net.core.rmem_max
		} {
			require.NoError(t, u.SetReadBuffer(row.asked))
			r.fill(4000, 1000)
			require.Equal(t, row.fit, r.drain(), "asked for %d", row.asked)
		}
		require.NoError(t, u.SetReadBuffer(1))
		r.fill(2, 9000)
		require.Equal(t, 1, r.drain(), "larger than the buffer, which was empty")
	})
}

// A full buffer accepts no datagram after one was read, but only after a quarter of its memory, or everything that
// the reader saw, was read. Linux 6.18 freed the space of 92 datagrams of 1000 bytes after 24, 48, 72 and 92.
func TestReceiveBufferMakesRoomInPortions(t *testing.T) {
	onRig(t, func(r *rig) {
		read := func(count int) {
			for range count {
				_, _, err := r.atB.ReadFrom(nil)
				require.NoError(t, err)
			}
		}
		r.fill(92, 1000)
		for _, row := range []struct{ reads, used int }{{23, 211968}, {1, 156672}, {23, 156672}, {1, 101376}, {24, 46080}, {19, 46080}, {1, 0}} {
			read(row.reads)
			require.Equal(t, row.used, sim.ReceiveMemory(r.atB))
		}

		r.fill(92, 1000)
		read(23)
		r.fill(1, 1000)
		require.Equal(t, 1, dropped(r.n, "receive buffer full"), "23 of 92 read, and no room yet")
		read(1)
		r.fill(30, 1000)
		require.Equal(t, 1+30-24, dropped(r.n, "receive buffer full"))
		require.Equal(t, 92, r.drain())
	})
}

// A datagram needs no allocation from Write to Read. If its sender is asked for as a net.Addr, it needs one, for that
// address.
func TestDatagramsAllocateOnlyAddresses(t *testing.T) {
	t.Setenv("SQUALL_ARTIFACTS", "off") // what is recorded takes memory
	if sim.RaceEnabled {
		t.Skip("the race detector's moments are allocated")
	}
	ways := map[string]struct {
		most float64 // a round trip
		echo func(s *sim.UDPConn, p []byte) error
	}{
		"ReadFrom": {1, func(s *sim.UDPConn, p []byte) error {
			k, from, err := s.ReadFrom(p)
			if err == nil {
				_, err = s.WriteTo(p[:k], from)
			}
			return err
		}},
		"ReadMsgUDPAddrPort": {0, func(s *sim.UDPConn, p []byte) error {
			k, _, _, from, err := s.ReadMsgUDPAddrPort(p, nil)
			if err == nil {
				_, _, err = s.WriteMsgUDPAddrPort(p[:k], nil, from)
			}
			return err
		}},
		"ReadFromUDPAddrPort": {0, func(s *sim.UDPConn, p []byte) error {
			k, from, err := s.ReadFromUDPAddrPort(p)
			if err == nil {
				_, err = s.WriteToUDPAddrPort(p[:k], from)
			}
			return err
		}},
	}
	for name, way := range ways {
		for _, size := range []int{1, 1200} {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				s, err := n.Host("server").ListenPacket("udp", ":9")
				require.NoError(t, err)
				c, err := n.Host("client").Dial("udp", "server:9")
				require.NoError(t, err)
				go func() {
					for p := make([]byte, 1500); way.echo(s.(*sim.UDPConn), p) == nil; {
					}
				}()
				p := make([]byte, size)
				require.LessOrEqual(t, testing.AllocsPerRun(500, func() {
					c.Write(p)
					c.Read(p)
				}), way.most, "%s, %d bytes", name, size)
				s.Close()
			}, sim.DefaultLink(netem.Config{Delay: 50 * ms}))
		}
	}
}

// Waiting datagrams keep their order, and the queue does not grow, whether or not it is ever empty.
func TestDatagramsWaitInOrder(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		s, err := n.Host("server").ListenPacket("udp", ":9")
		require.NoError(t, err)
		c, err := n.Host("client").Dial("udp", "server:9")
		require.NoError(t, err)
		sent, read, p := 0, 0, make([]byte, 2)
		for _, row := range []struct{ write, read int }{{3, 1}, {7, 2}, {1, 8}, {200, 150}, {20, 69}, {2, 3}} {
			for range row.write {
				sent++
				_, err := c.Write([]byte{byte(sent >> 8), byte(sent)})
				require.NoError(t, err)
			}
			time.Sleep(ms)
			for range row.read {
				read++
				_, _, err := s.ReadFrom(p)
				require.NoError(t, err)
				require.Equal(t, []byte{byte(read >> 8), byte(read)}, p)
			}
		}
		require.Equal(t, sent, read)
		require.Zero(t, sim.ReceiveMemory(s))
		for range 5000 { // with one that always waits
			c.Write(p)
			c.Write(p)
			time.Sleep(1)
			s.ReadFrom(p)
			if sim.ReceiveMemory(s) > 100_000 {
				s.ReadFrom(p)
			}
		}
		require.Less(t, sim.ReceiveQueue(s), 1024)
	})
}
