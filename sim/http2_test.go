package sim_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// uploads serves HTTP/2 on "server", with or without TLS. It returns a function that uploads so
// many bytes from "client", 5 ms away, and returns what the server received.
func uploads(t *testing.T, n *sim.Network, withTLS bool) (upload func(size int) (string, error), client *http.Client) {
	n.Link(n.Host("client"), n.Host("server"), netem.Config{Delay: 10 * ms})
	var p http.Protocols
	p.SetHTTP2(withTLS)
	p.SetUnencryptedHTTP2(!withTLS)
	srv := &http.Server{Protocols: &p, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, r.Proto, " ", k)
	})}
	l := listen(t, n.Host("server"), ":80")
	hc := n.Host("client").HTTPClient()
	url := "http://server:80/"
	if withTLS {
		cert, pool := certificate(t, "server")
		srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}}
		hc.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: pool}
		url = "https://server:80/"
		go srv.ServeTLS(l, "", "")
	} else {
		hc.Transport.(*http.Transport).Protocols = &p
		go srv.Serve(l)
	}
	t.Cleanup(func() {
		hc.CloseIdleConnections()
		srv.Close()
	})
	return func(size int) (string, error) {
		return body(hc.Post(url, "text/plain", strings.NewReader(strings.Repeat("x", size))))
	}, hc
}

// net/http holds a mutex while it waits for room in the send buffer, and other goroutines wait for
// that mutex. An upload then takes as long as with a send buffer that has room for everything, so
// that net/http never waits, plus two round trips at most.
func TestHTTP2Uploads(t *testing.T) {
	const rtt = 20 * ms
	for _, withTLS := range []bool{false, true} {
		for _, size := range []int{10, 64_000, 300_000, 1_000_000, 5_000_000} {
			for _, atOnce := range []int{1, 3} {
				if size == 5_000_000 && (withTLS || testing.Short() || sim.RaceEnabled) {
					continue
				}
				t.Run(fmt.Sprintf("%d bytes, %d at once, TLS %t", size, atOnce, withTLS), func(t *testing.T) {
					mayDiffer(t, http2Races)
					// took returns how long the uploads take on a new connection, and then on a
					// used one.
					took := func(buffer int) (took [2]time.Duration) {
						sim.Test(t, func(t *testing.T, n *sim.Network) {
							upload, _ := uploads(t, n, withTLS)
							for i := range took {
								start := time.Now()
								var all sync.WaitGroup
								for range atOnce {
									all.Go(func() {
										answer, err := upload(size)
										require.NoError(t, err)
										require.Equal(t, fmt.Sprint("HTTP/2.0 ", size), answer)
									})
								}
								all.Wait()
								took[i] = time.Since(start)
							}
							if buffer > 0 {
								require.Zero(t, n.Frozen())
							} else if size > 100_000 && atOnce > 1 {
								require.Equal(t, !sim.Exact(), n.Frozen() > 0)
							}
						}, sim.WithTCP(sim.TCPConfig{SendBuffer: sim.TCPBuffer{Default: buffer, Max: max(buffer, 4<<20)}}))
						return took
					}
					usual, roomy := took(0), took(64<<20)
					for i := range usual {
						// Each arrival wakes one goroutine and takes a nanosecond, so some orders
						// of them take a little longer.
						require.InDelta(t, roomy[i], usual[i], float64(2*rtt+1000), "%v, and with room %v", usual, roomy)
					}
					if size == 10 && !withTLS {
						require.Equal(t, [2]time.Duration{2 * rtt, rtt}, usual)
					}
				})
			}
		}
	}
}

// Two uploads on a connection whose server is gone end by the client's timeout if it has one, and
// otherwise by TCP's, as on a real network.
func TestHTTP2UploadsOnADeadConnection(t *testing.T) {
	for _, timeout := range []time.Duration{0, 10 * time.Second} {
		for name, cut := range map[string]func(n *sim.Network){
			"power off": func(n *sim.Network) { n.Host("server").PowerOff() },
			"link down": func(n *sim.Network) { n.Partition([]*sim.Host{n.Host("client")}, []*sim.Host{n.Host("server")}) },
		} {
			t.Run(fmt.Sprintf("%s, timeout %v", name, timeout), func(t *testing.T) {
				mayDiffer(t, http2Races)
				sim.Test(t, func(t *testing.T, n *sim.Network) {
					upload, client := uploads(t, n, false)
					client.Timeout = timeout
					_, err := upload(1000)
					require.NoError(t, err)
					cut(n)
					start := time.Now()
					var all sync.WaitGroup
					for range 2 {
						all.Go(func() {
							_, err := upload(1_000_000)
							took := time.Since(start)
							if timeout > 0 {
								var ne net.Error
								require.ErrorIs(t, err, context.DeadlineExceeded)
								require.True(t, errors.As(err, &ne) && ne.Timeout())
								require.Equal(t, timeout, took)
							} else {
								require.ErrorIs(t, err, syscall.ETIMEDOUT)
								require.InDelta(t, 15*time.Minute, took, float64(2*time.Minute))
							}
						})
					}
					all.Wait()
				})
			})
		}
	}
}
