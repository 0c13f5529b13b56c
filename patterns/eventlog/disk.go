package eventlog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/squall-sim/squall/patterns/internal/bolt"
	"github.com/squall-sim/squall/patterns/internal/group"
)

// Disk is a [Log] in one bbolt file. Entries that Append has acknowledged are there
// when the file is opened again, under the same epoch. A batch that it has not
// acknowledged is there completely or not at all. Disk has no goroutine of its own.
//
// An Append waits for the disk. Appends that arrive in the meantime share the next
// transaction, so many publishers wait hardly longer than one, and appending many
// entries at once costs little more than appending one.
//
// If the file is damaged, the error names it. What is readable can be read; nothing
// more can be appended.
type Disk struct {
	opts  Options
	hub   hub
	file  *bolt.File
	group group.Group[*appending]

	// write is held by one transaction that writes at a time, from reading the state
	// until the new one is both committed and visible.
	write sync.Mutex

	mu    sync.Mutex
	state state // as last committed
	stats Stats // Entries, Bytes, Watches and Wakes are not kept here
}

var _ Log = (*Disk)(nil)

// OpenDisk opens the log in the file at path, and creates it if it does not
// exist. It returns an error if another process has the file open for more than
// one second, or if the file is not a log or has a format that this version
// does not know.
//
// A file restored from a backup ends at an earlier offset than readers have
// seen. Call [Disk.NewEpoch] before appending to it.
func OpenDisk(path string, opts Options) (*Disk, error) {
	file, err := bolt.Open(path, "an event log", string(entriesBucket), string(metaBucket))
	if err != nil {
		return nil, fmt.Errorf("eventlog: open %w", err)
	}
	d := &Disk{opts: opts.withDefaults(), file: file}
	err = file.Update(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(metaBucket)
		if v := meta.Get(stateKey); v != nil {
			return d.state.decode(v)
		}
		if k, _ := tx.Bucket(entriesBucket).Cursor().First(); k != nil {
			return errors.New("it has entries, but no state")
		}
		d.state = state{epoch: d.opts.Epoch}
		return meta.Put(stateKey, d.state.encode())
	})
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("eventlog: open %w", err)
	}
	return d, nil
}

// Append is as for every [Log]. ctx ends the wait for a transaction to begin, but
// not the transaction.
func (d *Disk) Append(ctx context.Context, entries ...Entry) (Cursor, error) {
	if err := ctx.Err(); err != nil {
		return Cursor{}, err
	}
	entries, err := d.opts.prepare(entries, time.Now())
	if err != nil {
		return Cursor{}, err
	}
	a := &appending{entries: entries}
	leads, err := d.group.Join(ctx, &group.Call[*appending]{Value: a})
	if err != nil {
		return Cursor{}, err
	}
	if leads {
		d.appendGroup()
	}
	return a.head, a.err
}

// appendGroup appends what waits, in one transaction.
func (d *Disk) appendGroup() {
	var calls []*group.Call[*appending]
	err := d.update(func(tx *diskTx) error {
		calls = d.takeGroup()
		for _, c := range calls {
			a := c.Value
			for i := range a.entries {
				if err := tx.put(&a.entries[i]); err != nil {
					return err
				}
			}
			a.head = tx.state.at(tx.state.head)
		}
		return tx.trim(d.opts, time.Now())
	})
	if calls == nil { // there was no transaction
		calls = d.takeGroup()
	}
	for _, c := range calls {
		a := c.Value
		if a.err = err; err != nil {
			a.head = Cursor{}
			continue
		}
		d.hub.notify(a.entries)
	}
	d.group.Done(calls)
}

// After is as for every Log.
func (d *Disk) After(c Cursor, q Query) (Page, error) {
	now := time.Now()
	q = q.withDefaults()
	if err := d.trimIfDue(now); err != nil {
		return Page{}, err
	}
	// What panics in a transaction is taken for the file's damage; a caller's function
	// is the caller's.
	var blame any
	if match := q.Match; match != nil {
		q.Match = func(topic string) bool {
			defer func() {
				if blame = recover(); blame != nil {
					panic(blame)
				}
			}()
			return match(topic)
		}
	}
	wanted := q.filter()
	var b pageBuilder
	err := d.file.View(func(tx *bbolt.Tx) error {
		var s state
		if err := s.decode(tx.Bucket(metaBucket).Get(stateKey)); err != nil {
			return err
		}
		b = newPage(c, q, s.at(s.floor), s.at(s.head), now)
		if b.page.Reset != "" {
			return nil
		}
		cursor := tx.Bucket(entriesBucket).Cursor()
		for k, v := cursor.Seek(offsetKey(c.Offset + 1)); k != nil; k, v = cursor.Next() {
			topic, err := decodeTopic(k, v)
			if err != nil {
				return err
			}
			if !wanted(topic) {
				continue
			}
			e, err := decodeEntry(k, v)
			if err != nil {
				return err
			}
			if !b.add(&e) {
				break
			}
		}
		// bbolt's memory is valid only within the transaction.
		for i := range b.page.Entries {
			e := &b.page.Entries[i]
			e.Data = append([]byte(nil), e.Data...)
		}
		return nil
	})
	if blame != nil {
		panic(blame)
	}
	if err != nil {
		return Page{}, diskError("read", err)
	}
	return b.page, nil
}

