//go:build !squall_exact

package exact

import "sync"

// Enabled reports whether this is exact mode.
const Enabled = false

// Enrol does nothing and returns false.
func Enrol(uint64, Policy) bool { return false }

// Now returns the zero Schedule.
func Now() Schedule { return Schedule{} }

// Goroutines returns 0.
func Goroutines() int { return 0 }

// BubbleID returns 0.
func BubbleID() uint64 { return 0 }

// Time returns 0.
func Time() int64 { return 0 }

// AwaitTurn does nothing.
func AwaitTurn() {}

// TakesTurn returns false.
func TakesTurn(*sync.Mutex) bool { return false }

// AskTurn does nothing.
func AskTurn() {}

// SetAlarm does nothing.
func SetAlarm(int64) {}

// Rests returns true.
func Rests() bool { return true }

// Promptly calls f.
func Promptly(f func()) { f() }

// A Thread is empty.
type Thread struct{}

// NewThread returns the zero Thread.
func NewThread() Thread { return Thread{} }

// Become does nothing and returns the zero Thread.
func Become(Thread) Thread { return Thread{} }

// Tell does nothing.
func Tell() {}

// A Bubble is a bubble that the runtime schedules.
type Bubble struct{}

// ThisBubble returns an empty Bubble.
func ThisBubble() *Bubble { return &Bubble{} }

// Unstick does nothing.
func (b *Bubble) Unstick() {}

// Note does nothing.
func Note([]uint64) {}

// Beginning returns 0.
func Beginning() uintptr { return 0 }
