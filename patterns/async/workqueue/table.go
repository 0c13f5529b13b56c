package workqueue

import (
	"cmp"
	"container/heap"
	"crypto/sha256"
	"slices"
	"strings"
	"time"
)

// record is a job as the queue knows it. Once it is in the table, only its place in an order
// changes: any other change replaces it by a new record.
type record struct {
	ID       string
	Key      string
	Digest   [sha256.Size]byte
	Payload  []byte // until the job has ended
	Seq      uint64 // of the job, in the order of Add
	State    State
	Version  uint64
	Attempts int
	Token    uint64 // of the last lease
	Request  string // that asked for it
	// Lapsed are the requests whose leases ended and whose attempts count. If one is repeated, its
	// answer was lost and no worker had the job.
	Lapsed []string
	// At is when something is due: the next attempt of a Pending job, the end of a Running job's
	// lease, the removal of a job that has ended. A dead job has none.
	At time.Time
	// Wait is how long a Pending job waits until At, after a failed attempt.
	Wait       time.Duration
	Begin      time.Time // until when the first attempt must have begun; zero: it does not matter
	Checkpoint []byte
	Result     []byte
	Error      string

	order *order // in which it is
	index int
}

func (r *record) status() Status {
	s := Status{ID: r.ID, State: r.State, Version: r.Version, Attempts: r.Attempts, Result: r.Result, Error: r.Error}
	if r.State.Ended() && r.State != Dead {
		s.Expires = r.At
	}
	return s
}

// An order holds records in the order in which they are due.
type order []*record

func (o order) Len() int { return len(o) }
func (o order) Less(i, j int) bool {
	return cmp.Or(o[i].At.Compare(o[j].At), cmp.Compare(o[i].Seq, o[j].Seq)) < 0
}
func (o order) Swap(i, j int) {
	o[i], o[j] = o[j], o[i]
	o[i].index, o[j].index = i, j
}
func (o *order) Push(x any) {
	r := x.(*record)
	r.index = len(*o)
	*o = append(*o, r)
}
func (o *order) Pop() any {
	last := len(*o) - 1
	r := (*o)[last]
	(*o)[last] = nil
	*o = (*o)[:last]
	return r
}

// table is the state of a queue, without a lock, a clock or a disk.
type table struct {
	rules
	jobs    map[string]*record
	busy    map[string]string // IDs of unfinished jobs, by their Key
	leased  map[string]string // IDs of running jobs, by the request that leased them
	lapsed  map[string]string // IDs of jobs, by their Lapsed requests
	ready   order             // Pending jobs that are due
	timed   order             // those for which something is due later
	running int
	count   uint64 // the last version, sequence number or token that was given

	before map[string]*record // what has changed since begin, as it was; nil: it was not
}

// rules are the settings of a Queue that a table follows.
type rules struct {
	lease, retention    time.Duration
	maxAttempts, maxAll int
	backoff             func(failures int) time.Duration
}

func newTable(r rules) *table {
	return &table{rules: r, jobs: map[string]*record{}, busy: map[string]string{}, leased: map[string]string{}, lapsed: map[string]string{}, before: map[string]*record{}}
}

// put replaces the record of a job, or removes it if r is nil.
func (t *table) put(id string, r *record) {
	old := t.jobs[id]
	if _, noted := t.before[id]; !noted {
		t.before[id] = old
	}
	if old != nil {
		if old.order != nil {
			heap.Remove(old.order, old.index)
			old.order = nil
		}
		if old.State == Running {
			t.running--
			delete(t.leased, old.Request)
		}
		if !old.State.Ended() && old.Key != "" {
			delete(t.busy, old.Key)
		}
		for _, request := range old.Lapsed {
			delete(t.lapsed, request)
		}
		delete(t.jobs, id)
	}
	if r == nil {
		return
	}
	t.jobs[id] = r
	if r.State == Running {
		t.running++
		if r.Request != "" {
			t.leased[r.Request] = id
		}
	}
	if !r.State.Ended() && r.Key != "" {
		t.busy[r.Key] = id
	}
	for _, request := range r.Lapsed {
		t.lapsed[request] = id
	}
	if r.State != Dead {
		t.enter(&t.timed, r)
	}
}

func (t *table) enter(o *order, r *record) {
	r.order = o
	heap.Push(o, r)
}

// change replaces a record by a copy that f has changed.
func (t *table) change(r *record, f func(*record)) *record {
	next := *r
	next.order = nil
	f(&next)
	t.count++
	next.Version = t.count
	t.put(r.ID, &next)
	return &next
}

// rollback undoes everything since begin. Numbers that were used are not reused.
func (t *table) rollback() {
	was := t.before
	t.before = map[string]*record{}
	for id, r := range was {
		t.put(id, r)
	}
	t.begin()
}

func (t *table) begin() { clear(t.before) }

// advance does everything that is due.
func (t *table) advance(now time.Time) {
	for len(t.timed) > 0 && !now.Before(t.timed[0].At) {
		switch r := t.timed[0]; r.State {
		case Pending:
			heap.Pop(&t.timed)
			t.enter(&t.ready, r)
		case Running:
			t.lapse(r)
		default:
			t.put(r.ID, nil)
		}
	}
}

// lapse ends the lease of a job. The attempt counts, unless its request is repeated.
func (t *table) lapse(r *record) {
	request := r.Request
	r = t.again(r, End{Error: "the lease ended"}, r.At)
	if request != "" && r.State == Pending {
		t.change(r, func(r *record) { r.Lapsed = append(slices.Clone(r.Lapsed), request) })
	}
}

// neverCame takes back the attempt of a request that is repeated because its answer was lost.
func (t *table) neverCame(request string) {
	if r := t.jobs[t.lapsed[request]]; r != nil {
		t.change(r, func(r *record) {
			r.Attempts--
			r.Lapsed = slices.DeleteFunc(slices.Clone(r.Lapsed), func(other string) bool { return other == request })
		})
	}
}

