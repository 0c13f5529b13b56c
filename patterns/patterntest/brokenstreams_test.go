package patterntest_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/patterntest"
)

// writing is a function as a writer.
type writing func(p []byte) (int, error)

func (w writing) Write(p []byte) (int, error) { return w(p) }

// reading is a function as a reader.
type reading func(p []byte) (int, error)

func (r reading) Read(p []byte) (int, error) { return r(p) }

// collects passes nothing on before the end.
func collects(_ *officeClient, _ context.Context, r patterntest.Request, body io.Reader) error {
	all, err := io.ReadAll(body)
	if err == nil {
		_, err = r.Into.Write(all)
	}
	return err
}

func withoutDrains(s *patterntest.Service) { s.Drains = false }

func withoutDeadlines(s *patterntest.Service) { s.Deadlines = false }

func withoutCancels(s *patterntest.Service) { s.Cancels, s.Deadlines = false, false }

// Broken streams.
var brokenStreams = []callFlaw{
	{"the server sends a stream when it is whole", office{streams: func(d *deskServer, ctx context.Context, data string, more io.Reader, into io.Writer) error {
		var all bytes.Buffer
		err := d.app.Stream(ctx, data, more, &all)
		if err == nil {
			_, err = into.Write(all.Bytes())
		}
		return err
	}}.on, "answers come as streams", patterntest.Answering, "part 0 of the answer to c1, due at *, came to phone at *; 240ms is promised (and * more)"},
	{"two parts of a stream change places", office{streams: func(d *deskServer, ctx context.Context, data string, more io.Reader, into io.Writer) error {
		var kept []byte
		nth := 0
		return d.app.Stream(ctx, data, more, writing(func(p []byte) (int, error) {
			if nth++; nth == 2 {
				kept = bytes.Clone(p)
				return len(p), nil
			}
			n, err := into.Write(p)
			if nth == 3 && err == nil {
				_, err = into.Write(kept)
			}
			return n, err
		}))
	}}.on, "answers come as streams", patterntest.Ordered, "phone got until * part 2 of the answer to c1 before part 1 (and * more)"},
	{"streams at a time are one", office{streams: func() func(d *deskServer, ctx context.Context, data string, more io.Reader, into io.Writer) error {
		var mu sync.Mutex
		open := map[*deskServer][]io.Writer{}
		return func(d *deskServer, ctx context.Context, data string, more io.Reader, into io.Writer) error {
			mu.Lock()
			open[d] = append(open[d], into)
			mu.Unlock()
			defer func() {
				mu.Lock()
				defer mu.Unlock()
				open[d] = slices.DeleteFunc(open[d], func(w io.Writer) bool { return w == into })
			}()
			return d.app.Stream(ctx, data, more, writing(func(p []byte) (int, error) {
				mu.Lock()
				defer mu.Unlock()
				return open[d][0].Write(p)
			}))
		}
	}()}.on, "answers come as streams", patterntest.Matched, "phone got until * part * of the answer to * for part * of that to * (and * more)"},
	{"the client takes the end of a connection for that of a stream", office{takes: func(_ *officeClient, ctx context.Context, r patterntest.Request, body io.Reader) error {
		if _, err := io.Copy(r.Into, body); ctx.Err() != nil {
			return err
		}
		return nil
	}}.on, "streams are cut short", patterntest.Whole, "phone got at * only * of the 16 parts of the answer to *, and was told of no error (and * more)"},
	{"the client asks again for what is missing of a stream, and takes it from its beginning", office{claims: noRetries, asks: func(c *officeClient, ctx context.Context, r patterntest.Request) (string, error) {
		answer, err := tryOnce(c, ctx, r)
		if r.Into != nil && err != nil && !errors.Is(err, patterntest.ErrNotExecuted) && ctx.Err() == nil {
			if answer, err = tryOnce(c, ctx, r); err != nil {
				err = said(err, true)
			}
		}
		return answer, err
	}}.on, "streams are cut short", patterntest.Whole, "phone got until * \"part * of answer * to *\" in place of part * of the answer to * (and * more)"},
	{"a server that is asked to stop ends its streams as if they were whole", office{claims: withoutDrains, streams: func(d *deskServer, ctx context.Context, data string, more io.Reader, into io.Writer) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go func() {
			select {
			case <-d.over:
				cancel()
			case <-ctx.Done():
			}
		}()
		err := d.app.Stream(ctx, data, more, into)
		select {
		case <-d.over:
			return nil
		default:
			return err
		}
	}}.on, "the server ends amid streams", patterntest.Whole, "phone got at * only * of the 20 parts of the answer to *, and was told of no error (and * more)"},
	{"the server keeps what its caller does not take", office{claims: withoutCancels, streams: func(d *deskServer, ctx context.Context, data string, more io.Reader, into io.Writer) error {
		var mu sync.Mutex
		var kept [][]byte
		some := make(chan struct{}, 1)
		done := make(chan error, 1)
		go func() {
			err := d.app.Stream(ctx, data, more, writing(func(p []byte) (int, error) {
				mu.Lock()
				defer mu.Unlock()
				kept = append(kept, bytes.Clone(p))
				select {
				case some <- struct{}{}:
				default:
				}
				return len(p), nil
			}))
			done <- err
			close(some)
		}()
		for range some {
			for {
				mu.Lock()
				all := kept
				kept = nil
				mu.Unlock()
				if all == nil {
					break
				}
				for _, p := range all {
					if _, err := into.Write(p); err != nil {
						return err
					}
				}
			}
		}
		return <-done
	}}.on, "the caller of a stream is slow", patterntest.Bounded, "server had written at * * bytes of the answer to c1 that phone had not taken; 2097152 are promised (and * more)"},
	{"the client leaves out what it has no place for", office{claims: func(s *patterntest.Service) { s.Streams.Buffer = 10 << 20 }, takes: func(_ *officeClient, ctx context.Context, r patterntest.Request, body io.Reader) error {
		places := make(chan string, 4)
		ended := make(chan error, 1)
		go func() {
			for p := range places {
				if _, err := io.WriteString(r.Into, p); err != nil {
					break
				}
			}
			ended <- nil
		}()
		defer func() { close(places); <-ended }()
		for in := bufio.NewReader(body); ; {
			p, err := in.ReadString('\n')
			if err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
			select {
			case places <- p:
			case <-time.After(150 * time.Millisecond):
			}
		}
	}}.on, "the caller of a stream is slow", patterntest.Whole, "phone got until * \"part * of answer 1 to c*\" in place of part * of the answer to c1*"},
	{"all calls of a client share a connection, also with a stream", office{claims: withoutDeadlines, client: func(c *officeClient) { c.http.Transport.(*http.Transport).MaxConnsPerHost = 1 }}.on,
		"the caller of a stream is slow", patterntest.Answering, "*, asked by phone at *"},
	{"the server writes on when its caller has gone", office{streams: func(d *deskServer, ctx context.Context, data string, more io.Reader, into io.Writer) error {
		return d.app.Stream(context.WithoutCancel(ctx), data, more, writing(func(p []byte) (int, error) {
			into.Write(p)
			return len(p), nil
		}))
	}, claims: withoutDeadlines}.on, "streams are given up", patterntest.Cancelled, "* was given up by phone at *, but server worked on it until * (and * more)"},
	{"a stream is passed on when it is whole", office{takes: collects}.on, "a stream through tiers", patterntest.Answering, "part 0 of the answer to c1, due at *, came to phone at *; 480ms is promised"},
	{"the server hears all of a question before it answers", office{streams: func(d *deskServer, ctx context.Context, data string, more io.Reader, into io.Writer) error {
		all, err := io.ReadAll(more)
		if err != nil {
			return err
		}
		return d.app.Stream(ctx, data, bytes.NewReader(all), into)
	}}.on, "a question goes on while it is answered", patterntest.Answering, "part 0 of the answer to c1, due at *, came to phone at *; 240ms is promised (and * more)"},
	{"the server takes the end of a question for that of its caller", office{streams: func(d *deskServer, ctx context.Context, data string, more io.Reader, into io.Writer) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		return d.app.Stream(ctx, data, reading(func(p []byte) (int, error) {
			n, err := more.Read(p)
			if err != nil {
				cancel()
			}
			return n, err
		}), into)
	}}.on, "a question goes on while it is answered", patterntest.Answering, "* asked by phone at * over a good network, was unknown at * (and * more)"},
	{"the server takes the end of a connection for that of a question", office{streams: func(d *deskServer, ctx context.Context, data string, more io.Reader, into io.Writer) error {
		return d.app.Stream(context.WithoutCancel(ctx), data, reading(func(p []byte) (int, error) {
			n, err := more.Read(p)
			if err != nil {
				err = io.EOF
			}
			return n, err
		}), into)
	}, claims: withoutCancels}.on, "questions that go on are cut short", patterntest.Whole, "server took at * only * of the 20 parts of * for all of it (and * more)"},
	{"who has heard a question does not hear that its caller goes", office{streams: func(d *deskServer, ctx context.Context, data string, more io.Reader, into io.Writer) error {
		return d.app.Stream(context.WithoutCancel(ctx), data, more, into)
	}, claims: withoutDeadlines}.on, "a question that goes on is given up", patterntest.Cancelled, "* was given up by phone at *, but server worked on it until * (and * more)"},
}
