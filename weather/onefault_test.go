package weather_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
	"github.com/squall-sim/squall/weather"
)

// Ten programs with a bug that one fault brings out.

// A client that gets no answer asks again, and the server does the work again.
func paysTwice(t testing.TB, n *sim.Network, s *weather.Storm) {
	h := star(n, "bank", "shop")
	var f facts
	serve(h[0], func() func(string) string {
		return func(order string) string {
			f.add("charged "+order, 1)
			return "paid"
		}
	})
	n.Always("an order is charged once", func() error { return f.most("charged ", 1) })
	s.Begin()
	every(2*time.Second, 10, func(i int) {
		for range 3 {
			if _, err := ask(h[1], "bank", fmt.Sprint(i), time.Second); err == nil {
				break
			}
		}
	})
	s.Settle()
}

// A client reads without a deadline, and the server disappears without a word.
func waitsForEver(t testing.TB, n *sim.Network, s *weather.Storm) {
	h := star(n, "server", "client")
	ticks := func(c io.Writer) error {
		for {
			time.Sleep(time.Second)
			if _, err := fmt.Fprintln(c, "tick"); err != nil {
				return nil
			}
		}
	}
	h[0].Run("server", func(ctx context.Context, h *sim.Host) error {
		l, err := h.Listen("tcp", port)
		if err != nil {
			return err
		}
		context.AfterFunc(ctx, func() { l.Close() })
		for {
			c, err := l.Accept()
			if err != nil {
				return nil
			}
			go ticks(c)
		}
	})
	var f facts
	h[1].Run("client", func(ctx context.Context, h *sim.Host) error {
		for ctx.Err() == nil {
			c, err := h.DialContext(ctx, "tcp", "server"+port)
			if err != nil {
				time.Sleep(time.Second)
				continue
			}
			c.(interface{ SetKeepAlive(bool) error }).SetKeepAlive(false)
			for in := bufio.NewScanner(c); in.Scan(); {
				f.add("at", int(n.Elapsed().Seconds())-f.get("at"))
			}
			c.Close()
		}
		return nil
	})
	s.Eventually("ticks arrive", func() error {
		if n.Elapsed()-time.Duration(f.get("at"))*time.Second > 5*time.Second {
			return errors.New("the last one is old")
		}
		return nil
	})
	s.Begin()
	s.Settle()
}

// A server keeps in memory what it has acknowledged.
func forgets(t testing.TB, n *sim.Network, s *weather.Storm) {
	h := star(n, "store", "client")
	serve(h[0], func() func(string) string {
		sum := 0
		return alone(func(line string) string {
			if line == "add" {
				sum++
			}
			return strconv.Itoa(sum)
		})
	})
	s.Begin()
	acknowledged := 0
	every(2*time.Second, 10, func(int) {
		if _, err := ask(h[1], "store", "add", time.Second); err == nil {
			acknowledged++
		}
	})
	s.Settle()
	text, err := ask(h[1], "store", "sum", 10*time.Second)
	fails(t, err)
	if sum, _ := strconv.Atoi(text); sum < acknowledged {
		t.Error("the store has less than it has acknowledged")
	}
}

// A client gives up forever when its first attempt is refused.
func givesUp(t testing.TB, n *sim.Network, s *weather.Storm) {
	h := star(n, "server", "client")
	serve(h[0], func() func(string) string { return func(string) string { return "ok" } })
	var f facts
	s.Eventually("the client works", func() error {
		if f.get("given up") > 0 {
			return errors.New("it has given up")
		}
		return nil
	})
	s.Begin()
	for range 20 {
		time.Sleep(time.Second)
		if _, err := ask(h[1], "server", "hello", 30*time.Second); err != nil {
			var refused interface{ Timeout() bool }
			if errors.As(err, &refused) && !refused.Timeout() {
				f.add("given up", 1)
			}
			break
		}
	}
	s.Settle()
}

