package sim_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/sim"
)

// A server that the program has closed does not serve after a restart, and does not take its port even for an
// instant. Here the program listens on the port at the instant of the restart.
func TestAClosedServerLeavesItsPortAlone(t *testing.T) {
	for range 20 {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			server := n.Host("server")
			server.ServeHTTP(":80", http.NotFoundHandler()).Close()
			server.Crash()
			server.Restart()
			l, err := server.Listen("tcp", ":80")
			require.NoError(t, err)
			time.Sleep(time.Second)
			require.NoError(t, l.Close())
		})
	}
}

// A process may make a server anew in each life, in the function given to Run, and close it when that life ends.
func TestServeHTTPInAProcessThatClosesIt(t *testing.T) {
	for range 20 {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			server := n.Host("server")
			var lives atomic.Int32
			server.Run("shop", func(ctx context.Context, h *sim.Host) error {
				lives.Add(1)
				srv := h.ServeHTTP(":80", http.NotFoundHandler())
				<-ctx.Done()
				return srv.Close()
			})
			for range 5 {
				time.Sleep(time.Second)
				dial(t, n.Host("phone"), "server:80").Close()
				server.Crash()
				time.Sleep(time.Second)
				server.Restart()
			}
			time.Sleep(time.Second)
			require.EqualValues(t, 6, lives.Load())
		})
	}
}

// A server that is closed between a restart and its first connection stops listening.
func TestAServerIsClosedAfterARestart(t *testing.T) {
	for _, wait := range []time.Duration{0, 1} {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			server := n.Host("server")
			srv := server.ServeHTTP(":80", http.NotFoundHandler())
			server.Restart()
			time.Sleep(wait)
			require.NoError(t, srv.Close())
			time.Sleep(time.Second)
			l, err := server.Listen("tcp", ":80")
			require.NoError(t, err)
			l.Close()
		})
	}
}

// A second call of ServeHTTP after a restart panics with the advice that the first server serves again by itself.
func TestServeHTTPInTheFunctionOfRun(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server := n.Host("server")
		server.ServeHTTP(":80", http.NotFoundHandler())
		require.PanicsWithValue(t, "sim: host server: ServeHTTP: listen tcp :80: bind: address already in use",
			func() { server.ServeHTTP(":80", http.NotFoundHandler()) })
		server.Restart()
		time.Sleep(1)
		require.PanicsWithValue(t, "sim: host server: ServeHTTP: listen tcp :80: bind: address already in use "+
			"(after a restart ServeHTTP serves again by itself, and Run calls its function again: "+
			`in that function use Listen("tcp", ":80") and http.Serve)`,
			func() { server.ServeHTTP(":80", http.NotFoundHandler()) })
	})
}

// The README's way: a listener and http.Serve in the function given to Run need no code for the end of a life.
func TestServeInTheFunctionOfRun(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server := n.Host("server")
		var lives atomic.Int32
		server.Run("shop", func(_ context.Context, h *sim.Host) error {
			l, err := h.Listen("tcp", ":80")
			if err != nil {
				return err
			}
			lives.Add(1)
			return http.Serve(l, http.NotFoundHandler())
		})
		for range 3 {
			time.Sleep(time.Second)
			dial(t, n.Host("phone"), "server:80").Close()
			server.Crash()
			server.Restart()
		}
		time.Sleep(time.Second)
		require.EqualValues(t, 4, lives.Load())
	})
}
