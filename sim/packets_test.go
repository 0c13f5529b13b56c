package sim_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
)

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
			{sim.Packets{Nth: 2, First: 1}, "Packets.Nth is 2: it must be 0 beside First or Skip"},
			{sim.Packets{Nth: 2, Skip: 1}, "Packets.Nth is 2: it must be 0 beside First or Skip"},
			{sim.Packets{Kind: sim.UDP, Connections: 1}, "Packets.Connections is 1: it must be 0 for datagrams, which have none"},
			{sim.Packets{Kind: sim.ICMP, Port: 7}, "Packets.Port is 7: it must be 0 for ICMP messages, which have none"},
			{sim.Packets{From: other}, `Packets.From is "other": it must be one of the link's two ends`},
			{sim.Packets{Conn: p1}, "Packets.Conn is a *net.pipe: it must be a *sim.TCPConn or a *sim.UDPConn, such as NetConn of a TLS connection returns"},
			{sim.Packets{Conn: unconnected.(net.Conn)}, "Packets.Conn is a socket of UDP that is not connected"},
			{sim.Packets{Conn: foreign}, "Packets.Conn is of another network"},
			{sim.Packets{Conn: (*sim.TCPConn)(nil)}, "Packets.Conn is of another network"},
			{sim.Packets{Conn: datagrams, Kind: sim.FIN}, "Packets.Conn is a socket of UDP, which has no FINs"},
			{sim.Packets{Conn: stream, Kind: sim.UDP}, "Packets.Kind is datagrams: a connection of TCP, which Packets.Conn is, has none"},
		} {
			require.PanicsWithValue(t, "sim: Drop(client - server): "+row.want, func() { sim.Drop(d.link, row.pkts) })
			require.PanicsWithValue(t, "sim: Reset(client - server): "+row.want, func() { sim.Reset(d.link, row.pkts) })
		}
		const streams = "of Packets only From, Port, Conn and Connections may be set: it is about streams"
		from := func(p sim.Packets) sim.Packets { p.From = d.server; return p }
		for want, f := range map[string]func(){
			"sim: Delay(client - server): by is 0s: it must be positive, and 24h at most":                                       func() { sim.Delay(d.link, sim.Packets{}, 0) },
			"sim: Reset(client - server): Packets.Kind is datagrams: the fault is for those of TCP":                             func() { sim.Reset(d.link, sim.Packets{Kind: sim.UDP}) },
			"sim: Reset(client - server): Packets.Conn is a socket of UDP, which has no segments":                               func() { sim.Reset(d.link, sim.Packets{Conn: datagrams}) },
			"sim: Packets.From: a host is nil":                                                                                  func() { sim.Drop(d.link, sim.Packets{From: (*sim.Host)(nil)}) },
			"sim: StallAfter(client - server): bytes is -1: it must be 0 or more":                                               func() { sim.StallAfter(d.link, -1, from(sim.Packets{})) },
			"sim: ResetAfter(client - server): Packets.From is nil: it must be the end of the link from which the streams come": func() { sim.ResetAfter(d.link, 1, sim.Packets{}) },
			"sim: CloseAfter(client - server): " + streams:                                                                      func() { sim.CloseAfter(d.link, 1, from(sim.Packets{Kind: sim.Data})) },
			"sim: StallAfter(client - server): " + streams:                                                                      func() { sim.StallAfter(d.link, 1, from(sim.Packets{Nth: 1})) },
			"sim: ResetAfter(client - server): " + streams:                                                                      func() { sim.ResetAfter(d.link, 1, from(sim.Packets{Skip: 1})) },
			"sim: Link.Drop: the link is nil, or was not made by Network.Link":                                                  func() { sim.Drop(nil, sim.Packets{}) },
		} {
			require.PanicsWithValue(t, want, f)
		}
	})
}
