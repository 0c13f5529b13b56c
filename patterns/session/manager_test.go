package session_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/session"
)

// browser is a client with a cookie, whose requests are answered without a network.
type browser struct {
	t      *testing.T
	m      *session.Manager
	cookie string
}

// do has a handler answer a request, and keeps the cookie.
func (b *browser) do(handle func(w http.ResponseWriter, s *session.Session)) *http.Response {
	b.t.Helper()
	resp := b.start(handle)
	for _, c := range resp.Cookies() {
		if b.cookie = c.Value; c.MaxAge < 0 {
			b.cookie = ""
		}
	}
	return resp
}

// start does not keep the cookie.
func (b *browser) start(handle func(w http.ResponseWriter, s *session.Session)) *http.Response {
	r := httptest.NewRequestWithContext(b.t.Context(), "GET", "/", nil)
	if b.cookie != "" {
		r.AddCookie(&http.Cookie{Name: "session", Value: b.cookie})
	}
	w := httptest.NewRecorder()
	b.m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handle(w, session.Of(r)) })).ServeHTTP(w, r)
	return w.Result()
}

func (b *browser) set(key, value string) *http.Response {
	b.t.Helper()
	return b.do(func(_ http.ResponseWriter, s *session.Session) { s.Set(key, value) })
}

func (b *browser) get(key string) (value string) {
	b.t.Helper()
	b.do(func(_ http.ResponseWriter, s *session.Session) { value = s.Get(key) })
	return value
}

func (b *browser) login(user string) *http.Response {
	b.t.Helper()
	return b.do(func(_ http.ResponseWriter, s *session.Session) { s.Login(user) })
}

func (b *browser) user() (name string) {
	b.t.Helper()
	b.do(func(_ http.ResponseWriter, s *session.Session) { name = s.User() })
	return name
}

func text(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(b)
}

// bubble runs a test with a manager over every kind of store, in a bubble.
func bubble(t *testing.T, test func(t *testing.T, m *session.Manager)) {
	all := map[string]func(*testing.T) session.Store{
		"tokens": func(*testing.T) session.Store {
			return &session.Signed{Keys: session.FixedKeys{{Secret: secret("a")}}}
		},
	}
	for name, open := range stores {
		all[name] = open
	}
	for name, open := range all {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, &session.Manager{Store: open(t)}) })
		})
	}
}

func TestSession(t *testing.T) {
	bubble(t, func(t *testing.T, m *session.Manager) {
		b := &browser{t: t, m: m}
		resp := b.do(func(w http.ResponseWriter, s *session.Session) { fmt.Fprint(w, "user ", s.User()) })
		require.Equal(t, "user ", text(t, resp))
		require.Empty(t, resp.Cookies(), "who stores nothing gets none")
		require.Equal(t, "Cookie", resp.Header.Get("Vary"))

		resp = b.set("cart", "apple")
		require.Len(t, resp.Cookies(), 1)
		c := resp.Cookies()[0]
		require.True(t, c.HttpOnly && c.Secure && c.SameSite == http.SameSiteLaxMode && c.Path == "/" && c.MaxAge == 12*3600, c)
		require.Equal(t, `no-cache="Set-Cookie"`, resp.Header.Get("Cache-Control"))
		anonymous := b.cookie
		require.Equal(t, "apple", b.get("cart"))

		b.login("ann")
		require.NotEqual(t, anonymous, b.cookie)
		require.Equal(t, "apple", b.get("cart"))
		require.Equal(t, "ann", b.user())
		if _, signed := m.Store.(*session.Signed); !signed {
			require.Empty(t, (&browser{t: t, m: m, cookie: anonymous}).get("cart"), "the token before the login is nobody's")
		}

		b.set("cart", "")
		b.do(func(_ http.ResponseWriter, s *session.Session) { require.Empty(t, s.Values()) })
		old := b.cookie
		b.do(func(_ http.ResponseWriter, s *session.Session) {
			require.NoError(t, s.Logout())
			require.Empty(t, s.User())
		})
		require.Empty(t, b.cookie)
		if _, signed := m.Store.(*session.Signed); !signed {
			require.Empty(t, (&browser{t: t, m: m, cookie: old}).user())
		}
	})
}

