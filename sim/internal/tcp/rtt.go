package tcp

import "time"

// An rttEstimate is the round-trip time as Linux estimates it (tcp_rtt_estimator), in nanoseconds instead of microseconds. It differs from
// RFC 6298 section 2: the variance falls at most once in a round trip, and a short sample raises it less than a long one.
type rttEstimate struct {
	srtt8   Time // smoothed, times 8; 0 before the first sample
	mdev    Time // mean deviation, times 4
	mdevMax Time // maximum of mdev in this round trip
	rttvar  Time // the variance used in the timeout
	rto     Time // the timeout, with its doublings
	seq     uint64

	// The minimum of the last five minutes: the best sample, the best one since that sample, and the best one since the second
	// (lib/win_minmax.c).
	best [3]minSample
}

// In a minSample, rtt is in microseconds and at in milliseconds.
type minSample struct{ at, rtt uint32 }

// minWindow is net.ipv4.tcp_min_rtt_wlen.
const minWindow = uint32(300 * time.Second / time.Millisecond)

func (r *rttEstimate) sample(rtt, rtoMin Time, una, nxt uint64) {
	if r.srtt8 == 0 {
		r.srtt8 = max(rtt<<3, 1)
		r.mdev = rtt << 1
		r.rttvar = max(r.mdev, rtoMin)
		r.mdevMax = r.rttvar
		r.seq = nxt
		return
	}
	diff := rtt - r.srtt8>>3
	r.srtt8 = max(r.srtt8+diff, 1)
	if diff < 0 {
		diff = -diff - r.mdev>>2
		if diff > 0 {
			diff >>= 3
		}
	} else {
		diff -= r.mdev >> 2
	}
	r.mdev += diff
	if r.mdev > r.mdevMax {
		r.mdevMax = r.mdev
		r.rttvar = max(r.rttvar, r.mdevMax)
	}
	if una > r.seq {
		if r.mdevMax < r.rttvar {
			r.rttvar -= (r.rttvar - r.mdevMax) >> 2
		}
		r.seq = nxt
		r.mdevMax = rtoMin
	}
}

// setRTO computes the timeout without doublings.
func (r *rttEstimate) setRTO(rtoMax Time) { r.rto = min(r.srtt8>>3+r.rttvar, rtoMax) }

// min returns the minimum, rounded down to microseconds, or 0 if there is no sample.
func (r *rttEstimate) min() Time {
	if r.best[0].rtt == 0 {
		return 0
	}
	return max(Time(r.best[0].rtt-1)*time.Microsecond, 1)
}

func (r *rttEstimate) updateMin(at, rtt Time) {
	now := uint32(at / time.Millisecond)
	s := minSample{now, uint32(min(rtt/time.Microsecond, 1<<31)) + 1} // 0 means no sample
	b := &r.best
	if b[0].rtt == 0 || s.rtt <= b[0].rtt || now-b[2].at > minWindow {
		*b = [3]minSample{s, s, s}
		return
	}
	if s.rtt <= b[1].rtt {
		b[1], b[2] = s, s
	} else if s.rtt <= b[2].rtt {
		b[2] = s
	}
	age := now - b[0].at
	switch {
	case age > minWindow:
		b[0], b[1], b[2] = b[1], b[2], s
		if now-b[0].at > minWindow {
			b[0], b[1] = b[1], b[2]
		}
	case b[1].at == b[0].at && age > minWindow/4:
		b[1], b[2] = s, s
	case b[2].at == b[1].at && age > minWindow/2:
		b[2] = s
	}
}
