package sim_test

import (
	"fmt"
	"net"

	"github.com/squall-sim/squall/sim"
)

// Hosts of both families: a dial of a name prefers IPv6, and takes IPv4 when the host has lost its
// IPv6 address. (In a test, [sim.Test] makes the network.)
func ExampleIPv6() {
	n := sim.New(sim.IPv6())
	defer n.Close()
	phone, server := n.Host("phone"), n.Host("server")
	l, err := server.Listen("tcp", ":80")
	if err != nil {
		panic(err)
	}
	fmt.Println("the server listens at", l.Addr(), "with", server.Addrs())
	for range 2 {
		c, err := phone.Dial("tcp", "server:80")
		if err != nil {
			panic(err)
		}
		c.Close()
		fmt.Println("dialled", c.RemoteAddr())
		if to := c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr(); to.Is6() {
			server.RemoveAddr(to)
		}
	}
	// Output:
	// the server listens at [::]:80 with [10.0.0.2 2001:db8::2]
	// dialled [2001:db8::2]:80
	// dialled 10.0.0.2:80
}
