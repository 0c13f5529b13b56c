package netem

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"
)

// Opportunities is a recorded link: the instants at which it could take 1500 bytes of IP packets. They count
// from the start of the network, in ascending order and up to 24 h. The last one, which must be above 0, is
// when the trace begins again. [ReadOpportunities] reads mahimahi's traces.
//
// It serves packets as mm-link does: a packet can use several opportunities, several small ones can share
// one, and what is not used at its instant is lost. As there, each packet counts with the 4 bytes of a TUN
// header, and an opportunity with 1504.
type Opportunities []time.Duration

const (
	opportunity = 1504 // bytes: mahimahi's LinkQueue::PACKET_SIZE
	tunHeader   = 4
)

// ReadOpportunities reads a trace of mahimahi: one line for each opportunity, with its time in milliseconds.
// The error names the line and what is allowed.
func ReadOpportunities(r io.Reader) (Opportunities, error) {
	var o Opportunities
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		ms, err := strconv.ParseInt(lines.Text(), 10, 64)
		if err != nil || ms < 0 || ms > maxDelay.Milliseconds() {
			return nil, fmt.Errorf("netem: ReadOpportunities: line %d: %q: must be a number of milliseconds, up to 24 h", len(o)+1, lines.Text())
		}
		o = append(o, time.Duration(ms)*time.Millisecond)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("netem: ReadOpportunities: %w", err)
	}
	if why := o.invalid(0); why != "" {
		return nil, fmt.Errorf("netem: ReadOpportunities: %s", why)
	}
	return o, nil
}

func (o Opportunities) invalid(int) string {
	switch {
	case len(o) == 0:
		return "must have at least one instant"
	case !slices.IsSorted(o) || o[0] < 0:
		return "instants must not be negative, and in ascending order"
	case o[len(o)-1] <= 0 || o[len(o)-1] > maxDelay:
		return "the last instant must be in (0s,24h]"
	}
	return ""
}

func (o Opportunities) depart(s *shaperState, size int, now time.Duration) time.Duration {
	if first := o.after(now); !s.begun || first > s.next {
		s.begun, s.next, s.left = true, first, opportunity
	}
	for size += tunHeader; size > s.left; {
		size -= s.left
		s.next++
		s.left = opportunity
	}
	s.left -= size
	return o.instant(s.next)
}

// after returns the first opportunity after an instant, counted through all rounds. As in mahimahi, one at
// that very instant is over.
func (o Opportunities) after(now time.Duration) int64 {
	period := o[len(o)-1]
	i, _ := slices.BinarySearch(o, now%period+1)
	return int64(now/period)*int64(len(o)) + int64(i)
}

func (o Opportunities) instant(i int64) time.Duration {
	n := int64(len(o))
	return time.Duration(i/n)*o[n-1] + o[i%n]
}

// String returns the number of opportunities and how long they last.
func (o Opportunities) String() string {
	if len(o) == 0 {
		return "Opportunities{}"
	}
	return fmt.Sprintf("Opportunities: %d in %v", len(o), o[len(o)-1])
}
