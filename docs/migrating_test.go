package docs_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// Every piece of Go in migrating.md, a block or code in the second column of a table, stands in
// this file too, and so compiles and runs.
func TestMigratingShowsCodeThatRuns(t *testing.T) {
	source, err := os.ReadFile("migrating_test.go")
	require.NoError(t, err)
	text, err := os.ReadFile("migrating.md")
	require.NoError(t, err)
	code := flat(string(source))

	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	require.Len(t, blocks, 3, "one for each tool")
	for _, b := range blocks {
		require.Contains(t, code, flat(b[1]))
	}
	cells := 0
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "| ") {
			continue
		}
		columns := strings.Split(line, "|")
		require.Len(t, columns, 1+3+1, line)
		for _, c := range regexp.MustCompile("`([^`]*)`").FindAllStringSubmatch(columns[2], -1) {
			require.Contains(t, code, flat(c[1]), line)
			cells++
		}
	}
	require.Greater(t, cells, 30)
}

// flat makes one line of code, without the indentation.
func flat(code string) string { return strings.Join(strings.Fields(code), " ") }

func TestFromToxiproxy(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		app, redis := n.Host("app"), n.Host("redis")
		link := n.Link(app, redis, netem.Config{})
		serveEcho(redis, ":6379")

		link.SetAsym(netem.Config{}, netem.Config{Delay: time.Second}) // latency, downstream
		conn, err := app.Dial("tcp", "redis:6379")
		require.NoError(t, err)
		require.Equal(t, "PING", echo(t, conn, "PING"))
		require.GreaterOrEqual(t, n.Elapsed(), 2*time.Second) // a second for the handshake, one for the answer

		redis.Crash() // down
		_, err = app.Dial("tcp", "redis:6379")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
	})
}

func TestToxics(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		app, redis := n.Host("app"), n.Host("redis")
		link := n.Link(app, redis, netem.Config{})
		serveEcho(redis, ":6379")
		conn, err := app.Dial("tcp", "redis:6379")
		require.NoError(t, err)

		link.SetAsym(netem.Config{}, netem.Config{Delay: time.Second, Jitter: 100 * time.Millisecond, KeepOrder: true})
		echo(t, conn, "x")
		require.InDelta(t, time.Second, n.Elapsed(), float64(100*time.Millisecond))

		link.Set(netem.Config{Rate: 8 * 100 * netem.Kbit})
		start := n.Elapsed()
		echo(t, conn, strings.Repeat("x", 100_000))
		require.InDelta(t, time.Second, n.Elapsed()-start, float64(200*time.Millisecond))

		link.Set(netem.Config{})
		link.Down()
		n.After(time.Minute, link.Up)
		start = n.Elapsed()
		echo(t, conn, "x") // sent again after a minute
		require.Greater(t, n.Elapsed()-start, time.Minute)
		link.DownFrom(redis)
		n.After(time.Minute, link.Up)
		start = n.Elapsed()
		echo(t, conn, "x")
		require.Greater(t, n.Elapsed()-start, time.Minute)

		f := n.Inject(0, 0, sim.Delay(link, sim.Packets{Kind: sim.FIN}, 5*time.Second))
		start = n.Elapsed()
		require.NoError(t, conn.(*sim.TCPConn).CloseWrite())
		_, err = conn.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
		require.InDelta(t, 10*time.Second, n.Elapsed()-start, 1000, "5 s for the FIN of each side")
		f.End()
		conn.Close()

		f = n.Inject(0, 0, sim.CloseAfter(link, 1000, sim.Packets{From: redis}))
		conn, err = app.Dial("tcp", "redis:6379")
		require.NoError(t, err)
		_, err = conn.Write(make([]byte, 1200))
		require.NoError(t, err)
		got, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.Len(t, got, 1000)
		f.End()
		conn.Close()

		conn, err = app.Dial("tcp", "redis:6379")
		require.NoError(t, err)
		f = n.Inject(0, 0, sim.Reset(link, sim.Packets{}))
		_, err = conn.Write([]byte("x"))
		require.NoError(t, err)
		_, err = conn.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		f.End()

		conn, err = app.Dial("tcp", "redis:6379")
		require.NoError(t, err)
		redis.Crash()
		_, err = conn.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		redis.Restart()
		time.Sleep(time.Second)

		conn, err = app.Dial("tcp", "redis:6379")
		require.NoError(t, err)
		start = n.Elapsed()
		n.After(100*time.Millisecond, redis.Restart)
		_, err = conn.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		require.InDelta(t, 100*time.Millisecond, n.Elapsed()-start, 1000)
		time.Sleep(time.Second)
		conn, err = app.Dial("tcp", "redis:6379")
		require.NoError(t, err)
		require.Equal(t, "PING", echo(t, conn, "PING"), "the server is there again")
		conn.Close()

		conn, err = app.Dial("tcp", "redis:6379")
		require.NoError(t, err)
		link.Hold()
		n.After(10*time.Second, func() { redis.Crash(); link.Release() })
		start = n.Elapsed()
		_, err = conn.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		require.InDelta(t, 10*time.Second, n.Elapsed()-start, 1000)
		redis.Restart()
		time.Sleep(time.Second)

		conn, err = app.Dial("tcp", "redis:6379")
		require.NoError(t, err)
		conn.(*sim.TCPConn).SetLinger(0)
		require.NoError(t, conn.Close())
		if n.Rand("toxicity").Float64() < 0.3 {
			link.Down()
		}
	})

	sim.Test(t, func(t *testing.T, n *sim.Network) {
		app, redis := n.Host("app"), n.Host("redis")
		link := n.Link(app, redis, netem.Config{MTU: 140})
		require.NotNil(t, link)
		serveEcho(redis, ":6379")
		conn, err := app.Dial("tcp", "redis:6379")
		require.NoError(t, err)
		echo(t, conn, strings.Repeat("x", 1000))
		longest := 0
		for e := range n.Trace().Events() {
			longest = max(longest, e.Length)
		}
		require.Equal(t, 88, longest)
	})
}

