package sim_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// A rig is the setup for trying a fault: an established TCP connection with an echo server at the other end, and a
// pair of UDP sockets. Hosts a and b are 10 ms apart, each way.
type rig struct {
	t        *testing.T
	n        *sim.Network
	a, b     *sim.Host
	link     *sim.Link
	listener net.Listener // of b
	conn     net.Conn     // of a
	atB      net.PacketConn
	atA      net.Conn       // UDP, to atB
	answer   net.PacketConn // of a, for datagrams of b
}

func onRig(t *testing.T, f func(r *rig), opts ...sim.Option) {
	t.Helper()
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		r := &rig{t: t, n: n, a: n.Host("a"), b: n.Host("b")}
		r.link = n.Link(r.a, r.b, netem.Config{Delay: 10 * ms})
		r.connect()
		f(r)
	}, opts...)
}

func (r *rig) connect() {
	r.t.Helper()
	r.listener = listen(r.t, r.b, ":7")
	accept(r.listener, echo)
	r.conn = dial(r.t, r.a, "b:7")
	var err error
	r.atB, err = r.b.ListenPacket("udp", ":9")
	require.NoError(r.t, err)
	r.answer, err = r.a.ListenPacket("udp", ":9")
	require.NoError(r.t, err)
	r.atA, err = r.a.Dial("udp", "b:9")
	require.NoError(r.t, err)
	time.Sleep(time.Second) // all is quiet: nothing of it shares an instant with the test
}

// echoes sends a byte over the established connection and returns how long its echo took, or 0 if none arrived in
// time.
func (r *rig) echoes(within time.Duration) time.Duration {
	r.t.Helper()
	start := r.n.Elapsed()
	_, err := r.conn.Write([]byte{1})
	require.NoError(r.t, err)
	r.conn.SetReadDeadline(in(within))
	if _, err = io.ReadFull(r.conn, make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		return 0
	}
	require.NoError(r.t, err)
	return r.n.Elapsed() - start
}

// datagrams sends one datagram in each direction and reports which of them arrive.
func (r *rig) datagrams() (aToB, bToA bool) {
	r.t.Helper()
	_, err := r.atA.Write([]byte{1})
	require.NoError(r.t, err)
	_, err = r.atB.WriteTo([]byte{1}, udpAddr(r.a.Addr().String()+":9"))
	require.NoError(r.t, err)
	arrives := func(pc net.PacketConn) bool {
		pc.SetReadDeadline(in(20 * ms))
		_, _, err := pc.ReadFrom(make([]byte, 1))
		if err != nil {
			require.ErrorIs(r.t, err, os.ErrDeadlineExceeded)
		}
		return err == nil
	}
	return arrives(r.atB), arrives(r.answer)
}

// connects dials from a to b and gives up after a while.
func (r *rig) connects(within time.Duration) error {
	ctx, cancel := context.WithTimeout(r.t.Context(), within)
	defer cancel()
	c, err := r.a.DialContext(ctx, "tcp", "b:7")
	if err == nil {
		c.Close()
	}
	return err
}

func (r *rig) requireFired() {
	r.t.Helper()
	require.Empty(r.t, r.n.IdleFaults())
}

