package reqresp

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/patterns/internal/fields"
	"github.com/squall-sim/squall/patterns/internal/polling"
	"github.com/squall-sim/squall/patterns/internal/redact"
	"github.com/squall-sim/squall/patterns/retry"
)

// Client calls one destination. URL must be set; the other fields have the defaults given. It
// may be used concurrently; do not change or copy it after first use.
type Client struct {
	// URL is the prefix of each request's Path: "http://server", "https://server/api/v1". With
	// Dial it only names the destination.
	URL string
	// HTTP sends the requests, through whatever RoundTripper it has. It does not follow redirects
	// unless its CheckRedirect does: they are answers. Nil: http.DefaultClient.
	HTTP *http.Client
	// Dial opens connections to a Server's Serve. If it is set, requests do not use HTTP but share
	// one connection, which is dialled when it is needed, and again after it failed.
	Dial func(context.Context) (net.Conn, error)
	// Header returns headers for each attempt, such as an Authorization, in addition to those of
	// the request. Its error is a failed attempt, which was not executed; a final
	// [*retry.StatusError] ends the call. Nil: no headers.
	Header func(context.Context) (http.Header, error)

	// MaxAttempts is the number of attempts that a call may make, hedges
	// included. Zero: 3.
	MaxAttempts int
	// Timeout bounds a call with all its attempts, whatever its context allows. Zero: 30 s.
	Timeout time.Duration
	// AttemptTimeout bounds an attempt. Zero: 10 s. After it, the attempt's connection is not used
	// again.
	AttemptTimeout time.Duration
	// Margin is subtracted from the time that the server is told: the time in which an answer comes
	// back. Executing the request after that would be useless. Zero: nothing.
	Margin time.Duration
	// Backoff bounds the delays between attempts. Min defaults to 10 ms, Base to 100 ms and Max to
	// 10 s. If a delay would last longer than the call's time, the call fails at once.
	Backoff retry.Backoff
	// Jitter draws the delays. Each call forks it when it begins. Nil: seeded by the clock and URL
	// at first use.
	Jitter retry.Jitter
	// Budget bounds the attempts beyond the first, over all calls. Clients of one destination
	// should share one. Nil: one for this client alone, with the defaults of retry.Budget.
	Budget *retry.Budget
	// HedgeDelay is how long a call waits for an answer before it makes another attempt in
	// parallel, if the request may be repeated. Set it to about the 95th percentile of the answer
	// times, so that one call in twenty makes two attempts. The first answer counts, and the other
	// attempts are cancelled; a failed attempt is replaced at once. Zero: never.
	HedgeDelay time.Duration

	// MaxRequestBytes bounds the body of a request, and MaxAnswerBytes that of an answer. Zero: 1
	// MiB each. Longer ones are errors that wrap eventlog.ErrTooLarge.
	MaxRequestBytes, MaxAnswerBytes int
	// Silence is how long a connection of Dial may be silent while calls wait for answers before it
	// is given up, and how long writing a request may take. Zero: 5 s. After half of it the client
	// pings the server.
	Silence time.Duration

	// MaxConnAge is the age after which a connection gets no more requests, so that a busy client
	// follows a name to its new address. Over HTTP, the client closes the idle connections of
	// HTTP's transport that often. Zero: never.
	MaxConnAge time.Duration

	// OnRetry is called before each wait for another attempt, with the error of the last one.
	// Nil: not called.
	OnRetry func(err error, delay time.Duration)
	// Logger gets attempts that failed at level Debug. Nil: nothing is logged.
	Logger *slog.Logger

	once  sync.Once
	base  string
	http  *http.Client
	h2    atomic.Bool               // the last answer came over HTTP/2
	dead  atomic.Bool               // an attempt has timed out over it
	fresh atomic.Pointer[time.Time] // when connections were last renewed
	line  line
	stats clientCounters
}

// ClientStats are the counters of a Client.
type ClientStats struct {
	// Calls counts calls that ended; Done, NotExecuted and Unknown count their
	// outcomes.
	Calls, Done, NotExecuted, Unknown int64
	// Attempts counts attempts, Retries those after a failure and Hedges those in parallel with
	// another one.
	Attempts, Retries, Hedges int64
	// Dropped counts answers on connections of Dial that arrived when nobody waited for them any
	// more.
	Dropped int64
}

type clientCounters struct {
	outcomes                           [3]atomic.Int64 // of calls, by Outcome
	attempts, retries, hedges, dropped atomic.Int64
}

var ownBackoff = retry.Backoff{Min: 10 * time.Millisecond, Base: 100 * time.Millisecond, Max: 10 * time.Second}

