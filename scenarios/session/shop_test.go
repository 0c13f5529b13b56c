package session_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/session"
	"github.com/squall-sim/squall/scenarios/scenario"
	"github.com/squall-sim/squall/sim"
)

// shop is a web application on replicas, behind a host "shop" that passes requests on.
type shop struct {
	t      *testing.T
	n      *sim.Network
	prefix string // of its replicas' names

	mu       sync.Mutex
	live     []string
	managers map[string]*session.Manager
}

// openShop serves a shop. manager makes that of a replica, each time that its process starts.
func openShop(t *testing.T, n *sim.Network, replicas int, manager func(h *sim.Host) *session.Manager) *shop {
	return openShopOf(t, n, "replica", replicas, manager)
}

// openShopOf has replicas whose names begin with prefix: for stories with several shops.
func openShopOf(t *testing.T, n *sim.Network, prefix string, replicas int, manager func(h *sim.Host) *session.Manager) *shop {
	s := &shop{t: t, n: n, prefix: prefix, managers: map[string]*session.Manager{}}
	for range replicas {
		s.add(manager)
	}
	time.Sleep(1)
	return s
}

// add starts one more replica.
func (s *shop) add(manager func(h *sim.Host) *session.Manager) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := fmt.Sprint(s.prefix, len(s.managers)+1)
	s.live = append(s.live, name)
	s.managers[name] = nil
	s.n.Host(name).Run("app", func(ctx context.Context, h *sim.Host) error {
		m := manager(h)
		m.Insecure = true
		s.mu.Lock()
		s.managers[name] = m
		s.mu.Unlock()
		return serve(ctx, h, ":8080", m.Handler(http.HandlerFunc(answer)))
	})
}

// serve serves until ctx is done.
func serve(ctx context.Context, h *sim.Host, addr string, handler http.Handler) error {
	l, err := h.Listen("tcp", addr)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: handler}
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	return srv.Serve(l)
}

// answer is the application. Every request may take a while, by its parameter work.
func answer(w http.ResponseWriter, r *http.Request) {
	s := session.Of(r)
	before := s.User()
	if work, err := time.ParseDuration(r.FormValue("work")); err == nil {
		time.Sleep(work)
	}
	switch r.URL.Path {
	case "/login":
		s.Login(r.FormValue("user"))
	case "/logout":
		if err := s.Logout(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
	case "/add":
		s.Update("cart", func(cart string) string { return cart + r.FormValue("item") })
	case "/set":
		s.Set(r.FormValue("key"), r.FormValue("value"))
	}
	if before == "" && r.URL.Path == "/cart" {
		http.Error(w, "nobody has logged in", http.StatusForbidden)
		return
	}
	fmt.Fprintf(w, "%s has %s", s.User(), s.Get("cart"))
}

// alive returns the replicas that work.
func (s *shop) alive() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.live)
}

// dies has a replica crash for good, which the balancer knows at once.
func (s *shop) dies(name string) {
	s.n.Host(name).PowerOff()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live = slices.DeleteFunc(s.live, func(other string) bool { return other == name })
}

// stats returns the counters of a replica.
func (s *shop) stats(name string) session.Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.managers[name].Stats()
}

// sticky puts a balancer before the replicas that brings each client to the same one.
func (s *shop) sticky() *session.Sticky {
	h := s.n.Host("shop")
	b := &session.Sticky{Insecure: true, Replicas: s.alive, To: func(name string) http.Handler {
		return h.Proxy("http://"+name+":8080", sim.ProxyConfig{})
	}}
	h.ServeHTTP(":80", b.Handler())
	return b
}

// anywhere puts a balancer before the replicas that chooses one for each request.
func (s *shop) anywhere(choose func(r *http.Request, all []string) string) {
	h := s.n.Host("shop")
	h.ServeHTTP(":80", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.Proxy("http://"+choose(r, s.alive())+":8080", sim.ProxyConfig{}).ServeHTTP(w, r)
	}))
}

// inTurn chooses one after the other.
func inTurn() func(*http.Request, []string) string {
	var turn atomic.Int32
	return func(_ *http.Request, all []string) string { return all[int(turn.Add(1))%len(all)] }
}

// browser is a client with cookies.
type browser struct {
	t    *testing.T
	host *sim.Host
	http *http.Client
	base string
}

