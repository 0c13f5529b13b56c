// Package saga runs a business transaction that no single database can run: steps in different
// services, which are either all done, or of which those that were done are compensated, in reverse
// order. A saga is the handler of a job (package workqueue). Its journal is the job's checkpoint.
// The worker that gets the job after a crash therefore continues where the last one stopped, and a
// worker that has lost the job cannot write to the journal.
//
//	trip := &saga.Saga{Steps: []saga.Step{{Name: "flight", Do: bookFlight, Undo: cancelFlight}, ...}}
//	err := worker.Run(ctx, trip.Handle)
//
// # When to use it
//
// Use it where each step can be undone by another one, and others may see the steps before the end.
// Where they must not, use one database and one transaction.
//
// # What it promises
//
//   - A saga ends with all steps done; or with every step undone that was done or may have been,
//     the last one first. It then ends as Failed, with the reason.
//   - A step does not begin before the journal says that the previous one is done.
//   - Undo is retried until it succeeds, even over crashes and restarts.
//
// It does not promise that a step is executed once: after a crash in the middle of a step, the step
// is done again, and so is an Undo. Each must be idempotent by [Call].Key, and Undo must tolerate
// that nothing was done. A saga whose job is Dead, after too many crashes, is neither done nor
// undone: [workqueue.Queue.Retry] continues it.
package saga

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/squall-sim/squall/patterns/async/workqueue"
	"github.com/squall-sim/squall/patterns/internal/fields"
	"github.com/squall-sim/squall/patterns/retry"
)

// Step is a part of a saga.
type Step struct {
	// Name names the step in the journal. It must not change while sagas are running.
	Name string
	// Do does the step, and returns what later steps and Undo may need. After an error it is
	// repeated, up to MaxAttempts times. A [workqueue.Final] says that the step was not done and
	// never will be.
	Do func(ctx context.Context, c Call) ([]byte, error)
	// Undo compensates the step. It is repeated until it returns nil. Nil: there is nothing to
	// compensate.
	Undo func(ctx context.Context, c Call) error
}

// Call is the argument of a step.
type Call struct {
	// Key is the saga's ID, a slash and the step's name. A service recognises a repetition
	// by it.
	Key string
	// Token is the fencing token of the job.
	Token uint64
	// Input is the job's payload.
	Input []byte
	// Results are what the completed steps returned, by step name.
	Results map[string][]byte
}

// Saga is a sequence of steps. Only Steps must be set. Do not change or copy it after first use.
type Saga struct {
	// Steps are done in this order.
	Steps []Step
	// MaxAttempts is how often one worker tries a step before the saga turns back. Zero: 5. The
	// step may have been done then, so it is undone too.
	MaxAttempts int
	// Backoff bounds the delays between attempts, of Do and of Undo.
	Backoff retry.Backoff
	// Jitter draws the delays. Nil: seeded by the saga's ID and the clock.
	Jitter retry.Jitter
	// OnRetry is called after each failed attempt that will be repeated, with its error and the
	// delay before the next. Nil: not called.
	OnRetry func(err error, delay time.Duration)
}

// journal is a saga's checkpoint. Sagas may be under way while the program changes: fields may be added,
// and none change their names or meanings.
type journal struct {
	Version int               `json:"v"`
	Done    []string          `json:"done,omitempty"`    // names of steps, in their order
	Results map[string][]byte `json:"results,omitempty"` // by name
	Back    bool              `json:"back,omitempty"`    // what is in Done is to be undone
	Cause   string            `json:"cause,omitempty"`   // of that
}

const journalVersion = 1

// Check returns an error that names each invalid setting and its value, or nil.
func (s *Saga) Check() error {
	check := fields.Of("saga: Saga")
	if len(s.Steps) == 0 {
		check.Bad("Steps is empty: want one at least")
	}
	names := map[string]bool{}
	for i, step := range s.Steps {
		if step.Name == "" || names[step.Name] {
			check.Bad("Steps[%d].Name is %q: want a name that no other step has", i, step.Name)
		}
		names[step.Name] = true
		if step.Do == nil {
			check.Bad("Steps[%d].Do is nil: want a function", i)
		}
	}
	check.Int("MaxAttempts", s.MaxAttempts)
	check.Backoff("Backoff", s.Backoff, retry.Backoff{})
	return check.Err()
}

