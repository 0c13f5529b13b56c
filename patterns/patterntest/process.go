package patterntest

import (
	"context"
	"sync"
	"time"
)

// stopTime is how long a process may take to stop when it is asked to. It is
// the default of docker stop.
const stopTime = 10 * time.Second

// A process can be asked to stop, while its host works, and started again.
type process struct {
	mu    sync.Mutex
	stop  context.CancelFunc // of the run of now
	ended chan struct{}      // closed when that has returned
	rest  chan struct{}      // not nil: it was asked to stop; closed by again
}

// run runs f until ctx is done, and again after each stop.
func (p *process) run(ctx context.Context, f func(ctx context.Context) error) error {
	for {
		if rest := p.resting(); rest != nil {
			select {
			case <-rest:
			case <-ctx.Done():
				return nil
			}
		}
		asked, err := p.once(ctx, f)
		if !asked || ctx.Err() != nil {
			return err
		}
	}
}

func (p *process) once(ctx context.Context, f func(ctx context.Context) error) (asked bool, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan struct{})
	defer close(ended)
	p.mu.Lock()
	p.stop, p.ended = stop, ended
	p.mu.Unlock()
	err = f(ctx)
	return ctx.Err() != nil, err
}

func (p *process) resting() chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rest
}

// ask asks the process to stop and reports whether it did within d.
func (p *process) ask(d time.Duration) bool {
	p.mu.Lock()
	if p.rest != nil || p.stop == nil {
		p.mu.Unlock()
		return true
	}
	p.rest = make(chan struct{})
	ended := p.ended
	p.stop()
	p.mu.Unlock()
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
func (p *process) again() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rest != nil {
		close(p.rest)
		p.rest = nil
	}
}
