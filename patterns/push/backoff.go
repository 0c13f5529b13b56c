package push

import (
	"errors"
	"hash/fnv"
	"math/bits"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// backoff chooses the delay before the next connection.
//
// After a connection that worked, the delay is uniform in [0, spread): clients
// that lost their server at the same instant come back evenly. After failures it
// is full jitter in a window that is never narrower than spread and has a lower
// bound, so that a client alone does not spin.
type backoff struct {
	spread, min, max time.Duration
	rand             *rand.Rand
	failures         int
}

func newBackoff(spread, min, max time.Duration, r *rand.Rand, id string) backoff {
	if r == nil {
		h := fnv.New64a()
		h.Write([]byte(id))
		r = rand.New(rand.NewPCG(h.Sum64(), 0))
	}
	return backoff{spread: spread, min: min, max: max, rand: r}
}

// next returns the delay after a connection that lasted so long, from hello on,
// and ended with err. Zero: there was none.
func (b *backoff) next(lasted time.Duration, err error) time.Duration {
	if lasted >= b.min {
		b.failures = 0
		return b.uniform(b.spread)
	}
	if b.failures < 62 {
		b.failures++
	}
	window := b.max
	if b.min < b.max>>b.failures {
		window = b.min << b.failures
	}
	window = min(max(window, b.spread), b.max)
	delay := b.min + b.uniform(window-b.min)

	var wait *retryAfterError
	if errors.As(err, &wait) {
		delay = max(delay, min(wait.after, b.max)+b.uniform(b.spread))
	}
	return delay
}

// uniform takes one draw, whatever it is. Int64N draws again where that is
// fairer, by one part in 2^64/d, and never ends with a source that is all zeros.
func (b *backoff) uniform(d time.Duration) time.Duration {
	hi, _ := bits.Mul64(b.rand.Uint64(), uint64(max(d, 0)))
	return time.Duration(hi)
}

// retryAfterError carries the Retry-After of a refused handshake.
type retryAfterError struct {
	error
	after time.Duration
}

func (e *retryAfterError) Unwrap() error { return e.error }

// refused turns a refused handshake into the error that says whether to go on.
func refused(resp *http.Response, err error) error {
	if resp == nil {
		return err
	}
	status := resp.StatusCode
	switch status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly, http.StatusTooManyRequests:
	default:
		if status >= 400 && status < 500 {
			return &finalError{&HandshakeError{StatusCode: status}}
		}
	}
	header := resp.Header.Get("Retry-After")
	if seconds, e := strconv.ParseInt(header, 10, 32); e == nil && seconds > 0 {
		return &retryAfterError{err, time.Duration(seconds) * time.Second}
	}
	if at, e := http.ParseTime(header); e == nil {
		return &retryAfterError{err, max(time.Until(at), 0)}
	}
	return err
}
