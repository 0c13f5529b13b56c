package prey

import (
	"os"
	"testing"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
	"github.com/squall-sim/squall/weather"
)

// TestStorms fails in each tenth storm, whichever that is, if a sweep is to find that.
func TestStorms(t *testing.T) {
	prey := os.Getenv("SQUALL_PREY")
	if prey != "storms" && prey != "failing storms" {
		t.Skip("it is run by the tests of sweeps")
	}
	c := weather.Config{Storms: 20, For: time.Second, Recovery: time.Second}
	weather.Test(t, c, func(t testing.TB, n *sim.Network, s *weather.Storm) {
		n.Link(n.Host("a"), n.Host("b"), netem.Config{})
		s.Begin()
		s.Sometimes("it is the seventh", n.Seed() == 7)
		s.Sometimes("it snows", false)
		s.Settle()
		if prey == "failing storms" && n.Seed()%10 == 0 {
			t.Errorf("%d things were lost", n.Seed()/10)
		}
	})
}
