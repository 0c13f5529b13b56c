package interop

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
	"github.com/gorilla/sessions"
	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/session"
)

// A keeper of sessions is a library with one way to do each thing to the session of a request.
type keeper struct {
	wrap   func(http.Handler) http.Handler
	get    func(r *http.Request, key string) string
	set    func(w http.ResponseWriter, r *http.Request, key, value string)
	login  func(w http.ResponseWriter, r *http.Request)
	logout func(w http.ResponseWriter, r *http.Request)
}

// do has a handler answer a request with a cookie, and returns the cookie that the client has then.
func (k keeper) do(cookie string, handle func(w http.ResponseWriter, r *http.Request)) string {
	r := httptest.NewRequest("GET", "/", nil)
	if cookie != "" {
		r.AddCookie(&http.Cookie{Name: "session", Value: cookie})
	}
	w := httptest.NewRecorder()
	k.wrap(http.HandlerFunc(handle)).ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if cookie = c.Value; c.MaxAge < 0 {
			cookie = ""
		}
	}
	return cookie
}

func (k keeper) value(cookie, key string) (v string) {
	k.do(cookie, func(_ http.ResponseWriter, r *http.Request) { v = k.get(r, key) })
	return v
}

func bySquall() keeper {
	m := &session.Manager{Lifetime: time.Hour, IdleTimeout: time.Hour}
	return keeper{
		wrap:   m.Handler,
		get:    func(r *http.Request, key string) string { return session.Of(r).Get(key) },
		set:    func(_ http.ResponseWriter, r *http.Request, key, value string) { session.Of(r).Set(key, value) },
		login:  func(_ http.ResponseWriter, r *http.Request) { session.Of(r).Login("ann") },
		logout: func(_ http.ResponseWriter, r *http.Request) { session.Of(r).Logout() },
	}
}

func bySCS() keeper {
	m := scs.New()
	// Its cleaner would keep the bubble from ending. StopCleanup does nothing before that has begun.
	synctest.Wait()
	m.Store.(*memstore.MemStore).StopCleanup()
	m.Store = memstore.NewWithCleanupInterval(0)
	m.Lifetime = time.Hour
	return keeper{
		wrap:  m.LoadAndSave,
		get:   func(r *http.Request, key string) string { return m.GetString(r.Context(), key) },
		set:   func(_ http.ResponseWriter, r *http.Request, key, value string) { m.Put(r.Context(), key, value) },
		login: func(_ http.ResponseWriter, r *http.Request) { m.RenewToken(r.Context()) },
		logout: func(_ http.ResponseWriter, r *http.Request) {
			m.Destroy(r.Context())
		},
	}
}

func byGorilla() keeper {
	store := sessions.NewCookieStore([]byte("a key of thirty-two bytes, or so"))
	change := func(w http.ResponseWriter, r *http.Request, f func(s *sessions.Session)) {
		s, _ := store.Get(r, "session")
		f(s)
		s.Save(r, w)
	}
	return keeper{
		wrap: func(h http.Handler) http.Handler { return h },
		get: func(r *http.Request, key string) string {
			s, _ := store.Get(r, "session")
			v, _ := s.Values[key].(string)
			return v
		},
		set: func(w http.ResponseWriter, r *http.Request, key, value string) {
			change(w, r, func(s *sessions.Session) { s.Values[key] = value })
		},
		login: func(w http.ResponseWriter, r *http.Request) { change(w, r, func(*sessions.Session) {}) },
		logout: func(w http.ResponseWriter, r *http.Request) {
			change(w, r, func(s *sessions.Session) { s.Options.MaxAge = -1 })
		},
	}
}

// What libraries of sessions keep of what package session promises. Each row is a story, and says
// who keeps the promise.
func TestLibrariesOfSessions(t *testing.T) {
	libraries := map[string]func() keeper{"squall": bySquall, "scs": bySCS, "gorilla": byGorilla}
	for _, row := range []struct {
		name, promise string
		story         func(k keeper) (kept bool)
		kept          []string
	}{
		{"two requests set two values at once", "both are kept", func(k keeper) bool {
			cookie := k.do("", func(w http.ResponseWriter, r *http.Request) { k.set(w, r, "user", "ann") })
			after := k.do(cookie, func(w http.ResponseWriter, r *http.Request) {
				k.get(r, "user") // it has begun
				k.do(cookie, func(w http.ResponseWriter, r *http.Request) { k.set(w, r, "cart", "apple") })
				k.set(w, r, "seen", "yes")
			})
			return k.value(after, "cart") == "apple" && k.value(after, "seen") == "yes"
		}, []string{"squall"}},
		{"a logout during a slow request that writes", "it is final", func(k keeper) bool {
			cookie := k.do("", func(w http.ResponseWriter, r *http.Request) { k.set(w, r, "user", "ann") })
			k.do(cookie, func(w http.ResponseWriter, r *http.Request) {
				k.get(r, "user")
				k.do(cookie, k.logout)
				k.set(w, r, "seen", "yes")
			})
			return k.value(cookie, "user") == ""
		}, []string{"squall"}},
		{"a logout", "the old cookie is nobody's", func(k keeper) bool {
			cookie := k.do("", func(w http.ResponseWriter, r *http.Request) { k.set(w, r, "user", "ann") })
			k.do(cookie, k.logout)
			return k.value(cookie, "user") == ""
		}, []string{"squall", "scs"}},
		{"a login", "the cookie from before it is nobody's", func(k keeper) bool {
			before := k.do("", func(w http.ResponseWriter, r *http.Request) { k.set(w, r, "cart", "apple") })
			after := k.do(before, k.login)
			return k.value(before, "cart") == "" && k.value(after, "cart") == "apple"
		}, []string{"squall", "scs"}},
		{"a session that is renewed each half hour, with a lifetime of one", "it ends nevertheless", func(k keeper) bool {
			cookie := k.do("", func(w http.ResponseWriter, r *http.Request) { k.set(w, r, "user", "ann") })
			for range 4 {
				time.Sleep(30*time.Minute + time.Second)
				cookie = k.do(cookie, k.login)
			}
			return k.value(cookie, "user") == ""
		}, []string{"squall"}},
	} {
		for name, library := range libraries {
			t.Run(row.name+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					require.Equal(t, slices.Contains(row.kept, name), row.story(library()), row.promise)
				})
			})
		}
	}
}
