package shortpoll

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/fields"
	"github.com/squall-sim/squall/patterns/internal/polling"
)

func (j *Jobs) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodPut && r.Method != http.MethodGet {
		w.Header().Set("Allow", "GET, PUT")
		http.Error(w, fmt.Sprintf("method is %s: want GET or PUT", r.Method), http.StatusMethodNotAllowed)
		return
	}
	// As it was written: a slash that is escaped belongs to the element, and so to no id.
	path := r.URL.EscapedPath()
	id, err := url.PathUnescape(path[strings.LastIndexByte(path, '/')+1:])
	if err != nil || !fields.ValidID(id) {
		http.Error(w, fmt.Sprintf("job %q: want 1 to 128 letters, digits and any of -._~", id), http.StatusBadRequest)
		return
	}
	if err := j.life.Err(); err == ErrClosed {
		j.refuse(w, r.RemoteAddr, err)
		return
	}
	if !j.gate.admit() {
		j.refuse(w, r.RemoteAddr, errTooMany)
		return
	}
	who, ok := polling.Identify(w, r, "shortpoll: Jobs", j.Authenticate, j.log)
	if !ok {
		return
	}
	if j.Authenticate != nil && who.Client == "" { // all without a name would share their jobs
		polling.Reject(w, r.RemoteAddr, j.log, fmt.Errorf("%w: Authenticate returned no client", access.ErrUnauthorized))
		return
	}
	client, topic := polling.Name(who, r), topicOf(who.Client, id)
	switch {
	case r.Method == http.MethodGet:
		j.status(w, r, client, topic)
	case who.MayPublish(id):
		j.submit(w, r, client, topic)
	default:
		polling.Reject(w, client, j.log, fmt.Errorf("%w: job %q", access.ErrForbidden, id))
	}
}

// submit answers a PUT.
func (j *Jobs) submit(w http.ResponseWriter, r *http.Request, client, topic string) {
	if j.Run == nil {
		http.Error(w, "this replica accepts no jobs", http.StatusMisdirectedRequest)
		return
	}
	payload, ok := polling.Body(w, r, int64(cmp.Or(j.MaxPayloadBytes, 1<<20)))
	if !ok {
		return
	}
	job, err := j.accept(r.Context(), topic, payload)
	switch {
	case errors.Is(err, ErrConflict):
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
	case errors.Is(err, errFull), errors.Is(err, ErrDraining), errors.Is(err, ErrClosed), errors.Is(err, eventlog.ErrClosed):
		j.refuse(w, client, err)
	case errors.Is(err, eventlog.ErrTooLarge):
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
	case err != nil:
		j.log.Error("submission failed", "client", client, "topic", topic, "error", err)
		polling.Fail(w)
	case job.expired:
		http.Error(w, ErrExpired.Error(), http.StatusGone)
	default:
		status := http.StatusAccepted
		if job.State.Terminal() {
			status = http.StatusOK
		}
		w.Header().Set("Location", job.ID) // relative to the request's, wherever that is mounted
		polling.SetRetryAfter(w.Header(), cmp.Or(j.RetryAfter, time.Second))
		w.Header().Set("ETag", polling.Tag(job.Version))
		writeJob(w, status, job.Job)
	}
}

// status answers a GET.
func (j *Jobs) status(w http.ResponseWriter, r *http.Request, client, topic string) {
	j.polls.Add(1)
	var seen eventlog.Cursor
	if text := r.URL.Query().Get("version"); text != "" {
		var err error
		if seen, err = eventlog.ParseCursor(text); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	if err := j.table.catchUp(j.Log); err != nil {
		j.log.Error("poll failed", "client", client, "topic", topic, "error", err)
		j.refuse(w, client, errLog)
		return
	}
	if j.table.behind(seen) {
		j.behind.Add(1)
		http.Error(w, "this replica is behind "+seen.String(), http.StatusServiceUnavailable)
		return
	}
	job, known, patient := j.table.poll(topic, j.MinInterval)
	switch {
	case !patient:
		j.slowed.Add(1)
		polling.SetRetryAfter(w.Header(), j.MinInterval)
		http.Error(w, slowDown, http.StatusTooManyRequests)
	case !known:
		http.Error(w, ErrNotFound.Error(), http.StatusNotFound)
	case job.expired:
		http.Error(w, ErrExpired.Error(), http.StatusGone)
	default:
		if !job.State.Terminal() {
			polling.SetRetryAfter(w.Header(), j.RetryAfter)
		}
		w.Header().Set("ETag", polling.Tag(job.Version))
		if polling.Matches(r, job.Version) {
			j.unchanged.Add(1)
			w.WriteHeader(http.StatusNotModified)
			return
		}
		writeJob(w, http.StatusOK, job.Job)
	}
}

func writeJob(w http.ResponseWriter, status int, job Job) {
	body, err := json.Marshal(jobAnswer{
		ID: job.ID, State: job.State, Version: job.Version,
		Result: job.Result, Error: job.Error, Expires: job.Expires,
	})
	write(w, status, body, err)
}

// slowDown is what is said to a client that polls too often. The word is that of
// RFC 8628, section 3.5.
const slowDown = "slow_down"

func (j *Jobs) refuse(w http.ResponseWriter, client string, why error) {
	j.refused.Add(1)
	j.log.Warn("request refused", "client", client, "error", why)
	j.gate.refuse(w, why.Error())
}
