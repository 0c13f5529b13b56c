package sim

import (
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim/internal/conntrack"
	"github.com/squall-sim/squall/sim/internal/tcp"
)

// A box verifies checksums (net.netfilter.nf_conntrack_checksum). A packet that a link has damaged changes no state of the box, begins no
// connection, and gets no answer. Linux 6.18 behaves the same.
func TestABoxFindsBitErrors(t *testing.T) {
	for _, c := range []struct {
		name   string
		pkts   Packets
		opened int // once it is corrupted
	}{
		{"SYN", Packets{Kind: SYN, Nth: 1}, 0},
		{"FIN", Packets{Kind: FIN, Nth: 1}, 1},
	} {
		for _, stray := range []Stray{StrayAdopted, StrayDropped, StrayReset, StrayPassed} {
			t.Run(c.name+", "+stray.String(), func(t *testing.T) {
				Test(t, func(t *testing.T, n *Network) {
					client, server, r := n.Host("client"), n.Host("server"), n.Router("box")
					in := n.Link(client, r, netem.Config{Delay: 10 * time.Millisecond})
					n.Link(r, server, netem.Config{Delay: 10 * time.Millisecond})
					w := r.Firewall(Tracking{Stray: stray})
					pkts := c.pkts
					pkts.From = client
					n.Inject(0, 0, Corrupt(in, pkts))
					l, err := server.Listen("tcp", ":7")
					require.NoError(t, err)
					var conn net.Conn
					go func() {
						if conn, err = client.Dial("tcp", "server:7"); err == nil {
							conn.(*TCPConn).CloseWrite()
						}
					}()
					go l.Accept()
					for w.Stats().Strays == 0 {
						require.Less(t, n.Elapsed(), time.Minute)
						time.Sleep(time.Millisecond)
					}
					stats := w.Stats()
					require.Equal(t, c.opened, stats.Opened)
					n.do(func() {
						for _, known := range w.known {
							require.Equal(t, conntrack.Established, known.State())
						}
					})
					time.Sleep(10 * time.Second) // it comes again
					require.Equal(t, 1, w.Stats().Strays)
					require.Equal(t, 1, w.Stats().Opened)
					where := map[string]int{}
					for e := range n.Trace().Events() {
						require.NotContains(t, e.Flags, "R")
						if e.Kind == Dropped {
							where[e.Note]++
						}
					}
					if stray == StrayPassed { // to the server, which finds it, too
						require.Equal(t, map[string]int{"checksum error": 1}, where)
					} else {
						require.Equal(t, map[string]int{"checksum error at box": 1}, where)
					}
				})
			})
		}
	}
}

// A box verifies packets for an address of its own in the same way: it counts a damaged one, does not answer it, and judges fragments as one packet.
func TestABoxFindsBitErrorsInWhatIsForItself(t *testing.T) {
	const ms = time.Millisecond
	nat := func(r *Router, client, _ *Host) *tracker {
		return r.NAT(NATConfig{Tracking: Tracking{Stray: StrayPassed}}, client).memory()
	}
	balancer := func(r *Router, _, server *Host) *tracker {
		return r.Balancer(BalancerConfig{Tracking: Tracking{Stray: StrayReset}, Port: 7, Check: HealthCheck{Every: time.Hour, Up: 1, Down: 1}}, server).memory()
	}
	for _, row := range []struct {
		name    string
		box     func(r *Router, client, server *Host) *tracker
		network string
		target  string
		pkts    Packets       // of them the first that leaves the given end is corrupted
		end     string        // that
		at      time.Duration // it is dropped
		opened  int
	}{
		{"an answer to a NAT", nat, "tcp", "server:7", Packets{Kind: SYNACK, Nth: 1}, "server", 30 * ms, 1},
		// The server sends 3000 bytes back, in fragments of 1480, 1480 and 48. The second one has a bit error.
		{"an answer to a NAT in fragments", nat, "udp", "server:9", Packets{Kind: UDP, Nth: 2}, "server", 30 * ms, 1},
		{"a NAT's port on which nobody listens", nat, "tcp", "box:8", Packets{Kind: SYN, Nth: 1}, "client", 10 * ms, 0},
		{"a balancer", balancer, "tcp", "box:7", Packets{Kind: SYN, Nth: 1}, "client", 10 * ms, 0},
		{"the answer to a health check", balancer, "", "", Packets{Kind: SYNACK, Nth: 1}, "server", time.Hour + 20*ms, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			Test(t, func(t *testing.T, n *Network) {
				client, server, r := n.Host("client"), n.Host("server"), n.Router("box")
				in := n.Link(client, r, netem.Config{Delay: 10 * ms})
				out := n.Link(r, server, netem.Config{Delay: 10 * ms})
				k := row.box(r, client, server)
				link := map[string]*Link{"client": in, "server": out}[row.end]
				row.pkts.From = map[string]*Host{"client": client, "server": server}[row.end]
				n.Inject(0, 0, Corrupt(link, row.pkts))
				l, err := server.Listen("tcp", ":7")
				require.NoError(t, err)
				go l.Accept()
				echo, err := server.ListenPacket("udp", ":9")
				require.NoError(t, err)
				go func() {
					buf := make([]byte, 4000)
					k, from, _ := echo.ReadFrom(buf)
					echo.WriteTo(buf[:k], from)
				}()
				switch row.network {
				case "tcp":
					go client.Dial("tcp", row.target)
				case "udp":
					c, err := client.Dial("udp", row.target)
					require.NoError(t, err)
					c.Write(make([]byte, 3000))
				}
				time.Sleep(row.at + 500*ms)
				stats := k.Stats()
				require.Equal(t, []int{1, row.opened}, []int{stats.Strays, stats.Opened})
				drops := 0
				for e := range n.Trace().Events() {
					require.NotContains(t, e.Flags, "R")
					if e.Kind == Dropped {
						drops++
						require.Equal(t, "checksum error at box", e.Note)
						require.Equal(t, row.at, e.At)
					}
				}
				require.Equal(t, 1, drops)
			})
		})
	}
}

