package session_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"github.com/squall-sim/squall/patterns/session"
)

// stores are those that keep sessions themselves.
var stores = map[string]func(t *testing.T) session.Store{
	"memory": func(*testing.T) session.Store { return &session.Memory{} },
	"disk": func(t *testing.T) session.Store {
		d, err := session.OpenDisk(filepath.Join(t.TempDir(), "sessions"), nil)
		require.NoError(t, err)
		t.Cleanup(func() { d.Close() })
		return d
	},
	"replicated": func(*testing.T) session.Store {
		m := &session.Memory{}
		return &session.Replicated{Primary: m, Replica: m}
	},
}

func record(user string, values ...string) session.Record {
	r := session.Record{User: user, Values: map[string]string{}, Created: time.Now(), Seen: time.Now(), Expires: time.Now().Add(time.Hour)}
	for i := 0; i < len(values); i += 2 {
		r.Values[values[i]] = values[i+1]
	}
	return r
}

// each runs a test with every store, in a bubble.
func each(t *testing.T, test func(t *testing.T, s session.Store)) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, open(t)) })
		})
	}
}

func TestStores(t *testing.T) {
	each(t, func(t *testing.T, s session.Store) {
		ctx := t.Context()
		_, err := s.Load(ctx, "nobody")
		require.ErrorIs(t, err, session.ErrNone)
		_, err = s.Save(ctx, "mine", record("ann"))
		require.ErrorIs(t, err, session.ErrNone, "a token that a client has made up")

		r := record("ann", "cart", "apple")
		token, err := s.Save(ctx, "", r)
		require.NoError(t, err)
		r.Values["cart"] = "changed by its owner"
		got, err := s.Load(ctx, token)
		require.NoError(t, err)
		require.EqualValues(t, 1, got.Version)
		require.Equal(t, "apple", got.Values["cart"])
		require.True(t, got.Expires.Equal(r.Expires) && got.Created.Equal(r.Created) && got.Seen.Equal(r.Seen))

		got.Values["cart"] = "not saved"
		got, err = s.Load(ctx, token)
		require.NoError(t, err)
		require.Equal(t, "apple", got.Values["cart"])

		first := got
		got.Values["cart"] = "pear"
		token, err = s.Save(ctx, token, got)
		require.NoError(t, err)
		_, err = s.Save(ctx, token, first)
		require.ErrorIs(t, err, session.ErrConflict, "version 1 again")
		_, err = s.Renew(ctx, token, first)
		require.ErrorIs(t, err, session.ErrConflict)

		got, err = s.Load(ctx, token)
		require.NoError(t, err)
		require.Equal(t, "pear", got.Values["cart"])
		renewed, err := s.Renew(ctx, token, got)
		require.NoError(t, err)
		require.NotEqual(t, token, renewed)
		_, err = s.Load(ctx, token)
		require.ErrorIs(t, err, session.ErrNone)
		_, err = s.Save(ctx, token, got)
		require.ErrorIs(t, err, session.ErrNone)
		got, err = s.Load(ctx, renewed)
		require.NoError(t, err)
		require.EqualValues(t, 3, got.Version)

		require.NoError(t, s.Delete(ctx, renewed))
		require.NoError(t, s.Delete(ctx, renewed), "again")
		_, err = s.Save(ctx, renewed, got)
		require.ErrorIs(t, err, session.ErrNone, "what has ended stays ended")
	})
}

func TestStoresForget(t *testing.T) {
	each(t, func(t *testing.T, s session.Store) {
		token, err := s.Save(t.Context(), "", record("ann"))
		require.NoError(t, err)
		time.Sleep(time.Hour - 1)
		r, err := s.Load(t.Context(), token)
		require.NoError(t, err)
		time.Sleep(1)
		_, err = s.Load(t.Context(), token)
		require.ErrorIs(t, err, session.ErrNone)
		_, err = s.Save(t.Context(), token, r)
		require.ErrorIs(t, err, session.ErrNone)
	})
}