func TestFromPipe(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server := n.Host("client"), n.Host("server")
		n.Link(client, server, netem.Config{Delay: 25 * time.Millisecond})
		server.ServeHTTP(":80", http.NotFoundHandler())

		resp, err := client.HTTPClient().Get("http://server/")
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, 100*time.Millisecond, n.Elapsed()) // two round trips
	})
}

func TestPipes(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server := n.Host("client"), n.Host("server")
		l, err := server.Listen("tcp", ":80")
		require.NoError(t, err)
		conn, err := client.Dial("tcp", "server:80")
		require.NoError(t, err)
		peer, err := l.Accept()
		require.NoError(t, err)
		transport := &http.Transport{DialContext: client.DialContext}
		transport.CloseIdleConnections()

		_, err = conn.Write([]byte("x")) // returns before the other end reads
		require.NoError(t, err)
		time.Sleep(25 * time.Millisecond)
		require.Equal(t, "tcp", conn.RemoteAddr().Network())
		peer.SetReadDeadline(time.Now().Add(time.Second))
		_, err = io.ReadFull(peer, make([]byte, 2))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)

		peer.Close()
		_, err = conn.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
		_, err = conn.Write([]byte("x"))
		require.NoError(t, err) // the other end answers it with RST
		time.Sleep(time.Millisecond)
		_, err = conn.Write([]byte("x"))
		require.True(t, errors.Is(err, syscall.EPIPE), "%v", err)
		_, err = conn.Write([]byte("x"))
		require.ErrorIs(t, err, syscall.EPIPE)
	})
}

