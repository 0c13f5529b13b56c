package sim_test

import (
	"io"
	"math"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// A bottleneck is a link of 12 Mbit/s, shared by two pairs of hosts. It takes a millisecond for 1500 bytes.
type bottleneck struct {
	n             *sim.Network
	a, b          *sim.Host
	other, others *sim.Host
}

func newBottleneck(n *sim.Network) *bottleneck {
	w := &bottleneck{n: n, a: n.Host("a"), b: n.Host("b"), other: n.Host("other"), others: n.Host("others")}
	r, s := n.Router("r"), n.Router("s")
	n.Link(w.a, r, netem.Config{})
	n.Link(w.other, r, netem.Config{})
	n.LinkAsym(r, s, netem.Config{Delay: 5 * ms, Rate: 12 * netem.Mbit, Queue: netem.DropTail{Packets: 50}}, netem.Config{Delay: 5 * ms})
	n.Link(s, w.b, netem.Config{})
	n.Link(s, w.others, netem.Config{})
	return w
}

// traffic makes the second pair use the bottleneck for a while.
func (w *bottleneck) traffic(at, lasts time.Duration, t sim.Traffic) *sim.Fault {
	return w.n.Inject(at, lasts, sim.CrossTraffic(w.other, w.others, t))
}

// share returns the percentage of the bottleneck that a download from a to b gets in 20 s, headers included.
func (w *bottleneck) share(t *testing.T) float64 {
	received := make(chan int64, 1)
	accept(listen(t, w.b, ":7"), func(c net.Conn) {
		c.SetReadDeadline(in(20 * time.Second))
		k, _ := io.Copy(io.Discard, c)
		received <- k
	})
	c := dial(t, w.a, "b:7")
	defer c.Close()
	go func() {
		for p, err := make([]byte, 1<<16), error(nil); err == nil; {
			_, err = c.Write(p)
		}
	}()
	return float64(<-received) * 1500 / 1448 / (20 * 1500 * 1000) * 100 // 1000 packets a second
}

// sentTo returns the instants at which datagrams to a port left a host.
func sentTo(n *sim.Network, host string, port uint16) (all []time.Duration) {
	for e := range n.Trace().Events() {
		if e.Kind == sim.Sent && e.Protocol == "udp" && e.From == host && e.TargetPort == port {
			all = append(all, e.At)
		}
	}
	return all
}

// Datagrams take the rate at which they are sent from a bottleneck, however many are lost, and TCP gets the rest.
// Connections share it.
func TestCrossTrafficTakesItsShare(t *testing.T) {
	t.Parallel()
	for i, row := range []struct {
		name        string
		traffic     sim.Traffic
		least, most float64 // of 100 that the program has
	}{
		{"none", sim.Traffic{}, 98, 100},
		{"a quarter", sim.Traffic{Rate: 3 * netem.Mbit}, 73, 77},
		{"half", sim.Traffic{Rate: 6 * netem.Mbit}, 48, 52},
		{"half, in smaller datagrams", sim.Traffic{Rate: 6 * netem.Mbit, Size: 500}, 48, 52},
		{"half, at drawn instants", sim.Traffic{Rate: 6 * netem.Mbit, Poisson: true}, 46, 54},
		{"a half of the time half", sim.Traffic{Rate: 6 * netem.Mbit, On: time.Second, Off: time.Second}, 70, 78},
		{"one connection", sim.Traffic{Connections: 1}, 35, 65},
		{"three connections", sim.Traffic{Connections: 3}, 15, 35},
		{"twice what there is", sim.Traffic{Rate: 24 * netem.Mbit}, 0, 3},
	} {
		if leftOutUnderRace(i + 2) { // "half" and "one connection"
			continue
		}
		t.Run(row.name, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				w := newBottleneck(n)
				if row.traffic != (sim.Traffic{}) {
					w.traffic(0, 0, row.traffic)
				}
				share := w.share(t)
				t.Logf("%.1f %%", share)
				require.GreaterOrEqual(t, share, row.least)
				require.LessOrEqual(t, share, row.most)
			}, sim.Strict())
		})
	}
}

// Datagrams of 1500 bytes at 600 kbit/s are 20 ms apart. At 700 kbit/s they are 17.142857 ms and a seventh of a
// nanosecond apart, and the fraction is not lost.
func TestCrossTrafficIsOnTime(t *testing.T) {
	for _, row := range []struct {
		traffic sim.Traffic
		want    []time.Duration // those of the first 120 ms
	}{
		{sim.Traffic{Rate: 600 * netem.Kbit}, []time.Duration{0, 20 * ms, 40 * ms, 60 * ms, 80 * ms, 100 * ms}},
		{sim.Traffic{Rate: 700 * netem.Kbit}, []time.Duration{0, 17142857, 34285714, 51428571, 68571428, 85714285, 102857142}},
		{sim.Traffic{Rate: 720 * netem.Kbit}, []time.Duration{0, 16666666, 33333333, 50 * ms, 66666666, 83333333, 100 * ms, 116666666}},
		{sim.Traffic{Rate: 8 * netem.Kbit, Size: 28}, []time.Duration{0, 28 * ms, 56 * ms, 84 * ms, 112 * ms}},
		// Sent for 5 ms, silent for 45: the clock of the datagrams stands still meanwhile.
		{sim.Traffic{Rate: 6 * netem.Mbit, On: 5 * ms, Off: 45 * ms}, []time.Duration{0, 2 * ms, 4 * ms, 51 * ms, 53 * ms, 100 * ms, 102 * ms, 104 * ms}},
	} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			f := newBottleneck(n).traffic(time.Second, 119*ms, row.traffic)
			time.Sleep(2 * time.Second)
			got := sentTo(n, "other", 9)
			for i := range got {
				got[i] -= time.Second
			}
			require.Equal(t, row.want, got, "%+v", row.traffic)
			size := 1500
			if row.traffic.Size > 0 {
				size = row.traffic.Size
			}
			require.Equal(t, sim.Fired{Count: len(got), Packets: len(got), Bytes: int64(size * len(got)), First: time.Second, Last: time.Second + got[len(got)-1]}, f.Fired())
		})
	}
}