// What is over makes place, and the file does not grow.
func TestStoresDoNotGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &session.Memory{MaxSessions: 5}
		for range 3 {
			for range 5 {
				_, err := m.Save(t.Context(), "", record("ann"))
				require.NoError(t, err)
			}
			time.Sleep(time.Hour - 500*time.Millisecond)
			for range 2 { // the second time they are over, but were looked through half a second ago
				_, err := m.Save(t.Context(), "", record("ann"))
				require.ErrorIs(t, err, session.ErrFull)
				time.Sleep(500 * time.Millisecond)
			}
		}
		many := &session.Memory{}
		path := filepath.Join(t.TempDir(), "sessions")
		d, err := session.OpenDisk(path, nil)
		require.NoError(t, err)
		defer d.Close()
		var tokens []string
		for i := range 3000 {
			r := record("ann")
			r.Expires = time.Now().Add(time.Minute)
			_, err := many.Save(t.Context(), "", r)
			require.NoError(t, err)
			if i < 60 {
				token, err := d.Save(t.Context(), "", r)
				require.NoError(t, err)
				tokens = append(tokens, token)
			}
			time.Sleep(time.Second)
		}
		require.Less(t, many.Len(), 1100, "60 are alive, and a thousand may lie about")
		require.Len(t, tokens, 60)
		for range 20 {
			_, err := d.Save(t.Context(), "", record("ann"))
			require.NoError(t, err)
		}
		require.Equal(t, 20, session.Stored(t, d), "each removed up to four that were over")
	})
}

func TestDiskSurvives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sessions")
	d, err := session.OpenDisk(path, nil)
	require.NoError(t, err)
	token, err := d.Save(t.Context(), "", record("ann", "cart", "apple"))
	require.NoError(t, err)
	require.NoError(t, d.Close())
	_, err = d.Load(t.Context(), token)
	require.Error(t, err)
	require.NotErrorIs(t, err, session.ErrNone, "a closed store knows nothing of who is logged in")

	d, err = session.OpenDisk(path, nil)
	require.NoError(t, err)
	defer d.Close()
	r, err := d.Load(t.Context(), token)
	require.NoError(t, err)
	require.Equal(t, "ann", r.User)
	require.False(t, session.FileHas(t, path, token), "who reads the file must not find tokens")
	require.True(t, session.FileHas(t, path, "apple"), "the test looks right")
}

func TestReplicated(t *testing.T) {
	primary, replica := &session.Memory{}, &scripted{}
	s := &session.Replicated{Primary: primary, Replica: replica}
	ctx := t.Context()
	token, err := s.Save(ctx, "", record("ann"))
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(token, "~1"), token)

	replica.err = session.ErrNone // it has not heard of it
	r, err := s.Load(ctx, token)
	require.NoError(t, err)
	second, err := s.Save(ctx, token, r)
	require.NoError(t, err)
	replica.r, replica.err = r, nil // it has the first version
	r, err = s.Load(ctx, token)
	require.NoError(t, err)
	require.EqualValues(t, 1, r.Version, "that is as much as this token has seen")
	r, err = s.Load(ctx, second)
	require.NoError(t, err)
	require.EqualValues(t, 2, r.Version)

	s.Primary = &scripted{err: context.DeadlineExceeded}
	_, err = s.Load(ctx, second)
	require.ErrorIs(t, err, session.ErrStale)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	s.Primary = replica // which has taken over
	_, err = s.Load(ctx, second)
	require.ErrorIs(t, err, session.ErrStale)
	_, err = s.Load(ctx, token)
	require.NoError(t, err)
}

// scripted is a store that returns what it is told to.
type scripted struct {
	session.Store
	r     session.Record
	err   error
	delay time.Duration
	mu    sync.Mutex
	loads int
}

