package systems

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/squall-sim/squall/patterns/patterntest"
	"github.com/squall-sim/squall/patterns/reqresp"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/sim"
)

// A ReqRespKind says how calls of package reqresp are made.
type ReqRespKind struct {
	Line   bool          // over one connection, instead of over HTTP
	Keyed  bool          // calls have keys
	OnDisk bool          // the server keeps keys on disk
	Hedge  time.Duration // delay after which another attempt is made in parallel; 0: never

	NoBudget bool // the three attempts of a call are the only limit on what a client repeats
}

// silence is the time without data after which a client gives up the connection that all its calls share.
const silence = 4 * time.Second

// ReqResp is a server that executes calls, and its clients.
func ReqResp(n *sim.Network, kind ReqRespKind) patterntest.Service {
	s := patterntest.Service{
		Serve: kind.serve,
		Client: func(ctx context.Context, h *sim.Host, servers ...string) patterntest.Ask {
			return kind.client(ctx, n, h, servers[0])
		},
		MaxBytes:  1 << 20,
		Cancels:   true,
		Deadlines: true,
		Drains:    true,
		Retries:   &patterntest.Retries{Percent: 10, Burst: 3, After: true},
	}
	if kind.NoBudget {
		s.Retries = nil
	}
	if kind.Keyed {
		s.Keys = &patterntest.Keys{Window: 24 * time.Hour, Durable: kind.OnDisk}
	}
	if kind.OnDisk {
		s.State = &patterntest.State{}
	}
	if kind.Line {
		s.Detects = silence
	}
	return s
}

func (kind ReqRespKind) serve(ctx context.Context, h *sim.Host, app *patterntest.App) error {
	s := &reqresp.Server{Handle: execute(app), Store: reqresp.NewMemory(reqresp.StoreOptions{}), Jitter: retry.NoJitter}
	if kind.OnDisk {
		store, err := reqresp.OpenDisk(filepath.Join(app.Folder, "answers"), reqresp.StoreOptions{})
		if err != nil {
			return err
		}
		defer store.Close()
		s.Store = store
	}
	s.Store = anyway{s.Store}
	l, end, err := listen(ctx, h)
	if err != nil {
		return err
	}
	defer end()
	web := &http.Server{Handler: tapHandler(ctx, h, s.Handler())}
	served := make(chan struct{})
	go func() {
		defer close(served)
		if kind.Line {
			s.Serve(l)
		} else {
			web.Serve(l)
		}
	}()
	<-ctx.Done()
	soon, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s.Drain(soon)
	// The last answers are being written at this moment. If Shutdown found one being written, it would look again after a random time.
	retry.Sleep(soon, time.Microsecond)
	web.Shutdown(soon)
	web.Close()
	l.Close()
	<-served
	return s.Close()
}

// anyway is a store that commits even if the caller has gone in the meantime: the application's effect is not in the transaction and has
// already happened.
type anyway struct{ reqresp.Store }

func (a anyway) Commit(ctx context.Context, key string, r reqresp.Record, now time.Time, effect reqresp.Effect) (*reqresp.Record, error) {
	return a.Store.Commit(context.WithoutCancel(ctx), key, r, now, effect)
}

// execute makes the application do the work of a request. The effect happens when the application returns, and the answer is committed at
// that instant. The fate of an object, which the path names, is decided in the transaction.
func execute(app *patterntest.App) func(context.Context, *reqresp.Request) (reqresp.Effect, error) {
	return func(ctx context.Context, r *reqresp.Request) (reqresp.Effect, error) {
		if object := strings.TrimPrefix(r.Path, "/"); object != "" {
			change, err := app.Change(ctx, string(r.Body))
			return func(tx reqresp.Tx) (*reqresp.Response, error) {
				next, answer := change(string(tx.Get(object)))
				tx.Put(object, []byte(next))
				return &reqresp.Response{Body: []byte(answer)}, nil
			}, err
		}
		text, err := app.Do(ctx, string(r.Body))
		answer := &reqresp.Response{Body: []byte(text)}
		var refusal *patterntest.Refusal
		if errors.As(err, &refusal) {
			answer.Status, err = http.StatusServiceUnavailable, nil
			if refusal.RetryAfter > 0 {
				answer.Header = http.Header{"Retry-After": {strconv.Itoa(int(refusal.RetryAfter / time.Second))}}
			}
		}
		return func(reqresp.Tx) (*reqresp.Response, error) { return answer, nil }, err
	}
}

func (kind ReqRespKind) client(ctx context.Context, n *sim.Network, h *sim.Host, server string) patterntest.Ask {
	budget := &retry.Budget{Every: 24 * time.Hour}
	if kind.NoBudget {
		budget = &retry.Budget{Percent: 100, Burst: 10_000, Every: time.Millisecond}
	}
	c := &reqresp.Client{
		URL: "http://" + server, HTTP: httpClient(ctx, h), HedgeDelay: kind.Hedge, Timeout: time.Hour, AttemptTimeout: time.Minute,
		MaxRequestBytes: 2 << 20, MaxAnswerBytes: 2 << 20,
		Silence: silence, Budget: budget, Jitter: retry.Seeded(n.Rand(h.Name()).Uint64()),
	}
	if kind.Line {
		c.Dial = func(ctx context.Context) (net.Conn, error) { return h.DialContext(ctx, "tcp", server+":80") }
	}
	context.AfterFunc(ctx, func() {
		c.Close()
		c.HTTP.CloseIdleConnections()
	})
	return func(ctx context.Context, r patterntest.Request) (string, error) {
		answer, err := c.Call(ctx, reqresp.Request{Method: http.MethodPost, Path: "/" + r.Object, Body: []byte(r.Data), Key: r.Key})
		switch {
		case reqresp.OutcomeOf(err) == reqresp.NotExecuted:
			return "", fmt.Errorf("%w: %w", patterntest.ErrNotExecuted, err)
		case err != nil:
			return "", err
		case answer.Status != http.StatusOK:
			return "", fmt.Errorf("status %d: %s", answer.Status, answer.Body)
		}
		return string(answer.Body), nil
	}
}
