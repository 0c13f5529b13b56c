package sim_test

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// A scene is two hosts, 10 ms apart over a router, and datagrams of 100 bytes, 128 with headers,
// from the first to the second.
type scene struct {
	t    *testing.T
	n    *sim.Network
	a, b *sim.Host
	r    *sim.Router
	link *sim.Link // a - r
	conn net.Conn
}

func newScene(t *testing.T, n *sim.Network) *scene {
	s := &scene{t: t, n: n, a: n.Host("a"), b: n.Host("b"), r: n.Router("r")}
	s.link = n.Link(s.a, s.r, netem.Config{Delay: 5 * ms})
	n.Link(s.r, s.b, netem.Config{Delay: 5 * ms})
	return s
}

// send sends a datagram every 100 ms, the first after 50 ms.
func (s *scene) send(count int) {
	s.t.Helper()
	for range count {
		s.sendOne(100)
	}
}

func (s *scene) sendOne(length int) {
	time.Sleep(50 * ms)
	if pc, err := s.a.ListenPacket("udp", ":0"); err == nil { // not while a is down
		pc.WriteTo(make([]byte, length), udpAddr("10.0.0.2:9"))
	}
	time.Sleep(50 * ms)
}

// receive collects the lengths of the datagrams that arrive at b. The function that it returns
// stops it.
func (s *scene) receive() (arrived func() []int) {
	pc, err := s.b.ListenPacket("udp", ":9")
	require.NoError(s.t, err)
	var lengths []int
	done := make(chan struct{})
	go func() {
		defer close(done)
		p := make([]byte, 200)
		for {
			k, _, err := pc.ReadFrom(p)
			if err != nil {
				return
			}
			lengths = append(lengths, k)
		}
	}()
	return func() []int {
		pc.Close()
		<-done
		return lengths
	}
}

