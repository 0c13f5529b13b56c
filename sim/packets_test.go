package sim_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
)

// If a fault loses all packets of one address family, or of one address, a dual-stack client uses the other after 300
// ms (net.Dialer's FallbackDelay).
func TestPacketsOfAFamily(t *testing.T) {
	for _, row := range []struct {
		pkts  sim.Packets
		name  string
		code  string
		takes time.Duration
		to    string
	}{
		{sim.Packets{IP: 6}, "drops packets of IPv6", "sim.Drop(clientServer, sim.Packets{IP: 6})", 320 * ms, "10.0.0.2:7"},
		{sim.Packets{IP: 4}, "drops packets of IPv4", "sim.Drop(clientServer, sim.Packets{IP: 4})", 20 * ms, "[2001:db8::2]:7"},
		{sim.Packets{Kind: sim.SYN, Addr: netip.MustParseAddr("2001:db8::2")}, "drops SYNs of 2001:db8::2",
			`sim.Drop(clientServer, sim.Packets{Kind: sim.SYN, Addr: netip.MustParseAddr("2001:db8::2")})`, 320 * ms, "10.0.0.2:7"},
		{sim.Packets{Addr: netip.MustParseAddr("10.0.0.1")}, "drops packets of 10.0.0.1",
			`sim.Drop(clientServer, sim.Packets{Addr: netip.MustParseAddr("10.0.0.1")})`, 20 * ms, "[2001:db8::2]:7"},
	} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			d := newDialogue(n)
			listen(t, d.server, ":7")
			f := n.Inject(0, 0, sim.Drop(d.link, row.pkts))
			require.Equal(t, "client - server: "+row.name, f.Name())
			require.Equal(t, row.code, f.Code(nil))
			c := dial(t, d.client, "server:7")
			require.Equal(t, row.takes, n.Elapsed(), row.name)
			require.Equal(t, row.to, c.RemoteAddr().String())
			require.Equal(t, row.takes > 20*ms, f.Fired().Count > 0)
		}, sim.IPv6())
	}
}

// A fault on chosen packets never affects ARP or neighbour discovery, whichever packets it chooses.
func TestNeighboursAreNeverMeant(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		d := newDialogue(n)
		u, err := d.client.Dial("udp", "[2001:db8::2]:9")
		require.NoError(t, err)
		f := n.Inject(0, 0, sim.Drop(d.link, sim.Packets{}))
		u.Write([]byte("x"))
		time.Sleep(time.Second)
		require.Equal(t, 1, f.Fired().Count, "%v", n.Trace())
	}, sim.IPv6(), sim.ARP())
}

