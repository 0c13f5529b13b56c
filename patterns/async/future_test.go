package async_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/async"
)

const (
	ms  = time.Millisecond
	sec = time.Second
)

// Completion, failure, cancellation and timeout meet at one instant, again and again: one of them
// counts, all who wait get the same, and the others are told that they came too late.
func TestFutureResolvesOnce(t *testing.T) {
	failed, cancelled := errors.New("failed"), errors.New("cancelled")
	outcomes := map[string]bool{}
	for range 300 {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			ctx, stop := context.WithTimeout(ctx, sec)
			defer stop()
			f := async.NewFuture[string](ctx)
			var won atomic.Int64
			resolve := func(value string, err error) {
				if f.Resolve(value, err) {
					won.Add(1)
				}
			}
			time.AfterFunc(sec, func() { resolve("done", nil) })
			time.AfterFunc(sec, func() { resolve("", failed) })
			time.AfterFunc(sec, func() { cancel(cancelled) })
			var mu sync.Mutex
			seen := map[string]bool{}
			var all sync.WaitGroup
			for range 5 {
				all.Go(func() {
					v, err := f.Wait(context.Background())
					if err != nil {
						v = err.Error()
					}
					mu.Lock()
					defer mu.Unlock()
					seen[v] = true
				})
			}
			all.Wait()
			synctest.Wait()
			require.Len(t, seen, 1)
			for v := range seen {
				outcomes[v] = true
			}
			require.EqualValues(t, 2-won.Load(), f.Late())
			require.False(t, f.Resolve("later", nil))
			start := time.Now()
			gone, leave := context.WithCancel(t.Context())
			leave()
			v, err := f.Wait(gone)
			require.Equal(t, start, time.Now(), "at once, whatever the context says")
			require.NotErrorIs(t, err, context.Canceled)
			require.True(t, seen[v] || err != nil && seen[err.Error()])
		})
	}
	require.Len(t, outcomes, 4, "each of them came first in some run: %v", outcomes)
}

func TestFutureAndItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), sec)
		defer cancel()
		f := async.NewFuture[int](ctx)
		impatient, stop := context.WithTimeoutCause(t.Context(), sec/2, errors.New("no more time"))
		defer stop()
		_, err := f.Wait(impatient)
		require.EqualError(t, err, "no more time")
		select {
		case <-f.Done():
			t.Fatal("the future has not resolved: one caller has left")
		default:
		}
		start := time.Now()
		_, err = f.Wait(context.Background())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, sec/2, time.Since(start))
		require.Zero(t, f.Late(), "the context is no late result")

		over, end := context.WithCancel(t.Context())
		end()
		_, err = async.NewFuture[int](over).Wait(context.Background())
		require.ErrorIs(t, err, context.Canceled, "a context that has ended")
	})
}

func TestGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, err := async.Go(t.Context(), func(context.Context) (int, error) { return 7, nil }).Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, 7, v)
		_, err = async.Go(t.Context(), func(context.Context) (int, error) { panic("oh") }).Wait(t.Context())
		require.ErrorContains(t, err, "async: the function panicked: oh\n")
		ctx, cancel := context.WithTimeout(t.Context(), sec)
		defer cancel()
		f := async.Go(ctx, func(context.Context) (int, error) { time.Sleep(10 * sec); return 7, nil })
		start := time.Now()
		_, err = f.Wait(t.Context())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, sec, time.Since(start))
		time.Sleep(10 * sec)
		require.EqualValues(t, 1, f.Late())
	})
}

func TestPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &async.Pool{Workers: 1, MaxWaiting: 3, Need: 2 * sec}
		var mu sync.Mutex
		var order []string
		errs := map[string]error{}
		var all sync.WaitGroup
		do := func(name string, timeout time.Duration) {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				defer cancel()
				err := p.Do(ctx, func(context.Context) error {
					mu.Lock()
					order = append(order, name)
					mu.Unlock()
					time.Sleep(10 * sec)
					return nil
				})
				mu.Lock()
				defer mu.Unlock()
				errs[name] = err
			})
			synctest.Wait()
		}
		do("first", time.Hour)
		do("leaves", 5*sec)
		do("too late", 12*sec-1)
		do("just in time", 12*sec)
		do("no room", time.Hour)
		require.Equal(t, async.PoolStats{Running: 1, Waiting: 3, Begun: 1, Rejected: 1}, p.Stats())
		time.Sleep(5 * sec)
		synctest.Wait()
		do("room again", time.Hour)
		all.Wait()
		require.Equal(t, []string{"first", "just in time", "room again"}, order)
		require.ErrorIs(t, errs["leaves"], context.DeadlineExceeded)
		require.ErrorIs(t, errs["too late"], async.ErrExpired, "2 s less a nanosecond were left")
		require.ErrorIs(t, errs["no room"], async.ErrFull)
		require.NoError(t, errs["just in time"])
		require.Equal(t, async.PoolStats{Begun: 3, Rejected: 1, Expired: 2}, p.Stats())
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, p.Do(ctx, func(context.Context) error { panic("it was begun") }), context.Canceled)
		require.Panics(t, func() { p.Do(t.Context(), func(context.Context) error { panic("oh") }) })
		require.Zero(t, p.Stats().Running, "a panic gives the place back")
		none := &async.Pool{Workers: 1, MaxWaiting: -1}
		require.NoError(t, none.Do(t.Context(), func(context.Context) error {
			return errors.Join(errIf(!errors.Is(none.Do(t.Context(), nil), async.ErrFull), "nobody waits"))
		}))
		require.PanicsWithValue(t, "async: Pool.Workers is -1: want 0 for the default, or more", func() { (&async.Pool{Workers: -1}).Do(t.Context(), nil) })
	})
}

// The turn comes at the instant at which the one whose it is leaves: the place is never lost.
func TestPlaceOfWhoLeavesAtItsTurn(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			p := &async.Pool{Workers: 1}
			hold := func(context.Context) error { time.Sleep(sec); return nil }
			var all sync.WaitGroup
			all.Go(func() { p.Do(t.Context(), hold) })
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), sec)
			defer cancel()
			all.Go(func() { require.Error(t, p.Do(ctx, hold), "nothing is left of the deadline") })
			all.Wait()
			require.Equal(t, async.PoolStats{Begun: 1, Expired: 1}, p.Stats())
			require.NoError(t, p.Do(t.Context(), hold))
		})
	}
}

func errIf(bad bool, text string) error {
	if bad {
		return errors.New(text)
	}
	return nil
}
