package sim_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// runs is how often each workload is repeated; SQUALL_REPLAY_RUNS=500 for more.
func runs(t *testing.T) int {
	s := os.Getenv("SQUALL_REPLAY_RUNS")
	if s == "" {
		return 8
	}
	k, err := strconv.Atoi(s)
	require.NoError(t, err)
	return k
}

// The workloads in which goroutines of 20 hosts do things at the same instant.
var workloads = map[string]func(t *testing.T, n *sim.Network) []time.Duration{
	"all start at once":              func(t *testing.T, n *sim.Network) []time.Duration { return requests(t, n, 0) },
	"tickers that fire together":     func(t *testing.T, n *sim.Network) []time.Duration { return requests(t, n, 100*ms) },
	"waiters woken by one broadcast": broadcast,
}

const (
	clients   = 20
	perClient = 10
)

func lossyLink() netem.Config {
	return netem.Config{Delay: 10 * ms, Loss: netem.Bernoulli(0.02)}
}

// requests makes 20 clients on 20 hosts send 10 requests each, all beginning at the same instant, and returns when
// each was answered.
func requests(t *testing.T, n *sim.Network, every time.Duration) []time.Duration {
	server := n.Host("server")
	server.ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello %s", r.URL.Query().Get("n"))
	}))
	done := make([]time.Duration, clients*perClient)
	var all sync.WaitGroup
	for i := range clients {
		h := n.Host(fmt.Sprintf("client%d", i))
		n.Link(h, server, lossyLink())
		all.Go(func() {
			c := h.HTTPClient()
			var tick <-chan time.Time
			if every > 0 {
				ticker := time.NewTicker(every)
				defer ticker.Stop()
				tick = ticker.C
			}
			for k := range perClient {
				if tick != nil {
					<-tick
				}
				get(t, c, fmt.Sprintf("http://server/?n=%d", k))
				done[i*perClient+k] = n.Elapsed()
			}
		})
	}
	all.Wait()
	return done
}

func get(t *testing.T, c *http.Client, url string) string {
	resp, err := c.Get(url)
	if !assertNoError(t, err) {
		return ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	assertNoError(t, err)
	return string(body)
}

func assertNoError(t *testing.T, err error) bool {
	if err != nil {
		t.Errorf("unexpected error: %v", err)
	}
	return err == nil
}

// broadcast makes a request of each of 20 clients wait and wakes them all at once, ten times.
func broadcast(t *testing.T, n *sim.Network) []time.Duration {
	server := n.Host("server")
	var mu sync.Mutex
	next := make(chan struct{})
	server.ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		wait := next
		mu.Unlock()
		<-wait
		io.WriteString(w, "news")
	}))
	done := make([]time.Duration, clients*perClient)
	var all sync.WaitGroup
	for i := range clients {
		h := n.Host(fmt.Sprintf("client%d", i))
		n.Link(h, server, lossyLink())
		all.Go(func() {
			c := h.HTTPClient()
			for k := range perClient {
				get(t, c, "http://server/")
				done[i*perClient+k] = n.Elapsed()
			}
		})
	}
	stop, cancel := context.WithCancel(context.Background())
	go func() {
		for range time.Tick(time.Second) {
			mu.Lock()
			close(next)
			next = make(chan struct{})
			mu.Unlock()
			if stop.Err() != nil {
				return
			}
		}
	}()
	all.Wait()
	cancel()
	return done
}

func TestSameSeedSameTrace(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for name, work := range workloads {
		t.Run(name, func(t *testing.T) {
			var want []time.Duration
			var hash uint64
			for i := range runs(t) {
				runtime.GOMAXPROCS([]int{1, 2, 4}[i%3])
				opts := []sim.Option{sim.Seed(7)}
				if i%4 == 3 {
					opts = append(opts, sim.ManyTimers())
				}
				sim.Test(t, func(t *testing.T, n *sim.Network) {
					got := work(t, n)
					h := n.Trace().Hash()
					if want == nil {
						want, hash = got, h
					}
					require.Equal(t, want, got, "completion times of run %d", i)
					require.Equal(t, hash, h, "trace of run %d", i)
				}, opts...)
			}
		})
	}
}

func TestVictimFailsAtItsSecondCall(t *testing.T) {
	victim(t)
	sim.Test(t, func(*testing.T, *sim.Network) {})
	sim.Test(t, func(t *testing.T, n *sim.Network) { t.Error("it fails") })
}

// With -count each round of a test is separate: the second run of a test that failed in a later round repeats that
// round alone.
func TestSecondRunInEachRound(t *testing.T) {
	out, failed := outputOf(t, "TestVictimFailsAtItsSecondCall", "SQUALL_VICTIM_COUNT=3")
	require.True(t, failed)
	require.Equal(t, 3, strings.Count(out, "it fails"), out)
	require.Equal(t, 3, strings.Count(out, "a second run of seed 1 had the same trace and failed too"), out)
	out, failed = outputOf(t, "TestVictimFailsAtItsSecondCall", "SQUALL_VICTIM_COUNT=2", "SQUALL_CHECK=1")
	require.True(t, failed)
	require.NotContains(t, out, "there was no second run")
}
