package shortpoll

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/polling"
	"github.com/squall-sim/squall/patterns/longpoll"
	"github.com/squall-sim/squall/patterns/retry"
)

// Batch is what the handler of [Client.Run] gets. It is the same as in long polling,
// because both speak the same protocol.
type Batch = longpoll.Batch

// Run polls a [Server] until ctx ends, handle fails or the server refuses permanently.
// It returns ctx's error, the error of handle, or a [*retry.StatusError]. An answer
// beyond MaxAnswerBytes also ends it, with [eventlog.ErrTooLarge], because the next
// answer would be as long. Other failures are retried.
//
// Run calls handle from its own goroutine, for one batch at a time. When handle returns
// nil, the batch is finished. When it fails or panics, the batch is not finished: a Run
// from the Cursor of the previous batch gets its events again. Run panics if handle is
// nil.
func (c *Client) Run(ctx context.Context, handle func(context.Context, Batch) error) error {
	if err := c.Check(); err != nil {
		return err
	}
	if handle == nil {
		panic("shortpoll: Client.Run: handle is nil: want a function")
	}
	p := c.newPacer()
	f := &newsQuestion{
		Client: c,
		reader: polling.Reader{Cursor: c.From, FromNow: c.FromNow, StaleAnswers: cmp.Or(c.StaleAnswers, 3)},
		handle: handle,
	}
	if !c.From.IsZero() {
		p.schedule(0)
	}
	return c.ask(ctx, f, p)
}

// newsQuestion asks: what is new?
type newsQuestion struct {
	*Client
	reader polling.Reader
	handle func(context.Context, Batch) error
	tag    string // of the last answer
	reset  bool   // the last answer was one
}

func (f *newsQuestion) request() (*http.Request, error) {
	u, _ := url.Parse(f.URL) // Check has parsed it
	q := u.Query()
	polling.SetPosition(q, f.reader.Cursor, f.reader.FromNow, f.Topics)
	u.RawQuery = q.Encode()
	return conditional(u.String(), f.tag)
}

// conditional is a GET that asks for what has changed since the answer with that tag.
func conditional(url, tag string) (*http.Request, error) {
	req, err := http.NewRequest(http.MethodGet, url, polling.NoReplay{})
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	if tag != "" {
		req.Header.Set("If-None-Match", tag)
	}
	return req, nil
}

func (f *newsQuestion) answered(ctx context.Context, resp *http.Response, body []byte) (verdict, error) {
	switch resp.StatusCode {
	case http.StatusNotModified:
		if f.tag == "" {
			return verdict{}, fmt.Errorf("status 304 to a poll without a condition")
		}
		if _, _, err := f.reader.Judge(eventlog.Page{Next: f.reader.Cursor}); err != nil {
			return verdict{}, err
		}
		f.count(func(s *ClientStats) { s.Unchanged++ })
		return verdict{}, nil
	case http.StatusOK, http.StatusGone:
	default:
		return verdict{}, retry.NewStatusError(resp.StatusCode, body)
	}
	page, err := polling.ParsePage(body)
	if err != nil {
		return verdict{}, fmt.Errorf("status %d: %w", resp.StatusCode, err)
	}
	if (page.Reset != "") != (resp.StatusCode == http.StatusGone) {
		return verdict{}, fmt.Errorf("status %d with reset %q", resp.StatusCode, page.Reset)
	}
	batch, duplicates, err := f.reader.Judge(page)
	if batch.Reset == eventlog.ReasonFuture || err != nil {
		f.count(func(s *ClientStats) { s.Stale++ })
	}
	if err != nil {
		return verdict{}, err
	}
	if batch.Reset != "" {
		f.log().Warn("events may be missing", "reason", batch.Reset, "cursor", f.reader.Cursor)
	}
	news := len(batch.Events) > 0 || batch.Reset != ""
	if news || f.reader.Begins(batch) {
		if err := f.handle(ctx, Batch(batch)); err != nil {
			return verdict{}, stop{err}
		}
	}
	f.reader.Accept(batch)
	f.tag = resp.Header.Get("ETag")
	f.count(func(s *ClientStats) {
		s.Duplicates += int64(duplicates)
		s.Events += int64(len(batch.Events))
		switch {
		case batch.Reset != "":
			s.Resets++
		case news:
			s.Answers++
		default:
			s.Unchanged++
		}
	})
	more := len(batch.Events) > 0 && page.More || batch.Reset != "" && !f.reset
	f.reset = batch.Reset != ""
	return verdict{news: news, more: more}, nil
}
