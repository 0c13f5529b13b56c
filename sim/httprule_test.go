package sim_test

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/sim"
)

// shop has a phone 10 ms from a server with that fault, and a client that speaks HTTP/1.1, or
// HTTP/2 without TLS.
func shop(n *sim.Network, two bool, rules ...sim.HTTPRule) *http.Client {
	phone, server := n.Host("phone"), n.Host("server")
	n.Link(phone, server, netem.Config{Delay: 10 * ms})
	server.ServeHTTP(":80", n.FaultyHTTP(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Write([]byte(strings.Repeat("x", 4000)))
	}), rules...))
	c := phone.HTTPClient()
	if two {
		c.Transport.(*http.Transport).Protocols = new(http.Protocols)
		c.Transport.(*http.Transport).Protocols.SetUnencryptedHTTP2(true)
	}
	return c
}

// requested returns the outcome of a request: its status and the length of the body, or its error.
func requested(c *http.Client, method, path string) (status, length int, err error) {
	r, err := http.NewRequest(method, "http://server"+path, nil)
	if err != nil {
		return 0, 0, err
	}
	r.Header.Set("Who", "me")
	resp, err := c.Do(r)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, len(body), err
}

func TestWhatAnHTTPRuleDoes(t *testing.T) {
	reset := func(err error) bool { return errors.Is(err, syscall.ECONNRESET) }
	stream := func(err error) bool {
		return err != nil && strings.Contains(err.Error(), "stream error: stream ID 1; INTERNAL_ERROR")
	}
	cut := func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }
	for _, row := range []struct {
		name     string
		rule     sim.HTTPRule
		two      bool
		status   int
		length   int
		err      func(error) bool
		took     time.Duration // the answer's, with 20 ms for the connection and 20 ms for the request
		connects int           // after one request more
	}{
		{"status", sim.HTTPRule{Status: 503, RetryAfter: 3 * time.Second}, false, 503, 0, nil, 40 * ms, 1},
		{"status", sim.HTTPRule{Status: 503}, true, 503, 0, nil, 40 * ms, 1},
		{"delay", sim.HTTPRule{Delay: time.Second}, false, 200, 4000, nil, 1040 * ms, 1},
		{"abort", sim.HTTPRule{Abort: true}, false, 0, 0, reset, 40 * ms, 2},
		{"abort", sim.HTTPRule{Abort: true}, true, 0, 0, stream, 40 * ms, 1},
		{"malformed", sim.HTTPRule{Malformed: true}, false, 0, 0, func(err error) bool { return err != nil && strings.Contains(err.Error(), "malformed HTTP") }, 40 * ms, 2},
		{"malformed", sim.HTTPRule{Malformed: true}, true, 0, 0, stream, 40 * ms, 1},
		{"cut", sim.HTTPRule{CutAfter: 1500}, false, 200, 1500, cut, 40 * ms, 2},
		{"cut", sim.HTTPRule{CutAfter: 1500}, true, 200, 1500, stream, 40 * ms, 1},
		{"a cut that is not reached", sim.HTTPRule{CutAfter: 4000}, false, 200, 4000, nil, 40 * ms, 1},
		{"rate", sim.HTTPRule{Rate: 8 * netem.Kbit}, false, 200, 4000, nil, 4040 * ms, 1}, // its last piece is followed by a wait too
		{"go away", sim.HTTPRule{GoAway: true}, false, 200, 4000, nil, 40 * ms, 2},
		{"go away", sim.HTTPRule{GoAway: true}, true, 200, 4000, nil, 40 * ms, 2},
	} {
		t.Run(fmt.Sprintf("%s, HTTP/2 %v", row.name, row.two), func(t *testing.T) {
			opts := []sim.Option{sim.Strict()}
			if row.two {
				opts = append(opts, sim.MayDiffer(http2Races))
			}
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				row.rule.Count = 1
				c := shop(n, row.two, row.rule)
				status, length, err := requested(c, "POST", "/")
				require.Equal(t, row.took, n.Elapsed())
				if row.err == nil {
					require.NoError(t, err)
				} else {
					require.True(t, row.err(err), "%v", err)
				}
				require.Equal(t, row.status, status)
				require.Equal(t, row.length, length)
				time.Sleep(time.Second)
				status, length, err = requested(c, "POST", "/")
				require.NoError(t, err, "it was for one")
				require.Equal(t, 200, status)
				require.Equal(t, 4000, length)
				require.Equal(t, row.connects, n.Stats().Hosts[0].Dials, n.Stats().Hosts[0].Name)
			}, opts...)
		})
	}
}

// A rule applies to the requests that its fields describe.
func TestWhichRequestsAnHTTPRuleIsFor(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		c := shop(n, false,
			sim.HTTPRule{Method: "POST", Path: "/orders", Skip: 1, Count: 2, Status: 500},
			sim.HTTPRule{Header: "who: me", Path: "/me", Status: 501},
			sim.HTTPRule{Header: "Who", Path: "/header", Status: 502},
		)
		got := ""
		for _, request := range []string{"POST /orders", "POST /orders/7", "GET /orders", "POST /", "POST /orders", "POST /orders", "GET /me", "GET /header"} {
			method, path, _ := strings.Cut(request, " ")
			status, _, err := requested(c, method, path)
			require.NoError(t, err)
			got += fmt.Sprint(status, " ")
		}
		require.Equal(t, "200 500 200 200 500 200 501 502 ", got)
	}, sim.Strict())
}

