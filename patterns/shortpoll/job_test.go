package shortpoll_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/patterns/shortpoll"
)

// SP-P1 and SP-P2: polls and detection of a job that takes 95 s. It is submitted at 0,
// begins at 25 ms and ends at 95.025 s; the client has its 202 at 50 ms, and its k-th poll
// is at the server at 75 ms and k intervals.
func TestPollsAndDetectionOfAJob(t *testing.T) {
	for _, c := range []struct {
		interval time.Duration
		polls    int
	}{{s, 95}, {5 * s, 19}, {30 * s, 4}} {
		t.Run(c.interval.String(), func(t *testing.T) {
			withJobs(t, &shortpoll.Jobs{Run: takes(95 * s)}, func(t *testing.T, w *wire, client *shortpoll.Client) {
				client.Interval = c.interval
				job, err := client.Wait(within(t, 5*time.Hour), submit(t, client, "a", "ab"))
				require.NoError(t, err)
				require.Equal(t, shortpoll.Done, job.State)
				require.Equal(t, "ba", string(job.Result))
				require.Len(t, w.arrivals(), 1+c.polls)
				noticed := time.Since(w.start)
				require.Equal(t, 100*ms+time.Duration(c.polls)*c.interval, noticed)
				require.LessOrEqual(t, noticed-95025*ms, c.interval+50*ms)
			})
		})
	}
}

// SP-P2: a growing interval makes a number of polls that is logarithmic in the time.
// Without jitter the delays double from 2 s; the first poll finds the job running, which
// is news, so that they begin anew. A job of an hour takes 12 polls, one of a thousandth
// of that two.
func TestPollsOfAGrowingInterval(t *testing.T) {
	for _, c := range []struct {
		takes, max time.Duration
		polls      int
	}{
		{3600 * ms, time.Hour, 2},
		{time.Minute, time.Hour, 6},    // 2 + 2+4+8+16+32 = 64
		{time.Hour, 2 * time.Hour, 12}, // 2 + 2^12-2 = 4096
		{time.Hour, time.Minute, 65},   // 2 + 2+4+8+16+32 = 64, and 59 minutes
	} {
		t.Run(fmt.Sprint(c.takes, c.max), func(t *testing.T) {
			withJobs(t, &shortpoll.Jobs{Run: takes(c.takes)}, func(t *testing.T, w *wire, client *shortpoll.Client) {
				client.MaxInterval = c.max
				_, err := client.Wait(within(t, 5*time.Hour), submit(t, client, "a", ""))
				require.NoError(t, err)
				require.Len(t, w.arrivals(), 1+c.polls)
			})
		})
	}
}

// A growing interval begins anew when the job moves on.
func TestAGrowingIntervalBeginsAnewWithNews(t *testing.T) {
	withJobs(t, &shortpoll.Jobs{Run: takes(20 * s), Workers: 1}, func(t *testing.T, w *wire, client *shortpoll.Client) {
		client.MaxInterval = time.Hour
		submit(t, client, "first", "")
		_, err := client.Wait(within(t, 5*time.Hour), submit(t, client, "second", ""))
		require.NoError(t, err)
		// Pending until 20 s: polls after 2, 6, 14 and 30 s; running is news, so 2, 6 and 14 s
		// after that.
		var gaps []time.Duration
		times := w.times()[1:]
		for i := range times[1:] {
			gaps = append(gaps, (times[i+1] - times[i]).Round(s))
		}
		require.Equal(t, seconds(2, 4, 8, 16, 2, 4, 8), gaps)
	})
}

// SP-P3: reading does not consume, whoever reads; until retention ends.
func TestAResultIsReadableUntilItExpires(t *testing.T) {
	withJobs(t, &shortpoll.Jobs{Run: takes(s), Retention: time.Hour, Remember: 24 * time.Hour}, func(t *testing.T, w *wire, client *shortpoll.Client) {
		submit(t, client, "a", "ab")
		time.Sleep(s + time.Hour - 60*ms)
		for range 3 {
			stranger := &shortpoll.Client{URL: where, HTTP: (&wire{handler: w.handler, start: time.Now()}).http()}
			job, err := stranger.Wait(within(t, 5*time.Hour), shortpoll.Job{ID: "a"})
			require.NoError(t, err)
			require.Equal(t, "ba", string(job.Result))
			require.Equal(t, w.start.Add(25*ms+s+time.Hour).UTC(), job.Expires)
		}
		time.Sleep(60 * ms)

		// SP-P6: it has been, and is no more. Nor can it be begun again.
		_, err := client.Wait(within(t, 5*time.Hour), shortpoll.Job{ID: "a"})
		require.ErrorIs(t, err, shortpoll.ErrExpired)
		_, err = client.Submit(within(t, 5*time.Hour), "a", []byte("ab"))
		require.ErrorIs(t, err, shortpoll.ErrExpired)

		time.Sleep(24 * time.Hour)
		client.Patience = -1
		_, err = client.Wait(within(t, 5*time.Hour), shortpoll.Job{ID: "a"})
		require.ErrorIs(t, err, shortpoll.ErrNotFound)
		submit(t, client, "a", "something else")
	})
}

