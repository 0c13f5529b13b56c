package sim_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// Two regions, one with two data centres, one of which has two racks, and the links between them. The nearest linked
// pair of zones counts.
func TestZonesHaveAMatrix(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		eu, us := n.Zone("eu"), n.Zone("us", n.Host("ohio"), n.Host("iowa"))
		paris := n.Zone("paris", n.Host("paris")).Within(eu)
		milan := n.Zone("milan").Within(eu)
		rack1 := n.Zone("rack1", n.Host("a1"), n.Host("a2")).Within(milan)
		n.Zone("rack2", n.Host("b1")).Within(milan)
		n.LinkZonesAsym(eu, us, netem.Config{Delay: 40 * ms}, netem.Config{Delay: 45 * ms})
		n.LinkZones(paris, milan, netem.Config{Delay: 9 * ms})
		n.LinkZones(milan, milan, netem.Config{Delay: ms})
		n.LinkZones(rack1, rack1, netem.Config{Delay: ms / 10})
		n.LinkZones(rack1, us, netem.Config{Delay: 30 * ms}) // a line of its own
		requireTimes := func(rows ...string) {
			t.Helper()
			for _, row := range rows {
				f := strings.Fields(row)
				require.Equal(t, f[2], oneWay(t, n, n.Host(f[0]), n.Host(f[1])).String(), row)
			}
		}
		requireTimes("a1 a2 100µs", "a1 b1 1ms", "b1 a1 1ms", "a1 paris 9ms", "paris b1 9ms",
			"paris ohio 40ms", "ohio paris 45ms", "b1 iowa 40ms", "a1 iowa 30ms", "iowa a2 30ms",
			"ohio iowa 0s", "a1 alone 0s", "alone a1 0s") // without a pair: DefaultLink

		require.Equal(t, []*sim.Host{n.Host("a1"), n.Host("a2"), n.Host("b1")}, milan.Hosts())
		require.Equal(t, []*sim.Host{n.Host("paris"), n.Host("a1"), n.Host("a2"), n.Host("b1")}, eu.Hosts())

		n.LinkZones(us, us, netem.Config{Delay: 12 * ms}) // what hosts have used already changes too
		n.LinkZones(eu, us, netem.Config{Delay: 50 * ms})
		n.Zone("paris", n.Host("a2")) // moves
		requireTimes("ohio iowa 12ms", "ohio paris 50ms", "a1 a2 9ms", "a2 iowa 50ms", "a1 iowa 30ms")
		require.Equal(t, []*sim.Host{n.Host("a1"), n.Host("b1")}, milan.Hosts())

		n.Inject(0, time.Second, sim.PartitionBy(n, sim.Groups(eu.Hosts(), us.Hosts()), sim.PartitionConfig{}).MustFire())
		conn, err := n.Host("paris").Dial("udp", "ohio:9")
		require.NoError(t, err)
		conn.Write([]byte{1})
		time.Sleep(time.Second)
		requireTimes("paris ohio 50ms")
	})
}

// Of two linked pairs the one with fewer steps up counts. If both have as many, the one with fewer steps from the
// sender's zone counts. Host a is in A in all cases, and b in B.
func TestTheNearestZones(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		inA, inB, A, B := n.Zone("in A", a), n.Zone("in B", b), n.Zone("A"), n.Zone("B")
		is := func(want time.Duration, back time.Duration) {
			t.Helper()
			require.Equal(t, []time.Duration{want, back}, []time.Duration{oneWay(t, n, a, b), oneWay(t, n, b, a)})
		}
		n.LinkZones(A, B, netem.Config{Delay: 8 * ms})
		is(0, 0)
		inA.Within(A)
		is(0, 0)
		inB.Within(B)
		is(8*ms, 8*ms) // two steps; and what was in use changes at once
		n.LinkZones(inA, B, netem.Config{Delay: 4 * ms})
		is(4*ms, 4*ms)
		n.LinkZones(A, inB, netem.Config{Delay: 2 * ms})
		is(4*ms, 2*ms) // one step in each: none from inA to B, none from inB to A
		n.LinkZones(inA, inB, netem.Config{Delay: ms})
		is(ms, ms)

		wide, top := n.Zone("wide"), n.Zone("top")
		c := n.Host("c")
		n.Zone("in C", c).Within(n.Zone("C").Within(wide.Within(top)))
		n.LinkZones(inA, wide, netem.Config{Delay: 9 * ms}) // two steps,
		require.Equal(t, 9*ms, oneWay(t, n, a, c))
		n.LinkZones(A, n.Zone("in C"), netem.Config{Delay: 7 * ms}) // one, though from the sender's
		require.Equal(t, 7*ms, oneWay(t, n, a, c))
	})
}

// Zones do not affect a host's path to itself. The trace records only changes that affect hosts that have sent.
func TestZonesAndLoopback(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		z := n.Zone("z", a, b)
		require.Zero(t, oneWay(t, n, a, a))
		n.LinkZones(z, z, netem.Config{Delay: 10 * ms})
		require.Empty(t, changesOf(n))
		require.Zero(t, oneWay(t, n, a, a))
		require.Equal(t, 10*ms, oneWay(t, n, a, b))
		n.LinkZones(z, z, netem.Config{Delay: 20 * ms})
		require.Len(t, changesOf(n), 1)
		require.Equal(t, 20*ms, oneWay(t, n, a, b))
	})
}

