package squall_test

import (
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/scenarios/scenario"
	"github.com/squall-sim/squall/sim"
)

// The table of failures that every program on a network meets, whatever it speaks. A row
// is one scenario: a name, the reason why it is here, and a story in plain Go. To add one,
// add a row here, or to the table of its pattern:
//
//	scenarios/longpoll, scenarios/shortpoll, scenarios/push, scenarios/stream, scenarios/pubsub
//
// All times are virtual. A story gets the network, makes hosts and links, breaks something
// with n.After, and asserts what came of it.
var scenarios = []scenario.Row{
	{Name: "nobody listens", Reason: "a refusal takes a round trip, and is no timeout",
		Story: func(t *testing.T, n *sim.Network) {
			n.Link(n.Host("phone"), n.Host("server"), netem.Config{Delay: 40 * time.Millisecond})
			_, err := n.Host("phone").Dial("tcp", "server:80")
			require.ErrorIs(t, err, syscall.ECONNREFUSED)
			require.Equal(t, 80*time.Millisecond, n.Elapsed())
		}},
	{Name: "the server crashes", Reason: "its kernel resets the connection, so the client learns of it at once",
		Story: func(t *testing.T, n *sim.Network) {
			server, phone := n.Host("server"), n.Host("phone")
			n.Link(phone, server, netem.Config{Delay: 40 * time.Millisecond})
			l, err := server.Listen("tcp", ":80")
			require.NoError(t, err)
			go func() { l.Accept() }()
			conn, err := phone.Dial("tcp", "server:80")
			require.NoError(t, err)
			n.After(10*time.Second, server.Crash)
			_, err = io.ReadAll(conn)
			require.ErrorIs(t, err, syscall.ECONNRESET)
			require.Equal(t, 10*time.Second+120*time.Millisecond, n.Elapsed(), "80 ms to connect, and 40 ms for the reset")
		}},
}

func TestScenarios(t *testing.T) { scenario.Run(t, scenarios) }
