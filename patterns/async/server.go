package async

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/async/workqueue"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/fields"
	"github.com/squall-sim/squall/patterns/internal/guard"
	"github.com/squall-sim/squall/patterns/internal/polling"
	"github.com/squall-sim/squall/patterns/retry"
)

// Server serves operations: the jobs of a queue, each as a resource that can be started, polled and
// cancelled. The zero value has a queue in memory and no workers. Do not change or copy it after
// first use.
type Server struct {
	// Queue holds the operations. Nil: one in memory, which is closed with the server. Otherwise
	// its owner closes it, after the server.
	Queue *workqueue.Queue
	// Run does the operations in this process, as a workqueue.Worker does. Nil: workers get them
	// from Queue.
	Run func(ctx context.Context, t workqueue.Task) ([]byte, error)
	// Workers is how many operations Run does at once. Zero: 16.
	Workers int

	// Validate returns an error if an operation must not start. A *retry.StatusError is answered
	// with its status, any other error with 400. Nil: every operation may start.
	Validate func(ctx context.Context, r Request) error
	// Key names what an operation needs exclusively. If two operations have the same key, the
	// second is answered with 409 until the first has ended. Nil or "": nothing.
	Key func(r Request) string

	// Wait is the longest time that a request waits for the end of an operation before it is
	// answered. Zero: 20 s. It must be less than the timeout of every proxy on the path.
	Wait time.Duration
	// RetryAfter is how long clients are asked to wait before they poll, in whole seconds, rounded
	// up. Zero: 1 s. At most 24.8 days.
	RetryAfter time.Duration
	// MaxPayloadBytes bounds the payload that starts an operation. Zero: 1 MiB. Queue's own
	// limit applies too.
	MaxPayloadBytes int

	// Authenticate returns who sends a request. To start or cancel an operation, the identity must
	// be allowed to publish under its id; to poll it, to see it. Nil: everyone may do everything.
	Authenticate func(*http.Request) (access.Identity, error)
	// Logger gets refused requests and failed attempts as warnings, panics as errors. Nil: nothing is logged.
	Logger *slog.Logger

	once    sync.Once
	own     bool // Queue is
	log     *slog.Logger
	epoch   uint64
	life    polling.Lifecycle
	stop    context.CancelFunc
	working sync.WaitGroup

	started, direct, accepted, polls, refused atomic.Int64
}

// Request is what starts an operation.
type Request struct {
	// Client is the client that sends it: Identity.Client, empty without
	// [Server].Authenticate.
	Client string
	// ID is the operation's id.
	ID string
	// Payload is the body that was sent.
	Payload []byte
}

// ServerStats are the counters of a Server.
type ServerStats struct {
	// Started counts requests that start an operation, including repetitions. Direct counts those
	// of them answered with the operation's end, Accepted those answered with 202. Polls counts
	// requests for a state, and Refused those answered with 409 or 503.
	Started, Direct, Accepted, Polls, Refused int64
}

var (
	// ErrDraining: the server starts no operations.
	ErrDraining = errors.New("async: server is draining")
	// ErrClosed: the server was closed.
	ErrClosed = errors.New("async: server is closed")
)

// Check returns an error that names each invalid setting and its value, or nil.
func (s *Server) Check() error {
	check := fields.Of("async: Server")
	check.Int("Workers", s.Workers)
	check.Duration("Wait", s.Wait)
	check.Wait("RetryAfter", s.RetryAfter, 1)
	check.Int("MaxPayloadBytes", s.MaxPayloadBytes)
	err := check.Err()
	if s.Queue != nil {
		err = errors.Join(err, s.Queue.Check())
	}
	return err
}

// Start opens the queue and, if Run is set, begins to work on its jobs. Handler calls it.
func (s *Server) Start() error {
	if err := s.Check(); err != nil {
		return err
	}
	if s.Queue != nil {
		if err := s.Queue.Start(); err != nil {
			return err
		}
	}
	s.once.Do(s.begin)
	return s.life.Err()
}