// Unless a rule drops them, Linux forwards segments that do not fit their connection unchanged, and answers those for an address of its own with an
// RST. Linux 6.18 did so with only a masquerading rule, and with rules for new connections.
func TestStraysThatPass(t *testing.T) {
	far := func(s *tcp.Segment) { s.Seq = 1_000_000 } // its acknowledgement is right
	old := func(flags tcp.Flags) func(s *tcp.Segment) {
		return func(s *tcp.Segment) { s.Flags, s.ISS, s.IRS = flags, 1, 2 }
	}
	nat := func(r *Router, client, _ *Host) *tracker {
		return r.NAT(NATConfig{Tracking: Tracking{Stray: StrayPassed}}, client).memory()
	}
	firewall := func(r *Router, client, _ *Host) *tracker {
		return r.Firewall(Tracking{Stray: StrayPassed}, client).memory()
	}
	balancer := func(r *Router, _, server *Host) *tracker {
		return r.Balancer(BalancerConfig{Tracking: Tracking{Stray: StrayPassed}, Port: 7}, server).memory()
	}
	for _, row := range []struct {
		name   string
		box    func(r *Router, client, server *Host) *tracker
		client bool // who sends it
		forget bool // the box knows the connection no more
		change func(s *tcp.Segment)
		seen   []string // behind it
		reset  string   // whose connection
	}{
		{"NAT, from inside", nat, true, false, far,
			[]string{"client>server S A", "box: lets pass as it came: does not fit its connection", "client>server D A", "server>client S R", "server>client x R a private address at box"}, ""},
		{"NAT, a FIN of no connection, from inside", nat, true, true, old(tcp.FIN | tcp.ACK),
			[]string{"client>server S FA", "box: lets pass as it came: no known connection", "client>server D FA", "server>client S R", "server>client x R a private address at box"}, ""},
		{"NAT, from outside", nat, false, false, far,
			[]string{"server>box S A", "server>box D A", "server>box x A does not fit its connection at box", "box>server S R", "box>server D R"}, "server"},
		{"NAT, an ACK of no connection, from outside", nat, false, true, far,
			[]string{"server>box S A", "server>box D A", "server>box x A no known connection at box", "box>server S R", "box>server D R"}, "server"},
		{"balancer, from the backend", balancer, false, false, far,
			[]string{"server>box S A", "server>box D A", "server>box x A does not fit its connection at box", "box>server S R", "box>server D R"}, "server"},
		{"firewall", firewall, true, false, far,
			[]string{"client>server S A", "box: lets pass as it came: does not fit its connection", "client>server D A", "server>client S A", "server>client D A"}, ""},
		{"firewall, a FIN of no connection, from outside", firewall, false, true, old(tcp.FIN | tcp.ACK),
			[]string{"server>client S FA", "box: lets pass as it came: no known connection", "server>client D FA", "client>server S A", "client>server D A"}, ""},
		{"firewall, an ACK of no connection, from outside", firewall, false, true, far,
			[]string{"server>client S A", "server>client x A no known connection at box"}, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			Test(t, func(t *testing.T, n *Network) {
				client, server, r := n.Host("client"), n.Host("server"), n.Router("box")
				n.Link(client, r, netem.Config{Delay: 10 * time.Millisecond})
				n.Link(r, server, netem.Config{Delay: 10 * time.Millisecond})
				k := row.box(r, client, server)
				l, err := server.Listen("tcp", ":7")
				require.NoError(t, err)
				to := server.Name()
				if strings.HasPrefix(row.name, "balancer") {
					to = r.Name()
				}
				c, err := client.Dial("tcp", to+":7")
				require.NoError(t, err)
				s, err := l.Accept()
				require.NoError(t, err)
				time.Sleep(time.Second)
				n.do(func() {
					n.newTimer(func(now int64) {
						all := k.known
						if row.forget {
							k.known = map[tuple]*tracked{}
						}
						sendOwn(n, &tracker{r: k.r, known: all}, now, row.client, row.change)
					}).set(n.now())
				})
				time.Sleep(500 * time.Millisecond)
				require.Equal(t, row.seen, seenSince(n, time.Second))
				require.Equal(t, 1, k.Stats().Strays)
				for _, end := range []struct {
					name string
					conn net.Conn
				}{{"client", c}, {"server", s}} {
					end.conn.SetReadDeadline(time.Now().Add(time.Second))
					_, err := end.conn.Read(make([]byte, 1))
					require.Equal(t, end.name == row.reset, errors.Is(err, syscall.ECONNRESET), end.name)
				}
			})
		})
	}
}

// seenSince lists the trace's events from an instant on: S for sent, D for delivered or x for dropped, the two hosts, and the flags.
func seenSince(n *Network, since time.Duration) (all []string) {
	for e := range n.Trace().Events() {
		kind := map[EventKind]string{Sent: "S", Delivered: "D", Dropped: "x"}[e.Kind]
		switch {
		case e.At < since:
		case kind == "":
			all = append(all, e.From+": "+e.Note)
		default:
			all = append(all, strings.TrimSpace(e.From+">"+e.To+" "+kind+" "+e.Flags+" "+e.Note))
		}
	}
	return all
}
