package sim_test

import (
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// heapNow returns the size of the heap in use and of the stacks, in bytes.
func heapNow() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapInuse + m.StackInuse)
}

// BenchmarkHosts has more and more hosts around one router. Each dials the next one. Then a
// partition cuts the network in halves, all hosts send a byte, the partition is healed, and the
// bytes are read. The cost for each host should not depend on the number of hosts.
func BenchmarkHosts(b *testing.B) {
	for _, count := range []int{100, 1_000, 10_000, 100_000} {
		if count > max(10_000, most()) {
			continue
		}
		b.Run(strconv.Itoa(count), func(b *testing.B) {
			for range b.N {
				w := watch()
				sim.Bench(func(n *sim.Network) {
					before := heapNow()
					w.start()
					router := n.Router("router")
					hosts := make([]*sim.Host, count)
					for i := range hosts {
						hosts[i] = n.Host(fmt.Sprintf("host%d", i))
						n.Link(hosts[i], router, netem.Config{Delay: ms})
						l, err := hosts[i].Listen("tcp", ":80")
						check(err)
						go func() {
							c, err := l.Accept()
							check(err)
							c.Read(make([]byte, 1))
						}()
					}
					conns := make([]net.Conn, count)
					var all sync.WaitGroup
					for i, h := range hosts {
						all.Go(func() {
							time.Sleep(time.Duration(i) * 10 * time.Microsecond)
							to := netip.AddrPortFrom(hosts[(i+count/2)%count].Addr(), 80)
							c, err := h.Dial("tcp", to.String())
							check(err)
							conns[i] = c
						})
					}
					all.Wait()
					n.Partition(hosts[:count/2], hosts[count/2:])
					for _, c := range conns {
						c.Write([]byte{1})
					}
					time.Sleep(10 * ms)
					n.Heal()
					time.Sleep(time.Second)
					w.stop()
					b.ReportMetric((heapNow()-before)/float64(count), "B/host")
				}, sim.ManyTimers())
				b.ReportMetric(float64(w.elapsed().Microseconds())/float64(count), "us/host")
			}
		})
	}
}

// BenchmarkIdleNetwork has connected hosts that only write a byte once an hour for a day, so that
// all their keep-alive probes in between are carried out. It reports how long thirty days would
// take.
func BenchmarkIdleNetwork(b *testing.B) {
	for _, count := range []int{10, 100} {
		if 10*count > most() {
			continue
		}
		b.Run(strconv.Itoa(count), func(b *testing.B) {
			for range b.N {
				sim.Bench(func(n *sim.Network) {
					var conns []net.Conn
					for i := range count {
						conns = append(conns, dialEcho(n, n.Host(fmt.Sprintf("client%d", i)), n.Host("server"), 7))
					}
					for range 24 {
						time.Sleep(time.Hour)
						conns[0].Write([]byte{1})
						conns[0].Read(make([]byte, 1))
					}
				}, sim.DefaultLink(netem.Config{Delay: 50 * ms}))
			}
			b.ReportMetric(30*b.Elapsed().Seconds()/float64(b.N), "s/30days")
		})
	}
}
