package reqresp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/reqresp"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/sim"
)

func TestCall(t *testing.T) {
	inWorld(t, func(w *world) {
		w.serve()
		answer, err := w.post(5, "")
		require.NoError(w, err)
		require.Equal(w, "5", string(answer.Body))
		require.Equal(w, 201, answer.Status)
		require.Equal(w, 1, answer.Attempts)
		// Connecting takes 20 ms, and the call 20 ms.
		require.Equal(w, 40*ms, exact(w.net.Elapsed()))
		require.Equal(w, "5", w.balance())
		require.Equal(w, 60*ms, exact(w.net.Elapsed()))
		w.counts(2, 1, "a POST and a GET")
		require.Equal(w, reqresp.ClientStats{Calls: 2, Done: 2, Attempts: 2}, w.client.Stats())
		time.Sleep(sec)
		require.Equal(w, reqresp.ServerStats{Executed: 2}, w.server.Stats())
	})
}

// What a call says of a failure, for each way in which the network fails.
func TestOutcomes(t *testing.T) {
	for _, row := range []struct {
		name     string
		before   func(w *world) // with the server running and a connection in place
		method   string
		outcome  reqresp.Outcome
		attempts int
		began    int
	}{
		{"the port is closed", func(w *world) { w.host.Crash(); w.sleep(sec) }, "POST", reqresp.NotExecuted, 3, 0},
		{"the server is off", func(w *world) { w.host.PowerOff(); w.forgetConn() }, "POST", reqresp.NotExecuted, 3, 0},
		{"the request is lost", func(w *world) { w.link.DownFrom(w.phone) }, "POST", reqresp.Unknown, 1, 0},
		{"the answer is lost", func(w *world) { w.link.DownFrom(w.host) }, "POST", reqresp.Unknown, 1, 1},
		{"the answer is lost, of a PUT", func(w *world) { w.link.DownFrom(w.host) }, "PUT", reqresp.Unknown, 3, 1},
		{"the server crashes while it works", func(w *world) {
			w.bank.takes(sec)
			w.net.After(100*ms, w.host.Crash)
		}, "POST", reqresp.Unknown, 1, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.serve()
				w.client.Timeout = 20 * sec
				w.client.AttemptTimeout = 6 * sec
				w.balance()
				w.bank.began = nil
				row.before(w)
				_, err := w.client.Call(w.Context(), reqresp.Request{Method: row.method, Path: "/add", Body: []byte("1")})
				var e *reqresp.Error
				require.ErrorAs(w, err, &e)
				require.Equal(w, row.outcome, e.Outcome, "%v", err)
				require.Equal(w, row.outcome, reqresp.OutcomeOf(err))
				require.Equal(w, row.attempts, e.Attempts, "%v", err)
				w.link.Up()
				time.Sleep(time.Hour) // in which what is under way arrives
				if row.method == "POST" {
					began, _ := w.bank.counts()
					require.LessOrEqual(w, began, row.began+1)
					if row.outcome == reqresp.NotExecuted {
						require.Zero(w, began)
					}
				}
			})
		})
	}
}

// A call that is unknown by its first attempt says so, whatever the last one met.
func TestAnUnknownCallSaysSinceWhen(t *testing.T) {
	inWorld(t, func(w *world) {
		w.serve()
		w.balance()
		w.bank.takes(sec)
		w.net.After(100*ms, w.host.Crash)
		_, err := w.client.Call(w.Context(), reqresp.Request{Method: "PUT", Path: "/add", Body: []byte("1")})
		require.Equal(w, reqresp.Unknown, reqresp.OutcomeOf(err))
		require.Regexp(w, "^reqresp: unknown since attempt 1: .*; after 3 attempts: .*connection refused", err.Error())
	})
}

func (w *world) sleep(d time.Duration) { time.Sleep(d) }

// forgetConn has the client dial anew.
func (w *world) forgetConn() {
	if w.carrier == "http" {
		w.client.HTTP.CloseIdleConnections()
	} else {
		w.client.Close()
	}
	time.Sleep(1)
}

// A scripted server answers one request after the other with what a function writes.
type scripted struct {
	mu    sync.Mutex
	at    []time.Duration // of the requests, since the beginning
	heads []http.Header
}

