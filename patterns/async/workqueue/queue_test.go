package workqueue_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/async/workqueue"
	"github.com/squall-sim/squall/patterns/retry"
)

func TestJobsAreLeasedInTheirOrder(t *testing.T) {
	inBubble(t, &workqueue.Queue{}, func(t *testing.T, q *workqueue.Queue) {
		add(t, q, workqueue.Job{ID: "later", Delay: 10 * sec})
		add(t, q, workqueue.Job{ID: "a", Payload: []byte("work")})
		add(t, q, workqueue.Job{ID: "b"})
		task := lease(t, q)
		require.Equal(t, "a", task.ID)
		require.Equal(t, "work", string(task.Payload))
		require.Equal(t, 1, task.Attempt)
		require.Equal(t, "b", lease(t, q).ID)
		idle(t, q)
		start := time.Now()
		task, err := q.Lease(t.Context(), "")
		require.NoError(t, err)
		require.Equal(t, "later", task.ID)
		require.Equal(t, 10*sec-1, time.Since(start), "idle took a nanosecond")
		require.NoError(t, q.Finish(t.Context(), task.ID, task.Token, done("fine")))
		s, err := q.Get(t.Context(), "later")
		require.NoError(t, err)
		require.Equal(t, "fine", string(s.Result))
		require.Equal(t, time.Now().Add(24*time.Hour), s.Expires)
		time.Sleep(24*time.Hour - 1)
		require.Equal(t, workqueue.Done, state(t, q, "later"))
		time.Sleep(1)
		_, err = q.Get(t.Context(), "later")
		require.ErrorIs(t, err, workqueue.ErrNotFound)
	})
}

// Those who wait get jobs in the order in which they came; one that has left leaves its turn.
func TestWaitersAreServedInTheirOrder(t *testing.T) {
	inBubble(t, &workqueue.Queue{}, func(t *testing.T, q *workqueue.Queue) {
		var mu sync.Mutex
		var got []string
		var all sync.WaitGroup
		for i := range 4 {
			ctx, cancel := context.WithCancel(t.Context())
			all.Go(func() {
				if task, err := q.Lease(ctx, ""); err == nil {
					mu.Lock()
					defer mu.Unlock()
					got = append(got, fmt.Sprintf("%d: %s", i, task.ID))
				}
			})
			time.Sleep(1)
			if i == 1 {
				defer cancel()
				cancel()
				time.Sleep(1)
			} else {
				defer cancel()
			}
		}
		for _, id := range []string{"a", "b", "c"} {
			add(t, q, workqueue.Job{ID: id})
			time.Sleep(1)
		}
		all.Wait()
		require.Equal(t, []string{"0: a", "2: b", "3: c"}, got)
	})
}

// A job becomes due at the instant at which the one who waited longest leaves: it goes to one of the
// two, whichever was first.
func TestNoJobIsLostBetweenWaiters(t *testing.T) {
	for range 200 {
		inBubble(t, &workqueue.Queue{}, func(t *testing.T, q *workqueue.Queue) {
			add(t, q, workqueue.Job{ID: "a", Delay: sec})
			first, cancel := context.WithTimeout(t.Context(), sec)
			defer cancel()
			second, stop := context.WithTimeout(t.Context(), 20*sec)
			defer stop()
			for _, ctx := range []context.Context{first, second} {
				go q.Lease(ctx, "")
				synctest.Wait()
			}
			time.Sleep(10 * sec)
			require.Equal(t, workqueue.Running, state(t, q, "a"))
		})
	}
}

