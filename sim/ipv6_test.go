package sim_test

import (
	"context"
	"io"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// onBoth runs a test with a client and a server of both families, joined by a router.
func onBoth(t *testing.T, f func(t *testing.T, n *sim.Network, client, server *sim.Host, near, far *sim.Link)) {
	t.Helper()
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server, router := n.Host("client"), n.Host("server"), n.Router("router")
		near := n.Link(client, router, netem.Config{Delay: ms})
		far := n.Link(router, server, netem.Config{Delay: ms})
		f(t, n, client, server, near, far)
	}, sim.IPv6())
}

// transfer sends bytes from one end of a new connection to the other.
func transfer(t *testing.T, from, to *sim.Host, network string, size int) {
	t.Helper()
	l := listen(t, to, ":70")
	defer l.Close()
	c, err := from.Dial(network, to.Name()+":70")
	require.NoError(t, err)
	a, err := l.Accept()
	require.NoError(t, err)
	go func() {
		c.Write(make([]byte, size))
		c.Close()
	}()
	n, err := io.Copy(io.Discard, a)
	require.NoError(t, err)
	require.EqualValues(t, size, n)
	a.Close()
}

// largestOf returns the largest packet that a host sent, by family.
func largestOf(n *sim.Network, from string, six bool) (e sim.Event) {
	for x := range n.Trace().Events() {
		if x.Kind == sim.Sent && x.From == from && x.IPv6 == six && x.Size > e.Size {
			e = x
		}
	}
	return e
}

// An IPv6 header takes 20 bytes more: segments carry 1440 bytes, of which the option for timestamps
// takes 12.
func TestIPv6SegmentsCarryLess(t *testing.T) {
	onBoth(t, func(t *testing.T, n *sim.Network, client, server *sim.Host, _, _ *sim.Link) {
		transfer(t, client, server, "tcp", 20_000)
		e := largestOf(n, "client", true)
		require.Equal(t, [2]int{1500, 1428}, [2]int{e.Size, e.Length})
		require.Contains(t, e.String(), "client:32768 > server:70 ip6 [")
		require.Zero(t, largestOf(n, "client", false), "a name's IPv6 address comes first")
		transfer(t, client, server, "tcp4", 20_000)
		e = largestOf(n, "client", false)
		require.Equal(t, [2]int{1500, 1448}, [2]int{e.Size, e.Length})
		require.Contains(t, e.String(), "client:32768 > server:70 [")
	})
}

// A router whose next link has a smaller MTU says so, in a message of 1280 bytes (RFC 4443, section
// 3.2). A host learns the path MTU of each family separately.
func TestIPv6PathMTU(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server, near, far := n.Host("client"), n.Host("server"), n.Router("near"), n.Router("far")
		n.Link(client, near, netem.Config{Delay: ms})
		n.Link(near, far, netem.Config{Delay: ms, MTU: 1400})
		n.Link(far, server, netem.Config{Delay: ms})
		transfer(t, client, server, "tcp6", 20_000)
		tooBig := 0
		for e := range n.Trace().Events() {
			if e.Kind == sim.Sent && e.Protocol == "icmp" {
				require.Equal(t, 1280, e.Size)
				tooBig++
			}
		}
		require.Positive(t, tooBig)
		before := n.Trace().Len()
		transfer(t, client, server, "tcp6", 20_000)
		for e := range n.Trace().Events() {
			if e.Number >= before && e.Kind == sim.Sent && e.From == "client" {
				require.LessOrEqual(t, e.Size, 1400)
			}
		}
	}, sim.IPv6())
}

