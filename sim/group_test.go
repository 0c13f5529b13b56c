package sim_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// simMember is a simulated computer of a segment.
type simMember struct{ simParty }

func (m simMember) opens(network, address string) (groupSocket, error) {
	c, err := m.ListenPacket(network, address)
	if err != nil {
		return nil, err
	}
	return c.(*sim.UDPConn), nil
}

func (m simMember) joins(network string, group *net.UDPAddr) (groupSocket, error) {
	c, err := m.ListenMulticastUDP(network, nil, group)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// Datagrams that two sockets of one port send at one instant arrive in the order in which the
// sockets were opened, whichever goroutine writes first.
func TestSocketsThatShareAPortHaveAnOrder(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), listenGroup(n.Host("b"))
		first, second := listenGroup(a), listenGroup(a)
		n.After(time.Second, func() {
			check1(second.WriteTo([]byte{2}, mdns))
			check1(first.WriteTo([]byte{1}, mdns))
		})
		require.Equal(t, []string{"1 at 1s", "2 at 1s"}, arrivals(n, b, 2*time.Second))
	})
}

// Multicast and broadcast datagrams reach the same sockets as on a real kernel, and the simulated
// network refuses what the kernel refuses.
func TestGroupsAreThoseOfTheKernel(t *testing.T) {
	got := map[string]string{}
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		s := &segmentStage{got: got}
		for i, m := range []*member{&s.a, &s.b, &s.c} {
			*m = simMember{simParty{n.Host([]string{"a", "b", "c"}[i])}}
		}
		s.groupSituations()
	}, sim.IPv6())
	compareWithKernel(t, "testdata/groups.json", got, func(name string) string {
		if name == "IPv6: all nodes, whoever listens" {
			return linkLocal + "; it gets there, from the host's global address"
		}
		return ""
	})
}

var mdns = udpAddr("224.0.0.251:5353")

func listenGroup(h *sim.Host) *sim.UDPConn { return check1(h.ListenMulticastUDP("udp4", nil, mdns)) }

// arrivals reads until an instant. It returns the first byte of each datagram and when the datagram
// arrived, without the nanosecond by which wake-ups at one instant are kept apart.
func arrivals(n *sim.Network, c net.PacketConn, until time.Duration) (all []string) {
	c.SetReadDeadline(time.Now().Add(until - n.Elapsed()))
	p := make([]byte, 5000)
	for {
		if _, _, err := c.ReadFrom(p); err != nil {
			return all
		}
		all = append(all, fmt.Sprintf("%d at %v", p[0], n.Elapsed().Round(ms)))
	}
}

// heardBy reads from several sockets at once until an instant.
func heardBy(n *sim.Network, until time.Duration, sockets ...*sim.UDPConn) [][]string {
	all := make([][]string, len(sockets))
	done := make(chan int)
	for i, c := range sockets {
		go func() {
			all[i] = arrivals(n, c, until)
			done <- i
		}()
	}
	for range sockets {
		<-done
	}
	return all
}

// The link of each receiver loses, delays and duplicates its own copy of a broadcast. The other
// receivers are not affected.
func TestEachReceiverHasItsOwnLosses(t *testing.T) {
	for _, to := range []string{"224.0.0.251:5353", "255.255.255.255:5353", "10.255.255.255:5353"} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			a := n.Host("a")
			var sockets []*sim.UDPConn
			for name, cfg := range map[string]netem.Config{
				"b": {Delay: 5 * ms, Loss: netem.DropList{2}}, "c": {Delay: 20 * ms}, "d": {Delay: 7 * ms, Duplicate: 1},
			} {
				n.Link(a, n.Host(name), cfg)
			}
			for _, name := range []string{"a", "b", "c", "d"} {
				sockets = append(sockets, listenGroup(n.Host(name)))
			}
			n.After(time.Second, func() {
				for i := range 3 {
					check1(sockets[0].WriteTo([]byte{byte(i)}, udpAddr(to)))
				}
			})
			heard := heardBy(n, 2*time.Second, sockets...)
			own := []string{"0 at 1s", "1 at 1s", "2 at 1s"}
			if to == "224.0.0.251:5353" {
				own = nil // ListenMulticastUDP does without
			}
			require.Equal(t, own, heard[0])
			require.Equal(t, []string{"0 at 1.005s", "2 at 1.005s"}, heard[1])
			require.Equal(t, []string{"0 at 1.02s", "1 at 1.02s", "2 at 1.02s"}, heard[2])
			require.Equal(t, []string{"0 at 1.007s", "0 at 1.007s", "1 at 1.007s", "1 at 1.007s", "2 at 1.007s", "2 at 1.007s"}, heard[3])
			for _, l := range n.Stats().Links {
				if l.From == "a" && l.To == "b" {
					require.Equal(t, []int64{3, 1, 2}, []int64{l.Sent, l.Lost, l.Delivered})
				}
			}
			kind := "broadcast"
			if own == nil {
				kind = "multicast"
			}
			sent := since(n, 0, func(e sim.Event) bool { return e.Kind == sim.Sent && e.Flags == kind && e.To == "c" })
			require.Len(t, sent, 3)
			require.Contains(t, n.Trace().String(), "udp "+kind+" len 1")
		})
	}
}

