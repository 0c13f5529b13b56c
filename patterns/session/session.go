package session

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"
)

// Session is a request's view of its session. Its methods may be called concurrently. Methods that
// change something panic after the answer has begun, because the change would not be stored.
type Session struct {
	m   *Manager
	ctx context.Context // of the request, but that it may have ended

	// lock has one place: unlike with a mutex, who waits for it while the store is asked does not
	// keep a test's virtual time from advancing.
	lock    chan struct{}
	token   string // "": there is no session yet
	rec     Record
	changes []change
	login   *string // who logs in; "": nobody more
	renew   bool
	closed  bool // the answer has begun
}

// change is a change of a value.
type change struct {
	key  string
	want func(old string) string // "": none
	any  bool                    // whatever it was before
}

// to makes the change.
func (c change) to(values map[string]string) {
	if v := c.want(values[c.key]); v != "" {
		values[c.key] = v
	} else {
		delete(values, c.key)
	}
}

func (s *Session) take() { s.lock <- struct{}{} }
func (s *Session) free() { <-s.lock }

// User returns the user that has logged in, or "" if nobody has.
func (s *Session) User() string {
	s.take()
	defer s.free()
	if s.login != nil {
		return *s.login
	}
	return s.rec.User
}

// Get returns a value, or "" if there is none.
func (s *Session) Get(key string) string {
	s.take()
	defer s.free()
	v := s.rec.Values[key]
	for _, c := range s.changes {
		if c.key == key {
			v = c.want(v)
		}
	}
	return v
}

// Set sets a value; "" removes it. Key and value must be UTF-8, or [Session.Commit] fails with
// [ErrNotText]. If another request has set the same value to something else since this one began,
// Session.Commit fails with [ErrConflict].
func (s *Session) Set(key, value string) {
	s.change(change{key, func(string) string { return value }, false})
}

// Update replaces a value by the result of f. If another request changes it at the same time, f is
// called again with that request's value. f must have no other effect.
func (s *Session) Update(key string, f func(old string) string) { s.change(change{key, f, true}) }

func (s *Session) change(c change) {
	s.take()
	defer s.free()
	s.mayChange("changed")
	s.changes = append(s.changes, c)
}

func (s *Session) mayChange(how string) {
	if s.closed {
		panic("session: the session was " + how + " after the answer has begun")
	}
}

// Login makes this the session of a user. Its token is renewed, so that anyone who knew the old
// token, or had planted it, has no access. It panics if user is empty.
func (s *Session) Login(user string) {
	if user == "" {
		panic("session: Session.Login: user is empty")
	}
	s.take()
	defer s.free()
	s.mayChange("logged in to")
	s.login, s.renew = &user, true
}

// Renew continues the session under a new token. Call it whenever the user gets more
// rights.
func (s *Session) Renew() {
	s.take()
	defer s.free()
	s.mayChange("renewed")
	s.renew = true
}

// Logout ends the session at once, for all requests: requests in progress cannot bring it back.
// Changes are dropped. If the store returns an error, Logout returns it, and the user is still
// logged in.
func (s *Session) Logout() error {
	s.take()
	defer s.free()
	s.mayChange("ended")
	if s.token != "" {
		ctx, cancel := context.WithTimeout(s.ctx, s.m.timeout())
		defer cancel()
		if err := s.m.store.Delete(ctx, s.token); err != nil {
			return err
		}
	}
	s.token, s.rec, s.changes, s.login, s.renew = "", Record{}, nil, nil, false
	return nil
}

// Commit stores the changes, which otherwise happens when the answer begins. A handler calls it to
// learn about errors: [ErrConflict], [ErrEnded], [ErrTooLarge], [ErrNotText], or those of the
// store. After an error the changes are kept, unless the session has ended.
func (s *Session) Commit() error {
	s.take()
	defer s.free()
	return s.commit()
}

// commitTries is how often another request's commit may come first.
const commitTries = 20

// commit stores the changes. The caller has the lock: a request's changes are stored together.
func (s *Session) commit() error {
	changed := len(s.changes) > 0 || s.login != nil || s.renew
	if !changed && !s.idles() {
		return nil
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.m.timeout())
	defer cancel()
	current := s.rec
	for range commitTries {
		next, err := s.apply(current)
		if err != nil {
			return err
		}
		token, err := s.put(ctx, next)
		switch {
		case err == nil:
			next.Version++
			s.token, s.rec, s.changes, s.login, s.renew = token, next, nil, nil, false
			return nil
		case !changed:
			if !errors.Is(err, ErrConflict) && !errors.Is(err, ErrNone) {
				s.m.Logger.Warn("it could not be noted that a session is used", "user", s.rec.User, "error", err)
			}
			return nil // else another request has noted it, or ended the session
		case errors.Is(err, ErrConflict):
			s.m.stats.merged.Add(1)
			current, err = s.m.fetch(ctx, s.token)
		}
		if errors.Is(err, ErrNone) {
			s.m.Logger.Warn("a session was ended under a request", "user", s.rec.User)
			s.token, s.rec, s.changes, s.login, s.renew = "", Record{}, nil, nil, false
			return ErrEnded
		}
		if err != nil {
			return err
		}
	}
	return ErrConflict
}

// idles reports whether the use of the session must be recorded.
func (s *Session) idles() bool {
	return s.token != "" && now(s.m.Now).Sub(s.rec.Seen) >= s.m.idle()/20
}

// apply applies the changes to the stored session.
func (s *Session) apply(current Record) (Record, error) {
	next := current.clone()
	if next.Values == nil {
		next.Values = map[string]string{}
	}
	for _, c := range s.changes {
		c.to(next.Values)
		if now := current.Values[c.key]; !c.any && now != s.rec.Values[c.key] && next.Values[c.key] != now {
			return Record{}, fmt.Errorf("%w: value %q", ErrConflict, c.key)
		}
	}
	if s.login != nil {
		next.User = *s.login
	}
	if bad, is := next.notText(); is {
		return Record{}, fmt.Errorf("%w: %q", ErrNotText, bad)
	}
	if n := next.size(); n > s.m.maxBytes() {
		return Record{}, fmt.Errorf("%w: %d bytes: want at most %d", ErrTooLarge, n, s.m.maxBytes())
	}
	next.Seen = now(s.m.Now)
	if s.token == "" {
		next.Created = next.Seen
	}
	next.Expires = s.m.expires(next)
	return next, nil
}

func (s *Session) put(ctx context.Context, r Record) (string, error) {
	s.m.stats.saves.Add(1)
	if s.renew && s.token != "" {
		return s.m.store.Renew(ctx, s.token, r)
	}
	return s.m.store.Save(ctx, s.token, r)
}

// Values returns all values.
func (s *Session) Values() map[string]string {
	s.take()
	defer s.free()
	all := map[string]string{}
	maps.Copy(all, s.rec.Values)
	for _, c := range s.changes {
		c.to(all)
	}
	return all
}

// close stores the changes, and then refuses further ones. It returns the cookie for the client.
func (s *Session) close(given string) (*http.Cookie, error) {
	s.take()
	defer s.free()
	err := s.commit()
	s.closed = true
	c := &http.Cookie{
		Name: s.m.cookie(), Value: s.token, Path: "/", HttpOnly: true, Secure: !s.m.Insecure, SameSite: http.SameSiteLaxMode,
	}
	switch {
	case err != nil || s.token == given: // the request that ended a session may have given the client another
		return nil, err
	case s.token == "":
		c.MaxAge = -1
	default:
		c.MaxAge = int(s.rec.Created.Add(s.m.life()).Sub(now(s.m.Now)) / time.Second)
	}
	return c, err
}
