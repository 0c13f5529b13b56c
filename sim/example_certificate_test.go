package sim_test

import (
	"crypto/tls"
	"net/http"
	"testing"
	"time"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

func TestOverTLS(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		server, phone := n.Host("server"), n.Host("phone")
		n.Link(server, phone, netem.Config{Delay: 40 * time.Millisecond})
		l, err := server.Listen("tcp", ":443")
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{
			Handler:   http.NotFoundHandler(),
			TLSConfig: &tls.Config{Certificates: []tls.Certificate{server.Certificate()}},
		}
		go srv.ServeTLS(l, "", "")
		defer srv.Close()

		client := phone.HTTPClient()
		client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: n.Roots()}
		resp, err := client.Get("https://server/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Error(resp.Status)
		}
	})
}

// A server and a client that talk HTTPS; TestOverTLS is run by go test.
func ExampleHost_Certificate() {}
