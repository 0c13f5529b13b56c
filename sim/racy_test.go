//go:build race

package sim_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// The race detector must convict a program that races on the network as it convicts one that
// races over net.Pipe in a plain bubble, and must never accuse one whose goroutines hand over
// by the network what they share. A conviction fails the process, so the programs run in one
// of their own, each many times, and the tests read how often it was convicted.

// A raceWorld is what a program runs on: a simulated network, or pipes in a plain bubble.
type raceWorld struct {
	t      *testing.T
	listen func() net.Listener // once
	dial   func() net.Conn
	after  func(time.Duration, func())
}

func simWorld(t *testing.T, f func(w *raceWorld)) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server, client := n.Host("server"), n.Host("client")
		n.Link(client, server, netem.Config{Delay: ms})
		f(&raceWorld{
			t:      t,
			listen: func() net.Listener { return listen(t, server, ":80") },
			dial:   func() net.Conn { return check1(client.Dial("tcp", "server:80")) },
			after:  n.After,
		})
	})
}

// pipes is a listener whose connections are pipes.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func pipeWorld(t *testing.T, f func(w *raceWorld)) {
	synctest.Test(t, func(t *testing.T) {
		l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		defer l.Close()
		f(&raceWorld{
			t:      t,
			listen: func() net.Listener { return l },
			dial: func() net.Conn {
				c, s := net.Pipe()
				l.conns <- s
				return c
			},
			after: func(d time.Duration, f func()) { time.AfterFunc(d, f) },
		})
	})
}

// serve has a handler for each connection.
func (w *raceWorld) serve(handle func(c net.Conn)) {
	l := w.listen()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				handle(c)
			}()
		}
	}()
}

// clients runs some clients that send ten bytes one by one, and waits for each answer.
func (w *raceWorld) clients(count int) {
	var all sync.WaitGroup
	for range count {
		c := w.dial()
		all.Go(func() {
			defer c.Close()
			p := make([]byte, 1)
			for range 10 {
				check1(c.Write(p))
				check1(io.ReadFull(c, p))
			}
		})
	}
	all.Wait()
}

// echoing handles a connection by calling f before each answer.
func echoing(f func()) func(c net.Conn) {
	return func(c net.Conn) {
		p := make([]byte, 1)
		for {
			if _, err := io.ReadFull(c, p); err != nil {
				return
			}
			f()
			if _, err := c.Write(p); err != nil {
				return
			}
		}
	}
}

// serveHTTP serves HTTP until the clients are done.
func (w *raceWorld) serveHTTP(h http.HandlerFunc, clients func(hc *http.Client)) {
	srv := &http.Server{Handler: h}
	l := w.listen()
	go srv.Serve(l)
	t := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return w.dial(), nil }}
	clients(&http.Client{Transport: t})
	t.CloseIdleConnections()
	srv.Close()
}

func fetch(hc *http.Client) string {
	resp, err := hc.Get("http://server/")
	check(err)
	defer resp.Body.Close()
	return string(check1(io.ReadAll(resp.Body)))
}

// times runs f on a goroutine for each client, and waits for all.
func times(count int, f func()) {
	var all sync.WaitGroup
	for range count {
		all.Go(f)
	}
	all.Wait()
}

