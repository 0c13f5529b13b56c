package patterntest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/squall-sim/squall/patterns/patterntest"
)

// stream answers a call by a stream. length is that of the beginning of the question.
func (d *deskServer) stream(w http.ResponseWriter, r *http.Request, length int) {
	flow := http.NewResponseController(w)
	flow.EnableFullDuplex()
	data := make([]byte, length)
	if _, err := io.ReadFull(r.Body, data); err != nil {
		panic(http.ErrAbortHandler)
	}
	d.works(1)
	defer d.works(-1)
	ctx := d.timed(r)
	if ctx.Err() != nil {
		w.WriteHeader(http.StatusGatewayTimeout)
		return
	}
	streams := d.app.Stream
	if d.office.streams != nil {
		streams = func(ctx context.Context, data string, more io.Reader, into io.Writer) error {
			return d.office.streams(d, ctx, data, more, into)
		}
	}
	err := streams(ctx, string(data), r.Body, flowing{w, flow})
	var refusal *patterntest.Refusal
	switch {
	case errors.As(err, &refusal):
		if refusal.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(refusal.RetryAfter/time.Second)))
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	case err != nil:
		panic(http.ErrAbortHandler) // so that its end is not that of the answer
	}
}

// flowing sends what is written at once.
type flowing struct {
	w    http.ResponseWriter
	flow *http.ResponseController
}

func (f flowing) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if err == nil {
		err = f.flow.Flush()
	}
	return n, err
}

// take takes a stream to its end.
func (c *officeClient) take(ctx context.Context, r patterntest.Request, body io.ReadCloser) error {
	defer body.Close()
	var err error
	if c.office.takes != nil {
		err = c.office.takes(c, ctx, r, body)
	} else {
		_, err = io.Copy(r.Into, body)
	}
	if err != nil {
		return errAttempt{err, 0, true}
	}
	return nil
}