// A session ends after its last use, and after its beginning, whatever happens.
func TestSessionsEnd(t *testing.T) {
	bubble(t, func(t *testing.T, m *session.Manager) {
		m.IdleTimeout, m.Lifetime = 20*time.Minute, time.Hour
		begun := time.Now()
		b := &browser{t: t, m: m}
		b.login("ann")
		time.Sleep(20*time.Minute - 1)
		require.Equal(t, "ann", b.user())
		time.Sleep(20*time.Minute - time.Second)
		require.Equal(t, "ann", b.user(), "it was used")
		b.do(func(_ http.ResponseWriter, s *session.Session) { s.Renew() })
		for time.Since(begun) < time.Hour-2*time.Second {
			require.Equal(t, "ann", b.user())
			time.Sleep(time.Second)
		}
		time.Sleep(2*time.Second + 2)
		require.Empty(t, b.user(), "an hour is over")

		b.login("ann")
		time.Sleep(20 * time.Minute)
		require.Empty(t, b.user(), "it was idle")
	})
}

// A store that keeps a session for longer than the settings say, since they were others once.
func TestSettingsThatBecameStricter(t *testing.T) {
	each(t, func(t *testing.T, store session.Store) {
		b := &browser{t: t, m: &session.Manager{Store: store, IdleTimeout: time.Hour}}
		b.login("ann")
		time.Sleep(time.Minute)
		b.m = &session.Manager{Store: store, IdleTimeout: time.Minute}
		require.Empty(t, b.user())
	})
}

// Reads that follow each other closely do not write each time.
func TestUseIsNotedNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &browser{t: t, m: &session.Manager{}}
		b.login("ann")
		for range 100 {
			b.user()
			time.Sleep(time.Second)
		}
		require.EqualValues(t, 100, b.m.Stats().Loads)
		require.EqualValues(t, 2, b.m.Stats().Saves, "the login, and once in 90 s")
	})
}

func TestRequestsAtOnce(t *testing.T) {
	each(t, func(t *testing.T, store session.Store) {
		m := &session.Manager{Store: store}
		b := &browser{t: t, m: m}
		b.login("ann")

		// meet has two requests load the session, and then both change it.
		meet := func(one, other func(s *session.Session)) (statuses [2]int) {
			var loaded, both sync.WaitGroup
			loaded.Add(2)
			for i, f := range []func(*session.Session){one, other} {
				both.Go(func() {
					resp := b.start(func(_ http.ResponseWriter, s *session.Session) {
						loaded.Done()
						loaded.Wait()
						time.Sleep(time.Duration(i) * time.Millisecond)
						f(s)
					})
					if statuses[i] = resp.StatusCode; statuses[i] != 200 && len(resp.Cookies()) > 0 {
						t.Error("a refused request changes a cookie, which may be one that the other was given")
					}
				})
			}
			both.Wait()
			return statuses
		}
		set := func(key, value string) func(*session.Session) {
			return func(s *session.Session) { s.Set(key, value) }
		}
		require.Equal(t, [2]int{200, 200}, meet(set("a", "1"), set("b", "2")))
		require.Equal(t, "1", b.get("a"))
		require.Equal(t, "2", b.get("b"))
		require.Equal(t, [2]int{200, 409}, meet(set("a", "first"), set("a", "second")))
		require.Equal(t, "first", b.get("a"))
		require.Equal(t, [2]int{200, 200}, meet(set("a", "same"), set("a", "same")), "both have what they wanted")
		again := func(s *session.Session) { s.Update("n", func(n string) string { return n + "x" }) }
		require.Equal(t, [2]int{200, 200}, meet(again, again))
		require.Equal(t, "xx", b.get("n"))
		require.EqualValues(t, 1, m.Stats().Conflicts)
		require.EqualValues(t, 4, m.Stats().Merged)

		require.Equal(t, [2]int{200, 401}, meet(func(s *session.Session) { require.NoError(t, s.Logout()) }, set("a", "after the logout")))
		require.Empty(t, b.user())
		b.login("ann")
		require.Equal(t, [2]int{200, 401}, meet(func(s *session.Session) { s.Login("ann") }, set("a", "after the login")), "under another token")
		require.Empty(t, b.user())
	})
}