func TestFromNetem(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		laptop, server := n.Host("laptop"), n.Host("server")
		laptop.Access(
			netem.Config{Delay: 100 * time.Millisecond, Rate: netem.Mbit, Queue: netem.DropTail{Packets: 100}}, // eth0, outgoing
			netem.Config{}) // incoming
		serveEcho(server, ":7")
		conn, err := laptop.Dial("tcp", "server:7")
		require.NoError(t, err)
		require.Equal(t, "x", echo(t, conn, "x"))
		require.Greater(t, n.Elapsed(), 200*time.Millisecond)
		require.Less(t, n.Elapsed(), 202*time.Millisecond)
	})
}

func TestOptionsOfNetem(t *testing.T) {
	for _, cfg := range []netem.Config{
		{Delay: 100 * time.Millisecond},
		{Delay: 100 * time.Millisecond, Jitter: 10 * time.Millisecond},
		{Delay: 100 * time.Millisecond, Jitter: 10 * time.Millisecond, Distribution: netem.Normal},
		{Delay: 100 * time.Millisecond, Jitter: 10 * time.Millisecond, Distribution: netem.Pareto},
		{Delay: 100 * time.Millisecond, Jitter: 10 * time.Millisecond, Distribution: netem.ParetoNormal},
		{Loss: netem.Bernoulli(0.01)},
		{Loss: netem.Correlated(0.01, 0.25)},
		{Loss: netem.GilbertElliott{P: 0.01, R: 0.1, LossBad: 0.7, LossGood: 0.001}},
		{Duplicate: 0.01},
		{Corrupt: 0.001},
		{Delay: 10 * time.Millisecond, Reorder: 0.25, ReorderGap: 5},
		{Delay: 100 * time.Millisecond, Jitter: 10 * time.Millisecond, Correlation: netem.Correlation{Jitter: 0.25}},
		{Loss: netem.FourState{P13: 0.01, P31: 0.3, P32: 0.2, P23: 0.5, P14: 0.005}},
		{Rate: 5 * netem.Mbit, Framing: netem.Framing{Overhead: 8, Cell: 48, CellOverhead: 5}, Limit: 1000},
		{Slots: netem.Slots{Min: time.Millisecond, Max: 2 * time.Millisecond, Packets: 5}},
		{Loss: netem.Bernoulli(0.01), ECN: true},
		{Shaper: netem.TokenBucket{Rate: netem.Mbit, Burst: 10 << 10}},
	} {
		require.NoError(t, cfg.Validate())
	}
	parsed, err := netem.Parse("delay 100ms 20ms loss 1%")
	require.NoError(t, err)
	require.Equal(t, netem.Config{Delay: 100 * time.Millisecond, Jitter: 20 * time.Millisecond, Loss: netem.Bernoulli(0.01), Limit: 1000}, parsed)
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		laptop, server := n.Host("laptop"), n.Host("server")
		link := n.LinkAsym(laptop, server, netem.Config{Delay: 30 * time.Millisecond}, netem.Config{})
		link.Set(netem.Config{Delay: 50 * time.Millisecond})
		link.Set(netem.Config{})
		link.RejectWith(sim.ICMPAdminProhibited)
		_, err := laptop.Dial("tcp", "server:7")
		require.ErrorIs(t, err, syscall.EHOSTUNREACH)
		link.DownFrom(laptop)
		link.Up()
		_, err = laptop.Dial("tcp", "server:7")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
	}, sim.Seed(7))
}

// serveEcho serves, in a process of the host, connections that say again what they read.
func serveEcho(h *sim.Host, addr string) {
	h.Run("echo", func(ctx context.Context, h *sim.Host) error {
		l, err := h.Listen("tcp", addr)
		if err != nil {
			return err
		}
		defer l.Close()
		context.AfterFunc(ctx, func() { l.Close() })
		for {
			c, err := l.Accept()
			if err != nil {
				return ctx.Err()
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	})
}

// echo sends a message and returns the answer, of the same length.
func echo(t *testing.T, c net.Conn, message string) string {
	t.Helper()
	go c.Write([]byte(message))
	answer := make([]byte, len(message))
	_, err := io.ReadFull(c, answer)
	require.NoError(t, err)
	return string(answer)
}
