package patterntest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/patterntest"
)

func noRetries(s *patterntest.Service) { s.Retries = nil }

// tryOnce asks without asking again.
func tryOnce(c *officeClient, ctx context.Context, r patterntest.Request) (string, error) {
	answer, err := c.attempt(ctx, r)
	if err == nil {
		return answer, nil
	}
	var failed errAttempt
	errors.As(err, &failed)
	return "", said(err, failed.sent)
}

type (
	asking = func(c *officeClient, ctx context.Context, r patterntest.Request) (string, error)
	doing  = func(d *deskServer, ctx context.Context, data string) (string, error)
)

func takesFailureForRefusal(c *officeClient, ctx context.Context, r patterntest.Request) (string, error) {
	answer, err := c.attempt(ctx, r)
	if err != nil {
		return "", said(err, false)
	}
	return answer, nil
}

// Broken outcomes: what a caller is told is not true.
var brokenOutcomes = []callFlaw{
	{"the client says of all that failed that it was not executed", office{claims: noRetries, asks: takesFailureForRefusal}.on, "the question is lost", patterntest.Truthful, "phone was told at * that c2 was not executed, but that took effect at *"},
	{"the client takes a broken connection for one that was refused", office{claims: noRetries, asks: func(c *officeClient, ctx context.Context, r patterntest.Request) (string, error) {
		answer, err := tryOnce(c, ctx, r)
		if err != nil && strings.Contains(err.Error(), "reset") {
			return "", said(err, false)
		}
		return answer, err
	}}.on, "the connection breaks on the answer", patterntest.Truthful, "phone was told at * that c2 was not executed, but that took effect at *"},
	{"the client says that what it could send is done", office{claims: noRetries, asks: func(c *officeClient, ctx context.Context, r patterntest.Request) (string, error) {
		answer, err := tryOnce(c, ctx, r)
		if err != nil && !errors.Is(err, patterntest.ErrNotExecuted) {
			return "sent", nil
		}
		return answer, err
	}}.on, "the connection breaks on the question", patterntest.Truthful, "phone was told at * that c2 is done, but nothing had taken effect (and * more)"},
	{"the client waits for an answer for ever", office{claims: func(s *patterntest.Service) { s.Cancels, s.Deadlines = false, false }, once: func(c *officeClient, ctx context.Context, server string, r patterntest.Request) (string, error) {
		return c.once(context.WithoutCancel(ctx), server, r)
	}}.on, "a call longer than anybody's patience", patterntest.Truthful, "c1, asked by phone at 1ms, ended at 5.161s, although it waits only until 2.001s (and 2 more)"},
	{"the server answers before it is done", office{claims: func(s *patterntest.Service) { s.Cancels, s.Deadlines, s.Drains = false, false, false }, do: func(d *deskServer, ctx context.Context, data string) (string, error) {
		answer := make(chan string, 1)
		go func() {
			text, _ := d.app.Do(context.WithoutCancel(ctx), data)
			answer <- text
		}()
		select {
		case text := <-answer:
			return text, nil
		case <-time.After(450 * time.Millisecond):
			return "it will be done", nil
		}
	}}.on, "calls at a time", patterntest.Truthful, "phone was told at * that c1 is done, but nothing had taken effect (and * more)"},
	{"the server says that it is busy, and does it nevertheless", office{claims: func(s *patterntest.Service) { s.Retries, s.Cancels, s.Deadlines = nil, false, false }, asks: tryOnce, do: func(d *deskServer, ctx context.Context, data string) (string, error) {
		answer := make(chan string, 1)
		go func() {
			text, _ := d.app.Do(context.WithoutCancel(ctx), data)
			answer <- text
		}()
		select {
		case text := <-answer:
			return text, nil
		case <-time.After(time.Second):
			return "", &patterntest.Refusal{}
		}
	}}.on, "a call longer than anybody's patience", patterntest.Truthful, "phone was told at * that c1 was not executed, but that took effect at * (and 2 more)"},
	{"the client asks again whatever has failed", office{client: func(c *officeClient) { c.try = time.Second }, asks: func(c *officeClient, ctx context.Context, r patterntest.Request) (string, error) {
		answer, err := tryOnce(c, ctx, r)
		for err != nil && ctx.Err() == nil && c.mayRetry() {
			time.Sleep(200 * time.Millisecond)
			answer, err = tryOnce(c, ctx, r)
		}
		return answer, err
	}}.on, "the answer is lost", patterntest.Single, "* took effect at * and again at *"},
	{"the client takes silence for a refusal", office{claims: noRetries, asks: func(c *officeClient, ctx context.Context, r patterntest.Request) (string, error) {
		answer, err := tryOnce(c, ctx, r)
		if ctx.Err() != nil {
			return "", said(err, false)
		}
		return answer, err
	}}.on, "the server is frozen for a minute, amid calls", patterntest.Truthful, "phone was told at * that * was not executed, but that took effect at *"},
	{"the client asks again what takes longer than 250 ms", office{client: func(c *officeClient) { c.try = 250 * time.Millisecond }, asks: func(c *officeClient, ctx context.Context, r patterntest.Request) (string, error) {
		answer, err := tryOnce(c, ctx, r)
		if err != nil && ctx.Err() == nil {
			return tryOnce(c, ctx, r)
		}
		return answer, err
	}, claims: noRetries}.on, "bad links", patterntest.Single, "* took effect at * and again at *"},
	{"the client lets net/http ask again", office{once: func(c *officeClient, ctx context.Context, server string, r patterntest.Request) (string, error) {
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+server+"/", strings.NewReader(r.Data))
		req.Header["X-Idempotency-Key"] = nil // by which net/http takes it for one that can be repeated
		if deadline, ok := ctx.Deadline(); ok {
			req.Header.Set("Time-Left", time.Until(deadline).String())
		}
		resp, err := c.http.Do(req)
		if err != nil {
			return "", errAttempt{err, 0, true}
		}
		return readAnswer(resp)
	}}.on, "the connection breaks on the answer", patterntest.Single, "c2 took effect at * and again at *"},
	{"the client hedges calls that have no key", office{asks: func(c *officeClient, ctx context.Context, r patterntest.Request) (string, error) {
		if r.Into != nil {
			return tryOnce(c, ctx, r) // two streams would come into one, and the later one after the call
		}
		type result struct {
			answer string
			err    error
		}
		first := make(chan result, 2)
		ask := func() {
			answer, err := tryOnce(c, ctx, r)
			first <- result{answer, err}
		}
		go ask()
		hedge := time.NewTimer(300 * time.Millisecond)
		defer hedge.Stop()
		select {
		case x := <-first:
			return x.answer, x.err
		case <-hedge.C:
			ctx = context.WithoutCancel(ctx) // so that the later one is not called back
			go ask()
		}
		x := <-first
		return x.answer, x.err
	}, claims: func(s *patterntest.Service) { s.Retries, s.Deadlines = nil, false }}.on, "calls at a time", patterntest.Single, "c1 took effect at * and again at *"},
}