// Many at a time lose nothing.
func TestNoUpdateIsLost(t *testing.T) {
	each(t, func(t *testing.T, store session.Store) {
		b := &browser{t: t, m: &session.Manager{Store: store}}
		b.login("ann")
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for range 5 {
					resp := b.start(func(_ http.ResponseWriter, s *session.Session) {
						s.Update("n", func(n string) string {
							i, _ := strconv.Atoi(n)
							return strconv.Itoa(i + 1)
						})
					})
					if resp.StatusCode != 200 {
						t.Error(resp.Status)
					}
				}
			})
		}
		all.Wait()
		require.Equal(t, "40", b.get("n"))
	})
}

// What some stores could not give back as it was is stored by none: in JSON two users whose names are not UTF-8 could become one.
func TestTextsAreUTF8(t *testing.T) {
	b := &browser{t: t, m: &session.Manager{Store: &session.Memory{}}}
	b.login("ann")
	for _, change := range []func(s *session.Session){
		func(s *session.Session) { s.Set("a", "\xff") }, func(s *session.Session) { s.Set("\xff", "a") },
		func(s *session.Session) { s.Login("ann\xff") },
		func(s *session.Session) { s.Update("a", func(string) string { return "caf\xe9" }) },
	} {
		resp := b.do(func(_ http.ResponseWriter, s *session.Session) { change(s) })
		require.Equal(t, 400, resp.StatusCode)
		require.Contains(t, text(t, resp), "not UTF-8")
		b.do(func(_ http.ResponseWriter, s *session.Session) {
			s.Set("b", "\xe9")
			require.ErrorIs(t, s.Commit(), session.ErrNotText)
		})
	}
	require.Equal(t, 200, b.set("a", "café").StatusCode)
	require.Equal(t, "café", b.get("a"))
}

// A store that does not answer costs the timeout, and no half of an answer gets out.
func TestStoreIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &scripted{Store: &session.Memory{}}
		b := &browser{t: t, m: &session.Manager{Store: store}}
		b.login("ann")
		store.delay = time.Minute
		asked := time.Now()
		resp := b.do(func(http.ResponseWriter, *session.Session) { t.Error("the handler was called") })
		require.Equal(t, 503, resp.StatusCode)
		require.Equal(t, "1", resp.Header.Get("Retry-After"))
		require.Equal(t, time.Second, time.Since(asked))
		require.NotContains(t, text(t, resp), "deadline", "why is nobody's concern")

		store.delay = 0
		for _, change := range []func(s *session.Session){
			func(s *session.Session) { s.Set("a", "b") }, func(s *session.Session) { s.Login("bob") }, func(s *session.Session) { s.Renew() },
		} {
			resp = b.do(func(w http.ResponseWriter, s *session.Session) {
				store.err = errors.New("the disk is full")
				change(s)
				w.Header().Set("Location", "/inbox")
				w.Header().Set("Content-Length", "7")
				w.WriteHeader(http.StatusSeeOther)
				_, err := io.WriteString(w, "welcome")
				require.Error(t, err)
				require.Error(t, http.NewResponseController(w).Flush())
			})
			require.Equal(t, 500, resp.StatusCode, "it is not said that nothing was done")
			require.Empty(t, resp.Header.Get("Retry-After"))
			require.Empty(t, resp.Header.Get("Location"))
			require.Empty(t, resp.Cookies(), "no login without a store")
			require.NotContains(t, text(t, resp), "welcome")
			store.err = nil
			require.Equal(t, "ann", b.user())
			require.Empty(t, b.get("a"))
		}
		resp = b.do(func(w http.ResponseWriter, s *session.Session) {
			store.err = errors.New("the disk is full")
			require.Error(t, s.Logout())
			require.Equal(t, "ann", s.User())
			store.err = nil
		})
		require.Equal(t, 200, resp.StatusCode)
		require.Equal(t, "ann", b.user())

		time.Sleep(10 * time.Minute)
		resp = b.do(func(http.ResponseWriter, *session.Session) { store.err = errors.New("the disk is full") })
		require.Equal(t, 200, resp.StatusCode, "that it was used need not be noted")
		require.EqualValues(t, 4, b.m.Stats().Unavailable)
	})
}