// Handle runs the saga of a job, from its checkpoint on. It is for [workqueue.Worker.Run]. The
// result is that of the last step. A saga that was undone returns an error that is a
// [workqueue.Final]. It panics if Check returns an error.
func (s *Saga) Handle(ctx context.Context, t workqueue.Task) ([]byte, error) {
	if err := s.Check(); err != nil {
		panic(err.Error())
	}
	r := &run{Saga: s, task: t, jitter: s.Jitter.OrSeeded(t.ID)}
	if err := r.read(t.Checkpoint); err != nil {
		return nil, err
	}
	if !r.Back {
		if err := r.forward(ctx); err != nil {
			return nil, err
		}
	}
	if !r.Back {
		return r.Results[s.Steps[len(s.Steps)-1].Name], nil
	}
	if err := r.back(ctx); err != nil {
		return nil, err
	}
	return nil, workqueue.Final{Err: fmt.Errorf("saga: undone after %s", r.Cause)}
}

// run is a saga in the hands of a worker.
type run struct {
	*Saga
	journal
	task   workqueue.Task
	jitter retry.Jitter
}

// read goes on with a journal. One that these steps did not write is an error for a human.
func (r *run) read(checkpoint []byte) error {
	r.journal = journal{Version: journalVersion}
	if len(checkpoint) > 0 {
		if err := json.Unmarshal(checkpoint, &r.journal); err != nil {
			return fmt.Errorf("saga: journal: %w", err)
		}
		if r.Version != journalVersion {
			return fmt.Errorf("saga: journal is of version %d: want %d", r.Version, journalVersion)
		}
	}
	if len(r.Done) > len(r.Steps) {
		return fmt.Errorf("saga: the journal has %d steps done: there are %d", len(r.Done), len(r.Steps))
	}
	for i, name := range r.Done {
		if r.Steps[i].Name != name {
			return fmt.Errorf("saga: the journal has step %q done in place %d: it is %q now", name, i, r.Steps[i].Name)
		}
	}
	if r.Results == nil {
		r.Results = map[string][]byte{}
	}
	return nil
}

func (r *run) save(ctx context.Context) error {
	b, err := json.Marshal(r.journal)
	if err != nil {
		return err
	}
	return r.task.Save(ctx, b)
}

func (r *run) call(step Step) Call {
	return Call{Key: r.task.ID + "/" + step.Name, Token: r.task.Token, Input: r.task.Payload, Results: r.Results}
}

// forward does the steps that are not done, until one fails.
func (r *run) forward(ctx context.Context) error {
	for len(r.Done) < len(r.Steps) {
		step := r.Steps[len(r.Done)]
		var result []byte
		err := r.insist(ctx, max(r.MaxAttempts, 0), func() (err error) {
			result, err = step.Do(ctx, r.call(step))
			return err
		})
		switch {
		case err == nil:
			r.Done = append(r.Done, step.Name)
			r.Results[step.Name] = result
		case ctx.Err() != nil:
			return context.Cause(ctx)
		default:
			r.Back, r.Cause = true, fmt.Sprintf("step %q: %v", step.Name, err)
			if !errors.As(err, new(workqueue.Final)) {
				r.Done = append(r.Done, step.Name) // for all that is known
			}
		}
		if err := r.save(ctx); err != nil || r.Back {
			return err
		}
	}
	return nil
}

// back undoes what is done, the last first.
func (r *run) back(ctx context.Context) error {
	for len(r.Done) > 0 {
		last := len(r.Done) - 1
		step := r.Steps[last]
		if step.Undo != nil {
			err := r.insist(ctx, -1, func() error { return step.Undo(ctx, r.call(step)) })
			if err != nil {
				return err
			}
		}
		r.Done = r.Done[:last]
		delete(r.Results, step.Name)
		if err := r.save(ctx); err != nil {
			return err
		}
	}
	return nil
}

// insist repeats an attempt until it succeeds or ctx ends; at most so many times, 0 for the default, if
// that is not negative, and not after a Final.
func (r *run) insist(ctx context.Context, most int, attempt func() error) error {
	if most == 0 {
		most = 5
	}
	for n := 1; ; n++ {
		err := attempt()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case most > 0 && (n >= most || errors.As(err, new(workqueue.Final))):
			return err
		}
		delay := r.Backoff.Delay(n, r.jitter)
		if r.OnRetry != nil {
			r.OnRetry(err, delay)
		}
		if retry.Sleep(ctx, delay) != nil {
			return context.Cause(ctx)
		}
	}
}
