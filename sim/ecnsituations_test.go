package sim_test

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// ecnSituations records what the two ends of a download tell each other of congestion when the server's nth packet of data is
// marked. If nth is 0, none is marked.
func (s *wayStage) ecnSituations() {
	for _, f := range wayFamilies {
		s.ecnDownload(f.name+", the client does not ask", f.server, false, 0)
		for _, nth := range []int{0, 5, 30, 100} {
			s.ecnDownload(fmt.Sprintf("%s, the client asks, mark %d", f.name, nth), f.server, true, nth)
		}
	}
}

func (s *wayStage) ecnDownload(name string, server netip.Addr, asks bool, nth int) {
	const size = 1_000_000
	s.tune(tuning{ecn: asks})
	at := netip.AddrPortFrom(server, 91).String()
	l, err := s.server.Listen("tcp", at)
	must(err)
	defer l.Close()
	s.mark(nth)
	s.watch()
	c, err := s.client.Dial(net.Dialer{}, "tcp", at)
	must(err)
	defer c.Close()
	peer, err := l.Accept()
	must(err)
	defer peer.Close()
	go peer.Write(make([]byte, size))
	s.note(name, func() string {
		for got := 0; got < size; {
			c.SetReadDeadline(time.Now().Add(5 * time.Second))
			n, err := c.Read(make([]byte, 65536))
			if err != nil {
				return errorText(err)
			}
			got += n
		}
		return ecnSaid(s.watch())
	})
	s.tune(tuning{})
	time.Sleep(100 * time.Millisecond)
}

// ecnSaid sums up the flags of a download: those of the handshake, how often the server said that it had reduced its window,
// and whether the client echoed.
func ecnSaid(flags []string, _ []int) string {
	var syns []string
	reduced, echoes := 0, 0
	for _, f := range flags {
		who, of, _ := strings.Cut(f, " ")
		switch {
		case strings.Contains(of, "S"):
			syns = append(syns, who+" "+ecnLetters(of))
		case who == "server" && strings.Contains(of, "W"):
			reduced++
		case who == "client" && strings.Contains(of, "E"):
			echoes++
		}
	}
	return fmt.Sprintf("%s; reduced %d times, echoes: %v", strings.Join(syns, ", "), reduced, echoes > 0)
}

// ecnLetters returns flags in alphabetical order.
func ecnLetters(flags string) string {
	l := []byte(flags)
	slices.Sort(l)
	return string(l)
}
