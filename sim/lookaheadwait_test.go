package sim_test

import (
	"io"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// On a link without delay, data that the program sends at the instant at which the network woke it has arrived when
// synctest.Wait returns. A test may then inspect the other side.
func TestWaitComesAfterWhatHappensAtItsInstant(t *testing.T) {
	for _, eager := range []bool{false, true} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			if eager {
				n.Eager()
			}
			l := listen(t, n.Host("server"), ":7")
			c := dial(t, n.Host("client"), "server:7")
			s, err := l.Accept()
			require.NoError(t, err)
			_, err = c.Write([]byte("x"))
			require.NoError(t, err)
			_, err = io.ReadFull(s, make([]byte, 1))
			require.NoError(t, err)
			woken := n.Elapsed()

			_, err = s.Write([]byte("y"))
			require.NoError(t, err)
			synctest.Wait()
			sent := n.Trace().Len()
			_, err = io.ReadFull(c, make([]byte, 1))
			require.NoError(t, err)
			require.Equal(t, woken, n.Elapsed(), "it was there")
			require.Equal(t, sent, n.Trace().Len(), "and on record")

			require.NoError(t, s.Close())
			synctest.Wait()
			_, err = c.Write([]byte("x"))
			require.NoError(t, err, "a FIN says nothing of the other direction")
			synctest.Wait()
			_, err = c.Write([]byte("x"))
			require.ErrorIs(t, err, syscall.EPIPE, "RST has come")
			require.Equal(t, woken, n.Elapsed())
		}, sim.DefaultLink(netem.Config{}))
	}
}
