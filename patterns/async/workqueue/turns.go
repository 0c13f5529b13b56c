package workqueue

import (
	"context"
	"slices"
	"time"

	"github.com/squall-sim/squall/patterns/internal/group"
)

// call is a use of the table: a change, or nil for a call that needs the table for itself.
type call struct {
	run func(now time.Time) error
	err error
}

// do runs a function that changes the table, and returns when the change is on disk. If that fails,
// nothing was changed. Calls that arrive in the meantime share the next transaction. A function
// that returns an error must have changed nothing.
func (q *Queue) do(run func(now time.Time) error) error {
	if err := q.Start(); err != nil {
		return err
	}
	c := &call{run: run}
	if q.join(c) {
		these := q.calls.Take(func(c *call) bool { return c.run != nil })
		q.commit(these)
		q.calls.Done(these)
	}
	return c.err
}

// alone runs a function that has the table to itself, after the calls before it.
func (q *Queue) alone(run func()) {
	q.join(&call{})
	// The leader of the calls before this one stops in front of it, so this call always leads itself.
	these := q.calls.Take(func(*call) bool { return false })
	defer q.calls.Done(these)
	run()
}

// join waits until c leads, or is done.
func (q *Queue) join(c *call) (leads bool) {
	leads, _ = q.calls.Join(context.Background(), &group.Call[*call]{Value: c}) // whose error is the context's
	return leads
}

func (q *Queue) commit(these []*group.Call[*call]) {
	if q.ending() == ErrClosed {
		for _, c := range these {
			c.Value.err = ErrClosed
		}
		return
	}
	now := time.Now()
	q.table.begin()
	q.table.advance(now)
	served := q.handOut(nil, now)
	for _, c := range these {
		c.Value.err = c.Value.run(now)
		served = q.handOut(served, now)
	}
	q.pause = time.Time{}
	if err := q.store.save(q.table); err != nil {
		q.pause = now.Add(diskPause)
		q.log.Error("the disk failed", "error", err)
		q.table.rollback()
		for _, c := range these {
			c.Value.err = err
		}
		for _, l := range served {
			l.task, l.err = Task{}, err
		}
	}
	for _, l := range served {
		if l.err == nil {
			q.stats.leased.Add(1)
		}
		close(l.ended)
	}
	q.jobs.Store(int64(len(q.table.jobs)))
	q.tell()
}

// tell wakes the calls that wait for what has changed.
func (q *Queue) tell() {
	for id, was := range q.table.before {
		if r := q.table.jobs[id]; r != nil && r.State == Dead && (was == nil || was.State != Dead) {
			q.stats.dead.Add(1)
			q.log.Warn("a job is dead", "job", id, "attempts", r.Attempts, "error", r.Error)
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for id := range q.table.before {
		wake(q.watches[id])
		delete(q.watches, id)
	}
	if len(q.table.before) > 0 {
		wake(q.watches[""])
		delete(q.watches, "")
	}
	q.arm()
}

func wake(all []chan struct{}) {
	for _, c := range all {
		close(c)
	}
}

// diskPause is how long due work waits after the disk has failed. It stays due, and would otherwise
// be retried in a hot loop.
const diskPause = time.Second

// arm makes the table advance when something is due, if a call waits for that. It is called with
// the lock, by the call that has the table.
func (q *Queue) arm() {
	at := q.table.next()
	if at.Before(q.pause) && !at.IsZero() {
		at = q.pause
	}
	if q.timer != nil {
		q.timer.Stop()
		q.timer = nil
	}
	if at.IsZero() || q.stage == ErrClosed || len(q.leasing) == 0 && len(q.watches) == 0 {
		return
	}
	q.timer = time.AfterFunc(time.Until(at), func() { _ = q.do(func(time.Time) error { return nil }) })
}

// watch returns a channel that is closed when a job changes, or any job for "".
func (q *Queue) watch(id string) (chan struct{}, error) {
	if err := q.Start(); err != nil {
		return nil, err
	}
	changed := make(chan struct{})
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stage == ErrClosed {
		return nil, ErrClosed
	}
	q.watches[id] = append(q.watches[id], changed)
	return changed, nil
}

func (q *Queue) unwatch(id string, changed chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.watches[id], changed); i >= 0 {
		q.watches[id] = slices.Delete(q.watches[id], i, i+1)
		if len(q.watches[id]) == 0 {
			delete(q.watches, id)
		}
	}
}

// enter makes the queue drain or close, and wakes all calls that would otherwise
// wait in vain.
func (q *Queue) enter(stage error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stage == ErrClosed {
		return
	}
	q.stage = stage
	for _, l := range q.leasing {
		l.err = stage
		close(l.ended)
	}
	q.leasing = nil
	if stage != ErrClosed {
		return
	}
	for _, all := range q.watches {
		wake(all)
	}
	clear(q.watches)
	if q.timer != nil {
		q.timer.Stop()
		q.timer = nil
	}
}
