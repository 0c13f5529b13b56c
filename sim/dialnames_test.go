package sim_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
)

// A dial asks the name server, and takes longer by the time of the answer.
func TestDialsAskTheNameServer(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		x := newNameNet(n, sim.NameServerConfig{})
		web := n.Host("web")
		accept(listen(t, web, ":7"), echo)
		x.server.Set("api.example", "A "+web.Addr().String())

		for _, name := range []string{"api.example:7", "API.example.:7", "web:7"} {
			before := n.Elapsed()
			c, err := x.phone.Dial("tcp", name)
			require.NoError(t, err)
			require.Equal(t, "10.0.0.3:7", c.RemoteAddr().String())
			require.Equal(t, 20*time.Millisecond, (n.Elapsed() - before).Truncate(time.Microsecond))
			require.NoError(t, c.Close())
		}
		x.link.Down()
		for _, name := range []string{"10.0.0.3:7", "localhost:7", ":7"} { // nobody is asked
			before := n.Elapsed()
			_, err := x.phone.Dial("tcp", name)
			require.True(t, err == nil || errors.Is(err, syscall.ECONNREFUSED), "%v", err)
			require.Zero(t, (n.Elapsed() - before).Truncate(time.Microsecond))
		}
		_, err := x.phone.Dial("tcp", "api.example:7")
		require.Equal(t, "i/o timeout: timeout temporary", whatOf(err))
		var op *net.OpError
		require.ErrorAs(t, err, &op)
		require.Equal(t, "dial", op.Op)
		require.Nil(t, op.Addr)

		before := n.Elapsed()
		d := x.phone.Dialer()
		d.Timeout = time.Second
		_, err = d.Dial("udp", "api.example:7")
		require.Equal(t, "i/o timeout: timeout temporary", whatOf(err))
		require.Equal(t, time.Second, n.Elapsed()-before)
		x.server.Set("six.example", "AAAA 2001:db8::1")
		x.link.Up()
		_, err = x.phone.Dial("tcp", "six.example:7")
		require.ErrorIs(t, err, syscall.EAFNOSUPPORT)
		x.phone.AddAddr(netip.MustParseAddr("2001:db8::7"))
		_, err = x.phone.Dial("tcp", "six.example:7")
		require.ErrorIs(t, err, syscall.ENETUNREACH)
	})
}

// A dial tries a name's addresses in turn, each for its share of the timeout, and takes the first that answers.
func TestDialsTryAllAddresses(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		x := newNameNet(n, sim.NameServerConfig{})
		dead, closed, web := n.Host("dead"), n.Host("closed"), n.Host("web")
		accept(listen(t, web, ":7"), echo)
		dead.PowerOff()
		address := func(hosts ...*sim.Host) (all []string) {
			for _, h := range hosts {
				all = append(all, "A "+h.Addr().String())
			}
			return all
		}
		dial := func(timeout time.Duration) (error, time.Duration) {
			before := n.Elapsed()
			d := x.phone.Dialer()
			d.Timeout = timeout
			c, err := d.Dial("tcp", "api:7")
			if err == nil {
				require.Equal(t, web.Addr().String()+":7", c.RemoteAddr().String())
				c.Close()
			}
			return err, (n.Elapsed() - before).Truncate(time.Microsecond)
		}
		const look = 20 * time.Millisecond
		x.server.Set("api", address(closed, web)...)
		err, took := dial(0)
		require.NoError(t, err)
		require.Equal(t, look, took)

		x.server.Set("api", address(dead, closed, web)...)
		err, took = dial(9*time.Second + look) // a third of 9 s for each
		require.NoError(t, err)
		require.Equal(t, look+3*time.Second, took)

		err, took = dial(3*time.Second + look) // but at least 2 s
		require.NoError(t, err)
		require.Equal(t, look+2*time.Second, took)

		x.server.Set("api", address(closed, dead)...)
		err, took = dial(time.Second + look)
		require.ErrorIs(t, err, syscall.ECONNREFUSED, "the error of the first address")
		require.Equal(t, look+time.Second, took)

		x.server.Set("api", address(dead, web)...)
		err, took = dial(0) // the operating system gives the first one up: 1+2+4+...+64 s and the rest
		require.NoError(t, err)
		require.Greater(t, took, 2*time.Minute)
	})
}