// Random loss at one receiver does not depend on the others: adding a receiver changes nobody's
// losses.
func TestReceiversDrawByThemselves(t *testing.T) {
	play := func(names ...string) (heard map[string]int) {
		heard = map[string]int{}
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			a := n.Host("a")
			var sockets []*sim.UDPConn
			for _, name := range names {
				n.Link(a, n.Host(name), netem.Config{Delay: ms, Loss: netem.Bernoulli(0.5)})
				sockets = append(sockets, listenGroup(n.Host(name)))
			}
			from := check1(a.ListenPacket("udp", ":0"))
			n.After(time.Second, func() {
				for i := range 10 {
					check1(from.WriteTo([]byte{byte(i)}, mdns))
				}
			})
			for i, all := range heardBy(n, 2*time.Second, sockets...) {
				for _, one := range all {
					heard[names[i]] |= 1 << (one[0] - '0')
				}
			}
		})
		return heard
	}
	two, three := play("b", "c"), play("b", "bb", "c")
	require.NotEqual(t, two["b"], two["c"])
	require.Equal(t, two["b"], three["b"])
	require.Equal(t, two["c"], three["c"])
}

// The sender's segment consists of the hosts of its zone that a link or the default path joins with
// it. Hosts behind a router do not belong to it.
func TestSegments(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, behind, west, east, linked := n.Host("a"), n.Host("behind"), n.Host("west"), n.Host("east"), n.Host("linked")
		r := n.Router("r")
		n.Link(a, r, netem.Config{})
		n.Link(r, behind, netem.Config{})
		n.Zone("west", a, west, behind)
		n.Zone("east", east, linked)
		n.Link(a, linked, netem.Config{})
		var sockets []*sim.UDPConn
		for _, h := range []*sim.Host{behind, west, east, linked, n.Host("nowhere")} {
			sockets = append(sockets, listenGroup(h))
		}
		n.After(time.Second, func() {
			for _, to := range []string{"224.0.0.251:5353", "255.255.255.255:5353"} {
				check1(check1(a.ListenPacket("udp", ":0")).WriteTo([]byte{7}, udpAddr(to)))
			}
		})
		heard := heardBy(n, 2*time.Second, sockets...)
		both := []string{"7 at 1s", "7 at 1s"}
		require.Equal(t, [][]string{nil, both, nil, both, nil}, heard)
	})
}

// A group member behind a router receives nothing, and the report says so once. Hosts that are in
// no group, or that receive, are not reported.
func TestMulticastThatARouterKeeps(t *testing.T) {
	failure := sim.Try(t, func(n *sim.Network) error {
		a, near, behind := n.Host("a"), n.Host("near"), n.Host("behind")
		r := n.Router("r")
		n.Link(a, near, netem.Config{})
		n.Link(a, r, netem.Config{})
		n.Link(r, behind, netem.Config{})
		n.Link(r, n.Host("deaf"), netem.Config{})
		c := check1(a.ListenPacket("udp", ":0"))
		listenGroup(near)
		check1(c.WriteTo([]byte{1}, mdns)) // nobody behind is in the group yet
		time.Sleep(time.Second)
		listenGroup(behind)
		for range 2 {
			check1(c.WriteTo([]byte{2}, mdns))
		}
		time.Sleep(time.Second)
		return nil
	}, sim.Strict())
	require.ErrorContains(t, failure, "Multicast did not reach these members of its group. They are not on the sender's network segment, and routers do not forward multicast:\n  224.0.0.251 from a to behind\n")
	require.NotContains(t, failure.Error(), "to near")
}