// SP-P4: to submit again makes no second job, whatever was lost on the way.
func TestAJobIsBegunOnce(t *testing.T) {
	var runs atomic.Int64
	jobs := &shortpoll.Jobs{Run: func(context.Context, shortpoll.Task) ([]byte, error) { runs.Add(1); return nil, nil }}
	withJobs(t, jobs, func(t *testing.T, w *wire, client *shortpoll.Client) {
		w.fail = func(nth int, _ *http.Request) (bool, bool) { return nth == 1, nth < 5 }
		first := submit(t, client, "a", "x")
		require.Len(t, w.arrivals(), 5, "one request and three answers were lost")

		again := submit(t, client, "a", "x") // of a client that has forgotten
		require.Equal(t, first.ID, again.ID)
		done := make(chan error)
		for range 20 {
			go func() { _, err := client.Submit(within(t, 5*time.Hour), "b", []byte("x")); done <- err }()
		}
		for range 20 {
			require.NoError(t, <-done)
		}
		synctest.Wait()
		require.EqualValues(t, 2, runs.Load())

		_, err := client.Submit(within(t, 5*time.Hour), "a", []byte("y"))
		require.ErrorIs(t, err, shortpoll.ErrConflict)
	})
}

// A job that was accepted reaches an end, on a log that is kept: after a crash it is run
// again under its id, and the client notices nothing.
func TestJobsGoOnAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, err := eventlog.OpenDisk(filepath.Join(t.TempDir(), "jobs"), eventlog.Options{})
		require.NoError(t, err)
		defer log.Close()
		first := &shortpoll.Jobs{Log: log, Run: takes(10 * s), Workers: 1}
		w := newWire(25*ms, first.Handler())
		var states []shortpoll.State
		client := &shortpoll.Client{URL: where, HTTP: w.http(), Jitter: retry.NoJitter, OnState: func(j shortpoll.Job) { states = append(states, j.State) }}
		short := submit(t, client, "short", "ab")
		long := submit(t, client, "long", "cd") // waits for its worker
		time.Sleep(5 * s)
		require.NoError(t, first.Close())

		second := &shortpoll.Jobs{Log: log, Run: takes(s), Workers: 1}
		w.serve(second.Handler())
		defer second.Close()
		for _, job := range []shortpoll.Job{short, long} {
			states = nil
			done, err := client.Wait(within(t, 5*time.Hour), job)
			require.NoError(t, err)
			require.Equal(t, string(turned([]byte(map[string]string{"short": "ab", "long": "cd"}[job.ID]))), string(done.Result))
			require.Equal(t, shortpoll.Done, states[len(states)-1])
		}
	})
}

