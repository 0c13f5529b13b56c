package session

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Replicated is a [Store] that writes to one and reads from another, which follows it some time later. The token has the version that the client has
// seen, so that it reads what it has written (Terry et al., "Session guarantees for weakly consistent replicated data", 1994): a replica that is not so far is not believed, and the
// primary asked instead. If that cannot be asked, as after a failover to a replica that was behind, the error is
// [ErrStale]: an older state is not shown as the present one.
type Replicated struct {
	Primary Store // takes what is written, and is asked for what the other does not have yet
	Replica Store // follows
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

// Delete implements [Store]. The replica shows the session until it has heard of that.
func (s *Replicated) Delete(ctx context.Context, token string) error {
	inner, _ := cut(token)
	return s.Primary.Delete(ctx, inner)
}

func joined(token string, version uint64) string {
	return token + "~" + strconv.FormatUint(version, 10)
}

// cut takes a token apart. A version that is none is 0.
func cut(token string) (inner string, seen uint64) {
	i := strings.LastIndexByte(token, '~')
	if i < 0 {
		return token, 0
	}
	seen, _ = strconv.ParseUint(token[i+1:], 10, 64)
	return token[:i], seen
}
