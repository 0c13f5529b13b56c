package patterntest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// An App is the application that a server of a [Service] exposes. The contract provides a new one
// for each run of the server. Through it the contract counts, outside the service, what is executed
// and what takes effect.
type App struct {
	// Folder is where the server can keep what must survive a restart. Each
	// server has a folder of its own.
	Folder string

	world  *CallWorld
	server string
	life   context.Context // ends with the server's process

	mu   sync.Mutex
	next Ask // of the tier behind
}

// Do executes a request and returns its answer. The effect takes place at the instant at which Do
// returns an answer: whatever the server stores at that instant, before time passes, is atomic with
// it. If ctx is done, Do returns early without an effect. If the error is a [Refusal], nothing was
// executed. After any other error it is unknown whether anything was, because another server may
// have been asked.
func (a *App) Do(ctx context.Context, data string) (answer string, err error) {
	e, err := a.begin(ctx, data)
	if e == nil {
		return "", err
	}
	behind := a.world.behind(e.tier)
	switch {
	case err == nil && behind == nil:
		return a.world.effects(e), nil
	case err == nil:
		answer, err = a.ask(behind)(ctx, Request{Data: data})
		if errors.Is(err, ErrNotExecuted) {
			err = &Refusal{}
		}
	}
	a.world.stops(e)
	return answer, err
}

// begin starts an execution and does its work. It returns no execution if nobody asked for this
// one.
func (a *App) begin(ctx context.Context, data string) (*execution, error) {
	e, refused := a.world.begins(a, ctx, data)
	switch {
	case e == nil:
		return nil, errors.New("patterntest: nobody asked that")
	case refused != nil:
		return nil, refused
	}
	leave, err := a.world.enter(ctx, a)
	if err == nil {
		err = a.work(ctx, a.world.workOf(e))
		leave()
	}
	return e, err
}

// Change is Do for a call about an object (see [Service].State). It does the work and returns a
// function that computes the object's next state, and the answer, from the current state, which is
// "" at first. The service must store the next state before it answers, so that no other change
// happens in between. If another change did, the service calls the function again with the new
// state. If next equals state, there is nothing to store. The function takes no time and has no
// other effect.
func (a *App) Change(ctx context.Context, data string) (change func(state string) (next, answer string), err error) {
	e, err := a.begin(ctx, data)
	if e == nil {
		return nil, err
	}
	if err != nil {
		a.world.stops(e)
		return nil, err
	}
	return func(state string) (next, answer string) { return a.world.changes(e, state) }, nil
}

// ask returns how to ask the server of the next tier.
func (a *App) ask(behind *Replica) Ask {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next == nil {
		a.next = a.world.service.Client(a.life, a.world.Net.Host(a.server), behind.Name)
	}
	return a.next
}

// work takes d, unless the caller gives up or the process ends.
func (a *App) work(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	if d > 0 {
		select {
		case <-timer.C:
		case <-ctx.Done():
		case <-a.life.Done():
		}
	}
	if a.life.Err() != nil {
		return errors.New("patterntest: the server's process has ended")
	}
	// Work that ends when the caller's time does comes too late, whichever of the two is noticed first.
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}

// A subject is what a call asks for. Calls with one key share a subject.
type subject struct {
	id, text string
	key      string   // "": none
	other    *subject // that had the key before with other data; nil: none
	question Question
	calls    []*call
	runs     []*execution
}

// effects returns the executions that took effect.
func (s *subject) effects() (all []*execution) {
	for _, e := range s.runs {
		if e.effect {
			all = append(all, e)
		}
	}
	return all
}

// answered reports whether some call was done.
func (s *subject) answered() bool {
	return slices.ContainsFunc(s.calls, func(x *call) bool { return x.ended && x.Err == nil })
}

// An execution is one run of App.Do.
type execution struct {
	of       *subject
	app      *App
	nth      int // of its subject
	tier     int
	at       time.Duration
	deadline time.Duration // 0: it had none
	end      time.Duration // 0: it runs
	refused  time.Duration // for so long; -1: without saying; 0: it was not refused
	effect   bool
	answer   string

	// Of one whose answer is a stream:
	sent            []time.Duration // when the server had taken its parts
	sentBytes, held int             // of them, and the most of those that the caller had not taken
	heldAt          time.Duration
	heard           int    // parts of the question beyond its beginning
	misheard        string // what it took in place of the next; "": nothing
	misheardAt      time.Duration
}

// begins records that a server begins to execute a request. It returns nil if nobody sent that
// request, and a refusal if the application must refuse it.
func (w *CallWorld) begins(a *App, ctx context.Context, data string) (*execution, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.Net.Elapsed()
	id, _, _ := strings.Cut(data, " ")
	s := w.subjects[id]
	if s == nil || s.text != data {
		w.strange = append(w.strange, stranger{now, a.server, data})
		return nil, nil
	}
	e := &execution{of: s, app: a, tier: w.tierOf(a.server), at: now}
	for _, before := range s.runs {
		if before.tier == e.tier {
			e.nth++
		}
	}
	e.nth++
	if d, ok := ctx.Deadline(); ok {
		e.deadline = now + time.Until(d)
	}
	s.runs = append(s.runs, e)
	if e.nth <= s.question.Refusals && w.isLast(e.tier) || w.refusing && w.isLast(e.tier) {
		e.end, e.refused = now, s.question.RetryAfter
		if e.refused == 0 {
			e.refused = -1
		}
		return e, &Refusal{RetryAfter: s.question.RetryAfter}
	}
	return e, nil
}

// effects records that an execution takes effect, and returns its answer.
func (w *CallWorld) effects(e *execution) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	e.end, e.effect = w.Net.Elapsed(), true
	e.answer = padded(fmt.Sprintf("answer %d to %s", e.nth, e.of.id), e.of.id, e.of.question.Answer)
	return e.answer
}

// stops records that an execution ended without an effect.
func (w *CallWorld) stops(e *execution) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e.end = w.Net.Elapsed()
}

// workOf returns how long an execution takes now.
func (w *CallWorld) workOf(e *execution) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := w.slow[e.app.server]
	if w.isLast(e.tier) {
		d += e.of.question.Work
	}
	return d
}

// enter waits until a server may run one more execution.
func (w *CallWorld) enter(ctx context.Context, a *App) (leave func(), err error) {
	w.mu.Lock()
	places := w.places[a.server]
	w.mu.Unlock()
	if places == nil {
		return func() {}, nil
	}
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-a.life.Done():
		return nil, a.life.Err()
	}
}

// padded pads a text to a size, with padding of which no two parts are alike.
func padded(text, id string, size int) string {
	if len(text) >= size {
		return text
	}
	b := append(make([]byte, 0, size+len(id)+20), text...) // by hand: megabytes are made of it
	for i := int64(0); len(b) < size; i++ {
		b = append(append(append(b, ' '), id...), ':')
		b = strconv.AppendInt(b, i, 10)
	}
	b[size-1] = '.'
	return string(b[:size])
}
