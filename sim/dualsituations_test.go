package sim_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"
)

// A party is one of two computers, on a simulated or a real network.
type party interface {
	Listen(network, address string) (net.Listener, error)
	ListenPacket(network, address string) (net.PacketConn, error)
	Dial(d net.Dialer, network, address string) (net.Conn, error) // with the fields of d that a simulated one has
	AddAddr(netip.Addr)
	RemoveAddr(netip.Addr)
}

// A dualStage is a client, 10.0.0.1 and 2001:db8::1, and a server, 10.0.0.2 and 2001:db8::2. The line between them
// has no addresses of its own, takes packets of 1500 bytes, and can be cut for one address family.
type dualStage struct {
	client, server party
	cut            func(four, six bool)
	got            map[string]string
}

var (
	client4, client6 = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8::1")
	server4, server6 = netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("2001:db8::2")
)

// note records the result of f, and the time that f took, rounded to 50 ms.
func (s *dualStage) note(name string, f func() string) {
	if _, twice := s.got[name]; twice {
		panic(name + " twice")
	}
	start := time.Now()
	what := f()
	if d := time.Since(start).Round(50 * time.Millisecond); d > 0 {
		what += " after " + d.String()
	}
	s.got[name] = what
}

// shown returns an address with the length of its IP. A port that the system chose is a star.
func shown(a net.Addr) string {
	var ip net.IP
	var port int
	switch a := a.(type) {
	case *net.TCPAddr:
		ip, port = a.IP, a.Port
	case *net.UDPAddr:
		ip, port = a.IP, a.Port
	default:
		return fmt.Sprint(a)
	}
	text := a.String()
	if port >= 32768 {
		text = strings.TrimSuffix(text, fmt.Sprint(port)) + "*"
	}
	return fmt.Sprintf("%s/%d", text, len(ip))
}

// errorText returns an error's text and errno.
func errorText(err error) string {
	text := err.Error()
	for i := strings.Index(text, ":"); i >= 0; { // ports that the system chose
		rest := text[i+1:]
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		if digits == 5 {
			text = text[:i+1] + "*" + rest[digits:]
		}
		next := strings.Index(text[i+1:], ":")
		if next < 0 {
			break
		}
		i += 1 + next
	}
	var errno syscall.Errno
	switch {
	case errors.As(err, &errno):
		text += fmt.Sprintf(" (%d)", int(errno))
	case errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded):
		text += " (deadline)"
	}
	return text
}

func (s *dualStage) listens(name string, p party, network, address string) {
	s.note(name, func() string {
		if network[:3] == "udp" {
			c, err := p.ListenPacket(network, address)
			if err != nil {
				return errorText(err)
			}
			defer c.Close()
			return shown(c.LocalAddr())
		}
		l, err := p.Listen(network, address)
		if err != nil {
			return errorText(err)
		}
		defer l.Close()
		return shown(l.Addr())
	})
}

// after records what the second of two sockets gets while the first is open.
func (s *dualStage) after(first, second [2]string) {
	for _, proto := range []string{"tcp", "udp"} {
		name := fmt.Sprintf("listen %s%s %s beside %s%s %s", proto, second[0], second[1], proto, first[0], first[1])
		if proto == "tcp" {
			l, err := s.client.Listen("tcp"+first[0], first[1])
			must(err)
			s.listens(name, s.client, "tcp"+second[0], second[1])
			l.Close()
		} else {
			c, err := s.client.ListenPacket("udp"+first[0], first[1])
			must(err)
			s.listens(name, s.client, "udp"+second[0], second[1])
			c.Close()
		}
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// serves accepts connections and writes to each what the server sees of it. It returns the listener.
func serves(p party, network, address string) net.Listener {
	l, err := p.Listen(network, address)
	must(err)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				local, remote := c.LocalAddr().(*net.TCPAddr), c.RemoteAddr().(*net.TCPAddr)
				fmt.Fprintf(c, "%s < %s %v\n", shown(local), shown(remote), remote.AddrPort().Addr())
				c.Read(make([]byte, 1))
			}()
		}
	}()
	return l
}

// dials records what both ends see of a connection.
func (s *dualStage) dials(name string, d net.Dialer, network, address string) {
	s.note(name, func() string { return dialled(s.client, d, network, address) })
}

