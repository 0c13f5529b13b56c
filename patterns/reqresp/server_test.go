package reqresp_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/access"
	"github.com/squall-sim/squall/patterns/reqresp"
	"github.com/squall-sim/squall/patterns/retry"
	"github.com/squall-sim/squall/sim"
)

// What a server says to requests that are none, or not now, and that it has not begun them.
func TestRefusals(t *testing.T) {
	key := func(k ...string) http.Header { return http.Header{reqresp.HeaderKey: k} }
	for _, row := range []struct {
		reason string
		header http.Header
		body   string
		server func(s *reqresp.Server)
		status int
		says   string
	}{
		{"a request", nil, "1", nil, 201, "1"},
		{"a key in quotes", key(`"a\"b\\c"`), "1", nil, 201, "1"},
		{"a key without", key("550e8400-e29b-41d4-a716-446655440000"), "1", nil, 201, "1"},
		{"a key with parameters", key(`"k";v=1`), "1", nil, 201, "1"},
		{"no key where one is needed", nil, "1", func(s *reqresp.Server) { s.RequireKey = true }, 400, "POST needs an Idempotency-Key"},
		{"two keys", key("a", "b"), "1", nil, 400, "Idempotency-Key comes 2 times: want one"},
		{"an empty key", key(""), "1", nil, 400, "Idempotency-Key has 0 bytes: want 1 to 255"},
		{"an empty key in quotes", key(`""`), "1", nil, 400, "Idempotency-Key has 0 bytes"},
		{"a long key", key(strings.Repeat("k", 256)), "1", nil, 400, "Idempotency-Key has 256 bytes: want 1 to 255"},
		{"a key that does not end", key(`"k`), "1", nil, 400, "Idempotency-Key has no quote at its end"},
		{"a key with something behind it", key(`"k"x`), "1", nil, 400, "Idempotency-Key goes on after its quotes"},
		{"a key with a stray backslash", key(`"\k"`), "1", nil, 400, "Idempotency-Key has a backslash"},
		{"a key that is not ASCII", key("ä"), "1", nil, 400, "Idempotency-Key has byte 0xc3: want printable ASCII"},
		{"time that is no number", http.Header{reqresp.HeaderTimeout: {"soon"}}, "1", nil, 400, `Request-Timeout is "soon": want milliseconds`},
		{"negative time", http.Header{reqresp.HeaderTimeout: {"-1"}}, "1", nil, 400, "Request-Timeout"},
		{"time beyond all measure", http.Header{reqresp.HeaderTimeout: {"1000000000000"}}, "1", nil, 400, "up to 12 digits"},
		{"two times", http.Header{reqresp.HeaderTimeout: {"1000", "1000"}}, "1", nil, 400, "Request-Timeout"},
		{"no time left", http.Header{reqresp.HeaderTimeout: {"0"}}, "1", nil, 504, "the request's time is over"},
		{"a body that is too long", nil, strings.Repeat("1", 101), func(s *reqresp.Server) { s.MaxRequestBytes = 100 }, 413, "body is longer than MaxRequestBytes, 100 bytes"},
		{"a body of just that length", nil, strings.Repeat("0", 99) + "1", func(s *reqresp.Server) { s.MaxRequestBytes = 100 }, 201, "1"},
		{"who is nobody", nil, "1", func(s *reqresp.Server) {
			s.Authenticate = func(*http.Request) (access.Identity, error) { return access.Identity{}, access.ErrUnauthorized }
		}, 401, "access: unauthorized"},
		{"who may not", nil, "1", func(s *reqresp.Server) {
			s.Authenticate = func(*http.Request) (access.Identity, error) { return access.Identity{}, access.ErrForbidden }
		}, 403, "access: forbidden"},
		{"an Authenticate that panics", nil, "1", func(s *reqresp.Server) {
			s.Authenticate = func(*http.Request) (access.Identity, error) { panic("oh") }
		}, 500, "Internal Server Error"},
		{"a server that is drained", nil, "1", func(s *reqresp.Server) { s.Drain(context.Background()) }, 503, "server is being shut down"},
	} {
		b := &bank{}
		s := &reqresp.Server{Handle: b.handle, Jitter: retry.NoJitter}
		if row.server != nil {
			row.server(s)
		}
		r := httptest.NewRequest("POST", "/add", strings.NewReader(row.body))
		r.Header = row.header.Clone()
		if r.Header == nil {
			r.Header = http.Header{}
		}
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		require.Equal(t, row.status, w.Code, row.reason)
		require.Contains(t, w.Body.String(), row.says, row.reason)
		began, _ := b.counts()
		if row.status == 201 {
			require.Empty(t, w.Header().Get(reqresp.HeaderOutcome), row.reason)
			require.Equal(t, 1, began, row.reason)
			continue
		}
		require.Equal(t, "not-executed", w.Header().Get(reqresp.HeaderOutcome), row.reason)
		require.Zero(t, began, row.reason)
		if row.status == 503 {
			require.Equal(t, "1", w.Header().Get("Retry-After"), row.reason)
		}
	}
}

