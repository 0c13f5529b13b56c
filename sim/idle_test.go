package sim_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

const day = 24 * time.Hour

// A program that waits for an instant is well, in whatever way it waits and however far ahead the
// instant is, and finds its connections as it left them.
func TestIdleConnectionsLastAsLongAsTheProgramWaits(t *testing.T) {
	t.Parallel()
	slow := sim.WithTCP(sim.TCPConfig{KeepAlive: sim.TCPKeepAlive{Idle: 2 * time.Hour, Interval: time.Hour}})
	sleep := func(_ *sim.Network, d time.Duration) { time.Sleep(d) }
	for i, row := range []struct {
		name string
		d    time.Duration
		wait func(n *sim.Network, d time.Duration)
		link netem.Config
		opts []sim.Option
	}{
		{"31 days", 31 * day, sleep, netem.Config{}, nil},
		{"31 days of delay", 31 * day, sleep, netem.Config{Delay: 40 * ms, Jitter: ms, Rate: netem.Mbit}, []sim.Option{slow}},
		{"31 days with losses", 31 * day, sleep, netem.Config{Delay: 40 * ms, Loss: netem.Bernoulli(0.02)}, []sim.Option{slow}},
		{"31 days with many timers", 31 * day, sleep, netem.Config{Delay: ms}, []sim.Option{slow, sim.ManyTimers()}},
		{"400 days", 400 * day, sleep, netem.Config{Delay: ms}, []sim.Option{slow, sim.Limit(3 * 365 * day)}},
		{"a timer", 100 * day, func(_ *sim.Network, d time.Duration) { <-time.After(d) }, netem.Config{Delay: ms}, []sim.Option{slow}},
		{"a context", 100 * day, func(_ *sim.Network, d time.Duration) {
			ctx, cancel := context.WithTimeout(context.Background(), d)
			defer cancel()
			select {
			case <-ctx.Done():
			case <-make(chan int):
			}
		}, netem.Config{Delay: ms}, []sim.Option{slow}},
		{"After", 100 * day, func(n *sim.Network, d time.Duration) {
			done := make(chan int)
			n.After(d, func() { close(done) })
			<-done
		}, netem.Config{Delay: ms}, []sim.Option{slow}},
	} {
		if leftOutUnderRace(i + 1) { // many timers, and After
			continue
		}
		t.Run(row.name, func(t *testing.T) {
			require.NoError(t, sim.Try(t, func(n *sim.Network) error {
				a, b := n.Host("a"), n.Host("b")
				n.Link(a, b, row.link)
				accept(listen(t, b, ":7"), echo)
				c := dial(t, a, "b:7")
				for range 2 {
					c.Write([]byte("x"))
					if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
						return err
					}
					start := time.Now()
					row.wait(n, row.d)
					if time.Since(start) != row.d {
						return fmt.Errorf("it waited for %v", time.Since(start))
					}
				}
				return nil
			}, row.opts...))
		})
	}
}

// A deadline, or a timer that closes the connection, ends a call after months.
func TestIdleReadsEndAtTheirTime(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		n.Host("a").SetTCP(sim.TCPConfig{KeepAlive: sim.TCPKeepAlive{Idle: time.Hour}})
		n.Host("b").SetTCP(sim.TCPConfig{KeepAlive: sim.TCPKeepAlive{Off: true}})
		accept(listen(t, n.Host("b"), ":7"), readOnly)
		c := dial(t, n.Host("a"), "b:7")
		c.SetReadDeadline(in(40 * day))
		_, err := c.Read(make([]byte, 1))
		require.ErrorContains(t, err, "i/o timeout")
		require.Equal(t, 40*day, n.Elapsed())
		c.SetReadDeadline(time.Time{})
		time.AfterFunc(40*day, func() { c.Close() })
		_, err = c.Read(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)
		require.Equal(t, 80*day, n.Elapsed())
	})
}

