package netem

import (
	"fmt"
	"time"
)

// Copies describes the copies that Duplicate makes.
type Copies struct {
	Number int           // 1 to 50, each with its own jitter and corruption; 0 means 1
	Delay  time.Duration // how much longer than its original each takes, 0 to 24 h; KeepOrder does not apply to late copies
}

const maxCopies = 50

func (c Copies) number() int { return max(1, c.Number) }

// String returns the copies as Go writes them.
func (c Copies) String() string {
	return fmt.Sprintf("Copies{Number: %d, Delay: %v}", c.Number, c.Delay)
}

// A copyDraw is the source of a copy's random numbers.
func copyDraw(d draws, i int) (jitter, corrupt, noise uint64) {
	more := draws(d.lane(laneMoreCopies))
	k := 3 * uint64(i)
	if i == 0 {
		return d.lane(laneCopyJitter), d.lane(laneCopyCorrupt), more.lane(k + 2)
	}
	return more.lane(k), more.lane(k + 1), more.lane(k + 2)
}
