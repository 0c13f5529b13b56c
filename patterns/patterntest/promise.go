package patterntest

import (
	"fmt"
	"slices"
	"time"
)

// A Promise is one of those that a [System] must keep.
type Promise string

const (
	Complete Promise = "complete" // every accepted event arrives, or the client is notified of a gap
	Once     Promise = "once"     // no event arrives twice, unless the system says that it repeats: then not once the server must know that it has arrived
	Ordered  Promise = "ordered"  // events arrive in the order of their publication
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
