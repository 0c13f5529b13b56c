// Package fields validates the fields by which a pattern is configured, with the same
// messages for all patterns.
package fields

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/squall-sim/squall/patterns/retry"
)

// A Check collects the invalid fields of one type, such as "longpoll: Server".
type Check struct {
	of   string
	errs []error
}

// Of begins the check of a type, which is named with its package.
func Of(name string) *Check { return &Check{of: name} }

// Bad records an error. The text begins with the field's name.
func (c *Check) Bad(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(c.of+"."+format, args...))
}

// longest is the longest duration: half of what the type holds, so that the sum of two, or
// one with its jitter, is still one.
const longest = 100 * 365 * 24 * time.Hour

// Duration rejects a negative duration, and one of more than 100 years.
func (c *Check) Duration(name string, d time.Duration) {
	switch {
	case d < 0:
		c.Bad("%s is %v: want 0 for the default, or more", name, d)
	case d > longest:
		c.Bad("%s is %v: want at most 100 years, %v", name, d, longest)
	}
}

// LongestWait is the longest time that a client can be asked to wait, 24.8 days. JavaScript timers
// hold 2^31-1 milliseconds and treat more as one millisecond, so that eventsource 4.1.1, undici
// 7.30.2 and got 14.6.6 come back at once.
const LongestWait = (1<<31 - 1) * time.Millisecond

// Wait is Duration for a time that clients are asked to wait, multiplied by up to
// times.
func (c *Check) Wait(name string, d time.Duration, times int64) {
	most := LongestWait / time.Duration(times)
	if d > most {
		c.Bad("%s is %v: want at most %v, more than which clients cannot wait", name, d, most)
		return
	}
	c.Duration(name, d)
}

// Int rejects a negative number.
func (c *Check) Int(name string, n int) {
	if n < 0 {
		c.Bad("%s is %d: want 0 for the default, or more", name, n)
	}
}

// Backoff rejects bounds that contradict each other. own are the pattern's defaults.
func (c *Check) Backoff(name string, b, own retry.Backoff) {
	c.Duration(name+".Min", b.Min)
	c.Duration(name+".Base", b.Base)
	c.Duration(name+".Max", b.Max)
	c.Duration(name+".RetryAfterMax", b.RetryAfterMax)
	if b = b.WithDefaults(own); b.Min > b.Max {
		c.Bad("%s.Min is %v: want at most %s.Max, %v", name, b.Min, name, b.Max)
	}
}

// HTTP rejects an address to which no HTTP request can be sent.
func (c *Check) HTTP(name, address string) {
	if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		c.Bad("%s is %q: want http://host/path or https://host/path", name, address)
	}
}

// Filters rejects filters of topics that select nothing, or something else than they appear to. A
// topic's name is a filter too.
func (c *Check) Filters(name string, filters []string) {
	for i, filter := range filters {
		if err := CheckFilter(filter); err != nil {
			c.Bad("%s[%d] is %q: %w", name, i, filter, err)
		}
	}
}

// CheckFilter is [Check.Filters] for one filter. See access.Match for what
// filters select.
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

// Default sets a field to value if it is zero.
func Default[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Err returns all errors joined, or nil.
func (c *Check) Err() error { return errors.Join(c.errs...) }