// What is said of a request that was begun and failed, and that a store keeps nothing of it.
func TestFailures(t *testing.T) {
	for _, row := range []struct {
		reason  string
		handle  func(ctx context.Context, r *reqresp.Request) (reqresp.Effect, error)
		status  int
		outcome string
	}{
		{"an error", fails(errors.New("of a database")), 500, "unknown"},
		{"a status", fails(retry.NewStatusError(507, nil)), 507, "unknown"},
		{"not now", fails(retry.NewStatusError(503, nil)), 503, "not-executed"},
		{"too much", fails(retry.NewStatusError(429, nil)), 429, "not-executed"},
		{"a final status", fails(retry.NewStatusError(403, nil)), 403, ""},
		{"no status", fails(retry.NewStatusError(99, nil)), 500, "unknown"},
		{"another server, of which it is known", fails(&reqresp.Error{Outcome: reqresp.NotExecuted, Err: errors.New("refused")}), 500, "not-executed"},
		{"another server, of which it is not", fails(&reqresp.Error{Err: retry.NewStatusError(503, nil)}), 503, "unknown"},
		{"a panic", func(context.Context, *reqresp.Request) (reqresp.Effect, error) { panic("oh") }, 500, "unknown"},
		{"an effect that fails", effect(func(tx reqresp.Tx) (*reqresp.Response, error) {
			tx.Put("account", []byte("7"))
			return nil, errors.New("oh")
		}), 500, "unknown"},
		{"an effect that panics", effect(func(tx reqresp.Tx) (*reqresp.Response, error) { tx.Put("account", []byte("7")); panic("oh") }), 500, "unknown"},
		{"an effect that answers 500", effect(func(tx reqresp.Tx) (*reqresp.Response, error) {
			tx.Put("account", []byte("7"))
			return &reqresp.Response{Status: 500}, nil
		}), 500, "unknown"},
		{"an effect that answers 503", effect(func(tx reqresp.Tx) (*reqresp.Response, error) {
			tx.Put("account", []byte("7"))
			return &reqresp.Response{Status: 503}, nil
		}), 503, "not-executed"},
		{"an effect whose answer is too long", effect(func(tx reqresp.Tx) (*reqresp.Response, error) {
			tx.Put("account", []byte("7"))
			return &reqresp.Response{Body: make([]byte, 1<<20+1)}, nil
		}), 500, "unknown"},
	} {
		for name, store := range stores(t) {
			b := &bank{}
			s := &reqresp.Server{Handle: row.handle, Store: store}
			post := func() *httptest.ResponseRecorder {
				r := httptest.NewRequest("POST", "/add", strings.NewReader("1"))
				r.Header.Set(reqresp.HeaderKey, "k")
				w := httptest.NewRecorder()
				s.Handler().ServeHTTP(w, r)
				return w
			}
			w := post()
			require.Equal(t, row.status, w.Code, "%s, %s", row.reason, name)
			require.Equal(t, row.outcome, w.Header().Get(reqresp.HeaderOutcome), "%s, %s", row.reason, name)
			s = &reqresp.Server{Handle: b.handle, Store: store}
			w = post()
			require.Equal(t, 201, w.Code, "the key is free: %s, %s", row.reason, name)
			require.Equal(t, "1", w.Body.String(), "nothing was changed: %s, %s", row.reason, name)
		}
	}
}

func fails(err error) func(context.Context, *reqresp.Request) (reqresp.Effect, error) {
	return func(context.Context, *reqresp.Request) (reqresp.Effect, error) { return nil, err }
}

func effect(e reqresp.Effect) func(context.Context, *reqresp.Request) (reqresp.Effect, error) {
	return func(context.Context, *reqresp.Request) (reqresp.Effect, error) { return e, nil }
}

func stores(t *testing.T) map[string]reqresp.Store {
	disk, err := reqresp.OpenDisk(filepath.Join(t.TempDir(), "answers"), reqresp.StoreOptions{MaxKeys: 3})
	require.NoError(t, err)
	t.Cleanup(func() { disk.Close() })
	return map[string]reqresp.Store{"memory": reqresp.NewMemory(reqresp.StoreOptions{MaxKeys: 3}), "disk": disk}
}

// Keys of one client are not another's.
func TestKeysAreOfAClient(t *testing.T) {
	b := &bank{}
	s := &reqresp.Server{Handle: b.handle, Authenticate: func(r *http.Request) (access.Identity, error) {
		return access.Everything(r.Header.Get("Client")), nil
	}}
	for _, client := range []string{"alice", "bob", "alice"} {
		r := httptest.NewRequest("POST", "/add", strings.NewReader("1"))
		r.Header.Set(reqresp.HeaderKey, "k")
		r.Header.Set("Client", client)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		require.Equal(t, 201, w.Code)
		require.Equal(t, map[string]string{"alice": "1", "bob": "2"}[client], w.Body.String())
	}
}