// A link with an MTU below 1280 bytes carries no IPv6. The sender has no route at once, or learns
// so from a router.
func TestIPv6NeedsAnMTUOf1280(t *testing.T) {
	onBoth(t, func(t *testing.T, n *sim.Network, client, server *sim.Host, near, far *sim.Link) {
		l := listen(t, server, ":70")
		defer l.Close()
		small := netem.Config{Delay: ms, MTU: 1279}
		fails := func(after time.Duration) {
			t.Helper()
			start := n.Elapsed()
			_, err := client.Dial("tcp6", "server:70")
			require.ErrorIs(t, err, syscall.ENETUNREACH)
			require.Equal(t, after, n.Elapsed()-start)
		}
		far.Set(small)
		fails(2 * ms)
		near.Set(small)
		fails(time.Nanosecond) // the instant's changes come after what the program did
		_, err := client.Dial("udp6", "server:53")
		require.ErrorIs(t, err, syscall.ENETUNREACH)
		c, err := client.Dial("tcp", "server:70")
		require.NoError(t, err)
		require.Equal(t, "10.0.0.2:70", c.RemoteAddr().String(), "IPv4 goes on")
		c.Close()
		small.MTU = 1280
		near.Set(small)
		far.Set(small)
		_, err = client.Dial("tcp6", "server:70")
		require.NoError(t, err)
	})
}

// Fragments have headers of 40 + 8 bytes and, except for the last one, carry multiples of 8 bytes.
// Only the sender fragments.
func TestIPv6Fragments(t *testing.T) {
	onBoth(t, func(t *testing.T, n *sim.Network, client, server *sim.Host, _, far *sim.Link) {
		u, err := server.ListenPacket("udp", ":53")
		require.NoError(t, err)
		c, err := client.Dial("udp6", "server:53")
		require.NoError(t, err)
		sizes := func() (sizes []int) {
			before := n.Trace().Len()
			_, err := c.Write(make([]byte, 4000))
			require.NoError(t, err)
			settle()
			for e := range n.Trace().Events() {
				if e.Number >= before && e.Kind == sim.Sent && e.From == "client" {
					sizes = append(sizes, e.Size)
				}
			}
			return sizes
		}
		arrives := func() {
			t.Helper()
			u.SetReadDeadline(in(time.Millisecond))
			k, _, err := u.ReadFrom(make([]byte, 5000))
			require.NoError(t, err)
			require.Equal(t, 4000, k)
		}
		require.Equal(t, []int{1448 + 48, 1448 + 48, 4008 - 2*1448 + 48}, sizes())
		arrives()

		far.Set(netem.Config{Delay: ms, MTU: 1300})
		require.Len(t, sizes(), 3)
		u.SetReadDeadline(in(time.Minute))
		_, _, err = u.ReadFrom(make([]byte, 5000))
		require.Error(t, err, "routers cut nothing")
		_, err = c.Write([]byte("?"))
		require.ErrorIs(t, err, syscall.EMSGSIZE)
		require.Equal(t, []int{1248 + 48, 1248 + 48, 1248 + 48, 4008 - 3*1248 + 48}, sizes())
		arrives()
	})
}