func TestLeaseEndsAtItsInstant(t *testing.T) {
	inBubble(t, &workqueue.Queue{MaxAttempts: 3}, func(t *testing.T, q *workqueue.Queue) {
		add(t, q, workqueue.Job{ID: "a"})
		first := lease(t, q)
		time.Sleep(30*sec - 1)
		require.NoError(t, q.Extend(t.Context(), "a", first.Token, nil), "the last instant of the lease")
		time.Sleep(30*sec - 1)
		require.Equal(t, workqueue.Running, state(t, q, "a"))
		time.Sleep(1)
		require.ErrorIs(t, q.Extend(t.Context(), "a", first.Token, nil), workqueue.ErrLeaseLost, "it has ended")
		require.ErrorIs(t, q.Finish(t.Context(), "a", first.Token, done("late")), workqueue.ErrLeaseLost)
		second := lease(t, q)
		require.Equal(t, 2, second.Attempt)
		require.Greater(t, second.Token, first.Token)
		require.ErrorIs(t, q.Finish(t.Context(), "a", first.Token, done("later still")), workqueue.ErrLeaseLost)
		require.NoError(t, q.Finish(t.Context(), "a", second.Token, done("ok")))
		require.NoError(t, q.Finish(t.Context(), "a", second.Token, done("ok")), "its answer was lost")
		require.ErrorIs(t, q.Finish(t.Context(), "a", first.Token, done("ok")), workqueue.ErrLeaseLost)
		require.ErrorIs(t, q.Finish(t.Context(), "a", second.Token, workqueue.End{State: workqueue.Failed}), workqueue.ErrLeaseLost, "it has ended otherwise")
	})
}

func TestAttemptsAndDeadLetters(t *testing.T) {
	inBubble(t, &workqueue.Queue{MaxAttempts: 3}, func(t *testing.T, q *workqueue.Queue) {
		add(t, q, workqueue.Job{ID: "a", Payload: []byte("p"), Key: "k"})
		task := lease(t, q)
		require.NoError(t, q.Extend(t.Context(), "a", task.Token, []byte("half")))
		require.NoError(t, q.Finish(t.Context(), "a", task.Token, again("once")))
		require.NoError(t, q.Finish(t.Context(), "a", task.Token, again("once")), "repeated")
		start := time.Now()
		task, err := q.Lease(t.Context(), "")
		require.NoError(t, err)
		require.Equal(t, sec, time.Since(start), "Backoff.Base")
		require.Equal(t, "half", string(task.Checkpoint))
		require.NoError(t, q.Finish(t.Context(), "a", task.Token, workqueue.End{State: workqueue.Pending}), "given back: it does not count")
		task = lease(t, q)
		require.Equal(t, 2, task.Attempt)
		end := again("twice")
		end.After = time.Hour
		require.NoError(t, q.Finish(t.Context(), "a", task.Token, end))
		start = time.Now()
		task, err = q.Lease(t.Context(), "")
		require.NoError(t, err)
		require.Equal(t, time.Hour, time.Since(start))
		require.NoError(t, q.Finish(t.Context(), "a", task.Token, again("thrice")))
		require.NoError(t, q.Finish(t.Context(), "a", task.Token, again("thrice")), "repeated")
		idle(t, q)

		time.Sleep(1000 * time.Hour)
		dead, err := q.List(t.Context(), workqueue.Dead)
		require.NoError(t, err)
		require.Len(t, dead, 1, "dead letters stay")
		require.Equal(t, "thrice", dead[0].Error)
		require.EqualValues(t, 1, q.Stats().Dead)
		_, err = q.Retry(t.Context(), "b")
		require.ErrorIs(t, err, workqueue.ErrNotFound)
		add(t, q, workqueue.Job{ID: "b", Key: "k"})
		_, err = q.Retry(t.Context(), "a")
		require.ErrorIs(t, err, workqueue.ErrBusy, "its key was free")
		_, err = q.Cancel(t.Context(), "b")
		require.NoError(t, err)
		_, err = q.Retry(t.Context(), "a")
		require.NoError(t, err)
		_, err = q.Retry(t.Context(), "a")
		require.ErrorIs(t, err, workqueue.ErrState)
		task = lease(t, q)
		require.Equal(t, 1, task.Attempt)
		require.Equal(t, "half p", string(task.Checkpoint)+" "+string(task.Payload))
	})
}

