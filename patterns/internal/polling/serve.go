package polling

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/internal/guard"
	"github.com/squall-sim/squall/patterns/retry"
)

// Logger returns l or, if that is nil, a logger that discards everything.
func Logger(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}

var everybody = access.Everything("")

// Identify returns who sends a request, using the field Authenticate of a type such as "longpoll:
// Server". If authenticate is nil, every client may do everything. If it returns false, it has
// already answered the request.
func Identify(w http.ResponseWriter, r *http.Request, of string, authenticate func(*http.Request) (access.Identity, error), log *slog.Logger) (id access.Identity, ok bool) {
	if authenticate == nil {
		return everybody, true
	}
	err := guard.Call(log, of+".Authenticate", func() (err error) {
		id, err = authenticate(r)
		return err
	}, "client", r.RemoteAddr)
	if err == nil && id.Expired() {
		err = fmt.Errorf("%w: the credentials have expired", access.ErrUnauthorized)
	}
	if err != nil {
		forbid(w, r.RemoteAddr, log, err)
		return access.Identity{}, false
	}
	return id, true
}

// Name returns the name of a request's client for logs.
func Name(id access.Identity, r *http.Request) string { return cmp.Or(id.Client, r.RemoteAddr) }

// Reject answers a request that cannot be parsed, or that asks for something its client may
// not see.
func Reject(w http.ResponseWriter, client string, log *slog.Logger, err error) {
	if errors.Is(err, access.ErrForbidden) || errors.Is(err, access.ErrUnauthorized) {
		forbid(w, client, log, err)
		return
	}
	http.Error(w, err.Error(), http.StatusBadRequest)
}

// Fail answers a request for which the server's log failed. Details such as the path of a
// file go to the server's logger, and not to clients.
func Fail(w http.ResponseWriter) {
	http.Error(w, "the log failed", http.StatusInternalServerError)
}

func forbid(w http.ResponseWriter, client string, log *slog.Logger, err error) {
	log.Warn("request refused", "client", client, "error", err)
	access.Refuse(w, err)
}

// Refuse answers 503, with a Retry-After drawn from 1 s to spread, so that clients
// that were refused together do not come back together.
func Refuse(w http.ResponseWriter, why string, j retry.Jitter, spread time.Duration) {
	SetRetryAfter(w.Header(), time.Second+j(max(0, spread-time.Second)))
	http.Error(w, why, http.StatusServiceUnavailable)
}

// SetRetryAfter sets the header to a delay in whole seconds, rounded up. It
// does nothing if the delay is 0.
func SetRetryAfter(h http.Header, d time.Duration) {
	if d > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10))
	}
}

// Body reads the whole body of a request, up to most bytes. Only after that does a waiting server
// notice a client that disconnects. If the body is too long or truncated, Body answers the request,
// with 413 or 400, and ok is false.
func Body(w http.ResponseWriter, r *http.Request, most int64) (body []byte, ok bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if err == nil {
		return body, true
	}
	status := http.StatusBadRequest
	if tooLong := new(http.MaxBytesError); errors.As(err, &tooLong) {
		status = http.StatusRequestEntityTooLarge
	}
	http.Error(w, err.Error(), status)
	return nil, false
}
