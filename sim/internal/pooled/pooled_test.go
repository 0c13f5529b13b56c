// Package pooled is a program that keeps timers and channels in package-level pools, as many
// libraries do. It is a package of its own, since squall treats test binaries with such a
// package in them in another way.
package pooled

import (
	"sync"
	"testing"
	"time"

	"github.com/squall-sim/squall/sim"
)

var (
	timers  = sync.Pool{New: func() any { return time.NewTimer(time.Hour) }}
	answers = sync.Pool{New: func() any { return make(chan int, 1) }}
)

// Were a timer or channel of an earlier bubble used, the process would end. There are enough
// bubbles for squall to have looked at the sources meanwhile.
func TestPoolsDoNotOutliveABubble(t *testing.T) {
	for range 40 {
		sim.Test(t, func(t *testing.T, n *sim.Network) {
			for range 10 {
				timer, answer := timers.Get().(*time.Timer), answers.Get().(chan int)
				timer.Reset(time.Millisecond)
				go func() { answer <- 1 }()
				<-answer
				<-timer.C
				timers.Put(timer)
				answers.Put(answer)
			}
		})
	}
}
