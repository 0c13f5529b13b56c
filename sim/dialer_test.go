package sim_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// dialerOf is a dialer of h with a local address.
func dialerOf(h *sim.Host, local net.Addr) *sim.Dialer {
	d := h.Dialer()
	d.LocalAddr = local
	return d
}

func TestDialerLocalAddr(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		accept(listen(t, b, ":7"), echo)
		accept(listen(t, a, ":7"), echo)
		_, err := b.ListenPacket("udp", ":9")
		require.NoError(t, err)
		mine := a.Addr().String()
		for _, row := range []struct {
			network, to string
			local       net.Addr
			want        string // of the local address
		}{
			{"tcp", "b:7", tcpAddr(mine + ":4000"), mine + ":4000"},
			{"tcp", "b:7", tcpAddr(":4001"), mine + ":4001"},
			{"tcp", "b:7", &net.TCPAddr{IP: net.IPv4zero, Port: 4002}, mine + ":4002"},
			{"tcp", "localhost:7", tcpAddr(":4003"), "127.0.0.1:4003"},
			{"tcp", "localhost:7", tcpAddr("127.0.0.2:4003"), "127.0.0.2:4003"}, // of another address
			{"tcp", "localhost:7", tcpAddr(mine + ":4004"), mine + ":4004"},
			{"tcp", "a:7", tcpAddr("127.0.0.1:4005"), "127.0.0.1:4005"},
			{"tcp4", "b:7", tcpAddr(mine + ":0"), mine + ":32770"},  // the third dial to b:7
			{"udp", "b:9", udpAddr(mine + ":4000"), mine + ":4000"}, // UDP has ports of its own
			{"udp4", "b:9", udpAddr(":4001"), mine + ":4001"},
			{"udp", "localhost:9", udpAddr(":4002"), "127.0.0.1:4002"},
		} {
			c, err := dialerOf(a, row.local).Dial(row.network, row.to)
			require.NoError(t, err, "%s from %v", row.to, row.local)
			if row.want == mine+":32770" {
				require.Equal(t, mine+":3277", c.LocalAddr().String()[:len(mine)+5])
			} else {
				require.Equal(t, row.want, c.LocalAddr().String())
			}
			_, err = c.Write([]byte{1})
			require.NoError(t, err)
			if row.network[:3] == "tcp" {
				_, err = c.Read(make([]byte, 1))
				require.NoError(t, err)
			}
		}
	})
}

