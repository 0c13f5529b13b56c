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
// once the work is done; it must not wait for anything. If it returns an error, or a status that
// says that the request may succeed later ([retry.Temporary]: 500 and more, 429 and some others),
// nothing is changed and nothing is kept.
type Effect func(tx Tx) (*Response, error)

// Tx is the data of a [Store] within a transaction.
type Tx interface {
	// Get returns the current value of a key within the transaction, and nil if there is none. Do
	// not modify it.
	Get(key string) []byte
	// Put sets the value of a key.
	Put(key string, value []byte)
	// Delete removes a key.
	Delete(key string)
}

// Record is the stored answer to a request with a key, with a fingerprint that distinguishes
// the request from others.
type Record struct {
	Fingerprint [32]byte  // SHA-256 of method, path and body
	Until       time.Time // when it may be forgotten
	Answer      Response  // without its Attempts
}

// Store keeps the data of a [Server] and its answers to requests with keys. [Memory] and [Disk]
// implement it. Its methods are called concurrently.
//
// A Store for your own database must commit the effect and the record in one transaction.
// Otherwise a crash between them keeps the effect but loses the answer, and the next attempt
// repeats the effect.
type Store interface {
	// Find returns the record of a key if it has not expired at now, and nil if there is
	// none.
	Find(ctx context.Context, key string, now time.Time) (*Record, error)
	// Commit runs effect in a transaction and makes both durable before it returns: what
	// effect did and, if key is not "", record with its answer under key. If the key already
	// has a record by then, nothing is run and that record is returned. It does not begin
	// after ctx is done.
	Commit(ctx context.Context, key string, record Record, now time.Time, effect Effect) (*Record, error)
}

// ErrFull is returned by Commit when the store has MaxKeys records. The Server then answers
// 503: forgetting an answer early would mean executing a request twice.
var ErrFull = errors.New("reqresp: store of answers is full")

// StoreOptions are the bounds of a store.
type StoreOptions struct {
	// MaxKeys is the largest number of answers kept. Zero: 1,000,000.
	MaxKeys int
}

func (o *StoreOptions) withDefaults() error {
	check := fields.Of("reqresp: StoreOptions")
	check.Int("MaxKeys", o.MaxKeys)
	fields.Default(&o.MaxKeys, 1_000_000)
	return check.Err()
}

// An overlay is a Tx whose changes take effect when it is applied.
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

// Memory is a [Store] that a restart empties: a request that is repeated after a restart is
// executed again. Create one with [NewMemory].
type Memory struct {
	opts StoreOptions

	mu      sync.Mutex
	data    map[string][]byte
	records map[string]*Record
	oldest  []string // keys of records, in the order in which they were committed
}

// NewMemory returns an empty Memory. It panics if the options are invalid.
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

// forget drops the records that have expired. It looks only at the oldest.
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
