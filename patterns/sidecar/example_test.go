package sidecar_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"

	"github.com/squall-sim/squall/patterns/sidecar"
)

func Example() {
	// A service with two replicas, one of which is broken.
	broken := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer broken.Close()
	works := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello, ", r.URL.Path) }))
	defer works.Close()

	proxy := &sidecar.Proxy{Config: sidecar.Config{Routes: []sidecar.Route{{
		Host: "greetings.test",
		Upstream: &sidecar.Upstream{
			Name: "greetings", Addrs: []string{broken.Listener.Addr().String(), works.Listener.Addr().String()}, Balance: sidecar.RoundRobin,
		},
	}}}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	go proxy.Serve(l)
	defer proxy.Close()

	req, _ := http.NewRequest("GET", "http://"+l.Addr().String()+"/world", nil)
	req.Host = "greetings.test"
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.StatusCode, string(body))
	// Output: 200 hello, /world
}

func ExampleBreaker() {
	b := &sidecar.Breaker{MinRequests: 2}
	for range 3 {
		permit, err := b.Begin()
		if err != nil {
			fmt.Println(err)
			continue
		}
		permit.End(sidecar.Failure) // the call has failed
	}
	fmt.Println(b.State())
	// Output:
	// sidecar: the breaker is open
	// open
}
