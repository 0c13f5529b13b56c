// Package session keeps what a service knows about a client between requests: who has logged in,
// and a few values. A [Manager] wraps an http.Handler. The handler calls [Of] to get the session of
// a request:
//
//	sessions := &session.Manager{Store: store}
//	http.Handle("/cart", sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
//		s := session.Of(r)
//		s.Update("cart", func(cart string) string { return add(cart, r.FormValue("item")) })
//	})))
//
// Over plain HTTP, as in tests, set Insecure. Otherwise clients do not send the cookie back, and
// each request has a new session.
//
// # Where the state is
//
// The handler is the same with each [Store]:
//
//   - [Memory] is in the process, and the fastest. A replica that dies loses its sessions, and
//     clients must come back to the replica that has theirs ([Sticky]).
//   - [Disk], or your own store for a database that all replicas share. A replica that dies loses
//     nothing. Each request asks the store at least once, and fails within [Manager].Timeout when
//     the store is down.
//   - [Signed] is in the client's cookie. Any replica can answer without asking anyone. A signed
//     token is valid until it expires, and two concurrent requests can undo each other's changes.
//
// [Replicated] reads from a replica of a database that can lag behind, and never shows a client
// less than it has already seen.
//
// Use a shared store unless measurements speak against it. Use [Signed] where a slow or unavailable
// store must not affect everybody and a logout may take effect half an hour late, and set a short
// IdleTimeout. Use [Memory] for a single process and for sessions that may be lost. For state that
// outlives a login, such as orders, use a database, not a session.
//
// # What it promises
//
//   - With Memory and Disk, concurrent requests that change different values are both kept, and so
//     are concurrent [Session.Update] calls on one value. If two requests set one value to
//     different contents, one of them gets 409 and has no effect.
//   - A logout or a login is final: a request that began before it cannot bring the old session
//     back, and gets 401.
//   - A login gets a new token, whatever token the client sent. A token that the server did not
//     create belongs to no session.
//   - A session ends IdleTimeout after its last request and Lifetime after its beginning, by the
//     server's clock. Neither use nor renewal extends Lifetime.
//   - Nothing of a handler's answer is sent before its changes are stored. If they cannot be
//     stored, the client gets an error instead, within Timeout.
//   - A token of [Signed] is accepted only if it is signed by a key that the verifier knows, and
//     only for its lifetime plus Leeway by the verifier's clock.
//
// It promises nothing about other effects of a handler: an order that was placed stays placed even
// if the session cannot be stored afterwards. Call [Session.Commit] before placing it. If another
// site's page makes a browser send a request, a SameSite=Lax cookie is included only with GET; for
// the rest see net/http's CrossOriginProtection.
package session
