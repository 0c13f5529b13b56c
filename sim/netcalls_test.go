package sim_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
	"github.com/squall-sim/squall/sim/internal/exact"
)

func needExact(t *testing.T) {
	t.Helper()
	if !exact.Hosts {
		t.Skip("calls of package net reach the simulated network only in exact mode: squall test")
	}
}

func TestPlainHTTPIsOnTheHost(t *testing.T) {
	needExact(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		n.Link(n.Host("web"), n.Host("phone"), netem.Config{Delay: 40 * time.Millisecond})
		n.Host("web").Go(func() {
			mux := http.NewServeMux()
			mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
				name, _ := os.Hostname()
				fmt.Fprintf(w, "%s greets %s", name, r.RemoteAddr)
			})
			err := http.ListenAndServe(":80", mux)
			assert.ErrorIs(t, err, net.ErrClosed)
		})
		<-n.Host("phone").Go(func() {
			time.Sleep(time.Second)
			resp, err := http.Get("http://web/")
			if !assert.NoError(t, err) {
				return
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			assert.NoError(t, err)
			assert.Equal(t, "web greets 10.0.0.2:32768", string(body))
			assert.Equal(t, time.Second+160*time.Millisecond, n.Elapsed(), "two round trips of 80 ms")
			name, err := os.Hostname()
			assert.NoError(t, err)
			assert.Equal(t, "phone", name)
		})
	})
}

func TestPackageNetsOwnTypes(t *testing.T) {
	needExact(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		n.Link(n.Host("server"), n.Host("client"), netem.Config{Delay: 10 * time.Millisecond})
		n.Host("server").Go(func() {
			l, err := net.Listen("tcp", ":4000")
			require.NoError(t, err)
			assert.IsType(t, &net.TCPListener{}, l)
			assert.Equal(t, "0.0.0.0:4000", l.Addr().String())
			c, err := l.Accept()
			require.NoError(t, err)
			line, err := bufio.NewReader(c).ReadString('\n')
			assert.NoError(t, err)
			_, err = (&net.Buffers{[]byte("you said "), nil, []byte(line)}).WriteTo(c)
			assert.NoError(t, err)
			c.Close()
			l.Close()
			_, err = l.Accept()
			assert.ErrorIs(t, err, net.ErrClosed)
		})
		<-n.Host("client").Go(func() {
			time.Sleep(time.Millisecond)
			c, err := net.Dial("tcp", "server:4000")
			if !assert.NoError(t, err) {
				return
			}
			tcp, ok := c.(*net.TCPConn)
			assert.True(t, ok)
			assert.NoError(t, tcp.SetNoDelay(false))
			assert.NoError(t, tcp.SetLinger(-1))
			assert.NoError(t, tcp.SetReadBuffer(1<<20))
			assert.NoError(t, tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Minute}))
			assert.Error(t, tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Count: 128}))
			assert.Equal(t, "10.0.0.1:4000", c.RemoteAddr().String())
			c.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
			_, err = c.Read(make([]byte, 1))
			var ne net.Error
			assert.True(t, errors.As(err, &ne) && ne.Timeout())
			assert.EqualError(t, err, "read tcp 10.0.0.2:"+port(c.LocalAddr())+"->10.0.0.1:4000: i/o timeout")
			c.SetReadDeadline(time.Time{})
			fmt.Fprintln(c, "hello")
			assert.NoError(t, tcp.CloseWrite())
			all, err := io.ReadAll(c)
			assert.NoError(t, err)
			assert.Equal(t, "you said hello\n", string(all))
			assert.NoError(t, c.Close())
			assert.ErrorIs(t, c.Close(), net.ErrClosed)
			_, err = tcp.File()
			assert.ErrorIs(t, err, errors.ErrUnsupported)

			_, err = net.Dial("tcp", "server:4001")
			assert.ErrorIs(t, err, syscall.ECONNREFUSED)
			assert.EqualError(t, err, "dial tcp 10.0.0.1:4001: connect: connection refused")
			_, err = net.Dial("tcp", "nobody:1")
			var dns *net.DNSError
			assert.True(t, errors.As(err, &dns) && dns.IsNotFound)
			_, err = net.Dial("unix", "/tmp/socket")
			assert.ErrorIs(t, err, errors.ErrUnsupported)
			_, err = net.Listen("unix", "/tmp/socket")
			assert.EqualError(t, err, "listen unix /tmp/socket: a socket of the simulated network does not have the network unix")
		})
	})
}