// Hosts with links or a route over routers use those instead of zones. An access link comes on top.
func TestZonesAndLinks(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b, c, r := n.Host("a"), n.Host("b"), n.Host("c"), n.Router("r")
		z := n.Zone("z", a, b, c)
		n.LinkZones(z, z, netem.Config{Delay: 10 * ms})
		n.Link(a, r, netem.Config{Delay: ms})
		n.Link(r, b, netem.Config{Delay: ms})
		c.Access(netem.Config{Delay: 3 * ms}, netem.Config{Delay: 4 * ms})
		require.Equal(t, 2*ms, oneWay(t, n, a, b))
		require.Equal(t, 14*ms, oneWay(t, n, a, c))
		require.Equal(t, 13*ms, oneWay(t, n, c, a))
	})
}

// The hosts of one pair of zones lose packets independently.
func TestZonesLoseApart(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		clients, servers := n.Zone("clients"), n.Zone("servers", n.Host("server"))
		n.LinkZones(clients, servers, netem.Config{Delay: ms, Loss: netem.Bernoulli(0.5)})
		pc, err := n.Host("server").ListenPacket("udp", ":9")
		require.NoError(t, err)
		require.NoError(t, pc.(*sim.UDPConn).SetReadBuffer(20*20*832))
		for i := range 20 {
			h := n.Host(fmt.Sprint("h", i))
			n.Zone("clients", h)
			c, err := h.Dial("udp", "server:9")
			require.NoError(t, err)
			for j := range 20 {
				c.Write([]byte{byte(i), byte(j)})
			}
		}
		which := map[byte]string{}
		for p := make([]byte, 2); ; {
			pc.SetReadDeadline(in(time.Second))
			if _, _, err := pc.ReadFrom(p); err != nil {
				break
			}
			which[p[0]] += fmt.Sprint(p[1], " ")
		}
		alike := map[string]bool{}
		for _, w := range which {
			alike[w] = true
		}
		require.Len(t, alike, 20)
	})
}

// Zones of 10,000 hosts keep state for each host, but not for each pair of hosts.
func TestZonesOfManyHosts(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		var all [4]*sim.Zone
		for i := range all {
			var hosts []*sim.Host
			for j := range 2500 {
				hosts = append(hosts, n.Host(fmt.Sprintf("h%d-%d", i, j)))
			}
			all[i] = n.Zone(fmt.Sprint("z", i), hosts...)
		}
		for i, a := range all {
			for j, b := range all[:i+1] {
				n.LinkZones(a, b, netem.Config{Delay: time.Duration(1+i+j) * ms})
			}
		}
		require.Zero(t, n.Paths())
		require.Equal(t, 4*ms, oneWay(t, n, n.Host("h2-17"), n.Host("h1-2000")))
		require.LessOrEqual(t, n.Paths(), 2)
	})
}

func TestMisuseOfZones(t *testing.T) {
	n, other := sim.New(), sim.New()
	defer n.Close()
	defer other.Close()
	a, b, far := n.Zone("a"), n.Zone("b"), other.Zone("far")
	a.Within(b)
	var none *sim.Zone
	for _, row := range []struct {
		do   func()
		want string
	}{
		{func() { n.Zone("") }, `sim: Zone(""): the name must not be empty`},
		{func() { n.Zone("a", nil) }, `sim: Zone: a host is nil`},
		{func() { n.Zone("a", other.Host("x")) }, `sim: Zone: "x" belongs to another network`},
		{func() { b.Within(b) }, `sim: zone b: Within(b): that is, or lies within, the zone itself`},
		{func() { b.Within(a) }, `sim: zone b: Within(a): that is, or lies within, the zone itself`},
		{func() { a.Within(n.Zone("c")) }, `sim: zone a: Within(c): it lies within b already`},
		{func() { a.Within(far) }, `sim: zone a: Within(far): it belongs to another network`},
		{func() { a.Within(nil) }, `sim: Zone.Within: the zone is nil, or was not made by Network.Zone`},
		{func() { none.Hosts() }, `sim: Zone.Hosts: the zone is nil, or was not made by Network.Zone`},
		{func() { n.LinkZones(a, nil, netem.Config{}) }, `sim: LinkZones: the zone is nil, or was not made by Network.Zone`},
		{func() { n.LinkZones(a, far, netem.Config{}) }, `sim: LinkZones: zone "far" belongs to another network`},
		{func() { n.LinkZones(a, b, netem.Config{Delay: -1}) }, `sim: zones a - b: netem: Delay: -1ns: must be in [0s,24h]`},
		{func() { n.LinkZonesAsym(a, a, netem.Config{}, netem.Config{Delay: 1}) }, `sim: zones a - a: within a zone both directions must be the same`},
	} {
		require.PanicsWithValue(t, row.want, row.do)
	}
}
