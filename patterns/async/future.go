package async

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
)

// A Future is a result that may not be ready yet. It resolves once, even if several things happen
// at one instant: with its result, its failure, or the end of its context, by cancellation or
// timeout. Later results are counted and dropped. Create one with [NewFuture] or [Go]; its methods
// may be called concurrently.
type Future[T any] struct {
	done chan struct{}
	stop func() bool // of the watch over the context

	mu       sync.Mutex
	resolved bool
	late     int64
	value    T
	err      error
}

// NewFuture returns a future. When ctx ends, the future resolves with ctx's cause, unless it
// has been resolved before.
func NewFuture[T any](ctx context.Context) *Future[T] {
	f := &Future[T]{done: make(chan struct{})}
	f.mu.Lock() // stop is set before a context that has ended uses it
	defer f.mu.Unlock()
	f.stop = context.AfterFunc(ctx, func() {
		var none T
		f.settle(none, context.Cause(ctx), false)
	})
	return f
}

// Go runs f in a new goroutine and returns the future of its result. If ctx ends first, the future
// resolves at once, and what f returns later is dropped. A panic of f becomes an error, with its
// stack.
func Go[T any](ctx context.Context, f func(ctx context.Context) (T, error)) *Future[T] {
	future := NewFuture[T](ctx)
	go func() {
		var value T
		err := errors.New("async: the function ended its goroutine")
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("async: the function panicked: %v\n%s", p, debug.Stack())
			}
			future.Resolve(value, err)
		}()
		value, err = f(ctx)
	}()
	return future
}

// Resolve resolves the future with a value or, if err is not nil, with an error. It reports whether
// it did: false if the future had been resolved before.
func (f *Future[T]) Resolve(value T, err error) bool {
	return f.settle(value, err, true)
}

func (f *Future[T]) settle(value T, err error, counts bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.resolved {
		if counts {
			f.late++
		}
		return false
	}
	f.resolved, f.value, f.err = true, value, err
	f.stop()
	close(f.done)
	return true
}

// Done is closed when the future has resolved. Use it in a select with other
// work.
func (f *Future[T]) Done() <-chan struct{} { return f.done }

// Wait waits for the result and returns it, the same to every caller. If the result is ready, it
// returns at once, whatever the state of ctx. If ctx ends first, it returns ctx's cause and leaves
// the future as it was.
func (f *Future[T]) Wait(ctx context.Context) (T, error) {
	select {
	case <-f.done:
	default:
		select {
		case <-f.done:
		case <-ctx.Done():
			var none T
			return none, context.Cause(ctx)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.value, f.err
}

// Late returns how many calls of Resolve came too late.
func (f *Future[T]) Late() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.late
}