func (s *scripted) serve(n *sim.Network, answer func(k int, w http.ResponseWriter, r *http.Request)) *reqresp.Client {
	server, phone := n.Host("server"), n.Host("phone")
	server.ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.at = append(s.at, exact(n.Elapsed()))
		s.heads = append(s.heads, r.Header.Clone())
		k := len(s.at)
		s.mu.Unlock()
		answer(k, w, r)
	}))
	return &reqresp.Client{URL: "http://server", HTTP: phone.HTTPClient(), Jitter: retry.NoJitter,
		Backoff: retry.Backoff{Min: 1, Base: 50 * ms, Max: 200 * ms}}
}

// times are those of the requests so far.
func (s *scripted) times() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.at)
}

// statuses answers with these, the last again and again.
func statuses(all ...int) func(int, http.ResponseWriter, *http.Request) {
	return func(k int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(all[min(k, len(all))-1]) }
}

// The cases of the table by which the AWS SDKs test their standard retries (aws-sdk-go-v2 1.48, aws/retry), as
// facts, and what is so here. Waits are those without jitter; theirs are drawn from 0 to 50 ms and so on, too. Their quota has 500
// tokens, of which a retry costs 14, and a success gives the last price back; so that what fails once and succeeds at the second attempt
// never exhausts it, however much it doubles the load. Ours gives nothing back.
func TestRetriesAsAWSTestsThem(t *testing.T) {
	const (
		ok   = reqresp.Done
		lost = reqresp.Unknown
	)
	for _, row := range []struct {
		reason string
		answer []int
		client func(c *reqresp.Client)
		spent  int // of the budget before the call
		waits  []time.Duration
		end    reqresp.Outcome
		budget bool // the call ended for want of it
	}{
		{reason: "500, 500, 200: a third attempt succeeds (their quota: 486, 472, 486)", answer: []int{500, 500, 200},
			waits: []time.Duration{50 * ms, 100 * ms}, end: ok},
		{reason: "502 for ever: three attempts (486, 472)", answer: []int{502}, waits: []time.Duration{50 * ms, 100 * ms}, end: lost},
		{reason: "a budget of one: one retry (their quota of 14)", answer: []int{500}, spent: 2, waits: []time.Duration{50 * ms}, end: lost, budget: true},
		{reason: "a budget of none: no retry (a quota of 10)", answer: []int{500}, spent: 3, end: lost, budget: true},
		{reason: "a budget of one, and success at the second attempt (a quota of 30: 16, success)", answer: []int{500, 200}, spent: 2,
			waits: []time.Duration{50 * ms}, end: ok},
		{reason: "four retries: 50, 100, 200, 400 ms", answer: []int{500, 500, 500, 500, 200},
			client: func(c *reqresp.Client) { c.MaxAttempts, c.Backoff.Max, c.Budget.Burst = 5, 20*sec, 10 },
			waits:  []time.Duration{50 * ms, 100 * ms, 200 * ms, 400 * ms}, end: ok},
		{reason: "at most 200 ms: 50, 100, 200, 200", answer: []int{500, 500, 500, 500, 200},
			client: func(c *reqresp.Client) { c.MaxAttempts, c.Budget.Burst = 5, 10 },
			waits:  []time.Duration{50 * ms, 100 * ms, 200 * ms, 200 * ms}, end: ok},
		{reason: "429, 200: repeated (theirs from a base of 1 s; ours has one base, and servers say when)", answer: []int{429, 200},
			waits: []time.Duration{50 * ms}, end: ok},
		{reason: "an answer that is final is not repeated (theirs: a modelled error)", answer: []int{404, 200}, end: ok},
		{reason: "one attempt at most", answer: []int{500}, client: func(c *reqresp.Client) { c.MaxAttempts = 1 }, end: lost},
	} {
		t.Run(row.reason, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				s := &scripted{}
				c := s.serve(n, statuses(row.answer...))
				c.Budget = &retry.Budget{Percent: 1, Every: 24 * time.Hour}
				if row.client != nil {
					row.client(c)
				}
				for range row.spent {
					require.True(t, c.Budget.Spend())
				}
				var waits []time.Duration
				c.OnRetry = func(_ error, delay time.Duration) { waits = append(waits, delay) }
				_, err := c.Call(t.Context(), reqresp.Request{})
				require.Equal(t, row.end, reqresp.OutcomeOf(err), "%v", err)
				require.Equal(t, row.waits, waits)
				require.Equal(t, row.budget, errors.Is(err, reqresp.ErrBudget), "%v", err)
				// The network has no delay: requests come when the waits are over.
				at, want := time.Duration(0), []time.Duration{0}
				for _, wait := range row.waits {
					at += wait
					want = append(want, at)
				}
				require.Equal(t, want, s.times())
			})
		})
	}
}

