package patterntest_test

import (
	"time"

	"github.com/squall-sim/squall/patterns/patterntest"
)

// firstInLine takes an answer for that to the oldest call that waits.
func firstInLine(k *lineConn, f frame) int {
	if len(k.order) == 0 {
		return f.Number
	}
	return k.order[0]
}

// Broken lines.
var brokenLines = []callFlaw{
	{"the client takes answers in the order of its questions", line{match: firstInLine}.on,
		"calls at a time", patterntest.Matched, "phone got at * the answer to * for c1 (and * more)"},
	{"the client takes a late answer for the next one", line{match: firstInLine, forgets: func(k *lineConn, number int) {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.waiting, number)
		for i, n := range k.order {
			if n == number {
				k.order = append(k.order[:i], k.order[i+1:]...)
				break
			}
		}
	}}.on, "patience ends about when the answer comes", patterntest.Matched, "phone got at * the answer to * for * (and * more)"},
	{"the client's numbers begin again after two", line{number: func(nth int) int { return 1 + nth%2 }, claims: func(s *patterntest.Service) { s.Cancels = false }}.on,
		"bad links", patterntest.Matched, "phone* got at * the answer to * for **"},
	{"the client sends again what has no answer when the line is cut", line{again: true}.on,
		"the connection breaks on the answer", patterntest.Single, "c2 took effect at * and again at *"},
	{"the server executes the calls of a line one after the other", line{inTurn: true, claims: func(s *patterntest.Service) { s.Cancels = false }}.on,
		"calls at a time", patterntest.Answering, "c2, asked by phone at *, took * over a good network; * is promised (and * more)"},
	{"nobody asks whether the other end is alive", line{silent: true}.on,
		"connections go silent", patterntest.Wary, "*, asked by phone at *, was unknown, since it used a connection that was silent since * and on which a call had failed at * (and * more)"},
	{"the client cuts the line when a call takes too long", line{expires: func(k *lineConn) { k.conn.Close() }}.on,
		"a slow call beside quick ones", patterntest.Answering, "*, asked by phone at * over a good network, was unknown at * (the line is cut)*"},
	{"one who does not read keeps all from writing", line{shared: true}.on,
		"one caller of three does not read its answers", patterntest.Answering, "*, asked by * over a good network*"},
	{"the client makes a line once", line{once: true}.on,
		"the server crashes while it works", patterntest.Answering, "no call of phone was done within 3m0s after all faults were over"},
	{"the client waits as long as there is a line", line{deaf: true, silent: true, claims: func(s *patterntest.Service) { s.Cancels = false }}.on,
		"the server loses power while it works", patterntest.Truthful, "*, asked by phone at *, * although it waits only until * (and * more)"},
}

// Broken clerks.
var brokenClerks = []callFlaw{
	{"the server has its jobs in memory", clerk{inMemory: true}.on, "the server restarts while it works for long", patterntest.Lasting,
		"c1, asked by phone at * and begun at *, was unknown, although server came back at * and keeps what it has taken (and * more)"},
	{"the client gives up when it cannot ask how its job stands", clerk{impatient: true}.on, "the server restarts while it works for long", patterntest.Lasting,
		"c1, asked by phone at * and begun at *, was unknown, although server came back at * and keeps what it has taken (and * more)"},
	{"the server numbers its jobs from 1 in each life", clerk{inMemory: true, numbered: true, claims: func(s *patterntest.Service) { s.Keys, s.Durable = nil, false }}.on,
		"the server restarts, and is asked as much again at once", patterntest.Matched, "phone got at * the answer to * for c1 (and * more)"},
	{"a result is on the disk a little later", clerk{late: 20 * time.Millisecond}.on, "the server crashes right after the effect", patterntest.Single,
		"* took effect at * and again at *"},
	{"a job that takes long is given to another worker", clerk{lease: 5 * time.Second}.on, "the server restarts while it works for long", patterntest.Single,
		"* took effect at * and again at *"},
	{"a result that was read is gone", clerk{readOnce: true}.on, "a key that was used", patterntest.Single,
		"* took effect at * and again at *"},
}
