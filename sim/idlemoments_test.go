package sim_test

import (
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// A village is a few hosts whose connections do nothing but keep each other alive, by Go's default
// after 15 s.
type village struct {
	n            *sim.Network
	a, b, c      *sim.Host
	link         *sim.Link // between a and b
	ab, cb       *sim.TCPConn
	idle         *sim.TCPConn // nobody reads its other end
	told         net.Conn
	onCB, onIdle <-chan string // how and when a Read ended that has waited from the beginning
}

// say sends what was seen, so that the trace has it and its time.
func (v *village) say(what string, args ...any) {
	fmt.Fprintf(v.told, what, args...)
	v.told.Write([]byte(v.n.Elapsed().String()))
}

func newVillage(n *sim.Network) *village {
	v := &village{n: n, a: n.Host("a"), b: n.Host("b"), c: n.Host("c")}
	v.link = n.Link(v.a, v.b, netem.Config{Delay: 30 * ms})
	n.Link(v.b, n.Router("r"), netem.Config{Delay: 7 * ms})
	n.Link(n.Router("r"), v.c, netem.Config{Delay: 5 * ms, Rate: netem.Mbit})
	var err error
	v.told, err = v.c.Dial("udp", "a:9")
	check(err)
	dial := func(h *sim.Host, addr string) *sim.TCPConn {
		c, err := h.Dial("tcp", addr)
		check(err)
		return c.(*sim.TCPConn)
	}
	l, err := v.b.Listen("tcp", ":7")
	check(err)
	accept(l, echo)
	deaf, err := v.b.Listen("tcp", ":8")
	check(err)
	v.ab, v.cb, v.idle = dial(v.a, "b:7"), dial(v.c, "b:7"), dial(v.a, "b:8")
	_, err = deaf.Accept()
	check(err)
	v.onCB, v.onIdle = endOf(n, v.cb), endOf(n, v.idle)
	return v
}

// endOf reads from c and reports how it ended.
func endOf(n *sim.Network, c net.Conn) <-chan string {
	end := make(chan string, 1)
	go func() {
		defer close(end)
		_, err := c.Read(make([]byte, 1))
		end <- fmt.Sprint(err, " at ", n.Elapsed())
	}()
	return end
}

// The ways in which a program can notice something, or change something, at an instant when there
// has been nothing but keep-alive for a while.
var moments = map[string]func(v *village){
	"nothing": func(v *village) {},
	"a read's deadline": func(v *village) {
		v.ab.SetReadDeadline(in(20 * time.Second))
		_, err := v.ab.Read(make([]byte, 1))
		v.say("%v", err)
	},
	"a read's deadline that comes nearer": func(v *village) {
		v.ab.SetReadDeadline(in(time.Hour))
		time.AfterFunc(20*time.Second, func() { v.ab.SetReadDeadline(in(12 * time.Second)) })
		_, err := v.ab.Read(make([]byte, 1))
		v.say("%v", err)
		v.ab.SetReadDeadline(time.Time{})
	},
	"a write's deadline": func(v *village) {
		v.idle.SetWriteDeadline(in(40 * time.Second))
		k, err := v.idle.Write(make([]byte, 8<<20))
		v.say("%d %v", k, err)
	},
	"an accept's deadline": func(v *village) {
		l, err := v.a.Listen("tcp", ":77")
		check(err)
		l.(*sim.TCPListener).SetDeadline(in(20 * time.Second))
		_, err = l.Accept()
		v.say("%v", err)
		l.Close()
	},
	"a datagram's deadline, and a datagram": func(v *village) {
		u, err := v.a.ListenPacket("udp", ":99")
		check(err)
		u.SetReadDeadline(in(20 * time.Second))
		_, _, err = u.ReadFrom(make([]byte, 1))
		v.say("%v", err)
		to, err := v.c.Dial("udp", "a:99")
		check(err)
		time.AfterFunc(20*time.Second, func() { to.Write([]byte("x")) })
		u.SetReadDeadline(in(time.Minute))
		k, _, err := u.ReadFrom(make([]byte, 1))
		v.say("%d %v", k, err)
		u.Close()
		to.Close()
	},
	"a timer of the program's": func(v *village) {
		<-time.After(20 * time.Second)
		v.say("after")
	},
	"a timer of the network's": func(v *village) {
		done := make(chan int)
		v.n.After(20*time.Second, func() { v.say("during"); close(done) })
		<-done
		v.say("after")
	},
	"work":            func(v *village) { v.say("%v", v.b.Work(20*time.Second)) },
	"a look at stats": func(v *village) { v.say("%v %s", v.n.Stats(), v.b.Netstat()) },
	"a byte": func(v *village) {
		v.ab.Write([]byte("x"))
		k, err := io.ReadFull(v.ab, make([]byte, 1))
		v.say("%d %v", k, err)
	},
	"another connection": func(v *village) {
		c, err := v.c.Dial("tcp", "b:7")
		v.say("%v", err)
		c.Close()
	},
	"other keep-alive": func(v *village) {
		v.ab.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 2})
	},
	"other buffers":       func(v *village) { v.ab.SetReadBuffer(5000) },
	"an end of one's own": func(v *village) { v.ab.CloseWrite() },
	"a link that is down for a moment": func(v *village) {
		v.n.After(20*time.Second, v.link.Down)
		v.n.After(20*time.Second+40*ms, v.link.Up)
	},
	"a link that is down at once": func(v *village) {
		v.link.Down()
		time.Sleep(25 * time.Second)
		v.link.Up()
	},
	"a probe that fails": func(v *village) {
		v.n.Inject(20*time.Second, 0, sim.Drop(v.link, sim.Packets{From: v.a, Kind: sim.PureACK, Nth: 1}))
	},
	"answers that fail until the connection does": func(v *village) {
		v.n.Inject(20*time.Second, 0, sim.Drop(v.link, sim.Packets{From: v.b, Kind: sim.PureACK}))
		v.say("%s", <-v.onIdle) // 15 s and eight times 15 s after the first probe without an answer
	},
	"a crash": func(v *village) {
		v.n.After(20*time.Second, v.b.Crash)
		v.say("%s", <-v.onCB)
	},
	"power that fails": func(v *village) {
		v.n.After(20*time.Second, v.b.PowerOff)
		v.say("%s", <-v.onCB)
	},
	"a restart": func(v *village) {
		v.n.After(20*time.Second, v.b.PowerOff)
		v.n.After(23*time.Second, v.b.Restart)
		v.say("%s", <-v.onCB)
	},
	"a pause": func(v *village) {
		v.n.After(20*time.Second, v.b.Pause)
		v.n.After(100*time.Second, v.b.Resume)
	},
	"a link that holds": func(v *village) {
		v.n.After(20*time.Second, v.link.Hold)
		v.n.After(100*time.Second, v.link.Release)
	},
	"a partition": func(v *village) {
		v.n.After(20*time.Second, func() { v.n.Partition([]*sim.Host{v.a, v.c}, []*sim.Host{v.b}) })
		v.say("%s", <-v.onCB)
	},
	"loss": func(v *village) {
		v.n.After(20*time.Second, func() { v.link.Set(netem.Config{Delay: 30 * ms, Loss: netem.Bernoulli(0.5)}) })
	},
	"a link as slow as probes are apart": func(v *village) {
		v.n.After(20*time.Second, func() { v.link.Set(netem.Config{Delay: 8 * time.Second}) })
	},
	"a read that is given up": func(v *village) {
		time.AfterFunc(20*time.Second, func() { v.cb.Close() })
		v.say("%s", <-v.onCB)
	},
	"a host that is new": func(v *village) { v.n.Link(v.n.Host("d"), v.a, netem.Config{Delay: ms}) },
}