func TestDialerErrors(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		accept(listen(t, b, ":7"), echo)
		mine := a.Addr().String()
		for _, row := range []struct {
			network, to string
			local       net.Addr
			is          error
			text        string
		}{
			{"tcp", "b:7", tcpAddr("10.99.0.1:0"), syscall.EADDRNOTAVAIL, "dial tcp 10.99.0.1:0->10.0.0.2:7: bind: cannot assign requested address"},
			{"tcp", "10.79.0.1:7", tcpAddr("10.99.0.1:0"), syscall.EADDRNOTAVAIL, "bind: "}, // the address comes first
			{"tcp", "10.79.0.1:7", tcpAddr(mine + ":0"), syscall.ENETUNREACH, "dial tcp 10.0.0.1:0->10.79.0.1:7: connect: network is unreachable"},
			{"tcp", "b:7", tcpAddr("127.0.0.1:0"), syscall.EINVAL, "connect: invalid argument"}, // loopback leads nowhere else
			{"tcp", "b:8", tcpAddr(mine + ":5000"), syscall.ECONNREFUSED, "dial tcp 10.0.0.1:5000->10.0.0.2:8: connect: connection refused"},
			{"tcp", "b:7", udpAddr(mine + ":0"), nil, "dial tcp: address 10.0.0.1:0: mismatched local address type"},
			{"udp", "b:7", tcpAddr(mine + ":0"), nil, "dial udp: address 10.0.0.1:0: mismatched local address type"},
			{"tcp", "b:7", &net.TCPAddr{IP: net.IPv6loopback}, nil, "dial tcp: address [::1]:0: no suitable address found"},
			{"udp", "b:7", udpAddr("10.99.0.1:0"), syscall.EADDRNOTAVAIL, "dial udp 10.99.0.1:0->10.0.0.2:7: bind: cannot assign requested address"},
			{"udp", "b:7", udpAddr("127.0.0.1:0"), syscall.EINVAL, "connect: invalid argument"},
			{"udp", "10.79.0.1:7", udpAddr(":6000"), syscall.ENETUNREACH, "dial udp :6000->10.79.0.1:7: connect: network is unreachable"},
			{"tcp", "224.0.0.1:7", nil, syscall.ENETUNREACH, "dial tcp 224.0.0.1:7: connect: network is unreachable"},
			{"udp", "b:7", udpAddr("255.255.255.255:0"), nil, "dial udp 255.255.255.255:0->10.0.0.2:7: a dial from a broadcast address is not simulated"},
			{"udp", "10.255.255.255:7", udpAddr("127.0.0.1:0"), syscall.EINVAL, "connect: invalid argument"},
			{"tcp6", "b:7", nil, nil, "dial tcp6: address b: no suitable address found"},
		} {
			_, err := dialerOf(a, row.local).Dial(row.network, row.to)
			require.ErrorContains(t, err, row.text)
			if row.is != nil {
				require.ErrorIs(t, err, row.is)
			}
		}
		c, err := dialerOf(a, udpAddr(":6000")).Dial("udp", "b:7")
		require.NoError(t, err, "a dial that failed holds no port")
		c.Close()
	})
}

// A port and address that any socket of the host uses is in use, but not for other addresses: Linux answers bind(2) without SO_REUSEADDR in
// the same way.
func TestDialerPortInUse(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		accept(listen(t, b, ":7"), echo)
		accept(listen(t, b, ":8"), echo)
		listen(t, a, "127.0.0.1:700")
		fromPort := func(port int) (*sim.TCPConn, error) {
			c, err := dialerOf(a, &net.TCPAddr{Port: port}).Dial("tcp", "b:8")
			if err != nil {
				return nil, err
			}
			return c.(*sim.TCPConn), nil
		}
		dialled := dial(t, a, "b:7")
		_, err := fromPort(portOf(dialled.LocalAddr()))
		require.ErrorIs(t, err, syscall.EADDRINUSE, "another destination does not help")
		_, err = a.Listen("tcp", dialled.LocalAddr().String())
		require.ErrorIs(t, err, syscall.EADDRINUSE, "nor can it be listened on")
		_, err = a.Listen("tcp", "127.0.0.1:"+portText(dialled.LocalAddr()))
		require.NoError(t, err, "but on another address")
		_, err = fromPort(700)
		require.ErrorIs(t, err, syscall.EADDRINUSE, "a listener's")
		_, err = dialerOf(a, tcpAddr(a.Addr().String()+":700")).Dial("tcp", "b:8")
		require.NoError(t, err, "a listener's of another address")

		c, err := fromPort(4000)
		require.NoError(t, err)
		c.Close()
		settle()
		require.Contains(t, a.Netstat(), "TIME_WAIT")
		_, err = fromPort(4000)
		require.ErrorIs(t, err, syscall.EADDRINUSE, "TIME_WAIT")
		time.Sleep(time.Minute)
		c, err = fromPort(4000)
		require.NoError(t, err)
		c.SetLinger(0)
		c.Close()
		_, err = fromPort(4000)
		require.NoError(t, err, "a reset leaves no TIME_WAIT")

		// The port of accepted connections is not free for a dial either, even once nobody listens;
		// but a program can listen on it again.
		l := listen(t, a, ":9000")
		c2, err := b.Dial("tcp", "a:9000")
		require.NoError(t, err)
		defer c2.Close()
		_, err = l.Accept()
		require.NoError(t, err)
		l.Close()
		_, err = fromPort(9000)
		require.ErrorIs(t, err, syscall.EADDRINUSE)
		listen(t, a, ":9000")
	})
}

