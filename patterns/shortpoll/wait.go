package shortpoll

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/squall-sim/squall/patterns/internal/fields"
	"github.com/squall-sim/squall/patterns/internal/polling"
	"github.com/squall-sim/squall/patterns/retry"
)

// Submit submits a job to a [Jobs] and returns it as the server has accepted it: from then
// on it reaches an end, whatever crashes. The client chooses the id. Submitting the same
// job again does not create a second one, so a client that crashed can repeat it. Failures
// are retried until ctx ends.
//
// It returns [ErrConflict] if a job with that id has another payload, [ErrExpired] if
// there was one, or a [*retry.StatusError] if the server refuses permanently.
func (c *Client) Submit(ctx context.Context, id string, payload []byte) (Job, error) {
	if err := c.checkID(id); err != nil {
		return Job{}, err
	}
	s := &submission{Client: c, payload: payload, job: Job{ID: id}}
	err := c.ask(ctx, s, c.newPacer())
	return s.job, err
}

// Wait polls a job until it has ended and returns it: [Done] with a result, or [Failed] with
// an error text. job is what Submit returned, or Job{ID: id} if the client knows nothing
// else.
//
// It returns early, with the last state of the job that it saw and an error: ctx's error; an
// error because no further poll fits before the deadline; [ErrExpired]; [ErrNotFound]; or a
// [*retry.StatusError] that a retry would not change.
func (c *Client) Wait(ctx context.Context, job Job) (Job, error) {
	if err := c.checkID(job.ID); err != nil {
		return job, err
	}
	if job.State.Terminal() {
		c.see(job)
		return job, nil
	}
	q := &jobQuestion{Client: c, job: job}
	if job.State != "" {
		c.see(job)
		q.tag = polling.Tag(job.Version)
	}
	p := c.newPacer()
	if job.State != "" {
		p.schedule(job.notFor)
	}
	err := c.ask(ctx, q, p)
	return q.job, err
}

func (c *Client) checkID(id string) error {
	if !fields.ValidID(id) {
		return fmt.Errorf("shortpoll: job id is %q: want 1 to 128 letters, digits and any of -._~", id)
	}
	return c.Check()
}

func (c *Client) see(job Job) {
	if c.OnState != nil {
		c.OnState(job)
	}
}

// jobURL is the resource of a job.
func (c *Client) jobURL(id string) *url.URL {
	u, _ := url.Parse(c.URL) // Check has parsed it
	return u.JoinPath(id)
}

// submission asks: do you have this job?
type submission struct {
	*Client
	payload []byte
	job     Job
}

func (s *submission) request() (*http.Request, error) {
	// The body can be read once, so that net/http does not send it again by itself:
	// when to try again is the schedule's business.
	body := io.NopCloser(bytes.NewReader(s.payload))
	req, err := http.NewRequest(http.MethodPut, s.jobURL(s.job.ID).String(), body)
	if err != nil {
		return nil, err
	}
	req.ContentLength = int64(len(s.payload))
	return req, nil
}

func (s *submission) answered(_ context.Context, resp *http.Response, body []byte) (verdict, error) {
	switch resp.StatusCode {
	case http.StatusAccepted, http.StatusOK:
	case http.StatusUnprocessableEntity:
		return verdict{}, stop{ErrConflict}
	case http.StatusGone:
		return verdict{}, stop{ErrExpired}
	default:
		return verdict{}, retry.NewStatusError(resp.StatusCode, body)
	}
	job, err := parseJob(body, s.job.ID)
	if err != nil {
		return verdict{}, err
	}
	// On another host it would get what Client.Header says, such as Authorization.
	if at, err := resp.Location(); err == nil && at.Scheme == resp.Request.URL.Scheme && at.Host == resp.Request.URL.Host {
		job.location = at.String()
	}
	job.notFor, _ = retry.After(resp.Header)
	s.job = job
	return verdict{done: true}, nil
}

func parseJob(body []byte, id string) (Job, error) {
	var a jobAnswer
	if err := json.Unmarshal(body, &a); err != nil {
		return Job{}, fmt.Errorf("job of %d bytes is not whole: %w", len(body), err)
	}
	job := Job{ID: a.ID, State: a.State, Version: a.Version, Result: a.Result, Error: a.Error, Expires: a.Expires}
	if job.ID != id || job.State.rank() == 0 || job.Version.IsZero() {
		return Job{}, fmt.Errorf("job %q in state %q with version %s: want job %q, a known state and a version", job.ID, job.State, job.Version, id)
	}
	return job, nil
}

// jobQuestion asks: has the job ended?
type jobQuestion struct {
	*Client
	job     Job       // as it was seen last
	tag     string    // of that
	missing time.Time // since when it is answered with 404; zero: it is not
}

func (q *jobQuestion) request() (*http.Request, error) {
	u := q.jobURL(q.job.ID)
	if q.job.location != "" {
		u, _ = url.Parse(q.job.location) // as net/http wrote it
	}
	if !q.job.Version.IsZero() {
		u.RawQuery = url.Values{"version": {q.job.Version.String()}}.Encode()
	}
	return conditional(u.String(), q.tag)
}

func (q *jobQuestion) answered(_ context.Context, resp *http.Response, body []byte) (verdict, error) {
	switch resp.StatusCode {
	case http.StatusNotFound:
		return q.notFound()
	case http.StatusGone:
		return verdict{}, stop{ErrExpired}
	case http.StatusNotModified:
		if q.tag == "" {
			return verdict{}, fmt.Errorf("status 304 to a poll without a condition")
		}
		q.missing = time.Time{}
		q.count(func(s *ClientStats) { s.Unchanged++ })
		return verdict{}, nil
	case http.StatusOK:
	default:
		return verdict{}, retry.NewStatusError(resp.StatusCode, body)
	}
	job, err := parseJob(body, q.job.ID)
	if err != nil {
		return verdict{}, err
	}
	q.missing = time.Time{}
	return q.judge(job, resp.Header.Get("ETag"))
}

// notFound takes a 404 for that of a replica which has not heard of the job, for a while.
func (q *jobQuestion) notFound() (verdict, error) {
	if q.missing.IsZero() {
		q.missing = time.Now()
	}
	if time.Since(q.missing) >= max(0, cmp.Or(q.Patience, 10*time.Second)) {
		return verdict{}, stop{ErrNotFound}
	}
	q.count(func(s *ClientStats) { s.Stale++ })
	return verdict{}, nil
}

// judge compares a state with the one seen last. Whatever replicas say, a job's state
// does not go back before the eyes of its client.
func (q *jobQuestion) judge(job Job, tag string) (verdict, error) {
	switch seen := q.job.Version; {
	case !seen.IsZero() && job.Version.Epoch != seen.Epoch:
		return verdict{}, stop{fmt.Errorf("%w: its server began a new incarnation after version %s", ErrNotFound, seen)}
	case job.Version.Offset < seen.Offset:
		q.count(func(s *ClientStats) { s.Stale++ })
		return verdict{}, nil
	case job.Version == seen:
		q.count(func(s *ClientStats) { s.Unchanged++ })
		return verdict{}, nil
	}
	job.location = q.job.location
	q.job, q.tag = job, tag
	q.see(job)
	return verdict{news: true, done: job.State.Terminal()}, nil
}