// Head is as for every Log.
func (d *Disk) Head() Cursor {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state.at(d.state.head)
}

// Tail is as for every [Log]. If entries that are due for removal cannot be
// removed, it returns the position before them, and After returns the error.
func (d *Disk) Tail() Cursor {
	_ = d.trimIfDue(time.Now())
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state.at(d.state.floor)
}

// Watch is as for every Log.
func (d *Disk) Watch(topics ...string) *Watch { return d.hub.watch(topics) }

// Compact is as for every Log.
func (d *Disk) Compact(c Cursor) error {
	var refused error
	err := d.update(func(tx *diskTx) error {
		if refused = compactable(c, tx.state.at(tx.state.head)); refused != nil {
			return refused
		}
		return tx.compact(c.Offset)
	})
	if refused != nil {
		return refused
	}
	return err
}

// NewEpoch begins a new incarnation of the log, with the same entries. Readers with a
// cursor of the old epoch then get [ReasonWrongEpoch]. A zero epoch means the same as
// in [Options].
func (d *Disk) NewEpoch(epoch uint64) error {
	epoch = Options{Epoch: epoch}.withDefaults().Epoch
	err := d.update(func(tx *diskTx) error {
		tx.state.epoch = epoch
		return nil
	})
	if err == nil {
		d.hub.wakeAll()
	}
	return err
}

// Stats is as for every Log.
func (d *Disk) Stats() Stats {
	d.mu.Lock()
	s := d.stats
	s.Entries, s.Bytes = int64(d.state.entries), int64(d.state.bytes)
	d.mu.Unlock()
	s.Watches, s.Wakes = d.hub.counts()
	return s
}

// Close closes the file, after the reads and writes in progress.
func (d *Disk) Close() error {
	err := d.file.Close()
	d.hub.close() // last: those it wakes must find the log closed
	if err != nil {
		return diskError("close", err)
	}
	return nil
}

// update runs one write transaction. What f changes is visible to readers when
// it is on the disk, not before.
func (d *Disk) update(f func(*diskTx) error) error {
	d.write.Lock()
	defer d.write.Unlock()
	d.mu.Lock()
	t := diskTx{stats: d.stats}
	d.mu.Unlock()
	err := d.file.Update(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(metaBucket)
		// Not as last committed: what was not acknowledged because the disk failed at
		// the last moment may be in the file, and its offsets are not used again.
		if err := t.state.decode(meta.Get(stateKey)); err != nil {
			return err
		}
		t.entries = tx.Bucket(entriesBucket)
		// Offsets only grow, so no page will need room for a later insertion.
		t.entries.FillPercent = 1
		if err := f(&t); err != nil {
			return err
		}
		return meta.Put(stateKey, t.state.encode())
	})
	if err != nil {
		return diskError("write", err)
	}
	d.mu.Lock()
	d.state, d.stats = t.state, t.stats
	d.mu.Unlock()
	return nil
}

// trimIfDue does on a read what the next Append would do, so that what a reader
// gets depends on the time and not on when the last Append was.
func (d *Disk) trimIfDue(now time.Time) error {
	due := false
	err := d.file.View(func(tx *bbolt.Tx) error {
		k, v := tx.Bucket(entriesBucket).Cursor().First()
		if k == nil {
			return nil
		}
		e, err := decodeEntry(k, v)
		due = e.expired(now) || d.opts.exceeded(0, 0, e.Time, now)
		return err
	})
	if err != nil {
		return diskError("read", err)
	}
	if !due {
		return nil
	}
	return d.update(func(tx *diskTx) error { return tx.trim(d.opts, now) })
}

func diskError(op string, err error) error {
	if errors.Is(err, bolt.ErrClosed) {
		return ErrClosed
	}
	return fmt.Errorf("eventlog: %s %w", op, err)
}