func TestAnswers(t *testing.T) {
	b := &browser{t: t, m: &session.Manager{MaxBytes: 100}}
	resp := b.set("big", strings.Repeat("x", 98))
	require.Equal(t, 413, resp.StatusCode)
	require.Equal(t, 200, b.set("big", strings.Repeat("x", 97)).StatusCode)
	b.set("big", "")

	b.do(func(w http.ResponseWriter, s *session.Session) {
		w.WriteHeader(http.StatusEarlyHints)
		s.Set("a", "b") // an informational answer is not the answer
		w.WriteHeader(http.StatusTeapot)
		require.PanicsWithValue(t, "session: the session was changed after the answer has begun", func() { s.Set("a", "c") })
		require.Panics(t, func() { s.Login("ann") })
		require.Panics(t, func() { s.Logout() })
		require.Panics(t, func() { s.Renew() })
	})
	require.Equal(t, "b", b.get("a"))
	b.do(func(w http.ResponseWriter, s *session.Session) {
		s.Set("a", "c")
		require.NoError(t, s.Commit())
		s.Set("a", "d")
		require.NoError(t, http.NewResponseController(w).Flush())
		require.Panics(t, func() { s.Set("a", "e") })
	})
	require.Equal(t, "d", b.get("a"))
	b.do(func(w http.ResponseWriter, s *session.Session) {
		s.Set("a", "e")
		n, err := io.Copy(w, bufio.NewReader(strings.NewReader("from a file")))
		require.NoError(t, err)
		require.EqualValues(t, 11, n)
	})
	require.Equal(t, "e", b.get("a"))
	require.Panics(t, func() {
		b.do(func(_ http.ResponseWriter, s *session.Session) {
			s.Set("a", "f")
			panic(http.ErrAbortHandler)
		})
	})
	require.Equal(t, "e", b.get("a"), "nothing is stored of what failed")
	require.Panics(t, func() { session.Of(httptest.NewRequest("GET", "/", nil)) })

	// Nobody's token: not adopted, and not cleared either, since it may be another server's.
	stranger := &browser{t: t, m: b.m, cookie: "made-up"}
	require.Empty(t, stranger.start(func(http.ResponseWriter, *session.Session) {}).Cookies())
	stranger.set("a", "b")
	require.NotEqual(t, "made-up", stranger.cookie)
}

// hasty saves nothing for a context that is done.
type hasty struct{ *session.Memory }

func (s hasty) Save(ctx context.Context, token string, r session.Record) (string, error) {
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	return s.Memory.Save(ctx, token, r)
}

// A client that has gone away does not keep its changes from being stored, and an upgraded connection has its session.
func TestOverTheNetwork(t *testing.T) {
	m := &session.Manager{Insecure: true, Store: hasty{&session.Memory{}}}
	gone := make(chan struct{})
	server := httptest.NewServer(m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := session.Of(r)
		switch r.URL.Path {
		case "/login":
			s.Login("ann")
		case "/slow":
			<-r.Context().Done()
			s.Set("slow", "done")
			if err := s.Commit(); err != nil {
				t.Error(err)
			}
			close(gone)
		case "/upgrade":
			s.Set("upgraded", "yes")
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
			conn.Close()
		default:
			fmt.Fprint(w, s.Values())
		}
	})))
	defer server.Close()
	resp, err := http.Get(server.URL + "/login")
	require.NoError(t, err)
	resp.Body.Close()
	cookie := resp.Cookies()[0]
	get := func(ctx context.Context, path string) (*http.Response, error) {
		r, err := http.NewRequestWithContext(ctx, "GET", server.URL+path, nil)
		require.NoError(t, err)
		r.AddCookie(cookie)
		return http.DefaultClient.Do(r)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = get(ctx, "/slow")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	<-gone

	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	fmt.Fprintf(conn, "GET /upgrade HTTP/1.1\r\nHost: x\r\nCookie: %s\r\n\r\n", cookie)
	line, err := bufio.NewReader(conn).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 101 Switching Protocols\r\n", line)

	resp, err = get(t.Context(), "/")
	require.NoError(t, err)
	require.Equal(t, "map[slow:done upgraded:yes]", text(t, resp))
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
}

