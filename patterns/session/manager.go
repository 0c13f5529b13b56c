package session

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/squall-sim/squall/patterns/internal/fields"
)

// Manager gives each request its [Session] and stores the handler's changes to it before the answer
// begins. The zero value keeps sessions in memory. Do not change it after first use.
type Manager struct {
	// Store keeps the sessions. Nil: a [Memory].
	Store Store

	// IdleTimeout is the time without a request after which a session ends. It can be up to a
	// twentieth shorter, because not every request is recorded. Zero: 30 min. Lifetime is the time
	// after its beginning when a session ends in any case, even if it is renewed. Zero: 12 h.
	// Lifetime must not be less than IdleTimeout.
	IdleTimeout time.Duration
	Lifetime    time.Duration

	// Timeout is how long a request waits for the store, once to load and once to save. Zero:
	// 1 s.
	Timeout time.Duration

	// MaxBytes bounds a session: the bytes of its user, keys and values. Zero: 64 KiB. A cookie of
	// [Signed] has at most 4 KiB in any case.
	MaxBytes int

	// Cookie is the name of the cookie. Zero: session. Its attributes are HttpOnly, SameSite=Lax,
	// Path=/ and, unless Insecure is set, Secure. With Insecure it is also sent over plain HTTP.
	Cookie   string
	Insecure bool

	// Now is the clock by which sessions expire. Nil: time.Now. If the clock is set back, sessions
	// last longer for as long, and expired sessions of [Signed] become valid again. A clock that is
	// read once and then continues by the monotonic clock avoids that:
	//
	//	start := time.Now()
	//	now := func() time.Time { return start.Add(time.Since(start)) }
	Now func() time.Time

	// Logger gets failures of the store as errors, and sessions that end during a request as
	// warnings. Nil: nothing is logged.
	Logger *slog.Logger

	once  sync.Once
	store Store
	stats struct{ loads, saves, merged, conflicts, ended, unavailable atomic.Int64 }
}

// Stats are the counters of a [Manager].
type Stats struct {
	Loads, Saves int64 // calls of the store
	Merged       int64 // changes that met changes of another request, where both are kept
	Conflicts    int64 // changes to the same value: answered with 409
	Ended        int64 // requests whose session was ended in the meantime: answered with 401
	Unavailable  int64 // requests for which the store failed: answered with 503 before they were handled, and with 500 after
}

const (
	defaultIdleTimeout = 30 * time.Minute
	defaultLifetime    = 12 * time.Hour
	defaultTimeout     = time.Second
	defaultMaxBytes    = 64 << 10
	defaultCookie      = "session"
)

// Check returns an error that names each invalid setting and its value, or nil.
func (m *Manager) Check() error {
	check := fields.Of("session: Manager")
	check.Duration("IdleTimeout", m.IdleTimeout)
	check.Duration("Lifetime", m.Lifetime)
	check.Duration("Timeout", m.Timeout)
	check.Int("MaxBytes", m.MaxBytes)
	if idle, life := m.idle(), m.life(); idle > 0 && life > 0 && life < idle {
		check.Bad("Lifetime is %v: want at least the IdleTimeout, %v", life, idle)
	}
	if c := (&http.Cookie{Name: m.cookie(), Value: "x"}); c.Valid() != nil {
		check.Bad("Cookie is %q: want a cookie's name", m.Cookie)
	}
	return check.Err()
}

func (m *Manager) idle() time.Duration    { return cmp.Or(m.IdleTimeout, defaultIdleTimeout) }
func (m *Manager) life() time.Duration    { return cmp.Or(m.Lifetime, defaultLifetime) }
func (m *Manager) timeout() time.Duration { return cmp.Or(m.Timeout, defaultTimeout) }
func (m *Manager) maxBytes() int          { return cmp.Or(m.MaxBytes, defaultMaxBytes) }
func (m *Manager) cookie() string         { return cmp.Or(m.Cookie, defaultCookie) }

func (m *Manager) start() {
	m.once.Do(func() {
		if m.store = m.Store; m.store == nil {
			m.store = &Memory{Now: m.Now}
		}
		if m.Logger == nil {
			m.Logger = slog.New(slog.DiscardHandler)
		}
	})
}