func dialled(p party, d net.Dialer, network, address string) string {
	c, err := p.Dial(d, network, address)
	if err != nil {
		return errorText(err)
	}
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(time.Second))
	seen := make([]byte, 200)
	n, err := c.Read(seen)
	if err != nil {
		return errorText(err)
	}
	return fmt.Sprintf("%s > %s; server: %s", shown(c.LocalAddr()), shown(c.RemoteAddr()), strings.TrimSpace(string(seen[:n])))
}

func (s *dualStage) listening() {
	for _, row := range [][2]string{
		{"tcp", ":81"}, {"tcp", "0.0.0.0:81"}, {"tcp", "[::]:81"}, {"tcp4", ":81"}, {"tcp4", "0.0.0.0:81"}, {"tcp4", "[::]:81"},
		{"tcp6", ":81"}, {"tcp6", "[::]:81"}, {"tcp6", "0.0.0.0:81"},
		{"tcp", "10.0.0.1:81"}, {"tcp", "[2001:db8::1]:81"}, {"tcp", "[::ffff:10.0.0.1]:81"}, {"tcp6", "[::ffff:10.0.0.1]:81"},
		{"tcp6", "10.0.0.1:81"}, {"tcp4", "[2001:db8::1]:81"}, {"tcp", "10.0.0.2:81"}, {"tcp", "[2001:db8::2]:81"},
		{"tcp", "client:81"}, {"tcp6", "client:81"}, {"tcp", "localhost:81"}, {"tcp6", "localhost:81"}, {"tcp", "127.0.0.5:81"}, {"tcp", "[::1]:81"}, {"tcp", "[::2]:81"},
		{"tcp", "[fe80::1]:81"}, {"tcp", "[fe80::1%nosuch]:81"},
		{"udp", ":81"}, {"udp", "0.0.0.0:81"}, {"udp4", ":81"}, {"udp6", ":81"}, {"udp", "[2001:db8::1]:81"}, {"udp", "[2001:db8::2]:81"}, {"udp6", "10.0.0.1:81"},
	} {
		s.listens("listen "+row[0]+" "+row[1], s.client, row[0], row[1])
	}
	for _, row := range [][2][2]string{
		{{"", ":81"}, {"4", ":81"}}, {{"", ":81"}, {"6", ":81"}}, {{"4", ":81"}, {"6", ":81"}}, {{"6", ":81"}, {"4", ":81"}},
		{{"4", ":81"}, {"", ":81"}}, {{"6", ":81"}, {"", ":81"}}, {{"", ":81"}, {"", "10.0.0.1:81"}}, {{"", ":81"}, {"", "[::1]:81"}},
		{{"6", ":81"}, {"", "10.0.0.1:81"}}, {{"6", ":81"}, {"", "[2001:db8::1]:81"}}, {{"4", ":81"}, {"", "[2001:db8::1]:81"}},
		{{"", "10.0.0.1:81"}, {"", ":81"}}, {{"", "10.0.0.1:81"}, {"6", ":81"}}, {{"", "[2001:db8::1]:81"}, {"4", ":81"}},
		{{"", "[2001:db8::1]:81"}, {"", "10.0.0.1:81"}}, {{"", "127.0.0.1:81"}, {"", "[::1]:81"}},
	} {
		s.after(row[0], row[1])
	}
}

