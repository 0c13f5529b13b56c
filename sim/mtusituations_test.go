package sim_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// mtuModes are Linux's values of IP_MTU_DISCOVER; the last one stands for no setting.
var mtuModes = []struct {
	name  string
	value int // less than 0: it is left alone
}{{"default", -1}, {"want", 1}, {"do", 2}, {"dont", 0}, {"probe", 3}, {"nine", 9}}

// mtuSituations records what UDP sockets do, in each mode, with datagrams too large for the client's link or for the
// link between the routers.
func (s *wayStage) mtuSituations() {
	for _, f := range wayFamilies {
		hop := map[string]int{"IPv4": 1000, "IPv6": 1300}[f.name]
		for _, m := range mtuModes {
			for _, connected := range []bool{true, false} {
				name := fmt.Sprintf("%s, %s, connected: ", f.name, m.name)
				if !connected {
					name = fmt.Sprintf("%s, %s, other: ", f.name, m.name)
				}
				s.mtuSocket(name, f.server, m.value, connected, hop)
			}
		}
	}
}

// sending is a socket that sends to a socket of the server.
type sending struct {
	write func(size int) (int, error)
	read  func(d time.Duration) string
	at    net.PacketConn // the server's
	close func()
}

func (s *wayStage) sending(server netip.Addr, mode int, connected bool) (out sending, refused error) {
	at, err := s.server.ListenPacket("udp", netip.AddrPortFrom(server, 9).String())
	must(err)
	out.at = at
	var socket any
	if connected {
		c, err := s.client.Dial(net.Dialer{}, "udp", netip.AddrPortFrom(server, 9).String())
		must(err)
		out.write = func(size int) (int, error) { return c.Write(make([]byte, size)) }
		out.read = func(d time.Duration) string { return readIn(c, d) }
		out.close = func() { c.Close(); at.Close() }
		socket = c
	} else {
		pc, err := s.client.ListenPacket("udp", ":0")
		must(err)
		out.write = func(size int) (int, error) { return pc.WriteTo(make([]byte, size), udpTo(server, 9)) }
		out.read = func(d time.Duration) string { return readPacket(pc, d) }
		out.close = func() { pc.Close(); at.Close() }
		socket = pc
	}
	if mode >= 0 {
		refused = s.discover(socket, mode)
	}
	return out, refused
}

func readPacket(pc net.PacketConn, d time.Duration) string {
	pc.SetReadDeadline(time.Now().Add(d))
	n, _, err := pc.ReadFrom(make([]byte, 9000))
	if err != nil {
		return errorText(err)
	}
	return fmt.Sprint(n, " bytes")
}

// tries writes datagrams of some sizes, and reports for each what the write returned and what arrived within 80 ms.
func (o sending) tries(sizes ...int) (all string) {
	for i, size := range sizes {
		if i > 0 {
			all += ", "
		}
		all += wrote(o.write(size))
		o.at.SetReadDeadline(time.Now().Add(80 * time.Millisecond))
		if n, _, err := o.at.ReadFrom(make([]byte, 9000)); err == nil {
			all += fmt.Sprintf(" and arrived, %d bytes", n)
		}
	}
	return all
}

func (s *wayStage) mtuSocket(name string, server netip.Addr, mode int, connected bool, hop int) {
	s.forget()
	o, refused := s.sending(server, mode, connected)
	defer o.close()
	if refused != nil {
		s.got[name+"set"] = errorNumber(refused)
		return
	}
	more := 0 // that a header of IPv6 takes
	if server.Is6() {
		more = 20
	}
	tries := func(what string, sizes ...int) {
		got := o.tries(sizes...)
		s.got[name+what] = got
	}
	tries("what fills its link, and a byte more", 1472-more, 1473-more)
	tries("much more", 4000)
	s.narrow(hop, false)
	tries("a narrow hop that does not tell", 1400, 1400)
	s.narrow(hop, true)
	tries("a narrow hop", 1400, 1400, 1400, 1400)
	s.got[name+"read behind it"] = o.read(50 * time.Millisecond)
	tries("what fits the hop, and a byte more", hop-28-more, hop-27-more)
	tries("much more behind a narrow hop", 4000)
	other, err := s.client.Dial(net.Dialer{}, "udp", netip.AddrPortFrom(server, 9).String())
	must(err)
	s.got[name+"another socket"] = wrote(other.Write(make([]byte, 1400))) + ", " + readPacket(o.at, 80*time.Millisecond)
	other.Close()
	s.narrow(hop-20, true)
	tries("the hop narrows again", 1400, 1400, 1400)
	s.narrow(0, false)
	tries("the hop is wide again", 1400, 1400)
}

// errorNumber returns the operating system's error number in an error.
func errorNumber(err error) string {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return err.Error()
	}
	return fmt.Sprintf("%v (%d)", errno, int(errno))
}
