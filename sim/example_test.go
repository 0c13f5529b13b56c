package sim_test

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// The link goes down for a minute in the middle of a request. TCP sends again what was lost, with
// pauses that double, so the answer comes 12.84 s after the link is back, and the client
// needs no second attempt.
func TestAnswerAfterAnOutage(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server, phone := n.Host("server"), n.Host("phone")
		link := n.Link(phone, server, netem.Config{Delay: 40 * time.Millisecond})
		server.ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(2 * time.Second)
			io.WriteString(w, "hello")
		}))
		n.After(time.Second, link.Down)
		n.After(61*time.Second, link.Up)

		resp, err := phone.HTTPClient().Get("http://server/")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || string(body) != "hello" {
			t.Errorf("got %q, %v", body, err)
		}
		if n.Elapsed() != 73840*time.Millisecond {
			t.Errorf("the answer came after %v", n.Elapsed())
		}
	})
}

// go test runs TestAnswerAfterAnOutage, which is all there is to it.
func Example() {}
