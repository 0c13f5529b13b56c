package sim_test

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// Each misuse panics with a message that names the field, its value and the allowed values, and leaves the network
// unchanged.
func TestMisusePanics(t *testing.T) {
	n := sim.New()
	defer n.Close()
	other := sim.New()
	defer other.Close()
	a, b, c := n.Host("a"), n.Host("b"), n.Host("c")
	stranger := other.Host("stranger")
	router := n.Router("router")
	link := n.Link(a, b, netem.Config{})
	crashed := n.Host("crashed")
	crashed.Crash()
	web := n.Host("web")
	_, err := web.Listen("tcp", ":80")
	require.NoError(t, err)
	down := sim.Down(link)
	before := n.Trace().Len()

	var noHost *sim.Host
	var noRouter *sim.Router
	var noLink *sim.Link
	hosts := func(hs ...*sim.Host) []*sim.Host { return hs }
	handler := http.NotFoundHandler()
	for _, misuse := range []struct {
		do   func()
		want string
	}{
		// Configurations of links.
		{func() { n.Link(a, c, netem.Config{Delay: -1}) }, `sim: link a - c: netem: Delay: -1ns: must be in [0s,24h]`},
		{func() { n.Link(a, c, netem.Config{Loss: netem.Bernoulli(1.5)}) }, `sim: link a - c: netem: Loss: Bernoulli(1.5): probability must be in [0,1]`},
		{func() { n.Link(a, c, netem.Config{Duplicate: -0.1}) }, `sim: link a - c: netem: Duplicate: -0.1: probability must be in [0,1]`},
		{func() { n.LinkAsym(a, c, netem.Config{}, netem.Config{MTU: 20}) }, `sim: link a - c: netem: MTU: 20: must be 0 (for 1500) or in [68,65535]`},
		{func() { link.Set(netem.Config{Rate: -1}) }, `sim: link a - b: netem: Rate: -1bit/s: must not be negative; 0 is unlimited`},
		{func() { link.SetAsym(netem.Config{}, netem.Config{Jitter: 1}) }, `sim: link a - b: netem: Jitter: 1ns: must not be larger than Delay, 0s`},
		{func() { a.Access(netem.Config{}, netem.Config{Corrupt: 2}) }, `sim: host a: Access: netem: Corrupt: 2: probability must be in [0,1]`},
		{func() { sim.DefaultLink(netem.Config{Delay: 48 * time.Hour}) }, `sim: DefaultLink: netem: Delay: 48h0m0s: must be in [0s,24h]`},

		// Ends of links.
		{func() { n.Link(nil, b, netem.Config{}) }, `sim: Link: a host is nil`},
		{func() { n.Link(a, noHost, netem.Config{}) }, `sim: Link: a host is nil`},
		{func() { n.Link(a, noRouter, netem.Config{}) }, `sim: Link: a router is nil`},
		{func() { n.Link(a, stranger, netem.Config{}) }, `sim: Link: "stranger" belongs to another network`},
		{func() { n.Link(a, a, netem.Config{}) }, `sim: Link: "a" cannot be linked to itself`},
		{func() { n.Link(a, b, netem.Config{}) }, `sim: Link: "a" and "b" are linked already; Link.Set changes a link`},
		{func() { n.Link(b, a, netem.Config{}) }, `sim: Link: "b" and "a" are linked already; Link.Set changes a link`},
		{func() { link.RejectWith(4) }, `sim: link a - b: RejectWith(4): it must be one of the codes of ICMPCode`},
		{func() { link.DownFrom(c) }, `sim: link a - b: DownFrom("c"): it must be one of the link's two ends`},
		{func() { link.DownFrom(nil) }, `sim: DownFrom: a host is nil`},
		{func() { link.DownFrom(stranger) }, `sim: DownFrom: "stranger" belongs to another network`},

		// Names.
		{func() { n.Host("") }, `sim: Host(""): the name must not be empty`},
		{func() { n.Host("a b") }, `sim: Host("a b"): a name consists of letters, digits, '-' and '_' in parts joined by '.'`},
		{func() { n.Host("a..b") }, `sim: Host("a..b"): a name consists of letters, digits, '-' and '_' in parts joined by '.'`},
		{func() { n.Host("10.0.0.1") }, `sim: Host("10.0.0.1"): an address is not a name`},
		{func() { n.Host("web").AddAddr(netip.Addr{}) }, `sim: host web: AddAddr(invalid IP): the address is not valid`},
		{func() { n.Host("web").AddAddr(netip.MustParseAddr("fe80::1")) }, `sim: host web: AddAddr(fe80::1): link-local addresses of IPv6 and zones are not simulated`},
		{func() { n.Host("web").AddAddr(netip.MustParseAddr("2001:db8::1%eth0")) }, `sim: host web: AddAddr(2001:db8::1%eth0): link-local addresses of IPv6 and zones are not simulated`},
		{func() { n.Host("web").AddAddr(netip.MustParseAddr("127.0.0.1")) }, `sim: host web: AddAddr(127.0.0.1): every host already has the loopback addresses`},
		{func() { n.Host("web").AddAddr(netip.MustParseAddr("ff02::1")) }, `sim: host web: AddAddr(ff02::1): it must be a unicast address`},
		{func() { n.Host("web").AddAddr(netip.IPv6Unspecified()) }, `sim: host web: AddAddr(::): it must be a unicast address`},
		{func() { n.Host("::1") }, `sim: Host("::1"): an address is not a name`},
		{func() { n.Host("LocalHost") }, `sim: Host("LocalHost"): every host uses this name for itself`},
		{func() { n.Host("localhost") }, `sim: Host("localhost"): every host uses this name for itself`},
		{func() { n.Host("router") }, `sim: Host("router"): a router has that name`},
		{func() { n.Host("ROUTER") }, `sim: Host("ROUTER"): a router has that name`},
		{func() { n.Host(strings.Repeat("x", 254)) }, `sim: Host("xxxxxxxxxxxxxxxxxxxx"...): the name must not be longer than 253 bytes`},
		{func() { n.Host("x." + strings.Repeat("y", 64)) }, `sim: Host("x.` + strings.Repeat("y", 64) + `"): a part of a name must not be longer than 63 bytes`},
		{func() { n.Router("a") }, `sim: Router("a"): a host has that name`},
		{func() { n.Router("A") }, `sim: Router("A"): a host has that name`},
		{func() { n.Router("x:y") }, `sim: Router("x:y"): a name consists of letters, digits, '-' and '_' in parts joined by '.'`},

		// Partitions.
		{func() { n.Partition(hosts(a, b), hosts(c, a)) }, `sim: Partition: host "a" is in groups 1 and 2`},
		{func() { n.Partition(hosts(a), hosts(nil)) }, `sim: Partition: a host is nil`},
		{func() { n.Partition(hosts(a), hosts(stranger)) }, `sim: Partition: "stranger" belongs to another network`},
		{func() { n.PartitionOneWay(hosts(a), hosts(stranger)) }, `sim: PartitionOneWay: "stranger" belongs to another network`},

		{func() { sim.PartitionBy(nil, sim.Isolate(a), sim.PartitionConfig{}) }, `sim: PartitionBy: the network is nil`},
		{func() { sim.PartitionBy(n, nil, sim.PartitionConfig{}) }, `sim: PartitionBy: cuts is empty: it must name what to cut`},
		{func() { sim.PartitionBy(n, sim.Cuts{{}}, sim.PartitionConfig{}) }, `sim: PartitionBy: a Cut names no host: From or To must have one`},
		{func() { sim.PartitionBy(n, sim.Cuts{{From: []*sim.Host{}, To: hosts(a)}}, sim.PartitionConfig{}) }, `sim: PartitionBy: a Cut has a list without hosts: name one, or leave it nil for all`},
		{func() { sim.PartitionBy(n, sim.Isolate(stranger), sim.PartitionConfig{}) }, `sim: PartitionBy: "stranger" belongs to another network`},
		{func() { sim.PartitionBy(n, sim.Isolate(a), sim.PartitionConfig{Rejects: true, Holds: true}) }, `sim: PartitionBy: PartitionConfig.Rejects and Holds are both set: set only one`},
		{func() { sim.PartitionBy(n, sim.Isolate(a), sim.PartitionConfig{Rejects: true, Code: 4}) }, `sim: PartitionBy: PartitionConfig.Code is 4: it must be one of the codes of ICMPCode`},
		{func() { sim.PartitionBy(n, sim.Isolate(a), sim.PartitionConfig{Code: sim.ICMPHostUnreachable}) }, `sim: PartitionBy: PartitionConfig.Code is 1 (host unreachable): it needs Rejects`},
		{func() { sim.PartitionBy(n, sim.Isolate(a), sim.PartitionConfig{Only: 3}) }, `sim: PartitionBy: PartitionConfig.Only is 3: it must be AllPackets, NewConnections or OpenConnections`},
		{func() { sim.PartitionBy(n, sim.Isolate(a), sim.PartitionConfig{InFlight: true, Holds: true}) }, `sim: PartitionBy: PartitionConfig.InFlight and Holds are both set: set only one, since held packets are not lost`},
		{func() {
			sim.PartitionBy(n, sim.Isolate(a), sim.PartitionConfig{InFlight: true, Only: sim.NewConnections})
		}, `sim: PartitionBy: PartitionConfig.InFlight and Only: NewConnections are both set: set only one, since new connections have nothing in flight`},
		{func() { sim.Groups(hosts(a), hosts(b, a)) }, `sim: Groups: host "a" is in groups 1 and 2`},
		{func() { sim.Halves(a) }, `sim: Halves: 1 host: at least 2 are needed`},
		{func() { sim.Bridge(a, b) }, `sim: Bridge: 2 hosts: at least 3 are needed`},
		{func() { sim.MajoritiesRing(a, b, c) }, `sim: MajoritiesRing: 3 hosts: at least 4 are needed`},
		{func() { sim.Halves(a, b, a) }, `sim: Halves: host "a" is named twice`},
		{func() { sim.Isolate(noHost) }, `sim: Host.Isolate: the host is nil, or was not made by Network.Host`},
		{func() { sim.CrossTraffic(a, noHost, sim.Traffic{Connections: 1}) }, `sim: Host.CrossTraffic: the host is nil, or was not made by Network.Host`},
		{func() { sim.CrossTraffic(a, stranger, sim.Traffic{Connections: 1}) }, `sim: CrossTraffic: "stranger" belongs to another network`},
		{func() { sim.CrossTraffic(a, a, sim.Traffic{Connections: 1}) }, `sim: CrossTraffic: both hosts are "a": they must be different`},
		{func() { sim.CrossTraffic(a, b, sim.Traffic{}) }, `sim: CrossTraffic: a > b: Traffic.Rate and Traffic.Connections are 0: one of them must be set`},
		{func() { sim.CrossTraffic(a, b, sim.Traffic{Rate: -1}) }, `sim: CrossTraffic: a > b: Traffic.Rate is -1bit/s: it must be positive, or 0 with Connections`},
		{func() { sim.CrossTraffic(a, b, sim.Traffic{Connections: 1001}) }, `sim: CrossTraffic: a > b: Traffic.Connections is 1001: it must be 0 to 1000`},
		{func() { sim.CrossTraffic(a, b, sim.Traffic{Rate: 1, Connections: 1}) }, `sim: CrossTraffic: a > b: Traffic.Connections is 1: it must be 0 with a Rate, which is for UDP`},
		{func() { sim.CrossTraffic(a, b, sim.Traffic{Connections: 1, Poisson: true}) }, `sim: CrossTraffic: a > b: Traffic.Connections is 1: Size, Poisson, On and Off are for UDP and must not be set with it`},
		{func() { sim.CrossTraffic(a, b, sim.Traffic{Rate: 1, Size: 27}) }, `sim: CrossTraffic: a > b: Traffic.Size is 27: it must be 28 to 65535, or 0 for 1500`},
		{func() { sim.CrossTraffic(a, b, sim.Traffic{Rate: 1, On: time.Second}) }, `sim: CrossTraffic: a > b: Traffic.On and Traffic.Off are 1s and 0s: both must be positive, or both 0`},
		{func() { sim.CrossTraffic(a, b, sim.Traffic{Rate: netem.Gbit, Size: 100}) }, `sim: CrossTraffic: a > b: Traffic.Rate is 1Gbit/s: it must be at most 800Mbit/s, a million packets in a second`},
		{func() { sim.Flap(nil, 1, 1) }, `sim: Flap: a fault is nil`},
		{func() { sim.Flap(down, 0, time.Second) }, `sim: Flap(a - b: link down): lasts and pause are 0s and 1s: both must be positive`},
		{func() { sim.Swizzle(time.Second) }, `sim: Swizzle: at least one fault is needed`},
		{func() { sim.Swizzle(0, down) }, `sim: Swizzle(0s): the time must be positive`},
		{func() { sim.Swizzle(time.Second, down, down) }, `sim: Swizzle: a - b: link down is given twice: make two faults`},
		{func() { sim.Swizzle(time.Second, down, sim.Crash(stranger)) }, `sim: Swizzle: stranger: crash belongs to another network than a - b: link down`},

		// Processes and schedules.
		{func() { n.After(-time.Second, func() {}) }, `sim: After(-1s): the delay must not be negative`},
		{func() { n.After(0, nil) }, `sim: After: the function must not be nil`},
		{func() { a.Run("worker", nil) }, `sim: host a: Run("worker"): the function must not be nil`},
		{func() { web.ServeHTTP(":80", handler) }, `sim: host web: ServeHTTP: listen tcp :80: bind: address already in use`},
		{func() { a.ServeHTTP("c:80", handler) }, `sim: host a: ServeHTTP: listen tcp ` + c.Addr().String() + `:80: bind: cannot assign requested address`},
		{func() { a.ServeHTTP("80", handler) }, `sim: host a: ServeHTTP: listen tcp: address 80: missing port in address`},
		{func() { crashed.ServeHTTP(":80", handler) }, `sim: host crashed: ServeHTTP: listen tcp :80: socket: network is down`},

		// Nil and zero objects.
		{func() { noHost.Dial("tcp", "web:80") }, `sim: Host.Dial: the host is nil, or was not made by Network.Host`},
		{func() { noHost.DialContext(context.Background(), "tcp", "web:80") }, `sim: Host.DialContext: the host is nil, or was not made by Network.Host`},
		{func() { a.Coalesce(-1) }, `sim: host a: Coalesce: delay = -1ns: must be from 0 to 100ms`},
		{func() { a.Coalesce(time.Second) }, `sim: host a: Coalesce: delay = 1s: must be from 0 to 100ms`},
		{func() { new(sim.Host).Listen("tcp", ":80") }, `sim: Host.Listen: the host is nil, or was not made by Network.Host`},
		{func() { noHost.ListenPacket("udp", ":80") }, `sim: Host.ListenPacket: the host is nil, or was not made by Network.Host`},
		{func() { noHost.HTTPClient() }, `sim: Host.HTTPClient: the host is nil, or was not made by Network.Host`},
		{func() { noHost.ServeHTTP(":80", handler) }, `sim: Host.ServeHTTP: the host is nil, or was not made by Network.Host`},
		{func() { noHost.Crash() }, `sim: Host.Crash: the host is nil, or was not made by Network.Host`},
		{func() { noHost.Addr() }, `sim: Host.Addr: the host is nil, or was not made by Network.Host`},
		{func() { noLink.Down() }, `sim: Link.Down: the link is nil, or was not made by Network.Link`},
		{func() { noLink.ARP() }, `sim: Link.ARP: the link is nil, or was not made by Network.Link`},
		{func() { noLink.Unplug() }, `sim: Link.Unplug: the link is nil, or was not made by Network.Link`},
		{func() { noLink.Set(netem.Config{}) }, `sim: Link.Set: the link is nil, or was not made by Network.Link`},
		{func() { new(sim.Link).Reject() }, `sim: Link.Reject: the link is nil, or was not made by Network.Link`},

		{func() { sim.Limit(0) }, `sim: Limit(0s): must be more than 0 and at most 876000h0m0s`},
		{func() { sim.Limit(-time.Second) }, `sim: Limit(-1s): must be more than 0 and at most 876000h0m0s`},
		{func() { sim.Limit(200 * 365 * 24 * time.Hour) }, `sim: Limit(1752000h0m0s): must be more than 0 and at most 876000h0m0s`},

		// Settings of TCP.
		{func() { a.SetTCP(sim.TCPConfig{CongestionControl: "bbr"}) }, `sim: host a: SetTCP: tcp: CongestionControl is "bbr", want "cubic" or "reno"`},
		{func() { sim.WithTCP(sim.TCPConfig{InitialCwnd: -1}) }, `sim: WithTCP: tcp: InitialCwnd is -1, want 1 to 65536`},
		{func() { a.SetTCP(sim.TCPConfig{AcceptBacklog: 1 << 21}) }, `sim: host a: SetTCP: tcp: AcceptBacklog is 2097152, want 0 to 1048576`},
		{func() { sim.WithTCP(sim.TCPConfig{RTOMin: time.Minute, RTOMax: time.Second}) }, `sim: WithTCP: tcp: RTOMin, RTOMax are 1m0s, 1s: the first must not exceed the second`},
	} {
		require.PanicsWithValue(t, misuse.want, misuse.do)
	}

	require.Equal(t, before, n.Trace().Len(), "nothing has happened")
	n.Link(router, c, netem.Config{})
	conn, err := a.DialContext(context.Background(), "tcp", "web:80")
	require.NoError(t, err, "the network goes on")
	conn.Close()
}
