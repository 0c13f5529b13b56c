package pubsub

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
)

// Store keeps the positions of durable subscriptions in one bbolt file. It has no
// goroutine of its own.
type Store struct {
	db *bbolt.DB
}

// The file has two buckets, by the name of the subscription: its options as JSON, and
// its state, which changes often, in a short form.
var (
	optionsBucket = []byte("options")
	stateBucket   = []byte("state")
)

// stateFormat is the first byte of a state.
const stateFormat = 1

// OpenStore opens the store in the file at path, and creates it if need be. A file that
// another process has open is an error after one second.
func OpenStore(path string) (*Store, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		return nil, fmt.Errorf("pubsub: open %s: %w", path, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		if _, err := tx.CreateBucketIfNotExists(optionsBucket); err != nil {
			return err
		}
		_, err := tx.CreateBucketIfNotExists(stateBucket)
		return err
	})
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("pubsub: open %s: %w", path, err)
	}
	return &Store{db}, nil
}

// Close closes the file.
func (s *Store) Close() error { return s.db.Close() }

// record is a subscription as it is kept.
type record struct {
	name    string
	options SubscribeOptions
	state   state
}

// state is how far a subscription has come: everything up to next is done, but for
// what is pending.
type state struct {
	epoch, next      uint64
	gaps, missed     uint64
	told, toldMissed uint64
	reason           Reason
	pending          []delivery // offsets, and attempts so far
}

func (s *state) encode() []byte {
	b := []byte{stateFormat}
	for _, n := range []uint64{s.epoch, s.next, s.gaps, s.missed, s.told, s.toldMissed} {
		b = binary.AppendUvarint(b, n)
	}
	b = appendText(b, string(s.reason))
	b = binary.AppendUvarint(b, uint64(len(s.pending)))
	last := uint64(0)
	for _, d := range s.pending {
		b = binary.AppendUvarint(b, d.Offset-last)
		b = binary.AppendUvarint(b, uint64(d.Attempt))
		last = d.Offset
	}
	return b
}

func (s *state) decode(b []byte) error {
	if len(b) == 0 || b[0] != stateFormat {
		return fmt.Errorf("the state % x is not of format %d", b, stateFormat)
	}
	d := decoder{b: b[1:]}
	for _, n := range []*uint64{&s.epoch, &s.next, &s.gaps, &s.missed, &s.told, &s.toldMissed} {
		*n = d.uvarint()
	}
	s.reason = Reason(d.text())
	last := uint64(0)
	for n := d.uvarint(); n > 0 && d.err == nil; n-- {
		last += d.uvarint()
		s.pending = append(s.pending, delivery{last, int(d.uvarint())})
	}
	return d.err
}

// save keeps the state, and the options if they are not nil. A nil Store keeps nothing.
func (s *Store) save(name string, options *SubscribeOptions, state []byte) error {
	if s == nil {
		return nil
	}
	return s.update(func(tx *bbolt.Tx) error {
		if options != nil {
			b, err := json.Marshal(options)
			if err != nil {
				return err
			}
			if err := tx.Bucket(optionsBucket).Put([]byte(name), b); err != nil {
				return err
			}
		}
		return tx.Bucket(stateBucket).Put([]byte(name), state)
	})
}

func (s *Store) remove(name string) error {
	if s == nil {
		return nil
	}
	return s.update(func(tx *bbolt.Tx) error {
		if err := tx.Bucket(optionsBucket).Delete([]byte(name)); err != nil {
			return err
		}
		return tx.Bucket(stateBucket).Delete([]byte(name))
	})
}

func (s *Store) update(f func(*bbolt.Tx) error) error {
	if err := s.db.Update(f); err != nil {
		return fmt.Errorf("pubsub: store: %w", err)
	}
	return nil
}

// load returns what is kept, in the order of the names.
func (s *Store) load() (all []record, err error) {
	if s == nil {
		return nil, nil
	}
	err = s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(optionsBucket).ForEach(func(k, v []byte) error {
			r := record{name: string(k)}
			if err := json.Unmarshal(v, &r.options); err != nil {
				return fmt.Errorf("pubsub: store: subscription %q: %w", k, err)
			}
			if err := r.state.decode(tx.Bucket(stateBucket).Get(k)); err != nil {
				return fmt.Errorf("pubsub: store: subscription %q: %w", k, err)
			}
			all = append(all, r)
			return nil
		})
	})
	return all, err
}
