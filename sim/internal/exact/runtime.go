//go:build squall_exact

package exact

import (
	"sync"
	"unsafe"
)

// Enabled says whether this is exact mode.
const Enabled = true

// Enrol has the runtime schedule the bubble of the calling goroutine, which must not have started any other
// yet. It says whether that is so.
func Enrol(seed uint64, p Policy) bool { return squallEnrol(seed, p.kind, p.preempt, p.depth) }

// Now is the schedule so far, of the bubble of the calling goroutine.
func Now() Schedule {
	var s Schedule
	s.Hash, s.Turns, s.Points, s.Forced = squallStats()
	return s
}

// Goroutines is how many goroutines the bubble of the calling one has, those that run it included; 0 if it is not scheduled.
func Goroutines() int { return int(squallGoroutines()) }

// BubbleID is the number of the calling goroutine's bubble, scheduled or not, as stack dumps have it; 0 outside bubbles.
func BubbleID() uint64 { return squallBubbleID() }

// Time is what the clock of the calling goroutine's bubble shows, in nanoseconds since 1970; 0 outside bubbles.
func Time() int64 { return squallTime() }

// AwaitTurn blocks the calling goroutine, the network's, until all goroutines of its bubble are blocked, at this very instant if
// [AskTurn] was called, or at that of [SetAlarm], to which the clock is moved. The program's timers of an instant come first, and so does,
// before the clock is moved, who is in synctest.Wait.
func AwaitTurn() { squallAwaitTurn() }

// TakesTurn says whether AwaitTurn would return if the calling goroutine were blocked and had released a lock, which it holds. It does
// not then: the turn is the caller's.
func TakesTurn(held *sync.Mutex) bool { return squallTakesTurn(unsafe.Pointer(held)) }

// AskTurn has AwaitTurn return at this very instant.
func AskTurn() { squallAskTurn() }

// SetAlarm has AwaitTurn return at an instant, in nanoseconds since 1970 as the bubble's clock shows them, and not at that of an
// earlier call; 0 stands for none.
func SetAlarm(at int64) { squallSetAlarm(at) }

// Rests says whether no goroutine of the program is away, by the policy slow: one that is computes, and is not blocked. If one is, AwaitTurn
// returns when the last of them is back and all are blocked again.
func Rests() bool { return squallRests() }

// Promptly runs a function of the program in the midst of the network's work: the policy slow does not have it away.
func Promptly(f func()) {
	squallPrompt(true)
	defer squallPrompt(false)
	f()
}

// A Thread is what the race detector takes a goroutine for.
type Thread struct {
	context uintptr
	closed  int8 // how often it has closed its eyes
}

// NewThread makes one, which is there until the bubble of the calling goroutine ends. Now is known to it what is known to that goroutine, unless
// it has closed its eyes.
//
//go:norace
func NewThread() Thread { return Thread{context: squallNewThread()} }

// Become has the calling goroutine be another thread, and returns which one it was. It is called by functions that the detector does not watch.
//
//go:norace
func Become(t Thread) (was Thread) {
	was.context, was.closed = squallBecome(t.context, t.closed)
	return was
}

// Tell has whoever waits for the goroutines of the bubble in synctest.Wait, and for its end, know what the calling thread has done, as if it had
// blocked.
func Tell() { squallTell() }

// A Bubble is one that is scheduled, for goroutines outside.
type Bubble struct {
	bubble unsafe.Pointer
	last   uint64
}

// ThisBubble is that of the calling goroutine.
func ThisBubble() *Bubble { return &Bubble{bubble: squallBubbleOf()} }

// Unstick lets others run if one goroutine is in the system call in which it was when this was called last. For
// one caller.
func (b *Bubble) Unstick() {
	if b.bubble != nil {
		b.last = squallUnstick(b.bubble, b.last)
	}
}

// Note has the scheduler of the calling goroutine's bubble note its decisions, while there is room. The nth is that of the nth
// decision: the number of the goroutine that was next, or, in the uppermost bit, that a place was passed where one could be
// preempted, and how far from the [Beginning] of the program that is. 15 bits from the 48th say how many others were ready.
func Note(decisions []uint64) { squallNote(decisions) }

// Beginning is that of the program's code.
func Beginning() uintptr { return squallBeginning() }

//go:linkname squallNewThread runtime.squallNewThread
func squallNewThread() uintptr

//go:linkname squallBecome runtime.squallBecome
func squallBecome(context uintptr, closed int8) (was uintptr, wasClosed int8)

//go:linkname squallTell runtime.squallTell
func squallTell()

//go:linkname squallBubbleID runtime.squallBubbleID
func squallBubbleID() uint64

//go:linkname squallTime runtime.squallTime
func squallTime() int64

//go:linkname squallAwaitTurn runtime.squallAwaitTurn
func squallAwaitTurn()

//go:linkname squallTakesTurn runtime.squallTakesTurn
func squallTakesTurn(held unsafe.Pointer) bool

//go:linkname squallAskTurn runtime.squallAskTurn
func squallAskTurn()

//go:linkname squallSetAlarm runtime.squallSetAlarm
func squallSetAlarm(at int64)

//go:linkname squallRests runtime.squallRests
func squallRests() bool

//go:linkname squallPrompt runtime.squallPrompt
func squallPrompt(is bool)

//go:linkname squallNote runtime.squallNote
func squallNote(notes []uint64)

//go:linkname squallBeginning runtime.squallBeginning
func squallBeginning() uintptr

//go:linkname squallEnrol runtime.squallEnrol
func squallEnrol(seed uint64, policy uint8, preempt, depth uint32) bool

//go:linkname squallStats runtime.squallStats
func squallStats() (hash, turns, points, forced uint64)

//go:linkname squallGoroutines runtime.squallGoroutines
func squallGoroutines() uint32

//go:linkname squallBubbleOf runtime.squallBubbleOf
func squallBubbleOf() unsafe.Pointer

//go:linkname squallUnstick runtime.squallUnstick
func squallUnstick(bubble unsafe.Pointer, last uint64) uint64