// Stats returns the counters.
func (m *Manager) Stats() Stats {
	return Stats{
		Loads: m.stats.loads.Load(), Saves: m.stats.saves.Load(), Merged: m.stats.merged.Load(),
		Conflicts: m.stats.conflicts.Load(), Ended: m.stats.ended.Load(), Unavailable: m.stats.unavailable.Load(),
	}
}

// Handler returns a handler that calls next with a request whose session [Of] returns. Changes that
// next makes to it are stored before the header of the answer is written. If they cannot be stored,
// nothing of next's answer is sent, but
//
//	400  a text that was set is not UTF-8
//	401  another request has ended the session in the meantime
//	409  another request has changed the same value in the meantime
//	413  the session would be larger than MaxBytes
//	500  the store failed, or took longer than Timeout
//
// Other effects of next have then already happened. If the session could not be loaded in time,
// next is not called, and the answer is 503 with Retry-After: 1. If next panics, nothing is stored.
// Handler panics if Check returns an error.
func (m *Manager) Handler(next http.Handler) http.Handler {
	if err := m.Check(); err != nil {
		panic(err)
	}
	m.start()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := m.load(r)
		if err != nil {
			w.Header().Set("Retry-After", strconv.Itoa(1))
			m.refuse(w, err, http.StatusServiceUnavailable)
			return
		}
		w.Header().Add("Vary", "Cookie")
		out := &writer{ResponseWriter: w, s: s, given: s.token}
		next.ServeHTTP(out, r.WithContext(context.WithValue(r.Context(), key{}, s)))
		out.begin()
	})
}

type key struct{}

// Of returns the session of a request that a [Manager] has handled. It panics for any other
// request.
func Of(r *http.Request) *Session {
	s, ok := r.Context().Value(key{}).(*Session)
	if !ok {
		panic("session: Of: the request has come past no Manager.Handler")
	}
	return s
}

// load returns the session of a request. An unknown token is not an error: nobody is logged in
// then.
func (m *Manager) load(r *http.Request) (*Session, error) {
	s := &Session{m: m, ctx: context.WithoutCancel(r.Context()), lock: make(chan struct{}, 1)}
	c, err := r.Cookie(m.cookie())
	if err != nil || c.Value == "" {
		return s, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), m.timeout())
	defer cancel()
	switch rec, err := m.fetch(ctx, c.Value); {
	case err == nil:
		s.token, s.rec = c.Value, rec
	case !errors.Is(err, ErrNone):
		return nil, err
	}
	return s, nil
}

// fetch loads a session from the store, and ends it if it has lasted too long, of which
// a store need not know.
func (m *Manager) fetch(ctx context.Context, token string) (Record, error) {
	m.stats.loads.Add(1)
	r, err := m.store.Load(ctx, token)
	if err != nil {
		return Record{}, err
	}
	if t := now(m.Now); !t.Before(m.expires(r)) {
		return Record{}, ErrNone
	}
	return r, nil
}

// expires returns when a session expires.
func (m *Manager) expires(r Record) time.Time {
	end := r.Created.Add(m.life())
	if idle := r.Seen.Add(m.idle()); idle.Before(end) {
		return idle
	}
	return end
}

// refuse answers a request whose session could not be loaded, or stored. status is for a store that fails.
func (m *Manager) refuse(w http.ResponseWriter, err error, status int) {
	switch {
	case errors.Is(err, ErrEnded):
		m.stats.ended.Add(1)
		status = http.StatusUnauthorized
		w.Header().Set("WWW-Authenticate", "Session") // which RFC 9110, section 15.5.2 demands
	case errors.Is(err, ErrConflict):
		m.stats.conflicts.Add(1)
		status = http.StatusConflict
	case errors.Is(err, ErrTooLarge):
		status = http.StatusRequestEntityTooLarge
	case errors.Is(err, ErrNotText):
		status = http.StatusBadRequest
	default:
		m.stats.unavailable.Add(1)
		m.Logger.Error("the store of sessions cannot be asked", "error", err)
		err = errors.New("session: the store cannot be asked") // what it says is nobody's concern
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, err.Error(), status)
}
