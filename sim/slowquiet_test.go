package sim_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// slowly runs f with 20 seeds and a policy that takes nearly every goroutine away at nearly every place.
func slowly(t *testing.T, f func(n *sim.Network) error) {
	t.Helper()
	sim.NeedExact(t)
	sim.SetPolicy(t, "slow:0.5")
	for seed := range uint64(20) {
		require.NoError(t, sim.Try(t, f, sim.Seed(seed)), "seed %d", seed)
	}
}

// A goroutine that is away is computing, not blocked, so Wait waits for it.
func TestWaitAwaitsSlowGoroutines(t *testing.T) {
	slowly(t, func(*sim.Network) error {
		var begun, done atomic.Int64
		for range 5 {
			go func() {
				begun.Add(1)
				done.Add(1)
			}()
		}
		synctest.Wait()
		if b, d := begun.Load(), done.Load(); b != 5 || d != 5 {
			return fmt.Errorf("after Wait %d of 5 have begun and %d are done", b, d)
		}
		return nil
	})
}

// Rules are checked when the program is quiet, which it is not while a goroutine computes.
func TestRulesAwaitSlowGoroutines(t *testing.T) {
	slowly(t, func(n *sim.Network) error {
		bank, phone := n.Host("bank"), n.Host("phone")
		n.Link(bank, phone, netem.Config{Delay: 20 * time.Millisecond})
		var here, there atomic.Int64
		here.Store(100)
		bank.ServeHTTP(":80", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			here.Add(-1)
			there.Add(1)
		}))
		n.Always("no money is lost", func() error {
			if sum := here.Load() + there.Load(); sum != 100 {
				return fmt.Errorf("there are %d", sum)
			}
			return nil
		})
		client := phone.HTTPClient()
		var customers sync.WaitGroup
		for range 5 {
			customers.Go(func() {
				if resp, err := client.Get("http://bank/"); err == nil {
					resp.Body.Close()
				}
			})
		}
		customers.Wait()
		if there.Load() != 5 {
			return fmt.Errorf("%d requests came", there.Load())
		}
		return nil
	})
}

// A function of the program that a fault calls to choose packets, in the middle of the network's work, takes no time.
func TestPacketsAreChosenAtOnce(t *testing.T) {
	slowly(t, func(n *sim.Network) error {
		web, phone := n.Host("web"), n.Host("phone")
		link := n.Link(web, phone, netem.Config{Delay: 20 * time.Millisecond})
		var seen atomic.Int64
		sim.Drop(link, sim.Packets{Where: func(sim.Event) bool { return seen.Add(1) < 0 }}).Begin()
		l, err := web.Listen("tcp", ":80")
		if err != nil {
			return err
		}
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			c.Write(make([]byte, 10_000))
		}()
		begun := n.Elapsed() // who starts a goroutine may be away thereafter
		c, err := phone.DialContext(context.Background(), "tcp", "web:80")
		if err != nil {
			return err
		}
		defer c.Close()
		defer l.Close()
		for buf := make([]byte, 1000); err == nil; {
			_, err = c.Read(buf)
		}
		took := n.Elapsed() - begun
		if seen.Load() == 0 {
			return errors.New("no packet was seen")
		}
		// SYN, SYN-ACK, ACK, and the data with the FIN. Goroutines woken at one instant run a nanosecond apart.
		if took.Truncate(time.Microsecond) != 80*time.Millisecond {
			return fmt.Errorf("over after %v instead of 80ms", took)
		}
		return nil
	})
}

// A deadline ends a call exactly on time, whoever else is away.
func TestDeadlinesAreExactAmongSlowGoroutines(t *testing.T) {
	slowly(t, func(n *sim.Network) error {
		l, err := n.Host("web").Listen("tcp", ":80")
		if err != nil {
			return err
		}
		defer l.Close()
		c, err := n.Host("phone").Dial("tcp", "web:80")
		if err != nil {
			return err
		}
		defer c.Close()
		var others sync.WaitGroup
		var count atomic.Int64
		for range 5 {
			others.Go(func() {
				for range 100 {
					count.Add(1)
				}
			})
		}
		at := time.Now().Add(50 * time.Millisecond)
		if err := c.SetReadDeadline(at); err != nil {
			return err
		}
		_, err = c.Read(make([]byte, 1))
		if late := time.Since(at); !errors.Is(err, os.ErrDeadlineExceeded) || late != 0 {
			return fmt.Errorf("%v, %v late", err, late)
		}
		others.Wait()
		return nil
	})
}

// If some goroutine were always computing, Wait would never return and no rule would be checked. So from 17 ms on no
// goroutine is slow, until Wait and the rules have had their turn. A goroutine that was away before returns within a
// millisecond.
func TestRestComesThoughSomebodyIsAlwaysSlow(t *testing.T) {
	sim.NeedExact(t)
	sim.SetPolicy(t, "slow:1")
	require.NoError(t, sim.Try(t, func(n *sim.Network) error {
		web, phone := n.Host("web"), n.Host("phone")
		n.Link(web, phone, netem.Config{Delay: 20 * time.Millisecond})
		web.ServeHTTP(":80", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		var looks, work atomic.Int64
		n.Always("it is looked at", func() error {
			looks.Add(1)
			return nil
		})
		ctx, cancel := context.WithCancel(context.Background())
		var all sync.WaitGroup
		for range 60 {
			all.Go(func() { // each is away half of the time, or more
				for ctx.Err() == nil {
					work.Add(1)
					time.Sleep(50 * time.Microsecond)
				}
			})
		}
		begun := n.Elapsed()
		synctest.Wait()
		waited := n.Elapsed() - begun
		resp, err := phone.HTTPClient().Get("http://web/")
		if err == nil {
			resp.Body.Close()
		}
		time.Sleep(30 * time.Millisecond)
		looked := looks.Load()
		cancel()
		all.Wait()
		switch {
		case err != nil:
			return err
		case waited < 16777216 || waited > 16777216+1048576+50_000+1000: // 2^24 ns, and 2^20 ns of one who is away then
			return fmt.Errorf("Wait took %v", waited)
		case looked == 0:
			return errors.New("no rule was looked at in 30 ms")
		}
		return nil
	}, sim.Limit(10*time.Second)))
}
