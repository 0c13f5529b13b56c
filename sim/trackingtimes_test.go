package sim_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// For how long Linux remembers a connection that is silent, by its state: the
// timeouts of nf_conntrack_proto_tcp.c and nf_conntrack_proto_udp.c. Those of open, adopted, half closed, closed and reset connections, of probes
// without an answer, of SYN, SYN-ACK and FIN that come twice, of refused attempts and of UDP were seen with conntrack -L on Linux 6.18.
func TestForHowLongConnectionsAreRemembered(t *testing.T) {
	const s = time.Second
	for _, row := range []struct {
		name string
		cfg  sim.Tracking
		play func(t *testing.T, n *sim.Network, client, server *sim.Host) // until the box has seen the last packet
		want time.Duration
	}{
		{"opened", sim.Tracking{}, func(t *testing.T, n *sim.Network, client, server *sim.Host) {
			c, _ := pair(t, client, server)
			c.Write([]byte("x"))
			time.Sleep(30 * ms) // there, and its acknowledgement half the way back
		}, 432000 * s},
		{"opened, and something is not acknowledged", sim.Tracking{}, unacknowledged, 300 * s},
		{"one's own time for an open connection, whatever is acknowledged", sim.Tracking{Established: 400 * s}, unacknowledged, 400 * s},
		{"three keep-alive probes without an answer", sim.Tracking{}, probed(3), 432000 * s},
		{"four", sim.Tracking{}, probed(4), 300 * s},
		{"one's own time for an open connection, whatever is probed", sim.Tracking{Established: 400 * s}, probed(4), 400 * s},
		{"SYN without an answer", sim.Tracking{}, func(t *testing.T, n *sim.Network, client, server *sim.Host) {
			server.PowerOff()
			client.SetTCP(sim.TCPConfig{SynRetries: -1, SynLinearTimeouts: -1})
			go client.Dial("tcp", "server:7")
			time.Sleep(10 * ms)
		}, 120 * s},
		{"SYN again without an answer", sim.Tracking{}, func(t *testing.T, n *sim.Network, client, server *sim.Host) {
			server.PowerOff()
			client.SetTCP(sim.TCPConfig{SynRetries: 1, SynLinearTimeouts: -1})
			go client.Dial("tcp", "server:7")
			time.Sleep(10*ms + time.Second)
		}, 119 * s}, // the second does not count
		{"SYN answered", sim.Tracking{}, func(t *testing.T, n *sim.Network, client, server *sim.Host) {
			listen(t, server, ":7")
			server.SetTCP(sim.TCPConfig{SynAckRetries: -1})
			go client.Dial("tcp", "server:7")
			time.Sleep(21 * ms)
			client.PowerOff() // before the SYN-ACK comes
			time.Sleep(9 * ms)
		}, 60 * s},
		{"SYN answered twice", sim.Tracking{}, func(t *testing.T, n *sim.Network, client, server *sim.Host) {
			listen(t, server, ":7")
			server.SetTCP(sim.TCPConfig{SynAckRetries: 1})
			go client.Dial("tcp", "server:7")
			time.Sleep(21 * ms)
			client.PowerOff()
			time.Sleep(9*ms + time.Second)
		}, 59 * s}, // the second does not count
		{"FIN without an answer", sim.Tracking{}, func(t *testing.T, n *sim.Network, client, server *sim.Host) {
			c, _ := pair(t, client, server)
			c.CloseWrite()
			time.Sleep(1)
			client.PowerOff()
			server.PowerOff()
			time.Sleep(10*ms - 1)
		}, 120 * s},
		{"FIN, and data that was sent before it came", sim.Tracking{}, func(t *testing.T, n *sim.Network, client, server *sim.Host) {
			c, peer := pair(t, client, server)
			c.CloseWrite()
			time.Sleep(5 * ms)
			peer.Write([]byte("x")) // acknowledges no FIN
			time.Sleep(1)
			client.PowerOff()
			server.PowerOff()
			time.Sleep(10*ms - 1)
		}, 60 * s},
		{"FIN twice", sim.Tracking{}, func(t *testing.T, n *sim.Network, client, server *sim.Host) {
			c, _ := pair(t, client, server)
			server.PowerOff()
			c.CloseWrite()
			time.Sleep(241 * ms) // again after 240 ms: 200 ms, and the round trip
			client.PowerOff()
			time.Sleep(9 * ms)
		}, 30 * s},
		{"half closed", sim.Tracking{}, func(t *testing.T, n *sim.Network, client, server *sim.Host) {
			c, _ := pair(t, client, server)
			c.CloseWrite()
			time.Sleep(30 * ms) // FIN there, ACK half the way back
		}, 60 * s},
		{"closed", sim.Tracking{}, func(t *testing.T, n *sim.Network, client, server *sim.Host) {
			c, peer := pair(t, client, server)
			c.CloseWrite()
			time.Sleep(30 * ms)
			peer.CloseWrite()
			time.Sleep(30 * ms)
		}, 120 * s},
		{"reset", sim.Tracking{}, func(t *testing.T, n *sim.Network, client, server *sim.Host) {
			c, _ := pair(t, client, server)
			time.Sleep(20 * ms)
			c.SetLinger(0)
			c.Close()
			time.Sleep(10 * ms)
		}, 10 * s},
		{"reset, and data that was sent before it came", sim.Tracking{}, func(t *testing.T, n *sim.Network, client, server *sim.Host) {
			c, peer := pair(t, client, server)
			time.Sleep(20 * ms)
			c.SetLinger(0)
			c.Close()
			time.Sleep(ms)
			peer.Write([]byte("x"))
			time.Sleep(1)
			client.PowerOff() // or it would answer that by RST
			time.Sleep(10*ms - 1)
		}, 10 * s},
		{"the same addresses again, after both sides have closed", sim.Tracking{}, func(t *testing.T, n *sim.Network, client, server *sim.Host) {
			l := listen(t, server, ":7")
			connect := func() (c, peer net.Conn) {
				c, err := dialerOf(client, &net.TCPAddr{Port: 5000}).Dial("tcp", "server:7")
				require.NoError(t, err)
				peer, err = l.Accept()
				require.NoError(t, err)
				return c, peer
			}
			c, peer := connect()
			c.Close()
			time.Sleep(30 * ms)
			peer.Close()
			time.Sleep(70 * s) // the client has it in TIME_WAIT for 60 s, the box for 120 s
			c, _ = connect()
			c.Write([]byte("x"))
			time.Sleep(30 * ms)
		}, 432000 * s},
		{"a datagram", sim.Tracking{}, func(t *testing.T, n *sim.Network, client, server *sim.Host) {
			askedByUDP(t, client, server, 1, time.Second)
		}, 30 * s},
		{"datagrams for 2 s", sim.Tracking{}, func(t *testing.T, n *sim.Network, client, server *sim.Host) {
			askedByUDP(t, client, server, 3, time.Second)
		}, 30 * s}, // the first answer passes at 30 ms, the last at 2.03 s: not more than 2 s later
		{"datagrams for 3 s", sim.Tracking{}, func(t *testing.T, n *sim.Network, client, server *sim.Host) {
			askedByUDP(t, client, server, 4, time.Second)
		}, 120 * s},
		{"one's own time for UDP", sim.Tracking{UDP: 5 * s}, func(t *testing.T, n *sim.Network, client, server *sim.Host) {
			askedByUDP(t, client, server, 4, time.Second)
		}, 5 * s},
		{"one's own time for closing", sim.Tracking{Closing: 7 * s}, func(t *testing.T, n *sim.Network, client, server *sim.Host) {
			c, _ := pair(t, client, server)
			c.CloseWrite()
			time.Sleep(30 * ms)
		}, 7 * s},
		{"one's own time for closing, of an attempt that is refused", sim.Tracking{Closing: 7 * s}, func(t *testing.T, n *sim.Network, client, server *sim.Host) {
			go client.Dial("tcp", "server:7")
			time.Sleep(30 * ms)
		}, 7 * s},
		{"one's own time for opening", sim.Tracking{Opening: 7 * s}, func(t *testing.T, n *sim.Network, client, server *sim.Host) {
			server.PowerOff()
			client.SetTCP(sim.TCPConfig{SynRetries: -1, SynLinearTimeouts: -1})
			go client.Dial("tcp", "server:7")
			time.Sleep(10 * ms)
		}, 7 * s},
	} {
		t.Run(row.name, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				client, server, r := n.Host("client"), n.Host("server"), n.Router("firewall")
				n.Link(client, r, netem.Config{Delay: 10 * ms})
				n.Link(r, server, netem.Config{Delay: 10 * ms})
				silent(client, server)
				w := r.Firewall(row.cfg, client)
				row.play(t, n, client, server)
				time.Sleep(row.want - 1)
				require.Equal(t, 1, w.Stats().Open, "a nanosecond before its time")
				time.Sleep(2) // at one instant the program comes before timers
				require.Equal(t, sim.TrackingStats{Opened: 1, Expired: 1}, w.Stats())
			})
		})
	}
}