func TestDownIsSilent(t *testing.T) {
	onRig(t, func(r *rig) {
		r.link.Down()
		require.Contains(t, r.n.IdleFaults(), "a - b: link down at 1.02s: it met no packet")
		aToB, bToA := r.datagrams()
		require.False(t, aToB || bToA)
		require.ErrorIs(t, r.connects(5*time.Second), context.DeadlineExceeded, "nobody tells")
		require.Zero(t, r.echoes(5*time.Second))
		r.requireFired()
		r.link.Up()

		aToB, bToA = r.datagrams()
		require.True(t, aToB && bToA)
		require.NoError(t, r.connects(20*ms+1))
		_, err := io.ReadFull(r.conn, make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		r.conn.SetReadDeadline(time.Time{})
		_, err = io.ReadFull(r.conn, make([]byte, 1))
		require.NoError(t, err, "the connection lives on")
		require.Equal(t, 20*ms, r.echoes(time.Second))
	})
}

// Packets already in flight when the link goes down still arrive.
func TestDownTakesNothingBack(t *testing.T) {
	onRig(t, func(r *rig) {
		r.n.After(5*ms, r.link.Down)
		start := r.n.Elapsed()
		r.atA.Write([]byte("under way"))
		r.n.After(5*ms, func() { r.atA.Write([]byte("too late")) })
		p := make([]byte, 20)
		k, _, err := r.atB.ReadFrom(p)
		require.NoError(t, err)
		require.Equal(t, "under way", string(p[:k]))
		require.Equal(t, start+10*ms, r.n.Elapsed())
		r.atB.SetReadDeadline(in(time.Second))
		_, _, err = r.atB.ReadFrom(p)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		r.requireFired()
	})
}

func TestDownFromSilencesOneDirection(t *testing.T) {
	onRig(t, func(r *rig) {
		r.link.DownFrom(r.b)
		aToB, bToA := r.datagrams()
		require.True(t, aToB)
		require.False(t, bToA)
		require.ErrorIs(t, r.connects(time.Second), context.DeadlineExceeded)
		r.requireFired()
		r.link.Up()

		r.link.DownFrom(r.a)
		aToB, bToA = r.datagrams()
		require.False(t, aToB)
		require.True(t, bToA)
		r.requireFired()
	})
}

// A link that rejects tells the sender. A dial fails after the round trip to the link. A host that has learned that
// it has no route refuses to send a datagram. An established connection keeps trying (RFC 1122 section 4.2.3.9).
func TestRejectTellsTheSender(t *testing.T) {
	onRig(t, func(r *rig) {
		r.link.Reject()
		start := r.n.Elapsed()
		require.ErrorIs(t, r.connects(time.Second), syscall.EHOSTUNREACH)
		require.Equal(t, start, r.n.Elapsed(), "the link begins at the host")
		require.Zero(t, r.echoes(time.Second))
		_, err := r.atA.Write([]byte{1})
		require.ErrorIs(t, err, syscall.EHOSTUNREACH)
		r.requireFired()
		r.link.Up()
		require.NoError(t, r.connects(time.Second))
		r.conn.SetReadDeadline(time.Time{})
		_, err = io.ReadFull(r.conn, make([]byte, 1))
		require.NoError(t, err)
	})
}

func TestRejectBehindARouter(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b, router := n.Host("a"), n.Host("b"), n.Router("router")
		n.Link(a, router, netem.Config{Delay: 30 * ms})
		n.Link(router, b, netem.Config{Delay: time.Second}).Reject()
		_, err := a.Dial("tcp", "b:7")
		require.ErrorIs(t, err, syscall.EHOSTUNREACH)
		require.Equal(t, 60*ms, n.Elapsed(), "to the router and back")
		require.Empty(t, n.IdleFaults())
	})
}

// Packets sent on a held link wait, and continue in order when it is released.
func TestHoldAndRelease(t *testing.T) {
	onRig(t, func(r *rig) {
		r.link.Hold()
		for _, s := range []string{"1", "2", "3"} {
			_, err := r.atA.Write([]byte(s))
			require.NoError(t, err)
			time.Sleep(time.Second)
		}
		r.conn.Write([]byte("x"))
		released := r.n.Elapsed() + time.Minute
		r.n.After(time.Minute, r.link.Release)

		p := make([]byte, 10)
		for _, want := range []string{"1", "2", "3"} {
			k, _, err := r.atB.ReadFrom(p)
			require.NoError(t, err)
			require.Equal(t, want, string(p[:k]))
			require.Equal(t, released+10*ms, r.n.Elapsed())
		}
		_, err := io.ReadFull(r.conn, p[:1])
		require.NoError(t, err)
		require.InDelta(t, released+20*ms, r.n.Elapsed(), 10)
		require.Equal(t, 20*ms, r.echoes(time.Second))
		r.requireFired()
	})
}

// Packets that a link held are delivered before packets sent at the instant of the release. This holds on the first
// link and on one after a router, for TCP and UDP, and for packets of the same host and of another.
func TestReleaseComesBeforeNewPackets(t *testing.T) {
	for name, opts := range map[string][]sim.Option{"": nil, "many timers": {sim.ManyTimers()}} {
		for _, eager := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " eager ", eager), func(t *testing.T) { releaseBeforeNew(t, eager, opts...) })
		}
	}
}