func (s *scripted) Load(ctx context.Context, token string) (session.Record, error) {
	s.mu.Lock()
	s.loads++
	s.mu.Unlock()
	if s.delay > 0 {
		select {
		case <-time.After(s.delay):
		case <-ctx.Done():
			return session.Record{}, ctx.Err()
		}
	}
	if s.err != nil || s.Store == nil {
		return s.r, s.err
	}
	return s.Store.Load(ctx, token)
}

func (s *scripted) Save(ctx context.Context, token string, r session.Record) (string, error) {
	if s.err != nil {
		return "", s.err
	}
	return s.Store.Save(ctx, token, r)
}

func (s *scripted) Renew(ctx context.Context, token string, r session.Record) (string, error) {
	if s.err != nil {
		return "", s.err
	}
	return s.Store.Renew(ctx, token, r)
}

func (s *scripted) Delete(ctx context.Context, token string) error {
	if s.err != nil {
		return s.err
	}
	return s.Store.Delete(ctx, token)
}

func secret(letter string) []byte { return []byte(strings.Repeat(letter, 32)) }

func TestTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pub, priv, err := ed25519.GenerateKey(nil)
		require.NoError(t, err)
		for _, keys := range [][2]session.FixedKeys{
			{{{Secret: secret("a")}}, {{Secret: secret("a")}}},
			{{{ID: "1", Private: priv}}, {{ID: "2", Secret: secret("b")}, {ID: "1", Public: pub}}},
		} {
			signer := &session.Signed{Keys: keys[0], Issuer: "us", Audience: "shop"}
			verifier := &session.Signed{Keys: keys[1], Issuer: "us", Audience: "shop"}
			r := record("ann", "cart", "apple")
			token, err := signer.Save(t.Context(), "", r)
			require.NoError(t, err)
			got, err := verifier.Load(t.Context(), token)
			require.NoError(t, err)
			require.Equal(t, "ann", got.User)
			require.Equal(t, r.Values, got.Values)
			require.True(t, got.Created.Equal(r.Created) && got.Seen.Equal(r.Seen) && got.Expires.Equal(r.Expires.Truncate(time.Second)))
			for _, other := range []*session.Signed{
				{Keys: session.FixedKeys{{ID: "1", Secret: secret("c")}}, Issuer: "us", Audience: "shop"},
				{Keys: keys[1], Issuer: "them", Audience: "shop"}, {Keys: keys[1], Issuer: "us", Audience: "bank"},
				// The public half of a pair as the secret of an HMAC, and the ID of a key of the other kind.
				{Keys: session.FixedKeys{{ID: "1", Secret: pub}}, Issuer: "us", Audience: "shop"},
			} {
				_, err := other.Load(t.Context(), token)
				require.ErrorIs(t, err, session.ErrNone)
			}
			for _, bad := range []string{"", "x", "..", token[:len(token)-1], token + "A", strings.Replace(token, ".", ".A", 1), strings.Repeat("a", 5000)} {
				_, err := verifier.Load(t.Context(), bad)
				require.ErrorIs(t, err, session.ErrNone, bad)
			}
		}
		s := &session.Signed{Keys: session.FixedKeys{{Secret: secret("a")}}}
		_, err = s.Save(t.Context(), "", record("ann", "cart", strings.Repeat("x", 4000)))
		require.ErrorIs(t, err, session.ErrTooLarge)
		_, err = (&session.Signed{Keys: session.FixedKeys{{ID: "1", Public: pub}}}).Save(t.Context(), "", record("ann"))
		require.ErrorContains(t, err, "cannot sign")
	})
}