// Poisson traffic sends 1000 datagrams a second here. Of 10,000 gaps e^-1 = 36.8 % are longer than the mean, and e^-3
// = 5.0 % longer than three times the mean.
func TestCrossTrafficAtDrawnInstants(t *testing.T) {
	seedsOfItsOwn(t)
	draw := func(seed uint64, again bool) (all []time.Duration) {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			w := newBottleneck(n)
			f := w.traffic(0, 10*time.Second, sim.Traffic{Rate: 800 * netem.Kbit, Size: 100, Poisson: true})
			if again {
				sim.CrossTraffic(w.a, w.b, sim.Traffic{Rate: netem.Mbit}).Begin()
			}
			time.Sleep(20 * time.Second)
			all = sentTo(n, "other", 9)
			if again {
				f.Begin()
				time.Sleep(10 * time.Second)
				more := sentTo(n, "other", 10) // the next port
				require.InDelta(t, 10_000, len(more), 400)
				require.NotEqual(t, all[0], more[0]-20*time.Second, "if it begins again the draws are others")
			}
		}, sim.Seed(seed))
		return all
	}

	one := draw(1, false)
	require.InDelta(t, 10_000, len(one), 400)
	var long, longer int
	for i, at := range one[1:] {
		if gap := at - one[i]; gap > ms {
			long++
			if gap > 3*ms {
				longer++
			}
		}
	}
	require.InDelta(t, 0.3679, float64(long)/float64(len(one)), 0.015)
	require.InDelta(t, 0.0498, float64(longer)/float64(len(one)), 0.007)
	require.Equal(t, one, draw(1, true), "whatever else is sent")
	require.NotEqual(t, one[:10], draw(2, false)[:10])
}

// The integer logarithm equals that of package math to about 2^-25.
func TestExponential(t *testing.T) {
	const most = 1<<64 - 1
	for _, u := range []uint64{0, 1, 2, 1 << 20, 1<<32 - 1, most/10 + 7, most / 3, most / 2, most/2 + 1, most / 5 * 4, most - 1<<40, most - 1, most} {
		require.InDelta(t, -math.Log((float64(u)+1)/(1<<64)), sim.Exponential(u), 3e-8, "%d", u)
	}
}

// The sender and the receiver of cross traffic are processes. They end with their host, and after its restart resume
// where they would have been.
func TestCrossTrafficAndCrashes(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		w := newBottleneck(n)
		f := w.traffic(0, 399*ms, sim.Traffic{Rate: 120 * netem.Kbit}) // every 100 ms
		n.Inject(150*ms, 100*ms, sim.Crash(w.other))
		n.Inject(290*ms, 20*ms, sim.PowerOff(w.others))
		time.Sleep(time.Second)
		require.Equal(t, []time.Duration{0, 100 * ms, 300 * ms}, sentTo(n, "other", 9))
		require.Equal(t, 3, f.Fired().Packets)
		w.other.Crash()
		w.other.Restart()
		time.Sleep(time.Second)
		require.Equal(t, 3, f.Fired().Packets, "it is over")
	})
}

// Several sources of cross traffic use ports of their own and none of the program's. After their end nothing more is
// sent.
func TestCrossTrafficBesideOthers(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		w := newBottleneck(n)
		listen(t, w.others, ":9")
		first := w.traffic(0, time.Second, sim.Traffic{Connections: 2})
		second := w.traffic(0, time.Second, sim.Traffic{Rate: netem.Mbit})
		time.Sleep(time.Second + ms)
		var ports []uint16
		last := time.Duration(0)
		for e := range n.Trace().Events() {
			if e.Kind == sim.Sent && e.From == "other" {
				ports, last = append(ports, e.TargetPort), e.At
			}
		}
		slices.Sort(ports)
		require.Equal(t, []uint16{10, 11}, slices.Compact(ports))
		require.Less(t, last, time.Second+ms, "the resets")
		require.NotZero(t, first.Fired())
		require.NotZero(t, second.Fired())

		time.Sleep(time.Second)
		sent := n.Trace().Len()
		time.Sleep(time.Minute)
		require.Equal(t, sent, n.Trace().Len())
		require.NotContains(t, w.other.Netstat(), "10.0.0.", "no socket is left")
		require.NotContains(t, w.others.Netstat(), "ESTAB")
		first.Begin()
		time.Sleep(time.Second)
		require.Greater(t, first.Fired().Last, time.Minute)
	})
}

// A connection that fails is opened again.
func TestCrossTrafficComesBack(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		w := newBottleneck(n)
		f := w.traffic(0, 30*time.Second, sim.Traffic{Connections: 1})
		n.Inject(10*time.Second, 5*time.Second, sim.Crash(w.others))
		time.Sleep(14 * time.Second)
		require.Less(t, f.Fired().Last, 11*time.Second)
		time.Sleep(17 * time.Second)
		require.Equal(t, 30*time.Second, f.Fired().Last)
	})
}
