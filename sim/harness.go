package sim

import "sync/atomic"

// A harness is what those around a network keep of it: the test that it is made for, and the
// watchdog, which look at it from outside the bubble.
type harness struct {
	self     *atomic.Pointer[Network]  // for timers of the bubble, which may stay behind with it; nil at the end
	run      atomic.Pointer[bubbleRun] // that the network is made for; nil on the wall clock
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
