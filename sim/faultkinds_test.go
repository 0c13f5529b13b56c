package sim_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// Of overlapping faults of a clock, steps add up, and the last drift decides. What a drift has
// gained stays.
func TestClockFaultsOverlap(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		h := n.Host("a")
		forward := n.Inject(0, 30*time.Second, sim.StepClock(h, time.Hour))
		back := n.Inject(10*time.Second, 10*time.Second, sim.StepClock(h, -2*time.Hour))
		fast := n.Inject(40*time.Second, 40*time.Second, sim.DriftClock(h, 100_000)) // 0.1 s a second
		slow := n.Inject(50*time.Second, 10*time.Second, sim.DriftClock(h, -200_000))
		wrong := func() time.Duration { return h.Now().Sub(midnight) - n.Elapsed() }
		for _, want := range []time.Duration{time.Hour, -time.Hour, time.Hour, 0, // after 5, 15, 25 and 35 s
			500 * ms, 0, -500 * ms, 500 * ms, 1 * time.Second, 1 * time.Second} { // 0.1 s a second from 40 s on, but from 50 to 60 s -0.2
			time.Sleep(5*time.Second - n.Elapsed()%(5*time.Second))
			if n.Elapsed()%(10*time.Second) == 0 {
				time.Sleep(5 * time.Second)
			}
			require.Equal(t, want, wrong(), n.Elapsed())
		}
		require.Equal(t, []int{3, 1, 6, 5}, []int{forward.Fired().Count, back.Fired().Count, fast.Fired().Count, slow.Fired().Count},
			"what a drift has gained shows after it, too")

		h.Clock().Set()
		require.Zero(t, wrong())
		require.Equal(t, n.Elapsed()+time.Second, h.Clock().Uptime(), "the monotonic clock cannot be set")
		require.Equal(t, 6, fast.Fired().Count-1, "but for the reading of Uptime it shows no more")
		step := n.Inject(0, 0, sim.StepClock(h, time.Minute))
		h.Clock().Set()
		require.Zero(t, wrong())
		step.End() // it is over
		require.Zero(t, wrong())
		h.Clock().Drift(500_000)
		n.Inject(0, 0, sim.DriftClock(h, -500_000))
		h.Clock().Drift(0)
		time.Sleep(time.Second)
		require.Zero(t, wrong(), "Drift ends them all")
		n.Inject(0, time.Second, sim.DriftClock(h, 100_000))
		time.Sleep(3 * time.Second)
		require.Equal(t, 100*ms, wrong(), "what is over does not come back with the end of another")
		lasting := n.Inject(0, 0, sim.DriftClock(h, 100_000))
		lasting.End()
		lasting.Begin()
		time.Sleep(time.Second)
		h.Clock().Set()
		require.Zero(t, wrong())
		require.Equal(t, 1, lasting.Fired().Count, "once for a reading, though it began twice; and it still shows after Set")
	})
}

