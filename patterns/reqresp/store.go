package reqresp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/internal/fields"
	"github.com/squall-sim/squall/patterns/retry"
)

// Effect is what a request changes, and the answer that says so. It runs in a transaction, alone,
// once the work is done; it must not wait for anything. With an error, or with a status that
// says that the request may succeed later (retry.Temporary: 500 and more, 429 and some others),
// nothing is changed and nothing is kept.
type Effect func(tx Tx) (*Response, error)

// Tx is the data of a [Store] within a transaction.
type Tx interface {
	// Get returns the value of a key as the transaction has left it, nil if there is none. Do not
	// change it.
	Get(key string) []byte
	// Put sets it.
	Put(key string, value []byte)
	// Delete removes it.
	Delete(key string)
}

// Record is the answer to a request with a key, and what tells the request from another one.
type Record struct {
	Fingerprint [32]byte  // SHA-256 of method, path and body
	Until       time.Time // when it is forgotten
	Answer      Response  // without its Attempts
}

// Store keeps the data of a [Server] and its answers to requests with keys. [Memory] and [Disk]
// are two. Its methods are called concurrently.
//
// One for a database of one's own must commit the effect and the record in one transaction:
// otherwise a crash between them has the effect and forgets the answer, and the next attempt
// has it again.
type Store interface {
	// Find returns the record of a key that is not forgotten at now, nil if there is none.
	Find(ctx context.Context, key string, now time.Time) (*Record, error)
	// Commit runs effect in a transaction, and makes both last before it returns: what effect
	// did, and record with its answer under key, if that is not "". If the key has a record by
	// then, nothing is run and that is returned. It does not begin after ctx is done.
	Commit(ctx context.Context, key string, record Record, now time.Time, effect Effect) (*Record, error)
}

// ErrFull is returned by Commit when the store has MaxKeys records. The Server answers with
// 503: to forget an answer early would be to execute a request twice.
var ErrFull = errors.New("reqresp: store of answers is full")

// StoreOptions bound a store.
type StoreOptions struct {
	// MaxKeys is how many answers are kept at most: 1,000,000.
	MaxKeys int
}

func (o *StoreOptions) withDefaults() error {
	check := fields.Of("reqresp: StoreOptions")
	check.Int("MaxKeys", o.MaxKeys)
	fields.Default(&o.MaxKeys, 1_000_000)
	return check.Err()
}

// An overlay is a Tx whose changes are made when it is applied.
type overlay struct {
	read  func(key string) []byte
	wrote map[string][]byte // nil: deleted
}

func (o *overlay) Get(key string) []byte {
	if value, wrote := o.wrote[key]; wrote {
		return value
	}
	return o.read(key)
}

func (o *overlay) Put(key string, value []byte) { o.set(key, append([]byte{}, value...)) }
func (o *overlay) Delete(key string)            { o.set(key, nil) }

func (o *overlay) set(key string, value []byte) {
	if o.wrote == nil {
		o.wrote = map[string][]byte{}
	}
	o.wrote[key] = value
}

// changes calls put or remove for each key, in order.
func (o *overlay) changes(put func(key string, value []byte) error, remove func(key string) error) error {
	for _, key := range slices.Sorted(maps.Keys(o.wrote)) {
		var err error
		if value := o.wrote[key]; value == nil {
			err = remove(key)
		} else {
			err = put(key, value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// refused is an answer with which nothing is committed.
type refused struct{ answer *Response }

func (r refused) Error() string { return fmt.Sprintf("effect answered %d", r.answer.Status) }

// run runs an effect, and returns its answer with the defaults filled in.
func run(effect Effect, tx Tx) (*Response, error) {
	answer, err := effect(tx)
	if err != nil {
		return nil, err
	}
	if answer == nil {
		answer = &Response{}
	}
	whole := Response{Status: answer.Status, Header: answer.Header, Body: answer.Body}
	fields.Default(&whole.Status, 200)
	if retry.Temporary(whole.Status) {
		return nil, refused{&whole}
	}
	return &whole, nil
}

// Memory is a Store that a restart empties: a request that is repeated after it is executed again.
// Make one with [NewMemory].
type Memory struct {
	opts StoreOptions

	mu      sync.Mutex
	data    map[string][]byte
	records map[string]*Record
	oldest  []string // keys of records, in the order in which they were committed
}

// NewMemory returns an empty one. It panics if the options are wrong.
func NewMemory(opts StoreOptions) *Memory {
	if err := opts.withDefaults(); err != nil {
		panic(err.Error())
	}
	return &Memory{opts: opts, data: map[string][]byte{}, records: map[string]*Record{}}
}

// Find is as for every Store.
func (m *Memory) Find(_ context.Context, key string, now time.Time) (*Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.records[key]; r != nil && now.Before(r.Until) {
		return r, nil
	}
	return nil, nil
}

// Commit is as for every Store.
func (m *Memory) Commit(ctx context.Context, key string, record Record, now time.Time, effect Effect) (*Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if key != "" {
		m.forget(now)
		if r := m.records[key]; r != nil && now.Before(r.Until) {
			return r, nil
		}
		if len(m.records) >= m.opts.MaxKeys {
			return nil, ErrFull
		}
	}
	tx := &overlay{read: func(key string) []byte { return m.data[key] }}
	answer, err := run(effect, tx)
	if err != nil {
		return nil, err
	}
	tx.changes(func(key string, value []byte) error { m.data[key] = value; return nil },
		func(key string) error { delete(m.data, key); return nil })
	record.Answer = *answer
	if key != "" {
		if m.records[key] == nil {
			m.oldest = append(m.oldest, key)
		}
		m.records[key] = &record
	}
	return &record, nil
}

// forget drops the records that have expired, at the cost of looking at the oldest.
func (m *Memory) forget(now time.Time) {
	for len(m.oldest) > 0 {
		key := m.oldest[0]
		if now.Before(m.records[key].Until) {
			return
		}
		delete(m.records, key)
		m.oldest = m.oldest[1:]
	}
}