// What has the right signature, or could be taken for it, and is no token of ours.
func TestForeignTokens(t *testing.T) {
	pub, priv, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	s := &session.Signed{Keys: session.FixedKeys{{ID: "1", Public: pub}, {ID: "2", Secret: secret("a")}}}
	future := jwt.NewNumericDate(time.Now().Add(time.Hour))
	for name, token := range map[string]func() (string, error){
		"no expiry": func() (string, error) {
			return jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{Subject: "ann"}).SignedString(secret("a"))
		},
		"the public key as a secret": func() (string, error) {
			return jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.RegisteredClaims{Subject: "ann", ExpiresAt: future}).SignedString([]byte(pub))
		},
		"another algorithm": func() (string, error) {
			return jwt.NewWithClaims(jwt.SigningMethodHS512, jwt.RegisteredClaims{Subject: "ann", ExpiresAt: future}).SignedString(secret("a"))
		},
		"no algorithm": func() (string, error) {
			return jwt.NewWithClaims(jwt.SigningMethodNone, jwt.RegisteredClaims{Subject: "ann", ExpiresAt: future}).SignedString(jwt.UnsafeAllowNoneSignatureType)
		},
	} {
		text, err := token()
		require.NoError(t, err)
		_, err = s.Load(t.Context(), text)
		require.ErrorIs(t, err, session.ErrNone, name)
	}
	text, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.RegisteredClaims{Subject: "ann", ExpiresAt: future}).SignedString(priv)
	require.NoError(t, err)
	_, err = s.Load(t.Context(), text)
	require.NoError(t, err)
}

// The edges of a token's time, on clocks that differ from that of who signed it.
func TestTokensByTheClock(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	signer := &session.Signed{Keys: session.FixedKeys{{Secret: secret("a")}}, Now: func() time.Time { return start }}
	r := session.Record{Created: start, Seen: start, Expires: start.Add(time.Hour)}
	token, err := signer.Save(t.Context(), "", r)
	require.NoError(t, err)
	for _, row := range []struct {
		leeway, clock time.Duration
		good          bool
	}{
		{0, 0, true}, {0, -1, false}, // not yet signed
		{0, time.Hour - 1, true}, {0, time.Hour, false},
		{20 * time.Second, -20 * time.Second, true}, {20 * time.Second, -20*time.Second - 1, false},
		{20 * time.Second, time.Hour + 20*time.Second - 1, true}, {20 * time.Second, time.Hour + 20*time.Second, false},
	} {
		v := &session.Signed{Keys: signer.Keys, Leeway: row.leeway, Now: func() time.Time { return start.Add(row.clock) }}
		_, err := v.Load(t.Context(), token)
		require.Equal(t, row.good, err == nil, "%+v: %v", row, err)
	}
}

func TestRevocations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended session.Revocations
		s := &session.Signed{Keys: session.FixedKeys{{Secret: secret("a")}}, Revoke: ended.Revoke, Revoked: ended.Revoked}
		token, err := s.Save(t.Context(), "", record("ann"))
		require.NoError(t, err)
		other, err := s.Save(t.Context(), "", record("ann"))
		require.NoError(t, err)
		require.NoError(t, s.Delete(t.Context(), token))
		_, err = s.Load(t.Context(), token)
		require.ErrorIs(t, err, session.ErrNone)
		_, err = s.Load(t.Context(), other)
		require.NoError(t, err)
		require.NoError(t, s.Delete(t.Context(), "made up"))
		for range 3000 { // an hour is how long each has to be known
			token, err := s.Save(t.Context(), "", record("ann"))
			require.NoError(t, err)
			require.NoError(t, s.Delete(t.Context(), token))
			time.Sleep(time.Hour / 100)
		}
		require.Less(t, ended.Len(), 1200)
	})
}

func TestCachedKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		served, fetches, fails := session.FixedKeys{{ID: "1", Secret: secret("a")}}, 0, false
		cache := &session.CachedKeys{Fetch: func(ctx context.Context) ([]session.Key, error) {
			fetches++
			time.Sleep(100 * time.Millisecond)
			if fails {
				return nil, context.DeadlineExceeded
			}
			return served, nil
		}}
		ids := func(id string) (all []string) {
			keys, err := cache.Keys(t.Context(), id)
			require.NoError(t, err)
			for _, k := range keys {
				all = append(all, k.ID)
			}
			return all
		}
		var together sync.WaitGroup
		for range 5 {
			together.Go(func() { ids("") })
		}
		together.Wait()
		require.Equal(t, 1, fetches, "all wait for the same")

		served = session.FixedKeys{{ID: "2", Secret: secret("b")}, {ID: "1", Secret: secret("a")}}
		require.Equal(t, []string{"1"}, ids("2"), "10 s have not passed")
		time.Sleep(10 * time.Second)
		require.Equal(t, []string{"2", "1"}, ids("2"))
		for range 100 {
			ids("made up")
			time.Sleep(100 * time.Millisecond)
		}
		require.LessOrEqual(t, fetches, 4, "strangers do not make load")

		fails = true
		time.Sleep(time.Hour)
		asked := time.Now()
		require.Equal(t, []string{"2", "1"}, ids(""), "they stay good, and another fetch begins")
		require.Zero(t, time.Since(asked), "for which nobody waits who has a key")
		require.Equal(t, []string{"2", "1"}, ids("made up"))

		broken := &session.CachedKeys{Fetch: cache.Fetch}
		_, err := broken.Keys(t.Context(), "")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = broken.Keys(t.Context(), "")
		require.ErrorIs(t, err, context.DeadlineExceeded, "and is not asked again at once")
		time.Sleep(10 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		asked = time.Now()
		_, err = broken.Keys(ctx, "")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 50*time.Millisecond, time.Since(asked), "the fetch takes twice as long")
		time.Sleep(10 * time.Second)
		synctest.Wait() // the fetch, for which nobody waited, has read fails
		fails = false
		_, err = broken.Keys(t.Context(), "")
		require.NoError(t, err)
	})
}

func TestPick(t *testing.T) {
	const keys = 10_000
	var nodes []string
	for i := range 10 {
		nodes = append(nodes, fmt.Sprint("replica", i))
	}
	owners := func(nodes []string) []string {
		all := make([]string, keys)
		for i := range all {
			all[i] = session.Pick(fmt.Sprint("key", i), nodes)
		}
		return all
	}
	before, loads := owners(nodes), map[string]int{}
	for _, n := range before {
		loads[n]++
	}
	for _, n := range nodes {
		require.InDelta(t, keys/10, loads[n], 0.15*keys/10, n)
	}
	backwards := append([]string{}, nodes...)
	for i := range backwards {
		backwards[i] = nodes[len(nodes)-1-i]
	}
	require.Equal(t, before, owners(backwards))

	more, moved := owners(append(nodes, "replica10")), 0
	for i := range before {
		if more[i] != before[i] {
			require.Equal(t, "replica10", more[i])
			moved++
		}
	}
	require.InDelta(t, keys/11, moved, 0.15*keys/11)
	for i, n := range owners(nodes[1:]) {
		require.True(t, n == before[i] || before[i] == "replica0")
	}
	require.Empty(t, session.Pick("key", nil))
}

// What a peer sends is refused, not believed, and does no harm.
func FuzzTokens(f *testing.F) {
	s := &session.Signed{Keys: session.FixedKeys{{ID: "1", Secret: secret("a")}}}
	good, err := s.Save(f.Context(), "", session.Record{User: "ann", Created: time.Now(), Seen: time.Now(), Expires: time.Now().Add(time.Hour)})
	require.NoError(f, err)
	f.Add(good)
	f.Add(good + "~1")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add("a.b.c")
	f.Add("")
	f.Fuzz(func(t *testing.T, token string) {
		r, err := s.Load(t.Context(), token)
		if err == nil && token != good {
			t.Fatalf("%q was accepted as %+v", token, r)
		}
		if err != nil {
			require.ErrorIs(t, err, session.ErrNone)
		}
		m := &session.Memory{}
		_, err = (&session.Replicated{Primary: m, Replica: m}).Load(t.Context(), token)
		require.ErrorIs(t, err, session.ErrNone)
	})
}
