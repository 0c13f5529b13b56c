package sim_test

import (
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

const ms = time.Millisecond

// accept serves the connections of a listener, each on a goroutine of its own.
func accept(l net.Listener, serve func(net.Conn)) {
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
}

func echo(c net.Conn) { io.Copy(c, c) }

func listen(t *testing.T, h *sim.Host, addr string) net.Listener {
	t.Helper()
	l, err := h.Listen("tcp", addr)
	require.NoError(t, err)
	return l
}

func dial(t *testing.T, h *sim.Host, addr string) net.Conn {
	t.Helper()
	c, err := h.Dial("tcp", addr)
	require.NoError(t, err)
	return c
}

// On a link with one-way delay d and no other impairment, every time is a whole number of transits.
func TestTimesAreExact(t *testing.T) {
	for _, d := range []time.Duration{1, 40 * ms, 3*time.Second + 7} {
		t.Run(d.String(), func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				server, phone := n.Host("server"), n.Host("phone")
				n.Link(phone, server, netem.Config{Delay: d})
				eof := make(chan time.Duration, 1)
				accept(listen(t, server, ":7"), func(c net.Conn) {
					echo(c)
					eof <- n.Elapsed()
				})

				c := dial(t, phone, "server:7")
				if d < 500*ms { // beyond, a SYN is sent again after its first second
					require.Equal(t, 2*d, n.Elapsed(), "SYN and SYN-ACK")
				}

				start := n.Elapsed()
				_, err := c.Write([]byte{1})
				require.NoError(t, err)
				require.Equal(t, start, n.Elapsed(), "a write waits for nobody")
				_, err = io.ReadFull(c, make([]byte, 1))
				require.NoError(t, err)
				require.Equal(t, start+2*d, n.Elapsed(), "there and back")

				start = n.Elapsed()
				require.NoError(t, c.Close())
				require.Equal(t, start+d, <-eof, "the FIN takes one transit")
			})
		})
	}
}

// A packet takes its size over the rate to be sent, and then the delay.
func TestSerialisationTakesSizeOverRate(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		n.Link(a, b, netem.Config{Delay: 10 * ms, Rate: 8 * netem.Kbit}) // a byte a millisecond
		pc, err := b.ListenPacket("udp", ":9")
		require.NoError(t, err)
		c, err := a.Dial("udp", "b:9")
		require.NoError(t, err)

		for range 2 {
			_, err = c.Write(make([]byte, 72)) // with its headers 100 bytes
			require.NoError(t, err)
		}

		for _, want := range []time.Duration{110 * ms, 210 * ms} {
			_, _, err = pc.ReadFrom(make([]byte, 100))
			require.NoError(t, err)
			require.Equal(t, want, n.Elapsed())
		}
	})
}

// At one instant the program's own timers come first, then changes of the network,
// then packets.
func TestOrderWithinAnInstant(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		link := n.Link(a, b, netem.Config{Delay: 10 * ms})
		pc, err := b.ListenPacket("udp", ":9")
		require.NoError(t, err)
		c, err := a.Dial("udp", "b:9")
		require.NoError(t, err)
		send := func(s string) { c.Write([]byte(s)) }
		read := func() (string, error) {
			p := make([]byte, 10)
			require.NoError(t, pc.SetReadDeadline(time.Now().Add(time.Second)))
			k, _, err := pc.ReadFrom(p)
			return string(p[:k]), err
		}

		n.After(10*ms, func() { pc.SetReadDeadline(time.Now()) }) // when the first datagram arrives
		send("first")
		_, _, err = pc.ReadFrom(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, "the change comes before the packet")
		got, err := read()
		require.NoError(t, err)
		require.Equal(t, "first", got)

		at := 100*ms - n.Elapsed()
		n.After(at, link.Down)
		time.AfterFunc(at, func() { send("program") })
		n.After(at, func() { send("lost") })
		got, err = read()
		require.NoError(t, err)
		require.Equal(t, "program", got, "the program's timer comes before the change, however they were made")
		_, err = read()
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, "what is sent after the change is lost")
	})
}