// Broken keys.
var brokenKeys = []callFlaw{
	{"the server does not look at keys", office{keeps: func(_ *deskServer, _, data string) (*file, *file) {
		return &file{Data: data, done: make(chan struct{})}, nil
	}}.on, "a key that was used", patterntest.Single, "c1 took effect at * and again at *"},
	{"the server notes keys when it is done", office{keeps: func(d *deskServer, key, data string) (*file, *file) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if f := d.files[key]; f != nil && f.Answer != "" {
			return nil, f
		}
		f := &file{Data: data, done: make(chan struct{})}
		d.files[key] = f
		return f, nil
	}}.on, "a key that is in use", patterntest.Single, "c1 took effect at * and again at *"},
	{"the server forgets a key after 5 s", office{keeps: func(d *deskServer, key, data string) (*file, *file) {
		mine, theirs := d.open(key, data)
		if mine != nil {
			time.AfterFunc(5*time.Second, func() {
				d.mu.Lock()
				defer d.mu.Unlock()
				if mine.Answer != "" {
					delete(d.files, key)
				}
			})
		}
		return mine, theirs
	}}.on, "a key that was used", patterntest.Single, "c1 took effect at * and again at *"},
	{"the server keeps keys in memory and says that they last", office{claims: func(s *patterntest.Service) { s.Keys.Durable = true }}.on,
		"a key, and the server restarts", patterntest.Single, "* took effect at * and again at *"},
	{"the server writes a key a little after the effect", office{durable: true, do: func(d *deskServer, ctx context.Context, data string) (string, error) {
		answer, err := d.app.Do(ctx, data)
		select {
		case <-time.After(20 * time.Millisecond):
			return answer, err
		case <-d.over:
			return "", errors.New("the process has ended")
		}
	}}.on, "a key, and the server restarts", patterntest.Single, "* took effect at * and again at *"},
	{"the server lets other data pass under a key", office{keeps: func(d *deskServer, key, data string) (*file, *file) {
		return d.open(key+data, data)
	}}.on, "a key with other data", patterntest.Single, "* took effect at *, although its key, order-0, had been used for c1, which was other data*"},
	{"the server gives other data the answer of its key", office{keeps: func(d *deskServer, key, data string) (*file, *file) {
		mine, theirs := d.open(key, data)
		if theirs != nil && theirs.Data != data {
			<-theirs.done
			theirs = &file{Data: data, Answer: d.answerTo(theirs), done: theirs.done}
		}
		return mine, theirs
	}}.on, "a key with other data", patterntest.Matched, "phone was told at * that c2 is done, but its key, order-0, had been used for c1, which was other data (and * more)"},
	{"the server tells who asks again that it was done", office{keeps: func(d *deskServer, key, data string) (*file, *file) {
		mine, theirs := d.open(key, data)
		if theirs != nil && d.answerTo(theirs) != "" {
			return nil, &file{Data: theirs.Data, Answer: "done before", done: theirs.done}
		}
		return mine, theirs
	}}.on, "a key after the answer was lost", patterntest.Matched, "phone got at * \"done before\" for *, but others with its key, *, get *"},
	{"the server keeps the key of what was given up", office{do: func(d *deskServer, ctx context.Context, data string) (string, error) {
		answer, err := d.app.Do(ctx, data)
		if err != nil {
			<-d.over
		}
		return answer, err
	}, claims: func(s *patterntest.Service) { s.Recovery = 30 * time.Second }}.on, "a key is given up while it is in use", patterntest.Answering, "c1, asked by phone at *, was unknown, although nobody has its key any more (and * more)"},
}