func TestWhatAddRefuses(t *testing.T) {
	inBubble(t, &workqueue.Queue{MaxJobs: 2, MaxPayloadBytes: 5}, func(t *testing.T, q *workqueue.Queue) {
		a := add(t, q, workqueue.Job{ID: "a", Key: "k", Payload: []byte("12345")})
		require.Equal(t, a, add(t, q, workqueue.Job{ID: "a", Key: "k", Payload: []byte("12345")}), "the same again")
		for _, row := range []struct {
			job  workqueue.Job
			want string
		}{
			{workqueue.Job{ID: "a", Payload: []byte("other")}, workqueue.ErrConflict.Error()},
			{workqueue.Job{ID: "a", Key: "k1", Payload: []byte("2345")}, workqueue.ErrConflict.Error()},
			{workqueue.Job{ID: "b", Key: "k"}, workqueue.ErrBusy.Error()},
			{workqueue.Job{ID: "b", Payload: []byte("123456")}, "workqueue: Job.Payload has 6 bytes: want at most MaxPayloadBytes, 5"},
			{workqueue.Job{ID: "a/b"}, `workqueue: Job.ID is "a/b": want 1 to 128 letters, digits and any of -._~`},
			{workqueue.Job{}, `workqueue: Job.ID is "": want 1 to 128 letters, digits and any of -._~`},
			{workqueue.Job{ID: "b", Key: strings.Repeat("k", 257)}, "workqueue: Job.Key has 257 bytes: want at most 256"},
			{workqueue.Job{ID: "b", Delay: -1}, "workqueue: Job.Delay is -1ns: want 0 to 100 years"},
			{workqueue.Job{ID: "b", TTL: -1}, "workqueue: Job.TTL is -1ns: want 0 to 100 years"},
		} {
			_, err := q.Add(t.Context(), row.job)
			require.EqualError(t, err, row.want)
		}
		task := lease(t, q)
		require.EqualError(t, q.Finish(t.Context(), "a", task.Token, done("123456")), "workqueue: End.Result has 6 bytes: want at most MaxPayloadBytes, 5")
		require.EqualError(t, q.Finish(t.Context(), "a", task.Token, workqueue.End{State: "odd"}), `workqueue: End.State is "odd": want "done", "failed" or "pending"`)
		require.EqualError(t, q.Finish(t.Context(), "a", task.Token, workqueue.End{State: workqueue.Pending, After: -1}), "workqueue: End.After is -1ns: want 0 to 100 years")
		require.ErrorContains(t, q.Extend(t.Context(), "a", task.Token, []byte("123456")), "MaxPayloadBytes")
		add(t, q, workqueue.Job{ID: "b"})
		_, err := q.Add(t.Context(), workqueue.Job{ID: "c"})
		require.ErrorIs(t, err, workqueue.ErrFull)
		require.NoError(t, q.Finish(t.Context(), "a", task.Token, done("fine")))
		_, err = q.Add(t.Context(), workqueue.Job{ID: "c"})
		require.ErrorIs(t, err, workqueue.ErrFull, "a result takes room until Retention is over")
	})
}

// Nobody waits for it any more: it is not begun.
func TestTTLIsCheckedWhenTheJobIsTaken(t *testing.T) {
	inBubble(t, &workqueue.Queue{MaxAttempts: 5}, func(t *testing.T, q *workqueue.Queue) {
		add(t, q, workqueue.Job{ID: "stale", TTL: 10 * sec})
		add(t, q, workqueue.Job{ID: "fresh", TTL: 10*sec + 1})
		time.Sleep(10 * sec)
		task := lease(t, q)
		require.Equal(t, "fresh", task.ID)
		s, err := q.Get(t.Context(), "stale")
		require.NoError(t, err)
		require.Equal(t, workqueue.Failed, s.State)
		require.Equal(t, "TTL passed before the first attempt", s.Error)
		time.Sleep(time.Minute)
		require.Equal(t, 2, lease(t, q).Attempt, "an attempt that began in time may be repeated after it")
	})
}

func TestCancel(t *testing.T) {
	inBubble(t, &workqueue.Queue{}, func(t *testing.T, q *workqueue.Queue) {
		for _, id := range []string{"running", "pending"} {
			add(t, q, workqueue.Job{ID: id, Key: id})
		}
		task := lease(t, q)
		for _, id := range []string{"running", "pending", "running"} {
			s, err := q.Cancel(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, workqueue.Cancelled, s.State)
		}
		require.ErrorIs(t, q.Extend(t.Context(), "running", task.Token, nil), workqueue.ErrLeaseLost)
		require.ErrorIs(t, q.Finish(t.Context(), "running", task.Token, done("too late")), workqueue.ErrLeaseLost)
		idle(t, q)
		add(t, q, workqueue.Job{ID: "next", Key: "running"})
		task = lease(t, q)
		require.NoError(t, q.Finish(t.Context(), "next", task.Token, done("ok")))
		s, err := q.Cancel(t.Context(), "next")
		require.NoError(t, err)
		require.Equal(t, workqueue.Done, s.State, "what has ended stays as it is")
		_, err = q.Cancel(t.Context(), "nobody")
		require.ErrorIs(t, err, workqueue.ErrNotFound)
	})
}

