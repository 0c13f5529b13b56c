package sim

import (
	"fmt"
	"strings"
	"time"

	"github.com/squall-sim/squall/internal/count"
	"github.com/squall-sim/squall/sim/internal/stacks"
)

// spinning finds a test whose virtual time almost stands still, though the network is busy. A goroutine keeps
// asking the network for something that is answered at once: a loop that redials without a pause what a link
// rejects, accepts from a closed listener, or does anything at all on a closed network. Each turn takes at
// most the one nanosecond by which wake-ups are kept apart, so a deadline of a second is a billion turns
// away. It costs the engine nothing, and a call only its count: the watchdog looks once a second of real
// time.
type spinning struct {
	begin spun // when a turn last took more than a nanosecond
	looks int  // since then
	last  spun // what was done since then
}

// spun is what a network has done.
type spun struct {
	steps uint64 // of the engine
	calls uint64 // of the program
	time  time.Duration
}

// What is suspicious. Variables for their test.
var (
	// spinLimit is how many steps in a row are suspicious. No program has so much to do at one instant: half
	// a minute of work or more. As many calls are suspicious if they took that long.
	spinLimit uint64 = 20_000_000
	spinLooks        = 25

	// vainLimit is how many calls in that time are suspicious if none of them gave the engine anything to do. A
	// loop that does something else in each turn, such as making a buffer and writing a line to a log, may take
	// 100 µs for it.
	vainLimit uint64 = 250_000

	// spinAtEnd is how many calls in a row are suspicious on a closed network: some for each connection of a
	// large crowd.
	spinAtEnd uint64 = 2_000_000
)

// since looks at the network, and reports whether it spins.
func (s *spinning) since(n *Network) bool {
	now, closed := spun{steps: n.harness.steps.Load()}, false
	n.peek(func() {
		now.calls, now.time, closed = n.calls.made, time.Duration(max(n.clock.at, n.calls.sampled)), n.closed
	})
	s.looks++
	s.last = spun{now.steps - s.begin.steps, now.calls - s.begin.calls, now.time - s.begin.time}
	if s.last.time > time.Duration(s.last.steps+s.last.calls) {
		s.begin, s.looks = now, 0
		return false
	}
	return s.last.steps >= spinLimit ||
		s.last.calls >= spinLimit && s.looks >= spinLooks ||
		s.last.calls >= vainLimit && s.last.steps == 0 && s.looks >= spinLooks ||
		s.last.calls >= spinAtEnd && closed
}

func (d *watchdog) barkAtSpin(n *Network, s spinning) {
	busy, _ := moving(n)
	ended := ""
	n.peek(func() {
		if n.closed {
			ended = n.ending()
		}
	})
	text := fmt.Sprintf(`sim: virtual time hardly moves: %v of it passed in the last %s and %s of the network.
A goroutine keeps calling the network without waiting, like a loop that dials again as soon as it is refused.
Make it wait between its attempts.`, s.last.time, count.Of(int(s.last.calls), "call", "calls"), count.Of(int(s.last.steps), "step", "steps"))
	if ended != "" {
		text = fmt.Sprintf(`sim: the test hangs: %s
Since then no virtual time passes: a goroutine keeps calling the network without waiting, and every call fails at once (%s so far).
End its loop at net.ErrClosed, or make it wait between its attempts.`, ended, count.Of(int(s.last.calls), "call", "calls"))
	}
	text += " The test was abandoned."
	if list := strings.TrimSuffix(stacks.Describe(busy), "\n"); !strings.Contains(ended, list) {
		text += "\nRunning goroutines:\n" + list
	}
	d.run.abandon(text)
}