func (s *dualStage) dialling() {
	defer serves(s.server, "tcp", ":80").Close()
	defer serves(s.server, "tcp4", ":84").Close()
	defer serves(s.server, "tcp6", ":86").Close()
	for _, network := range []string{"tcp", "tcp4", "tcp6"} {
		for _, port := range []string{"80", "84", "86", "9"} {
			for _, host := range []string{"server", "10.0.0.2", "[2001:db8::2]"} {
				s.dials("dial "+network+" "+host+":"+port, net.Dialer{}, network, host+":"+port)
			}
		}
	}
	for _, row := range [][2]string{
		{"tcp", "[::ffff:10.0.0.2]:80"}, {"tcp6", "[::ffff:10.0.0.2]:80"}, {"tcp", "[3fff::1]:80"}, {"tcp", "10.79.0.1:80"},
		{"tcp", "[fe80::1]:80"}, {"tcp", "[fe80::1%nosuch]:80"}, {"tcp", "[ff02::1]:80"},
		{"udp", "[3fff::1]:80"}, {"udp", "[fe80::1]:80"},
	} {
		s.dials("dial "+row[0]+" "+row[1], net.Dialer{}, row[0], row[1])
	}

	for _, row := range []struct {
		network, address string
		local            net.Addr
	}{
		{"tcp", "server:80", &net.TCPAddr{IP: client4.AsSlice()}},
		{"tcp", "server:80", &net.TCPAddr{IP: client6.AsSlice()}},
		{"tcp", "10.0.0.2:80", &net.TCPAddr{IP: client6.AsSlice()}},
		{"tcp", "[2001:db8::2]:80", &net.TCPAddr{IP: client4.AsSlice()}},
		{"tcp", "[2001:db8::2]:80", &net.TCPAddr{IP: server6.AsSlice()}},
		{"tcp", "[2001:db8::2]:80", &net.TCPAddr{IP: net.IPv6loopback}},
		{"tcp", "10.0.0.2:80", &net.TCPAddr{IP: net.IPv6zero}},
		{"tcp", "[2001:db8::2]:80", &net.TCPAddr{IP: net.IPv4zero}},
		{"tcp", "[2001:db8::2]:80", &net.TCPAddr{Port: 5000}},
		{"tcp", "server:9", &net.TCPAddr{Port: 5001}},
		{"udp", "[2001:db8::2]:80", &net.UDPAddr{IP: server6.AsSlice()}},
		{"udp", "[2001:db8::2]:80", &net.UDPAddr{IP: client4.AsSlice()}},
	} {
		s.dials(fmt.Sprintf("dial %s %s from %v", row.network, row.address, row.local), net.Dialer{LocalAddr: row.local, Timeout: time.Second}, row.network, row.address)
	}
}

// oneself records how a computer reaches itself.
func (s *dualStage) oneself() {
	for _, network := range []string{"tcp", "tcp4", "tcp6"} {
		l := serves(s.client, network, ":82")
		for _, host := range []string{"", "localhost", "0.0.0.0", "[::]", "127.0.0.1", "127.0.0.9", "[::1]", "10.0.0.1", "[2001:db8::1]", "client"} {
			s.dials("dial oneself, who listens by "+network+", as "+host, net.Dialer{}, "tcp", host+":82")
		}
		l.Close()
	}
	l := serves(s.client, "tcp", ":82")
	for _, network := range []string{"tcp4", "tcp6"} {
		for _, host := range []string{"", "localhost", "0.0.0.0", "[::]"} {
			s.dials("dial oneself by "+network+" as "+host, net.Dialer{}, network, host+":82")
		}
	}
	s.dials("dial [::1] from 2001:db8::1", net.Dialer{LocalAddr: &net.TCPAddr{IP: client6.AsSlice()}}, "tcp", "[::1]:82")
	s.dials("dial 2001:db8::1 from [::1]", net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv6loopback}}, "tcp", "[2001:db8::1]:82")
	l.Close()
}