func TestWaitHearsOfEachChange(t *testing.T) {
	inBubble(t, &workqueue.Queue{MaxAttempts: 1}, func(t *testing.T, q *workqueue.Queue) {
		s := add(t, q, workqueue.Job{ID: "a"})
		lease(t, q)
		start := time.Now()
		s, err := q.Wait(t.Context(), "a", s.Version)
		require.NoError(t, err)
		require.Equal(t, workqueue.Running, s.State)
		s, err = q.Wait(t.Context(), "a", s.Version)
		require.NoError(t, err)
		require.Equal(t, workqueue.Dead, s.State, "the lease ended, and nothing else happened")
		require.Equal(t, "the lease ended", s.Error)
		require.Equal(t, 30*sec, time.Since(start))
		ctx, cancel := context.WithTimeout(t.Context(), sec)
		defer cancel()
		_, err = q.Wait(ctx, "a", s.Version)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = q.Wait(ctx, "b", 0)
		require.ErrorIs(t, err, workqueue.ErrNotFound)
		go func() {
			time.Sleep(sec)
			q.Close()
		}()
		_, err = q.Wait(t.Context(), "a", s.Version)
		require.ErrorIs(t, err, workqueue.ErrClosed)
	})
}

func TestDrainAndClose(t *testing.T) {
	inBubble(t, &workqueue.Queue{}, func(t *testing.T, q *workqueue.Queue) {
		add(t, q, workqueue.Job{ID: "a"})
		add(t, q, workqueue.Job{ID: "b"})
		task := lease(t, q)
		go func() {
			time.Sleep(5 * sec)
			q.Finish(context.Background(), "a", task.Token, done("ok"))
		}()
		start := time.Now()
		require.NoError(t, q.Drain(t.Context()))
		require.Equal(t, 5*sec, time.Since(start))
		_, err := q.Add(t.Context(), workqueue.Job{ID: "c"})
		require.ErrorIs(t, err, workqueue.ErrDraining)
		_, err = q.Lease(t.Context(), "")
		require.ErrorIs(t, err, workqueue.ErrDraining)
		require.Equal(t, workqueue.Pending, state(t, q, "b"))
		require.NoError(t, q.Close())
		require.NoError(t, q.Close())
		_, err = q.Get(t.Context(), "b")
		require.ErrorIs(t, err, workqueue.ErrClosed)
	})
	inBubble(t, &workqueue.Queue{}, func(t *testing.T, q *workqueue.Queue) {
		go func() {
			time.Sleep(sec)
			q.Close()
		}()
		_, err := q.Lease(t.Context(), "")
		require.ErrorIs(t, err, workqueue.ErrClosed, "who waits is told")
	})
}

func TestQueueSurvivesItsProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue")
	synctest.Test(t, func(t *testing.T) {
		open := func() *workqueue.Queue {
			q := &workqueue.Queue{Path: path, Jitter: retry.NoJitter}
			require.NoError(t, q.Start())
			return q
		}
		q := open()
		for _, id := range []string{"done", "failed", "running", "saved", "pending"} {
			add(t, q, workqueue.Job{ID: id, Payload: []byte(id), Key: id})
		}
		add(t, q, workqueue.Job{ID: "delayed", Delay: time.Hour})
		var last workqueue.Task
		for _, end := range []workqueue.End{done("result"), {State: workqueue.Failed, Error: "no"}} {
			last = lease(t, q)
			require.NoError(t, q.Finish(t.Context(), last.ID, last.Token, end))
		}
		running, saved := lease(t, q), lease(t, q)
		require.NoError(t, q.Extend(t.Context(), "saved", saved.Token, []byte("half")))
		time.Sleep(29 * sec)
		require.NoError(t, q.Close())

		q = open()
		defer func() { q.Close() }()
		require.EqualValues(t, 6, q.Stats().Jobs)
		s, err := q.Get(t.Context(), "done")
		require.NoError(t, err)
		require.Equal(t, "result", string(s.Result))
		s, err = q.Get(t.Context(), "failed")
		require.NoError(t, err)
		require.Equal(t, "no", s.Error)
		time.Sleep(29 * sec)
		require.NoError(t, q.Finish(t.Context(), "running", running.Token, done("")), "its worker was alive: the lease began anew")
		require.Equal(t, "pending", lease(t, q).ID)
		idle(t, q)
		start := time.Now()
		again, err := q.Lease(t.Context(), "")
		require.NoError(t, err)
		require.Equal(t, sec-1, time.Since(start), "the other lease ended 30 s after the restart; idle took a nanosecond")
		require.Equal(t, "saved", again.ID)
		require.Equal(t, "half", string(again.Checkpoint))
		require.Equal(t, 2, again.Attempt)
		require.Greater(t, again.Token, saved.Token, "tokens go on")
		_, err = q.Add(t.Context(), workqueue.Job{ID: "x", Key: "pending"})
		require.ErrorIs(t, err, workqueue.ErrBusy, "keys are known")
		require.NoError(t, q.Finish(t.Context(), "saved", again.Token, done("")))
		time.Sleep(time.Hour - 59*sec - 2)
		task := lease(t, q)
		require.Equal(t, "pending", task.ID, "its lease has ended")
		idle(t, q)
		time.Sleep(1)
		require.Equal(t, "delayed", lease(t, q).ID)
	})
}

