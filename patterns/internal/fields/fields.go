// Package fields finds what is wrong with the fields by which a pattern is set up, in the
// same words for all of them.
package fields

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/squall-sim/squall/patterns/retry"
)

// A Check collects what is wrong with the fields of one type, such as "longpoll: Server".
type Check struct {
	of   string
	errs []error
}

// Of begins the check of a type, named with its package.
func Of(name string) *Check { return &Check{of: name} }

// Bad says what is wrong. The text begins with the field's name.
func (c *Check) Bad(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(c.of+"."+format, args...))
}

// longest is the longest duration: half of what the type holds, so that the sum of two, or
// one with its jitter, is still one.
const longest = 100 * 365 * 24 * time.Hour

// Duration refuses a negative duration, and one of more than 100 years.
func (c *Check) Duration(name string, d time.Duration) {
	switch {
	case d < 0:
		c.Bad("%s is %v: want 0 for the default, or more", name, d)
	case d > longest:
		c.Bad("%s is %v: want at most 100 years, %v", name, d, longest)
	}
}

// LongestWait is how long a client can be asked to stay away, 24.8 days: timers of JavaScript hold 2^31-1 milliseconds and make one
// millisecond of more, so that eventsource 4.1.1, undici 7.30.2 and got 14.6.6 come back at once.
const LongestWait = (1<<31 - 1) * time.Millisecond

// Wait is Duration for one that clients are asked to wait, up to so many times as long.
func (c *Check) Wait(name string, d time.Duration, times int64) {
	most := LongestWait / time.Duration(times)
	if d > most {
		c.Bad("%s is %v: want at most %v, more than which clients cannot wait", name, d, most)
		return
	}
	c.Duration(name, d)
}

// Int refuses a negative number.
func (c *Check) Int(name string, n int) {
	if n < 0 {
		c.Bad("%s is %d: want 0 for the default, or more", name, n)
	}
}

// Backoff refuses bounds that contradict each other. own are the pattern's defaults.
func (c *Check) Backoff(name string, b, own retry.Backoff) {
	c.Duration(name+".Min", b.Min)
	c.Duration(name+".Base", b.Base)
	c.Duration(name+".Max", b.Max)
	c.Duration(name+".RetryAfterMax", b.RetryAfterMax)
	if b = b.WithDefaults(own); b.Min > b.Max {
		c.Bad("%s.Min is %v: want at most %s.Max, %v", name, b.Min, name, b.Max)
	}
}

// HTTP refuses an address that no HTTP request can go to.
func (c *Check) HTTP(name, address string) {
	if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		c.Bad("%s is %q: want http://host/path or https://host/path", name, address)
	}
}

// Filters refuses filters of topics that select nothing, or not what they seem to. A name is one.
func (c *Check) Filters(name string, filters []string) {
	for i, filter := range filters {
		if err := CheckFilter(filter); err != nil {
			c.Bad("%s[%d] is %q: %w", name, i, filter, err)
		}
	}
}

// CheckFilter is Check.Filters for one. See access.Match for what they select.
func CheckFilter(filter string) error {
	for token := range strings.SplitSeq(filter, ".") {
		if len(token) > 1 && strings.ContainsAny(token, "*>") {
			return errors.New("* and > must stand alone between dots")
		}
	}
	if before, _, found := strings.Cut(filter, ">"); found && len(before)+1 < len(filter) {
		return errors.New("> must be the last token")
	}
	return nil
}

// Default sets a field that is zero.
func Default[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Err returns all of it, or nil.
func (c *Check) Err() error { return errors.Join(c.errs...) }