// eyeballs records what a dial does when one address family is dead.
func (s *dualStage) eyeballs() {
	defer serves(s.server, "tcp", ":80").Close()
	defer serves(s.server, "tcp4", ":84").Close()
	second := time.Second
	s.cut(false, true)
	s.dials("IPv6 silent: dial tcp server:80", net.Dialer{}, "tcp", "server:80")
	s.dials("IPv6 silent: dial tcp server:80, delay 50ms", net.Dialer{FallbackDelay: 50 * time.Millisecond}, "tcp", "server:80")
	s.dials("IPv6 silent: dial tcp server:80, no fallback, 5s", net.Dialer{FallbackDelay: -1, Timeout: 5 * second}, "tcp", "server:80")
	s.dials("IPv6 silent: dial tcp server:80, no fallback, 1s", net.Dialer{FallbackDelay: -1, Timeout: second}, "tcp", "server:80")
	s.dials("IPv6 silent: dial tcp server:80, 200ms", net.Dialer{Timeout: 200 * time.Millisecond}, "tcp", "server:80")
	s.dials("IPv6 silent: dial tcp6 server:80, 1s", net.Dialer{Timeout: second}, "tcp6", "server:80")
	s.dials("IPv6 silent: dial tcp server:9, 1s", net.Dialer{Timeout: second}, "tcp", "server:9")
	s.cut(true, true)
	s.dials("both silent: dial tcp server:80, 1s", net.Dialer{Timeout: second}, "tcp", "server:80")
	s.cut(true, false)
	s.dials("IPv4 silent: dial tcp server:80", net.Dialer{}, "tcp", "server:80")
	s.dials("IPv4 silent: dial tcp server:84, 1s", net.Dialer{Timeout: second}, "tcp", "server:84")
	s.cut(false, false)
	s.client.RemoveAddr(client6)
	s.dials("client without IPv6 address: dial tcp server:80", net.Dialer{}, "tcp", "server:80")
	s.dials("client without IPv6 address: dial tcp server:9", net.Dialer{}, "tcp", "server:9")
	s.dials("client without IPv6 address: dial tcp6 server:80", net.Dialer{}, "tcp6", "server:80")
	s.dials("client without IPv6 address: dial udp6 server:80", net.Dialer{}, "udp6", "server:80")
	s.listens("client without IPv6 address: listen tcp :81", s.client, "tcp", ":81")
	s.listens("client without IPv6 address: listen tcp6 [::1]:81", s.client, "tcp6", "[::1]:81")
	s.client.AddAddr(client6)
	s.client.RemoveAddr(client4)
	s.dials("client without IPv4 address: dial tcp server:80", net.Dialer{}, "tcp", "server:80")
	s.dials("client without IPv4 address: dial tcp4 server:80", net.Dialer{}, "tcp4", "server:80")
	s.dials("client without IPv4 address: dial tcp server:84", net.Dialer{}, "tcp", "server:84")
	s.client.AddAddr(client4)
	time.Sleep(100 * time.Millisecond)
}

func (s *dualStage) datagrams() {
	for _, network := range []string{"udp", "udp4", "udp6"} {
		u, err := s.server.ListenPacket(network, ":53")
		must(err)
		for _, to := range []string{"10.0.0.2:53", "[2001:db8::2]:53"} {
			s.note("datagram to "+network+" "+to, func() string {
				c, err := s.client.Dial(net.Dialer{}, "udp", to)
				if err != nil {
					return errorText(err)
				}
				defer c.Close()
				if _, err := c.Write([]byte("?")); err != nil {
					return errorText(err)
				}
				u.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
				n, from, err := u.ReadFrom(make([]byte, 9))
				if err != nil {
					c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
					_, failed := c.Read(make([]byte, 9))
					return "server: " + errorText(err) + "; client: " + errorText(failed)
				}
				c.Write([]byte("?"))
				_, port, _ := u.(interface {
					ReadFromUDPAddrPort([]byte) (int, netip.AddrPort, error)
				}).ReadFromUDPAddrPort(make([]byte, 9))
				_, err = u.WriteTo([]byte("!"), from)
				if err != nil {
					return errorText(err)
				}
				_, err = c.Read(make([]byte, 9))
				if err != nil {
					return errorText(err)
				}
				return fmt.Sprintf("%d byte from %s, %v", n, shown(from), port.Addr())
			})
		}
		u.Close()
	}
	for _, network := range []string{"udp", "udp4", "udp6"} {
		u, err := s.client.ListenPacket(network, ":0")
		must(err)
		for _, to := range []netip.Addr{server4, server6, netip.MustParseAddr("::ffff:10.0.0.2"), netip.IPv4Unspecified(), netip.IPv6Unspecified(), netip.MustParseAddr("fe80::1"), netip.MustParseAddr("3fff::1")} {
			s.note("send by "+network+" to "+to.String(), func() string {
				if _, err := u.WriteTo([]byte("?"), &net.UDPAddr{IP: to.AsSlice(), Port: 9}); err != nil {
					return errorText(err)
				}
				return "sent"
			})
			s.note("send by "+network+" to AddrPort "+to.String(), func() string {
				_, err := u.(interface {
					WriteToUDPAddrPort([]byte, netip.AddrPort) (int, error)
				}).WriteToUDPAddrPort([]byte("?"), netip.AddrPortFrom(to, 9))
				if err != nil {
					return errorText(err)
				}
				return "sent"
			})
		}
		u.Close()
	}
	for _, size := range []int{65507, 65508, 65527, 65528} {
		for _, to := range []string{"10.0.0.2:9", "[2001:db8::2]:9"} {
			s.note(fmt.Sprintf("send %d bytes to %s", size, to), func() string {
				c, err := s.client.Dial(net.Dialer{}, "udp", to)
				if err != nil {
					return errorText(err)
				}
				defer c.Close()
				if _, err := c.Write(make([]byte, size)); err != nil {
					return errorText(err)
				}
				return "sent"
			})
		}
	}
}

