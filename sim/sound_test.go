//go:build race

package sim_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// A soundProgram shares x without a race.
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
