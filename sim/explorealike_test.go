package sim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// twoReasons charges twice for two reasons: the shop pays again when it gets no answer, and a bank that restarts executes its
// journal once more.
func twoReasons(t *testing.T, n *sim.Network) {
	bank, shop := n.Host("bank"), n.Host("shop")
	n.Link(bank, shop, netem.Config{Delay: 40 * ms})
	var mu sync.Mutex
	charged, journal := 0, 0
	bank.Run("bank", func(ctx context.Context, h *sim.Host) error {
		l, err := h.Listen("tcp", ":80")
		if err != nil {
			return err
		}
		mu.Lock()
		charged += journal
		mu.Unlock()
		return http.Serve(l, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			journal = 1
			charged++
		}))
	})
	client := shop.HTTPClient()
	client.Timeout = 5 * time.Second
	for range 2 {
		resp, err := client.Post("http://bank/pay", "text/plain", strings.NewReader("5"))
		if err == nil {
			resp.Body.Close()
			break
		}
		time.Sleep(2 * time.Second)
	}
	time.Sleep(2 * time.Second)
	mu.Lock()
	defer mu.Unlock()
	if charged > 1 {
		t.Error("charged more than once")
	}
}

func TestVictimTwoReasons(t *testing.T) {
	victim(t)
	sim.Explore(t, sim.Exploration{Kinds: []sim.Breakage{sim.ConnectionReset, sim.ReceiverCrashesAfter}}, twoReasons)
}

// Explore tells bugs with the same message apart by what was sent. The bank's bug shows when the bank crashes while the answer is under
// way, or after that. In these runs the request was sent once.
func TestExploreTellsBugsOfOneMessageApart(t *testing.T) {
	out, failed := outputOf(t, "TestVictimTwoReasons")
	require.True(t, failed, out)
	requireInOrder(t, out, "failed, in 1 way.",
		"POST /pay was sent twice instead of once; explorealike_test.go:",
		" other runs failed the same way:", "    ConnectionReset bank shop Data 1",
		" other runs failed with the same message, but nothing was sent more or less often than without a breakage:", "    ReceiverCrashesAfter shop bank PureACK 2",
		"Output of the test:")
}

func TestVictimExploredRule(t *testing.T) {
	victim(t)
	sim.Explore(t, sim.Exploration{Kinds: []sim.Breakage{sim.Duplicated}}, func(t *testing.T, n *sim.Network) {
		var got atomic.Int32
		n.Always("no datagram arrives twice", func() error {
			if k := got.Load(); k > 1 {
				return fmt.Errorf("%d arrived", k)
			}
			return nil
		})
		c, _ := meter(t, n, func(string) string { got.Add(1); return "" })
		fmt.Fprint(c, "1")
		time.Sleep(time.Second)
	})
}

// When a rule is broken, the report gives the rule as the failure, not a line of the network's report.
func TestExploreTellsWhichRuleWasBroken(t *testing.T) {
	out, failed := outputOf(t, "TestVictimExploredRule")
	require.True(t, failed, out)
	requireInOrder(t, out, "arrived twice; test.go:", `: sim: at 5ms of virtual time the rule "no datagram arrives twice" was broken: 2 arrived`,
		"Output of the test:", `the rule "no datagram arrives twice" was broken`, "sim: at 5ms of virtual time, seed 1")
}

// Each way of failing has a page of its own.
func TestExploreLeavesAPageForEachWay(t *testing.T) {
	dir := t.TempDir()
	out, failed := outputOf(t, "TestVictimTwoReasons", "SQUALL_ARTIFACTS="+dir)
	require.True(t, failed, out)
	m := regexp.MustCompile(`SQUALL_EXPLORE='(.*)' SQUALL_SEED=1 .*\n(?:.*\n)??\s+To look at it: (.*)\n`).FindStringSubmatch(out)
	require.NotNil(t, m, out)
	require.Equal(t, "ReceiverCrashesAfter bank shop SYNACK 1", m[1])
	require.True(t, strings.HasPrefix(m[2], filepath.Join(dir, "sim", "TestVictimTwoReasons", "seed-1-ReceiverCrashesAfter_bank_shop_SYNACK_1")), m[2])
	var result struct {
		Failed   bool
		Sentence string
		Command  string
	}
	require.NoError(t, json.Unmarshal([]byte(readFile(t, filepath.Dir(m[2]), "result.json")), &result))
	require.True(t, result.Failed)
	require.Contains(t, result.Sentence, "charged more than once")
	require.Contains(t, result.Command, "SQUALL_EXPLORE='"+m[1]+"'")

	out, _ = outputOf(t, "TestVictimTwoReasons", "SQUALL_ARTIFACTS=off")
	require.NotContains(t, out, "To look at it")
}