// Callers that wait for the disk at once share a transaction, and each gets its own answer.
func TestManyCallersAtOnce(t *testing.T) {
	q := &workqueue.Queue{Path: filepath.Join(t.TempDir(), "queue"), MaxJobs: 1000}
	defer q.Close()
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			for k := range 20 {
				id := fmt.Sprintf("%d-%d", i, k)
				s, err := q.Add(t.Context(), workqueue.Job{ID: id})
				if err != nil || s.ID != id {
					t.Errorf("%s: %+v, %v", id, s, err)
				}
				task, err := q.Lease(t.Context(), "")
				if err == nil {
					err = q.Finish(t.Context(), task.ID, task.Token, done(task.ID))
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 800, q.Stats().Finished)
	list, err := q.List(t.Context(), workqueue.Done)
	require.NoError(t, err)
	require.Len(t, list, 800)
	for _, s := range list {
		require.Equal(t, s.ID, string(s.Result))
		require.Equal(t, 1, s.Attempts)
	}
}

func TestCheck(t *testing.T) {
	require.NoError(t, (&workqueue.Queue{}).Check())
	err := (&workqueue.Queue{LeaseTimeout: -1, MaxAttempts: -1, MaxJobs: -2, MaxPayloadBytes: -3, Retention: -4, Backoff: retry.Backoff{Min: time.Hour}}).Check()
	for _, want := range []string{
		"workqueue: Queue.LeaseTimeout is -1ns: want 0 for the default, or more",
		"workqueue: Queue.MaxAttempts is -1: want 0 for the default, or more",
		"workqueue: Queue.Backoff.Min is 1h0m0s: want at most Backoff.Max, 10m0s",
		"workqueue: Queue.Retention is -4ns: want 0 for the default, or more",
		"workqueue: Queue.MaxJobs is -2: want 0 for the default, or more",
		"workqueue: Queue.MaxPayloadBytes is -3: want 0 for the default, or more",
	} {
		require.ErrorContains(t, err, want)
	}
	require.PanicsWithValue(t, "workqueue: Queue.MaxJobs is -2: want 0 for the default, or more", func() { (&workqueue.Queue{MaxJobs: -2}).Handler() })
	err = (&workqueue.Client{URL: "queue", Wait: time.Minute, Timeout: -1}).Check()
	require.ErrorContains(t, err, `workqueue: Client.URL is "queue": want http://host/path or https://host/path`)
	require.ErrorContains(t, err, "workqueue: Client.Wait is 1m0s: want at most 30s")
	require.ErrorContains(t, err, "workqueue: Client.Timeout is -1ns")
	require.ErrorContains(t, (&workqueue.Worker{Jobs: -1}).Check(), "workqueue: Worker.Source is nil: want a *Queue or a *Client")
}

// Nobody has had a job whose answer was lost, as is known when its request comes again. With MaxAttempts 2 the job would be dead.
func TestALostAnswerIsNoAttempt(t *testing.T) {
	named := func(t *testing.T, q *workqueue.Queue, request string) workqueue.Task {
		task, err := q.Lease(t.Context(), request)
		require.NoError(t, err)
		return task
	}
	attempts := func(t *testing.T, q *workqueue.Queue) int {
		s, err := q.Get(t.Context(), "a")
		require.NoError(t, err)
		return s.Attempts
	}
	inBubble(t, &workqueue.Queue{MaxAttempts: 2}, func(t *testing.T, q *workqueue.Queue) {
		add(t, q, workqueue.Job{ID: "a", Payload: []byte("p")})
		for range 5 {
			require.Equal(t, 1, named(t, q, "one").Attempt)
			time.Sleep(30 * sec)
		}
		require.Equal(t, 1, attempts(t, q), "as long as nobody comes it may have been one")
		second := named(t, q, "two")
		require.Equal(t, 2, second.Attempt)
		ctx, cancel := context.WithTimeout(t.Context(), 1)
		defer cancel()
		_, err := q.Lease(ctx, "one")
		require.ErrorIs(t, err, context.DeadlineExceeded, "it is the other's")
		require.Equal(t, 1, attempts(t, q))
		require.NoError(t, q.Finish(t.Context(), "a", second.Token, again("once")))
		require.Equal(t, workqueue.Pending, state(t, q, "a"), "it has had one attempt")
		time.Sleep(sec)
		third := named(t, q, "three")
		require.NoError(t, q.Finish(t.Context(), "a", third.Token, again("twice")))
		require.Equal(t, workqueue.Dead, state(t, q, "a"))
		require.Equal(t, 2, attempts(t, q))
	})
	inBubble(t, &workqueue.Queue{MaxAttempts: 2}, func(t *testing.T, q *workqueue.Queue) {
		add(t, q, workqueue.Job{ID: "a", TTL: 10 * sec})
		named(t, q, "one")
		time.Sleep(30 * sec)
		ctx, cancel := context.WithTimeout(t.Context(), 1)
		defer cancel()
		_, err := q.Lease(ctx, "one")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, workqueue.Failed, state(t, q, "a"), "no attempt had begun in time")
	})
	path := filepath.Join(t.TempDir(), "queue")
	for life := range 4 { // in a file, too
		inBubble(t, &workqueue.Queue{Path: path, MaxAttempts: 2}, func(t *testing.T, q *workqueue.Queue) {
			if life == 0 {
				add(t, q, workqueue.Job{ID: "a"})
			}
			require.Equal(t, 1, named(t, q, "one").Attempt)
			time.Sleep(30 * sec)
			require.Equal(t, workqueue.Pending, state(t, q, "a"))
		})
	}
}