// Each fault that lasts. Of ten datagrams the test lets it meet the second to the fourth. A row has
// what happens to them, and the fault in Go and in the report.
func TestFaultsAsValues(t *testing.T) {
	for _, row := range []struct {
		fault   func(s *scene) *sim.Fault
		name    string
		code    string
		fired   sim.Fired
		arrived int
	}{
		{func(s *scene) *sim.Fault { return sim.Down(s.link) }, "a - r: link down", "sim.Down(aR)",
			sim.Fired{Count: 3, Packets: 3, Bytes: 384, First: 150 * ms, Last: 350 * ms}, 7},
		{func(s *scene) *sim.Fault { return sim.DownFrom(s.link, s.a) }, "a - r: link down from a", `sim.DownFrom(aR, n.Host("a"))`,
			sim.Fired{Count: 3, Packets: 3, Bytes: 384, First: 150 * ms, Last: 350 * ms}, 7},
		{func(s *scene) *sim.Fault { return sim.Unplug(s.link) }, "a - r: cable unplugged", "sim.Unplug(aR)",
			sim.Fired{Count: 3, Packets: 3, Bytes: 384, First: 150 * ms, Last: 350 * ms}, 7},
		{func(s *scene) *sim.Fault { return sim.Reject(s.link, sim.ICMPPortUnreachable) }, "a - r: link rejects: port unreachable", "sim.Reject(aR, 3)",
			sim.Fired{Count: 3, Packets: 3, Bytes: 384, First: 150 * ms, Last: 350 * ms}, 7},
		{func(s *scene) *sim.Fault { return sim.Hold(s.link) }, "a - r: link holds", "sim.Hold(aR)",
			sim.Fired{Count: 3, Packets: 3, Bytes: 384, First: 150 * ms, Last: 350 * ms}, 10},
		{func(s *scene) *sim.Fault {
			return sim.Impair(s.link, netem.Config{Delay: 5 * ms, Loss: netem.DropList{2, 3}})
		}, "a - r: link impaired", "sim.Impair(aR, netem.Config{Delay: 5*time.Millisecond, Loss: netem.DropList{2, 3}})",
			sim.Fired{Count: 2, Packets: 2, Bytes: 256, First: 250 * ms, Last: 350 * ms}, 8},
		{func(s *scene) *sim.Fault {
			return sim.Impair(s.link, netem.Config{Delay: 7 * ms})
		}, "a - r: link impaired", "sim.Impair(aR, netem.Config{Delay: 7*time.Millisecond})",
			sim.Fired{Count: 3, Packets: 3, Bytes: 384, First: 150 * ms, Last: 350 * ms}, 10},
		{func(s *scene) *sim.Fault { return sim.Partition(s.n, []*sim.Host{s.a}, []*sim.Host{s.b}) }, "partition a | b",
			`sim.Partition(n, []*sim.Host{n.Host("a")}, []*sim.Host{n.Host("b")})`,
			sim.Fired{Count: 3, Packets: 3, Bytes: 384, First: 150 * ms, Last: 350 * ms}, 7},
		{func(s *scene) *sim.Fault {
			return sim.PartitionOneWay(s.n, []*sim.Host{s.a}, []*sim.Host{s.b})
		}, "partition one way a | b", `sim.PartitionOneWay(n, []*sim.Host{n.Host("a")}, []*sim.Host{n.Host("b")})`,
			sim.Fired{Count: 3, Packets: 3, Bytes: 384, First: 150 * ms, Last: 350 * ms}, 7},
		{func(s *scene) *sim.Fault {
			return sim.PartitionBy(s.n, sim.Isolate(s.b), sim.PartitionConfig{})
		}, "partition b > all, all > b", `sim.PartitionBy(n, sim.Cuts{sim.Cut{From: []*sim.Host{n.Host("b")}}, sim.Cut{To: []*sim.Host{n.Host("b")}}}, sim.PartitionConfig{})`,
			sim.Fired{Count: 3, Packets: 3, Bytes: 384, First: 150 * ms, Last: 350 * ms}, 7},
		{func(s *scene) *sim.Fault {
			return sim.PartitionBy(s.n, sim.Cuts{{To: []*sim.Host{s.b}}}, sim.PartitionConfig{Holds: true})
		}, "partition all > b (holds)", `sim.PartitionBy(n, sim.Cuts{sim.Cut{To: []*sim.Host{n.Host("b")}}}, sim.PartitionConfig{Holds: true})`,
			sim.Fired{Count: 3, Packets: 3, Bytes: 384, First: 150 * ms, Last: 350 * ms}, 10},
		{func(s *scene) *sim.Fault {
			return sim.PartitionBy(s.n, sim.Cuts{{To: []*sim.Host{s.b}}}, sim.PartitionConfig{Rejects: true, Code: sim.ICMPHostUnreachable})
		}, "partition all > b (rejects: host unreachable)", `sim.PartitionBy(n, sim.Cuts{sim.Cut{To: []*sim.Host{n.Host("b")}}}, sim.PartitionConfig{Rejects: true, Code: 1})`,
			sim.Fired{Count: 3, First: 150 * ms, Last: 350 * ms}, 7}, // calls that fail
		{func(s *scene) *sim.Fault { return sim.Flap(sim.Down(s.link), 100*ms, 70*ms) }, "flapping: a - r: link down", "sim.Flap(sim.Down(aR), 100*time.Millisecond, 70*time.Millisecond)",
			sim.Fired{Count: 2, Packets: 2, Bytes: 256, First: 150 * ms, Last: 350 * ms}, 8}, // down until 200 ms, and from 270 to 370
		{func(s *scene) *sim.Fault { return sim.Crash(s.b) }, "b: crash", `sim.Crash(n.Host("b"))`,
			sim.Fired{Count: 1, First: 100 * ms, Last: 100 * ms}, 1}, // its one socket is gone
		{func(s *scene) *sim.Fault { return sim.PowerOff(s.b) }, "b: power off", `sim.PowerOff(n.Host("b"))`,
			sim.Fired{Count: 4, Packets: 3, Bytes: 384, First: 100 * ms, Last: 360 * ms}, 1},
		{func(s *scene) *sim.Fault { return sim.Pause(s.b) }, "b: pause", `sim.Pause(n.Host("b"))`,
			sim.Fired{Count: 1, First: 160 * ms, Last: 160 * ms}, 10}, // the reader, which is woken once
		{func(s *scene) *sim.Fault {
			return sim.CrossTraffic(s.a, s.b, sim.Traffic{Rate: 8 * netem.Kbit, Size: 100}) // every 100 ms, also as it ends
		}, "a - b: cross traffic from a, UDP at 8Kbit/s", `sim.CrossTraffic(n.Host("a"), n.Host("b"), sim.Traffic{Rate: 8000, Size: 100})`,
			sim.Fired{Count: 4, Packets: 4, Bytes: 400, First: 100 * ms, Last: 400 * ms}, 10},
		{func(s *scene) *sim.Fault { return sim.NewFault(s.n, "full moon", func() {}, nil) }, "full moon", `sim.NewFault(n, "full moon")`,
			sim.Fired{Count: 1, First: 100 * ms, Last: 100 * ms}, 10},
	} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			s := newScene(t, n)
			arrived := s.receive()
			f := row.fault(s)
			require.Equal(t, row.name, f.Name())
			require.Equal(t, row.code, f.Code(nil))
			require.Zero(t, f.Fired())
			require.Same(t, f, n.Inject(100*ms, 300*ms, f))
			require.Equal(t, "100ms          "+row.name+"\n400ms          "+row.name+", over\n", n.Schedule().String())
			s.send(10)
			time.Sleep(time.Second)
			require.Empty(t, n.Schedule())
			require.Equal(t, row.fired, f.Fired(), row.name)
			require.Len(t, arrived(), row.arrived, row.name)
			faults := n.Stats().Faults // those of which it is made before it
			require.Equal(t, sim.FaultStats{row.name, row.fired}, faults[len(faults)-1])
			require.Contains(t, n.Trace().String(), row.name+", over\n")
		}, sim.Strict())
	}
}

