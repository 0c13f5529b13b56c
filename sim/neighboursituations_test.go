package sim_test

import (
	"net"
	"net/netip"
	"time"
)

// A neighbourStage is a client, 10.0.0.1 and 2001:db8::1, and a server, 10.0.0.2 and 2001:db8::2, on one Ethernet with a switch.
type neighbourStage struct {
	client, server party
	silence        func() // the server's cable is out: the switch goes on
	unplug         func() // the client's
	mend           func() // both are in again
	forget         func() // what both know of each other
	got            map[string]string
}

func (s *neighbourStage) note(name string, f func() string) {
	if _, twice := s.got[name]; twice {
		panic(name + " twice")
	}
	s.got[name] = timed(f)
}

// neighbourSituations records what calls return when a neighbour does not answer or the client loses its carrier, and
// when that ends.
func (s *neighbourStage) neighbourSituations() {
	for _, f := range wayFamilies {
		for _, how := range []struct {
			name string
			do   func()
		}{{"silent", s.silence}, {"no carrier", s.unplug}} {
			s.failing(f.name+", "+how.name+": ", f.server, how.do)
		}
	}
}

// failing records the situations of one way to fail. Most begin 1.2 s after the failure, by when Linux has certainly
// noticed it.
func (s *neighbourStage) failing(name string, server netip.Addr, fail func()) {
	at := netip.AddrPortFrom(server, 7).String()
	l, err := s.server.Listen("tcp", at)
	must(err)
	defer l.Close()
	go func() {
		for {
			if _, err := l.Accept(); err != nil {
				return
			}
		}
	}()
	dials := func() string {
		c, err := s.client.Dial(net.Dialer{Timeout: 20 * time.Second}, "tcp", at)
		if err != nil {
			return errorText(err)
		}
		c.Close()
		return "connected"
	}
	broken := func() {
		s.mend()
		s.forget()
		fail()
		time.Sleep(1200 * time.Millisecond)
	}

	broken()
	s.note(name+"dial", dials)
	s.note(name+"dial again", dials)
	broken()
	first := make(chan string)
	go func() { first <- timed(dials) }()
	time.Sleep(time.Second)
	s.note(name+"dial a second after another", dials)
	s.got[name+"dial, and another a second later"] = <-first
	s.note(name+"dial when that has failed", dials)

	broken()
	mended := time.AfterFunc(1500*time.Millisecond, s.mend)
	s.note(name+"dial, mended after 1.5 s", dials)
	mended.Stop()

	s.datagrams(name, server, broken)
}

// datagrams records what UDP sockets learn in 5 s.
func (s *neighbourStage) datagrams(name string, server netip.Addr, broken func()) {
	broken()
	c, err := s.client.Dial(net.Dialer{}, "udp", netip.AddrPortFrom(server, 9).String())
	must(err)
	defer c.Close()
	pc, err := s.client.ListenPacket("udp", ":0")
	must(err)
	defer pc.Close()
	connected, other := "", ""
	for range 5 {
		connected += wrote(c.Write([]byte{1})) + ", "
		other += wrote(pc.WriteTo([]byte{1}, udpTo(server, 9))) + ", "
		time.Sleep(time.Second)
	}
	s.got[name+"connected UDP, a datagram a second"] = connected + readIn(c, time.Millisecond)
	s.got[name+"other UDP, a datagram a second"] = other + readPacket(pc, time.Millisecond)
}
