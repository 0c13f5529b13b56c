package saga_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/async/saga"
	"github.com/squall-sim/squall/patterns/async/workqueue"
	"github.com/squall-sim/squall/patterns/retry"
)

// services are what the steps call: each remembers what was done, by key, so that a repetition changes
// nothing.
type services struct {
	mu    sync.Mutex
	done  map[string]bool
	calls []string // do a, undo a
	fail  func(call string, nth int) error
	count map[string]int
}

func (s *services) steps(names ...string) (all []saga.Step) {
	s.done, s.count = map[string]bool{}, map[string]int{}
	for _, name := range names {
		all = append(all, saga.Step{Name: name,
			Do: func(_ context.Context, c saga.Call) ([]byte, error) {
				return []byte("of " + name), s.call("do "+name, func() { s.done[c.Key] = true })
			},
			Undo: func(_ context.Context, c saga.Call) error {
				return s.call("undo "+name, func() { delete(s.done, c.Key) })
			}})
	}
	return all
}

func (s *services) call(name string, effect func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count[name]++
	var err error
	if s.fail != nil {
		err = s.fail(name, s.count[name])
	}
	if err == nil || errors.Is(err, errAfter) {
		s.calls = append(s.calls, name)
		effect()
	}
	return err
}

// errAfter is an answer that was lost: the effect has happened.
var errAfter = errors.New("no answer")

// runSaga does one as a job, and returns how it ended.
func runSaga(t *testing.T, sg *saga.Saga, around func(q *workqueue.Queue, run func() (stop func()))) workqueue.Status {
	q := &workqueue.Queue{Jitter: retry.NoJitter}
	defer q.Close()
	sg.Jitter = retry.NoJitter
	_, err := q.Add(t.Context(), workqueue.Job{ID: "trip", Payload: []byte("for two")})
	require.NoError(t, err)
	run := func() func() {
		ctx, cancel := context.WithCancel(t.Context())
		var over sync.WaitGroup
		over.Go(func() { (&workqueue.Worker{Source: q, Jitter: retry.NoJitter}).Run(ctx, sg.Handle) })
		return func() { cancel(); over.Wait() }
	}
	if around != nil {
		around(q, run)
	}
	stop := run()
	defer stop()
	var s workqueue.Status
	for !s.State.Ended() {
		s, err = q.Wait(t.Context(), "trip", s.Version)
		require.NoError(t, err)
	}
	return s
}

// Every prefix of steps, then a failure: all done, or all that was done undone in reverse order.
func TestEveryPrefix(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e"}
	for at := range len(names) + 1 {
		for kind, err := range map[string]error{"final": workqueue.Final{Err: errors.New("never")}, "unknown": errAfter} {
			synctest.Test(t, func(t *testing.T) {
				s := &services{fail: func(call string, _ int) error {
					if at < len(names) && call == "do "+names[at] {
						return err
					}
					return nil
				}}
				got := runSaga(t, &saga.Saga{Steps: s.steps(names...), MaxAttempts: 1}, nil)
				if at == len(names) {
					require.Equal(t, workqueue.Done, got.State)
					require.Equal(t, "of e", string(got.Result))
					require.Len(t, s.done, 5)
					return
				}
				require.Equal(t, workqueue.Failed, got.State)
				require.Equal(t, fmt.Sprintf("saga: undone after step %q: %v", names[at], err), got.Error)
				require.Empty(t, s.done)
				did := at
				if kind == "unknown" {
					did++ // it may have been done, and is undone too
				}
				var want []string
				for _, name := range names[:did] {
					want = append(want, "do "+name)
				}
				for _, name := range slices.Backward(names[:did]) {
					want = append(want, "undo "+name)
				}
				require.Equal(t, want, s.calls)
			})
		}
	}
}

// The worker is stopped, or loses its lease, before each call in turn: what another one makes of the
// journal is the same in the end.
func TestEveryCrash(t *testing.T) {
	for _, broken := range []bool{false, true} {
		for crash := range 9 {
			synctest.Test(t, func(t *testing.T) {
				calls, s := 0, &services{}
				crashed := make(chan struct{})
				s.fail = func(call string, nth int) error {
					if calls++; calls == crash {
						close(crashed)
					}
					if broken && call == "do d" {
						return workqueue.Final{Err: errors.New("never")}
					}
					return nil
				}
				steps := s.steps("a", "b", "c", "d")
				for i := range steps { // each takes a second after its effect: the crash is before the journal
					do, undo := steps[i].Do, steps[i].Undo
					steps[i].Do = func(ctx context.Context, c saga.Call) ([]byte, error) {
						b, err := do(ctx, c)
						return b, errors.Join(err, retry.Sleep(ctx, sec))
					}
					steps[i].Undo = func(ctx context.Context, c saga.Call) error {
						return errors.Join(undo(ctx, c), retry.Sleep(ctx, sec))
					}
				}
				got := runSaga(t, &saga.Saga{Steps: steps}, func(q *workqueue.Queue, run func() (stop func())) {
					stop := run()
					select {
					case <-crashed:
					case <-time.After(time.Minute):
					}
					stop()
				})
				if broken {
					require.Equal(t, workqueue.Failed, got.State)
					require.Empty(t, s.done)
				} else {
					require.Equal(t, workqueue.Done, got.State)
					require.Len(t, s.done, 4)
				}
				for name, n := range s.count {
					require.LessOrEqual(t, n, 2, name)
				}
			})
		}
	}
}