// What happens to a connection after days of idleness is noticed at the same instant as by an
// engine that defers nothing.
func TestLookaheadWhenIdle(t *testing.T) {
	seedsOfItsOwn(t) // the losses of seed 1 end the connection without an answer
	for name, happens := range map[string]func(n *sim.Network, link *sim.Link){
		"nothing": func(*sim.Network, *sim.Link) {},
		"cut":     func(n *sim.Network, link *sim.Link) { n.After(30*time.Hour+7, link.Down) },
		"partition": func(n *sim.Network, link *sim.Link) {
			n.After(30*time.Hour+7, func() { n.Partition([]*sim.Host{n.Host("a")}, []*sim.Host{n.Host("b")}) })
		},
		"crash":      func(n *sim.Network, link *sim.Link) { n.After(30*time.Hour+7, n.Host("b").Crash) },
		"power":      func(n *sim.Network, link *sim.Link) { n.After(30*time.Hour+7, n.Host("b").PowerOff) },
		"neighbours": func(_ *sim.Network, link *sim.Link) { link.ARP() },
		"a neighbour without power": func(n *sim.Network, link *sim.Link) {
			link.ARP()
			n.After(30*time.Hour+7, n.Host("b").PowerOff)
		},
		"an unplugged cable": func(n *sim.Network, link *sim.Link) { n.After(30*time.Hour+7, func() { link.Unplug() }) },
		"restart": func(n *sim.Network, link *sim.Link) {
			n.After(1700*time.Minute, n.Host("b").PowerOff)
			n.After(1701*time.Minute, n.Host("b").Restart)
		},
		"pause": func(n *sim.Network, link *sim.Link) { n.After(30*time.Hour+7, n.Host("b").Pause) },
		"hold": func(n *sim.Network, link *sim.Link) {
			n.After(30*time.Hour+7, link.Hold)
			n.After(40*time.Hour, link.Release)
		},
		"loss": func(n *sim.Network, link *sim.Link) {
			n.After(30*time.Hour+7, func() { link.Set(netem.Config{Delay: ms, Loss: netem.Bernoulli(0.8)}) })
		},
		"losses": func(n *sim.Network, link *sim.Link) { link.Set(netem.Config{Delay: ms, Loss: netem.Bernoulli(0.3)}) },
		"late":   func(n *sim.Network, link *sim.Link) { link.Set(netem.Config{Delay: 9 * time.Minute}) },
		"too late": func(n *sim.Network, link *sim.Link) {
			n.After(30*time.Hour+7, func() { link.Set(netem.Config{Delay: 100 * time.Minute}) })
		},
		"writes": func(n *sim.Network, link *sim.Link) {
			n.After(30*time.Hour+7, func() {
				c, err := n.Host("a").Dial("tcp", "b:7")
				check(err)
				c.Close()
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			run := func(eager bool) (account string) {
				sim.Test(t, func(t *testing.T, n *sim.Network) {
					if eager {
						n.Eager()
					}
					a, b := n.Host("a"), n.Host("b")
					link := n.Link(a, b, netem.Config{Delay: ms})
					b.SetTCP(sim.TCPConfig{KeepAlive: sim.TCPKeepAlive{Idle: 130 * time.Minute, Interval: 20 * time.Minute}})
					l := listen(t, b, ":7")
					var end error
					accept(l, func(c net.Conn) { io.Copy(io.Discard, c) })
					c := dial(t, a, "b:7").(*sim.TCPConn)
					c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 150 * time.Minute, Interval: 20 * time.Minute, Count: 4})
					happens(n, link)
					ended := make(chan time.Duration, 1)
					go func() {
						_, end = c.Read(make([]byte, 1))
						ended <- n.Elapsed()
					}()
					select {
					case at := <-ended:
						account = fmt.Sprintf("%v after %v\n", end, at)
					case <-time.After(10 * day):
					}
					account += fmt.Sprintf("%v %x\n%s", n.Elapsed(), n.Trace().Hash(), n.Trace())
				})
				return account
			}
			want, got := run(true), run(false)
			require.NoError(t, sameRun("an engine that leaves keep-alive for later", want, got))
			mortal := map[string]error{"cut": syscall.ETIMEDOUT, "partition": syscall.ETIMEDOUT, "crash": syscall.ECONNRESET, "power": syscall.ETIMEDOUT, "restart": syscall.ECONNRESET,
				"loss": syscall.ETIMEDOUT, "losses": syscall.ETIMEDOUT, "too late": syscall.ETIMEDOUT, "an unplugged cable": syscall.ETIMEDOUT, "a neighbour without power": syscall.ETIMEDOUT, "hold": syscall.ETIMEDOUT}
			why := mortal[name]
			require.Equal(t, why != nil, strings.Contains(got, " after "), "%.200s", got)
			if why != nil {
				require.Contains(t, got, why.Error()+" after ")
			}
		})
	}
}

