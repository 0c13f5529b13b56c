package retry

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// Jitter draws a duration from 0 to max, both included; 0 for a max of 0 or less. It is
// called concurrently.
type Jitter func(max time.Duration) time.Duration

// NoJitter always draws 0, so delays have their longest value. It is for tests
// that compute times; clients that use it all come back together.
func NoJitter(time.Duration) time.Duration { return 0 }

// Seeded returns a Jitter whose draws are uniform and repeat for the same seed.
func Seeded(seed uint64) Jitter {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(seed, 0x6c6f6e67706f6c6c))
	return func(max time.Duration) time.Duration {
		if max <= 0 {
			return 0
		}
		mu.Lock()
		defer mu.Unlock()
		return time.Duration(r.Uint64N(uint64(max) + 1))
	}
}

// Fork returns a Jitter that is seeded by one draw of j and draws independently from then on,
// so that the draws of clients that fail at one instant do not depend on which of them is
// first. A fork of [NoJitter] is NoJitter. It panics if j is nil.
func (j Jitter) Fork() Jitter {
	if j == nil {
		panic("retry: Jitter.Fork: the Jitter is nil: want a function, such as NoJitter")
	}
	seed := j(math.MaxInt64)
	if seed == 0 {
		return j
	}
	return Seeded(uint64(seed))
}

// OrSeeded returns j or, if j is nil, a Jitter seeded by the clock and the name of
// the client, which can be empty. Real processes start at different nanoseconds.
// Clients of a simulation start at the same instant in every run, and so repeat
// their draws; those without a name all draw the same.
func (j Jitter) OrSeeded(name string) Jitter {
	if j != nil {
		return j
	}
	seed := uint64(time.Now().UnixNano())
	if name != "" {
		h := fnv.New64a()
		h.Write([]byte(name))
		seed ^= h.Sum64()
	}
	return Seeded(seed)
}
