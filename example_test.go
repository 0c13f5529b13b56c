package squall_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

func TestAnswerAfterAnOutage(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server, phone := n.Host("server"), n.Host("phone")
		link := n.Link(phone, server, netem.Config{Delay: 40 * time.Millisecond})
		server.ServeHTTP(":80", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			time.Sleep(2 * time.Second)
		}))
		n.After(1*time.Second, link.Down)
		n.After(61*time.Second, link.Up)

		resp, err := phone.HTTPClient().Get("http://server/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if n.Elapsed() != 73840*time.Millisecond {
			t.Errorf("the answer came at %v", n.Elapsed())
		}
	})
}