var racyPrograms = []struct {
	name string
	run  func(w *raceWorld)
}{
	{"a counter of an HTTP handler", func(w *raceWorld) {
		var count int
		w.serveHTTP(func(http.ResponseWriter, *http.Request) { count++ }, func(hc *http.Client) {
			times(5, func() {
				for range 5 {
					fetch(hc)
				}
			})
		})
	}},
	{"a counter of a handler", func(w *raceWorld) {
		var count int
		w.serve(echoing(func() { count++ }))
		w.clients(5)
	}},
	{"a map of a handler", func(w *raceWorld) {
		seen := map[int]int{}
		w.serve(echoing(func() { seen[1] = 1 }))
		w.clients(3)
	}},
	{"a slice to which handlers append", func(w *raceWorld) {
		var log []string
		w.serve(echoing(func() { log = append(log, "request") }))
		w.clients(3)
	}},
	{"a field made at first use", func(w *raceWorld) {
		var cache *bytes.Buffer
		w.serve(echoing(func() {
			if cache == nil {
				cache = new(bytes.Buffer)
			}
		}))
		w.clients(3)
	}},
	{"a channel closed by whoever is first", func(w *raceWorld) {
		closed, done := false, make(chan struct{})
		w.serve(echoing(func() {
			if !closed {
				closed = true
				close(done)
			}
		}))
		w.clients(3)
	}},
	{"a configuration changed while it is served", func(w *raceWorld) {
		config := &struct{ name string }{"old"}
		w.serve(echoing(func() { _ = config.name }))
		c := w.dial()
		go func() {
			time.Sleep(5 * ms)
			config = &struct{ name string }{"new"}
		}()
		p := make([]byte, 1)
		for range 10 {
			check1(c.Write(p))
			check1(io.ReadFull(c, p))
			time.Sleep(ms)
		}
		c.Close()
	}},
	{"an answer that clients share", func(w *raceWorld) {
		var last string
		w.serveHTTP(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "answer") }, func(hc *http.Client) {
			times(3, func() { last = fetch(hc) })
		})
		_ = last
	}},
	{"a value of the server's context", func(w *raceWorld) {
		type key struct{}
		ctx := context.WithValue(context.Background(), key{}, new(int))
		w.serve(echoing(func() { *ctx.Value(key{}).(*int)++ }))
		w.clients(3)
	}},
	{"a buffer changed while it is written", func(w *raceWorld) {
		w.serve(func(c net.Conn) { io.Copy(io.Discard, c) })
		c := w.dial()
		p := make([]byte, 100)
		done := make(chan struct{})
		go func() {
			p[50] = 1
			close(done)
		}()
		c.Write(p)
		<-done
		c.Close()
	}},
	{"a buffer looked at while it is read into", func(w *raceWorld) {
		w.serve(func(c net.Conn) { c.Write([]byte("hello")) })
		c := w.dial()
		p := make([]byte, 5)
		var first byte
		done := make(chan struct{})
		go func() {
			first = p[0]
			<-done
		}()
		io.ReadFull(c, p)
		close(done)
		_ = first
		c.Close()
	}},
	{"a map that a later function reads", func(w *raceWorld) {
		seen := map[int]int{}
		w.serve(echoing(func() { seen[1]++ }))
		done := make(chan struct{})
		w.after(10*ms, func() {
			_ = len(seen)
			close(done)
		})
		w.clients(1)
		<-done
	}},
	{"a counter of a connection's reader and writer", func(w *raceWorld) {
		w.serve(func(c net.Conn) { io.Copy(c, c) })
		c := w.dial()
		var bytes int
		done := make(chan struct{})
		go func() {
			p := make([]byte, 1)
			for range 5 {
				io.ReadFull(c, p)
				bytes++
			}
			close(done)
		}()
		for range 5 {
			c.Write(make([]byte, 1))
			bytes++
		}
		<-done
		c.Close()
	}},
	{"what is changed behind the write", func(w *raceWorld) {
		shared := 0
		done := make(chan struct{})
		w.serve(func(c net.Conn) {
			io.ReadFull(c, make([]byte, 1))
			shared++
			close(done)
			io.ReadFull(c, make([]byte, 1))
		})
		c := w.dial()
		c.Write(make([]byte, 1))
		shared++
		c.Write(make([]byte, 1))
		<-done
		c.Close()
	}},
	{"what is changed behind the close", func(w *raceWorld) {
		shared := 0
		done := make(chan struct{})
		w.serve(func(c net.Conn) {
			io.ReadFull(c, make([]byte, 1))
			shared++
			close(done)
		})
		c := w.dial()
		c.Close()
		shared++
		<-done
	}},
	{"an answer that the server goes on changing", func(w *raceWorld) {
		var user struct{ name string }
		done := make(chan struct{})
		w.serve(func(c net.Conn) {
			io.ReadFull(c, make([]byte, 1))
			user.name = "first"
			c.Write(make([]byte, 1))
			user.name = "second"
			close(done)
		})
		c := w.dial()
		c.Write(make([]byte, 1))
		io.ReadFull(c, make([]byte, 1))
		user.name = "mine"
		<-done
		c.Close()
	}},
	{"a client that does not wait for the answer", func(w *raceWorld) {
		jobs := 0
		done := make(chan struct{})
		w.serve(func(c net.Conn) {
			io.ReadFull(c, make([]byte, 1))
			jobs++
			close(done)
		})
		c := w.dial()
		c.Write(make([]byte, 1))
		jobs++
		<-done
		c.Close()
	}},
}

