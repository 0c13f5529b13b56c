package sim_test

import (
	"fmt"
	"net"
	"strings"
	"time"
)

// A groupSocket is a UDP socket that can join groups: one of package net wrapped by
// golang.org/x/net, or a simulated one.
type groupSocket interface {
	net.PacketConn
	JoinGroup(ifi *net.Interface, group net.Addr) error
	LeaveGroup(ifi *net.Interface, group net.Addr) error
	SetMulticastLoopback(on bool) error
}

// A member is a computer on a segment.
type member interface {
	Dial(d net.Dialer, network, address string) (net.Conn, error)
	Listen(network, address string) (net.Listener, error)
	opens(network, address string) (groupSocket, error)            // net.ListenPacket
	joins(network string, group *net.UDPAddr) (groupSocket, error) // net.ListenMulticastUDP, without an interface
}

// A segmentStage has the computers a, b and c on one switched Ethernet: 10.0.0.1/8 and
// 2001:db8::1/64, and so on.
type segmentStage struct {
	a, b, c member
	got     map[string]string
}

func (s *segmentStage) note(name, what string) {
	if _, twice := s.got[name]; twice {
		panic(name + " twice")
	}
	s.got[name] = what
}

// A listening is a socket that waits for datagrams, with its name.
type listening struct {
	name string
	groupSocket
}

func opened(name string) func(c groupSocket, err error) listening {
	return func(c groupSocket, err error) listening {
		must(err)
		return listening{name, c}
	}
}

// sends makes a socket send a datagram, and records who received it and from which address.
func (s *segmentStage) sends(name string, from groupSocket, to string, size int, listeners ...listening) {
	addr, err := net.ResolveUDPAddr("udp", to)
	must(err)
	_, err = from.WriteTo(make([]byte, size), addr)
	s.note(name, wrote(0, err)+heard(listeners))
}

// heard returns which sockets receive something within 50 ms, and closes them.
func heard(listeners []listening) (all string) {
	time.Sleep(50 * time.Millisecond)
	for _, l := range listeners {
		l.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
		p := make([]byte, 9000)
		for {
			n, from, err := l.ReadFrom(p)
			if err != nil {
				break
			}
			ip := from.(*net.UDPAddr).IP.String()
			if strings.HasPrefix(ip, "fe80::") {
				ip = "its link-local address"
			}
			all += fmt.Sprintf(", %s gets %d from %s", l.name, n, ip)
		}
		l.Close()
	}
	return all
}

func groupAt(group string) *net.UDPAddr {
	a, err := net.ResolveUDPAddr("udp", group)
	must(err)
	return a
}

func (s *segmentStage) groupSituations() {
	s.broadcasts()
	s.groupsOf("IPv4", "udp4", "239.1.2.3", "239.1.2.4", "224.0.0.1", "10.0.0.2", "10.0.0.3")
	s.groupsOf("IPv6", "udp6", "ff0e::123", "ff0e::124", "ff02::1", "2001:db8::2", "2001:db8::3")
	s.bothFamilies()
	s.refusedGroups()
}

