package sim_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// The report's chart shows only the end of a test. Faults that had ended by then are named if they affected anything.
// A fault composed of others is named once.
func TestReportNamesWhatIsOver(t *testing.T) {
	err := sim.Try(t, func(n *sim.Network) error {
		server, phone := n.Host("server"), n.Host("phone")
		link := n.Link(phone, server, netem.Config{Delay: 40 * ms})
		accept(listen(t, server, ":7"), echo)
		c := dial(t, phone, "server:7")
		n.Inject(time.Second, 4*time.Second, sim.Drop(link, sim.Packets{From: phone, Kind: sim.Data}))
		n.Inject(10*time.Second, 10*time.Second, sim.Flap(sim.Down(link), time.Second, time.Second))
		n.Inject(30*time.Second, time.Second, sim.Down(link)) // meets nothing
		time.Sleep(2 * time.Second)
		c.Write([]byte("x")) // at 2.08 s, and again after 0.28, 0.56, 1.12, 2.24 and 4.48 s
		time.Sleep(8500 * ms)
		c.Write([]byte("x")) // at 10.58 s, and again after 0.28 and 0.56 s
		time.Sleep(time.Minute)
		return errors.New("broken")
	})
	require.Contains(t, err.Error(), "\n\nEnded, latest first: flapping: phone - server: link down (10.08s to 20.08s, fired twice), "+
		"phone - server: drops packets with data from phone (1.08s to 5.08s, fired 5 times)\n\nFaults that never fired:\n")
}