// again gives a job another attempt at a time, or makes it dead if it has had all. An end
// without an error does not count as an attempt.
func (t *table) again(r *record, end End, at time.Time) *record {
	return t.change(r, func(r *record) {
		r.State, r.At, r.Wait, r.Request = Pending, at, end.After, ""
		switch {
		case end.Error == "":
			r.Attempts--
		case r.Attempts >= t.maxAttempts:
			r.State, r.At, r.Error, r.Lapsed = Dead, time.Time{}, end.Error, nil
		default:
			r.Error = end.Error
		}
	})
}

// end ends a job.
func (t *table) end(r *record, as State, result []byte, text string, now time.Time) *record {
	return t.change(r, func(r *record) {
		r.State, r.At, r.Result, r.Error, r.Request = as, now.Add(t.retention), result, text, ""
		r.Payload, r.Checkpoint, r.Lapsed = nil, nil, nil
	})
}

// next returns when something is due, and zero if nothing is.
func (t *table) next() time.Time {
	if len(t.timed) == 0 {
		return time.Time{}
	}
	return t.timed[0].At
}

func (t *table) add(job Job, now time.Time) (Status, error) {
	digest := job.digest()
	if r := t.jobs[job.ID]; r != nil {
		if r.Digest != digest {
			return Status{}, ErrConflict
		}
		return r.status(), nil
	}
	switch {
	case job.Key != "" && t.busy[job.Key] != "":
		return Status{}, ErrBusy
	case len(t.jobs) >= t.maxAll:
		return Status{}, ErrFull
	}
	t.count++
	r := &record{ID: job.ID, Key: job.Key, Digest: digest, Payload: job.Payload, Seq: t.count, State: Pending, Version: t.count, At: now.Add(job.Delay)}
	if job.TTL > 0 {
		r.Begin = now.Add(job.TTL)
	}
	t.put(r.ID, r)
	t.advance(now)
	return r.status(), nil
}

// take leases the job that has been due for the longest time, and returns nil
// if none is due.
func (t *table) take(request string, now time.Time) *record {
	if id := t.leased[request]; id != "" && request != "" {
		r := t.jobs[id]
		return t.change(r, func(r *record) { r.At = now.Add(t.lease) })
	}
	t.neverCame(request)
	for len(t.ready) > 0 {
		r := t.ready[0]
		if !r.Begin.IsZero() && r.Attempts == 0 && !now.Before(r.Begin) {
			t.end(r, Failed, nil, "TTL passed before the first attempt", now)
			continue
		}
		return t.change(r, func(r *record) {
			r.State, r.At, r.Request = Running, now.Add(t.lease), request
			r.Attempts++
			r.Token = t.count + 1
		})
	}
	return nil
}

// mine returns the job of a task whose lease has not ended.
func (t *table) mine(id string, token uint64) (*record, error) {
	r := t.jobs[id]
	if r == nil || r.State != Running || r.Token != token {
		return nil, ErrLeaseLost
	}
	return r, nil
}

func (t *table) extend(id string, token uint64, checkpoint []byte, now time.Time) error {
	r, err := t.mine(id, token)
	if err != nil {
		return err
	}
	if checkpoint != nil {
		t.change(r, func(r *record) { r.At, r.Checkpoint = now.Add(t.lease), checkpoint })
		return nil
	}
	// A lease begins anew when a queue is opened, so that this need not be on the disk.
	r.At = now.Add(t.lease)
	heap.Fix(r.order, r.index)
	return nil
}

func (t *table) finish(id string, token uint64, end End, now time.Time) error {
	end.Error = strings.ToValidUTF8(end.Error[:min(len(end.Error), maxErrorBytes)], "?")
	r, err := t.mine(id, token)
	if err != nil {
		// A repetition whose first answer was lost. A job may wait for another attempt because
		// of this end or because of its lease's end: the result is the same.
		if r := t.jobs[id]; r != nil && r.Token == token && (r.State == end.State || end.State == Pending && r.State == Dead) {
			return nil
		}
		return err
	}
	switch {
	case end.State != Pending:
		t.end(r, end.State, end.Result, end.Error, now)
	case end.Error == "":
		t.again(r, end, now)
	default:
		end.After = cmp.Or(end.After, t.backoff(r.Attempts))
		t.again(r, end, now.Add(end.After))
	}
	t.advance(now)
	return nil
}

func (t *table) cancel(id string, now time.Time) (Status, error) {
	r := t.jobs[id]
	switch {
	case r == nil:
		return Status{}, ErrNotFound
	case r.State == Dead || !r.State.Ended():
		r = t.end(r, Cancelled, nil, "", now)
	}
	return r.status(), nil
}

func (t *table) retry(id string, now time.Time) (Status, error) {
	r := t.jobs[id]
	switch {
	case r == nil:
		return Status{}, ErrNotFound
	case r.State != Dead:
		return Status{}, ErrState
	case r.Key != "" && t.busy[r.Key] != "":
		return Status{}, ErrBusy
	}
	r = t.change(r, func(r *record) { r.State, r.Attempts, r.At, r.Begin = Pending, 0, now, time.Time{} })
	t.advance(now)
	return r.status(), nil
}

// maxListed is how many jobs a list has at most.
const maxListed = 1000

func (t *table) list(state State, most int) []Status {
	var found []*record
	for _, r := range t.jobs {
		if r.State == state {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b *record) int { return cmp.Compare(a.Seq, b.Seq) })
	all := make([]Status, 0, min(len(found), most))
	for _, r := range found[:min(len(found), most)] {
		all = append(all, r.status())
	}
	return all
}
