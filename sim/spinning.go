package sim

import (
	"fmt"
	"strings"
	"time"
)

// spinning finds a test whose virtual time as good as stands still, though the network is
// busy: a goroutine goes on asking it for something that is answered at once, as a loop
// does which dials again without a pause what a link rejects. Each turn takes the one
// nanosecond by which wake-ups are kept apart, so a deadline of a second is a billion turns
// away. It costs the engine nothing: the watchdog looks once a second of real time.
type spinning struct {
	steps uint64        // of the engine,
	at    time.Duration // and virtual time, when more than a nanosecond a step last passed
	last  spun
}

// spun is what a spinning network did.
type spun struct {
	steps uint64
	time  time.Duration
}

// spinLimit is how many steps in a row are suspect. No program has so much to do at one
// instant: half a minute of work or more. A variable for its test.
var spinLimit uint64 = 20_000_000

// since looks at the network after so many steps, and says whether it spins.
func (s *spinning) since(n *Network, steps uint64) bool {
	var now time.Duration
	n.peek(func() { now = time.Duration(n.clock.at) })
	s.last = spun{steps: steps - s.steps, time: now - s.at}
	if s.last.time > time.Duration(s.last.steps) {
		s.steps, s.at = steps, now
		return false
	}
	return s.last.steps >= spinLimit
}

func (d *watchdog) barkAtSpin(n *Network, s spinning) {
	busy, _ := moving(n)
	d.run.abandon(fmt.Sprintf(`sim: virtual time hardly moves: %v of it passed in the last %d steps of the network, one
nanosecond a turn. A goroutine goes on asking the network for something without ever waiting,
like a loop that at once dials again what was refused. Have it wait between its attempts. The test was abandoned.
The goroutines that move:
%s`, s.last.time, s.last.steps, strings.TrimSuffix(describe(busy), "\n")))
}