// A request does not match if the header field has another value than the rule's.
func TestAnHTTPRuleForAnotherValue(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		status, _, err := requested(shop(n, false, sim.HTTPRule{Header: "who: you", Status: 500}), "GET", "/")
		require.NoError(t, err)
		require.Equal(t, 200, status)
	})
}

// If the client has gone while a rule delays its request, the handler never sees the request.
func TestAnHTTPRuleOutlastsAClient(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		var served atomic.Int32
		n.Host("server").ServeHTTP(":80", n.FaultyHTTP(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served.Add(1) }),
			sim.HTTPRule{Delay: 10 * time.Second, Count: 1}))
		c := n.Host("phone").HTTPClient()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, "GET", "http://server/", nil)
		require.NoError(t, err)
		_, err = c.Do(r)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		time.Sleep(time.Minute)
		require.Zero(t, served.Load())
		resp, err := c.Get("http://server/")
		require.NoError(t, err)
		resp.Body.Close()
		require.EqualValues(t, 1, served.Load())
	})
}

// A rule that matched no request has not fired.
func TestAnHTTPRuleThatIsForNothing(t *testing.T) {
	err := sim.Try(t, func(n *sim.Network) error {
		_, _, err := requested(shop(n, false, sim.HTTPRule{Method: "PUT", Abort: true}), "GET", "/")
		return err
	}, sim.Strict())
	require.ErrorContains(t, err, "HTTP: PUT, abort")
}

func TestRetryAfterOfAnHTTPRule(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		resp, err := shop(n, false, sim.HTTPRule{Status: 429, RetryAfter: 7 * time.Second}).Get("http://server/")
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, "7", resp.Header.Get("Retry-After"))
	})
}

func TestMisuseOfHTTPRules(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		for want, rule := range map[string]sim.HTTPRule{
			`Path is "x": it must begin with /`:                                                    {Path: "x", Abort: true},
			"Skip is -1 and Count is 0: they must not be negative":                                 {Skip: -1, Abort: true},
			"Delay is -1s: it must not be negative":                                                {Delay: -time.Second},
			"Status is 100: it must be from 200 to 599, or 0":                                      {Status: 100},
			"RetryAfter is 1.5s: it must be whole seconds, and needs a Status":                     {Status: 503, RetryAfter: 1500 * ms},
			"CutAfter is -1: it must not be negative":                                              {CutAfter: -1},
			"more than one of Status, Abort, Malformed and CutAfter is set: set only one":          {Status: 503, Abort: true},
			"the rule does nothing: set Delay, Status, Abort, Malformed, CutAfter, Rate or GoAway": {Method: "GET"},
		} {
			require.PanicsWithValue(t, "sim: FaultyHTTP: rule 0: "+want, func() { n.FaultyHTTP(http.NotFoundHandler(), rule) })
		}
		h := n.Host("h")
		require.PanicsWithValue(t, `sim: host h: Proxy("server"): it must be a URL such as http://server`, func() { h.Proxy("server", sim.ProxyConfig{}) })
		require.PanicsWithValue(t, `sim: host h: Proxy: Timeout is -1s: it must not be negative`, func() { h.Proxy("http://server", sim.ProxyConfig{Timeout: -time.Second}) })
		require.PanicsWithValue(t, `sim: host h: Proxy: Buffer is 0 and MaxBody is -1: they must not be negative`, func() { h.Proxy("http://server", sim.ProxyConfig{MaxBody: -1}) })
	})
}

// proxied has a client, a proxy and a server in a row, 10 ms apart.
func proxied(n *sim.Network, cfg sim.ProxyConfig, handler http.HandlerFunc) *http.Client {
	phone, proxy, server := n.Host("phone"), n.Host("proxy"), n.Host("server")
	n.Link(phone, proxy, netem.Config{Delay: 10 * ms})
	n.Link(proxy, server, netem.Config{Delay: 10 * ms})
	server.ServeHTTP(":80", handler)
	proxy.ServeHTTP(":80", proxy.Proxy("http://server", cfg))
	return phone.HTTPClient()
}

func TestAProxyGivesUp(t *testing.T) {
	for _, timeout := range []time.Duration{0, 5 * time.Second} {
		want := cmp.Or(timeout, time.Minute)
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			c := proxied(n, sim.ProxyConfig{Timeout: timeout}, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
			resp, err := c.Get("http://proxy/")
			require.NoError(t, err)
			resp.Body.Close()
			require.Equal(t, http.StatusGatewayTimeout, resp.StatusCode)
			// The connections take 20 ms each, and the request 10 ms to the proxy. The proxy's
			// timeout starts when it has sent the request on.
			require.Equal(t, 20*ms+10*ms+20*ms+want+10*ms, n.Elapsed())
			n.Host("server").Crash()
			resp, err = c.Get("http://proxy/")
			require.NoError(t, err)
			resp.Body.Close()
			require.Equal(t, http.StatusBadGateway, resp.StatusCode)
		})
	}
}

