package patterntest

import (
	"fmt"
	"slices"
	"time"
)

// A Promise is one of those that a [System] or a [Service] must keep.
type Promise string

// The promises of [Delivery]. Obedient, Bounded, Gentle and, of streams, Ordered are those of [Call], too.
const (
	Complete Promise = "complete" // every accepted event arrives, or the client is notified of a gap
	Once     Promise = "once"     // no event arrives twice, unless the system says that it repeats: then not once the server must know that it has arrived
	Ordered  Promise = "ordered"  // events arrive in the order of their publication, and the parts of a stream in that in which they were written
	Durable  Promise = "durable"  // a system that says so has no gap, whatever restarts
	Genuine  Promise = "genuine"  // what arrives is what was published, to the byte
	Prompt   Promise = "prompt"   // over a good network events arrive within the bound, whatever others suffer; so does Publish return
	Calm     Promise = "calm"     // no client is notified of a gap without a cause
	Bounded  Promise = "bounded"  // what the server holds for slow clients has a limit, and no connection leaves goroutines or connections behind
	Open     Promise = "open"     // a server that has run for a second accepts events, if they are short and text
	Fresh    Promise = "fresh"    // no event arrives after its time is over
	Counted  Promise = "counted"  // what was accepted and did not arrive is in the server's account
	Obedient Promise = "obedient" // a server or client that is asked to stop does so within 10 s, and a client then gets nothing more
	Shared   Promise = "shared"   // each event is one worker's of a group, and what it has handled nobody else's
	Settled  Promise = "settled"  // an event whose handler fails comes again, as often as was said
	Private  Promise = "private"  // no event reaches a client that may not see it
	Fenced   Promise = "fenced"   // once another client has come under its name, a client gets nothing that is published then
	Gentle   Promise = "gentle"   // clients neither try in a hot loop, nor in vain as often as at first, nor come back all at once, and idle ones send little
)

// The promises of [Call], beside Obedient, Bounded, Gentle and Ordered.
const (
	Truthful  Promise = "truthful"  // each call ends, within a second of its caller's patience, as done, not executed or unknown, and that is true
	Single    Promise = "single"    // a call takes effect once at most, and those under one key together
	Matched   Promise = "matched"   // an answer reaches only the call that asked, and all calls under one key have the same
	Whole     Promise = "whole"     // what is cut short is an error, and never a shorter question or answer; nor is anything else changed
	Wary      Promise = "wary"      // a connection over which nothing comes any more is not used again
	Answering Promise = "answering" // a call over a good network is done within the bound, and each part of a stream comes within it; and after all faults are over every caller can call again
	Timely    Promise = "timely"    // what is left of a caller's time shrinks from server to server, and nothing begins when it is over
	Cancelled Promise = "cancelled" // what the caller has given up is not worked on for longer than a round trip
	Thrifty   Promise = "thrifty"   // servers see no more attempts than calls and the budget of retries, in any time
	Patient   Promise = "patient"   // a client that is told when to ask again does so then, and not before
	Drained   Promise = "drained"   // what a server has begun when it is asked to stop it finishes and answers
	Lasting   Promise = "lasting"   // what a durable service has taken it does, although it crashes
	Isolated  Promise = "isolated"  // a dead or slow replica does not take the others along
	Healed    Promise = "healed"    // when an overload is over all is as before

	Linearizable Promise = "linearizable" // the answers about an object are those of some order in which its calls came one after the other
)

// A Breach is a promise that was broken, in a sentence.
type Breach struct {
	Promise Promise // which one
	Text    string  // who, when and what

	who string        // of the clients, or a group; "": all
	at  time.Duration // when
}

// String returns both, in a line.
func (b Breach) String() string { return string(b.Promise) + ": " + b.Text }

// findings collects breaches.
type findings struct{ all []finding }

type finding struct {
	promise    Promise
	who, first string
	at         time.Duration
	more       int
}

// add notes that a promise was broken at the first time that the text names.
func (f *findings) add(p Promise, who, format string, args ...any) {
	at := time.Duration(0)
	if i := slices.IndexFunc(args, func(arg any) bool { _, is := arg.(time.Duration); return is }); i >= 0 {
		at = args[i].(time.Duration)
	}
	f.addAt(at, p, who, format, args...)
}

// addAt is add at another time.
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