// What fails once and succeeds at the second attempt doubles the load: a budget that is given back by
// success lets it, and this one does not.
func TestBudgetIsNotGivenBack(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		s := &scripted{}
		c := s.serve(n, func(k int, w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Attempt") == "" {
				w.WriteHeader(500)
			}
		})
		c.Budget = &retry.Budget{Every: 24 * time.Hour}
		first := true
		c.Header = func(context.Context) (http.Header, error) {
			defer func() { first = false }()
			if first {
				return nil, nil
			}
			return http.Header{"Attempt": {"again"}}, nil
		}
		for range 100 {
			first = true
			c.Call(t.Context(), reqresp.Request{})
		}
		// 3 at first, and a tenth of each of 99.
		require.Len(t, s.times(), 100+3+9)
	})
}

// When the next attempt is, by what the answer says.
func TestWhenTheServerWantsIt(t *testing.T) {
	const never = -1
	for _, row := range []struct {
		reason string
		header http.Header
		wait   time.Duration
	}{
		{"it says nothing: the first delay", nil, 50 * ms},
		{"seconds", http.Header{"Retry-After": {"7"}}, 7 * sec},
		{"none: the own delay", http.Header{"Retry-After": {"0"}}, 50 * ms},
		{"a date that has passed: the own delay", http.Header{"Retry-After": {"Fri, 31 Dec 1999 23:59:59 GMT"}}, 50 * ms},
		{"a date by the server's clock, which is an hour ahead", http.Header{"Date": {"Sat, 01 Jan 2000 01:00:00 GMT"},
			"Retry-After": {"Sat, 01 Jan 2000 01:00:09 GMT"}}, 9 * sec},
		{"negative: as if it said nothing", http.Header{"Retry-After": {"-5"}}, 50 * ms},
		{"garbage: as if it said nothing", http.Header{"Retry-After": {"soon"}}, 50 * ms},
		{"a day, which is after the call's 30 s: now the error", http.Header{"Retry-After": {"86400"}}, never},
		{"30 s, which is when the call ends", http.Header{"Retry-After": {"30"}}, never},
		{"29 s, which is not", http.Header{"Retry-After": {"29"}}, 29 * sec},
		{"pushback: exactly then", http.Header{reqresp.HeaderPushback: {"3"}, "Retry-After": {"7"}}, 3 * ms},
		{"pushback: at once", http.Header{reqresp.HeaderPushback: {"0"}}, 0},
		{"pushback: never", http.Header{reqresp.HeaderPushback: {"-1"}}, never},
		{"pushback that is no number: never", http.Header{reqresp.HeaderPushback: {"1.5"}}, never},
		{"pushback twice: never", http.Header{reqresp.HeaderPushback: {"1", "1"}}, never},
		{"pushback of a day", http.Header{reqresp.HeaderPushback: {"86400000"}}, never},
		{"pushback beyond all measure", http.Header{reqresp.HeaderPushback: {"9223372036854775807"}}, never},
	} {
		t.Run(row.reason, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				s := &scripted{}
				c := s.serve(n, func(k int, w http.ResponseWriter, r *http.Request) {
					for name, values := range row.header {
						w.Header()[name] = values
					}
					w.WriteHeader(503)
				})
				c.MaxAttempts = 2
				_, err := c.Call(t.Context(), reqresp.Request{})
				require.Equal(t, reqresp.Unknown, reqresp.OutcomeOf(err), "a 503 of someone else may be a gateway's")
				var status *retry.StatusError
				require.ErrorAs(t, err, &status, "the cause is not hidden")
				require.Equal(t, 503, status.Status)
				if row.wait == never {
					require.Equal(t, []time.Duration{0}, s.times())
					require.Zero(t, exact(n.Elapsed()), "what does not fit is not waited for")
				} else {
					require.Equal(t, []time.Duration{0, row.wait}, s.times())
				}
			})
		})
	}
}