// A host without neighbours sends to a group without an error, and so does one whose neighbours are
// off. It sends no ARP request.
func TestGroupsNeedNobody(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		c := check1(n.Host("a").ListenPacket("udp", ":0"))
		check1(c.WriteTo([]byte{1}, mdns))
		n.Host("b").PowerOff()
		b := n.Host("c")
		check1(c.WriteTo([]byte{1}, mdns))
		time.Sleep(10 * time.Second)
		require.Empty(t, asked(n, "a"))
		require.Len(t, since(n, 0, func(e sim.Event) bool { return e.Kind == sim.Dropped && e.Note == "host is off" }), 1)
		require.Len(t, since(n, 0, func(e sim.Event) bool { return e.Kind == sim.Dropped && e.Note == "c is in no group 224.0.0.251" }), 1)
		require.Empty(t, since(n, 0, func(e sim.Event) bool { return e.Protocol == "icmp" }))
		b.RemoveAddr(b.Addr()) // a host without an address still hears
		l := listenGroup(b)
		n.After(time.Second, func() { check1(c.WriteTo([]byte{2}, mdns)) })
		require.Equal(t, []string{"2 at 11s"}, arrivals(n, l, 12*time.Second))
		a := n.Host("a")
		a.RemoveAddr(a.Addr()) // but it has none to send from
		_, err := c.WriteTo([]byte{3}, mdns)
		require.ErrorIs(t, err, syscall.ENETUNREACH)
		_, err = c.WriteTo([]byte{3}, udpAddr("10.255.255.255:5353"))
		require.ErrorIs(t, err, syscall.ENETUNREACH)
		a.AddAddr(netip.MustParseAddr("192.0.2.1")) // of another prefix
		_, err = c.WriteTo([]byte{3}, udpAddr("10.255.255.255:5353"))
		require.ErrorIs(t, err, syscall.ENETUNREACH)
		_, err = a.Dial("udp", "10.255.255.255:5353")
		require.ErrorIs(t, err, syscall.ENETUNREACH)
		check1(c.WriteTo([]byte{3}, mdns))
	}, sim.ARP())
}

// Faults of a link affect the packet of that link's receiver. Filters see the group's address and
// the packet's kind. The sender gets no error.
func TestFaultsMeetWhatIsForSeveral(t *testing.T) {
	for name, row := range map[string]struct {
		fault func(n *sim.Network, ab *sim.Link) *sim.Fault
		b     []string // what b hears of two datagrams to the group and one to all, at 1 s, 2 s and 3 s
	}{
		"none":                 {func(n *sim.Network, ab *sim.Link) *sim.Fault { return nil }, []string{"0 at 1.01s", "1 at 2.01s", "2 at 3.01s"}},
		"down":                 {func(n *sim.Network, ab *sim.Link) *sim.Fault { return sim.Down(ab) }, []string{"1 at 2.01s", "2 at 3.01s"}},
		"reject":               {func(n *sim.Network, ab *sim.Link) *sim.Fault { return sim.Reject(ab, sim.ICMPHostUnreachable) }, []string{"1 at 2.01s", "2 at 3.01s"}},
		"reject by a firewall": {func(n *sim.Network, ab *sim.Link) *sim.Fault { return sim.Reject(ab, sim.ICMPAdminProhibited) }, []string{"1 at 2.01s", "2 at 3.01s"}},
		"hold":                 {func(n *sim.Network, ab *sim.Link) *sim.Fault { return sim.Hold(ab) }, []string{"0 at 1.51s", "1 at 2.01s", "2 at 3.01s"}},
		"off":                  {func(n *sim.Network, ab *sim.Link) *sim.Fault { return sim.Pause(n.Host("b")) }, []string{"0 at 1.5s", "1 at 2.01s", "2 at 3.01s"}},
		"partition": {func(n *sim.Network, ab *sim.Link) *sim.Fault {
			return sim.Partition(n, []*sim.Host{n.Host("a")}, []*sim.Host{n.Host("b")})
		}, []string{"1 at 2.01s", "2 at 3.01s"}},
		"drop a group": {func(n *sim.Network, ab *sim.Link) *sim.Fault {
			return sim.Drop(ab, sim.Packets{Addr: netip.MustParseAddr("224.0.0.251")})
		}, []string{"1 at 2.01s", "2 at 3.01s"}},
		"drop multicast": {func(n *sim.Network, ab *sim.Link) *sim.Fault {
			return sim.Drop(ab, sim.Packets{Where: func(e sim.Event) bool { return e.Flags == "multicast" }})
		}, []string{"1 at 2.01s", "2 at 3.01s"}},
		"duplicate": {func(n *sim.Network, ab *sim.Link) *sim.Fault { return sim.Duplicate(ab, sim.Packets{Kind: sim.UDP}) }, []string{"0 at 1.01s", "0 at 1.01s", "1 at 2.01s", "2 at 3.01s"}},
	} {
		t.Run(name, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				a, b, c := n.Host("a"), n.Host("b"), n.Host("c")
				ab := n.Link(a, b, netem.Config{Delay: 10 * ms})
				atB, atC := listenGroup(b), listenGroup(c)
				from := check1(a.ListenPacket("udp", ":0"))
				fault := row.fault(n, ab)
				if fault != nil {
					n.Inject(500*ms, time.Second, fault)
				}
				for i, to := range []*net.UDPAddr{mdns, mdns, udpAddr("255.255.255.255:5353")} {
					n.After(time.Duration(i+1)*time.Second, func() { check1(from.WriteTo([]byte{byte(i)}, to)) })
				}
				heard := heardBy(n, 4*time.Second, atB, atC)
				require.Equal(t, row.b, heard[0])
				require.Equal(t, []string{"0 at 1s", "1 at 2s", "2 at 3s"}, heard[1], "c is none of it")
				require.Empty(t, since(n, 0, func(e sim.Event) bool { return e.Protocol == "icmp" }))
				if fault != nil {
					require.Equal(t, 1, fault.Fired().Count)
				}
			})
		})
	}
}