const sec = time.Second

// Do is repeated with delays, Undo until it succeeds.
func TestRepetitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &services{fail: func(call string, nth int) error {
			switch {
			case call == "do a" && nth < 5, call == "do b", call == "undo a" && nth < 20:
				return errors.New("not now")
			}
			return nil
		}}
		var delays []time.Duration
		sg := &saga.Saga{Steps: s.steps("a", "b"), OnRetry: func(_ error, d time.Duration) { delays = append(delays, d) }}
		got := runSaga(t, sg, nil)
		require.Equal(t, workqueue.Failed, got.State)
		require.Equal(t, 1, got.Attempts)
		require.Equal(t, []string{"do a", "undo b", "undo a"}, s.calls)
		require.Equal(t, map[string]int{"do a": 5, "do b": 5, "undo b": 1, "undo a": 20}, s.count)
		require.Equal(t, []time.Duration{sec, 2 * sec, 4 * sec, 8 * sec}, delays[:4])
		require.Len(t, delays, 4+4+19)
	})
}

func TestWhatAStepIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got := runSaga(t, &saga.Saga{Steps: []saga.Step{
			{Name: "a", Do: func(_ context.Context, c saga.Call) ([]byte, error) {
				require.Equal(t, "trip/a", c.Key)
				require.Equal(t, "for two", string(c.Input))
				require.NotZero(t, c.Token)
				return []byte("seat 7"), nil
			}},
			{Name: "b", Do: func(_ context.Context, c saga.Call) ([]byte, error) { return c.Results["a"], nil }},
		}}, nil)
		require.Equal(t, "seat 7", string(got.Result))
	})
}

// A journal that these steps did not write is no reason to guess.
func TestOddJournals(t *testing.T) {
	s := &services{}
	sg := &saga.Saga{Steps: s.steps("a", "b")}
	for text, want := range map[string]string{
		"{":                            "saga: journal: unexpected end of JSON input",
		`{"v":2}`:                      "saga: journal is of version 2: want 1",
		`{"v":1,"done":["b"]}`:         `saga: the journal has step "b" done in place 0: it is "a" now`,
		`{"v":1,"done":["a","b","c"]}`: "saga: the journal has 3 steps done: there are 2",
	} {
		_, err := sg.Handle(t.Context(), workqueue.Task{ID: "x", Checkpoint: []byte(text)})
		require.EqualError(t, err, want)
	}
	require.Empty(t, s.calls)
	err := (&saga.Saga{Steps: []saga.Step{{Name: "a", Do: sg.Steps[0].Do}, {Name: "a"}}, MaxAttempts: -1}).Check()
	require.ErrorContains(t, err, `saga: Saga.Steps[1].Name is "a": want a name that no other step has`)
	require.ErrorContains(t, err, "Steps[1].Do is nil")
	require.ErrorContains(t, err, "MaxAttempts is -1")
	require.ErrorContains(t, (&saga.Saga{}).Check(), "saga: Saga.Steps is empty: want one at least")
	require.Panics(t, func() { (&saga.Saga{}).Handle(t.Context(), workqueue.Task{}) })
}

// FuzzJournal reads what may be in a damaged file.
func FuzzJournal(f *testing.F) {
	for _, s := range []string{`{"v":1,"done":["a"],"back":true,"cause":"x"}`, `{"v":1,"results":{"a":"AA=="}}`, "[]", "null"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &services{}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		(&saga.Saga{Steps: s.steps("a", "b")}).Handle(ctx, workqueue.Task{ID: "x", Checkpoint: b})
	})
}

// A trip is booked, or not at all.
func Example() {
	trip := &saga.Saga{Steps: []saga.Step{
		{Name: "flight",
			Do:   func(context.Context, saga.Call) ([]byte, error) { fmt.Println("flight booked"); return nil, nil },
			Undo: func(context.Context, saga.Call) error { fmt.Println("flight cancelled"); return nil }},
		{Name: "hotel",
			Do: func(context.Context, saga.Call) ([]byte, error) {
				return nil, workqueue.Final{Err: errors.New("no room")}
			}},
	}}
	queue := &workqueue.Queue{}
	defer queue.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	queue.Add(ctx, workqueue.Job{ID: "trip-7"})
	go (&workqueue.Worker{Source: queue}).Run(ctx, trip.Handle)
	var s workqueue.Status
	for !s.State.Ended() {
		s, _ = queue.Wait(ctx, "trip-7", s.Version)
	}
	fmt.Println(s.State, s.Error)

	// Output:
	// flight booked
	// flight cancelled
	// failed saga: undone after step "hotel": no room
}