// SP-P6 and SP-P8: replicas read copies of the log. A client that has seen a state is not
// shown an earlier one.
func TestStatesNeverGoBackOverReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, copied := memory(), memory()
		leader := &shortpoll.Jobs{Log: log, Run: takes(5 * s)}
		defer leader.Close()
		replica := &shortpoll.Jobs{Log: copied}
		catchUp := func() {
			page, err := log.After(copied.Head(), eventlog.Query{})
			require.NoError(t, err)
			_, err = copied.Append(t.Context(), page.Entries...)
			require.NoError(t, err)
		}
		// Polls go to both in turn; submissions to the leader.
		turn := 0
		handlers := []http.Handler{leader.Handler(), replica.Handler()}
		w := newWire(25*ms, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut {
				handlers[0].ServeHTTP(rw, r)
				return
			}
			turn++
			handlers[turn%2].ServeHTTP(rw, r)
		}))
		var seen []shortpoll.State
		var failures []string
		client := &shortpoll.Client{
			URL: where, HTTP: w.http(), Jitter: retry.NoJitter,
			Backoff: retry.Backoff{Base: 100 * ms, Max: 100 * ms},
			OnState: func(j shortpoll.Job) { seen = append(seen, j.State) },
			OnRetry: func(err error, _ time.Duration) { failures = append(failures, err.Error()) },
		}
		submit(t, client, "a", "ab")

		// A client that knows only the id asks the replica first, which has not heard of it.
		go func() { time.Sleep(2500 * ms); catchUp() }()
		go func() { time.Sleep(7 * s); catchUp() }()
		job, err := client.Wait(within(t, 5*time.Hour), shortpoll.Job{ID: "a"})
		require.NoError(t, err)
		require.Equal(t, "ba", string(job.Result))
		require.Equal(t, []shortpoll.State{shortpoll.Running, shortpoll.Done}, seen)
		require.EqualValues(t, 1, client.Stats().Stale, "the 404 of the first poll")
		require.Contains(t, failures[0], "this replica is behind e9-2")
		require.NotZero(t, replica.Stats().Behind)

		// Where no replica ever hears of it, patience ends.
		w.serve(replica.Handler())
		_, err = client.Wait(within(t, 5*time.Hour), shortpoll.Job{ID: "b"})
		require.ErrorIs(t, err, shortpoll.ErrNotFound)
	})
}

// A server that knows nothing of versions is not believed.
func TestAnEarlierStateIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		states := []string{
			`{"id":"a","state":"running","version":"e9-2"}`,
			`{"id":"a","state":"pending","version":"e9-1"}`,
			`{"id":"a","state":"done","version":"e9-3","result":"YmE="}`,
		}
		turn := 0
		w := newWire(0, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Write([]byte(states[turn]))
			turn++
		}))
		var seen []shortpoll.State
		client := &shortpoll.Client{URL: where, HTTP: w.http(), OnState: func(j shortpoll.Job) { seen = append(seen, j.State) }}
		_, err := client.Wait(within(t, 5*time.Hour), shortpoll.Job{ID: "a"})
		require.NoError(t, err)
		require.Equal(t, []shortpoll.State{shortpoll.Running, shortpoll.Done}, seen)
		require.EqualValues(t, 1, client.Stats().Stale)
	})
}

// A job that is known to have ended is not asked for, but OnState hears of it as of any other.
func TestWaitForAJobThatHasEnded(t *testing.T) {
	for _, state := range []shortpoll.State{shortpoll.Done, shortpoll.Failed} {
		var seen []shortpoll.Job
		client := &shortpoll.Client{URL: where, OnState: func(j shortpoll.Job) { seen = append(seen, j) }}
		job := shortpoll.Job{ID: "a", State: state, Result: []byte("x")}
		got, err := client.Wait(t.Context(), job)
		require.NoError(t, err)
		require.Equal(t, job, got)
		require.Equal(t, []shortpoll.Job{job}, seen)
		require.Zero(t, client.Stats().Polls)
	}
}

// A server that has lost its memory is not waited for.
func TestANewLifeOfTheServerIsTold(t *testing.T) {
	withJobs(t, &shortpoll.Jobs{Run: takes(time.Hour)}, func(t *testing.T, w *wire, client *shortpoll.Client) {
		job := submit(t, client, "a", "")
		w.serve(answers(200, `{"id":"a","state":"pending","version":"ea-1"}`))
		_, err := client.Wait(within(t, 5*time.Hour), job)
		require.ErrorIs(t, err, shortpoll.ErrNotFound)
		require.ErrorContains(t, err, "a new incarnation after version e9-")
	})
}

