package sim_test

import (
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

const us = time.Microsecond

// The first packet waits for the configured time. Packets that arrive meanwhile are handled together with it, and later
// ones wait for the next interrupt.
func TestPacketsWaitForAnInterrupt(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server := n.Host("client"), n.Host("server")
		n.Link(client, server, netem.Config{Delay: ms})
		pc, err := server.ListenPacket("udp", ":9")
		require.NoError(t, err)
		c, err := client.Dial("udp", "server:9")
		require.NoError(t, err)
		come := func(at ...time.Duration) (delivered []time.Duration) {
			began := n.Elapsed()
			for _, d := range at {
				time.Sleep(began + d - n.Elapsed())
				c.Write([]byte("x"))
			}
			for range at {
				pc.ReadFrom(make([]byte, 1))
			}
			time.Sleep(ms)
			for e := range n.Trace().Events() {
				if e.Kind == sim.Delivered && e.To == "server" && e.At >= began {
					delivered = append(delivered, e.At-began)
				}
			}
			return delivered
		}
		times := []time.Duration{0, 30 * us, 50 * us, 60 * us, 200 * us}
		require.Equal(t, []time.Duration{1000 * us, 1030 * us, 1050 * us, 1060 * us, 1200 * us}, come(times...), "each for itself")
		server.Coalesce(50 * us)
		// The card interrupts 50 us after the first packet, and again 50 us after the fourth, and after the fifth.
		require.Equal(t, []time.Duration{1050 * us, 1050 * us, 1050 * us, 1110 * us, 1250 * us}, come(times...), "together")
		server.Coalesce(0)
		require.Equal(t, []time.Duration{1000 * us, 1030 * us, 1050 * us, 1060 * us, 1200 * us}, come(times...), "each for itself again")

		// Packets that wait when coalescing is turned off are handled at the time of the interrupt that was due.
		server.Coalesce(500 * us)
		n.After(1100*us, func() { server.Coalesce(0) })
		require.Equal(t, []time.Duration{1500 * us, 1500 * us, 2000 * us}, come(0, 300*us, 1000*us))
	})
}

// Of the segments that arrive within one interrupt, each train that the sender sent as a whole, up to PSH, is acknowledged
// once. The program reads all of them at once.
func TestSegmentsThatContinueEachOtherAreAcknowledgedOnce(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server := n.Host("client"), n.Host("server")
		n.Link(client, server, netem.Config{Delay: ms, Rate: netem.Gbit})
		l, err := server.Listen("tcp", ":7")
		require.NoError(t, err)
		c, err := client.Dial("tcp", "server:7")
		require.NoError(t, err)
		s, err := l.Accept()
		require.NoError(t, err)
		fetch := func() (acks int, took time.Duration, reads int) {
			time.Sleep(time.Second) // the window is that of a new connection again
			began := n.Elapsed()
			_, err := s.Write(make([]byte, 14_480)) // 10 segments
			require.NoError(t, err)
			for left := 14_480; left > 0; reads++ {
				k, err := c.Read(make([]byte, left))
				require.NoError(t, err)
				left -= k
			}
			took = n.Elapsed() - began
			time.Sleep(100 * ms)
			for e := range n.Trace().Events() {
				if e.Kind == sim.Sent && e.From == "client" && e.At >= began && e.Length == 0 {
					acks++
				}
			}
			return acks, took, reads
		}
		// A packet of 1500 bytes takes 12 us: the first has arrived after 1012 us, the last after 1120 us.
		acks, took, reads := fetch()
		require.Equal(t, []any{10, 1120 * us, 10}, []any{acks, took.Round(us), reads}, "a new connection acknowledges each segment")
		client.Coalesce(125 * us)
		acks, took, reads = fetch()
		// The sender's kernel makes a train of half the congestion window: five segments.
		require.Equal(t, []any{2, 1137 * us, 1}, []any{acks, took.Round(us), reads}, "125 us after the first")
		client.Coalesce(60 * us)
		// Six have arrived 60 us after the first, at 1072 us: a train, and a segment of the next train. The other four arrive
		// from 1084 us on.
		acks, took, reads = fetch()
		require.Equal(t, []any{3, 1144 * us, 2}, []any{acks, took.Round(us), reads}, "60 us after the first and after the seventh")
	})
}