// What a call makes of a status of someone else's server.
func TestStatuses(t *testing.T) {
	sim.Test(t, func(t *testing.T, n *sim.Network) {
		s := &scripted{}
		var status int
		c := s.serve(n, func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
		})
		for status = 200; status < 600; status++ {
			want, again := reqresp.Done, false
			switch status {
			case 408, 421, 425, 429: // the server says that it has not begun
				want, again = reqresp.NotExecuted, true
			}
			if status >= 500 {
				want = reqresp.Unknown
			}
			before := len(s.times())
			c.Budget = nil
			one := &reqresp.Client{URL: c.URL, HTTP: c.HTTP, Jitter: c.Jitter, Backoff: c.Backoff}
			answer, err := one.Call(t.Context(), reqresp.Request{Method: "POST", Body: []byte("x")})
			require.Equal(t, want, reqresp.OutcomeOf(err), status)
			attempts := 1
			if again {
				attempts = 3
			}
			require.Equal(t, attempts, len(s.times())-before, "attempts of a POST, answered with %d", status)
			if want == reqresp.Done {
				require.Equal(t, status, answer.Status)
			}
		}
	})
}

func TestHedging(t *testing.T) {
	type at = []time.Duration
	slow := func(all ...time.Duration) func(int, http.ResponseWriter, *http.Request) {
		return func(k int, w http.ResponseWriter, r *http.Request) {
			if d := all[min(k, len(all))-1]; d < 0 {
				w.WriteHeader(500)
			} else {
				retry.Sleep(r.Context(), d)
			}
		}
	}
	for _, row := range []struct {
		reason string
		answer func(int, http.ResponseWriter, *http.Request)
		req    reqresp.Request
		client func(c *reqresp.Client)
		began  at
		ends   time.Duration
		done   bool
	}{
		{"the first is quick", slow(90 * ms), reqresp.Request{}, nil, at{0}, 90 * ms, true},
		{"the first is slow, the second quick", slow(sec, 20*ms), reqresp.Request{}, nil, at{0, 100 * ms}, 120 * ms, true},
		{"two are slow", slow(sec, sec, 20*ms), reqresp.Request{}, nil, at{0, 100 * ms, 200 * ms}, 220 * ms, true},
		{"all are slow: no more than MaxAttempts", slow(sec), reqresp.Request{}, nil, at{0, 100 * ms, 200 * ms}, sec, true},
		{"a hedge that fails does not end the call: the first succeeds at 1 s", slow(sec, -1, -1), reqresp.Request{}, nil, at{0, 100 * ms, 100 * ms}, sec, true},
		{"the first fails before the delay: the next follows by the backoff", slow(-1, 20*ms), reqresp.Request{}, nil, at{0, 50 * ms}, 70 * ms, true},
		{"a POST is not hedged", slow(sec, 20*ms), reqresp.Request{Method: "POST"}, nil, at{0}, sec, true},
		{"one with a key is", slow(sec, 20*ms), reqresp.Request{Method: "POST", Key: "k"}, nil, at{0, 100 * ms}, 120 * ms, true},
		{"no budget, no hedge", slow(sec, 20*ms), reqresp.Request{}, func(c *reqresp.Client) {
			c.Budget = &retry.Budget{Burst: 1}
			c.Budget.Spend()
		}, at{0}, sec, true},
		{"an answer that is final ends it", func(k int, w http.ResponseWriter, r *http.Request) {
			if k == 1 {
				retry.Sleep(r.Context(), sec)
			}
			w.WriteHeader(404)
		}, reqresp.Request{}, nil, at{0, 100 * ms}, 100 * ms, true},
		{"pushback stops further hedges", func(k int, w http.ResponseWriter, r *http.Request) {
			if k == 2 {
				w.Header().Set(reqresp.HeaderPushback, "10")
				w.WriteHeader(503)
				return
			}
			retry.Sleep(r.Context(), sec)
		}, reqresp.Request{}, nil, at{0, 100 * ms}, sec, true},
	} {
		t.Run(row.reason, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				s := &scripted{}
				c := s.serve(n, row.answer)
				c.HedgeDelay = 100 * ms
				if row.client != nil {
					row.client(c)
				}
				_, err := c.Call(t.Context(), row.req)
				require.Equal(t, row.done, err == nil, "%v", err)
				require.Equal(t, row.ends, exact(n.Elapsed()))
				require.Equal(t, row.began, s.times())
			}, sim.MayDiffer("attempts that begin at one instant"))
		})
	}
}

