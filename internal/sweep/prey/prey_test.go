// Package prey has tests for sweeps to find: as part of an ordinary run they pass.
package prey

import (
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// hunted says whether a sweep looks for what fails here.
var hunted = os.Getenv("SQUALL_PREY") != ""

func TestPrey(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server, phone := n.Host("server"), n.Host("phone")
		n.Link(phone, server, netem.Config{Delay: time.Millisecond})
		server.ServeHTTP(":80", http.NotFoundHandler())
		resp, err := phone.HTTPClient().Get("http://server/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		switch seed := n.Seed(); {
		case !hunted:
		case seed == 23 || seed == 42:
			t.Errorf("seed %d is odd", seed)
		case seed == 37:
			t.Error("another cause")
		case seed == 31:
			go func() { panic("a goroutine of the program's own") }()
			time.Sleep(time.Hour)
		case seed == preyOfFaults:
			failsForFaults(t, n)
		}
	})
}

// preyOfFaults is a seed that no sweep comes to: with it the test fails for two of its faults.
const preyOfFaults = 1_000_000

func failsForFaults(t *testing.T, n *sim.Network) {
	happened := map[string]bool{}
	for i, name := range []string{"a", "b", "c", "d", "e", "f"} {
		f := sim.NewFault(n, name, func() { happened[name] = true }, func() {})
		n.Inject(time.Duration(i)*time.Second, 500*time.Millisecond, f)
	}
	link := n.Link(n.Host("a"), n.Host("b"), netem.Config{})
	n.Inject(3*time.Second, 4*time.Second, sim.Flap(sim.Down(link), time.Second, time.Second))
	time.Sleep(time.Minute)
	if happened["b"] && happened["e"] {
		t.Errorf("b and e, %d in all", len(happened))
	}
}

// TestWithoutSeeds takes half a second of real time, if a sweep is to wait for it.
func TestWithoutSeeds(t *testing.T) {
	if os.Getenv("SQUALL_PREY") == "slow" {
		time.Sleep(500 * time.Millisecond)
	}
}
