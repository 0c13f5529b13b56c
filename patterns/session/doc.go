// Package session keeps what a service knows of a client from one request to the next: who has logged in, and a few
// values. A [Manager] wraps an http.Handler; the handler asks [Of] for the session of a request:
//
//	sessions := &session.Manager{Store: store}
//	http.Handle("/cart", sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
//		s := session.Of(r)
//		s.Update("cart", func(cart string) string { return add(cart, r.FormValue("item")) })
//	})))
//
// Over plain HTTP, as in tests, set Insecure: a cookie that is Secure is not sent back by clients, and each request has
// a new session.
//
// # Where the state is
//
// It is the same handler with each [Store]:
//
//   - [Memory], in the process. The fastest. A replica that dies takes its sessions with it, and clients must come back to the one that has theirs ([Sticky]).
//   - [Disk], or a store of your own for a database that all replicas share. A replica that dies takes nothing along; each request asks the store, at least
//     once, and fails within [Manager].Timeout when that is down.
//   - [Signed], in the client's cookie. Any replica answers, and nobody is asked. What was signed is good until it expires, and two requests
//     at once can undo each other.
//
// [Replicated] reads from a replica of a database that may be behind, and shows no client less than it has seen.
//
// Use a shared store unless measured otherwise. Use Signed where a store that is down, or slow, must not
// take everybody along, and where a logout may take effect half an hour late; and a short IdleTimeout. Memory is for one process, and
// for sessions that may be lost. For state that outlives a login, such as orders, use a database, not a session.
//
// # What it promises
//
//   - Of two requests that change different values both are kept, with Memory and Disk; so are those by [Session.Update] of one value. Of two that
//     set one value to something else one is told so (409), and has no effect.
//   - A logout, or a login, is final: a request that began before it cannot bring the old session back, and is told so (401).
//   - A login has a new token, whatever the client came with. A token that the server did not make is nobody's session.
//   - A session ends IdleTimeout after its last request, and Lifetime after its beginning, by the server's clock. Neither use nor renewal
//     prolongs the second.
//   - Nothing of a handler's answer is sent before its changes are stored; if they cannot be, the client gets an error instead, within Timeout.
//   - A token of [Signed] is accepted for its time and Leeway by the clock of who verifies it, if it is signed by one of
//     the keys that are known there, and nothing else is.
//
// It promises nothing of what a handler does elsewhere: an order that was placed stays placed if the session then cannot be stored. Call
// [Session.Commit] before it. Requests that another site's page makes a browser send have a SameSite=Lax cookie only if they are GET
// requests; see net/http's CrossOriginProtection for the rest.
package session