// The refusals of a link over IPv6, and Linux's errors for them: the codes to which IPv4's are
// translated (RFC 7915, section 4.2; nft's icmpx), and the errors of icmpv6_err_convert.
func TestIPv6Refusals(t *testing.T) {
	for _, row := range []struct {
		code  sim.ICMPCode
		errno syscall.Errno
		udp   bool // a connected socket hears of it
	}{
		{sim.ICMPNetUnreachable, syscall.ENETUNREACH, false},
		{sim.ICMPHostUnreachable, syscall.EHOSTUNREACH, false},
		{sim.ICMPProtocolUnreachable, syscall.EPROTO, true},
		{sim.ICMPPortUnreachable, syscall.ECONNREFUSED, true},
		{sim.ICMPSourceRouteFailed, syscall.ENETUNREACH, false},
		{sim.ICMPHostIsolated, syscall.ENETUNREACH, false},
		{sim.ICMPNetUnknown, syscall.ENETUNREACH, false},
		{sim.ICMPHostUnknown, syscall.ENETUNREACH, false},
		{sim.ICMPNetProhibited, syscall.EACCES, true},
		{sim.ICMPHostProhibited, syscall.EACCES, true},
		{sim.ICMPAdminProhibited, syscall.EACCES, true},
		{sim.ICMPNetUnreachableTOS, syscall.ENETUNREACH, false},
		{sim.ICMPHostUnreachableTOS, syscall.ENETUNREACH, false},
		{sim.ICMPPrecedenceViolation, syscall.EACCES, true},
		{sim.ICMPPrecedenceCutoff, syscall.EACCES, true},
	} {
		onBoth(t, func(t *testing.T, n *sim.Network, client, server *sim.Host, _, far *sim.Link) {
			far.RejectWith(row.code)
			_, err := client.Dial("tcp6", "server:70")
			require.ErrorIs(t, err, row.errno, row.code)
			c, err := client.Dial("udp6", "server:53")
			require.NoError(t, err)
			c.Write([]byte("?"))
			settle()
			_, err = c.Write([]byte("?"))
			if row.udp {
				require.ErrorIs(t, err, row.errno, row.code)
			} else {
				require.NoError(t, err, row.code)
			}
		})
	}
}

// A service address moves: the host that has it now resets the connections of the host that had it.
func TestAddressMoves(t *testing.T) {
	for _, service := range []netip.Addr{netip.MustParseAddr("10.9.9.9"), netip.MustParseAddr("2001:db8:9::9")} {
		onBoth(t, func(t *testing.T, n *sim.Network, client, first *sim.Host, _, _ *sim.Link) {
			second := n.Host("second")
			n.Link(second, n.Router("router"), netem.Config{Delay: ms})
			accept(listen(t, first, ":70"), echo)
			accept(listen(t, second, ":70"), echo)
			at := netip.AddrPortFrom(service, 70).String()
			_, err := client.Dial("tcp", at)
			require.ErrorIs(t, err, syscall.ENETUNREACH, "nobody has it yet")

			first.AddAddr(service)
			require.Contains(t, first.Addrs(), service)
			c, err := client.Dial("tcp", at)
			require.NoError(t, err)
			require.Equal(t, at, c.RemoteAddr().String())
			u, err := client.Dial("udp", at)
			require.NoError(t, err)
			first.RemoveAddr(service)
			require.NotContains(t, first.Addrs(), service)
			c.Write([]byte("1"))
			settle()
			require.Contains(t, n.Trace().String(), "no such address")

			second.AddAddr(service)
			_, err = c.Read(make([]byte, 1))
			require.ErrorIs(t, err, syscall.ECONNRESET, "by a retransmission")
			again, err := client.Dial("tcp", at)
			require.NoError(t, err)
			echoes(t, again)
			u.Write([]byte("?"))
			settle()
			_, err = u.Write([]byte("?"))
			require.ErrorIs(t, err, syscall.ECONNREFUSED, "by the new host's port")
			require.PanicsWithValue(t, `sim: host server: AddAddr(`+service.String()+`): "second" already has that address; RemoveAddr removes it`,
				func() { first.AddAddr(service) })
		})
	}
}

// On the way to the host that has the address now, each datagram has a fate of its own.
func TestLossOnTheWayToAnAddressThatMoved(t *testing.T) {
	service := netip.MustParseAddr("10.9.9.9")
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, first, second := n.Host("client"), n.Host("first"), n.Host("second")
		n.Link(client, first, netem.Config{Delay: ms})
		n.Link(client, second, netem.Config{Delay: ms, Loss: netem.Bernoulli(0.5)})
		first.AddAddr(service)
		u, err := client.Dial("udp", netip.AddrPortFrom(service, 70).String())
		require.NoError(t, err)
		u.Write([]byte("?"))
		settle()
		first.RemoveAddr(service)
		second.AddAddr(service)
		for range 64 {
			u.Write([]byte("?"))
			settle()
		}
		rows := n.Stats().Links
		i := slices.IndexFunc(rows, func(s sim.LinkStats) bool { return s.From == "client" && s.To == "second" })
		require.InDelta(t, 32, rows[i].Lost, 20)
	})
}