// Segments are joined for each flow separately, even when segments of two flows alternate.
func TestFlowsAreJoinedApart(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		phone := n.Host("phone")
		var servers []net.Conn
		for _, name := range []string{"a", "b"} {
			h := n.Host(name)
			n.Link(h, phone, netem.Config{Delay: ms, Rate: netem.Gbit})
			l, err := h.Listen("tcp", ":7")
			require.NoError(t, err)
			c, err := phone.Dial("tcp", name+":7")
			require.NoError(t, err)
			go io.Copy(io.Discard, c)
			s, err := l.Accept()
			require.NoError(t, err)
			servers = append(servers, s)
		}
		phone.Coalesce(125 * us)
		began := n.Elapsed()
		for _, s := range servers { // at one instant, over links that are equally fast, in two trains each
			s.Write(make([]byte, 14_480))
		}
		time.Sleep(100 * ms)
		acks := map[string]int{}
		for e := range n.Trace().Events() {
			if e.Kind == sim.Sent && e.From == "phone" && e.At >= began {
				acks[e.To]++
			}
		}
		require.Equal(t, map[string]int{"a": 2, "b": 2}, acks)
	})
}

// Hosts that coalesce behave the same with and without lookahead, whatever happens meanwhile.
func TestLookaheadAndCoalescing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(fewerUnderRace(12)) {
		requireSameWithoutLookahead(t, seed, coalescingSockets)
	}
}

// coalescingSockets runs randomSockets on hosts of which one, both or neither coalesces, and which may change their settings during the run.
// Links are so fast that some packets wait for others.
func coalescingSockets(n *sim.Network) {
	r := n.Rand("cards")
	client, server := n.Host("client"), n.Host("server")
	for _, h := range []*sim.Host{client, server} {
		if r.IntN(4) > 0 {
			h.Coalesce(time.Duration(1+r.IntN(20)) * 250 * us)
		}
		if r.IntN(2) == 0 {
			other := time.Duration(r.IntN(3)) * 5 * ms
			n.After(time.Duration(r.IntN(300))*ms+3*us, func() { h.Coalesce(other) })
		}
	}
	randomSockets(n)
}

// Hosts that coalesce transfer every byte unchanged, over all kinds of links.
func TestCoalescingCarriesEveryByte(t *testing.T) {
	for i, cfg := range []netem.Config{
		{},
		{Delay: 5 * ms, Rate: netem.Gbit, Queue: netem.DropTail{Packets: 100}},
		{Delay: 20 * ms, Loss: netem.Bernoulli(0.02), Corrupt: 0.01, Duplicate: 0.01},
		{Delay: 5 * ms, Jitter: 3 * ms, Reorder: 0.02},
		{Delay: ms, Rate: 50 * netem.Mbit, Queue: netem.CoDel{}},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				client, server := n.Host("client"), n.Host("server")
				client.Coalesce(50 * us)
				server.Coalesce(250 * us)
				n.Link(client, server, cfg)
				l, err := server.Listen("tcp", ":7")
				require.NoError(t, err)
				c, err := client.Dial("tcp", "server:7")
				require.NoError(t, err)
				s, err := l.Accept()
				require.NoError(t, err)
				sent := make([]byte, 1_000_000)
				for i := range sent {
					sent[i] = byte(i>>8 ^ i*7)
				}
				go func() {
					s.Write(sent)
					s.Close()
				}()
				got, err := io.ReadAll(c)
				require.NoError(t, err)
				require.True(t, slices.Equal(sent, got))
			})
		})
	}
}
