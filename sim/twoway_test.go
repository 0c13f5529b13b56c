package sim_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// Both directions of a connection carry data and lose some of it, so that retransmissions share packets with
// selective acknowledgements.
func TestBothDirectionsLose(t *testing.T) {
	for _, c := range []struct {
		reason string
		size   int
		link   netem.Config
		within time.Duration
	}{
		{"the fifth packet each way", 20_000, netem.Config{Delay: 10 * ms, Loss: netem.DropList{5}}, time.Second},
		{"1 % loss", 1 << 20, netem.Config{Delay: 10 * ms, Loss: netem.Bernoulli(0.01)}, 10 * time.Second},
		{"5 % loss", 200_000, netem.Config{Delay: 10 * ms, Loss: netem.Bernoulli(0.05)}, 20 * time.Second},
		{"a short queue", 1 << 20, netem.Config{Delay: 10 * ms, Rate: 20 * netem.Mbit, Queue: netem.DropTail{Packets: 20}}, 10 * time.Second},
	} {
		t.Run(c.reason, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				client, server := n.Host("client"), n.Host("server")
				n.Link(client, server, c.link)
				l := listen(t, server, ":7")
				talk := func(conn net.Conn) {
					time.Sleep(100*ms - n.Elapsed()) // at the same instant
					wrote := make(chan error, 1)
					go func() {
						_, err := conn.Write(make([]byte, c.size))
						wrote <- err
					}()
					_, err := io.ReadFull(conn, make([]byte, c.size))
					assertNoError(t, err)
					assertNoError(t, <-wrote)
				}
				accepted := make(chan struct{})
				go func() {
					defer close(accepted)
					if conn, err := l.Accept(); assertNoError(t, err) {
						talk(conn)
					}
				}()
				talk(dial(t, client, "server:7"))
				<-accepted
				require.Less(t, n.Elapsed(), c.within)
				require.Empty(t, n.IdleFaults())
			})
		})
	}
}
