package push

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/squall-sim/squall/patterns/retry"
)

// comeback chooses the delay before the next connection.
type comeback struct {
	backoff  retry.Backoff
	jitter   retry.Jitter
	spread   time.Duration // over which clients return that lost a connection that worked
	failures int
}

func newComeback(b retry.Backoff, j retry.Jitter) comeback {
	return comeback{backoff: b, jitter: j, spread: b.Base}
}

// next returns the delay after a connection that lasted so long, from hello on,
// and ended with err. Zero: there was none.
func (b *comeback) next(lasted time.Duration, err error) time.Duration {
	if lasted >= b.backoff.Min {
		b.failures = 0
		return b.spread - b.jitter(b.spread)
	}
	b.failures++
	after := b.backoff
	after.Base = max(after.Base, b.spread) // clients that failed together are as many
	var wait *retryAfterError
	if errors.As(err, &wait) {
		return after.Hint(wait.after, b.jitter)
	}
	return after.Delay(b.failures, b.jitter)
}

// retryAfterError carries the Retry-After of a refused handshake.
type retryAfterError struct {
	error
	after time.Duration
}

func (e *retryAfterError) Unwrap() error { return e.error }

// refused turns a refused handshake into the error that says whether to go on. A server of
// this package answers 409 to a connection that was overtaken by a later one of its Run.
func refused(resp *http.Response, err error) error {
	if resp == nil {
		return err
	}
	if status := resp.StatusCode; status >= 400 {
		err = refusal(resp)
		if !retry.Temporary(status) && status != http.StatusConflict {
			return &finalError{err}
		}
	}
	if after, ok := retry.After(resp.Header); ok {
		return &retryAfterError{err, after}
	}
	return err
}

// refusal has the beginning of the body, which the WebSocket's dialler leaves to be read.
func refusal(resp *http.Response) error {
	var text [200]byte
	n, _ := io.ReadFull(resp.Body, text[:])
	return retry.NewStatusError(resp.StatusCode, text[:n])
}
