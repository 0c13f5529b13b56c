package patterntest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/squall-sim/squall/patterns/retry"
)

// Streams describes calls of a [Service] whose answer is a stream. Data arrives as it is written,
// in order and complete, or the call fails. A caller that does not read its stream holds up that
// stream and no other. Such a call has no key and no object.
type Streams struct {
	// Buffer is how many bytes of a stream can be in transit to a caller that does not read. Zero:
	// 2 MiB, since TCP's buffers at both ends hold more than 1 MiB once a connection has carried a
	// few megabytes.
	Buffer int
	// Halves says that the caller can continue its question while it is being answered. The caller
	// ends the question before the answer ends.
	Halves bool
}

// Stream is Do for a call whose answer is a stream. It writes the answer to into as the answer is
// produced. more is the rest of the question after data, up to io.EOF; it can be nil if the service
// has no Halves or there is no more. The call takes effect at the instant at which Stream returns
// nil: the answer is then complete. After an error the client must be told that the answer is
// incomplete. When ctx is done, Stream returns early unless it is blocked on into or more.
func (a *App) Stream(ctx context.Context, data string, more io.Reader, into io.Writer) error {
	e, err := a.begin(ctx, data)
	if e == nil {
		return err
	}
	behind := a.world.behind(e.tier)
	switch {
	case err != nil:
	case behind != nil:
		_, err = a.ask(behind)(ctx, Request{Data: data, More: more, Into: into})
		if errors.Is(err, ErrNotExecuted) {
			err = &Refusal{}
		}
	default:
		err = a.answers(ctx, e, more, into)
	}
	if err == nil && behind == nil {
		a.world.effects(e)
	} else {
		a.world.stops(e)
	}
	return err
}

// answers writes a stream: one part for each part of the question, and then the
// others.
func (a *App) answers(ctx context.Context, e *execution, more io.Reader, into io.Writer) error {
	q := e.of.question
	if q.Said > 0 {
		if more == nil {
			more = strings.NewReader("")
		}
		for in := bufio.NewReader(more); ; {
			said, err := in.ReadString('\n')
			if a.world.hears(e, said, err); err == io.EOF {
				break
			} else if err != nil {
				return err
			}
			if err := a.sends(ctx, e, into); err != nil {
				return err
			}
		}
	}
	for range q.Parts {
		if err := a.work(ctx, q.Every); err != nil {
			return err
		}
		if err := a.sends(ctx, e, into); err != nil {
			return err
		}
	}
	return nil
}

// sends writes the next part of a stream.
func (a *App) sends(ctx context.Context, e *execution, into io.Writer) error {
	n, err := io.WriteString(into, e.part(len(e.sent))) // sent is this goroutine's alone to change
	a.world.sends(e, n)
	if err != nil {
		return err
	}
	return ctx.Err()
}

// part returns a part of an execution's answer, which is a line.
func (e *execution) part(nth int) string {
	return asLine(fmt.Sprintf("part %d of answer %d to %s", nth, e.nth, e.of.id), nth, e.of.question.Answer)
}

// saidPart returns a further part of a question, which is a line.
func (s *subject) saidPart(nth int) string {
	return asLine(fmt.Sprintf("part %d of %s", nth, s.id), nth, s.question.Size)
}

// asLine returns a text as a line, padded to a size with text that is in no other
// line.
func asLine(text string, nth, size int) string {
	if n := size - len(text) - 1; n > 0 {
		unit := fmt.Sprintf(" %d", nth)
		text += strings.Repeat(unit, n/len(unit)+1)[:n]
	}
	return text + "\n"
}

// sends records how much of the next part of a stream a server has written.
func (w *CallWorld) sends(e *execution, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e.sent = append(e.sent, w.Net.Elapsed())
	e.sentBytes += n
	x := e.of.calls[0]
	if held := e.sentBytes - x.taken.Len(); held > e.held && !x.ended {
		e.held, e.heldAt = held, w.Net.Elapsed()
	}
}

// hears records what a server has read next of a question.
func (w *CallWorld) hears(e *execution, said string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch now := w.Net.Elapsed(); {
	case e.misheard != "":
	case err == nil && said != e.of.saidPart(e.heard):
		e.misheardAt, e.misheard = now, fmt.Sprintf("%s in place of part %d of", short(said), e.heard)
	case err == nil:
		e.heard++
	case err == io.EOF && e.heard < e.of.question.Said:
		e.misheardAt, e.misheard = now, fmt.Sprintf("only %d of the %d parts of", e.heard, e.of.question.Said)
	}
}

// isStream reports whether the answer is a stream.
func (q Question) isStream() bool { return q.Parts > 0 || q.Said > 0 }

// takes returns how long the server works on it, plus how long the caller takes
// to read a stream.
func (q Question) takes() time.Duration {
	return q.Work + time.Duration(q.Parts+q.Said)*(q.Every+q.Slow)
}

// streaming removes from a question what the service does not support.
func (q Question) streaming(s *Streams) Question {
	switch {
	case s == nil:
		q.Parts, q.Said, q.Every, q.Slow = 0, 0, 0, 0
	case q.isStream():
		q.Keyed, q.Key, q.Object, q.Read, q.Clear = false, "", "", false, false
		if !s.Halves {
			q.Said = 0
		}
	}
	return q
}

// A taker is where a caller reads its stream.
type taker struct {
	ctx   context.Context
	world *CallWorld
	x     *call
}

// Write takes the next piece of a stream.
func (t taker) Write(p []byte) (int, error) {
	if err := t.ctx.Err(); err != nil {
		return 0, err
	}
	t.world.mu.Lock()
	parts := strings.Count(string(p), "\n")
	for range parts {
		t.x.takenAt = append(t.x.takenAt, t.world.Net.Elapsed())
	}
	t.x.taken.Write(p)
	t.world.mu.Unlock()
	if d := time.Duration(parts) * t.x.question.Slow; d > 0 {
		return len(p), retry.Sleep(t.ctx, d)
	}
	return len(p), nil
}

// A sayer is the rest of a caller's question after its beginning.
type sayer struct {
	ctx   context.Context
	world *CallWorld
	x     *call
	nth   int
	rest  string
}

// Read waits for the next part of the question, or returns io.EOF after the
// last.
func (s *sayer) Read(p []byte) (int, error) {
	if s.rest == "" {
		if s.nth == s.x.question.Said {
			return 0, io.EOF
		}
		if err := retry.Sleep(s.ctx, s.x.question.Every); err != nil {
			return 0, err
		}
		s.rest = s.x.of.saidPart(s.nth)
		s.nth++
		s.world.mu.Lock()
		s.x.saidAt = append(s.x.saidAt, s.world.Net.Elapsed())
		s.world.mu.Unlock()
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}
