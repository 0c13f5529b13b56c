package sim_test

import (
	"fmt"
	"net/http"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// A NAT that restarts has forgotten the phone's connection, and resets it when the phone speaks. In a test of virtual
// time the same comes of 350 s of silence.
func ExampleRouter_NAT() {
	n := sim.New()
	defer n.Close()
	phone, server, gateway := n.Host("phone"), n.Host("server"), n.Router("gateway")
	n.Link(phone, gateway, netem.Config{})
	n.Link(gateway, server, netem.Config{})
	nat := gateway.NAT(sim.AWSNATGateway, phone)

	if _, err := server.Listen("tcp", ":7"); err != nil {
		panic(err)
	}
	c, err := phone.Dial("tcp", "server:7")
	if err != nil {
		panic(err)
	}
	defer c.Close()
	nat.Forget()
	c.Write([]byte("are you there?"))
	_, err = c.Read(make([]byte, 1))
	fmt.Println(err)
	// Output: read tcp 10.0.0.1:32768->10.0.0.2:7: read: connection reset by peer
}

// A server that is overloaded for its first two orders.
func ExampleNetwork_FaultyHTTP() {
	n := sim.New()
	defer n.Close()
	shop := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "thank you") })
	n.Host("server").ServeHTTP(":80", n.FaultyHTTP(shop, sim.HTTPRule{Method: "POST", Path: "/orders", Count: 2, Status: 503}))

	client := n.Host("phone").HTTPClient()
	for range 3 {
		resp, err := client.Post("http://server/orders", "text/plain", nil)
		if err != nil {
			panic(err)
		}
		resp.Body.Close()
		fmt.Println(resp.Status)
	}
	// Output:
	// 503 Service Unavailable
	// 503 Service Unavailable
	// 200 OK
}