func portText(a net.Addr) string {
	_, port, _ := net.SplitHostPort(a.String())
	return port
}

// For a dial, the host chooses no port that a program listens on or has bound.
func TestEphemeralPortsLeaveOutListeners(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		accept(listen(t, b, ":7"), echo)
		listen(t, a, ":32768")
		require.Equal(t, 32769, portOf(dial(t, a, "b:7").LocalAddr()))
		require.NotEqual(t, 32769, portOf(listen(t, a, ":0").Addr()))
	})
}

// Of Timeout, Deadline and the context's deadline, the earliest ends the dial.
func TestDialerDeadlines(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a := n.Host("a")
		n.Link(a, n.Host("b"), netem.Config{}).Down()
		for _, row := range []struct{ timeout, deadline, ctx, want time.Duration }{
			{timeout: 1, deadline: 2, ctx: 3, want: 1},
			{timeout: 3, deadline: 1, ctx: 2, want: 1},
			{timeout: 3, deadline: 2, ctx: 1, want: 1},
			{timeout: 5, want: 5},
			{deadline: 5, want: 5},
			{timeout: -1, want: 0},
			{want: 131},
		} {
			d := a.Dialer()
			d.Timeout = row.timeout * time.Second
			if row.deadline != 0 {
				d.Deadline = in(row.deadline * time.Second)
			}
			ctx := t.Context()
			if row.ctx != 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, row.ctx*time.Second)
				defer cancel()
			}
			start := n.Elapsed()
			_, err := d.DialContext(ctx, "tcp", "b:7")
			require.Equal(t, start+row.want*time.Second, n.Elapsed())
			if row.want == 131 {
				require.ErrorIs(t, err, syscall.ETIMEDOUT)
			} else {
				require.ErrorIs(t, err, context.DeadlineExceeded)
			}
		}
	})
}

// A dialer's keep-alive settings decide when a connection over a dead link ends.
func TestDialerKeepAlive(t *testing.T) {
	for _, row := range []struct {
		set  func(d *sim.Dialer)
		want time.Duration // of silence until the end; 0: none
	}{
		{func(d *sim.Dialer) {}, 150 * time.Second},
		{func(d *sim.Dialer) { d.KeepAlive = 5 * time.Second }, 140 * time.Second},
		{func(d *sim.Dialer) { d.KeepAlive = -1 }, 0},
		{func(d *sim.Dialer) {
			d.KeepAlive = -1
			d.KeepAliveConfig = net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: 2 * time.Second, Count: 3}
		}, 7 * time.Second},
	} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			a, b := n.Host("a"), n.Host("b")
			link := n.Link(a, b, netem.Config{})
			accept(listen(t, b, ":7"), echo)
			d := a.Dialer()
			row.set(d)
			c, err := d.Dial("tcp", "b:7")
			require.NoError(t, err)
			start := n.Elapsed()
			link.Down()
			c.SetReadDeadline(in(time.Hour))
			_, err = c.Read(make([]byte, 1))
			if row.want == 0 {
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				return
			}
			require.ErrorIs(t, err, syscall.ETIMEDOUT)
			require.InDelta(t, start+row.want, n.Elapsed(), 10)
		})
	}
}

