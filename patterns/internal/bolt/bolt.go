// Package bolt keeps the stores of the patterns in bbolt files. For a damaged file it
// returns an error that names the file, where bbolt panics or the process dies of a
// memory fault. It also refuses a file of another kind.
package bolt

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/squall-sim/squall/patterns/internal/group"
)

// File is an open file. Its methods may be called concurrently.
type File struct {
	path string
	file *os.File
	db   *bbolt.DB
	// lost is the damage after which bbolt's state in memory cannot be relied on.
	lost    atomic.Pointer[damage]
	sharing group.Group[*shared]
}

// ErrClosed is returned by the methods of a closed File.
var ErrClosed = errors.New("file is closed")

// damage is the error of a file that bbolt cannot make sense of.
type damage struct {
	path   string
	what   any
	locked bool // bbolt holds locks that will never be released
}

func (d *damage) Error() string { return fmt.Sprintf("%s is damaged: %v", d.path, d.what) }

// Open opens the file at path, or creates it with these buckets. It returns an error
// if another process has the file open for more than one second, or if the file has
// other buckets. kind is what the error says was expected, such as "an event log".
func Open(path, kind string, buckets ...string) (*File, error) {
	f := &File{path: path}
	err := f.guard(func() (err error) {
		f.db, err = bbolt.Open(path, 0o600, &bbolt.Options{
			Timeout: time.Second,
			OpenFile: func(name string, flag int, mode os.FileMode) (_ *os.File, err error) {
				f.file, err = os.OpenFile(name, flag, mode)
				return f.file, err
			},
		})
		return err
	})
	if err != nil {
		if f.file != nil { // which bbolt leaves open, and locked, if it panicked
			unlock(f.file)
			f.file.Close()
		}
		return nil, err
	}
	if err := f.Update(func(tx *bbolt.Tx) error { return claim(tx, kind, buckets) }); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// claim makes a new file what it is to be, and refuses another's.
func claim(tx *bbolt.Tx, kind string, buckets []string) error {
	var have []string
	err := tx.ForEach(func(name []byte, _ *bbolt.Bucket) error {
		have = append(have, string(name))
		return nil
	})
	if err != nil {
		return err
	}
	for _, name := range have {
		if !slices.Contains(buckets, name) {
			return fmt.Errorf("it is not %s: it has a bucket %q", kind, name)
		}
	}
	for _, name := range buckets {
		switch {
		case len(have) == 0:
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		case !slices.Contains(have, name):
			return fmt.Errorf("it is not %s: it has no bucket %q", kind, name)
		}
	}
	return nil
}

// View runs a read transaction.
func (f *File) View(read func(*bbolt.Tx) error) error { return f.run(false, read) }

// Update runs a write transaction. If it returns an error, nothing was written. After
// damage it always returns that error, because bbolt's data in memory may be wrong.
func (f *File) Update(write func(*bbolt.Tx) error) error { return f.run(true, write) }

func (f *File) run(writable bool, do func(*bbolt.Tx) error) error {
	if lost := f.lost.Load(); lost != nil && (writable || lost.locked) {
		return lost
	}
	var tx *bbolt.Tx
	defer func() { // also of a goroutine that do ends
		if tx != nil {
			// Not bbolt's Update and View, whose way back from a panic reads the file again.
			// After a Commit it is an error that says so.
			_ = tx.Rollback()
		}
	}()
	err := f.guard(func() (err error) {
		if tx, err = f.db.Begin(writable); err != nil {
			return err
		}
		if err = do(tx); err != nil || !writable {
			return err
		}
		return tx.Commit()
	})
	var damaged *damage
	if errors.As(err, &damaged) && (writable || tx == nil) {
		damaged.locked = tx == nil
		f.lost.Store(damaged)
	}
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	return err
}

// guard runs f and makes of a panic, and of a fault where the file was cut short, an
// error. The errors it returns name the file.
func (f *File) guard(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = &damage{path: f.path, what: p}
		}
	}()
	if err := do(); err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	return nil
}

// Close closes the file, after the transactions in progress.
func (f *File) Close() error {
	if lost := f.lost.Load(); lost != nil && lost.locked {
		unlock(f.file)
		return errors.Join(lost, f.file.Close())
	}
	return f.db.Close()
}