// A fault that overlaps with another of its kind, or with the method that does the same, lasts for
// its own time.
func TestFaultsOverlap(t *testing.T) {
	for _, row := range []struct {
		name    string
		inject  func(s *scene)
		arrived []int // which of ten datagrams, from 0
	}{
		{"one within another", func(s *scene) {
			s.n.Inject(100*ms, 500*ms, sim.Down(s.link))
			s.n.Inject(200*ms, 100*ms, sim.Down(s.link))
		}, []int{0, 6, 7, 8, 9}},
		{"one after the other began", func(s *scene) {
			s.n.Inject(100*ms, 200*ms, sim.DownFrom(s.link, s.a))
			s.n.Inject(200*ms, 400*ms, sim.Reject(s.link, sim.ICMPHostUnreachable))
		}, []int{0, 6, 7, 8, 9}},
		{"holds", func(s *scene) {
			s.n.Inject(100*ms, 300*ms, sim.Hold(s.link))
			s.n.Inject(200*ms, 100*ms, sim.Hold(s.link))
			s.n.Inject(310*ms, 200*ms, sim.Down(s.link)) // what is held until 400 ms is lost then
		}, []int{0, 5, 6, 7, 8, 9}},
		{"partitions", func(s *scene) {
			s.n.Inject(100*ms, 300*ms, sim.Partition(s.n, []*sim.Host{s.a}, []*sim.Host{s.b}))
			s.n.Inject(200*ms, 100*ms, sim.PartitionOneWay(s.n, []*sim.Host{s.a}, []*sim.Host{s.b}))
		}, []int{0, 4, 5, 6, 7, 8, 9}},
		{"configurations: the last decides", func(s *scene) {
			lossy := func(p float64) netem.Config { return netem.Config{Delay: 5 * ms, Loss: netem.Bernoulli(p)} }
			s.n.Inject(100*ms, 500*ms, sim.Impair(s.link, lossy(1)))
			s.n.Inject(200*ms, 100*ms, sim.Impair(s.link, lossy(0)))
		}, []int{0, 2, 6, 7, 8, 9}},
		{"a configuration that outlasts the one begun after it", func(s *scene) {
			lossy := func(p float64) netem.Config { return netem.Config{Delay: 5 * ms, Loss: netem.Bernoulli(p)} }
			s.n.Inject(100*ms, 200*ms, sim.Impair(s.link, lossy(0)))
			s.n.Inject(200*ms, 300*ms, sim.Impair(s.link, lossy(1)))
		}, []int{0, 1, 5, 6, 7, 8, 9}},
		{"one fault for several times: the last end counts", func(s *scene) {
			f := sim.Down(s.link)
			s.n.Inject(100*ms, 300*ms, f)
			s.n.Inject(200*ms, 100*ms, f)
			s.n.Inject(350*ms, 200*ms, f)
			s.n.Inject(700*ms, 100*ms, f)
		}, []int{0, 6, 8, 9}},
		{"one fault for a time, and without an end", func(s *scene) {
			f := sim.Down(s.link)
			s.n.Inject(100*ms, 300*ms, f)
			s.n.Inject(200*ms, 0, f)
			s.n.After(600*ms, f.End)
			s.n.Inject(700*ms, 100*ms, f)
		}, []int{0, 6, 8, 9}},
		{"one fault for a time that End cuts short, and again before that would have been over", func(s *scene) {
			f := sim.Down(s.link)
			s.n.Inject(100*ms, 500*ms, f)
			s.n.After(200*ms, f.End)
			s.n.Inject(400*ms, 300*ms, f)
		}, []int{0, 2, 3, 7, 8, 9}},
		{"Set ends them", func(s *scene) {
			s.n.Inject(100*ms, 500*ms, sim.Impair(s.link, netem.Config{Delay: 5 * ms, Loss: netem.Bernoulli(1)}))
			s.n.After(200*ms, func() { s.link.Set(netem.Config{Delay: 5 * ms}) })
		}, []int{0, 2, 3, 4, 5, 6, 7, 8, 9}},
		{"Up ends them", func(s *scene) {
			s.n.Inject(100*ms, 500*ms, sim.Down(s.link))
			s.n.After(200*ms, s.link.Up)
			s.n.After(300*ms, s.link.Down)
			s.n.After(800*ms, s.link.Up)
		}, []int{0, 2, 8, 9}},
		{"a method takes the place of a fault, which may begin again", func(s *scene) {
			f := s.n.Inject(100*ms, 800*ms, sim.Reject(s.link, sim.ICMPHostUnreachable))
			s.n.After(200*ms, s.link.Down)
			s.n.After(300*ms, s.link.Up)
			s.n.After(500*ms, f.Begin)
			s.n.After(700*ms, s.link.Up)
		}, []int{0, 3, 4, 7, 8, 9}},
		{"a method takes the place of a fault in one direction", func(s *scene) {
			s.n.Inject(100*ms, 200*ms, sim.Down(s.link))
			s.n.After(200*ms, func() { s.link.DownFrom(s.r) })
		}, []int{0, 3, 4, 5, 6, 7, 8, 9}},
		{"a host that is down is not paused, until it is up", func(s *scene) {
			s.n.Inject(100*ms, 300*ms, sim.Crash(s.a))
			f := s.n.Inject(200*ms, 600*ms, sim.Pause(s.a))
			s.n.After(500*ms, f.Begin)
			s.n.Inject(795*ms, 10*ms, sim.Down(s.link)) // what is paused until 800 ms is lost then
		}, []int{0, 4, 8, 9}},
		{"hosts", func(s *scene) {
			s.n.Inject(100*ms, 300*ms, sim.PowerOff(s.a))
			s.n.Inject(200*ms, 400*ms, sim.Crash(s.a))
		}, []int{0, 6, 7, 8, 9}},
		{"Restart ends them", func(s *scene) {
			s.n.Inject(100*ms, 300*ms, sim.PowerOff(s.a))
			s.n.Inject(100*ms, 400*ms, sim.Crash(s.a))
			s.n.After(200*ms, s.a.Restart)
		}, []int{0, 2, 3, 4, 5, 6, 7, 8, 9}},
		{"pauses, the longer one first", func(s *scene) {
			s.n.Inject(100*ms, 300*ms, sim.Pause(s.a))
			s.n.Inject(200*ms, 100*ms, sim.Pause(s.a))
			s.n.Inject(350*ms, 90*ms, sim.Down(s.link)) // what is paused until 400 ms is lost then
		}, []int{0, 4, 5, 6, 7, 8, 9}},
	} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			s := newScene(t, n)
			arrived := s.receive()
			row.inject(s)
			for i := range 10 {
				s.sendOne(i)
			}
			time.Sleep(time.Second)
			require.Equal(t, row.arrived, arrived(), row.name)
		})
	}
}

