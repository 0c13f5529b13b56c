package sim_test

import (
	"io"
	"log"
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

// requireErrno requires an error of a system call that is temporary, as EMFILE and EAGAIN are.
func requireErrno(t *testing.T, err error, op, call string, errno syscall.Errno) {
	t.Helper()
	var o *net.OpError
	require.ErrorAs(t, err, &o)
	var s *os.SyscallError
	require.ErrorAs(t, err, &s)
	require.Equal(t, []string{op, call, errno.Error()}, []string{o.Op, s.Syscall, s.Err.Error()})
	require.ErrorIs(t, err, errno)
	require.Equal(t, errno.Temporary(), o.Temporary())
}

// When the descriptors are used up, no call makes another socket, as on Linux 6.18. Accept does not
// wait either, and connections stay in the backlog.
func TestDescriptorLimit(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server, client := n.Host("server"), n.Host("client")
		l := listen(t, server, ":7")
		first := dial(t, client, "server:7")
		a, err := l.Accept()
		require.NoError(t, err)
		waiting := dial(t, client, "server:7")
		waiting.Write([]byte("hello"))

		server.SetLimits(sim.HostLimits{Descriptors: 2})
		full := func() {
			t.Helper()
			for range 2 {
				_, err = l.Accept()
				requireErrno(t, err, "accept", "accept4", syscall.EMFILE)
			}
			_, err = server.Dial("tcp", "client:7")
			requireErrno(t, err, "dial", "socket", syscall.EMFILE)
			_, err = server.Dial("udp", "client:7")
			requireErrno(t, err, "dial", "socket", syscall.EMFILE)
			_, err = server.Listen("tcp", ":0")
			requireErrno(t, err, "listen", "socket", syscall.EMFILE)
			_, err = server.ListenPacket("udp", ":0")
			requireErrno(t, err, "listen", "socket", syscall.EMFILE)
			_, err = server.Resolver().LookupHost(t.Context(), "client")
			require.ErrorContains(t, err, "too many open files")
		}
		full()
		require.NoError(t, a.Close())
		require.ErrorIs(t, a.Close(), net.ErrClosed) // once is enough
		a, err = l.Accept()
		require.NoError(t, err)
		b := make([]byte, 5)
		_, err = io.ReadFull(a, b)
		require.NoError(t, err)
		require.Equal(t, "hello", string(b), "it was in the backlog")
		full()

		first.Close()
		waiting.Close()
		time.Sleep(time.Minute)
		full() // a connection that the peer closed is open until the program closes it
		a.(*sim.TCPConn).SetLinger(0)
		a.Close()
		_, err = server.Dial("tcp", "client:7") // an attempt that fails is over
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		u, err := server.ListenPacket("udp", ":0")
		require.NoError(t, err)
		full()
		u.Close()
		c, err := server.Dial("udp", "client:7")
		require.NoError(t, err)
		full()
		server.Restart() // with the processes go their descriptors, whatever the program closes afterwards
		c.Close()
		l.Close()
		l = listen(t, server, ":7")
		dial(t, client, "server:7")
		_, err = l.Accept()
		require.NoError(t, err)
		full()
		server.SetLimits(sim.HostLimits{})
		dial(t, client, "server:7")
		_, err = l.Accept()
		require.NoError(t, err)
	}, sim.Strict())
}

// An attempt to connect takes a descriptor, even one that is abandoned.
func TestAttemptsAreDescriptors(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client := n.Host("client")
		n.Host("server").PowerOff()
		client.SetLimits(sim.HostLimits{Descriptors: 1})
		d := client.Dialer()
		d.Timeout = 10 * time.Second
		n.After(5*time.Second, func() {
			_, err := client.Dial("tcp", "server:7")
			requireErrno(t, err, "dial", "socket", syscall.EMFILE)
		})
		for range 2 {
			_, err := d.Dial("tcp", "server:7")
			require.True(t, os.IsTimeout(err), "%v", err)
		}
		listen(t, client, ":7")
	})
}