// A soundProgram shares x and is right to.
var soundPrograms = []struct {
	name string
	run  func(t *testing.T, n *sim.Network, server, client *sim.Host)
}{
	{"request and answer", func(t *testing.T, n *sim.Network, server, client *sim.Host) {
		x := 0
		accept(listen(t, server, ":7"), echoing(func() { x++ }))
		c := dial(t, client, "server:7")
		p := make([]byte, 1)
		for range 5 {
			x++
			c.Write(p)
			io.ReadFull(c, p)
		}
		require.Equal(t, 10, x)
	}},
	{"close and EOF", func(t *testing.T, n *sim.Network, server, client *sim.Host) {
		x := 0
		done := make(chan struct{})
		accept(listen(t, server, ":7"), func(c net.Conn) {
			io.Copy(io.Discard, c)
			x++
			close(done)
		})
		c := dial(t, client, "server:7")
		time.Sleep(time.Second)
		x++
		c.Close()
		<-done
		require.Equal(t, 2, x)
	}},
	{"CloseWrite and EOF, and the answer", func(t *testing.T, n *sim.Network, server, client *sim.Host) {
		x := 0
		accept(listen(t, server, ":7"), func(c net.Conn) {
			io.Copy(io.Discard, c)
			x++
			c.Close()
		})
		c := dial(t, client, "server:7")
		x++
		c.(*sim.TCPConn).CloseWrite()
		io.Copy(io.Discard, c)
		require.Equal(t, 1+1, x)
	}},
	{"reset", func(t *testing.T, n *sim.Network, server, client *sim.Host) {
		x := 0
		done := make(chan error)
		accept(listen(t, server, ":7"), func(c net.Conn) {
			_, err := c.Read(make([]byte, 1))
			x++
			done <- err
		})
		c := dial(t, client, "server:7")
		time.Sleep(time.Second)
		c.(*sim.TCPConn).SetLinger(0)
		x++
		c.Close()
		require.ErrorIs(t, <-done, syscall.ECONNRESET)
		require.Equal(t, 2, x)
	}},
	{"listen and dial", func(t *testing.T, n *sim.Network, server, client *sim.Host) {
		x := 0
		go func() {
			time.Sleep(time.Second)
			x++ // before it listens
			l := check1(server.Listen("tcp", ":7"))
			c := check1(l.Accept())
			io.ReadFull(c, make([]byte, 1))
			x++
			c.Close()
		}()
		var c net.Conn
		for {
			var err error
			if c, err = client.Dial("tcp", "server:7"); err == nil {
				break
			}
			time.Sleep(100 * ms)
		}
		x++ // after it listened
		c.Write(make([]byte, 1))
		io.Copy(io.Discard, c)
		require.Equal(t, 3, x)
	}},
	{"dial and accept", func(t *testing.T, n *sim.Network, server, client *sim.Host) {
		x := 0
		done := make(chan struct{})
		l := listen(t, server, ":7")
		go func() {
			c := check1(l.Accept())
			x++
			c.Close()
			close(done)
		}()
		x++
		c := dial(t, client, "server:7")
		io.Copy(io.Discard, c)
		require.Equal(t, 2, x)
		<-done
	}},
	{"a datagram", func(t *testing.T, n *sim.Network, server, client *sim.Host) {
		x := 0
		u := check1(server.ListenPacket("udp", ":9"))
		go func() {
			p := make([]byte, 3000)
			for {
				k, from, err := u.ReadFrom(p)
				if err != nil {
					return
				}
				x++
				u.WriteTo(p[:k], from)
			}
		}()
		c := check1(client.Dial("udp", "server:9"))
		p := make([]byte, 3000) // in fragments
		for range 3 {
			x++
			c.Write(p)
			c.Read(p)
		}
		require.Equal(t, 6, x)
		u.Close()
	}},
	{"a deadline", func(t *testing.T, n *sim.Network, server, client *sim.Host) {
		x := 0
		accept(listen(t, server, ":7"), func(c net.Conn) { c.Read(make([]byte, 1)) })
		c := dial(t, client, "server:7")
		go func() {
			time.Sleep(time.Second)
			x++
			c.SetReadDeadline(time.Now())
		}()
		_, err := c.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		x++
	}},
	{"a function for later", func(t *testing.T, n *sim.Network, server, client *sim.Host) {
		x := 0
		done := make(chan struct{})
		x++
		n.After(time.Second, func() {
			x++
			n.After(time.Second, func() {
				x++
				close(done)
			})
		})
		<-done
		require.Equal(t, 3, x)
	}},
	{"the runs of a process", func(t *testing.T, n *sim.Network, server, client *sim.Host) {
		x := 1
		runs := make(chan int, 3)
		server.Run("worker", func(ctx context.Context, h *sim.Host) error {
			x++
			<-ctx.Done()
			x++
			runs <- x
			return nil
		})
		n.After(time.Second, server.Restart)
		n.After(2*time.Second, server.Crash)
		n.After(3*time.Second, server.Restart)
		<-runs
		require.Equal(t, 5, <-runs)
		time.Sleep(5 * time.Second)
	}},
	{"a crash and the context that it ends", func(t *testing.T, n *sim.Network, server, client *sim.Host) {
		x := 0
		done := make(chan struct{})
		server.Run("worker", func(ctx context.Context, h *sim.Host) error {
			<-ctx.Done()
			x++
			close(done)
			return nil
		})
		time.Sleep(time.Second)
		x++
		server.Crash()
		<-done
		require.Equal(t, 2, x)
	}},
	{"a crash and the reset of the peer", func(t *testing.T, n *sim.Network, server, client *sim.Host) {
		x := 0
		accept(listen(t, server, ":7"), func(c net.Conn) { c.Read(make([]byte, 1)) })
		c := dial(t, client, "server:7")
		n.After(time.Second, func() {
			x++
			server.Crash()
		})
		_, err := c.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		x++
	}},
	{"a close that wakes a read of the same socket", func(t *testing.T, n *sim.Network, server, client *sim.Host) {
		x := 0
		accept(listen(t, server, ":7"), func(c net.Conn) { c.Read(make([]byte, 1)) })
		c := dial(t, client, "server:7")
		go func() {
			time.Sleep(time.Second)
			x++
			c.Close()
		}()
		_, err := c.Read(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)
		x++
	}},
	{"a close that wakes an accept", func(t *testing.T, n *sim.Network, server, client *sim.Host) {
		x := 0
		l := listen(t, server, ":7")
		go func() {
			time.Sleep(time.Second)
			x++
			l.Close()
		}()
		_, err := l.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		x++
	}},
	{"a listener that is closed, and a dial that is refused", func(t *testing.T, n *sim.Network, server, client *sim.Host) {
		x := 0
		l := listen(t, server, ":7")
		go func() {
			time.Sleep(time.Second)
			x++
			l.Close()
		}()
		time.Sleep(2 * time.Second)
		_, err := client.Dial("tcp", "server:7")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		x++
	}},
	{"the first of two listeners that are closed", func(t *testing.T, n *sim.Network, server, client *sim.Host) {
		x := 0
		first, second := listen(t, server, ":7"), listen(t, server, ":8")
		go func() {
			time.Sleep(time.Second)
			x++
			first.Close()
		}()
		go func() {
			time.Sleep(1500 * ms)
			second.Close()
		}()
		time.Sleep(2 * time.Second)
		_, err := client.Dial("tcp", "server:7")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		x++
	}},
	{"a socket of UDP that is closed, and a datagram that is refused", func(t *testing.T, n *sim.Network, server, client *sim.Host) {
		x := 0
		u := check1(server.ListenPacket("udp", ":9"))
		go func() {
			time.Sleep(time.Second)
			x++
			u.Close()
		}()
		c := check1(client.Dial("udp", "server:9"))
		time.Sleep(2 * time.Second)
		c.Write(make([]byte, 1))
		_, err := c.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		x++
	}},
	{"the end of a pause", func(t *testing.T, n *sim.Network, server, client *sim.Host) {
		x := 0
		done := make(chan struct{})
		accept(listen(t, server, ":7"), func(c net.Conn) {
			io.ReadFull(c, make([]byte, 1))
			x++
			close(done)
		})
		c := dial(t, client, "server:7")
		time.Sleep(100 * ms)
		server.Pause()
		c.Write(make([]byte, 1))
		n.After(time.Second, func() {
			x++
			server.Resume()
		})
		<-done
		require.Equal(t, 2, x)
	}},
	{"the loop that hands connections over", func(t *testing.T, n *sim.Network, server, client *sim.Host) {
		type session struct{ requests int }
		conns := make(chan net.Conn)
		l := listen(t, server, ":7")
		go func() {
			defer close(conns)
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				conns <- c
			}
		}()
		for range 2 {
			go func() {
				for c := range conns {
					s := new(session)
					echoing(func() { s.requests++ })(c)
				}
			}()
		}
		w := &raceWorld{dial: func() net.Conn { return check1(client.Dial("tcp", "server:7")) }}
		w.clients(2)
		l.Close()
	}},
	{"HTTP connections used again", func(t *testing.T, n *sim.Network, server, client *sim.Host) {
		type key struct{}
		l := listen(t, server, ":80")
		srv := &http.Server{
			ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, key{}, new(int)) },
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				count := r.Context().Value(key{}).(*int)
				*count++
				fmt.Fprint(w, *count)
			}),
		}
		go srv.Serve(l)
		hc := client.HTTPClient()
		for i := range 5 {
			require.Equal(t, strconv.Itoa(i+1), fetch(hc))
		}
		srv.Close()
		hc.CloseIdleConnections()
	}},
	{"buffers used again after each call", func(t *testing.T, n *sim.Network, server, client *sim.Host) {
		var mu sync.Mutex
		free := []*[100_000]byte{new([100_000]byte), new([100_000]byte)}
		get := func() *[100_000]byte {
			mu.Lock()
			defer mu.Unlock()
			p := free[len(free)-1]
			free = free[:len(free)-1]
			return p
		}
		put := func(p *[100_000]byte) {
			mu.Lock()
			defer mu.Unlock()
			free = append(free, p)
		}
		accept(listen(t, server, ":7"), func(c net.Conn) {
			for {
				p := get()
				k, err := c.Read(p[:])
				p[0] = byte(k)
				put(p)
				if err != nil {
					return
				}
			}
		})
		c := dial(t, client, "server:7")
		for range 50 {
			p := get()
			p[99_999]++
			check1(c.Write(p[:])) // some wait for room
			p[99_999]++
			put(p)
		}
		c.Close()
	}},
	{"a message of several writers", func(t *testing.T, n *sim.Network, server, client *sim.Host) {
		x, y := 0, 0
		done := make(chan struct{})
		accept(listen(t, server, ":7"), func(c net.Conn) {
			io.ReadFull(c, make([]byte, 20))
			x++
			y++
			close(done)
		})
		c := dial(t, client, "server:7")
		turn := make(chan struct{})
		go func() {
			<-turn
			y++
			c.Write(make([]byte, 10))
		}()
		x++
		c.Write(make([]byte, 10))
		turn <- struct{}{}
		<-done
	}},
	{"a random stream, by turns", func(t *testing.T, n *sim.Network, server, client *sim.Host) {
		accept(listen(t, server, ":7"), echoing(func() { n.Rand("dice").Uint64() }))
		c := dial(t, client, "server:7")
		p := make([]byte, 1)
		for range 3 {
			n.Rand("dice").Uint64()
			c.Write(p)
			io.ReadFull(c, p)
		}
	}},
	{"TLS", func(t *testing.T, n *sim.Network, server, client *sim.Host) {
		x := 0
		cert, roots := server.Certificate(), n.Roots()
		accept(listen(t, server, ":443"), func(c net.Conn) {
			s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}, Time: time.Now})
			echoing(func() { x++ })(s)
			s.Close()
		})
		c := tls.Client(dial(t, client, "server:443"), &tls.Config{RootCAs: roots, ServerName: "server"})
		p := make([]byte, 1)
		for range 3 {
			x++
			check1(c.Write(p))
			check1(io.ReadFull(c, p))
		}
		c.Close()
		require.Equal(t, 6, x)
	}},
	{"what the network tells of itself", func(t *testing.T, n *sim.Network, server, client *sim.Host) {
		accept(listen(t, server, ":7"), echoing(func() {}))
		var looks atomic.Int32
		w := &raceWorld{dial: func() net.Conn { return check1(client.Dial("tcp", "server:7")) }}
		times(3, func() {
			host := n.Host(fmt.Sprint("host", looks.Add(1)%2))
			n.Link(client, n.Router(fmt.Sprint("router", looks.Add(1))), netem.Config{})
			w.clients(1)
			_, _, _, _ = n.Stats().String(), n.Trace().String(), server.Netstat(), n.Trace().Hash()
			_, err := host.Dial("tcp", "nobody:1")
			require.Contains(t, err.Error(), "nobody")
		})
		n.Partition([]*sim.Host{server}, []*sim.Host{client})
		n.Heal()
	}},
}

