package session

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/squall-sim/squall/patterns/internal/fields"
)

// maxTokenBytes is the size of a cookie that browsers store, including name and attributes (RFC
// 6265, section 6.1), minus the size of those.
const maxTokenBytes = 4096 - 256

const maxLeeway = time.Hour

// Signed is a [Store] that stores nothing. The session is in its token, a signed JSON Web Token
// (RFC 7519), which any replica with the keys can verify. Everybody can read it, and nobody can
// change it. The price:
//
//   - If two requests change a session at the same time, the one whose answer arrives last wins: Save never fails with
//     [ErrConflict].
//   - A token is valid until it expires, at most the Manager's IdleTimeout after it was signed, even after a logout, unless
//     Revoked says otherwise.
//   - A session has at most about 2,700 bytes, because a cookie has 4 KiB.
type Signed struct {
	// Keys sign and verify.
	Keys Keys

	// Issuer and Audience, if not empty, are written into each token and required in each token.
	Issuer, Audience string

	// Leeway is how long after its expiry, and how long before its signing, a token is accepted, so
	// that a server whose clock differs from the signer's does not refuse it. At most an hour;
	// zero: none.
	Leeway time.Duration

	// Now is the clock by which tokens expire. Nil: time.Now. See [Manager].Now.
	Now func() time.Time

	// Revoke is called with the ID of a token that ends early, and the time until which that must
	// be remembered. Revoked reports whether a token has ended. Either can be nil. See
	// [Revocations].
	Revoke  func(ctx context.Context, id string, until time.Time) error
	Revoked func(ctx context.Context, id string) (bool, error)
}

// claims are what a token carries. The times of RFC 7519 are whole seconds, rounded down.
type claims struct {
	jwt.RegisteredClaims
	Values  map[string]string `json:"values,omitempty"`
	Created int64             `json:"created"` // Unix, in ns
	Seen    int64             `json:"seen"`
	Version uint64            `json:"version"`
}

// Check returns an error that names each invalid setting and its value, or nil.
func (t *Signed) Check() error {
	check := fields.Of("session: Signed")
	if t.Keys == nil {
		check.Bad("Keys is nil: want keys that sign and verify")
	}
	if fixed, ok := t.Keys.(FixedKeys); ok {
		if err := fixed.Check(); err != nil {
			check.Bad("Keys: %v", err)
		}
	}
	if t.Leeway < 0 || t.Leeway > maxLeeway {
		check.Bad("Leeway is %v: want 0 to %v", t.Leeway, maxLeeway)
	}
	return check.Err()
}

// Load implements [Store]. The error for a token that is not accepted is [ErrNone], which wraps
// the reason.
func (t *Signed) Load(ctx context.Context, token string) (Record, error) {
	c, err := t.verify(ctx, token)
	if err != nil {
		return Record{}, err
	}
	return Record{
		User: c.Subject, Values: c.Values, Version: c.Version,
		Created: time.Unix(0, c.Created), Seen: time.Unix(0, c.Seen), Expires: c.ExpiresAt.Time,
	}, nil
}

func (t *Signed) verify(ctx context.Context, token string) (*claims, error) {
	if err := t.Check(); err != nil {
		return nil, err
	}
	if len(token) > maxTokenBytes {
		return nil, fmt.Errorf("%w: a token of %d bytes: want at most %d", ErrNone, len(token), maxTokenBytes)
	}
	options := []jwt.ParserOption{
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg(), jwt.SigningMethodEdDSA.Alg()}),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithStrictDecoding(),
		jwt.WithLeeway(t.Leeway), jwt.WithTimeFunc(func() time.Time { return now(t.Now) }),
	}
	if t.Issuer != "" {
		options = append(options, jwt.WithIssuer(t.Issuer))
	}
	if t.Audience != "" {
		options = append(options, jwt.WithAudience(t.Audience))
	}
	c := &claims{}
	var noKeys error
	_, err := jwt.NewParser(options...).ParseWithClaims(token, c, func(unverified *jwt.Token) (any, error) {
		id, _ := unverified.Header["kid"].(string)
		keys, err := t.Keys.Keys(ctx, id)
		if err != nil {
			noKeys = err
			return nil, err
		}
		return verifiers(keys), nil
	})
	switch {
	case noKeys != nil:
		return nil, fmt.Errorf("session: Signed.Keys: %w", noKeys)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	case t.Revoked == nil:
		return c, nil
	}
	revoked, err := t.Revoked(ctx, c.ID)
	if err == nil && revoked {
		err = fmt.Errorf("%w: it was revoked", ErrNone)
	}
	return c, err
}