// If all links reject, as those of an interface that is set down do, the sender's own routing table
// has no route.
func TestNoInterfaceForGroups(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b, c := n.Host("a"), n.Host("b"), n.Host("c")
		ab, ac := n.Link(a, b, netem.Config{}), n.Link(a, c, netem.Config{})
		from := check1(a.ListenPacket("udp", ":0"))
		ab.RejectWith(sim.ICMPNetUnreachable)
		check1(from.WriteTo([]byte{1}, mdns))
		ac.RejectWith(sim.ICMPNetUnreachable)
		for _, to := range []*net.UDPAddr{mdns, udpAddr("255.255.255.255:1")} {
			_, err := from.WriteTo([]byte{1}, to)
			require.ErrorIs(t, err, syscall.ENETUNREACH)
		}
	})
}

// Sockets that a paused host opens, and groups that it joins and leaves, take effect when the host
// resumes.
func TestPausedHostsAndGroups(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		from := check1(a.ListenPacket("udp", ":0"))
		leaves := listenGroup(b)
		joins := check1(b.ListenPacket("udp4", ":5354")).(*sim.UDPConn)
		b.Pause()
		require.NoError(t, leaves.LeaveGroup(nil, mdns))
		require.ErrorIs(t, leaves.LeaveGroup(nil, mdns), syscall.EADDRNOTAVAIL)
		other := udpAddr("224.0.0.252:5354")
		require.NoError(t, joins.JoinGroup(nil, other))
		require.ErrorIs(t, joins.JoinGroup(nil, other), syscall.EADDRINUSE)
		n.After(time.Second, func() {
			check1(from.WriteTo([]byte{1}, mdns))
			check1(from.WriteTo([]byte{1}, other))
		})
		n.After(2*time.Second, b.Resume)
		n.After(3*time.Second, func() {
			check1(from.WriteTo([]byte{2}, mdns))
			check1(from.WriteTo([]byte{2}, other))
		})
		heard := heardBy(n, 4*time.Second, leaves, joins)
		require.Equal(t, [][]string{{"1 at 2s"}, {"2 at 3s"}}, heard)
	})
}

// A crashed host is in no group, and neither is a host whose socket is closed.
func TestGroupsEndWithTheirSockets(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		from := check1(a.ListenPacket("udp", ":0"))
		send := func() {
			check1(from.WriteTo([]byte{1}, mdns))
			time.Sleep(time.Second)
		}
		refused := func() int {
			return len(since(n, 0, func(e sim.Event) bool { return e.Kind == sim.Dropped && e.Note == "b is in no group 224.0.0.251" }))
		}
		listenGroup(b)
		send()
		require.Zero(t, refused())
		b.Crash()
		send()
		require.Equal(t, 1, refused())
		b.Restart()
		listenGroup(b).Close()
		send()
		require.Equal(t, 2, refused())
	})
}