// browse makes one that asks a host, such as "shop", or "replica1:8080".
func browse(t *testing.T, n *sim.Network, name, to string) *browser {
	h := n.Host(name)
	host, _, _ := strings.Cut(to, ":")
	n.Link(h, n.Host(host), scenario.Good)
	c := h.HTTPClient()
	c.Jar, _ = cookiejar.New(nil)
	return &browser{t, h, c, "http://" + to}
}

// ask returns the status and the text of an answer; 0 and the error if there was none.
func (b *browser) ask(path string) (int, string) {
	ctx, cancel := context.WithTimeout(b.t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "POST", b.base+path, nil)
	require.NoError(b.t, err)
	resp, err := b.http.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, strings.TrimRight(string(text), "\n")
}

// says asks for something that must be answered.
func (b *browser) says(path string) string {
	b.t.Helper()
	status, text := b.ask(path)
	require.Equal(b.t, http.StatusOK, status, text)
	return text
}

// token returns the session's cookie.
func (b *browser) token() string {
	u, _ := url.Parse(b.base)
	for _, c := range b.http.Jar.Cookies(u) {
		if c.Name == "session" {
			return c.Value
		}
	}
	return ""
}

// use puts a token into the jar.
func (b *browser) use(token string) {
	u, _ := url.Parse(b.base)
	b.http.Jar.SetCookies(u, []*http.Cookie{{Name: "session", Value: token, Path: "/"}})
}

// remote is a store on another host, as a database is.
type remote struct {
	http *http.Client
	url  string
}

type remoteCall struct {
	Op     string
	Token  string
	Record session.Record
	Err    string
}

// serveStore serves a store on a host, each answer after a delay.
func serveStore(n *sim.Network, name string, s session.Store, delay time.Duration) *sim.Host {
	h := n.Host(name)
	h.Run("store", func(ctx context.Context, h *sim.Host) error {
		return serve(ctx, h, ":6379", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(delay)
			var c remoteCall
			err := json.NewDecoder(r.Body).Decode(&c)
			switch c.Op {
			case "load":
				c.Record, err = s.Load(r.Context(), c.Token)
			case "save":
				c.Token, err = s.Save(r.Context(), c.Token, c.Record)
			case "renew":
				c.Token, err = s.Renew(r.Context(), c.Token, c.Record)
			case "delete":
				err = s.Delete(r.Context(), c.Token)
			}
			if err != nil {
				c.Err = err.Error()
			}
			json.NewEncoder(w).Encode(c)
		}))
	})
	return h
}

// storeOf returns the store that a host reaches there.
func storeOf(h *sim.Host, name string) session.Store {
	return &remote{h.HTTPClient(), "http://" + name + ":6379"}
}

func (s *remote) call(ctx context.Context, c remoteCall) (remoteCall, error) {
	body, err := json.Marshal(c)
	if err != nil {
		return c, err
	}
	req, err := http.NewRequestWithContext(ctx, "POST", s.url, strings.NewReader(string(body)))
	if err != nil {
		return c, err
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return c, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&c); err != nil {
		return c, err
	}
	for _, known := range []error{session.ErrNone, session.ErrConflict} {
		if c.Err == known.Error() {
			return c, known
		}
	}
	if c.Err != "" {
		return c, errors.New(c.Err)
	}
	return c, nil
}

func (s *remote) Load(ctx context.Context, token string) (session.Record, error) {
	c, err := s.call(ctx, remoteCall{Op: "load", Token: token})
	return c.Record, err
}

func (s *remote) Save(ctx context.Context, token string, r session.Record) (string, error) {
	c, err := s.call(ctx, remoteCall{Op: "save", Token: token, Record: r})
	return c.Token, err
}

func (s *remote) Renew(ctx context.Context, token string, r session.Record) (string, error) {
	c, err := s.call(ctx, remoteCall{Op: "renew", Token: token, Record: r})
	return c.Token, err
}

func (s *remote) Delete(ctx context.Context, token string) error {
	_, err := s.call(ctx, remoteCall{Op: "delete", Token: token})
	return err
}

// The three ways.

func inMemory(*sim.Host) *session.Manager { return &session.Manager{Store: &session.Memory{}} }

// shared is a store on the host "store".
func shared(n *sim.Network) func(h *sim.Host) *session.Manager {
	serveStore(n, "store", &session.Memory{}, 0)
	return func(h *sim.Host) *session.Manager { return &session.Manager{Store: storeOf(h, "store")} }
}

var keys = session.FixedKeys{{ID: "1", Secret: []byte(strings.Repeat("1", 32))}}

func signed(*sim.Host) *session.Manager {
	return &session.Manager{Store: &session.Signed{Keys: keys}}
}
