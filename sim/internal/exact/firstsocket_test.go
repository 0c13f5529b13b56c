package exact_test

import (
	"net"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
	"github.com/squall-sim/squall/sim/internal/exact"
)

// What package net finds out once in a process, when the first socket is made, is nothing of a host's: the first test that makes one has
// the schedule of those that follow.
func TestFirstSocketOfAProcess(t *testing.T) {
	sim.NeedExact(t)
	const variable = "SQUALL_FIRST_SOCKET" // set where this is the only test
	if os.Getenv(variable) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), variable+"=1")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		return
	}
	listen := func() (s exact.Schedule) {
		require.NoError(t, sim.Try(t, func(n *sim.Network) error {
			var err error
			<-n.Host("server").Go(func() {
				others := make(chan bool)
				for range 3 { // they are ready, so that places are passed where one of them could have its turn
					go func() { <-others }()
				}
				defer close(others)
				var l net.Listener
				if l, err = net.Listen("tcp", ":80"); err == nil {
					l.Close()
				}
				s = exact.Now()
			})
			return err
		}))
		return s
	}
	first := listen()
	require.NotZero(t, first.Points)
	require.Equal(t, first, listen())
}
