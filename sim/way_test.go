package sim_test

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
)

// A wayStage is a client, 10.0.0.1 and 2001:db8::1, and a server, 10.0.0.2 and 2001:db8::2, with two routers
// between them, 5, 10 and 5 ms apart. The functions change the stretch between the routers, which takes 1500
// bytes and everything that comes until they say otherwise.
type wayStage struct {
	client, server party
	refuse         func(family string, typ, code int) bool // sends everything back with that ICMP message; typ 0: no more. False: it cannot
	silence        func(fromClient, fromServer bool)       // loses what comes from one of them
	narrow         func(mtu int, tells bool)               // takes no more, and says so or does not
	mark           func(nth int)                           // marks the nth packet of data that the server of the next connection sends: congestion experienced
	tune           func(t tuning)                          // for connections to be
	discover       func(socket any, mode int) error        // IP_MTU_DISCOVER and IPV6_MTU_DISCOVER
	watch          func() (flags []string, size []int)     // of the packets of TCP that left since the last call: whose, flags, and IP's length
	forget         func()                                  // what the client has learned of the path
	got            map[string]string
}

// tuning holds the settings that differ from the defaults.
type tuning struct {
	userTimeout time.Duration
	retries2    int // 0: 15
	ecn         bool
	keepAlive   net.KeepAliveConfig
	readBuffer  int // of the server's connections
}

var wayFamilies = []struct {
	name           string
	client, server netip.Addr
}{{"IPv4", client4, server4}, {"IPv6", client6, server6}}

// note records what happens, and about when.
func (s *wayStage) note(name string, f func() string) {
	if _, twice := s.got[name]; twice {
		panic(name + " twice")
	}
	s.got[name] = timed(f)
}

// timed appends how long f took to its result, unless that is negligible.
func timed(f func() string) string {
	start := time.Now()
	what := f()
	if d := time.Since(start).Round(10 * time.Millisecond); d > 0 {
		what += " after " + d.String()
	}
	return what
}

// tcp connects client and server, and the server echoes if echoes is set.
func (s *wayStage) tcp(server netip.Addr, port uint16, echoes bool) (c, peer net.Conn) {
	at := netip.AddrPortFrom(server, port).String()
	l, err := s.server.Listen("tcp", at)
	must(err)
	defer l.Close()
	c, err = s.client.Dial(net.Dialer{Timeout: 5 * time.Second}, "tcp", at)
	must(err)
	peer, err = l.Accept()
	must(err)
	if echoes {
		go func() {
			io.Copy(peer, peer)
			peer.Close()
		}()
	}
	return c, peer
}

// readIn reads for the given time.
func readIn(c interface {
	io.Reader
	SetReadDeadline(time.Time) error
}, d time.Duration) string {
	c.SetReadDeadline(time.Time{})
	if d > 0 {
		c.SetReadDeadline(time.Now().Add(d))
	}
	n, err := c.Read(make([]byte, 9000))
	if err != nil {
		return errorText(err)
	}
	return fmt.Sprint(n, " bytes")
}

// wrote describes what a write returned.
func wrote(_ int, err error) string {
	if err != nil {
		return errorText(err)
	}
	return "sent"
}

func udpTo(a netip.Addr, port uint16) *net.UDPAddr {
	return net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, port))
}
