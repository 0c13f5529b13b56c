package sim_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// ask sends a request from phone to server over a link of 10 ms each way. The server takes 5 ms to answer. ask returns a line with the outcome, its
// time, and how often the server began to work, and the fault.
func ask(t *testing.T, n *sim.Network, breaks func(n *sim.Network) *sim.Fault) (said string, f *sim.Fault) {
	server, phone := n.Host("server"), n.Host("phone")
	n.Link(phone, server, netem.Config{Delay: 10 * ms})
	var begun atomic.Int64
	server.Run("server", func(ctx context.Context, h *sim.Host) error {
		l, err := h.Listen("tcp", ":7")
		if err != nil {
			return err
		}
		context.AfterFunc(ctx, func() { l.Close() })
		for {
			c, err := l.Accept()
			if err != nil {
				return nil
			}
			go func() {
				defer c.Close()
				if _, err := io.ReadFull(c, make([]byte, 100)); err != nil {
					return
				}
				begun.Add(1)
				time.Sleep(5 * ms)
				c.Write(make([]byte, 200))
				io.ReadAll(c)
			}()
		}
	})
	f = n.Inject(0, 0, breaks(n))
	said = func() string {
		c, err := phone.Dial("tcp", "server:7")
		if err != nil {
			return short(err)
		}
		defer c.Close()
		c.Write(make([]byte, 100))
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := io.ReadFull(c, make([]byte, 200)); err != nil {
			return short(err)
		}
		return "answered"
	}()
	said = fmt.Sprintf("%s %v, begun %d", said, n.Elapsed(), begun.Load())
	time.Sleep(10 * time.Second)
	return said, f
}

func short(err error) string {
	for _, e := range []syscall.Errno{syscall.ECONNREFUSED, syscall.ECONNRESET} {
		if errors.Is(err, e) {
			return e.Error()
		}
	}
	return err.Error()[strings.LastIndex(err.Error(), ": ")+2:]
}

// Each breakage has its effect on a conversation. SYN, SYN-ACK and ACK leave at 0, 10 and 20 ms. The request leaves at 20 ms and arrives at 30 ms;
// the answer leaves at 35 ms and arrives at 45 ms.
func TestBreakages(t *testing.T) {
	request := sim.Place{From: "phone", To: "server", Kind: sim.Data, Nth: 1}
	answer := sim.Place{From: "server", To: "phone", Kind: sim.Data, Nth: 1}
	for _, row := range []struct {
		what sim.Breakage
		at   sim.Place
		want string
		why  string
	}{
		{sim.Lost, request, "answered 265ms, begun 1", "the next is due 220 ms later, a round trip and the least variation of 200 ms"},
		{sim.Lost, sim.Place{From: "PHONE", To: "Server", Kind: sim.SYN, Nth: 1}, "answered 1.045s, begun 1", "1 s after the SYN the next; the case of names does not matter"},
		{sim.Lost, sim.Place{From: "phone", To: "server", Nth: 3}, "answered 265ms, begun 1", "SYN, ACK, request"},
		{sim.Duplicated, request, "answered 45ms, begun 1", "the server's TCP knows it"},
		{sim.Overtaken, request, "answered 265ms, begun 1", "nothing is sent until it is sent again, and then both go"},
		{sim.Overtaken, sim.Place{From: "phone", To: "server", Kind: sim.PureACK, Nth: 1}, "answered 45ms, begun 1", "the request acknowledges, too"},
		{sim.ConnectionReset, sim.Place{From: "phone", To: "server", Kind: sim.SYN, Nth: 1}, "connection refused 10ms, begun 0", "10 ms from the server"},
		{sim.ConnectionReset, request, "connection reset by peer 30.000001ms, begun 0", "it leaves at 20 ms; the server learns of it first, at 30 ms"},
		{sim.ConnectionReset, answer, "connection reset by peer 45ms, begun 1", "it leaves at 35 ms"},
		{sim.SenderCrashesBefore, answer, "connection reset by peer 65ms, begun 1", "the RST of 35 ms is beyond the answer: it is challenged, and sent again (RFC 5961, section 3.2)"},
		{sim.SenderCrashesAfter, answer, "answered 45ms, begun 1", "the answer is ahead of the reset"},
		{sim.ReceiverCrashesBefore, sim.Place{From: "phone", To: "server", Kind: sim.SYN, Nth: 1}, "connection refused 20ms, begun 0", "the SYN meets a host without processes, whose system refuses it"},
		{sim.ReceiverCrashesBefore, request, "connection reset by peer 40ms, begun 0", "it crashes at 30 ms"},
		{sim.ReceiverCrashesAfter, request, "connection reset by peer 40.000001ms, begun 1", "1 ns after that"},
		{sim.DisconnectedForASecond, answer, "answered 1.805s, begun 1", "the answer is sent again after 220 ms as a probe, then after 220, 440 and 880 ms: at 1795 ms"},
		{sim.DisconnectedForAMinute, answer, "i/o timeout 5.02s, begun 1", "the client waits for 5 s"},
		{sim.Disconnected, answer, "i/o timeout 5.02s, begun 1", "the same"},
	} {
		t.Run(row.what.String()+" "+row.at.String(), func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				said, f := ask(t, n, func(n *sim.Network) *sim.Fault { return sim.Break(n, row.what, row.at) })
				require.Equal(t, row.want, said, "%v, %v: %s", row.what, row.at, row.why)
				require.Equal(t, 1, f.Fired().Packets)
			})
		})
	}
}

