package squall_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/scenarios/scenario"
	"github.com/squall-sim/squall/sim"
)

// The table of failures that every program on a network meets, whatever it speaks. A row
// is one scenario: a name, the reason for it, and a story in plain Go of up to 20 lines.
// To add a scenario, add a row here, or to the table of its pattern in
//
//	scenarios/<pattern>, or scenarios/postmortems
//
// All times are virtual. A story gets the network, creates hosts and links, breaks
// something with n.After, and asserts what must follow.
var scenarios = []scenario.Row{
	{Name: "nobody listens", Reason: "a refused connection is reported after one round trip; it is not a timeout",
		Story: func(t *testing.T, n *sim.Network) {
			n.Link(n.Host("phone"), n.Host("server"), netem.Config{Delay: 40 * time.Millisecond})
			_, err := n.Host("phone").Dial("tcp", "server:80")
			require.ErrorIs(t, err, syscall.ECONNREFUSED)
			require.Equal(t, 80*time.Millisecond, n.Elapsed())
		}},
	{Name: "there is no server of that name", Reason: "a mistyped name in a configuration is not an outage, and the error of net/http tells the two apart",
		Story: func(t *testing.T, n *sim.Network) {
			_, err := n.Host("phone").HTTPClient().Get("http://sever/")
			var dns *net.DNSError
			require.ErrorAs(t, err, &dns)
			require.True(t, dns.IsNotFound)
		}},
	{Name: "a name moves, and the old address still answers", Reason: "open connections stay with the old address: traffic moves only when the client closes connections above a certain age",
		Story: func(t *testing.T, n *sim.Network) {
			phone, blue, green := n.Host("phone"), n.Host("blue"), n.Host("green")
			names := n.Host("ns").ServeNames(sim.NameServerConfig{Records: map[string][]string{"api": {"A " + blue.Addr().String()}}})
			phone.SetResolver(sim.ResolverConfig{Servers: []*sim.Host{n.Host("ns")}})
			n.After(30*time.Second, func() { names.Set("api", "A "+green.Addr().String()) })
			for _, h := range []*sim.Host{blue, green} {
				h.ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, h.Name()) }))
			}
			forever, aged := phone.HTTPClient(), phone.HTTPClient()
			for i := range 30 { // every 7 s; one client ends its idle connections every 70 s
				require.Equal(t, "blue", get(t, forever, "http://api/"))
				if i%10 == 0 {
					aged.CloseIdleConnections()
				}
				require.Equal(t, i >= 10, get(t, aged, "http://api/") == "green", "at %v", n.Elapsed())
				time.Sleep(7 * time.Second)
			}
		}},
	{Name: "the first address of a name is dead", Reason: "a dialer divides its own timeout, 30 s by default, among the addresses; a shorter timeout of the http.Client ends the request before the second address is tried",
		Story: func(t *testing.T, n *sim.Network) {
			phone, dead, alive := n.Host("phone"), n.Host("dead"), n.Host("alive")
			n.Host("ns").ServeNames(sim.NameServerConfig{Records: map[string][]string{"api": {"A " + dead.Addr().String(), "A " + alive.Addr().String()}}})
			phone.SetResolver(sim.ResolverConfig{Servers: []*sim.Host{n.Host("ns")}})
			dead.PowerOff()
			alive.ServeHTTP(":80", http.NotFoundHandler())
			client := phone.HTTPClient()
			client.Timeout = 14 * time.Second
			_, err := client.Get("http://api/")
			require.True(t, os.IsTimeout(err), "%v", err)

			dialer := phone.Dialer()
			dialer.Timeout = 10 * time.Second
			client = phone.HTTPClient()
			client.Transport.(*http.Transport).DialContext = dialer.DialContext
			before := n.Elapsed()
			get(t, client, "http://api/")
			require.Equal(t, 5*time.Second, (n.Elapsed() - before).Truncate(time.Millisecond), "half of 10 s")
		}},
	{Name: "a name server is down", Reason: "Go's resolver waits 5 s for it at each lookup, and does not remember that it is dead",
		Story: func(t *testing.T, n *sim.Network) {
			phone, first, second := n.Host("phone"), n.Host("ns1"), n.Host("ns2")
			n.Host("server").ServeHTTP(":80", http.NotFoundHandler())
			first.ServeNames(sim.NameServerConfig{})
			second.ServeNames(sim.NameServerConfig{})
			phone.SetResolver(sim.ResolverConfig{Servers: []*sim.Host{first, second}})
			first.PowerOff()
			client := phone.HTTPClient()
			for i := range 3 {
				get(t, client, "http://server/")
				require.Equal(t, time.Duration(i+1)*5*time.Second, n.Elapsed().Truncate(time.Millisecond))
				client.CloseIdleConnections()
			}
		}},
	{Name: "the server's clock is wrong by 20 s", Reason: "a token expires by the verifier's clock; a leeway hides the error, and extends every token's life",
		Story: func(t *testing.T, n *sim.Network) {
			clock := n.Host("server").Clock()
			tokens := access.Tokens{Keys: [][]byte{[]byte("32 random bytes, of a secret store")}, Now: clock.Now}
			lenient := tokens
			lenient.Leeway = 30 * time.Second
			token, err := tokens.Sign(access.Identity{Client: "phone", Expires: n.Host("signer").Now().Add(time.Minute)})
			require.NoError(t, err)
			for _, row := range []struct{ ahead, strict, lenient time.Duration }{{0, 60, 90}, {20, 40, 70}, {-20, 80, 110}} {
				clock.Set()
				if row.ahead != 0 {
					clock.Step(row.ahead * time.Second)
				}
				for tokens, life := range map[*access.Tokens]time.Duration{&tokens: row.strict, &lenient: row.lenient} {
					id, err := tokens.Verify(token)
					require.NoError(t, err)
					require.Equal(t, life*time.Second, id.Expires.Sub(time.Now()), "ahead by %d s", row.ahead)
				}
			}
		}},
	{Name: "the server's clock is set back by an hour", Reason: "an expired token becomes valid again by the wall clock, but not by a clock that runs monotonically from the server's start",
		Story: func(t *testing.T, n *sim.Network) {
			clock := n.Host("server").Clock()
			began := clock.Now().Add(-clock.Uptime())
			byWall := access.Tokens{Keys: [][]byte{[]byte("32 random bytes, of a secret store")}, Now: clock.Now}
			steady := access.Tokens{Keys: byWall.Keys, Now: func() time.Time { return began.Add(clock.Uptime()) }}
			token, err := byWall.Sign(access.Identity{Client: "phone", Expires: clock.Now().Add(time.Minute)})
			require.NoError(t, err)
			n.After(5*time.Minute, func() { clock.Step(-time.Hour) })
			valid := func(tokens access.Tokens) bool { _, err := tokens.Verify(token); return err == nil }
			for ; n.Elapsed() < 2*time.Hour; time.Sleep(59 * time.Second) {
				at := n.Elapsed()
				require.Equal(t, at < time.Minute || at > 5*time.Minute && at < 61*time.Minute, valid(byWall), "at %v", at)
				require.Equal(t, at < time.Minute, valid(steady), "at %v", at)
			}
		}},
	{Name: "a phone whose clock is a year behind", Reason: "only checks of the date fail, such as certificates; connections and timeouts do not",
		Story: func(t *testing.T, n *sim.Network) {
			phone, server := n.Host("phone"), n.Host("server")
			n.Link(phone, server, netem.Config{Delay: 40 * time.Millisecond})
			l, err := server.Listen("tcp", ":443")
			require.NoError(t, err)
			srv := &http.Server{Handler: http.NotFoundHandler(), ErrorLog: log.New(io.Discard, "", 0)}
			go srv.Serve(tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{server.Certificate()}}))
			client := phone.HTTPClient()
			client.Timeout = time.Second
			client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: n.Roots(), Time: phone.Now}
			phone.Clock().Step(-365 * 24 * time.Hour)
			_, err = client.Get("https://server/")
			require.ErrorContains(t, err, "certificate has expired or is not yet valid")
			phone.Clock().Set()
			_, err = client.Get("https://server/")
			require.NoError(t, err)
		}},
	{Name: "a service is looked up before it exists", Reason: "a missing name is cached too, for as long as the zone says: a client that looks too early waits another minute",
		Story: func(t *testing.T, n *sim.Network) {
			names := n.Host("ns").ServeNames(sim.NameServerConfig{TTL: time.Minute})
			n.Host("server").ServeHTTP(":80", http.NotFoundHandler())
			n.After(3*time.Second, func() { names.Set("api", "A "+n.Host("server").Addr().String()) })
			for _, cache := range []bool{false, true} {
				phone := n.Host(fmt.Sprint("phone-", cache))
				phone.SetResolver(sim.ResolverConfig{Servers: []*sim.Host{n.Host("ns")}, Cache: cache})
			}
			found := map[bool]time.Duration{}
			for ; len(found) < 2; time.Sleep(2 * time.Second) {
				for _, cache := range []bool{false, true} {
					c, err := n.Host(fmt.Sprint("phone-", cache)).Dial("tcp", "api:80")
					if err == nil && found[cache] == 0 {
						found[cache] = n.Elapsed().Truncate(time.Second)
						c.Close()
					}
				}
			}
			require.Equal(t, map[bool]time.Duration{false: 4 * time.Second, true: time.Minute}, found)
		}},
	{Name: "a server that leaks sockets", Reason: "when it runs out of file descriptors, its kernel still accepts connections: a health check that only connects keeps passing",
		Story: func(t *testing.T, n *sim.Network) {
			server, phone := n.Host("server"), n.Host("phone")
			server.SetLimits(sim.HostLimits{Descriptors: 10})
			srv := server.ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				server.Dial("tcp", "store:6379") // and never closes it
			}))
			srv.ErrorLog = log.New(io.Discard, "", 0)
			_, err := n.Host("store").Listen("tcp", ":6379")
			require.NoError(t, err)
			served := 0
			for ; served < 100; served++ {
				client := phone.HTTPClient()
				client.Timeout = time.Second
				if _, err = client.Get("http://server/"); err != nil {
					break
				}
			}
			require.True(t, os.IsTimeout(err), "%v", err)
			require.Equal(t, 5, served, "two sockets for each, as its connection stays open too, and one for the listener")
			_, err = phone.Dial("tcp", "server:80")
			require.NoError(t, err)
		}},
	{Name: "too many requests for one processor", Reason: "if the processor is shared evenly, every request is late; a limit on concurrent requests saves half of them",
		Story: func(t *testing.T, n *sim.Network) {
			for _, row := range []struct{ limit, want int }{{100, 0}, {5, 10}} {
				server, slots := n.Host(fmt.Sprint("server", row.limit)), make(chan bool, row.limit)
				server.SetLimits(sim.HostLimits{CPUs: 1})
				server.ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					slots <- true
					defer func() { <-slots }()
					if r.Context().Err() == nil { // somebody still waits
						server.Work(99 * time.Millisecond)
					}
				}))
				var answered atomic.Int32
				var all sync.WaitGroup
				for i := range 20 {
					all.Go(func() {
						time.Sleep(time.Duration(i)) // one after the other, for the slots
						client := n.Host(fmt.Sprint("phone", i)).HTTPClient()
						client.Timeout = time.Second
						if _, err := client.Get("http://" + server.Name() + "/"); err == nil {
							answered.Add(1)
						}
					})
				}
				all.Wait()
				require.EqualValues(t, row.want, answered.Load(), "at most %d at a time", row.limit)
			}
		}},
	{Name: "a server in a reboot loop", Reason: "it is up for 3 s of every 10: a client that retries gets through, and one that gives up after the first refusal does not",
		Story: func(t *testing.T, n *sim.Network) {
			server := n.Host("server")
			server.ServeHTTP(":80", http.NotFoundHandler())
			for i := range 6 {
				n.After(time.Duration(i)*10*time.Second+3*time.Second, server.Crash)
				n.After(time.Duration(i)*10*time.Second+10*time.Second, server.Restart)
			}
			var up []int
			for n.Elapsed() < time.Minute {
				c, err := n.Host("phone").Dial("tcp", "server:80")
				if err == nil {
					up = append(up, int(n.Elapsed()/time.Second))
					c.Close()
				} else {
					require.ErrorIs(t, err, syscall.ECONNREFUSED)
				}
				time.Sleep(time.Second)
			}
			require.Equal(t, []int{0, 1, 2, 10, 11, 12, 20, 21, 22, 30, 31, 32, 40, 41, 42, 50, 51, 52}, up)
		}},
	{Name: "a firewall swallows what comes", Reason: "nobody answers, so the client's own timeout decides; without one it takes two minutes",
		Story: func(t *testing.T, n *sim.Network) {
			phone := n.Host("phone")
			link := n.Link(phone, n.Host("server"), netem.Config{Delay: 40 * time.Millisecond})
			link.DownFrom(phone)
			client := phone.HTTPClient()
			client.Timeout = 5 * time.Second
			_, err := client.Get("http://server/")
			require.True(t, os.IsTimeout(err), "%v", err)
			require.Equal(t, 5*time.Second, n.Elapsed())
			_, err = phone.Dial("tcp", "server:80")
			require.ErrorIs(t, err, syscall.ETIMEDOUT)
			require.Equal(t, 5*time.Second+131*time.Second, n.Elapsed(), "1 s after each of five SYNs, and 2, 4, ... 64 s after six more")
		}},
	{Name: "the server crashes", Reason: "its kernel resets the connection, so the client learns of it at once",
		Story: func(t *testing.T, n *sim.Network) {
			conn := connected(t, n)
			n.After(10*time.Second, n.Host("server").Crash)
			_, err := conn.Read(make([]byte, 1))
			require.ErrorIs(t, err, syscall.ECONNRESET)
			require.Equal(t, 80*time.Millisecond+10*time.Second+40*time.Millisecond, n.Elapsed())
		}},
	{Name: "the server loses power", Reason: "the connection goes silent: a client that only reads learns of it by keep-alive, or never",
		Story: func(t *testing.T, n *sim.Network) {
			conn := connected(t, n)
			n.After(10*time.Second, n.Host("server").PowerOff)
			_, err := conn.Read(make([]byte, 1))
			require.ErrorIs(t, err, syscall.ETIMEDOUT)
			// It was connected at 80 ms. Go asks for a probe after 15 s of silence and every 15 s
			// from then on; when nine have no answer it is over.
			require.Equal(t, 80*time.Millisecond+10*15*time.Second, n.Elapsed())
		}},
	{Name: "a tunnel of 30 s in the middle of a download", Reason: "TCP survives it, and continues at its next retransmission",
		Story: func(t *testing.T, n *sim.Network) {
			server, train := n.Host("server"), n.Host("train")
			link := n.Link(train, server, netem.Config{Delay: 40 * time.Millisecond, Rate: 8 * netem.Mbit})
			server.ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, 10<<20)) }))
			n.After(5*time.Second, link.Down)
			n.After(35*time.Second, link.Up)
			resp, err := train.HTTPClient().Get("http://server/")
			require.NoError(t, err)
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Len(t, body, 10<<20)
			require.Greater(t, n.Elapsed(), 41*time.Second, "10 MiB take 11 s")
			require.Less(t, n.Elapsed(), 71*time.Second, "attempts are up to twice as far apart as the outage was long")
		}},
	{Name: "the answer is lost, and the client asks again", Reason: "the client cannot tell a lost order from a lost answer: the order is carried out twice",
		Story: func(t *testing.T, n *sim.Network) {
			server, phone := n.Host("server"), n.Host("phone")
			link := n.Link(phone, server, netem.Config{Delay: 40 * time.Millisecond})
			var orders atomic.Int64
			server.ServeHTTP(":80", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { orders.Add(1) }))
			client := phone.HTTPClient()
			client.Timeout = 10 * time.Second
			n.After(100*time.Millisecond, func() { link.DownFrom(server) }) // the order is on its way
			n.After(15*time.Second, link.Up)
			_, err := client.Post("http://server/orders", "text/plain", strings.NewReader("one pizza"))
			require.True(t, os.IsTimeout(err), "%v", err)
			time.Sleep(5 * time.Second)
			_, err = client.Post("http://server/orders", "text/plain", strings.NewReader("one pizza"))
			require.NoError(t, err)
			require.EqualValues(t, 2, orders.Load())
		}},
	{Name: "a question by UDP is lost", Reason: "nobody sends it again unless the program does",
		Story: func(t *testing.T, n *sim.Network) {
			server, phone := n.Host("server"), n.Host("phone")
			n.Link(phone, server, netem.Config{Delay: 40 * time.Millisecond, Loss: netem.DropList{1}})
			echo, err := server.ListenPacket("udp", ":7")
			require.NoError(t, err)
			server.Run("echo", func(context.Context, *sim.Host) error {
				for b := make([]byte, 100); ; {
					k, from, err := echo.ReadFrom(b)
					if err != nil {
						return err
					}
					echo.WriteTo(b[:k], from)
				}
			})
			conn, err := phone.Dial("udp", "server:7")
			require.NoError(t, err)
			answer := make([]byte, 100)
			for range 2 { // the answer to the second is the first packet from the server, and lost too
				conn.SetReadDeadline(time.Now().Add(time.Second))
				conn.Write([]byte("anybody?"))
				_, err = conn.Read(answer)
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			}
			conn.SetReadDeadline(time.Now().Add(time.Second))
			conn.Write([]byte("anybody?"))
			_, err = conn.Read(answer)
			require.NoError(t, err)
			require.Equal(t, 2*time.Second+80*time.Millisecond, n.Elapsed())
		}},
	{Name: "a process that hangs", Reason: "its kernel accepts connections and acknowledges data: an established connection says nothing about the program",
		Story: func(t *testing.T, n *sim.Network) {
			conn := connected(t, n)
			n.Host("server").Pause()
			_, err := conn.Write([]byte("hello"))
			require.NoError(t, err)
			conn.SetReadDeadline(time.Now().Add(time.Minute))
			_, err = conn.Read(make([]byte, 1))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		}},
	{Name: "a data centre is cut in two", Reason: "each half works, and neither can tell whether the other is alive",
		Story: func(t *testing.T, n *sim.Network) {
			var halves [2][]*sim.Host
			for i := range 4 {
				h := n.Host(fmt.Sprint("node", i))
				h.ServeHTTP(":80", http.NotFoundHandler())
				halves[i/2] = append(halves[i/2], h)
			}
			n.Partition(halves[0], halves[1])
			n.After(time.Minute, n.Heal)
			client := halves[0][0].HTTPClient()
			client.Timeout = 10 * time.Second
			_, err := client.Get("http://node1/")
			require.NoError(t, err, "in the same half")
			_, err = client.Get("http://node2/")
			require.True(t, os.IsTimeout(err), "%v", err)
			time.Sleep(time.Minute)
			_, err = client.Get("http://node3/")
			require.NoError(t, err, "it is healed")
		}},
	{Name: "X-12 something on the way alters what it forwards", Reason: "it recomputes the checksum, so TCP detects nothing: only TLS or a checksum of one's own does",
		Story: func(t *testing.T, n *sim.Network) {
			server, phone := n.Host("server"), n.Host("phone")
			link := n.Link(phone, server, netem.Config{Delay: 40 * time.Millisecond})
			photo := strings.Repeat("photo ", 20_000)
			send := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, photo) })
			server.ServeHTTP(":80", send)
			serveTLS(t, server, send)
			get := func(url string) string {
				client := phone.HTTPClient()
				client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: n.Roots()}
				return fetched(client.Get(url))
			}
			require.True(t, get("http://server/") == photo && get("https://server/") == photo)
			bad := netem.Config{Delay: 40 * time.Millisecond, Corrupt: 0.2, Damage: netem.Damage{UndetectedTCP: true}}
			link.SetAsym(netem.Config{Delay: 40 * time.Millisecond}, bad)
			require.NotEqual(t, photo, get("http://server/"))
			require.Contains(t, get("https://server/"), "bad record MAC")
		}},
}

