package systems

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/squall-sim/squall/patterns/async"
	"github.com/squall-sim/squall/patterns/async/workqueue"
	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/patterns/shortpoll"
	"github.com/squall-sim/squall/sim"
)

// Operations is a service whose server keeps its queue of operations on its disk. Clients start an operation for each call and wait for its
// result. A key is an operation's id.
func Operations(n *sim.Network) patterntest.Service {
	return patterntest.Service{
		Serve: func(ctx context.Context, h *sim.Host, app *patterntest.App) error {
			q := &workqueue.Queue{Path: filepath.Join(app.Folder, "queue"), LeaseTimeout: 5 * time.Second, MaxAttempts: 1000, Jitter: retry.NoJitter}
			if err := q.Start(); err != nil {
				return err
			}
			defer q.Close()
			s := &async.Server{Queue: q, Workers: 1000, Run: func(ctx context.Context, t workqueue.Task) ([]byte, error) {
				answer, err := app.Do(ctx, string(t.Payload))
				var refusal *patterntest.Refusal
				if errors.As(err, &refusal) {
					err = workqueue.Later{Err: err, After: max(refusal.RetryAfter, time.Second)}
				}
				return []byte(answer), err
			}}
			defer s.Close()
			return serveHTTP(ctx, h, s.Handler())
		},
		Client: func(ctx context.Context, h *sim.Host, servers ...string) patterntest.Ask {
			c := &async.Client{Polls: &shortpoll.Client{
				URL: "http://" + servers[0] + "/", HTTP: httpClient(ctx, h), Header: async.Prefer(5 * time.Second),
				Interval: 100 * time.Millisecond, Margin: time.Millisecond, Jitter: retry.Seeded(n.Rand(h.Name()).Uint64()),
			}}
			return func(ctx context.Context, r patterntest.Request) (string, error) {
				id := hex.EncodeToString([]byte(r.Key))
				if id == "" {
					// The id is not drawn at random: the network would show which of several calls of one instant drew first.
					id = fmt.Sprintf("%x-%d", sha256.Sum256([]byte(r.Data)), time.Now().UnixNano())
				}
				answer, err := c.Start(ctx, id, []byte(r.Data)).Wait(ctx)
				var status *retry.StatusError
				if errors.Is(err, shortpoll.ErrConflict) || errors.As(err, &status) && status.Status == http.StatusBadRequest {
					err = errors.Join(err, patterntest.ErrNotExecuted)
				}
				return string(answer), err
			}
		},
		Bound:    time.Second,
		Detects:  15 * time.Second,
		Keys:     &patterntest.Keys{Window: 24 * time.Hour, Durable: true},
		Durable:  true,
		Recovery: 3 * time.Minute,
	}
}
