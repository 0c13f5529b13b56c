package bolt

import (
	"errors"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"
)

var errOwn = errors.New("own")

// world is a file, and calls of Share that wait while a first one is in its transaction.
type world struct {
	*testing.T
	file *File
	ids  []int // of transactions, by the number of the call
	errs []error
}

func newWorld(t *testing.T, calls int) *world {
	f, err := Open(filepath.Join(t.TempDir(), "file"), "a test", "b")
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return &world{T: t, file: f, ids: make([]int, calls), errs: make([]error, calls)}
}

// together has each call put its number and return what fail says, the first alone, and the others in the transaction after it.
func (w *world) together(fail func(nth int) error) {
	hold := make(chan struct{})
	var all sync.WaitGroup
	for i := range w.ids {
		all.Go(func() {
			w.errs[i] = w.file.Share(func(tx *bbolt.Tx) error {
				if i == 0 {
					<-hold
				}
				w.ids[i] = tx.ID()
				if err := fail(i); err != nil && !errors.As(err, new(half)) {
					return err
				}
				key := []byte("count")
				count, _ := strconv.Atoi(string(tx.Bucket([]byte("b")).Get(key)))
				if err := tx.Bucket([]byte("b")).Put(key, []byte(strconv.Itoa(count+1))); err != nil {
					return Half(err)
				}
				return fail(i)
			})
		})
		synctest.Wait() // they come in their order
	}
	close(hold)
	all.Wait()
}

// count is how many calls the file knows of.
func (w *world) count() (text string) {
	require.NoError(w, w.file.View(func(tx *bbolt.Tx) error {
		text = string(tx.Bucket([]byte("b")).Get([]byte("count")))
		return nil
	}))
	return text
}

func TestThoseThatWaitShareATransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2+maxShared)
		w.together(func(int) error { return nil })
		require.Equal(t, strconv.Itoa(2+maxShared), w.count(), "each sees what was before it")
		for i, id := range w.ids {
			require.NoError(t, w.errs[i])
			require.Equal(t, w.ids[0]+min(i, 1)+i/(maxShared+1), id, "call %d: the first, as many as may, and the last one", i)
		}
	})
}

func TestAnErrorIsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 10)
		w.together(func(nth int) error {
			if nth%3 == 1 {
				return errOwn
			}
			return nil
		})
		require.Equal(t, "7", w.count())
		for i, err := range w.errs {
			if i%3 == 1 {
				require.ErrorIs(t, err, errOwn)
				require.ErrorContains(t, err, "file: own")
			} else {
				require.NoError(t, err, i)
			}
		}
		before := w.ids[9]
		w.together(func(int) error { return errOwn })
		require.Equal(t, "7", w.count())
		require.NoError(t, w.file.Update(func(tx *bbolt.Tx) error {
			require.Equal(t, before+1, tx.ID(), "nothing was written for those that all failed")
			return nil
		}))
	})
}

func TestWhatWasHalfDoneFailsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 10)
		w.together(func(nth int) error {
			switch nth {
			case 3:
				return errOwn
			case 5:
				return Half(errors.New("disk"))
			}
			return nil
		})
		require.Equal(t, "1", w.count(), "the first, which was alone")
		require.NoError(t, w.errs[0])
		for _, err := range w.errs[1:] {
			require.ErrorContains(t, err, "disk")
		}
		w.together(func(int) error { return nil })
		require.Equal(t, "11", w.count(), "the file works on")
	})
}

// FailNow of a test ends a goroutine in the middle of a transaction. Nobody is told that something was written, and the file works on.
func TestOneThatEndsItsGoroutineFailsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 10)
		w.errs[1] = errOwn // that of the second, which leads the others, and never returns
		w.together(func(nth int) error {
			if nth == 5 {
				runtime.Goexit()
			}
			return nil
		})
		require.Equal(t, "1", w.count(), "the first, which was alone")
		require.Equal(t, errOwn, w.errs[1])
		for _, err := range w.errs[2:] {
			require.ErrorIs(t, err, errEnded)
		}
		w.together(func(int) error { return nil })
		require.Equal(t, "11", w.count())
	})
}