// Check returns an error that names each invalid setting and its value, or nil.
func (c *Client) Check() error {
	check := fields.Of("reqresp: Client")
	check.HTTP("URL", c.URL)
	if strings.ContainsAny(c.URL, "?#") {
		check.Bad("URL is %q: want no query and no fragment", redact.URL(c.URL))
	}
	check.Int("MaxAttempts", c.MaxAttempts)
	check.Int("MaxRequestBytes", c.MaxRequestBytes)
	check.Int("MaxAnswerBytes", c.MaxAnswerBytes)
	checkBytes(check, c.MaxRequestBytes, c.MaxAnswerBytes)
	if c.MaxAttempts > mostAttempts {
		check.Bad("MaxAttempts is %d: want at most %d", c.MaxAttempts, mostAttempts)
	}
	check.Duration("Timeout", c.Timeout)
	check.Duration("AttemptTimeout", c.AttemptTimeout)
	check.Duration("Margin", c.Margin)
	check.Duration("HedgeDelay", c.HedgeDelay)
	check.Duration("Silence", c.Silence)
	check.Duration("MaxConnAge", c.MaxConnAge)
	check.Backoff("Backoff", c.Backoff, ownBackoff)
	if c.Budget != nil {
		if err := c.Budget.Check(); err != nil {
			check.Bad("Budget: %w", err)
		}
	}
	return check.Err()
}

// mostAttempts is the upper limit of MaxAttempts.
const mostAttempts = 100

// init fills in the defaults. It panics if Check returns an error.
func (c *Client) init() {
	c.once.Do(func() {
		if err := c.Check(); err != nil {
			panic(err.Error())
		}
		c.base = strings.TrimSuffix(c.URL, "/")
		fields.Default(&c.HTTP, http.DefaultClient)
		own := *c.HTTP
		if own.CheckRedirect == nil {
			own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		}
		if own.Transport == nil {
			own.Transport = http.DefaultTransport
		}
		own.Transport = timed{c, own.Transport}
		c.http = &own
		fields.Default(&c.MaxAttempts, 3)
		fields.Default(&c.Timeout, 30*time.Second)
		fields.Default(&c.AttemptTimeout, 10*time.Second)
		fields.Default(&c.MaxRequestBytes, 1<<20)
		fields.Default(&c.MaxAnswerBytes, 1<<20)
		fields.Default(&c.Silence, 5*time.Second)
		c.Backoff = c.Backoff.WithDefaults(ownBackoff)
		c.Jitter = c.Jitter.OrSeeded(c.URL)
		fields.Default(&c.Budget, &retry.Budget{})
		c.Logger = polling.Logger(c.Logger)
		now := time.Now()
		c.fresh.Store(&now)
		c.line.client = c
		c.line.turn = make(chan struct{}, 1)
	})
}

// Call sends a request and returns the answer, or an [*Error] that says whether the request was
// executed. The error is nil if and only if the outcome is [Done].
//
// An answer is any status that says what became of the request, including 404 and 422. Statuses by
// which a server or gateway says that it has no answer are not answers: 500 and more, 408, 421,
// 425, 429, and any response with a [HeaderOutcome]. A truncated answer is an error, and so is one
// over HTTP/1 that states neither its length nor where it ends.
//
// An attempt is repeated if it may succeed later ([retry.Temporary]) and if it was not executed or
// the request has a Key or an idempotent method, as long as MaxAttempts, the Budget, ctx and
// Timeout allow. Nothing else repeats it: Call keeps net/http from retrying by itself.
func (c *Client) Call(ctx context.Context, r Request) (*Response, error) {
	c.init()
	if err := c.prepare(&r); err != nil {
		c.stats.outcomes[NotExecuted].Add(1)
		return nil, &Error{Outcome: NotExecuted, Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	k := &call{Client: c, request: &r, results: make(chan result, c.MaxAttempts), repeatable: idempotent(r.Method) || r.Key != "", jitter: c.Jitter.Fork()}
	answer, err := k.run(ctx)
	c.stats.outcomes[OutcomeOf(err)].Add(1)
	return answer, err
}

// prepare fills in the defaults of a request. It returns an error if the
// request is invalid.
func (c *Client) prepare(r *Request) error {
	fields.Default(&r.Method, http.MethodGet)
	if r.Path != "" && !strings.HasPrefix(r.Path, "/") && !strings.HasPrefix(r.Path, "?") {
		return fmt.Errorf("Request.Path is %q: want one that begins with a slash", redact.URL(r.Path))
	}
	if len(r.Body) > c.MaxRequestBytes {
		return tooLarge("request", c.MaxRequestBytes)
	}
	if r.Key != "" {
		if err := checkKey(r.Key); err != nil {
			return fmt.Errorf("Request.Key: %w", err)
		}
	}
	_, err := http.NewRequest(r.Method, c.base+r.Path, nil) // which says what is wrong with either
	return err
}

// Close closes the connection of Dial; calls that wait on it fail. It returns nil.
func (c *Client) Close() error {
	c.init()
	c.line.close()
	return nil
}

// Stats returns the counters.
func (c *Client) Stats() ClientStats {
	s := &c.stats
	done, not, unknown := s.outcomes[Done].Load(), s.outcomes[NotExecuted].Load(), s.outcomes[Unknown].Load()
	return ClientStats{
		Calls:       done + not + unknown,
		Done:        done,
		NotExecuted: not,
		Unknown:     unknown,
		Attempts:    s.attempts.Load(),
		Retries:     s.retries.Load(),
		Hedges:      s.hedges.Load(),
		Dropped:     s.dropped.Load(),
	}
}
