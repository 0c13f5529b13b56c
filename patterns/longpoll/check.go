package longpoll

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/squall-sim/squall/patterns/internal/polling"
)

// Check returns what is wrong with the settings: values out of range, and
// timeouts of which a shorter one would end polls that a longer one meant to
// hold. Run calls it.
func (c *Client) Check() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("longpoll: Client."+format, args...))
	}
	if u, err := url.Parse(c.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		bad("URL is %q: want http://host/path or https://host/path", c.URL)
	}
	if len(c.Topics) > polling.MaxTopics {
		bad("Topics has %d elements: want at most %d", len(c.Topics), polling.MaxTopics)
	}
	for _, d := range []struct {
		name string
		d    time.Duration
	}{
		{"Wait", c.Wait}, {"Margin", c.Margin}, {"ProxyTimeout", c.ProxyTimeout}, {"Interval", c.Interval},
		{"Backoff.Floor", c.Backoff.Floor}, {"Backoff.Base", c.Backoff.Base}, {"Backoff.Max", c.Backoff.Max},
		{"Backoff.RetryAfterMax", c.Backoff.RetryAfterMax},
	} {
		if d.d < 0 {
			bad("%s is %v: want 0 for the default, or more", d.name, d.d)
		}
	}
	if b := polling.WithDefaults(c.Backoff); b.Floor > b.Max {
		bad("Backoff.Floor is %v: want at most Backoff.Max, %v", b.Floor, b.Max)
	}
	if c.MaxAnswer < 0 {
		bad("MaxAnswer is %d: want 0 for the default, or more", c.MaxAnswer)
	}

	held, timeout := c.held(), c.timeout()
	if c.ProxyTimeout > 0 && held >= c.ProxyTimeout {
		bad("Wait is %v, so a poll may be held for %v: want less than ProxyTimeout, %v",
			c.wait(), held, c.ProxyTimeout)
	}
	if c.HTTP == nil {
		return errors.Join(errs...)
	}
	if t := c.HTTP.Timeout; t > 0 && t <= timeout {
		bad("HTTP.Timeout is %v: want 0, or more than Wait + Wait/16 + Margin, %v", t, timeout)
	}
	if tr, ok := c.HTTP.Transport.(*http.Transport); ok && tr.ResponseHeaderTimeout > 0 && tr.ResponseHeaderTimeout <= held {
		bad("HTTP.Transport.ResponseHeaderTimeout is %v: want 0, or more than Wait + Wait/16, %v",
			tr.ResponseHeaderTimeout, held)
	}
	return errors.Join(errs...)
}

func (c *Client) wait() time.Duration { return cmp.Or(c.Wait, 30*time.Second) }

// held is how long the server may hold a poll.
func (c *Client) held() time.Duration { return c.wait() + c.wait()/16 }

// timeout is how long a poll may take.
func (c *Client) timeout() time.Duration {
	return c.held() + cmp.Or(c.Margin, 10*time.Second)
}