// A name with fewer dots than Ndots is looked up in each search domain first. Any other name is looked up as it stands first.
func TestDialsSearch(t *testing.T) {
	for _, row := range []struct {
		name  string
		ndots int
		asked int // questions, two for each name
		found bool
	}{
		{"api", 0, 4, true}, // api.nowhere, api.prod.example
		{"api.", 0, 2, false},
		{"db.prod", 0, 6, true}, // itself, db.prod.nowhere, db.prod.prod.example
		{"web.other", 0, 2, true},
		{"web.other", 5, 6, true},
		{"nobody", 0, 6, false},
	} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			x := newNameNet(n, sim.NameServerConfig{})
			web := n.Host("web.other")
			accept(listen(t, web, ":7"), echo)
			a := "A " + web.Addr().String()
			x.server.Set("api.prod.example", a)
			x.server.Set("db.prod.prod.example", a)
			x.phone.SetResolver(sim.ResolverConfig{Servers: []*sim.Host{x.ns}, Search: []string{"nowhere", "prod.example."}, Ndots: row.ndots})
			_, err := x.phone.Dial("tcp", row.name+":7")
			if row.found {
				require.NoError(t, err, row.name)
			} else {
				require.Equal(t, "no such host: not found", whatOf(err))
				require.ErrorContains(t, err, "lookup "+row.name+" on ")
			}
			require.Equal(t, row.asked, questionsIn(n), row.name)
			x.server.Fail("odd.prod.example", sim.NameServerFails) // of several failures that of the complete name counts least
			_, err = x.phone.Dial("tcp", "odd:7")
			require.Equal(t, "server misbehaving: temporary", whatOf(err))
		})
	}
}

// A host with a cache asks again only after the TTL or after a crash. This also holds for names that were not found.
func TestCache(t *testing.T) {
	for _, cache := range []bool{false, true} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			x := newNameNet(n, sim.NameServerConfig{TTL: 20 * time.Second})
			x.phone.SetResolver(sim.ResolverConfig{Servers: []*sim.Host{x.ns}, Cache: cache})
			look := func(name, want string) int {
				t.Helper()
				before := questionsIn(n)
				addrs, err := x.phone.Resolver().LookupIP(t.Context(), "ip4", name)
				got := strings.Trim(fmt.Sprint(addrs), "[]")
				if err != nil {
					got = whatOf(err)
				}
				require.Equal(t, want, got)
				return questionsIn(n) - before
			}
			stale := func(name, old, now string) { // what is seen of a change that was just made
				t.Helper()
				if cache {
					require.Zero(t, look(name, old))
				} else {
					require.Equal(t, 1, look(name, now))
				}
			}
			const none = "no such host: not found"
			x.server.Set("a", "60 A 10.0.0.7")
			require.Equal(t, 1, look("a", "10.0.0.7"))
			require.Equal(t, 1, look("b", none))
			x.server.Set("a", "A 10.0.0.8")
			x.server.Set("b", "A 10.0.0.9")
			stale("a", "10.0.0.7", "10.0.0.8")
			time.Sleep(19 * time.Second)
			stale("b", none, "10.0.0.9")
			time.Sleep(time.Second)
			require.Equal(t, 1, look("b", "10.0.0.9"))
			stale("a", "10.0.0.7", "10.0.0.8")
			x.phone.Restart()
			require.Equal(t, 1, look("a", "10.0.0.8"))

			x.server.Fail("c", sim.NameServerFails) // is not kept
			require.Equal(t, 2, look("c", "server misbehaving: temporary"))
			x.server.Heal("c")
			require.Equal(t, 1, look("c", none))
			x.server.Set("d", "A 10.0.0.9")
			x.server.Truncate("d") // what comes by TCP is kept too, but not for UDP's first question
			require.Equal(t, 2, look("d", "10.0.0.9"))
			require.Equal(t, map[bool]int{false: 2, true: 1}[cache], look("d", "10.0.0.9"))
		})
	}
}

// Look-ups at one instant, over UDP and TCP, send the same packets in each run.
func TestNameServersReplay(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	var want string
	var hash uint64
	for i := range 15 {
		runtime.GOMAXPROCS([]int{1, 2, 4}[i%3])
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			x := newNameNet(n, sim.NameServerConfig{})
			x.server.Truncate("a")
			x.server.Silence("b")
			x.server.Fail("c", sim.NameServerFails)
			x.server.Delay("d", time.Second)
			var all sync.WaitGroup
			for _, name := range []string{"a", "b", "c", "d", "ns", "e"} {
				all.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
					defer cancel()
					x.phone.DialContext(ctx, "tcp", name+":7")
				})
			}
			all.Wait()
			if want == "" {
				want, hash = n.Trace().String(), n.Trace().Hash()
			}
			require.Equal(t, hash, n.Trace().Hash(), "what the packets carry")
			require.Equal(t, want, n.Trace().String())
		})
	}
}
