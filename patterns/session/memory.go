package session

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"
)

// DefaultMaxSessions is the default of [Memory].MaxSessions.
const DefaultMaxSessions = 1_000_000

// Memory is a [Store] in the memory of one process. It is the fastest, and is lost with the
// process. The zero value is empty. If there are several replicas, each has its own, and a client
// must always reach the same one: see [Sticky].
type Memory struct {
	// MaxSessions is the largest number of sessions. When it is reached, saving a new one fails
	// with [ErrFull]. Zero: a million.
	MaxSessions int

	// Now is the clock by which sessions expire. Nil: time.Now.
	Now func() time.Time

	mu       sync.Mutex
	sessions map[string]Record
	sweepAt  int       // so many sessions are looked through for those that are over
	swept    time.Time // when they were last
}

// Load implements [Store].
func (m *Memory) Load(_ context.Context, token string) (Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.sessions[token]
	if !ok || !now(m.Now).Before(r.Expires) {
		return Record{}, ErrNone
	}
	return r.clone(), nil
}

// Save implements [Store].
func (m *Memory) Save(_ context.Context, token string, r Record) (string, error) {
	return m.put(token, r, false)
}

// Renew implements [Store].
func (m *Memory) Renew(_ context.Context, token string, r Record) (string, error) {
	return m.put(token, r, true)
}

// Delete implements [Store].
func (m *Memory) Delete(_ context.Context, token string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sessions, token)
	return nil
}

// Len returns the number of sessions, including some that may have expired.
func (m *Memory) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.sessions)
}

func (m *Memory) put(token string, r Record, renew bool) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if token != "" {
		old, ok := m.sessions[token]
		switch {
		case !ok || !now(m.Now).Before(old.Expires):
			return "", ErrNone
		case old.Version != r.Version:
			return "", ErrConflict
		}
		if renew {
			delete(m.sessions, token)
		}
	} else if most := m.most(); len(m.sessions) >= most {
		m.sweep()
		if len(m.sessions) >= most {
			return "", fmt.Errorf("%w: %d", ErrFull, most)
		}
	}
	if token == "" || renew {
		token = newToken()
	}
	if m.sessions == nil {
		m.sessions = map[string]Record{}
	}
	r = r.clone()
	r.Version++
	m.sessions[token] = r
	if len(m.sessions) > max(m.sweepAt, 1000) {
		m.sweep()
		m.sweepAt = 2 * len(m.sessions)
	}
	return token, nil
}

func (m *Memory) most() int {
	if m.MaxSessions > 0 {
		return m.MaxSessions
	}
	return DefaultMaxSessions
}

// sweep removes expired sessions, at most once a second, because a full store is asked often. The
// caller has m.mu.
func (m *Memory) sweep() {
	t := now(m.Now)
	if since := t.Sub(m.swept); since >= 0 && since < time.Second {
		return
	}
	m.swept = t
	for token, r := range m.sessions {
		if !t.Before(r.Expires) {
			delete(m.sessions, token)
		}
	}
}

// newToken returns a text that nobody can guess, of 130 bits.
func newToken() string { return rand.Text() }

// now returns the time by a clock that can be nil.
func now(clock func() time.Time) time.Time {
	if clock == nil {
		return time.Now()
	}
	return clock()
}
