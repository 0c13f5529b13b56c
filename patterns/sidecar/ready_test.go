package sidecar_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/sidecar"
	"github.com/squall-sim/squall/sim"
)

// Who starts a proxy has Serve in a goroutine, and asks whether all is ready, in either order.
func TestReadyBeforeServe(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		p := &sidecar.Proxy{Config: to(upstream(n, "app"))}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, p.Ready(ctx), context.DeadlineExceeded, "nobody serves yet")

		n.Host("app").ServeHTTP(":8080", http.NotFoundHandler())
		require.NoError(t, p.Ready(t.Context()))
		// It asked until the end of its time, and then a round trip over the hop, 2 x 10 ms, is enough to be connected.
		require.Equal(t, 1020*ms, n.Elapsed())

		client := serve(n, p)
		resp, err := client.HTTPClient().Get("http://proxy/")
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, http.StatusNotFound, resp.StatusCode)
	})
}

func TestReadySaysWhatIsWrong(t *testing.T) {
	require.PanicsWithValue(t, (&sidecar.Proxy{}).Check().Error(), func() { (&sidecar.Proxy{}).Ready(t.Context()) })
}
