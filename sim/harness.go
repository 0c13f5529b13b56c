package sim

import "sync/atomic"

// A harness is what the surroundings of a network know about it: the test that it is for, and the watchdog.
// Both look at it from outside the bubble.
type harness struct {
	self     *atomic.Pointer[Network]  // the network for timers of the bubble, which may outlive it; nil at the end
	run      atomic.Pointer[bubbleRun] // of the network; nil on the wall clock
	bubbleID string                    // number of the bubble
	own      int                       // goroutines that run the bubble, as the scheduler of exact mode counts them
	crypto   *cryptoStream             // nil if the process draws from the seed
	witness  *witness                  // nil in ordinary runs
	pulse    pulse
	steps    atomic.Uint64 // of the engine
	frozen   atomic.Int64  // how often the watchdog moved the clock
	dead     atomic.Bool   // the bubble was abandoned
	told     atomic.Bool   // the report was printed before the end
	reported atomic.Bool   // the end of the test was reported
}