func echoes(t *testing.T, c net.Conn) {
	t.Helper()
	_, err := c.Write([]byte("x"))
	require.NoError(t, err)
	_, err = io.ReadFull(c, make([]byte, 1))
	require.NoError(t, err)
}

// Without the option, a host has IPv6 from its first address on.
func TestFirstIPv6Address(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server := n.Host("client"), n.Host("server")
		l := listen(t, server, ":70")
		require.Equal(t, "0.0.0.0:70", l.Addr().String())
		accept(l, echo)
		server.AddAddr(netip.MustParseAddr("2001:db8::80"))
		require.Equal(t, "[::]:71", listen(t, server, ":71").Addr().String())
		c := dial(t, client, "server:70")
		require.Equal(t, "10.0.0.2:70", c.RemoteAddr().String(), "the client has no IPv6")

		client.AddAddr(netip.MustParseAddr("2001:db8::81"))
		c = dial(t, client, "server:70")
		require.Equal(t, "[2001:db8::80]:70", c.RemoteAddr().String(), "a listener on every address takes new ones")
		echoes(t, c)
		require.Equal(t, []netip.Addr{client4, netip.MustParseAddr("2001:db8::81")}, client.Addrs())
		client.RemoveAddr(client4)
		require.Equal(t, netip.MustParseAddr("2001:db8::81"), client.Addr())
	})
}

// RFC 6724, section 10.2, has examples like these. The order is that of package net.
func TestPreferredAddresses(t *testing.T) {
	parse := func(texts ...string) (all []netip.Addr) {
		for _, x := range texts {
			all = append(all, netip.MustParseAddr(x))
		}
		return all
	}
	for _, row := range []struct{ sources, in, want []netip.Addr }{
		{parse("10.0.0.1", "2001:db8::1"), parse("10.0.0.2", "2001:db8::2"), parse("2001:db8::2", "10.0.0.2")},
		{parse("10.0.0.1"), parse("2001:db8::2", "10.0.0.2"), parse("10.0.0.2", "2001:db8::2")},                                       // rule 1
		{parse("2001:db8::1"), parse("10.0.0.2", "2001:db8::2"), parse("2001:db8::2", "10.0.0.2")},                                    // rule 1
		{parse("169.254.0.1", "2001:db8::1"), parse("10.0.0.2", "2001:db8::2"), parse("2001:db8::2", "10.0.0.2")},                     // rule 2
		{parse("10.0.0.1", "fd00::1"), parse("2001:db8::2", "10.0.0.2"), parse("10.0.0.2", "2001:db8::2")},                            // rule 5
		{parse("10.0.0.1", "fd00::1"), parse("fd00::2", "10.0.0.2"), parse("10.0.0.2", "fd00::2")},                                    // rule 6
		{parse("10.0.0.1", "2002::1"), parse("2002::2", "10.0.0.2"), parse("10.0.0.2", "2002::2")},                                    // rule 6
		{parse("10.0.0.1", "2001:db8:1::1"), parse("2001:db8:2::2", "2001:db8:1::2"), parse("2001:db8:1::2", "2001:db8:2::2")},        // rule 9
		{parse("10.0.0.1", "fd00::1", "2001:db8::1"), parse("fd00::2", "2001:db8::2"), parse("2001:db8::2", "fd00::2")},               // sources
		{parse("10.0.0.1"), parse("10.9.0.2", "10.0.0.2"), parse("10.9.0.2", "10.0.0.2")},                                             // rule 10
		{parse("10.0.0.1", "2001:db8:1::1", "2001:db8:2::1"), parse("2001:db8:2::2", "10.0.0.2"), parse("2001:db8:2::2", "10.0.0.2")}, // sources
	} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			h := n.Host("h")
			h.RemoveAddr(h.Addr())
			for _, a := range row.sources {
				h.AddAddr(a)
			}
			require.Equal(t, row.want, h.Preferred(row.in))
		})
	}
}

