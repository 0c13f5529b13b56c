package reqresp_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/reqresp"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/scenarios/scenario"
	"github.com/squall-sim/squall/sim"
)

// blackhole has the way fail for seven seconds, and with it a connection.
func blackhole(t *testing.T, n *sim.Network, line bool) {
	b := startBank(n, func(b *bank) { b.line = line })
	c := b.client("phone", func(c *reqresp.Client) { c.AttemptTimeout = 6 * sec })
	warm(t, c)
	start := n.Elapsed()
	n.Inject(0, 7*sec, sim.Down(b.link("phone")))
	time.Sleep(1)
	answer, err := c.Call(t.Context(), reqresp.Request{})
	require.NoError(t, err)
	require.Equal(t, 2, answer.Attempts)
	require.Equal(t, 2, dials(n))
	// HTTP: the attempt ends at 6 s, and the next follows 100 ms later; its SYN is lost, and the one a second later
	// is not. Over one connection, which has been silent for 5 s: the SYNs at 5.1 s and 6.1 s are lost, the one at
	// 7.1 s is not. Then a handshake and a call.
	require.Equal(t, 7*sec+100*ms+160*ms, exact(n.Elapsed()-start))
}

// blackholeHTTP2 has one connection go silent for good, while new ones work.
func blackholeHTTP2(t *testing.T, n *sim.Network) {
	b := &bank{n: n, host: n.Host("server")}
	b.host.ServeHTTP(":80", (&reqresp.Server{Handle: b.handle}).Handler())
	for i, row := range []struct {
		ping      bool
		recovered bool // of net/http's own client
	}{{false, false}, {true, true}} {
		h := n.Host(fmt.Sprint("phone", i))
		link := n.Link(h, b.host, scenario.Good)
		var last net.Conn
		client := func() *http.Client {
			c := h.HTTPClient()
			tr := c.Transport.(*http.Transport)
			tr.Protocols = new(http.Protocols)
			tr.Protocols.SetUnencryptedHTTP2(true)
			if row.ping {
				tr.HTTP2 = &http.HTTP2Config{SendPingTimeout: 15 * sec, PingTimeout: 5 * sec}
			}
			tr.DialContext = func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
				last, err = h.DialContext(ctx, network, addr)
				return last, err
			}
			return c
		}

		// net/http's own, for ten minutes, with 10 s for a request.
		own := client()
		own.Timeout = 10 * sec
		scenario.ReadAll(own.Get("http://server/"))
		silent := n.Inject(0, time.Hour, sim.Drop(link, sim.Packets{Conn: last}))
		failures := 0
		for start := n.Elapsed(); n.Elapsed()-start < 10*time.Minute; time.Sleep(ms) {
			resp, err := own.Get("http://server/")
			scenario.ReadAll(resp, err)
			if err == nil {
				break
			}
			failures++
		}
		if row.recovered {
			require.Equal(t, 2, failures)
		} else {
			require.Equal(t, 60, failures)
		}
		require.NotZero(t, silent.Fired())
		own.CloseIdleConnections()

		// Ours, the same: the second attempt is over a new connection.
		c := &reqresp.Client{URL: "http://server", HTTP: client(), Jitter: retry.NoJitter}
		warm(t, c)
		n.Inject(0, time.Hour, sim.Drop(link, sim.Packets{Conn: last}))
		answer, err := c.Call(t.Context(), reqresp.Request{})
		require.NoError(t, err)
		require.Equal(t, 2, answer.Attempts)
		c.HTTP.CloseIdleConnections()
	}
}

// nameMoves has a name get another address after a minute, while the old server still answers.
func nameMoves(t *testing.T, n *sim.Network, line bool) {
	blue := startBankOn(n, "blue", func(b *bank) { b.line = line })
	green := startBankOn(n, "green", func(b *bank) { b.line = line })
	names := n.Host("ns").ServeNames(sim.NameServerConfig{Records: map[string][]string{"api": {"1 A " + blue.host.Addr().String()}}})
	h := n.Host("phone")
	n.Link(h, green.host, scenario.Good)
	h.SetResolver(sim.ResolverConfig{Servers: []*sim.Host{n.Host("ns")}})
	c := blue.clientOf("blue", "phone", func(c *reqresp.Client) {
		c.URL, c.MaxConnAge = "http://api", 30*sec
		if line {
			c.Dial = func(ctx context.Context) (net.Conn, error) { return h.DialContext(ctx, "tcp", "api:80") }
		}
	})
	n.After(time.Minute, func() { names.Set("api", "1 A "+green.host.Addr().String()) })
	for n.Elapsed() < 91*sec {
		_, err := c.Call(t.Context(), reqresp.Request{})
		require.NoError(t, err)
	}
	before := 0
	blue.look(func() { before = blue.began })
	for range 100 {
		warm(t, c)
	}
	blue.counts(t, before, 0) // nobody asks the old one
	green.look(func() { require.Greater(t, green.began, 100) })
}