// A net/http server that has run out of descriptors goes on when some are free again.
func TestServerOutOfDescriptors(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server, client := n.Host("server"), n.Host("client")
		n.Link(server, client, netem.Config{Delay: 10 * time.Millisecond})
		srv := server.ServeHTTP(":80", http.NotFoundHandler())
		srv.ErrorLog = log.New(io.Discard, "", 0)
		server.SetLimits(sim.HostLimits{Descriptors: 2})
		idle, late := client.HTTPClient(), client.HTTPClient()
		get := func(c *http.Client) {
			resp, err := c.Get("http://server/")
			require.NoError(t, err)
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		get(idle)
		n.After(10*time.Second, idle.CloseIdleConnections)
		before := n.Elapsed()
		get(late)
		took := n.Elapsed() - before
		require.Greater(t, took, 9900*time.Millisecond)
		require.Less(t, took, 11100*time.Millisecond, "net/http tries again at most a second later")
	})
}

// When all ports of a range are in use the errors are those of Linux 6.18.
func TestFewEphemeralPorts(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server := n.Host("client"), n.Host("server")
		for _, port := range []string{":7", ":8"} {
			accept(listen(t, server, port), echo)
		}
		client.SetLimits(sim.HostLimits{FirstPort: 40000, LastPort: 40003})
		inRange := func(a net.Addr) {
			t.Helper()
			require.GreaterOrEqual(t, portOf(a), 40000)
			require.LessOrEqual(t, portOf(a), 40003)
		}
		var last net.Conn
		for _, address := range []string{"server:7", "server:8"} { // as many for each destination
			for range 4 {
				last = dial(t, client, address)
				inRange(last.LocalAddr())
			}
			_, err := client.Dial("tcp", address)
			requireErrno(t, err, "dial", "connect", syscall.EADDRNOTAVAIL)
		}
		last.(*sim.TCPConn).SetLinger(0)
		last.Close()
		require.Equal(t, last.LocalAddr(), dial(t, client, "server:8").LocalAddr(), "it is free again")

		for range 4 {
			c, err := client.Dial("udp", "server:9")
			require.NoError(t, err)
			inRange(c.LocalAddr())
		}
		_, err := client.Dial("udp", "server:9")
		requireErrno(t, err, "dial", "connect", syscall.EAGAIN)
		_, err = client.ListenPacket("udp", ":0")
		requireErrno(t, err, "listen", "bind", syscall.EADDRINUSE)
		_, err = client.Listen("tcp", ":0")
		requireErrno(t, err, "listen", "bind", syscall.EADDRINUSE)
		listen(t, client, ":5000").Close()

		server.SetLimits(sim.HostLimits{FirstPort: 65534, LastPort: 65535})
		for _, port := range []int{65534, 65535} {
			require.Equal(t, port, portOf(listen(t, server, ":0").Addr()))
		}
		_, err = server.Listen("tcp", ":0")
		requireErrno(t, err, "listen", "bind", syscall.EADDRINUSE)
	})
}

func TestMisuseOfLimits(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		a := n.Host("a")
		require.PanicsWithValue(t, "sim: host a: SetLimits: HostLimits.Descriptors = -1: must not be negative", func() { a.SetLimits(sim.HostLimits{Descriptors: -1}) })
		require.PanicsWithValue(t, "sim: host a: SetLimits: HostLimits.LastPort = 100: must be at least FirstPort, 32768", func() { a.SetLimits(sim.HostLimits{LastPort: 100}) })
		require.PanicsWithValue(t, "sim: host a: SetLimits: HostLimits.CPUs = -1: must not be negative", func() { a.SetLimits(sim.HostLimits{CPUs: -1}) })
		require.PanicsWithValue(t, "sim: host a: SetLimits: HostLimits.Slowdown = 1001: must be from 1 to 1000, or 0 for 1", func() { a.SetLimits(sim.HostLimits{Slowdown: 1001}) })
		require.PanicsWithValue(t, "sim: host a: Work(24h0m0.000000001s): must be from 0 to 24h0m0s", func() { a.Work(24*time.Hour + 1) })
		require.PanicsWithValue(t, "sim: host a: Work(-1ns): must be from 0 to 24h0m0s", func() { a.Work(-1) })
	})
}
