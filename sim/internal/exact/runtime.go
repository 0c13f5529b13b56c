//go:build squall_exact

package exact

import (
	"sync"
	"unsafe"
)

// Enabled reports whether this is exact mode.
const Enabled = true

// Enrol makes the runtime schedule the bubble of the calling goroutine, which must not have started another goroutine yet. It reports
// whether it succeeded.
func Enrol(seed uint64, p Policy) bool { return squallEnrol(seed, p.kind, p.preempt, p.depth) }

// Now returns the schedule so far of the calling goroutine's bubble.
func Now() Schedule {
	var s Schedule
	s.Hash, s.Turns, s.Points, s.Forced = squallStats()
	return s
}

// Goroutines returns the number of goroutines in the calling goroutine's bubble, including those that run the bubble. It returns 0 if the
// runtime does not schedule the bubble.
func Goroutines() int { return int(squallGoroutines()) }

// BubbleID returns the number of the calling goroutine's bubble, as it appears in stack dumps, whether or not the runtime schedules it. It
// returns 0 outside bubbles.
func BubbleID() uint64 { return squallBubbleID() }

// Time returns the time on the clock of the calling goroutine's bubble, in nanoseconds since 1970. It returns 0 outside bubbles.
func Time() int64 { return squallTime() }

// AwaitTurn blocks the calling goroutine, which is the network's, until all other goroutines of its bubble are blocked. It returns at this
// very instant if [AskTurn] was called, or otherwise at the instant of [SetAlarm], to which it moves the clock. The program's timers of an
// instant run first. A goroutine in synctest.Wait runs before the clock moves.
func AwaitTurn() { squallAwaitTurn() }

// TakesTurn reports whether AwaitTurn would return if the calling goroutine were blocked and had released the lock held. If TakesTurn
// returns true, AwaitTurn does not return: the caller has the turn.
func TakesTurn(held *sync.Mutex) bool { return squallTakesTurn(unsafe.Pointer(held)) }

// AskTurn makes AwaitTurn return at this very instant.
func AskTurn() { squallAskTurn() }

// SetAlarm makes AwaitTurn return at an instant, in nanoseconds since 1970 by the bubble's clock. It replaces the instant of an earlier
// call. 0 means no instant.
func SetAlarm(at int64) { squallSetAlarm(at) }

// Rests reports whether the policy slow has sent no goroutine of the program away. A goroutine that is away is computing, and is not
// blocked. If Rests returns false, AwaitTurn returns when the last such goroutine is back and all are blocked again.
func Rests() bool { return squallRests() }

// Promptly runs a function of the program in the middle of the network's work. The policy slow does not send it away.
func Promptly(f func()) {
	squallPrompt(true)
	defer squallPrompt(false)
	f()
}

// A Thread is the identity of a goroutine for the race detector.
type Thread struct {
	context uintptr
	closed  int8 // how many nested calls have disabled the detector
}

// NewThread makes a thread, which exists until the bubble of the calling goroutine ends. For the detector, everything that the calling goroutine
// has done up to this moment, unless it has disabled the detector, happens before everything that the thread does.
//
//go:norace
func NewThread() Thread { return Thread{context: squallNewThread()} }

// Become makes the calling goroutine another thread, and returns the previous one. Only functions that the detector does not watch may call it.
//
//go:norace
func Become(t Thread) (was Thread) {
	was.context, was.closed = squallBecome(t.context, t.closed)
	return was
}

// Tell makes everything that the calling thread has done happen before the return of synctest.Wait and before the end of the bubble, as if the
// goroutine had blocked.
func Tell() { squallTell() }

// A Bubble is a bubble that the runtime schedules, for use by goroutines outside it.
type Bubble struct {
	bubble unsafe.Pointer
	last   uint64
}

// ThisBubble returns the bubble of the calling goroutine.
func ThisBubble() *Bubble { return &Bubble{bubble: squallBubbleOf()} }

// Unstick lets other goroutines run if one goroutine is still in the same system call as at the previous call of Unstick. Only one
// goroutine may call it.
func (b *Bubble) Unstick() {
	if b.bubble != nil {
		b.last = squallUnstick(b.bubble, b.last)
	}
}

// Note makes the scheduler of the calling goroutine's bubble record its decisions, as long as there is room. The nth element describes the
// nth decision. It is the number of the goroutine that ran next. If the uppermost bit is set, a goroutine passed a place instead where it
// could be preempted, and the element is the distance of that place from the [Beginning] of the program. The 15 bits from bit 48 on hold
// the number of other goroutines that were ready.
func Note(decisions []uint64) { squallNote(decisions) }

// Beginning returns the address of the beginning of the program's code.
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
