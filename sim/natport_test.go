package sim_test

import (
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// home has two hosts behind a NAT and a host outside, each a millisecond from the NAT.
func home(t *testing.T, n *sim.Network, cfg func(a, b *sim.Host) sim.NATConfig) (a, b, outside *sim.Host, nat *sim.Router) {
	a, b, outside, nat = n.Host("a"), n.Host("b"), n.Host("outside"), n.Router("nat")
	for _, h := range []*sim.Host{a, b, outside} {
		n.Link(h, nat, netem.Config{Delay: ms})
	}
	nat.NAT(cfg(a, b), a, b)
	return a, b, outside, nat
}

// sayWho answers each connection with the address from which it arrived.
func sayWho(t *testing.T, h *sim.Host, addr string) {
	accept(listen(t, h, addr), func(c net.Conn) { fmt.Fprintln(c, c.RemoteAddr()); io.Copy(io.Discard, c) })
}

// askWho connects and returns the address that sayWho answers.
func askWho(t *testing.T, from *sim.Host, port int, to string) (public *net.TCPAddr) {
	t.Helper()
	c, err := dialerOf(from, &net.TCPAddr{Port: port}).Dial("tcp", to)
	require.NoError(t, err)
	var text string
	_, err = fmt.Fscanln(c, &text)
	require.NoError(t, err)
	public, err = net.ResolveTCPAddr("tcp", text)
	require.NoError(t, err)
	return public
}

// If a port is taken, the NAT chooses another from the same range: below 512, from 600 to 1023, or from 1024 up
// (nf_nat_l4proto_unique_tuple).
func TestPrivilegedPortsStayPrivileged(t *testing.T) {
	for _, row := range []struct{ port, least, most int }{
		{1, 1, 511}, {511, 1, 511}, {512, 600, 1023}, {1023, 600, 1023}, {1024, 1024, 65535}, {65535, 1024, 65535},
	} {
		for seed := range uint64(4) {
			require.NoError(t, sim.Try(t, func(n *sim.Network) error {
				a, b, outside, _ := home(t, n, func(a, b *sim.Host) sim.NATConfig { return sim.NATConfig{} })
				sayWho(t, outside, ":7")
				require.Equal(t, row.port, askWho(t, a, row.port, "outside:7").Port)
				got := askWho(t, b, row.port, "outside:7").Port
				require.NotEqual(t, row.port, got)
				require.GreaterOrEqual(t, got, row.least)
				require.LessOrEqual(t, got, row.most)
				return nil
			}, sim.Seed(seed+1)))
		}
	}
	sim.Test(t, func(t *testing.T, n *sim.Network) { // a range that is set is for all
		a, _, outside, _ := home(t, n, func(a, b *sim.Host) sim.NATConfig { return sim.NATConfig{Ports: 10} })
		sayWho(t, outside, ":7")
		require.GreaterOrEqual(t, askWho(t, a, 100, "outside:7").Port, 1024)
		require.Less(t, askWho(t, a, 101, "outside:7").Port, 1034)
	})
}

// An inner address and port keeps its outer address and port for its other connections too (find_appropriate_src), as
// long as one is free.
func TestAPortIsLentForAllConnections(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b, outside, nat := home(t, n, func(a, b *sim.Host) sim.NATConfig { return sim.NATConfig{} })
		var there [3]net.PacketConn
		for i := range there {
			var err error
			there[i], err = outside.ListenPacket("udp", fmt.Sprintf(":%d", 7+i))
			require.NoError(t, err)
		}
		here := map[*sim.Host]net.PacketConn{}
		seenAs := func(h *sim.Host, i int) int {
			if here[h] == nil {
				var err error
				here[h], err = h.ListenPacket("udp", ":5000")
				require.NoError(t, err)
			}
			here[h].WriteTo([]byte("x"), udpAddr(fmt.Sprintf("10.0.0.3:%d", 7+i)))
			_, from, err := there[i].ReadFrom(make([]byte, 9))
			require.NoError(t, err)
			return from.(*net.UDPAddr).Port
		}
		require.Equal(t, 5000, seenAs(a, 0))
		lent := seenAs(b, 0)
		require.NotEqual(t, 5000, lent)
		require.Equal(t, lent, seenAs(b, 1), "5000 is free there")
		n.Inject(0, 0, sim.ForgetConnections(nat)).MustFire()
		require.Equal(t, 5000, seenAs(b, 2))
	})
}

