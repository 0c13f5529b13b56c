package bolt

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/squall-sim/squall/patterns/internal/group"
)

// maxShared bounds how many functions share a transaction: its pages are in memory until they are written.
const maxShared = 256

// shared is one call of Share. Those that wait for the file at one time share a transaction, in which the leader's function is the first.
type shared struct {
	write func(*bbolt.Tx) error
	err   error
}

// Half marks an error of a function that has already changed something. It fails the transaction,
// and so every call that shares it.
func Half(err error) error {
	if err == nil {
		return nil
	}
	return half{err}
}

type half struct{ error }

func (h half) Unwrap() error { return h.error }

// Share is Update in a transaction that concurrent calls share, so that they wait for the disk
// once. Each function sees the changes of those before it, in the order of the calls, and runs on
// the goroutine of one of the callers. If a function returns an error, its changes are not undone,
// so it must have changed nothing that matters; or it returns the error by [Half].
func (f *File) Share(write func(*bbolt.Tx) error) error {
	s := &shared{write: write}
	if leads, _ := f.sharing.Join(context.Background(), &group.Call[*shared]{Value: s}); leads {
		f.lead()
	}
	return s.err
}

// lead runs those whose turn has come.
func (f *File) lead() {
	count, err := 0, errEnded
	these := f.sharing.Take(func(*shared) bool { count++; return count <= maxShared })
	defer func() {
		if err != nil && !errors.Is(err, errNothing) {
			for _, c := range these {
				c.Value.err = err
			}
		}
		f.sharing.Done(these)
	}()
	err = f.Update(func(tx *bbolt.Tx) error { return runAll(these, tx, f.path) })
}

// errEnded is what those get whose transaction was left by runtime.Goexit, as FailNow of a test does.
var errEnded = errors.New("a function that shared the transaction ended its goroutine: nothing was written")

// errNothing ends a transaction in which each function failed.
var errNothing = errors.New("nothing to write")

func runAll(these []*group.Call[*shared], tx *bbolt.Tx, path string) error {
	failed := 0
	for _, c := range these {
		s := c.Value
		err := s.write(tx)
		if errors.As(err, new(half)) {
			return err
		}
		if err != nil {
			failed++
			s.err = fmt.Errorf("%s: %w", path, err)
		}
	}
	if failed == len(these) {
		return errNothing
	}
	return nil
}
