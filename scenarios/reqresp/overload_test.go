package reqresp_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/reqresp"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/sim"
)

// a system that was overloaded for five seconds is as before when that is over (the metastable failures of
// OSDI 2022 are those that are not). SQUALL_OVERLOAD=100 tries 100 seeds, 48-100 these, and the opposite, which takes minutes.
func TestOverload(t *testing.T) {
	first, last := uint64(1), uint64(1)
	text := os.Getenv("SQUALL_OVERLOAD")
	if text != "" {
		from, to, ranged := strings.Cut(text, "-")
		if !ranged {
			from, to = "1", text
		}
		var err error
		first, err = strconv.ParseUint(from, 10, 32)
		require.NoError(t, err)
		last, err = strconv.ParseUint(to, 10, 32)
		require.NoError(t, err)
		require.LessOrEqual(t, first, last, "SQUALL_OVERLOAD is %s", text)
	}
	for seed := first; seed <= last; seed++ {
		calls, good := overload(t, seed, func() *retry.Budget { return &retry.Budget{} })
		require.Equal(t, calls, good, "calls with budgets, from 10 s after the end on, of seed %d", seed)
		t.Logf("seed %d: all %d calls were answered", seed, calls)
	}
	if text != "" {
		calls, good := overload(t, 1, unlimited)
		require.Less(t, good, calls/2, "calls without budgets")
		t.Logf("without budgets %d of %d", good, calls)
	}
}

// overload has a thousand clients call over three tiers, 40 times a second. The last tier can do 100 a second, of which
// it is asked for 53 with the budgets' tenth in each tier; it stands still from 5 s to 10 s, and what has come
// meanwhile, up to 266, takes 2.7 s of its work, with what comes then 5.7 s. It returns the calls that began from 20 s to 25 s, and how many were answered.
func overload(t *testing.T, seed uint64, budget func() *retry.Budget) (calls, good int) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		calls, good = 0, 0
		client := func(from, to string, patience time.Duration) *reqresp.Client {
			return &reqresp.Client{URL: "http://" + to, HTTP: n.Host(from).HTTPClient(), Budget: budget(),
				Jitter: retry.Seeded(n.Rand(from).Uint64()), AttemptTimeout: patience}
		}
		tier := func(name string, handle func(context.Context, *reqresp.Request) (reqresp.Effect, error)) {
			// None refuses anything for want of a place, which by itself would keep what is not asked for any more off
			// the last tier.
			s := &reqresp.Server{Handle: handle, MaxClients: 100_000, Jitter: retry.Seeded(n.Rand(name).Uint64())}
			n.Host(name).ServeHTTP(":80", s.Handler())
		}
		passOn := func(next *reqresp.Client) func(context.Context, *reqresp.Request) (reqresp.Effect, error) {
			return func(ctx context.Context, _ *reqresp.Request) (reqresp.Effect, error) {
				answer, err := next.Call(ctx, reqresp.Request{})
				return func(reqresp.Tx) (*reqresp.Response, error) { return answer, nil }, err
			}
		}
		back := n.Host("back")
		back.SetLimits(sim.HostLimits{CPUs: 1})
		tier("back", func(context.Context, *reqresp.Request) (reqresp.Effect, error) {
			return nil, back.Work(10 * ms) // whoever still waits for it
		})
		tier("middle", passOn(client("middle", "back", 500*ms)))
		tier("front", passOn(client("front", "middle", time.Second)))
		n.Inject(5*sec, 5*sec, sim.Pause(back))

		var mu sync.Mutex
		var all sync.WaitGroup
		machines, budgets := make([]*http.Client, 10), make([]*retry.Budget, 10) // of a hundred clients each
		for i := range machines {
			machines[i], budgets[i] = n.Host(fmt.Sprint("machine", i)).HTTPClient(), budget()
		}
		for i := range 1000 {
			c := client("machine0", "front", 2*sec)
			c.HTTP, c.Budget, c.Jitter = machines[i%10], budgets[i%10], retry.Seeded(seed<<10+uint64(i))
			all.Go(func() {
				time.Sleep(time.Duration(i) * 25 * ms)
				for n.Elapsed() < 25*sec {
					next := time.After(25 * sec)
					began := n.Elapsed()
					_, err := c.Call(t.Context(), reqresp.Request{})
					mu.Lock()
					if began >= 20*sec && began < 25*sec {
						calls++
						if err == nil {
							good++
						}
					}
					mu.Unlock()
					<-next
				}
			})
		}
		all.Wait()
	}, sim.Seed(seed), sim.ManyTimers(), sim.MayDiffer("a thousand clients' requests at one instant"))
	return calls, good
}
