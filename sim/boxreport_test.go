package sim_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// boxes is a path with three middleboxes: phone - home (NAT) - fw (firewall) - lb (balancer) - shop, 5 ms a link.
type boxes struct {
	phone, shop  *sim.Host
	home, fw, lb *sim.Router
}

func threeBoxes(n *sim.Network, firewall sim.Tracking) boxes {
	b := boxes{phone: n.Host("phone"), shop: n.Host("shop"), home: n.Router("home"), fw: n.Router("fw"), lb: n.Router("lb")}
	path := []sim.Node{b.phone, b.home, b.fw, b.lb, b.shop}
	for i := range path[1:] {
		n.Link(path[i], path[i+1], netem.Config{Delay: 5 * ms})
	}
	b.home.NAT(sim.NATConfig{}, b.phone)
	b.fw.Firewall(firewall, b.home)
	b.lb.Balancer(sim.BalancerConfig{Port: 80}, b.shop)
	return b
}

// On a path with several boxes, the trace names the box that ended a packet.
func TestTraceSaysWhichBoxEndedAPacket(t *testing.T) {
	dial := func(from *sim.Host, to string) {
		if c, err := from.Dial("tcp", to); err == nil {
			defer c.Close()
			fmt.Fprint(c, "hello")
			time.Sleep(time.Second)
		}
	}
	twice := func(b boxes) {
		c, err := b.phone.Dial("tcp", "lb:80")
		if err == nil {
			defer c.Close()
		}
		dial(b.phone, "lb:80")
	}
	for _, row := range []struct {
		note     string
		firewall sim.Tracking
		do       func(n *sim.Network, b boxes)
	}{
		{"no known connection at fw", sim.Tracking{Stray: sim.StrayDropped}, func(n *sim.Network, b boxes) {
			n.After(100*ms, sim.ForgetConnections(b.fw).Begin)
			c, err := b.phone.Dial("tcp", "lb:80")
			require.NoError(t, err)
			defer c.Close()
			time.Sleep(200 * ms)
			fmt.Fprint(c, "hello")
			time.Sleep(time.Second)
		}},
		{"no known connection at fw", sim.Tracking{Stray: sim.StrayReset}, func(n *sim.Network, b boxes) { dial(b.shop, "home:80") }},
		{"no known connection at lb", sim.Tracking{}, func(n *sim.Network, b boxes) { dial(b.phone, "lb:81") }},
		{"connection table is full at fw", sim.Tracking{Max: 1}, func(n *sim.Network, b boxes) { twice(b) }},
		{"too many connections of one client at fw", sim.Tracking{PerClient: 1}, func(n *sim.Network, b boxes) { twice(b) }},
		{"nobody listens at home", sim.Tracking{}, func(n *sim.Network, b boxes) { dial(b.phone, "home:80") }},
		{"no backend at lb", sim.Tracking{}, func(n *sim.Network, b boxes) {
			sim.FailBackend(b.lb, b.shop).Begin()
			dial(b.phone, "lb:80")
		}},
	} {
		t.Run(row.note, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				b := threeBoxes(n, row.firewall)
				l, err := b.shop.Listen("tcp", ":80")
				require.NoError(t, err)
				defer l.Close()
				row.do(n, b)
				ended := map[string]int{}
				for e := range n.Trace().Events() {
					if e.Kind == sim.Dropped {
						ended[e.Note]++
					}
				}
				require.Positive(t, ended[row.note], "what ended packets: %v", ended)
			})
		})
	}
}