func TestScenarios(t *testing.T) { scenario.Run(t, scenarios) }

// get returns the body of a page.
func get(t *testing.T, c *http.Client, url string) string {
	resp, err := c.Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(body)
}

// connected returns the phone's end of a connection that the server has accepted, 80 ms
// after the beginning.
func connected(t *testing.T, n *sim.Network) net.Conn {
	n.Link(n.Host("phone"), n.Host("server"), netem.Config{Delay: 40 * time.Millisecond})
	l, err := n.Host("server").Listen("tcp", ":80")
	require.NoError(t, err)
	go l.Accept()
	conn, err := n.Host("phone").Dial("tcp", "server:80")
	require.NoError(t, err)
	return conn
}

// serveTLS serves HTTP over TLS.
func serveTLS(t *testing.T, h *sim.Host, handler http.Handler) {
	l, err := h.Listen("tcp", ":443")
	require.NoError(t, err)
	srv := &http.Server{Handler: handler, TLSConfig: &tls.Config{Certificates: []tls.Certificate{h.Certificate()}}, ErrorLog: log.New(io.Discard, "", 0)}
	srv.Protocols = new(http.Protocols)
	srv.Protocols.SetHTTP1(true) // a server of HTTP/2 writes from several goroutines at one instant
	t.Cleanup(func() { srv.Close() })
	go srv.ServeTLS(l, "", "")
}

// fetched is the body of an answer, or the error.
func fetched(resp *http.Response, err error) string {
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}