// unacknowledged has a client send something to a server without power, once.
func unacknowledged(t *testing.T, n *sim.Network, client, server *sim.Host) {
	c, _ := pair(t, client, server)
	c.Write([]byte("x"))
	time.Sleep(100 * ms)
	server.PowerOff()
	c.Write([]byte("y"))
	time.Sleep(1)
	client.PowerOff()
	time.Sleep(10*ms - 1)
}

// probed has a client send so many keep-alive probes, one a second, to a server without power.
func probed(count int) func(*testing.T, *sim.Network, *sim.Host, *sim.Host) {
	return func(t *testing.T, n *sim.Network, client, server *sim.Host) {
		client.SetTCP(sim.TCPConfig{KeepAlive: sim.TCPKeepAlive{Idle: time.Second, Interval: time.Second, Count: 9}})
		dialer := client.Dialer()
		dialer.KeepAlive = 0
		listen(t, server, ":7")
		c, err := dialer.Dial("tcp", "server:7")
		require.NoError(t, err)
		c.Write([]byte("x"))
		time.Sleep(40 * ms) // and its acknowledgement
		server.PowerOff()
		time.Sleep(time.Duration(count)*time.Second + 1) // the last probe has left
		client.PowerOff()
		time.Sleep(10*ms - 1)
	}
}