// racyRuns is how often a victim runs each program; SQUALL_RACY_RUNS sets another number.
func racyRuns() int {
	if n, err := strconv.Atoi(os.Getenv("SQUALL_RACY_RUNS")); err == nil {
		return n
	}
	return 3
}

// convictions says in how many runs of f the race detector finds something.
func convictions(t *testing.T, f func(t *testing.T)) (found int) {
	for range racyRuns() {
		before := runtime.RaceErrors()
		t.Run("run", f)
		if runtime.RaceErrors() > before {
			found++
		}
	}
	return found
}

func TestVictimRacy(t *testing.T) {
	victim(t)
	for _, p := range racyPrograms {
		fmt.Printf("\n%s: network %d, pipe %d.\n", p.name,
			convictions(t, func(t *testing.T) { simWorld(t, p.run) }),
			convictions(t, func(t *testing.T) { pipeWorld(t, p.run) }))
	}
}

// A race that was reported once is reported again, so that it can be counted.
const countRaces = "GORACE=suppress_equal_stacks=0 suppress_equal_addresses=0"

func TestRacesAreFound(t *testing.T) {
	out, _ := outputOf(t, "TestVictimRacy", "SQUALL_CHECK=0", countRaces)
	for _, p := range racyPrograms {
		m := regexp.MustCompile(regexp.QuoteMeta(p.name) + `: network (\d+), pipe (\d+)\.`).FindStringSubmatch(out)
		require.NotNil(t, m, out)
		network, pipe := check1(strconv.Atoi(m[1])), check1(strconv.Atoi(m[2]))
		t.Logf("%s: %d of %d runs, over net.Pipe %d", p.name, network, racyRuns(), pipe)
		if network < pipe || network == 0 {
			t.Errorf("%s: convicted in %d of %d runs, over net.Pipe in %d", p.name, network, racyRuns(), pipe)
		}
	}
}

func TestSoundProgramsAreNotAccused(t *testing.T) {
	for _, p := range soundPrograms {
		t.Run(p.name, func(t *testing.T) {
			for range racyRuns() {
				sim.Test(t, func(t *testing.T, n *sim.Network) {
					server, client := n.Host("server"), n.Host("client")
					n.Link(client, server, netem.Config{Delay: ms})
					p.run(t, n, server, client)
				})
				sim.Test(t, func(t *testing.T, n *sim.Network) { p.run(t, n, n.Host("server"), n.Host("client")) }, sim.ManyTimers())
			}
		})
	}
}