// hops has a call go through three servers, of which each asks the next.
func hops(t *testing.T, n *sim.Network) {
	near := netem.Config{Delay: 5 * ms}
	names := []string{"phone", "a", "b", "c"}
	var clients []*reqresp.Client // of a on the phone, of b on a, of c on b
	for i, name := range names[1:] {
		n.Link(n.Host(names[i]), n.Host(name), near)
		clients = append(clients, &reqresp.Client{URL: "http://" + name, HTTP: n.Host(names[i]).HTTPClient(), Jitter: retry.NoJitter})
	}
	a := startBankOn(n, "a", func(b *bank) { b.next = clients[1] })
	b := startBankOn(n, "b", func(b *bank) { b.next = clients[2] })
	c := startBankOn(n, "c", func(b *bank) { b.work = sec })
	banks := []*bank{a, b, c}
	ask := func(patience time.Duration) (at time.Duration) {
		for _, client := range clients {
			client.HTTP.CloseIdleConnections()
		}
		time.Sleep(sec)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		at = n.Elapsed()
		_, err := clients[0].Call(ctx, add(""))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		time.Sleep(sec)
		return at
	}
	// Each hop takes 10 ms for a connection, after which what is left is sent.
	at := ask(100 * ms)
	for i, left := range []time.Duration{90 * ms, 80 * ms, 70 * ms} {
		banks[i].look(func() { require.Equal(t, []time.Duration{left}, banks[i].left, "what %s is given", names[i+1]) })
	}
	// The last was begun at 45 ms, and when its 70 ms are over comes the news that nobody waits.
	c.look(func() {
		require.Len(t, c.ended, 1)
		require.LessOrEqual(t, c.ended[0]-at, 115*ms+1000)
	})

	// The third connection is there at 30 ms, which is too late.
	ask(29 * ms)
	a.counts(t, 2, 0)
	b.counts(t, 2, 0)
	c.counts(t, 1, 0)
}

// hedged compares calls with and without a hedge.
func hedged(t *testing.T, n *sim.Network) {
	run := func(host string, hedge time.Duration) (p999 time.Duration, attempts float64) {
		var count atomic.Int64
		b := startBankOn(n, host, func(b *bank) {
			b.workOf = func(*reqresp.Request) time.Duration {
				if count.Add(1)%50 == 0 {
					return sec
				}
				return 0
			}
		})
		c := b.client("phone-of-"+host, func(c *reqresp.Client) { c.HedgeDelay = hedge })
		warm(t, c)
		var took []time.Duration
		for i := range 1000 {
			start := time.Now()
			_, err := c.Call(t.Context(), reqresp.Request{Path: fmt.Sprint("/echo?", i)})
			require.NoError(t, err)
			took = append(took, exact(time.Since(start)))
			time.Sleep(ms)
		}
		slices.Sort(took)
		return took[999], float64(c.Stats().Attempts-1) / 1000
	}
	slow, one := run("plain", 0)
	require.Equal(t, sec+80*ms, slow)
	require.Equal(t, 1.0, one)
	quick, more := run("hedged", 200*ms)
	require.LessOrEqual(t, quick, 200*ms+160*ms, "a hedge, perhaps over a new connection")
	require.LessOrEqual(t, more, 1.025)

	// With keys: whichever attempt is first, there is one effect.
	b := startBankOn(n, "keyed", func(b *bank) { b.work = 300 * ms })
	c := b.client("phone-of-keyed", func(c *reqresp.Client) { c.HedgeDelay = 100 * ms })
	for i := range 20 {
		_, err := c.Call(t.Context(), add(fmt.Sprint(i)))
		require.NoError(t, err)
	}
	b.counts(t, 20, 20)
	require.NotZero(t, c.Stats().Hedges)
}

