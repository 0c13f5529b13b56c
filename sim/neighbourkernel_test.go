package sim_test

import (
	"testing"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// Calls return what they return on a real kernel when a neighbour does not answer or the carrier is lost.
func TestNeighboursAreThoseOfTheKernel(t *testing.T) {
	got := map[string]string{}
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		client, server := n.Host("client"), n.Host("server")
		link := n.Link(client, server, netem.Config{})
		link.ARP()
		s := &neighbourStage{client: simParty{client}, server: simParty{server}, silence: link.Down, unplug: link.Unplug, mend: link.Up, got: got}
		s.forget = func() {
			client.PowerOff()
			client.Restart()
		}
		s.neighbourSituations()
	}, sim.IPv6())
	compareWithKernel(t, "testdata/neighbours.json", got, func(string) string { return "" })
}
