// Package reqresp is request-response: a [Client] asks, a [Server] answers, and whoever gets no answer
// is told what is known. It is for any http.RoundTripper and net.Listener: over HTTP, or, with a dialer, all
// at once over one connection.
//
// # When, and when not
//
// It is the pattern to begin with: the caller knows at once what became of the request, and so can decide. It is the wrong one
// if the work takes longer than anybody on the way waits, which for proxies is 60 s: the client then has an unknown outcome while the
// server works on. Accept such work, answer with its name, and let the client ask for the result (package shortpoll has Jobs for it). It
// is wrong for news, too: who asks again and again whether there is any wants one of the patterns that deliver.
//
// # Outcomes
//
// A call ends in one of three: [Done], [NotExecuted], [Unknown]. The third cannot be had away: when the connection
// breaks after the request has left, nobody but the server knows whether the answer was lost or the request. It can be
// resolved: by asking again, if the request is one that may be executed twice, or that has a Key.
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
//   - Every call ends in exactly one outcome, and what it says is true. An answer that was cut short is none.
//   - A request without a key is executed at most once, unless its method is idempotent. One with a key has exactly one effect
//     within Retain, however often it is sent, and every answer is the same. The effect and the answer are committed in one transaction: with
//     [Disk] also if the process dies between any two instructions, with [Memory] until it does.
//   - An answer reaches only the call that asked. Over one connection answers have the numbers of their requests; one
//     that comes too late or twice is dropped.
//   - The attempts of all calls stay within the [retry.Budget], hedges included: by default a tenth more than calls over any window.
//     net/http sends nothing again on its own: see below.
//   - The server is told with each attempt how much time is left, and so are those that it asks in turn with the context that
//     Handle is given. No server begins a request whose time is over, or commits its effect.
//   - A call whose context ends reaches the server's Handle within the time of a packet: its context ends.
//   - Retry-After is waited for, but not beyond the call's time: then the call fails at once, with the cause.
//   - A connection over which a call timed out without a sign of life is not used again. (Over HTTP/2 only if net/http is given
//     http.HTTP2Config.SendPingTimeout: its transport goes on to use a connection that others use too.)
//   - Drain refuses what has not begun, which the clients repeat elsewhere or later, and finishes the rest.
//
// It does not promise that Handle runs once for a key: two servers with one store, or one that dies and starts again, may both run it; only one
// commits. What Handle asks of others it should therefore ask with keys made of its own.
//
// # Figures
//
// A call takes a round trip, and a connection one more. The retries of a client whose server is away are, with the
// defaults, after 10 to 100 ms and 10 to 200 ms; then the call fails. Of 1,000 clients over three tiers, whose last stands
// still for 5 s, every call is answered from 10 s after that on, and without budgets less than half of them are:
// what is repeated keeps the system down (TestOverload in scenarios/reqresp). Of 64 calls at once a [Disk] commits 14 to 32 times as many
// per second as a transaction of bbolt for each, the reference; of one at a time as many (go test -bench Commits ./patterns/reqresp, with
// TMPDIR on a disk).
//
// # What net/http repeats
//
// A transport of net/http (Go 1.26 and 1.27) sends a request again if the connection was used before, no byte of an answer has come,
// and either nothing of the request was written, or it is a GET, HEAD, OPTIONS or TRACE, or has an Idempotency-Key or
// X-Idempotency-Key, even an empty one; and if its body can be had again. It does so once for each dead connection in its pool, at once, so
// that one request is begun 21 times by a server that has closed 20. A client of this package has it repeat nothing that may have
// been begun: its own attempts are all that there are, and are in the budget.
//
// Others repeat more, without a key: curl 7.88.1, and PHP with it, send a POST once more if a connection that was used before ends
// without an answer, and Wget 1.21.3 sends it 20 times over new ones. Set [Server.RequireKey] where they ask.
package reqresp
