package workqueue

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// lease is a call of Lease. If no job is due it waits, and whoever has the table when one is gives it to it: were it woken to take
// the job itself, those who wait would race for the jobs of one instant.
type lease struct {
	ctx     context.Context
	request string

	ended chan struct{} // nil if it has not waited; closed when it has a task or an error
	task  Task
	err   error
}

// leaseOrWait leases a job to l, or has it wait for one. It is called by who has the table, as handOut is.
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

// handOut leases the jobs that are due to those who wait, in their order, and appends these to served, and those that were given up.
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

// leave has l wait no more, and says whether it did: otherwise it is ended by who took it out.
func (q *Queue) leave(l *lease) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.leasing, l)
	if i >= 0 {
		q.leasing = slices.Delete(q.leasing, i, i+1)
	}
	return i >= 0
}