// verifiers returns the keys in the library's form. The library checks their types, so a public key
// cannot be used as the secret of an HMAC.
func verifiers(keys []Key) (set jwt.VerificationKeySet) {
	for _, k := range keys {
		set.Keys = append(set.Keys, k.verifies())
	}
	return set
}

// Save implements [Store]. It returns a different token each time.
func (t *Signed) Save(ctx context.Context, _ string, r Record) (string, error) {
	if err := t.Check(); err != nil {
		return "", err
	}
	keys, err := t.Keys.Keys(ctx, "")
	if err != nil {
		return "", fmt.Errorf("session: Signed.Keys: %w", err)
	}
	if len(keys) == 0 || keys[0].signs() == nil {
		return "", errors.New("session: Signed.Keys: the first key cannot sign")
	}
	c := claims{
		RegisteredClaims: jwt.RegisteredClaims{
			ID: rand.Text(), Subject: r.User, Issuer: t.Issuer,
			ExpiresAt: jwt.NewNumericDate(r.Expires), IssuedAt: jwt.NewNumericDate(now(t.Now)),
		},
		Values: r.Values, Created: r.Created.UnixNano(), Seen: r.Seen.UnixNano(), Version: r.Version + 1,
	}
	if t.Audience != "" {
		c.Audience = jwt.ClaimStrings{t.Audience}
	}
	unsigned := jwt.NewWithClaims(keys[0].method(), c)
	if keys[0].ID != "" {
		unsigned.Header["kid"] = keys[0].ID
	}
	token, err := unsigned.SignedString(keys[0].signs())
	if err != nil {
		return "", fmt.Errorf("session: Signed: %w", err)
	}
	if len(token) > maxTokenBytes {
		return "", fmt.Errorf("%w: the token has %d bytes: want at most %d", ErrTooLarge, len(token), maxTokenBytes)
	}
	return token, nil
}

// Renew implements [Store].
func (t *Signed) Renew(ctx context.Context, token string, r Record) (string, error) {
	renewed, err := t.Save(ctx, "", r)
	if err != nil {
		return "", err
	}
	return renewed, t.Delete(ctx, token)
}

// Delete implements [Store]: it revokes the token, if Revoke is set.
func (t *Signed) Delete(ctx context.Context, token string) error {
	if t.Revoke == nil {
		return nil
	}
	c, err := t.verify(ctx, token)
	if errors.Is(err, ErrNone) {
		return nil
	}
	if err != nil {
		return err
	}
	return t.Revoke(ctx, c.ID, c.ExpiresAt.Add(t.Leeway))
}

// A Key signs tokens, verifies them, or both. It has either a Secret, for HMAC-SHA-256, which does
// both, or one or both halves of an Ed25519 key pair, of which Public alone cannot sign.
type Key struct {
	ID      string             // names the key in its tokens, so that a verifier that does not know it can look for it
	Secret  []byte             // at least 32 random bytes
	Private ed25519.PrivateKey // signs and verifies
	Public  ed25519.PublicKey  // verifies; nil: derived from Private
}

// minSecret is the size of SHA-256's output, which RFC 7518, section 3.2 demands.
const minSecret = 32

// Check returns an error that says why the key is invalid, or nil.
func (k Key) Check() error {
	check := fields.Of("session: Key")
	pair := k.Private != nil || k.Public != nil
	switch {
	case (k.Secret != nil) == pair:
		check.Bad("Secret, Private and Public: want a Secret, or one or both of the others")
	case !pair && len(k.Secret) < minSecret:
		check.Bad("Secret has %d bytes: want at least %d", len(k.Secret), minSecret)
	case k.Private != nil && len(k.Private) != ed25519.PrivateKeySize:
		check.Bad("Private has %d bytes: want %d", len(k.Private), ed25519.PrivateKeySize)
	case k.Public != nil && len(k.Public) != ed25519.PublicKeySize:
		check.Bad("Public has %d bytes: want %d", len(k.Public), ed25519.PublicKeySize)
	case k.Private != nil && k.Public != nil && !k.Public.Equal(k.Private.Public()):
		check.Bad("Public is not that of Private")
	}
	return check.Err()
}

func (k Key) method() jwt.SigningMethod {
	if k.Secret != nil {
		return jwt.SigningMethodHS256
	}
	return jwt.SigningMethodEdDSA
}

func (k Key) verifies() jwt.VerificationKey {
	switch {
	case k.Secret != nil:
		return k.Secret
	case k.Public != nil:
		return k.Public
	default:
		return k.Private.Public()
	}
}

// signs returns what to sign with, or nil.
func (k Key) signs() any {
	switch {
	case k.Secret != nil:
		return k.Secret
	case k.Private != nil:
		return k.Private
	default:
		return nil
	}
}