func TestPortForwarding(t *testing.T) {
	cfg := func(hairpin bool) func(a, b *sim.Host) sim.NATConfig {
		return func(a, b *sim.Host) sim.NATConfig {
			return sim.NATConfig{Hairpin: hairpin, Forwards: []sim.Forward{
				{Network: "tcp", Port: 80, To: a, ToPort: 8080}, {Network: "udp", Port: 80, To: b}, {Network: "tcp", Port: 443, To: b},
			}}
		}
	}
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b, outside, nat := home(t, n, cfg(false))
		sayWho(t, a, ":8080")
		sayWho(t, b, ":443")
		web := nat.Addr().String() + ":80"
		require.Equal(t, "10.0.0.3:5000", askWho(t, outside, 5000, web).String(), "the host sees who it is")
		require.Equal(t, 8*ms, n.Elapsed(), "for the handshake and the answer, over two links")
		require.Equal(t, "10.0.0.3:5001", askWho(t, outside, 5001, nat.Addr().String()+":443").String())
		_, err := outside.Dial("tcp", nat.Addr().String()+":8080")
		require.ErrorIs(t, err, syscall.ETIMEDOUT, "no forward")
		_, err = b.Dial("tcp", web)
		require.ErrorIs(t, err, syscall.ECONNREFUSED, "no hairpin")

		pc, err := b.ListenPacket("udp", ":80")
		require.NoError(t, err)
		u, err := outside.Dial("udp", web)
		require.NoError(t, err)
		u.Write([]byte("ping"))
		_, from, err := pc.ReadFrom(make([]byte, 9))
		require.NoError(t, err)
		require.Equal(t, u.LocalAddr().String(), from.String())
		pc.WriteTo([]byte("pong"), from)
		p := make([]byte, 9)
		k, err := u.Read(p)
		require.NoError(t, err)
		require.Equal(t, "pong", string(p[:k]))
	})
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b, outside, nat := home(t, n, cfg(true))
		sayWho(t, a, ":8080")
		web := nat.Addr().String() + ":80"
		require.Equal(t, nat.Addr().String()+":5000", askWho(t, b, 5000, web).String(), "hairpin: from the NAT")
		require.Equal(t, nat.Addr().String()+":5001", askWho(t, a, 5001, web).String(), "to itself, too")
		require.Equal(t, "10.0.0.3:5001", askWho(t, outside, 5001, web).String())
		n.Inject(0, 0, sim.Rebind(nat)).MustFire()
		require.Equal(t, "10.0.0.3:5002", askWho(t, outside, 5002, nat.Addr().String()+":80").String(), "at the new address as well")
		sayWho(t, outside, ":7")
		require.Equal(t, nat.Addr().String(), askWho(t, a, 9000, "outside:7").IP.String())
	})
}

// When two forwards lead to one port, a client's port can use only one of them, because the replies of the two could
// not be told apart.
func TestTwoForwardsToOnePort(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, _, outside, nat := home(t, n, func(a, _ *sim.Host) sim.NATConfig {
			return sim.NATConfig{Forwards: []sim.Forward{{Network: "tcp", Port: 80, To: a}, {Network: "tcp", Port: 81, To: a, ToPort: 80}}}
		})
		accept(listen(t, a, ":80"), echo)
		connect := func(port int) error {
			_, err := dialerOf(outside, &net.TCPAddr{Port: 5000}).Dial("tcp", fmt.Sprintf("%v:%d", nat.Addr(), port))
			return err
		}
		require.NoError(t, connect(80))
		outside.PowerOff()
		outside.Restart()
		outside.SetTCP(sim.TCPConfig{SynRetries: -1, SynLinearTimeouts: -1})
		require.ErrorIs(t, connect(81), syscall.ETIMEDOUT)
		require.Contains(t, n.Trace().String(), "no port is left")
	})
}

func TestMisuseOfForwards(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, other := n.Host("a"), n.Host("other")
		ok := sim.Forward{Network: "tcp", Port: 80, To: a}
		for want, change := range map[string]func(f *sim.Forward){
			`Forwards[1].Network is "": it must be "tcp" or "udp"`:                            func(f *sim.Forward) { f.Network = "" },
			"Forwards[1].Port is 0: it must be from 1 to 65535":                               func(f *sim.Forward) { f.Port = 0 },
			"Forwards[1].ToPort is -1: it must be from 1 to 65535, or 0 for Port":             func(f *sim.Forward) { f.ToPort = -1 },
			`Forwards[1].To is "other": it must be one of the hosts behind the NAT`:           func(f *sim.Forward) { f.To = other },
			"Forwards[1].Port is 80: it must be used by no other forward of the same Network": func(f *sim.Forward) {},
		} {
			f := ok
			change(&f)
			require.PanicsWithValue(t, "sim: router nat: NAT: "+want, func() {
				n.Router("nat").NAT(sim.NATConfig{Forwards: []sim.Forward{ok, f}}, a)
			})
		}
	})
}
