package session

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Replicated is a [Store] that writes to one store and reads from another, which follows it with a
// delay. The token contains the version that the client has seen, so that a client reads its own
// writes (Terry et al., "Session guarantees for weakly consistent replicated data", 1994). If the
// replica has an older version, the primary is asked. If the primary is unavailable, as after a
// failover to a replica that was behind, the error is [ErrStale]: an old state is never presented
// as the current one.
type Replicated struct {
	Primary Store // takes writes, and reads of what the replica does not have yet
	Replica Store // follows the primary
}

// Load implements [Store].
func (s *Replicated) Load(ctx context.Context, token string) (Record, error) {
	inner, seen := cut(token)
	r, err := s.Replica.Load(ctx, inner)
	if err == nil && r.Version >= seen {
		return r, nil
	}
	r, failed := s.Primary.Load(ctx, inner)
	if errors.Is(failed, ErrNone) || failed == nil && r.Version >= seen {
		return r, failed
	}
	if failed == nil {
		failed = fmt.Errorf("it has version %d, and the client has seen %d", r.Version, seen)
	}
	if err == nil || errors.Is(err, ErrNone) {
		return Record{}, fmt.Errorf("%w: %w", ErrStale, failed)
	}
	return Record{}, failed
}

// Save implements [Store].
func (s *Replicated) Save(ctx context.Context, token string, r Record) (string, error) {
	inner, _ := cut(token)
	inner, err := s.Primary.Save(ctx, inner, r)
	return joined(inner, r.Version+1), err
}

// Renew implements [Store].
func (s *Replicated) Renew(ctx context.Context, token string, r Record) (string, error) {
	inner, _ := cut(token)
	inner, err := s.Primary.Renew(ctx, inner, r)
	return joined(inner, r.Version+1), err
}

// Delete implements [Store]. The replica shows the session until the deletion has
// reached it.
func (s *Replicated) Delete(ctx context.Context, token string) error {
	inner, _ := cut(token)
	return s.Primary.Delete(ctx, inner)
}

func joined(token string, version uint64) string {
	return token + "~" + strconv.FormatUint(version, 10)
}

// cut splits a token. An invalid version counts as 0.
func cut(token string) (inner string, seen uint64) {
	i := strings.LastIndexByte(token, '~')
	if i < 0 {
		return token, 0
	}
	seen, _ = strconv.ParseUint(token[i+1:], 10, 64)
	return token[:i], seen
}
