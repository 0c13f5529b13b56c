package sim_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// Lookahead changes no trace of randomly generated programs.
func TestLookaheadLeavesTracesOfRandomPrograms(t *testing.T) {
	t.Parallel()
	for seed := range uint64(fewerUnderRace(20)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { requireSameWithoutLookahead(t, seed, randomSockets) })
		if seed%7 == 0 {
			t.Run(fmt.Sprint(seed, " with ARP"), func(t *testing.T) { requireSameWithoutLookahead(t, seed, randomSockets, sim.ARP()) })
		}
	}
}

// Lookahead changes no trace when queues use timers to decide late about a packet.
func TestLookaheadAndQueuesThatDecideLate(t *testing.T) {
	t.Parallel()
	for seed := range uint64(fewerUnderRace(6)) {
		requireSameWithoutLookahead(t, seed, lateSockets)
	}
}

// lateSockets is randomSockets with queues that decide late what happens to a packet, and whose configuration
// changes.
func lateSockets(n *sim.Network) {
	server, r := n.Host("server"), n.Rand("queues")
	cfg := func() netem.Config {
		queue := []netem.Queue{
			netem.DropHead{Packets: 5}, netem.CoDel{Target: 10 * ms, Interval: 50 * ms}, netem.FQCoDel{Flows: 3}, netem.DropTail{Packets: 20},
		}[r.IntN(4)]
		return netem.Config{Delay: time.Duration(r.IntN(3)) * 5 * ms, Rate: 3 * netem.Mbit, Queue: queue, Duplicate: 0.02}
	}
	server.Access(cfg(), cfg())
	for i := range 5 {
		n.After(time.Duration(i)*50*ms+3*ms, func() { server.Access(cfg(), cfg()) })
	}
	randomSockets(n)
}

// Fragments share a train with whole packets. Of hundreds of generated programs, these seeds show a fault here.
func TestLookaheadAndFragments(t *testing.T) {
	for _, seed := range []uint64{23, 64, 81} {
		requireSameWithoutLookahead(t, seed, narrowSockets)
	}
}

// A timer that is postponed slightly counts at its new instant. Of thousands of downloads, this one shows a fault
// here.
func TestLookaheadAndTimersThatMove(t *testing.T) {
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

// randomSockets runs goroutines that read and write while faults happen. All times are multiples of 5 ms, so that
// many events share an instant.
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
			// Some goroutines read slowly, others do not.
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
	// Faults happen at instants of their own, because otherwise the program would race with them.
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

// narrowSockets runs goroutines that read and write over a lossy link whose MTU changes and is often so small that
// packets are fragmented.
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

// echoTo connects to a server that sends back what it receives, in small pieces.
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
