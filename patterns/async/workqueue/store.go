package workqueue

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/squall-sim/squall/patterns/internal/bolt"
)

// store keeps the jobs of a queue in a bbolt file: a bucket of jobs by ID, as JSON, and one of what
// the queue knows besides. A nil store keeps nothing.
type store struct{ file *bolt.File }

var (
	jobsBucket = []byte("jobs")
	metaBucket = []byte("meta")
	formatKey  = []byte("format")
	countKey   = []byte("count")
)

// format is that of the file and of stored; it changes when either does. Format 1 had no lapsed requests and no
// waits.
const format = 2

// stored is a record in the file.
type stored struct {
	Key        string    `json:"key,omitempty"`
	Digest     []byte    `json:"digest"`
	Payload    []byte    `json:"payload,omitempty"`
	Seq        uint64    `json:"seq"`
	State      State     `json:"state"`
	Version    uint64    `json:"version"`
	Attempts   int       `json:"attempts,omitempty"`
	Token      uint64    `json:"token,omitempty"`
	Request    string    `json:"request,omitempty"`
	Lapsed     []string  `json:"lapsed,omitempty"`
	At         time.Time `json:"at,omitzero"`
	Wait       int64     `json:"wait,omitempty"` // nanoseconds
	Begin      time.Time `json:"begin,omitzero"`
	Checkpoint []byte    `json:"checkpoint,omitempty"`
	Result     []byte    `json:"result,omitempty"`
	Error      string    `json:"error,omitempty"`
}

func (r *record) encode() ([]byte, error) {
	return json.Marshal(stored{
		Key: r.Key, Digest: r.Digest[:], Payload: r.Payload, Seq: r.Seq, State: r.State, Version: r.Version, Attempts: r.Attempts,
		Token: r.Token, Request: r.Request, Lapsed: r.Lapsed, At: r.At, Wait: int64(r.Wait), Begin: r.Begin, Checkpoint: r.Checkpoint, Result: r.Result, Error: r.Error,
	})
}

func decodeRecord(id string, b []byte) (*record, error) {
	var s stored
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("job %q: %w", id, err)
	}
	r := &record{
		ID: id, Key: s.Key, Payload: s.Payload, Seq: s.Seq, State: s.State, Version: s.Version, Attempts: s.Attempts,
		Token: s.Token, Request: s.Request, Lapsed: s.Lapsed, At: s.At, Wait: time.Duration(s.Wait), Begin: s.Begin, Checkpoint: s.Checkpoint, Result: s.Result, Error: s.Error,
	}
	if copy(r.Digest[:], s.Digest) != len(r.Digest) {
		return nil, fmt.Errorf("job %q: a digest of %d bytes: want %d", id, len(s.Digest), len(r.Digest))
	}
	switch s.State {
	case Pending, Running, Done, Failed, Cancelled, Dead:
		return r, nil
	}
	return nil, fmt.Errorf("job %q: state %q is none", id, s.State)
}

// openStore opens the file at path, and fills the table.
func openStore(path string, t *table, now time.Time) (*store, error) {
	file, err := bolt.Open(path, "a work queue", string(jobsBucket), string(metaBucket))
	if err != nil {
		return nil, fmt.Errorf("workqueue: open %w", err)
	}
	err = file.Update(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(metaBucket)
		switch have := meta.Get(formatKey); {
		case have == nil, bytes.Equal(have, []byte{1}):
			if err := meta.Put(formatKey, []byte{format}); err != nil {
				return err
			}
		case !bytes.Equal(have, []byte{format}):
			return fmt.Errorf("it is of format %d: want 1 or %d, which this version reads", have, format)
		}
		if b := meta.Get(countKey); len(b) == 8 {
			t.count = binary.BigEndian.Uint64(b)
		}
		return tx.Bucket(jobsBucket).ForEach(func(id, b []byte) error {
			r, err := decodeRecord(string(id), b)
			if err != nil {
				return err
			}
			t.adopt(r, now)
			return nil
		})
	})
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("workqueue: open %w", err)
	}
	t.begin()
	return &store{file}, nil
}

// adopt takes a record over from an earlier incarnation. The wall clock may have been set since, or
// be another machine's: it may shorten what the queue waits for, but not lengthen it; and no lease
// ends by it, since its worker may be alive and know nothing of the restart.
func (t *table) adopt(r *record, now time.Time) {
	switch {
	case r.State == Running:
		r.At = now.Add(t.lease)
	case r.State.Ended() && r.State != Dead:
		r.At = earlier(r.At, now.Add(t.retention))
	case r.State == Pending && r.Wait > 0:
		r.At = earlier(r.At, now.Add(r.Wait))
	case r.State == Pending && r.Attempts > 0: // by a file of format 1
		r.At = earlier(r.At, now.Add(max(t.backoff(r.Attempts), time.Hour)))
	}
	t.count = max(t.count, r.Seq, r.Version, r.Token)
	t.put(r.ID, r)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// save writes what has changed in the table, in one transaction.
func (s *store) save(t *table) error {
	if s == nil || len(t.before) == 0 {
		return nil
	}
	err := s.file.Update(func(tx *bbolt.Tx) error {
		jobs := tx.Bucket(jobsBucket)
		for id := range t.before { // in any order: it is one transaction
			r := t.jobs[id]
			if r == nil {
				if err := jobs.Delete([]byte(id)); err != nil {
					return err
				}
				continue
			}
			b, err := r.encode()
			if err != nil {
				return err
			}
			if err := jobs.Put([]byte(id), b); err != nil {
				return err
			}
		}
		return tx.Bucket(metaBucket).Put(countKey, binary.BigEndian.AppendUint64(nil, t.count))
	})
	if err != nil {
		return fmt.Errorf("workqueue: write %w", err)
	}
	return nil
}

func (s *store) close() error {
	if s == nil {
		return nil
	}
	return s.file.Close()
}
