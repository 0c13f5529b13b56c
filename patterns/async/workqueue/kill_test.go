package workqueue_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/async/workqueue"
	"github.com/squall-sim/squall/patterns/internal/killtest"
)

const victim = "SQUALL_WORKQUEUE_VICTIM"

// A process with many submitters and workers is killed at work. What Add acknowledged is there, what Finish acknowledged is done,
// with its result, and is not leased again; and no token is given out twice, so that a worker of before cannot be taken for one of after.
func TestAcknowledgedJobsSurviveTheirProcess(t *testing.T) {
	if path := os.Getenv(victim); path != "" {
		workUntilKilled(t, path)
		return
	}
	for round := range 3 {
		path := filepath.Join(t.TempDir(), "queue")
		written := killtest.After(t, 300+70*round, victim, path)
		// The leases of those that ran begin anew with this one, and end at once.
		q := &workqueue.Queue{Path: path, LeaseTimeout: 1, MaxJobs: 1 << 20}
		var highest uint64
		ran, done := map[string]bool{}, map[string]bool{}
		for _, line := range written {
			what, rest, _ := strings.Cut(line, " ")
			id, number, _ := strings.Cut(rest, " ")
			s, err := q.Get(t.Context(), id)
			require.NoError(t, err, "%s: acknowledged and lost", line)
			switch what {
			case "leased":
				var token uint64
				fmt.Sscan(number, &token)
				highest = max(highest, token)
				require.Positive(t, s.Attempts, "%s: the attempt is forgotten", line)
				ran[id] = true
			case "finished":
				require.Equal(t, workqueue.Done, s.State, line)
				require.Equal(t, "done "+id, string(s.Result))
				done[id] = true
			}
		}
		require.NotEmpty(t, ran)
		require.NotEmpty(t, done)
		time.Sleep(2) // until the leases of before have ended
		again := map[string]bool{}
		for {
			ctx, cancel := context.WithTimeout(t.Context(), 20*ms)
			task, err := q.Lease(ctx, "")
			cancel()
			if err != nil {
				require.ErrorIs(t, err, context.DeadlineExceeded)
				break
			}
			require.Greater(t, task.Token, highest, "%s was leased with this token before", task.ID)
			require.False(t, done[task.ID], "%s was finished", task.ID)
			again[task.ID] = true
			if len(again) == 50 {
				break // the others are as they
			}
		}
		require.NotEmpty(t, again)
		require.NoError(t, q.Close())
	}
}

func workUntilKilled(t *testing.T, path string) {
	q := &workqueue.Queue{Path: path, MaxJobs: 1 << 20}
	say := func(text string, err error) {
		if err != nil {
			panic(err)
		}
		os.Stdout.WriteString(text + "\n")
	}
	for p := range 8 {
		go func() {
			for i := 0; ; i++ {
				id := fmt.Sprintf("%d-%d", p, i)
				_, err := q.Add(t.Context(), workqueue.Job{ID: id, Payload: []byte(id)})
				say("added "+id, err)
			}
		}()
		go func() {
			for {
				task, err := q.Lease(t.Context(), "")
				say(fmt.Sprintf("leased %s %d", task.ID, task.Token), err)
				err = q.Finish(t.Context(), task.ID, task.Token, workqueue.End{State: workqueue.Done, Result: []byte("done " + task.ID)})
				say("finished "+task.ID, err)
			}
		}()
	}
	select {}
}