// Equal faults meet the same packets, whichever of them decides. A fault that takes the place of
// another is compared with the link without any fault.
func TestEqualImpairments(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		s := newScene(t, n)
		slow := netem.Config{Delay: 20 * ms}
		first, second := n.Inject(100*ms, 400*ms, sim.Impair(s.link, slow)), n.Inject(200*ms, 100*ms, sim.Impair(s.link, slow))
		other := n.Inject(600*ms, 100*ms, sim.Impair(s.link, netem.Config{Delay: 30 * ms}))
		same := n.Inject(600*ms, 100*ms, sim.Impair(s.link, netem.Config{Delay: 5 * ms}))
		cuts := n.Inject(800*ms, 100*ms, sim.Impair(s.link, netem.Config{Delay: 5 * ms, MTU: 100})).MustFire()
		s.receive()
		s.send(10)
		require.Equal(t, 4, first.Fired().Packets)
		require.Equal(t, 1, second.Fired().Packets)
		require.Equal(t, 0, other.Fired().Packets, "it is hidden")
		require.Equal(t, 0, same.Fired().Packets, "it is as the link is anyhow")
		require.Equal(t, 2, cuts.Fired().Packets, "a datagram of 128 bytes is cut in two")
	})
}

// The report says what a fault that met nothing has missed.
func TestWhyAFaultNeverFired(t *testing.T) {
	for _, row := range []struct {
		inject func(s *scene) *sim.Fault
		want   string
	}{
		{func(s *scene) *sim.Fault { return sim.Down(s.link) }, "a - r: link down: it never began"},
		{func(s *scene) *sim.Fault { return s.n.Inject(time.Hour, time.Hour, sim.Down(s.link)) }, "a - r: link down: the test ended before it was due to begin, at 1h0m0s"},
		{func(s *scene) *sim.Fault { return s.n.Inject(110*ms, 30*ms, sim.Down(s.link)) }, "a - r: link down at 110ms: it met no packet: some came before or after, but none from 110ms to 140ms"},
		{func(s *scene) *sim.Fault { return s.n.Inject(480*ms, 0, sim.Down(s.link)) }, "a - r: link down at 480ms: it met no packet: some came before, but none from 480ms on"},
		{func(s *scene) *sim.Fault { return s.n.Inject(0, 0, sim.DownFrom(s.link, s.r)) }, "a - r: link down from r at 0s: it met no packet: all went in the other direction"},
		{func(s *scene) *sim.Fault {
			return s.n.Inject(0, 0, sim.Down(s.n.Link(s.r, s.n.Host("c"), netem.Config{})))
		}, "r - c: link down at 0s: it met no packet: none came at all"},
		{func(s *scene) *sim.Fault {
			return s.n.Inject(100*ms, 200*ms, sim.Impair(s.link, netem.Config{Delay: 5 * ms, Duplicate: 1e-9}))
		}, "a - r: link impaired at 100ms: 2 packets came from 100ms to 300ms, but it met no packet that it affected"},
		{func(s *scene) *sim.Fault { return s.n.Inject(0, 0, sim.Crash(s.n.Host("c"))) }, "c: crash at 0s: it met no process, socket or connection"},
		{func(s *scene) *sim.Fault {
			return s.n.Inject(0, 0, sim.Partition(s.n, []*sim.Host{s.a}, []*sim.Host{s.n.Host("c")}))
		}, "partition a | c at 0s: it met no packet between its groups"},
		{func(s *scene) *sim.Fault { return s.n.Inject(0, 0, sim.BlockICMP(s.r)) }, "r: ICMP blocked at 0s: it met no ICMP message"},
	} {
		for _, must := range []bool{false, true} {
			err := sim.Try(t, func(n *sim.Network) error {
				s := newScene(t, n)
				_, err := s.b.ListenPacket("udp", ":9")
				require.NoError(t, err)
				f := row.inject(s)
				if must {
					require.Same(t, f, f.MustFire())
				}
				s.send(5)
				return nil
			}, sim.Seed(1))
			if must {
				require.ErrorContains(t, err, "sim: a fault with MustFire never fired: "+row.want)
			} else {
				require.NoError(t, err)
				strict := sim.Try(t, func(n *sim.Network) error {
					s := newScene(t, n)
					_, err := s.b.ListenPacket("udp", ":9")
					require.NoError(t, err)
					row.inject(s)
					s.send(5)
					return nil
				}, sim.Strict())
				require.ErrorContains(t, strict, "\n  "+row.want)
			}
		}
	}
}

