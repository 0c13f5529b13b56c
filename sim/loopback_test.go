package sim_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// On loopback the program is the same as on the simulated network, with the same names and ports.
func TestLoopbackIsTheMachines(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	n := sim.New(sim.Loopback())
	server, phone := n.Host("server"), n.Host("phone")
	server.ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello "+r.Host) }))
	web := phone.HTTPClient()
	require.Equal(t, "hello server", get(t, web, "http://server/"))
	require.Regexp(t, `server:80 +\* +LISTEN`, server.Netstat())
	require.Regexp(t, `127\.0\.0\.1:\d+ +127\.0\.0\.1:\d+ +ESTABLISHED`, phone.Netstat())

	_, err := server.Listen("tcp", ":80")
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	_, err = phone.Dial("tcp", "server:81")
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	_, err = phone.Dial("tcp", "nobody:80")
	var dns *net.DNSError
	require.ErrorAs(t, err, &dns)

	l := listen(t, server, ":0")
	accept(l, echo)
	require.NoError(t, exchange(phone, l.Addr().String()))

	n.Close()
	_, err = phone.Dial("tcp", "server:80")
	require.Error(t, err)
	_, err = server.Listen("tcp", ":82")
	require.ErrorIs(t, err, net.ErrClosed)
	web.CloseIdleConnections()
	require.NoError(t, goleak.Find(leaks))
}

func exchange(from *sim.Host, address string) error {
	c, err := from.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write([]byte("x")); err != nil {
		return err
	}
	_, err = io.ReadFull(c, make([]byte, 1))
	return err
}

// A crash resets a host's connections, and its listeners are reachable again after a restart.
func TestCrashOnLoopback(t *testing.T) {
	n := sim.New(sim.Loopback())
	defer n.Close()
	server, phone := n.Host("server"), n.Host("phone")
	lives := make(chan int, 10)
	server.Run("echo", func(ctx context.Context, h *sim.Host) error {
		l, err := h.Listen("tcp", ":7")
		if err != nil {
			return err
		}
		lives <- len(lives)
		accept(l, echo)
		<-ctx.Done()
		return nil
	})
	<-lives
	c := dial(t, phone, "server:7")
	server.Crash()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	_, err := c.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	require.ErrorIs(t, exchange(phone, "server:7"), syscall.ECONNREFUSED)
	_, err = server.Listen("tcp", ":8")
	require.ErrorIs(t, err, syscall.ENETDOWN)
	_, err = server.Dial("tcp", "server:7")
	require.ErrorIs(t, err, syscall.ENETDOWN)

	server.Restart()
	<-lives
	require.NoError(t, exchange(phone, "server:7"))
	server.Restart()
	<-lives
	require.NoError(t, exchange(phone, "server:7"))
}

// A socket that the program closes no longer belongs to its host: it is not listed, and its port is free.
func TestClosedSocketsAreForgottenOnLoopback(t *testing.T) {
	n := sim.New(sim.Loopback())
	defer n.Close()
	server, phone := n.Host("server"), n.Host("phone")
	l := listen(t, server, ":7")
	c := dial(t, phone, "server:7")
	s, err := l.Accept()
	require.NoError(t, err)
	require.Contains(t, phone.Netstat(), c.LocalAddr().String())
	require.Contains(t, server.Netstat(), s.RemoteAddr().String())

	require.NoError(t, c.Close())
	require.NoError(t, s.Close())
	require.NoError(t, l.Close())
	require.NotContains(t, phone.Netstat(), "ESTABLISHED")
	require.NotContains(t, server.Netstat(), "ESTABLISHED")
	require.NotContains(t, server.Netstat(), "LISTEN")
	_, err = phone.Dial("tcp", "server:7")
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	require.NoError(t, listen(t, server, ":7").Close())
}

func TestLoopbackHasNoFaultsOfTheNetwork(t *testing.T) {
	n := sim.New(sim.Loopback())
	defer n.Close()
	a, b := n.Host("a"), n.Host("b")
	for what, call := range map[string]func(){
		"Link":         func() { n.Link(a, b, netem.Config{}) },
		"Router":       func() { n.Router("r") },
		"Access":       func() { a.Access(netem.Config{}, netem.Config{}) },
		"Partition":    func() { n.Partition([]*sim.Host{a}, []*sim.Host{b}) },
		"PowerOff":     func() { a.PowerOff() },
		"Pause":        func() { a.Pause() },
		"ListenPacket": func() { a.ListenPacket("udp", ":53") },
		"UDP":          func() { a.Dial("udp", "b:53") },
	} {
		require.PanicsWithValue(t, "sim: "+what+": it does not exist on the operating system's loopback interface (see sim.Loopback)", call)
	}
}
