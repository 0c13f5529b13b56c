// Package postmortems_test has failures that happened in production, each with a public
// account.
package postmortems_test

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/scenarios/scenario"
	"github.com/squall-sim/squall/sim"
)

func TestScenarios(t *testing.T) {
	for _, row := range scenarios {
		require.Regexp(t, "^https://", row.Source, "the row %q must say where it happened", row.Name)
	}
	scenario.Run(t, scenarios)
}

// Failures of real systems. Each story is the mechanism, as small as it can be, and ends with what helps, or with how the
// failure shows. Its source tells of the incident; numbers are the source's where it has some.
var scenarios = []scenario.Row{
	{Name: "a load balancer forgets an idle connection", Reason: "after 350 s of silence the client's next segment is answered with RST, and net/http does not repeat an order (POST)",
		Source: "https://aws.amazon.com/blogs/networking-and-content-delivery/introducing-nlb-tcp-configurable-idle-timeout/",
		Story: func(t *testing.T, n *sim.Network) {
			client, server, box := across(n)
			silent(client, server)
			box.Balancer(sim.BalancerConfig{Tracking: sim.AWSNetworkLB, Port: 80}, server)
			server.ServeHTTP(":80", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			c := client.HTTPClient()
			c.Transport.(*http.Transport).IdleConnTimeout = time.Hour
			order := func() error {
				resp, err := c.Post("http://box/orders", "text/plain", strings.NewReader("one pizza"))
				scenario.ReadAll(resp, err)
				return err
			}
			require.NoError(t, order())
			time.Sleep(349 * time.Second)
			require.NoError(t, order(), "a second less")
			time.Sleep(351 * time.Second)
			require.ErrorIs(t, order(), syscall.ECONNRESET)
		}},
	{Name: "the table of connections is full", Reason: "each short connection stays in it for 2 min after its end, and new ones are dropped silently while everything else is idle",
		Source: "https://github.com/kubernetes/kubernetes/issues/18604",
		Story: func(t *testing.T, n *sim.Network) {
			client, server, box := across(n)
			nat := box.NAT(sim.NATConfig{Tracking: sim.Tracking{Max: 50}}, client)
			server.ServeHTTP(":80", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			for _, pooled := range []bool{true, false} { // with one connection for all, and with one for each
				c := client.HTTPClient()
				c.Timeout = 10 * time.Second
				c.Transport.(*http.Transport).DisableKeepAlives = !pooled
				for i := range 54 {
					resp, err := c.Get("http://server/")
					scenario.ReadAll(resp, err)
					require.Equal(t, !pooled && i >= 49, os.IsTimeout(err), "request %d: %v", i, err)
					time.Sleep(time.Second)
				}
			}
			require.Equal(t, 50, nat.Stats().Open)
		}},
	{Name: "a name that was missing for two seconds", Reason: "resolvers that nobody can flush cache the missing name for as long as the zone says",
		Source: "https://slack.engineering/what-happened-during-slacks-dnssec-rollout/",
		Story: func(t *testing.T, n *sim.Network) {
			client, ns, _ := across(n)
			names := ns.ServeNames(sim.NameServerConfig{TTL: 15 * time.Minute, Records: map[string][]string{"shop.example": {"A 10.0.0.2"}}})
			client.SetResolver(sim.ResolverConfig{Servers: []*sim.Host{ns}})
			resolve := caching(client.Resolver(), 15*time.Minute)
			n.After(10*time.Second, func() { names.Set("shop.example") })
			n.After(12*time.Second, func() { names.Set("shop.example", "A 10.0.0.2") })
			missing := time.Duration(0)
			for range 1200 {
				if resolve(t.Context(), "shop.example.") != nil {
					missing += time.Second
				}
				time.Sleep(time.Second)
			}
			require.InDelta(t, 15*60, missing.Seconds(), 1)
		}},
	{Name: "one of two questions for a name is lost", Reason: "a node's NAT loses one of two datagrams sent at one instant: a resolver that asks for both address families waits 5 s although it has one answer",
		Source: "https://github.com/kubernetes/kubernetes/issues/56903",
		Story: func(t *testing.T, n *sim.Network) {
			pod, dns, _ := across(n)
			dns.ServeNames(sim.NameServerConfig{Records: map[string][]string{"shop.example": {"A 10.0.0.2"}}})
			pod.SetResolver(sim.ResolverConfig{Servers: []*sim.Host{dns}})
			lookup := func(family string) time.Duration {
				start := n.Elapsed()
				all, err := pod.Resolver().LookupNetIP(t.Context(), family, "shop.example.")
				require.NoError(t, err)
				require.Len(t, all, 1)
				return (n.Elapsed() - start).Round(time.Microsecond)
			}
			require.Equal(t, 80*time.Millisecond, lookup("ip"), "a transit is 40 ms")
			lost := sim.Drop(n.Links()[0], sim.Packets{From: pod, Port: 53, Nth: 2})
			n.Inject(0, time.Minute, lost)
			// Each question has 5 s; the one that is asked again after that is answered 80 ms later.
			require.Equal(t, 5080*time.Millisecond, lookup("ip"))
			lost.MustFire()
			// Who needs IPv4 alone asks a single question, which has no neighbour to be lost beside.
			n.Inject(0, time.Minute, sim.Drop(n.Links()[0], sim.Packets{From: pod, Port: 53, Nth: 2}))
			require.Equal(t, 80*time.Millisecond, lookup("ip4"))
		}},
	{Name: "the machine at the other end has lost power", Reason: "nobody closes the connection: a write waits for a quarter of an hour, although a replacement is up",
		Source: "https://github.com/kubernetes-retired/kube-aws/issues/598",
		Story: func(t *testing.T, n *sim.Network) {
			for _, limit := range []time.Duration{0, 30 * time.Second} {
				node, master := n.Host(fmt.Sprint("node", limit)), n.Host(fmt.Sprint("master", limit))
				n.Link(node, master, scenario.Good)
				node.SetTCP(sim.TCPConfig{UserTimeout: limit})
				c, _ := connection(t, node, master)
				master.PowerOff()
				cut := n.Elapsed()
				c.Write([]byte("I am alive"))
				_, err := c.Read(make([]byte, 1))
				require.ErrorIs(t, err, syscall.ETIMEDOUT)
				if took := n.Elapsed() - cut; limit == 0 {
					require.InDelta(t, 16*60, took.Seconds(), 60)
				} else {
					require.InDelta(t, 30, took.Seconds(), 5)
				}
			}
		}},
	{Name: "a tunnel takes smaller packets from now on", Reason: "without the ICMP message the sender never learns of it: connections open and small requests work, but uploads hang",
		Source: "https://github.com/opnsense/core/issues/4094",
		Story: func(t *testing.T, n *sim.Network) {
			client, server, box := n.Host("client"), n.Host("server"), n.Router("box")
			n.Link(client, box, scenario.Good)
			link := n.Link(box, server, scenario.Good)
			box.BlockICMP()
			server.ServeHTTP(":80", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
			c := client.HTTPClient()
			c.Timeout = 30 * time.Second
			post := func(size int) bool {
				resp, err := c.Post("http://server/", "text/plain", strings.NewReader(strings.Repeat("x", size)))
				scenario.ReadAll(resp, err)
				return err == nil
			}
			require.True(t, post(100) && post(100_000))
			link.Set(netem.Config{Delay: 40 * time.Millisecond, MTU: 1420})
			require.True(t, post(100))
			require.False(t, post(100_000))
			box.AllowICMP()
			require.True(t, post(100_000))
		}},
	{Name: "a proxy reads its configuration again", Reason: "its old workers exit after 4 min, and every stream that they carry ends at that instant",
		Source: "https://github.com/kubernetes/ingress-nginx/issues/2461",
		Story: func(t *testing.T, n *sim.Network) {
			client, proxy, _ := across(n)
			worker := func() *http.Server {
				return proxy.ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if w.(http.Flusher).Flush(); r.URL.Path == "/stream" {
						<-r.Context().Done()
					}
				}))
			}
			old := worker()
			resp, err := client.HTTPClient().Get("http://server/stream")
			require.NoError(t, err)
			reloaded := n.Elapsed()
			go reload(old, 4*time.Minute)
			time.Sleep(time.Second)
			worker()
			scenario.ReadAll(client.HTTPClient().Get("http://server/"))
			_, err = io.ReadAll(resp.Body)
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			require.Equal(t, reloaded+4*time.Minute+20*time.Millisecond+20*time.Millisecond, n.Elapsed())
		}},
	{Name: "a storm of retries", Reason: "the server works on requests that nobody waits for any more, long after the original cause has ended",
		Source: "https://aws.amazon.com/message/12721/",
		Story: func(t *testing.T, n *sim.Network) {
			for _, retries := range []int{0, 3} {
				name := fmt.Sprint("server", retries)
				srv := &slow{takes: 100 * time.Millisecond}
				n.Host(name).ServeHTTP(":80", srv)
				n.After(10*time.Second, func() { srv.stall(5 * time.Second) })
				var late atomic.Int64
				for i := range 8 * 60 { // 8 a second for a minute, of 10 that the server can do
					go func() {
						if !asks(n, fmt.Sprint("client", retries, "-", i%50), name, retries) && i > 8*30 {
							late.Add(1)
						}
					}()
					time.Sleep(125*time.Millisecond + 7)
				}
				time.Sleep(10 * time.Second)
				require.Equal(t, retries > 0, late.Load() > 8*20, "%d of 240 failed in the second half minute", late.Load())
			}
		}},
	{Name: "everybody comes back after a deployment", Reason: "clients with a fixed delay all come back at one instant; random delays spread them",
		Source: "https://github.com/gravitational/teleport/issues/6889",
		Story: func(t *testing.T, n *sim.Network) {
			for _, jitter := range []bool{false, true} {
				server := n.Host(fmt.Sprint("server", jitter))
				accepts(t, server)
				for i := range 50 {
					go stays(n, n.Host(fmt.Sprint("client", jitter, "-", i)), server.Name(), jitter)
				}
				time.Sleep(time.Second)
				server.Restart()
				deployed := n.Elapsed()
				accepts(t, server)
				time.Sleep(20 * time.Second)
				require.Equal(t, !jitter, scenario.Herd(n, deployed) == 50, "%d within 100 ms", scenario.Herd(n, deployed))
				server.PowerOff()
			}
		}},
	{Name: "one subscriber does not read", Reason: "a server that writes to all in turn waits for the slowest, unless each write has a deadline",
		Source: "https://github.com/nats-io/nats-server/issues/2631",
		Story: func(t *testing.T, n *sim.Network) {
			for _, deadline := range []time.Duration{0, time.Second} {
				server := n.Host(fmt.Sprint("server", deadline))
				_, toDeaf := connection(t, n.Host(fmt.Sprint("deaf", deadline)), server)
				reader, toReader := connection(t, n.Host(fmt.Sprint("reader", deadline)), server)
				got := count(reader)
				go func() {
					for range 600 {
						write(toDeaf, 64<<10, deadline)
						write(toReader, 1, deadline)
						time.Sleep(100 * time.Millisecond)
					}
				}()
				time.Sleep(5 * time.Minute)
				require.Equal(t, deadline > 0, got.Load() == 600, "got %d of 600", got.Load())
				toDeaf.Close()
			}
		}},
	{Name: "the holder of a lease is frozen", Reason: "when it resumes it believes that it still has the lease, and overwrites its successor's data unless the store checks a fencing token",
		Source: "https://martin.kleppmann.com/2016/02/08/how-to-do-distributed-locking.html",
		Story: func(t *testing.T, n *sim.Network) {
			for _, fenced := range []bool{false, true} {
				store := &leases{lasts: 10 * time.Second, fenced: fenced}
				server, a, b := n.Host(fmt.Sprint("store", fenced)), n.Host(fmt.Sprint("a", fenced)), n.Host(fmt.Sprint("b", fenced))
				server.ServeHTTP(":80", store)
				first := lease(a, server)
				a.Pause() // its garbage collector
				n.After(15*time.Second, a.Resume)
				n.After(11*time.Second, func() { put(b, server, lease(b, server), "of b") })
				put(a, server, first, "of a")
				time.Sleep(time.Second)
				require.Equal(t, map[bool]string{false: "of a", true: "of b"}[fenced], store.value)
			}
		}},
	{Name: "the clock goes back by a second", Reason: "a duration measured by the wall clock becomes negative, and the function that gets it panics",
		Source: "https://blog.cloudflare.com/how-and-why-the-leap-second-affected-cloudflare-dns/",
		Story: func(t *testing.T, n *sim.Network) {
			client, server, _ := across(n)
			server.ServeHTTP(":80", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			clock := client.Clock()
			n.After(time.Minute+10*time.Millisecond, func() { clock.Step(-time.Second) })
			for _, during := range []bool{false, true} {
				wall, up := clock.Now(), clock.Uptime()
				scenario.ReadAll(client.HTTPClient().Get("http://server/"))
				require.Equal(t, 160*time.Millisecond, clock.Uptime()-up, "there and back twice, of 80 ms")
				require.Equal(t, during, clock.Now().Sub(wall) < 0)
				time.Sleep(time.Minute - n.Elapsed()%time.Minute)
			}
		}},
	{Name: "a phone's NAT gives it another port", Reason: "a server that keeps using the first address sends its answers to nobody, and the session times out",
		Source: "https://github.com/haproxy/haproxy/issues/3329",
		Story: func(t *testing.T, n *sim.Network) {
			phone, server, box := across(n)
			nat := box.NAT(sim.NATConfig{}, phone)
			for _, follows := range []bool{false, true} {
				c := session(t, phone, server, follows)
				require.True(t, hears(c))
				nat.Rebind()
				require.Equal(t, follows, hears(c))
			}
		}},
	{Name: "a server stops before its load balancer knows", Reason: "its share of the requests fails until it is removed; none fails if it serves until then",
		Source: "https://github.com/kubernetes-sigs/aws-load-balancer-controller/issues/1719",
		Story: func(t *testing.T, n *sim.Network) {
			for i, stops := range []time.Duration{time.Second, 17 * time.Second} {
				client, server, box := n.Host("client"), n.Host(fmt.Sprint("old", i)), n.Router(fmt.Sprint("box", i))
				n.Link(client, box, scenario.Good)
				next := n.Host(fmt.Sprint("new", i))
				lb := box.Balancer(sim.BalancerConfig{Port: 80}, server, next)
				server.ServeHTTP(":80", http.NotFoundHandler())
				next.ServeHTTP(":80", http.NotFoundHandler())
				n.After(stops, server.Crash)
				n.After(16*time.Second, func() { lb.Drain(server, 0) })
				failed := 0
				for range 100 {
					resp, err := client.HTTPClient().Get("http://" + box.Name())
					if scenario.ReadAll(resp, err); err != nil {
						failed++
					}
					time.Sleep(200 * time.Millisecond)
				}
				require.Equal(t, i == 0, failed > 15, "%d of 100 failed", failed)
			}
		}},
	{Name: "the server closes as the client asks", Reason: "an idle connection is closed just when a request is in transit; a request that must not be repeated fails",
		Source: "https://github.com/nodejs/node/issues/27363",
		Story: func(t *testing.T, n *sim.Network) {
			client, server, _ := across(n)
			serve(t, server, &http.Server{IdleTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})})
			c := client.HTTPClient()
			ask := func(method string) error {
				r, _ := http.NewRequest(method, "http://server/", strings.NewReader("x"))
				resp, err := c.Do(r)
				scenario.ReadAll(resp, err)
				return err
			}
			// The answer comes 40 ms after the server begins to wait, and its FIN 40 ms after it has waited. What
			// is asked in the last 80 ms before that crosses it.
			for _, row := range []struct {
				wait   time.Duration
				method string
				fails  bool
			}{{4900 * time.Millisecond, "POST", false}, {4990 * time.Millisecond, "POST", true}, {4990 * time.Millisecond, "GET", false}, {5010 * time.Millisecond, "POST", false}} {
				require.NoError(t, ask("POST"))
				time.Sleep(row.wait)
				require.Equal(t, row.fails, ask(row.method) != nil, "%+v", row)
			}
		}},
	{Name: "a proxy collects a stream of events", Races: "ReverseProxy sends the head and the first event at one instant, in one piece or in two", Reason: "it fills its buffer before it passes anything on: small events arrive minutes late and in bunches",
		Source: "https://github.com/nginx/nginx/issues/1505",
		Story: func(t *testing.T, n *sim.Network) {
			client, proxy, _ := across(n)
			n.Host("origin").ServeHTTP(":80", http.HandlerFunc(everySecond))
			for _, buffer := range []int{0, 4096} {
				proxy.ServeHTTP(fmt.Sprint(":", 80+buffer), &httputil.ReverseProxy{
					Rewrite:        func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "origin" },
					Transport:      proxy.HTTPClient().Transport,
					ErrorLog:       log.New(io.Discard, "", 0),
					ModifyResponse: func(resp *http.Response) error { resp.Body = buffered(resp.Body, buffer); return nil },
				})
				asked := n.Elapsed()
				resp, err := client.HTTPClient().Get(fmt.Sprint("http://server:", 80+buffer))
				require.NoError(t, err)
				bufio.NewReader(resp.Body).ReadString('\n')
				require.InDelta(t, 1+buffer/100, (n.Elapsed() - asked).Seconds(), 1.5, "events of 100 bytes")
				resp.Body.Close()
			}
		}},
	{Name: "a server does not close what its clients have closed", Reason: "CLOSE_WAIT has no timeout: each such connection stays forever, unless a keep-alive probe finds that the other end is gone",
		Source: "https://blog.cloudflare.com/this-is-strictly-a-violation-of-the-tcp-specification/",
		Story: func(t *testing.T, n *sim.Network) {
			for _, closes := range []bool{true, false} {
				client, server := n.Host(fmt.Sprint("client", closes)), n.Host(fmt.Sprint("server", closes))
				silent(client, server)
				for range 100 {
					c, peer := connection(t, client, server)
					c.Close()
					io.Copy(io.Discard, peer)
					if closes {
						peer.Close()
					}
				}
				time.Sleep(24 * time.Hour)
				require.Equal(t, map[bool]int{true: 0, false: 100}[closes], strings.Count(server.Netstat(), "CLOSE"), server.Netstat())
			}
		}},
}
