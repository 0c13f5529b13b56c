package sim_test

import (
	"fmt"
	"io"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// An answer that ends after five bytes: what does the client make of it? The first segment of the answer is lost besides,
// and is sent again.
func ExampleCloseAfter() {
	n := sim.New()
	defer n.Close()
	server, phone := n.Host("server"), n.Host("phone")
	link := n.Link(phone, server, netem.Config{Delay: time.Millisecond})
	l, err := server.Listen("tcp", ":7")
	if err != nil {
		panic(err)
	}
	go func() {
		if c, err := l.Accept(); err == nil {
			io.WriteString(c, "hello, world")
		}
	}()

	lost := n.Inject(0, 0, sim.Drop(link, sim.Packets{From: server, Kind: sim.Data, Nth: 1}))
	n.Inject(0, 0, sim.CloseAfter(link, 5, sim.Packets{From: server}))

	c, err := phone.Dial("tcp", "server:7")
	if err != nil {
		panic(err)
	}
	defer c.Close()
	text, err := io.ReadAll(c)
	fmt.Printf("%q, %v\n", text, err)
	fmt.Println(lost, "- fired:", lost.Fired().Count)
	// Output:
	// "hello", <nil>
	// phone - server: drops the first of the packets with data from server - fired: 1
}
