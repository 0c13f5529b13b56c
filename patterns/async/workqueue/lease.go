package workqueue

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// lease is a call of Lease. If no job is due, it waits, and the call that has the table when a job
// becomes due hands it the job. If waiting calls were woken to take jobs themselves, they would
// race for the jobs of one instant.
type lease struct {
	ctx     context.Context
	request string

	ended chan struct{} // nil if it has not waited; closed when it has a task or an error
	task  Task
	err   error
}

// leaseOrWait leases a job to l, or makes l wait for one. Like handOut, it is called by the call
// that has the table.
func (q *Queue) leaseOrWait(l *lease, now time.Time) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := cmp.Or(q.stage, l.ctx.Err()); err != nil {
		return err
	}
	if !q.grant(l, now) {
		l.ended = make(chan struct{})
		q.leasing = append(q.leasing, l)
	}
	return nil
}

// handOut leases the due jobs to the waiting calls, in their order. It appends these calls to
// served, and the calls that were given up.
func (q *Queue) handOut(served []*lease, now time.Time) []*lease {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for n < len(q.leasing) && len(q.table.ready) > 0 {
		l := q.leasing[n]
		if l.err = l.ctx.Err(); l.err == nil && !q.grant(l, now) {
			break
		}
		n++
	}
	served = append(served, q.leasing[:n]...)
	q.leasing = slices.Delete(q.leasing, 0, n)
	return served
}

// grant leases a job to l, if one is due.
func (q *Queue) grant(l *lease, now time.Time) bool {
	r := q.table.take(l.request, now)
	if r == nil {
		return false
	}
	l.task = Task{ID: r.ID, Key: r.Key, Payload: r.Payload, Attempt: r.Attempts, Token: r.Token, Lease: q.table.lease, Checkpoint: r.Checkpoint}
	return true
}

// leave removes l from the waiting calls, and reports whether it did. If not, the call that
// took it out ends it.
func (q *Queue) leave(l *lease) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.leasing, l)
	if i >= 0 {
		q.leasing = slices.Delete(q.leasing, i, i+1)
	}
	return i >= 0
}