// broadcasts records who receives broadcasts.
func (s *segmentStage) broadcasts() {
	for _, to := range []string{"255.255.255.255", "10.255.255.255"} {
		for _, network := range []string{"udp", "udp4"} {
			from := opened("sender")(s.a.opens(network, ":5000"))
			s.sends("broadcast to "+to+" by "+network, from, to+":5000", 10, from,
				opened("b any")(s.b.opens("udp4", "0.0.0.0:5000")),
				opened("c both families")(s.c.opens("udp", ":5000")))
		}
		from := opened("sender")(s.a.opens("udp4", "10.0.0.1:5000"))
		s.sends("broadcast to "+to+" from an address", from, to+":5001", 10, from,
			opened("a any")(s.a.opens("udp4", "0.0.0.0:5001")),
			opened("b its address")(s.b.opens("udp4", "10.0.0.2:5001")),
			opened("c limited")(s.c.opens("udp4", "255.255.255.255:5001")),
			opened("c directed")(s.c.opens("udp4", "10.255.255.255:5001")))
		from = opened("sender")(s.a.opens("udp4", ":5000"))
		s.sends("large broadcast to "+to, from, to+":5000", 4000, from, opened("b any")(s.b.opens("udp4", ":5000")))
		from = opened("sender")(s.a.opens("udp4", "127.0.0.1:5000"))
		s.sends("broadcast to "+to+" from the loopback", from, to+":5001", 10, from,
			opened("a any")(s.a.opens("udp4", ":5001")), opened("b any")(s.b.opens("udp4", ":5001")))
		from = opened("sender")(s.a.opens("udp4", ":5000"))
		must(from.SetMulticastLoopback(false))
		s.sends("broadcast to "+to+" without loopback", from, to+":5000", 10, from, opened("b any")(s.b.opens("udp4", ":5000")))
		from = opened("sender")(s.a.opens("udp4", to+":5000"))
		s.note("the address of who opens "+to, shown(from.LocalAddr()))
		s.sends("who is bound to "+to+" sends", from, "10.0.0.2:5000", 10, opened("b any")(s.b.opens("udp4", ":5000")))
		s.sends("who is bound to "+to+" broadcasts", from, to+":5000", 10, from, opened("b any")(s.b.opens("udp4", ":5000")))

		s.dialled("dial "+to, "udp4", to)
	}
}

// dialled records what a connected socket does with a group or broadcast address: its own address,
// two writes to which nobody listens, one that is answered, and what it receives.
func (s *segmentStage) dialled(name, network, to string) {
	c, err := s.a.Dial(net.Dialer{}, network, net.JoinHostPort(to, "5002"))
	if err != nil {
		s.note(name, errorText(err))
		return
	}
	defer c.Close()
	all := shown(c.LocalAddr()) + " to " + shown(c.RemoteAddr())
	for range 2 {
		all += ", " + wrote(c.Write([]byte{1}))
		c.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
		_, err := c.Read(make([]byte, 10))
		all += ", " + errorText(err)
	}
	b := opened("b")(s.b.opens(network, ":5002"))
	defer b.Close()
	if g := groupAt(net.JoinHostPort(to, "5002")); g.IP.IsMulticast() {
		must(b.JoinGroup(nil, g))
	}
	all += ", " + wrote(c.Write([]byte{1}))
	b.SetReadDeadline(time.Now().Add(60 * time.Millisecond))
	n, from, err := b.ReadFrom(make([]byte, 10))
	if err != nil {
		s.note(name, all+", "+errorText(err))
		return
	}
	all += fmt.Sprintf(", b gets %d, answers", n)
	_, err = b.WriteTo([]byte{1, 2}, from)
	must(err)
	s.note(name, all+", "+readIn(c, 60*time.Millisecond))
}

