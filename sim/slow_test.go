package sim_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

var errTwice = errors.New("sold twice")

// A shop sells its only piece to two customers whose requests arrive at one instant. It waits for nothing between
// looking and selling.
func sellsTwice(n *sim.Network) error {
	shop := n.Host("shop")
	var mu sync.Mutex
	left := 1
	take := func(pieces int) (had int) {
		mu.Lock()
		defer mu.Unlock()
		had, left = left, left-pieces
		return had
	}
	shop.ServeHTTP(":80", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if take(0) > 0 {
			take(1)
		}
	}))
	var customers sync.WaitGroup
	for i := range 2 {
		phone := n.Host(fmt.Sprintf("phone%d", i))
		n.Link(phone, shop, netem.Config{Delay: 20 * time.Millisecond})
		customers.Go(func() {
			if resp, err := phone.HTTPClient().Get("http://shop/"); err == nil {
				resp.Body.Close()
			}
		})
	}
	customers.Wait()
	if take(0) < 0 {
		return errTwice
	}
	return nil
}

// The network wakes goroutines a nanosecond apart, so two requests overlap only if the first takes time. The policy
// slow makes it take time.
func TestSlowGoroutinesMeetWhatComesMeanwhile(t *testing.T) {
	sim.NeedExact(t)
	for _, row := range []struct {
		policy string
		finds  bool
	}{{"random:0.5", false}, {"slow:0.05", true}} {
		sim.SetPolicy(t, row.policy)
		var found []uint64
		for seed := range uint64(100) {
			if err := sim.Try(t, sellsTwice, sim.Seed(seed)); err != nil {
				require.ErrorIs(t, err, errTwice)
				found = append(found, seed)
			}
		}
		require.Equal(t, row.finds, len(found) > 0, "%s: seeds %v", row.policy, found)
		for _, seed := range found {
			require.ErrorIs(t, sim.Try(t, sellsTwice, sim.Seed(seed)), errTwice, "%s: seed %d again", row.policy, seed)
		}
	}
}

// The policy slow does not slow package sim. However slow the program is, each packet takes the 20 ms of its link.
func TestSlowLeavesTheNetworkAlone(t *testing.T) {
	sim.NeedExact(t)
	sim.SetPolicy(t, "slow:1")
	require.NoError(t, sim.Try(t, func(n *sim.Network) error {
		web, phone := n.Host("web"), n.Host("phone")
		n.Link(web, phone, netem.Config{Delay: 20 * time.Millisecond})
		web.ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 100_000)) }))
		client := phone.HTTPClient()
		var readers sync.WaitGroup
		for range 5 {
			readers.Go(func() {
				if resp, err := client.Get("http://web/"); err == nil {
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			})
		}
		readers.Wait()
		if err := oneTransit(n, 20*time.Millisecond); err != nil {
			return err
		}
		if arrived := strings.Count(n.Trace().String(), " delivered "); arrived < 300 {
			return fmt.Errorf("only %d packets arrived", arrived)
		}
		return nil
	}))
}

// A program sees the same number of processors on every machine.
func TestProcessorsInExactMode(t *testing.T) {
	sim.NeedExact(t)
	sim.Test(t, func(t *testing.T, _ *sim.Network) {
		require.Equal(t, 4, runtime.NumCPU())
		require.Equal(t, 4, runtime.GOMAXPROCS(0))
	})
	require.NotZero(t, runtime.GOMAXPROCS(0))
}

// oneTransit returns an error unless every delivered packet took exactly the time wanted.
func oneTransit(n *sim.Network, want time.Duration) error {
	sent := map[string][]time.Duration{}
	for line := range strings.Lines(n.Trace().String()) {
		words := strings.Fields(line)
		at, err := time.ParseDuration(words[0])
		if err != nil {
			return err
		}
		packet := strings.Join(words[2:], " ")
		switch words[1] {
		case "sent":
			sent[packet] = append(sent[packet], at)
		case "delivered":
			if took := at - sent[packet][0]; took != want {
				return fmt.Errorf("%v instead of %v: %s", took, want, line)
			}
			sent[packet] = sent[packet][1:]
		}
	}
	return nil
}
