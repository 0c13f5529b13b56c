package polling

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/guard"
	"github.com/squall-sim/squall/patterns/retry"
)

// Lifecycle is how a server ends. The zero value is one that has begun.
type Lifecycle struct {
	mu      sync.Mutex
	stage   stage
	stopped chan struct{} // closed when the stage is no longer serving
	busy    int           // what has begun and not ended
	idle    chan struct{} // closed when that comes to nothing; nil: nobody waits for it
}

type stage int

const (
	serving stage = iota
	draining
	closed
)

// Stopped is closed when the server is drained or closed.
func (l *Lifecycle) Stopped() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stop()
}

func (l *Lifecycle) stop() chan struct{} {
	if l.stopped == nil {
		l.stopped = make(chan struct{})
	}
	return l.stopped
}

// Begin counts something that Drain waits for. It returns false if the server has been
// told to end.
func (l *Lifecycle) Begin() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stage != serving {
		return false
	}
	l.busy++
	return true
}

// End is called after a Begin that returned true.
func (l *Lifecycle) End() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy--; l.busy == 0 && l.idle != nil {
		close(l.idle)
		l.idle = nil
	}
}

// Drain ends the server, and waits until what has begun has ended or ctx is done.
func (l *Lifecycle) Drain(ctx context.Context) error {
	l.end(draining)
	l.mu.Lock()
	if l.busy > 0 && l.idle == nil {
		l.idle = make(chan struct{})
	}
	idle := l.idle
	l.mu.Unlock()
	if idle == nil {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends the server, and waits for nothing.
func (l *Lifecycle) Close() { l.end(closed) }

func (l *Lifecycle) end(as stage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stage == serving {
		close(l.stop())
	}
	l.stage = max(l.stage, as)
}

// Err returns one of the errors if the server has been told to end.
func (l *Lifecycle) Err(ifDraining, ifClosed error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return [...]error{serving: nil, draining: ifDraining, closed: ifClosed}[l.stage]
}

// Logger is the default of a Logger field: one that discards.
func Logger(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}

var everybody = access.Everything("")

// Identify returns who sends a request, by a field Authenticate of a type such as "longpoll: Server";
// without one every client may do everything. Whoever is refused has been answered when it returns
// false.
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

// Name is what a log calls the client of a request.
func Name(id access.Identity, r *http.Request) string { return cmp.Or(id.Client, r.RemoteAddr) }

// Reject answers a request that cannot be read, or asks for what is forbidden to its client.
func Reject(w http.ResponseWriter, client string, log *slog.Logger, err error) {
	if errors.Is(err, access.ErrForbidden) || errors.Is(err, access.ErrUnauthorized) {
		forbid(w, client, log, err)
		return
	}
	http.Error(w, err.Error(), http.StatusBadRequest)
}

// Fail answers a request for which the server's log failed. What failed, such as the path of
// a file, is for the server's logger, and not for clients.
func Fail(w http.ResponseWriter) {
	http.Error(w, "the log failed", http.StatusInternalServerError)
}

func forbid(w http.ResponseWriter, client string, log *slog.Logger, err error) {
	log.Warn("request refused", "client", client, "error", err)
	access.Refuse(w, err)
}

// DefaultMaxMessageBytes is what a server's MaxMessageBytes is by default. In an answer such an
// event has some 11 MiB, and a client takes 16.
const DefaultMaxMessageBytes = 8 << 20

// MaxTopicBytes is the longest topic of an event.
const MaxTopicBytes = 1 << 10

// Publish appends an event of at most maxBytes. Its topic must be UTF-8, since JSON knows no other
// text.
func Publish(ctx context.Context, log eventlog.Log, topic string, data []byte, maxBytes int) (eventlog.Cursor, error) {
	if len(topic) > MaxTopicBytes {
		return eventlog.Cursor{}, fmt.Errorf("topic has %d bytes: want at most %d", len(topic), MaxTopicBytes)
	}
	if !utf8.ValidString(topic) {
		return eventlog.Cursor{}, fmt.Errorf("topic %q is not UTF-8", topic)
	}
	if n := len(topic) + len(data); n > maxBytes {
		return eventlog.Cursor{}, fmt.Errorf("%w: %d bytes, and MaxMessageBytes is %d", eventlog.ErrTooLarge, n, maxBytes)
	}
	return log.Append(ctx, eventlog.Entry{Topic: topic, Data: data})
}

// Refuse sends a client away with 503, for a time that is drawn from 1 s to spread, so
// that those who were refused together do not come back together.
func Refuse(w http.ResponseWriter, why string, j retry.Jitter, spread time.Duration) {
	SetRetryAfter(w.Header(), time.Second+j(max(0, spread-time.Second)))
	http.Error(w, why, http.StatusServiceUnavailable)
}

// SetRetryAfter writes a delay in whole seconds, rounded up; none if it is 0.
func SetRetryAfter(h http.Header, d time.Duration) {
	if d > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10))
	}
}