// Of overlapping limits of one kind the last one decides, and the limit before it comes back.
func TestRestrictionsOverlap(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		h := n.Host("a")
		h.SetLimits(sim.HostLimits{Descriptors: 3})
		n.Inject(1*time.Second, 4*time.Second, sim.Restrict(h, sim.HostLimits{Descriptors: 1, CPUs: 1}))
		n.Inject(2*time.Second, 1*time.Second, sim.Restrict(h, sim.HostLimits{Descriptors: 2}))
		most := func() (open int) {
			var all []net.PacketConn
			for range 5 {
				pc, err := h.ListenPacket("udp", ":0")
				if err != nil {
					require.True(t, errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.EADDRINUSE), "%v", err)
					break
				}
				all = append(all, pc)
			}
			for _, pc := range all {
				pc.Close()
			}
			return len(all)
		}
		together := func() time.Duration { // how long two pieces of work of 10 ms take
			start, done := n.Elapsed(), make(chan bool)
			go func() { h.Work(10 * ms); close(done) }()
			h.Work(10 * ms)
			<-done
			return n.Elapsed() - start
		}
		time.Sleep(500 * ms)
		for _, want := range []struct {
			open int
			work time.Duration
		}{{3, 10 * ms}, {1, 20 * ms}, {2, 20 * ms}, {1, 20 * ms}, {1, 20 * ms}, {3, 10 * ms}} {
			require.Equal(t, want.open, most(), n.Elapsed())
			require.Equal(t, want.work, together(), n.Elapsed())
			time.Sleep(time.Second - n.Elapsed()%time.Second + 500*ms)
		}
		shared := n.Inject(0, 0, sim.Restrict(h, sim.HostLimits{CPUs: 1}))
		ports := n.Inject(0, 0, sim.Restrict(h, sim.HostLimits{FirstPort: 50000, LastPort: 50001}))
		together()
		require.Equal(t, 1, shared.Fired().Count, "the first has the processor for itself")
		require.Equal(t, 2, most())
		require.Equal(t, 1, ports.Fired().Count)
		h.SetLimits(sim.HostLimits{})
		require.Equal(t, 5, most(), "SetLimits ends them")
	})
}

// Of overlapping faults of names, one for a single name comes before one for all names, and the
// last of a kind decides.
func TestNameFaultsOverlap(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server, client := n.Host("dns"), n.Host("client")
		names := server.ServeNames(sim.NameServerConfig{Records: map[string][]string{"a.example": {"A 10.1.1.1"}, "b.example": {"A 10.1.1.2"}}})
		client.SetResolver(sim.ResolverConfig{Servers: []*sim.Host{server}})
		ask := func(name string) string {
			found, err := client.Resolver().LookupHost(context.Background(), name)
			if err != nil {
				return inBrief(err)
			}
			return found[0]
		}
		const all, other, fails = "", "no such host", "server misbehaving"
		everywhere := n.Inject(0, 0, sim.FailNames(names, all, sim.NameServerFails))
		one := n.Inject(0, 0, sim.FailNames(names, "a.example", sim.NameNotFound))
		require.Equal(t, []string{other, fails}, []string{ask("a.example"), ask("b.example")})
		louder := n.Inject(0, 0, sim.FailNames(names, all, sim.NameNotFound)) // of those for all the last decides
		require.Equal(t, []string{other, other}, []string{ask("a.example"), ask("b.example")})
		one.End()
		early := n.Inject(0, 0, sim.FailNames(names, "a.example", sim.NameServerFails))
		louder.End()
		louder.Begin() // later than the one for the name, which it leaves alone
		require.Equal(t, []string{fails, other}, []string{ask("a.example"), ask("b.example")})
		names.Heal("a.example")
		require.Equal(t, []string{other, other}, []string{ask("a.example"), ask("b.example")}, "only what is said of that name")
		require.Equal(t, 4, early.Fired().Count, "two questions for A and two for AAAA")
		louder.End()
		require.Equal(t, fails, ask("a.example"))
		everywhere.End()
		stale := n.Inject(0, 0, sim.MisleadNames(names, "a.example", "A 10.9.9.1"))
		gone := n.Inject(0, 0, sim.MisleadNames(names, "a.example"))
		require.Equal(t, []string{other, "10.1.1.2"}, []string{ask("a.example"), ask("b.example")})
		gone.End()
		require.Equal(t, "10.9.9.1", ask("a.example"))
		n.Inject(0, 0, sim.MisleadNames(names, "b.example", "CNAME a.example"))
		require.Equal(t, "10.9.9.1", ask("b.example"), "aliases lead there")
		names.Heal("a.example")
		require.Equal(t, "10.1.1.1", ask("b.example"))
		stale.End() // it is over
		stale.Begin()
		require.Equal(t, "10.9.9.1", ask("a.example"))
		require.Equal(t, `sim.MisleadNames(dnsNames, "a.example", "A 10.9.9.1")`, stale.Code(nil))
	})
}

