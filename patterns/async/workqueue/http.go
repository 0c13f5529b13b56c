package workqueue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/internal/polling"
)

// message is the body of a request to a queue; each method uses some of its fields. Fields may be
// added, and none change their names or meanings.
type message struct {
	Job        *Job   `json:"job,omitempty"`
	ID         string `json:"id,omitempty"`
	State      State  `json:"state,omitempty"`
	Request    string `json:"request,omitempty"`
	WaitMillis int64  `json:"wait,omitempty"`
	Token      uint64 `json:"token,omitempty"`
	Checkpoint []byte `json:"checkpoint,omitempty"`
	End        *End   `json:"end,omitempty"`
}

// maxWait is the longest that a request for a job is kept waiting. It is less than the 60 s after
// which common proxies give up.
const maxWait = 30 * time.Second

// The errors that a Client gets as they are, and their statuses.
var errorStatus = []struct {
	err    error
	status int
}{
	{ErrNotFound, http.StatusNotFound},
	{ErrConflict, http.StatusUnprocessableEntity},
	{ErrBusy, http.StatusConflict},
	{ErrLeaseLost, http.StatusPreconditionFailed},
	{ErrState, http.StatusBadRequest},
	{ErrFull, http.StatusServiceUnavailable},
	{ErrDraining, http.StatusServiceUnavailable},
	{ErrClosed, http.StatusServiceUnavailable},
}

// Handler returns the handler by which a [Client] reaches the queue. Each call is a POST to the
// name of its method, below the path where the handler is mounted. It panics if Start fails.
func (q *Queue) Handler() http.Handler {
	if err := q.Start(); err != nil {
		panic(err.Error())
	}
	return http.HandlerFunc(q.serve)
}

func (q *Queue) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, fmt.Sprintf("method is %s: want POST", r.Method), http.StatusMethodNotAllowed)
		return
	}
	who, ok := polling.Identify(w, r, "workqueue: Queue", q.Authenticate, q.log)
	if !ok {
		return
	}
	// Base64 makes four bytes of three, and the longest of a message's payloads is one.
	body, ok := polling.Body(w, r, int64(q.maxPayload())/3*4+16<<10)
	if !ok {
		return
	}
	var m message
	if err := json.Unmarshal(body, &m); err != nil {
		http.Error(w, fmt.Sprintf("workqueue: request of %d bytes: %v", len(body), err), http.StatusBadRequest)
		return
	}
	method := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	if !allowed(who, method, m) {
		polling.Reject(w, polling.Name(who, r), q.log, fmt.Errorf("%w: %s", access.ErrForbidden, method))
		return
	}
	answer, err := q.answer(r.Context(), method, m)
	if err != nil {
		q.refuse(w, polling.Name(who, r), err)
		return
	}
	body, err = json.Marshal(answer)
	if err != nil {
		polling.Fail(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(body)
}

// allowed reports whether the identity may call a method.
func allowed(who access.Identity, method string, m message) bool {
	switch method {
	case "add":
		return m.Job == nil || who.MayPublish(m.Job.ID)
	case "cancel":
		return who.MayPublish(m.ID)
	case "get":
		return who.MaySee(m.ID)
	}
	return who.MaySee(">")
}

func (q *Queue) answer(ctx context.Context, method string, m message) (any, error) {
	switch method {
	case "add":
		if m.Job == nil {
			return nil, badRequest("add: the request has no job")
		}
		return q.Add(ctx, *m.Job)
	case "get":
		return q.Get(ctx, m.ID)
	case "list":
		return q.List(ctx, m.State)
	case "cancel":
		return q.Cancel(ctx, m.ID)
	case "retry":
		return q.Retry(ctx, m.ID)
	case "lease":
		return q.serveLease(ctx, m)
	case "extend":
		return struct{}{}, q.Extend(ctx, m.ID, m.Token, m.Checkpoint)
	case "finish":
		if m.End == nil {
			return nil, badRequest("finish: the request has no end")
		}
		return struct{}{}, q.Finish(ctx, m.ID, m.Token, *m.End)
	}
	return nil, ErrNotFound
}

// serveLease waits for a job for as long as the client and maxWait allow. Without one it answers
// with a task without an ID.
func (q *Queue) serveLease(ctx context.Context, m message) (Task, error) {
	if len(m.Request) > maxKeyBytes {
		return Task{}, badRequest(fmt.Sprintf("request has %d bytes: want at most %d", len(m.Request), maxKeyBytes))
	}
	wait := min(time.Duration(min(max(m.WaitMillis, 0), maxWait.Milliseconds()))*time.Millisecond, maxWait)
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	task, err := q.Lease(waiting, m.Request)
	if err != nil && waiting.Err() != nil && ctx.Err() == nil {
		return Task{}, nil
	}
	return task, err
}

// refuse answers with an error. What failed in the queue, such as the path of its file, is for its
// Logger, and not for clients.
func (q *Queue) refuse(w http.ResponseWriter, client string, err error) {
	var bad badRequest
	for _, known := range errorStatus {
		if errors.Is(err, known.err) {
			if known.status == http.StatusServiceUnavailable {
				q.log.Warn("request refused", "client", client, "error", err)
				polling.SetRetryAfter(w.Header(), time.Second)
			}
			http.Error(w, known.err.Error(), known.status)
			return
		}
	}
	if errors.As(err, &bad) {
		http.Error(w, bad.Error(), http.StatusBadRequest)
		return
	}
	q.log.Error("request failed", "client", client, "error", err)
	http.Error(w, "the queue failed", http.StatusInternalServerError)
}