// Go's resolver finds the addresses of both families, and the names for both.
func TestResolverHasBothFamilies(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		b.AddAddr(netip.MustParseAddr("10.5.0.1"))
		ctx, r := context.Background(), a.Resolver()
		for network, want := range map[string][]netip.Addr{
			"ip4": {server4, netip.MustParseAddr("10.5.0.1")}, "ip6": {server6},
		} {
			got, err := r.LookupNetIP(ctx, network, "b")
			require.NoError(t, err)
			for i := range got {
				got[i] = got[i].Unmap()
			}
			require.ElementsMatch(t, want, got)
		}
		for _, addr := range b.Addrs() {
			names, err := r.LookupAddr(ctx, addr.String())
			require.NoError(t, err)
			require.Equal(t, []string{"b."}, names)
		}
		for _, addr := range []string{"2001:db8::99", "10.5.0.2"} {
			_, err := r.LookupAddr(ctx, addr)
			var failed *net.DNSError
			require.ErrorAs(t, err, &failed)
			require.True(t, failed.IsNotFound)
		}
	}, sim.IPv6(), sim.MayDiffer("Go's resolver asks for both families at one instant"))
}

// A NAT translates IPv4 only. IPv6 packets pass it with their own addresses.
func TestNATLeavesIPv6Alone(t *testing.T) {
	onBoth(t, func(t *testing.T, n *sim.Network, client, server *sim.Host, _, _ *sim.Link) {
		router := n.Router("router")
		router.NAT(sim.NATConfig{}, client)
		l := listen(t, server, ":70")
		for _, row := range [][2]string{{"tcp6", client6.String()}, {"tcp4", router.Addr().String()}} {
			c, err := client.Dial(row[0], "server:70")
			require.NoError(t, err)
			a, err := l.Accept()
			require.NoError(t, err)
			require.Equal(t, row[1], a.RemoteAddr().(*net.TCPAddr).IP.String())
			c.Close()
			a.Close()
		}
	})
}

// On an Ethernet IPv6 resolves neighbours like IPv4, with messages of its own, and gives up after 3
// s.
func TestIPv6AsksForItsNeighbours(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server := n.Host("client"), n.Host("server")
		n.Link(client, server, netem.Config{Delay: ms}).ARP()
		listen(t, server, ":70")
		for _, network := range []string{"tcp6", "tcp4"} {
			start := n.Elapsed()
			_, err := client.Dial(network, "server:70")
			require.NoError(t, err)
			require.Equal(t, start+4*ms, n.Elapsed(), network)
		}
		asked := map[string]int{}
		for e := range n.Trace().Events() {
			if e.Kind == sim.Sent && (e.Protocol == "arp" || e.Protocol == "ndp") {
				require.Equal(t, e.Protocol == "ndp", e.IPv6)
				asked[e.Protocol+" "+e.Flags] += e.Size
			}
		}
		require.Equal(t, map[string]int{"ndp solicitation": 72, "ndp advertisement": 72, "arp request": 28, "arp reply": 28}, asked)

		server.PowerOff()
		time.Sleep(time.Hour)
		client.Dial("udp6", "server:9")
		_, err := client.Dial("tcp6", "server:70") // what was known is stale: the packet is sent, and the neighbour asked meanwhile
		require.ErrorIs(t, err, syscall.EHOSTUNREACH)
		start := n.Elapsed()
		_, err = client.Dial("tcp6", "server:70")
		require.ErrorIs(t, err, syscall.EHOSTUNREACH)
		require.Equal(t, 3*time.Second, (n.Elapsed() - start).Truncate(time.Microsecond))
	}, sim.IPv6())
}
