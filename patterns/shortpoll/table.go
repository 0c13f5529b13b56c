package shortpoll

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/eventlog"
)

// table is what a log says of its jobs: a fold over its entries, on a leader as on a
// replica.
type table struct {
	retention, remember time.Duration

	mu   sync.Mutex
	at   eventlog.Cursor    // the entries up to here are in it
	jobs map[string]*record // by topic
	// Topics of jobs that have ended and those whose results have expired, in this order.
	ended, expired []string
	unexpired      int // jobs whose results have not
}

// record is a job as a server knows it.
type record struct {
	Job
	client  string
	payload []byte // until the job has ended
	digest  [sha256.Size]byte
	ended   time.Time // zero: it has not
	expired bool
	polled  time.Time // last
}

// topicOf is the topic of a job: its id, after a slash that follows the client to which it
// belongs, if there is one. An id has no slash in it.
func topicOf(client, id string) string {
	if client == "" {
		return id
	}
	return client + "/" + id
}

// ofTopic is the inverse of topicOf.
func ofTopic(topic string) (client, id string) {
	if i := strings.LastIndexByte(topic, '/'); i > 0 {
		return topic[:i], topic[i+1:]
	}
	return "", topic
}

// entryData is the data of an entry. Payload belongs to a state of Pending. A log may be
// older than this version: fields may be added, and none change their names or meanings.
type entryData struct {
	State   State  `json:"state"`
	Payload []byte `json:"payload,omitempty"`
	Result  []byte `json:"result,omitempty"`
	Error   string `json:"error,omitempty"`
}

func (d entryData) entry(topic string) eventlog.Entry {
	data, _ := json.Marshal(d) // strings and bytes
	return eventlog.Entry{Topic: topic, Data: data}
}

// newEntry is the entry that makes a job, and the digest that tells its payload from
// others.
func newEntry(topic string, payload []byte) (eventlog.Entry, [sha256.Size]byte) {
	return entryData{State: Pending, Payload: payload}.entry(topic), sha256.Sum256(payload)
}

// catchUp applies what has been appended to the log. The log is not read under the
// lock: who finds that another has read the same goes on from there.
func (t *table) catchUp(log eventlog.Log) error {
	for {
		t.mu.Lock()
		at := t.at
		t.mu.Unlock()
		page, err := log.After(at, eventlog.Query{})
		if err != nil {
			return err
		}
		t.mu.Lock()
		if t.at == at {
			t.apply(page)
		}
		done := t.at == page.Next && page.Reset == "" && !page.More
		t.mu.Unlock()
		if done {
			return nil
		}
	}
}

func (t *table) apply(page eventlog.Page) {
	if page.Next.Epoch != t.at.Epoch {
		t.jobs = make(map[string]*record)
		t.ended, t.expired, t.unexpired = nil, nil, 0
	}
	t.at = page.Next
	for i := range page.Entries {
		t.applyEntry(&page.Entries[i], page.Next.Epoch)
	}
}

func (t *table) applyEntry(e *eventlog.Entry, epoch uint64) {
	var d entryData
	if json.Unmarshal(e.Data, &d) != nil || d.State.rank() == 0 {
		return // not ours
	}
	t.expire(e.Time)
	r := t.jobs[e.Topic]
	switch {
	case r == nil && d.State == Pending:
		r = &record{payload: d.Payload, digest: sha256.Sum256(d.Payload)}
		r.client, r.ID = ofTopic(e.Topic)
		t.jobs[e.Topic] = r
		t.unexpired++
	case r == nil, d.State.rank() <= r.State.rank():
		return // the log no longer says how the job began; or a second end
	}
	r.State, r.Result, r.Error = d.State, d.Result, d.Error
	r.Version = eventlog.Cursor{Epoch: epoch, Offset: e.Offset}
	if r.State.Terminal() {
		r.payload, r.ended, r.Expires = nil, e.Time, e.Time.Add(t.retention)
		t.ended = append(t.ended, e.Topic)
	}
}

// expire drops results, and then jobs, whose time is up. It is called with the lock.
func (t *table) expire(now time.Time) {
	for len(t.ended) > 0 {
		topic := t.ended[0]
		r := t.jobs[topic]
		if now.Before(r.Expires) {
			break
		}
		r.Result, r.Error, r.expired = nil, "", true
		t.expired, t.ended = append(t.expired, topic), t.ended[1:]
		t.unexpired--
	}
	for len(t.expired) > 0 {
		r := t.jobs[t.expired[0]]
		if now.Before(r.Expires.Add(t.remember)) {
			break
		}
		delete(t.jobs, t.expired[0])
		t.expired = t.expired[1:]
	}
}

// get returns the job of that topic.
func (t *table) get(topic string) (record, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire(time.Now())
	if r := t.jobs[topic]; r != nil {
		return *r, true
	}
	return record{}, false
}

// poll is get for a client that asks: it returns false if the client is too eager.
func (t *table) poll(topic string, least time.Duration) (r record, known, patient bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	t.expire(now)
	kept := t.jobs[topic]
	if kept == nil {
		return record{}, false, true
	}
	if !kept.polled.IsZero() && now.Sub(kept.polled) < least {
		return record{}, true, false
	}
	kept.polled = now
	return *kept, true, true
}

// kept returns the number of jobs whose results have not expired.
func (t *table) kept() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expire(time.Now())
	return t.unexpired
}

// unfinished returns the topics of the jobs that have not ended, in the order of their
// last states.
func (t *table) unfinished() (topics []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for topic, r := range t.jobs {
		if !r.State.Terminal() {
			topics = append(topics, topic)
		}
	}
	slices.SortFunc(topics, func(a, b string) int {
		return cmp.Or(cmp.Compare(t.jobs[a].Version.Offset, t.jobs[b].Version.Offset), strings.Compare(a, b))
	})
	return topics
}

// behind reports whether the table has not come to a position yet.
func (t *table) behind(c eventlog.Cursor) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return c.Epoch == t.at.Epoch && c.Offset > t.at.Offset
}