// rollingRestart drains a server under load and starts another in its place.
func rollingRestart(t *testing.T, n *sim.Network, line, keyed bool) {
	b := &bank{n: n, host: n.Host("server"), line: line, work: 300 * ms}
	store := reqresp.NewMemory(reqresp.StoreOptions{}) // of both
	start := func() (stop func()) {
		s := &reqresp.Server{Handle: b.handle, Store: store, Jitter: retry.NoJitter}
		l, err := b.host.Listen("tcp", ":80")
		require.NoError(t, err)
		drain := func() {
			ctx, cancel := context.WithTimeout(t.Context(), 10*sec)
			defer cancel()
			require.NoError(t, s.Drain(ctx))
		}
		if line {
			go s.Serve(l)
			return func() { drain(); time.Sleep(ms / 3); s.Close() } // between packets
		}
		server := &http.Server{Handler: s.Handler()}
		go server.Serve(l)
		return func() { drain(); time.Sleep(ms / 3); server.Shutdown(t.Context()) }
	}
	stop := start()
	calls, done, notExecuted := 0, 0, 0
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range 5 {
		c := b.client(fmt.Sprint("phone", i), func(c *reqresp.Client) { c.Budget = unlimited() })
		for k := range 50 {
			all.Go(func() {
				time.Sleep(time.Duration(i)*7*ms + time.Duration(k)*100*ms)
				key := ""
				if keyed {
					key = fmt.Sprint(i, "-", k)
				}
				_, err := c.Call(t.Context(), add(key))
				mu.Lock()
				defer mu.Unlock()
				calls++
				switch reqresp.OutcomeOf(err) {
				case reqresp.Done:
					done++
				case reqresp.NotExecuted:
					notExecuted++
				}
			})
		}
	}
	time.Sleep(2*sec + 3*ms)
	stop()
	stop = start()
	all.Wait()
	stop()
	require.Equal(t, 250, calls)
	require.Zero(t, notExecuted)
	if keyed || line {
		require.Equal(t, 250, done)
	}
	// A client over HTTP/1.1 has up to five connections. One that was not used while the server drained has not
	// been asked to close it, and when the server does a POST may be on its way: the outcome is unknown, and it
	// was not executed.
	require.GreaterOrEqual(t, done, 250-5)
	b.counts(t, done, done)
}

// outage has clients, who share a budget, call a server that answers 503 for a minute. It returns how many calls and
// attempts they made, and the most that came within 10 ms.
func outage(t *testing.T, n *sim.Network, clients int, budget *retry.Budget) (calls, attempts, peak int) {
	var mu sync.Mutex
	var at []time.Duration
	n.Host("server").ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		at = append(at, n.Elapsed())
		mu.Unlock()
		w.WriteHeader(503)
	}))
	var all sync.WaitGroup
	hosts := make([]*http.Client, 10) // ten machines with a hundred clients each
	for i := range hosts {
		hosts[i] = n.Host(fmt.Sprint("machine", i)).HTTPClient()
	}
	for i := range clients {
		c := &reqresp.Client{URL: "http://server", HTTP: hosts[i%len(hosts)], Jitter: retry.Seeded(uint64(i)), Budget: budget}
		all.Go(func() {
			time.Sleep(time.Duration(i) * ms)
			for range 3 {
				next := time.After(20 * sec)
				_, err := c.Call(t.Context(), reqresp.Request{})
				require.Error(t, err)
				mu.Lock()
				calls++
				mu.Unlock()
				<-next
			}
		})
	}
	all.Wait()
	peak, _ = patterntest.Peak(at, 10*ms)
	return calls, len(at), peak
}

// amplification is how many requests the last of three servers gets for each call, when it fails them all.
func amplification(t *testing.T, n *sim.Network, budget func() *retry.Budget) float64 {
	var last atomic.Int64
	n.Host("c").ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		last.Add(1)
		w.WriteHeader(503)
	}))
	client := func(from, to string) *reqresp.Client {
		return &reqresp.Client{URL: "http://" + to, HTTP: n.Host(from).HTTPClient(), Jitter: retry.NoJitter, MaxAttempts: 4, Budget: budget(),
			Timeout: time.Hour, AttemptTimeout: time.Hour}
	}
	for _, tier := range []struct{ name, next string }{{"a", "b"}, {"b", "c"}} {
		next := client(tier.name, tier.next)
		s := &reqresp.Server{MaxTimeout: time.Hour, Handle: func(ctx context.Context, r *reqresp.Request) (reqresp.Effect, error) {
			answer, err := next.Call(ctx, reqresp.Request{})
			return func(reqresp.Tx) (*reqresp.Response, error) { return answer, nil }, err
		}}
		n.Host(tier.name).ServeHTTP(":80", s.Handler())
	}
	phone := client("phone", "a")
	calls := 1000
	if budget().Burst > 0 {
		calls = 10
	}
	for range calls {
		_, err := phone.Call(t.Context(), reqresp.Request{})
		require.Error(t, err)
	}
	return float64(last.Load()) / float64(calls)
}
