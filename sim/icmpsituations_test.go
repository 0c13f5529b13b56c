package sim_test

import (
	"fmt"
	"net"
	"net/netip"
	"time"
)

// icmpKinds are types and codes of messages that something could not be delivered: destination unreachable
// (3; of ICMPv6 1), source quench (4), time exceeded (11; 3) and parameter problem (12; 4), one code of the
// first beyond those that are defined.
var icmpKinds = map[string][][2]int{
	"IPv4": {
		{3, 0}, {3, 1}, {3, 2}, {3, 3}, {3, 5}, {3, 6}, {3, 7}, {3, 8}, {3, 9}, {3, 10}, {3, 11}, {3, 12}, {3, 13}, {3, 14}, {3, 15}, {3, 16},
		{4, 0}, {11, 0}, {11, 1}, {12, 0}, {12, 1},
	},
	"IPv6": {{1, 0}, {1, 1}, {1, 2}, {1, 3}, {1, 4}, {1, 5}, {1, 6}, {1, 7}, {1, 8}, {3, 0}, {3, 1}, {4, 0}, {4, 1}, {4, 2}},
}

// icmpSituations is what programs see of each of them, in all phases.
func (s *wayStage) icmpSituations() {
	for _, f := range wayFamilies {
		for _, k := range icmpKinds[f.name] {
			if !s.refuse(f.name, k[0], k[1]) {
				continue
			}
			s.refuse("", 0, 0)
			s.icmpUDP(f.name, f.server, k)
			s.icmpDial(f.name, f.server, k)
			s.icmpAccept(f.name, f.server, k)
			s.icmpEstablished(f.name, f.server, k)
		}
	}
}

func icmpName(family string, k [2]int) string { return fmt.Sprintf("%s %d/%d: ", family, k[0], k[1]) }

func (s *wayStage) icmpUDP(family string, server netip.Addr, k [2]int) {
	name := icmpName(family, k)
	c, err := s.client.Dial(net.Dialer{}, "udp", netip.AddrPortFrom(server, 9).String())
	must(err)
	defer c.Close()
	pc, err := s.client.ListenPacket("udp", ":0")
	must(err)
	defer pc.Close()
	write := func() (int, error) { return c.Write([]byte("?")) }
	s.refuse(family, k[0], k[1])
	s.note(name+"connected UDP, read", func() string {
		return wrote(write()) + ", " + readIn(c, 100*time.Millisecond)
	})
	s.note(name+"connected UDP, write", func() string {
		sent := wrote(write())
		time.Sleep(50 * time.Millisecond)
		for range 2 {
			sent += ", " + wrote(write())
		}
		return sent
	})
	time.Sleep(50 * time.Millisecond)
	s.note(name+"other UDP", func() string {
		sent := wrote(pc.WriteTo([]byte("?"), udpTo(server, 9)))
		time.Sleep(50 * time.Millisecond)
		pc.SetReadDeadline(time.Now())
		_, _, err := pc.ReadFrom(make([]byte, 9))
		return sent + ", " + errorText(err) + ", " + wrote(pc.WriteTo([]byte("?"), udpTo(server, 9)))
	})
	time.Sleep(50 * time.Millisecond)
	s.refuse("", 0, 0)
}

func (s *wayStage) icmpDial(family string, server netip.Addr, k [2]int) {
	name := icmpName(family, k)
	s.refuse(family, k[0], k[1])
	s.note(name+"dial", func() string {
		return dialled(s.client, net.Dialer{Timeout: 1500 * time.Millisecond}, "tcp", netip.AddrPortFrom(server, 80).String())
	})
	s.refuse("", 0, 0)
}

// icmpAccept has a server's SYN-ACK come back to it, and then lets its packets pass, but not the client's: a
// server that has kept what it knows of the attempt sends the SYN-ACK again.
func (s *wayStage) icmpAccept(family string, server netip.Addr, k [2]int) {
	name := icmpName(family, k)
	at := netip.AddrPortFrom(server, 81).String()
	l, err := s.server.Listen("tcp", at)
	must(err)
	defer l.Close()
	s.note(name+"SYN-ACK", func() string {
		done := make(chan string)
		go func() {
			c, err := s.client.Dial(net.Dialer{Timeout: 1300 * time.Millisecond}, "tcp", at)
			if err != nil {
				done <- errorText(err)
				return
			}
			c.Close()
			done <- "connected"
		}()
		time.Sleep(15 * time.Millisecond)
		s.refuse(family, k[0], k[1])
		time.Sleep(500 * time.Millisecond)
		s.silence(true, false)
		s.refuse("", 0, 0)
		return <-done
	})
	s.silence(false, false)
}

// icmpEstablished tells a connection of it, once so that it can recover, and then until it ends.
func (s *wayStage) icmpEstablished(family string, server netip.Addr, k [2]int) {
	name := icmpName(family, k)
	s.tune(tuning{retries2: 2})
	c, _ := s.tcp(server, 82, true)
	defer s.tune(tuning{})
	defer c.Close()
	time.Sleep(100 * time.Millisecond)
	s.refuse(family, k[0], k[1])
	s.note(name+"connection, for a while", func() string {
		sent := wrote(c.Write([]byte("?"))) + ", " + readIn(c, 350*time.Millisecond)
		s.refuse("", 0, 0)
		return sent + ", " + readIn(c, 5*time.Second)
	})
	time.Sleep(100 * time.Millisecond)
	s.refuse(family, k[0], k[1])
	s.note(name+"connection, to the end", func() string {
		return wrote(c.Write([]byte("?"))) + ", " + readIn(c, 0) + ", " + wrote(c.Write([]byte("?")))
	})
	s.refuse("", 0, 0)
}
