package sim_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// What the engine leaves for later must be as if it had been done at its instant: in
// whatever way the program and the network's schedule meddle meanwhile, the trace is the
// one of an engine that leaves nothing.
func TestWhatIsLeftForLaterMakesNoDifference(t *testing.T) {
	for _, c := range []struct {
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
		t.Run(c.name, func(t *testing.T) { requireLeftForLaterAlike(t, 1, c.work) })
	}
}

// requireLeftForLaterAlike compares the traces of engines that leave something for later,
// or nothing.
func requireLeftForLaterAlike(t *testing.T, seed uint64, work func(n *sim.Network), always ...sim.Option) {
	trace := func(eager bool, opts ...sim.Option) (s string) {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			if eager {
				n.Eager()
			}
			work(n)
			time.Sleep(time.Minute)
			s = n.Trace().String()
		}, slices.Concat(opts, always, []sim.Option{sim.Seed(seed)})...)
		return s
	}
	want := trace(true)
	require.Greater(t, len(want), 500)
	require.Equal(t, want, trace(false))
	require.Equal(t, want, trace(true, sim.ManyTimers()))
	require.Equal(t, want, trace(false, sim.ManyTimers()))
}

// The same for programs drawn at random.
func TestWhatIsLeftForLaterMakesNoDifferenceToRandomPrograms(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { requireLeftForLaterAlike(t, seed, randomSockets) })
		if seed%7 == 0 {
			t.Run(fmt.Sprint(seed, " with ARP"), func(t *testing.T) { requireLeftForLaterAlike(t, seed, randomSockets, sim.ARP()) })
		}
	}
}

// Fragments travel in one train with packets that are whole. These are programs of hundreds that
// tell.
func TestFragmentsAreNotLeftForLater(t *testing.T) {
	for _, seed := range []uint64{18, 134, 148} {
		requireLeftForLaterAlike(t, seed, narrowSockets)
	}
}

// A timer that has been put off a little counts by its new instant. This is one download of
// thousands that tells.
func TestWhatIsPutOffIsLeftForLater(t *testing.T) {
	path := netem.Config{Delay: 50 * ms, Rate: 10 * netem.Mbit, Queue: netem.DropTail{Bytes: 125_000}, Loss: netem.Bernoulli(0.03)}
	cfg := both(measuredHost("cubic"), path)
	cfg.seed = 601295421456
	trace := func(eager bool) (s string) {
		onTestbed(t, cfg, func(b *testbed) {
			if eager {
				b.n.Eager()
			}
			for range 6 {
				b.download(100_000)
				time.Sleep(time.Hour)
			}
			s = b.n.Trace().String()
		})
		return s
	}
	require.Equal(t, trace(true), trace(false))
}

// randomLink loses some packets, has a rate, or both.
func randomLink(r *rand.Rand) netem.Config {
	cfg := netem.Config{Delay: time.Duration(r.IntN(12)) * 5 * ms}
	if r.IntN(2) == 0 {
		cfg.Loss = netem.Bernoulli(0.01 * float64(1+r.IntN(5)))
	}
	if r.IntN(2) == 0 {
		cfg.Rate = 10 * netem.Mbit
	}
	return cfg
}

// randomSockets has goroutines read and write, under faults. All times are multiples of
// 5 ms, so that much happens at one instant.
func randomSockets(n *sim.Network) {
	r := n.Rand("program")
	client, server := n.Host("client"), n.Host("server")
	pause := func(r *rand.Rand, steps int) { time.Sleep(time.Duration(r.IntN(steps)) * 5 * ms) }
	between := n.LinkAsym(client, server, randomLink(r), randomLink(r))
	l, err := server.Listen("tcp", ":7")
	check(err)
	stamps := 0
	stamper := func() (stamp net.Conn) { // for one goroutine, or they would race
		stamps++
		stamp, err := client.Dial("udp", fmt.Sprintf("server:%d", 100+stamps))
		check(err)
		return stamp
	}
	var all sync.WaitGroup
	for range 1 + r.IntN(3) {
		c, err := client.Dial("tcp", "server:7")
		check(err)
		s, err := l.Accept()
		check(err)
		for i, end := range []net.Conn{c, s} {
			mine := rand.New(rand.NewPCG(r.Uint64(), uint64(i)))
			theirs := rand.New(rand.NewPCG(r.Uint64(), uint64(i)))
			wrote, read := stamper(), stamper()
			if mine.IntN(2) == 0 {
				end.(*sim.TCPConn).SetWriteBuffer(2000 + mine.IntN(20_000))
			}
			if mine.IntN(3) == 0 {
				end.(*sim.TCPConn).SetReadBuffer(3000 + mine.IntN(20_000))
			}
			// Some take their time, and some do not.
			slowly, size := 1+5*mine.IntN(2), 12_000
			if slowly == 1 {
				size = 60_000
			}
			all.Go(func() {
				for range 10 {
					end.SetWriteDeadline(time.Now().Add(time.Duration(1+mine.IntN(20*slowly)) * 5 * ms))
					k, _ := end.Write(make([]byte, 1+mine.IntN(size)))
					wrote.Write(make([]byte, k%1000))
					pause(mine, slowly)
				}
				end.(*sim.TCPConn).CloseWrite()
			})
			slow := 1 + 5*theirs.IntN(2)
			all.Go(func() {
				for range 200 / slow {
					end.SetReadDeadline(time.Now().Add(time.Duration(1+theirs.IntN(20)) * 5 * ms))
					k, _ := end.Read(make([]byte, 1+theirs.IntN(12_000)))
					read.Write(make([]byte, k%1000))
					pause(theirs, slow)
				}
			})
		}
	}
	// Faults, at instants of their own: the program would race with them.
	for range r.IntN(4) {
		at, length := time.Duration(r.IntN(100))*5*ms+2*ms, time.Duration(1+r.IntN(10))*5*ms
		fault := []struct{ begin, end func() }{
			{client.Pause, client.Resume},
			{server.Pause, server.Resume},
			{between.Down, between.Up},
			{between.Hold, between.Release},
			{func() { n.Partition([]*sim.Host{client}, []*sim.Host{server}) }, n.Heal},
		}[r.IntN(5)]
		n.After(at, fault.begin)
		n.After(at+length, fault.end)
	}
	all.Wait()
}