// HTTPClient dials as http.DefaultTransport does. A dial times out after 30 s. A connection on which a request waits ends
// after 30 s of silence and 9 probes, 15 s apart.
func TestHTTPClientDialsAsDefaultTransport(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		phone, server := n.Host("phone"), n.Host("server")
		link := n.Link(phone, server, netem.Config{Delay: 10 * ms})
		server.ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))

		n.After(time.Second, link.Down)
		_, err := phone.HTTPClient().Get("http://server/")
		require.ErrorIs(t, err, syscall.ETIMEDOUT)
		require.InDelta(t, 40*ms+165*time.Second, n.Elapsed(), 10, "it was silent since the ACK of the request")

		start := n.Elapsed()
		_, err = phone.HTTPClient().Get("http://server/")
		require.ErrorContains(t, err, "dial tcp 10.0.0.2:80: i/o timeout")
		require.Equal(t, start+30*time.Second, n.Elapsed())
	})
}

func TestDialerInATransport(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		b.ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(r.RemoteAddr)) }))
		tr := &http.Transport{DialContext: dialerOf(a, &net.TCPAddr{Port: 4000}).DialContext}
		defer tr.CloseIdleConnections()
		resp, err := (&http.Client{Transport: tr}).Get("http://b/")
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, a.Addr().String()+":4000", string(body))
	})
}

func TestDialerMisuse(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		require.PanicsWithValue(t, "sim: Dialer.DialContext: a Dialer must be made by Host.Dialer", func() {
			new(sim.Dialer).Dial("tcp", "a:7")
		})
		d := n.Host("a").Dialer()
		d.Control = func(string, string, syscall.RawConn) error { return nil }
		_, err := d.Dial("tcp", "a:7")
		require.ErrorContains(t, err, "Dialer.Control: must be nil: a simulated socket has no descriptor")
		d = n.Host("a").Dialer()
		d.ControlContext = func(context.Context, string, string, syscall.RawConn) error { return nil }
		_, err = d.Dial("udp", "a:7")
		require.ErrorContains(t, err, "Dialer.ControlContext: must be nil")
	})
}

// Goroutines dial several hosts from one local port at the same instant. In every run the port
// goes to the dial whose destination is first in order.
func TestDialerPortDoesNotDependOnOrder(t *testing.T) {
	for range 10 {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			a := n.Host("a")
			names := []string{"b", "c", "d", "e"}
			for _, name := range names {
				accept(listen(t, n.Host(name), ":7"), echo)
			}
			won := make(chan string, len(names))
			for _, name := range names {
				go func() {
					if _, err := dialerOf(a, &net.TCPAddr{Port: 4000}).Dial("tcp", name+":7"); err == nil {
						won <- name
					}
				}()
			}
			time.Sleep(time.Second)
			require.Len(t, won, 1)
			require.Equal(t, "b", <-won)
		})
	}
}

// A UDP socket has its port to itself, wherever it sends. When all ports are taken, a dial fails
// with EAGAIN and a bind to port 0 with EADDRINUSE, as on Linux 6.18.
func TestUDPPortsRunOut(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a, b := n.Host("a"), n.Host("b")
		local := udpAddr(a.Addr().String() + ":0")
		seen := map[int]bool{}
		var last net.Conn
		for range 60999 - 32768 + 1 {
			c, err := a.Dial("udp", "b:9")
			require.NoError(t, err)
			p := portOf(c.LocalAddr())
			require.True(t, p >= 32768 && p <= 60999 && !seen[p], "port %d", p)
			seen[p] = true
			last = c
		}
		_, err := a.Dial("udp", "b:11")
		require.ErrorIs(t, err, syscall.EAGAIN)
		require.ErrorContains(t, err, "dial udp 10.0.0.2:11: connect: resource temporarily unavailable")
		_, err = dialerOf(a, local).Dial("udp", "b:11")
		require.ErrorIs(t, err, syscall.EADDRINUSE)
		_, err = a.ListenPacket("udp", ":0")
		require.ErrorIs(t, err, syscall.EADDRINUSE)
		_, err = b.Dial("udp", "a:11")
		require.NoError(t, err, "another host has its own")
		last.Close()
		c, err := a.Dial("udp", "b:11")
		require.NoError(t, err)
		require.Equal(t, last.LocalAddr(), c.LocalAddr())
	})
}