// A SYN from the other side on the addresses of a connection that has ended is of a new one, that only those inside may open: seen with nft
// on Linux 6.18 (ct state new).
func TestWhoWasCalledMayNotCallBackOnAnOldConnection(t *testing.T) {
	for _, inside := range []bool{true, false} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			client, server, r := n.Host("client"), n.Host("server"), n.Router("firewall")
			n.Link(client, r, netem.Config{Delay: 10 * ms})
			n.Link(r, server, netem.Config{Delay: 10 * ms})
			silent(client, server)
			openers := []sim.Node{client}
			if !inside {
				openers = nil // anybody may
			}
			w := r.Firewall(sim.Tracking{}, openers...)
			l := listen(t, server, ":7")
			c, err := dialerOf(client, &net.TCPAddr{Port: 5000}).Dial("tcp", "server:7")
			require.NoError(t, err)
			peer, err := l.Accept()
			require.NoError(t, err)
			l.Close()
			c.Close()
			time.Sleep(30 * ms)
			peer.Close()
			time.Sleep(70 * time.Second) // the client has it in TIME_WAIT for 60 s, the box for 120 s
			listen(t, client, ":5000")
			d := dialerOf(server, &net.TCPAddr{Port: 7})
			d.Timeout = 10 * time.Second
			_, err = d.Dial("tcp", "client:5000")
			if inside {
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.Equal(t, 1, w.Stats().Expired)
				require.NotZero(t, w.Stats().Strays)
				return
			}
			require.NoError(t, err)
			require.Equal(t, sim.TrackingStats{Open: 1, Opened: 2, Expired: 1}, w.Stats())
		})
	}
}

// If a box missed the beginning of a connection, it remembers it for 300 s, until another packet follows the first
// answer.
func TestForHowLongAnAdoptedConnectionIsRemembered(t *testing.T) {
	for _, row := range []struct {
		name           string
		client, server int // what each sends, the client first
		want           time.Duration
	}{
		{"something, and its acknowledgement", 1, 0, 300 * time.Second},
		{"the same twice", 2, 0, 432000 * time.Second},
		{"something, and an answer that is acknowledged", 1, 1, 432000 * time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				client, server, r := n.Host("client"), n.Host("server"), n.Router("firewall")
				n.Link(client, r, netem.Config{Delay: 10 * ms})
				n.Link(r, server, netem.Config{Delay: 10 * ms})
				silent(client, server)
				w := r.Firewall(sim.Tracking{}, client)
				c, peer := pair(t, client, server)
				time.Sleep(100 * ms)
				w.Forget()
				for range row.client {
					c.Write([]byte("x"))
					time.Sleep(30 * ms) // its acknowledgement has passed the box
				}
				for range row.server {
					time.Sleep(10 * ms)
					peer.Write([]byte("y"))
					time.Sleep(30 * ms)
				}
				time.Sleep(row.want - 1)
				require.Equal(t, 1, w.Stats().Open, "a nanosecond before its time")
				time.Sleep(2)
				require.Equal(t, sim.TrackingStats{Opened: 2, Expired: 1, Forgotten: 1}, w.Stats())
			})
		})
	}
}

// askedByUDP makes a client send datagrams, each of which is answered, and returns when the last answer has passed
// the box.
func askedByUDP(t *testing.T, client, server *sim.Host, count int, every time.Duration) {
	t.Helper()
	pc, err := server.ListenPacket("udp", ":9")
	require.NoError(t, err)
	go func() {
		p := make([]byte, 10)
		for {
			k, from, err := pc.ReadFrom(p)
			if err != nil {
				return
			}
			pc.WriteTo(p[:k], from)
		}
	}()
	u, err := client.Dial("udp", "server:9")
	require.NoError(t, err)
	for i := range count {
		if i > 0 {
			time.Sleep(every - 30*ms)
		}
		u.Write([]byte("x"))
		time.Sleep(30 * ms)
	}
}

// When a connection is silent for too long, a box tells only ends that may still believe in it. It tells nobody about
// a connection that one side has closed.
func TestABoxTellsOnlyOfOpenConnections(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server, r := n.Host("client"), n.Host("server"), n.Router("firewall")
		n.Link(client, r, netem.Config{Delay: 10 * ms})
		n.Link(r, server, netem.Config{Delay: 10 * ms})
		silent(client, server)
		w := r.Firewall(sim.Tracking{Tell: true, Established: 20 * time.Second, Closing: 5 * time.Second}, client)
		c, _ := pair(t, client, server)
		c.CloseWrite()
		time.Sleep(time.Minute)
		require.Equal(t, sim.TrackingStats{Opened: 1, Expired: 1}, w.Stats())
		require.NotContains(t, n.Trace().String(), "[R")
	})
}
