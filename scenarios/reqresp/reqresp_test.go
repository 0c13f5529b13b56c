package reqresp_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/netem"
	"github.com/squall-sim/squall/patterns/reqresp"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/scenarios/scenario"
	"github.com/squall-sim/squall/sim"
)

const (
	ms  = time.Millisecond
	sec = time.Second
)

// The failures of request-response. A call takes 80 ms, and with a connection 160 ms.
var scenarios = []scenario.Row{
	// What became of the request.
	{Name: "RR-01 the request does not reach the server", Reason: "a request that was not executed can be repeated, whatever it does",
		Story: func(t *testing.T, n *sim.Network) {
			b := startBank(n, nil)
			c := b.client("phone", nil)
			n.Host("server").Crash()
			n.After(100*ms, n.Host("server").Restart)
			answer, err := c.Call(t.Context(), add("")) // refused after 80 ms, and again 100 ms later
			require.NoError(t, err)
			require.Equal(t, 2, answer.Attempts)
			b.counts(t, 1, 1)
		}},
	{Name: "RR-02 the answer to a GET is lost", Reason: "an idempotent request is sent again",
		Story: func(t *testing.T, n *sim.Network) {
			b := startBank(n, nil)
			c := b.client("phone", nil)
			warm(t, c)
			n.Inject(0, 200*ms, sim.Reset(b.link("phone"), sim.Packets{From: n.Host("server"), Kind: sim.Data, First: 1}))
			answer, err := c.Call(t.Context(), reqresp.Request{})
			require.NoError(t, err)
			require.Equal(t, "0", string(answer.Body))
			require.Equal(t, 2, answer.Attempts)
		}},
	{Name: "RR-03 the answer to a POST without a key is lost", Reason: "nobody knows whether it was executed, so it is not repeated (golang/go#22158)",
		Story: func(t *testing.T, n *sim.Network) {
			b := startBank(n, nil)
			c := b.client("phone", nil)
			warm(t, c)
			n.Inject(0, 200*ms, sim.Reset(b.link("phone"), sim.Packets{From: n.Host("server"), Kind: sim.Data, First: 1}))
			_, err := c.Call(t.Context(), add(""))
			require.Equal(t, reqresp.Unknown, reqresp.OutcomeOf(err))
			time.Sleep(sec)
			b.counts(t, 2, 1) // with the GET before
		}},
	{Name: "RR-04 the answer to a POST with a key is lost", Reason: "the second attempt gets the answer that the first one would have got",
		Story: func(t *testing.T, n *sim.Network) {
			b := startBank(n, nil)
			c := b.client("phone", nil)
			warm(t, c)
			n.Inject(0, 200*ms, sim.Reset(b.link("phone"), sim.Packets{From: n.Host("server"), Kind: sim.Data, First: 1}))
			answer, err := c.Call(t.Context(), add("k"))
			require.NoError(t, err)
			require.Equal(t, "1", string(answer.Body))
			require.Equal(t, 2, answer.Attempts)
			b.counts(t, 2, 1) // with the GET before
			require.EqualValues(t, 1, b.server.Stats().Replayed)
		}},
	{Name: "RR-05 one key, two requests", Reason: "the second is a mistake of the client, and must not get the answer to the first",
		Story: func(t *testing.T, n *sim.Network) {
			b := startBank(n, nil)
			c := b.client("phone", nil)
			_, err := c.Call(t.Context(), add("k"))
			require.NoError(t, err)
			other := add("k")
			other.Body = []byte("2")
			_, err = c.Call(t.Context(), other)
			require.Equal(t, 422, status(err))
			require.Equal(t, reqresp.NotExecuted, reqresp.OutcomeOf(err))
			b.counts(t, 1, 1)
		}},
	{Name: "RR-06 a request comes again while it is executed", Reason: "the server answers 409, and the client retries until there is an answer",
		Story: func(t *testing.T, n *sim.Network) {
			b := startBank(n, func(b *bank) { b.work = 300 * ms })
			first, second := b.client("phone", nil), b.client("tablet", func(c *reqresp.Client) { c.Backoff.Base = 500 * ms })
			var all sync.WaitGroup
			for i, c := range []*reqresp.Client{first, second} {
				all.Go(func() {
					time.Sleep(time.Duration(i) * 50 * ms)
					answer, err := c.Call(t.Context(), add("k"))
					require.NoError(t, err)
					require.Equal(t, "1", string(answer.Body))
				})
			}
			all.Wait()
			b.counts(t, 1, 1)
			require.EqualValues(t, 1, b.server.Stats().Running)
		}},
	{Name: "RR-06 the server is restarted between two attempts", Reason: "a key that is held in memory during the work must not be held forever",
		Story: func(t *testing.T, n *sim.Network) {
			b := startBank(n, func(b *bank) { b.work, b.disk = 300*ms, t.TempDir() })
			n.After(200*ms, n.Host("server").Crash)
			n.After(250*ms, n.Host("server").Restart)
			answer, err := b.client("phone", nil).Call(t.Context(), add("k"))
			require.NoError(t, err)
			require.Equal(t, "1", string(answer.Body))
			b.counts(t, 2, 1)
		}},
	{Name: "RR-07 the server dies before the commit", Reason: "an effect that is stored without its answer would happen again (Twilio 2013: cards charged, balance not written)",
		Story: func(t *testing.T, n *sim.Network) { crashAround(t, n, true) }},
	{Name: "RR-07 the server dies after the commit", Reason: "the stored answer is there for the next attempt",
		Story: func(t *testing.T, n *sim.Network) { crashAround(t, n, false) }},
	{Name: "RR-08 a key is repeated after it was forgotten", Reason: "the request is executed again, so clients must know how long keys are kept",
		Story: func(t *testing.T, n *sim.Network) {
			b := startBank(n, func(b *bank) { b.server.Retain = time.Hour })
			c := b.client("phone", nil)
			c.Call(t.Context(), add("k")) // committed at 120 ms and 1 ns
			time.Sleep(time.Hour - n.Elapsed())
			c.Call(t.Context(), add("k")) // over a new connection: at 1 h and 120 ms
			b.counts(t, 1, 1)
			c.Call(t.Context(), add("k"))
			b.counts(t, 2, 2)
		}},

	// Connections that end.
	{Name: "RR-09 the server closes an idle connection as a request is on its way", Reason: "a GET or a request with a key is retried; the outcome of a POST is unknown, although it was not executed (golang/go#22158)",
		Story: func(t *testing.T, n *sim.Network) { idleRace(t, n, false) }},
	{Name: "RR-10 the same, by RST", Reason: "some load balancers reset instead of closing (envoyproxy/envoy#1979): the outcomes are the same",
		Story: func(t *testing.T, n *sim.Network) { idleRace(t, n, true) }},
	{Name: "RR-11 the answer comes 1 ns before patience ends", Reason: "the call gets the answer", Story: tie(-1)},
	{Name: "RR-11 the answer comes as patience ends", Reason: "the call ends once, and the next call does not get the answer",
		Races: "which of the two comes first is the runtime's choice", Story: tie(0)},
	{Name: "RR-11 the answer comes 1 ns after patience ends", Reason: "no call gets the answer", Story: tie(1)},
	{Name: "RR-12 answers come in another order than requests", Reason: "over one connection, only their numbers match answers to requests",
		Story: func(t *testing.T, n *sim.Network) {
			b := startBank(n, func(b *bank) {
				b.line = true
				b.workOf = func(r *reqresp.Request) time.Duration { return time.Duration(len(r.Body)) * 10 * ms }
			})
			c := b.client("phone", nil)
			warm(t, c)
			var all sync.WaitGroup
			for i := range 20 {
				all.Go(func() {
					time.Sleep(time.Duration(i) * ms)
					answer, err := c.Call(t.Context(), reqresp.Request{Path: fmt.Sprint("/echo?", i), Body: []byte(strings.Repeat("x", 20-i))})
					require.NoError(t, err)
					require.Equal(t, fmt.Sprint("/echo?", i), string(answer.Body))
				})
			}
			all.Wait()
			require.EqualValues(t, 1, dials(n), "on one connection")
		}},
	{Name: "RR-13 an answer comes twice", Reason: "the second is dropped and does not go to the next call (RFC 5452 describes the same problem in DNS)",
		Story: func(t *testing.T, n *sim.Network) {
			b := startBank(n, func(b *bank) { b.line, b.twice = true, true })
			c := b.client("phone", nil)
			for i := range 10 {
				answer, err := c.Call(t.Context(), reqresp.Request{Path: fmt.Sprint("/echo?", i)})
				require.NoError(t, err)
				require.Equal(t, fmt.Sprint("/echo?", i), string(answer.Body))
			}
			time.Sleep(sec)
			require.EqualValues(t, 10, c.Stats().Dropped)
		}},
	{Name: "RR-14 an answer is cut short", Reason: "a truncated answer is an error, whether or not its length was announced",
		Story: func(t *testing.T, n *sim.Network) {
			b := startBank(n, nil)
			c := b.client("phone", func(c *reqresp.Client) { c.MaxAttempts = 1 })
			for cut := int64(1); cut < 250; cut += 31 {
				fault := n.Inject(0, 300*ms, sim.CloseAfter(b.link("phone"), cut, sim.Packets{From: n.Host("server")}))
				answer, err := c.Call(t.Context(), reqresp.Request{Path: "/echo?" + strings.Repeat("x", 200)})
				require.NotZero(t, fault.Fired())
				require.Nil(t, answer)
				require.Equal(t, reqresp.Unknown, reqresp.OutcomeOf(err))
				time.Sleep(sec)
			}
		}},
	{Name: "RR-18 a connection of HTTP/1.1 goes silent", Reason: "the next request uses another connection",
		Story: func(t *testing.T, n *sim.Network) { blackhole(t, n, false) }},
	{Name: "RR-18 a connection that all share goes silent", Reason: "pings detect it (golang/go#36026, #59690)",
		Story: func(t *testing.T, n *sim.Network) { blackhole(t, n, true) }},
	{Name: "RR-18 a connection of HTTP/2 goes silent", Reason: "net/http detects it only if pings are enabled",
		Races: "the order of HTTP/2 frames at one instant", Story: blackholeHTTP2},
	{Name: "RR-19 the name moves and the old server still answers", Reason: "a client that is always busy never looks the name up again (golang/go#23427)",
		Story: func(t *testing.T, n *sim.Network) { nameMoves(t, n, false) }},
	{Name: "RR-19 the same over one connection", Reason: "a busy client would keep the old connection forever",
		Story: func(t *testing.T, n *sim.Network) { nameMoves(t, n, true) }},

	// Patience.
	{Name: "RR-17 servers ask for absurd delays", Reason: "a delay of a day is not waited for (go-retryablehttp 0.7.8 waits), and an unreadable one is ignored",
		Story: func(t *testing.T, n *sim.Network) {
			for _, row := range []struct {
				after string
				wait  time.Duration
			}{{"86400", 0}, {"-5", 100 * ms}, {"soon", 100 * ms}, {"Fri, 31 Dec 1999 00:00:00 GMT", 100 * ms}, {"20", 20 * sec}} {
				after, wait := row.after, row.wait
				host := n.Host("says-" + strings.Map(letters, after))
				host.ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Retry-After", after)
					w.WriteHeader(503)
				}))
				c := &reqresp.Client{URL: "http://" + host.Addr().String(), HTTP: n.Host("phone").HTTPClient(), Jitter: retry.NoJitter, MaxAttempts: 2}
				start := time.Now()
				_, err := c.Call(t.Context(), reqresp.Request{})
				require.Equal(t, 503, status(err))
				require.Equal(t, wait, exact(time.Since(start)), after)
			}
		}},
	{Name: "RR-20 the client is gone in the middle", Reason: "the server's work stops one transit later and has no effect",
		Story: func(t *testing.T, n *sim.Network) { gone(t, n, false) }},
	{Name: "RR-20 the same over one connection", Reason: "the shared connection stays open", Story: func(t *testing.T, n *sim.Network) { gone(t, n, true) }},
	{Name: "RR-21 a deadline over three hops", Reason: "each server is given less time, and none begins after the deadline", Story: hops},
	{Name: "RR-22 a client sends a byte every ten seconds", Reason: "the server times it out, and other clients notice nothing", Story: slowLoris},
	{Name: "RR-23 one request in fifty takes a second", Reason: "a hedge after 200 ms costs 2 % more requests and avoids the second", Story: hedged},
	{Name: "RR-24 ten minutes of work behind a proxy that waits one", Reason: "the outcome is unknown, and work that ignores its context continues: use a job for such work",
		Story: func(t *testing.T, n *sim.Network) {
			b := startBank(n, func(b *bank) { b.deaf, b.work, b.server.MaxTimeout = true, 10*time.Minute, time.Hour })
			proxy := n.Host("proxy")
			n.Link(proxy, n.Host("server"), scenario.Good)
			proxy.ServeHTTP(":80", proxy.Proxy("http://server", sim.ProxyConfig{}))
			c := b.clientOf("proxy", "phone", func(c *reqresp.Client) { c.Timeout, c.AttemptTimeout = time.Hour, time.Hour })
			_, err := c.Call(t.Context(), add(""))
			require.Equal(t, 504, status(err))
			require.Equal(t, reqresp.Unknown, reqresp.OutcomeOf(err))
			require.Equal(t, 60*sec+80*ms+160*ms, exact(n.Elapsed()))
			require.EqualValues(t, 1, b.server.Stats().Executing)
			time.Sleep(10 * time.Minute)
			b.counts(t, 1, 0) // for its caller had gone
		}},
	{Name: "RR-25 the server is shut down under load", Reason: "requests that have begun are answered, the others go to the next server, and none is executed twice (golang/go#23829)",
		Story: func(t *testing.T, n *sim.Network) { rollingRestart(t, n, false, false) }},
	{Name: "RR-25 the same over one connection", Reason: "the server announces that it is going, and the client moves",
		Races: "calls that wait for one connection are sent in the runtime's order",
		Story: func(t *testing.T, n *sim.Network) { rollingRestart(t, n, true, false) }},
	{Name: "RR-25 the same with keys", Reason: "a request that meets the end of an idle connection is retried",
		Story: func(t *testing.T, n *sim.Network) { rollingRestart(t, n, false, true) }},

	// Too much of it.
	{Name: "RR-15 all servers answer 503 for a minute, to a thousand clients", Reason: "retries are a tenth of the calls, and spread out",
		Story: func(t *testing.T, n *sim.Network) {
			calls, attempts, peak := outage(t, n, 1000, &retry.Budget{})
			require.LessOrEqual(t, attempts, calls+calls/10+3+6, "a tenth, the burst, and the time")
			require.Less(t, peak, 40, "within 10 ms, of a thousand clients who call within a second")
		}},
	{Name: "RR-15 the same without a budget (the opposite shown)", Reason: "counter-example: without a budget each call makes three attempts",
		Story: func(t *testing.T, n *sim.Network) {
			calls, attempts, _ := outage(t, n, 100, unlimited())
			require.Equal(t, 3*calls, attempts)
		}},
	{Name: "RR-16 three tiers, each of which tries four times", Reason: "a tenth more in each tier is a third more at the last one", Story: func(t *testing.T, n *sim.Network) {
		require.LessOrEqual(t, amplification(t, n, func() *retry.Budget { return &retry.Budget{} }), 1.34)
	}},
	{Name: "RR-16 the same without a budget (the opposite shown)", Reason: "counter-example: one call becomes 4 x 4 x 4 (Google's SRE book, chapter 22)", Story: func(t *testing.T, n *sim.Network) {
		require.Equal(t, 64.0, amplification(t, n, unlimited))
	}},
	{Name: "RR-26 a body that the server finds too long", Reason: "the answer overtakes the rest of the body; \"not executed\" must not be lost when the server then closes the connection",
		Story: func(t *testing.T, n *sim.Network) {
			b := startBank(n, func(b *bank) { b.server.MaxRequestBytes = 1000 })
			c := b.client("phone", nil)
			warm(t, c)
			b.link("phone").Set(netem.Config{Delay: 40 * ms, Rate: 8 * netem.Mbit})
			long := add("")
			long.Body = make([]byte, 1<<20) // more than a second on that link
			start := n.Elapsed()
			_, err := c.Call(t.Context(), long)
			require.Equal(t, 413, status(err))
			require.Equal(t, reqresp.NotExecuted, reqresp.OutcomeOf(err))
			// The first packet, of 1,500 bytes, has more of the body than the server takes; at a byte per µs it takes 1.5 ms, the answer of 286 bytes 286 µs.
			require.Equal(t, 40*ms+1500*time.Microsecond+40*ms+286*time.Microsecond, n.Elapsed()-start)
			_, err = c.Call(t.Context(), add(""))
			require.NoError(t, err, "the next call has a connection of its own")
			require.Equal(t, 2, dials(n))
			b.counts(t, 2, 1) // with the GET before
		}},
	{Name: "X-11 refused, silent, reset", Reason: "three different errors, two of which mean that nothing was executed",
		Story: func(t *testing.T, n *sim.Network) {
			b := startBank(n, nil)
			phone := b.client("phone", func(c *reqresp.Client) { c.MaxAttempts = 1 })
			link := b.link("phone")
			for _, row := range []struct {
				fault   *sim.Fault
				warm    bool
				outcome reqresp.Outcome
			}{
				{sim.Reset(link, sim.Packets{Kind: sim.SYN}), false, reqresp.NotExecuted},
				{sim.Drop(link, sim.Packets{Kind: sim.SYN}), false, reqresp.NotExecuted},
				{sim.Reset(link, sim.Packets{From: n.Host("phone"), Kind: sim.Data}), false, reqresp.Unknown},
				{sim.Drop(link, sim.Packets{From: n.Host("phone"), Kind: sim.Data}), false, reqresp.Unknown},
			} {
				phone.HTTP.CloseIdleConnections()
				n.Inject(0, 20*sec, row.fault)
				_, err := phone.Call(t.Context(), add(""))
				require.Equal(t, row.outcome, reqresp.OutcomeOf(err), "%v: %v", row.fault, err)
				time.Sleep(time.Minute)
			}
		}},
}

func letters(r rune) rune {
	if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' {
		return r
	}
	return -1
}

// exact leaves out the nanoseconds by which wake-ups at one instant are parted.
func exact(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

// status is that of the answer for which a call failed.
func status(err error) int {
	var s *retry.StatusError
	if errors.As(err, &s) {
		return s.Status
	}
	return 0
}

// add is a request that adds 1 to the account.
func add(key string) reqresp.Request {
	return reqresp.Request{Method: "POST", Path: "/add", Body: []byte("1"), Key: key}
}

// dials is how many connections were begun.
func dials(n *sim.Network) (count int) {
	for e := range n.Trace().Events() {
		if e.Kind == sim.Sent && e.Flags == "S" && !e.Resent {
			count++
		}
	}
	return count
}

// unlimited is as good as no budget, for the stories that show the opposite.
func unlimited() *retry.Budget { return &retry.Budget{Percent: 100, Burst: 10_000, Every: ms} }