// A store of answers that is full refuses, and has room again when answers are forgotten.
func TestStoreIsBounded(t *testing.T) {
	for name, store := range stores(t) {
		now := time.Now()
		commit := func(key string) error {
			record, err := store.Commit(context.Background(), key, reqresp.Record{Until: now.Add(time.Hour)}, now,
				func(reqresp.Tx) (*reqresp.Response, error) { return &reqresp.Response{Body: []byte(key)}, nil })
			if err == nil {
				require.Equal(t, key, string(record.Answer.Body))
			}
			return err
		}
		for _, key := range []string{"a", "b", "c", "a"} {
			require.NoError(t, commit(key), name)
		}
		require.ErrorIs(t, commit("d"), reqresp.ErrFull, name)
		now = now.Add(time.Hour)
		require.NoError(t, commit("d"), name)
		record, err := store.Find(context.Background(), "a", now)
		require.NoError(t, err)
		require.Nil(t, record, name)
		record, err = store.Find(context.Background(), "d", now)
		require.NoError(t, err)
		require.Equal(t, 200, record.Answer.Status, name)
	}
}

// What was committed is there when the file is opened again; another's file is refused.
func TestDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "answers")
	now := time.Now()
	open := func() *reqresp.Disk {
		d, err := reqresp.OpenDisk(path, reqresp.StoreOptions{})
		require.NoError(t, err)
		return d
	}
	d := open()
	print := [32]byte{1, 2, 3}
	_, err := d.Commit(context.Background(), "k", reqresp.Record{Fingerprint: print, Until: now.Add(time.Hour)}, now,
		func(tx reqresp.Tx) (*reqresp.Response, error) {
			tx.Put("x", []byte("1"))
			tx.Put("y", nil)
			tx.Put("z", []byte("2"))
			tx.Delete("z")
			require.Equal(t, "1", string(tx.Get("x")))
			require.Nil(t, tx.Get("z"))
			return &reqresp.Response{Status: 402, Header: http.Header{"A": {"b"}}, Body: []byte("no")}, nil
		})
	require.NoError(t, err)
	require.NoError(t, d.Close())

	d = open()
	record, err := d.Find(context.Background(), "k", now)
	require.NoError(t, err)
	require.Equal(t, print, record.Fingerprint)
	require.Equal(t, reqresp.Response{Status: 402, Header: http.Header{"A": {"b"}}, Body: []byte("no")}, record.Answer)
	_, err = d.Commit(context.Background(), "", reqresp.Record{}, now, func(tx reqresp.Tx) (*reqresp.Response, error) {
		require.Equal(t, "1", string(tx.Get("x")))
		require.NotNil(t, tx.Get("y"))
		require.Nil(t, tx.Get("z"))
		return nil, nil
	})
	require.NoError(t, err)
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = d.Commit(cancelled, "late", reqresp.Record{}, now, func(reqresp.Tx) (*reqresp.Response, error) { t.Fatal("it ran"); return nil, nil })
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, d.Close())
	_, err = d.Find(context.Background(), "k", now)
	require.Error(t, err, "it is closed")
	_, err = reqresp.OpenDisk(path, reqresp.StoreOptions{MaxKeys: -1})
	require.ErrorContains(t, err, "reqresp: StoreOptions.MaxKeys is -1")
}

// More requests than MaxClients are refused at once, and repeated by their clients.
func TestTooManyAtOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		w.server.MaxClients = 2
		w.bank.wait = sec
		w.serve()
		w.balance()
		done := make(chan error, 3)
		for i := range 3 {
			time.Sleep(time.Duration(i) * ms)
			go func() {
				_, err := w.post(1, "")
				done <- err
			}()
		}
		for range 3 {
			require.NoError(w, <-done)
		}
		w.counts(4, 3, "the third was refused, and came again after a second")
		require.EqualValues(w, 1, w.server.Stats().Refused)
	}, sim.MayDiffer("calls at nearly one instant share a connection"))
}

func TestServerCheck(t *testing.T) {
	err := (&reqresp.Server{Retain: -1, MaxRequestBytes: 1 << 31, MaxClients: -1}).Check()
	for _, want := range []string{"reqresp: Server.Handle is nil: want a function", "reqresp: Server.Retain is -1ns",
		"reqresp: Server.MaxRequestBytes is 2147483648: want at most 1 GiB", "reqresp: Server.MaxClients is -1"} {
		require.ErrorContains(t, err, want)
	}
	require.Panics(t, func() { (&reqresp.Server{}).Handler() })
}
