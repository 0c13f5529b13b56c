package patterntest

import (
	"context"
	"sync"
	"time"
)

// stopTime is how long a client or server may take to stop when it is asked to. Docker
// grants a container as much by default (docker stop).
const stopTime = 10 * time.Second

// A life is a process that can be asked to stop, while its host works, and started again.
type life struct {
	mu    sync.Mutex
	stop  context.CancelFunc // of the run of now
	ended chan struct{}      // closed when that has returned
	rest  chan struct{}      // not nil: it was asked to stop; closed by again
}

// run runs f until ctx is done, again after each stop.
func (l *life) run(ctx context.Context, f func(ctx context.Context) error) error {
	for {
		if rest := l.resting(); rest != nil {
			select {
			case <-rest:
			case <-ctx.Done():
				return nil
			}
		}
		asked, err := l.once(ctx, f)
		if !asked || ctx.Err() != nil {
			return err
		}
	}
}

func (l *life) once(ctx context.Context, f func(ctx context.Context) error) (asked bool, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan struct{})
	defer close(ended)
	l.mu.Lock()
	l.stop, l.ended = stop, ended
	l.mu.Unlock()
	err = f(ctx)
	return ctx.Err() != nil, err
}

func (l *life) resting() chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rest
}

// ask asks the process to stop and says whether it did within d.
func (l *life) ask(d time.Duration) bool {
	l.mu.Lock()
	if l.rest != nil || l.stop == nil {
		l.mu.Unlock()
		return true
	}
	l.rest = make(chan struct{})
	ended := l.ended
	l.stop()
	l.mu.Unlock()
	patience := time.NewTimer(d)
	defer patience.Stop()
	select {
	case <-ended:
		return true
	case <-patience.C:
		return false
	}
}

// again lets the process run again.
func (l *life) again() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rest != nil {
		close(l.rest)
		l.rest = nil
	}
}