// A job that is dead and is to have its attempts anew has as many as any, whoever asks for it again.
func TestAttemptsAnewAreAsMany(t *testing.T) {
	for _, request := range []string{"one", "two"} {
		inBubble(t, &workqueue.Queue{MaxAttempts: 2}, func(t *testing.T, q *workqueue.Queue) {
			add(t, q, workqueue.Job{ID: "a"})
			for _, request := range []string{"one", "two"} {
				_, err := q.Lease(t.Context(), request)
				require.NoError(t, err)
				time.Sleep(30 * sec)
			}
			require.Equal(t, workqueue.Dead, state(t, q, "a"))
			_, err := q.Retry(t.Context(), "a")
			require.NoError(t, err)
			task, err := q.Lease(t.Context(), request)
			require.NoError(t, err)
			require.Equal(t, 1, task.Attempt)
		})
	}
}

// When a job is due again is as its worker said, over a restart too.
func TestARestartBringsNothingForward(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue")
	inBubble(t, &workqueue.Queue{Path: path}, func(t *testing.T, q *workqueue.Queue) {
		add(t, q, workqueue.Job{ID: "a"})
		task, err := q.Lease(t.Context(), "one")
		require.NoError(t, err)
		require.NoError(t, q.Finish(t.Context(), "a", task.Token, workqueue.End{State: workqueue.Pending, Error: "later", After: 24 * time.Hour}))
	})
	inBubble(t, &workqueue.Queue{Path: path}, func(t *testing.T, q *workqueue.Queue) {
		start := time.Now() // that of the first life: each bubble begins at the same instant
		_, err := q.Lease(t.Context(), "two")
		require.NoError(t, err)
		require.Equal(t, 24*time.Hour, time.Since(start))
	})
}
