package patterntest

import (
	"context"
	"sync"
	"time"

	"github.com/squall-sim/squall/sim"
)

// A Replica is a server on a [Stage]: a host, and the process on it. Most stages have one.
type Replica struct {
	Name string    // also the name of its host
	Host *sim.Host // where it runs

	stage   *Stage
	owner   owner // of its goroutines
	process process

	mu      sync.Mutex
	up      bool // it runs
	upSince time.Duration
	starts  []time.Duration
	asked   []time.Duration // to stop
	stopped []time.Duration // after each of asked, or killed
}

// A serveFunc serves on h until ctx is done, because the server was asked to stop or has crashed.
// life is done only when it has crashed.
type serveFunc func(ctx, life context.Context, h *sim.Host) error

// serve creates the host of a server and runs the server there. f is called again after
// each stop.
func (s *Stage) serve(name string, f serveFunc) *Replica {
	r := &Replica{Name: name, Host: s.Net.Host(name), stage: s, owner: newOwner()}
	s.servers = append(s.servers, r)
	r.Host.Run("server", func(life context.Context, h *sim.Host) error {
		r.owner.take()
		return r.process.run(life, func(ctx context.Context) error {
			r.begins(ctx)
			return f(ctx, life, h)
		})
	})
	return r
}

// begins records a run of the server, which lasts until ctx is done.
func (r *Replica) begins(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.up, r.upSince = true, r.stage.Net.Elapsed()
	r.starts = append(r.starts, r.upSince)
	context.AfterFunc(ctx, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.up = false
	})
}

// runsSince returns when the current run of the server began, or -1 if it does
// not run.
func (r *Replica) runsSince() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.up {
		return -1
	}
	return r.upSince
}

// lastStart returns when the server last started.
func (r *Replica) lastStart() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.starts[len(r.starts)-1]
}

// startsUntil returns how often the server has started by a time.
func (r *Replica) startsUntil(at time.Duration) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	count := 0
	for _, start := range r.starts {
		if start <= at {
			count++
		}
	}
	return count
}

// Redeploy replaces the server as a deployment does: it asks the running one to stop,
// while its network works, and starts the next one when that has stopped. A server that
// has not stopped after 10 s is killed.
func (r *Replica) Redeploy() {
	r.stage.moved("", "the "+r.Name+" is asked to stop, and the next to start")
	r.mu.Lock()
	r.asked = append(r.asked, r.stage.Net.Elapsed())
	r.mu.Unlock()
	stopped := r.process.ask(stopTime)
	r.mu.Lock()
	r.stopped = append(r.stopped, r.stage.Net.Elapsed())
	r.mu.Unlock()
	if !stopped {
		r.stage.overstayed("", "the %s had not stopped %v after it was asked to at %v", r.Name, stopTime, r.stage.Net.Elapsed()-stopTime)
		r.process.again()
		r.Host.Restart()
		return
	}
	r.process.again()
}

// stoppedAfter returns when the server had stopped after it was asked to for the nth time, counted
// from 0; -1: not yet.
func (r *Replica) stoppedAfter(nth int) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if nth >= len(r.stopped) {
		return -1
	}
	return r.stopped[nth]
}
