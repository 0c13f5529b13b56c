package stream

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/eventlog"
)

// Encoding is how events are transferred. It is negotiated for each request: Accept
// names a media type, Upgrade a WebSocket. The default is SSE.
type Encoding int

const (
	// SSE is Server-Sent Events, text/event-stream.
	SSE Encoding = iota
	// NDJSON is one JSON object per line, application/x-ndjson: "id", "event" and
	// "data" for an event; "id" alone for a position; "retry" for the reconnection
	// time in milliseconds; an empty object as heartbeat.
	NDJSON
	// WebSocket carries the lines of NDJSON in text messages. Each message has
	// whole lines.
	WebSocket
)

// String returns "sse", "ndjson" or "websocket".
func (e Encoding) String() string {
	if e < SSE || e > WebSocket {
		return fmt.Sprintf("Encoding(%d)", int(e))
	}
	return [...]string{"sse", "ndjson", "websocket"}[e]
}

// mediaType of a response; of a WebSocket there is none.
func (e Encoding) mediaType() string {
	return [...]string{"text/event-stream", "application/x-ndjson", ""}[e]
}

// encoder writes a stream in one of the encodings. See Encoder.
type encoder interface {
	Encode(Event) error
	Position(id string) error
	Retry(time.Duration) error
	Comment(text string) error
}

func (e Encoding) encoder(w io.Writer) encoder {
	if e == SSE {
		return NewEncoder(w)
	}
	return jsonEncoder{w}
}

// handler opens the streams of a Server.
type handler struct {
	*Server
	settings settings
}

// maxTopics bounds the topics of one stream: each is a place in the log's list of
// watches.
const maxTopics = 100

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// no-transform keeps proxies from compressing, for which they would buffer (RFC
	// 9111, section 5.2.2.6).
	w.Header().Set("Cache-Control", "no-store, no-transform")
	w.Header().Add("Vary", "Accept")
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, fmt.Sprintf("method is %s: want GET", r.Method), http.StatusMethodNotAllowed)
		return
	}
	encoding, ok := negotiate(r)
	if !ok {
		http.Error(w, fmt.Sprintf("Accept is %q: want %s or %s", r.Header.Get("Accept"), SSE.mediaType(), NDJSON.mediaType()),
			http.StatusNotAcceptable)
		return
	}
	s := &session{handler: h, request: r, encoding: encoding}
	if err := s.parse(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := s.authenticate(); err != nil {
		s.log(slog.LevelWarn, "stream refused", "error", err)
		access.Refuse(w, err)
		return
	}
	s.at = position{json: encoding != SSE, topics: s.topics()}
	// Before the headers leave, so that a closed log is a refusal and no empty stream.
	if _, err := h.Log.After(h.Log.Head(), eventlog.Query{}); err != nil {
		if !errors.Is(err, eventlog.ErrClosed) {
			s.log(slog.LevelError, "the log failed", "error", err)
			err = errors.New("stream: the log failed") // all that a client is told of it
		}
		s.refuse(w, err)
		return
	}
	if err := h.enter(s); err != nil {
		s.refuse(w, err)
		return
	}
	defer h.leave(s)
	c, err := s.open(w)
	if err != nil {
		return // the client was answered, as far as one could
	}
	h.opened.Add(1)
	h.attach(s, c)
	defer c.end()
	s.log(slog.LevelDebug, "stream opened")
	switch err := s.run(); {
	case errors.Is(err, ErrClosed):
		s.log(slog.LevelWarn, "stream ended", "error", err)
	case errors.Is(err, errSlow):
		h.slow.Add(1)
		s.log(slog.LevelWarn, "stream ended: the client does not read", "error", err)
	case c.context().Err() != nil: // the client has left
		s.log(slog.LevelDebug, "stream ended", "error", err)
	case err != nil:
		s.log(slog.LevelError, "stream ended", "error", err)
	}
}

func negotiate(r *http.Request) (Encoding, bool) {
	if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return WebSocket, true
	}
	accept := strings.Join(r.Header.Values("Accept"), ",")
	if strings.TrimSpace(accept) == "" {
		return SSE, true
	}
	any := false
	for part := range strings.SplitSeq(accept, ",") {
		mediaType, _, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		switch mediaType {
		case SSE.mediaType():
			return SSE, true
		case NDJSON.mediaType():
			return NDJSON, true
		case "*/*", "text/*":
			any = true
		}
	}
	return SSE, any
}

// refuse sends a client away, each for a time of its own.
func (s *session) refuse(w http.ResponseWriter, why error) {
	s.refused.Add(1)
	s.log(slog.LevelWarn, "stream refused", "error", why)
	after := s.retryAfter(s.settings.RetrySpread)
	w.Header().Set("Connection", "close")
	w.Header().Set("Retry-After", strconv.Itoa(int(after/time.Second)))
	if s.encoding == SSE && !s.RefuseWithStatus {
		// Any status but 200 would end an EventSource for good (WHATWG HTML, section 9.2.3).
		// It takes its time from the stream, and a Client from the header.
		w.Header().Set("Content-Type", SSE.mediaType())
		e := NewEncoder(w)
		_ = e.Comment(why.Error()) // its errors are those of w, and there is no client left to notify
		_ = e.Retry(after)
		return
	}
	http.Error(w, why.Error(), http.StatusServiceUnavailable)
}

// client is what the log calls the client.
func (s *session) client() string { return cmp.Or(s.identity.Client, s.request.RemoteAddr) }

func (s *session) log(level slog.Level, text string, attributes ...any) {
	s.Logger.With("client", s.client()).Log(s.request.Context(), level, text, attributes...)
}