// SP-P7: what ends polling, and when. The client has its 202 at 50 ms.
func TestPollingStops(t *testing.T) {
	long := func() *shortpoll.Jobs { return &shortpoll.Jobs{Run: takes(time.Hour)} }
	t.Run("when the job fails", func(t *testing.T) {
		withJobs(t, &shortpoll.Jobs{Run: func(context.Context, shortpoll.Task) ([]byte, error) {
			return nil, errors.New("no such file")
		}}, func(t *testing.T, w *wire, client *shortpoll.Client) {
			job, err := client.Wait(within(t, 5*time.Hour), submit(t, client, "a", ""))
			require.NoError(t, err, "that the job failed is its state")
			require.Equal(t, shortpoll.Failed, job.State)
			require.Equal(t, "no such file", job.Error)
			time.Sleep(time.Minute)
			require.Len(t, w.arrivals(), 2)
		})
	})
	t.Run("with the context", func(t *testing.T) {
		withJobs(t, long(), func(t *testing.T, w *wire, client *shortpoll.Client) {
			ctx, cancel := context.WithCancel(t.Context())
			job := submit(t, client, "a", "")
			time.AfterFunc(5*s, cancel)
			_, err := client.Wait(ctx, job)
			require.ErrorIs(t, err, context.Canceled)
			require.Equal(t, 50*ms+5*s, time.Since(w.start))
			time.Sleep(time.Minute)
			require.Len(t, w.arrivals(), 1+4)
		})
	})
	t.Run("with the last poll that fits before the deadline", func(t *testing.T) {
		withJobs(t, long(), func(t *testing.T, w *wire, client *shortpoll.Client) {
			job := submit(t, client, "a", "")
			ctx, cancel := context.WithTimeout(t.Context(), 14500*ms)
			defer cancel()
			client.Interval = 5 * s
			last, err := client.Wait(ctx, job)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, shortpoll.Running, last.State)
			// At the server 25 ms later; the third is moved to a second before 14.5 s.
			require.Equal(t, seconds(0.025, 5.075, 10.075, 13.575), w.times())
			require.Equal(t, 13600*ms, time.Since(w.start), "and there is no waiting after it")
		})
	})
	t.Run("at once if the deadline is near", func(t *testing.T) {
		withJobs(t, long(), func(t *testing.T, w *wire, client *shortpoll.Client) {
			job := submit(t, client, "a", "")
			ctx, cancel := context.WithTimeout(t.Context(), 500*ms)
			defer cancel()
			_, err := client.Wait(ctx, job)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, seconds(0.025, 0.075), w.times())
		})
	})
	for _, status := range []int{400, 401, 403, 405, 409} {
		t.Run(fmt.Sprintf("at status %d", status), func(t *testing.T) {
			withJobs(t, long(), func(t *testing.T, w *wire, client *shortpoll.Client) {
				job := submit(t, client, "a", "")
				w.serve(answers(status, "because"))
				_, err := client.Wait(within(t, time.Hour), job)
				var se *retry.StatusError
				require.ErrorAs(t, err, &se)
				require.Equal(t, retry.StatusError{Status: status, Text: "because"}, *se)
				require.Len(t, w.arrivals(), 2)
			})
		})
	}
}