// A drain outlasts another one, and the checks find its backend dead as well.
func TestBackendFaultsOverlap(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		lb, a, b := n.Router("lb"), n.Host("a"), n.Host("b")
		n.Link(lb, a, netem.Config{Delay: ms})
		n.Link(lb, b, netem.Config{Delay: ms})
		box := lb.Balancer(sim.BalancerConfig{Port: 7}, a, b)
		n.Inject(1*time.Second, 4*time.Second, sim.DrainBackend(lb, a, 0))
		n.Inject(2*time.Second, 1*time.Second, sim.DrainBackend(lb, a, time.Minute))
		n.Inject(4*time.Second, 2*time.Second, sim.FailBackend(lb, a))
		n.Inject(10*time.Second, 9*time.Second, sim.DrainBackend(lb, b, 0))
		n.After(12*time.Second, func() { box.Undrain(b) })
		time.Sleep(500 * ms)
		for _, want := range [][]string{{"a", "b"}, {"b"}, {"b"}, {"b"}, {"b"}, {"b"}, {"a", "b"}} {
			require.Equal(t, want, box.Serving(), n.Elapsed())
			time.Sleep(time.Second)
		}
		time.Sleep(11*time.Second - n.Elapsed())
		require.Equal(t, []string{"a"}, box.Serving())
		time.Sleep(2 * time.Second)
		require.Equal(t, []string{"a", "b"}, box.Serving(), "Undrain ends them")
	})
}

// A timeout that is set is a fault. It meets a connection that is forgotten because of it, but not
// one that had ended.
func TestTimeoutsOfABoxAreFaults(t *testing.T) {
	run := func(cfg sim.Tracking, idle time.Duration, closes bool) error {
		return sim.Try(t, func(n *sim.Network) error {
			client, server, r := n.Host("client"), n.Host("server"), n.Router("box")
			n.Link(client, r, netem.Config{Delay: ms})
			n.Link(r, server, netem.Config{Delay: ms})
			silent(client, server)
			r.Firewall(cfg)
			accept(listen(t, server, ":7"), echo)
			c := dial(t, client, "server:7")
			roundTrip(t, c)
			if closes {
				c.Close()
			}
			time.Sleep(idle)
			return nil
		}, sim.Strict())
	}
	lb := sim.AWSNetworkLB
	require.NoError(t, run(lb, 351*time.Second, false))
	require.NoError(t, run(sim.Tracking{Max: 10, Stray: sim.StrayReset}, time.Second, false), "bounds are none")
	require.ErrorContains(t, run(lb, 349*time.Second, false),
		"box: forgets silent connections (established 5m50s, UDP 2m0s) at 0s: it met no connection that was silent for so long (keep-alive probes are traffic, too)")
	lb.Closing = time.Second
	require.ErrorContains(t, run(lb, time.Hour, true), "it met no connection that was silent for so long", "it had ended")
}

// Forgetting does not meet a connection that both ends have closed, though the box still remembers
// it. A fault that must fire and did not is reported once.
func TestForgettingMeetsWhatIsAlive(t *testing.T) {
	for _, fault := range []func(r *sim.Router) *sim.Fault{sim.ForgetConnections, sim.Rebind} {
		run := func(closes bool) error {
			return sim.Try(t, func(n *sim.Network) error {
				client, server, nat := behindNAT(n, sim.NATConfig{})
				c, s := pair(t, client, server)
				if closes {
					c.Close()
					s.Close()
				}
				time.Sleep(time.Second)
				require.Equal(t, 1, nat.Stats().Open)
				n.Inject(0, 0, fault(n.Router("nat"))).MustFire()
				return nil
			})
		}
		require.NoError(t, run(false))
		err := run(true)
		require.ErrorContains(t, err, "a fault with MustFire never fired: nat: ")
		require.Equal(t, 1, strings.Count(err.Error(), "it met no connection"), "%v", err)
	}
}