func TestAFaultBeginsAndEndsByHand(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		s := newScene(t, n)
		f := sim.Down(s.link).MustFire()
		f.End() // it has not begun
		n.After(100*ms, f.Begin)
		n.After(200*ms, f.Begin) // it lasts
		n.After(300*ms, f.End)
		n.After(400*ms, f.End) // it is over
		n.After(600*ms, f.Begin)
		n.After(700*ms, f.End)
		s.send(10)
		require.Equal(t, sim.Fired{Count: 3, Packets: 3, Bytes: 384, First: 150 * ms, Last: 650 * ms}, f.Fired())

		var begun, ended atomic.Int32
		own := n.Inject(0, 10*ms, sim.NewFault(n, "own", func() { begun.Add(1) }, func() { ended.Add(1) }))
		time.Sleep(20 * ms)
		own.Begin()
		require.Equal(t, []int32{2, 1}, []int32{begun.Load(), ended.Load()})
		require.Equal(t, 2, own.Fired().Count)
		require.Equal(t, "own", own.String())
	})
}

func TestMisuseOfFaults(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		s := newScene(t, n)
		other := sim.New()
		defer other.Close()
		for want, f := range map[string]func(){
			"sim: Inject: the fault is nil":                                         func() { n.Inject(0, 0, nil) },
			"sim: Inject(-1s, 0s, a - r: link down): at must not be negative":       func() { n.Inject(-time.Second, 0, sim.Down(s.link)) },
			"sim: Inject(0s, -1s, a - r: link down): lasts must not be negative":    func() { n.Inject(0, -time.Second, sim.Down(s.link)) },
			"sim: Inject(1s, 0s, b: crash): the fault belongs to another network":   func() { n.Inject(time.Second, 0, sim.Crash(other.Host("b"))) },
			`sim: link a - r: DownFrom("b"): it must be one of the link's two ends`: func() { sim.DownFrom(s.link, s.b) },
			"sim: link a - r: Reject(4): it must be one of the codes of ICMPCode":   func() { sim.Reject(s.link, 4) },
			"sim: Link.Down: the link is nil, or was not made by Network.Link":      func() { sim.Down(nil) },
			"sim: Host.Crash: the host is nil, or was not made by Network.Host":     func() { sim.Crash(nil) },
			"sim: BlockICMP: the router is nil":                                     func() { sim.BlockICMP(nil) },
			"sim: NewFault: the network is nil":                                     func() { sim.NewFault(nil, "x", func() {}, nil) },
			"sim: NewFault: the name is empty":                                      func() { sim.NewFault(n, "", func() {}, nil) },
			`sim: NewFault("x"): begin must not be nil`:                             func() { sim.NewFault(n, "x", nil, nil) },
			"sim: Partition: the network is nil":                                    func() { sim.Partition(nil) },
			"sim: PartitionOneWay: the network is nil":                              func() { sim.PartitionOneWay(nil, nil, nil) },
			`sim: Partition: host "a" is in groups 1 and 2`:                         func() { sim.Partition(n, []*sim.Host{s.a}, []*sim.Host{s.a}) },
			"sim: link a - r: Impair: netem: Delay: -1s: must be in [0s,24h]":       func() { sim.Impair(s.link, netem.Config{Delay: -time.Second}) },
		} {
			require.PanicsWithValue(t, want, f)
		}
	})
}