// Instants beyond the end of time never come.
func TestNoInstantOverflows(t *testing.T) {
	const most = time.Duration(math.MaxInt64)
	err := sim.Try(t, func(n *sim.Network) error {
		a, b := n.Host("a"), n.Host("b")
		n.Link(a, b, netem.Config{Delay: ms, Jitter: 1, Distribution: farAway{}})
		ran := func() { panic("it ran") }
		time.Sleep(time.Second)
		for _, d := range []time.Duration{most, most - 1, most - time.Duration(time.Second), 200 * 365 * day} {
			n.After(d, ran)
		}
		u, err := b.ListenPacket("udp", ":9")
		check(err)
		c, err := a.Dial("udp", "b:9")
		check(err)
		c.Write([]byte("for ever"))
		u.SetReadDeadline(in(300 * day))
		if _, _, err = u.ReadFrom(make([]byte, 9)); !strings.Contains(fmt.Sprint(err), "i/o timeout") || n.Elapsed() != 300*day+time.Second {
			return fmt.Errorf("%v at %v", err, n.Elapsed())
		}
		l := listen(t, a, ":7")
		accept(l, echo)
		dialer := a.Dialer()
		dialer.Timeout = most
		tc, err := dialer.Dial("tcp", "a:7")
		if err != nil {
			return err
		}
		far := time.Unix(1<<40, 0)
		tcp := tc.(*sim.TCPConn)
		for _, err := range []error{tcp.SetDeadline(far), u.SetDeadline(far), l.(*sim.TCPListener).SetDeadline(far), tcp.SetLinger(math.MaxInt)} {
			if err != nil {
				return err
			}
		}
		for _, err := range []error{tcp.SetKeepAlivePeriod(most), tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: most}),
			tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Interval: most - 1})} {
			if !errors.Is(err, syscall.EINVAL) {
				return fmt.Errorf("keep-alive: %v", err)
			}
		}
		tcp.Write([]byte("x"))
		if _, err := io.ReadFull(tcp, make([]byte, 1)); err != nil {
			return err
		}
		time.Sleep(day)
		if err := tcp.Close(); err != nil {
			return err
		}
		return errors.New("all is well")
	})
	require.ErrorContains(t, err, "all is well")
	require.Equal(t, 3, strings.Count(err.Error(), "After at 2562047h47m16.854775807s: the test ended first"), "%v", err)
}

type farAway struct{}

func (farAway) Offset(uint64, time.Duration) time.Duration { return math.MaxInt64 }

// A sleep beyond the limit reaches the limit, and is not reported as a deadlock.
func TestSleepBeyondTheLimit(t *testing.T) {
	err := sim.Try(t, func(n *sim.Network) error {
		time.Sleep(day + time.Hour)
		return nil
	}, sim.Limit(day))
	require.ErrorContains(t, err, "virtual time reached its limit, 24h0m0s (sim.Limit)")
	require.NotContains(t, err.Error(), "no event was scheduled")
}

// What the program asks for after hours of nothing but keep-alive comes when it should.
func TestDeadlinesAfterHoursOfKeepAlive(t *testing.T) {
	for name, wait := range map[string]func(t *testing.T, n *sim.Network, h *sim.Host) error{
		"a read of UDP": func(t *testing.T, n *sim.Network, h *sim.Host) error {
			u, err := h.ListenPacket("udp", ":9")
			require.NoError(t, err)
			defer u.Close()
			u.SetReadDeadline(time.Now().Add(time.Second))
			_, _, err = u.ReadFrom(make([]byte, 1))
			return err
		},
		"a read of TCP": func(t *testing.T, n *sim.Network, h *sim.Host) error {
			c := dial(t, h, "server:7")
			defer c.Close()
			time.Sleep(3 * time.Hour)
			defer func(begun time.Duration) { require.Equal(t, time.Second, n.Elapsed()-begun) }(n.Elapsed())
			c.SetReadDeadline(time.Now().Add(time.Second))
			_, err := c.Read(make([]byte, 1))
			return err
		},
		"an accept": func(t *testing.T, n *sim.Network, h *sim.Host) error {
			l := listen(t, h, ":9")
			defer l.Close()
			l.(*sim.TCPListener).SetDeadline(time.Now().Add(time.Second))
			_, err := l.Accept()
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				client := n.Host("client")
				accept(listen(t, n.Host("server"), ":7"), echo)
				idle := dial(t, client, "server:7")
				defer idle.Close()
				time.Sleep(3 * time.Hour)
				begun := n.Elapsed()
				require.ErrorIs(t, wait(t, n, client), os.ErrDeadlineExceeded)
				require.Contains(t, []time.Duration{time.Second, 3*time.Hour + time.Second}, n.Elapsed()-begun)
			})
		})
	}
}

// Between two things that the program does, an hour or ten minutes apart, the engine is not woken
// for the probes that keep its connections alive.
func TestKeepAliveWakesNobody(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		const conns, times = 20, 12
		accept(listen(t, n.Host("b"), ":7"), echo)
		var all []net.Conn
		for i := range conns {
			all = append(all, dial(t, n.Host(fmt.Sprint("a", i)), "b:7"))
		}
		packets, steps := n.Trace().Len(), n.Steps()
		for range times {
			time.Sleep(10 * time.Minute)
			all[0].Write([]byte("x"))
			_, err := io.ReadFull(all[0], make([]byte, 1))
			require.NoError(t, err)
		}
		// In two hours each of 40 ends sends a probe every 15 s and 20 ms. Each is sent, delivered,
		// answered, and the answer delivered.
		require.InEpsilon(t, 4*2*conns*int(2*time.Hour/(15_020*ms)), n.Trace().Len()-packets, 0.02)
		// In each ten minutes that begins when no packet is in flight any more: after one of 40 rounds, in which each end
		// has three steps at most.
		require.Less(t, n.Steps()-steps, uint64(times*2*conns*3))
	}, sim.DefaultLink(netem.Config{Delay: 10 * ms}))
}