// What a server refuses.
func TestSubmissionsThatAreRefused(t *testing.T) {
	jobs := &shortpoll.Jobs{Run: takes(time.Hour), MaxJobs: 2, MaxPayloadBytes: 10}
	withJobs(t, jobs, func(t *testing.T, w *wire, client *shortpoll.Client) {
		var se *retry.StatusError
		_, err := client.Submit(within(t, 5*time.Hour), "a", []byte("eleven byte"))
		require.ErrorAs(t, err, &se)
		require.Equal(t, http.StatusRequestEntityTooLarge, se.Status)

		_, err = client.Submit(within(t, 5*time.Hour), "a/b", nil)
		require.EqualError(t, err, `shortpoll: job id is "a/b": want 1 to 128 letters, digits and any of -._~`)

		submit(t, client, "a", "")
		submit(t, client, "b", "")
		ctx, cancel := context.WithTimeout(t.Context(), 3*s)
		defer cancel()
		_, err = client.Submit(ctx, "c", nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotZero(t, jobs.Stats().Refused)
		require.EqualValues(t, 2, jobs.Stats().Kept)
		submit(t, client, "b", "") // is known
	})
}

// The end of a job that does not fit into the log is a failure.
func TestAResultThatIsTooLarge(t *testing.T) {
	jobs := &shortpoll.Jobs{
		Log: eventlog.NewMemory(eventlog.Options{MaxBytes: 1000}),
		Run: func(context.Context, shortpoll.Task) ([]byte, error) { return []byte(strings.Repeat("x", 1000)), nil },
	}
	withJobs(t, jobs, func(t *testing.T, _ *wire, client *shortpoll.Client) {
		job, err := client.Wait(within(t, 5*time.Hour), submit(t, client, "a", ""))
		require.NoError(t, err)
		require.Equal(t, shortpoll.Failed, job.State)
		require.Contains(t, job.Error, "MaxBytes")
	})
	jobs = &shortpoll.Jobs{Log: eventlog.NewMemory(eventlog.Options{MaxBytes: 60}), Run: jobs.Run}
	withJobs(t, jobs, func(t *testing.T, _ *wire, client *shortpoll.Client) {
		job, err := client.Wait(within(t, 5*time.Hour), submit(t, client, "a", ""))
		require.NoError(t, err)
		require.Equal(t, shortpoll.Failed, job.State)
		require.Empty(t, job.Error, "nor is there room for the reason")
	})
}

// To accept is to have stored: not before the log has the job is it answered with 202,
// and what the log refuses is not accepted.
func TestAcceptedMeansStored(t *testing.T) {
	log := &slowLog{Log: memory(), pause: 5 * s}
	withJobs(t, &shortpoll.Jobs{Log: log, Run: takes(0)}, func(t *testing.T, w *wire, client *shortpoll.Client) {
		submit(t, client, "a", "")
		require.Equal(t, 5*s+50*ms, time.Since(w.start))
		require.Len(t, w.arrivals(), 1)

		log.broken.Store(true)
		_, err := client.Submit(within(t, 20*s), "b", nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		client.Patience = -1
		_, err = client.Wait(within(t, time.Minute), shortpoll.Job{ID: "b"})
		require.ErrorIs(t, err, shortpoll.ErrNotFound)
		log.broken.Store(false)
		submit(t, client, "b", "")
	})
}

// Accepted means that it comes to an end, whatever the log does in between: the job is in
// it, so a server that was begun anew would run it, and this one does as well.
func TestAcceptedMeansThatItEnds(t *testing.T) {
	for name, breaks := range map[string]func(l *slowLog, entry string) error{
		"the log cannot be read when the job is in it": func(l *slowLog, entry string) error {
			if strings.Contains(entry, "pending") {
				l.unreadable(200 * ms) // the answer is 500, and the next submission comes after a second
			}
			return nil
		},
		"that the job runs cannot be stored": func(l *slowLog, entry string) error {
			if strings.Contains(entry, "running") && time.Since(l.start) < 10*s {
				return errFull
			}
			return nil
		},
		"the end cannot be stored": func(l *slowLog, entry string) error {
			if strings.Contains(entry, "done") && time.Since(l.start) < 10*s {
				return errFull
			}
			return nil
		},
		"the log cannot be read when the end is in it": func(l *slowLog, entry string) error {
			if strings.Contains(entry, "done") {
				l.unreadable(5 * s)
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			var runs atomic.Int64
			jobs := &shortpoll.Jobs{Run: func(context.Context, shortpoll.Task) ([]byte, error) { runs.Add(1); return []byte("x"), nil }}
			log := &slowLog{Log: memory(), breaks: breaks}
			jobs.Log = log
			withJobs(t, jobs, func(t *testing.T, w *wire, client *shortpoll.Client) {
				log.start = time.Now()
				job, err := client.Wait(within(t, time.Minute), submit(t, client, "a", ""))
				require.NoError(t, err)
				require.Equal(t, "x", string(job.Result))
				require.EqualValues(t, 1, runs.Load())
				page, err := log.Log.After(at(0), eventlog.Query{})
				require.NoError(t, err)
				require.Len(t, page.Entries, 3, "pending, running, done: each once")
			})
		})
	}
}

// Jobs that are closed while their log fails go no further: neither does a job run of which the log does not
// know that it runs, nor has one ended whose end is not in the log.
func TestClosedWhileTheLogFails(t *testing.T) {
	for state, runs := range map[string]int64{"running": 0, "done": 1} {
		t.Run(state, func(t *testing.T) {
			var ran atomic.Int64
			jobs := &shortpoll.Jobs{Run: func(context.Context, shortpoll.Task) ([]byte, error) { ran.Add(1); return nil, nil }}
			log := &slowLog{Log: memory(), breaks: func(l *slowLog, entry string) error {
				if strings.Contains(entry, state) {
					return errFull
				}
				return nil
			}}
			jobs.Log = log
			withJobs(t, jobs, func(t *testing.T, w *wire, client *shortpoll.Client) {
				submit(t, client, "a", "")
				time.Sleep(time.Minute)
				require.NoError(t, jobs.Close())
				synctest.Wait()
				require.Equal(t, runs, ran.Load())
				page, err := log.Log.After(at(0), eventlog.Query{})
				require.NoError(t, err)
				require.Len(t, page.Entries, 1+int(runs), "pending, and running if it did")
			})
		})
	}
}

// A Run that panics, or ends its goroutine, has failed, and the server goes on.
func TestARunThatDoesNotReturn(t *testing.T) {
	for want, run := range map[string]func(){
		"Run panicked: no such thing": func() { panic("no such thing") },
		"Run ended its goroutine":     runtime.Goexit,
	} {
		jobs := &shortpoll.Jobs{Workers: 1, Run: func(context.Context, shortpoll.Task) ([]byte, error) { run(); return nil, nil }}
		withJobs(t, jobs, func(t *testing.T, w *wire, client *shortpoll.Client) {
			for _, id := range []string{"a", "b"} {
				job, err := client.Wait(within(t, time.Minute), submit(t, client, id, ""))
				require.NoError(t, err)
				require.Equal(t, shortpoll.Failed, job.State)
				require.Equal(t, want, job.Error)
			}
		})
	}
}

// A server that cannot read its log says so, and may be started again.
func TestStartAfterAnErrorOfTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &slowLog{Log: memory()}
		first := &shortpoll.Jobs{Log: log, Run: takes(time.Hour)}
		w := newWire(0, first.Handler())
		client := &shortpoll.Client{URL: where, HTTP: w.http(), Jitter: retry.NoJitter}
		job := submit(t, client, "a", "ab")
		require.NoError(t, first.Close())

		log.unreadable(time.Hour)
		second := &shortpoll.Jobs{Log: log, Run: takes(s)}
		defer second.Close()
		require.EqualError(t, second.Start(), "shortpoll: Jobs.Log: cannot be read")
		require.PanicsWithValue(t, "shortpoll: Jobs.Log: cannot be read", func() { second.Handler() })
		require.Zero(t, second.Stats())
		time.Sleep(time.Hour)
		require.NoError(t, second.Start())
		w.serve(second.Handler())
		done, err := client.Wait(within(t, time.Minute), job)
		require.NoError(t, err)
		require.Equal(t, "ba", string(done.Result))
	})
}

