package bolt

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"go.etcd.io/bbolt"
)

// maxShared bounds how many functions share a transaction: its pages are in memory until they are written.
const maxShared = 256

// sharing collects the functions that wait for the file. One caller at a time leads: it runs those that wait, its own first. No call waits
// for others to come, so that one alone is as fast as the disk.
type sharing struct {
	mu      sync.Mutex
	busy    bool // a caller leads
	waiting []*shared
}

// shared is one call of Share.
type shared struct {
	write func(*bbolt.Tx) error
	turn  chan struct{} // closed when it leads or is done; nil in one that leads at once
	leads bool
	err   error
}

// Half is an error of a function that has changed a part: it fails the transaction, and so all that share it.
func Half(err error) error {
	if err == nil {
		return nil
	}
	return half{err}
}

type half struct{ error }

func (h half) Unwrap() error { return h.error }

// Share is Update in a transaction which calls that come at one time share: they wait for the disk once. The functions see what those
// before them have changed, in the order of their calls, and run on the goroutine of one of them. One that returns an error must have changed
// nothing that matters, which is not undone, unless the error is by [Half].
func (f *File) Share(write func(*bbolt.Tx) error) error {
	s := &shared{write: write}
	if !f.sharing.join(s) {
		return s.err
	}
	f.lead()
	return s.err
}

// lead runs those whose turn has come.
func (f *File) lead() {
	these, err := f.sharing.take(), errEnded
	defer func() {
		if err != nil && !errors.Is(err, errNothing) {
			for _, s := range these {
				s.err = err
			}
		}
		f.sharing.done(these)
	}()
	err = f.Update(func(tx *bbolt.Tx) error { return runAll(these, tx, f.path) })
}

// errEnded is what those get whose transaction was left by runtime.Goexit, as FailNow of a test does.
var errEnded = errors.New("a function that shared the transaction ended its goroutine: nothing was written")

// errNothing ends a transaction in which each function failed.
var errNothing = errors.New("nothing to write")

func runAll(these []*shared, tx *bbolt.Tx, path string) error {
	failed := 0
	for _, s := range these {
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

// join waits until s leads, or is done.
func (g *sharing) join(s *shared) (leads bool) {
	g.mu.Lock()
	g.waiting = append(g.waiting, s)
	if !g.busy {
		g.busy = true
		g.mu.Unlock()
		return true
	}
	s.turn = make(chan struct{})
	g.mu.Unlock()
	<-s.turn
	return s.leads
}

// take returns those whose turn has come, the leader first.
func (g *sharing) take() []*shared {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(len(g.waiting), maxShared)
	taken := slices.Clone(g.waiting[:n])
	g.waiting = slices.Delete(g.waiting, 0, n)
	return taken
}

// done ends those, and has the next lead.
func (g *sharing) done(these []*shared) {
	for _, s := range these[1:] {
		close(s.turn)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.busy = len(g.waiting) > 0; g.busy {
		next := g.waiting[0]
		next.leads = true
		close(next.turn)
	}
}