// The holder of a lease looks at the clock before it works, and not afterwards.
func writesAfterItsLease(t testing.TB, n *sim.Network, s *weather.Storm) {
	h := star(n, "disk", "one", "two")
	var f facts
	serve(h[0], func() func(string) string {
		owner, until := "", time.Duration(0)
		return alone(func(line string) string {
			var who, what string
			fmt.Sscan(line, &who, &what)
			if what == "lock" {
				if owner != who && n.Elapsed() < until {
					return "no"
				}
				owner, until = who, n.Elapsed()+3*time.Second
				return "yes"
			}
			if who != owner {
				f.add("foreign writes", 1)
			}
			return "ok"
		})
	})
	for i, holder := range h[1:] {
		holder.Run("holder", func(ctx context.Context, h *sim.Host) error {
			time.Sleep(time.Duration(i) * 700 * time.Millisecond)
			for ctx.Err() == nil {
				if text, err := ask(h, "disk", h.Name()+" lock", time.Second); err == nil && text == "yes" {
					h.Work(500 * time.Millisecond) // within the lease of 3 s, unless it is paused
					ask(h, "disk", h.Name()+" write", time.Second)
				}
				time.Sleep(time.Second)
			}
			return nil
		})
	}
	n.Always("only the owner writes", func() error { return f.most("foreign writes", 0) })
	s.Begin()
	s.Settle()
}

// A receiver of datagrams counts each one, and recognizes no copies.
func countsCopies(t testing.TB, n *sim.Network, s *weather.Storm) {
	h := star(n, "meter", "sensor")
	var f facts
	listen(h[0], func(string) { f.add("counted", 1) })
	s.Begin()
	every(500*time.Millisecond, 40, func(i int) { send(h[1], "meter", fmt.Sprint(i)) })
	s.Settle()
	if f.get("counted") > 40 {
		t.Error("it has counted more than was sent")
	}
}

// The last datagram to arrive is taken for the newest.
func takesTheLastForTheNewest(t testing.TB, n *sim.Network, s *weather.Storm) {
	display, sensor := n.Host("display"), n.Host("sensor")
	n.Link(display, sensor, netem.Config{Delay: 50 * time.Millisecond})
	var f facts
	listen(display, func(text string) {
		k, _ := strconv.Atoi(text)
		if last := f.get("last"); k < last {
			f.add("went back", 1)
		}
		f.add("last", k-f.get("last"))
	})
	n.Always("what is shown never goes back", func() error { return f.most("went back", 0) })
	s.Begin()
	every(40*time.Millisecond, 500, func(i int) { send(sensor, "display", fmt.Sprint(i)) })
	s.Settle()
}

// The end of the connection is taken for the end of the file.
func takesAPartForTheWhole(t testing.TB, n *sim.Network, s *weather.Storm) {
	h := star(n, "server", "client")
	const size = 5000
	h[0].Run("server", func(ctx context.Context, h *sim.Host) error {
		l, err := h.Listen("tcp", port)
		if err != nil {
			return err
		}
		context.AfterFunc(ctx, func() { l.Close() })
		for {
			c, err := l.Accept()
			if err != nil {
				return nil
			}
			go func() {
				c.Write(make([]byte, size))
				c.Close()
			}()
		}
	})
	s.Begin()
	every(time.Second, 20, func(int) {
		c, err := h[1].Dial("tcp", "server"+port)
		if err != nil {
			return
		}
		c.SetDeadline(time.Now().Add(10 * time.Second))
		if got, err := io.ReadAll(c); err == nil && len(got) != size {
			t.Error("a part was taken for the whole")
		}
		c.Close()
	})
	s.Settle()
}

// A member that is not heard from for two intervals is taken for dead, and never for alive again.
func buriesTheLiving(t testing.TB, n *sim.Network, s *weather.Storm) {
	h := star(n, "watch", "worker")
	var f facts
	heard := time.Duration(0)
	listen(h[0], func(string) {
		if heard > 0 && n.Elapsed()-heard > 2100*time.Millisecond {
			f.add("buried", 1)
		}
		heard = n.Elapsed()
	})
	s.Eventually("the worker is a member", func() error { return f.most("buried", 0) })
	s.Begin()
	every(time.Second, 20, func(int) { send(h[1], "watch", "alive") })
	s.Settle()
}

// A user about whom nobody can be asked is let in.
func letsAllIn(t testing.TB, n *sim.Network, s *weather.Storm) {
	h := star(n, "door", "directory")
	serve(h[1], func() func(string) string { return func(string) string { return "unknown" } })
	var f facts
	n.Always("no stranger is let in", func() error { return f.most("let in", 0) })
	s.Begin()
	every(2*time.Second, 10, func(int) {
		if text, err := ask(h[0], "directory", "stranger", time.Second); err != nil || text == "known" {
			f.add("let in", 1)
		}
	})
	s.Settle()
}