// The last element of the path is the job, as it was written.
func TestTheJobOfAPath(t *testing.T) {
	withJobs(t, &shortpoll.Jobs{Run: takes(time.Hour)}, func(t *testing.T, w *wire, client *shortpoll.Client) {
		for path, want := range map[string]int{
			"/jobs/b": 202, "/jobs/%62": 202, "/b.-_~": 202,
			"/jobs/a%2Fb": 400, "/jobs/a%2fb": 400, "/jobs/b/": 400, "/jobs/": 400, "/": 400, "/jobs/a%20b": 400, "/jobs/%2E%2E": 400,
		} {
			rec := httptest.NewRecorder()
			w.handler.ServeHTTP(rec, httptest.NewRequest(http.MethodPut, "http://server"+path, nil))
			require.Equal(t, want, rec.Code, "%s: %s", path, rec.Body)
		}
	})
}

var errFull = errors.New("disk is full")

// slowLog takes a while to store, or fails to, or cannot be read for a while.
type slowLog struct {
	eventlog.Log
	pause  time.Duration // before an entry is stored
	slow   time.Duration // before a page is read
	broken atomic.Bool
	start  time.Time
	breaks func(l *slowLog, entry string) error // nil: nothing

	mu   sync.Mutex
	dark time.Time // it cannot be read until then
}

func (l *slowLog) unreadable(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dark = time.Now().Add(d)
}

func (l *slowLog) Append(ctx context.Context, entries ...eventlog.Entry) (eventlog.Cursor, error) {
	time.Sleep(l.pause)
	if l.broken.Load() {
		return eventlog.Cursor{}, errFull
	}
	if l.breaks != nil {
		if err := l.breaks(l, string(entries[0].Data)); err != nil {
			return eventlog.Cursor{}, err
		}
	}
	return l.Log.Append(ctx, entries...)
}

func (l *slowLog) After(c eventlog.Cursor, q eventlog.Query) (eventlog.Page, error) {
	l.mu.Lock()
	dark := time.Now().Before(l.dark)
	l.mu.Unlock()
	time.Sleep(l.slow)
	if dark {
		return eventlog.Page{}, errors.New("cannot be read")
	}
	return l.Log.After(c, q)
}
