package sim_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// On the wall clock a delay takes real time.
func ExampleNew() {
	n := sim.New()
	defer n.Close()
	server, phone := n.Host("server"), n.Host("phone")
	n.Link(phone, server, netem.Config{Delay: 5 * time.Millisecond})
	server.ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hello")
	}))

	start := time.Now()
	resp, err := phone.HTTPClient().Get("http://server/")
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Printf("%s, %v\n", body, err)
	fmt.Println("two round trips, 20 ms:", time.Since(start) >= 20*time.Millisecond)
	// Output:
	// hello, <nil>
	// two round trips, 20 ms: true
}

// Searching for a seed with which three datagrams in a row are lost: Try returns what Test would
// have reported, and the search goes on.
func ExampleTry() {
	var t *testing.T // that of the test function
	for seed := uint64(1); seed <= 100; seed++ {
		err := sim.Try(t, func(n *sim.Network) error {
			a, b := n.Host("a"), n.Host("b")
			n.Link(a, b, netem.Config{Loss: netem.Bernoulli(0.3)})
			in, err := b.ListenPacket("udp", ":9")
			if err != nil {
				return err
			}
			defer in.Close()
			out, err := a.Dial("udp", "b:9")
			if err != nil {
				return err
			}
			defer out.Close()
			for range 3 {
				out.Write([]byte("x"))
			}
			in.SetReadDeadline(time.Now().Add(time.Second))
			_, _, err = in.ReadFrom(make([]byte, 1))
			return err
		}, sim.Seed(seed))
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// A server that crashes: its peer's connection is reset, new ones are refused, and after the
// restart the process runs anew.
func ExampleHost_Crash() {
	n := sim.New()
	defer n.Close()
	server, client := n.Host("server"), n.Host("client")
	listening := make(chan bool, 2)
	server.Run("echo", func(ctx context.Context, h *sim.Host) error {
		l, err := h.Listen("tcp", ":7")
		if err != nil {
			return err
		}
		defer l.Close()
		listening <- true
		for {
			c, err := l.Accept()
			if err != nil {
				return ctx.Err()
			}
			go io.Copy(c, c)
		}
	})
	<-listening
	c, err := client.Dial("tcp", "server:7")
	if err != nil {
		panic(err)
	}
	defer c.Close()

	server.Crash()
	_, err = c.Read(make([]byte, 1))
	fmt.Println("read:", errors.Is(err, syscall.ECONNRESET))
	_, err = client.Dial("tcp", "server:7")
	fmt.Println("dial:", errors.Is(err, syscall.ECONNREFUSED))

	server.Restart()
	<-listening
	again, err := client.Dial("tcp", "server:7")
	if err == nil {
		again.Close()
	}
	fmt.Println("after the restart:", err)
	// Output:
	// read: true
	// dial: true
	// after the restart: <nil>
}

// A firewall that answers: the attempt to connect fails at once, with the error of the ICMP code.
func ExampleLink_RejectWith() {
	n := sim.New()
	defer n.Close()
	office, server := n.Host("office"), n.Host("server")
	link := n.Link(office, server, netem.Config{})

	link.RejectWith(sim.ICMPAdminProhibited)
	_, err := office.Dial("tcp", "server:80")
	fmt.Println(errors.Is(err, syscall.EHOSTUNREACH))

	link.Up()
	_, err = office.Dial("tcp", "server:80")
	fmt.Println(errors.Is(err, syscall.ECONNREFUSED)) // no process listens
	// Output:
	// true
	// true
}

// A service that moves to another host: its name follows at once, and while the name server has a problem nobody
// finds it.
func ExampleHost_ServeNames() {
	n := sim.New()
	defer n.Close()
	blue, green, phone := n.Host("blue"), n.Host("green"), n.Host("phone")
	for _, h := range []*sim.Host{blue, green} {
		h.ServeHTTP(":80", http.NotFoundHandler())
	}
	names := n.Host("ns").ServeNames(sim.NameServerConfig{
		Records: map[string][]string{"api.example": {"A " + blue.Addr().String()}},
	})
	phone.SetResolver(sim.ResolverConfig{Servers: []*sim.Host{n.Host("ns")}})

	dial := func() {
		c, err := phone.Dial("tcp", "api.example:80")
		var dnsErr *net.DNSError
		if errors.As(err, &dnsErr) {
			fmt.Println(dnsErr.Err, dnsErr.IsTemporary)
			return
		}
		fmt.Println(c.RemoteAddr())
		c.Close()
	}
	dial()
	names.Set("api.example", "A "+green.Addr().String())
	dial()
	names.Fail("", sim.NameServerFails)
	dial()
	// Output:
	// 10.0.0.1:80
	// 10.0.0.2:80
	// server misbehaving true
}

// Two phones behind one router, whose uplink they share.
func ExampleNetwork_Router() {
	n := sim.New()
	defer n.Close()
	gateway, server := n.Router("gateway"), n.Host("server")
	n.LinkAsym(gateway, server,
		netem.Config{Delay: 10 * time.Millisecond, Rate: 2 * netem.Mbit, Queue: netem.DropTail{Packets: 50}},
		netem.Config{Delay: 10 * time.Millisecond, Rate: 20 * netem.Mbit, Queue: netem.DropTail{Packets: 50}})
	for _, name := range []string{"red", "blue"} {
		n.Link(n.Host(name), gateway, netem.Config{Delay: time.Millisecond})
	}

	_, err := n.Host("red").Dial("tcp", "server:80")
	fmt.Println(errors.Is(err, syscall.ECONNREFUSED), n.Elapsed() >= 22*time.Millisecond)
	// Output: true true
}
