package push

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/coder/websocket"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/eventlog"
	"github.com/squall-sim/squall/patterns/internal/fields"
	"github.com/squall-sim/squall/patterns/internal/guard"
	"github.com/squall-sim/squall/patterns/internal/wsframe"
)

// serve upgrades the request to a WebSocket and serves it until it ends.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	var id access.Identity
	err := guard.Call(s.opts.Logger, "push: Server.Authenticate", func() (err error) {
		id, err = s.opts.Authenticate(r)
		return err
	}, "client", r.RemoteAddr)
	switch {
	case err != nil:
	case id.Client == "":
		err = fmt.Errorf("%w: Authenticate returned no client", access.ErrUnauthorized)
	case id.Expired():
		err = fmt.Errorf("%w: the credentials have expired", access.ErrUnauthorized)
	}
	var hs handshake
	if err == nil {
		if hs, err = parseHandshake(r, id); err != nil && !errors.Is(err, access.ErrForbidden) {
			s.refused(id.Client, http.StatusBadRequest, err)
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	if err != nil {
		s.count(func(st *ServerStats) { st.Refused++ })
		s.refused(id.Client, access.Status(err), err)
		access.Refuse(w, err)
		return
	}
	if status := s.admit(id.Client, hs); status != 0 {
		s.refused(id.Client, status, nil)
		if status == http.StatusServiceUnavailable {
			after := max(s.RetrySpread, time.Second)
			w.Header().Set("Retry-After", strconv.Itoa(int((after+time.Second-1)/time.Second)))
		}
		http.Error(w, http.StatusText(status), status)
		return
	}
	defer s.running.Done()

	c := newSession(s, id, hs)
	c.conn, err = wsframe.Accept(w, r, &websocket.AcceptOptions{
		OriginPatterns: s.OriginPatterns,
		OnPongReceived: func(_ context.Context, nonce []byte) { c.pong(string(nonce)) },
	})
	if err != nil { // Accept has answered
		s.count(func(*ServerStats) { s.opening-- })
		s.opts.Logger.Warn("push: no WebSocket", "client", id.Client, "error", err)
		return
	}
	c.conn.SetReadLimit(maxControlBytes)
	s.count(func(*ServerStats) {
		s.opening--
		s.open[c] = struct{}{}
	})
	c.run()
	s.count(func(*ServerStats) { delete(s.open, c) })
}

// refused logs a request that begins no session.
func (s *Server) refused(client string, status int, err error) {
	s.opts.Logger.Warn("push: client refused", "client", client, "status", status, "error", err)
}

func (s *Server) count(f func(*ServerStats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.stats)
}

// handshake is what the client says in the query of its request.
type handshake struct {
	cursor  eventlog.Cursor
	fromNow bool     // without a cursor: nothing that was before
	topics  []string // of what it may see; none: all
	run     string   // names one Run of a client
	attempt uint64   // counts the connections of that run
}

// The bounds of a handshake, which is kept as long as its session.
const (
	maxRunBytes = 128
	maxTopics   = 1000
)

func parseHandshake(r *http.Request, id access.Identity) (hs handshake, err error) {
	if len(id.Client) > maxClientBytes {
		return hs, fmt.Errorf("push: the client's name has %d bytes: want at most %d", len(id.Client), maxClientBytes)
	}
	query := r.URL.Query()
	if text := query.Get("version"); text != "" {
		if v, err := strconv.ParseUint(text, 10, 64); err != nil || v > protocolVersion {
			return hs, fmt.Errorf("push: version is %q: want at most %d", text, protocolVersion)
		}
	}
	if text := query.Get("cursor"); text != "" {
		if hs.cursor, err = eventlog.ParseCursor(text); err != nil {
			return hs, err
		}
	}
	switch from := query.Get("from"); from {
	case "":
	case "now":
		hs.fromNow = hs.cursor.IsZero()
	default:
		return hs, fmt.Errorf("push: from is %q: want now", from)
	}
	if hs.run = query.Get("run"); len(hs.run) > maxRunBytes {
		return hs, fmt.Errorf("push: run has %d bytes: want at most %d", len(hs.run), maxRunBytes)
	}
	if text := query.Get("attempt"); text != "" {
		if hs.attempt, err = strconv.ParseUint(text, 10, 64); err != nil {
			return hs, fmt.Errorf("push: attempt is %q: want a number of 64 bits", text)
		}
	}
	if hs.topics = query["topic"]; len(hs.topics) > maxTopics {
		return hs, fmt.Errorf("push: %d topics: want at most %d", len(hs.topics), maxTopics)
	}
	for _, topic := range hs.topics {
		if err := fields.CheckFilter(topic); err != nil {
			return hs, fmt.Errorf("push: topic is %q: %w", topic, err)
		}
		if !id.MaySee(topic) {
			return hs, fmt.Errorf("%w: topic %q", access.ErrForbidden, topic)
		}
	}
	return hs, nil
}
