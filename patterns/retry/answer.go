package retry

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// StatusError is an HTTP answer with a status that the client cannot use.
type StatusError struct {
	Status int    // HTTP status code
	Text   string // the beginning of the body, without white space around it
}

// Error returns the status and the server's text.
func (e *StatusError) Error() string {
	text := fmt.Sprintf("server answered %d %s", e.Status, http.StatusText(e.Status))
	if e.Text != "" {
		text += ": " + e.Text
	}
	return text
}

// NewStatusError returns a StatusError for an answer's status and body. It keeps the
// first 200 bytes of the body.
func NewStatusError(status int, body []byte) *StatusError {
	return &StatusError{Status: status, Text: strings.TrimSpace(string(body[:min(len(body), 200)]))}
}

// Temporary reports whether the same request may succeed later. That is true for every
// 5xx, and for four 4xx: 408 Request Timeout, 421 Misdirected Request, 425 Too Early
// and 429 Too Many Requests.
func Temporary(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusMisdirectedRequest, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	}
	return status >= 500
}

// After returns the delay that the Retry-After of an answer asks for, in either of its
// forms (RFC 9110, section 10.2.3), and whether there is one. A date is compared with
// the answer's Date, because both are by the server's clock; without a Date it is
// compared with the local clock. A date in the past is 0. A number of seconds beyond
// the range of a Duration (292 years) is the longest Duration.
func After(h http.Header) (time.Duration, bool) {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(text, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(seconds, math.MaxInt64/uint64(time.Second))) * time.Second, true
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0, false
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return max(at.Sub(now), 0), true
}
