package storm

import (
	"iter"
	"time"
)

// A Limit bounds a search for what is smaller.
type Limit struct {
	Tries int       // 0: any number
	Until time.Time // by the real clock, so that what is found when it comes depends on how busy the machine is
}

// A Shrinking is how a search went.
type Shrinking struct {
	Tries int
	Whole bool // nothing simpler fails; otherwise the limit has ended it
}

// Shrink goes from a case that fails on to the first of the simpler ones that fails too, as long as there is one.
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
