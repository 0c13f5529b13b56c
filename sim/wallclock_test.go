package sim_test

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// On the wall clock the network behaves the same, in real time. Times have only lower bounds, because a busy machine
// is late.
func TestWallClock(t *testing.T) {
	n := sim.New(sim.DefaultLink(netem.Config{Delay: 5 * ms}))
	defer n.Close()
	server, phone := n.Host("server"), n.Host("phone")
	l := listen(t, server, ":7")
	accept(l, echo)

	start := time.Now()
	c := dial(t, phone, "server:7")
	require.GreaterOrEqual(t, time.Since(start), 10*ms)
	start = time.Now()
	_, err := c.Write([]byte("hello"))
	require.NoError(t, err)
	p := make([]byte, 5)
	_, err = io.ReadFull(c, p)
	require.NoError(t, err)
	require.Equal(t, "hello", string(p))
	require.GreaterOrEqual(t, time.Since(start), 10*ms)

	start = time.Now()
	c.SetReadDeadline(start.Add(20 * ms))
	_, err = c.Read(p)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.GreaterOrEqual(t, time.Since(start), 20*ms)
	l.(*sim.TCPListener).SetDeadline(time.Now())
	_, err = l.Accept()
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)

	server.PowerOff()
	ctx, cancel := context.WithTimeout(t.Context(), 20*ms)
	defer cancel()
	_, err = phone.DialContext(ctx, "tcp", "server:7")
	require.ErrorIs(t, err, context.DeadlineExceeded)

	fired := make(chan time.Duration)
	at := n.Elapsed() + 10*ms
	n.After(10*ms, func() { fired <- n.Elapsed() })
	require.GreaterOrEqual(t, <-fired, at)
}

// Close releases every waiting call and leaves no goroutine behind.
func TestCloseReleasesEveryCall(t *testing.T) {
	leaks := goleak.IgnoreCurrent()
	n := sim.New(sim.DefaultLink(netem.Config{Delay: ms}))
	server, phone := n.Host("server"), n.Host("phone")
	dark := n.Host("dark")
	dark.PowerOff()
	l := listen(t, server, ":7")
	idle := listen(t, server, ":8")
	c := dial(t, phone, "server:7")
	accepted, err := l.Accept()
	require.NoError(t, err)
	pc, err := phone.ListenPacket("udp", ":9")
	require.NoError(t, err)
	paused := n.Host("paused")
	frozen := listen(t, paused, ":7")
	paused.Pause()
	lingering := dial(t, phone, "server:7").(*sim.TCPConn)
	lingering.SetLinger(3600)
	n.PartitionOneWay([]*sim.Host{phone}, []*sim.Host{server})
	lingering.Write([]byte("never acknowledged"))
	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	calls := map[string]func() error{
		"Read":                func() error { _, err := accepted.Read(make([]byte, 1)); return err },
		"Write":               func() error { _, err := c.Write(make([]byte, 10<<20)); return err },
		"Accept":              func() error { _, err := idle.Accept(); return err },
		"Accept while paused": func() error { _, err := frozen.Accept(); return err },
		"ReadFrom":            func() error { _, _, err := pc.ReadFrom(make([]byte, 1)); return err },
		"Dial":                func() error { _, err := phone.Dial("tcp", "dark:7"); return err },
	}
	var mu sync.Mutex
	got := map[string]error{}
	var all sync.WaitGroup
	for name, call := range calls {
		all.Go(func() {
			err := call()
			mu.Lock()
			defer mu.Unlock()
			got[name] = err
		})
	}
	all.Go(func() { lingering.Close() })
	ended := make(chan struct{})
	phone.Run("process", func(ctx context.Context, h *sim.Host) error {
		<-ctx.Done()
		close(ended)
		return ctx.Err()
	})
	time.Sleep(20 * ms)
	mu.Lock()
	require.Empty(t, got, "all of them wait")
	mu.Unlock()

	n.Close()
	n.Close() // once more does nothing
	all.Wait()
	<-ended
	for name := range calls {
		require.ErrorIs(t, got[name], net.ErrClosed, name)
	}
	_, err = phone.DialContext(ctx, "tcp", "server:7")
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = phone.Listen("tcp", ":99")
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = phone.ListenPacket("udp", ":99")
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = c.Write([]byte("x"))
	require.ErrorIs(t, err, net.ErrClosed)
	n.After(0, func() { t.Error("the network is closed") })
	n.Partition([]*sim.Host{phone}, []*sim.Host{server})
	server.Restart()
	require.NoError(t, goleak.Find(leaks))
}
