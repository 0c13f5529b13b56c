package push

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
)

// Tokens signs identities and verifies them again, with HMAC-SHA-256 and no
// store: when all clients come back at once, each costs a hash. A token is valid
// until its Identity expires; it can not be revoked before.
type Tokens struct {
	// Keys are secrets of 32 random bytes or more. The first signs, all verify:
	// put a new key first, and drop the old one when its last token has expired.
	Keys [][]byte
}

// Sign returns the identity as a token, for the header
// "Authorization: Bearer <token>".
func (t Tokens) Sign(id Identity) (string, error) {
	if len(t.Keys) == 0 || len(t.Keys[0]) < 16 {
		return "", errors.New("push: Tokens.Keys: want a first key of at least 16 bytes")
	}
	if id.Client == "" {
		return "", errors.New("push: Identity.Client: empty")
	}
	claims, err := json.Marshal(id)
	if err != nil {
		return "", fmt.Errorf("push: token: %w", err)
	}
	body := base64.RawURLEncoding.EncodeToString(claims)
	return body + "." + base64.RawURLEncoding.EncodeToString(seal(t.Keys[0], body)), nil
}

// Authenticate is meant for ServerOptions.Authenticate. Browsers, which can not
// set headers on a WebSocket, may pass the token as query parameter "token";
// mind that queries end up in the logs of proxies.
func (t Tokens) Authenticate(r *http.Request) (Identity, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		token = r.URL.Query().Get("token")
	}
	body, mac, ok := strings.Cut(token, ".")
	if !ok {
		return Identity{}, errors.New("push: no token")
	}
	sum, err := base64.RawURLEncoding.DecodeString(mac)
	if err != nil || !t.sealed(body, sum) {
		return Identity{}, errors.New("push: token: bad signature")
	}
	claims, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		return Identity{}, fmt.Errorf("push: token: %w", err)
	}
	var id Identity
	if err := json.Unmarshal(claims, &id); err != nil {
		return Identity{}, fmt.Errorf("push: token: %w", err)
	}
	if !id.Expires.IsZero() && !time.Now().Before(id.Expires) {
		return Identity{}, errors.New("push: token: expired")
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
	h.Write([]byte("push token v1\x00" + body))
	return h.Sum(nil)
}