// The losers of a hedged call are told so.
func TestLosersAreCancelled(t *testing.T) {
	inWorld(t, func(w *world) {
		w.client.HedgeDelay = 50 * ms
		w.bank.wait = sec
		w.serve()
		w.net.After(60*ms, func() { w.bank.takes(0) })
		answer, err := w.client.Call(w.Context(), reqresp.Request{})
		require.NoError(w, err)
		require.Equal(w, 2, answer.Attempts)
		time.Sleep(11 * ms) // a transit
		w.bank.mu.Lock()
		require.Len(w, w.bank.ended, 1)
		w.bank.mu.Unlock()
		require.Zero(w, w.server.Stats().Executing)
	}, sim.MayDiffer("a field that two goroutines look at"))
}

// A body that was cut short is no answer, however it was.
func TestAnswersThatAreCutShort(t *testing.T) {
	for name, raw := range map[string]string{
		"a length that is not met":            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
		"no last chunk":                       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
		"within a chunk":                      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nshort",
		"neither length nor chunks":           "HTTP/1.1 200 OK\r\n\r\nshort",
		"neither, by HTTP/1.0":                "HTTP/1.0 200 OK\r\n\r\nshort",
		"within the headers":                  "HTTP/1.1 200 OK\r\nContent-Le",
		"a gzip without its end":              "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x2a",
		"a status that promises no body, cut": "HTTP/1.1 20",
	} {
		t.Run(name, func(t *testing.T) {
			sim.Test(t, func(t *testing.T, n *sim.Network) {
				begun := serveRaw(t, n, raw)
				c := &reqresp.Client{URL: "http://server", HTTP: n.Host("phone").HTTPClient(), Jitter: retry.NoJitter, MaxAttempts: 2}
				answer, err := c.Call(t.Context(), reqresp.Request{})
				require.Nil(t, answer)
				require.Equal(t, reqresp.Unknown, reqresp.OutcomeOf(err))
				require.EqualValues(t, 2, begun.Load(), "each attempt on a connection of its own")
			})
		})
	}
}

func TestAnswersThatAreTooLong(t *testing.T) {
	inWorld(t, func(w *world) {
		w.server.MaxAnswerBytes = 2000
		w.server.Handle = func(context.Context, *reqresp.Request) (reqresp.Effect, error) {
			return func(reqresp.Tx) (*reqresp.Response, error) {
				return &reqresp.Response{Body: make([]byte, 1001)}, nil
			}, nil
		}
		w.client.MaxAnswerBytes = 1000
		w.serve()
		_, err := w.client.Call(w.Context(), reqresp.Request{})
		require.Equal(w, reqresp.Unknown, reqresp.OutcomeOf(err))
		require.EqualValues(w, 1, w.client.Stats().Attempts, "it would be as long again")
		require.ErrorIs(w, err, eventlog.ErrTooLarge)
	})
}

// Where a call's context ends, there is an error that says both why and of what.
func TestContextEnds(t *testing.T) {
	inWorld(t, func(w *world) {
		w.serve()
		w.balance()
		w.bank.takes(sec)
		ctx, cancel := context.WithTimeout(w.Context(), 200*ms)
		defer cancel()
		start := time.Now()
		_, err := w.client.Call(ctx, reqresp.Request{})
		require.ErrorIs(w, err, context.DeadlineExceeded)
		require.Equal(w, reqresp.Unknown, reqresp.OutcomeOf(err))
		require.Equal(w, 200*ms, exact(time.Since(start)))

		ctx, cancel = context.WithCancel(w.Context())
		w.net.After(100*ms, cancel)
		_, err = w.client.Call(ctx, reqresp.Request{})
		require.ErrorIs(w, err, context.Canceled)

		cancelled, stop := context.WithCancel(w.Context())
		stop()
		began, _ := w.bank.counts()
		_, err = w.client.Call(cancelled, reqresp.Request{Method: "POST"})
		require.ErrorIs(w, err, context.Canceled)
		require.Equal(w, reqresp.NotExecuted, reqresp.OutcomeOf(err))
		time.Sleep(sec)
		w.counts(began, 0, "a call whose context has ended is not begun")
	})
}

// Nothing on a host that is silent is used again.
func TestTimedOutConnection(t *testing.T) {
	inWorld(t, func(w *world) {
		w.client.AttemptTimeout = 6 * sec
		w.serve()
		w.balance()
		w.link.Down()
		_, err := w.client.Call(w.Context(), reqresp.Request{})
		require.Equal(w, reqresp.Unknown, reqresp.OutcomeOf(err))
		w.link.Up()
		start := time.Now()
		require.Equal(w, "0", w.balance())
		require.Equal(w, 40*ms, exact(time.Since(start)), "a handshake and a round trip: TCP would send again what the dead connection had sent")
	})
}

