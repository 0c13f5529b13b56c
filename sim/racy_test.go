//go:build race

package sim_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// The race detector must report a program that races on the network as it reports one that races over net.Pipe in a
// plain bubble. It must never report a program whose goroutines use the network to hand over what they share. A
// reported race fails the process, so the programs run in a process of their own, each many times, and the tests read
// how often a race was reported.

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
				select {
				case l.conns <- s:
				case <-l.done: // net/http may dial for a request that then goes over a connection that has become idle
				}
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

// clients runs clients that each send ten bytes one by one and wait for every answer.
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

// racyRuns is how often a victim runs each program; SQUALL_RACY_RUNS sets another number.
func racyRuns() int {
	if n, err := strconv.Atoi(os.Getenv("SQUALL_RACY_RUNS")); err == nil {
		return n
	}
	return 3
}

// convictions counts the runs of f in which the race detector finds a race.
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

// A race may escape the detector in a single run. To the detector, timers that fire on one processor are ordered, and
// on a busy machine it is chance which processor fires a timer. A race that escapes for another reason escapes again.
// In exact mode only one goroutine runs at a time, so races escape more often, and each must be reported in at least
// one run.
func TestRacesAreFound(t *testing.T) {
	var short string
	for range 3 {
		if short = racesThatSlipThrough(t); short == "" {
			return
		}
	}
	t.Error(short)
}

// racesThatSlipThrough names the programs whose race is reported less often than over net.Pipe, or never.
func racesThatSlipThrough(t *testing.T) (short string) {
	out, _ := outputOf(t, "TestVictimRacy", "SQUALL_CHECK=0", countRaces)
	for _, p := range racyPrograms {
		m := regexp.MustCompile(regexp.QuoteMeta(p.name) + `: network (\d+), pipe (\d+)\.`).FindStringSubmatch(out)
		require.NotNil(t, m, out)
		network, pipe := check1(strconv.Atoi(m[1])), check1(strconv.Atoi(m[2]))
		t.Logf("%s: %d of %d runs, over net.Pipe %d", p.name, network, racyRuns(), pipe)
		if network < pipe && !sim.Exact() || network == 0 {
			short += fmt.Sprintf("%s: convicted in %d of %d runs, over net.Pipe in %d\n", p.name, network, racyRuns(), pipe)
		}
	}
	return short
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
