package patterntest_test

import (
	"slices"
	"time"

	"github.com/squall-sim/squall/patterns/patterntest"
)

// The flaws that are built into the depot.

// toAll gives each parcel to all workers.
func toAll(s *depotServer, q *queue, p *parcel) []*depotWorker { return s.of(q) }

// toTheFirst leaves the others in reserve.
func toTheFirst(s *depotServer, q *queue, p *parcel) []*depotWorker {
	all := s.of(q)
	return all[:min(1, len(all))]
}

// toTheIdle does not look at keys.
func toTheIdle(s *depotServer, q *queue, _ *parcel) []*depotWorker { return s.leastBusy(q) }

// byFixedKey gives each key one of four workers, who may not be there.
func byFixedKey(s *depotServer, q *queue, p *parcel) []*depotWorker {
	if p.key == "" {
		return inTurn(s, q, p)
	}
	all := s.of(q)
	at := int(p.key[len(p.key)-1]-'0') % 4
	return all[min(at, len(all)):min(at+1, len(all))]
}

// countsAsDone lets go of a parcel.
func countsAsDone(_ *depotServer, p *parcel) { p.done = true }

// startsOver takes all parcels from the workers when another has come.
func startsOver(_ *depotServer, q *queue) {
	for _, p := range q.parcels[q.first:] {
		if p.with != nil {
			p.with.has--
			p.with = nil
		}
	}
}

// forgetsDone has no parcel done when it starts.
func forgetsDone(s *depotServer) {
	for _, q := range s.queues {
		q.first = 0
		for _, p := range q.parcels {
			p.done = false
		}
	}
}

// neverTiresOf tries a parcel again for ever.
func neverTiresOf(_ *depotServer, p *parcel) { p.with, p.notBefore = nil, time.Now().Add(time.Second) }

// atTheFirstFailure gives a parcel up.
func atTheFirstFailure(_ *depotServer, p *parcel) { p.done, p.gaveUp = true, true }

// leavesItThere waits for a worker to say more.
func leavesItThere(_ *depotServer, p *parcel) {
	p.with = &depotWorker{}
	p.since = time.Now().Add(1000 * time.Hour)
}

// allButTheNewest leaves out what there is a newer parcel of.
func allButTheNewest(q *queue, p *parcel) bool {
	return p.key != "" && slices.ContainsFunc(q.parcels[p.id:], func(later *parcel) bool { return later.key == p.key })
}

// allButTheFirst leaves out what comes while an older one waits.
func allButTheFirst(q *queue, p *parcel) bool {
	return p.key != "" && slices.ContainsFunc(q.parcels[q.first:p.id-1], func(older *parcel) bool { return older.key == p.key && !older.done })
}

// whateverIsOld leaves out what there is a newer parcel of anything of.
func whateverIsOld(q *queue, p *parcel) bool { return p.key != "" && p.id < len(q.parcels) }

func none(int) int { return 0 }

// asAStack is a stack.
func asAStack(s *depotServer, q *queue, p *parcel) []*depotWorker {
	rest := q.parcels[p.id:]
	if slices.ContainsFunc(rest, func(later *parcel) bool { return !later.done && later.key == p.key }) {
		return nil
	}
	return s.leastBusy(q)
}

// What the contract finds in the depot's flaws.
var brokenDepots = []flaw{
	{"all workers get each event", depot{choose: toAll}.on, "three workers share the events", patterntest.Shared, "e1 reached two at 2.64s, although one had it at 2.64s (and 599 more)"},
	{"one worker gets all events", depot{choose: toTheFirst}.on, "three workers share the events", patterntest.Shared, "two got none of the 300 events that were published while 3 workers shared them"},
	{"workers in a group get the events of one key side by side", depot{choose: toTheIdle}.on, "workers die, stall and are cut off", patterntest.Ordered, "e221 reached steady at 1m33.314s, after e381 of the same key, which was published later (and 8 more)"},
	{"keys belong to a worker, whether it is there or not", depot{choose: byFixedKey}.on, "workers die, stall and are cut off", patterntest.Complete, "e263, accepted at 1m14.962s, had not reached any of the 4 workers 3m0s after all faults were over (and 43 more)"},
	{"a worker that comes has the others' events delivered again", depot{joined: startsOver}.on, "workers come and go", patterntest.Shared, "e100 reached one at 5.960007s again, although one had it at 5.889s (and 3 more)"},
	{"what a worker had goes with it", depot{gone: countsAsDone, ackWait: -1}.on, "workers die, stall and are cut off", patterntest.Complete, "e221, accepted at 1m12.82s, had not reached any of the 4 workers 3m0s after all faults were over (and 8 more)"},
	{"the server forgets what was done when it starts", depot{begin: forgetsDone}.on, "workers die, stall and are cut off", patterntest.Shared, "e1 reached stalls at 3m42.500752s, although steady had handled it at 1.79s; by 1m11.8s the server knew (and 99 more)"},
	{"a failure counts as success", depot{failed: countsAsDone}.on, "a handler fails now and then", patterntest.Settled, "e3, accepted at 1.2s, reached one at 1.24s, which did not get it done (failure 1), and has not come again (and 7 more)"},
	{"what has failed waits for its worker", depot{failed: leavesItThere}.on, "a handler fails now and then", patterntest.Settled, "e3, accepted at 1.2s, reached one at 1.24s, which did not get it done (failure 1), and has not come again (and 7 more)"},
	{"an event that nobody can handle is tried for ever", depot{failed: neverTiresOf}.on, "an event that nobody can handle", patterntest.Settled, "e5 reached one at 8.44s, for the 4th time; after 3 failures it is to be given up (and 413 more)"},
	{"an event is given up at its first failure", depot{failed: atTheFirstFailure}.on, "an event that nobody can handle", patterntest.Settled, "e5, accepted at 4.4s, reached one at 4.44s, which did not get it done (failure 1), and has not come again (and 1 more)"},
	{"what is given up is not counted", depot{dead: none}.on, "an event that nobody can handle", patterntest.Counted, "2 events failed 3 times; the server says that it has given up 0"},
	{"a worker that hangs keeps its events", depot{ackWait: -1}.on, "a handler hangs", patterntest.Settled,
		"e10, accepted at 1.709s, reached one at 1.749s, which did not get it done (failure 1), and has not come again"},
	{"an event is taken from a worker that is busy", depot{ackWait: 2 * time.Second}.on, "handlers are slow", patterntest.Shared, "e6… reached slow at 7.54s again, although slow had it at 4.74s (and 341 more)"},
	{"the first of the values waits for a worker, and others are left out", depot{spares: allButTheFirst, claims: patterntest.System{Conflates: true}}.on,
		"values change faster than a worker works", patterntest.Complete, "e17…, accepted at 10.52s, had not reached any of the 1 workers 3m0s after all faults were over (and 177 more)"},
	{"the newest of all values waits for a worker, whatever it is of", depot{spares: whateverIsOld, claims: patterntest.System{Conflates: true}}.on,
		"values change faster than a worker works", patterntest.Complete, "e17…, accepted at 10.52s, had not reached any of the 1 workers 3m0s after all faults were over (and 177 more)"},
	{"old values are left out for workers, and the system does not say so", depot{spares: allButTheNewest}.on, "workers die, stall and are cut off", patterntest.Complete, "e221, accepted at 1m12.82s, had not reached any of the 4 workers 3m0s after all faults were over (and 79 more)"},
	{"the newest event of a key comes first", depot{choose: asAStack}.on, "workers die, stall and are cut off", patterntest.Ordered, "e361 reached steady at 1m22.964s, after e381 of the same key, which was published later (and 78 more)"},
}
