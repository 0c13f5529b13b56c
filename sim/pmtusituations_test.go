package sim_test

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
)

// pathSituations records what connections do when a hop has a smaller MTU than the links of both ends.
func (s *wayStage) pathSituations() {
	for _, f := range wayFamilies {
		for _, mtu := range []int{1400, 1280, 1000, 552, 400} {
			if f.name == "IPv6" && mtu < 1280 {
				continue // a link that takes less carries no IPv6 (RFC 8200 section 5)
			}
			s.narrowed(fmt.Sprintf("%s, a hop of %d, ", f.name, mtu), f.server, mtu)
		}
	}
}

// carried reports how long data takes from one end of a connection to the other, and how large the packets were.
func (s *wayStage) carried(from, to net.Conn, size int) string {
	s.watch()
	return timed(func() string {
		go from.Write(make([]byte, size))
		to.SetReadDeadline(time.Now().Add(3 * time.Second))
		n, err := io.ReadFull(to, make([]byte, size))
		_, sizes := s.watch()
		largest := 0
		for _, z := range sizes {
			largest = max(largest, z)
		}
		if err != nil {
			return fmt.Sprintf("%d bytes, packets of up to %d, %s", n, largest, errorText(err))
		}
		return fmt.Sprintf("%d bytes, packets of up to %d", n, largest)
	})
}

func (s *wayStage) narrowed(name string, server netip.Addr, mtu int) {
	note := func(what, got string) { s.got[name+what] = got }
	s.forget()
	s.narrow(mtu, true)
	c, peer := s.tcp(server, 90, false)
	note("told: the first 20,000 bytes", s.carried(c, peer, 20_000))
	note("told: 20,000 more", s.carried(c, peer, 20_000))
	c2, peer2 := s.tcp(server, 90, false)
	note("told: another connection", s.carried(c2, peer2, 20_000))
	note("told: another connection, back", s.carried(peer2, c2, 20_000))
	c2.Close()
	peer2.Close()
	s.narrow(0, true)
	note("told: the hop is wide again", s.carried(c, peer, 20_000))
	c.Close()
	peer.Close()
	time.Sleep(100 * time.Millisecond)
	s.forget()
	c, peer = s.tcp(server, 90, false)
	note("told later: before", s.carried(c, peer, 20_000))
	s.narrow(mtu, true)
	note("told later: the hop narrows", s.carried(c, peer, 20_000))
	s.narrow(0, true)
	c.Close()
	peer.Close()
	time.Sleep(100 * time.Millisecond)
	s.forget()
	s.narrow(mtu, false)
	c, peer = s.tcp(server, 90, false)
	note("untold: what fits", s.carried(c, peer, 300))
	note("untold: 20,000 bytes", s.carried(c, peer, 20_000))
	s.narrow(0, true)
	c.Close()
	peer.Close()
	time.Sleep(100 * time.Millisecond)
}