// If the program has done nothing for seconds, minutes or an hour, what it then notices and what
// its connections do are the same as with an engine that defers nothing.
func TestMomentsAmongKeepAlive(t *testing.T) {
	t.Parallel()
	for i, name := range slices.Sorted(maps.Keys(moments)) {
		if leftOutUnderRace(i) {
			continue
		}
		moment := moments[name]
		t.Run(name, func(t *testing.T) {
			requireSameWithoutLookahead(t, 1, func(n *sim.Network) {
				v := newVillage(n)
				time.Sleep(12 * time.Minute)
				moment(v)
				for _, gap := range []time.Duration{10*time.Second + 1, 11 * time.Second, 15_030 * ms, 100 * time.Second, 15 * time.Minute} {
					time.Sleep(gap)
					v.say("still here")
				}
			}, sim.Limit(day)) // so that a call that hangs does so for a day
		})
	}
}

// The same for several of them one after the other, at instants drawn at random.
func TestRandomMomentsAmongKeepAlive(t *testing.T) {
	t.Parallel()
	names := slices.Sorted(maps.Keys(moments))
	for seed := range uint64(fewerUnderRace(12)) {
		requireSameWithoutLookahead(t, seed, func(n *sim.Network) {
			r := n.Rand("moments")
			v := newVillage(n)
			for range 4 {
				time.Sleep(time.Duration(r.IntN(400_000)) * ms)
				name := names[r.IntN(len(names))]
				done := make(chan struct{})
				go func() { // one that waits for an end may have come too late for it
					defer close(done)
					moments[name](v)
				}()
				select {
				case <-done:
				case <-time.After(5 * time.Minute):
				}
				v.say("%s", name)
			}
		}, sim.Limit(day))
	}
}