func TestMisuseOfTargetedFaults(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		d := newDialogue(n)
		other := n.Host("other")
		unconnected, err := d.client.ListenPacket("udp", ":0")
		require.NoError(t, err)
		datagrams, err := d.client.Dial("udp", "server:9")
		require.NoError(t, err)
		defer datagrams.Close()
		listen(t, d.server, ":80")
		stream := dial(t, d.client, "server:80")
		defer stream.Close()
		elsewhere := sim.New()
		defer elsewhere.Close()
		foreign, err := elsewhere.Host("a").Dial("udp", "a:9")
		require.NoError(t, err)
		p1, p2 := net.Pipe()
		defer p1.Close()
		defer p2.Close()
		for _, row := range []struct {
			pkts sim.Packets
			want string
		}{
			{sim.Packets{Nth: -1}, "Packets.Nth is -1: it must be 0 or more"},
			{sim.Packets{First: -1}, "Packets.First is -1: it must be 0 or more"},
			{sim.Packets{Skip: -2}, "Packets.Skip is -2: it must be 0 or more"},
			{sim.Packets{Connections: -1}, "Packets.Connections is -1: it must be 0 or more"},
			{sim.Packets{Kind: 99}, "Packets.Kind is 99: it must be one of the constants, AnyPacket to SentAgain"},
			{sim.Packets{Port: 65536}, "Packets.Port is 65536: it must be 0 to 65535"},
			{sim.Packets{Nth: 2, First: 1}, "Packets.Nth is 2: it must be 0 with First or Skip"},
			{sim.Packets{Nth: 2, Skip: 1}, "Packets.Nth is 2: it must be 0 with First or Skip"},
			{sim.Packets{IP: 5}, "Packets.IP is 5: it must be 4, 6, or 0 for both"},
			{sim.Packets{Addr: netip.MustParseAddr("::ffff:10.0.0.1")}, "Packets.Addr is ::ffff:10.0.0.1: it must be as in a packet, neither mapped to IPv6 nor with a zone"},
			{sim.Packets{IP: 6, Addr: netip.MustParseAddr("10.0.0.1")}, "Packets.Addr is 10.0.0.1: it must be an address of Packets.IP, 6"},
			{sim.Packets{IP: 6, Conn: stream}, "Packets.IP is 6, but Packets.Conn is connected to 10.0.0.2:80"},
			{sim.Packets{Addr: netip.MustParseAddr("10.0.0.9"), Conn: stream}, "Packets.Addr is 10.0.0.9, but Packets.Conn is from " + stream.LocalAddr().String() + " to 10.0.0.2:80"},
			{sim.Packets{Kind: sim.UDP, Connections: 1}, "Packets.Connections is 1: it must be 0 for datagrams, which have none"},
			{sim.Packets{Kind: sim.ICMP, Port: 7}, "Packets.Port is 7: it must be 0 for ICMP messages, which have none"},
			{sim.Packets{From: other}, `Packets.From is "other": it must be one of the link's two ends`},
			{sim.Packets{Conn: p1}, "Packets.Conn is a *net.pipe: it must be a *sim.TCPConn or a *sim.UDPConn, such as NetConn of a TLS connection returns"},
			{sim.Packets{Conn: unconnected.(net.Conn)}, "Packets.Conn is a UDP socket without a remote address: it must be connected"},
			{sim.Packets{Conn: foreign}, "Packets.Conn belongs to another network"},
			{sim.Packets{Conn: (*sim.TCPConn)(nil)}, "Packets.Conn belongs to another network"},
			{sim.Packets{Conn: datagrams, Kind: sim.FIN}, "Packets.Conn is a UDP socket, which has no FINs"},
			{sim.Packets{Conn: stream, Kind: sim.UDP}, "Packets.Kind is datagrams, but Packets.Conn is a TCP connection"},
		} {
			require.PanicsWithValue(t, "sim: Drop(client - server): "+row.want, func() { sim.Drop(d.link, row.pkts) })
			require.PanicsWithValue(t, "sim: Reset(client - server): "+row.want, func() { sim.Reset(d.link, row.pkts) })
		}
		const streams = "only Packets.From, IP, Addr, Port, Conn and Connections may be set, since the fault is about streams"
		from := func(p sim.Packets) sim.Packets { p.From = d.server; return p }
		for want, f := range map[string]func(){
			"sim: Delay(client - server): by is 0s: it must be positive, and 24h at most":                                  func() { sim.Delay(d.link, sim.Packets{}, 0) },
			"sim: Reset(client - server): Packets.Kind is datagrams: the fault is for TCP only":                            func() { sim.Reset(d.link, sim.Packets{Kind: sim.UDP}) },
			"sim: Reset(client - server): Packets.Conn is a UDP socket, which has no segments":                             func() { sim.Reset(d.link, sim.Packets{Conn: datagrams}) },
			"sim: Packets.From: a host is nil":                                                                             func() { sim.Drop(d.link, sim.Packets{From: (*sim.Host)(nil)}) },
			"sim: StallAfter(client - server): bytes is -1: it must be 0 or more":                                          func() { sim.StallAfter(d.link, -1, from(sim.Packets{})) },
			"sim: ResetAfter(client - server): Packets.From is nil: it must be the end of the link that sends the streams": func() { sim.ResetAfter(d.link, 1, sim.Packets{}) },
			"sim: CloseAfter(client - server): " + streams:                                                                 func() { sim.CloseAfter(d.link, 1, from(sim.Packets{Kind: sim.Data})) },
			"sim: StallAfter(client - server): " + streams:                                                                 func() { sim.StallAfter(d.link, 1, from(sim.Packets{Nth: 1})) },
			"sim: ResetAfter(client - server): " + streams:                                                                 func() { sim.ResetAfter(d.link, 1, from(sim.Packets{Skip: 1})) },
			"sim: Link.Drop: the link is nil, or was not made by Network.Link":                                             func() { sim.Drop(nil, sim.Packets{}) },
		} {
			require.PanicsWithValue(t, want, f)
		}
	})
}