// narrowSockets has goroutines read and write over a link that loses packets, and whose MTU
// changes and is often so small that packets travel in fragments.
func narrowSockets(n *sim.Network) {
	r := n.Rand("program")
	client, server, router := n.Host("client"), n.Host("server"), n.Router("r")
	n.LinkAsym(client, router, netem.Config{Delay: time.Duration(r.IntN(4)) * 5 * ms}, netem.Config{Delay: time.Duration(r.IntN(4)) * 5 * ms})
	cfg := func() (c netem.Config) {
		c = netem.Config{Delay: time.Duration(1+r.IntN(12)) * 5 * ms}
		c.Loss = netem.Bernoulli(0.05 * float64(r.IntN(6)))
		if r.IntN(3) > 0 {
			c.MTU = []int{68, 72, 76, 79, 100, 600}[r.IntN(6)]
		}
		return c
	}
	last := n.LinkAsym(router, server, cfg(), cfg())
	l, err := server.Listen("tcp", ":7")
	check(err)
	var all sync.WaitGroup
	for i := range 1 + r.IntN(2) {
		c, err := client.Dial("tcp", "server:7")
		if err != nil {
			return
		}
		l.(*sim.TCPListener).SetDeadline(time.Now().Add(time.Minute))
		s, err := l.Accept()
		if err != nil {
			c.Close()
			break
		}
		for j, end := range []net.Conn{c, s} {
			mine := rand.New(rand.NewPCG(r.Uint64(), 1))
			theirs := rand.New(rand.NewPCG(r.Uint64(), 2))
			read, err := client.Dial("udp", fmt.Sprintf("server:%d", 100+2*i+j))
			check(err)
			end.(*sim.TCPConn).SetReadBuffer(2000 + mine.IntN(6000))
			all.Go(func() {
				for range 8 {
					end.SetWriteDeadline(time.Now().Add(time.Duration(1+mine.IntN(60)) * 5 * ms))
					end.Write(make([]byte, 1+mine.IntN(4000)))
					time.Sleep(time.Duration(mine.IntN(60)) * 5 * ms)
				}
				end.(*sim.TCPConn).CloseWrite()
			})
			all.Go(func() {
				for range 25 {
					if theirs.IntN(2) == 0 {
						time.Sleep(time.Duration(theirs.IntN(100)) * 5 * ms)
					}
					end.SetReadDeadline(time.Now().Add(time.Duration(1+theirs.IntN(100)) * 5 * ms))
					k, _ := end.Read(make([]byte, 1+theirs.IntN(2000)))
					read.Write(make([]byte, k%30))
				}
			})
		}
	}
	for i := range 8 {
		a, b := cfg(), cfg()
		n.After(time.Duration(i*60+r.IntN(60))*5*ms+2*ms, func() { last.SetAsym(a, b) })
	}
	all.Wait()
}

// echoTo connects to a server that sends back what it gets, in small pieces.
func echoTo(n *sim.Network, client, server *sim.Host) net.Conn {
	if l, err := server.Listen("tcp", ":7"); err == nil {
		accept(l, func(c net.Conn) {
			p := make([]byte, 700)
			for {
				k, err := c.Read(p)
				if err != nil {
					return
				}
				c.Write(p[:k])
			}
		})
	}
	c, err := client.Dial("tcp", "server:7")
	check(err)
	return c
}

func send(c net.Conn, size int) {
	c.Write(make([]byte, size))
}
