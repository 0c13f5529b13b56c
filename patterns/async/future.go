package async

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
)

// A Future is a result that is not there yet. It resolves once, whatever meets at one instant: its
// result, its failure, and the end of its context, which is a cancellation or a timeout. What comes
// later is counted and dropped. Make one with [NewFuture] or [Go]; its methods may be called
// concurrently.
type Future[T any] struct {
	done chan struct{}
	stop func() bool // of the watch over the context

	mu       sync.Mutex
	resolved bool
	late     int64
	value    T
	err      error
}

// NewFuture returns a future that resolves with the cause of ctx when that ends, unless it has
// been resolved before.
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

// Go runs a function on a goroutine of its own, and returns the future of what it returns. When ctx ends
// first the future resolves at once, and what the function returns after that is dropped. A panic is an
// error, with its stack.
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

// Resolve resolves the future with a value, or with an error if that is not nil, and reports whether it
// did: false if it had been resolved.
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

// Done is closed when the future has resolved: for a select beside other work.
func (f *Future[T]) Done() <-chan struct{} { return f.done }

// Wait returns the result when it is there, at once if it is, whatever ctx says, to every caller the
// same. If ctx ends before that it returns ctx's cause; the future is as it was.
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

// Late is how many calls of Resolve came too late.
func (f *Future[T]) Late() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.late
}