func TestClientCheck(t *testing.T) {
	c := &reqresp.Client{URL: "server", MaxAttempts: 101, Timeout: -1, MaxAnswerBytes: 1 << 31, Budget: &retry.Budget{Percent: -1},
		Backoff: retry.Backoff{Min: time.Hour}}
	err := c.Check()
	for _, want := range []string{
		`reqresp: Client.URL is "server": want http://host/path or https://host/path`,
		"reqresp: Client.MaxAttempts is 101: want at most 100",
		"reqresp: Client.Timeout is -1ns",
		"reqresp: Client.MaxAnswerBytes is 2147483648: want at most 1 GiB",
		"reqresp: Client.Budget: retry: Budget.Percent is -1",
		"reqresp: Client.Backoff.Min is 1h0m0s",
	} {
		require.ErrorContains(t, err, want)
	}
	require.Panics(t, func() { c.Call(context.Background(), reqresp.Request{}) })
	require.ErrorContains(t, (&reqresp.Client{URL: "http://a/?token=secret"}).Check(), "want no query")

	good := &reqresp.Client{URL: "http://server/"}
	for want, r := range map[string]reqresp.Request{
		`Request.Path is "add": want one that begins with a slash`:  {Path: "add"},
		"Request.Key: Idempotency-Key has 256 bytes: want 1 to 255": {Key: strings.Repeat("k", 256)},
		"Request.Key: Idempotency-Key has byte 0x0a":                {Key: "a\nb"},
		"the request has more than 1048576 bytes":                   {Body: make([]byte, 1<<20+1)},
		`net/http: invalid method "GET /"`:                          {Method: "GET /"},
	} {
		_, err := good.Call(context.Background(), r)
		require.ErrorContains(t, err, want)
		require.Equal(t, reqresp.NotExecuted, reqresp.OutcomeOf(err))
	}
}

// A server is asked for the same by either carrier, and what is no request of HTTP is not sent.
func TestPaths(t *testing.T) {
	inWorld(t, func(w *world) {
		w.server.Handle = func(_ context.Context, r *reqresp.Request) (reqresp.Effect, error) {
			return func(reqresp.Tx) (*reqresp.Response, error) { return &reqresp.Response{Body: []byte(r.Path)}, nil }, nil
		}
		w.serve()
		for _, row := range []struct{ path, want string }{
			{"", "/"}, {"?full", "/?full"}, {"/a b", "/a%20b"}, {"/a#b", "/a"}, {"/a?b#c", "/a?b"}, {"//a/b", "//a/b"}, {"/a:b", "/a:b"}, {"/ä", "/%C3%A4"}, {"/a%2fb", "/a%2fb"},
		} {
			answer, err := w.client.Call(w.Context(), reqresp.Request{Path: row.path})
			require.NoError(w, err, row.path)
			require.Equal(w, row.want, string(answer.Body), row.path)
		}
		began := w.client.Stats().Attempts
		for _, r := range []reqresp.Request{{Path: "a"}, {Path: "/%zz"}, {Path: "/a\nb"}, {Method: "GET /"}} {
			_, err := w.client.Call(w.Context(), r)
			require.Equal(w, reqresp.NotExecuted, reqresp.OutcomeOf(err), "%+v", r)
		}
		require.Equal(w, began, w.client.Stats().Attempts)
	})
}

func TestOutcomeOf(t *testing.T) {
	require.Equal(t, reqresp.Done, reqresp.OutcomeOf(nil))
	require.Equal(t, reqresp.Unknown, reqresp.OutcomeOf(errors.New("of someone else")))
	err := fmt.Errorf("charge: %w", &reqresp.Error{Outcome: reqresp.NotExecuted, Attempts: 1, Err: errors.New("refused")})
	require.Equal(t, reqresp.NotExecuted, reqresp.OutcomeOf(err))
	require.EqualError(t, err, "charge: reqresp: not executed, after 1 attempt: refused")
	require.Equal(t, "done, unknown, not executed", fmt.Sprintf("%v, %v, %v", reqresp.Done, reqresp.Unknown, reqresp.NotExecuted))
}