// groupsOf records who is in a group, and who receives what is sent to it.
func (s *segmentStage) groupsOf(family, network, group, other, everyone, addrB, addrC string) {
	at := func(ip string) string { return net.JoinHostPort(ip, "6000") }
	g, o := groupAt(at(group)), groupAt(at(other))
	name := func(what string) string { return family + ": " + what }

	l, err := s.b.joins(network, g)
	must(err)
	s.note(name("the address of who listens to a group"), shown(l.LocalAddr()))
	l.Close()
	l, err = s.b.opens(network, at(group))
	must(err)
	s.note(name("the address of who opens a group's"), shown(l.LocalAddr()))
	l.Close()

	from := opened("sender")(s.a.opens(network, ":0"))
	s.sends(name("who listens to the group"), from, at(group), 10,
		opened("a")(s.a.joins(network, g)), opened("b")(s.b.joins(network, g)), opened("c, not in it")(s.c.opens(network, ":6000")))
	s.sends(name("two of one host"), from, at(group), 10,
		opened("b1")(s.b.joins(network, g)), opened("b2")(s.b.joins(network, g)))
	s.sends(name("to one of two of one host"), from, at(addrB), 10,
		opened("b1")(s.b.joins(network, g)), opened("b2")(s.b.joins(network, g)))
	s.sends(name("another group that a socket of the host is in"), from, at(other), 10,
		opened("b")(s.b.joins(network, g)), opened("b, in the other")(s.b.joins(network, o)))
	s.sends(name("another group that none of the host is in"), from, at(other), 10,
		opened("b")(s.b.joins(network, g)))
	s.sends(name("all nodes, whoever listens"), from, at(everyone), 10, opened("b")(s.b.opens(network, ":6000")),
		opened("c, at its address")(s.c.opens(network, at(addrC))))
	s.sends(name("opened at the group's address"), from, at(group), 10, opened("b")(s.b.opens(network, at(group))))
	s.sends(name("4000 bytes"), from, at(group), 4000, opened("b")(s.b.joins(network, g)))
	from.Close()

	open := func(m member, in bool) listening {
		l := opened("sender")(m.opens(network, at(group)))
		if in {
			must(l.JoinGroup(nil, g))
		}
		return l
	}
	l1 := open(s.a, true)
	s.sends(name("a member sends"), l1, at(group), 10, l1, opened("a too")(s.a.joins(network, g)), opened("b")(s.b.joins(network, g)))
	l1 = open(s.a, true)
	must(l1.SetMulticastLoopback(false))
	s.sends(name("a member sends, without loopback"), l1, at(group), 10, l1, opened("a too")(s.a.joins(network, g)), opened("b")(s.b.joins(network, g)))
	l2, err := s.a.joins(network, g)
	must(err)
	s.sends(name("who listens to the group sends"), l2, at(group), 10, listening{"sender", l2}, opened("a too")(s.a.joins(network, g)), opened("b")(s.b.joins(network, g)))
	l1 = open(s.b, true)
	must(l1.LeaveGroup(nil, g))
	from = opened("sender")(s.a.opens(network, ":0"))
	s.sends(name("who has left"), from, at(group), 10, l1)
	l1 = open(s.b, true)
	must(l1.LeaveGroup(nil, g))
	s.sends(name("who has left beside who has not"), from, at(group), 10, l1, opened("b too")(s.b.joins(network, g)))
	in := opened("b, of another port")(s.b.joins(network, &net.UDPAddr{IP: g.IP, Port: 6001}))
	s.sends(name("a socket of another port is in the group"), from, at(group), 10, opened("b")(s.b.opens(network, ":6000")), in)
	in = opened("c, in it")(s.c.opens(network, ":6000"))
	must(in.JoinGroup(nil, g))
	s.sends(name("a socket that joined"), from, at(group), 10, in)
	in = opened("c, at its address")(s.c.opens(network, at(addrC)))
	must(in.JoinGroup(nil, g))
	s.sends(name("a socket at its address that joined"), from, at(group), 10, in)
	from.Close()
	s.dialled(name("dial a group"), network, group)
	from = opened("sender")(s.a.opens(network, at(map[string]string{"IPv4": "127.0.0.1", "IPv6": "::1"}[family])))
	s.sends(name("from the loopback"), from, net.JoinHostPort(group, "6001"), 10,
		opened("a")(s.a.joins(network, &net.UDPAddr{IP: g.IP, Port: 6001})), opened("b")(s.b.joins(network, &net.UDPAddr{IP: g.IP, Port: 6001})))
	from.Close()
	many := opened("many")(s.a.opens(network, ":0"))
	defer many.Close()
	for i := range 21 {
		ip := append(net.IP(nil), g.IP...)
		ip[len(ip)-1] = byte(i)
		if err := many.JoinGroup(nil, &net.UDPAddr{IP: ip}); err != nil {
			s.note(name("join 21 groups"), fmt.Sprintf("%d, then %s", i, errorText(err)))
			return
		}
	}
	s.note(name("join 21 groups"), "all of them")
}

