package netem

import (
	"fmt"
	"math/bits"
	"time"
)

// Shaper puts packets on the link instead of a constant Rate: [TokenBucket], [Profile] or [Opportunities].
// The interface is sealed because a shaper acts on the pipe's own state.
type Shaper interface {
	// invalid returns what is allowed, for packets of up to largest bytes, or "".
	invalid(largest int) string
	// depart returns when the last bit of a packet handed over now is sent.
	depart(s *shaperState, size int, now time.Duration) time.Duration
}

// shaperState is the memory of a shaper.
type shaperState struct {
	line   line          // of a TokenBucket's Peak, or of a Profile
	free   time.Duration // when the last packet was let through
	begun  bool          // the bucket was filled
	tokens uint64        // in the bucket at the instant free, in ns times bit/s
	next   int64         // the delivery opportunity that is being used
	left   int           // bytes that fit in it
	phase  int           // of a Profile
	began  time.Duration // when that phase began
	period time.Duration // how long all phases take together
}

// TokenBucket lets packets pass as long as it has tokens, one for each byte. It holds up to Burst tokens, is
// full at first, and gains tokens at Rate: tc-tbf(8). After a pause up to Burst bytes pass at once, or at
// Peak; in the long run no more than Rate does. In any time t no more than Burst + Rate*t pass.
type TokenBucket struct {
	Rate  BitRate // at least 1
	Burst int     // bytes; at least the MTU (with its Framing), since a larger packet would never pass; at most 1 GiB
	Peak  BitRate // speed of the line after the bucket, at least Rate; 0 means unlimited
}

const maxBurst = 1 << 30

func (b TokenBucket) invalid(largest int) string {
	switch {
	case b.Rate < 1:
		return "Rate must be positive"
	case b.Burst < largest || b.Burst > maxBurst:
		return fmt.Sprintf("Burst must be in [%d,%d], from the MTU on", largest, maxBurst)
	case b.Peak != 0 && b.Peak < b.Rate:
		return "Peak must be 0 (for unlimited) or at least Rate"
	}
	return ""
}

func (b TokenBucket) depart(s *shaperState, size int, now time.Duration) time.Duration {
	full, work, rate := workOf(b.Burst), workOf(size), uint64(b.Rate)
	if !s.begun {
		s.begun, s.tokens = true, full
	}
	at := max(now, s.free)
	if hi, come := bits.Mul64(rate, uint64(at-s.free)); hi > 0 || come > full-s.tokens {
		s.tokens = full
	} else {
		s.tokens += come
	}
	if s.tokens < work {
		wait := (work - s.tokens + rate - 1) / rate
		at = min(at+time.Duration(wait), endOfTime)
		s.tokens += wait * rate // less than rate above work
	}
	s.tokens -= work
	s.free = at
	s.line.setRate(b.Peak)
	return s.line.send(size, at)
}

// String returns the bucket as Go writes it.
func (b TokenBucket) String() string {
	return fmt.Sprintf("TokenBucket{Rate: %v, Burst: %d, Peak: %v}", b.Rate, b.Burst, b.Peak)
}