func TestAProxyWithABuffer(t *testing.T) {
	for _, buffer := range []int{0, 4096} {
		want := max(1, (buffer+99)/100) // the first line, or that which fills the buffer
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			c := proxied(n, sim.ProxyConfig{Buffer: buffer}, func(w http.ResponseWriter, r *http.Request) {
				for range 50 {
					time.Sleep(time.Second)
					fmt.Fprintf(w, "%99d\n", 1)
					w.(http.Flusher).Flush()
				}
			})
			resp, err := c.Get("http://proxy/")
			require.NoError(t, err)
			defer resp.Body.Close()
			body := bufio.NewReader(resp.Body)
			_, err = body.ReadString('\n')
			require.NoError(t, err)
			require.InDelta(t, want, n.Elapsed().Seconds(), 0.1, "the first of lines of 100 bytes, one a second")
			rest, err := io.ReadAll(body)
			require.NoError(t, err)
			require.Len(t, rest, 4900, "what does not fill the buffer comes at the end")
		})
	}
}

// A rule is a fault: it can end, begin again, be injected, and be marked as one that must fire.
func TestRulesAreFaults(t *testing.T) {
	err := sim.Try(t, func(n *sim.Network) error {
		server := n.Host("server")
		h := n.FaultyHTTP(http.NotFoundHandler(), sim.HTTPRule{Path: "/a", Skip: 1, Status: 503}, sim.HTTPRule{Path: "/b", Status: 500})
		server.ServeHTTP(":80", h)
		c := n.Host("phone").HTTPClient()
		h.Fault(1).MustFire()
		rule := h.Fault(0)
		rule.End()
		n.Inject(5*time.Second, 5*time.Second, rule)
		var got []int
		for range 12 { // a request each second, of which the rule sees those from 5 to 9 s, and skips the first
			status, _, err := requested(c, "GET", "/a")
			require.NoError(t, err)
			got = append(got, status)
			time.Sleep(time.Second)
		}
		require.Equal(t, []int{404, 404, 404, 404, 404, 404, 503, 503, 503, 503, 404, 404}, got)
		require.Equal(t, 4, rule.Fired().Count)
		require.Equal(t, "HTTP: any /a, not the first 1, status 503", rule.Name())
		require.PanicsWithValue(t, "sim: FaultyHandler.Fault(2): there are 2 rules, counted from 0", func() { h.Fault(2) })
		return nil
	})
	require.ErrorContains(t, err, "a fault with MustFire never fired: HTTP: any /b, status 500 at 0s: it met no request")
}

// An answer that the server breaks off does not become a complete one.
func TestAProxyWithABufferAndATruncatedAnswer(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		c := proxied(n, sim.ProxyConfig{Buffer: 4096}, func(w http.ResponseWriter, r *http.Request) {
			w.Write([]byte("half"))
			w.(http.Flusher).Flush()
			time.Sleep(time.Second)
			panic(http.ErrAbortHandler)
		})
		resp, err := c.Get("http://proxy/")
		require.NoError(t, err)
		defer resp.Body.Close()
		_, err = io.ReadAll(resp.Body)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	})
}

func TestAProxyWithALimit(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		c := proxied(n, sim.ProxyConfig{MaxBody: 1000}, func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
		post := func(body io.Reader) int {
			resp, err := c.Post("http://proxy/", "text/plain", body)
			require.NoError(t, err)
			resp.Body.Close()
			return resp.StatusCode
		}
		exact, more := strings.Repeat("x", 1000), strings.Repeat("x", 1001)
		require.Equal(t, 200, post(strings.NewReader(exact)))
		require.Equal(t, 413, post(strings.NewReader(more)))
		require.Equal(t, 200, post(struct{ io.Reader }{strings.NewReader(exact)}), "a body that does not say how long it is")
		require.Equal(t, 413, post(struct{ io.Reader }{strings.NewReader(more)}))
	})
}

// TLS ends at the proxy.
func TestAProxyThatTerminatesTLS(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		phone, proxy, server := n.Host("phone"), n.Host("proxy"), n.Host("server")
		server.ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, r.TLS == nil, " ", r.Header.Get("X-Forwarded-Proto"))
		}))
		srv := &http.Server{Handler: proxy.Proxy("http://server", sim.ProxyConfig{}), TLSConfig: &tls.Config{Certificates: []tls.Certificate{proxy.Certificate()}}}
		l := listen(t, proxy, ":443")
		go srv.ServeTLS(l, "", "")
		c := phone.HTTPClient()
		c.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: n.Roots()}
		resp, err := c.Get("https://proxy/")
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.Equal(t, "true https", string(body))
		srv.Close()
	}, sim.MayDiffer(http2Races))
}
