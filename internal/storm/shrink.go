package storm

import (
	"iter"
	"time"
)

// A Limit bounds the search for a smaller case.
type Limit struct {
	Tries int       // 0: any number
	Until time.Time // by the real clock, so that the result depends on how busy the machine is
}

// A Shrinking reports how a search went.
type Shrinking struct {
	Tries int
	Whole bool // nothing simpler fails; otherwise the limit ended the search
}

// Shrink replaces a failing case by the first simpler case that fails too, and repeats this as long as there is one.
func Shrink[S any](least S, smaller func(S) iter.Seq[S], fails func(S) bool, limit Limit) (S, Shrinking) {
	var did Shrinking
	for better := true; better; {
		better = false
		for s := range smaller(least) {
			if limit.Tries > 0 && did.Tries == limit.Tries || time.Now().After(limit.Until) {
				return least, did
			}
			did.Tries++
			if fails(s) {
				least, better = s, true
				break
			}
		}
	}
	did.Whole = true
	return least, did
}
