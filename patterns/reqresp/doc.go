// Package reqresp is request-response: a [Client] asks, a [Server] answers, and a caller that gets
// no answer is told what is known. It works with any http.RoundTripper and net.Listener: over HTTP
// or, with a dialer, with all requests over one connection.
//
// # When, and when not
//
// Begin with this pattern: the caller knows at once what became of the request, and can decide what
// to do. Do not use it if the work takes longer than anything on the path waits, which for proxies
// is 60 s: the client then has an unknown outcome while the server works on. Accept such work,
// answer with its name, and let the client ask for the result (package shortpoll has Jobs for
// it). Do not use it for news either: a client that asks again and again whether there is any needs
// one of the patterns that deliver events.
//
// # Outcomes
//
// A call ends in one of three outcomes: [Done], [NotExecuted] or [Unknown]. Unknown cannot be
// eliminated: when the connection breaks after the request was sent, only the server knows whether
// the request or the answer was lost. A call with an unknown outcome can be resolved by asking
// again, if the request may be executed twice or has a Key.
//
//	answer, err := client.Call(ctx, reqresp.Request{Method: "POST", Path: "/charges", Body: charge, Key: orderID})
//	switch reqresp.OutcomeOf(err) {
//	case reqresp.Done:        // answer.Status and answer.Body are what became of it
//	case reqresp.NotExecuted: // nothing was charged
//	case reqresp.Unknown:     // ask again later, with the same Key
//	}
//
// # What it promises
//
//   - Every call ends in exactly one outcome, and that outcome is true. A truncated answer is not
//     an answer.
//   - A request without a key is executed at most once, unless its method is idempotent. A request
//     with a key has exactly one effect within Retain, however often it is sent, and every answer
//     is the same. The effect and the answer are committed in one transaction: with [Disk] they
//     survive if the process dies between any two instructions, with [Memory] only while it lives.
//   - An answer reaches only the call that asked. Over one connection, answers carry the numbers
//     of their requests. An answer that comes too late or twice is dropped.
//   - The attempts of all calls, hedges included, stay within the [retry.Budget]: by default a
//     tenth more than calls, over any window. net/http retries nothing on its own: see below.
//   - Each attempt tells the server how much time is left. Servers that it asks in turn, with the
//     context passed to Handle, are told too. No server begins a request whose time is over, or
//     commits its effect.
//   - When a call's context ends, the context of the server's Handle ends one packet transit
//     later.
//   - The client waits for a Retry-After, but not beyond the call's time: in that case the call
//     fails at once, with the cause.
//   - A connection on which a call timed out without a sign of life is not used again. (Over
//     HTTP/2 this holds only if net/http is given http.HTTP2Config.SendPingTimeout: its transport
//     continues to use a connection that other calls use too.)
//   - Drain refuses requests that have not begun, which the clients retry elsewhere or later, and
//     finishes the others.
//
// It does not promise that Handle runs once for a key. Two servers with one store, or one that dies
// and restarts, can both run it; only one commits. Requests that Handle makes to other services
// should therefore carry keys of their own.
//
// # Figures
//
// A call takes one round trip, plus one for a new connection. With the defaults, a client whose
// server is away retries after 10 to 100 ms and again after 10 to 200 ms; then the call fails. In a
// test with 1,000 clients over three tiers whose last tier stands still for 5 s, every call is
// answered from 10 s later on. Without budgets fewer than half of them are, because the retries
// keep the system down (TestOverload in scenarios/reqresp). With 64 concurrent calls, a [Disk]
// commits 14 to 32 times as many per second as one bbolt transaction for each call, the reference;
// with one call at a time, as many (go test -bench Commits ./patterns/reqresp, with TMPDIR on a
// disk).
//
// # What net/http repeats
//
// A transport of net/http (Go 1.26 and 1.27) sends a request again if all of these are true: the
// connection was used before; no byte of an answer has arrived; nothing of the request was written,
// or it is a GET, HEAD, OPTIONS or TRACE, or has an Idempotency-Key or X-Idempotency-Key, even an
// empty one; and its body can be obtained again. It does so once for each dead connection in its
// pool, at once, so that a server that has closed 20 connections can begin one request 21 times. A
// client of this package prevents net/http from repeating anything that may have begun: its own
// attempts are the only ones, and they count against the budget.
//
// Others repeat more, even without a key. curl 7.88.1, and PHP with it, sends a POST once more if a
// previously used connection ends without an answer. Wget 1.21.3 sends it 20 times over new
// connections. Set [Server].RequireKey if such clients call you.
package reqresp
