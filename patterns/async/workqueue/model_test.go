package workqueue_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/squall-sim/squall/patterns/async/workqueue"
	"github.com/squall-sim/squall/patterns/retry"
)

// What the queue promises, held against everything that its callers can do in any order, over
// restarts:
//   - a job is leased to one worker at a time, and the next only when that one has lost it;
//   - tokens grow; what an old one says changes nothing;
//   - a job that has ended stays as it ended; the end is what its last holder said;
//   - no job is lost: in the end each one has ended.
func TestAnyStoryKeepsThePromises(t *testing.T) {
	dir := t.TempDir()
	stories := 0
	rapid.Check(t, func(rt *rapid.T) {
		stories++
		path := filepath.Join(dir, fmt.Sprint(stories))
		defer os.Remove(path)
		steps := rapid.SliceOfN(rapid.IntRange(0, 99), 5, 60).Draw(rt, "steps")
		var broken error
		synctest.Test(t, func(t *testing.T) { broken = (&story{path: path}).play(steps) })
		if broken != nil {
			rt.Fatal(broken)
		}
	})
}

type story struct {
	path   string
	q      *workqueue.Queue
	tasks  []workqueue.Task            // all that were leased
	holder map[string]uint64           // the last token of a job
	until  map[string]time.Time        // its lease
	ended  map[string]workqueue.Status // by ID
	added  map[string]bool
	token  uint64
}

const leaseTime = 10 * sec

func (s *story) open() error {
	s.q = &workqueue.Queue{Path: s.path, LeaseTimeout: leaseTime, MaxAttempts: 4, Jitter: retry.NoJitter, Retention: 1000 * time.Hour}
	for id, until := range s.until {
		if time.Now().Before(until) { // one that has ended stays so: look has made the queue see it
			s.until[id] = time.Now().Add(leaseTime) // the others begin anew
		}
	}
	return s.q.Start()
}

func (s *story) play(steps []int) error {
	s.holder, s.until, s.ended, s.added = map[string]uint64{}, map[string]time.Time{}, map[string]workqueue.Status{}, map[string]bool{}
	if err := s.open(); err != nil {
		return err
	}
	defer func() { s.q.Close() }()
	for _, step := range steps {
		if err := s.step(step); err != nil {
			return err
		}
	}
	return s.runOut()
}

func (s *story) step(step int) error {
	ctx := context.Background()
	id := fmt.Sprintf("j%d", step%5)
	switch {
	case step < 20:
		if _, err := s.q.Add(ctx, workqueue.Job{ID: id, Payload: []byte(id)}); err != nil {
			return err
		}
		s.added[id] = true
	case step < 45:
		return s.lease()
	case step < 65 && len(s.tasks) > 0:
		task := s.tasks[step%len(s.tasks)]
		end := []workqueue.End{done("r"), again("no"), {State: workqueue.Pending}, {State: workqueue.Failed, Error: "never"}}[step%4]
		mine := s.mine(task)
		err := s.q.Finish(ctx, task.ID, task.Token, end)
		if mine && err != nil {
			return fmt.Errorf("finish of %s by its holder: %w", task.ID, err)
		}
		if mine {
			delete(s.until, task.ID)
		}
	case step < 80 && len(s.tasks) > 0:
		task := s.tasks[step%len(s.tasks)]
		mine := s.mine(task)
		err := s.q.Extend(ctx, task.ID, task.Token, [][]byte{nil, []byte("c")}[step%2])
		if mine != (err == nil) {
			return fmt.Errorf("extend of %s: mine %v, %v", task.ID, mine, err)
		}
		if mine {
			s.until[task.ID] = time.Now().Add(leaseTime)
		}
	case step < 90:
		time.Sleep(time.Duration(step-80+1) * sec)
	case step < 94:
		if err := s.q.Close(); err != nil {
			return err
		}
		if err := s.open(); err != nil {
			return err
		}
	case step < 97:
		s.q.Cancel(ctx, id)
		delete(s.until, id)
	default:
		s.q.Retry(ctx, id)
	}
	return s.look()
}

// mine reports whether a task's lease has not ended.
func (s *story) mine(task workqueue.Task) bool {
	until, running := s.until[task.ID]
	return running && s.holder[task.ID] == task.Token && time.Now().Before(until)
}

func (s *story) lease() error {
	ctx, cancel := context.WithTimeout(context.Background(), 1)
	defer cancel()
	task, err := s.q.Lease(ctx, "")
	if err != nil {
		return nil
	}
	if task.Token <= s.token {
		return fmt.Errorf("token %d after %d", task.Token, s.token)
	}
	s.token = task.Token
	if until, running := s.until[task.ID]; running && time.Now().Before(until) {
		return fmt.Errorf("%s was leased twice", task.ID)
	}
	s.tasks = append(s.tasks, task)
	s.holder[task.ID], s.until[task.ID] = task.Token, time.Now().Add(leaseTime)
	return s.look()
}

// look compares what has ended with how it ended.
func (s *story) look() error {
	for i := range 5 {
		id := fmt.Sprintf("j%d", i)
		now, err := s.q.Get(context.Background(), id)
		if err != nil {
			if s.added[id] {
				return fmt.Errorf("%s is lost: %w", id, err)
			}
			continue
		}
		was, ended := s.ended[id]
		if ended && was.Version != now.Version && was.State != workqueue.Dead {
			return fmt.Errorf("%s had ended: %+v became %+v", id, was, now)
		}
		delete(s.ended, id)
		if now.State.Ended() {
			s.ended[id] = now
		}
	}
	return nil
}

// runOut does all that is left.
func (s *story) runOut() error {
	for range 100 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		task, err := s.q.Lease(ctx, "")
		cancel()
		if err != nil {
			break
		}
		if err := s.q.Finish(context.Background(), task.ID, task.Token, done("at last")); err != nil {
			return err
		}
	}
	for id := range s.added {
		if got, err := s.q.Get(context.Background(), id); err != nil || !got.State.Ended() {
			return fmt.Errorf("%s has not ended: %+v, %v", id, got, err)
		}
	}
	return nil
}

// A queue whose file is another's, or of another version, says so.
func TestFilesOfOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue")
	require.NoError(t, os.WriteFile(path, []byte("no bbolt file, but long enough to look at"), 0o600))
	require.ErrorContains(t, (&workqueue.Queue{Path: path}).Start(), path)
	require.ErrorContains(t, (&workqueue.Queue{Path: filepath.Join(path, "below")}).Start(), path)
}
