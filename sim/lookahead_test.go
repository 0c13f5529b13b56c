package sim_test

import (
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// Lookahead changes no trace. However the program and scheduled changes of the network interfere, the trace must
// equal that of an engine that defers no work.
func TestLookaheadLeavesTraces(t *testing.T) {
	t.Parallel()
	for i, c := range []struct {
		name string
		work func(n *sim.Network)
	}{
		{"a link goes down and up while data is on it", func(n *sim.Network) {
			client, server := n.Host("client"), n.Host("server")
			link := n.Link(client, server, netem.Config{Delay: 50 * ms})
			c := echoTo(n, client, server)
			for i := range 40 {
				send(c, 1+i*100)
				time.Sleep(time.Duration(i) * ms)
				link.Down() // what was sent before passes
				send(c, 10)
				time.Sleep(7 * ms)
				link.Up()
			}
		}},
		{"a link changes at the instant of a write", func(n *sim.Network) {
			client, server := n.Host("client"), n.Host("server")
			link := n.Link(client, server, netem.Config{Delay: 50 * ms})
			c := echoTo(n, client, server)
			for i := range 40 {
				send(c, 100)
				link.Set(netem.Config{Delay: time.Duration(1+i*7%50) * ms})
				time.Sleep(time.Duration(i%9) * 11 * ms)
			}
		}},
		{"a link rejects at the instant of a write, and later", func(n *sim.Network) {
			client, server := n.Host("client"), n.Host("server")
			link := n.Link(client, server, netem.Config{Delay: 50 * ms})
			c := echoTo(n, client, server)
			u, _ := client.Dial("udp", "server:9")
			for i := range 20 {
				send(c, 100)
				u.Write([]byte("datagram"))
				if i%2 == 0 {
					time.Sleep(20 * ms)
				}
				link.Reject()
				u.Write([]byte("datagram"))
				time.Sleep(10 * ms)
				link.Up()
				time.Sleep(200 * ms)
			}
		}},
		{"faults in the middle of a chain of routers", func(n *sim.Network) {
			client, server := n.Host("client"), n.Host("server")
			a, b := n.Router("a"), n.Router("b")
			n.Link(client, a, netem.Config{Delay: 10 * ms})
			middle := n.Link(a, b, netem.Config{Delay: 20 * ms, Loss: netem.Bernoulli(0.02)})
			n.Link(b, server, netem.Config{Delay: 5 * ms, Rate: 20 * netem.Mbit})
			c := echoTo(n, client, server)
			for i := range 30 {
				n.After(time.Duration(i*13)*ms, func() { middle.Hold() })
				n.After(time.Duration(i*13+5)*ms, middle.Release)
				send(c, 5000)
				time.Sleep(time.Duration(i%5) * 3 * ms)
				switch i % 3 {
				case 0:
					middle.Down()
				case 1:
					middle.Up()
				case 2:
					middle.Set(netem.Config{Delay: time.Duration(i) * ms})
				}
			}
			middle.Up()
		}},
		{"links in the middle that become narrower and wider", func(n *sim.Network) {
			client, server := n.Host("client"), n.Host("server")
			a, b := n.Router("a"), n.Router("b")
			first := n.Link(client, a, netem.Config{Delay: ms})
			middle := n.Link(a, b, netem.Config{Delay: 50 * ms, MTU: 1200})
			n.Link(b, server, netem.Config{Delay: 5 * ms})
			c := echoTo(n, client, server)
			u, _ := client.Dial("udp", "server:9")
			go func() {
				for range 30 {
					u.Read(make([]byte, 1)) // EMSGSIZE or ECONNREFUSED
				}
			}()
			for i := range 30 {
				send(c, 250*i)
				u.Write(make([]byte, 1400))
				time.Sleep(time.Duration(i%7) * 3 * ms)
				middle.Set(netem.Config{Delay: 50 * ms, MTU: 1200 - 70*(i%16)})
				if i%5 == 0 {
					first.Set(netem.Config{Delay: ms, MTU: 1500 - 40*i})
				}
				time.Sleep(time.Duration(i%3) * time.Minute)
			}
		}},
		{"IPv6 over a link that becomes too narrow, and addresses that come and go", func(n *sim.Network) {
			client, server, r := n.Host("client"), n.Host("server"), n.Router("r")
			mine, theirs := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
			client.AddAddr(mine)
			server.AddAddr(theirs)
			first := n.Link(client, r, netem.Config{Delay: 20 * ms})
			last := n.Link(r, server, netem.Config{Delay: 10 * ms})
			c := echoTo(n, client, server)
			u, _ := client.Dial("udp6", "server:9")
			for i := range 40 {
				send(c, 1+300*i)
				u.Write(make([]byte, 100*i))
				time.Sleep(time.Duration(i%7) * 5 * ms)
				switch i % 8 {
				case 0:
					last.Set(netem.Config{Delay: 10 * ms, MTU: 1200})
				case 1:
					first.Set(netem.Config{Delay: 20 * ms, MTU: 1279})
				case 2:
					first.Set(netem.Config{Delay: 20 * ms})
					last.Set(netem.Config{Delay: 10 * ms})
				case 3:
					server.RemoveAddr(theirs)
				case 5:
					server.AddAddr(theirs)
					client.RemoveAddr(mine)
				case 7:
					client.AddAddr(mine)
				}
				u.Write([]byte("datagram"))
				time.Sleep(time.Duration(i%5) * 300 * ms)
			}
		}},
		{"neighbours that ask for each other", func(n *sim.Network) {
			client, server, r := n.Host("client"), n.Host("server"), n.Router("r")
			first := n.Link(client, r, netem.Config{Delay: 20 * ms})
			first.ARP()
			last := n.Link(r, server, netem.Config{Delay: 1500 * ms}) // longer than between two questions
			last.ARP()
			c := echoTo(n, client, server)
			u, _ := client.Dial("udp", "server:9")
			for i := range 30 {
				send(c, 100)
				u.Write([]byte("datagram"))
				time.Sleep(time.Duration(i%4) * 995 * ms)
				u.Write([]byte("datagram"))
				switch i % 6 {
				case 0:
					first.Down()
				case 1, 4:
					first.Up()
					last.Up()
				case 2:
					last.DownFrom(server)
				case 3:
					first.Unplug()
				}
				time.Sleep(time.Duration(i%5) * 7 * time.Second)
				u.Write([]byte("datagram"))
			}
		}},
		{"a new link at the instant of a write", func(n *sim.Network) {
			client, server := n.Host("client"), n.Host("server")
			c := echoTo(n, client, server)
			send(c, 100)
			n.Link(client, server, netem.Config{Delay: 30 * ms})
			send(c, 100)
			time.Sleep(10 * ms)
			client.Access(netem.Config{Delay: ms}, netem.Config{})
			send(c, 100)
		}},
		{"an access link that changes at the instant of a write", func(n *sim.Network) {
			client, server := n.Host("client"), n.Host("server")
			client.Access(netem.Config{Delay: 50 * ms}, netem.Config{})
			c := echoTo(n, client, server)
			for i := range 20 {
				send(c, 100)
				client.Access(netem.Config{Delay: time.Duration(1+i*7%50) * ms}, netem.Config{})
				io.ReadFull(c, make([]byte, 100))
				client.Access(netem.Config{Delay: 50 * ms}, netem.Config{})
			}
		}},
		{"hosts that stop, crash and lose power", func(n *sim.Network) {
			client, server := n.Host("client"), n.Host("server")
			n.Link(client, server, netem.Config{Delay: 50 * ms})
			c := echoTo(n, client, server)
			send(c, 100)
			time.Sleep(30 * ms)
			server.Pause()
			send(c, 100)
			time.Sleep(110 * ms)
			server.Resume()
			send(c, 100)
			client.Pause()
			send(c, 100)
			time.Sleep(10 * ms)
			send(c, 100) // the first still waits
			time.Sleep(100 * ms)
			client.Resume()
			time.Sleep(45 * ms)
			server.Crash()
			send(c, 100)
			time.Sleep(20 * ms)
			client.PowerOff()
		}},
		{"a host loses power with timers set", func(n *sim.Network) {
			client, server := n.Host("client"), n.Host("server")
			n.Link(client, server, netem.Config{Delay: 50 * ms})
			c := echoTo(n, client, server)
			send(c, 100)
			time.Sleep(10 * ms)
			client.PowerOff() // a probe of the tail and the keep-alive are due later
			u, _ := server.Dial("udp", "client:9")
			for range 20 {
				u.Write([]byte("the trace has the instant"))
				time.Sleep(100 * ms)
			}
		}},
		{"partitions, and a look at the counters", func(n *sim.Network) {
			client, server := n.Host("client"), n.Host("server")
			n.Link(client, server, netem.Config{Delay: 50 * ms})
			c := echoTo(n, client, server)
			for i := range 20 {
				send(c, 100)
				time.Sleep(time.Duration(i) * 5 * ms)
				if s := n.Stats().Links[0].Sent; s == 0 {
					panic("nothing was sent")
				}
				n.PartitionOneWay([]*sim.Host{server}, []*sim.Host{client})
				time.Sleep(13 * ms)
				n.Heal()
				_ = client.Netstat()
			}
		}},
		{"deadlines and closes while data is under way", func(n *sim.Network) {
			client, server := n.Host("client"), n.Host("server")
			n.Link(client, server, netem.Config{Delay: 50 * ms, Jitter: 20 * ms})
			for i := range 20 {
				c := echoTo(n, client, server)
				send(c, 3000)
				c.SetReadDeadline(time.Now().Add(time.Duration(i) * 9 * ms))
				io.ReadFull(c, make([]byte, 2000))
				c.Close()
			}
		}},
		{"answers over a link with jitter", func(n *sim.Network) {
			client, server := n.Host("client"), n.Host("server")
			n.Link(client, server, netem.Config{Delay: 50 * ms, Jitter: 40 * ms})
			c := echoTo(n, client, server)
			for range 60 {
				send(c, 10)
				io.ReadFull(c, make([]byte, 10))
			}
		}},
		{"a link that becomes slower than timeouts are long", func(n *sim.Network) {
			client, server := n.Host("client"), n.Host("server")
			link := n.Link(client, server, netem.Config{Delay: ms})
			c := echoTo(n, client, server)
			for i := range 20 {
				link.Set(netem.Config{Delay: ms})
				for range 10 {
					send(c, 10)
					io.ReadFull(c, make([]byte, 10))
				}
				link.Set(netem.Config{Delay: time.Duration(i) * 100 * ms})
				send(c, 10)
				io.ReadFull(c, make([]byte, 10))
			}
		}},
		{"a link that becomes slower than a connection lives", func(n *sim.Network) {
			client, server := n.Host("client"), n.Host("server")
			link := n.Link(client, server, netem.Config{Delay: ms})
			c := echoTo(n, client, server)
			link.Set(netem.Config{Delay: time.Hour})
			for range 300 {
				send(c, 10)
				io.ReadFull(c, make([]byte, 10)) // fails after a quarter of an hour
				u, _ := client.Dial("udp", "server:9")
				u.Write([]byte("the trace has the instant"))
			}
		}},
		{"a read that is given up at the instant of a write to it", func(n *sim.Network) {
			client, server := n.Host("client"), n.Host("server")
			first := echoTo(n, client, server)
			l, err := server.Listen("tcp", ":8")
			check(err)
			for range 10 {
				c, err := client.Dial("tcp", "server:8")
				check(err)
				s, err := l.Accept()
				check(err)
				go s.Read(make([]byte, 1))
				time.Sleep(time.Second)
				s.SetReadDeadline(time.Now().Add(-1)) // the read goes on while this does
				send(c, 10)
				for range 10 {
					runtime.Gosched()
				}
				send(first, 10)
				time.Sleep(time.Second)
			}
		}},
		{"data that comes before somebody reads", func(n *sim.Network) {
			client, server := n.Host("client"), n.Host("server")
			n.Link(client, server, netem.Config{Delay: 20 * ms})
			c := echoTo(n, client, server)
			u, _ := client.Dial("udp", "server:9")
			for i := range 40 {
				send(c, 1500)
				time.Sleep(time.Duration(i%7) * 10 * ms) // the echo comes after 40 ms
				io.ReadFull(c, make([]byte, 1500))
				u.Write([]byte("the trace has the instant"))
			}
		}},
		{"writers that wait for room", func(n *sim.Network) {
			client, server := n.Host("client"), n.Host("server")
			n.Link(client, server, netem.Config{Delay: 20 * ms, Loss: netem.Bernoulli(0.03)})
			l, err := server.Listen("tcp", ":7")
			check(err)
			var all sync.WaitGroup
			for i := range 3 {
				c, err := client.Dial("tcp", "server:7")
				check(err)
				s, err := l.Accept()
				check(err)
				u, _ := client.Dial("udp", "server:9")
				all.Go(func() {
					for k := range 30 {
						send(c, 20_000)
						u.Write([]byte("the trace has the instant"))
						if k == 10 {
							c.(*sim.TCPConn).SetWriteBuffer(30_000 * (i + 1))
						}
					}
					c.Close()
				})
				all.Go(func() {
					for {
						if _, err := s.Read(make([]byte, 5000*(i+1))); err != nil {
							return
						}
						time.Sleep(time.Duration(i*i) * 10 * ms)
					}
				})
			}
			all.Wait()
		}},
		{"a writer that begins to wait at the instant of a read", func(n *sim.Network) {
			client, server := n.Host("client"), n.Host("server")
			n.Link(client, server, netem.Config{Delay: 20 * ms})
			l, err := server.Listen("tcp", ":7")
			check(err)
			c, err := client.Dial("tcp", "server:7")
			check(err)
			s, err := l.Accept()
			check(err)
			u, _ := client.Dial("udp", "server:9")
			c.(*sim.TCPConn).SetWriteBuffer(8000)
			s.(*sim.TCPConn).SetReadBuffer(10_000)
			for range 6 {
				c.SetWriteDeadline(time.Now().Add(30 * ms))
				for range 20 {
					send(c, 6500) // until the buffer is full
				}
				c.SetWriteDeadline(time.Now().Add(time.Second))
				s.Read(make([]byte, 20_000)) // what has come, and is not acknowledged yet
				send(c, 1)
				u.Write([]byte("the trace has the instant"))
				s.SetReadDeadline(time.Now().Add(time.Second))
				io.ReadFull(s, make([]byte, 100_000))
				s.SetReadDeadline(time.Time{})
			}
		}},
		{"a retransmission that is due soon after a delayed acknowledgement", func(n *sim.Network) {
			client, server := n.Host("client"), n.Host("server")
			link := n.Link(client, server, netem.Config{Delay: 50 * ms})
			l, err := server.Listen("tcp", ":7")
			check(err)
			for i := range 10 {
				c, err := client.Dial("tcp", "server:7")
				check(err)
				s, err := l.Accept()
				check(err)
				for range 20 { // until acknowledgements are delayed
					send(s, 1)
					io.ReadFull(c, make([]byte, 1))
					send(c, 1)
					io.ReadFull(s, make([]byte, 1))
				}
				u, _ := server.Dial("udp", fmt.Sprintf("client:%d", 100+i))
				var all sync.WaitGroup
				all.Go(func() { io.Copy(io.Discard, c) })
				all.Go(func() {
					io.ReadFull(s, make([]byte, 1))
					u.Write([]byte("the trace has the instant"))
				})
				link.DownFrom(client)
				send(c, 1) // sent again after 445 ms
				time.Sleep(ms)
				link.Up()
				time.Sleep(time.Duration(190+20*i) * ms)
				send(s, 1) // acknowledged 40 ms after it came
				time.Sleep(time.Second)
				s.Close()
				all.Wait()
				c.Close()
			}
		}},
		{"an acknowledgement at a router when something else is sent", func(n *sim.Network) {
			client, server := n.Host("client"), n.Host("server")
			r := n.Router("r")
			n.Link(client, r, netem.Config{Delay: 10 * ms})
			n.Link(r, server, netem.Config{Delay: 20 * ms})
			l, err := server.Listen("tcp", ":7")
			check(err)
			c, err := client.Dial("tcp", "server:7")
			check(err)
			s, err := l.Accept()
			check(err)
			c.(*sim.TCPConn).SetReadBuffer(5000)
			s.(*sim.TCPConn).SetWriteBuffer(1_000_000)
			u, _ := client.Dial("udp", "server:9")
			for i := range 20 {
				send(s, 20_000)
				time.Sleep(5 * time.Second)
				c.Read(make([]byte, 20_000)) // opens the window again
				time.Sleep(time.Duration(i) * 5 * ms)
				u.Write([]byte("the trace has the instant"))
				time.Sleep(time.Second)
			}
		}},
		{"many clients at one instant", func(n *sim.Network) {
			server := n.Host("server")
			var all sync.WaitGroup
			for i := range 10 {
				h := n.Host(fmt.Sprintf("client%d", i))
				n.Link(h, server, netem.Config{Delay: time.Duration(1+i%3) * 10 * ms, Loss: netem.Bernoulli(0.05)})
				c := echoTo(n, h, server)
				all.Go(func() {
					for k := range 20 {
						send(c, 10+k)
						io.ReadFull(c, make([]byte, 10+k))
						time.Sleep(10 * ms)
					}
				})
			}
			all.Wait()
		}},
	} {
		if leftOutUnderRace(i) {
			continue
		}
		t.Run(c.name, func(t *testing.T) { requireSameWithoutLookahead(t, 1, c.work) })
	}
}

// requireSameWithoutLookahead compares the traces and counters of engines with and without lookahead.
func requireSameWithoutLookahead(t *testing.T, seed uint64, work func(n *sim.Network), always ...sim.Option) {
	trace := func(eager bool, opts ...sim.Option) (s string) {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			if eager {
				n.Eager()
			}
			work(n)
			time.Sleep(time.Minute)
			s = n.Trace().String() + n.Stats().String()
		}, slices.Concat(opts, always, []sim.Option{sim.Seed(seed)})...)
		return s
	}
	want := trace(true)
	require.Greater(t, len(want), 500)
	require.Equal(t, want, trace(false))
	require.Equal(t, want, trace(true, sim.ManyTimers()))
	require.Equal(t, want, trace(false, sim.ManyTimers()))
}