// bothFamilies records what sockets of both families do.
func (s *segmentStage) bothFamilies() {
	for _, group := range []string{"239.1.2.3:6000", "[ff0e::123]:6000"} {
		g := groupAt(group)
		from := opened("sender")(s.a.opens("udp", ":0"))
		l, err := s.b.joins("udp", g)
		must(err)
		s.note("udp: the address of who listens to "+group, shown(l.LocalAddr()))
		s.sends("udp: "+group, from, group, 10, listening{"b", l})
		l, err = s.b.opens("udp", ":6000")
		must(err)
		s.note("udp: a socket of both joins "+group, fails(l.JoinGroup(nil, g)))
		s.sends("udp: "+group+", joined", from, group, 10, listening{"b", l})
		from.Close()
	}
	from := opened("sender")(s.a.opens("udp6", ":0"))
	s.sends("udp6: to an IPv4 group", from, "239.1.2.3:6000", 10)
	s.sends("udp6: to all", from, "255.255.255.255:6000", 10)
	from.Close()
	from = opened("sender")(s.a.opens("udp4", ":0"))
	s.sends("udp4: to an IPv6 group", from, "[ff0e::123]:6000", 10)
	from.Close()
}

func fails(err error) string {
	if err == nil {
		return "nil"
	}
	return errorText(err)
}

// refusedGroups records which invalid calls are refused.
func (s *segmentStage) refusedGroups() {
	for _, c := range []struct{ network, group string }{
		{"udp4", "10.0.0.2:6000"}, {"udp4", "255.255.255.255:6000"}, {"udp4", "0.0.0.0:6000"}, {"udp4", "127.0.0.1:6000"}, {"udp4", "[ff0e::1]:6000"}, {"udp6", "239.1.2.3:6000"},
		{"udp6", "[2001:db8::2]:6000"}, {"tcp", "239.1.2.3:6000"}, {"udp", "239.1.2.3:0"},
	} {
		l, err := s.b.joins(c.network, groupAt(c.group))
		s.note("listen to "+c.group+" by "+c.network, fails(err))
		if err == nil {
			l.Close()
		}
	}
	_, err := s.b.joins("udp4", nil)
	s.note("listen to no address", fails(err))
	for _, network := range []string{"udp4", "udp6"} {
		g := map[string]*net.UDPAddr{"udp4": groupAt("239.1.2.3:0"), "udp6": groupAt("[ff0e::123]:0")}[network]
		l, err := s.b.opens(network, ":6000")
		must(err)
		s.note(network+": join twice", fails(l.JoinGroup(nil, g))+", "+fails(l.JoinGroup(nil, g)))
		s.note(network+": leave twice", fails(l.LeaveGroup(nil, g))+", "+fails(l.LeaveGroup(nil, g)))
		for _, ip := range []string{"10.0.0.2", "255.255.255.255", "2001:db8::2"} {
			s.note(network+": join "+ip, fails(l.JoinGroup(nil, &net.UDPAddr{IP: net.ParseIP(ip)})))
		}
		s.note(network+": join what is of the other family", fails(l.JoinGroup(nil, map[string]*net.UDPAddr{"udp6": groupAt("239.1.2.3:0"), "udp4": groupAt("[ff0e::123]:0")}[network])))
		_, err = s.b.opens(network, ":6000")
		s.note(network+": open the port of who joined", fails(err))
		_, err = s.b.joins(network, &net.UDPAddr{IP: g.IP, Port: 6000})
		s.note(network+": listen to a group at a port that is taken", fails(err))
		l.Close()
		l, err = s.b.joins(network, &net.UDPAddr{IP: g.IP, Port: 6000})
		must(err)
		_, err = s.b.opens(network, ":6000")
		s.note(network+": open the port of who listens to a group", fails(err))
		l2, err := s.b.opens(network, net.JoinHostPort(g.IP.String(), "6000"))
		s.note(network+": open the group's address beside who listens to it", fails(err))
		if err == nil {
			l2.Close()
		}
		l.Close()
		s.note(network+": join with a closed socket", fails(l.JoinGroup(nil, g)))
	}
	for _, to := range []string{"239.1.2.3:80", "255.255.255.255:80", "10.255.255.255:80", "[ff0e::123]:80"} {
		_, err := s.a.Dial(net.Dialer{Timeout: time.Second}, "tcp", to)
		s.note("dial tcp "+to, fails(err))
		l, err := s.a.Listen("tcp", to)
		s.note("listen tcp "+to, fails(err))
		if err == nil {
			l.Close()
		}
	}
}
