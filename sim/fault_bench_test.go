package sim_test

import (
	"net"
	"testing"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// BenchmarkFaults moves data through a router: over a network without faults as the reference, over
// one on which each fault of a link, host and router was made but never begins, and over one on
// which each has begun and ended.
func BenchmarkFaults(b *testing.B) {
	for _, row := range []struct {
		name   string
		engage func(all []*sim.Fault)
	}{
		{"none", nil},
		{"made", func([]*sim.Fault) {}},
		{"over", func(all []*sim.Fault) {
			for _, f := range all {
				f.Begin()
				f.End()
			}
			time.Sleep(time.Second)
		}},
	} {
		b.Run(row.name, func(b *testing.B) {
			b.ReportAllocs()
			sim.Bench(func(n *sim.Network) {
				client, server, r := n.Host("client"), n.Host("server"), n.Router("r")
				link := n.Link(client, r, netem.Config{Delay: 5 * ms})
				n.Link(r, server, netem.Config{Delay: 5 * ms})
				if row.engage != nil {
					row.engage(everyFault(n, link, client, server, r))
				}
				l, err := server.Listen("tcp", ":7")
				check(err)
				bulk(b, l, func() (net.Conn, error) { return client.Dial("tcp", "server:7") })
			})
		})
	}
}

// everyFault makes one of each fault of a link, host and router.
func everyFault(n *sim.Network, link *sim.Link, client, server *sim.Host, r *sim.Router) []*sim.Fault {
	pkts := sim.Packets{From: client}
	return []*sim.Fault{
		sim.Down(link), sim.DownFrom(link, client), sim.Unplug(link), sim.Reject(link, sim.ICMPHostUnreachable), sim.Hold(link),
		sim.Impair(link, netem.Config{Delay: ms, Loss: netem.Bernoulli(0.5)}), sim.Drop(link, pkts), sim.Delay(link, pkts, ms), sim.Duplicate(link, pkts),
		sim.Corrupt(link, pkts), sim.Reset(link, pkts), sim.StallAfter(link, 1, pkts), sim.ResetAfter(link, 1, pkts), sim.CloseAfter(link, 1, pkts),
		sim.Partition(n, []*sim.Host{client}, []*sim.Host{server}), sim.PartitionOneWay(n, []*sim.Host{client}, []*sim.Host{server}),
		sim.Crash(server), sim.PowerOff(server), sim.Pause(server), sim.Restrict(server, sim.HostLimits{Descriptors: 1, CPUs: 1}),
		sim.StepClock(server, time.Hour), sim.DriftClock(server, 100), sim.BlockICMP(r), sim.Reboot(r),
	}
}

// A fault that has ended leaves nothing with which each packet would have to be compared.
func TestFaultsThatAreOverLeaveNothing(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server, r := n.Host("client"), n.Host("server"), n.Router("r")
		link := n.Link(client, r, netem.Config{Delay: 5 * ms})
		n.Link(r, server, netem.Config{Delay: 5 * ms})
		for _, f := range everyFault(n, link, client, server, r) {
			if f.Begin(); f.Name() != "server: crash" && n.Disturbed() == 0 {
				t.Errorf("%v disturbs nothing while it lasts", f)
			}
			if f.End(); n.Disturbed() != 0 {
				t.Fatalf("%v has left something behind", f)
			}
		}
	})
}
