package sim_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// A payment is asked for again when no answer comes. Whichever packet is lost or comes twice, whoever crashes at it, and if the
// connection ends there: the money is to be taken once. Without the check of the key the test fails, and says at which packets.
func ExampleExplore() {
	testPayment := func(t *testing.T) { // in a file of tests: func TestPayment
		sim.Explore(t, sim.Exploration{}, func(t *testing.T, n *sim.Network) {
			bank, shop := n.Host("bank"), n.Host("shop")
			n.Link(bank, shop, netem.Config{Delay: 40 * time.Millisecond})
			taken := map[string]int{}
			bank.ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if key := r.Header.Get("Idempotency-Key"); taken[key] == 0 {
					taken[key]++
				}
			}))
			client := shop.HTTPClient()
			client.Timeout = 5 * time.Second
			for range 2 {
				req, _ := http.NewRequest("POST", "http://bank/pay", strings.NewReader("5"))
				req.Header.Set("Idempotency-Key", "order-1")
				if resp, err := client.Do(req); err == nil {
					resp.Body.Close()
					break
				}
				time.Sleep(2 * time.Second)
			}
			if taken["order-1"] > 1 {
				t.Errorf("taken %d times", taken["order-1"])
			}
		})
	}
	_ = testPayment
}