func TestSettings(t *testing.T) {
	for want, check := range map[string]func() error{
		"session: Manager.IdleTimeout is -1ns":                   (&session.Manager{IdleTimeout: -1}).Check,
		"Lifetime is 1m0s: want at least the IdleTimeout, 30m0s": (&session.Manager{Lifetime: time.Minute}).Check,
		"Timeout is -1s":              (&session.Manager{Timeout: -time.Second}).Check,
		"MaxBytes is -1":              (&session.Manager{MaxBytes: -1}).Check,
		`Cookie is "a b"`:             (&session.Manager{Cookie: "a b"}).Check,
		"session: Signed.Keys is nil": (&session.Signed{}).Check,
		"session: FixedKeys is empty": (&session.Signed{Keys: session.FixedKeys{}}).Check,
		"[0]: session: Key.Secret has 31 bytes: want at least 32":          (&session.Signed{Keys: session.FixedKeys{{Secret: secret("a")[1:]}}}).Check,
		"Secret, Private and Public: want a Secret, or one or both":        session.Key{}.Check,
		"Private has 3 bytes: want 64":                                     session.Key{Private: []byte("abc")}.Check,
		"Public has 3 bytes: want 32":                                      session.Key{Public: []byte("abc")}.Check,
		"Leeway is 2h0m0s: want 0 to 1h0m0s":                               (&session.Signed{Leeway: 2 * time.Hour}).Check,
		"session: CachedKeys.Fetch is nil":                                 (&session.CachedKeys{}).Check,
		"MinInterval is -1ns":                                              (&session.CachedKeys{MinInterval: -1}).Check,
		"session: Sticky.Replicas is nil":                                  (&session.Sticky{}).Check,
		"To is nil":                                                        (&session.Sticky{}).Check,
		`session: Sticky.Replicas is nil: want a function that names them`: (&session.Sticky{Cookie: ";"}).Check,
	} {
		require.ErrorContains(t, check(), want)
	}
	require.NoError(t, (&session.Manager{}).Check())
	require.Panics(t, func() { (&session.Manager{MaxBytes: -1}).Handler(nil) })
	require.Panics(t, func() { (&session.Sticky{}).Handler() })
	_, err := (&session.Signed{}).Load(t.Context(), "x")
	require.ErrorContains(t, err, "Keys is nil")
	require.NotErrorIs(t, err, session.ErrNone, "a wrong setting logs nobody out")
}

func TestSticky(t *testing.T) {
	live := []string{"shop-1", "shop-2", "shop-3"}
	s := &session.Sticky{
		Replicas: func() []string { return live },
		To: func(replica string) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, replica) })
		},
	}
	h := s.Handler()
	ask := func(cookie *http.Cookie) (string, *http.Cookie) {
		r := httptest.NewRequest("GET", "/", nil)
		if cookie != nil {
			r.AddCookie(cookie)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		for _, c := range w.Result().Cookies() {
			cookie = c
		}
		return w.Body.String(), cookie
	}
	first, cookie := ask(nil)
	require.NotContains(t, cookie.Value, first, "its name is nobody's concern")
	for range 20 {
		again, same := ask(cookie)
		require.Equal(t, first, again)
		require.Equal(t, cookie, same)
	}
	for i, name := range live {
		if name == first {
			live[i] = "shop-4"
		}
	}
	second, moved := ask(cookie)
	require.NotEqual(t, first, second)
	require.NotEqual(t, cookie.Value, moved.Value)
	third, _ := ask(moved)
	require.Equal(t, second, third)
	require.Equal(t, session.StickyStats{Pinned: 1, Moved: 1}, s.Stats())
	ask(&http.Cookie{Name: "replica", Value: "made up"})
	live = nil
	answer, _ := ask(moved)
	require.Contains(t, answer, "no replica works")
}