func (s *Server) begin() {
	s.life.Errors(ErrDraining, ErrClosed)
	s.log = polling.Logger(s.Logger)
	s.own = s.Queue == nil
	if s.own {
		s.Queue = &workqueue.Queue{Logger: s.Logger}
	}
	// A version is that of the queue's file, over all incarnations, or of this one's memory.
	if s.epoch = 1; s.Queue.Path == "" {
		s.epoch = eventlog.NewMemory(eventlog.Options{}).Head().Epoch
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	if s.Run != nil {
		w := &workqueue.Worker{Source: s.Queue, Jobs: cmp.Or(s.Workers, 16), Logger: s.Logger}
		s.working.Go(func() { _ = w.Run(ctx, s.Run) })
	}
}

// Handler returns the handler for operations. Mount it so that the last element of the path is an
// operation's id. It panics if Start fails.
func (s *Server) Handler() http.Handler {
	if err := s.Start(); err != nil {
		panic(err.Error())
	}
	return http.HandlerFunc(s.serve)
}

// Drain starts no more operations and drains the queue. It returns when the operations that workers
// have are finished, or with ctx's error when ctx ends first. Polls are answered until Close.
func (s *Server) Drain(ctx context.Context) error {
	if err := s.Start(); err != nil {
		return err
	}
	if err := s.life.Drain(ctx); err != nil {
		return err
	}
	return s.Queue.Drain(ctx)
}

// Close refuses all requests and ends the contexts of Run. It returns when Run has returned; its
// operations go back to the queue.
func (s *Server) Close() error {
	s.once.Do(s.begin)
	_ = s.life.Close()
	s.stop()
	s.working.Wait()
	if s.own {
		return s.Queue.Close()
	}
	return nil
}

// Stats returns the counters.
func (s *Server) Stats() ServerStats {
	return ServerStats{Started: s.started.Load(), Direct: s.direct.Load(), Accepted: s.accepted.Load(), Polls: s.polls.Load(), Refused: s.refused.Load()}
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Vary", "Prefer")
	received := time.Now()
	if r.Method != http.MethodPut && r.Method != http.MethodGet && r.Method != http.MethodDelete {
		w.Header().Set("Allow", "GET, PUT, DELETE")
		http.Error(w, fmt.Sprintf("method is %s: want GET, PUT or DELETE", r.Method), http.StatusMethodNotAllowed)
		return
	}
	if s.life.Err() == ErrClosed {
		s.unavailable(w, r, ErrClosed)
		return
	}
	path := r.URL.EscapedPath() // in which a slash of the id is %2F
	id, err := url.PathUnescape(path[strings.LastIndexByte(path, '/')+1:])
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	who, ok := polling.Identify(w, r, "async: Server", s.Authenticate, s.log)
	if !ok {
		return
	}
	if r.Method == http.MethodGet && !who.MaySee(id) || r.Method != http.MethodGet && !who.MayPublish(id) {
		polling.Reject(w, polling.Name(who, r), s.log, fmt.Errorf("%w: operation %q", access.ErrForbidden, id))
		return
	}
	payload, ok := polling.Body(w, r, int64(cmp.Or(s.MaxPayloadBytes, 1<<20)))
	if !ok {
		return
	}
	switch r.Method {
	case http.MethodPut:
		s.put(w, r, Request{Client: who.Client, ID: id, Payload: payload}, received)
	case http.MethodGet:
		s.get(w, r, id, received)
	default:
		status, err := s.Queue.Cancel(r.Context(), id)
		s.answer(w, r, http.StatusOK, status, err)
	}
}

// put starts an operation and waits for its end as long as the client wants to.
func (s *Server) put(w http.ResponseWriter, r *http.Request, req Request, received time.Time) {
	if !s.life.Enter() {
		s.unavailable(w, r, s.life.Err())
		return
	}
	defer s.life.Leave()
	job := workqueue.Job{ID: req.ID, Payload: req.Payload}
	err := guard.Call(s.log, "async: Server.Validate or Key", func() error {
		if s.Key != nil {
			job.Key = s.Key(req)
		}
		if s.Validate == nil {
			return nil
		}
		return s.Validate(r.Context(), req)
	}, "operation", req.ID)
	if err != nil {
		var said *retry.StatusError
		if errors.As(err, &said) && said.Status >= 400 && said.Status <= 599 {
			http.Error(w, cmp.Or(said.Text, http.StatusText(said.Status)), said.Status)
			return
		}
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.started.Add(1)
	status, err := s.Queue.Add(r.Context(), job)
	if err != nil {
		s.answer(w, r, 0, status, err)
		return
	}
	prefer := parsePrefer(r.Header)
	wait := cmp.Or(s.Wait, 20*time.Second)
	if prefer.waits || prefer.async {
		wait = min(wait, prefer.wait)
	}
	status, err = s.await(r.Context(), status, received.Add(wait))
	code := http.StatusOK
	if err == nil && !ended(status) {
		code = http.StatusAccepted
		s.accepted.Add(1)
		w.Header().Set("Location", status.ID) // relative to the request's, wherever that is mounted
		polling.SetRetryAfter(w.Header(), cmp.Or(s.RetryAfter, time.Second))
		if prefer.async {
			w.Header().Set("Preference-Applied", "respond-async")
		}
	} else {
		s.direct.Add(1)
	}
	s.answer(w, r, code, status, err)
}

// get answers a poll, at once unless the client wants to wait.
func (s *Server) get(w http.ResponseWriter, r *http.Request, id string, received time.Time) {
	s.polls.Add(1)
	status, err := s.Queue.Get(r.Context(), id)
	if prefer := parsePrefer(r.Header); err == nil && prefer.waits {
		status, err = s.await(r.Context(), status, received.Add(min(prefer.wait, cmp.Or(s.Wait, 20*time.Second))))
	}
	s.answer(w, r, http.StatusOK, status, err)
}

// await returns the status of an operation when it has ended, or as it is at that time.
func (s *Server) await(ctx context.Context, status workqueue.Status, until time.Time) (workqueue.Status, error) {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	for !ended(status) {
		next, err := s.Queue.Wait(ctx, status.ID, status.Version)
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return next, nil
		}
		if err != nil {
			return status, err
		}
		status = next
	}
	return status, nil
}

func ended(s workqueue.Status) bool { return s.State.Ended() }

// operation is a job as it travels: that of package shortpoll, whose client reads it.
type operation struct {
	ID      string          `json:"id"`
	State   workqueue.State `json:"state"`
	Version eventlog.Cursor `json:"version"`
	Result  []byte          `json:"result,omitempty"`
	Error   string          `json:"error,omitempty"`
	Expires time.Time       `json:"expires,omitzero"`
}

// answer answers with an operation, or the queue's error.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, code int, status workqueue.Status, err error) {
	switch {
	case err == nil:
	case errors.Is(err, workqueue.ErrNotFound):
		http.Error(w, "no such operation", http.StatusNotFound)
		return
	case errors.Is(err, workqueue.ErrConflict):
		http.Error(w, "an operation of this id differs", http.StatusUnprocessableEntity)
		return
	case errors.Is(err, workqueue.ErrBusy): // AIP-151: ABORTED
		s.refused.Add(1)
		http.Error(w, "aborted: another operation is at work on this", http.StatusConflict)
		return
	case errors.Is(err, workqueue.ErrFull), errors.Is(err, workqueue.ErrDraining), errors.Is(err, workqueue.ErrClosed):
		s.unavailable(w, r, err)
		return
	case workqueue.IsBadRequest(err):
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	default:
		s.log.Error("request failed", "client", r.RemoteAddr, "error", err)
		polling.Fail(w)
		return
	}
	version := eventlog.Cursor{Epoch: s.epoch, Offset: status.Version}
	w.Header().Set("ETag", polling.Tag(version))
	if code == http.StatusOK && r.Method == http.MethodGet && polling.Matches(r, version) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	op := operation{ID: status.ID, State: status.State, Version: version, Result: status.Result, Error: status.Error, Expires: status.Expires}
	switch op.State {
	case workqueue.Dead: // nobody could say how it ends: for the client it has failed
		op.State = workqueue.Failed
	case workqueue.Pending, workqueue.Running:
		op.Error = "" // of an attempt
	}
	var body bytes.Buffer
	if err := json.NewEncoder(&body).Encode(op); err != nil {
		polling.Fail(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	w.Write(body.Bytes())
}

func (s *Server) unavailable(w http.ResponseWriter, r *http.Request, why error) {
	s.refused.Add(1)
	s.log.Warn("request refused", "client", r.RemoteAddr, "error", why)
	polling.SetRetryAfter(w.Header(), cmp.Or(s.RetryAfter, time.Second))
	http.Error(w, why.Error(), http.StatusServiceUnavailable)
}
