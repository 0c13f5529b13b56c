package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/squall-sim/squall/patterns/internal/fields"
)

// Keys are the keys of [Signed]. The first one signs, all verify. To rotate the signing key without
// refusing a token, first distribute the new key to every verifier, then put it first, and remove
// the old one when its last token has expired.
type Keys interface {
	// Keys returns the keys. id is the key ID of the token to verify, or "". An implementation that
	// does not have that key can look for newer ones.
	Keys(ctx context.Context, id string) ([]Key, error)
}

// FixedKeys are keys that never change.
type FixedKeys []Key

// Keys implements [Keys].
func (k FixedKeys) Keys(context.Context, string) ([]Key, error) { return k, nil }

// Check returns an error that names each invalid key, or nil.
func (k FixedKeys) Check() error {
	if len(k) == 0 {
		return errors.New("session: FixedKeys is empty: want one key or more")
	}
	var all []error
	for i, key := range k {
		if err := key.Check(); err != nil {
			all = append(all, fmt.Errorf("[%d]: %w", i, err))
		}
	}
	return errors.Join(all...)
}

// CachedKeys are fetched from elsewhere and cached. If they cannot be fetched, the cached keys
// remain valid.
type CachedKeys struct {
	// Fetch returns the current keys.
	Fetch func(ctx context.Context) ([]Key, error)

	// MaxAge is the age after which the keys are fetched again. Zero: 5 min. A token with an
	// unknown key causes a fetch at once, but at most one each MinInterval, so that strangers
	// cannot cause load elsewhere. Zero: 10 s.
	MaxAge, MinInterval time.Duration

	// Timeout bounds Fetch. Zero: 5 s.
	Timeout time.Duration

	mu      sync.Mutex
	keys    []Key
	asked   time.Time     // when they were to be fetched last
	fetched time.Time     // when they were
	flight  chan struct{} // closed when a fetch that is under way has ended
	err     error         // of the last fetch
}

// Check returns an error that names each invalid setting and its value, or nil.
func (k *CachedKeys) Check() error {
	check := fields.Of("session: CachedKeys")
	if k.Fetch == nil {
		check.Bad("Fetch is nil: want a function that returns keys")
	}
	check.Duration("MaxAge", k.MaxAge)
	check.Duration("MinInterval", k.MinInterval)
	check.Duration("Timeout", k.Timeout)
	return check.Err()
}

// Keys implements [Keys]. It returns Fetch's error only if no keys are cached.
func (k *CachedKeys) Keys(ctx context.Context, id string) ([]Key, error) {
	if err := k.Check(); err != nil {
		return nil, err
	}
	k.mu.Lock()
	has := slices.ContainsFunc(k.keys, func(key Key) bool { return id == "" || key.ID == id })
	old := time.Since(k.fetched) >= cmp.Or(k.MaxAge, 5*time.Minute)
	may := k.asked.IsZero() || time.Since(k.asked) >= cmp.Or(k.MinInterval, 10*time.Second)
	if k.flight == nil && may && (old || !has) {
		k.asked = time.Now()
		k.flight = make(chan struct{})
		go k.fetch(context.WithoutCancel(ctx), k.flight)
	}
	keys, flight, err := k.keys, k.flight, k.err
	k.mu.Unlock()
	if has || flight == nil {
		return known(keys, err)
	}
	select {
	case <-flight:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return known(k.keys, k.err)
}

func known(keys []Key, err error) ([]Key, error) {
	if len(keys) == 0 && err == nil {
		err = errors.New("no keys")
	}
	if len(keys) > 0 {
		err = nil
	}
	return keys, err
}

func (k *CachedKeys) fetch(ctx context.Context, flight chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(k.Timeout, 5*time.Second))
	defer cancel()
	keys, err := k.Fetch(ctx)
	if err == nil {
		err = FixedKeys(keys).Check()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err = err; err == nil {
		k.keys, k.fetched = keys, time.Now()
	}
	k.flight = nil
	close(flight)
}

// Revocations are the tokens that one process knows to have ended early, each kept until it would
// have expired anyway. The zero value is empty. Its methods are those that [Signed] needs:
//
//	var ended session.Revocations
//	tokens := &session.Signed{Keys: keys, Revoke: ended.Revoke, Revoked: ended.Revoked}
//
// Other replicas must be notified, for example over publish/subscribe. Until then they accept the
// token.
type Revocations struct {
	// Now is the clock. Nil: time.Now.
	Now func() time.Time

	mu    sync.Mutex
	until map[string]time.Time
	sweep int // at so many, those that are over are forgotten
}

// Revoke records the ID of a token that has ended.
func (l *Revocations) Revoke(_ context.Context, id string, until time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.until == nil {
		l.until = map[string]time.Time{}
	}
	l.until[id] = until
	if t := now(l.Now); len(l.until) > max(l.sweep, 1000) {
		for id, until := range l.until {
			if !t.Before(until) {
				delete(l.until, id)
			}
		}
		l.sweep = 2 * len(l.until)
	}
	return nil
}

// Revoked reports whether a token is known to have ended early.
func (l *Revocations) Revoked(_ context.Context, id string) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, is := l.until[id]
	return is, nil
}