func TestRawReadsOfPackageNet(t *testing.T) {
	needExact(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		n.Host("server").Go(func() {
			l, err := net.Listen("tcp", ":4000")
			require.NoError(t, err)
			c, err := l.Accept()
			require.NoError(t, err)
			time.Sleep(time.Second)
			fmt.Fprint(c, "hello")
			time.Sleep(time.Second)
			c.Close()
		})
		<-n.Host("client").Go(func() {
			time.Sleep(time.Millisecond)
			c, err := net.Dial("tcp", "server:4000")
			if !assert.NoError(t, err) {
				return
			}
			raw, err := c.(syscall.Conn).SyscallConn()
			assert.NoError(t, err)
			// go-redis does this with an idle connection, and a gRPC client with one that it reads from.
			peek := func() (k int, err error) {
				assert.NoError(t, raw.Read(func(fd uintptr) bool {
					k, _, err = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
					return true
				}))
				return k, err
			}
			read := func() (text string, err error) {
				failed := raw.Read(func(fd uintptr) bool {
					p := make([]byte, 100)
					var k int
					k, err = syscall.Read(int(fd), p)
					text = string(p[:max(k, 0)])
					return err != syscall.EAGAIN
				})
				return text, errors.Join(failed, err)
			}
			_, err = peek()
			assert.Equal(t, syscall.EAGAIN, err)
			text, err := read()
			assert.NoError(t, err)
			assert.Equal(t, "hello", text)
			assert.Equal(t, time.Second+time.Millisecond+1, n.Elapsed(), "the server was let go on 1 ns after the client that dialled at 1 ms")
			c.SetReadDeadline(time.Now().Add(time.Millisecond))
			_, err = read()
			assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
			c.SetReadDeadline(time.Time{})
			text, err = read()
			assert.NoError(t, err)
			assert.Empty(t, text, "the end")
			k, err := peek()
			assert.NoError(t, err)
			assert.Zero(t, k)
			c.Close()
			_, err = read()
			assert.ErrorIs(t, err, net.ErrClosed)
		})
	})
}

func port(a net.Addr) string {
	_, p, _ := net.SplitHostPort(a.String())
	return p
}

func TestDatagramsOfPackageNet(t *testing.T) {
	needExact(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		n.Host("server").Go(func() {
			u, err := net.ListenPacket("udp", ":53")
			require.NoError(t, err)
			p := make([]byte, 100)
			k, from, err := u.ReadFrom(p)
			assert.NoError(t, err)
			_, err = u.WriteTo(p[:k], from)
			assert.NoError(t, err)
			k, _, flags, addr, err := u.(*net.UDPConn).ReadMsgUDPAddrPort(p[:3], nil)
			assert.NoError(t, err)
			assert.Equal(t, "two", string(p[:k]))
			assert.Equal(t, syscall.MSG_TRUNC, flags)
			assert.Equal(t, n.Host("client").Addr(), addr.Addr())
			_, _, err = u.(*net.UDPConn).WriteMsgUDPAddrPort([]byte("back"), nil, addr)
			assert.NoError(t, err)
		})
		<-n.Host("client").Go(func() {
			time.Sleep(time.Millisecond)
			u, err := net.Dial("udp", "server:53")
			if !assert.NoError(t, err) {
				return
			}
			u.Write([]byte("one"))
			p := make([]byte, 100)
			k, err := u.Read(p)
			assert.NoError(t, err)
			assert.Equal(t, "one", string(p[:k]))
			u.Write([]byte("two and more"))
			k, err = u.Read(p)
			assert.NoError(t, err)
			assert.Equal(t, "back", string(p[:k]))
		})
	})
}

func TestNamesAndInterfacesAreTheHosts(t *testing.T) {
	needExact(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		n.Host("server").AddAddr(netip.MustParseAddr("192.0.2.9"))
		<-n.Host("client").Go(func() {
			addrs, err := net.LookupHost("server")
			assert.NoError(t, err)
			assert.Equal(t, []string{"10.0.0.1", "192.0.2.9"}, addrs)
			_, err = net.LookupHost("example.com")
			assert.ErrorContains(t, err, "no such host")
			names, err := net.LookupAddr("10.0.0.1")
			assert.NoError(t, err)
			assert.Equal(t, []string{"server."}, names)
			ips, err := (&net.Resolver{PreferGo: true}).LookupIP(context.Background(), "ip6", "server")
			assert.Error(t, err, "%v", ips)

			all, err := net.InterfaceAddrs()
			assert.NoError(t, err)
			assert.Equal(t, "[127.0.0.1/8 10.0.0.2/8]", fmt.Sprint(all))
			interfaces, err := net.Interfaces()
			assert.NoError(t, err)
			assert.Len(t, interfaces, 2)
			eth, err := net.InterfaceByName("eth0")
			assert.NoError(t, err)
			own, err := eth.Addrs()
			assert.NoError(t, err)
			assert.Equal(t, "[10.0.0.2/8]", fmt.Sprint(own))
		})
	})
}

