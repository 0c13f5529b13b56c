package webhook

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// A Key signs or verifies: a secret shared by both sides, or one half of an ed25519 pair. Create
// one with [ParseKey], [NewSecret] or [NewPair]. Printing a Key does not reveal it.
type Key struct {
	secret  []byte
	private ed25519.PrivateKey
	public  ed25519.PublicKey
}

const (
	secretPrefix  = "whsec_"
	privatePrefix = "whsk_"
	publicPrefix  = "whpk_"

	minSecretBytes, maxSecretBytes = 24, 64
)

// ParseKey parses a key in its usual text form: whsec_ and a secret of 24 to 64 bytes, whsk_ and an
// ed25519 private key (64 bytes, or its seed of 32), or whpk_ and a public key of 32 bytes, each in
// standard base64 with padding. Without a prefix it is a secret.
func ParseKey(text string) (Key, error) {
	decode := func(prefix string) ([]byte, error) {
		b, err := base64.StdEncoding.Strict().DecodeString(strings.TrimPrefix(text, prefix))
		if err != nil {
			return nil, fmt.Errorf("webhook: key of %d characters: want %s and padded standard base64", len(text), prefix) // without the key
		}
		return b, nil
	}
	switch {
	case strings.HasPrefix(text, privatePrefix):
		b, err := decode(privatePrefix)
		if err != nil {
			return Key{}, err
		}
		switch len(b) {
		case ed25519.SeedSize:
			b = ed25519.NewKeyFromSeed(b)
		case ed25519.PrivateKeySize:
			if !ed25519.PrivateKey(b).Equal(ed25519.NewKeyFromSeed(b[:ed25519.SeedSize])) {
				return Key{}, errors.New("webhook: private key: its public half is another's")
			}
		default:
			return Key{}, fmt.Errorf("webhook: private key has %d bytes: want %d or %d", len(b), ed25519.PrivateKeySize, ed25519.SeedSize)
		}
		return Key{private: b, public: ed25519.PrivateKey(b).Public().(ed25519.PublicKey)}, nil
	case strings.HasPrefix(text, publicPrefix):
		b, err := decode(publicPrefix)
		if err == nil && len(b) != ed25519.PublicKeySize {
			err = fmt.Errorf("webhook: public key has %d bytes: want %d", len(b), ed25519.PublicKeySize)
		}
		if err != nil {
			return Key{}, err
		}
		return Key{public: b}, nil
	}
	b, err := decode(secretPrefix)
	if err == nil && (len(b) < minSecretBytes || len(b) > maxSecretBytes) {
		err = fmt.Errorf("webhook: secret has %d bytes: want %d to %d", len(b), minSecretBytes, maxSecretBytes)
	}
	if err != nil {
		return Key{}, err
	}
	return Key{secret: b}, nil
}

// NewSecret generates a secret of 32 bytes and returns it in the form that [ParseKey]
// accepts.
func NewSecret() string {
	b := make([]byte, 32)
	rand.Read(b)
	return secretPrefix + base64.StdEncoding.EncodeToString(b)
}

// NewPair generates an ed25519 pair and returns the sender's half and the receiver's, in the forms
// that [ParseKey] accepts.
func NewPair() (private, public string) {
	pub, priv, _ := ed25519.GenerateKey(nil) // crypto/rand does not fail
	return privatePrefix + base64.StdEncoding.EncodeToString(priv), publicPrefix + base64.StdEncoding.EncodeToString(pub)
}

// Static returns a function for a field Keys that always returns the same keys.
func Static(keys ...Key) func() []Key { return func() []Key { return keys } }

// String returns what kind of key it is.
func (k Key) String() string {
	switch {
	case k.secret != nil:
		return secretPrefix + "..."
	case k.private != nil:
		return privatePrefix + "..."
	case k.public != nil:
		return publicPrefix + "..."
	}
	return "no key"
}

// GoString is like String.
func (k Key) GoString() string { return k.String() }

// sign returns a signature with its version, or an error if the key only verifies.
func (k Key) sign(signed []byte) (string, error) {
	switch {
	case k.secret != nil:
		return "v1," + base64.StdEncoding.EncodeToString(k.mac(signed)), nil
	case k.private != nil:
		return "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(k.private, signed)), nil
	}
	return "", fmt.Errorf("webhook: %v cannot sign", k)
}

// verify reports whether a signature of that version is the key's.
func (k Key) verify(version string, signature, signed []byte) bool {
	switch {
	case version == "v1" && k.secret != nil:
		return hmac.Equal(signature, k.mac(signed))
	case version == "v1a" && k.public != nil:
		return ed25519.Verify(k.public, signed, signature)
	}
	return false
}

func (k Key) mac(signed []byte) []byte {
	h := hmac.New(sha256.New, k.secret)
	h.Write(signed)
	return h.Sum(nil)
}