// A host that crashes sends nothing more, even if it had more to send at that instant.
func TestACrashingHostIsSilentAtOnce(t *testing.T) {
	for _, row := range []struct {
		what sim.Breakage
		nth  int
		want []string
	}{
		{sim.SenderCrashesAfter, 1, []string{"a"}},
		{sim.SenderCrashesBefore, 2, []string{"a"}},
		{sim.SenderCrashesAfter, 2, []string{"a", "b"}},
		{sim.SenderCrashesBefore, 1, nil},
	} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			var got []string
			c, mu := meter(t, n, func(text string) string { got = append(got, text); return "" })
			n.Inject(0, 0, sim.Break(n, row.what, sim.Place{From: "sensor", To: "meter", Kind: sim.UDP, Nth: row.nth})).MustFire()
			for _, text := range []string{"a", "b", "c"} {
				io.WriteString(c, text)
			}
			time.Sleep(5 * time.Second)
			mu.Lock()
			defer mu.Unlock()
			require.Equal(t, row.want, got, "%v, at %d", row.what, row.nth)
		})
	}
}

// Break refuses arguments that make no sense. A breakage describes itself in words and in Go code.
func TestBreakIsAFault(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		f := sim.Break(n, sim.SenderCrashesBefore, sim.Place{From: "server", To: "phone", Kind: sim.Data, Nth: 2})
		require.Equal(t, "its sender crashes just before: the 2nd of the packets with data from server to phone", f.Name())
		require.Equal(t, `sim.Break(n, sim.SenderCrashesBefore, sim.Place{From: "server", To: "phone", Kind: sim.Data, Nth: 2})`, f.Code(nil))
		require.Equal(t, "Breakage(99)", sim.Breakage(99).String())
		at := sim.Place{From: "a", To: "b", Nth: 1}
		with := func(change func(p *sim.Place)) sim.Place {
			p := at
			change(&p)
			return p
		}
		for _, row := range []struct {
			n    *sim.Network
			what sim.Breakage
			at   sim.Place
			want string
		}{
			{nil, sim.Lost, at, "sim: Break: the network is nil"},
			{n, 0, at, "sim: Break: what is 0: it must be one of the constants, Lost to Disconnected"},
			{n, sim.Disconnected + 1, at, "sim: Break: what is 12: it must be one of the constants, Lost to Disconnected"},
			{n, sim.Lost, with(func(p *sim.Place) { p.From = "" }), "sim: Break: Place.From is empty: it must be the name of the host that sends the packet"},
			{n, sim.Lost, with(func(p *sim.Place) { p.Nth = 0 }), "sim: Break: Place.Nth is 0: it must be 1 or more"},
			{n, sim.Lost, with(func(p *sim.Place) { p.Kind = 77 }), "sim: Break: Place.Kind is 77: it must be one of the constants, AnyPacket to SentAgain"},
			{n, sim.Lost, with(func(p *sim.Place) { p.Kind = sim.ICMP }), "sim: Break: Place.Kind is ICMP messages: only packets of TCP and UDP have places"},
			{n, sim.ConnectionReset, with(func(p *sim.Place) { p.Kind = sim.UDP }), "sim: Break: Place.Kind is datagrams: a ConnectionReset needs a TCP packet"},
		} {
			require.PanicsWithValue(t, row.want, func() { sim.Break(row.n, row.what, row.at) })
		}
	})
}

