//go:build !squall_exact

package exact

import "sync"

// Enabled says whether this is exact mode.
const Enabled = false

// Enrol does nothing.
func Enrol(uint64, Policy) bool { return false }

// Now is nothing.
func Now() Schedule { return Schedule{} }

// Goroutines is 0.
func Goroutines() int { return 0 }

// BubbleID is 0.
func BubbleID() uint64 { return 0 }

// Time is 0.
func Time() int64 { return 0 }

// AwaitTurn does nothing.
func AwaitTurn() {}

// TakesTurn says no.
func TakesTurn(*sync.Mutex) bool { return false }

// AskTurn does nothing.
func AskTurn() {}

// SetAlarm does nothing.
func SetAlarm(int64) {}

// Rests says yes.
func Rests() bool { return true }

// Promptly calls f.
func Promptly(f func()) { f() }

// A Thread is nothing.
type Thread struct{}

// NewThread is nothing.
func NewThread() Thread { return Thread{} }

// Become does nothing.
func Become(Thread) Thread { return Thread{} }

// Tell does nothing.
func Tell() {}

// A Bubble is one that is scheduled.
type Bubble struct{}

// ThisBubble is nothing.
func ThisBubble() *Bubble { return &Bubble{} }

// Unstick does nothing.
func (b *Bubble) Unstick() {}

// Note does nothing.
func Note([]uint64) {}

// Beginning is nothing.
func Beginning() uintptr { return 0 }
