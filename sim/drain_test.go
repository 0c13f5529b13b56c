package sim_test

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// Since Go 1.27, net/http reads on for up to 50 ms when a body is closed before its end. First it
// waits for the lock of the goroutine that reads the body (golang/go#81404). Close still returns at
// once, as on a real network, and the server learns of it within a transit and those 50 ms.
// Cancelling the request's context instead ends the request at once.
func TestABodyIsClosedWhileItIsRead(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server, phone := n.Host("server"), n.Host("phone")
		n.Link(server, phone, netem.Config{Delay: 40 * ms})
		left := make(chan time.Duration, 1)
		server.ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			left <- n.Elapsed()
		}))
		resp, err := phone.HTTPClient().Get("http://server/")
		require.NoError(t, err)
		read := make(chan error, 1)
		go func() {
			_, err := io.Copy(io.Discard, resp.Body)
			read <- err
		}()
		time.Sleep(time.Second)
		start := n.Elapsed()
		require.NoError(t, resp.Body.Close())
		require.Equal(t, start, n.Elapsed())
		require.Error(t, <-read)
		require.LessOrEqual(t, n.Elapsed(), start+50*ms+ms)
		require.LessOrEqual(t, <-left, start+50*ms+40*ms+ms)
	})
}
