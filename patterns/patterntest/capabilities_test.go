package patterntest_test

import (
	"slices"
	"strings"

	"github.com/squall-sim/squall/patterns/patterntest"
)

// The ledger with what few systems have, and the flaws in that.

// fencing is a ledger where the last of several clients under one name gets events.
var fencing = ledger{greet: takesOver, claims: patterntest.System{Fences: true}}

// takesOver ends the session of another run under the same name, and refuses a run that has been
// replaced.
func takesOver(s *ledgerServer, c *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.beaten[c.run] {
		return false
	}
	if old := s.current[c.name]; old != nil && old.run != c.run {
		s.beaten[old.run] = true
		old.cancel()
	}
	s.current[c.name] = c
	return true
}

// takesOverAgain has whoever comes last win.
func takesOverAgain(s *ledgerServer, c *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.current[c.name]; old != nil && old.run != c.run {
		old.cancel()
	}
	s.current[c.name] = c
	return true
}

// firstComeFirstServed refuses a second client under the name of one that is there.
func firstComeFirstServed(s *ledgerServer, c *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.current[c.name]; old != nil && old.run != c.run && old.ended.Err() == nil {
		return false
	}
	s.current[c.name] = c
	return true
}

func everybodys(_ *session, all []entry) []entry { return all }

// alike takes who begins alike for the same.
func alike(c *session, all []entry) (some []entry) {
	for _, e := range all {
		if strings.HasPrefix(c.name, e.To) {
			some = append(some, e)
		}
	}
	return some
}

// backlogForAll looks at who may see an event when it comes, and not at what has been waiting.
func backlogForAll(c *session, all []entry) []entry {
	if c.sent.IsZero() {
		return all
	}
	return theirs(c, all)
}

// newestOfEach leaves out what a later entry of the page makes up for.
func newestOfEach(_ *session, all []entry) (some []entry) {
	for i, e := range all {
		if e.Key == "" || !slices.ContainsFunc(all[i+1:], func(later entry) bool { return later.Key == e.Key }) {
			some = append(some, e)
		}
	}
	return some
}

// firstOfEach leaves out what changes within a page.
func firstOfEach(_ *session, all []entry) (some []entry) {
	for i, e := range all {
		if e.Key == "" || !slices.ContainsFunc(all[:i], func(earlier entry) bool { return earlier.Key == e.Key }) {
			some = append(some, e)
		}
	}
	return some
}

// newestOfAll takes one value for all that there is.
func newestOfAll(_ *session, all []entry) []entry { return all[max(0, len(all)-1):] }

// byKey sends the entries of a page key by key.
func byKey(_ *session, all []entry) []entry {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b entry) int { return strings.Compare(a.Key, b.Key) })
	return all
}

// shuffledInTwo sends the second half of a page first.
func shuffledInTwo(_ *session, all []entry) []entry {
	return slices.Concat(all[len(all)/2:], all[:len(all)/2])
}

// What the contract finds.
var brokenCapabilities = []flaw{
	{"everybody gets what is for one", ledger{named: true, choose: everybodys}.on, "events for one client alone", patterntest.Private,
		"e4 reached pod at 1.84s, but only pod.a may see it (and 15 more)"},
	{"names that begin alike are one to the server", ledger{named: true, choose: alike}.on, "events for one client alone", patterntest.Private,
		"e2 reached pod.a at 1.44s, but only pod may see it (and 7 more)"},
	{"what waits for one is sent to others who come back", ledger{named: true, choose: backlogForAll}.on, "events for one client alone, which is away", patterntest.Private,
		"e17 reached pod at 8.76s, but only pod.a may see it (and 5 more)"},
	{"both clients under a name get events", ledger{claims: patterntest.System{Fences: true}}.on, "another client comes under the same name", patterntest.Fenced,
		"e4, published at 3.8s, reached phone at 3.84s, but phone-again had come under its name before (and 19 more)"},
	{"a client under a name that is taken is refused", ledger{greet: firstComeFirstServed, claims: patterntest.System{Fences: true}}.on, "another client comes under the same name", patterntest.Fenced,
		"e4, published at 3.8s, reached phone at 3.84s, but phone-again had come under its name before (and 19 more)"},
	{"a client that was replaced wins its name back", ledger{greet: takesOverAgain, claims: patterntest.System{Fences: true}}.on,
		"a client comes back that was replaced while it was out of reach", patterntest.Fenced,
		"e39, published at 3m3.8s, reached phone at 3m3.84s, but phone-again had come under its name before (and 12 more)"},
	{"events of one key overtake each other", ledger{keyed: true, choose: shuffledInTwo, claims: patterntest.System{KeysOnly: true}}.on, "events of seven keys", patterntest.Ordered,
		"e154… reached phone at 50.195399s, after e238…, which was published later (and 63 more)"},
	{"events of one key keep their order, others do not, and the system does not say so", ledger{keyed: true, choose: byKey}.on, "events of seven keys", patterntest.Ordered,
		"e155… reached phone at 50.195399s, after e238…, which was published later (and 102 more)"},
	{"the server keeps the first of the values that it may leave out", ledger{keyed: true, choose: firstOfEach, claims: patterntest.System{Conflates: true}}.on,
		"values change faster than a client reads", patterntest.Complete,
		"e42…, accepted at 11.42s, had not reached slow 3m0s after all faults were over, and slow was told of no gap (and 271 more)"},
	{"the server keeps the newest of all values, whatever they are of", ledger{keyed: true, choose: newestOfAll, claims: patterntest.System{Conflates: true}}.on,
		"values change faster than a client reads", patterntest.Complete,
		"e38…, accepted at 11.34s, had not reached slow 3m0s after all faults were over, and slow was told of no gap (and 223 more)"},
	{"the server leaves out old values, and does not say so", ledger{keyed: true, choose: newestOfEach}.on, "events of seven keys", patterntest.Complete,
		"e154…, accepted at 4.9s, had not reached phone 3m0s after all faults were over, and phone was told of no gap (and 109 more)"},
}