// A datagram that is too large for one receiver's link is fragmented for that link alone. It is
// refused if the socket forbids fragmentation.
func TestGroupsAndTheMTU(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b, c := n.Host("a"), n.Host("b"), n.Host("c")
		n.Link(a, b, netem.Config{MTU: 1000})
		n.Link(a, c, netem.Config{MTU: 9000})
		atB, atC := listenGroup(b), listenGroup(c)
		from := check1(a.ListenPacket("udp", ":0")).(*sim.UDPConn)
		n.After(time.Second, func() { check1(from.WriteTo(make([]byte, 3000), mdns)) })
		require.Equal(t, [][]string{{"0 at 1s"}, {"0 at 1s"}}, heardBy(n, 2*time.Second, atB, atC))
		to := func(host string) int {
			return len(since(n, 0, func(e sim.Event) bool { return e.Kind == sim.Sent && e.To == host && e.Flags == "multicast" }))
		}
		require.Equal(t, 4, to("b")) // 976 bytes of 3008 in each
		require.Equal(t, 1, to("c"))
		require.NoError(t, from.SetMTUDiscover(sim.MTUDiscoverDo))
		check1(from.WriteTo(make([]byte, 972), mdns)) // 1000 - 20 - 8
		_, err := from.WriteTo(make([]byte, 973), mdns)
		require.ErrorIs(t, err, syscall.EMSGSIZE)
	})
}

// A datagram for which a receiver has no room is lost to that socket only.
func TestReceiversHaveBuffersOfTheirOwn(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		small, large := listenGroup(b), listenGroup(b)
		require.NoError(t, small.SetReadBuffer(1))
		from := check1(a.ListenPacket("udp", ":0"))
		for i := range 5 {
			check1(from.WriteTo([]byte{byte(i)}, mdns))
		}
		time.Sleep(time.Second)
		require.Len(t, arrivals(n, small, 2*time.Second), 2) // 2304 bytes of memory, of which a datagram takes 832
		require.Len(t, arrivals(n, large, 3*time.Second), 5)
		require.Len(t, since(n, 0, func(e sim.Event) bool { return e.Note == "receive buffer full" }), 3)
	})
}

// Invalid arguments on a simulated host are refused with an error that has the value.
func TestRefusedGroups(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a := n.Host("a")
		_, err := a.ListenMulticastUDP("udp4", &net.Interface{Name: "eth0"}, mdns)
		require.ErrorContains(t, err, "listen udp4 224.0.0.251:5353: address eth0: a simulated host has no interfaces: the interface must be nil")
		_, err = a.ListenMulticastUDP("udp6", nil, &net.UDPAddr{IP: net.ParseIP("ff02::1"), Port: 1, Zone: "eth0"})
		require.ErrorContains(t, err, "zones are not simulated")
		_, err = a.ListenMulticastUDP("udp6", nil, &net.UDPAddr{IP: net.ParseIP("ff02::1"), Port: 1})
		require.ErrorIs(t, err, syscall.EAFNOSUPPORT)
		c := check1(a.ListenPacket("udp4", ":5353")).(*sim.UDPConn)
		require.ErrorContains(t, c.JoinGroup(nil, &net.TCPAddr{IP: mdns.IP}), "missing address")
		require.ErrorContains(t, c.JoinGroup(nil, nil), "missing address")
		require.ErrorIs(t, c.LeaveGroup(nil, udpAddr("10.0.0.1:0")), syscall.EINVAL)
		require.NoError(t, c.JoinGroup(nil, &net.IPAddr{IP: mdns.IP}))
		c.Close()
		require.ErrorIs(t, c.SetMulticastLoopback(true), net.ErrClosed)
		require.ErrorIs(t, c.LeaveGroup(nil, mdns), net.ErrClosed)
		require.PanicsWithValue(t, `sim: host a: AddAddr(10.255.255.255): it must be a unicast address`, func() { a.AddAddr(netip.MustParseAddr("10.255.255.255")) })
		c2 := check1(a.ListenPacket("udp4", ":0"))
		c2.SetWriteDeadline(in(-time.Second))
		_, err = c2.WriteTo(nil, mdns)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	})
}
