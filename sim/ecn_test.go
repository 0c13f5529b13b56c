package sim_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// downloadOnce has the client read size bytes from the server, and returns the time at which it has them.
func downloadOnce(t *testing.T, n *sim.Network, client, server *sim.Host, size int) time.Duration {
	serve(t, server, func(c io.ReadWriteCloser) {
		c.Write(make([]byte, size))
		c.Close()
	})
	conn, err := client.Dial("tcp", "server:80")
	require.NoError(t, err)
	defer conn.Close()
	got, err := io.Copy(io.Discard, conn)
	require.NoError(t, err)
	require.Equal(t, int64(size), got)
	return n.Elapsed()
}

// A client asks for ECN by ECE and CWR in its SYN, and a server agrees by ECE in its SYN-ACK (RFC 3168 section 6.1.1).
func TestECNHandshake(t *testing.T) {
	ask := sim.TCPConfig{ECN: true}
	for _, row := range []struct {
		reason         string
		client, server sim.TCPConfig
		there, back    netem.Config
		handshake      []string // flags of the SYN and the SYN-ACK, and of those that were sent again
		agreed         bool
	}{
		{"nobody asks", sim.TCPConfig{}, ask, netem.Config{}, netem.Config{}, []string{"[S]", "[SA]"}, false},
		{"a server agrees by default", ask, sim.TCPConfig{}, netem.Config{}, netem.Config{}, []string{"[SEW]", "[SAE]"}, true},
		{"a SYN that is lost is sent again without", ask, ask, netem.Config{Loss: netem.FirstN(1)}, netem.Config{}, []string{"[SEW]", "[S]", "[SA]"}, false},
		{"a SYN-ACK that is lost is sent again with it", ask, ask, netem.Config{}, netem.Config{Loss: netem.FirstN(1)}, []string{"[SEW]", "[SAE]", "[S]", "[SAE]"}, true},
	} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			client, server := n.Host("client"), n.Host("server")
			client.SetTCP(row.client)
			server.SetTCP(row.server)
			row.there.Delay, row.back.Delay = 10*ms, 10*ms
			link := n.LinkAsym(client, server, row.there, row.back)
			n.After(5*time.Second, func() { link.Set(netem.Config{Delay: 10 * ms, Loss: netem.EveryNth(5), ECN: true}) })
			serve(t, server, func(c io.ReadWriteCloser) {
				c.Write(make([]byte, 1))
				io.Copy(io.Discard, c)
				c.Write(make([]byte, 100_000))
				c.Close()
			})
			conn, err := client.Dial("tcp", "server:80")
			require.NoError(t, err)
			defer conn.Close()
			time.Sleep(10 * time.Second)
			conn.Write(make([]byte, 100_000))
			conn.(*sim.TCPConn).CloseWrite()
			io.Copy(io.Discard, conn)
			var handshake []string
			for line := range strings.Lines(n.Trace().String()) {
				if flags := line[strings.Index(line, "[")+1:]; strings.Contains(line, " sent ") && strings.HasPrefix(flags, "S") {
					handshake = append(handshake, "["+flags[:strings.Index(flags, "]")+1])
				}
			}
			require.Equal(t, row.handshake, handshake, row.reason)
			for _, l := range n.Stats().Links {
				require.Equal(t, row.agreed, l.Marked > 0, "%s: %s", row.reason, l.From)
			}
		})
	}
}

// A retransmission must not be marked, because a mark could then stand for two losses. So where a link marks everything else, it drops retransmissions.
func TestECNIsNotForRetransmissions(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server := n.Host("client"), n.Host("server")
		client.SetTCP(sim.TCPConfig{ECN: true})
		there, back := netem.Config{Delay: 20 * ms, Loss: netem.DropList{31}}, netem.Config{Delay: 20 * ms}
		link := n.LinkAsym(server, client, there, back)
		n.After(130*ms, func() { link.SetAsym(netem.Config{Delay: 20 * ms, Loss: netem.Bernoulli(1), ECN: true}, back) })
		n.After(2*time.Second, func() { link.SetAsym(back, back) })
		downloadOnce(t, n, client, server, 300_000)
		lost, marked := 0, 0
		for line := range strings.Lines(n.Trace().String()) {
			switch {
			case strings.Contains(line, "dropped") && strings.Contains(line, "len"):
				lost++
				require.Equal(t, lost > 1, strings.Contains(line, "again"), line) // the first one is that of the list
			case strings.Contains(line, "congestion experienced"):
				require.NotContains(t, line, "again")
				marked++
			}
		}
		require.Greater(t, lost, 1)
		require.Greater(t, marked, 10)
	})
}

// One mark is answered as by Linux 6.18. The receiver acknowledges the marked segment and each following one at once, with an echo, until the
// sender's next new data says that it has reduced its window. The sender reduces it once, and sends nothing again.
func TestECNMarkIsAnsweredOnce(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server := n.Host("client"), n.Host("server")
		// A long window, since with a short one acknowledgements would wait for the program to read.
		client.SetTCP(sim.TCPConfig{ECN: true, ReceiveBuffer: sim.TCPBuffer{Default: 1 << 20}})
		n.LinkAsym(server, client, netem.Config{Delay: 20 * ms, Loss: netem.DropList{30}, ECN: true}, netem.Config{Delay: 20 * ms})
		downloadOnce(t, n, client, server, 300_000)
		var marks, reduced, echoes int
		inEcho := false
		for line := range strings.Lines(n.Trace().String()) {
			sent := strings.Contains(line, " sent ")
			flags := ""
			if a := strings.Index(line, "["); a >= 0 {
				flags = line[a+1 : a+strings.Index(line[a:], "]")]
			}
			switch {
			case strings.Contains(flags, "S"):
			case strings.Contains(line, "congestion experienced"):
				marks++
				inEcho = true
			case sent && strings.Contains(flags, "W"):
				reduced++
			case sent && strings.Contains(flags, "E"):
				require.True(t, inEcho, line)
				echoes++
			case strings.Contains(line, "delivered") && strings.Contains(flags, "W"):
				inEcho = false
			}
			require.NotContains(t, line, "again")
		}
		require.Equal(t, []int{1, 1}, []int{marks, reduced})
		require.Greater(t, echoes, 3)
		require.Less(t, echoes, 60, "a round trip of acknowledgements")
	})
}

// With a bottleneck that marks, a download keeps the queue short, loses nothing, and is as fast as with drops.
func TestECNKeepsTheQueueShortWithoutLoss(t *testing.T) {
	took := map[bool]time.Duration{}
	for _, ecn := range []bool{false, true} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			client, server := n.Host("client"), n.Host("server")
			client.SetTCP(sim.TCPConfig{ECN: ecn})
			n.LinkAsym(server, client, netem.Config{Delay: 20 * ms, Rate: 10 * netem.Mbit, Queue: netem.CoDel{ECN: true}}, netem.Config{Delay: 20 * ms})
			took[ecn] = downloadOnce(t, n, client, server, 5_000_000)
			s := n.Stats()
			require.Equal(t, ecn, s.Links[1].Marked > 0, "%+v", s.Links[1])
			require.Equal(t, ecn, s.Links[1].QueueFull == 0, "%+v", s.Links[1])
			if ecn {
				require.Zero(t, s.Hosts[1].Retransmits)
			}
		})
	}
	require.InEpsilon(t, took[false].Seconds(), took[true].Seconds(), 0.1)
}