func releaseBeforeNew(t *testing.T, eager bool, opts ...sim.Option) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		if eager {
			n.Eager()
		}
		a, b, other, r := n.Host("a"), n.Host("b"), n.Host("another"), n.Router("r")
		first := n.Link(a, r, netem.Config{Delay: 3 * ms})
		second := n.Link(r, b, netem.Config{Delay: 10 * ms})
		n.Link(other, r, netem.Config{Delay: 3 * ms})
		accept(listen(t, b, ":7"), readOnly)
		_, err := b.ListenPacket("udp", ":9")
		require.NoError(t, err)
		tcp, tcp2 := dial(t, a, "b:7"), dial(t, other, "b:7")
		udp, err := a.Dial("udp", "b:9")
		require.NoError(t, err)
		for _, link := range []*sim.Link{first, second} {
			time.Sleep(time.Second)
			before := n.Trace().Len()
			link.Hold()
			tcp.Write([]byte("held"))
			udp.Write([]byte("held"))
			tcp2.Write([]byte("held"))
			time.Sleep(100 * ms)
			link.Release()
			tcp.Write([]byte("new"))
			udp.Write([]byte("new"))
			tcp2.Write([]byte("new"))
			time.Sleep(100 * ms)
			come := map[string][]int{}
			for e := range n.Trace().Events() {
				if e.Number >= before && e.Kind == sim.Delivered && e.To == "b" && e.Length > 0 {
					come[e.From+" "+e.Protocol] = append(come[e.From+" "+e.Protocol], e.Length)
				}
			}
			require.Equal(t, map[string][]int{"a tcp": {4, 3}, "a udp": {4, 3}, "another tcp": {4, 3}}, come, "%v", link)
		}
		for e := range n.Trace().Events() {
			require.False(t, e.Resent, "%v", e)
		}
		require.Empty(t, n.IdleFaults())
	}, opts...)
}

// A SYN that is sent at the instant of a release arrives after the held packets of another connection.
func TestReleaseComesBeforeADial(t *testing.T) {
	onRig(t, func(r *rig) {
		r.link.Hold()
		r.atA.Write([]byte{1})
		time.Sleep(time.Second)
		before := r.n.Trace().Len()
		r.link.Release()
		require.NoError(t, r.connects(time.Second))
		var come []string
		for e := range r.n.Trace().Events() {
			if e.Number >= before && e.Kind == sim.Delivered && e.To == "b" {
				come = append(come, e.Protocol)
			}
		}
		require.Equal(t, "udp", come[0])
	})
}

// Packets that were released once are not delivered again.
func TestReleaseEmptiesTheQueue(t *testing.T) {
	onRig(t, func(r *rig) {
		r.link.Hold()
		r.atA.Write([]byte{1})
		time.Sleep(time.Second)
		for range 3 {
			r.link.Release()
			time.Sleep(time.Second)
			r.link.Hold()
		}
		arrived, _ := sent(r)
		require.True(t, arrived)
		arrived, _ = sent(r)
		require.False(t, arrived)
	})
}

// ICMP never answers ICMP (RFC 1122 section 3.2.2).
func TestNoNewsAboutNews(t *testing.T) {
	onRig(t, func(r *rig) {
		c, err := r.a.Dial("udp", "b:5999")
		require.NoError(t, err)
		c.Write([]byte{1})
		r.n.After(5*ms, r.link.Reject)
		time.Sleep(time.Second)
		var icmp []string
		for e := range r.n.Trace().Events() {
			if e.Protocol == "icmp" {
				icmp = append(icmp, e.Kind.String()+" from "+e.From)
			}
		}
		require.Equal(t, []string{"sent from b", "dropped from b"}, icmp)
		r.requireFired()
	})
}

// Set affects only packets that are sent after it.
func TestSetChangesTheLinkUnderTraffic(t *testing.T) {
	onRig(t, func(r *rig) {
		r.link.Set(netem.Config{Delay: 50 * ms})
		require.Equal(t, 100*ms, r.echoes(time.Second))
		r.link.SetAsym(netem.Config{Delay: 1 * ms}, netem.Config{Delay: 20 * ms})
		require.Equal(t, 21*ms, r.echoes(time.Second))
		start := r.n.Elapsed()
		require.NoError(t, r.connects(time.Second))
		require.Equal(t, start+21*ms, r.n.Elapsed())

		r.link.Set(netem.Config{Loss: netem.Bernoulli(1)})
		aToB, bToA := r.datagrams()
		require.False(t, aToB || bToA)
		r.requireFired()
		r.link.Set(netem.Config{})
		aToB, bToA = r.datagrams()
		require.True(t, aToB && bToA)
	})
}
