package comparison

import "fmt"

// What is said about the patterns that call, and what the figures say to it.
var callClaims = []struct {
	number int
	text   string
	judge  func(r *callResults) (verdict, string)
	pages  bool // by figures that are only measured when the document is written
}{
	{1, "Request-response is simple.", func(*callResults) (verdict, string) {
		lines := linesOfCode("../patterns/reqresp")
		return when(lines > 500, onlyWhen, confirmed),
			fmt.Sprintf("nothing fails: a call with net/http is one line. To tell what was executed from what was not, and to repeat only what may be repeated, and not too often, takes the %d lines of `reqresp`.", lines)
	}, false},
	{2, "Request-response is used by HTTP, DNS, SSH, RPC, SQL.", func(*callResults) (verdict, string) {
		return notMeasured, "a list of uses. interop's README lists those that run on the simulated network."
	}, false},
	{5, "Request-response is not for requests that take very long.", func(r *callResults) (verdict, string) {
		held, polled := r.all.jobs[jobRun{heldRequest}], r.all.jobs[jobRun{submitAndPoll}]
		return when(!held.done && polled.done, confirmed, refuted),
			fmt.Sprintf("10 min of work behind a proxy that waits for 60 s: a held request ends with %d after %s; submitted and polled, the work is done after %s.", held.status, span(held.took), span(polled.took))
	}, false},
	{6, "With request-response the answer is lost if the client disconnects.", func(r *callResults) (verdict, string) {
		plain, durable := r.leaves[leaveRun{"net/http"}], r.leaves[leaveRun{"async"}]
		return when(plain.begun == 2 && durable.begun == 1 && durable.done, onlyWhen, refuted),
			fmt.Sprintf("the call is not an operation: the server gives up the work on a plain request and begins anew when the client asks again (begun %d times, answered after %s); an operation continues in the meantime (begun %d times), and a client that comes back with its ID has the result after %s.",
				plain.begun, span(plain.took), durable.begun, span(durable.took))
	}, false},
	{7, "Who calls synchronously cannot work while it waits.", func(r *callResults) (verdict, string) {
		row, futures := r.waits[waitRun{callsInARow}], r.waits[waitRun{asFutures}]
		return when(row.meanwhile == 0 && futures.meanwhile > 0, confirmed, refuted),
			fmt.Sprintf("one call after the other: %d units of work in the meantime, blocked for %s of %s. As futures: %d units, blocked for %s of %s.",
				row.meanwhile, span(row.blocked), span(row.total), futures.meanwhile, span(futures.blocked), span(futures.total))
	}, false},
	{34, "Multiplexing: one connection is enough.", func(r *callResults) (verdict, string) {
		good, six := r.pages[pageRun{muxOne, 0}], r.pages[pageRun{http1Six, 0}]
		bad, badSix, quic := r.pages[pageRun{muxOne, 2}], r.pages[pageRun{http1Six, 2}], r.pages[pageRun{http3One, 2}]
		return when(good.page <= six.page && bad.page > badSix.page, onlyWhen, when(good.page <= six.page, confirmed, refuted)),
			fmt.Sprintf("nothing is lost: a page takes %s over one connection and %s over six; with 2 %% of the packets lost %s and %s, and %s over HTTP/3.",
				span(good.page), span(six.page), span(bad.page), span(badSix.page), span(quic.page))
	}, true},
	{34, "Retries make a service more reliable.", func(r *callResults) (verdict, string) {
		free, bound := r.tiers[tiersRun{false}], r.tiers[tiersRun{true}]
		return when(free.perCall() > 10 && bound.perCall() < 2, onlyWhen, refuted),
			fmt.Sprintf("there is a budget: three attempts in each of three tiers make %s attempts of a call when the last one refuses; with a budget of a tenth it is %s.", number(free.perCall()), number(bound.perCall()))
	}, false},
	{34, "A stateless service survives the death of a replica.", func(r *callResults) (verdict, string) {
		m, s, c := r.failover[failoverRun{inMemory}], r.failover[failoverRun{shared}], r.failover[failoverRun{signed}]
		return when(m.lost > 0 && s.lost == 0 && c.lost == 0, confirmed, refuted),
			fmt.Sprintf("of %d sessions on three replicas %d are lost if the replica keeps them in memory, %d in a shared store and %d in signed cookies, each of which has %d bytes instead of %d.", sessions, m.lost, s.lost, c.lost, c.cookie, s.cookie)
	}, false},
	{34, "A stateful service can be scaled by sticky routing.", func(r *callResults) (verdict, string) {
		p, m := r.moved[movedRun{rendezvous}], r.moved[movedRun{modulo}]
		return when(p.added < keysOfAll/8 && m.added > keysOfAll/2, onlyWhen, refuted),
			fmt.Sprintf("keys stay where they are when replicas come and go: adding one to ten replicas moves %d of %d keys with rendezvous hashing, %d with modulo.", p.added, keysOfAll, m.added)
	}, false},
	{34, "A sidecar hides the failure of a server.", func(r *callResults) (verdict, string) {
		with, without := r.mends[mendRun{"sidecar", callFaults[2].name}], r.mends[mendRun{"net/http", callFaults[2].name}]
		return when(with.failed == 0 && without.failed > 0, confirmed, refuted),
			fmt.Sprintf("while one of three servers is gone for 5 s %d calls fail with sidecars; with one server and without, %d.", with.failed, without.failed)
	}, false},
}