// The report names a breakage whose packet was never sent, and how many such packets were. A breakage that ends early breaks nothing and
// releases the packet that it holds.
func TestBreakThatMeetsNothing(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		place := sim.Place{From: "phone", To: "server", Kind: sim.Data, Nth: 2}
		said, f := ask(t, n, func(n *sim.Network) *sim.Fault { return sim.Break(n, sim.Lost, place) })
		require.Equal(t, "answered 45ms, begun 1", said)
		require.Zero(t, f.Fired().Count)
		require.Contains(t, n.IdleFaults(), "it met no such packet; sent in all: 1")
	})
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		request := sim.Place{From: "phone", To: "server", Kind: sim.Data, Nth: 1}
		said, f := ask(t, n, func(n *sim.Network) *sim.Fault {
			f := sim.Break(n, sim.Overtaken, request)
			n.After(100*ms, f.End)
			return f
		})
		require.Equal(t, "answered 125ms, begun 1", said) // it is sent at 100 ms, and 10, 5 and 10 ms follow
		require.Equal(t, 1, f.Fired().Count)
	})
}

// Three datagrams arrive at one instant over two links, and the server crashes at the first. The others reach a server that is down, at the same
// instant, each once.
func TestWhatComesWithAPacketAtWhichSomethingBreaks(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		phone, server, r := n.Host("phone"), n.Host("server"), n.Router("r")
		n.Link(phone, r, netem.Config{Delay: 5 * ms})
		n.Link(r, server, netem.Config{Delay: 5 * ms})
		n.Inject(0, 0, sim.Break(n, sim.ReceiverCrashesBefore, sim.Place{From: "phone", To: "server", Kind: sim.UDP, Nth: 1})).MustFire()
		_, err := server.ListenPacket("udp", ":1")
		require.NoError(t, err)
		out, err := phone.ListenPacket("udp", ":1")
		require.NoError(t, err)
		time.Sleep(ms)
		for range 3 {
			_, err := out.WriteTo([]byte("x"), &net.UDPAddr{IP: server.Addr().AsSlice(), Port: 1})
			require.NoError(t, err)
		}
		time.Sleep(time.Second)
		var came, answered []time.Duration
		for e := range n.Trace().Events() {
			switch {
			case e.Kind == sim.Delivered && e.Protocol == "udp":
				came = append(came, e.At)
			case e.Kind == sim.Sent && e.Protocol == "icmp":
				answered = append(answered, e.At)
			}
		}
		at := 11 * ms // they are sent at 1 ms, and the links take 5 ms each
		require.Equal(t, []time.Duration{at, at, at}, came)
		require.Equal(t, []time.Duration{at, at, at}, answered, "no socket is open at the port any more")
	})
}

// A second breakage can strike the packet that overtakes another. Of three datagrams, the second overtakes the first.
func TestWhatOvertakesMayBreakItself(t *testing.T) {
	at := func(nth int) sim.Place { return sim.Place{From: "phone", To: "server", Kind: sim.UDP, Nth: nth} }
	for _, row := range []struct {
		what sim.Breakage
		want string
	}{
		{sim.Lost, "1, 3, "},
		{sim.Duplicated, "2, 2, 1, 3, "},
		{sim.Overtaken, "3, 2, 1, "}, // each is behind the next
		{sim.Disconnected, ""},       // it begins at 10 ms, before any is sent
	} {
		for _, firstLast := range []bool{false, true} { // the order in which they are injected makes no difference
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				phone, server := n.Host("phone"), n.Host("server")
				n.Link(phone, server, netem.Config{Delay: 5 * ms})
				breaks := []*sim.Fault{sim.Break(n, sim.Overtaken, at(1)), sim.Break(n, row.what, at(2))}
				if firstLast {
					slices.Reverse(breaks)
				}
				for _, f := range breaks {
					n.Inject(0, 0, f).MustFire()
				}
				in, err := server.ListenPacket("udp", ":1")
				require.NoError(t, err)
				out, err := phone.ListenPacket("udp", ":1")
				require.NoError(t, err)
				to := &net.UDPAddr{IP: server.Addr().AsSlice(), Port: 1}
				for i := range 3 {
					_, err := out.WriteTo([]byte{byte('1' + i)}, to)
					require.NoError(t, err)
					time.Sleep(10 * ms)
				}
				var got string
				require.NoError(t, in.SetReadDeadline(time.Now().Add(time.Minute)))
				for buf := make([]byte, 1); ; {
					if _, _, err := in.ReadFrom(buf); err != nil {
						break
					}
					got += string(buf) + ", "
				}
				require.Equal(t, row.want, got, "%v", row.what)
			})
		}
	}
}
