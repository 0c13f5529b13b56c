//go:build unix

package sim_test

import (
	"fmt"
	"net"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// An axis is something that a network can have more and more of. make adds count of it, and returns two hosts that are connected to
// each other.
type axis struct {
	name string
	make func(n *sim.Network, count int) (client, server *sim.Host)
}

var besideLink = netem.Config{Delay: 100 * time.Microsecond}

var axes = []axis{
	{"connections", func(n *sim.Network, count int) (client, server *sim.Host) {
		client, server = n.Host("client"), n.Host("server")
		const perPort = 20_000
		for i := range count {
			at := fmt.Sprintf(":%d", 1000+i/perPort)
			if i%perPort == 0 {
				l, err := server.Listen("tcp", at)
				check(err)
				go acceptAll(l)
			}
			_, err := client.Dial("tcp", "server"+at)
			check(err)
		}
		return client, server
	}},
	{"hosts", func(n *sim.Network, count int) (client, server *sim.Host) {
		router := n.Router("router")
		hosts := make([]*sim.Host, count)
		for i := range hosts {
			hosts[i] = n.Host(fmt.Sprintf("host%d", i))
			n.Link(hosts[i], router, besideLink)
		}
		return hosts[0], hosts[count/2]
	}},
	// A ring of routers, with the two hosts at neighbouring routers.
	{"links", func(n *sim.Network, count int) (client, server *sim.Host) {
		routers := make([]*sim.Router, count-2)
		for i := range routers {
			if routers[i] = n.Router(fmt.Sprintf("router%d", i)); i > 0 {
				n.Link(routers[i-1], routers[i], besideLink)
			}
		}
		n.Link(routers[len(routers)-1], routers[0], besideLink)
		client, server = n.Host("client"), n.Host("server")
		n.Link(client, routers[0], besideLink)
		n.Link(server, routers[1], besideLink)
		return client, server
	}},
	{"timers", func(n *sim.Network, count int) (client, server *sim.Host) {
		for i := range count {
			time.AfterFunc(24*time.Hour+time.Duration(i)*time.Millisecond, func() {})
		}
		return n.Host("client"), n.Host("server")
	}},
}

func acceptAll(l net.Listener) {
	for {
		if _, err := l.Accept(); err != nil {
			return
		}
	}
}

// BenchmarkCurve measures the cost of a dial, and of a round trip on the new connection, in a network with more and more of something
// else. It reports the ratio to the cost with 100 of it, which should be 1. It uses one processor and counts processor time. The
// figure is the median of seven rounds through all sizes, up to 1,000 or SQUALL_SCALE.
func BenchmarkCurve(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	sizes := slices.DeleteFunc([]int{1_000, 10_000, 100_000}, func(size int) bool { return size > most() })
	for _, a := range axes {
		b.Run(a.name, func(b *testing.B) {
			for range b.N {
				dials, trips := map[int][]float64{}, map[int][]float64{}
				for range 7 {
					dial, trip := a.cost(100)
					for _, size := range sizes {
						d, t := a.cost(size)
						dials[size] = append(dials[size], d/dial)
						trips[size] = append(trips[size], t/trip)
					}
				}
				for _, size := range sizes {
					b.ReportMetric(median(dials[size]), fmt.Sprintf("x-dial/%d", size))
					b.ReportMetric(median(trips[size]), fmt.Sprintf("x-trip/%d", size))
				}
			}
		})
	}
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

// cost returns the cost of a dial and of a round trip in a network of the given size, in nanoseconds of processor time.
func (a *axis) cost(size int) (dial, trip float64) {
	const dials, trips = 500, 2000
	sim.Bench(func(n *sim.Network) {
		client, server := a.make(n, size)
		l, err := server.Listen("tcp", ":7")
		check(err)
		accept(l, echoSmall)
		var conns [dials]net.Conn
		runtime.GC()
		began := processorTime()
		for i := range conns {
			conns[i], err = client.Dial("tcp", server.Name()+":7")
			check(err)
		}
		dial = processorTime() - began
		pingPong(10, conns[0])
		runtime.GC()
		began = processorTime()
		pingPong(trips, conns[0])
		trip = processorTime() - began
	}, sim.DefaultLink(besideLink), sim.ManyTimers())
	return dial / dials, trip / trips
}

// processorTime returns the processor time that the process has used, in nanoseconds.
func processorTime() float64 {
	var u syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return float64(u.Utime.Nano() + u.Stime.Nano())
}
