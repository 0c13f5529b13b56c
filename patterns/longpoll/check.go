package longpoll

import (
	"cmp"
	"net/http"
	"time"

	"github.com/squall-sim/squall/patterns/internal/fields"
	"github.com/squall-sim/squall/patterns/internal/polling"
	"github.com/squall-sim/squall/patterns/retry"
)

// Check returns an error for values out of range, and for timeouts in the wrong
// order, of which a shorter one would end polls that a longer one is meant to
// hold. Run calls it.
func (c *Client) Check() error {
	check := fields.Of("longpoll: Client")
	check.HTTP("URL", c.URL)
	if len(c.Topics) > polling.MaxTopics {
		check.Bad("Topics has %d elements: want at most %d", len(c.Topics), polling.MaxTopics)
	}
	check.Filters("Topics", c.Topics)
	check.Duration("Wait", c.Wait)
	check.Duration("Margin", c.Margin)
	check.Duration("ProxyTimeout", c.ProxyTimeout)
	check.Duration("Interval", c.Interval)
	check.Backoff("Backoff", c.Backoff, retry.Backoff{})
	check.Int("MaxAnswerBytes", c.MaxAnswerBytes)

	held, timeout := c.held(), c.timeout()
	if c.ProxyTimeout > 0 && held >= c.ProxyTimeout {
		check.Bad("Wait is %v, so a poll may be held for %v: want less than ProxyTimeout, %v",
			c.wait(), held, c.ProxyTimeout)
	}
	if c.HTTP == nil {
		return check.Err()
	}
	if t := c.HTTP.Timeout; t > 0 && t <= timeout {
		check.Bad("HTTP.Timeout is %v: want 0, or more than Wait + Wait/16 + Margin, %v", t, timeout)
	}
	if tr, ok := c.HTTP.Transport.(*http.Transport); ok && tr.ResponseHeaderTimeout > 0 && tr.ResponseHeaderTimeout <= held {
		check.Bad("HTTP.Transport.ResponseHeaderTimeout is %v: want 0, or more than Wait + Wait/16, %v",
			tr.ResponseHeaderTimeout, held)
	}
	return check.Err()
}

func (c *Client) wait() time.Duration { return cmp.Or(c.Wait, 30*time.Second) }

// held is how long the server may hold a poll.
func (c *Client) held() time.Duration { return c.wait() + c.wait()/16 }

// timeout is how long a poll may take.
func (c *Client) timeout() time.Duration {
	return c.held() + cmp.Or(c.Margin, 10*time.Second)
}