// Broken answers.
var brokenAnswers = []callFlaw{
	{"calls at a time share an answer", office{asks: func() asking {
		var mu sync.Mutex
		flights := map[*officeClient]*flight{}
		return func(c *officeClient, ctx context.Context, r patterntest.Request) (string, error) {
			mu.Lock()
			f := flights[c]
			if f != nil && r.Key == "" {
				mu.Unlock()
				select {
				case <-f.done:
					return f.answer, f.err
				case <-ctx.Done():
					return "", ctx.Err()
				}
			}
			f = &flight{done: make(chan struct{})}
			flights[c] = f
			mu.Unlock()
			f.answer, f.err = c.ask(ctx, r)
			mu.Lock()
			delete(flights, c)
			mu.Unlock()
			close(f.done)
			return f.answer, f.err
		}
	}()}.on, "calls at a time", patterntest.Matched, "phone got at * the answer to c1 for * (and * more)"},
	{"the server remembers its last answer", office{do: func() doing {
		var mu sync.Mutex
		last := map[*deskServer]string{}
		return func(d *deskServer, ctx context.Context, data string) (string, error) {
			answer, err := d.app.Do(ctx, data)
			mu.Lock()
			defer mu.Unlock()
			if before := last[d]; before != "" {
				answer, last[d] = before, answer
				return answer, err
			}
			last[d] = answer
			return answer, err
		}
	}()}.on, "a quiet day of calls", patterntest.Matched, "phone got at * the answer to c1 for c2 (and * more)"},
	{"two callers share an answer", office{do: func() doing {
		type digit struct {
			of   *deskServer
			last string
		}
		var mu sync.Mutex
		same := map[digit]string{}
		return func(d *deskServer, ctx context.Context, data string) (string, error) {
			id := strings.Fields(data)[0]
			mine := digit{d, id[len(id)-1:]}
			mu.Lock()
			answer := same[mine]
			mu.Unlock()
			own, err := d.app.Do(ctx, data)
			if answer != "" && len(id) == 3 {
				return answer, err
			}
			mu.Lock()
			same[mine] = own
			mu.Unlock()
			return own, err
		}
	}()}.on, "ten callers at a time", patterntest.Matched, "phone* got at * the answer to * for c1* (and * more)"},
	{"the client takes what it has for the answer", office{once: func(c *officeClient, ctx context.Context, server string, r patterntest.Request) (string, error) {
		resp, err := c.send(ctx, server, r)
		if err != nil {
			return "", errAttempt{err, 0, true}
		}
		defer resp.Body.Close()
		answer, _ := io.ReadAll(resp.Body)
		return string(answer), nil
	}, claims: func(s *patterntest.Service) { s.Retries, s.Keys = nil, nil }}.on, "answers are cut short", patterntest.Whole, "phone got at * only * of the 8000 bytes of the answer to c1, and was told of no error*"},
	{"the server takes what it has for the question", office{handle: func(d *deskServer, w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		d.reply(w, context.Background(), "", "", string(data))
	}, claims: func(s *patterntest.Service) { s.Retries, s.Keys, s.Cancels, s.Deadlines = nil, nil, false, false }}.on, "questions are cut short", patterntest.Whole, "server was to execute at * only * of the 8000 bytes of c1*"},
	{"the server reads no more than 32 kB", office{handle: func(d *deskServer, w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(io.LimitReader(r.Body, 32<<10))
		d.reply(w, d.timed(r), r.Header.Get("Idempotency-Key"), "", string(data))
	}, claims: noRetries}.on, "questions and answers of any size", patterntest.Whole, "server was to execute at * only 32768 of the 65536 bytes of * (and * more)"},
	{"the client reads no more than 32 kB", office{once: func(c *officeClient, ctx context.Context, server string, r patterntest.Request) (string, error) {
		resp, err := c.send(ctx, server, r)
		if err != nil {
			return "", errAttempt{err, 0, true}
		}
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, 32<<10), resp.Body}
		return readAnswer(resp)
	}, claims: noRetries}.on, "questions and answers of any size", patterntest.Whole, "phone got at * only 32768 of the 65536 bytes of the answer to *, and was told of no error (and * more)"},
	{"the client trims answers", office{once: func(c *officeClient, ctx context.Context, server string, r patterntest.Request) (string, error) {
		answer, err := c.once(ctx, server, r)
		return strings.TrimRight(answer, "."), err
	}}.on, "calls at a time", patterntest.Whole, "phone got at * only 199 of the 200 bytes of the answer to c1, and was told of no error (and * more)"},
	{"the end of an answer is the end of the connection", office{handle: func(d *deskServer, w http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		answer, status, _ := d.answer(d.timed(r), r.Header.Get("Idempotency-Key"), "", string(data))
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		fmt.Fprintf(conn, "HTTP/1.0 %d \r\n\r\n%s", status, answer)
		conn.Close()
	}, claims: func(s *patterntest.Service) { s.Retries, s.Keys = nil, nil }}.on, "answers are cut short", patterntest.Whole, "phone got at * only * of the 8000 bytes of the answer to c1, and was told of no error*"},
	{"the server changes letters", office{do: func(d *deskServer, ctx context.Context, data string) (string, error) {
		return d.app.Do(ctx, string(bytes.ToUpper([]byte(data))))
	}}.on, "bad links", patterntest.Whole, "server was to execute at * \"C1 ?\", which nobody had asked (and * more)"},
}

// A flight is a call that others wait for.
type flight struct {
	done   chan struct{}
	answer string
	err    error
}
