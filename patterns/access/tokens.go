package access

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/squall-sim/squall/patterns/internal/fields"
)

// minKey is the least that a key may have, in bytes. An empty one is what becomes of a
// variable that was not set, and anybody can sign with it.
const minKey = 16

const maxLeeway = time.Hour

// Tokens signs identities and verifies them, with HMAC-SHA-256 and without a store:
// when all clients come back at once, each costs one hash. A token is valid until its
// Identity expires; it cannot be revoked earlier.
type Tokens struct {
	// Keys are secrets of 32 random bytes; a key of less than 16 bytes neither signs
	// nor verifies. The first key signs, and all verify. To rotate, put a new key
	// first, and remove the old one when its last token has expired.
	Keys [][]byte

	// Leeway is how long after its expiry a token is still accepted, so that a server whose clock
	// is ahead of the signer's does not refuse it too early. At most an hour; zero: none.
	Leeway time.Duration

	// Now is the wall clock by which tokens expire. Nil: time.Now. If the clock is set back,
	// expired tokens become valid again for as long. A clock that is read once and then continues
	// by the monotonic clock avoids that:
	//
	//	start := time.Now()
	//	now := func() time.Time { return start.Add(time.Since(start)) }
	Now func() time.Time
}

// Check returns an error that names each invalid setting, or nil. Call it when the server starts:
// without usable keys every request is answered with 500.
func (t Tokens) Check() error {
	check := fields.Of("access: Tokens")
	if len(t.Keys) == 0 {
		check.Bad("Keys is empty: want one key or more")
	}
	for i, key := range t.Keys {
		if len(key) < minKey {
			check.Bad("Keys[%d] has %d bytes: want at least %d", i, len(key), minKey)
		}
	}
	if t.Leeway < 0 || t.Leeway > maxLeeway {
		check.Bad("Leeway is %v: want 0 to %v", t.Leeway, maxLeeway)
	}
	return check.Err()
}

// claims is what a token carries.
type claims struct {
	Client  string    `json:"client"`
	Topics  []string  `json:"topics,omitempty"`
	Publish []string  `json:"publish,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
}

// Sign returns the identity as a token, for the header "Authorization: Bearer <token>".
// It returns an error if a key is too short, or if the identity has no Client or has
// filters that select nothing.
func (t Tokens) Sign(id Identity) (string, error) {
	if err := errors.Join(t.Check(), id.Check()); err != nil {
		return "", err
	}
	if id.Client == "" {
		return "", errors.New("access: Identity.Client is empty: want a name")
	}
	text, err := json.Marshal(claims(id))
	if err != nil {
		return "", fmt.Errorf("access: token: %w", err)
	}
	body := base64.RawURLEncoding.EncodeToString(text)
	return body + "." + base64.RawURLEncoding.EncodeToString(seal(t.Keys[0], body)), nil
}

// Authenticate is for the field Authenticate of servers. It takes the token from the
// header Authorization or, without one, from the query parameter "token", because
// browsers cannot set headers for a WebSocket or an EventSource. Queries end up in the
// logs of proxies.
func (t Tokens) Authenticate(r *http.Request) (Identity, error) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return t.Verify(r.URL.Query().Get("token"))
	}
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return Identity{}, fmt.Errorf("%w: Authorization is not a Bearer token", ErrUnauthorized)
	}
	return t.Verify(strings.TrimSpace(token))
}

// Verify returns the identity of a token. Its Expires is by the server's clock, time.Now, and
// includes the Leeway. The error is [ErrUnauthorized], unless the settings are invalid.
func (t Tokens) Verify(token string) (Identity, error) {
	if err := t.Check(); err != nil {
		return Identity{}, misconfigured{err}
	}
	if token == "" {
		return Identity{}, fmt.Errorf("%w: no token", ErrUnauthorized)
	}
	body, mac, _ := strings.Cut(token, ".")
	sum, err := base64.RawURLEncoding.Strict().DecodeString(mac)
	if err != nil || !t.sealed(body, sum) {
		return Identity{}, fmt.Errorf("%w: the token's signature is not of one of the keys", ErrUnauthorized)
	}
	text, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		return Identity{}, fmt.Errorf("%w: token: %w", ErrUnauthorized, err)
	}
	var c claims
	if err := json.Unmarshal(text, &c); err != nil {
		return Identity{}, fmt.Errorf("%w: token: %w", ErrUnauthorized, err)
	}
	id := Identity(c)
	if id.Expires.IsZero() {
		return id, nil
	}
	id.Expires = id.Expires.Add(t.Leeway)
	if t.Now != nil {
		id.Expires = time.Now().Add(id.Expires.Sub(t.Now()))
	}
	if id.Expired() {
		return Identity{}, fmt.Errorf("%w: the token has expired", ErrUnauthorized)
	}
	return id, nil
}

func (t Tokens) sealed(body string, sum []byte) bool {
	for _, key := range t.Keys {
		if hmac.Equal(sum, seal(key, body)) {
			return true
		}
	}
	return false
}

// seal binds the signature to its purpose, should the key serve others too.
func seal(key []byte, body string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("squall access token v1\x00" + body))
	return h.Sum(nil)
}
