package patterntest

import (
	"fmt"
	"slices"
	"time"
)

// A Promise is a rule that a [System] or a [Service] must keep.
type Promise string

// The promises of [Delivery]. Obedient, Bounded, Gentle and, for streams, Ordered are also promises of [Call].
const (
	Complete Promise = "complete" // every accepted event arrives, or the client is notified of a gap
	Once     Promise = "once"     // no event arrives twice; with System.Repeats, none arrives again once the server must know that it arrived
	Ordered  Promise = "ordered"  // events arrive in the order of their publication, and the parts of a stream in the order in which they were written
	Durable  Promise = "durable"  // a system with System.Durable has no gap, whatever restarts
	Genuine  Promise = "genuine"  // what arrives is what was published, byte for byte
	Prompt   Promise = "prompt"   // over a good network events arrive within System.Bound, whatever happens to other clients; Publish returns within System.PublishTimeout
	Calm     Promise = "calm"     // no client is notified of a gap without a cause
	Bounded  Promise = "bounded"  // what the server holds for slow clients is limited, and connections leave no goroutines or connections behind
	Open     Promise = "open"     // a server that has run for a second accepts events that are short text
	Fresh    Promise = "fresh"    // no event arrives after it has expired
	Counted  Promise = "counted"  // the server's account contains every accepted event that did not arrive
	Obedient Promise = "obedient" // a server or client that is asked to stop does so within 10 s, and a stopped client gets nothing more
	Shared   Promise = "shared"   // each event goes to one worker of a group, and after it was handled to no other
	Settled  Promise = "settled"  // an event whose handler fails is delivered again, up to Work.MaxAttempts
	Private  Promise = "private"  // no event reaches a client that may not see it
	Fenced   Promise = "fenced"   // once another client has connected under its name, a client gets nothing that is published later
	Gentle   Promise = "gentle"   // clients do not dial in a hot loop, dial less often during a long outage, do not come back all at once, and send little when idle
)

// The promises of [Call], in addition to Obedient, Bounded, Gentle and Ordered.
const (
	Truthful  Promise = "truthful"  // each call ends within a second of its caller's timeout, as done, not executed or unknown, and that is true
	Single    Promise = "single"    // a call takes effect at most once, and so do all calls with one key together
	Matched   Promise = "matched"   // an answer reaches only the call that asked, and all calls with one key get the same answer
	Whole     Promise = "whole"     // a truncated question or answer is an error, and nothing else in them changes either
	Wary      Promise = "wary"      // a connection that has gone silent is not used again
	Answering Promise = "answering" // over a good network a call is done within Service.Bound, and so is each part of a stream; after all faults have ended every caller can call again
	Timely    Promise = "timely"    // the time left for a call shrinks from server to server, and no work begins after it is over
	Cancelled Promise = "cancelled" // work on a call that its caller gave up ends within a round trip
	Thrifty   Promise = "thrifty"   // in any period, servers see no more attempts than calls plus the retry budget
	Patient   Promise = "patient"   // a client that is told when to retry does so then, and not earlier
	Drained   Promise = "drained"   // a server that is asked to stop finishes and answers what it has begun
	Lasting   Promise = "lasting"   // a durable service executes what it has taken, even if it crashes
	Isolated  Promise = "isolated"  // a dead or slow replica does not affect the others
	Healed    Promise = "healed"    // after an overload has ended, everything works as before

	Linearizable Promise = "linearizable" // the answers about an object fit some order in which its calls ran one after another
)

// A Breach is a broken promise, described in a sentence.
type Breach struct {
	Promise Promise // the promise that was broken
	Text    string  // who, when and what

	who string        // of the clients, or a group; "": all
	at  time.Duration // when
}

// String returns the promise and the text in one line.
func (b Breach) String() string { return string(b.Promise) + ": " + b.Text }

// findings collects breaches.
type findings struct{ all []finding }

type finding struct {
	promise    Promise
	who, first string
	at         time.Duration
	more       int
}

// add records a broken promise. Its time is the first time among the arguments.
func (f *findings) add(p Promise, who, format string, args ...any) {
	at := time.Duration(0)
	if i := slices.IndexFunc(args, func(arg any) bool { _, is := arg.(time.Duration); return is }); i >= 0 {
		at = args[i].(time.Duration)
	}
	f.addAt(at, p, who, format, args...)
}

// addAt is add with an explicit time.
func (f *findings) addAt(at time.Duration, p Promise, who, format string, args ...any) {
	for i := range f.all {
		if f.all[i].promise == p && f.all[i].who == who {
			f.all[i].more++
			return
		}
	}
	for i, arg := range args {
		if d, ok := arg.(time.Duration); ok {
			args[i] = d.Round(tie)
		}
	}
	f.all = append(f.all, finding{promise: p, who: who, at: at, first: fmt.Sprintf(format, args...)})
}

func (f *findings) breaches() []Breach {
	var all []Breach
	for _, x := range f.all {
		b := Breach{Promise: x.promise, Text: x.first, who: x.who, at: x.at}
		if x.more > 0 {
			b.Text += fmt.Sprintf(" (and %d more)", x.more)
		}
		all = append(all, b)
	}
	return all
}
