package sim_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// What the program asks for at the instant at which it was woken is done at the next one, as of when it was asked for: so are the times of what
// faults meet by it, and of what is noted.
func TestLookaheadAtTheInstantOfAWakeUp(t *testing.T) {
	for _, row := range []struct {
		name  string
		begin func(n *sim.Network, client, server *sim.Host)
		woken func(client *sim.Host, c net.Conn)
	}{
		{"no port is left", func(n *sim.Network, client, server *sim.Host) {
			n.Inject(0, 0, sim.Restrict(client, sim.HostLimits{FirstPort: 40000, LastPort: 40000}))
		}, func(client *sim.Host, _ net.Conn) {
			for range 2 {
				client.Dial("tcp", "server:7")
			}
		}},
		{"another host is paused", func(n *sim.Network, client, _ *sim.Host) {
			other := n.Host("other")
			pc := check1(other.ListenPacket("udp", ":9"))
			go pc.ReadFrom(make([]byte, 1))
			n.Inject(ms/2, 10*ms, sim.Pause(other))
		}, func(client *sim.Host, _ net.Conn) { check1(client.Dial("udp", "other:9")).Write([]byte("x")) }},
		{"a balancer drains a backend", func(n *sim.Network, client, _ *sim.Host) {
			r := n.Router("balancer")
			for _, h := range []*sim.Host{client, n.Host("b1"), n.Host("b2")} {
				n.Link(h, r, netem.Config{})
			}
			r.Balancer(sim.BalancerConfig{Port: 80}, n.Host("b1"), n.Host("b2"))
			n.Inject(0, 0, sim.DrainBackend(r, n.Host("b1"), 0))
		}, func(client *sim.Host, _ net.Conn) { client.Dial("tcp", "balancer:80") }},
		{"a box lets pass what does not fit", func(n *sim.Network, client, server *sim.Host) {
			r := n.Router("box")
			in := n.Link(client, r, netem.Config{})
			n.Link(r, server, netem.Config{})
			r.Firewall(sim.Tracking{Stray: sim.StrayPassed})
			n.Inject(0, 0, sim.Corrupt(in, sim.Packets{From: client, Kind: sim.Data, Skip: 3}))
		}, func(_ *sim.Host, c net.Conn) { send(c, 1) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			requireSameWithoutLookahead(t, 1, func(n *sim.Network) {
				client, server := n.Host("client"), n.Host("server")
				row.begin(n, client, server)
				c := echoTo(n, client, server)
				for range 3 {
					time.Sleep(ms)
					send(c, 1)
					check1(io.ReadFull(c, make([]byte, 1)))
				}
				row.woken(client, c)
			}, sim.DefaultLink(netem.Config{}))
		})
	}
}