func TestTimersAndGoroutinesStayOnTheirHost(t *testing.T) {
	needExact(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		names := make(chan string, 4)
		tell := func() { name, _ := os.Hostname(); names <- name }
		n.Host("a").Go(func() {
			go func() { go tell() }()
			time.AfterFunc(time.Second, tell)
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			context.AfterFunc(ctx, tell)
			time.Sleep(3 * time.Second)
			n.Elapsed() // a call on the network does not change whose goroutine it is
			tell()
		})
		for range 4 {
			assert.Equal(t, "a", <-names)
		}
		<-n.Host("b").Go(tell)
		assert.Equal(t, "b", <-names)
		machine, _ := os.Hostname()
		assert.NotContains(t, []string{"a", "b"}, machine)
	})
}

func TestTheClockOfTheHost(t *testing.T) {
	needExact(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		h, other := n.Host("late"), n.Host("other")
		h.Clock().Step(-time.Hour)
		other.Go(func() { net.Listen("tcp", ":1") })
		<-h.Go(func() {
			began := time.Now()
			assert.Equal(t, "1999-12-31T23:00:00Z", began.UTC().Format(time.RFC3339))
			assert.Equal(t, h.Now().UnixNano(), began.UnixNano())
			time.Sleep(time.Second)
			h.Clock().Step(24 * time.Hour)
			assert.Equal(t, time.Second, time.Since(began), "a duration has no step")
			assert.Equal(t, "2000-01-01T23:00:01Z", time.Now().UTC().Format(time.RFC3339))

			c, err := net.DialTimeout("tcp", "other:1", time.Minute)
			if !assert.NoError(t, err) {
				return
			}
			before := n.Elapsed()
			deadline := time.Now().Add(3 * time.Second)
			h.Clock().Step(-time.Hour)
			assert.NoError(t, c.SetReadDeadline(deadline))
			_, err = c.Read(make([]byte, 1))
			assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
			assert.Equal(t, 3*time.Second, n.Elapsed()-before, "a deadline is so far ahead as it was when it was made")
		})
		assert.Equal(t, n.Elapsed(), time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)), "the test has the network's clock")
	})
}

func TestHostsShareNoConnections(t *testing.T) {
	needExact(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		web := n.Host("web")
		web.ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.RemoteAddr) }))
		shared := &http.Client{Transport: &http.Transport{}} // a variable of the package, as far as the hosts are concerned
		get := func(c *http.Client) (from string) {
			resp, err := c.Get("http://web/")
			if assert.NoError(t, err) {
				body, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				from, _, _ = net.SplitHostPort(string(body))
			}
			return from
		}
		for _, c := range []*http.Client{http.DefaultClient, shared} {
			for _, name := range []string{"a", "b", "a", "c", "b"} {
				h := n.Host(name)
				<-h.Go(func() { assert.Equal(t, h.Addr().String(), get(c)) })
			}
		}
		assert.Equal(t, 6, dials(n, "a", "b", "c"), "each host keeps one connection for each client")
	})
}

func dials(n *sim.Network, hosts ...string) (count int) {
	for e := range n.Trace().Events() {
		if e.Kind == sim.Sent && e.Flags == "S" && slices.Contains(hosts, e.From) {
			count++
		}
	}
	return count
}

func TestACrashEndsWhatGoStarted(t *testing.T) {
	needExact(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		h := n.Host("server")
		h.Go(func() {
			l, err := net.Listen("tcp", ":80")
			require.NoError(t, err)
			_, err = l.Accept()
			assert.ErrorIs(t, err, net.ErrClosed)
			_, err = net.Listen("tcp", ":80")
			assert.ErrorIs(t, err, syscall.ENETDOWN)
			time.Sleep(2 * time.Second)
			_, err = net.Listen("tcp", ":80")
			assert.ErrorIs(t, err, syscall.ENETDOWN, "the program of before the crash")
		})
		time.Sleep(time.Second)
		h.Crash()
		late := h.Go(func() {
			_, err := net.Listen("tcp", ":80")
			assert.NoError(t, err)
		})
		time.Sleep(time.Second)
		h.Restart()
		<-late
		assert.Equal(t, 2*time.Second, n.Elapsed())
	})
}

func TestALookupTakesItsTimeByAWrongClock(t *testing.T) {
	needExact(t)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		wrong := n.Host("wrong")
		wrong.Clock().Step(-time.Hour)
		for _, h := range []*sim.Host{n.Host("right"), wrong} {
			h.SetResolver(sim.ResolverConfig{Servers: []*sim.Host{n.Host("silent")}})
		}
		n.Host("silent").PowerOff()
		for _, name := range []string{"right", "wrong"} {
			began := n.Elapsed()
			<-n.Host(name).Go(func() {
				_, err := net.LookupHost("example.com")
				var e *net.DNSError
				assert.True(t, errors.As(err, &e) && e.IsTimeout, "%v", err)
			})
			assert.Equal(t, 10*time.Second+1, n.Elapsed()-began, "two tries of 5 s, of A and 1 ns later of AAAA, on the host with the %s clock", name)
		}
	})
}