// removal records what happens to sockets whose address is removed.
func (s *dualStage) removal() {
	for _, row := range []struct {
		family         string
		client, server netip.Addr
	}{
		{"IPv4", client4, server4}, {"IPv6", client6, server6},
		{"second IPv4", netip.MustParseAddr("10.0.0.3"), netip.MustParseAddr("10.0.0.4")},
		{"second IPv6", netip.MustParseAddr("2001:db8::3"), netip.MustParseAddr("2001:db8::4")},
	} {
		var fromTCP, fromUDP net.Addr
		if row.client != client4 && row.client != client6 {
			s.client.AddAddr(row.client)
			s.server.AddAddr(row.server)
			fromTCP, fromUDP = &net.TCPAddr{IP: row.client.AsSlice()}, &net.UDPAddr{IP: row.client.AsSlice()}
		}
		at := netip.AddrPortFrom(row.server, 80).String()
		for _, end := range []string{"client", "server"} {
			l, err := s.server.Listen("tcp", at)
			must(err)
			c, err := s.client.Dial(net.Dialer{LocalAddr: fromTCP}, "tcp", at)
			must(err)
			a, err := l.Accept()
			must(err)
			u, err := s.client.Dial(net.Dialer{LocalAddr: fromUDP}, "udp", netip.AddrPortFrom(row.server, 53).String())
			must(err)
			remove, add := func() { s.client.RemoveAddr(row.client) }, func() { s.client.AddAddr(row.client) }
			if end == "server" {
				remove, add = func() { s.server.RemoveAddr(row.server) }, func() { s.server.AddAddr(row.server) }
			}
			name := row.family + " address of " + end + " removed: "
			remove()
			exchange := func(what string, from, to net.Conn) {
				s.note(name+what, func() string {
					if _, err := from.Write([]byte("?")); err != nil {
						return errorText(err)
					}
					to.SetReadDeadline(time.Now().Add(time.Second))
					_, err := to.Read(make([]byte, 9))
					if err != nil {
						return errorText(err)
					}
					return "arrived"
				})
			}
			exchange("client writes", c, a)
			exchange("server writes", a, c)
			s.note(name+"client sends by UDP", func() string {
				if _, err := u.Write([]byte("?")); err != nil {
					return errorText(err)
				}
				return "sent"
			})
			s.note(name+"dial from it", func() string {
				return dialled(s.client, net.Dialer{LocalAddr: &net.TCPAddr{IP: row.client.AsSlice()}, Timeout: time.Second}, "tcp", at)
			})
			s.note(name+"dial it again", func() string { return dialled(s.client, net.Dialer{Timeout: time.Second}, "tcp", at) })
			add()
			s.note(name+"added again, what was written", func() string {
				var all []string
				for _, to := range []net.Conn{a, c} {
					to.SetReadDeadline(time.Now().Add(8 * time.Second))
					n, err := to.Read(make([]byte, 9))
					if err != nil {
						all = append(all, errorText(err))
					} else {
						all = append(all, fmt.Sprint(n, " bytes"))
					}
				}
				return strings.Join(all, ", ")
			})
			for _, x := range []interface{ Close() error }{u, a, c, l} {
				x.Close()
			}
			time.Sleep(time.Second)
		}
	}
}

// dualSituations records all situations.
func (s *dualStage) dualSituations() {
	s.listening()
	s.dialling()
	s.oneself()
	s.eyeballs()
	s.datagrams()
	s.removal()
}
