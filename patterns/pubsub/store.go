package pubsub

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/bolt"
)

// Store keeps the positions of durable subscriptions in one bbolt file. It has no
// goroutine of its own.
type Store struct {
	file *bolt.File
}

// The file has two buckets, by the name of the subscription: its options as JSON, and
// its state, which changes often, in a short form.
var (
	optionsBucket = []byte("options")
	stateBucket   = []byte("state")
)

// optionsFormat is the version of the options in a store, stateFormat the first byte of a
// state. Those of format 1 are read: its options had no version and the names of the Go
// fields, its states no idleSince.
const (
	optionsFormat = 2
	stateFormat   = 2
)

// storedOptions are the options of a subscription in the file.
type storedOptions struct {
	Version int `json:"v"`
	subscriptionForm
}

// options1 are those of format 1.
type options1 struct {
	Filter, Name                  string
	Reset, Slow                   int
	AtMostOnce                    bool
	AckWait                       time.Duration
	MaxAttempts                   int
	DeadLetter                    string
	MaxInFlight, MaxInFlightBytes int
	MaxPending                    int
}

func encodeOptions(o *SubscribeOptions) ([]byte, error) {
	stored := storedOptions{optionsFormat, *o.form()}
	stored.From, stored.FromNow = eventlog.Cursor{}, false
	return json.Marshal(stored)
}

func decodeOptions(b []byte) (SubscribeOptions, error) {
	var stored storedOptions
	var version struct {
		V *int `json:"v"`
	}
	if err := json.Unmarshal(b, &version); err != nil {
		return SubscribeOptions{}, err
	}
	switch {
	case version.V == nil:
		var old options1
		if err := json.Unmarshal(b, &old); err != nil {
			return SubscribeOptions{}, err
		}
		o := SubscribeOptions{
			Filter: old.Filter, Name: old.Name, Reset: ResetPolicy(old.Reset), AtMostOnce: old.AtMostOnce,
			// Their numbers had no bounds.
			AckWait: min(old.AckWait, maxWait), MaxAttempts: min(old.MaxAttempts, maxAttempts), DeadLetter: old.DeadLetter,
			MaxInFlight: min(old.MaxInFlight, maxInFlight), MaxInFlightBytes: min(old.MaxInFlightBytes, maxInFlightBytes),
			Slow: SlowPolicy(old.Slow), MaxPending: min(old.MaxPending, maxPending),
		}
		return o.withDefaults(), o.Check()
	case *version.V != optionsFormat:
		return SubscribeOptions{}, fmt.Errorf("its options are of format %d, want 1 or %d", *version.V, optionsFormat)
	}
	if err := json.Unmarshal(b, &stored); err != nil {
		return SubscribeOptions{}, err
	}
	return stored.options()
}

// OpenStore opens the store in the file at path, and creates it if it does not exist. It
// returns an error if another process has the file open for more than one second, or if
// the file is something else, such as an [eventlog.Disk].
func OpenStore(path string) (*Store, error) {
	file, err := bolt.Open(path, "a store of subscriptions", string(optionsBucket), string(stateBucket))
	if err != nil {
		return nil, fmt.Errorf("pubsub: open %w", err)
	}
	return &Store{file}, nil
}

// Close closes the file.
func (s *Store) Close() error { return s.file.Close() }

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
	reason           eventlog.Reason
	pending          []delivery // offsets, and attempts so far
	idleSince        time.Time  // to the second: since when no client is subscribed; zero: one is, or was when the broker ended
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
	idle := int64(0)
	if !s.idleSince.IsZero() {
		idle = s.idleSince.Unix()
	}
	return binary.AppendVarint(b, idle)
}

func (s *state) decode(b []byte) error {
	if len(b) == 0 || b[0] < 1 || b[0] > stateFormat {
		return fmt.Errorf("its state % x is of no format from 1 to %d", b, stateFormat)
	}
	d := decoder{b: b[1:]}
	for _, n := range []*uint64{&s.epoch, &s.next, &s.gaps, &s.missed, &s.told, &s.toldMissed} {
		*n = d.uvarint()
	}
	s.reason = eventlog.Reason(d.text())
	last := uint64(0)
	for n := d.uvarint(); n > 0 && d.err == nil; n-- {
		last += d.uvarint()
		s.pending = append(s.pending, delivery{last, d.attempt()})
	}
	if b[0] > 1 && d.err == nil {
		idle, size := binary.Varint(d.b)
		if size <= 0 {
			return errShort
		}
		if idle != 0 {
			s.idleSince = time.Unix(idle, 0)
		}
	}
	return d.err
}

// save keeps the state, and the options if they are not nil. A nil Store keeps nothing.
func (s *Store) save(name string, options *SubscribeOptions, state []byte) error {
	if s == nil {
		return nil
	}
	var kept []byte
	if options != nil {
		var err error
		if kept, err = encodeOptions(options); err != nil {
			return err
		}
	}
	return s.update(func(tx *bbolt.Tx) error {
		if kept != nil {
			if err := tx.Bucket(optionsBucket).Put([]byte(name), kept); err != nil {
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

// update writes in a transaction that subscriptions which save at one time share, so that they wait for the disk once.
func (s *Store) update(f func(*bbolt.Tx) error) error {
	if err := s.file.Share(func(tx *bbolt.Tx) error { return bolt.Half(f(tx)) }); err != nil {
		return fmt.Errorf("pubsub: store %w", err)
	}
	return nil
}

// load returns what is kept, in the order of the names.
func (s *Store) load() (all []record, err error) {
	if s == nil {
		return nil, nil
	}
	err = s.file.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(optionsBucket).ForEach(func(k, v []byte) error {
			r := record{name: string(k)}
			var err error
			if r.options, err = decodeOptions(v); err != nil {
				return fmt.Errorf("subscription %q: %w", k, err)
			}
			if err := r.state.decode(tx.Bucket(stateBucket).Get(k)); err != nil {
				return fmt.Errorf("subscription %q: %w", k, err)
			}
			all = append(all, r)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("pubsub: store %w", err)
	}
	return all, nil
}
